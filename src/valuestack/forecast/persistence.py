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
