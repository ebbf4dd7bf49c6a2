"""Each item by numbers made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import valuestack as vs

from .written import ALL_ONE, demand, energy, hours, tariff, tiers

MAY = hours(31, "2018-05-01T00:00")
FLAT = np.full(MAY.n, 100.0)
KWH = 74_400.0
ON_PEAK = [[0] * 12 + [1] * 6 + [0] * 6] * 12


def due(*items: dict[str, Any], kw: Any = FLAT, timeline: vs.Timeline = MAY, **known: Any) -> float:
    return vs.bill(tariff(*items), timeline, kw, **known).total_usd


def test_energy_by_period_and_adjustment() -> None:
    """23 weekdays of May 2018 x 6 h x 100 kW = 13,800 kWh at 0.30, the rest at 0.10."""
    item = energy(0.10, 0.30, weekday=ON_PEAK, weekend=ALL_ONE)
    assert due(item) == pytest.approx(13_800 * 0.30 + (KWH - 13_800) * 0.10)
    assert due({**item, "adjustment_usd_per_kwh": [0.0] * 4 + [0.01] + [0.0] * 7}) == pytest.approx(
        13_800 * 0.30 + (KWH - 13_800) * 0.10 + KWH * 0.01
    )


def test_tiers_are_tested_on_the_total_of_the_cycle() -> None:
    """1,500 + 500 kWh, first 1,000 at 0.10, above at 0.30: 400 USD."""
    two = [{"tiers": [{"usd_per_kwh": 0.1, "upto": 1000.0}, {"usd_per_kwh": 0.3}]}] * 2
    kw = np.zeros(MAY.n)
    day = MAY.day - MAY.day[0]
    kw[(day == 0) & (MAY.hour >= 12) & (MAY.hour < 17)] = 100.0  # 500 kWh on peak
    kw[(day == 0) & (MAY.hour < 10)] = 150.0  # 1,500 kWh off peak
    assert due(energy(periods=two, weekday=ON_PEAK, weekend=ALL_ONE), kw=kw) == pytest.approx(400.0)


@pytest.mark.parametrize(
    ("unit", "upto", "first"),
    [
        ("kWh", 10_000, 10_000),
        ("kWh daily", 1_000, 31_000),
        ("kWh/kW", 200, 20_000),
        ("kWh/kW daily", 5, 15_500),
    ],
)
def test_tier_units(unit: str, upto: float, first: float) -> None:
    item = energy(periods=tiers((0.2, upto), (0.1, None), unit=unit))
    assert due(item, demand(0.0)) == pytest.approx(first * 0.2 + (KWH - first) * 0.1)


def test_demand_windows_tiers_units_and_days() -> None:
    kw = FLAT.copy()
    kw[100:101] = 300.0
    assert due(demand(10.0), kw=kw) == pytest.approx(3_000.0)
    assert due(demand(10.0, window_min=120), kw=kw) == pytest.approx(2_000.0)
    kw[101] = 300.0  # hours 100 and 101 are one clock block, 101 and 102 are not
    assert due(demand(10.0, window_min=120), kw=kw) == pytest.approx(3_000.0)
    assert due(demand(10.0, window_min=120, sliding=True), kw=np.roll(kw, 1)) == pytest.approx(3_000.0)
    assert due(demand(10.0, window_min=120), kw=np.roll(kw, 1)) == pytest.approx(2_000.0)
    two = [{"tiers": [{"usd_per_unit": 10.0, "upto": 50.0}, {"usd_per_unit": 4.0}]}]
    assert due(demand(0, periods=two)) == pytest.approx(500 + 200)
    assert due(demand(10.0, unit="hp")) == pytest.approx(1_000 / 0.7457)
    assert due(demand(10.0, unit="kVA"), facts=vs.BillFacts(power_factor=0.8)) == pytest.approx(1_250.0)
    assert due(demand(1.0, daily=True), kw=kw) == pytest.approx(30 * 100 + 300)


def test_a_ratchet_over_a_year_end_with_history() -> None:
    """80 % of 400 kW of August are 320 kW until July; December's own 350 kW stand above it."""
    timeline = hours(62, "2018-12-01T00:00")
    kw = np.where((timeline.month == 12) & (timeline.hour == 9), 350.0, 100.0)
    item = demand(10.0, ratchet={"share_frac": 0.8, "months": 11})
    found = vs.bill(tariff(item), timeline, kw, history={"2018-08": 400.0})
    assert list(found.ledger.by("cycle").values()) == pytest.approx([-3_500.0, -3_200.0])
    bare = vs.bill(tariff(item), timeline, kw)
    assert list(bare.ledger.by("cycle").values()) == pytest.approx([-3_500.0, -2_800.0])
    assert any("no history" in a for a in bare.assumptions)


