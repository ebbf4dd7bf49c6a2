"""Similar days with intraday correction: needs nothing but the series' own past.

Base, for a day that lies `lag` days after the last complete one:
    B = (sum of the last 3 days of the same weekday + sum of the last 2 of the same class) / (3 + 2)
where the class is working or free day, and a holiday is no day of its weekday. Correction, at lead k from the moment
of issue in an hour of the day:
    L(t+k) = B(t+k) + w_k . (mean errors of the last 1 h, 1/4, 1/2, 2, 4, 8, 16 and 24 h)
    w_k = share x ridge_k + (1 - share) x (decay^(k+1), 0, ..., 0)
The ridge weights regress past errors at lead k on these means, for each hour of issue by itself, since what an error
of the morning says of the afternoon is not what one of the evening says of the night: a hot day's grows until three
o'clock and then goes. So that an hour of few days does not overfit, the mean of all hours counts as `pooled_days` days
more. Days of the other class count by `other_frac`; a day's weight halves every `half_life_days`. Days are learnt
when they are over, and the weights in force are those of the present day and hour.

With little past, what there is is averaged; with none, the last value is held. Against weights that are the same at
all hours (and means of the last 1, 6 and 24 h) the error one to twelve hours ahead falls by a tenth, and what a battery
controlled by it keeps of perfect foresight rises, see docs/explanation/capture.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..timeline import Kw, Timeline
from .forecaster import day_slots, day_table, work_days

_MEANS_H = (1.0, 0.25, 0.5, 2.0, 4.0, 8.0, 16.0, 24.0)  # the first is the one that plain decay is laid on
_LEARN_DAYS = 7  # of errors before any weight is fitted


@dataclass(frozen=True, slots=True)
class SimilarDay:
    """Similar-day forecast; `holidays` are days since 1970 that count as free days.

    same_weekday, same_class: how many past days of each sort; class_weight: of a day of the class against one of the
    weekday. ridge: penalty relative to the mean square of the features; share: weight of the ridge against plain decay
    per 15 minutes. half_life_days, pooled_days, other_frac: see the head of this file.
    """

    kind: ClassVar[str] = "similar_day"
    same_weekday: int = 3
    same_class: int = 2
    class_weight: float = 1.0
    half_life_days: float = 60.0
    pooled_days: float = 10.0
    other_frac: float = 0.3
    ridge: float = 0.005
    share: float = 0.8
    decay: float = 0.96
    holidays: tuple[int, ...] = field(default=())

    def predict(self, past: Kw, timeline: Timeline, n: int) -> Kw:
        """See Forecaster.predict."""
        return np.asarray(self.rolling(past, timeline, n, first=past.size)[0])

    def rolling(self, values: Kw, timeline: Timeline, n: int, *, first: int = 0) -> Kw:
        """Forecasts issued at each interval first .. len(values), shape (len(values) - first + 1, n).

        Row j is what `predict(values[:first + j], timeline, n)` gives; values beyond are never read for it.
        Columns beyond the end of the timeline are NaN.
        """
        from .similar_day_kernel import issue_all

        total, step_h = values.size, timeline.step_h
        size = min(timeline.n, total + n)
        base = self._bases(values, timeline, size, _lags(n, step_h))
        spans = _spans(step_h)
        means = _means(values - base[0, :total], spans)
        out = np.full((total - first + 1, n), np.nan)
        if not means.size:
            means = np.zeros((1, spans.size))
        day, hour, free = self._clock(timeline)
        gains, plain = _gains(spans.size, n), self._plain(n, step_h, spans.size)
        issue_all(
            np.ascontiguousarray(values, dtype=float), base, day, hour, free, means, gains, self._tuning(step_h),
            plain, first, out,
        )  # fmt: skip
        return out

    def issuing(self, timeline: Timeline, n: int) -> Issuing:
        """The same, value by value; see Issuing."""
        return Issuing(self, timeline, n)

    def _bases(self, values: Kw, timeline: Timeline, size: int, lags: int) -> Kw:
        """Base forecasts of intervals 0 .. size-1 from days that ended 1, 2, ... days before, (lags, size)."""
        from .similar_day_kernel import bases

        day, slot, slots = day_slots(timeline)
        day, slot = day[:size], slot[:size]
        days = int(day[-1]) + 1
        out = np.empty((lags, size))
        bases(
            day_table(values, day, slot, slots, days),
            np.searchsorted(day, np.arange(days + 1)),
            *self._kinds(timeline),
            (self.same_weekday, self.same_class),
            self.class_weight,
            slot,
            out,
        )
        return out

    def _kinds(self, timeline: Timeline) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Of each day: whether people work, and the weekday, 7 more on a free one: a holiday is no day of its
        weekday."""
        working = work_days(timeline, np.array(self.holidays, dtype=np.int64))
        return working, (np.arange(working.size) + timeline.day[0] + 3) % 7 + 7 * ~working

    def _clock(self, timeline: Timeline) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Day number, hour of day, and 1 on free days, of each interval, (n,) each."""
        day = day_slots(timeline)[0]
        free = 1 - self._kinds(timeline)[0].astype(np.int64)
        return day, timeline.local_s % 86400 // 3600, free[day]

    def _plain(self, n: int, step_h: float, means: int) -> NDArray[np.float64]:
        weights = np.zeros((means, n))
        weights[0] = self.decay ** ((np.arange(n) + 1) * step_h / 0.25)
        return weights

    def _tuning(self, step_h: float) -> Any:
        from .similar_day_kernel import Tuning

        return Tuning(
            keep=0.5 ** (1 / self.half_life_days),
            pooled=self.pooled_days / step_h,  # a day has so many rows of each hour
            other=self.other_frac,
            ridge=self.ridge,
            share=self.share,
            begin=round(24 / step_h),  # the first day has no base
            least=round(_LEARN_DAYS * 24 / step_h),
        )


class Issuing:
    """Forecasts issued one after the other, each from what is known by then; equal to `predict`, to the bit.

    Holds the values handed to it, and what was learnt of them, so that each issue costs microseconds.
    """

    def __init__(self, method: SimilarDay, timeline: Timeline, n: int) -> None:
        self.method, self.timeline, self.n = method, timeline, n
        self._day, self._slot, slots = day_slots(timeline)
        _, self._hour, self._free = method._clock(timeline)
        self._kind = method._kinds(timeline)
        days = int(self._day[-1]) + 1
        self._edges = np.searchsorted(self._day, np.arange(days + 1))
        self._table = np.full((days, slots), np.nan)
        self._base = np.full((_lags(n, timeline.step_h), timeline.n), np.nan)
        self._values, self._errors = np.zeros(timeline.n), np.zeros(timeline.n)
        self._total, self._count = np.zeros(timeline.n + 1), np.zeros(timeline.n + 1, dtype=np.int64)
        self._spans = _spans(timeline.step_h)
        self._means = np.zeros((timeline.n, self._spans.size))
        self._k, self._known, self._weighed = 0, -1, (-1, -1)
        self._gains, self._tuning = _gains(self._spans.size, n), method._tuning(timeline.step_h)
        self._plain = method._plain(n, timeline.step_h, self._spans.size)
        self._weights = self._plain.copy()

    def issue(self, past: Kw) -> Kw:
        """Values that follow `past`, (n,), NaN beyond the timeline; `past` goes on from the one before."""
        from .similar_day_kernel import issue, weigh

        for k in range(self._k, past.size):
            self._open(k)
            self._take(k, float(past[k]))
        k, out = past.size, np.full(self.n, np.nan)
        m = min(self.n, self.timeline.n - k)
        if m <= 0:
            return out
        self._open(k)
        now = int(self._day[k]), int(self._hour[k])
        if now != self._weighed:
            weigh(self._gains, now[1], int(self._free[k]), self._tuning, self._plain, self._weights)
            self._weighed = now
        last = self._values[k - 1] if k else 0.0
        issue(self._base, self._day, self._means[max(0, k - 1)], self._weights, k, last, out[:m])
        return out

    def _open(self, k: int) -> None:
        """When a day begins: what the days before teach, the bases of this day and of those that a horizon reaches."""
        from .similar_day_kernel import base_of

        d = int(self._day[k])
        if d <= self._known:
            return
        self._known = d
        if k > 0:
            from .similar_day_kernel import learn

            learn(
                self._gains, self._values, self._base[0], self._means, self._hour, self._free, k, self._tuning
            )
        for lag in range(1, self._base.shape[0] + 1):
            if d + lag > self._edges.size - 1:
                break
            at = slice(int(self._edges[d + lag - 1]), int(self._edges[d + lag]))
            base_of(
                self._table,
                d + lag - 1,
                lag,
                *self._kind,
                (self.method.same_weekday, self.method.same_class),
                self.method.class_weight,
                self._slot[at],
                self._base[lag - 1, at],
            )

    def _take(self, k: int, value: float) -> None:
        self._values[k] = value
        self._table[self._day[k], self._slot[k]] = value
        error = value - self._base[0, k]
        known = bool(np.isfinite(error))
        self._total[k + 1] = self._total[k] + (error if known else 0.0)
        self._count[k + 1] = self._count[k] + known
        for j, span in enumerate(self._spans):
            begin = max(0, k + 1 - int(span))
            among = max(1, int(self._count[k + 1] - self._count[begin]))
            self._means[k, j] = (self._total[k + 1] - self._total[begin]) / among
        self._k = k + 1


def _lags(n: int, step_h: float) -> int:
    """Days that a horizon touches at most; the shortest has 23 hours."""
    return int(np.ceil(n * step_h / 23)) + 1


def _spans(step_h: float, hours: tuple[float, ...] = _MEANS_H) -> NDArray[np.int64]:
    """Intervals that each mean of errors covers; what a long interval makes alike counts once."""
    found = dict.fromkeys(max(1, round(h / step_h)) for h in hours)
    return np.array(list(found), dtype=np.int64)


def _means(errors: Kw, spans: NDArray[np.int64]) -> Kw:
    """Mean of the known errors of the last spans[j] intervals up to and with each, (n, spans); 0 where none."""
    known = np.isfinite(errors)
    total = np.concatenate(([0.0], np.cumsum(np.where(known, errors, 0.0))))
    count = np.concatenate(([0], np.cumsum(known)))
    out = np.empty((errors.size, spans.size))
    end = np.arange(1, errors.size + 1)
    for j, span in enumerate(spans):
        begin = np.maximum(0, end - span)
        out[:, j] = (total[end] - total[begin]) / np.maximum(1, count[end] - count[begin])
    return out


def _gains(means: int, n: int) -> Any:
    from .similar_day_kernel import Gains

    return Gains(
        gram=np.zeros((2, 24, means, means)),
        mixed=np.zeros((2, 24, means, n)),
        all_gram=np.zeros((means, means)),
        all_mixed=np.zeros((means, n)),
        all_rows=np.zeros(1),
        taken=np.zeros(2, dtype=np.int64),
    )
