"""The size of an engine, by a search over settled plans: its least load and its switches are not affine in it.

    kW = argmax NPV(kW),  0 <= kW <= the price's max_kw, or twice the size written

Each size is a plan with the future known, settled by every stream from its record. NPV need not be concave in the size
(a least load, a start's cost, a fixed price), so a grid is looked at before the steps get finer, and the ends and the
size written are on it; nothing is proved of what lies between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

from ....errors import InfeasibleError, InputError, SolverError
from ....report.sized import Outcome
from ....stack.sizing import Axis, search
from .case import Case
from .optimum import NOTHING, resized
from .prices import size_of
from .settled import nothing, settled

GRID = 5  # sizes from nothing to the most
MOST = 18  # plans
TOLERANCE = 0.02  # of the range: how near neighbouring sizes get
MOST_S = 240.0  # of the whole search; what was found until then stands


def engine(case: Case, a: Any, beside: Sequence[Any] = (), name: str = "") -> Outcome:
    """An engine at the size of most NPV, beside other assets. Where none earns its cost: nothing, with the size that
    comes nearest to it in `how`. Errors: InfeasibleError where no size has a plan."""
    axis = axis_of(case, a)
    title = name or a.name
    seen: dict[float, Outcome] = {}

    def cost(size: Mapping[str, float]) -> float:
        there = [resized(a, size)] if size[axis.name] >= NOTHING else []
        if not there and not beside:
            return 0.0
        try:
            made = settled(case, [*beside, *there], title)
        except (InfeasibleError, SolverError, InputError):
            return inf  # a size that cannot hold what is asked, or has no plan in time, cannot be had
        if made.npv_usd is None:
            return inf
        seen[size[axis.name]] = made
        return -made.npv_usd

    start = [{axis.name: size_of(a)[0]}] if size_of(a)[0] <= axis.upper else []
    best = search(
        [axis], cost, start=start, most=MOST, grid=GRID, tolerance=TOLERANCE, most_s=MOST_S, reason=_WHY
    )
    at = best.size[axis.name]
    found = seen.get(at)
    if at >= NOTHING and found is not None:
        return replace(found, how=best.why, notes=(*found.notes, *_edge(axis, at)))
    nearest = max((kw for kw in seen if kw >= NOTHING), key=lambda kw: seen[kw].npv_usd or 0.0, default=None)
    said = f"no size earns its cost: {best.why}"
    if nearest is not None:
        said += f"; the nearest is {nearest:,.0f} kW at an NPV of {seen[nearest].npv_usd:,.0f} USD"
    if found is not None:
        return replace(found, how=said)
    return nothing(case, title, said, [a], "search")


_WHY = "an engine's least load and switches are no line in its size"


def axis_of(case: Case, a: Any) -> Axis:
    """The engine's kW from nothing to the price's max_kw, or to twice what is written."""
    return Axis(f"{a.name}.kw", case.prices[a.name].max_kw or 2 * size_of(a)[0], 0.0)


def _edge(axis: Axis, at: float) -> list[str]:
    if at < 0.999 * axis.upper:
        return []
    return [
        f"{axis.name}: the best size lies at the end of its range, {axis.upper:,.0f}; give max_kw in a price"
    ]
