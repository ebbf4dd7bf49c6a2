"""The interior point's certificate: a bound is compared with the cost of the problem it was proved for."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import pytest

from tests.unit.solve.test_interior_point import stack
from valuestack.assets.battery import Battery
from valuestack.dispatch import Foresight, Series, View, World
from valuestack.flows import Store, Unit
from valuestack.solve.highs import Options, Warm, solve_arrays
from valuestack.stack.compile import compile_problem
from valuestack.stack.optimise import Schedule, optimise
from valuestack.stack.relaxed import by_relaxing
from valuestack.stack.relaxed import suits as may_round
from valuestack.stack.staged import LARGE
from valuestack.terms import Block, Measure, Payment, Term
from valuestack.timeline import Kw, Timeline

T = Timeline(start="2019-03-01T00:00", step_h=0.5, n=2500, tz="America/Chicago")


def load(seed: int) -> Kw:
    rng = np.random.default_rng(seed)
    work = (T.weekday < 5) & (T.hour >= 7) & (T.hour < 19)
    return 90 + 110 * work + 30 * np.sin(2 * np.pi * T.hour / 24) + rng.normal(0, 8, T.n)


def tariff(*, pooled: bool) -> list[Term]:
    """Two periods, tiers of unequal steps shared by both where pooled, and a demand price."""
    month = T.month_id - T.month_id[0]
    dear = (T.hour >= 14) & (T.hour < 20)
    upto = 26_000.0 if pooled else inf
    on = (Block(upto, 0.24), Block(inf, 0.20)) if pooled else (Block(inf, 0.24),)
    off = (Block(upto, 0.10), Block(inf, 0.09)) if pooled else (Block(inf, 0.10),)
    pool = "tiers" if pooled else None
    return [
        Payment("u", "on", Measure("import"), "sum", np.where(dear, month, -1), on, pool=pool),
        Payment("u", "off", Measure("import"), "sum", np.where(dear, -1, month), off, pool=pool),
        Payment("u", "demand", Measure("import"), "max", month, (Block(inf, 14.0),)),
    ]


def plan(terms: list[Term], method: str) -> Schedule:
    battery = Battery(power_kw=80, energy_kwh=240, round_trip_efficiency_frac=0.88, loss_by_soc=())
    kw = load(3)
    world = World(T, {"load_kw": Series("load_kw", kw, "kW")})
    view = View(T, 0, T.n, Foresight(world), {"battery": battery.initial_state()})
    return optimise(T, kw, [battery.belief(view)], terms, method=method, gap=1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize("pooled", [False, True])
def test_a_bound_stands_below_its_plan_and_no_lower_than_it_must(pooled: bool) -> None:
    from valuestack.stack import staged
    from valuestack.stack.compile import compile_problem

    terms = tariff(pooled=pooled)
    battery = Battery(power_kw=80, energy_kwh=240, round_trip_efficiency_frac=0.88)
    kw = load(3)
    world = World(T, {"load_kw": Series("load_kw", kw, "kW")})
    view = View(T, 0, T.n, Foresight(world), {"battery": battery.initial_state()})
    compiled = compile_problem(T, kw, [battery.belief(view)], terms)
    assert compiled.problem.width >= LARGE
    found = staged.by_interior_point(compiled, 1e-6)
    assert not isinstance(found, str), found
    x, _, lower, _ = found
    arrays = compiled.problem.arrays()
    usd = staged.cost_usd(arrays, x)
    assert lower <= usd <= lower + 1e-6 * usd
    judge = plan(terms, "highs")
    # The proved bound is that of the problem; the slack of its approximations is taken off once.
    assert judge.lower_bound_usd == pytest.approx(lower - compiled.slack_usd, rel=2e-6)
    auto = plan(terms, "auto")
    assert auto.lower_bound_usd <= auto.objective_usd + 1e-6 * abs(auto.objective_usd)
    assert auto.lower_bound_usd == pytest.approx(judge.lower_bound_usd, rel=2e-6)
    assert bool(compiled.approximations) == (compiled.slack_usd > 0)


def test_a_plan_without_switches_needs_no_rounding() -> None:
    from valuestack.stack.compile import compile_problem

    compiled = compile_problem(T, load(1), [], tariff(pooled=False))
    assert may_round(compiled) is None


def test_a_plan_that_breaks_a_row_by_more_than_a_milliwatt_is_refused() -> None:
    from valuestack.solve.interior_point import BREACH
    from valuestack.stack.staged import tidied

    compiled = compile_problem(T, load(1), [], tariff(pooled=False))
    a = compiled.problem.arrays()
    x = Warm(compiled.problem).run().x
    assert BREACH <= 10 * 1e-7, "HiGHS, the judge, lets a row lack 1e-7"
    peak = next(c for c in compiled.problem.columns if "demand" in c.name)
    for far, fine in ((0.5 * BREACH, True), (2.0 * BREACH, False)):
        moved = x.copy()
        moved[peak.first] -= far
        made = tidied(compiled, a, moved)
        assert isinstance(made, str) != fine
    assert isinstance(made, str) and "breaks a limit" in made


@pytest.mark.parametrize("gap", [1e-2, 1e-4, 1e-7])
@pytest.mark.parametrize("seed", [2, 6, 9, 16, 46])
def test_rows_are_kept_whatever_the_gap(seed: int, gap: float) -> None:
    """Where only a rough gap is asked for, rows that weigh a switch by a store's power were once left broken."""
    from valuestack.solve.interior_point import BREACH
    from valuestack.stack.staged import relaxation

    horizon, kw, offers, terms, _ = stack(seed, days=3 + seed % 3)
    found = relaxation(compile_problem(horizon, kw, offers, terms), gap)
    assert not isinstance(found, str), found
    assert found.violation <= BREACH
    assert found.objective - found.lower_bound <= gap * abs(found.objective)


