"""Battery and optimiser keep one law: a plan made of the belief is what the truth carries out."""

from __future__ import annotations

from math import inf

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.assets.battery import Battery
from valuestack.dispatch import Foresight, Record, Series, View, World
from valuestack.stack.optimise import optimise
from valuestack.terms import Block, Measure, Payment
from valuestack.timeline import Timeline

TIME = Timeline(start="2019-03-09T00:00", step_h=0.5, n=96, tz="America/New_York")

batteries = st.builds(
    Battery,
    power_kw=st.floats(5, 60),
    charge_power_kw=st.none() | st.floats(5, 60),
    energy_kwh=st.floats(20, 150),
    soc_min_frac=st.floats(0, 0.3),
    soc_max_frac=st.floats(0.6, 1),
    charge_efficiency_frac=st.floats(0.7, 1),
    discharge_efficiency_frac=st.floats(0.7, 1),
    idle_kw=st.sampled_from([0.0, 1.5]),
    replacement_usd_per_kwh=st.sampled_from([0.0, 300.0]),
    wear=st.sampled_from(["flat", "segments", "none"]),
    wear_model=st.sampled_from(["lfp-sam", "nmc-xu-2018"]),
)


@settings(max_examples=40, deadline=None)
@given(battery=batteries, seed=st.integers(0, 10_000))
def test_truth_carries_out_the_plan_and_counts_its_wear(battery: Battery, seed: int) -> None:
    rng = np.random.default_rng(seed)
    load = np.maximum(60 + 40 * np.sin(TIME.hour / 24 * 2 * np.pi) + rng.normal(0, 10, TIME.n), 0.0)
    world = World(TIME, {"load_kw": Series("load_kw", load, "kW")})
    name, start = battery.name, battery.initial_state()
    offer = battery.belief(View(TIME, 0, TIME.n, Foresight(world), {name: start}))
    window = np.zeros(TIME.n, dtype=np.int64)
    plan = optimise(TIME, load, [offer], [
        Payment("u", "energy", Measure("import"), "each", window, (Block(inf, rng.uniform(0.05, 0.4, TIME.n)),)),
        Payment("u", "demand", Measure("import"), "max", window, (Block(inf, 10.0),)),
    ])  # fmt: skip
    energy, stored, power = start, [], []
    for k in range(TIME.n):
        # A plan speaks of the meter; the setpoint of a battery leaves its idle draw out.
        wish = plan.net_kw[k : k + 1] - load[k] - battery.idle_kw
        energy, drawn = battery.step(energy, wish, world, k)
        stored.append(float(energy[0]))
        power.append(float(drawn[0]))
    tolerance = 1e-5 * battery.energy_kwh
    np.testing.assert_allclose(load + np.array(power), plan.net_kw, atol=tolerance)
    np.testing.assert_allclose(stored, plan.stored_kwh[name], atol=tolerance)

    record = Record(TIME, plan.net_kw, asset_kw={name: np.array(power)}, stored_kwh={name: np.array(stored)})
    worn = battery.worn(record)
    assert sum(e.usd for e in battery.settle(record, world)) == -worn.counted_usd
    assert worn.counted_usd >= 0 and worn.full_cycles >= 0
    if battery.wear != "none" and battery.replacement_usd_per_kwh and worn.throughput_kwh > 1:
        assert worn.counted_usd > 0, "what moves wears"
