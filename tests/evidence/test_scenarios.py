"""Drawn futures against years that came: how often what came lies within their P10 to P90."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Notebook
from valuestack.forecast.scenarios import Futures, PriceFuture, Scenarios
from valuestack.timeline import Kw, Timeline

LOADS = {
    "steel works": "load/steel_gwangyang_kr_2018_15min.parquet",
    "plant near Madison": "load/reopt_madison_wi_recast2018_15min.parquet",
}
PRICES = "price/nyiso_isone_rt_lbmp_2019_2020_hourly.parquet"
ZONES = ("MASS_HUB", "NYC", "LONGIL", "WEST", "CENTRL", "NORTH")
FUTURES, APART_DAYS = 300, 3


def held_out_bands(kw: Kw, timeline: Timeline, name: str = "load_kw") -> tuple[Kw, Kw]:
    """P10 and P90 of every interval over futures whose day there was taken from more than three days away: what came on
    the day itself, and in the days around it, has no part in its band."""
    made = Scenarios(timeline, {name: kw, "at": np.arange(kw.size, dtype=float)}, Futures())
    day = timeline.day - timeline.day[0]
    drawn = np.full((FUTURES, kw.size), np.nan)
    for i in range(FUTURES):
        series = made.draw(i).series
        far = np.abs(day[series["at"].astype(int)] - day) > APART_DAYS
        drawn[i, far] = series[name][far]
    low, high = np.nanquantile(drawn, [0.1, 0.9], axis=0)
    return low, high


@pytest.mark.data
@pytest.mark.parametrize("name", list(LOADS))
def test_bands_of_load_hold_what_came(name: str, data_dir: Path, evidence: Notebook) -> None:
    import pandas as pd

    quarter = pd.read_parquet(data_dir / LOADS[name])["kw"].to_numpy(dtype=float)
    kw = quarter.reshape(-1, 4).mean(axis=1)
    timeline = Timeline(start="2018-01-01T00:00", step_h=1.0, n=kw.size, tz="Etc/GMT+8")
    low, high = held_out_bands(kw, timeline)
    inside = (kw >= low) & (kw <= high)
    by_month = [float(inside[timeline.month == m].mean()) for m in range(1, 13)]
    evidence(
        f"P10 to P90 of drawn load against what came on days held out, {name}",
        hours=int(kw.size),
        inside_frac=round(float(inside.mean()), 3),
        below_frac=round(float((kw < low).mean()), 3),
        above_frac=round(float((kw > high).mean()), 3),
        lowest_month_frac=round(min(by_month), 3),
        highest_month_frac=round(max(by_month), 3),
    )
    assert 0.70 <= inside.mean() <= 0.90, "wanted: 70 to 90 %"


@pytest.mark.data
def test_bands_of_sun_hold_what_came(data_dir: Path, evidence: Notebook) -> None:
    import pandas as pd

    table = pd.read_csv(data_dir / "weather_pv/srrl_golden_co_2020_measured_hourly.csv.gz", skiprows=2)
    ghi = table["GHI"].to_numpy(dtype=float)
    timeline = Timeline(start="2020-01-01T00:00", step_h=1.0, n=ghi.size, tz="Etc/GMT+7")
    low, high = held_out_bands(ghi, timeline, "ghi")
    day = ghi > 20.0
    inside = ((ghi >= low) & (ghi <= high))[day]
    evidence(
        "P10 to P90 of drawn sun against what was measured on days held out, Golden 2020",
        daylight_hours=int(day.sum()),
        inside_frac=round(float(inside.mean()), 3),
    )
    assert 0.70 <= inside.mean() <= 0.90, "wanted: 70 to 90 %"


@pytest.mark.data
def test_bands_of_price_hold_the_next_year_but_for_its_level(data_dir: Path, evidence: Notebook) -> None:
    """Fitted on 2019, held against the same weekdays of 2020 as far as there are data.

    2020 was a year of cheap gas and little demand, and the level of a year is what a single year cannot teach: the
    default spread of it comes from this very change, so only the bands at the year's own level are a test of the rest.
    """
    import pandas as pd

    table = pd.read_parquet(data_dir / PRICES)
    found: dict[str, dict[str, float]] = {}
    for zone in ZONES:
        rows = table[table["zone"] == zone].pivot_table(index="date", columns="he", values="rt_lmp_usd_mwh")
        rows.index = pd.to_datetime(rows.index)
        days = rows.reindex(columns=range(1, 25)).reindex(pd.date_range("2019-01-02", periods=728))
        past, came = days.iloc[:364], days.iloc[364:].to_numpy().ravel()
        known = np.isfinite(came)
        fitted = past.ffill().bfill().to_numpy(dtype=float).ravel()
        timeline = Timeline(start="2019-01-02T00:00", step_h=1.0, n=fitted.size, tz="Etc/GMT+5")

        def inside(how: PriceFuture, scale: float = 1.0) -> float:
            made = Scenarios(timeline, {"lmp": fitted}, Futures(prices={"lmp": how}))  # noqa: B023
            drawn = np.stack([made.draw(i).series["lmp"] for i in range(FUTURES)])
            low, high = np.quantile(drawn, [0.1, 0.9], axis=0)
            held = (scale * came >= low) & (scale * came <= high)  # noqa: B023
            return round(float(held[known].mean()), 3)  # noqa: B023

        level = float(fitted[known].mean() / came[known].mean())
        found[zone] = {
            "inside_frac": inside(PriceFuture()),
            "inside_with_level_sd_of_0.15_frac": inside(PriceFuture(level_sd_frac=0.15)),
            "inside_at_its_own_level_frac": inside(PriceFuture(level_sd_frac=0.0), level),
            "level_of_2020_to_2019": round(1 / level, 3),
        }
    shape = np.array([f["inside_at_its_own_level_frac"] for f in found.values()])
    evidence(
        "P10 to P90 of drawn prices of 2019 against 2020, by zone",
        hours_a_zone=int(known.sum()),
        **{zone.lower(): f for zone, f in found.items()},
    )
    assert 0.70 <= np.median(shape) <= 0.90, "wanted: 70 to 90 %, the level of the year apart"
    wide = np.array([f["inside_frac"] for f in found.values()])
    narrow = np.array([f["inside_with_level_sd_of_0.15_frac"] for f in found.values()])
    assert (wide > narrow).all() and (narrow < 0.70).all(), (
        "a spread of 15 % misses a change of level that came"
    )
