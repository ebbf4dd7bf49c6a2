"""Emulated: a real forecaster's errors over a future that is known, for thousands of simulated years.

The forecaster that is meant is run once over a year of history (`trained`). Its forecast f, issued at t for t + j, is
taken apart into what it makes of its past, what it sees of the truth beyond that, and a rest:

    f = b + g . m(t) + seen (y - b) + r,     b = c . x(t+j)

x    the same clock time on the latest 3 days of that weekday and the latest 2 of that class (working or free) that were
     complete; c is the same for all issues, one for each number of days ahead
m    means of y - b over the last 1/4 to 24 hours, as in similar_day.py; g by class of day, hour and lead, for each
     week of its age by itself, since a forecaster that learns errs otherwise in its second month than in its tenth;
     the mean of all weeks counts as one day more
seen by class, hour and lead, the least-squares weight of the truth that is left when m is taken out

All are least squares; c and g are found in turn (Gauss-Seidel on the joint problem). So a future's errors shrink within
a day as it unfolds, come late on a day that surprises, and last, because they are answers to that future's own
surprises; only r is drawn. With bare errors of another day laid over a future, errors would answer surprises that
never came, a plan would be revised for nothing, and would cost too much.

The rests are kept by the day and clock time of issue, whole rows of leads. Each day of a future is given those of one
day of history of the same class whose highest value ranks nearly as high within its class, so that they keep their
hour, their quantile, and how they hang together over the leads and from one issue to the next; they are scaled by the
mean level of the future over that of history.

The emulator is as old as the simulated year is long: what it says of the third week is what the forecaster had learnt
by its third week. Beyond the last week of history its gains stay as they were, so give it a whole year.

The future's own values are read as in perfect.py: openly, since this stands for a forecast in a simulation and is never
at work on a plant. Of the future only `seen` and the rank of a day's highest value are read ahead of time.

Method: a linear emulator of what is costly to run, its residuals kept apart (Kennedy & O'Hagan 2001, doi
10.1111/1467-9868.00294, with a regression in place of the Gaussian process); they are resampled by blocks of a day
(Kuensch 1989, doi 10.1214/aos/1176347265), matched by rank.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..timeline import Ints, Kw, Timeline
from .forecaster import Forecaster, day_slots, day_table, issued, work_days
from .similar_day import _lags, _means, _spans

if TYPE_CHECKING:
    from .emulated_kernel import Clock

_WEEKDAYS, _CLASS_DAYS = 3, 2  # past days that are read of the same weekday, and of the same class
_TURNS = 3  # of finding c and g
_RIDGE = 1e-6  # of the mean square, so that inputs that are alike can be solved for


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A future, and what is read of it: truth_kw (t,), base_kw (lags, n) b by days ahead, means_kw (t, means) m until
    each interval, drawn (days,) day of history of each day, scale_frac its level over that of history."""

    truth_kw: Kw
    base_kw: Kw
    means_kw: Kw
    drawn: Ints
    scale_frac: float