def test_fixed_by_day_month_and_year() -> None:
    assert due({"kind": "fixed", "usd": 2.0, "per": "day"}) == pytest.approx(62.0)
    assert due({"kind": "fixed", "usd": 70.0}) == pytest.approx(70.0)
    assert due({"kind": "fixed", "usd": 365.0, "per": "year"}) == pytest.approx(31.0)


def test_minimum_by_month_day_and_year() -> None:
    assert due(energy(0.01), {"kind": "minimum", "usd": 900.0}) == pytest.approx(900.0)
    assert due(energy(0.10), {"kind": "minimum", "usd": 900.0}) == pytest.approx(7_440.0)
    assert due(energy(0.0), {"kind": "minimum", "usd": 3.0, "per": "day"}) == pytest.approx(93.0)
    year = hours(365)
    items = energy(0.01), {"kind": "minimum", "usd": 9_000.0, "per": "year"}
    assert due(*items, kw=np.full(8760, 10.0), timeline=year) == pytest.approx(9_000.0)
    part = vs.bill(tariff(*items), MAY, FLAT)
    assert part.total_usd == pytest.approx(744.0) and any("yearly minimum" in a for a in part.assumptions)


def test_coincident_and_reactive() -> None:
    kw = FLAT.copy()
    kw[(MAY.day - MAY.day[0] == 14) & (MAY.hour == 16)] = 260.0
    item = {"kind": "coincident", "periods": [{"tiers": [{"usd_per_unit": 5.0}]}], "schedule": ALL_ONE}
    facts = vs.BillFacts(coincident_hours=["2018-05-15T16:00", "2018-05-16T16:00"])
    assert due(item, kw=kw, facts=facts) == pytest.approx(5 * 180.0)
    kvar = np.full(MAY.n, 75.0)
    reactive = {"kind": "reactive", "usd_per_kvar": 0.4, "free_kvar_per_kw": 0.5}
    assert due(reactive, net_kvar=kvar) == pytest.approx(0.4 * 25)


def test_export_nets_by_interval_or_by_hour_and_a_bank_carries_over() -> None:
    quarter = hours(31, "2018-05-01T00:00", step_h=0.25)
    kw = np.where(np.arange(quarter.n) % 2 == 0, 40.0, -40.0)
    sell = {"kind": "export", "usd_per_kwh": [0.05], "weekday": ALL_ONE, "weekend": ALL_ONE}
    assert due(energy(0.10), sell, kw=kw, timeline=quarter) == pytest.approx(744 * 20 * (0.10 - 0.05))
    hourly = energy(0.10, metering="net_hourly"), {**sell, "netting": "hour"}
    assert due(*hourly, kw=kw, timeline=quarter) == pytest.approx(0.0)
    two = hours(61, "2018-05-01T00:00")
    banked = np.where(two.month == 5, -10.0, 20.0)  # 7,440 kWh banked, 14,400 drawn
    assert due(energy(0.10, metering="net"), kw=banked, timeline=two) == pytest.approx(696.0)
