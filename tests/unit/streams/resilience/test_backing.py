"""An outage without chance, against a plain walk in Python, and what it says in simple cases."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.streams.resilience.places import battery, engine, place
from valuestack.assets.generator import Refuelling
from valuestack.assets.pv import Pv
from valuestack.errors import InputError
from valuestack.streams.resilience.backing import Backing, gather


def walk(b: Backing, start: int, hours: float, fuel: list[float], energy: float) -> tuple[int, float]:
    """Steps carried and energy asked of the stores, minute by minute of thought, nothing vectorised."""
    h, n = b.timeline.step_h, b.timeline.n
    tanks, carried, asked = list(fuel), None, 0.0
    for j in range(b.steps(hours)):
        k = (start + j) % n
        for g, e in enumerate(b.engines):
            every = e.backup.refuel_every_h
            if every < inf and j > 0 and j % max(1, int(np.ceil(every / h - 1e-9))) == 0:
                tanks[g] = min(tanks[g] + e.backup.refuel_gal, e.backup.tank_gal)
        need, total = b.need_kw[k], sum(e.kw[k] for e in b.engines)
        gap = min(max(b.start_h - j * h, 0.0), h)
        run = h - gap
        mean, last = 0.0, 0.0
        for g, e in enumerate(b.engines):
            take = min(need, total) * e.kw[k] / total if total else 0.0
            burn = float(e.burn_gal_per_h(np.array(take))) * run
            if burn <= tanks[g] + 1e-9:
                tanks[g] -= burn
                mean, last = mean + take, last + take
            else:
                mean += take * tanks[g] / burn
                tanks[g] = 0.0
        ask = need * gap + max(need - mean, 0.0) * run
        asked += ask
        power = max(need if gap else 0.0, need - last if run else 0.0)
        if carried is None and (ask > energy + 1e-6 or power > b.store_kw + 1e-6):
            carried = j
        energy -= min(ask, energy)
    return (b.steps(hours) if carried is None else carried), asked


@settings(max_examples=60, deadline=None)
@given(
    load=st.lists(st.floats(0, 180), min_size=6, max_size=12),
    tank=st.floats(5, 80),
    stored=st.floats(0, 160),
    every=st.sampled_from([None, 2.0, 3.0]),
    start_s=st.sampled_from([0.0, 600.0]),
    hours=st.sampled_from([2.0, 5.0, 9.0]),
    step_h=st.sampled_from([0.5, 1.0]),
    pair=st.booleans(),
)
def test_kernel_is_the_plain_walk(
    load: list[float], tank: float, stored: float, every: float | None, start_s: float, hours: float,
    step_h: float, pair: bool,
) -> None:  # fmt: skip
    truck = None if every is None else Refuelling(every_h=every, gal=15.0, in_outage=True)
    engines = [engine(tank_gal=tank, refuelling=truck, start_s=start_s)]
    if pair:
        engines.append(engine(name="other", rated_kw=40.0, units=1, tank_gal=30.0, fuel_curve=()))
    where = place(load, [*engines, battery(60.0)], step_h=step_h)
    b = gather(where.timeline, where.assets, where.world, where.world["load_kw"])
    n = where.timeline.n
    fuel = np.array([[e.backup.tank_gal * 0.9] * n for e in b.engines])
    steps, _, asked, _, _ = b.carry(hours, fuel, np.full(n, stored))
    for k in range(n):
        want = walk(b, k, hours, fuel[:, k].tolist(), stored)
        assert steps[k] == want[0]
        assert asked[k] == pytest.approx(want[1], abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    load=st.lists(st.floats(0, 150), min_size=4, max_size=10),
    tank=st.floats(5, 80),
    stored=st.floats(0, 150),
    more=st.floats(0, 50),
)
def test_more_fuel_more_energy_more_units_carry_no_less(
    load: list[float], tank: float, stored: float, more: float
) -> None:
    def steps(units: int, fuel: float, energy: float) -> np.ndarray:
        where = place(load, [engine(units=units, tank_gal=200.0), battery(60.0)])
        b = gather(where.timeline, where.assets, where.world, where.world["load_kw"])
        n = where.timeline.n
        return b.carry(6.0, np.full((1, n), fuel), np.full(n, energy))[0]

    base = steps(1, tank, stored)
    assert (steps(1, tank + more, stored) >= base).all()
    assert (steps(1, tank, stored + more) >= base).all()
    # more units burn more fuel where the store would else have failed; with fuel enough they carry no less
    assert (steps(2, 200.0, stored) >= steps(1, 200.0, stored)).all()


def test_fuel_needed_counts_trucks_backwards() -> None:
    # 10 gal/h for 6 h; a truck of 15 gal after 2 and 4 h: 60 - 30 would do, but 20 are burnt before the first comes.
    truck = Refuelling(every_h=2.0, gal=15.0, in_outage=True)
    where = place([100.0] * 6, [engine(tank_gal=100.0, refuelling=truck)])
    b = gather(where.timeline, where.assets, where.world, where.world["load_kw"])
    assert b.fuel_needed_gal(6.0)[0] == pytest.approx([30.0] * 6)
    small = Refuelling(every_h=2.0, gal=30.0, in_outage=True)
    where = place([100.0] * 6, [engine(tank_gal=100.0, refuelling=small)])
    b = gather(where.timeline, where.assets, where.world, where.world["load_kw"])
    assert b.fuel_needed_gal(6.0)[0] == pytest.approx([20.0] * 6)
    assert (b.carry(6.0, np.full((1, 6), 20.0), np.zeros(6))[0] == 6).all()
    assert (b.carry(6.0, np.full((1, 6), 19.9), np.zeros(6))[0] < 6).all()


def test_a_ups_bridges_power_until_the_engine_runs() -> None:
    where = place([80.0] * 4, [engine(start_s=360.0), battery(20.0)])
    bare = gather(where.timeline, where.assets, where.world, where.world["load_kw"])
    assert (bare.carry(2.0, np.full((1, 4), inf), np.full(4, 100.0))[0] == 0).all(), "20 kW bridge no 80"
    helped = gather(where.timeline, where.assets, where.world, where.world["load_kw"], ups_kw=60.0, ups_h=0.1)
    steps, _, asked, _, bridge = helped.carry(2.0, np.full((1, 4), inf), np.full(4, 100.0))
    assert (steps == 2).all() and bridge[0] == pytest.approx(20.0)
    assert asked[0] == pytest.approx(20.0 * 0.1), "six minutes of what the UPS leaves"
    short = gather(where.timeline, where.assets, where.world, where.world["load_kw"], ups_kw=60.0, ups_h=0.05)
    assert (short.carry(2.0, np.full((1, 4), inf), np.full(4, 100.0))[0] == 0).all()


def test_spare_units_and_maintenance_are_not_counted_on() -> None:
    down = [{"first_date": "2021-01-01", "until_date": "2021-01-02", "units": 1}]
    where = place(
        [50.0] * 30, [engine(units=3, maintenance=down), engine(name="small", rated_kw=30.0, fuel_curve=())]
    )
    b = gather(where.timeline, where.assets, where.world, where.world["load_kw"], spare_units=1)
    assert b.capacity_kw[0] == 130.0 and b.capacity_kw[25] == 230.0
    with pytest.raises(InputError, match="spare_units = 5: there are 4"):
        gather(where.timeline, where.assets, where.world, where.world["load_kw"], spare_units=5)


def test_sun_counts_only_as_far_as_it_is_said(tmp_path: object) -> None:
    class Sun:
        name = "sun"

        def initial_state(self) -> None: ...
        def backup(self, state: object) -> None: ...
        def belief(self, view: object) -> object:
            from valuestack.flows import Given

            return Given("sun", np.array([0.0, -40.0, -40.0, 0.0]))

    where = place([50.0] * 4, [Sun()])
    none = gather(where.timeline, where.assets, where.world, where.world["load_kw"])
    half = gather(where.timeline, where.assets, where.world, where.world["load_kw"], pv_frac=0.5)
    assert none.need_kw.tolist() == [50] * 4 and half.need_kw.tolist() == [50, 30, 30, 50]
    assert Pv.kind == "pv"


def test_shares_of_a_duty_respect_power_and_energy() -> None:
    where = place([50.0] * 4, [battery(10.0, 1000.0), battery(90.0, 50.0, name="fast")])
    b = gather(where.timeline, where.assets, where.world, where.world["load_kw"])
    shares = b.split(asked_kwh=60.0, most_kw=15.0)
    assert shares is not None and sum(shares.values()) == pytest.approx(1.0)
    assert shares["battery"] * 15 <= 10 + 1e-9 and shares["fast"] * 60 <= 50 * 0.8 + 1e-9
    assert b.split(asked_kwh=500.0, most_kw=80.0) is None
