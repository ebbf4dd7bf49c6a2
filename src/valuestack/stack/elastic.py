"""A plan that always exists: hard limits bent at a stated price, the strongest last, and a list of what gave way.

    price of one unit at priority p = usd_per_unit x 10^(-p / decade)

`priority` of a Limit says who yields first (0 = resilience, never if anything else can); the interconnection and
what a store must hold stand at 0, awards already made at 3. These prices are no money: they are kept apart from
what the plan costs, and every bent limit is named with its owner, amount and first time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from ..flows import Offer, Store
from ..solve.problem import Floats, Ints, filled
from ..terms import Limit, Measure, Term
from ..timeline import Timeline
from .value import Flows, breach

SITE = "interconnection"
AWARDS = 3
PHYSICAL = 0
SMALL = 1e-6


@dataclass(frozen=True, slots=True)
class Prices:
    """What bending costs in the problem [USD per unit of the limit; per unit and hour for `each`].

    usd_per_unit: at priority 0. decade: steps of priority for a tenth of it.
    """

    usd_per_unit: float = 10_000.0
    decade: float = 4.0

    def at(self, priority: int) -> float:
        """Price of one unit at a priority."""
        return float(self.usd_per_unit * 10.0 ** (-priority / self.decade))


@dataclass(frozen=True, slots=True)
class Relaxation:
    """One limit that was bent. amount [unit]: kWh h and kW h for limits an interval, else in the limit's own sum;
    most: the greatest breach at one time [kW, kWh]. first: interval, when: its time (ISO), intervals: how many.
    usd_per_unit: the price that stood against it; usd: what that came to, no money of anybody's."""

    owner: str
    limit: str
    amount: float
    unit: str
    most: float
    first: int
    when: str
    intervals: int
    usd_per_unit: float
    usd: float

    def __str__(self) -> str:
        return (
            f"{self.limit} of {self.owner} is broken by {_shown(self.amount)} {self.unit} "
            f"(at most {_shown(self.most)} at once), first at {self.when}"
        )


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


@dataclass(frozen=True, slots=True, eq=False)
class Bent:
    """A problem whose limits give way: terms, offers and interconnection as `optimise` takes them; limits: those
    that now carry a price; award_usd_per_kw_h: price of an award not held."""

    terms: tuple[Term, ...]
    offers: tuple[Offer, ...]
    import_limit_kw: float
    export_limit_kw: float | Floats
    limits: tuple[Limit, ...]
    award_usd_per_kw_h: float


def bent(
    horizon: Timeline,
    offers: Sequence[Offer],
    terms: Sequence[Term],
    import_limit_kw: float | Floats,
    export_limit_kw: float | Floats,
    prices: Prices,
) -> Bent:
    """The same problem with a price on every hard limit but physics: power, capacity and export stay hard."""
    out: list[Term] = []
    limits: list[Limit] = []
    for t in terms:
        if isinstance(t, Limit) and t.breach_usd_per_unit is None and not _least_maximum(t):
            t = replace(t, breach_usd_per_unit=prices.at(t.priority))
            limits.append(t)
        out.append(t)
    if np.isfinite(import_limit_kw).any():
        cap = filled(import_limit_kw, horizon.n)
        limits.append(Limit(SITE, "import", Measure("net"), "each", upper=cap, priority=PHYSICAL,
                            breach_usd_per_unit=prices.at(PHYSICAL), reason="interconnection"))  # fmt: skip
        out.append(limits[-1])
    loose = []
    for o in offers:
        if isinstance(o, Store):
            o, held = _emptied(o, horizon.n, prices)
            limits += held
            out += held
        loose.append(o)
    return Bent(tuple(out), tuple(loose), inf, export_limit_kw, tuple(limits), prices.at(AWARDS))


def _least_maximum(t: Limit) -> bool:
    return t.over == "max" and bool(np.isfinite(np.asarray(t.lower)).any())


