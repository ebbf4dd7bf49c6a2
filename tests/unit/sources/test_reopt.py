"""A REopt scenario becomes a site that loads and is billed; what is not taken over is said by name."""

from __future__ import annotations

import json
import tomllib
from datetime import date
from math import pi, sin
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import valuestack as vs
from valuestack.errors import InputError
from valuestack.finance.finance import Finance, Value
from valuestack.finance.proforma import cash_flow
from valuestack.sources.reopt import read_scenario, toml
from valuestack.streams.retail.tariff import load_tariff

LOAD = [100 + 50 * sin(2 * pi * (k % 24 - 9) / 24) for k in range(8760)]
SUN = [max(0.0, 0.8 * sin(pi * (k % 24 - 6) / 12)) if 6 <= k % 24 <= 18 else 0.0 for k in range(8760)]


def scenario(**more: Any) -> dict[str, Any]:
    """In the names of today's REopt.jl, as its documentation lists them."""
    out: dict[str, Any] = {
        "Site": {"longitude": -118.1164613, "latitude": 34.5794343, "land_acres": 1.0},
        "ElectricLoad": {"loads_kw": LOAD, "year": 2017, "critical_load_fraction": 0.5},
        "ElectricTariff": {"blended_annual_energy_rate": 0.12, "blended_annual_demand_rate": 15.0},
        "PV": {
            "min_kw": 80.0,
            "max_kw": 80.0,
            "production_factor_series": SUN,
            "installed_cost_per_kw": 1600.0,
            "om_cost_per_kw": 16.0,
            "macrs_option_years": 5,
            "macrs_bonus_fraction": 0.4,
            "federal_itc_fraction": 0.3,
            "tilt": 34.6,
        },
        "ElectricStorage": {
            "min_kw": 55.0,
            "max_kw": 55.0,
            "min_kwh": 110.0,
            "max_kwh": 110.0,
            "installed_cost_per_kw": 910.0,
            "installed_cost_per_kwh": 455.0,
            "replace_cost_per_kw": 715.0,
            "replace_cost_per_kwh": 318.0,
            "internal_efficiency_fraction": 0.975,
            "soc_min_fraction": 0.2,
            "macrs_option_years": 7,
            "total_itc_fraction": 0.3,
            "total_rebate_per_kw": 100.0,
        },
        "Financial": {
            "elec_cost_escalation_rate_fraction": 0.026,
            "offtaker_discount_rate_fraction": 0.081,
            "analysis_years": 20,
            "offtaker_tax_rate_fraction": 0.4,
            "om_cost_escalation_rate_fraction": 0.025,
        },
    }
    for key, value in more.items():
        out[key] = {**out.get(key, {}), **value} if value is not None else None
    return {k: v for k, v in out.items() if v is not None}


def test_it_loads_as_a_site_and_bills_by_hand(tmp_path: Path) -> None:
    """12 c a kWh and $15 a kW each month on the load as given: energy and twelve peaks."""
    got = read_scenario(scenario())
    site = vs.load_site(got.write(tmp_path / "site"))
    meter = site.meters[0]
    assert site.tz == "Etc/GMT+8" and [a.kind for a in meter.assets] == ["pv", "battery"]
    tariff = meter.tariffs[0].tariff
    timeline = vs.Timeline("2017-01-01T00:00", 1.0, 8760, site.tz)
    by_hand = 0.12 * sum(LOAD) + 12 * 15.0 * max(LOAD)
    assert tariff.compile(timeline, vs.BillFacts()).total_usd(np.array(LOAD)) == pytest.approx(
        by_hand, rel=1e-6
    )
    table = vs.read_meter(str(meter.data))
    assert table.channels[0].value.tolist() == pytest.approx(LOAD)
    made = meter.assets[0].generation_kw(timeline)
    assert made.tolist() == pytest.approx([80 * s for s in SUN], abs=1e-6)


def test_battery_is_composed_as_reopt_does() -> None:
    battery = read_scenario(scenario()).site["assets"][1]
    assert battery["charge_efficiency_frac"] == pytest.approx(0.96 * 0.975**0.5)
    assert battery["discharge_efficiency_frac"] == pytest.approx(0.96 * 0.975**0.5)
    assert (battery["power_kw"], battery["energy_kwh"], battery["soc_min_frac"]) == (55.0, 110.0, 0.2)


