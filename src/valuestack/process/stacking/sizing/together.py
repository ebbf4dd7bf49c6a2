"""Everything at once: the sizes of stores and solar beside the loads that move and engines of the best size.

    1. sizes of stores and solar in one problem with the plan, moved loads in it
    2. the engine's size searched beside these
    3. sizes again beside that engine, its power held as the plan of 2 ran it

An engine's size is no line in the problem, so 2 and 3 take turns; the most NPV of the three is kept, each settled from
its own plan. Where no engine has a price there is only 1, and it is the joint optimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Any

from ....errors import ValuestackError
from ....report.sized import Outcome
from ..meters import Step
from .case import Case
from .engine import engine
from .optimum import NOTHING, best_of
from .settled import nothing, settled


def together(
    case: Case,
    sizable: Sequence[Any],
    others: Sequence[Any],
    engines: Sequence[Any],
    notes: list[str],
    step: Step,
) -> list[Outcome]:
    """All assets at their best sizes, [] where that is no other question than the sizes of `sizable`. others: loads
    that move and what else has no size to decide."""
    if not others and not engines:
        return []
    name = " + ".join(a.name for a in (*sizable, *engines, *others))
    step("best sizes of everything together", None)
    try:
        found = best_of(case, sizable, beside=others)
        sets = [[*found.at(), *others]]
        made = [_at(case, sets[0], name, found.sized.why, sizable)]
        for e in engines:
            step(f"size of {e.name} beside the others", None)
            driven = engine(case, e, sets[-1], name)
            kw = driven.sizes.get(e.name, {}).get("kw", 0.0)
            if kw < NOTHING:
                continue
            made.append(driven)
            bought = next(a for a in driven.assets if a.name == e.name)
            step(f"best sizes beside {e.name} at {kw:,.0f} kW", None)
            held = {e.name: driven.run.record.asset_kw[e.name]}
            again = best_of(case, sizable, beside=[*others, bought], held_kw=held)
            sets.append([*again.at(), *others, bought])
            made.append(_at(case, sets[-1], name, f"{again.sized.why}; {e.name} by {driven.how}", sizable))
    except ValuestackError as e:
        notes.append(f"everything together has no plan here: {str(e).splitlines()[0]}")
        return []
    best = max(made, key=lambda o: -inf if o.npv_usd is None else o.npv_usd)
    none = {a.name: {"kw": 0.0} for a in (*sizable, *engines) if a.name not in best.sizes}
    return [replace(best, sizes={**best.sizes, **none})]


def _at(case: Case, assets: Sequence[Any], name: str, how: str, sizable: Sequence[Any]) -> Outcome:
    if not assets:
        return nothing(case, name, f"no size earns its cost: {how}", sizable, "")
    return settled(case, assets, name, how=how)
