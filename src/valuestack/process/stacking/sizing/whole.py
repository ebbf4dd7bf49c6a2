"""Sizes for a site: the joint optimum, options on offer, a frontier, what the next unit is worth, what it all needs.

    size: plan and sizes in one problem over all layers' terms, each stream weighted by what the pro forma makes of a
    dollar a year of it, each unit of size at what the pro forma makes of its price
    then: the plan at that size by the usual bound, settled by the streams from its record, carried to NPV

Every plan knows the future, so every figure is a bound, and sizes are compared bound against bound.
"""

from __future__ import annotations

import time
from typing import Any

from ....errors import InputError
from ....report.sized import Outcome, Sizing, ranked
from ....site.files import load as load_site
from ....site.site import Site
from ....site.vendors import Vendors
from ..meters import Step, quiet
from .case import Case, case_of
from .enrolment import enrolments, most_worth
from .frontier import frontier_of, next_units
from .granularity import granularity_rows
from .moving import moving_or_buying
from .optimum import Found, axes_of, best_of, of_found, priced_wear
from .prices import is_sizable
from .quotes import quotes
from .specification import specification, with_battery
from .together import together
from .words import assumptions, enrolled_words, findings, sentences, short_span
from .written import as_written


def size(
    site: Site | Any,
    vendors: Vendors | None = None,
    *,
    progress: Step | None = None,
    granularity: bool = True,
    frontier: bool = True,
) -> Sizing:
    """Sizes for a site. vendors: prices and options beyond the site's own and the shipped ones.

    Errors: InputError where nothing can be sized or nothing is priced; those of a study.
    """
    site = site if isinstance(site, Site) else load_site(site)
    step, clock = progress or quiet, _Clock()
    case, assets, notes = case_of(site, vendors, step)
    clock.lap("data")
    sizable = [a for a in assets if is_sizable(a) and a.name in case.prices]
    if not sizable:
        raise InputError(f"{site.name}: nothing can be sized: no battery or solar (with dc_kw) has a price")
    found: dict[str, Found] = {}
    alone: list[Outcome] = []
    for a in sizable:
        step(f"best size of {a.name}", None)
        found[a.name] = priced_wear(case, best_of(case, [a]), step)
        alone.append(of_found(case, found[a.name], a.name))
    both = found[sizable[0].name]
    if len(sizable) > 1:
        step("best sizes together", None)
        both = best_of(case, sizable)
        alone.append(of_found(case, both, " + ".join(a.name for a in sizable)))
    optimum = alone[-1]
    clock.lap("sizes")
    engines = [a for a in assets if a.kind == "generator" and a.name in case.prices]
    others = [a for a in assets if a not in sizable and a not in engines]
    alone += together(case, sizable, others, engines, notes, step)
    clock.lap("everything together")
    alone += as_written(case, assets, sizable, notes, step)
    clock.lap("options")
    alone += enrolments(case, sizable, alone, notes, step)
    clock.lap("enrolment")
    quoted = () if vendors is None else quotes(case, sizable, vendors, step)
    points: tuple[Outcome, ...] = ()
    units: tuple[dict[str, Any], ...] = ()
    rows: tuple[dict[str, Any], ...] = ()
    moving, battery = None, next((a for a in sizable if a.kind == "battery"), None)
    if battery is not None:
        own = found[battery.name]
        points = frontier_of(case, own, battery, step) if frontier else ()
        units = next_units(case, own, battery)
        clock.lap("frontier")
        truth = next(o for o in alone if o.name == battery.name)
        rows = granularity_rows(case, own, truth, step) if granularity else ()
        clock.lap("granularity")
        moving = moving_or_buying(case, alone, own, battery, step)
        clock.lap("moving or buying")
    best = most_worth(case, (*alone, *quoted, *points), notes)
    chosen = best if best.npv_usd is not None and best.npv_usd > 0 else None
    sheet = specification(case, with_battery([chosen, optimum, *ranked(alone)], battery), battery)
    step("done", 1.0)
    return Sizing(
        site=site.name,
        meter=case.m.name,
        as_of=case.day,
        span_y=case.span_y,
        before_usd_per_y=case.before_usd / case.span_y,
        optimum=optimum,
        best=chosen,
        alone=tuple(alone),
        vendors=quoted,
        frontier=points,
        next_units=units,
        enrolment=tuple(r for o in alone for r in o.enrolment),
        spec=sheet,
        granularity=rows,
        moving=moving,
        prices=tuple(
            {"asset": k, "price": v, "verified": case.prices[k].verified} for k, v in case.said.items()
        ),
        finance={
            "discount_nominal_frac": case.finance.nominal,
            "discount_real_frac": case.finance.real,
            "analysis_years": case.finance.analysis_years,
            "npv_of_a_dollar_a_year_of_bill_usd": case.per_usd(1, case.tariff),
            "cost_of_a_unit_usd_per_y": {
                x.name: x.usd_per_unit / case.span_y for a in sizable for x in axes_of(case, [a])
            },
        },
        sentences=(*sentences(case, chosen, optimum, moving, rows), *enrolled_words(alone)),
        head=(*case.m.head, *short_span(case.span_y)),
        assumptions=assumptions(case, assets, notes, vendors),
        findings=findings(case, (*alone, *quoted), both, vendors),
        reopt=_reopt(case, optimum),
        seconds=clock.laps,
    )


class _Clock:
    """CPU seconds by stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.process_time()

    def lap(self, name: str) -> None:
        now = time.process_time()
        self.laps[name], self._last = now - self._last, now


def _reopt(case: Case, o: Outcome) -> dict[str, dict[str, Any]] | None:
    """Shared outputs of the optimum under REopt's names, its series left out; None where nothing is bought."""
    if o.flow is None or o.run is None:
        return None
    from ....finance.reopt_outputs import reopt_outputs

    m, record = case.m, o.run.record
    found = reopt_outputs(
        o.flow,
        m.settle(record.net_kw, record.net_kvar).ledger,
        m.settle(m.before_kw, m.load_kvar).ledger,
        record,
        sizes=o.sizes,
        generators={
            a.name: {"pv": "PV", "generator": "Generator"}[a.kind] for a in o.assets if a.kind in _MADE
        },
    )
    return {k: {n: v for n, v in part.items() if not isinstance(v, list)} for k, part in found.items()}


_MADE = ("pv", "generator")