def test_finance_is_reopts_and_is_read_by_the_pro_forma() -> None:
    got = read_scenario(scenario(), start_date=date(2026, 1, 1))
    f = Finance.model_validate(got.finance)
    assert (f.nominal, f.tax.combined, f.analysis_years) == (0.081, 0.4, 20)
    assert f.electricity.frac_per_y == 0.026 and f.electricity.growth_before_year_1
    assert f.capex_usd == pytest.approx(80 * 1600 + 55 * 910 + 110 * 455)
    assert [r.year for r in f.replacements] == [10, 10]
    assert f.capex[1].rebate_usd == 5500.0 and f.capex[1].macrs_class_y == 7
    assert cash_flow(f, [Value("bill", 1, 50_000.0)]).npv_usd != 0


def test_every_key_that_is_not_taken_is_named() -> None:
    more = {
        "ElectricLoad": {"loads_kw": LOAD, "outages": 3},
        "Wind": {"max_kw": 5.0},
        "ElectricUtility": {"outage_durations": [4]},
    }
    got = read_scenario(scenario(**more))
    assert set(got.unsupported) == {
        "Site.land_acres",
        "PV.tilt",
        "ElectricLoad.outages",
        "Wind.max_kw",
        "ElectricUtility.outage_durations",
    }
    assert all(f.remedy for f in got.findings if f.kind == "reopt_unsupported")
    assert got.critical_kw is not None and got.critical_kw[0] == pytest.approx(LOAD[0] / 2)


def test_names_of_early_versions_are_read_and_reported_as_written() -> None:
    old = scenario(Financial=None, ElectricStorage=None)
    old["Financial"] = {
        "elec_cost_escalation_pct": 0.026,
        "offtaker_discount_pct": 0.081,
        "offtaker_tax_pct": 0.4,
        "nonsense_pct": 1,
    }
    old["Storage"] = {
        "max_kw": 5.0,
        "min_kw": 5.0,
        "max_kwh": 9.0,
        "min_kwh": 9.0,
        "cost_per_kw": 1000.0,
        "cost_per_kwh": 500.0,
        "total_itc_pct": 0.0,
        "macrs_bonus_pct": 0.4,
        "macrs_option_years": 5,
    }
    got = read_scenario(old)
    f = Finance.model_validate(got.finance)
    assert f.nominal == 0.081 and {c.name: c.cost_usd for c in f.capex}["battery"] == pytest.approx(9500.0)
    assert "Financial.nonsense_pct" in got.unsupported


def test_sizes_are_asked_for_or_said() -> None:
    wide = {"min_kw": 0.0, "max_kw": 500.0}
    got = read_scenario(scenario(PV=wide))
    (finding,) = (f for f in got.findings if f.severity == "question")
    assert "500 is taken" in finding.what and got.site["assets"][0]["scale"] == 500.0
    assert read_scenario(scenario(PV=wide), sizes={"PV.kw": 42.0}).site["assets"][0]["scale"] == 42.0
    with pytest.raises(InputError, match="belongs to no technology"):
        read_scenario(scenario(), sizes={"Wind.kw": 1.0})


def test_monthly_rates_and_export(tmp_path: Path) -> None:
    rates = {
        "blended_annual_energy_rate": None,
        "blended_annual_demand_rate": None,
        "wholesale_rate": 0.03,
        "monthly_energy_rates": [0.1] * 6 + [0.2] * 6,
        "monthly_demand_rates": [0.0] * 11 + [9.0],
    }
    got = read_scenario(scenario(ElectricTariff=rates, ElectricUtility={"interconnection_limit_kw": 40.0}))
    assert got.site["meters"][0]["interconnection"] == {"export_allowed": True, "export_limit_kw": 40.0}
    tariff = load_tariff(json.loads(got.files["tariff.json"]))
    timeline = vs.Timeline("2017-01-01T00:00", 1.0, 8760, "Etc/GMT+8")
    net = np.array(LOAD) - 130 * np.array(SUN)
    first = timeline.month <= 6
    drawn, given = np.maximum(net, 0), np.maximum(-net, 0)
    by_hand = (
        0.1 * drawn[first].sum()
        + 0.2 * drawn[~first].sum()
        - 0.03 * given.sum()
        + 9 * drawn[timeline.month == 12].max()
    )
    assert tariff.compile(timeline, vs.BillFacts()).total_usd(net) == pytest.approx(by_hand, rel=1e-6)


