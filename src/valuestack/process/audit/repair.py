"""Repairs, by a written rule by length of the gap.

    up to 2 h      a straight line between the neighbours: nothing else is known at that scale
    up to 7 days   the mean of the same clock slot on the nearest days of the same kind (working or free),
                   two before and two after, scaled to meet the level around the gap
    longer         the same, without scaling; the months concerned are named
A repaired interval carries quality 1. More than 10 % repaired, or one gap of more than 45 days, disqualifies
the data: too much of the bill would be our invention.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...timeline import Kw, Timeline

LINE_H = 2.0
SCALE_H = 7 * 24.0
MOST_FRAC = 0.10
LONGEST_DAYS = 45.0


@dataclass(frozen=True, slots=True)
class Gap:
    """A run of intervals without a usable reading: first, length, and how it was filled."""

    first: int
    n: int
    how: str


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, length) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def fill(timeline: Timeline, kw: Kw, free_day: NDArray[np.bool_]) -> tuple[Kw, list[Gap]]:
    """The series without NaN, (n,), and what was filled how. free_day: (n,) weekend or holiday."""
    out = kw.copy()
    known = np.isfinite(kw)
    gaps: list[Gap] = []
    table: _Slots | None = None
    for first, n in runs(~known):
        inside = first > 0 and first + n < kw.size
        if n * timeline.step_h <= LINE_H and inside:
            out[first : first + n] = np.interp(np.arange(n) + 1, (0, n + 1), (kw[first - 1], kw[first + n]))
            gaps.append(Gap(first, n, "line"))
            continue
        table = table or _Slots(timeline, kw, free_day)
        values = table.like(first, n)
        if n * timeline.step_h <= SCALE_H and inside:
            values = _levelled(values, table, kw, first, n, timeline)
        out[first : first + n] = values
        gaps.append(Gap(first, n, "similar days"))
    return out, gaps


class _Slots:
    """Known values by day and clock slot."""

    def __init__(self, timeline: Timeline, kw: Kw, free_day: NDArray[np.bool_]) -> None:
        self.day = timeline.day - timeline.day[0]
        self.slot = timeline.local_s % 86400 // timeline.step_s
        days, slots = int(self.day[-1]) + 1, 86400 // timeline.step_s
        self.table = np.full((days, slots), np.nan)
        self.table[self.day, self.slot] = kw
        self.free = np.zeros(days, dtype=bool)
        self.free[self.day] = free_day
        self.mean = float(np.nanmean(kw)) if np.isfinite(kw).any() else 0.0

    def like(self, first: int, n: int) -> Kw:
        """Mean of the same slot on the two nearest days of the same kind before and after, (n,)."""
        out = np.empty(n)
        for j in range(n):
            d, s = int(self.day[first + j]), int(self.slot[first + j])
            column = np.isfinite(self.table[:, s])
            column[d] = False
            alike = np.flatnonzero(column & (self.free == self.free[d]))
            if alike.size == 0:
                alike = np.flatnonzero(column)
            if alike.size == 0:
                out[j] = self.mean
                continue
            at = int(np.searchsorted(alike, d))
            pick = alike[max(0, at - 2) : at + 2]
            out[j] = self.table[pick, s].mean()
        return out


def _levelled(values: Kw, table: _Slots, kw: Kw, first: int, n: int, timeline: Timeline) -> Kw:
    """Scaled so that the similar-day shape meets the level of the hours beside the gap."""
    span = max(1, round(3 / timeline.step_h))
    around = [
        k
        for k in (*range(max(0, first - span), first), *range(first + n, min(kw.size, first + n + span)))
        if np.isfinite(kw[k])
    ]
    if not around:
        return values
    usual = np.array([table.like(k, 1)[0] for k in around])
    ratio = float(kw[around].sum() / usual.sum()) if usual.sum() > 0 else 1.0
    return values * float(np.clip(ratio, 0.5, 2.0))
