"""Arbitrage by rule: hours by hand, laws of the setpoint, and what a schedule alone is worth of the bound."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.assets.battery import Battery
from valuestack.control.arbitrage import energy_price_usd_per_kwh, hours_of
from valuestack.control.arbitrage_kernel import traded_kw
from valuestack.dispatch import Foresight, Series, View, World
from valuestack.stack.optimise import optimise
from valuestack.terms import Block, Measure, Payment
from valuestack.timeline import Timeline

TIME = Timeline(start="2019-07-01T00:00", step_h=1.0, n=72, tz="UTC")


def test_hours_by_hand() -> None:
    """Night 0.10, day 0.14, evening 0.30: at 81 % round trip the day pays only if 0.14 > 0.10 / 0.81 = 0.123."""
    price = np.select([TIME.hour < 8, TIME.hour < 16, TIME.hour < 21], [0.10, 0.14, 0.30], 0.14)
    sizes = {
        "power_kw": 10.0,
        "energy_kwh": 40.0,
        "charge_efficiency_frac": 0.9,
        "discharge_efficiency_frac": 0.9,
    }
    found = hours_of(price, TIME, **sizes)
    day = slice(0, 24)
    assert found.sell[day].tolist() == [False] * 8 + [True] * 16
    assert found.buy[day].tolist() == [True] * 8 + [False] * 16
    assert found.hold_kwh[10] == 40.0, "five evening hours take all of it"
    assert not found.hold_kwh[16:24].any(), "nothing dearer comes before the night"
    weak = hours_of(price, TIME, **{**sizes, "power_kw": 2.0})
    assert weak.hold_kwh[15] == pytest.approx(5 * 2 / 0.9), "five hours of a weak battery"
    worn = hours_of(price, TIME, **sizes, wear_usd_per_kwh=0.05)
    assert worn.sell[day].tolist() == [False] * 16 + [True] * 5 + [False] * 3, "wear eats the small spread"
    flat = hours_of(np.full(72, 0.1), TIME, **sizes)
    assert not flat.any and flat.buy.all(), "one price: buy when convenient"


def test_prices_are_what_one_more_kwh_costs() -> None:
    window = np.zeros(72, dtype=np.int64)
    by_window = np.where(TIME.hour >= 12, 1, 0)
    terms = [
        Payment("u", "each", Measure("import"), "each", window, (Block(inf, np.arange(72) / 100),)),
        Payment(
            "u",
            "tiers",
            Measure("net"),
            "sum",
            by_window,
            (Block(9.0, 5.0), Block(inf, np.array([0.1, 0.2]))),
        ),
        Payment("u", "demand", Measure("import"), "max", window, (Block(inf, 20.0),)),
        Payment("u", "sold", Measure("export"), "each", window, (Block(inf, -0.03),)),
        Payment(
            "u", "baseline", Measure("import", reference_kw=np.ones(72)), "each", window, (Block(inf, -0.4),)
        ),
    ]
    price = energy_price_usd_per_kwh(terms, TIME)
    assert price[3] == pytest.approx(0.03 + 0.1 + 0.4) and price[15] == pytest.approx(0.15 + 0.2 + 0.4)


@settings(max_examples=200, deadline=None)
@given(
    wish=st.floats(-50, 50), base=st.floats(-100, 200), energy=st.floats(10, 110), keep=st.floats(0, 100),
    hold=st.floats(0, 100), sell=st.booleans(), buy=st.booleans(),
)  # fmt: skip
def test_trade_never_spends_what_is_kept_nor_feeds_in(
    wish: float, base: float, energy: float, keep: float, hold: float, sell: bool, buy: bool
) -> None:
    got = traded_kw(wish, base, energy, 10.0, keep, sell, buy, hold, 50.0, 0.9, 0.9, 0.25)
    if got != wish and got < 0:
        assert sell and base + got >= -1e-9, "selling stops where feeding in would begin"
        assert energy - 10 + got / 0.9 * 0.25 >= max(keep, hold) - 1e-6
    if wish <= 0:
        assert got <= wish, "demand is always served"
    if not sell and buy:
        assert got == wish
    if wish > 0 and got > 0:
        assert got <= wish


@pytest.mark.parametrize("efficiency", [0.8, 0.95])
def test_a_schedule_alone_is_nearly_all_of_an_energy_bound(efficiency: float) -> None:
    timeline = Timeline(start="2019-07-01T00:00", step_h=0.25, n=96 * 28, tz="UTC")
    price = np.select([timeline.hour < 8, timeline.hour < 16, timeline.hour < 21], [0.10, 0.14, 0.30], 0.14)
    price = np.where(timeline.weekday >= 5, 0.10, price)
    rng = np.random.default_rng(1)
    load = 100 + 40 * np.sin(timeline.hour / 24 * 2 * np.pi) + rng.normal(0, 5, timeline.n)
    battery = Battery(power_kw=30, energy_kwh=90, round_trip_efficiency_frac=efficiency, soc_start_frac=0.05)
    world = World(timeline, {"load_kw": Series("load_kw", load, "kW")})
    offer = battery.belief(
        View(timeline, 0, timeline.n, Foresight(world), {"battery": battery.initial_state()})
    )
    window = np.zeros(timeline.n, dtype=np.int64)
    best = optimise(timeline, load, [offer], [
        Payment("u", "energy", Measure("import"), "each", window, (Block(inf, price),))])  # fmt: skip
    ec, ed = battery.efficiencies
    low, high = battery.window_kwh
    hours = hours_of(price, timeline, power_kw=30, energy_kwh=high - low, charge_efficiency_frac=ec,
                     discharge_efficiency_frac=ed)  # fmt: skip
    energy, net = battery.start_kwh, np.empty(timeline.n)
    for k in range(timeline.n):
        wish = min(30.0, (high - energy) / (ec * 0.25))
        power = traded_kw(wish, load[k], energy, low, 0.0, hours.sell[k], hours.buy[k], hours.hold_kwh[k], 30.0, ec, ed,
                          0.25)  # fmt: skip
        energy += (power * ec if power > 0 else power / ed) * 0.25
        net[k] = load[k] + power
    before, rule, bound = (float(price @ x) * 0.25 for x in (load, net, best.net_kw))
    rule -= (energy - battery.start_kwh) / ec * 0.10  # what it bought on the last day for the next
    assert low - 1e-9 <= energy <= high + 1e-9
    assert (before - rule) / (before - bound) > 0.97