def test_a_rate_record_is_passed_on_and_a_generator_is_read(tmp_path: Path) -> None:
    record = {
        "utility": "u",
        "name": "n",
        "energyratestructure": [[{"rate": 0.1}]],
        "energyweekdayschedule": [[0] * 24] * 12,
        "energyweekendschedule": [[0] * 24] * 12,
    }
    gen = {
        "existing_kw": 200.0,
        "fuel_avail_gal": 500.0,
        "fuel_slope_gal_per_kwh": 0.07,
        "fuel_intercept_gal_per_hr": 1.0,
    }
    got = read_scenario(scenario(ElectricTariff={"urdb_response": record}, Generator=gen))
    site = vs.load_site(got.write(tmp_path / "with engine"))
    engine = site.meters[0].assets[2]
    assert (engine.rated_kw, engine.tank_gal, engine.permit) == (200.0, 500.0, "emergency")
    assert [p.rate for p in engine.fuel_curve] == pytest.approx([1.0, 15.0])


def test_quarter_hours_repeat_hourly_factors(tmp_path: Path) -> None:
    fine = [v for v in LOAD for _ in range(4)]
    got = read_scenario(scenario(Settings={"time_steps_per_hour": 4}, ElectricLoad={"loads_kw": fine}))
    assert got.files["pv.csv"].count("\n") == 8760 * 4 + 1


def test_all_problems_are_said_at_once() -> None:
    bad = scenario(
        ElectricLoad={"loads_kw": None, "doe_reference_name": "RetailStore"},
        ElectricTariff={"blended_annual_energy_rate": None, "urdb_label": "5ed6c1a15457a3367add15ae"},
        PV={"production_factor_series": None},
        Financial={"analysis_years": "twenty"},
    )
    with pytest.raises(InputError) as caught:
        read_scenario(bad)
    text = str(caught.value)
    for part in (
        "4 problems",
        "doe_reference_name",
        "5ed6c1a15457a3367add15ae",
        "PV.production_factor_series",
        "'twenty' is no number",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    ("written", "match"),
    [
        ({}, "holds no ElectricLoad"),
        ({"Scenario": {"Site": {}}}, "first web service"),
        ({"ElectricLoad": 3}, "is no section"),
        ({"ElectricLoad": {"loads_kw": [1.0, "x"]}}, "value 1 is 'x'"),
        ({"ElectricLoad": {"loads_kw": [1.0] * 100}}, "has 100 values; 8760 are needed"),
        ({"ElectricLoad": {"loads_kw": [-1.0] * 8760}}, "falls to -1 kW"),
    ],
)
def test_bad_scenarios_are_refused(written: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        read_scenario(written)


def test_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_scenario(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match="is no JSON"):
        read_scenario(tmp_path / "bad.json")
    path = tmp_path / "good.json"
    path.write_text(json.dumps(scenario()))
    got = read_scenario(path)
    got.write(tmp_path / "out", with_finance=True)
    written = tomllib.loads((tmp_path / "out" / "site.toml").read_text())
    assert Finance.model_validate(written["finance"]) == Finance.model_validate(got.finance)
    with pytest.raises(InputError, match=r"holds .* already"):
        got.write(tmp_path / "out")


def test_toml_reads_back() -> None:
    table = {
        "a": 1,
        "b": 'quote " and \\',
        "c": [1.5, 2.0],
        "d": date(2026, 1, 1),
        "e": True,
        "t": {"x": 1, "u": {"y": 2}},
        "l": [{"k": 1, "m": [{"n": "é"}]}, {"k": 2}],
    }
    assert tomllib.loads(toml(table)) == table
