"""Circles as polygons: apparent power S >= sqrt(P^2 + Q^2), by tangents, made exact where a plan touches.

For every angle a the tangent cos(a) P + sin(a) Q <= S is valid, so the polygon lies outside the circle and an
optimum on it is a lower bound. `cuts` adds the tangent at each point that lies outside the circle; a few
rounds bring the plan onto it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..solve.problem import Affine, Floats, Problem

SIDES = 8


@dataclass(slots=True, eq=False)
class Disc:
    """sqrt(active^2 + reactive^2) <= apparent, interval by interval; all three affine, shape (n,)."""

    name: str
    owner: str
    active: Affine
    reactive: Affine
    apparent: Affine

    def tangent(self, angle: Floats) -> Affine:
        """cos a P + sin a Q - S, which must not be positive."""
        return self.active.times(np.cos(angle)) + self.reactive.times(np.sin(angle)) - self.apparent

    def add(self, problem: Problem) -> None:
        """The first polygon: SIDES tangents over the angles that (P, Q) can take."""
        first, span = self._sector(problem)
        for k in range(SIDES):
            share = np.where(span >= 2 * np.pi, k / SIDES, k / (SIDES - 1))
            expr = self.tangent(first + span * share)
            _, most = problem.reach(expr)
            need = np.flatnonzero((most > 1e-9) & ((k == 0) | (span > 0)))
            if need.size:
                problem.add_rows(f"{self.name} side {k}", expr.take(need), owner=self.owner, upper=0.0)

    def _sector(self, problem: Problem) -> tuple[Floats, Floats]:
        """First angle and width of the sector of the box of (P, Q); the whole turn if it may hold 0."""
        p_low, p_high = problem.reach(self.active)
        q_low, q_high = problem.reach(self.reactive)
        corners = np.stack([np.arctan2(q, p) for q in (q_low, q_high) for p in (p_low, p_high)])
        first, span = corners.min(axis=0), np.ptp(corners, axis=0)
        # a box that touches the half line of angle pi is given the whole turn too
        whole = (q_low <= 0) & (q_high >= 0) & (p_low <= 0)
        return np.where(whole, 0.0, first), np.where(whole, 2 * np.pi, span)

    def cuts(self, x: Floats, tolerance: float) -> Affine | None:
        """Tangents at the points of x that lie outside by more than `tolerance` kVA, or None."""
        p, q, s = self.active.value(x), self.reactive.value(x), self.apparent.value(x)
        out = np.flatnonzero(np.hypot(p, q) > s + tolerance)
        return self.tangent(np.arctan2(q, p)).take(out) if out.size else None