def _emptied(o: Store, n: int, prices: Prices) -> tuple[Store, list[Limit]]:
    """The store down to empty, and what it had to hold as limits with a price."""
    low = np.asarray(o.energy_min_kwh, dtype=np.float64)
    if o.wear_segments:
        return o, []
    floor = np.minimum(low, 0.0)
    held = []
    if (low[1:] > floor[1:]).any():
        held.append(_stored(o, "least energy", low[1:].copy(), None, PHYSICAL, prices))
    if np.isfinite(o.energy_end_min_kwh) and o.energy_end_min_kwh > floor[-1]:
        last = np.full(n, -1, dtype=np.int64)
        last[-1] = 0
        held.append(_stored(o, "energy at the end", o.energy_end_min_kwh, last, PHYSICAL + 1, prices))
    start = float(o.energy_start_kwh)
    top = np.maximum(np.asarray(o.energy_max_kwh, dtype=np.float64), 0.0)
    return replace(
        o, energy_min_kwh=np.minimum(floor, start), energy_end_min_kwh=-inf, energy_max_kwh=top
    ), held


def _stored(
    o: Store, name: str, lower: float | Floats, window: Ints | None, priority: int, prices: Prices
) -> Limit:
    return Limit(
        o.name,
        name,
        Measure("stored", asset=o.name),
        "each",
        lower=lower,
        window=window,
        priority=priority,
        breach_usd_per_unit=prices.at(priority),
        reason=name,
    )


def relaxations(
    flows: Flows, limits: Sequence[Limit], short_kw: Mapping[str, Floats], award_usd_per_kw_h: float
) -> tuple[Relaxation, ...]:
    """What a plan bends, dearest first."""
    t, n = flows.timeline, flows.timeline.n
    found = []
    for limit in limits:
        amount = breach(flows, limit)
        if amount <= SMALL:
            continue
        first, count, most = _where(flows, limit)
        price = float(limit.breach_usd_per_unit or 0.0)
        found.append(
            Relaxation(
                limit.owner,
                limit.name,
                amount,
                _unit(limit),
                most,
                first,
                t.when(first).isoformat(),
                count,
                price,
                price * amount,
            )
        )
    for name, kw in short_kw.items():
        at = np.flatnonzero(kw > SMALL)
        if at.size:
            owner, _, claim = name.partition("/")
            amount = float(kw.sum() * t.step_h)
            found.append(
                Relaxation(
                    owner,
                    claim,
                    amount,
                    "kW h",
                    float(kw.max()),
                    int(at[0]),
                    t.when(int(at[0])).isoformat(),
                    int(at.size),
                    award_usd_per_kw_h,
                    award_usd_per_kw_h * amount,
                )
            )
    assert all(r.first < n for r in found)
    return tuple(sorted(found, key=lambda r: -r.usd))


def _unit(limit: Limit) -> str:
    kind = {"stored": "kWh", "kvar": "kvar", "kva": "kVA"}.get(limit.measure.flow, "kW")
    if limit.over == "count":
        return limit.measure.flow
    if limit.over == "sum":
        return {"start": "start", "fuel_gal": "gal"}.get(
            limit.measure.flow, f"{kind} h" if kind != "kW" else "kWh"
        )
    return f"{kind} h" if limit.over == "each" else kind


def _where(flows: Flows, limit: Limit) -> tuple[int, int, float]:
    """First interval, count and greatest breach of a limit; a window's begins where the window does."""
    n = flows.timeline.n
    window = np.zeros(n, dtype=np.int64) if limit.window is None else limit.window
    if limit.over in ("each", "ramp"):
        q = flows.measured(limit.measure)
        on = window >= 0
        if limit.over == "ramp":
            q = np.diff(q, prepend=q[0])
            on = on & np.concatenate(([False], on[:-1]))
        over = np.where(on, np.maximum(q - filled(limit.upper, n), filled(limit.lower, n) - q), -inf)
        at = np.flatnonzero(over > SMALL)
        return (int(at[0]), int(at.size), float(over.max())) if at.size else (0, 0, 0.0)
    for w in range(int(window.max(initial=-1)) + 1):
        alone = np.where(window == w, 0, -1)
        lower = limit.lower if np.ndim(limit.lower) == 0 else np.asarray(limit.lower)[w : w + 1]
        upper = limit.upper if np.ndim(limit.upper) == 0 else np.asarray(limit.upper)[w : w + 1]
        past = None if limit.so_far is None else np.asarray(limit.so_far)[w : w + 1]
        amount = breach(flows, replace(limit, window=alone, lower=lower, upper=upper, so_far=past))
        if amount > SMALL:
            at = np.flatnonzero(window == w)
            return int(at[0]), int(at.size), amount
    return 0, 0, 0.0
