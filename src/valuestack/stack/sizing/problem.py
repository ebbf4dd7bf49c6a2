"""Sizes as decisions: the best kW and kWh in the same problem as the plan, and what the next unit is worth.

    minimise  payments + cost of operation + sum over sizes of (cost of a unit x size)

Where offers and terms are affine in the sizes, so are the bounds of the compiled problem, and the matrix stays as it
is. Then each size is one more column, whose coefficients are the slopes of those bounds, and one solve finds plan and
sizes together; that the shapes are affine is tested on what assets and streams state at several sizes, and a
problem whose coefficients move with a size (an engine's least load) is refused in words. `search` takes those: a
bounded search over the value that each size has by itself.

The value of the next unit is the sensitivity of the least cost to the size (Boyd and Vandenberghe, Convex
Optimization, section 5.6): with row duals y, bounds r(s) = r0 + R s and offset o(s) = o0 + o's it is R'y - o'.

Every plan in here knows the future: what it says of a size is a bound. Money is settled elsewhere, from the record of
a plan at the size found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...errors import InputError
from ...solve.problem import Arrays, Floats
from ...timeline import Timeline
from ..compile import Compiled, compile_problem
from ..staged import LARGE
from .affine import STEP, Model, Slope, not_affine, slope_of
from .axis import Axis, Sized, Sizes
from .columns import by_columns
from .cuts import Cut, by_cuts

if TYPE_CHECKING:
    from ...solve.highs import Progress

Method = Literal["auto", "columns", "cuts"]
MANY = 1_200  # columns: from here on plan and sizes are taken apart, where that can be


def joint(
    horizon: Timeline,
    load_kw: Floats,
    axes: Sequence[Axis],
    model: Model,
    *,
    load_kvar: Floats | None = None,
    import_limit_kw: float | Floats = inf,
    export_limit_kw: float | Floats = 0.0,
    gap: float = 1e-6,
    time_limit_s: float = inf,
    method: Method = "auto",
    progress: Progress | None = None,
) -> Joint | str:
    """The problem of plan and sizes together, or why it is not affine in its sizes.

    model: offers and terms at given sizes. gap: of the cost. method: 'columns' adds each size as a column and solves
    once, 'cuts' takes plan and sizes apart (linear problems only), 'auto' the one that is quicker. Charging and
    discharging at once is not excluded, so that where prices fall below zero the cost found is a relaxation.
    Errors: those of compile_problem.
    """
    if not axes:
        raise InputError("no size to decide; name at least one axis")
    high = {a.name: a.upper for a in axes}
    said = not_affine(axes, model, high)
    if said is not None:
        return said

    def compiled(at: Sizes) -> Compiled:
        offers, terms = model(at)
        return compile_problem(
            horizon,
            load_kw,
            offers,
            terms,
            load_kvar=load_kvar,
            import_limit_kw=import_limit_kw,
            export_limit_kw=export_limit_kw,
            whole=True,
        )

    made = compiled(high)
    if made.discs:
        return "apparent power bounds it by circles, whose sides move with the size"
    base = made.problem.arrays()
    slopes: list[Slope] = []
    for a in axes:
        other = compiled({**high, a.name: a.upper * (1 - STEP)}).problem.arrays()
        slope = slope_of(base, other, a.upper * STEP)
        if isinstance(slope, str):
            return f"{a.name}: {slope}"
        slopes.append(slope)
    switched = made.problem.has_integers
    if method == "cuts" and switched:
        return "it has choices between yes and no"
    if method == "auto" and switched and made.problem.width >= LARGE:
        return "it has choices between yes and no over a long horizon"
    by_cuts = method == "cuts" or (method == "auto" and not switched and made.problem.width >= MANY)
    return Joint(made, base, tuple(axes), tuple(slopes), gap, time_limit_s, by_cuts, progress)


@dataclass(slots=True, eq=False)
class Joint:
    """A problem whose sizes are decisions, asked as often as wanted: for the best sizes, under other prices, at a
    given spend, or at held sizes. What its plans prove is kept from one question to the next."""

    made: Compiled
    base: Arrays
    axes: tuple[Axis, ...]
    slopes: tuple[Slope, ...]
    gap: float
    time_limit_s: float
    by_cuts: bool
    progress: Progress | None
    cuts: list[Cut] = field(default_factory=list)

    def best(
        self,
        usd_per_unit: Mapping[str, float] | None = None,
        spend: tuple[Mapping[str, float], float] | None = None,
    ) -> Sized:
        """The sizes of least cost. usd_per_unit: other costs of a unit over the horizon than the axes'. spend: (price
        of a unit by axis, sum): the sizes cost exactly this sum at these prices. Errors: SolverError."""
        axes = [
            Axis(a.name, a.upper, a.usd_per_unit if usd_per_unit is None else usd_per_unit[a.name], a.lower)
            for a in self.axes
        ]
        line = None
        if spend is not None:
            line = (np.array([spend[0][a.name] for a in axes]), spend[1])
            most = sum(v * a.upper for v, a in zip(line[0], axes))
            if not 0 <= line[1] <= most * (1 + 1e-12):
                raise InputError(
                    f"spend of {line[1]:,.2f} USD; sizes within their ranges cost up to {most:,.2f}"
                )
        return self._answer(axes, line)

    def at(self, size: Sizes) -> Sized:
        """The plan at held sizes: its cost, and what the next unit of each would save."""
        return self._answer([Axis(a.name, a.upper, a.usd_per_unit, a.lower) for a in self.axes], None, size)

    def _answer(
        self, axes: Sequence[Axis], line: tuple[Floats, float] | None, held: Sizes | None = None
    ) -> Sized:
        if self.by_cuts:
            return by_cuts(self, axes, line, held)
        return by_columns(self, axes, line, held)
