"""A meter made ready: facts on its timeline, prices that must cover it, native load rebuilt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import valuestack as vs
from tests.unit.process.stacking.test_layers import written
from valuestack.dispatch import Series, View, World
from valuestack.errors import DataError, InputError
from valuestack.flows import Given, Store
from valuestack.process.stacking.meters import aligned, ready, standing_kw
from valuestack.timeline import Timeline

T = Timeline(start="2021-03-13T00:00", step_h=0.25, n=288, tz="America/Los_Angeles")


def hourly(first: str, n: int) -> list[tuple[datetime, float]]:
    start = Timeline(start=first, step_h=1, n=n, tz=T.tz)
    return [(start.when(k), float(k)) for k in range(n)]


def test_hourly_prices_hold_for_their_quarters_across_a_clock_change() -> None:
    prices = aligned(hourly("2021-03-13T00:00", 72), T, "prices")
    assert prices.tolist() == np.repeat(np.arange(72.0), 4).tolist()


def test_prices_may_come_in_any_order_and_longer_than_the_data() -> None:
    rows = hourly("2021-03-12T00:00", 200)
    assert np.array_equal(aligned(rows[::-1], T, "prices"), aligned(rows, T, "prices"))


def test_a_hole_in_the_prices_is_named() -> None:
    rows = [r for r in hourly("2021-03-13T00:00", 72) if r[1] != 5.0]
    with pytest.raises(DataError, match=r"no value for 2021-03-14T06:00|no value for 2021-03-13T05:00"):
        aligned(rows, T, "prices")
    with pytest.raises(DataError, match="4 intervals lack one"):
        aligned(rows, T, "prices")


def test_prices_that_end_early_are_refused() -> None:
    with pytest.raises(DataError, match="complete the file"):
        aligned(hourly("2021-03-13T00:00", 71), T, "prices")


def test_two_prices_for_one_hour_are_refused() -> None:
    rows = hourly("2021-03-13T00:00", 72)
    with pytest.raises(DataError, match="two values for"):
        aligned([*rows, (rows[3][0], 9.0)], T, "prices")


@dataclass(frozen=True)
class Existing:
    """An asset that is already behind the meter."""

    offer: Any
    name: str = "pv"
    kind: ClassVar[str] = "pv"

    def initial_state(self) -> None:
        return None

    def belief(self, view: View) -> Any:
        return self.offer

    def settle(self, record: Any, world: World) -> Iterable[Any]:
        return ()


def world(kw: np.ndarray[Any, Any]) -> World:
    return World(T, {"load_kw": Series("load_kw", kw, "kW", -0.25)})


def test_native_load_adds_back_what_pv_made() -> None:
    made = np.linspace(0, 50, T.n)
    metered = np.full(T.n, 100.0) - made
    load = metered - standing_kw([Existing(Given("pv", -made))], world(metered))
    assert np.allclose(load, 100.0)


def test_an_existing_battery_without_its_series_is_refused() -> None:
    zero = np.zeros(T.n)
    store = Store("battery", zero, zero, np.zeros(T.n + 1), np.zeros(T.n + 1), 0.0)
    with pytest.raises(InputError, match="what it did is not known"):
        standing_kw([Existing(store, "battery")], world(zero))


def test_an_existing_battery_with_its_own_meter_is_taken_out_of_the_load(tmp_path: Path) -> None:
    """What it drew and gave by its own meter is neither load nor left to a plan."""
    from valuestack.assets.battery import Battery

    did = np.where(T.hour < 6, 20.0, np.where((T.hour >= 17) & (T.hour < 20), -35.0, 0.0))
    rows = [f"{T.when(k).isoformat()},{did[k]:g}" for k in range(T.n)]
    path = tmp_path / "battery.csv"
    path.write_text("\n".join(["start,net kW", *rows]))
    battery = Battery(power_kw=50, energy_kwh=150, file=str(path))
    metered = np.full(T.n, 100.0) + did
    assert np.allclose(metered - standing_kw([battery], world(metered)), 100.0)


def test_readings_of_the_load_alone_have_existing_solar_come_off_them() -> None:
    """The same plant told in two ways: what the utility's meter reads, or what a sub-meter of the load does."""
    solar = {
        "kind": "pv",
        "name": "solar",
        "dc_kw": 300.0,
        "yield_kwh_per_kw": [130.0] * 12,
        "latitude_deg": 28.0,
        "longitude_deg": -81.0,
    }
    there = {**solar, "existing": True}
    alone = ready(site := vs.load_site(written(assets=[there], meters=[meter("load")])), site.meters[0])
    told = ready(site := vs.load_site(written(assets=[there], meters=[meter("net")])), site.meters[0])
    made = alone.load_kw - alone.before_kw
    assert made.max() > 100 and (made >= 0).all()
    assert np.allclose(told.load_kw - told.before_kw, made) and np.allclose(told.before_kw, alone.load_kw)


def test_readings_of_the_load_alone_are_no_billed_meter() -> None:
    total = {"from_date": "2025-07-01", "until_date": "2025-08-01", "usd": 1.0}
    with pytest.raises(InputError, match="readings are the load alone"):
        vs.load_site(written(meters=[{**meter("load"), "billed": [total]}]))


def meter(readings: str) -> dict[str, Any]:
    (base,) = written()["meters"]
    return {**base, "readings": readings}
