"""HiGHS behind its door: answers, warm changes, and every way to fail by name."""

import subprocess
import sys
from math import inf

import numpy as np
import pytest

from valuestack.errors import InfeasibleError, SolverError
from valuestack.solve.highs import Options, Warm, solve
from valuestack.solve.problem import Affine, Problem

ONE = np.zeros(2, dtype=np.int64)


def small(need: float = 6.0) -> Problem:
    p = Problem()
    x = p.add_columns("x", 2, owner="asset", cost=[1.0, 2.0], upper=5.0)
    p.add_rows("need", Affine.of(x).gather(ONE, 1), owner="load", lower=need)
    p.offset = 10.0
    return p


def test_optimum_with_duals() -> None:
    s = solve(small())
    assert (s.objective, s.lower_bound, s.gap_frac) == (17.0, 17.0, 0.0)
    assert s.x.tolist() == [5.0, 1.0]
    assert s.row_dual is not None and s.row_dual.tolist() == [2.0]
    assert s.reduced_cost is not None and s.reduced_cost.tolist() == [-1.0, 0.0]


def test_warm_changes() -> None:
    w = Warm(small())
    assert w.run().objective == 17.0
    w.set_costs(np.array([1]), np.array([0.5]))
    assert w.run().objective == pytest.approx(13.5)
    w.set_row_bounds(np.array([0]), np.array([2.0]), np.array([inf]))
    assert w.run().objective == pytest.approx(11.0)
    w.set_column_bounds(np.array([1]), np.array([0.0]), np.array([1.0]))
    w.set_offset(0.0)
    assert w.run().objective == pytest.approx(1.5)
    w.add_rows(Affine.of(np.array([0])), np.array([4.0]), np.array([inf]))
    assert w.run().objective == pytest.approx(4.0)


def test_infeasible_names_the_owners_in_the_way_and_no_others() -> None:
    p = small()
    x = p.columns[0].cols
    p.add_rows("cap", Affine.of(x), owner="warranty", upper=2.0)
    p.add_rows("idle", Affine.of(x), owner="bystander", upper=100.0)
    with pytest.raises(InfeasibleError, match="need") as e:
        solve(p)
    assert set(e.value.owners) == {"load", "warranty"}


def test_infeasible_by_integrality_only() -> None:
    p = Problem()
    z = p.add_columns("z", 1, owner="unit", upper=3.0, integer=True)
    p.add_rows("half", Affine.of(z), owner="odd", lower=1.2, upper=1.8)
    with pytest.raises(InfeasibleError) as e:
        solve(p)
    assert e.value.owners == ("odd",)


def test_infeasible_bounds_of_a_column() -> None:
    p = Problem()
    p.add_columns("x", 1, owner="reserve", lower=3.0, upper=2.0)
    with pytest.raises(InfeasibleError) as e:
        solve(p)
    assert e.value.owners == ("reserve",)


def test_unbounded_names_who_earns_without_end() -> None:
    p = Problem()
    p.add_columns("x", 1, owner="credit", cost=-1.0)
    p.add_rows("r", Affine.of(p.columns[0].cols), owner="any", lower=0.0)
    with pytest.raises(SolverError, match="credit"):
        solve(p)


def test_a_refused_option_and_numbers_that_are_none_are_errors() -> None:
    with pytest.raises(SolverError, match="solver"):
        solve(small(), Options(solver="no such method"))
    p = small()
    p.columns[0].cost[0] = np.nan
    with pytest.raises(SolverError, match="cost"):
        solve(p)


def hard(n: int = 60) -> Problem:
    rng = np.random.default_rng(3)
    p = Problem()
    z = p.add_columns(
        "z", n, owner="u", cost=-rng.integers(50, 100, n).astype(float), upper=1.0, integer=True
    )
    for k in range(8):
        weight = rng.integers(20, 100, n).astype(float)
        p.add_rows(
            f"bag {k}",
            Affine.of(z, weight).gather(np.zeros(n, dtype=np.int64), 1),
            owner="u",
            upper=float(weight.sum() // 2),
        )
    return p


def test_progress_and_gap_of_an_integer_problem() -> None:
    seen: list[tuple[float, float]] = []
    s = solve(
        hard(), Options(gap=0.01, time_limit_s=20.0, progress=lambda share, gap: seen.append((share, gap)))
    )
    assert s.lower_bound <= s.objective
    assert s.gap_frac <= 0.01 + 1e-9
    assert seen and all(0 <= share <= 1 for share, _ in seen)
    assert s.row_dual is None


def test_a_time_limit_gives_the_best_plan_with_its_gap_or_says_so() -> None:
    try:
        s = solve(hard(200), Options(gap=0.0, time_limit_s=0.5))
    except SolverError as e:
        assert "allow more" in str(e)
    else:
        assert s.lower_bound <= s.objective


def test_nothing_is_printed_not_even_the_banner() -> None:
    code = (
        "from valuestack.solve.highs import solve\nfrom valuestack.solve.problem import Problem\n"
        "p = Problem(); p.add_columns('x', 1, owner='a', cost=1.0)\nsolve(p)\nprint('{}')"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (out.stdout, out.stderr) == ("{}\n", "")
