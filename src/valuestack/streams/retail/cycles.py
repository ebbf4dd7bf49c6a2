"""Billing cycles: which interval belongs to which bill. They belong to the meter, not to the timeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Any

import numpy as np

from ...errors import InputError
from ...timeline import Ints, Kw, Timeline

_EPOCH = date(1970, 1, 1).toordinal()


def day_number(when: Any, where: str) -> int:
    """Days since 1970 of a date, datetime or ISO string."""
    if isinstance(when, datetime):
        when = when.date()
    if isinstance(when, str):
        try:
            when = date.fromisoformat(when[:10])
        except ValueError as e:
            raise InputError(f"{where}: {when!r} is not a date; write it like 2018-01-31") from e
    if not isinstance(when, date):
        raise InputError(f"{where}: {when!r} is not a date; write it like 2018-01-31")
    return when.toordinal() - _EPOCH


@dataclass(frozen=True, eq=False)
class Cycles:
    """The bills of a span. index: (n,) cycle of each interval. Per cycle (c,): first_day, until_day as days
    since 1970 of the whole cycle; names '2018-07' or 'first/last day'; days of the whole cycle;
    covered_frac: share of its days that lie in the timeline; month: 1..12 that holds most of its days;
    month_id: months since 1970 likewise."""

    index: Ints
    first_day: Ints
    until_day: Ints
    names: tuple[str, ...]
    covered_frac: Kw
    calendar: bool

    @property
    def n(self) -> int:
        """Number of cycles."""
        return len(self.names)

    @property
    def days(self) -> Kw:
        """Days of each whole cycle, (c,)."""
        return (self.until_day - self.first_day).astype(float)

    @property
    def month_id(self) -> Ints:
        """Months since 1970 of the middle day of each cycle, (c,)."""
        middle = (self.first_day + self.until_day - 1) // 2
        return middle.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)

    @property
    def month(self) -> Ints:
        """Calendar month 1..12 of the middle day, (c,)."""
        return self.month_id % 12 + 1

    @property
    def partial(self) -> list[str]:
        """Names of cycles that the timeline covers in part."""
        return [n for n, f in zip(self.names, self.covered_frac, strict=True) if f < 1 - 1e-9]

    def sums(self, values: Kw) -> Kw:
        """Sum of interval values by cycle, (c,)."""
        return np.asarray(np.bincount(self.index, weights=values, minlength=self.n), dtype=np.float64)


def make_cycles(timeline: Timeline, cycles: Sequence[Any] | Cycles | None = None) -> Cycles:
    """Cycles over a timeline.

    None: calendar months. Else read dates in any of these forms: dates at which a new cycle begins
    (the last one ends the last cycle), or pairs (first day, first day of the next), or mappings with
    `cycle_start` and `cycle_end`. Every interval must fall into one cycle.
    """
    if isinstance(cycles, Cycles):
        return cycles
    day = timeline.day
    if cycles is None or len(cycles) == 0:
        months = np.arange(timeline.month_id[0], timeline.month_id[-1] + 2)
        edges = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        names = tuple(str(m) for m in months[:-1].astype("datetime64[M]"))
        return _cover(timeline, edges[:-1], edges[1:], names, calendar=True)
    pairs = _pairs(cycles)
    first, until = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    problems = [f"cycle {i + 1} ends before it begins" for i in range(len(pairs)) if until[i] <= first[i]]
    problems += [
        f"cycle {i + 2} begins on {_iso(first[i + 1])}, the one before ends on {_iso(until[i])}: "
        "cycles must touch"
        for i in range(len(pairs) - 1)
        if first[i + 1] != until[i]
    ]
    if problems:
        raise InputError.collect("cycles", problems)
    hit = (until > day[0]) & (first <= day[-1])
    first, until = first[hit], until[hit]
    if first.size == 0 or first[0] > day[0] or until[-1] <= day[-1]:
        raise InputError(
            f"cycles: the read dates do not cover {_iso(int(day[0]))} .. {_iso(int(day[-1]))}; "
            "add the read date before and after, or shorten the data"
        )
    names = tuple(f"{_iso(a)}/{_iso(b - 1)}" for a, b in zip(first, until, strict=True))
    return _cover(timeline, first, until, names, calendar=False)


def _pairs(cycles: Sequence[Any]) -> list[tuple[int, int]]:
    out, edges = [], []
    for i, c in enumerate(cycles):
        where = f"cycles[{i}]"
        if isinstance(c, dict):
            out.append((day_number(c.get("cycle_start"), where), day_number(c.get("cycle_end"), where)))
        elif isinstance(c, (tuple, list)):
            if len(c) != 2:
                raise InputError(f"{where}: {c!r} should be (first day, first day of the next cycle)")
            out.append((day_number(c[0], where), day_number(c[1], where)))
        else:
            edges.append(day_number(c, where))
    if out and edges:
        raise InputError("cycles: mixes single dates and pairs; use one form")
    if edges:
        edges.sort()
        if len(edges) < 2:
            raise InputError("cycles: one read date makes no cycle; give at least two")
        return list(pairwise(edges))
    return sorted(out)


def _cover(timeline: Timeline, first: Ints, until: Ints, names: tuple[str, ...], *, calendar: bool) -> Cycles:
    index = np.searchsorted(until, timeline.day, side="right")
    hours = np.bincount(index, minlength=first.size) * timeline.step_h
    covered = np.minimum(1.0, np.round(hours / 24) / (until - first))
    return Cycles(index, first.astype(np.int64), until.astype(np.int64), names, covered, calendar)


def _iso(day: int) -> str:
    return date.fromordinal(int(day) + _EPOCH).isoformat()
