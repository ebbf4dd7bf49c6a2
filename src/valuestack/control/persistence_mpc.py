"""Persistence MPC: the plan of the day ahead on last week's load, trusted. What most controllers that plan do.

The same exact plan as method B, without its corrections, and reserve; the measure of what those add.
"""

from __future__ import annotations

from typing import ClassVar

from ..forecast.persistence import Persistence
from .horizon import RollingHorizon


class PersistenceMpc(RollingHorizon):
    """Rolling horizon on x(t - days); horizon_h: how far a plan looks."""

    kind: ClassVar[str] = "persistence_mpc"

    def __init__(self, days: int = 7, *, horizon_h: float = 24.0) -> None:
        super().__init__(
            Persistence(days),
            horizon_h=horizon_h,
            scenarios=0,
            reach_days=1,
            cover_frac=0.0,
            surprises=0.0,
            tilt_usd_per_kwh=0.0,
            plan_every_h=0.0,
            replan_frac=0.0,
        )
