"""Foresight, and foresight spoilt on purpose: for bounds and for what an error costs. No plant has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..errors import InputError
from ..timeline import Kw, Timeline
from .forecaster import Forecaster, issued


@dataclass(frozen=True, slots=True, eq=False)
class Perfect:
    """The truth, or truth + error_scale x (another's forecast - truth).

    truth: (n,) values of the whole timeline, given openly, for this is the one forecaster that peeks. like: whose
    errors; error_scale: 0 = none of them, 1 = as they are, 2 = twice.
    """

    truth: Kw
    like: Forecaster | None = None
    error_scale: float = 0.0
    kind: ClassVar[str] = "perfect"

    def __post_init__(self) -> None:
        if self.error_scale and self.like is None:
            raise InputError(
                f"error_scale = {self.error_scale:g} needs a forecaster whose errors are meant: like"
            )

    def predict(self, past: Kw, timeline: Timeline, n: int) -> Kw:
        """See Forecaster.predict."""
        truth = np.full(n, self.truth[-1])
        ahead = self.truth[past.size : past.size + n]
        truth[: ahead.size] = ahead
        if self.like is None or not self.error_scale:
            return truth
        return np.asarray(truth + self.error_scale * (self.like.predict(past, timeline, n) - truth))

    def rolling(self, values: Kw, timeline: Timeline, n: int, *, first: int = 0) -> Kw:
        """Rows issued at first .. len(values), NaN beyond the timeline."""
        at = np.arange(first, values.size + 1)[:, None] + np.arange(n)[None, :]
        inside = at < timeline.n
        rows = np.where(inside, self.truth[np.minimum(at, self.truth.size - 1)], np.nan)
        if self.like is None or not self.error_scale:
            return rows
        theirs = np.full(rows.shape, np.nan)
        begin = max(first, 1)
        theirs[begin - first :] = issued(self.like, values, timeline, n)[begin - 1 :]
        if first == 0:
            theirs[0] = self.like.predict(values[:0], timeline, n)
        return np.asarray(rows + self.error_scale * (theirs - rows))
