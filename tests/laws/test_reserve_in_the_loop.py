"""The reserve in the closed loop over a year: a policy that empties the battery whenever it may, an engine that is
sold, and every start of the year carried."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from tests.unit.streams.resilience.places import battery, engine, place
from valuestack.assets.generator import Refuelling
from valuestack.control.loop import run
from valuestack.control.policy import Setting
from valuestack.dispatch import Plan, View
from valuestack.streams.resilience.reserve import Reserve


class Reckless:
    """Fills by night, empties at full power by day, runs the engine in the evening."""

    kind: ClassVar[str] = "reckless"

    def __init__(self, engine_kw: float) -> None:
        self.engine_kw = engine_kw

    def prepare(self, setting: Setting) -> None:
        self.hour = setting.timeline.hour

    def decide(self, view: View) -> Plan:
        night = self.hour[view.k] < 6
        evening = 17 <= self.hour[view.k] < 21
        return Plan({"battery": 60.0 if night else -60.0, "generator": -self.engine_kw if evening else 0.0})


@pytest.mark.slow
def test_zero_breaches_over_every_start_of_a_year_with_the_market_in() -> None:
    rng = np.random.default_rng(4)
    load = 90.0 + 30.0 * np.sin(np.arange(8760) % 24 / 24 * 2 * np.pi) + rng.uniform(0, 20, 8760)
    # 4 h of 100 kW in the evening are 40 gal a day, which the truck brings; 48 h at full load are 480
    sold = engine(
        permit="non_emergency", tank_gal=560.0, refuelling=Refuelling(every_h=24.0, gal=60.0), start_s=10.0
    )
    store = battery(70.0, 1500.0, soc_start_frac=1.0)
    where = place(load, [sold, store])
    reserve = Reserve(hours=48, critical={"load_frac": 1.0}, ups_kw=120.0, ups_min=1.0)  # type: ignore[arg-type]
    bound = reserve.bind(where)
    floors = bound.floors_kwh(where)
    assert store.window_kwh[0] < floors["battery"][0] < 1500.0
    held = run(where.world, where.assets, Reckless(100.0), reserve_kwh=floors, export_limit_kw=1000.0)
    assert np.ptp(held.stored_kwh["battery"]) > 50 and held.asset_kw["generator"].min() == -100.0
    assert not bound.check(held).breaches and bound.check(held).starts == 8760
    bare = run(where.world, where.assets, Reckless(100.0), export_limit_kw=1000.0)
    assert len(bound.check(bare).breaches) > 1000, "without the reserve the same policy would fail"
    thirsty = engine(
        permit="non_emergency", tank_gal=500.0, refuelling=Refuelling(every_h=24.0, gal=20.0), start_s=10.0
    )
    dry = place(load, [thirsty, store])
    asked = reserve.bind(dry)
    empty = run(dry.world, dry.assets, Reckless(100.0), reserve_kwh=floors, export_limit_kw=1000.0)
    assert asked.check(empty).breaches, "fuel that is sold is missed too"
    floor = asked.fuel_floors_gal(dry)["generator"]
    kept = place(load, [thirsty.model_copy(update={"keep_gal": floor}), store])
    locked = run(kept.world, kept.assets, Reckless(100.0), reserve_kwh=floors, export_limit_kw=1000.0)
    assert not reserve.bind(kept).check(locked).breaches, "the interlock on the tank keeps it"
    assert locked.asset_kw["generator"].sum() > empty.asset_kw["generator"].sum()
