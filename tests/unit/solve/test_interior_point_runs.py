"""Runs of rows of one kind: nothing but an order; and the step that their written-out loops make is Newton's."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from valuestack.solve import interior_point as ip
from valuestack.solve import interior_point_kernel as kernel
from valuestack.solve.interior_point_factor_kernel import Factor, Pattern, backward, factorise, forward
from valuestack.solve.interior_point_rows_kernel import kinds, runs
from valuestack.solve.problem import Affine, Problem


def chain(seed: int, n: int = 40) -> tuple[Problem, np.ndarray]:
    """Rows of two to seven entries, some of few kinds and some each of its own, and a few equations."""
    rng = np.random.default_rng(seed)
    p = Problem()
    at = np.arange(n)
    x = [
        p.add_columns(f"x{k}", n, owner="a", cost=rng.uniform(-1, 1, n), lower=-1.0, upper=2.0)
        for k in range(6)
    ]
    top = p.add_columns("top", 2, owner="b", cost=2.0, upper=50.0)
    for k in range(2, 8):
        chosen = rng.permutation(6)[: k - 1]
        own = rng.random() < 0.3
        row = Affine(np.zeros(n))
        for j in chosen:
            coef = rng.uniform(0.2, 1.5, n) if own else float(rng.choice([1.0, -1.0, 0.5, 0.9]))
            row = row + Affine.of(x[j]).times(coef)
        row = row - Affine.of(top[at * 2 // n]).times(float(rng.choice([1.0, 0.3])))
        p.add_rows(f"of {k}", row, owner="a", upper=3.0, lower=np.where(rng.random(n) < 0.3, -60.0, -inf))
    before = Affine(np.zeros(n), at[1:], x[0][:-1], np.full(n - 1, 0.97))
    p.add_rows("balance", Affine.of(x[0]) - before - Affine.of(x[1]), owner="a", lower=0.0, upper=0.0)
    return p, np.concatenate((np.tile(at, 6), [-1, -1]))


def programme(seed: int) -> tuple[kernel.Programme, Pattern]:
    p, stage = chain(seed)
    a = p.arrays()
    low, up = ip._bounds(a)
    unit, usd = ip._scales(a, low, up)
    made, pattern, _, _ = ip._programme(a.cost, low, up, ip._rows(a, low, up, stage), stage, unit, usd)
    return made, pattern


@pytest.mark.parametrize("seed", range(12))
def test_runs_hold_the_coefficients_of_their_rows(seed: int) -> None:
    p, _ = programme(seed)
    assert p.run[0] == 0 and p.run[-1] == p.summed and (np.diff(p.run) > 0).all()
    for q in range(p.run.size - 1):
        coef = p.coef[p.coef_at[q] : p.coef_at[q + 1]]
        for i in range(p.run[q], p.run[q + 1]):
            assert np.array_equal(p.value[p.start[i] : p.start[i + 1]], coef)
    assert p.run.size - 1 < p.summed
    assert {2, 3, 4} < set(np.diff(p.coef_at).tolist())


def test_more_kinds_than_are_told_apart_are_one() -> None:
    rng = np.random.default_rng(1)
    start = np.arange(0, 303, 3)
    value, index = rng.normal(size=300), np.tile([0, 1, 2], 100)
    value[150:] = np.tile(value[:3], 50)
    found = kinds(start, index, value.view(np.int64), np.arange(3), np.ones(100, dtype=bool), 8)
    assert found[:8].tolist() == list(range(8))
    assert (found[8:50] == 8).all() and (found[50:] == 0).all()
    turned = kinds(start, np.tile([0, 1, 2, 0, 2, 1], 50), np.ones(300).view(np.int64), np.arange(3),
                   np.ones(100, dtype=bool), 8)  # fmt: skip
    assert turned.tolist() == [0, 1] * 50
    run, at, coef = runs(start, value, 100)
    assert run[-2:].tolist() == [50, 100] and at[-1] == coef.size == 153


@pytest.mark.parametrize("seed", range(24))
def test_the_step_is_that_of_newton_with_the_second_order(seed: int) -> None:
    p, k = programme(seed)
    s = kernel.begin(p, k, np.array(ip.TUNE))
    n, m, mi = s.x.size, p.bound.size, p.unequal
    a = np.zeros((m, n))
    a[np.repeat(np.arange(m), np.diff(p.start)), p.column] = p.value
    w, f = kernel._work(n, mi, m - mi, m - p.summed), Factor(np.empty(k.below.size), np.empty(n))
    kernel.residuals(p, s, w.rd, w.rp)
    mu = 0.3
    primal = dual = 0.0
    for _ in range(3):
        kernel.load(p, k, s, w, f, primal, dual)
        total = (s.g * s.v).sum() + (s.sl * s.wl + s.su * s.wu).sum()
        rd = p.cost - a[:mi].T @ s.v - a[mi:].T @ s.y - s.wl + s.wu
        rp = a @ s.x - p.bound
        rp[:mi] -= s.g
        assert w.rd == pytest.approx(rd, abs=1e-8) and w.rp == pytest.approx(rp, abs=1e-8)
        factorise(k, f, w.dx)
        backward(k, f, w.dx)
        near, steep, one, two, three = kernel.predicted(p, s, w)
        dx, dg = w.dx.copy(), w.dg.copy()
        assert a[:mi] @ dx - dg == pytest.approx(-rp[:mi], abs=1e-7)
        dv = -s.v - s.v * dg / s.g
        dwl, dwu = -s.wl - s.wl * dx / s.sl, -s.wu + s.wu * dx / s.su
        sides = ((dv, s.v), (dwl[s.wl > 0], s.wl[s.wl > 0]), (dwu[s.wu > 0], s.wu[s.wu > 0]))
        takes = [
            np.concatenate((-dg / s.g, -dx / s.sl, dx / s.su)).max(),
            max(np.max(-d / u) for d, u in sides),
        ]
        assert (1 / near, 1 / steep) == pytest.approx(takes, rel=1e-6)
        sums = [
            s.v @ dg + s.wl @ dx - s.wu @ dx,
            s.g @ dv + s.sl @ dwl + s.su @ dwu,
            dg @ dv + dx @ dwl - dx @ dwu,
        ]
        assert (one, two, three) == pytest.approx(sums, rel=1e-6, abs=1e-6 * total)
        forward(k, f, w.by_one, w.by_mu, mu)
        backward(k, f, w.by_one)
        primal, dual = kernel.corrected(p, s, w, mu)
        assert a[:mi] @ w.dx - w.dg == pytest.approx(-rp[:mi], abs=1e-7)
        assert a[mi:] @ w.dx == pytest.approx(-rp[mi:], abs=1e-6)
        assert s.v * w.dg + s.g * w.dv == pytest.approx(mu - s.g * s.v - dg * dv, rel=1e-6, abs=1e-7)
        low, up = p.has_low > 0, p.has_up > 0
        first = s.wl * w.dx + s.sl * w.dwl - (mu - s.sl * s.wl - dx * dwl)
        second = -s.wu * w.dx + s.su * w.dwu - (mu - s.su * s.wu + dx * dwu)
        assert np.abs(first[low]).max() < 1e-7 and np.abs(second[up]).max() < 1e-7
        drd = -a[:mi].T @ w.dv - a[mi:].T @ w.dy - w.dwl + w.dwu
        assert w.drd == pytest.approx(drd, abs=1e-8) and rd + w.drd == pytest.approx(0.0, abs=1e-6)
        takes = [np.concatenate((-w.dg / s.g, -w.dx[low] / s.sl[low], w.dx[up] / s.su[up])).max(),
                 np.concatenate((-w.dv / s.v, -w.dwl[low] / s.wl[low], -w.dwu[up] / s.wu[up])).max()]  # fmt: skip
        assert (1 / primal, 1 / dual) == pytest.approx(takes, rel=1e-6)
        primal, dual = min(0.9 * primal, 1.0), min(0.9 * dual, 1.0)
