"""Whether what assets and streams state is affine in the sizes, and how bounds of a problem move with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from ...flows import Offer
from ...solve.problem import Arrays, Floats
from ...terms import Term
from .axis import Axis, Sizes

STEP = 2.0**-7  # of the greatest size: slopes are exact, so the step only has to keep the structure
AFFINE = 1e-7  # relative: how far what is stated at a middle size may lie off the line
LOW = 2.0**-7  # of the greatest size: the least at which a model is asked, since nothing is built at zero
Model = Callable[[Sizes], tuple[Sequence[Offer], Sequence[Term]]]


def not_affine(axes: Sequence[Axis], model: Model, high: Sizes) -> str | None:
    """Why what assets and streams state is not affine in the sizes, or None.

    Stated at the greatest sizes, at each axis small, at all small and in the middle: f is affine where
    f(middle) = mean of f(high) and f(low), and f(low) = f(high) + sum of the axes' own changes.
    """
    low = {a.name: max(a.lower, LOW * a.upper) for a in axes}
    free = [a for a in axes if low[a.name] < high[a.name]]
    if not free:
        return None
    middle = {n: 0.5 * (low[n] + high[n]) for n in high}
    top, bottom, half = (_numbers(model(at)) for at in (high, low, middle))
    alone = {a.name: _numbers(model({**high, a.name: low[a.name]})) for a in free}
    for where, value in top.items():
        others = [bottom.get(where), half.get(where), *(v.get(where) for v in alone.values())]
        if any(o is None or o.shape != value.shape for o in others):
            return f"{where} depends on the size"
        fine = np.isfinite(value)
        if any(not np.array_equal(np.isfinite(o), fine) for o in others if o is not None):
            return f"{where} is a limit at some sizes only"
        at_low, at_half = bottom[where][fine], half[where][fine]
        v = value[fine]
        scale = AFFINE * (1 + np.maximum(np.abs(v), np.abs(at_low)))
        own = sum((n[where][fine] - v for n in alone.values()), np.zeros(v.size))
        if (np.abs(at_half - 0.5 * (v + at_low)) > scale).any() or (np.abs(v + own - at_low) > scale).any():
            return f"{where} is not affine in the size"
    if any(len(n) != len(top) for n in (bottom, half, *alone.values())):
        return "what is offered or asked depends on the size"
    return None


def _numbers(stated: tuple[Sequence[Offer], Sequence[Term]]) -> dict[str, Floats]:
    """Every number in offers and terms by its place."""
    out: dict[str, Floats] = {}

    def walk(value: Any, where: str) -> None:
        if value is None or isinstance(value, (str, bool)) or callable(value):
            return
        if isinstance(value, (int, float)):
            out[where] = np.array([float(value)])
        elif isinstance(value, np.ndarray):
            out[where] = np.asarray(value, dtype=np.float64).ravel()
        elif is_dataclass(value) and not isinstance(value, type):
            for f in fields(value):
                walk(getattr(value, f.name), f"{where}.{f.name}")
        elif isinstance(value, Mapping):
            for k, v in value.items():
                walk(v, f"{where}.{k}")
        elif isinstance(value, (tuple, list)):
            for k, v in enumerate(value):
                walk(v, f"{where}[{k}]")

    offers, terms = stated
    for o in offers:
        walk(o, o.name)
    for k, t in enumerate(terms):
        walk(t, f"{t.owner}, {t.name} ({k})")
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Slope:
    """How bounds and offset move with one size."""

    lower: Floats
    upper: Floats
    row_lower: Floats
    row_upper: Floats
    offset: float


def slope_of(a: Arrays, b: Arrays, step: float) -> Slope | str:
    """Slopes of the bounds of problem `a` against `b`, whose size is smaller by `step`; or why there are none."""
    same = a.cost.shape == b.cost.shape and a.row_lower.shape == b.row_lower.shape
    if not same or a.index.shape != b.index.shape or not np.array_equal(a.index, b.index):
        return "which rows and columns there are depends on the size"
    if (
        not np.allclose(a.value, b.value, rtol=1e-12, atol=0.0)
        or not np.array_equal(a.start, b.start)
        or not np.array_equal(a.integer, b.integer)
    ):
        return "coefficients of the problem move with the size"
    if not np.allclose(a.cost, b.cost, rtol=1e-12, atol=1e-15):
        return "prices of the problem move with the size"
    found = []
    for one, two in (
        (a.lower, b.lower),
        (a.upper, b.upper),
        (a.row_lower, b.row_lower),
        (a.row_upper, b.row_upper),
    ):
        if not np.array_equal(np.isfinite(one), np.isfinite(two)):
            return "which limits there are depends on the size"
        fine = np.isfinite(one)
        slope = np.zeros(one.size)
        slope[fine] = (one[fine] - two[fine]) / step
        # What rounding leaves of equal numbers is no slope.
        slope[np.abs(slope) * step < 1e-13 * (1 + np.abs(np.where(fine, one, 0.0)))] = 0.0
        found.append(slope)
    return Slope(found[0], found[1], found[2], found[3], (a.offset - b.offset) / step)
