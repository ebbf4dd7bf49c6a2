"""Quantiles by gradient-boosted trees (LightGBM), direct: one model a quantile for all leads.

Each model learns what comes above the similar-day forecast (similar_day.py), at all leads at once, from: the lead, the
clock, weekday, working day and season of the target, the similar-day forecast itself, the last value and the mean
values of the last 1, 6 and 24 hours at issue, the same clock time one and seven whole days before, and where it is
given the temperature that was forecast. Loss: pinball (Koenker and Bassett 1978, doi 10.2307/1913643). Quantiles that
cross are sorted, which never makes them worse (Chernozhukov, Fernandez-Val and Galichon 2010, doi 10.3982/ECTA7880).

Trees alone are too sure of themselves, for the issues of a day are alike. So the last `check_days` are kept from them,
and each quantile is moved by what it takes to be right on these (split conformal: Romano, Patterson and Candes 2019,
arXiv 1905.03222).

Models are trained anew every `retrain_days` of the timeline on at most the last `fit_days` before that day, so a
forecast depends on its own past alone; the same past gives the same trees, to the bit. Before `min_days` of past the
answers are those of similar_quantiles.py. Needs the package lightgbm (`pip install valuestack[forecast]`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..errors import InputError
from ..timeline import Ints, Kw, Timeline
from .forecaster import day_slots, error_paths, laid_over, work_days
from .similar_day import SimilarDay, _means, _spans

_LATELY_H = (1.0, 6.0, 24.0)


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError as e:
        raise InputError(
            "forecaster quantile_trees needs the package lightgbm, which is not installed; "
            "pip install 'valuestack[forecast]', or take the forecaster similar_quantiles, which needs nothing"
        ) from e
    return lightgbm


@dataclass(frozen=True, slots=True)
class QuantileTrees:
    """See the head of this file. levels_frac: the quantiles that are learnt, 0.5 among them; others are interpolated.
    every_h, lead_step: the issues and leads that are learnt from. temperature_c: (n,) of the whole timeline, as it
    was forecast, given openly; what was measured makes a perfect weather forecast of it."""

    kind: ClassVar[str] = "quantile_trees"
    levels_frac: tuple[float, ...] = (0.1, 0.5, 0.9)
    point: SimilarDay = field(default_factory=SimilarDay)
    retrain_days: int = 28
    fit_days: int = 200
    min_days: int = 35
    check_days: int = 21
    trees: int = 80
    leaves: int = 15
    every_h: float = 3.0
    lead_step: int = 4
    temperature_c: Kw | None = None
    _kept: dict[str, list[Any]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        good = all(0 < q < 1 for q in self.levels_frac) and list(self.levels_frac) == sorted(
            set(self.levels_frac)
        )
        if not good or 0.5 not in self.levels_frac:
            raise InputError(
                f"quantile trees: levels_frac = {self.levels_frac}; give ascending numbers between 0 and 1, with 0.5"
            )
        if (
            self.check_days < 1
            or self.min_days < 9 + self.check_days
            or self.fit_days < self.min_days
            or self.retrain_days < 1
        ):
            raise InputError(
                f"quantile trees: min_days = {self.min_days}, fit_days = {self.fit_days}, retrain_days = "
                f"{self.retrain_days}, check_days = {self.check_days}; give at least 9 more than check_days, "
                "no fewer than min_days, and at least 1 of both"
            )

    def predict(self, past: Kw, timeline: Timeline, n: int) -> Kw:
        """See Forecaster.predict: the median."""
        made = self._learnt(past, timeline, n)
        if made is None:
            return self.point.predict(past, timeline, n)
        return np.asarray(made[self.levels_frac.index(0.5)])

    def quantiles(self, past: Kw, timeline: Timeline, n: int, levels: Kw) -> Kw:
        """Quantiles of the n intervals that follow `past`, (levels, n); beyond those learnt, the outermost hold."""
        made = self._learnt(past, timeline, n)
        if made is None:
            from .similar_quantiles import SimilarQuantiles

            return SimilarQuantiles(self.point).quantiles(past, timeline, n, levels)
        return np.array([np.interp(levels, self.levels_frac, column) for column in made.T]).T

    def scenarios(self, past: Kw, timeline: Timeline, n: int, count: int, seed: int) -> Kw:
        """Days that may come, (count, n): error paths of the similar-day forecast, drawn anew, over the median."""
        errors = error_paths(self.point, past, timeline, n, 30, 60)
        return laid_over(self.predict(past, timeline, n), errors, count, seed)

    # --- learning --------------------------------------------------------------------------------

    def _learnt(self, past: Kw, timeline: Timeline, n: int) -> Kw | None:
        """Quantiles (levels learnt, n) by the models in force at the end of `past`; None with too little past."""
        k = past.size
        n = min(n, timeline.n - k)
        day = day_slots(timeline)[0]
        today = int(day[min(k, timeline.n - 1)])
        trained = self.min_days + (today - self.min_days) // self.retrain_days * self.retrain_days
        if today < self.min_days or n < 1:
            return None
        begin = int(np.searchsorted(day, trained))
        models = self._models(past[:begin], timeline, n)
        base = self.point.rolling(past, timeline, n, first=k)
        x = self._features(past, timeline, np.array([k]), base, n)
        made = np.array([m.predict(x, num_threads=1) + by for m, by in models]) + base[0][None, :]
        return np.asarray(np.sort(made, axis=0))

    def _models(self, past: Kw, timeline: Timeline, n: int) -> list[Any]:
        """For each level a model and by how much it is moved, learnt of `past` alone."""
        said = f"{timeline.start}|{timeline.step_s}|{timeline.tz}|{n}".encode()
        name = hashlib.sha256(past.tobytes() + said).hexdigest()
        if name not in self._kept:
            self._kept[name] = self._train(past, timeline, n)
        return self._kept[name]

    def _train(self, past: Kw, timeline: Timeline, n: int) -> list[Any]:
        lightgbm, h = _lightgbm(), timeline.step_h
        first = max(round(8 * 24 / h), past.size - round(self.fit_days * 24 / h))
        at = np.arange(first, past.size - n + 1, max(1, round(self.every_h / h)))
        base = self.point.rolling(past, timeline, n)[at]
        leads = np.arange(0, n, self.lead_step)
        x = self._features(past, timeline, at, base, n).reshape(at.size, n, -1)[:, leads]
        y = past[at[:, None] + leads[None, :]] - base[:, leads]
        x, y = x.reshape(-1, x.shape[2]), y.ravel()
        known = np.isfinite(y)
        late = np.repeat(at + n > past.size - round(self.check_days * 24 / h), leads.size)
        fit, check = (
            known & ~late,
            known & np.repeat(at >= past.size - round(self.check_days * 24 / h), leads.size),
        )
        data = lightgbm.Dataset(x[fit], label=y[fit], free_raw_data=False, params={"verbose": -1})
        options = {
            "objective": "quantile",
            "num_leaves": self.leaves,
            "learning_rate": 0.08,
            "min_data_in_leaf": 60,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "seed": 0,
            "verbose": -1,
        }
        out = []
        for q in self.levels_frac:
            model = lightgbm.train({**options, "alpha": q}, data, num_boost_round=self.trees)
            off = y[check] - model.predict(x[check], num_threads=1)
            out.append((model, float(np.quantile(off, q)) if off.size else 0.0))
        return out

    def _features(self, values: Kw, timeline: Timeline, at: Ints, base: Kw, n: int) -> Kw:
        """(issues x n, features) of forecasts issued when the intervals `at` begin; each reads values before its own.
        base (issues, n): the similar-day forecasts."""
        h, per_day = timeline.step_h, 86400 // timeline.step_s
        target = np.minimum(at[:, None] + np.arange(n)[None, :], timeline.n - 1)
        lead = np.broadcast_to(np.arange(n) * h, target.shape)
        last = np.broadcast_to(values[at - 1][:, None], target.shape)
        lately = _means(values, _spans(h, _LATELY_H))[at - 1]
        working = work_days(timeline)[timeline.day[target] - timeline.day[0]]
        columns = [
            lead,
            timeline.local_s[target] % 86400 / 3600,
            timeline.weekday[target],
            working,
            timeline.month[target],
            base,
            last,
            *(np.broadcast_to(lately[:, j : j + 1], target.shape) for j in range(lately.shape[1])),
        ]
        for days in (1, 7):
            back = np.arange(n) - days * per_day
            back = at[:, None] + np.where(back >= 0, back - per_day * (back // per_day + 1), back)[None, :]
            columns.append(values[np.maximum(back, 0)] - base)
        if self.temperature_c is not None:
            columns.append(self.temperature_c[target])
        return np.stack([np.asarray(c, dtype=float).ravel() for c in columns], axis=1)
