"""Compiled side of similar_day.py: a forecast from base, errors and weights, and the ridge fit of these weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]


class Gains(NamedTuple):
    """Sums of x x' and x y over the rows learnt, x the mean errors at issue and y the errors of the n intervals that
    followed: gram (2, 24, means, means) and mixed (2, 24, means, n) by class of the day and hour of issue, all_gram and
    all_mixed over all of them, all_rows (1,). taken (2,): the next row to be looked at, and how many were learnt."""

    gram: Floats
    mixed: Floats
    all_gram: Floats
    all_mixed: Floats
    all_rows: Floats
    taken: Ints


class Tuning(NamedTuple):
    """See SimilarDay. keep: what a day's weight falls to by the next; pooled: rows that the mean of all hours counts
    as; other: weight of the other class; begin: first row, least: rows learnt before weights are fitted."""

    keep: float
    pooled: float
    other: float
    ridge: float
    share: float
    begin: int
    least: int


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

    table (days, slots): values, NaN where there is none. working, weekday (days,), unlike on a holiday. same: how many
    days of the same weekday, and of the same class. A slot that none of them had holds the one before.
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

    base (lags, n): row `lag` is in force for days that lie so far after the day of issue. means (m,): mean errors
    until k. weights (m, >= out.size). last: value held where no base is known.
    """
    for j in range(out.size):
        value = base[day[k + j] - day[k], k + j]
        if k > 0:
            for a in range(means.size):
                value += means[a] * weights[a, j]
        out[j] = value if np.isfinite(value) else last


@njit(cache=True)
def issue_all(
    values: Floats,
    base: Floats,
    day: Ints,
    hour: Ints,
    free: Ints,
    means: Floats,
    gains: Gains,
    tuning: Tuning,
    plain: Floats,
    first: int,
    out: Floats,
) -> None:
    """Rows of forecasts issued at first, first + 1, ...: each with what the days before it teach. out is filled."""
    weights = plain.copy()
    for k in range(first + out.shape[0]):
        m = min(out.shape[1], base.shape[1] - k)
        if m <= 0:
            return
        begins = k > 0 and day[k] != day[k - 1]
        if begins:
            learn(gains, values, base[0], means, hour, free, k, tuning)
        if k < first:
            continue
        if begins or k == first or hour[k] != hour[k - 1]:
            weigh(gains, hour[k], free[k], tuning, plain, weights)
        row = means[k - 1] if k > 0 else means[0]
        issue(base, day, row, weights, k, values[k - 1] if k > 0 else 0.0, out[k - first, :m])


@njit(cache=True)
def learn(
    gains: Gains,
    values: Floats,
    base: Floats,
    means: Floats,
    hour: Ints,
    free: Ints,
    until: int,
    tuning: Tuning,
) -> None:
    """Take the rows that are complete when interval `until`, the first of a day, begins; those before fade by a day.

    The error at lead j is against the base that would have been in force at the moment of issue; same-day and next-day
    bases differ little, so the regression uses the same-day one, base (n,), throughout. Rows with a hole are left out.
    """
    gram, mixed, all_gram, all_mixed, all_rows, taken = gains
    gram *= tuning.keep
    mixed *= tuning.keep
    all_gram *= tuning.keep
    all_mixed *= tuning.keep
    all_rows *= tuning.keep
    n = mixed.shape[3]
    error = np.empty(n)
    for r in range(max(tuning.begin, taken[0]), until - n + 1):
        whole = True
        for j in range(n):
            error[j] = values[r + j] - base[r + j]
            whole = whole and np.isfinite(error[j])
        taken[0] = r + 1
        x = means[r - 1]
        if not whole or not np.isfinite(x).all():
            continue
        taken[1] += 1
        c, b = free[r], hour[r]
        all_rows[0] += 1.0
        for i in range(x.size):
            for k in range(x.size):
                gram[c, b, i, k] += x[i] * x[k]
                all_gram[i, k] += x[i] * x[k]
            for j in range(n):
                mixed[c, b, i, j] += x[i] * error[j]
                all_mixed[i, j] += x[i] * error[j]


@njit(cache=True)
def weigh(gains: Gains, hour: int, free: int, tuning: Tuning, plain: Floats, out: Floats) -> None:
    """Fill out (means, n) with the weights of issues in an hour of a day of a class."""
    out[:] = plain
    total = gains.all_rows[0]
    if gains.taken[1] < tuning.least or not total > 0.0:
        return
    means, other, by = plain.shape[0], 1 - free, tuning.pooled / total
    gram = gains.gram[free, hour] + tuning.other * gains.gram[other, hour] + by * gains.all_gram
    mixed = gains.mixed[free, hour] + tuning.other * gains.mixed[other, hour] + by * gains.all_mixed
    trace = 0.0
    for i in range(means):
        trace += gram[i, i]
    if not trace > 0.0:  # a past without any error has nothing to teach
        return
    for i in range(means):
        gram[i, i] += tuning.ridge * trace / means
    out[:] = tuning.share * np.linalg.solve(gram, mixed) + (1.0 - tuning.share) * plain
