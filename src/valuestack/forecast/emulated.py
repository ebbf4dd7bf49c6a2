"""Emulated: a real forecaster's errors over a future that is known, for thousands of simulated years.

The forecaster that is meant is run once over a year of history (`trained`). With a(x) what differs from the mean of the
kind of day (working or free) at the clock time, its forecast f of y at lead j is taken apart into what it sees of the
truth and a rest that has nothing to do with it:

    a(f) = seen_j a(y) + r,     seen_j = sum a(f) a(y) / sum a(y)^2 over all issues

A real forecast shrinks towards the usual: it sees little of a spike, and the less the farther ahead. With the bare
error of another day laid over a future, the wiggles of two days would add up and peaks stand too high. The rests are
kept by the day and clock time of issue, whole rows of leads. Each day of a future is given those of one day of
history of the same kind whose highest value ranks nearly as high within its kind, so that they keep their hour, their
quantile, and how they hang together over the leads and from one issue to the next; all is scaled by the mean level of
the future over that of history:

    f' = usual + seen_j (y' - usual) + r

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

    rest_kw: (days, slots, n) r by day and clock slot of issue. seen_frac: (n,). usual_kw: (2, slots) of free and
    working days. top_kw: (days,) highest value of each day of history; level_kw: its mean. working: (days,). near:
    days of history, nearest in rank, among which one is drawn. truth_kw: (n,) of the future, None before `over`.
    drawn: day of history of each day. scale_frac: level of the future over that of history.
    """

    kind: ClassVar[str] = "emulated"
    rest_kw: Kw
    seen_frac: Kw
    usual_kw: Kw
    top_kw: Kw
    level_kw: float
    working: NDArray[np.bool_]
    near: int = 5
    truth_kw: Kw | None = None
    drawn: Ints | None = None
    scale_frac: float = 1.0

    @classmethod
    def trained(
        cls, history: Kw, timeline: Timeline, like: Forecaster, n: int, *, skip_days: int = 28, near: int = 5
    ) -> Emulated:
        """What `like` makes of a year of history, n leads; the first `skip_days`, while it learns, are left out."""
        day, slot, slots = day_slots(timeline)
        days = int(day[history.size - 1]) + 1
        working = work_days(timeline)
        kind = working[day].astype(np.int64)
        usual = np.zeros((2, slots))
        for k in range(2):
            for s in range(slots):
                mine = history[(kind[: history.size] == k) & (slot[: history.size] == s)]
                usual[k, s] = mine.mean() if mine.size else history.mean()
        ahead = np.minimum(np.arange(1, history.size + 1)[:, None] + np.arange(n)[None, :], timeline.n - 1)
        inside = np.arange(1, history.size + 1)[:, None] + np.arange(n)[None, :] < history.size
        base = usual[kind[ahead], slot[ahead]]
        theirs = issued(like, history, timeline, n)[:, :n] - base
        own = np.where(inside, history[np.minimum(ahead, history.size - 1)], np.nan) - base
        known = np.isfinite(theirs) & np.isfinite(own)
        known[day[: history.size] < skip_days] = False
        power = np.where(known, own**2, 0.0).sum(axis=0)
        seen = np.where(known, theirs * own, 0.0).sum(axis=0) / np.where(power > 0, power, 1.0)
        rest = np.full((days, slots, n), np.nan)
        rest[day[: history.size], slot[: history.size]] = theirs - seen * own
        whole = np.isfinite(rest).all(axis=(1, 2))
        whole[:skip_days] = False
        if whole.sum() < 14:
            raise InputError(
                f"emulated forecaster: {int(whole.sum())} days of errors are left of {days} days of history after the "
                f"first {skip_days}; give at least {skip_days + 16} whole days"
            )
        top = np.array([history[day[: history.size] == d].max() for d in range(days)])[whole]
        return cls(rest[whole], seen, usual, top, float(history.mean()), working[:days][whole], near)

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
                pool = np.arange(self.top_kw.size)
            ordered = pool[np.argsort(self.top_kw[pool], kind="stable")]
            rank = np.argsort(np.argsort(top[mine], kind="stable"), kind="stable") / max(1, mine.size - 1)
            for d, r in zip(mine, rank):
                at = round(r * (ordered.size - 1))
                low = min(max(0, at - self.near // 2), max(0, ordered.size - self.near))
                choice = ordered[low : low + self.near]
                if apart is not None and choice.size > 1:
                    choice = choice[choice != apart[d]]
                drawn[d] = choice[rng.integers(0, choice.size)]
        scale = float(np.mean(truth)) / self.level_kw if self.level_kw else 1.0
        return replace(self, truth_kw=np.asarray(truth, dtype=float), drawn=drawn, scale_frac=scale)

    def predict(self, past: Kw, timeline: Timeline, n: int) -> Kw:
        """See Forecaster.predict."""
        k = past.size
        return np.asarray(self._rows(np.array([k]), timeline, n)[0])

    def rolling(self, values: Kw, timeline: Timeline, n: int, *, first: int = 0) -> Kw:
        """Rows issued at first .. len(values), NaN beyond the timeline."""
        return self._rows(np.arange(first, values.size + 1), timeline, n)

    def _rows(self, at: Ints, timeline: Timeline, n: int) -> Kw:
        if self.truth_kw is None or self.drawn is None:
            raise InputError("emulated forecaster: no future is given; put it over one first, with `over`")
        if n > self.seen_frac.size:
            raise InputError(
                f"emulated forecaster: {n} intervals are asked, it was trained on {self.seen_frac.size}"
            )
        day, slot, _ = day_slots(timeline)
        issue = np.clip(at - 1, 0, timeline.n - 1)  # a row is issued when the interval before it is over
        ahead = at[:, None] + np.arange(n)[None, :]
        inside, ahead = ahead < self.truth_kw.size, np.minimum(ahead, self.truth_kw.size - 1)
        usual = self.usual_kw[work_days(timeline)[day[ahead]].astype(np.int64), slot[ahead]] * self.scale_frac
        rest = self.rest_kw[self.drawn[day[issue]], slot[issue], :n] * self.scale_frac
        rows = usual + self.seen_frac[:n] * (self.truth_kw[ahead] - usual) + rest
        return np.asarray(np.where(inside, rows, np.nan))
