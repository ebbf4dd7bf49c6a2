"""The continuous joint optimum: kW and kWh of some assets as decisions of the plan's own problem.

    minimise  cost of the plan, each stream at the pro forma's weight, + sum of sizes x what a unit must save a year

Where the problem is not affine in the sizes they are searched for over plans instead. Wear is priced as it is counted
at the size found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import fsum, inf
from typing import Any

import numpy as np

from ....errors import InfeasibleError, InputError, SolverError
from ....flows import Given
from ....report.sized import Outcome
from ....stack.sizing import Axis, Joint, Sized, joint, search
from ....timeline import Kw
from ..cases import bound_run, held_at, offers_of
from ..meters import Step
from .case import Case
from .prices import size_of
from .programme import SMALL_KW, Programme, enrolled
from .settled import GAP, TIME_LIMIT_S, nothing, planned, settled, weighted_offers, weighted_terms

NOTHING = 0.5  # kW, kWh: below, an asset is not there
MOST_S = 240.0  # of one search over plans
ENROLLED = "enrolled_kw"  # axis of a programme
ENERGY_H = 6.0  # energy axis up to so many hours of the load's peak, where no price names a limit


def resized(a: Any, size: Mapping[str, float]) -> Any:
    """The asset at a size by axis name 'asset.kw', 'asset.kwh'."""
    kw = max(size[f"{a.name}.kw"], 1e-6)
    if a.kind == "battery":
        return a.with_size(kw, max(size[f"{a.name}.kwh"], 1e-6))
    if a.kind == "generator":
        return a.with_size(kw / a.units)
    return a.with_size(kw)


def is_there(a: Any, size: Mapping[str, float]) -> bool:
    kwh = size.get(f"{a.name}.kwh", inf)
    return size[f"{a.name}.kw"] >= NOTHING and kwh >= NOTHING


def axes_of(case: Case, assets: Sequence[Any]) -> list[Axis]:
    """The sizes to decide, each with its range and what the pro forma makes of its price."""
    peak = float(np.max(case.m.before_kw))
    out = []
    for a in assets:
        price = case.prices[a.name]
        kw, kwh = size_of(a)
        per_kw = case.unit_usd_per_y(price, "kw") * case.span_y
        if a.kind == "battery":
            most = price.max_kw or max(peak, kw)
            out.append(Axis(f"{a.name}.kw", most, per_kw))
            per_kwh = case.unit_usd_per_y(price, "kwh") * case.span_y
            out.append(Axis(f"{a.name}.kwh", price.max_kwh or max(ENERGY_H * most, kwh), per_kwh))
        else:
            out.append(Axis(f"{a.name}.kw", price.max_kw or kw, per_kw))
    return out


def enrolled_axes(case: Case, on_offer: Sequence[Programme]) -> list[Axis]:
    """Enrolled kW as sizes to decide: each earns by the kW what it is paid though nothing is delivered; its terms hold
    the rest."""
    t, out = case.m.timeline, []
    for p in on_offer:
        told = p.stream.calls_of(case.m.world, t)
        earns = p.stream.promised_usd_per_kw(t, told) * case.weight(p.stream.layer, p.name)
        out.append(Axis(f"{p.name}.{ENROLLED}", p.most_kw, -earns))
    return out


def _joint(
    case: Case,
    assets: Sequence[Any],
    load_kw: Kw | None,
    beside: _Beside,
    on_offer: Sequence[Programme] = (),
) -> Joint | str:
    """The problem whose decisions are the sizes of `assets`, and the kW enrolled, as well as the plan."""
    p0 = case.on([*assets, *beside.assets], load_kw)

    def model(size: Mapping[str, float]) -> tuple[Sequence[Any], Sequence[Any]]:
        kw = {x.name: max(size[f"{x.name}.{ENROLLED}"], SMALL_KW) for x in on_offer}
        other = enrolled(case, kw, aggregated=True) if on_offer else case
        p = other.on([*(resized(a, size) for a in assets), *beside.assets], load_kw)
        offers, terms = weighted_offers(case, offers_of(p.ready)), weighted_terms(case, p)
        if not beside.held_kw:
            return offers, terms
        offers, terms = held_at(offers, terms, beside.held_kw)
        # What an engine gave beside one size may have nowhere to go beside another: it may give less.
        shed = [
            replace(o, curtailable=True) if isinstance(o, Given) and o.name in beside.held_kw else o
            for o in offers
        ]
        return shed, terms

    m = p0.ready
    return joint(
        m.timeline,
        m.load_kw,
        [*axes_of(case, assets), *enrolled_axes(case, on_offer)],
        model,
        load_kvar=m.load_kvar,
        import_limit_kw=m.meter.import_limit_kw,
        export_limit_kw=m.meter.export_limit_kw,
        gap=1e-6,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Beside:
    """Assets that are there whatever the sizes, and the power (load sign, (n,)) of those that are no decision."""

    assets: tuple[Any, ...] = ()
    held_kw: Mapping[str, Kw] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Best sizes of some assets, and the problem that found them where it can be asked again."""

    assets: tuple[Any, ...]
    sized: Sized
    problem: Joint | None

    def at(self) -> list[Any]:
        """The assets at these sizes, without those that are not there."""
        return [resized(a, self.sized.size) for a in self.assets if is_there(a, self.sized.size)]


