"""How much cycling pays: revenue and wear of the best plan at each number of cycles a year.

Let X be the kWh that a store gives over the horizon, calls of its awards too, and R(X) the most that a plan with so
much can earn, wear apart. A plan made with the wear priced at m x p maximises R(X) - m p X, so it stands on the upper
concave envelope of R and m p is its slope there: by making the plan at several multiples m of the price p that wear
really has, the marginal revenue is read off for every X, switches or not (Everett 1963, doi:10.1287/opre.11.3.399). The
marginal wear is p, and the two cross at m = 1, which is the plan's own count:

    (R(own) - R(X)) / (own - X) >= p  for X < own,  <= p  for X > own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import InputError
from ..flows import Offer, Store
from ..solve.problem import Floats
from ..terms import Term
from ..timeline import Timeline
from .optimise import Schedule, optimise

YEAR_H = 8760.0
MULTIPLES = (0.1, 0.5, 0.8, 1.0, 1.25, 2.0, 4.0, 100.0)  # of the wear price; the last one leaves what must be
SAME = 1e-6  # of the plan's own count: counts that are one


@dataclass(frozen=True, slots=True, eq=False)
class Cycling:
    """cycles_per_y (k,) ascending; revenue_usd, wear_usd (k,) of the horizon, against the fewest cycles, as the plans
    count them (not settled); multiples (k,) of the wear price at which each was planned.

    marginal_revenue_usd, marginal_wear_usd (k - 1,): of one more cycle a year between neighbours. own_per_y: what the
    plan itself does. crossing_per_y: (low, high), the counts between which wear overtakes revenue; high is inf where
    revenue still leads at the greatest count. proved: whether every plan was.
    """

    cycles_per_y: Floats
    revenue_usd: Floats
    wear_usd: Floats
    multiples: Floats
    marginal_revenue_usd: Floats
    marginal_wear_usd: Floats
    own_per_y: float
    crossing_per_y: tuple[float, float]
    proved: bool = True
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a crossing without an upper neighbour has None there."""
        low, high = self.crossing_per_y
        return {
            "cycles_per_y": self.cycles_per_y.tolist(),
            "revenue_usd": self.revenue_usd.tolist(),
            "wear_usd": self.wear_usd.tolist(),
            "multiples": self.multiples.tolist(),
            "marginal_revenue_usd": self.marginal_revenue_usd.tolist(),
            "marginal_wear_usd": self.marginal_wear_usd.tolist(),
            "own_per_y": self.own_per_y,
            "crossing_per_y": [low, high if high < float("inf") else None],
            "proved": self.proved,
            "notes": list(self.notes),
        }


def cycling(
    horizon: Timeline,
    load_kw: Floats,
    offers: Sequence[Offer],
    terms: Sequence[Term],
    store: str,
    *,
    multiples: Sequence[float] = MULTIPLES,
    own: Schedule | None = None,
    notes: Sequence[str] = (),
    **options: Any,
) -> Cycling:
    """Marginal revenue and wear of a store's cycles. One cycle = the store's greatest energy given once.

    multiples: of the wear price, where to plan again; own: the plan at 1 x the price, where it is there already.
    options: as `optimise` takes them. Errors: InputError for no such store, or one whose wear has no single price.
    """
    chosen = next((o for o in offers if isinstance(o, Store) and o.name == store), None)
    if chosen is None:
        raise InputError(
            f"{store!r} is no store here; there are {', '.join(o.name for o in offers) or 'none'}"
        )
    price = chosen.wear_usd_per_kwh
    if chosen.wear_segments or price <= 0:
        raise InputError(
            f"{store}: wear by depth of cycle, or none, has no single price to vary; give wear_usd_per_kwh"
        )
    a_cycle = float(np.max(chosen.energy_max_kwh)) * horizon.n * horizon.step_h / YEAR_H
    found: dict[float, tuple[float, float]] = {}  # multiple -> (cycles a year, revenue)
    proved = True
    for m in sorted({1.0, *multiples}):
        made = own if m == 1.0 else None
        if made is None:
            priced = [replace(o, wear_usd_per_kwh=m * price) if o is chosen else o for o in offers]
            made = optimise(horizon, load_kw, priced, terms, **options)
        worn = made.term_usd.get(f"{store}/wear", 0.0)
        proved = proved and made.proved
        found[m] = (worn / (m * price) / a_cycle, worn - made.objective_usd)
    count = found[1.0][0]
    # Plans of different prices may be the same plan: then one point stands for them.
    kept: list[tuple[float, float, float]] = []
    for m in sorted(found, reverse=True):
        x, r = found[m]
        if kept and abs(x - kept[-1][0]) <= SAME * max(count, 1.0):
            if m == 1.0:
                kept[-1] = (x, r, m)
            continue
        kept.append((x, r, m))
    kept.sort()
    cycles, revenue, at = (np.array(v) for v in zip(*kept, strict=True))
    wear = price * a_cycle * (cycles - cycles[0])
    revenue = revenue - revenue[0]
    step = np.diff(cycles)
    more, cost = np.diff(revenue) / step, np.diff(wear) / step
    pays = np.flatnonzero(more >= cost - 1e-6 * np.abs(cost))
    last = int(pays[-1]) + 1 if pays.size else 0
    high = float(cycles[last + 1]) if last + 1 < cycles.size else float("inf")
    return Cycling(
        cycles, revenue, wear, at, more, cost, count, (float(cycles[last]), high), proved, tuple(notes)
    )
