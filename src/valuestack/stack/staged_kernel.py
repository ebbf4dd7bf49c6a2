"""Kernel of the repair of interior plans: one walk through a store."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Floats = np.ndarray[Any, np.dtype[np.float64]]


@njit(cache=True)
def walk(
    power: Floats, other_kw: Floats, planned: Floats, room: Floats, start_kwh: float, ec: float, ed: float,
    keep: float, step_h: float, stored: Floats,
) -> None:  # fmt: skip
    """Energy of a walk into `stored`; `power` gives up charge, as far as `room` allows, where the store would hold
    more than was planned. All (n,), in place."""
    now = start_kwh
    for k in range(power.size):
        p = power[k]
        share = ec if p > 0 else 1.0 / ed
        now = now * keep + (p * share + other_kw[k]) * step_h
        if now > planned[k]:
            cut = min((now - planned[k]) / (share * step_h), room[k])
            power[k] = p - cut
            now -= cut * share * step_h
        stored[k] = now
