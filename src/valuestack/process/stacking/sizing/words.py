"""What a sizing says in words: its sentences, what was assumed, and findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from ....finding import Finding
from ....report.result import Assumption
from ....report.sized import Outcome
from ....site.vendors import Vendors
from .case import Case
from .optimum import Found, axes_of
from .prices import size_of


def _usd(value: float | None) -> str:
    if value is None or not isfinite(value):
        return "-"
    return f"{'-' if value < 0 else ''}${abs(value):,.0f}"


def sentences(
    case: Case,
    best: Outcome | None,
    optimum: Outcome,
    moving: Mapping[str, Any] | None,
    rows: Sequence[Mapping[str, Any]],
) -> tuple[str, ...]:
    out = []
    years = case.finance.analysis_years
    if best is None:
        out.append(
            f"At these prices nothing pays: no option has a positive NPV over {years} years, even with perfect "
            "foresight."
        )
    else:
        out.append(
            f"Most NPV: {best.name} ({best.words}) at {_usd(best.capex_usd)}: {_usd(best.npv_usd)} over {years} years, "
            f"a perfect-foresight bound; it saves {_usd(best.saving_usd_per_y)} a year on the bill."
        )
    out.append(
        f"The best size of {optimum.name}: {optimum.words}, NPV {_usd(optimum.npv_usd)}. {optimum.how}."
    )
    if moving is not None and moving["capital_ratio"] is not None:
        load, buy = moving["load"], moving["battery"]
        out.append(
            f"Moving load ({load['name']}, up to {load['moved_kw']:,.0f} kW) costs {_usd(load['capex_usd'])} and saves "
            f"{_usd(load['saving_usd_per_y'])} a year; a battery ({buy['name']}) takes {moving['capital_ratio']:.1f} "
            f"times the capital for {moving['saving_ratio'] or 0:.2f} times the saving."
        )
    if rows:
        worst = rows[0]["worth of knowing more_usd"]
        if worst is not None:
            out.append(
                f"Sized from twelve bills instead of {rows[-1]['sized from']}, the NPV on the finest data would be "
                f"{_usd(worst)} lower."
            )
    return tuple(out)


def enrolled_words(options: Sequence[Outcome]) -> tuple[str, ...]:
    """How many kW to enrol beside the option of most NPV of those whose enrolments were decided."""
    decided = [o for o in options if o.enrolment]
    if not decided:
        return ()
    best = max(decided, key=lambda o: o.net_usd_per_y if o.npv_usd is None else o.npv_usd)
    parts = []
    for r in best.enrolment:
        if r["enrolled_kw"]:
            parts.append(
                f"{r['programme']} {r['enrolled_kw']:,.0f} kW for {_usd(r['net_usd_per_y'])} a year (as written "
                f"{r['written_kw']:,.0f} kW; limited by {r['limited_by']})"
            )
        else:
            parts.append(f"{r['programme']} nothing ({r['limited_by']})")
    return (f"Enrol beside {best.words}: {'; '.join(parts)}. NPV with it {_usd(best.npv_usd)}.",)


def assumptions(
    case: Case, assets: Sequence[Any], notes: Sequence[str], vendors: Vendors | None
) -> tuple[Assumption, ...]:
    out = [
        Assumption(f"price of {k}", v, case.prices[k].source, case.prices[k].verified, f"asset {k}")
        for k, v in case.said.items()
    ]
    out += [Assumption(n) for n in notes]
    out.append(
        Assumption("wear", "counted by each plan's cycles and set aside every year", "the asset's wear model")
    )
    aged = [k for k, p in case.prices.items() if p.kind == "battery" and p.life_y is None]
    if aged:
        out.append(
            Assumption(
                f"{', '.join(aged)}: not bought again for age within {case.finance.analysis_years} years",
                "no life_y is given",
                "",
                False,
            )
        )
    for a in assets:
        if a.kind == "pv" and a.name in case.prices and case.prices[a.name].max_kw is None:
            out.append(Assumption(f"{a.name}: no more fits than is written", f"{size_of(a)[0]:,.0f} kW"))
    out += [
        Assumption(s, "", "", "not verified" not in s, f"asset {a.name}")
        for a in assets
        for s in a.assumptions
    ]
    out += list(case.m.assumptions)
    if vendors is not None:
        out.append(
            Assumption(f"vendors: {vendors.name}", f"as of {vendors.as_of}", vendors.source, vendors.verified)
        )
    return tuple(dict.fromkeys(out))


def findings(
    case: Case, options: Sequence[Outcome], both: Found, vendors: Vendors | None
) -> tuple[Finding, ...]:
    out = list(case.m.audited.findings)
    if vendors is not None:
        out += [Finding("stale", "warning", s, remedy="ask for a new quote") for s in vendors.stale(case.day)]
    for x in axes_of(case, both.assets):
        if both.sized.size[x.name] > 0.999 * x.upper:
            out.append(
                Finding(
                    "edge",
                    "warning",
                    f"{x.name}: the best size lies at the end of its range, {x.upper:,.0f}",
                    remedy="give max_kw or max_kwh in a price if more can be had",
                )
            )
    settled_only = sorted({s.name for s in case.on(case.m.new).streams if _only_settles(case, s)})
    if settled_only:
        out.append(
            Finding(
                "not_in_the_problem",
                "info",
                f"{', '.join(settled_only)}: counted when a plan is settled, not seen by the problem that finds "
                "the sizes",
                remedy="compare the options' NPV, which counts it",
            )
        )
    for o in options:
        out += [Finding("option", "info", f"{o.name}: {n}") for n in o.notes]
    return tuple(dict.fromkeys(out))


def _only_settles(case: Case, stream: Any) -> bool:
    p = case.on(case.m.new)
    return not list(stream.terms(p.ready.view((*p.ready.existing, *p.ready.new), p.streams)))


def short_span(span_y: float) -> tuple[str, ...]:
    if span_y >= 0.99:
        return ()
    return (
        f"the data span {span_y * 12:.1f} months: figures of a year are scaled from them, and sizes fit these months",
    )
