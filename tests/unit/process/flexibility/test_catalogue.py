"""The catalogue: what each asset gives in the hours that set the bill, what it may earn, what contradicts."""

from __future__ import annotations

import json
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.assets.test_thermal_load import FREEZER
from valuestack.assets.battery import Battery
from valuestack.assets.flexible_load import FlexibleLoad
from valuestack.assets.thermal_load import ThermalLoad
from valuestack.assets.virtual_battery import VirtualBattery
from valuestack.dispatch import Series, World
from valuestack.flows import Capability
from valuestack.process.flexibility import RemedyOptions, flexibility, of_meter
from valuestack.process.flexibility.catalogue import hours_that_matter
from valuestack.process.stacking.meters import ready
from valuestack.site.files import load as load_site
from valuestack.terms import Block, Measure, Payment
from valuestack.timeline import Timeline

N = 96 * 14
T = Timeline("2021-07-05", 0.25, N, "America/Los_Angeles")
HOUR = np.arange(N) / 4 % 24
LOAD = 400 + 300 * ((HOUR >= 14) & (HOUR < 16)).astype(float)


def demand() -> list[Payment]:
    return [
        Payment("t", "demand", Measure("import"), "max", T.month_id - T.month_id[0], (Block(inf, 20.0),)),
        Payment("t", "energy", Measure("import"), "each", np.zeros(N, dtype=np.int64), (Block(inf, 0.1),)),
    ]


def world() -> World:
    temperature = 27 + 8 * np.cos((HOUR - 15) / 24 * 2 * np.pi)
    return World(
        T,
        {
            "load_kw": Series("load_kw", LOAD, "kW"),
            "temperature_c": Series("temperature_c", temperature, "C"),
        },
    )


def test_hours_that_matter_are_those_near_the_billed_peak() -> None:
    np.testing.assert_array_equal(hours_that_matter(T, LOAD, demand()), (HOUR >= 14) & (HOUR < 16))
    by_price = hours_that_matter(
        T,
        LOAD,
        [
            Payment(
                "t",
                "e",
                Measure("import"),
                "each",
                np.zeros(N, dtype=np.int64),
                (Block(inf, 0.1 + (HOUR >= 22)),),
            )
        ],
    )
    np.testing.assert_array_equal(by_price, HOUR >= 22)


@pytest.mark.slow
def test_what_each_gives_is_what_its_limits_allow() -> None:
    assets: list[Any] = [
        FlexibleLoad(name="one hour", shed_kw=100, max_duration_h=1, calls_per_day=1, approver="plant"),
        FlexibleLoad(name="mornings", shed_kw=100, windows=[{"from_h": 6, "until_h": 12}]),
        Battery(
            name="battery", power_kw=100, energy_kwh=150, soc_min_frac=0.0, round_trip_efficiency_frac=1.0
        ),
        ThermalLoad(**FREEZER),
        FlexibleLoad(name="warned late", shed_kw=50, notice_h=16),
    ]
    found = flexibility(assets, T, LOAD, terms=demand(), world=world(), existing=["battery"])
    lines = {x.name: x for x in found.lines}
    assert found.hours_h == pytest.approx(2 * 365)
    assert lines["one hour"].most_kw == pytest.approx(100) and lines[
        "one hour"
    ].covered_frac == pytest.approx(0.5)
    assert lines["mornings"].most_kw == 0 and lines["warned late"].most_kw == 0
    # half full at midnight, filled before: 150 kWh over two hours, and no more than its power
    assert lines["battery"].mean_kw == pytest.approx(75, rel=1e-3) and lines["battery"].existing
    assert 0 < lines["freezer"].mean_kw < lines["freezer"].most_kw <= 300
    assert lines["one hour"].may_earn is True and lines["battery"].max_duration_h == pytest.approx(1.5)
    assert lines["battery"].idle_h + lines["battery"].used_h == pytest.approx(8760)
    json.dumps(found.to_dict(), allow_nan=False)
    assert len(found.rows()) == 5 and found.rows()[2]["may earn"] == "yes"


