"""Compiled passes over sparse rows against numpy, on random matrices."""

from __future__ import annotations

import numpy as np
import pytest

from valuestack.solve import sparse_kernel as kernel
from valuestack.solve.problem import MANY, Affine, Problem


def triplets(seed: int, n: int = 30, width: int = 60) -> Affine:
    """Entries in no order, many on one place, some that cancel, one row longer than insertion is used for."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 400))
    row, col = rng.integers(0, n, size), rng.integers(0, width, size)
    row[: size // 3] = 7
    coef = rng.integers(-2, 3, size).astype(float)
    return Affine(rng.normal(size=n), row, col, coef)


@pytest.mark.parametrize("seed", range(40))
def test_merging_is_that_of_numpy(seed: int) -> None:
    e = triplets(seed)
    slow = e.merged()  # small enough for numpy
    row, col, coef = kernel.merged(e.row, e.col, e.coef, e.n)
    assert kernel.ordered(row, col)
    kept = slow.coef != 0.0
    assert row.tolist() == slow.row[kept].tolist() and col.tolist() == slow.col[kept].tolist()
    assert coef == pytest.approx(slow.coef[kept])


@pytest.mark.parametrize("seed", range(10))
def test_products_are_those_of_the_dense_matrix(seed: int) -> None:
    rng = np.random.default_rng(seed)
    e = triplets(seed).merged()
    dense = np.zeros((e.n, 60))
    dense[e.row, e.col] = e.coef
    start = np.searchsorted(e.row, np.arange(e.n + 1)).astype(np.int64)
    x, y, cost = rng.normal(size=60), rng.normal(size=e.n) * (rng.random(e.n) < 0.7), rng.normal(size=60)
    assert kernel.activity(start, e.col, e.coef, x) == pytest.approx(dense @ x)
    assert kernel.reduced(cost, start, e.col, e.coef, y) == pytest.approx(cost - dense.T @ y)
    low = rng.normal(size=60)
    high = low + rng.random(60)
    least, most = kernel.reach(e.const, e.row, e.col, e.coef, low, high)
    up, down = np.maximum(dense, 0), np.minimum(dense, 0)
    assert least == pytest.approx(e.const + up @ low + down @ high)
    assert most == pytest.approx(e.const + up @ high + down @ low)


def test_room_of_a_column_is_what_its_tightest_row_leaves() -> None:
    start, index = np.array([0, 2, 4]), np.array([0, 1, 0, 1])
    value = np.array([1.0, -2.0, 0.5, 1.0])
    out = np.array([10.0])
    args = (start, index, value, np.array([-1.0, -9.0]), np.array([5.0, 3.0]), np.array([1.0, 1.0]))
    slot = np.array([0, -1])
    kernel.room(*args, np.array([True, True]), slot, 1.0, out)
    assert out[0] == pytest.approx(3.0)  # the second row: 0.5 x + 1 <= 3 from x = 1
    out[0] = 10.0
    kernel.room(*args, np.array([True, False]), slot, -1.0, out)
    assert out[0] == pytest.approx(0.0)  # the first stands at its least


def test_large_expressions_are_merged_and_reached_like_small_ones() -> None:
    rng = np.random.default_rng(3)
    n = 2 * MANY
    e = (
        Affine.of(rng.integers(0, n, n))
        + Affine.of(rng.integers(0, n, n), 2.0)
        - Affine.of(np.arange(n)[::-1])
    )
    p = Problem()
    low = rng.normal(size=n)
    p.add_columns("x", n, owner="a", lower=low, upper=low + rng.random(n))
    x = low + 0.5 * (p.columns[0].upper - low)
    assert e.merged().value(x) == pytest.approx(e.value(x))
    least, most = p.reach(e)
    assert (least <= e.value(x) + 1e-12).all() and (most >= e.value(x) - 1e-12).all()
    part = e.take(np.arange(50))
    assert p.reach(part)[0] == pytest.approx(least[:50]) and p.reach(part)[1] == pytest.approx(most[:50])
