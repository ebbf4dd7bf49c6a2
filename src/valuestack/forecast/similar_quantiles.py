"""Quantiles from the errors made on days alike: needs nothing but the series' own past.

The point forecast is that of similar days (similar_day.py). The same forecast is made again as it would have been at
this clock time on up to `days` past days of this kind (working or free), none of which sees more than its own past;
what came less what was forecast is an error path. The quantile at lead j is the forecast plus the empirical quantile
(Hyndman and Fan 1996, type 7, doi 10.1080/00031305.1996.10473566) of these errors at the leads j - w .. j + w. Paths
laid over the forecast whole are joint scenarios: an error that lasted lasts in them too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ..errors import InputError
from ..timeline import Kw, Timeline
from .forecaster import error_paths, laid_over
from .similar_day import SimilarDay


@dataclass(frozen=True, slots=True)
class SimilarQuantiles:
    """See the head of this file. days: past days of this kind; reach_days: how far back they may lie; smooth_h: half
    width w of the leads that are pooled."""

    kind: ClassVar[str] = "similar_quantiles"
    point: SimilarDay = field(default_factory=SimilarDay)
    days: int = 30
    reach_days: int = 60
    smooth_h: float = 1.0

    def __post_init__(self) -> None:
        if self.days < 2 or self.reach_days < self.days or self.smooth_h < 0:
            raise InputError(
                f"similar quantiles: days = {self.days}, reach_days = {self.reach_days}, smooth_h = {self.smooth_h:g}; "
                "give at least 2 days, a reach of no less, and a width at or above 0"
            )

    def predict(self, past: Kw, timeline: Timeline, n: int) -> Kw:
        """See Forecaster.predict."""
        return self.point.predict(past, timeline, n)

    def rolling(self, values: Kw, timeline: Timeline, n: int, *, first: int = 0) -> Kw:
        """See SimilarDay.rolling."""
        return self.point.rolling(values, timeline, n, first=first)

    def quantiles(self, past: Kw, timeline: Timeline, n: int, levels: Kw) -> Kw:
        """Quantiles of the n intervals that follow `past`, (levels, n); the forecast itself where no day is known."""
        point = self.predict(past, timeline, n)
        errors = error_paths(self.point, past, timeline, n, self.days, self.reach_days)
        out = np.repeat(point[None, :], levels.size, axis=0)
        if errors.shape[0] < 2:
            return out
        w = round(self.smooth_h / timeline.step_h)
        for j in range(n):
            near = errors[:, max(0, j - w) : j + w + 1]
            out[:, j] += np.quantile(near[np.isfinite(near)], levels)
        return out

    def scenarios(self, past: Kw, timeline: Timeline, n: int, count: int, seed: int) -> Kw:
        """Days that may come, (count, n): past error paths, drawn anew, over the forecast."""
        errors = error_paths(self.point, past, timeline, n, self.days, self.reach_days)
        return laid_over(self.predict(past, timeline, n), errors, count, seed)
