"""The builder: blocks, expressions, listing."""

from math import inf

import numpy as np
import pytest
from scipy.sparse import csr_array

from valuestack.solve.problem import Affine, Problem, stacked


def test_expressions_add_scale_gather_and_take() -> None:
    x = np.arange(4)
    e = Affine.of(x, [1.0, 2.0, 3.0, 4.0], const=10.0)
    at = np.array([1.0, 2.0, 3.0, 4.0])
    assert e.value(at).tolist() == [11.0, 14.0, 19.0, 26.0]
    assert (e + e).merged().value(at).tolist() == [22.0, 28.0, 38.0, 52.0]
    assert (e - e).merged().fixed
    assert e.times([1.0, 0.0, 2.0, 1.0]).value(at).tolist() == [11.0, 0.0, 38.0, 26.0]
    assert e.gather(np.array([0, 0, -1, 1]), 2).value(at).tolist() == [25.0, 26.0]
    assert e.take(np.array([3, 1])).value(at).tolist() == [26.0, 14.0]
    assert stacked([e, e.take(np.array([0]))]).value(at).tolist() == [11.0, 14.0, 19.0, 26.0, 11.0]


def test_sparse_mixing_is_the_matrix_product() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        e = Affine.of(rng.integers(0, 6, 5), rng.normal(size=5), rng.normal(size=5)) + Affine.of(
            rng.integers(0, 6, 5)
        )
        w = rng.normal(size=(3, 5)) * (rng.random((3, 5)) < 0.6)
        row, col = np.nonzero(w)
        x = rng.normal(size=6)
        assert e.mixed(row, col, w[row, col], 3).value(x) == pytest.approx(w @ e.value(x))


def test_listing_is_canonical() -> None:
    p = Problem()
    x = p.add_columns("x", 2, owner="a", cost=[0.1 + 0.2, -1.0], upper=[5.0, inf])
    z = p.add_columns("z", 1, owner="b", upper=1.0, integer=True)
    free = p.add_columns("f", 1, owner="b", lower=-inf)
    p.add_rows(
        "r", Affine.of(x[:1]) - Affine.of(z, 2.0) + Affine.of(free), owner="c", lower=1.0, upper=1.0 + 0.0
    )
    p.add_cost(Affine.of(z, 3.0, const=7.0))
    assert p.text() == (
        "minimise\n  7\n  + 0.3 x[0]\n  - 1 x[1]\n  + 3 z[0]\nsubject to\n"
        "  r[0] (c): x[0] - 2 z[0] + f[0] = 1\nwith\n"
        "  0 <= x[0] <= 5\n  x[1] >= 0\n  0 <= z[0] <= 1 integer\n  f[0] free\n"
    )


def test_blocks_change_in_place() -> None:
    p = Problem()
    p.add_columns("x", 2, owner="a", cost=1.0)
    p.columns[0].upper[:] = 3.0
    p.columns[0].cost[1] = 9.0
    assert p.arrays().upper.tolist() == [3.0, 3.0]
    assert p.cost().tolist() == [1.0, 9.0]


def test_reach_follows_the_bounds() -> None:
    p = Problem()
    x = p.add_columns("x", 2, owner="a", lower=-1.0, upper=[2.0, inf])
    low, high = p.reach(Affine.of(x, [2.0, -1.0], const=1.0))
    assert low.tolist() == [-1.0, -inf]
    assert high.tolist() == [5.0, 2.0]


def test_a_year_of_quarter_hours_is_built_whole() -> None:
    """140,000 columns and rows of three entries each, which are put together by compiled passes."""
    n = 35040
    p = Problem()
    c, d, s, m = (p.add_columns(k, n, owner="b", upper=1.0) for k in "cdsm")
    p.add_rows(
        "balance", Affine.of(s) - Affine.of(c, 0.9) + Affine.of(d, 1.1), owner="b", lower=0.0, upper=0.0
    )
    p.add_rows("net", Affine.of(c) - Affine.of(d) - Affine.of(m), owner="b", upper=0.0)
    arrays = p.arrays()
    assert arrays.cost.size == 4 * n
    x = np.random.default_rng(0).random(4 * n)
    found = csr_array((arrays.value, arrays.index, arrays.start)) @ x
    np.testing.assert_allclose(found[:n], x[s] - 0.9 * x[c] + 1.1 * x[d])
    np.testing.assert_allclose(found[n:], x[c] - x[d] - x[m])
