"""What follows from three settled cases: payback, and a claim beside the result."""

from __future__ import annotations

from ...report.result import Case, Comparison, Payback, Study
from ...site.site import Claim, Economics

SAVING = "bill saving a year"
PEAK_CUT = "cut of the monthly peak, mean of months"


def payback(study: Study, economics: Economics) -> tuple[Payback, ...]:
    """Simple payback of realised and bound: capex / (bill saving a year - om); none where no capex is given."""
    if economics.capex_usd is None:
        return ()
    out = []
    for case in (study.realised, study.bound):
        saving = study.saving_usd(case) / study.span_y
        net = saving - economics.om_usd_per_y
        years = economics.capex_usd / net if net > 0 else None
        life = economics.life_y
        if years is None:
            reason = (
                f"the saving of ${saving:,.0f} a year does not cover ${economics.om_usd_per_y:,.0f} of om"
            )
        elif life is not None and years > life:
            reason = f"longer than its life of {life:g} years"
        else:
            reason = ""
        out.append(
            Payback(
                case=case.name,
                capex_usd=economics.capex_usd,
                om_usd_per_y=economics.om_usd_per_y,
                life_y=life,
                saving_usd_per_y=saving,
                years=years,
                reason=reason,
            )
        )
    return tuple(out)


def billed_peak_cut_frac(before: Case, after: Case) -> float | None:
    """Mean over cycles and meters of 1 - highest demand after / before; None where nothing was drawn."""
    cuts = []
    for meter, record in before.records.items():
        months = record.timeline.month_id
        for m in dict.fromkeys(months.tolist()):
            inside = months == m
            high = float(record.net_kw[inside].max())
            if high > 0:
                cuts.append(1 - float(after.records[meter].net_kw[inside].max()) / high)
    return sum(cuts) / len(cuts) if cuts else None


def claims(study: Study, claim: Claim | None) -> tuple[Comparison, ...]:
    """The claim's figures on the tariff beside realised and bound, with why they differ."""
    if claim is None:
        return ()
    why = _because(study, claim)
    out = []
    if claim.saving_usd_per_y is not None or "saving_usd_per_y" in claim.also:
        out.append(
            Comparison(
                claim=claim.text,
                source=claim.source,
                what=SAVING,
                unit="USD a year",
                claimed=claim.saving_usd_per_y,
                realised=study.realised_saving_usd / study.span_y,
                bound=study.bound_saving_usd / study.span_y,
                because=why,
            )
        )
    if claim.peak_cut_frac is not None or "peak_cut_frac" in claim.also:
        out.append(
            Comparison(
                claim=claim.text,
                source=claim.source,
                what=PEAK_CUT,
                unit="frac",
                claimed=claim.peak_cut_frac,
                realised=billed_peak_cut_frac(study.before, study.realised),
                bound=billed_peak_cut_frac(study.before, study.bound),
                because=why,
            )
        )
    return tuple(out)


def _because(study: Study, claim: Claim) -> tuple[str, ...]:
    """Sentences that bridge claim and result, each from settled figures."""
    per_y = 1 / study.span_y
    out = []
    demand = [c for c in study.changes() if "demand" in c.item.lower()]
    total = study.realised_saving_usd
    if demand and total > 0:
        part = sum(c.usd for c in demand)
        rest = total - part
        out.append(
            f"demand charges fall by ${part * per_y:,.0f} a year, all other items "
            + (
                f"fall by ${rest * per_y:,.0f}"
                if rest >= 0
                else f"rise by ${-rest * per_y:,.0f} (losses and the hours of recharging)"
            )
        )
    lost = study.bound_saving_usd - total
    if lost > 0:
        gaps = {(c.stream, c.item): c.usd for c in study.changes(study.bound)}
        for c in study.changes():
            gaps[(c.stream, c.item)] = gaps.get((c.stream, c.item), 0.0) - c.usd
        (_, item), worst = max(gaps.items(), key=lambda kv: kv[1])
        out.append(
            f"not knowing the future costs ${lost * per_y:,.0f} a year against the bound, "
            f"most of it in {item!r} (${worst * per_y:,.0f})"
        )
    saving = claim.saving_usd_per_y
    if saving is not None and total > 0:
        ratio = total * per_y / saving
        out.append(
            f"the claim names no tariff, size or load; on this plant and rate the realised saving is "
            f"{ratio:.0%} of the figure claimed, and scales with the plant's peak and the rate's price per kW"
        )
    if study.realised.wear_usd > 0:
        out.append(
            f"wear of ${study.realised.wear_usd * per_y:,.0f} a year is not in the claim; "
            f"net of it the realised saving is ${study.net_usd(study.realised) * per_y:,.0f}"
        )
    return tuple(out)
