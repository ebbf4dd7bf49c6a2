"""Risk: what the bad years look like, how sure a mean is, and how much hangs on one stream.

CVaR_a of a loss: mean of the worst share (1 - a). In sorted form (Rockafellar and Uryasev, J. Risk 2 (2000) 21-41),
with p_1..p_S at the losses l_1 >= l_2 >= ...: fill up (1 - a) of probability from the worst, the last one in part.
It equals min over eta of  eta + E[(loss - eta)+] / (1 - a).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..timeline import Kw
from .finance import Value


def _sample(values: Sequence[float] | Kw, weights: Kw | None) -> tuple[Kw, Kw]:
    x = np.asarray(values, dtype=np.float64).ravel()
    if x.size == 0 or not np.all(np.isfinite(x)):
        raise InputError("risk: needs at least one outcome, all of them finite numbers")
    w = np.full(x.size, 1 / x.size) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != x.shape or np.any(w < 0) or w.sum() <= 0:
        raise InputError(
            f"risk: weights of shape {w.shape} for {x.size} outcomes; they are >= 0 and not all zero"
        )
    return x, w / w.sum()


def exceeded(values: Sequence[float] | Kw, share_frac: float, weights: Kw | None = None) -> float:
    """The value exceeded (or met) with probability `share_frac`: 0.9 gives P90, the careful one, of a gain.

    Without weights linear between ranks as numpy does; with weights the largest outcome still met so often.
    """
    x, w = _sample(values, weights)
    if not 0 <= share_frac <= 1:
        raise InputError(f"share_frac: {share_frac!r} should lie between 0 and 1")
    if weights is None:
        return float(np.quantile(x, 1 - share_frac))
    order = np.argsort(-x)
    met = np.cumsum(w[order])
    return float(x[order][min(int(np.searchsorted(met, share_frac - 1e-12)), x.size - 1)])


def cvar_usd(gains_usd: Sequence[float] | Kw, tail_frac: float, weights: Kw | None = None) -> float:
    """Mean of the worst `tail_frac` of gains, exactly, the outcome at the edge in part [USD].

    >>> cvar_usd([10.0, 20.0, 30.0, 40.0], 0.5)
    15.0
    """
    x, w = _sample(gains_usd, weights)
    if not 0 < tail_frac <= 1:
        raise InputError(f"tail_frac: {tail_frac!r} should lie above 0 and up to 1")
    order = np.argsort(x)
    before = np.concatenate(([0.0], np.cumsum(w[order])[:-1]))
    taken = np.clip(tail_frac - before, 0.0, w[order])
    return float((x[order] * taken).sum() / taken.sum())


def standard_error(values: Sequence[float] | Kw) -> float:
    """Monte Carlo standard error of the mean: s / sqrt(S), s with S - 1; inf for a single run."""
    x, _ = _sample(values, None)
    return float(x.std(ddof=1) / np.sqrt(x.size)) if x.size > 1 else float("inf")


def herfindahl(values: Sequence[Value]) -> float:
    """Concentration of what the streams bring: sum of squared shares of the positive ones, 1 = a single stream."""
    by: dict[str, float] = {}
    for v in values:
        by[v.stream] = by.get(v.stream, 0.0) + v.usd_per_y
    usd = np.array([u for u in by.values() if u > 0])
    return float(((usd / usd.sum()) ** 2).sum()) if usd.size else 0.0


def contractual_share(values: Sequence[Value]) -> float:
    """Share of the positive value a year that is contractual."""
    usd = [(v.usd_per_y, v.certainty == "contractual") for v in values if v.usd_per_y > 0]
    total = sum(u for u, _ in usd)
    return sum(u for u, c in usd if c) / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Spread:
    """Outcomes of a simulation. p90_usd: exceeded nine times in ten. tail_usd: mean of the worst 5 %. error_usd:
    standard error of the mean; loss_frac: share of outcomes below zero."""

    runs: int
    mean_usd: float
    p10_usd: float
    p50_usd: float
    p90_usd: float
    tail_usd: float
    error_usd: float
    loss_frac: float


def spread(outcomes_usd: Sequence[float] | Kw, tail_frac: float = 0.05) -> Spread:
    """P10, P50, P90, CVaR and standard error of simulated outcomes (gains)."""
    x, _ = _sample(outcomes_usd, None)
    return Spread(
        x.size,
        float(x.mean()),
        exceeded(x, 0.1),
        exceeded(x, 0.5),
        exceeded(x, 0.9),
        cvar_usd(x, tail_frac),
        standard_error(x),
        float((x < 0).mean()),
    )


@dataclass(frozen=True, slots=True)
class Base:
    """Whether the base layers carry the investment. share_contractual_frac, concentration: of all layers."""

    npv_usd: float
    passes: bool
    share_contractual_frac: float
    concentration_frac: float
    largest: str
    verdict: str


def base_layers(base_npv_usd: float, values: Sequence[Value]) -> Base:
    """Pass or fail of layers 1 and 2 alone, beside how much hangs on one volatile stream."""
    top = max(values, key=lambda v: v.usd_per_y, default=None)
    largest = top.stream if top is not None else "nothing"
    passes = base_npv_usd >= 0
    share, lumps = contractual_share(values), herfindahl(values)
    verdict = (
        f"layers 1 and 2 alone {'pay for themselves' if passes else 'do not pay for themselves'} "
        f"(NPV {'-' if base_npv_usd < 0 else ''}${abs(base_npv_usd):,.0f}); {share:.0%} of the value is contractual"
    )
    if lumps > 0.5 and top is not None:
        verdict += f"; most of it is {largest} ({top.certainty}), a single stream"
    return Base(base_npv_usd, passes, share, lumps, largest, verdict)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a tornado: outcome with the input low and high, all else as it is."""

    name: str
    low: Any
    high: Any
    low_usd: float
    high_usd: float

    @property
    def width_usd(self) -> float:
        """How far the outcome moves."""
        return abs(self.high_usd - self.low_usd)


def tornado(
    outcome_usd: Callable[[Mapping[str, Any]], float],
    inputs: Mapping[str, Any],
    ranges: Mapping[str, tuple[Any, Any]],
) -> tuple[Bar, ...]:
    """One input at a time to its low and its high, widest bar first. InputError for a range of an unknown input."""
    stray = sorted(set(ranges) - set(inputs))
    if stray:
        raise InputError(
            f"tornado: no input {', '.join(map(repr, stray))}; inputs: {', '.join(sorted(inputs))}"
        )
    bars = [
        Bar(
            name,
            low,
            high,
            float(outcome_usd({**inputs, name: low})),
            float(outcome_usd({**inputs, name: high})),
        )
        for name, (low, high) in ranges.items()
    ]
    return tuple(sorted(bars, key=lambda b: -b.width_usd))
