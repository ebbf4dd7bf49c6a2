"""Ten years of wear beside NREL SAM's own battery, step by step on the same trace (NREL-PySAM, BatteryStateful)."""

from __future__ import annotations

from math import inf
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Notebook
from valuestack.assets.battery import Battery
from valuestack.assets.wear.fade import fade
from valuestack.assets.wear.stress import load_stress
from valuestack.dispatch import Foresight, Record, Series, View, World
from valuestack.stack.optimise import optimise
from valuestack.terms import Block, Measure, Payment
from valuestack.timeline import Kw, Timeline

YEARS = 10

# Power of a 10 kWh battery by hour, kW, > 0 discharges; room temperature; SoC at the start.
DAYS = {
    "one deep cycle a day": (np.repeat([-1.2, 0.0, 1.6, 0.0], [6, 8, 4, 6]), 25.0, 50.0),
    "one shallow cycle a day": (np.repeat([-0.6, 0.0, 0.8, 0.0], [6, 8, 4, 6]), 25.0, 50.0),
    "two cycles a day, warm": (np.tile(np.repeat([-1.0, 1.0, 0.0], 4), 2), 30.0, 30.0),
    "rest at 90 %": (np.zeros(24), 25.0, 90.0),
    "rest at 90 %, hot": (np.zeros(24), 35.0, 90.0),
}


def sam(power_kw: Kw, room_c: float, soc_percent: float) -> tuple[Kw, Kw, tuple[float, float, float]]:
    """State of charge and temperature by hour as SAM runs it, and its capacity by calendar, cycling, both."""
    battery = pytest.importorskip("PySAM.BatteryStateful").default("LFPGraphite")
    battery.Controls.control_mode = 1
    battery.Controls.dt_hr = 1.0
    battery.Controls.input_power = 0.0
    battery.ParamsPack.T_room_init = room_c
    cell = battery.ParamsCell
    cell.initial_SOC, cell.minimum_SOC, cell.maximum_SOC, cell.life_model = soc_percent, 10.0, 95.0, 0
    battery.setup()
    soc, temperature = np.empty(power_kw.size), np.empty(power_kw.size)
    for k, p in enumerate(power_kw):
        battery.Controls.input_power = float(p)
        battery.execute(0)
        soc[k], temperature[k] = battery.StatePack.SOC, battery.StatePack.T_batt
    left = battery.StateCell
    return soc / 100, temperature, (left.q_relative_calendar, left.q_relative_cycle, left.q_relative)


@pytest.mark.parametrize("name", list(DAYS))
def test_ten_years_within_half_a_point_of_sam(name: str, evidence: Notebook) -> None:
    day, room_c, start = DAYS[name]
    soc, temperature, (calendar, cycling, both) = sam(np.tile(day, 365 * YEARS), room_c, start)
    found = fade(load_stress("lfp-sam"), soc, temperature, 1.0, years=YEARS)
    evidence(
        f"ten years of wear, {name}",
        ours_percent=round(100 * found.capacity_frac, 3),
        sam_percent=round(both, 3),
        calendar=(round(100 * found.calendar_frac, 3), round(calendar, 3)),
        cycling=(round(100 * found.cycling_frac, 3), round(cycling, 3)),
    )
    assert 100 * found.calendar_frac == pytest.approx(calendar, abs=0.5)
    assert 100 * found.cycling_frac == pytest.approx(cycling, abs=0.5)
    assert 100 * found.capacity_frac == pytest.approx(both, abs=0.5)
    assert all("swings" in f.what for f in found.findings), "inside the tested cycles"


