"""Usable: what a controller makes of an answer that cannot be used, once, where the answer comes in.

A forecast may fail: no numbers, numbers that no meter shows, too few of them. Every such value of a load counts as the
last known load of that clock time, and while none is known as the present one; so the plan sees what persistence would
have said, and goes on. A belief of any other series (a price, a temperature) counts as the last number before it in
what was asked, where there is none as the first one after it, and as zero where there is no number at all: a price that
nobody says earns nothing. Each such answer is counted, by what and since when.

`Usable` answers one moment after the other, `usable_rows` all of them at once; both are equal.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np

from ..dispatch import Belief, Foresight
from ..timeline import Kw, Timeline
from .forecaster import Forecaster, Issuer, day_slots, fitted, issued, issuer
from .usable_kernel import faulty, mend, mend_all

MOST = 1e7  # beyond it nothing is believed: 10 GW no meter carries, and no price of a kWh or kW comes near it


class Usable:
    """A forecaster at work whose answers are numbers; see the head of this file and Issuer.

    mended: answers of which something could not be used. since: the first interval that followed such an answer's past.
    """

    def __init__(self, method: Forecaster, timeline: Timeline, n: int) -> None:
        self._work: Issuer = issuer(method, timeline, n)
        self.kind, self.n, self._total = method.kind, n, timeline.n
        _, self._slot, slots = day_slots(timeline)
        self._last = np.full(slots, np.nan)  # load by clock time
        self._k = 0
        self.mended, self.since = 0, -1

    def issue(self, past: Kw) -> Kw:
        """Values that follow `past`, (n,), NaN beyond the timeline alone; `past` goes on from the one before."""
        row = fitted(self._work.issue(past), self.n).copy()
        k = past.size
        for i in range(self._k, k):
            if np.isfinite(past[i]):
                self._last[self._slot[i]] = past[i]
        self._k = k
        m = min(self.n, self._total - k)
        if m > 0 and not np.all(np.abs(row[:m]) <= MOST):
            mend(row, m, k, self._slot, self._last, past[k - 1] if k else 0.0, MOST)
            self.mended += 1
            self.since = k if self.since < 0 else self.since
        return row


def usable_rows(method: Forecaster, values: Kw, timeline: Timeline, n: int) -> tuple[Kw, int, int]:
    """What `Usable` says after each of the values, (len(values), n), how many answers were mended, and the first of
    them (-1: none)."""
    found = issued(method, values, timeline, n)
    rows = found if found.shape == (values.size, n) else _rows(found, values.size, n)
    rows = np.ascontiguousarray(rows, dtype=float)
    bad = faulty(rows, timeline.n, MOST)
    if not bad.any():
        return rows, 0, -1
    _, slot, slots = day_slots(timeline)
    rows = rows.copy()
    mend_all(rows, bad, np.ascontiguousarray(values, dtype=float), slot, np.full(slots, np.nan), MOST)
    return rows, int(bad.sum()), int(np.argmax(bad)) + 1


def _rows(found: Any, count: int, n: int) -> Kw:
    """Rows of whatever shape came."""
    out = np.full((count, n), np.nan)
    for i, row in enumerate(found[:count]):
        out[i] = fitted(row, n)
    return out


class SoundBelief:
    """A belief whose answers are numbers; see the head of this file. mended: answers by series, and since when."""

    def __init__(self, belief: Belief) -> None:
        self._belief = belief
        self.mended: dict[str, tuple[int, int]] = {}

    @staticmethod
    def of(belief: Belief) -> Belief:
        """The belief, mended where it fails; whoever knows the future is left alone."""
        return belief if isinstance(belief, Foresight) else SoundBelief(belief)

    def series(self, name: str, *, first: int, n: int, as_of: int) -> Kw:
        """See Belief."""
        said = np.asarray(self._belief.series(name, first=first, n=n, as_of=as_of), dtype=float)
        if said.ndim and said.shape[-1] == n and np.all(np.abs(said) <= MOST):
            return said
        times, since = self.mended.get(name, (0, as_of))
        self.mended[name] = times + 1, since
        if said.ndim != 2:
            return _held(fitted(said, n))
        return np.array([_held(fitted(row, n)) for row in said])


def _held(row: Kw) -> Kw:
    """The last number before each that is none, else the first after it, else zero."""
    good = np.flatnonzero(np.abs(row) <= MOST)
    if not good.size:
        return np.zeros(row.size)
    at = np.searchsorted(good, np.arange(row.size), side="right") - 1
    return np.asarray(row[good[np.maximum(at, 0)]])


def sentence(what: str, times: int, since: datetime, instead: str) -> str:
    """What could not be used, for a person."""
    return (
        f"{what} could not be used {times:,} times, first at {since.isoformat()} (no number, or none that a meter "
        f"shows); {instead} stood in"
    )


LOAD_INSTEAD = "the last known load of that clock time, else the present one,"
SERIES_INSTEAD = "the number before it, else the one after it, else zero"
