"""One meter under one way of running it: perfect foresight over the whole span, or a policy in the loop.

A `Run` is not settled by the tariff yet; the study and the layers do that. Wear is priced per kWh while planning
and counted by rainflow afterwards, and the price is corrected until the two agree.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import fsum, inf
from typing import TYPE_CHECKING, Any

import numpy as np

from ...control import changes
from ...dispatch import Record
from ...errors import SolverError
from ...flows import Given, Offer, Store, Unit
from ...ledger import Entry, Ledger
from ...report.result import WarrantyUse, Wear
from ...site.files import policy_class
from ...site.site import Setpoints, Site
from ...terms import Claim, Limit
from .budget import LEAST_S
from .meters import Ready, Step, quiet

if TYPE_CHECKING:
    from ...stack.elastic import Prices

PRICED_WITHIN_FRAC = 0.05
LONGER = 6.0
SWITCHED_GAP = 1e-4  # relative, where engines start and stop
TIME_LIMIT_S = 60.0  # of one plan, where integers rule; the best so far is taken, with its gap said


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One meter under one way of running it, before it is settled."""

    record: Record
    wear: Mapping[str, Wear]
    operation: Ledger
    method: str
    objective_usd: float = 0.0
    lower_bound_usd: float = 0.0
    why: tuple[str, ...] = ()
    services: Ledger = field(default_factory=Ledger)
    plan: Any = None


def offers_of(m: Ready) -> list[Offer]:
    """What the assets of a meter offer over the whole span."""
    everything = (*m.existing, *m.new)
    view = m.view(everything)
    return [a.belief(view) for a in everything]


# Perfect foresight


def bound_run(
    m: Ready,
    *,
    rounds: int,
    price_usd_per_kwh: Mapping[str, float] | None = None,
    terms: Sequence[Any] | None = None,
    offers: Sequence[Offer] | None = None,
    gap: float | None = None,
    time_limit_s: float = TIME_LIMIT_S,
    most_s: float = inf,
    relax: Prices | None = None,
    engines_off: bool = False,
    progress: Step = quiet,
) -> Run:
    """Perfect foresight over the whole span of one meter.

    rounds: at most so many corrections of the wear price, from what the plan saw to what rainflow counted,
    until they agree within 5 %. price_usd_per_kwh: prices by store, instead of the assets' own first guess. terms:
    what is asked, the tariff's by default. offers: what the assets offer, as they say by default (a sizing weighs their
    costs by its pro forma; what they did is settled by the assets all the same). gap, time_limit_s (of all rounds
    together): where integers rule; a plan that is not proven within them says so. most_s: what may be spent where there
    is no plan at all in that time. relax: prices at which limits give way where no plan meets them all; none =
    InfeasibleError. engines_off: engines stay off while the grid is there, so that no switch is left of them; the bound
    is then that of such plans alone.
    """
    from ...stack.optimise import optimise

    offers = offers_of(m) if offers is None else list(offers)
    terms = terms_of(m) if terms is None else terms
    if engines_off:
        idle = {o.name: np.zeros(m.timeline.n) for o in offers if isinstance(o, Unit)}
        offers, terms = held_at(offers, terms, idle)
    if gap is None:
        gap = SWITCHED_GAP if any(isinstance(o, Unit) for o in offers) else 1e-6
    prices = {o.name: o.wear_usd_per_kwh for o in offers if isinstance(o, Store) and not o.wear_segments}
    prices.update({k: v for k, v in (price_usd_per_kwh or {}).items() if k in prices})
    best: tuple[float, Run] | None = None
    began = time.monotonic()
    for n in range(rounds + 1):
        left_s = time_limit_s - (time.monotonic() - began)
        if best is not None and left_s < LEAST_S:
            break  # the rounds that there was time for stand
        priced = [
            replace(o, wear_usd_per_kwh=prices[o.name]) if isinstance(o, Store) and o.name in prices else o
            for o in offers
        ]
        ask = partial(
            optimise,
            m.timeline,
            m.load_kw,
            priced,
            terms,
            load_kvar=m.load_kvar,
            import_limit_kw=m.meter.import_limit_kw,
            export_limit_kw=m.meter.export_limit_kw,
            gap=gap,
            relax=relax,
            progress=_solver_says(progress, m.name),
        )
        try:
            plan = ask(time_limit_s=left_s)
        except SolverError:
            if best is not None:
                break
            longer_s = min(LONGER * time_limit_s, most_s)
            if longer_s <= time_limit_s:
                raise
            # No plan at all within the time: a few times as long finds one more often than not, and its gap is said.
            progress(f"no plan of {m.name} within {time_limit_s:.0f} s; trying for longer", None)
            plan = ask(time_limit_s=longer_s)
        record = _record_of(m, plan)
        wear, operation = wear_of(m, record, prices, n)
        run = Run(
            record,
            wear,
            operation,
            plan.method,
            plan.objective_usd,
            plan.lower_bound_usd,
            (*plan.why, *(f"the bound's problem approximates: {a}" for a in plan.approximations)),
            plan=plan,
        )
        off = max(
            (abs(w.difference_frac) for w in wear.values() if w.difference_frac is not None), default=0.0
        )
        if best is None or off < best[0]:
            best = (off, run)
        if off <= PRICED_WITHIN_FRAC or n == rounds or not plan.proved:
            break  # a plan that ran out of time is not asked for again and again
        prices = _next_prices(prices, wear, n)
    assert best is not None
    return best[1]


