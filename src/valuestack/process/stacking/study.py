"""The study: what the assets of a site save on its tariff - before, realised and bound.

    before     the site as it is, settled by the tariff
    realised   the policy in the loop against the twin, with only what could be known at each moment
    bound      the whole span solved at once with the future known; never attainable, and labelled so

All three are settled by the same bill from the record of net load. The optimiser's objective is used for one
thing only: how far the bound may be from the best plan (`gap_frac`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from math import fsum
from typing import Any

import numpy as np

from ...dispatch import Record
from ...finding import Finding
from ...flows import Store
from ...ledger import Ledger
from ...report.result import BOUND_LABEL, Assumption, Case, Study
from ...site.files import load as load_site
from ...site.site import Site
from . import change_limits, layers, verdicts
from . import sizes as grids
from .bridge import bridged
from .budget import Budget
from .cases import (
    PRICED_WITHIN_FRAC,
    Run,
    bound_run,
    offers_of,
    prices_of,
    realised_run,
    terms_of,
)
from .meters import Ready, Step, quiet, ready

HOURS_A_YEAR = 8760.0


def study(site: Site | Any, progress: Step | None = None, *, sizes: bool = False) -> Study:
    """Before, realised and bound of a site.

    site: a Site, or whatever `load_site` takes. progress(what, share 0..1 or None) is called along the way.
    sizes: also the grid of sizes. Errors: InputError, Disqualified, InfeasibleError, SolverError.
    """
    site = site if isinstance(site, Site) else load_site(site)
    step, clock = progress or quiet, _Clock()
    meters = [ready(site, m, progress=step) for m in site.meters]
    clock.lap("audit")
    step("bill before", 0.2)
    before = _case("before", "before", meters, [_before(m) for m in meters])
    clock.lap("before")
    step("bound (perfect foresight)", 0.3)
    day = layers.day_of_rules(site, meters)
    places = [layers.placed(site, m, day, lenient=site.written.then is not None) for m in meters]
    conflicts = tuple(
        (m.name, c) for m, p in zip(meters, places) for c in layers.clashes_of(p, only_floors=True)
    )
    asked = [[*terms_of(m), *layers.floors(p)] for m, p in zip(meters, places)]
    budget = _budget(site, places)
    budget.start()
    runs = [
        bound_run(
            m,
            rounds=site.written.study.wear_rounds,
            terms=t,
            time_limit_s=budget.of_bound_s,
            relax=layers.BEND,
            progress=step,
        )
        for m, t in zip(meters, asked)
    ]
    relaxed = tuple((m.name, r) for m, run in zip(meters, runs) for r in layers.relaxed_of(run))
    bound = _case("bound", BOUND_LABEL, meters, runs)
    clock.lap("bound")
    step(f"realised ({site.written.study.policy})", 0.6)
    realised_runs = [
        realised_run(site, m, prices_of(r), layers.reserve_kwh(p)) for m, r, p in zip(meters, runs, places)
    ]
    realised = _case("realised", "realised", meters, realised_runs)
    clock.lap("realised")
    span_y = max(m.timeline.hours for m in meters) / HOURS_A_YEAR
    head = tuple(h for m in meters for h in m.head) + _short(span_y)
    found = Study(
        name=site.name,
        site=site.to_dict(),
        meters=tuple(m.data for m in meters),
        before=before,
        realised=realised,
        bound=bound,
        objective_usd=fsum(r.objective_usd for r in runs),
        lower_bound_usd=fsum(r.lower_bound_usd for r in runs),
        span_y=span_y,
        head=head,
        assumptions=_assumptions(site, meters, (before, realised, bound)),
        findings=(
            *layers.told_conflicts(conflicts),
            *layers.told_relaxed(relaxed),
            *_findings(meters, (before, realised, bound), runs, realised_runs),
            *_unread(site),
            *_left_alone(site, meters, realised, bound),
        ),
        conflicts=conflicts,
        relaxed=relaxed,
        seconds=clock.laps,
    )
    found = replace(
        found,
        payback=verdicts.payback(found, site.written.economics),
    )
    if sizes:
        step("sizes", 0.0)
        found = replace(found, sizes=grids.of_site(site, meters, runs, progress=step))
    if site.written.study.changes_per_day:
        floors = [layers.reserve_kwh(p) for p in places]
        limits = tuple(change_limits.of_site(site, meters, runs, floors, found, progress=step))
        found = replace(found, change_limits=limits)
    if any(p.streams or p.refused for p in places):
        stacks = tuple(_stacks(site, places, before, runs, day, budget, step))
        found = replace(found, stacks=stacks)
        clock.lap("all layers")
    found = replace(
        found,
        claims=bridged(found, site.written.claim),
        head=(*found.head, *_gave_way(found)),
    )
    step("done", 1.0)
    return found


def _stacks(
    site: Site,
    places: Sequence[layers.Placed],
    before: Case,
    runs: Sequence[Run],
    day: date,
    budget: Budget,
    step: Step,
) -> Iterator[Any]:
    """All layers in one plan under today's rules and, where the claim is dated, under those of its day."""
    prices = {k: v for r in runs for k, v in prices_of(r).items()}
    then, meters = site.written.then, [p.ready for p in places]
    # Where nothing of layer 2 binds it, the bound is the plan of layer 1 by itself.
    known = {layers.asked_of(p, (1,), ()): r for p, r in zip(places, runs) if not layers.floors(p)}
    for as_of in (day, then):
        if as_of is not None:
            yield layers.stacked(
                site,
                meters,
                before,
                prices,
                as_of,
                lenient=then is not None,
                known=known,
                budget=budget,
                curves=as_of == day,
                progress=step,
            )


