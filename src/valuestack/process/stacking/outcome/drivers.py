"""What drives an outcome: least squares on all drawn numbers together, and a bar for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, sqrt
from typing import Any

import numpy as np

from ....finance.risk import standard_error
from ....timeline import Kw


@dataclass(frozen=True, slots=True)
class Fit:
    """Least squares of an outcome on drivers: by name the slope and its error; explained_frac: R squared."""

    slopes: Mapping[str, tuple[float, float]]
    explained_frac: float


def fit(outcome: Kw, drivers: Mapping[str, Kw]) -> Fit:
    """Ordinary least squares with an intercept, errors from the residual variance; drivers that do not vary are left
    out, as are those that others make up (their slope would mean nothing)."""
    n = outcome.size
    moving = {k: v for k, v in drivers.items() if float(np.ptp(v)) > 1e-12}
    names: list[str] = []
    basis = [np.ones(n)]
    for name, v in moving.items():
        x = (v - v.mean()) / v.std()
        rest = x - np.column_stack(basis) @ np.linalg.lstsq(np.column_stack(basis), x, rcond=None)[0]
        if float(rest.std()) > 1e-6 and n > len(names) + 2:
            names.append(name)
            basis.append(x)
    design = np.column_stack(basis)
    beta = np.linalg.lstsq(design, outcome, rcond=None)[0]
    left = outcome - design @ beta
    free = n - design.shape[1]
    total = float(((outcome - outcome.mean()) ** 2).sum())
    noise = float((left**2).sum()) / free if free > 0 else inf
    covariance = (
        noise * np.linalg.pinv(design.T @ design) if np.isfinite(noise) else np.full((len(beta),) * 2, inf)
    )
    scale = {k: float(moving[k].std()) for k in names}
    slopes = {
        k: (float(beta[i + 1]) / scale[k], sqrt(max(float(covariance[i + 1, i + 1]), 0.0)) / scale[k])
        for i, k in enumerate(names)
    }
    return Fit(slopes, 1 - float((left**2).sum()) / total if total > 0 else 0.0)


def tornado(net: Kw, drivers: Mapping[str, Kw]) -> list[dict[str, Any]]:
    """One bar a driver, widest first, and what the drivers leave unexplained."""
    made = fit(net, drivers)
    out: list[dict[str, Any]] = []
    for name, v in drivers.items():
        if float(np.ptp(v)) <= 1e-12:
            continue
        low, high = float(np.quantile(v, 0.1)), float(np.quantile(v, 0.9))
        if high - low <= 1e-12:
            usual = float(np.median(v))
            other = np.abs(v - usual) > 1e-12
            a, b = net[~other], net[other]
            error = sqrt(standard_error(a) ** 2 + standard_error(b) ** 2) if b.size > 1 else inf
            ends = (usual, float(v[other].mean()), float(a.mean()), float(b.mean()), error)
            how = f"conditional means, {other.mean():.0%} of futures differ"
        elif name in made.slopes:
            slope, err = made.slopes[name]
            at = float(net.mean()) - slope * float(v.mean())
            ends = (low, high, at + slope * low, at + slope * high, err * (high - low))
            how = "regression, P10 to P90"
        else:
            continue
        out.append(
            {
                "driver": name,
                "from": ends[0],
                "to": ends[1],
                "net at from_usd_per_y": ends[2],
                "net at to_usd_per_y": ends[3],
                "width_usd_per_y": abs(ends[3] - ends[2]),
                "error_usd": ends[4],
                "how": how,
            }
        )
    out.sort(key=lambda r: -float(r["width_usd_per_y"]))
    if net.size > 2:
        unexplained = float(net.std(ddof=1)) * sqrt(max(0.0, 1 - made.explained_frac))
        out.append(
            {
                "driver": "which days come, and all else",
                "width_usd_per_y": 2 * 1.2816 * unexplained,
                "how": f"not explained by the drivers above ({1 - made.explained_frac:.0%} of the variance), "
                "P10 to P90 of a normal",
            }
        )
    return out
