"""Compiled side of similar_day.py: a forecast from base, errors and weights, and the ridge fit of these weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]


@njit(cache=True)
def _latest(kind: Any, of: int, last: int, most: int, days: Ints) -> int:
    """Fill days with the latest of days 0 .. last-1 of the kind of day `of`, latest first; returns how many."""
    found, d = 0, last - 1
    while d >= 0 and found < most:
        if kind[d] == kind[of]:
            days[found] = d
            found += 1
        d -= 1
    return found


@njit(cache=True, error_model="numpy")
def base_of(
    table: Floats,
    d: int,
    lag: int,
    working: Any,
    weekday: Ints,
    same: tuple[int, int],
    class_weight: float,
    slot: Ints,
    out: Floats,
) -> None:
    """Fill out (m,) with the base of day d at its clock slots (m,), from days that were complete `lag` days before.

    table (days, slots): values, NaN where there is none. working, weekday (days,). same: how many days of the same
    weekday, and of the same class. A slot that none of them had holds the one before.
    """
    last = d - lag + 1  # days 0 .. last-1 are complete when the forecast is issued
    if last <= 0:
        out[:] = np.nan
        return
    days = np.empty(same[0] + same[1] + 3, np.int64)
    alike = _latest(weekday, d, last, same[0], days)
    rows = alike + _latest(working, d, last, same[1], days[alike:])
    if rows == 0:
        rows = alike = min(3, last)
        for i in range(rows):
            days[i] = last - 1 - i
    for t in range(slot.size):
        total, mass = 0.0, 0.0
        for i in range(rows):  # the oldest first, those of the weekday before those of the class
            at = alike - 1 - i if i < alike else rows + alike - 1 - i
            value, weight = table[days[at], slot[t]], 1.0 if i < alike else class_weight
            if np.isfinite(value):
                total += value * weight
                mass += weight
        base = total / mass if mass > 0.0 else np.nan
        out[t] = base if t == 0 or np.isfinite(base) else out[t - 1]


@njit(cache=True, error_model="numpy")
def bases(
    table: Floats,
    edges: Ints,
    working: Any,
    weekday: Ints,
    same: tuple[int, int],
    class_weight: float,
    slot: Ints,
    out: Floats,
) -> None:
    """`base_of` every day and lag into out (lags, n). edges (days + 1,): first interval of each day."""
    for d in range(edges.size - 1):
        a, b = edges[d], edges[d + 1]
        for lag in range(1, out.shape[0] + 1):
            base_of(table, d, lag, working, weekday, same, class_weight, slot[a:b], out[lag - 1, a:b])


@njit(cache=True)
def issue(base: Floats, day: Ints, means: Floats, weights: Floats, k: int, last: float, out: Floats) -> None:
    """Forecast of intervals k .. k + out.size - 1, issued when interval k begins.

    base (lags, n): row `lag` is in force for days that lie so far after the day of issue. means (3,): mean errors
    until k. weights (3, >= out.size). last: value held where no base is known.
    """
    for j in range(out.size):
        value = base[day[k + j] - day[k], k + j]
        if k > 0:
            value += means[0] * weights[0, j] + means[1] * weights[1, j] + means[2] * weights[2, j]
        out[j] = value if np.isfinite(value) else last


@njit(cache=True)
def issue_all(
    values: Floats,
    base: Floats,
    day: Ints,
    means: Floats,
    weights: Floats,
    which: Ints,
    first: int,
    out: Floats,
) -> None:
    """Rows of forecasts issued at first, first + 1, ...; which (rows,): the set of weights in force."""
    for j in range(out.shape[0]):
        k = first + j
        m = min(out.shape[1], base.shape[1] - k)
        if m <= 0:
            return
        row = means[k - 1] if k > 0 else means[0]
        issue(base, day, row, weights[which[j]], k, values[k - 1] if k > 0 else 0.0, out[j, :m])


@njit(cache=True)
def cross(means: Floats, errors: Floats, begin: int, rows: int, gram: Floats, mixed: Floats) -> int:
    """Sums over rows of x x' (3, 3) and x y (3, n), x = means[begin - 1 + r], y = errors[begin + r : + n]; rows
    with a hole are left out. Returns how many were summed."""
    n = mixed.shape[1]
    gram[:], mixed[:] = 0.0, 0.0
    holes, used = 0, 0
    for j in range(n):
        holes += not np.isfinite(errors[begin + j])
    for r in range(rows):
        x = means[begin - 1 + r]
        if holes == 0 and np.isfinite(x).all():
            used += 1
            for a in range(3):
                for b in range(3):
                    gram[a, b] += x[a] * x[b]
            for j in range(n):
                y = errors[begin + r + j]
                mixed[0, j] += x[0] * y
                mixed[1, j] += x[1] * y
                mixed[2, j] += x[2] * y
        holes -= not np.isfinite(errors[begin + r])
        if begin + r + n < errors.size:
            holes += not np.isfinite(errors[begin + r + n])
    return used
