"""The specification sheet: what to ask of a vendor for the plan that was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....report.sized import Outcome
from .case import Case
from .optimum import NOTHING


def specification(case: Case, chosen: Outcome | None, battery: Any) -> tuple[dict[str, Any], ...]:
    """What to ask of a vendor: what the plan used, what streams ask, what a warranty must allow."""
    if chosen is None or battery is None:
        return ()
    name = battery.name
    record, wear = chosen.run.record, chosen.run.wear.get(name)
    size = chosen.sizes[name]
    power = np.asarray(record.asset_kw[name], dtype=float)
    stored = np.asarray(record.stored_kwh[name], dtype=float)
    years = case.finance.analysis_years
    rows: list[dict[str, Any]] = []

    def row(item: str, value: str, why: str) -> None:
        rows.append({"item": item, "asked": value, "why": why})

    row(
        "power",
        f"{size['kw']:,.0f} kW",
        f"the plan draws up to {power.max():,.0f} kW and gives {-power.min():,.0f} kW",
    )
    row(
        "energy",
        f"{size['kwh']:,.0f} kWh nameplate",
        f"{stored.max() - stored.min():,.0f} kWh between the least and the most it holds",
    )
    ec, ed = battery.efficiencies
    row("efficiency", f"{ec * ed:.1%} round trip or better", "as the plan takes it")
    if wear is not None:
        cycles = wear.full_cycles / case.span_y
        out_mwh = wear.throughput_kwh / case.span_y / 1000
        row("cycles", f"{cycles:,.0f} full cycles a year", "what the plan does")
        row(
            "throughput",
            f"{out_mwh:,.1f} MWh a year, {out_mwh * years:,.0f} MWh over {years} years",
            "discharged",
        )
        used = wear.counted_usd / case.span_y
        worth = battery.replacement_usd_per_kwh * size["kwh"]
        if used > 0 and worth > 0:
            row(
                "cycle life",
                f"{worth / used:,.0f} years of this use",
                f"by the wear model {battery.wear_model}",
            )
        if wear.fade_frac_per_y is not None:
            row(
                "fade",
                f"{wear.fade_frac_per_y:.1%} in the first year",
                "calendar and cycling, by the wear model",
            )
        for u in wear.warranty:
            limit = "" if u.limit is None else f"; the asset's warranty allows {u.limit:,.4g}"
            row(f"warranty: {u.name}", f"at least {u.used_per_y:,.4g} {u.unit}", f"what the plan uses{limit}")
    for kw, why in _promised(chosen):
        row("enrolled", f"{kw:,.0f} kW", why)
    asked = _asked(case, chosen)
    for key, unit in (("response_s", "s to full power"), ("telemetry_s", "s between reports")):
        found = [(getattr(r, key), s) for s, r in asked if getattr(r, key, None) is not None]
        if found:
            least, who = min(found)
            row(key.removesuffix("_s").replace("_", " "), f"{least:g} {unit} or less", f"asked by {who}")
    for who, r in asked:
        if getattr(r, "protocols", ()):
            row("protocol", " or ".join(r.protocols), f"asked by {who}")
    if not asked:
        row(
            "response, telemetry, protocols",
            "nothing beyond the site's own controller",
            "no programme is served",
        )
    return tuple(rows)


def _promised(chosen: Outcome) -> list[tuple[float, str]]:
    """kW sold hour by hour, and kW promised to programmes, with to whom."""
    sold = [(kw, f"the most that the plan sells as {claim}") for claim, kw in chosen.enrolled_kw.items()]
    rows = [r for r in chosen.enrolment if r["enrolled_kw"]]
    return sold + [(r["enrolled_kw"], f"promised to {r['programme']}, {r['product']}") for r in rows]


def _asked(case: Case, chosen: Outcome) -> list[tuple[str, Any]]:
    """Products of the streams that may serve with these assets, by name."""
    out = []
    for s in case.on(chosen.assets).streams:
        rules = getattr(getattr(s, "inner", s), "rules", None)
        if rules is not None:
            found = rules(case.m.timeline)
            out.append((f"{s.name} ({found.label})", found))
    return out


def with_battery(options: Sequence[Outcome | None], battery: Any) -> Outcome | None:
    """The first of these that holds a battery of some size."""
    if battery is None:
        return None
    for o in options:
        if o is not None and o.run is not None and o.sizes.get(battery.name, {}).get("kwh", 0.0) > NOTHING:
            return o
    return None
