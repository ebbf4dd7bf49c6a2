"""Moving load against buying a battery: capital, saving, and the battery price at which the order turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Any

from ....report.sized import Outcome, ranked
from ..meters import Step
from .case import Case
from .frontier import ROUGH
from .optimum import Found, of_found


def moving_or_buying(
    case: Case, alone: Sequence[Outcome], own: Found, battery: Any, step: Step
) -> dict[str, Any] | None:
    """The best of the site's loads that can move against the best battery: capital, saving, and the battery price at
    which the order by NPV for a dollar turns."""
    loads = [o for o in alone if o.moved_kw is not None and len(o.sizes) == 1 and o.capex_usd]
    if not loads:
        return None
    load = ranked(loads)[0]
    buy = next(o for o in alone if o.name == battery.name)
    note = ""
    if not buy.capex_usd:
        buy = next((o for o in alone if o.name == f"{battery.name} as written"), buy)
        note = "no battery pays at its price"
    step("the battery price at which the order turns", None)
    flip = _flip(case, own, battery, load)
    return {
        "load": load.to_dict(),
        "battery": buy.to_dict(),
        "capital_ratio": None if not buy.capex_usd else buy.capex_usd / (load.capex_usd or inf),
        "saving_ratio": None if load.saving_usd_per_y <= 0 else buy.saving_usd_per_y / load.saving_usd_per_y,
        "flip": flip,
        "note": note,
    }


def _flip(case: Case, own: Found, battery: Any, load: Outcome) -> dict[str, Any] | None:
    """The multiple of the battery's price at which its NPV for a dollar, at the size best at that price, equals that of
    the moved load; and at which its NPV is as large."""
    if own.problem is None or load.npv_per_usd is None or load.npv_usd is None:
        return None
    price = case.prices[battery.name]
    problem = replace(own.problem, gap=ROUGH)
    base = {x.name: x.usd_per_unit for x in problem.axes}

    def at(times: float) -> Outcome:
        cheap = price.model_copy(
            update={k: getattr(price, k) * times for k in ("usd", "usd_per_kw", "usd_per_kwh")}
        )
        best = problem.best({k: v * times for k, v in base.items()})
        other = replace(case, prices={**case.prices, battery.name: cheap})
        return of_found(other, Found((battery,), best, problem), "battery")

    out: dict[str, Any] = {}
    for what, target in (("by NPV for a dollar", load.npv_per_usd), ("by NPV", load.npv_usd)):
        low, high, last = 0.02, 1.0, None

        def better(o: Outcome, target: float = target, what: str = what) -> bool:
            value = o.npv_usd if what == "by NPV" else o.npv_per_usd
            return value is not None and value >= target

        if better(at(high)):
            out[what] = {"price_times": None, "why": "the battery is ahead at its price"}
            continue
        first = at(low)
        if not better(first):
            out[what] = {"price_times": None, "why": f"not even at {low:.0%} of its price"}
            continue
        last = first
        for _ in range(6):
            middle = (low * high) ** 0.5
            o = at(middle)
            if better(o):
                low, last = middle, o
            else:
                high = middle
        out[what] = {
            "price_times": low,
            "usd_per_kw": price.usd_per_kw * low,
            "usd_per_kwh": price.usd_per_kwh * low,
            "fixed_usd": price.usd * low,
            "size": last.words,
            "capex_usd": last.capex_usd,
            "npv_usd": last.npv_usd,
            "within_frac": high / low - 1,
        }
    return out
