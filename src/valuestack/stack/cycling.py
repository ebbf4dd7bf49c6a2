"""How much cycling pays: revenue and wear of the best plan at each number of cycles a year.

The year is solved again with the store's discharge capped,

    R(X) = cost without the store - (cost - wear) of the best plan with sum of discharge <= X,  X = cycles x capacity

R is concave in X (a parametric linear programme), wear is its price times X, so the marginals cross once: at the
count that the unconstrained plan chooses by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import InputError
from ..flows import Offer, Store
from ..solve.problem import Floats
from ..terms import Limit, Measure, Term
from ..timeline import Timeline
from .optimise import Schedule, optimise

YEAR_H = 8760.0


@dataclass(frozen=True, slots=True, eq=False)
class Cycling:
    """cycles_per_y (k,) ascending from 0; revenue_usd, wear_usd (k,) of the horizon, both against no cycling.

    marginal_revenue_usd, marginal_wear_usd (k - 1,): of one more cycle a year between neighbours. own_per_y: what
    the plan without a cap does. crossing_per_y: (low, high), the neighbours between which wear overtakes revenue.
    """

    cycles_per_y: Floats
    revenue_usd: Floats
    wear_usd: Floats
    marginal_revenue_usd: Floats
    marginal_wear_usd: Floats
    own_per_y: float
    crossing_per_y: tuple[float, float]


def cycling(
    horizon: Timeline,
    load_kw: Floats,
    offers: Sequence[Offer],
    terms: Sequence[Term],
    store: str,
    *,
    shares: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.5),
    **options: Any,
) -> Cycling:
    """Marginal revenue and wear of a store's cycles. shares: of the plan's own count, where to solve again.
    options: as `optimise` takes them. One cycle = the store's greatest energy discharged once."""
    chosen = next((o for o in offers if isinstance(o, Store) and o.name == store), None)
    if chosen is None:
        raise InputError(
            f"{store!r} is no store here; there are {', '.join(o.name for o in offers) or 'none'}"
        )
    capacity = float(np.max(chosen.energy_max_kwh))
    years = horizon.n * horizon.step_h / YEAR_H
    free = optimise(horizon, load_kw, offers, terms, **options)
    own = _discharged(free, store, horizon) / capacity / years
    counts = np.array(sorted({0.0, *(s * own for s in shares)}))
    revenue, wear = np.zeros(counts.size), np.zeros(counts.size)
    for k, count in enumerate(counts.tolist()):
        cap = Limit(
            store,
            "cycles",
            Measure("discharge", asset=store),
            "sum",
            upper=count * capacity * years,
            window=np.zeros(horizon.n, dtype=np.int64),
            reason="cycles a year",
        )
        tight = [replace(o, discharge_max_kw=np.zeros(horizon.n)) if o is chosen else o for o in offers]
        made = optimise(horizon, load_kw, offers if count else tight, [*terms, cap], **options)
        wear[k] = made.term_usd.get(f"{store}/wear", 0.0)
        revenue[k] = wear[k] - made.objective_usd
    revenue, wear = revenue - revenue[0], wear - wear[0]
    step = np.diff(counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        more, cost = np.diff(revenue) / step, np.diff(wear) / step
    pays = np.flatnonzero(more > cost + 1e-9 * np.abs(cost))
    last = int(pays[-1]) + 1 if pays.size else 0
    high = float(counts[last + 1]) if last + 1 < counts.size else float("inf")
    return Cycling(counts, revenue, wear, more, cost, own, (float(counts[last]), high))


def _discharged(schedule: Schedule, store: str, horizon: Timeline) -> float:
    assert schedule.flows is not None
    return float(schedule.flows.assets[store]["discharge"].sum()) * horizon.step_h
