"""The size of an engine, by a search over settled plans: its least load and its switches are not affine in it."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from ....report.sized import Outcome
from ....stack.sizing import Axis, search
from .case import Case
from .optimum import NOTHING, resized
from .prices import size_of
from .settled import settled


def engine(case: Case, a: Any) -> Outcome:
    """An engine at the size of most NPV, by a search over settled plans."""
    kw, _ = size_of(a)
    axis = Axis(f"{a.name}.kw", case.prices[a.name].max_kw or 2 * kw, 0.0)
    seen: dict[float, Outcome] = {}

    def cost(size: Mapping[str, float]) -> float:
        if size[axis.name] < NOTHING:
            return 0.0
        made = settled(case, [resized(a, size)], a.name, how="a bounded search over settled plans")
        seen[size[axis.name]] = made
        return -(made.npv_usd or 0.0)

    best = search([axis], cost, most=8, tolerance=0.05)
    return seen.get(best.size[axis.name]) or max(seen.values(), key=lambda o: o.npv_usd or -inf)
