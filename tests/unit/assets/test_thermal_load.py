"""Cold store: exact discretisation, a finer truth in which the bounds hold, compressors that rest and start in turn."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.linalg import expm

from valuestack.assets.thermal_load import ThermalLoad, products
from valuestack.control.twin import Twin
from valuestack.dispatch import Foresight, Record, Series, View, World
from valuestack.errors import DataError, InputError
from valuestack.stack.optimise import Schedule, optimise
from valuestack.terms import Block, Claim, Measure, Payment
from valuestack.timeline import Timeline

FREEZER: dict[str, Any] = {
    "name": "freezer",
    "ua_kw_per_k": 4.0,
    "air_kwh_per_k": 60.0,
    "product_ua_kw_per_k": 40.0,
    "product": "peas",
    "product_kg": 1_000_000,
    "setpoint_c": -20.0,
    "air_min_c": -26.0,
    "air_max_c": -15.0,
    "product_min_c": -25.0,
    "product_max_c": -18.0,
    "compressor_kw": 300.0,
    "units": 3,
    "cop": 1.5,
    "stagger_h": 0.1,
    "heat": [{"from_h": 6, "until_h": 18, "heat_kw": 40.0}, {"heat_kw": 15.0}],
}


def hot_days(n: int, step_h: float = 0.25, load_kw: float = 300.0, lanes: int = 1) -> World:
    t = Timeline("2021-07-05", step_h, n, "America/Los_Angeles")
    hour = np.arange(n) * step_h % 24
    temperature = 27 + 8 * np.cos((hour - 15) / 24 * 2 * np.pi)
    load = load_kw + 100.0 * ((hour > 7) & (hour < 19))
    if lanes > 1:
        load = np.tile(load, (lanes, 1))
    return World(
        t,
        {
            "load_kw": Series("load_kw", load, "kW"),
            "temperature_c": Series("temperature_c", temperature, "C"),
        },
    )


def view_of(world: World, asset: ThermalLoad) -> View:
    return View(world.timeline, 0, world.timeline.n, Foresight(world), {asset.name: asset.initial_state()})


def planned(world: World, asset: ThermalLoad, price: Any, usd_per_kw: float) -> Schedule:
    n = world.timeline.n
    one = np.zeros(n, dtype=np.int64)
    terms = [
        Payment("t", "energy", Measure("import"), "each", one, (Block(inf, np.asarray(price)),)),
        Payment("t", "demand", Measure("import"), "max", one, (Block(inf, usd_per_kw),)),
    ]
    return optimise(
        world.timeline, world["load_kw"], [asset.belief(view_of(world, asset))], terms, method="highs"
    )


def carried_out(world: World, asset: ThermalLoad, setpoints: Any) -> Record:
    twin = Twin(world, [asset])
    for k in range(world.timeline.n):
        twin.apply({asset.name: setpoints[k]})
    return twin.record()


def test_discretisation_is_the_matrix_exponential() -> None:
    s = ThermalLoad(**FREEZER)
    w = s.weather_on(Timeline("2021-07-05", 0.25, 4, "UTC"), np.array([35.0, 20.0, 5.0, -30.0]))
    phi, gamma = s.discrete(w, 0.25)
    for t, outdoor in enumerate((35.0, 20.0, 5.0, -30.0)):
        at_set = float(s.cop_at(outdoor, -20.0))
        slope = (float(s.cop_at(outdoor, -20.0 + 1e-4)) - float(s.cop_at(outdoor, -20.0 - 1e-4))) / 2e-4
        leak = 4.0 + slope * w.base_kw[t]
        a = np.array(
            [[-(leak + 40.0) / 60.0, 40.0 / 60.0], [40.0 / s.goods_kwh_per_k, -40.0 / s.goods_kwh_per_k]]
        )
        whole = expm(np.block([[a, np.array([[1 / 60.0], [0.0]])], [np.zeros((1, 3))]]) * 0.25)
        np.testing.assert_allclose(phi[t], whole[:2, :2], rtol=1e-6)
        np.testing.assert_allclose(gamma[t], whole[:2, 2], rtol=1e-6)
        assert at_set > 0


def test_published_figures() -> None:
    """1,000 t of frozen goods (c_p 1.9 kJ/kgK), 3 K colder at a COP of 1.5: 1,056 kWh; 2-3 % of COP a kelvin."""
    s = ThermalLoad(
        **{
            **FREEZER,
            "product": None,
            "product_kg": None,
            "product_kwh_per_k": 1_000_000 * 1.9 / 3600,
            "product_min_c": -23.0,
            "cop_outdoor_c": 30.0,
        }
    )
    assert s.chill_kwh(30.0) == pytest.approx(1056, abs=0.6)
    assert float(s.cop_at(30.0, -20.0)) == pytest.approx(1.5)
    drop = 1 - float(s.cop_at(15.0, -21.0)) / float(s.cop_at(15.0, -20.0))
    assert 0.02 <= drop <= 0.03
    assert products()["peas"].below_kwh_per_kg_k * 3600 == pytest.approx(1.76)
    assert ThermalLoad(**FREEZER).goods_kwh_per_k == pytest.approx(1_000_000 * 1.76 / 3600)


def test_left_alone_it_holds_its_set_point_and_deviates_by_nothing() -> None:
    world, s = hot_days(192), ThermalLoad(**FREEZER)
    record = carried_out(world, s, np.zeros(192))
    assert np.abs(record.asset_kw["freezer"]).max() < 1e-9
    np.testing.assert_allclose(record.extra["freezer/air_c"], -20.0, atol=1e-6)
    np.testing.assert_allclose(record.net_kw, world["load_kw"], atol=1e-9)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    step_h=st.sampled_from([0.25, 0.5]),
    stagger_h=st.sampled_from([0.0, 0.1]),
    units=st.sampled_from([1, 3]),
    coupling=st.sampled_from([20.0, 60.0]),
)
def test_bounds_hold_in_the_independent_simulation(
    seed: int, step_h: float, stagger_h: float, units: int, coupling: float
) -> None:
    """Any plan, at any minute, and the thermostat has nothing to overrule; the metered peak is the planned one."""
    rng, n = np.random.default_rng(seed), round(72 / step_h)
    world = hot_days(n, step_h)
    s = ThermalLoad(
        **{
            **FREEZER,
            "stagger_h": stagger_h,
            "units": units,
            "product_ua_kw_per_k": coupling,
            "turndown_frac": 0.0,
        }
    )
    price = np.repeat(rng.choice([0.02, 0.1, 0.5], n // 4 + 1), 4)[:n]
    found = planned(world, s, price, float(rng.choice([0.0, 5.0])))
    record = carried_out(world, s, found.setpoints_kw["freezer"])
    assert record.extra["freezer/air_top_c"].max() <= s.air_max_c
    assert record.extra["freezer/air_low_c"].min() >= s.air_min_c
    assert record.extra["freezer/product_top_c"].max() <= s.goods_c[1]
    assert record.extra["freezer/product_low_c"].min() >= s.goods_c[0]
    assert record.extra["freezer/overruled_h"].sum() == 0
    np.testing.assert_allclose(record.asset_kw["freezer"], found.setpoints_kw["freezer"], atol=1.0)
    # The rebound stands in the billed peak of the plan and in that of what was metered.
    assert record.net_kw.max() == pytest.approx(found.net_kw.max(), abs=1.0)
    cold = (record.extra["freezer/air_c"][-1] + 20) * 60 + (record.extra["freezer/product_c"][-1] + 20) * 489
    assert cold <= 489 * 0.1, "nothing is borrowed from the day after"


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), bias=st.sampled_from([-400.0, -100.0, 0.0, 400.0]))
def test_the_thermostat_keeps_the_bounds_whatever_is_asked(seed: int, bias: float) -> None:
    rng = np.random.default_rng(seed)
    world, s = hot_days(192, lanes=2), ThermalLoad(**FREEZER)
    twin = Twin(world, [s])
    for _ in range(192):
        twin.apply({"freezer": rng.normal(bias, 150, 2)})
    extra = twin.record().extra
    assert extra["freezer/air_top_c"].max() <= s.air_max_c + 0.05
    assert extra["freezer/air_low_c"].min() >= s.air_min_c - 0.2, "a minute of full cooling"
    assert extra["freezer/product_top_c"].max() <= s.goods_c[1] + 0.05, "goods lag behind the air"


def test_compressors_rest_between_starts_and_start_in_turn() -> None:
    """At a minute's resolution: never off for less than min_off_h, never two starts within the stagger."""
    s = ThermalLoad(**{**FREEZER, "min_off_h": 0.2, "starts_per_h": 4.0})
    world, rng = hot_days(600, 1 / 60), np.random.default_rng(0)
    state, on = s.initial_state(), []
    for k in range(600):
        if k % 7 == 0:
            wish = float(rng.choice([-400.0, 0.0, 400.0]))
        state, _ = s.step(state, np.array([wish]), world, k)
        on.append(state.clock_h[0, :, 0].copy())
    running = np.array(on)
    begun = np.diff(running, axis=0) > 0.5
    assert begun.sum() > 5 and begun.sum(axis=1).max() == 1
    minutes = np.flatnonzero(begun.any(axis=1))
    assert np.diff(minutes).min() >= 6, "a tenth of an hour between two starts"
    for unit in range(3):
        starts = np.flatnonzero(begun[:, unit])
        assert np.diff(starts).min(initial=99) >= 15, "four starts an hour"
        stops = np.flatnonzero(np.diff(running[:, unit]) < -0.5)
        for a in starts:
            before = stops[stops < a]
            assert before.size == 0 or a - before[-1] >= 12


