"""Virtual battery: its store is the published law; a population of thermostats keeps its dead bands under it."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from valuestack.assets.virtual_battery import VirtualBattery
from valuestack.control.twin import Twin
from valuestack.dispatch import Foresight, Series, View, World
from valuestack.stack.optimise import optimise
from valuestack.terms import Block, Measure, Payment
from valuestack.timeline import Timeline

N = 96


def world_of(temperature_c: float = 32.0, n: int = N, step_h: float = 0.25) -> World:
    t = Timeline("2021-07-05", step_h, n, "UTC")
    load = 800 + 200 * np.sin(np.arange(n) * step_h / 24 * 2 * np.pi)
    return World(
        t,
        {
            "load_kw": Series("load_kw", load, "kW"),
            "temperature_c": Series("temperature_c", np.full(n, temperature_c), "C"),
        },
    )


def planned(world: World, asset: VirtualBattery, method: Any) -> Any:
    n = world.timeline.n
    view = View(world.timeline, 0, n, Foresight(world), {asset.name: asset.initial_state()})
    one = np.zeros(n, dtype=np.int64)
    price = np.where(np.arange(n) % 32 < 16, 0.05, 0.3)
    terms = [
        Payment("t", "energy", Measure("import"), "each", one, (Block(inf, price),)),
        Payment("t", "demand", Measure("import"), "max", one, (Block(inf, 4.0),)),
    ]
    return optimise(world.timeline, world["load_kw"], [asset.belief(view)], terms, method=method)


def test_parameters_are_the_published_formulas() -> None:
    asset = VirtualBattery(count=100, load="air_conditioner")
    alpha, up, down, capacity = asset.parameters(
        Timeline("2021-07-05", 1.0, 2, "UTC"), np.array([32.0, 10.0])
    )
    assert alpha == pytest.approx(1 / (2 * 2))
    assert down[0] == pytest.approx(100 * (32 - 22.5) / (2.5 * 2)) and up[0] == pytest.approx(560 - down[0])
    assert down[1] == 0 and up[1] == 560, "nothing runs in the cold, so nothing can be shed"
    assert capacity == pytest.approx(100 * 2 * 0.3 / 2.5)
    assert "not verified" in " ".join(asset.assumptions)


def test_the_store_is_the_law_in_continuous_time() -> None:
    """x' = -alpha x + u by a thousand small steps an interval."""
    asset = VirtualBattery(loss_per_h=0.4, up_kw=50, down_kw=50, capacity_kwh=60)
    world, rng = world_of(), np.random.default_rng(1)
    state, x = asset.initial_state(), 0.0
    g = asset.held_frac(0.4, 0.25)
    for k in range(N):
        state, power = asset.step(state, rng.normal(0, 60, 1), world, k)
        for _ in range(1000):
            x += 0.25 / 1000 * (-0.4 * x + float(power[0]))
        assert float(state[0]) * g == pytest.approx(x, abs=2e-2)
        assert abs(x) <= 60 + 2e-2


@pytest.mark.parametrize("asset", [
    VirtualBattery(loss_per_h=0.0, up_kw=80, down_kw=60, capacity_kwh=100),
    VirtualBattery(loss_per_h=0.2, up_kw=80, down_kw=60, capacity_kwh=100),
    VirtualBattery(count=200, load="air_conditioner", usd_per_kwh=0.01),
])  # fmt: skip
def test_the_fast_method_agrees_and_truth_carries_the_plan_out(asset: VirtualBattery) -> None:
    world = world_of()
    exact, auto = planned(world, asset, "highs"), planned(world, asset, "auto")
    assert auto.objective_usd == pytest.approx(exact.objective_usd, rel=1e-6)
    twin = Twin(world, [asset])
    for k in range(N):
        twin.apply({asset.name: exact.setpoints_kw[asset.name][k]})
    record = twin.record()
    np.testing.assert_allclose(record.net_kw, exact.net_kw, atol=1e-5)
    settled = -sum(e.usd for e in asset.settle(record, world))
    assert settled == pytest.approx(
        sum(v for k, v in exact.term_usd.items() if k.startswith(asset.name)), abs=1e-5
    )


def test_a_population_of_thermostats_can_follow_what_the_battery_allows() -> None:
    """200 air conditioners under a priority stack follow a signal that keeps the battery within 60 % of its bounds,
    and no room leaves its dead band by more than one control step."""
    many, h = 200, 1 / 120
    asset = VirtualBattery(count=many, load="air_conditioner", outdoor_c=32.0)
    alpha, up, down, capacity = asset.parameters(Timeline("2021-07-05", 1.0, 1, "UTC"))
    rng = np.random.default_rng(3)
    theta = 22.5 + rng.uniform(-0.3, 0.3, many)
    on = rng.random(many) < 0.34
    x, worst_error, out_by = 0.0, 0.0, 0.0
    for k in range(240):
        u = 0.6 * capacity * 0.9 * np.sin(2 * np.pi * k * h / 0.5) * 4
        u = float(np.clip(u, -0.6 * down[0], 0.6 * up[0]))
        x += h * (-alpha * x + u)
        assert abs(x) <= 0.6 * capacity
        on = np.where(theta >= 22.5 + 0.3, True, np.where(theta <= 22.5 - 0.3, False, on))
        target = down[0] + u
        # The warmest that are off are switched on first, the coldest that run off first.
        while abs(on.sum() * 5.6 - target) > 2.8:
            if on.sum() * 5.6 < target:
                off = np.flatnonzero(~on)
                on[off[np.argmax(theta[off])]] = True
            else:
                run = np.flatnonzero(on)
                on[run[np.argmin(theta[run])]] = False
        worst_error = max(worst_error, abs(on.sum() * 5.6 - target))
        theta += h / 2 * ((32 - theta) / 2 - 2.5 * 5.6 * on)
        out_by = max(out_by, float(np.abs(theta - 22.5).max() - 0.3))
    assert worst_error <= 2.8
    assert out_by <= h / 2 * 2.5 * 5.6 + 1e-9


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({}, "count"),
        ({"up_kw": 5}, "all four"),
        ({"up_kw": 5, "count": 3}, "not both"),
        ({"count": 3}, "resistance_k_per_kw"),
        ({"count": 3, "load": "toaster"}, "toaster"),
    ],
)
def test_what_cannot_be_is_refused_by_key(bad: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        VirtualBattery(**bad)