def test_random_use_beyond_the_tested_cycles_is_flagged_and_still_near(evidence: Notebook) -> None:
    power = np.random.default_rng(0).normal(0.0, 1.5, 8760 * YEARS)
    soc, temperature, (_, _, both) = sam(power, 20.0, 50.0)
    found = fade(load_stress("lfp-sam"), soc, temperature, 1.0, years=YEARS)
    evidence(
        "ten years of wear, random",
        ours_percent=round(100 * found.capacity_frac, 3),
        sam_percent=round(both, 3),
    )
    assert 100 * found.capacity_frac == pytest.approx(both, abs=0.5)
    assert [f.kind for f in found.findings] == ["wear_extrapolated"]
    assert "beyond the last cycle" in found.findings[0].what


def test_a_year_that_repeats_wears_as_ten_years_do() -> None:
    """What a study knows is one year; ten of it must fade like the ten years laid end to end."""
    rng = np.random.default_rng(5)
    year = np.clip(
        0.5 + 0.3 * np.sin(np.arange(8760) / 24 * 2 * np.pi) + rng.normal(0, 0.08, 8760), 0.1, 0.95
    )
    stress = load_stress("lfp-sam")
    once, whole = (
        fade(stress, year, 25.0, 1.0, years=10),
        fade(stress, np.tile(year, 10), 25.0, 1.0, years=10),
    )
    assert once.capacity_frac == pytest.approx(whole.capacity_frac, abs=1e-3)


LOADS = {
    "steel": "steel_gwangyang_kr_2018_15min.parquet",
    "madison": "reopt_madison_wi_recast2018_15min.parquet",
}


@pytest.mark.data
@pytest.mark.parametrize("site", list(LOADS))
@pytest.mark.parametrize(
    ("wear", "model", "days"),
    [("flat", "lfp-sam", 365), ("segments", "lfp-sam", 365), ("segments", "nmc-xu-2018", 28)],
)
def test_wear_priced_is_wear_counted(
    site: str, wear: str, model: str, days: int, data_dir: Path, evidence: Notebook
) -> None:
    """What the plan pays for wear, against rainflow on the state of charge that the plan leads to: within 5 %."""
    pd = pytest.importorskip("pandas")
    table = pd.read_parquet(data_dir / "load" / LOADS[site])
    load = table["kw" if "kw" in table else "load_kw"].to_numpy(float)[: 96 * days]
    timeline = Timeline(start="2018-01-01T00:00", step_h=0.25, n=load.size, tz="UTC")
    evening = (timeline.hour >= 16) & (timeline.hour < 21)
    month = timeline.month_id - timeline.month_id[0]
    kw = 0.3 * float(load.max())
    battery = Battery.model_validate(
        {"power_kw": kw, "energy_kwh": 2 * kw, "round_trip_efficiency_frac": 0.88, "wear": wear, "wear_model": model,
         "replacement_usd_per_kwh": 250.0}
    )  # fmt: skip
    world = World(timeline, {"load_kw": Series("load_kw", load, "kW", -0.25)})
    offer = battery.belief(
        View(timeline, 0, timeline.n, Foresight(world), {"battery": battery.initial_state()})
    )
    energy = Block(inf, np.where(evening, 0.18, 0.10))
    plan = optimise(timeline, load, [offer], [
        Payment("u", "energy", Measure("import"), "each", np.zeros(timeline.n, dtype=np.int64), (energy,)),
        Payment("u", "flat", Measure("import"), "max", month, (Block(inf, 20.0),)),
        Payment("u", "evening", Measure("import"), "max", np.where(evening, month, -1), (Block(inf, 20.0),)),
    ])  # fmt: skip
    priced = sum(usd for name, usd in plan.term_usd.items() if "wear" in name)
    worn = battery.worn(Record(timeline, plan.net_kw, asset_kw=plan.setpoints_kw, stored_kwh=plan.stored_kwh))
    evidence(f"wear priced and counted, {site}, {wear}, {model}", priced_usd=round(priced, 2),
             counted_usd=round(worn.counted_usd, 2), full_cycles=round(worn.full_cycles, 1))  # fmt: skip
    assert worn.counted_usd > 0 and priced == pytest.approx(worn.counted_usd, rel=0.05)
