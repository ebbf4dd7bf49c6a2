"""Rows that the interior point leaves out are implied by those that it keeps; its factor solves what it is given."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from valuestack.solve import interior_point_factor_kernel as factor
from valuestack.solve.highs import Options, Warm
from valuestack.solve.interior_point import LONG, proved, solve
from valuestack.solve.interior_point_rows_kernel import distinct, live
from valuestack.solve.problem import Affine, Arrays, Problem


def chain(seed: int, n: int = 24) -> Problem:
    """Charge and discharge of n stages, awards of blocks beside them, and rows that often ask for less than others."""
    rng = np.random.default_rng(seed)
    p = Problem()
    c = p.add_columns("c", n, owner="a", cost=rng.uniform(-1, 2, n), upper=2.0)
    d = p.add_columns("d", n, owner="a", cost=rng.uniform(-1, 2, n), upper=2.0)
    r = p.add_columns("r", n // 4, owner="b", cost=rng.uniform(-1, 0.2, n // 4), upper=rng.uniform(0.5, 3))
    top = p.add_columns("top", 1, owner="b", cost=3.0, upper=9.0)
    net = Affine.of(c) - Affine.of(d)
    award = Affine.of(r[np.arange(n) // 4])
    for k in range(6):
        share = float(rng.choice([0.0, 0.01, 0.5, 1.0, -0.3]))
        turn = float(rng.choice([1.0, -1.0, 2.0, -0.5]))
        low = np.where(rng.random(n) < 0.6, -rng.uniform(0.5, 3, n), -inf)
        high = np.where(rng.random(n) < 0.4, rng.uniform(1.5, 4, n), inf)
        if turn < 0:
            low, high = -high, -low
        p.add_rows(f"room {k}", (net + award.times(share)).times(turn), owner="a", lower=low, upper=high)
    p.add_rows("twice", net.times(-2.0), owner="a", lower=-5.0, upper=3.5)
    p.add_rows("again", net, owner="a", lower=-1.75, upper=2.25)
    p.add_rows("top", net - Affine.of(np.repeat(top, n)), owner="b", upper=0.0)
    total = (Affine.of(c).times(0.9) - Affine.of(d)).gather(np.arange(n) // 12, n // 12)
    p.add_rows("even", total, owner="a", lower=0.0, upper=0.0)
    return p


def stage_of(n: int = 24) -> np.ndarray:
    return np.concatenate((np.arange(n), np.arange(n), np.full(n // 4 + 1, -1)))


def kept(a: Arrays, stage: np.ndarray) -> tuple[np.ndarray, ...]:
    row, start, index, value, least, most, worst = live(
        a.start, a.index, a.value, a.row_lower, a.row_upper, a.lower, np.zeros(a.cost.size, dtype=bool)
    )
    assert worst <= 0.0
    before = np.isfinite(least).sum() + np.isfinite(most).sum()
    by_least, f_least, by_most, f_most, _ = distinct(
        start, index, value, least, most, stage >= 0, a.lower, a.upper, LONG
    )
    assert np.isfinite(least).sum() + np.isfinite(most).sum() < before
    return row, start, index, value, least, most, by_least, f_least, by_most, f_most


def dense(start: np.ndarray, index: np.ndarray, value: np.ndarray, width: int) -> np.ndarray:
    out = np.zeros((start.size - 1, width))
    out[np.repeat(np.arange(start.size - 1), np.diff(start)), index] = value
    return out


@pytest.mark.parametrize("seed", range(30))
def test_what_is_left_out_is_implied(seed: int) -> None:
    a = chain(seed).arrays()
    row, start, index, value, least, most, by_least, f_least, by_most, f_most = kept(a, stage_of())
    small, whole = dense(start, index, value, a.cost.size), dense(a.start, a.index, a.value, a.cost.size)
    rng = np.random.default_rng(seed)
    x = a.lower + (a.upper - a.lower) * rng.random((4000, a.cost.size))
    x[:, :48] = np.where(rng.random((4000, 1)) < 0.5, x[:, :48] * 0.3, x[:, :48])
    # How far each point breaks what is kept, and what was asked: the latter is never more, row by row of its kind.
    near = np.maximum(least - x @ small.T, x @ small.T - most)
    asked = np.maximum(a.row_lower - x @ whole.T, x @ whole.T - a.row_upper)
    fine = (near <= 0).all(axis=1)
    assert (asked[fine] <= 1e-9).all()
    # Stage by stage, where points seldom keep all rows at once: any row broken shows in a kept one on its own columns.
    for i in np.flatnonzero(np.diff(a.start) <= 3):
        timed = set(a.index[a.start[i] : a.start[i + 1]]) & set(range(48))
        mine = [k for k in range(row.size) if set(index[start[k] : start[k + 1]]) & set(range(48)) == timed]
        broken = asked[:, i] > 1e-9
        assert (near[broken][:, mine].max(axis=1) > 0).all()
    # A bound taken from another row is that row's, by the factor told.
    for by, f in ((by_least, f_least), (by_most, f_most)):
        assert whole[row[by]] == pytest.approx(whole[row] * f[:, None])


@pytest.mark.parametrize("seed", range(30))
def test_with_them_left_out_the_optimum_and_its_proof_are_those_of_highs(seed: int) -> None:
    p = chain(seed)
    a = p.arrays()
    found = solve(a, stage_of(), gap=1e-8)
    judge = Warm(p, Options()).run()
    assert not isinstance(found, str), found
    size = max(1.0, abs(judge.objective))
    assert found.objective == pytest.approx(judge.objective, abs=1e-7 * size)
    assert found.lower_bound <= judge.objective + 1e-9 * size
    assert proved(a, a.lower, a.upper, found.row_dual) == pytest.approx(judge.objective, abs=1e-6 * size)


def test_two_rows_that_make_an_equation_are_one() -> None:
    p = chain(1)
    net = Affine.of(np.arange(24)) - Affine.of(np.arange(24, 48))
    p.add_rows("at least", net.times(3.0).take(np.arange(4)), owner="x", lower=0.6)
    p.add_rows("at most", net.times(-2.0).take(np.arange(4)), owner="x", lower=-0.4)
    found = solve(p.arrays(), stage_of(), gap=1e-8)
    judge = Warm(p, Options()).run()
    assert not isinstance(found, str), found
    assert found.objective == pytest.approx(judge.objective, abs=1e-7 * max(1.0, abs(judge.objective)))
    assert found.x[:4] - found.x[24:28] == pytest.approx(0.2, abs=1e-7)


@pytest.mark.parametrize("seed", range(20))
def test_the_factor_solves_random_quasidefinite_matrices(seed: int) -> None:
    """Columns with any number of entries, those written out and those that are not, against a dense solver."""
    rng = np.random.default_rng(seed)
    n = 30
    full = np.tril(rng.normal(size=(n, n)) * (rng.random((n, n)) < rng.uniform(0.03, 0.3)), -1)
    sign = np.where(rng.random(n) < 0.3, -1.0, 1.0)
    k = full + full.T
    k *= (sign[:, None] * sign < 0) | (
        np.abs(k) > 2
    )  # quasidefinite: blocks of one sign are dominated by the diagonal
    k += np.diag(sign * (1.0 + np.abs(k).sum(axis=1)))
    low = np.tril(k, -1)
    begin = np.concatenate(([0], np.cumsum((low != 0).sum(axis=0)))).astype(np.int64)
    lower = np.concatenate([np.flatnonzero(low[:, j]) for j in range(n)]).astype(np.uint32)
    first, below = factor.elimination(n, begin, lower)
    entries = np.concatenate([low[below[first[j] : first[j + 1]], j] for j in range(n)])
    pattern = factor.Pattern(
        first, below, entries, np.zeros(0, np.uint32), factor.updates(first, below), np.diag(k).copy()
    )
    f, r = factor.Factor(entries.copy(), np.diag(k).copy()), rng.normal(size=n)
    x = r.copy()
    assert factor.factorise(pattern, f, x) == 0
    factor.backward(pattern, f, x)
    assert x == pytest.approx(np.linalg.solve(k, r), rel=1e-9, abs=1e-12)
    one, two = rng.normal(size=n), rng.normal(size=n)
    y = one.copy()
    factor.forward(pattern, f, y, two, 0.3)
    factor.backward(pattern, f, y)
    assert y == pytest.approx(np.linalg.solve(k, one + 0.3 * two), rel=1e-9, abs=1e-12)


def test_ranking_by_counting_is_a_stable_sort() -> None:
    rng = np.random.default_rng(2)
    for size in (0, 1, 50):
        key, order = rng.integers(0, 9, size), rng.permutation(size)
        assert factor.ranked(order, key).tolist() == order[np.argsort(key[order], kind="stable")].tolist()