def _budget(site: Site, places: Sequence[layers.Placed]) -> Budget:
    """The time to solve in, and how many sets of layers of how many meters and days will share it."""
    there = {1, *(s.layer for p in places for s in p.streams)}
    days = 2 if site.written.then is not None else 1
    return Budget(site.written.study.time_limit_s, sets=days * len(places) * (2 ** len(there) - 1))


def _gave_way(found: Study) -> tuple[str, ...]:
    """What must stand above every figure where no plan meets every limit."""
    bent = [*found.relaxed, *(r for s in found.stacks for r in s.relaxed)]
    if not bent:
        return ()
    owners = ", ".join(dict.fromkeys(r.owner for _, r in bent))
    first = min((r for _, r in bent), key=lambda r: r.first)
    return (
        f"no plan meets every requirement of this site: limits of {owners} gave way, first at {first.when} "
        f"({first}). The figures are those of the plan that breaks them least; see what gave way",
    )


class _Clock:
    """CPU seconds by stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.process_time()

    def lap(self, name: str) -> None:
        now = time.process_time()
        self.laps[name], self._last = now - self._last, now


def _short(span_y: float) -> tuple[str, ...]:
    if span_y >= 0.99:
        return ()
    return (
        f"the data span {span_y * 12:.1f} months: figures a year are scaled from them and miss the seasons that "
        "were not seen",
    )


# Cases


def _case(name: Any, label: str, meters: Sequence[Ready], runs: Sequence[Run]) -> Case:
    """Settle the records of all meters."""
    return Case(
        name=name,
        label=label,
        bills={m.name: m.settle(r.record.net_kw, r.record.net_kvar) for m, r in zip(meters, runs)},
        records={m.name: r.record for m, r in zip(meters, runs)},
        operation=Ledger.of(e for r in runs for e in r.operation),
        services=Ledger.of(e for r in runs for e in r.services),
        wear={k: w for r in runs for k, w in r.wear.items()},
        method=", ".join(dict.fromkeys(r.method for r in runs)),
        stored_change_kwh=fsum(_stored_change_kwh(m, r.record) for m, r in zip(meters, runs)),
    )


def _before(m: Ready) -> Run:
    record = Record(timeline=m.timeline, net_kw=m.before_kw, net_kvar=m.load_kvar, quality=m.quality)
    return Run(record, {}, Ledger(), "as metered")


def _stored_change_kwh(m: Ready, record: Record) -> float:
    """Energy in stores at the end less that at the start [kWh]."""
    start = {o.name: o.energy_start_kwh for o in offers_of(m) if isinstance(o, Store)}
    return fsum(float(e[-1]) - start[n] for n, e in record.stored_kwh.items() if n in start)


# What the result stands on


def _assumptions(site: Site, meters: Sequence[Ready], cases: Sequence[Case]) -> tuple[Assumption, ...]:
    out = [a for m in meters for a in m.assumptions]
    for m in meters:
        for asset in (*m.existing, *m.new):
            for sentence in getattr(asset, "assumptions", ()):
                out.append(
                    Assumption(sentence, "", "default", "not verified" not in sentence, f"asset {asset.name}")
                )
    seen: set[str] = set()
    for case in cases:
        for name, bill in case.bills.items():
            for sentence in bill.assumptions:
                if sentence not in seen:
                    seen.add(sentence)
                    loose = any(w in sentence for w in ("verified", "not checked"))
                    out.append(Assumption(sentence, "", f"bill of {name}", not loose, f"meter {name}"))
    written = site.written
    if written.study.telemetry:
        out.append(
            Assumption(
                "the controller knows the mean load of the running interval when the interval begins",
                "telemetry = true",
                "stands for metering every minute or faster; an upper limit of what that is worth",
                False,
                "realised case",
            )
        )
    if written.economics.capex_usd is not None:
        out.append(
            Assumption(
                "capital cost of the assets",
                f"${written.economics.capex_usd:,.0f}",
                written.economics.source or "the site file",
                bool(written.economics.source),
            )
        )
    out.append(
        Assumption(
            "the span repeats itself",
            "figures a year are those of the span, scaled by its length",
            "definition of simple payback",
        )
    )
    return tuple(out)


def _unread(site: Site) -> list[Finding]:
    """Series of the site that nothing in it names: they move no figure."""
    written = site.to_dict()

    def words(tree: Any) -> Iterator[str]:
        if isinstance(tree, str):
            yield tree
        for v in (
            tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, list | tuple) else ()
        ):
            yield from words(v)

    named = set(words({k: v for k, v in written.items() if k != "series"}))
    return [
        Finding(
            "unread_series",
            "warning",
            f"nothing on this site reads the series {name!r}; it moves no figure",
            where=f"series {name}",
            remedy="name it in a stream, an asset or the facts of a meter, or take it out",
        )
        for name in site.series
        if name not in named
    ]


def _left_alone(site: Site, meters: Sequence[Ready], realised: Case, bound: Case) -> list[Finding]:
    """Assets that the bound moves and the policy never did, as one does that knows stores alone."""
    out = []
    for m in meters:
        did, could = (c.records[m.name].asset_kw for c in (realised, bound))
        for a in m.new:
            best, here = could.get(a.name), did.get(a.name)
            if best is None or here is None or np.ptp(here) > 0 or np.ptp(best) == 0:
                continue
            out.append(
                Finding(
                    "left_alone",
                    "warning",
                    f"the policy {site.written.study.policy} never moved {a.name}, which the bound does: the realised "
                    "case holds nothing of its saving",
                    where=f"asset {a.name}",
                    remedy="study.policy = 'dynamic' plans every asset",
                )
            )
    return out


def _unproved(m: Ready, run: Run) -> tuple[Finding, ...]:
    """What must be said of a bound that ran out of time."""
    if run.plan is None or run.plan.proved:
        return ()
    off = run.plan.gap_usd / max(abs(run.plan.objective_usd), 1.0)
    return (
        Finding(
            "not_proved",
            "warning",
            f"the bound of {m.name} ran out of time: its plan is within {off:.1e} of the best, so the true bound may "
            "lie so much higher",
            where=f"meter {m.name}",
            remedy="see gap_frac; fewer switches (units, calls, conditional credits) prove faster",
        ),
    )


def _findings(
    meters: Sequence[Ready], cases: Sequence[Case], bounds: Sequence[Run], realised: Sequence[Run]
) -> tuple[Finding, ...]:
    before, after, best = cases
    out = [f for m in meters for f in m.audited.findings]
    for m in meters:
        held = {f.what for f in before.bills[m.name].findings}
        out += before.bills[m.name].findings
        for case in (after, best):
            for f in case.bills[m.name].findings:
                if f.what in held:
                    continue
                held.add(f.what)
                note = f"with the assets ({case.name}): {f.what}"
                out.append(replace(f, kind=f"{f.kind}_after", what=note))
        if not m.new:
            out.append(
                Finding(
                    "no_assets",
                    "warning",
                    f"{m.name} has no asset to study: realised and bound are before",
                    where=f"meter {m.name}",
                    remedy="add [[assets]] to the site file",
                )
            )
    out += [f for m, run in zip(meters, bounds) for f in _unproved(m, run)]
    for case in (after, best):
        for w in case.wear.values():
            out += [replace(f, where=f"asset {w.asset}, {case.name}") for f in w.findings]
            off = w.difference_frac
            if case is best and off is not None and abs(off) > PRICED_WITHIN_FRAC:
                out.append(
                    Finding(
                        "wear_price",
                        "warning",
                        f"the wear of {w.asset} that the bound was charged (${w.priced_usd:,.0f}) and the wear counted "
                        f"(${w.counted_usd:,.0f}) differ by {off:+.0%} after {w.rounds} rounds",
                        where=f"asset {w.asset}",
                        done="the rounds' closest agreement is used; money is settled by the counted wear",
                    )
                )
            for use in w.warranty:
                if use.share_frac is not None and use.share_frac > 1:
                    out.append(
                        Finding(
                            "warranty",
                            "warning",
                            f"{w.asset} ({case.name}): {use.name} of {use.used_per_y:,.0f} {use.unit} a "
                            f"year exceeds the warranty's {use.limit:,.0f}",
                            where=f"asset {w.asset}",
                            remedy="limit its cycling or negotiate the warranty",
                        )
                    )
    for run in (*bounds, *realised):
        for sentence in run.why:
            out.append(Finding("method", "info", sentence))
    if after.bill_usd > before.bill_usd + 0.005:
        out.append(
            Finding(
                "no_saving",
                "warning",
                f"the policy makes the bill ${after.bill_usd - before.bill_usd:,.2f} "
                "dearer than doing nothing",
                remedy="try another policy, or a smaller battery",
            )
        )
    return tuple(dict.fromkeys(out))
