"""Compiled side of changes.py: what a controller may send that shall not be told something new too often."""

from __future__ import annotations

from math import inf
from typing import Any

from numba import njit


@njit(cache=True)
def held_kw(
    wish: float,
    base: float,
    peak: float,
    last: float,
    debt: float,
    since: int,
    used: int,
    stride: float,
    deadband: float,
    dwell: int,
    most: float,
    spare: float,
    h: float,
) -> tuple[float, float, bool]:
    """(setpoint, debt, changed) of one interval; see changes.py.

    base: net load beside it; peak: that is metered or defended so far; debt: kWh wished and not done since the last
    change, which is compared with an hour of the stride [kW]."""
    off = wish - last
    if abs(off) <= deadband:
        return last, debt, False
    debt += off * h
    if since < dwell or used >= most:
        return last, debt, False
    if most == inf:
        return wish, 0.0, True
    if used + 1 >= most:  # the last of the day: what then stands till midnight draws nothing
        wish = min(wish, 0.0)
        if wish == last:
            return last, debt, False
    if off < 0.0 and base + last > peak:  # what stands would set a new peak
        return wish, 0.0, True
    if (used < most - spare or (last < 0.0 < off)) and abs(debt) > stride:
        return wish, 0.0, True
    return last, debt, False


@njit(cache=True)
def changes_of(
    wish: Any, base: Any, peak: Any, stride: float, deadband: float, dwell: int, h: float
) -> int:  # pragma: no cover - compiled
    """How often a stride would have changed the setpoint over intervals that were, with changes to spare."""
    last, debt, since, count = wish[0], 0.0, dwell, 0
    for i in range(wish.size):
        last, debt, changed = held_kw(
            wish[i], base[i], peak[i], last, debt, since, 0, stride, deadband, dwell, 1e9, 0.0, h
        )
        since = 1 if changed else since + 1
        count += changed
    return count


@njit(cache=True)
def stride_of(
    wish: Any,
    base: Any,
    peak: Any,
    allowed: float,
    most_kw: float,
    deadband: float,
    dwell: int,
    h: float,
) -> float:
    """The least stride [kW] with which intervals that were would have had `allowed` changes, by bisection."""
    if changes_of(wish, base, peak, 0.0, deadband, dwell, h) <= allowed:
        return 0.0
    low, high = 0.0, most_kw
    for _ in range(10):
        middle = 0.5 * (low + high)
        if changes_of(wish, base, peak, middle, deadband, dwell, h) <= allowed:
            high = middle
        else:
            low = middle
    return high