def held_at(
    offers: Sequence[Offer], terms: Sequence[Any], power_kw: Mapping[str, Any]
) -> tuple[list[Offer], list[Any]]:
    """Offers and terms once some assets are no decision any more: their own limits are theirs, and awards that they
    alone could hold fall away. power_kw: load sign, (n,) by name."""
    held: list[Offer] = [Given(o.name, power_kw[o.name]) if o.name in power_kw else o for o in offers]
    return held, [t for t in (_beside(t, power_kw) for t in terms) if t is not None]


def _beside(t: Any, fixed: Mapping[str, Any]) -> Any:
    if isinstance(t, Limit) and t.measure.asset in fixed:
        return None
    if isinstance(t, Claim) and set(t.eligible) & set(fixed):
        left = tuple(n for n in t.eligible if n not in fixed)
        return replace(t, eligible=left) if left else None
    return t


def _next_prices(prices: Mapping[str, float], wear: Mapping[str, Wear], n: int) -> dict[str, float]:
    """Towards what was counted per kWh; half the way from the second round on, because a dearer price means
    less and deeper cycling and the map may overshoot."""
    out = dict(prices)
    for name, w in wear.items():
        if name in out and w.throughput_kwh > 0:
            counted = w.counted_usd / w.throughput_kwh
            out[name] = counted if n == 0 else 0.5 * (out[name] + counted)
    return out


def _record_of(m: Ready, plan: Any) -> Record:
    flows = {} if plan.flows is None else plan.flows.assets
    power = {
        name: flows[name]["net"] if name in flows and "net" in flows[name] else kw
        for name, kw in plan.setpoints_kw.items()
    }
    return Record(
        timeline=m.timeline,
        net_kw=np.asarray(plan.net_kw),
        net_kvar=plan.net_kvar,
        asset_kw=power,
        stored_kwh=dict(plan.stored_kwh),
        commands_kw=dict(plan.setpoints_kw),
        extra={**{f"{a}/{f}": v for a, by in flows.items() for f, v in by.items()}, **plan.awards_kw},
        quality=m.quality,
    )


def _solver_says(step: Step, meter: str) -> Any:
    """Progress of the solver as progress of the study."""

    def say(share: float, gap: float) -> None:
        known = f", within {gap:.1e}" if gap < inf else ""
        step(f"solving {meter}{known}", None)

    return say


def wear_of(
    m: Ready, record: Record, prices: Mapping[str, float], rounds: int
) -> tuple[dict[str, Wear], Ledger]:
    """Wear of every store by its asset's own settlement, beside what the price made of it."""
    wear: dict[str, Wear] = {}
    entries: list[Entry] = []
    for asset in m.new:
        settled = list(asset.settle(record, m.world))
        entries += settled
        if asset.name not in record.stored_kwh or not hasattr(asset, "worn"):
            continue
        worn = asset.worn(record)
        price = prices.get(asset.name, 0.0)
        wear[asset.name] = Wear(
            asset=asset.name,
            throughput_kwh=worn.throughput_kwh,
            full_cycles=worn.full_cycles,
            price_usd_per_kwh=price,
            priced_usd=price * worn.throughput_kwh,
            counted_usd=-fsum(e.usd for e in settled),
            rounds=rounds,
            fade_frac_per_y=worn.fade_frac_per_y,
            findings=tuple(worn.findings),
            changes_per_day=changes.moved_per_day(record, (asset.name,)),
            warranty=tuple(
                WarrantyUse(
                    u.name,
                    u.used_per_y,
                    u.limit,
                    u.unit,
                    None if not u.limit else u.used_per_y / u.limit,
                    u.years_to_limit,
                )
                for u in worn.uses
            ),
        )
    return wear, Ledger.of(entries)


def prices_of(run: Run) -> dict[str, float]:
    """Wear price by store that a run was planned with."""
    return {name: w.price_usd_per_kwh for name, w in run.wear.items()}


def terms_of(m: Ready) -> list[Any]:
    """What the tariff asks over the whole span."""
    return list(m.stream.terms(m.view((*m.existing, *m.new))))


# In the loop


def realised_run(
    site: Site,
    m: Ready,
    prices: Mapping[str, float] | None = None,
    reserve_kwh: Mapping[str, Any] | None = None,
    setpoints: Setpoints | None = None,
) -> Run:
    """The site's policy against the twin on the tariff, through the guard; it knows only what could be known.

    prices: wear price by store that the bound settled on, to show priced beside counted wear. reserve_kwh: (n + 1,)
    floors by store that override every plan. setpoints: how often the plant may be told something new, by default as
    the site says. Programmes call nobody here, whatever the policy could answer: the
    bound beside it is the tariff's too, and like is compared with like.
    """
    from ...control.loop import run
    from ...forecast.forecaster import Believed
    from ...forecast.similar_day import SimilarDay

    options, rules = site.written.study, setpoints or site.written.setpoints
    policy = policy_class(options.policy)(**options.policy_options)
    record = run(
        m.world,
        (*m.existing, *m.new),
        policy,
        terms_of(m),
        import_limit_kw=m.meter.import_limit_kw,
        export_limit_kw=m.meter.export_limit_kw,
        telemetry=options.telemetry,
        reserve_kwh=dict(reserve_kwh or {}) or None,
        setpoints=rules,
        # A plan of more than stores may ask for a temperature that is not published: it is forecast from what was.
        belief=Believed(m.world, {name: SimilarDay() for name in m.world.series})
        if getattr(policy, "moves_all", False)
        else None,
    )
    if m.load_kvar is not None and record.net_kvar is None:
        record = replace(
            record, net_kvar=m.load_kvar
        )  # a battery that gives no vars leaves them as they were
    record = replace(record, quality=m.quality)
    wear, operation = wear_of(m, record, prices or {}, 0)
    operation = Ledger.of((*operation, *changes.entries(record, rules)))
    return Run(record, wear, operation, options.policy)