def test_a_chilled_plant_rests_through_the_dear_hours() -> None:
    world, s = hot_days(96 * 3), ThermalLoad(**FREEZER)
    hour = np.arange(96 * 3) / 4 % 24
    dear = (hour >= 16) & (hour < 21)
    found = planned(world, s, np.where(dear, 1.0, 0.1), 0.0)
    record = carried_out(world, s, found.setpoints_kw["freezer"])
    w = s.weather_on(world.timeline, world["temperature_c"])
    drawn = w.base_kw + record.asset_kw["freezer"]
    assert drawn.min() >= -1e-9
    for day in range(3):
        event = dear & (np.arange(96 * 3) // 96 == day)
        assert (drawn[event] < 0.02 * s.compressor_kw).sum() * 0.25 >= 2.0, "off for two hours and more"
    assert (drawn[dear].sum() / w.base_kw[dear].sum()) < 0.6
    assert s.hours_off(35.0, 55.0, chilled=True) > 3 > s.hours_off(35.0, 55.0) > 1
    assert 1 < s.capability().max_duration_h < 3


def test_headroom_needs_rest_and_a_claim_may_then_stand_on_it() -> None:
    world = hot_days(48)
    claim = Claim("market", "reserve", "up", np.full(48, 0.05), ("freezer",), sustain_h=0.5)
    plain = ThermalLoad(**FREEZER)
    with pytest.raises(InputError, match="cannot be reserved"):
        optimise(
            world.timeline, world["load_kw"], [plain.belief(view_of(world, plain))], [claim], method="highs"
        )
    ready = ThermalLoad(**FREEZER, sustain_h=0.5)
    found = optimise(
        world.timeline, world["load_kw"], [ready.belief(view_of(world, ready))], [claim], method="highs"
    )
    w = ready.weather_on(world.timeline, world["temperature_c"])
    held = found.awards_kw["market/reserve"]
    assert held.sum() > 0 and (held <= w.base_kw + found.setpoints_kw["freezer"] + 1e-6).all()
    # Called in any hour, for its half hour: the bounds hold all the same.
    for k in (4, 20, 40):
        asked = found.setpoints_kw["freezer"].copy()
        asked[k : k + 2] -= held[k : k + 2]
        record = carried_out(world, ready, asked)
        assert record.extra["freezer/air_top_c"].max() <= ready.air_max_c


@pytest.mark.slow
def test_a_plan_continues_from_any_state() -> None:
    world, s = hot_days(96), ThermalLoad(**FREEZER)
    price = np.where(np.arange(96) % 32 < 8, 0.8, 0.1)
    first = planned(world, s, price, 0.0).setpoints_kw["freezer"]
    state = s.initial_state()
    for k in range(95):
        state, _ = s.step(state, first[k : k + 1], world, k)
        if k % 9 == 0:
            view = View(world.timeline, k + 1, 95 - k, Foresight(world), {"freezer": state})
            one = np.zeros(95 - k, dtype=np.int64)
            term = Payment("t", "energy", Measure("import"), "each", one, (Block(inf, price[k + 1 :]),))
            found = optimise(view.horizon, view.series("load_kw"), [s.belief(view)], [term], method="highs")
            assert found.proved


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"setpoint_c": -10}, "setpoint_c"),
        ({"product_max_c": -21}, "product_max_c"),
        ({"product": "unobtainium"}, "unobtainium"),
        ({"product_kg": None}, "product_kwh_per_k"),
        ({"product_kwh_per_k": 5.0}, "not both"),
        ({"setpoint_c": -4.0, "air_min_c": -6.0, "air_max_c": -2.0, "product_min_c": None, "product_max_c": None},
         "latent heat"),
        ({"colour": "red"}, "colour"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_key(bad: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ThermalLoad(**{**FREEZER, **bad})


def test_bounds_too_narrow_and_weather_unknown_are_said() -> None:
    narrow = ThermalLoad(**{**FREEZER, "air_max_c": -19.9, "product_max_c": -19.9})
    with pytest.raises(InputError, match="too narrow"):
        planned(hot_days(96), narrow, np.full(96, 0.1), 0.0)
    t = Timeline("2021-07-05", 0.25, 4, "UTC")
    with pytest.raises(DataError, match="temperature_c"):
        ThermalLoad(**FREEZER).weather_on(t)
    assert ThermalLoad(**FREEZER, outdoor_c=20).weather_on(t).outdoor_c[0] == 20
    words = " ".join(ThermalLoad(**FREEZER).assumptions)
    assert "not verified" in words and "found by trial" in words