def test_what_may_not_be_paid_says_why() -> None:
    class Emergency(Battery):
        def capability(self) -> Capability:
            return Capability(paid_dispatch=False, why_not="emergency permit")

    found = flexibility([Emergency(power_kw=10, energy_kwh=20)], T, LOAD, terms=demand())
    assert found.lines[0].may_earn is False
    assert found.rows()[0]["may earn"] == "no: emergency permit"


def test_a_meter_made_ready_is_catalogued_with_its_remedies(tmp_path: Path) -> None:
    """From a site's own readings and tariff: the spike that the audit finds, answered by settled bills."""
    days = 90
    n = 96 * days
    rng = np.random.default_rng(2)
    load = 400 + rng.normal(0, 3, n) + 250 * ((np.arange(n) % 16 >= 4) & (np.arange(n) % 16 < 7))
    t = Timeline("2021-06-01", 0.25, n, "America/Los_Angeles")
    rows = [f"{t.when(k).isoformat()},{load[k]:.2f}" for k in range(n)]
    (tmp_path / "meter.csv").write_text("start,kW\n" + "\n".join(rows))
    site = load_site(
        {
            "name": "plant",
            "tz": "America/Los_Angeles",
            "meters": [
                {
                    "name": "main",
                    "data": str(tmp_path / "meter.csv"),
                    "tariffs": [{"tariff": "pge-b-20-secondary"}],
                    "facts": {"power_factor_frac": 0.9},
                }
            ],
            "assets": [
                {
                    "kind": "flexible_load",
                    "name": "pumps",
                    "shed_kw": 40,
                    "windows": [{"from_h": 16, "until_h": 21}],
                }
            ],
        }
    )
    m = ready(site, site.meters[0])
    battery = Battery(power_kw=1, energy_kwh=1, round_trip_efficiency_frac=0.9)
    options = RemedyOptions(machines=2, shift_max_h=0.5, battery_usd_per_kw=968, battery_usd_per_kwh=253)
    found = of_meter(m, options=options, battery=battery)
    assert found.lines[0].name == "pumps" and found.hours_h > 0 and "every 4.00 h" in found.spike
    remedies = {r.name: r for r in found.remedies}
    assert set(remedies) == {"stagger or interlock starts", "shift", "flex pumps", "battery"}
    assert found.remedies[0].name == "stagger or interlock starts", (
        "no capital, and the peak falls by half a spike"
    )
    assert remedies["battery"].payback_y is not None and remedies["battery"].payback_y > 0
    assert remedies["battery"].saving_usd_per_y > remedies["stagger or interlock starts"].saving_usd_per_y > 0
    assert remedies["stagger or interlock starts"].peak_after_kw == pytest.approx(400 + 125, abs=15)
    json.dumps(found.to_dict(), allow_nan=False)
    assert found.remedy_rows()[0]["payback y"] == 0


def test_contradictions_and_questions_are_found() -> None:
    assets = [
        FlexibleLoad(name="a", shed_kw=300),
        FlexibleLoad(name="b", shed_kw=200),
        FlexibleLoad(name="c", shed_kw=500),
        FlexibleLoad(name="d", shed_kw=10, windows=[{"months": [1]}]),
        FlexibleLoad(
            name="e", shed_kw=10, max_duration_h=4, recovery_frac=1, recovery_h=1, recovery_max_kw=10
        ),
        ThermalLoad(**{**FREEZER, "ua_kw_per_k": 16.0, "name": "leaky"}),
        ThermalLoad(**{**FREEZER, "name": "no weather"}),
        VirtualBattery(count=1000, load="air_conditioner"),
    ]
    kinds = [
        (f.kind, f.where) for f in flexibility(assets[:7], T, LOAD, terms=demand(), world=world()).findings
    ]
    names = {k for k, _ in kinds}
    assert names >= {"not_stated", "more_than_there_is", "never_available", "cannot_recover", "too_small"}
    plain = flexibility(assets[6:], T, LOAD, terms=demand())
    assert any(f.kind == "not_known" and "temperature_c" in f.what for f in plain.findings)
    assert "temperature_c" in plain.lines[0].error, "nothing is guessed"
    hot = flexibility(assets[7:], T, LOAD, terms=demand(), world=world())
    assert any(f.kind == "baseline_above_load" for f in hot.findings)
