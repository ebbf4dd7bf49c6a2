"""The interior point against HiGHS: on random linear programmes, on stacks of every shape, and where none exists."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from valuestack.flows import Given, Store
from valuestack.solve.highs import Options, Warm
from valuestack.solve.interior_point import proved, solve
from valuestack.solve.problem import Affine, Problem
from valuestack.stack.compile import compile_problem
from valuestack.stack.optimise import optimise
from valuestack.stack.staged import by_interior_point, stages
from valuestack.terms import Block, Claim, Limit, Measure, OwnWeights, Payment, Term
from valuestack.timeline import Timeline


def _chain(seed: int, n: int = 40) -> Problem:
    """A random chain: a state, three controls, rows of both kinds and some that repeat."""
    rng = np.random.default_rng(seed)
    p = Problem()
    s = p.add_columns("s", n, owner="a", upper=rng.uniform(5, 9, n))
    u = p.add_columns("u", n, owner="a", cost=rng.uniform(-1, 3, n), upper=rng.uniform(2, 4, n))
    v = p.add_columns("v", n, owner="a", cost=rng.uniform(-2, 2, n), upper=3.0)
    top = p.add_columns("top", 1, owner="b", cost=5.0)
    before = np.concatenate(([-1], np.arange(n - 1)))
    kept = Affine.of(s) - Affine.of(s).gather(np.where(np.arange(n) + 1 < n, np.arange(n) + 1, -1), n).times(
        0.98
    )
    p.add_rows(
        "balance",
        kept - Affine.of(u) + Affine.of(v),
        owner="a",
        lower=rng.uniform(-0.5, 0.5, n) * 0,
        upper=0.0,
    )
    need = Affine.of(u) - Affine.of(v).times(0.5)
    p.add_rows("need", need, owner="c", lower=-2.0, upper=3.0)
    p.add_rows("twice", need.times(-1.0), owner="c", lower=-2.9)
    p.add_rows("peak", need - Affine.of(np.repeat(top, n)), owner="b", upper=-rng.uniform(-1, 0.2, n))
    p.add_rows(
        "floor", Affine.of(s), owner="d", lower=np.where(rng.random(n) < 0.3, 0.5, 0.0) * (before >= 5)
    )
    return p


@pytest.mark.parametrize("seed", range(25))
def test_random_chains_by_highs(seed: int) -> None:
    p = _chain(seed)
    a = p.arrays()
    stage = np.concatenate([np.tile(np.arange(40), 3), [-1]])
    found = solve(a, stage, gap=1e-7)
    judge = Warm(p, Options()).run()
    assert not isinstance(found, str), found
    size = max(abs(judge.objective), 1.0)
    assert found.objective == pytest.approx(judge.objective, abs=2e-7 * size)
    assert found.lower_bound <= judge.objective + 1e-9 * size
    assert found.violation <= 1e-7
    # the bound that HiGHS' own duals prove by the same rule is its optimum
    assert judge.row_dual is not None
    assert proved(a, a.lower, a.upper, judge.row_dual) == pytest.approx(judge.objective, abs=1e-6 * size)


@pytest.mark.parametrize("seed", range(60))
def test_no_multipliers_prove_more_than_the_optimum(seed: int) -> None:
    """Weak duality of the certificate itself, on multipliers that are optimal for nothing."""
    p = _chain(seed % 5)
    a = p.arrays()
    best = Warm(p, Options()).run().objective
    y = np.random.default_rng(seed).normal(size=a.row_lower.size)
    assert proved(a, a.lower, a.upper, y) <= best + 1e-9


def test_a_problem_without_a_plan_is_told_in_words() -> None:
    p = _chain(1)
    p.add_rows(
        "never", Affine.of(np.arange(40)).gather(np.zeros(40, dtype=np.int64), 1), owner="x", lower=1e4
    )
    found = solve(p.arrays(), np.concatenate([np.tile(np.arange(40), 3), [-1]]))
    assert isinstance(found, str)


# --- stacks ----------------------------------------------------------------------------------------------


def stack(seed: int, days: int = 3) -> tuple[Timeline, np.ndarray, list, list[Term], dict[str, float]]:
    """Store, tariff, regulation, events with a baseline of the plan's own and a reserve, from random numbers."""
    rng = np.random.default_rng(seed)
    n = 96 * days
    horizon = Timeline(start="2018-07-02T00:00", step_h=0.25, n=n, tz="America/Los_Angeles")
    hour = np.arange(n) / 4 % 24
    load = 500 + 200 * np.sin((hour - 9) / 24 * 2 * np.pi) + rng.normal(0, 60, n)
    if seed % 3 == 1:
        load[n // 3 :] = 431.7  # a meter that is stuck: every plan is degenerate
    power, energy = 200.0, 800.0
    store = Store("battery", np.full(n, power), np.full(n, power), np.full(n + 1, 0.05 * energy),
                  np.full(n + 1, energy), float(rng.uniform(0.4, 0.9)) * energy, 0.94, 0.95,
                  energy_end_min_kwh=0.4 * energy, wear_usd_per_kwh=0.02,
                  loss_frac_per_h=0.001 if seed % 2 else 0.0)  # fmt: skip
    one, day = np.zeros(n, dtype=np.int64), np.arange(n) // 96
    price = np.where((hour >= 16) & (hour < 21), 0.31, 0.14)
    peak = np.where((hour >= 16) & (hour < 21), 0, -1)
    past = np.array([float(rng.uniform(300, 700))])
    terms: list[Term] = [
        Payment("utility", "energy", Measure("import"), "each", one, (Block(inf, price),)),
        Payment("utility", "flat", Measure("import"), "max", one, (Block(inf, 9.0),), so_far=past),
        Payment("utility", "peak", Measure("import"), "max", peak, (Block(inf, 12.0),)),
        Limit("resilience", "reserve", Measure("stored", asset="battery"), "each",
              lower=np.where((hour >= 8) & (hour < 20), 0.25, 0.15) * energy, priority=0),
    ]  # fmt: skip
    extra: dict[str, float] = {}
    if seed % 4 != 3:
        terms.append(Claim("market", "regulation", "both", rng.gamma(1.0, 0.02, n), ("battery",), block_h=1.0,
                           sustain_h=0.5, exposure_frac=0.1, throughput_up_frac=0.06,
                           throughput_down_frac=0.05))  # fmt: skip
    if seed % 5 != 4:
        at = np.flatnonzero((day == days - 1) & (hour >= 17) & (hour < 20))
        window = np.full(n, -1)
        window[at] = 0
        own = OwnWeights(np.repeat(at, days - 1), np.concatenate([[t - 96 * k for k in range(1, days)] for t in at]),
                         np.full(at.size * (days - 1), 1 / (days - 1)))  # fmt: skip
        blocks = (Block(200.0, -0.9), Block(500.0, -0.6), Block(inf, 0.0))
        terms.append(Payment("programme", "event", Measure("net", own=own), "sum", window, blocks))
    offers: list = [store]
    if seed % 6 == 5:
        sun = -120 * np.maximum(np.sin((hour - 6) / 12 * np.pi), 0)
        offers.append(Given("pv", sun, curtailable=True, curtail_usd_per_kwh=0.01))
    if seed % 7 == 6:
        offers.append(Store("cold", np.full(n, 40.0), np.full(n, 0.0), np.zeros(n + 1), np.full(n + 1, 100.0), 50.0,
                            1.0, 1.0, energy_end_min_kwh=50.0, drain_kw=np.full(n, 15.0), exclusive=False))  # fmt: skip
    return horizon, load, offers, terms, extra


@pytest.mark.parametrize("seed", range(24))
def test_stacks_by_highs(seed: int) -> None:
    """An independent judge on random states: the kernel's own gap alone would prove nothing."""
    horizon, load, offers, terms, _ = stack(seed)
    judge = optimise(horizon, load, offers, terms, method="highs", gap=1e-9)
    compiled = compile_problem(horizon, load, offers, terms)
    found = by_interior_point(compiled, 1e-6)
    size = max(abs(judge.objective_usd), 1.0)
    if isinstance(found, str):
        assert any("charges" in c.name for c in compiled.problem.columns), (
            found
        )  # burning may pay: for integers
        return
    x, duals, lower, _ = found
    usd = compiled.worth(x).total_usd
    assert usd == pytest.approx(judge.objective_usd, abs=1e-6 * size)
    assert lower <= judge.objective_usd + 1e-7 * size
    assert duals.size == compiled.problem.height and stages(compiled).size == compiled.problem.width


def test_most_stacks_are_taken() -> None:
    taken = 0
    for seed in range(24):
        horizon, load, offers, terms, _ = stack(seed, days=2)
        taken += not isinstance(by_interior_point(compile_problem(horizon, load, offers, terms), 1e-6), str)
    assert taken >= 18


def test_the_fast_method_answers_and_says_how() -> None:
    horizon, load, offers, terms, _ = stack(2)
    made = optimise(horizon, load, offers, terms, method="fast")
    assert made.method == "interior point" and made.gap_usd <= 1e-6 * abs(made.objective_usd)
    assert "iterations" in made.why[0]
    assert sum(made.term_usd.values()) == pytest.approx(made.objective_usd)
    assert np.isfinite(made.stored_value_usd_per_kwh["battery"]).all()
