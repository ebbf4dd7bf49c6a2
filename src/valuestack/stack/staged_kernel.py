"""Kernel of the repair of interior plans: one walk through a store."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Floats = np.ndarray[Any, np.dtype[np.float64]]


@njit(cache=True)
def walk(
    power: Floats, other_kw: Floats, planned: Floats, room: Floats, start_kwh: float, ec: float, ed: float,
    keep: float, step_h: float, slight_kwh: float, stored: Floats,
) -> None:  # fmt: skip
    """Energy of a walk into `stored`; `power` gives up charge, as far as `room` allows, where the store would hold
    more than was planned, and makes good up to `slight_kwh` an interval where it would hold less: what balances lack by
    rounding would add up. All (n,), in place."""
    now = start_kwh
    for k in range(power.size):
        p = power[k]
        share = 1.0 / ed if p < 0 else ec
        now = now * keep + (p * share + other_kw[k]) * step_h
        if now > planned[k]:
            cut = min((now - planned[k]) / (share * step_h), room[k])
            power[k] = p - cut
            now -= cut * share * step_h
        elif now < planned[k]:
            more = min(planned[k] - now, slight_kwh) / (share * step_h)
            if p < 0.0:
                more = min(more, -p)
            power[k] = p + more
            now += more * share * step_h
        stored[k] = now
