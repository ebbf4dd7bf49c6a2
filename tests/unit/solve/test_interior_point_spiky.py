"""The interior point on the full stack under spiky, quantised and stuck loads: events whose baseline is the plan's
own, whose hinges once took all digits from the Newton step. HiGHS judges months; years are held to their bound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.bench_bound import synthetic
from benchmarks.bench_stack import stack

from valuestack.solve.highs import Options, Warm
from valuestack.solve.interior_point import BREACH, Answer, proved
from valuestack.stack.compile import Compiled, compile_problem
from valuestack.stack.optimise import optimise
from valuestack.stack.staged import relaxation
from valuestack.timeline import Kw, Timeline


def spiky(seed: int, timeline: Timeline) -> Kw:
    """A base, a working day, and peaks in 0.2 to 5 % of all intervals; every fourth load in steps of 10 kW."""
    rng = np.random.default_rng(seed)
    work = (timeline.weekday < 5) & (timeline.hour >= 7) & (timeline.hour < 19)
    kw = (
        rng.uniform(150, 600)
        + rng.uniform(0, 500) * work
        + rng.normal(0, (0.0, 5.0, 30.0)[seed % 3], timeline.n)
    )
    kw += rng.uniform(200, 1500) * (rng.random(timeline.n) < (0.002, 0.01, 0.02, 0.05)[seed % 4])
    return np.maximum(np.round(kw, -1) if seed % 4 == 3 else kw, 0.0)


def compiled(timeline: Timeline, kw: Kw, seed: int, event_usd_per_kwh: float) -> Compiled:
    store, terms = stack(timeline, kw, seed=seed, event_usd_per_kwh=event_usd_per_kwh)
    return compile_problem(timeline, kw, [store], terms)


def held(c: Compiled, gap: float) -> Answer:
    found = relaxation(c, gap)
    assert not isinstance(found, str), found
    a = c.problem.arrays()
    assert found.objective - found.lower_bound <= gap * abs(found.objective)
    assert proved(a, a.lower, a.upper, found.row_dual) <= found.objective + 1e-9 * abs(found.objective)
    assert found.violation <= BREACH
    return found


@pytest.mark.slow
@pytest.mark.parametrize("seed", (0, 2, 3, 4, 5, 7))
def test_spiky_months_by_highs(seed: int) -> None:
    timeline = Timeline(start="2018-06-01T00:00", step_h=0.25, n=96 * 40, tz="Etc/GMT+8")
    c = compiled(timeline, spiky(seed, timeline), seed, (0.5, 2.0, 5.0, 20.0)[seed // 2 % 4])
    found = held(c, 1e-7)
    for block in c.problem.columns:
        block.integer = False
    judge = Warm(c.problem, Options()).run().objective
    assert found.objective == pytest.approx(judge, rel=1e-7)
    assert found.lower_bound <= judge + 1e-9 * abs(judge)


@pytest.mark.slow
@pytest.mark.parametrize("seed", (1, 7))
def test_spiky_years_are_solved(seed: int) -> None:
    timeline = Timeline(start="2018-01-01T00:00", step_h=0.25, n=35040, tz="Etc/GMT+8")
    held(compiled(timeline, spiky(seed, timeline), 0, 5.0), 2e-7)


@pytest.mark.slow
def test_where_burning_energy_pays_the_plan_says_how_far_it_may_be_off() -> None:
    """A baseline day that many events read makes load worth more than energy costs: only integers forbid to charge
    and discharge at once."""
    timeline = Timeline(start="2018-06-01T00:00", step_h=0.25, n=96 * 40, tz="Etc/GMT+8")
    kw = synthetic(timeline, "spiky")
    store, terms = stack(timeline, kw, event_usd_per_kwh=5.0)
    made = optimise(timeline, kw, [store], terms, method="fast", gap=1e-6)
    power = made.setpoints_kw["battery"]
    assert made.flows is not None
    flows = made.flows.assets["battery"]
    assert np.minimum(flows["charge"], flows["discharge"]).max() <= 1e-6
    assert np.allclose(power, flows["charge"] - flows["discharge"])
    assert made.proved == (made.gap_usd <= 1e-6 * abs(made.objective_usd))
    assert 0.0 <= made.gap_usd <= 1e-2 * abs(made.objective_usd)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("file", ("steel_gwangyang_kr_2018_15min", "reopt_madison_wi_recast2018_15min"))
def test_real_years_are_solved(file: str, data_dir: Path) -> None:
    import pandas as pd

    timeline = Timeline(start="2018-01-01T00:00", step_h=0.25, n=35040, tz="Etc/GMT+8")
    kw = pd.read_parquet(data_dir / "load" / f"{file}.parquet").kw.to_numpy(float)
    held(compiled(timeline, kw, 0, 2.0), 2e-7)
