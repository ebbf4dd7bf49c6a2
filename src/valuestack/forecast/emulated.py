"""Emulated: a real forecaster's errors over a future that is known, for thousands of simulated years.

The forecaster that is meant is run once over a year of history (`trained`), and its errors are kept by the day and
clock time of issue, whole rows of leads. For a future, each day is given the errors of one day of history of the same
kind (working or free) whose highest value ranks nearly as high within its kind: so errors keep their hour, their
quantile (a forecast misses its peaks on the highest days), and how they hang together over the leads and from one issue
to the next. They are scaled by the mean level of the future over that of history. With w(x) what is left of a path
about its running mean of 2 `smooth_h`, the emulated forecast is

    f' = y' + (seen - 1) w(y') + [f - y - (seen - 1) w(y)],     seen = sum w(f) w(y) / sum w(y)^2

y' the future, f and y forecast and truth of the drawn day. A real forecast does not know the wiggle of its day; with
the bare error of another day laid over the future, two wiggles would add up and peaks stand too high.

The future's own values are read as in perfect.py: openly, since this stands for a forecast in a simulation and is never
at work on a plant.

Method: resampling of past errors by blocks of a day (Kuensch 1989, doi 10.1214/aos/1176347265), matched by rank.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..timeline import Ints, Kw, Timeline
from .forecaster import Forecaster, day_slots, issued, work_days


@dataclass(frozen=True, slots=True, eq=False)
class Emulated:
    """See the head of this file; made by `trained`, put over a future by `over`.

    errors: (days, slots, n) the bracket above, by day and clock slot of issue. seen: share of the wiggle that the
    forecaster foresees. top: (days,) highest value of each day of history; level: its mean. working: (days,).
    near: days of history, nearest in rank, among which one is drawn. truth: (n,) of the future, None before `over`.
    drawn: day of history of each day.
    """

    kind: ClassVar[str] = "emulated"
    errors: Kw
    top: Kw
    level: float
    working: NDArray[np.bool_]
    seen: float = 1.0
    wide: int = 4
    near: int = 5
    truth: Kw | None = None
    drawn: Ints | None = None
    scale: float = 1.0

    @classmethod
    def trained(
        cls,
        history: Kw,
        timeline: Timeline,
        like: Forecaster,
        n: int,
        *,
        skip_days: int = 28,
        near: int = 5,
        smooth_h: float = 1.0,
    ) -> Emulated:
        """Errors of `like` over n leads in a year of history; its first `skip_days`, while it learns, are left out."""
        day, slot, slots = day_slots(timeline)
        day, slot = day[: history.size], slot[: history.size]
        days = int(day[-1]) + 1
        ahead = np.arange(1, history.size + 1)[:, None] + np.arange(n)[None, :]
        came = np.where(ahead < history.size, history[np.minimum(ahead, history.size - 1)], np.nan)
        rows = issued(like, history, timeline, n)[:, :n]
        wide = round(smooth_h / timeline.step_h)
        known = np.isfinite(rows).all(axis=1) & np.isfinite(came).all(axis=1)
        theirs, own = _wiggle(rows[known], wide), _wiggle(came[known], wide)
        power = float((own**2).sum())
        seen = float(np.clip((theirs * own).sum() / power, 0.0, 1.0)) if power > 0 else 1.0
        rows = rows - came - (seen - 1.0) * _wiggle(came, wide)
        errors = np.full((days, slots, n), np.nan)
        errors[day, slot] = rows
        whole = np.isfinite(errors).all(axis=(1, 2))
        whole[:skip_days] = False
        if whole.sum() < 14:
            raise InputError(
                f"emulated forecaster: {int(whole.sum())} days of errors are left of {days} days of history after the "
                f"first {skip_days}; give at least {skip_days + 16} whole days"
            )
        top = np.array([history[day == d].max() for d in range(days)])
        working = work_days(timeline)[:days][whole]
        return cls(errors[whole], top[whole], float(history.mean()), working, seen, wide, near)

    def over(self, truth: Kw, timeline: Timeline, seed: int, *, apart: Ints | None = None) -> Emulated:
        """The same over a future. apart: (days,) day of history that each day must not be given (itself), or -1."""
        rng = np.random.default_rng(seed)
        day = day_slots(timeline)[0][: truth.size]
        days = int(day[-1]) + 1
        edges = np.searchsorted(day, np.arange(days + 1))
        top = np.array([truth[a:b].max() for a, b in pairwise(edges)])
        working = work_days(timeline)[:days]
        drawn = np.zeros(days, dtype=np.int64)
        for kind in (False, True):
            mine, pool = np.flatnonzero(working == kind), np.flatnonzero(self.working == kind)
            if not pool.size:
                pool = np.arange(self.top.size)
            ordered = pool[np.argsort(self.top[pool], kind="stable")]
            rank = np.argsort(np.argsort(top[mine], kind="stable"), kind="stable") / max(1, mine.size - 1)
            for d, r in zip(mine, rank):
                at = round(r * (ordered.size - 1))
                low = min(max(0, at - self.near // 2), max(0, ordered.size - self.near))
                choice = ordered[low : low + self.near]
                if apart is not None and choice.size > 1:
                    choice = choice[choice != apart[d]]
                drawn[d] = choice[rng.integers(0, choice.size)]
        scale = float(np.mean(truth)) / self.level if self.level else 1.0
        return replace(self, truth=np.asarray(truth, dtype=float), drawn=drawn, scale=scale)

    def predict(self, past: Kw, timeline: Timeline, n: int) -> Kw:
        """See Forecaster.predict."""
        k = past.size
        return np.asarray(self._rows(np.array([k]), timeline, n)[0])

    def rolling(self, values: Kw, timeline: Timeline, n: int, *, first: int = 0) -> Kw:
        """Rows issued at first .. len(values), NaN beyond the timeline."""
        return self._rows(np.arange(first, values.size + 1), timeline, n)

    def _rows(self, at: Ints, timeline: Timeline, n: int) -> Kw:
        if self.truth is None or self.drawn is None:
            raise InputError("emulated forecaster: no future is given; put it over one first, with `over`")
        if n > self.errors.shape[2]:
            raise InputError(
                f"emulated forecaster: {n} intervals are asked, it was trained on {self.errors.shape[2]}"
            )
        day, slot, _ = day_slots(timeline)
        issue = np.maximum(at - 1, 0)  # a row is issued when the interval before it is over
        d = day[np.minimum(issue, timeline.n - 1)]
        errors = self.errors[self.drawn[d], slot[np.minimum(issue, timeline.n - 1)], :n] * self.scale
        ahead = at[:, None] + np.arange(n)[None, :]
        inside = ahead < self.truth.size
        rows = self.truth[np.minimum(ahead, self.truth.size - 1)]
        if self.seen < 1.0:
            rows = rows + (self.seen - 1.0) * _wiggle(rows, self.wide)
        rows = rows + errors
        return np.asarray(np.where(inside, rows, np.nan))


def _wiggle(rows: Kw, wide: int) -> Kw:
    """What is left of each row (rows, n) about its running mean of 2 wide + 1 intervals, narrower at the ends."""
    n = rows.shape[1]
    total = np.concatenate((np.zeros((rows.shape[0], 1)), np.cumsum(rows, axis=1)), axis=1)
    begin = np.maximum(np.arange(n) - wide, 0)
    end = np.minimum(np.arange(n) + wide + 1, n)
    return np.asarray(rows - (total[:, end] - total[:, begin]) / (end - begin))