def test_the_best_switches_of_every_month_are_put_together() -> None:
    """One plan runs the engine in the first month, the other in the second; each is the better one in a month."""
    from valuestack.stack.relaxed import _Months

    n = 96
    horizon = Timeline(start="2018-07-30T00:00", step_h=1.0, n=n, tz="Etc/GMT+8")
    month = horizon.month_id - horizon.month_id[0]
    assert month[-1] == 1
    unit = Unit("engine", np.full(n, 20.0), np.full(n, 60.0), usd_per_h=1.0, fuel_pieces=((60.0, 0.07),),
                fuel_usd_per_gal=3.0)  # fmt: skip
    price = np.where(month == 0, 0.9, 0.01)
    terms: list[Term] = [
        Payment("retail", "energy", Measure("import"), "each", np.zeros(n, dtype=np.int64), (Block(inf, price),)),
        Payment("retail", "demand", Measure("import"), "max", month, (Block(inf, 1.0),)),
    ]  # fmt: skip
    compiled = compile_problem(horizon, np.full(n, 90.0), [unit], terms)
    a = compiled.problem.arrays()
    run = next(c for c in compiled.problem.columns if c.name == "engine.run")
    months, usd = _Months(compiled, a), []
    for on in (month == 0, month == 1, month == 0):
        low, high = a.lower.copy(), a.upper.copy()
        low[run.cols] = high[run.cols] = np.where(on, 1.0, 0.0)
        fixed = replace(a, lower=low, upper=high)
        x = solve_arrays(replace(fixed, integer=np.zeros_like(a.integer)), Options())
        months.note(x, fixed)
        usd.append(float(a.cost @ x))
    # Running pays in the first month alone, where it saves dear energy.
    assert months.low[run.cols].tolist() == months.high[run.cols].tolist() == (month == 0).tolist()
    assert months.usd <= min(usd) + 1e-6


@pytest.mark.parametrize("seed", [3, 11, 26])
def test_a_maximum_that_earns_is_set_by_a_block_of_the_relaxation(seed: int) -> None:
    """Rounded switches make a plan of its own cost, never below the least, and a bound never above it."""
    rng = np.random.default_rng(seed)
    n = 48
    horizon = Timeline(start="2018-07-02T00:00", step_h=1.0, n=n, tz="America/Los_Angeles")
    load = rng.uniform(20, 100, n)
    store = Store("battery", np.full(n, 40.0), np.full(n, 40.0), np.zeros(n + 1), np.full(n + 1, 90.0), 40.0, 0.95,
                  0.93, wear_usd_per_kwh=0.01)  # fmt: skip
    window = np.arange(n) // 24
    terms: list[Term] = [
        Payment("retail", "energy", Measure("import"), "each", np.zeros(n, dtype=np.int64),
                (Block(inf, rng.uniform(0.05, 0.4, n)),)),
        Payment("odd", "credit", Measure("import"), "max", window, (Block(inf, -1.5),),
                so_far=np.array([float(rng.uniform(0, 140)), 0.0])),
    ]  # fmt: skip
    compiled = compile_problem(horizon, load, [store], terms, import_limit_kw=150.0)
    assert compiled.problem.has_integers and may_round(compiled) is None
    answer = by_relaxing(compiled, 1e-9)
    assert not isinstance(answer, str), answer
    x, _, lower, _, _ = answer
    usd = compiled.worth(x).total_usd
    best = optimise(horizon, load, [store], terms, import_limit_kw=150.0, method="highs", gap=1e-9)
    assert lower - 1e-6 <= best.objective_usd <= usd + 1e-6
    idle = optimise(horizon, load, [], terms, import_limit_kw=150.0, method="highs", gap=1e-9)
    assert usd <= idle.objective_usd - 0.5 * (idle.objective_usd - best.objective_usd), (
        "most of what can be had"
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_engines_that_are_off_leave_a_problem_that_converges(seed: int) -> None:
    """With its switch set to off an engine's rows leave it no room; what is left must still be solved, and bracket the
    least cost."""
    rng = np.random.default_rng(seed)
    n = 48
    horizon = Timeline(start="2018-07-02T00:00", step_h=1.0, n=n, tz="America/Los_Angeles")
    load = rng.uniform(60, 160, n)
    store = Store("battery", np.full(n, 40.0), np.full(n, 40.0), np.zeros(n + 1), np.full(n + 1, 90.0), 40.0, 0.95,
                  0.93, wear_usd_per_kwh=0.01)  # fmt: skip
    unit = Unit("engine", np.full(n, 20.0), np.full(n, 60.0), start_usd=5.0, usd_per_h=1.0,
                fuel_pieces=((60.0, 0.07),), fuel_usd_per_gal=3.0, min_up_h=2.0, min_down_h=2.0)  # fmt: skip
    energy = Payment("retail", "energy", Measure("import"), "each", np.zeros(n, dtype=np.int64),
                     (Block(inf, rng.choice([0.05, 0.15, 0.4], n)),))  # fmt: skip
    demand = Payment("retail", "demand", Measure("import"), "max", np.arange(n) // 24, (Block(inf, 4.0),))
    compiled = compile_problem(horizon, load, [store, unit], [energy, demand])
    answer = by_relaxing(compiled, 1e-3, 10.0)
    assert not isinstance(answer, str), answer
    x, _, lower, _, _ = answer
    best = optimise(horizon, load, [store, unit], [energy, demand], method="highs", gap=1e-9)
    assert lower - 1e-6 <= best.objective_usd <= compiled.worth(x).total_usd + 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7, 9, 11])