@dataclass(frozen=True, slots=True, eq=False)
class Emulated:
    """See the head of this file; made by `trained`, put over a future by `over`.

    copies_frac: (lags, 5) c. gains_frac: (weeks, 2, 24, means, n) g. seen_frac: (2, 24, n). rest_kw: (days, slots, n)
    r by day and clock slot of issue. usual_kw: (2, slots) mean of working and free days, read where there is no past
    day. top_kw: (days,) highest value of each day of history; level_kw: its mean. working: (days,). near: days of
    history, nearest in rank, among which one is drawn. explained_frac: share of the variance of the forecaster's
    errors that is not rest. future: None before `over`.
    """

    kind: ClassVar[str] = "emulated"
    copies_frac: Kw
    gains_frac: Kw
    seen_frac: Kw
    rest_kw: Kw
    usual_kw: Kw
    top_kw: Kw
    level_kw: float
    working: NDArray[np.bool_]
    near: int = 5
    explained_frac: float = float("nan")
    future: Placed | None = None

    @classmethod
    def trained(
        cls, history: Kw, timeline: Timeline, like: Forecaster, n: int, *, skip_days: int = 28, near: int = 5
    ) -> Emulated:
        """What `like` makes of a year of history, n leads; rests of the first `skip_days`, while it learns, are left
        out. Errors: InputError for fewer than 14 days of rests."""
        history = np.asarray(history, dtype=float)
        clock, total = _clock(timeline), history.size
        days, slots = int(clock.day[total - 1]) + 1, day_slots(timeline)[2]
        usual = _usual(history, clock, slots)
        copies = _copied(history, timeline, usual, _lags(n, timeline.step_h))
        at = np.arange(1, total + 1)  # row i is issued when interval i + 1 begins
        ahead = np.minimum(at[:, None] + np.arange(n), timeline.n - 1)
        theirs = np.asarray(issued(like, history, timeline, n), dtype=float)[:, :n]
        whole = np.isfinite(theirs).all(axis=1) & (at + n <= total) & (clock.day[:total] > 0)
        fit = _Fit(history, timeline, clock, copies, theirs, ahead, whole & (clock.day[:total] >= skip_days))
        weights = fit.copies()
        gains, seen = fit.gains(weights)
        weekly = fit.weekly(weights, gains, seen, whole)
        made = cls(weights, weekly, seen, np.zeros((1, slots, n)), usual, np.zeros(1), 1.0, np.ones(1, bool))
        made = made.placed(history, timeline, np.zeros(int(clock.day[-1]) + 1, dtype=np.int64), 1.0)
        rest = theirs - made._rows(at, timeline, n)
        table = np.full((days, slots, n), np.nan)
        table[clock.day[:total], clock.slot[:total]] = rest
        kept = np.isfinite(table).all(axis=(1, 2))
        kept[:skip_days] = False
        if kept.sum() < 14:
            raise InputError(
                f"emulated forecaster: {int(kept.sum())} days of errors are left of {days} days of history after the "
                f"first {skip_days}; give at least {skip_days + 16} whole days"
            )
        top = np.array([history[clock.day[:total] == d].max() for d in range(days)])[kept]
        judged = fit.judged
        error = theirs[judged] - history[ahead[judged]]
        return cls(
            weights,
            weekly,
            seen,
            table[kept],
            usual,
            top,
            float(np.nanmean(history)),
            work_days(timeline)[:days][kept],
            near,
            1.0 - float(np.var(rest[judged])) / max(float(np.var(error)), 1e-12),
        )

    def over(self, truth: Kw, timeline: Timeline, seed: int, *, apart: Ints | None = None) -> Emulated:
        """The same over a future. apart: (days,) day of history that each day must not be given (itself), or -1."""
        truth = np.asarray(truth, dtype=float)
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
        return self.placed(truth, timeline, drawn, scale)

    def placed(self, truth: Kw, timeline: Timeline, drawn: Ints, scale_frac: float) -> Emulated:
        """The same over a future with given days of rests; see Placed."""
        copied = _copied(truth, timeline, self.usual_kw * scale_frac, self.copies_frac.shape[0])
        base = np.einsum("li,lin->ln", self.copies_frac, copied)
        means = _means(truth - base[0, : truth.size], _spans(timeline.step_h))
        return replace(self, future=Placed(truth, base, means, drawn, scale_frac))

    def predict(self, past: Kw, timeline: Timeline, n: int) -> Kw:
        """See Forecaster.predict."""
        k = past.size
        return np.asarray(self._rows(np.array([k]), timeline, n)[0])

    def rolling(self, values: Kw, timeline: Timeline, n: int, *, first: int = 0) -> Kw:
        """Rows issued at first .. len(values), NaN beyond the timeline."""
        return self._rows(np.arange(first, values.size + 1), timeline, n)

    def _rows(self, at: Ints, timeline: Timeline, n: int) -> Kw:
        from .emulated_kernel import Drawn, Learnt, rows

        if (f := self.future) is None:
            raise InputError("emulated forecaster: no future is given; put it over one first, with `over`")
        most = self.seen_frac.shape[-1]
        if n > most:
            raise InputError(f"emulated forecaster: {n} intervals are asked, it was trained on {most}")
        out = np.empty((at.size, n))
        learnt, drawn = Learnt(self.gains_frac, self.seen_frac), Drawn(self.rest_kw, f.drawn, f.scale_frac)
        rows(at, f.truth_kw, f.base_kw, f.means_kw, _clock(timeline), learnt, drawn, out)
        return out


