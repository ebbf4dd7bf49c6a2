"""Compiled side of tou_schedule.py: one store's year by the clock."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from .guard_kernel import carried_out, guarded_kw

Floats = np.ndarray[Any, np.dtype[np.float64]]


@njit(cache=True, error_model="numpy")
def closed_loop(
    base_kw: Floats,
    wish_kw: Floats,
    guard_floor: Floats,
    most_import: Floats,
    most_export: Floats,
    power_kw: float,
    charge_kw: float,
    low: float,
    high: float,
    start: float,
    ec: float,
    ed: float,
    h: float,
    power: Floats,
    stored: Floats,
) -> int:
    """Fill power and energy at interval ends (n,) of one lane; in how many intervals the guard changed a setpoint.

    wish_kw (n,): what the clock says, load sign. base_kw: net load with idle draw, store at rest.
    """
    energy, changed = start, 0
    for k in range(base_kw.size):
        wish = clocked_kw(wish_kw[k], base_kw[k])
        q = guarded_kw(
            wish, base_kw[k], energy, guard_floor[k + 1], high, power_kw, charge_kw, ec, ed, h, most_import[k],
            most_export[k],
        )  # fmt: skip
        if abs(q - wish) > 1e-9:
            changed += 1
        q, energy = carried_out(q, energy, low, high, power_kw, charge_kw, ec, ed, h)
        power[k], stored[k] = q, energy
    return changed


@njit(cache=True, error_model="numpy")
def clocked_kw(wish: float, base: float) -> float:
    """The clock's setpoint, which feeds nothing in."""
    return float(max(wish, -max(base, 0.0))) if wish < 0.0 else wish
