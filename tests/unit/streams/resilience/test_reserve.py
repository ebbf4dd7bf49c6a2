"""The reserve: floors, what a site can cover, the check of a record, fuel, a start below the floor."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.streams.resilience.places import battery, engine, place, record
from valuestack.assets.generator import Refuelling
from valuestack.control.guard import guard_for
from valuestack.dispatch import Foresight, View
from valuestack.errors import InputError
from valuestack.ledger import Entry, Ledger
from valuestack.streams.resilience.critical import CriticalLoad
from valuestack.streams.resilience.reserve import Reserve, premium_usd
from valuestack.streams.stream import Place, ValueStream


def view_of(where: Place, k: int = 0, **states: object) -> View:
    state = {a.name: a.initial_state() for a in where.assets} | states
    return View(where.timeline, k, where.timeline.n - k, Foresight(where.world), state)


def reserve(hours: float = 2.0, **more: object) -> Reserve:
    values = {"hours": hours, "critical": {"load_frac": 1.0}, "uninterrupted": False} | more
    return Reserve.model_validate(values)


def test_floor_is_the_worst_hours_over_the_efficiency() -> None:
    where = place([10, 10, 40, 40, 10, 10], [battery(50.0)])
    bound = reserve().bind(where)
    assert isinstance(bound, ValueStream)
    floors = bound.floors_kwh(where)["battery"]
    assert floors.shape == (7,) and floors == pytest.approx(np.full(7, 80 / 0.8))
    follows = reserve(basis="next").bind(where).floors_kwh(where)["battery"]
    assert follows * 0.8 == pytest.approx([20, 50, 80, 50, 20, 20, 20])
    (limit,) = bound.terms(view_of(where))
    assert limit.priority == 0 and limit.measure.flow == "stored" and limit.breach_usd_per_unit is None
    assert guard_for([battery(50.0).belief(view_of(where))], 6, 1.0, 1e9, 0.0, {"battery": floors})


def test_an_engine_leaves_the_store_what_is_above_it() -> None:
    where = place([90, 130, 130, 90], [engine(tank_gal=100.0), battery(50.0)])
    floors = reserve().bind(where).floors_kwh(where)["battery"]
    assert floors[0] == pytest.approx(60 / 0.8)
    assert reserve().bind(where).fuel_floors_gal(where) == {"generator": pytest.approx(20.0)}


def test_what_a_tank_cannot_give_the_store_must() -> None:
    # 10 gal at 8 gal/h: after 1.25 h the store alone carries 80 kW for 0.75 h
    where = place([80.0] * 6, [engine(tank_gal=10.0), battery(90.0)])
    floors = reserve().bind(where).floors_kwh(where)["battery"]
    assert floors[0] == pytest.approx(0.75 * 80 / 0.8)


def test_the_data_centre_as_told_does_not_add_up() -> None:
    # 8 MW for 48 h; engines of 5 MW, a battery of 1 MW and 4 MWh: a published case
    engines = engine(units=2, rated_kw=2500.0, fuel_curve=(), start_s=10.0)
    where = place([8000.0] * 48, [engines, battery(1000.0, 4000.0, soc_start_frac=1.0)])
    asked = Reserve(hours=48, critical=CriticalLoad(kw=8000.0), uninterrupted=False)
    found = asked.coverage(where)
    assert not found.covered and found.need_mwh == pytest.approx(384.0)
    assert found.engine_mwh == pytest.approx(240.0)
    # engines carry 5 MW; 4 MWh x 0.8 over 48 h are 66.7 kW more
    assert found.carry_kw == pytest.approx(5000 + 3200 / 48, rel=1e-4)
    with pytest.raises(
        InputError, match=r"reserve: hours = 48.*= 384.0 MWh.*240.0 MWh.*can be carried is 5,06"
    ):
        asked.bind(where)
    blink = Reserve(hours=48, critical=CriticalLoad(kw=8000.0))
    told = blink.coverage(where)
    assert told.carry_kw == pytest.approx(1000.0, rel=1e-4), "1 MW bridges 1 MW"
    assert any("must bridge 8,000 kW and can give 1,000 kW" in w for w in told.why)
    ups = Reserve(hours=48, critical=CriticalLoad(kw=5000.0), ups_kw=4500.0, ups_min=1.0)
    assert ups.coverage(where).covered
    most = Reserve(hours=48, critical=CriticalLoad(kw=8000.0), uninterrupted=False, if_short="hold_most")
    bound = most.bind(where)
    assert any("This share is held, not all" in a for a in bound.assumptions)
    assert not bound.check(record(where, bound.floors_kwh(where)["battery"][1:])).breaches


def test_a_share_of_the_store_leaves_the_rest_to_others() -> None:
    where = place([8000.0] * 48, [engine(units=2, rated_kw=2500.0, fuel_curve=()), battery(1000.0, 4000.0)])
    asked = {"hours": 48, "critical": {"kw": 8000.0}, "uninterrupted": False, "if_short": "hold_most"}
    bound = Reserve.model_validate(asked | {"held_frac": 0.25}).bind(where)
    assert bound.floors_kwh(where)["battery"][0] == pytest.approx(1000.0, rel=1e-3)
    assert bound.coverage(where).carry_kw == pytest.approx(5000 + 800 / 48, rel=1e-4)
    assert any("at most 25% of the stores' energy" in a for a in bound.assumptions)
    none = Reserve.model_validate(asked | {"held_frac": 0.0}).bind(where)
    assert none.floors_kwh(where)["battery"].max() < 1.0
    assert none.coverage(where).carry_kw == pytest.approx(5000.0, rel=1e-4)


def test_check_finds_every_start_that_falls_short() -> None:
    where = place([10, 10, 40, 40, 10, 10], [battery(50.0)])
    bound = reserve().bind(where)
    full = bound.check(record(where, 100.0))
    assert full.starts == 6 and not full.breaches
    low = bound.check(record(where, np.array([100.0, 90, 100, 100, 100, 100])))
    (breach,) = low.breaches
    assert breach.start == where.timeline.when(2) and breach.carried_h == 1.0
    assert breach.short_kwh == pytest.approx(80 - 90 * 0.8)


def test_power_is_tested_as_well_as_energy() -> None:
    where = place([60.0] * 4, [battery(50.0, 2000.0)])
    with pytest.raises(InputError, match="can never be held"):
        reserve().bind(where)
    assert reserve().coverage(where).carry_kw == pytest.approx(50.0, rel=1e-4)


def test_fuel_sold_between_trucks_leaves_the_floor() -> None:
    fuelled = engine(
        permit="non_emergency",
        tank_gal=50.0,
        refuelling=Refuelling(every_h=3.0, gal=20.0),
        tank_start_frac=0.8,
    )
    where = place([80.0] * 8, [fuelled])
    (limit,) = reserve(hours=2.0).bind(where).terms(view_of(where))
    # 16 gal stay; 40 at first, then the truck brings 20, of which at most 34 fit
    assert limit.measure.flow == "fuel_gal" and limit.over == "sum" and limit.priority == 0
    assert limit.window.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert limit.upper == pytest.approx([24, 20, 20])
    assert not reserve().bind(place([80.0] * 8, [engine(tank_gal=50.0)])).terms(view_of(where)), (
        "not for sale"
    )


def test_from_a_start_below_the_floor_it_climbs_as_fast_as_it_can() -> None:
    where = place([10.0] * 6, [battery(20.0, 200.0, soc_start_frac=0.0)], import_limit_kw=25.0)
    bound = reserve(hours=4.0).bind(where)
    (limit,) = bound.terms(view_of(where))
    assert limit.lower == pytest.approx([15, 30, 45, 50, 50, 50])
    (later,) = bound.terms(view_of(where, 2, battery=np.array([60.0])))
    assert later.lower == pytest.approx([50] * 4)


def test_premium_is_what_the_other_layers_lose() -> None:
    def money(layer: int, usd: float) -> Entry:
        return Entry("2021", layer, "s", "i", "c", 1.0, "kWh", None, usd)

    free = Ledger.of([money(0, -10.0), money(1, -500.0), money(3, 90.0), money(2, 1.0)])
    held = Ledger.of([money(0, -8.0), money(1, -520.0), money(3, 60.0), money(2, 400.0)])
    assert premium_usd(free, held) == pytest.approx(-420.0 + 468.0)


def test_bad_input_names_owner_clause_and_remedy() -> None:
    where = place([10.0] * 4, [battery(50.0)], critical_kw=np.array([1.0, -2, 1, 1]))
    with pytest.raises(InputError, match="reserve: critical load is -2 kW at 2021-01-01T01:00"):
        reserve(critical={"series": "critical_kw"}).bind(where)
    with pytest.raises(InputError, match="'nowhere': the world has no such series; it has load_kw"):
        reserve(critical={"series": "nowhere"}).bind(where)
    with pytest.raises(InputError, match="reserve: spare_units = 1: there are 0"):
        reserve(spare_units=1).bind(where)
    with pytest.raises(InputError, match="bind it to its site first"):
        reserve().terms(view_of(where))
    with pytest.raises(ValueError, match="give one of kw, load_frac and series"):
        CriticalLoad(kw=1.0, load_frac=0.5)
