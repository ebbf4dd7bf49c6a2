"""Forecaster: the past in, the next intervals out. It cannot peek, because it is never handed more.

The timeline is public (the calendar of the future is known); values are not. `predict` answers for one
moment; `rolling` answers for every moment of a series and must equal `predict` at each of them.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..dispatch import World
from ..errors import InputError
from ..timeline import Ints, Kw, Timeline


@runtime_checkable
class Forecaster(Protocol):
    """A way to forecast one series. One file a kind."""

    kind: ClassVar[str]

    def predict(self, past: Kw, timeline: Timeline, n: int) -> Kw:
        """Values of the `n` intervals that follow `past`, shape (n,).

        past: values of intervals 0 .. k-1 of `timeline`, so the first answer is for interval k = len(past).
        """
        ...


@runtime_checkable
class QuantileForecaster(Forecaster, Protocol):
    """A forecaster that also says how sure it is; `predict` is its point forecast."""

    def quantiles(self, past: Kw, timeline: Timeline, n: int, levels: Kw) -> Kw:
        """Quantiles of the intervals that follow `past`, (levels, n), not crossing. levels: in 0..1, ascending."""
        ...

    def scenarios(self, past: Kw, timeline: Timeline, n: int, count: int, seed: int) -> Kw:
        """Joint futures of these intervals, (count, n), as correlated over the day as errors were."""
        ...


class Issuer(Protocol):
    """A forecaster at work: handed the past again and again as it grows."""

    def issue(self, past: Kw) -> Kw:
        """Values that follow `past`, (n,)."""
        ...


class _Afresh:
    """A forecaster that keeps nothing between its answers."""

    def __init__(self, method: Forecaster, timeline: Timeline, n: int) -> None:
        self.method, self.timeline, self.n = method, timeline, n

    def issue(self, past: Kw) -> Kw:
        out = np.full(self.n, np.nan)
        m = min(self.n, self.timeline.n - past.size)
        if m > 0:
            out[:m] = fitted(self.method.predict(past, self.timeline, m), m)
        return out


def fitted(answer: Any, n: int) -> Kw:
    """An answer as a row of n values: what is missing, or is no row of numbers, is NaN; what is beyond n is cut."""
    try:
        row = np.asarray(answer, dtype=float)
    except (TypeError, ValueError):
        row = np.zeros(0)
    if row.ndim == 1 and row.size == n:
        return row
    out = np.full(n, np.nan)
    if row.ndim == 1:
        out[: min(n, row.size)] = row[:n]
    return out


def issuer(method: Forecaster, timeline: Timeline, n: int) -> Issuer:
    """The forecaster's own way to answer again and again, or `predict` each time."""
    own = getattr(method, "issuing", None)
    made: Issuer = _Afresh(method, timeline, n) if own is None else own(timeline, n)
    return made


def issued(method: Forecaster, values: Kw, timeline: Timeline, n: int) -> Kw:
    """What the method says of the n intervals after each, (len(values), n): row k follows values[: k + 1].

    NaN beyond the timeline. Each row is made of its own past alone.
    """
    own = getattr(method, "rolling", None)
    if own is not None:
        return np.asarray(own(values, timeline, n, first=1))
    work, out = issuer(method, timeline, n), np.empty((values.size, n))
    for k in range(values.size):
        out[k] = fitted(work.issue(values[: k + 1]), n)
    return out


def error_paths(method: Forecaster, past: Kw, timeline: Timeline, n: int, days: int, reach_days: int) -> Kw:
    """What came less what `method` had forecast, at this clock time on past days of this kind, (found, n).

    Of each day only that is handed to the method which was past by then; only days whose n intervals are over count.
    The most recent come first.
    """
    k = past.size
    per_day = 86400 // timeline.step_s
    at = min(k, timeline.n - 1)
    free = timeline.weekday >= 5
    clock_s = timeline.local_s % 86400
    begin = max(1, k - (reach_days + 1) * per_day)
    own = getattr(method, "rolling", None)
    rows = None if own is None else own(past, timeline, n, first=min(begin, k))
    out: list[Kw] = []
    for d in range(1, reach_days + 1):
        then = k - d * per_day
        if then < 1 or len(out) == days:
            break
        if then + n > k or free[then] != free[at]:
            continue
        if clock_s[then] != clock_s[at]:  # the clock was set in between
            off = int(clock_s[at] - clock_s[then]) // timeline.step_s
            then += off - per_day * round(off / per_day)
            if then < 1 or then + n > k:
                continue
        made = rows[then - begin] if rows is not None else method.predict(past[:then], timeline, n)
        out.append(past[then : then + n] - made)
    return np.array(out).reshape(len(out), n)


def laid_over(point: Kw, errors: Kw, count: int, seed: int) -> Kw:
    """Joint futures (count, n): error paths (found, n) drawn with replacement and laid whole over a forecast (n,)."""
    if errors.shape[0] == 0:
        return np.repeat(point[None, :], count, axis=0)
    drawn = np.random.default_rng(seed).integers(0, errors.shape[0], count)
    return np.asarray(point + np.where(np.isfinite(errors[drawn]), errors[drawn], 0.0))


class Believed:
    """Belief of a policy: forecasts made of what the world had published when the interval began.

    by_name: a forecaster for each series that is not known ahead. A series whose `lead_h` covers the
    asked interval (a calendar, a day-ahead price) is read as published; for the rest only closed
    intervals are handed to the forecaster.
    """

    def __init__(self, world: World, by_name: dict[str, Forecaster]) -> None:
        self._world, self._by_name = world, by_name

    def series(self, name: str, *, first: int, n: int, as_of: int) -> Kw:
        """Believed values of intervals first .. first + n - 1 at the start of interval `as_of`."""
        values, public = self._world[name], self._world.series[name].lead_h
        if public is None:
            return values[..., first : first + n]
        # An interval is public once its start lies no further ahead than its lead time.
        lead = int(np.floor(public / self._world.timeline.step_h + 1e-9))
        known = min(max(as_of + lead + 1, 0), first + n)
        if known >= first + n:
            return values[..., first : first + n]
        if name not in self._by_name:
            raise InputError(f"series {name!r} is not known ahead and has no forecaster")
        forecast = self._by_name[name].predict(values[..., :known], self._world.timeline, first + n - known)
        return np.concatenate((values[..., first:known], forecast[..., max(0, first - known) :]), axis=-1)


def day_slots(timeline: Timeline) -> tuple[Ints, Ints, int]:
    """Day number (from 0) and clock slot of each interval, and slots a day: ((n,), (n,), slots)."""
    return (
        timeline.day - timeline.day[0],
        timeline.local_s % 86400 // timeline.step_s,
        86400 // timeline.step_s,
    )


def day_table(values: Kw, day: Ints, slot: Ints, slots: int, days: int) -> Kw:
    """Values by day and clock slot, (days, slots); NaN where there is none (the hour a clock skips)."""
    table = np.full((days, slots), np.nan)
    table[day[: values.size], slot[: values.size]] = values
    return table


def work_days(timeline: Timeline, holidays: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
    """Whether each day of the timeline is a working day, (days,). holidays: days since 1970."""
    days = np.arange(timeline.day[0], timeline.day[-1] + 1)
    working = (days + 3) % 7 < 5
    if holidays is not None:
        working &= ~np.isin(days, holidays)
    return np.asarray(working, dtype=np.bool_)
