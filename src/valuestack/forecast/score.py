"""How good a forecast was: error, bias, peaks, quantiles. Money is judged elsewhere, by regret."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..timeline import Kw


@dataclass(frozen=True, slots=True)
class Score:
    """Errors of forecasts against what came, each relative to `mean_kw` unless it says otherwise.

    nmae_frac, nrmse_frac: mean absolute and root mean square error over the mean value; bias_frac: mean
    of forecast - actual over the mean value; peak_bias_frac: the same, for the highest value of each row,
    over the mean of the highest values.
    """

    rows: int
    mean_kw: float
    nmae_frac: float
    nrmse_frac: float
    bias_frac: float
    peak_bias_frac: float


def score(forecast: Kw, actual: Kw) -> Score:
    """Score of forecasts (rows, n) against actuals of the same shape; NaN pairs are left out."""
    both = np.isfinite(forecast) & np.isfinite(actual)
    error = np.where(both, forecast - actual, 0.0)
    count = max(1, int(both.sum()))
    mean = float(np.where(both, actual, 0.0).sum() / count)
    scale = abs(mean) or 1.0
    rows = both.any(axis=1)
    top_f = np.where(both, forecast, -np.inf)[rows].max(axis=1)
    top_a = np.where(both, actual, -np.inf)[rows].max(axis=1)
    return Score(
        rows=int(rows.sum()),
        mean_kw=mean,
        nmae_frac=float(np.abs(error).sum() / count / scale),
        nrmse_frac=float(np.sqrt((error**2).sum() / count) / scale),
        bias_frac=float(error.sum() / count / scale),
        peak_bias_frac=float((top_f - top_a).mean() / (abs(float(top_a.mean())) or 1.0))
        if rows.any()
        else 0.0,
    )


def pinball(quantiles: Kw, levels: Kw, actual: Kw) -> float:
    """Mean pinball loss [unit of the series].

    L = mean over q, t of max(q (y - f), (q - 1)(y - f)). quantiles: (levels, n); levels: (levels,) in
    0..1; actual: (n,). Koenker and Bassett 1978, doi 10.2307/1913643.
    """
    gap = actual[None, :] - quantiles
    return float(np.maximum(levels[:, None] * gap, (levels[:, None] - 1) * gap).mean())


@dataclass(frozen=True, slots=True)
class BandScore:
    """How good quantiles were. pinball_kw: mean loss in the series' unit; coverage_frac: share of values between the
    lowest and the highest level; width_frac: mean width of that band over the mean value; peak_coverage_frac: share
    of rows whose highest value lies at or below the highest of the top quantile."""

    rows: int
    pinball_kw: float
    coverage_frac: float
    width_frac: float
    peak_coverage_frac: float


def score_bands(quantiles: Kw, levels: Kw, actual: Kw) -> BandScore:
    """Score of quantiles (rows, levels, n), ascending in level, against actuals (rows, n) without NaN."""
    low, high = quantiles[:, 0], quantiles[:, -1]
    return BandScore(
        rows=actual.shape[0],
        pinball_kw=float(np.mean([pinball(q, levels, a) for q, a in zip(quantiles, actual)])),
        coverage_frac=coverage(low, high, actual),
        width_frac=float((high - low).mean() / (abs(float(actual.mean())) or 1.0)),
        peak_coverage_frac=float((actual.max(axis=1) <= high.max(axis=1)).mean()),
    )


def coverage(low: Kw, high: Kw, actual: Kw) -> float:
    """Share of actual values inside low .. high, 0..1; all of the same shape."""
    return float(((actual >= low) & (actual <= high)).mean())
