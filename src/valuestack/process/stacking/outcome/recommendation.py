"""Which method to take, by how much, and what would flip it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ....finance.risk import cvar_usd, standard_error
from ....ledger import LAYERS
from ....report.simulated import Verdict
from ....report.tables import show_usd
from ....timeline import Kw
from ..simulate import METHODS
from .drivers import fit
from .sample import TAIL_FRAC, Key, Sample

IDLE = "do_nothing"


def name_of(kind: str) -> str:
    """'B: dynamic' for a method with a letter, else the kind."""
    letter = next((a for a, k in METHODS.items() if k == kind), None)
    plain = kind.replace("_", " ")
    return plain if letter is None else f"{letter}: {plain}"


def recommendation(by: Mapping[str, Sample], money: Mapping[str, Mapping[Key, Kw]]) -> Verdict | None:
    """The method with the highest mean net, by how much, and what would flip it; None with fewer than two policies or
    futures: one future has no error.

    Candidates are the policies that are methods A, B and C where two of them ran, else all but doing nothing; the best
    is held against the next, and against doing nothing where only one is left.
    """
    methods = [k for k in by if k in METHODS.values()]
    pool = methods if len(methods) > 1 else [k for k in by if k != IDLE]
    if len(pool) < 2 and IDLE in by:
        pool.append(IDLE)
    if len(pool) < 2 or by[pool[0]]["future"].size < 2:
        return None
    ranked = sorted(pool, key=lambda k: -float(by[k].net_usd_per_y.mean()))
    a, b = ranked[0], ranked[1]
    gap = by[a].net_usd_per_y - by[b].net_usd_per_y
    margin, error = float(gap.mean()), standard_error(gap)
    sure = margin > 2 * error
    idle = IDLE in by and float((by[a].net_usd_per_y - by[IDLE].net_usd_per_y).mean()) <= 0 and a != IDLE
    words = (
        f"{name_of(a)} nets {show_usd(margin)} ± {error:,.0f} a year more than {name_of(b)} (mean of {gap.size:,} "
        "paired futures, "
        f"± one standard error) and is ahead in {(gap > 0).sum():,} of them"
    )
    words += "." if sure else "; that is within its error, so either may be taken."
    if idle:
        words += " Doing nothing nets no less: none of them earns what it wears."
    return Verdict(
        a, b, margin, error, float((gap > 0).mean()), sure, words, tuple(_flips(by, money, a, b, gap))
    )


def _flips(
    by: Mapping[str, Sample], money: Mapping[str, Mapping[Key, Kw]], a: str, b: str, gap: Kw
) -> list[str]:
    """What would make the second the first: a layer that brought less, wear that cost more, a driver that came
    differently, a careful owner. By the rows as they are: no policy is run anew."""
    out, margin = [], float(gap.mean())
    parts: dict[str, float] = {}
    for layer in sorted({k[0] for k in (*money[a], *money[b])}):
        sums = [float(np.sum([v.mean() for k, v in money[p].items() if k[0] == layer])) for p in (a, b)]
        parts[f"what layer {layer} ({LAYERS[layer]}) brings"] = sums[0] - sums[1]
    wear = [float((by[p]["wear_usd"] / by[p]["span_y"]).mean()) for p in (a, b)]
    parts["the price of wear"] = wear[0] - wear[1]
    for what, usd in sorted(parts.items(), key=lambda kv: -abs(kv[1])):
        if abs(usd) <= 0.01 * abs(margin) or margin <= 0:
            continue
        factor = 1 - margin / usd
        if 0 <= factor <= 5:
            out.append(
                f"{what} were {factor:.2f} times as much as now (it makes {show_usd(usd)} of the margin), with "
                "dispatch as it is"
            )
    made = fit(gap, by[a].drivers)
    for name, (slope, err) in made.slopes.items():
        v = by[a].drivers[name]
        if abs(slope) <= 2 * err:
            continue
        at = float(v.mean()) - margin / slope
        low, high = float(np.quantile(v, 0.01)), float(np.quantile(v, 0.99))
        if low <= at <= high:
            side = "above" if slope < 0 else "below"
            out.append(f"{name} came {side} {at:.3g} (its mean is {float(v.mean()):.3g}; by regression)")
    tails = [cvar_usd(by[p].net_usd_per_y, TAIL_FRAC) for p in (a, b)]
    if tails[1] > tails[0]:
        out.append(
            f"the worst 5 % of futures were to decide: there {name_of(b)} nets {show_usd(tails[1])}, {name_of(a)} "
            f"{show_usd(tails[0])}"
        )
    return out