def best_of(
    case: Case,
    assets: Sequence[Any],
    load_kw: Kw | None = None,
    most: int = 40,
    beside: Sequence[Any] = (),
    held_kw: Mapping[str, Kw] | None = None,
    on_offer: Sequence[Programme] = (),
) -> Found:
    """Best sizes of assets: in one problem where it is affine in them, else by a search over plans.

    load_kw: another load than the meter's. most: plans that a search may look at. beside: assets of a given size that
    are there too. held_kw: power of some of these, load sign, (n,) by name, which is then no decision. on_offer:
    programmes whose enrolled kW are sizes too, 'stream.enrolled_kw'; InputError where terms are no lines in them.
    """
    problem = _joint(case, assets, load_kw, _Beside(tuple(beside), held_kw or {}), on_offer)
    if isinstance(problem, Joint):
        return Found(tuple(assets), problem.best(), problem)
    if on_offer:
        raise InputError(problem)
    axes = axes_of(case, assets)

    def cost(size: Mapping[str, float]) -> float:
        there = [*(resized(a, size) for a in assets if is_there(a, size)), *beside]
        p = case.on(there, load_kw)
        try:
            run = planned(case, p, TIME_LIMIT_S)
        except (InfeasibleError, InputError, SolverError):
            return inf
        return run.objective_usd + fsum(a.usd_per_unit * size[a.name] for a in axes)

    return Found(tuple(assets), search(axes, cost, most=most, reason=problem, most_s=MOST_S), None)


def priced_wear(case: Case, found: Found, progress: Step) -> Found:
    """The same with wear priced as it is counted at the size found: at most two more rounds."""
    for _ in range(2):
        assets = found.at()
        if not any(a.kind == "battery" for a in assets):
            return found
        p = case.on(assets)
        prices = {a.name: case.wear_price[a.name] for a in assets if a.name in case.wear_price}
        run = bound_run(p.ready, rounds=2, price_usd_per_kwh=prices, terms=weighted_terms(case, p), gap=GAP)
        off = 0.0
        for name, wear in run.wear.items():
            old = case.wear_price.get(name, 0.0)
            new = wear.counted_usd / wear.throughput_kwh if wear.throughput_kwh > 0 else old
            off = max(off, abs(new - old) / max(old, 1e-9) if max(old, new) > 1e-6 else 0.0)
            case.wear_price[name] = new
        if off <= 0.05:
            return found
        progress("sizes, with wear priced as it is counted", None)
        found = best_of(case, found.assets)
    return found


def of_found(case: Case, found: Found, name: str) -> Outcome:
    """The outcome at sizes that were found, zero where they are nothing."""
    assets = found.at()
    if not assets:
        return nothing(
            case, name, f"no size earns its cost: {found.sized.why}", found.assets, found.sized.method
        )
    return settled(case, assets, name, how=found.sized.why)
