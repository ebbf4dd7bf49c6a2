"""Compiled side of emulated.py: rows of forecasts from what was learnt of a forecaster and the rest of drawn days."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]


class Clock(NamedTuple):
    """Of each interval of the timeline, (n,): day number, clock slot, hour of day, 1 on free days."""

    day: Ints
    slot: Ints
    hour: Ints
    free: Ints


class Learnt(NamedTuple):
    """What the forecaster makes of its past: gains (weeks, 2, 24, means, n) by its age, class of day and hour of
    issue, and seen (2, 24, n); see emulated.py."""

    gains: Floats
    seen: Floats


class Drawn(NamedTuple):
    """rest (days of history, slots, n), the day of history of each day, and what the rest is multiplied by."""

    rest: Floats
    day: Ints
    scale: float


@njit(cache=True)
def rows(
    at: Ints,
    truth: Floats,
    base: Floats,
    means: Floats,
    clock: Clock,
    learnt: Learnt,
    drawn: Drawn,
    out: Floats,
) -> None:
    """Fill out (at.size, n) with forecasts issued when intervals `at` begin, NaN beyond the truth (t,).

    base (lags, t): of days that lie 0, 1, ... days after that of issue. means (t, m): mean errors until each interval.
    """
    weeks, m = learnt.gains.shape[0], means.shape[1]
    for i in range(at.size):
        k = at[i]
        now, before = min(k, clock.day.size - 1), max(k - 1, 0)
        week, free, hour = min(clock.day[now] // 7, weeks - 1), clock.free[now], clock.hour[now]
        gains, seen = learnt.gains[week, free, hour], learnt.seen[free, hour]
        rest = drawn.rest[drawn.day[clock.day[before]], clock.slot[before]]
        inside = min(out.shape[1], truth.size - k)
        out[i] = np.nan
        for j in range(inside):
            usual = base[clock.day[k + j] - clock.day[now], k + j]
            out[i, j] = usual + seen[j] * (truth[k + j] - usual) + drawn.scale * rest[j]
        if k > 0:
            for a in range(m):
                error = means[before, a]
                for j in range(inside):
                    out[i, j] += error * gains[a, j]
