"""PV from a series and from weather."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from valuestack.assets.pv import Pv, clear_sun_frac
from valuestack.dispatch import Foresight, Series, View, World
from valuestack.errors import DataError
from valuestack.timeline import Timeline


def hours(n: int, start: str = "2019-06-01T00:00", step_h: float = 1.0) -> Timeline:
    return Timeline(start=start, step_h=step_h, n=n, tz="Etc/GMT+7")


def test_series_is_laid_on_the_timeline(tmp_path: Path) -> None:
    rows = ["start,generation kW"] + [f"2019-06-01T{h:02}:00,{h}" for h in range(24)]
    path = tmp_path / "pv.csv"
    path.write_text("\n".join(rows))
    pv = Pv(file=str(path), scale=2.0, ac_kw=30)
    quarter = hours(96, step_h=0.25)
    world = World(quarter, {"load_kw": Series("load_kw", np.zeros(96), "kW")})
    given = pv.belief(View(quarter, 0, 96, Foresight(world), {}))
    assert given.net_kw[40] == -20.0 and given.net_kw[95] == -30.0, "scaled, then clipped by the inverter"
    _, power = pv.step(None, np.zeros(1), world, 40)
    assert power.tolist() == [-20.0]
    with pytest.raises(DataError, match=r"no value for 2019-06-02T00:00"):
        pv.generation_kw(hours(25))


def test_a_hole_is_no_cloud(tmp_path: Path) -> None:
    rows = ["start,generation kW"] + [f"2019-06-01T{h:02}:00,{'' if h == 12 else h}" for h in range(24)]
    path = tmp_path / "pv.csv"
    path.write_text("\n".join(rows))
    with pytest.raises(DataError, match=r"no value for 2019-06-01T12:00.*1 intervals"):
        Pv(file=str(path)).generation_kw(hours(24))


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValidationError, match="one of `file`"):
        Pv()
    with pytest.raises(ValidationError, match="dc_kw"):
        Pv(weather="x.csv")


def test_a_clear_desert_year_yields_as_it_should(tmp_path: Path) -> None:
    pytest.importorskip("pvlib")
    hour = np.arange(8760) % 24 + 0.5
    sun = np.clip(np.cos((hour - 12.5) / 12 * np.pi), 0, None)
    body = "\n".join(f"2018,1,1,0,{800 * s:.0f},{(900 if s > 0 else 0)},{90 * (s > 0):.0f},25,2" for s in sun)
    path = tmp_path / "w.csv"
    path.write_text(
        "Source,Location ID,City,State,Country,Latitude,Longitude,Time Zone,Elevation\n"
        "x,1,-,-,-,33.4,-112,-7,300\nYear,Month,Day,Hour,GHI,DNI,DHI,Temperature,Wind Speed\n" + body
    )
    made = Pv(weather=str(path), dc_kw=100.0, loss_frac=0.14).generation_kw(hours(8760, "2019-01-01T00:00"))
    assert 1400 < made.sum() / 100 < 2400, "kWh a kW and year of an always clear desert"
    assert made[::24].max() == 0 and made.max() <= 100 / 1.2


YIELDS = (98.1, 109.2, 138.8, 137.7, 152.8, 151.2, 145.4, 140.8, 132.4, 118.8, 97.9, 93.1)


def by_yield(**more: object) -> Pv:
    values = {
        "yield_kwh_per_kw": YIELDS,
        "dc_kw": 100.0,
        "latitude_deg": 39.75,
        "longitude_deg": -105.2,
        **more,
    }
    return Pv.model_validate(values)


def test_every_month_yields_what_is_written() -> None:
    t = Timeline(start="2019-01-01T00:00", step_h=0.5, n=365 * 48, tz="America/Denver")
    made = by_yield(day_sd_frac=0.2, seed=3).generation_kw(t)
    for month, kwh in enumerate(YIELDS, start=1):
        assert made[t.month == month].sum() * 0.5 == pytest.approx(100 * kwh, rel=1e-6)
    assert made.max() <= 100 / 1.1 + 1e-9
    night = (t.hour >= 22) | (t.hour < 4)
    assert not made[night].any()


def test_the_sun_stands_highest_at_solar_noon() -> None:
    # 105.2 degrees west is 7 h 0.8 min behind; on 15 April the equation of time is about zero.
    t = Timeline(start="2019-04-15T00:00", step_h=1 / 60, n=1440, tz="Etc/GMT+7")
    assert abs(int(np.argmax(clear_sun_frac(t, 39.75, -105.2, 20.0, 180.0))) - 720.8) < 2
    east = clear_sun_frac(t, 39.75, -105.2, 30.0, 90.0)
    assert int(np.argmax(east)) < 660, "a plane to the east has its best hours in the morning"


def test_a_part_of_a_month_yields_its_part() -> None:
    t = Timeline(start="2019-06-01T00:00", step_h=1.0, n=10 * 24, tz="America/Denver")
    assert by_yield().generation_kw(t).sum() == pytest.approx(100 * 151.2 / 3, rel=1e-6)


def test_what_yields_need_is_named() -> None:
    with pytest.raises(ValidationError, match="latitude_deg and longitude_deg"):
        by_yield(latitude_deg=None)
    with pytest.raises(ValidationError, match="below zero"):
        by_yield(yield_kwh_per_kw=(-1.0, *YIELDS[1:]))
