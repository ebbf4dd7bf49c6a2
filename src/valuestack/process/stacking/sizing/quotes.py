"""Options that vendors quote: each as sold, in as many units as it comes in, at its own price and warranty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ....finance.finance import CapexItem
from ....report.sized import Outcome
from ....site.vendors import Option, Vendors
from ..meters import Step
from .case import Case
from .prices import Bought
from .settled import settled


def quotes(case: Case, sizable: Sequence[Any], vendors: Vendors, step: Step) -> tuple[Outcome, ...]:
    """Every option quoted, alone, in as many units as it comes in."""
    out = []
    name = next((a.name for a in sizable if a.kind == "battery"), "battery")
    for o in vendors.options:
        for units in range(1, o.units_max + 1):
            step(f"option {o.name}", None)
            out.append(_quote(case, o, name, units))
    return tuple(out)


def _quote(case: Case, o: Option, name: str, units: int) -> Outcome:
    asset = o.battery(name, units)
    case = replace(case, wear_price={**case.wear_price, name: asset.wear_usd_per_kwh})
    item = CapexItem(name=name, kind="battery", usd=o.usd * units, technology=o.technology)
    again = o.replacement_usd_per_kwh * asset.energy_kwh
    title = o.name if units == 1 else f"{units} x {o.name}"
    made = settled(
        case,
        [asset],
        title,
        bought=[Bought(name, item, o.om_usd_per_y * units, again, o.life_y)],
        how=f"as quoted: {o.source}" + ("" if o.verified else " (not verified)"),
        vendor=o.vendor,
    )
    over = [
        f"warranty: {u.name} of {u.used_per_y:,.1f} {u.unit} against {u.limit:,.1f}"
        for w in made.run.wear.values()
        for u in w.warranty
        if u.share_frac is not None and u.share_frac > 1
    ]
    if o.replacement_usd_per_kwh == 0:
        over.append("no replacement_usd_per_kwh is quoted: its wear costs nothing here")
    return replace(made, notes=(*made.notes, *over))