def test_months_with_a_direction_set_are_planned_as_well_by_themselves(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Burning pays in one month of four: what is found for that month alone costs what is found for all."""
    from benchmarks.bench_stack import stack as full_stack

    from valuestack.stack import staged

    horizon = Timeline(start="2018-06-01T00:00", step_h=0.25, n=96 * 122, tz="Etc/GMT+8")
    rng = np.random.default_rng(seed)
    kw = np.round(rng.uniform(0, 40) + rng.uniform(50, 300) * (rng.random(horizon.n) < 0.05), -1)
    store, terms = full_stack(horizon, kw, seed=seed, event_usd_per_kwh=5.0)
    compiled = compile_problem(horizon, kw, [store], terms)
    a, root = compiled.problem.arrays(), staged.relaxation(compiled, 2e-7)
    assert not isinstance(root, str), root
    asked: list[int] = []
    anew = staged._anew

    def counted(*args: Any) -> Any:
        asked.append(int(args[4].sum()))
        return anew(*args)

    monkeypatch.setattr(staged, "_anew", counted)
    by_month = staged.by_directions(compiled, 1e-7, root)
    assert asked and max(asked) <= 0.5 * horizon.n
    monkeypatch.setattr(staged, "SOME", -1.0)
    whole = staged.by_directions(compiled, 1e-7, root)
    assert not isinstance(by_month, str) and not isinstance(whole, str)
    usd = [staged.cost_usd(a, made[0]) for made in (by_month, whole)]
    assert usd[0] == pytest.approx(usd[1], rel=5e-6)
    for x, _, lower, _ in (by_month, whole):
        part = compiled.parts["battery"]
        assert part.charge is not None and part.discharge is not None
        assert np.minimum(x[part.charge.col], x[part.discharge.col]).max() == 0.0
        assert root.lower_bound - 1e-6 <= lower <= staged.cost_usd(a, x) + 1e-6
        of = np.repeat(np.arange(a.row_lower.size), np.diff(a.start))
        stands = np.bincount(of, a.value * x[a.index], a.row_lower.size)
        assert np.maximum(a.row_lower - stands, stands - a.row_upper).max() <= 1e-6


@pytest.mark.parametrize("seed", range(6))
def test_what_balances_lack_by_rounding_does_not_add_up(seed: int) -> None:
    """A walk ends where it was planned to end, whatever is lost to rounding on the way."""
    from valuestack.stack.staged_kernel import walk

    rng = np.random.default_rng(seed)
    n, ec, ed, h = 2_000, 0.94, 0.95, 0.25
    power = rng.uniform(-40, 40, n) * (rng.random(n) < 0.8)
    gain = np.maximum(power, 0.0) * ec - np.maximum(-power, 0.0) / ed
    planned = 1e5 + np.cumsum(gain * h + rng.uniform(0.0, 8e-8, n))
    stored, walked = np.empty(n), power.copy()
    walk(walked, np.zeros(n), planned, np.zeros(n), 1e5, ec, ed, 1.0, h, 1e-7, stored)
    assert np.abs(stored - planned).max() <= 2e-7
    assert np.abs(walked - power).max() <= 1e-6
    walk(power, np.zeros(n), planned, np.zeros(n), 1e5, ec, ed, 1.0, h, 0.0, stored)
    assert planned[-1] - stored[-1] > 5e-5
