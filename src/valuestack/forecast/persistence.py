"""Persistence: the same clock time of the same weekday last week; the baseline any forecast must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..timeline import Kw, Timeline


@dataclass(frozen=True, slots=True)
class Persistence:
    """x(t) = x(t - lag), with the lag in whole days and the clock time kept by elapsed time.

    days: 7 repeats last week, 1 repeats yesterday. Before that much past exists, the last value is held;
    with no past at all, zero.
    """

    kind: ClassVar[str] = "persistence"
    days: int = 7

    def predict(self, past: Kw, timeline: Timeline, n: int) -> Kw:
        """See Forecaster.predict."""
        k = past.size
        if k == 0:
            return np.zeros(n)
        lag = round(self.days * 24 / timeline.step_h)
        if k < lag:
            return np.full(n, past[-1])
        whole = np.concatenate((past[k - lag :], np.empty(n)))
        for j in range(0, n, lag):  # beyond one lag, the forecast repeats itself
            m = min(lag, n - j)
            whole[lag + j : lag + j + m] = whole[j : j + m]
        return whole[lag : lag + n]

    def rolling(self, values: Kw, timeline: Timeline, n: int, *, first: int = 0) -> Kw:
        """Forecasts issued at each interval first .. len(values), (len(values) - first + 1, n): row j is what
        `predict(values[:first + j], timeline, n)` gives. Columns beyond the end of the timeline are NaN."""
        total, lag = values.size, round(self.days * 24 / timeline.step_h)
        out = np.empty((total - first + 1, n))
        early = np.arange(
            first, min(total + 1, max(lag, first))
        )  # before a whole lag is known: the last value
        out[: early.size] = np.concatenate(([0.0], values))[early, None]
        begin = first + early.size
        if begin <= total:
            m = min(lag, n)
            days = np.lib.stride_tricks.sliding_window_view(values, m)[begin - lag : total - lag + 1]
            for j in range(0, n, m):  # beyond one lag, the forecast repeats itself
                out[early.size :, j : j + m] = days[:, : n - j]
        for k in range(max(first, timeline.n - n + 1), total + 1):
            out[k - first, max(0, timeline.n - k) :] = np.nan
        return out
