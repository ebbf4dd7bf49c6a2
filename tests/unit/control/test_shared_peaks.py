"""B over all layers with an engine: a demand charge is paid once for its month, fuel on every day that reaches it."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import pytest

from tests.unit.control.test_calls import response
from valuestack.assets.generator import Generator
from valuestack.control import loop
from valuestack.control.do_nothing import DoNothing
from valuestack.control.dynamic import Dynamic
from valuestack.control.promises import belief_of
from valuestack.dispatch import Series, World
from valuestack.forecast.perfect import Perfect
from valuestack.streams.grid.enrolment import Call as Event
from valuestack.terms import Block, Measure, Payment
from valuestack.timeline import Kw, Timeline

# Half of September to learn from, and October.
MONTH = Timeline(start="2026-09-14T00:00", step_h=1.0, n=24 * (17 + 31), tz="America/New_York")
OCTOBER = slice(24 * 17, None)
ENERGY_USD, DEMAND_USD, FUEL_USD = 0.10, 20.0, 4.0
EVENTS = (Event(start="2026-10-28T17:00", hours=1.0, notice_h=20.0),)


def engine() -> Generator:
    """50 kW that burn about 0.0763 gal/kWh: 0.31 USD/kWh, three times what the grid asks."""
    return Generator.model_validate(
        {
            "rated_kw": 50.0,
            "permit": "non_emergency",
            "fuel_usd_per_gal": FUEL_USD,
            "start_s": 0.0,
            "min_load_frac": 0.0,
        }
    )


def settled_usd(record: Any) -> float:
    """October's energy, its highest hour, and the fuel that was burnt."""
    net = np.asarray(record.net_kw)[OCTOBER]
    fuel = -float(np.asarray(record.asset_kw["generator"])[OCTOBER].sum()) * 0.0763 * FUEL_USD
    return ENERGY_USD * float(net.clip(0).sum()) + DEMAND_USD * float(net.max()) + fuel


def under_b(kw: Kw) -> tuple[float, float, Any]:
    """What October costs with the engine at rest and under B, and B's record."""
    world = World(MONTH, {"load_kw": Series("load_kw", kw, "kW", -1.0)})
    zero, month = np.zeros(MONTH.n, dtype=np.int64), MONTH.month_id - MONTH.month_id[0]
    terms = [
        Payment("u", "energy", Measure("import"), "each", zero, (Block(inf, ENERGY_USD),)),
        Payment("u", "demand", Measure("import"), "max", month, (Block(inf, DEMAND_USD),)),
    ]
    streams = [response(events=EVENTS, assets=("generator",), nomination_kw=1.0)]
    rest = loop.run(world, [engine()], DoNothing(), terms)
    record = loop.run(
        world, [engine()], Dynamic(Perfect(kw)), terms, streams=streams, belief=belief_of(world, streams)
    )
    return settled_usd(rest), settled_usd(record), record


def daily(hours: int, top_kw: float) -> Kw:
    """200 kW, and so much on top for some hours of every day."""
    return np.asarray(200.0 + top_kw * ((MONTH.hour >= 9) & (MONTH.hour < 9 + hours)), dtype=float)


@pytest.mark.slow
def test_a_peak_of_every_day_is_not_worth_its_fuel() -> None:
    """8 h a day x 31 days x 0.205 USD/kWh = 51 USD a kW against a charge of 20: the engine rests."""
    rest, b, record = under_b(daily(8, 50.0))
    ran_kwh = -float(np.asarray(record.asset_kw["generator"])[OCTOBER].sum())
    assert b <= rest + 0.02 * DEMAND_USD * 50.0
    assert ran_kwh < 50.0 * 8 * 2


@pytest.mark.slow
def test_a_short_peak_of_every_day_is() -> None:
    """2 h a day x 31 days x 0.205 USD/kWh = 13 USD a kW against 20: the engine runs every day."""
    rest, b, record = under_b(daily(2, 50.0))
    assert np.asarray(record.net_kw)[OCTOBER].max() <= 205.0
    assert b < rest - 250.0


@pytest.mark.slow
def test_a_long_peak_of_one_day_a_week_is() -> None:
    """8 h on 4 Mondays x 0.205 USD/kWh = 7 USD a kW against 20: the engine runs on Mondays alone."""
    kw = daily(8, 50.0) * (MONTH.weekday == 0) + 200.0 * (MONTH.weekday > 0)
    rest, b, record = under_b(kw)
    ran = -np.asarray(record.asset_kw["generator"])
    assert b < rest - 300.0
    assert ran[MONTH.weekday > 0].sum() < 0.2 * ran.sum()
