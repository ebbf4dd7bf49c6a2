"""Piecewise linear money: a first slope and hinges.

    f(q) = slope q + sum_k delta_k (q - bound_k)+  - f(0)

Hinges of several functions add, so that the sum is judged, never its parts. A hinge that the quantity cannot
cross is linear or nothing ("pinned"). A rising slope (delta > 0) costs one column and one row; a falling one
needs a binary, since a minimiser would take the cheap piece first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..solve.problem import Affine, Floats, Problem


@dataclass(slots=True, eq=False)
class Hinge:
    """The slope rises by delta (windows,) beyond bound: (windows,) numbers, or expressions."""

    bound: Floats | Affine
    delta: Floats


def merged(hinges: Sequence[Hinge]) -> list[Hinge]:
    """Hinges at equal bounds added up; those without effect dropped."""
    out: list[Hinge] = []
    for h in hinges:
        for other in out:
            same = (
                h.bound is other.bound
                if isinstance(h.bound, Affine) or isinstance(other.bound, Affine)
                else np.array_equal(h.bound, other.bound)
            )
            if same:
                other.delta = other.delta + h.delta
                break
        else:
            out.append(Hinge(h.bound, h.delta))
    return [h for h in out if np.any(h.delta != 0)]


def least_slope(slope: Floats, hinges: Sequence[Hinge]) -> Floats:
    """The smallest slope anywhere, per window; expressions as bounds count at their worst."""
    numeric = [h for h in hinges if not isinstance(h.bound, Affine)]
    worst = slope + sum(
        (np.minimum(h.delta, 0.0) for h in hinges if isinstance(h.bound, Affine)), start=np.zeros_like(slope)
    )
    if not numeric:
        return worst
    bounds = np.stack([np.broadcast_to(np.asarray(h.bound), slope.shape) for h in numeric])
    deltas = np.stack([np.broadcast_to(h.delta, slope.shape) for h in numeric])
    order = np.argsort(bounds, axis=0, kind="stable")
    steps = np.cumsum(np.take_along_axis(deltas, order, axis=0), axis=0)
    return np.asarray(worst + np.minimum(steps.min(axis=0), 0.0), dtype=np.float64)


def piecewise(
    problem: Problem,
    name: str,
    q: Affine,
    slope: Floats,
    hinges: Sequence[Hinge],
    *,
    owner: str,
    reach: tuple[Floats, Floats] | None = None,
) -> Affine:
    """f(q) as an expression that a minimiser drives to its true value, shape of q."""
    low, high = problem.reach(q) if reach is None else reach
    cost = q.times(slope)
    for k, hinge in enumerate(merged(hinges)):
        bound = (
            hinge.bound
            if isinstance(hinge.bound, Affine)
            else Affine(np.asarray(hinge.bound, dtype=np.float64))
        )
        finite = np.isfinite(bound.const)
        if not finite.all():
            bound = Affine(np.where(finite, bound.const, 0.0), bound.row, bound.col, bound.coef)
        cost = cost + _hinge(
            problem,
            f"{name} over {k}",
            q - bound,
            np.where(finite, hinge.delta, 0.0),
            _gap_reach(problem, bound, low, high),
            owner,
        )
        # f(0) = 0: a bound below zero has been crossed where nothing is measured
        cost = cost.plus(
            -np.where(finite, hinge.delta, 0.0) * np.maximum(-bound.const, 0.0) if bound.fixed else 0.0
        )
    return cost


def _gap_reach(problem: Problem, bound: Affine, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    b_low, b_high = problem.reach(bound)
    return low - b_high, high - b_low


def _hinge(
    problem: Problem, name: str, gap: Affine, delta: Floats, reach: tuple[Floats, Floats], owner: str
) -> Affine:
    low, high = reach
    tol = 1e-9 * (1.0 + np.abs(gap.const))
    always, never = low >= -tol, high <= tol
    cost = gap.times(np.where(always & ~never, delta, 0.0))
    rising = np.flatnonzero(~always & ~never & (delta > 0))
    falling = np.flatnonzero(~always & ~never & (delta < 0))
    if rising.size:
        over = Affine.of(problem.add_columns(name, rising.size, owner=owner))
        problem.add_rows(name, over - gap.take(rising), owner=owner, lower=0.0)
        cost = cost + over.times(delta[rising]).gather(rising, gap.n)
    if falling.size:
        lo, hi = low[falling], high[falling]
        if not (np.isfinite(lo).all() and np.isfinite(hi).all()):
            raise InputError(
                f"{name}: a price that falls with the quantity needs a quantity with limits; "
                "give the asset or the meter a greatest power"
            )
        over = Affine.of(problem.add_columns(f"{name}, falling", falling.size, owner=owner, upper=hi))
        beyond = Affine.of(
            problem.add_columns(f"{name}, crossed", falling.size, owner=owner, upper=1.0, integer=True)
        )
        problem.add_rows(
            f"{name}, at most the excess", over - gap.take(falling) - beyond.times(lo), owner=owner, upper=-lo
        )
        problem.add_rows(f"{name}, only when crossed", over - beyond.times(hi), owner=owner, upper=0.0)
        cost = cost + over.times(delta[falling]).gather(falling, gap.n)
    return cost