class _Fit:
    """The least squares of `trained`. copied (lags, 5, n) x of each interval; theirs (total, n) rows of forecasts and
    ahead (total, n) the intervals that they are for; judged (total,) the rows that count."""

    def __init__(
        self,
        history: Kw,
        timeline: Timeline,
        clock: Clock,
        copied: Kw,
        theirs: Kw,
        ahead: Ints,
        judged: NDArray[np.bool_],
    ) -> None:
        self.history, self.copied, self.theirs, self.ahead, self.judged = (
            history,
            copied,
            theirs,
            ahead,
            judged,
        )
        self.spans, self.per_hour = _spans(timeline.step_h), 1.0 / timeline.step_h
        self.now = np.minimum(
            np.arange(1, history.size + 1), timeline.n - 1
        )  # the interval that begins at issue
        self.clock, self.day = clock, clock.day
        self.lag = self.day[ahead] - self.day[self.now][:, None]
        self.leads = np.arange(
            0, theirs.shape[1], max(1, theirs.shape[1] // 16)
        )  # c is the same for all of them

    def groups(self, rows: NDArray[np.bool_]) -> list[tuple[tuple[int, int], Ints]]:
        """Rows of each class of day and hour of issue."""
        code = np.where(rows, self.clock.free[self.now] * 24 + self.clock.hour[self.now], -1)
        found = [((c // 24, c % 24), np.flatnonzero(code == c)) for c in range(48)]
        return [(group, r) for group, r in found if r.size]

    def base(self, weights: Kw) -> tuple[Kw, Kw]:
        """Bases of each row's intervals (total, n), and mean errors at each issue (total, means)."""
        base = np.einsum("li,lin->ln", weights, self.copied)
        return base[self.lag, self.ahead], _means(self.history - base[0, : self.history.size], self.spans)

    def copies(self) -> Kw:
        """c: (lags, 5), first with gains that are the same at all hours, then in turn with those of each hour."""
        lags, many = self.copied.shape[:2]
        weights = np.full((lags, many), 1.0 / many)
        _, means = self.base(weights)
        pooled = np.concatenate((self.copied[:, :, self.now], np.repeat(means.T[None], lags, axis=0)), axis=1)
        size = pooled.shape[1]
        gram, mixed = np.zeros((lags, size, size)), np.zeros((lags, size))
        every = np.flatnonzero(self.judged)
        for j in self.leads:
            for lag in range(lags):
                r = every[self.lag[every, j] == lag]
                z = np.concatenate((self.copied[lag][:, self.ahead[r, j]], means[r].T))
                gram[lag] += z @ z.T
                mixed[lag] += z @ self.theirs[r, j]
        weights = _solved(gram, mixed, many)
        for _ in range(_TURNS):
            weights = self.turn(weights)
        return weights

    def turn(self, weights: Kw) -> Kw:
        """c anew, given the gains that belong to it: theirs = c . (x - m(x) g) + m(y) g, m(x) the means of each x."""
        lags, many = weights.shape
        base, means = self.base(weights)
        total = self.history.size
        # m is made of the bases of the day of issue, so only they feed back into it.
        of_copies = np.stack([_means(self.copied[0, i, :total], self.spans) for i in range(many)])
        gram, mixed = np.zeros((lags, many, many)), np.zeros((lags, many))
        for _, r in self.groups(self.judged):
            for j in self.leads:
                gains = _ridge(means[r], (self.theirs[r, j] - base[r, j])[:, None])[:, 0]
                for lag in range(lags):
                    q = self.lag[r, j] == lag
                    at = r[q]
                    z, y = self.copied[lag][:, self.ahead[at, j]], self.theirs[at, j] - means[at] @ gains
                    if lag == 0:
                        z = z - of_copies[:, at] @ gains
                        y = y - np.einsum("i,irm->rm", weights[0], of_copies[:, at]) @ gains
                    gram[lag] += z @ z.T
                    mixed[lag] += z @ y
        return _solved(gram, mixed, many)

    def gains(self, weights: Kw) -> tuple[Kw, Kw]:
        """g of all weeks (2, 24, means, n), and seen (2, 24, n), found beside it: the truth enters less what the means
        say of it (Frisch & Waugh 1933, doi 10.2307/1907330)."""
        n = self.theirs.shape[1]
        base, means = self.base(weights)
        gains, seen = np.zeros((2, 24, self.spans.size, n)), np.zeros((2, 24, n))
        for group, r in self.groups(self.judged):
            x, own = means[r], self.history[self.ahead[r]] - base[r]
            said = self.theirs[r] - base[r]
            by_theirs, by_own = _ridge(x, said), _ridge(x, own)
            left, news = said - x @ by_theirs, own - x @ by_own
            power = (news**2).sum(axis=0)
            share = (left * news).sum(axis=0) / np.where(power > 0, power, 1.0)
            seen[group], gains[group] = share, by_theirs - share * by_own
        return gains, seen

    def weekly(self, weights: Kw, gains: Kw, seen: Kw, rows: NDArray[np.bool_]) -> Kw:
        """g of each week (weeks, 2, 24, means, n): that of all, and what is left in a week, held to it by one day."""
        base, means = self.base(weights)
        weeks = max(1, (int(self.day[self.history.size - 1]) + 1) // 7)
        week = np.minimum(self.day[self.now] // 7, weeks - 1)
        out = np.repeat(gains[None], weeks, axis=0)
        for group, r in self.groups(rows):
            own = self.history[self.ahead[r]] - base[r]
            left = self.theirs[r] - base[r] - means[r] @ gains[group] - seen[group] * own
            held = self.per_hour / r.size * means[r].T @ means[r]
            for w in np.unique(week[r]):
                q = week[r] == w
                out[(w, *group)] += _ridge(means[r][q], left[q], held)
        return out


def _clock(timeline: Timeline) -> Clock:
    from .emulated_kernel import Clock

    day, slot, _ = day_slots(timeline)
    return Clock(day, slot, timeline.local_s % 86400 // 3600, 1 - work_days(timeline)[day].astype(np.int64))


def _ridge(x: Kw, y: Kw, held: Kw | float = 0.0) -> Kw:
    """Least squares of y (rows, n) on x (rows, m) without a constant, (m, n); held: (m, m) that is added to x' x."""
    gram = x.T @ x + held
    trace = float(np.trace(gram))
    if not trace > 0.0:
        return np.zeros((x.shape[1], y.shape[1]))
    gram = gram + _RIDGE * trace / len(gram) * np.eye(len(gram))
    return np.asarray(np.linalg.solve(gram, x.T @ y), dtype=np.float64)


def _solved(gram: Kw, mixed: Kw, many: int) -> Kw:
    """The first `many` unknowns of each lag; a lag that no row reaches takes those of the lag before."""
    out = np.full((gram.shape[0], many), 1.0 / many)
    for lag in range(gram.shape[0]):
        if np.trace(gram[lag]) > 0.0:
            out[lag] = np.linalg.lstsq(gram[lag], mixed[lag], rcond=1e-12)[0][:many]
        elif lag:
            out[lag] = out[lag - 1]
    return out


def _usual(history: Kw, clock: Clock, slots: int) -> Kw:
    """Mean by class of day (working, free) and clock slot, (2, slots)."""
    out = np.full((2, slots), float(np.nanmean(history)))
    known = np.isfinite(history)
    free, slot = clock.free[: history.size][known], clock.slot[: history.size][known]
    count, total = np.zeros((2, slots)), np.zeros((2, slots))
    np.add.at(count, (free, slot), 1.0)
    np.add.at(total, (free, slot), history[known])
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1.0), out), dtype=np.float64)


def _copied(values: Kw, timeline: Timeline, usual: Kw, lags: int) -> Kw:
    """x of each interval of the timeline, (lags, 5, n): row l reads days that were complete l + 1 days before; what a
    day has not is the mean of what the others have, and where none has it, the usual."""
    day, slot, slots = day_slots(timeline)
    days = int(day[-1]) + 1
    table = np.concatenate((day_table(values, day, slot, slots, days), np.full((1, slots), np.nan)))
    working = work_days(timeline)[:days].astype(np.int64)
    weekday = (np.arange(days) + timeline.day[0] + 3) % 7
    source = np.full((lags, _WEEKDAYS + _CLASS_DAYS, days), -1, dtype=np.int64)  # -1: the row of NaN
    for first, most, kind in ((0, _WEEKDAYS, weekday), (_WEEKDAYS, _CLASS_DAYS, working)):
        for mine in (np.flatnonzero(kind == k) for k in np.unique(kind)):
            for lag in range(lags):
                before = np.searchsorted(mine, mine - lag)  # how many of the kind were complete
                for i in range(most):
                    at = before - 1 - i
                    source[lag, first + i, mine] = np.where(at >= 0, mine[np.maximum(at, 0)], -1)
    found = table[source]
    known = np.isfinite(found)
    count = known.sum(axis=1, keepdims=True)
    mean = np.where(known, found, 0.0).sum(axis=1, keepdims=True) / np.maximum(count, 1)
    mean = np.where(count > 0, mean, usual[1 - working][None, None])
    return np.asarray(np.where(known, found, mean)[:, :, day, slot])
