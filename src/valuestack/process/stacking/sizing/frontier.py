"""The frontier, the best battery at each spend, and what the next kW and kWh are worth."""

from __future__ import annotations

from dataclasses import replace
from math import fsum
from typing import Any

from ....report.sized import Outcome
from ..meters import Step
from .case import Case
from .optimum import Found, is_there
from .prices import size_of
from .settled import settled

FRONTIER = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)


ROUGH = 1e-5  # of the cost: how near the sizes of a frontier and of other prices must be to the best


def frontier_of(case: Case, own: Found, battery: Any, step: Step) -> tuple[Outcome, ...]:
    """The best battery at shares and multiples of the optimum's spend (of the written size's where that is nothing)."""
    if own.problem is None:
        return ()
    price = case.prices[battery.name]
    names = (f"{battery.name}.kw", f"{battery.name}.kwh")
    rate = {names[0]: price.usd_per_kw, names[1]: price.usd_per_kwh}
    if not any(rate.values()):
        return ()
    size = own.sized.size if is_there(battery, own.sized.size) else dict(zip(names, size_of(battery)))
    base = fsum(rate[n] * size[n] for n in names)
    problem = replace(own.problem, gap=ROUGH)
    most = fsum(rate[x.name] * x.upper for x in problem.axes)
    out = []
    for k, share in enumerate(FRONTIER):
        if share * base > most:
            break
        step("frontier", k / len(FRONTIER))
        at = Found((battery,), problem.best(spend=(rate, share * base)), problem)
        if at.at():
            out.append(settled(case, at.at(), f"at {share:g} x the spend", how=at.sized.why))
    return tuple(out)


def next_units(case: Case, own: Found, battery: Any) -> tuple[dict[str, Any], ...]:
    """What one more kW and kWh would save a year, against what they cost, at the optimum and at the written size.

    By the plan's duals, and by planning again with one percent more: at a kink of the least cost, where an optimum
    likes to lie, the dual is one slope of many and the percent says what more would bring.
    """
    if own.problem is None:
        return ()
    out = []
    at = {"the optimum": own.sized.size}
    if battery in case.m.new:
        at["the size written"] = dict(zip((f"{battery.name}.kw", f"{battery.name}.kwh"), size_of(battery)))
    for where, size in at.items():
        inside = all(0 <= size[x.name] <= x.upper for x in own.problem.axes)
        if not inside:
            continue
        here = own.problem.at(size)
        for x in own.problem.axes:
            step = min(0.01 * size[x.name], x.upper - size[x.name])
            ahead = None
            if step > 0:
                more = own.problem.at({**size, x.name: size[x.name] + step})
                ahead = (here.cost_usd - here.capacity_usd - more.cost_usd + more.capacity_usd) / step
            save, cost = here.next_usd[x.name] / case.span_y, x.usd_per_unit / case.span_y
            out.append(
                {
                    "at": where,
                    "size": f"{size[x.name]:,.1f}",
                    "next": "kW" if x.name.endswith(".kw") else "kWh",
                    "saves_usd_per_y": save,
                    "next_percent_saves_usd_per_y": None if ahead is None else ahead / case.span_y,
                    "costs_usd_per_y": cost,
                    "npv_usd": ((save if ahead is None else ahead / case.span_y) - cost)
                    * case.per_usd(1, case.tariff),
                }
            )
    return tuple(out)
