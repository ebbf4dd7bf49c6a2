"""PV from weather beside NREL's PVWatts (NREL-PySAM, Pvwattsv8) on real typical years."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Notebook
from valuestack.assets.pv import Pv
from valuestack.timeline import Timeline

pytestmark = pytest.mark.data


@pytest.mark.parametrize("place", ["phoenix_az", "golden_co"])
def test_year_within_two_percent_of_pvwatts(
    place: str, data_dir: Path, tmp_path: Path, evidence: Notebook
) -> None:
    pytest.importorskip("pvlib")
    watts = pytest.importorskip("PySAM.Pvwattsv8").default("PVWattsNone")
    packed = data_dir / "weather_pv" / f"nsrdb_psm3_tmy_{place}.csv.gz"
    plain = tmp_path / "weather.csv"
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    pv = Pv(weather=str(packed), dc_kw=100.0, ac_kw=100 / 1.2, tilt_deg=20, azimuth_deg=180, loss_frac=0.14)
    ours = pv.generation_kw(Timeline(start="2018-01-01T00:00", step_h=1.0, n=8760, tz="Etc/GMT+7"))

    watts.SolarResource.solar_resource_file = str(plain)
    design = watts.SystemDesign
    design.system_capacity, design.dc_ac_ratio, design.array_type, design.losses = 100, 1.2, 0, 14
    design.tilt, design.azimuth, design.inv_eff = 20, 180, 96
    watts.execute()
    theirs = np.array(watts.Outputs.ac) / 1000

    off = float(np.sqrt(np.mean((ours - theirs) ** 2)))
    evidence(f"PV from weather, {place}", year_over_pvwatts=round(float(ours.sum() / theirs.sum()), 4),
             hourly_rms_percent_of_dc=round(off, 3))  # fmt: skip
    assert ours.sum() == pytest.approx(theirs.sum(), rel=0.02)
    assert off < 1.5


@pytest.mark.parametrize(
    ("place", "latitude_deg", "longitude_deg"), [("phoenix_az", 33.45, -112.0), ("golden_co", 39.75, -105.2)]
)
def test_monthly_yields_fall_on_the_right_hours(
    place: str, latitude_deg: float, longitude_deg: float, data_dir: Path, evidence: Notebook
) -> None:
    """The same year from its monthly yields alone: month by month equal, hour by hour like it."""
    pytest.importorskip("pvlib")
    t = Timeline(start="2018-01-01T00:00", step_h=1.0, n=8760, tz="Etc/GMT+7")
    packed = data_dir / "weather_pv" / f"nsrdb_psm3_tmy_{place}.csv.gz"
    real = Pv(weather=str(packed), dc_kw=100.0).generation_kw(t)
    monthly = tuple(float(real[t.month == m].sum()) / 100 for m in range(1, 13))
    laid = Pv(
        yield_kwh_per_kw=monthly, dc_kw=100.0, latitude_deg=latitude_deg, longitude_deg=longitude_deg
    ).generation_kw(t)
    by_hour = [float(real[t.hour == h].mean() - laid[t.hour == h].mean()) for h in range(24)]
    evidence(
        f"PV from monthly yields, {place}",
        correlation_with_weather=round(float(np.corrcoef(real, laid)[0, 1]), 3),
        worst_mean_hour_kw_of_100=round(max(map(abs, by_hour)), 2),
    )
    assert np.corrcoef(real, laid)[0, 1] > 0.85 and max(map(abs, by_hour)) < 6
