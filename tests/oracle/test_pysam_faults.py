"""What PySAM's own URDB converter gets wrong, shown as such, and what the bill comes to by the tariff's rule.

PySAM 7.1.1, `PySAM.UtilityRateTools.URDBv8_to_ElectricityRates`. Where a later release mends a fault, the test
here fails and the page that names it is to be corrected.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import valuestack as vs
from tests.conftest import Notebook

tools = pytest.importorskip("PySAM.UtilityRateTools", reason="PySAM is not installed")

HOURS = vs.Timeline(start="2018-01-01T00:00", step_h=1.0, n=8760, tz="Etc/GMT+8")
ZEROS = [[0] * 24 for _ in range(12)]
CONSTANT = np.full(8760, 100.0)


def record(**more: Any) -> dict[str, Any]:
    """A demand rate of 10 USD/kW with an 80 % look-back of 11 months, and free energy."""
    return {
        "label": "example", "utility": "example", "name": "80 % of the highest of 11 months", "sector": "Commercial",
        "energyratestructure": [[{"rate": 0.0, "unit": "kWh"}]],
        "energyweekdayschedule": copy.deepcopy(ZEROS), "energyweekendschedule": copy.deepcopy(ZEROS),
        "flatdemandstructure": [[{"rate": 10.0}]], "flatdemandmonths": [0] * 12, "flatdemandunit": "kW",
        "lookbackpercent": 0.8, "lookbackrange": 11, "dgrules": "Net Billing Instantaneous", **more,
    }  # fmt: skip


def july_peak() -> Any:
    load = CONSTANT.copy()
    load[(HOURS.month == 7) & (HOURS.day == HOURS.day[HOURS.month == 7][10]) & (HOURS.hour == 15)] = 200.0
    return load


def pysam_by_month(r: dict[str, Any], load: Any) -> list[float]:
    """Demand charges by month as the converter's inputs make Utilityrate5 bill them [USD]."""
    import PySAM.Utilityrate5 as utilityrate5

    m = utilityrate5.new()
    m.Lifetime.analysis_period, m.Lifetime.inflation_rate = 1, 0.0
    m.Lifetime.system_use_lifetime_output = 0
    m.SystemOutput.degradation, m.SystemOutput.gen = [0.0], [0.0] * 8760
    m.Load.load = [float(v) for v in load]
    e = m.ElectricityRates
    e.en_electricity_rates, e.rate_escalation, e.TOU_demand_single_peak = 1, [0.0], 0
    e.ur_nm_yearend_sell_rate, e.ur_nm_credit_month, e.ur_nm_credit_rollover, e.ur_sell_eq_buy = 0.0, 11, 0, 0
    e.ur_en_ts_buy_rate = e.ur_en_ts_sell_rate = 0
    e.ur_dc_enable, e.ur_yearzero_usage_peaks = 1, [0.0] * 12
    e.ur_dc_sched_weekday = e.ur_dc_sched_weekend = [[1] * 24] * 12
    e.ur_dc_tou_mat = [[1, 1, 1e38, 0.0]]
    for key, value in tools.URDBv8_to_ElectricityRates(copy.deepcopy(r)).items():
        setattr(e, key, value)
    m.execute()
    return [float(v) for v in m.Outputs.year1_monthly_dc_fixed_without_system]


def ours_by_month(r: dict[str, Any], load: Any, **more: Any) -> list[float]:
    bill = vs.bill(vs.load_tariff(r), HOURS, load, **more)
    return [-v for v in bill.ledger.where(lambda e: e.item.startswith("demand")).by("cycle").values()]


def test_a_constant_load_under_a_ratchet(evidence: Notebook) -> None:
    theirs, ours = pysam_by_month(record(), CONSTANT), ours_by_month(record(), CONSTANT)
    evidence(
        "what PySAM's converter gets wrong: a constant 100 kW at 10 USD/kW under an 80 % look-back",
        by_the_rule_usd_a_month=1000.0,
        ours_usd_a_month=round(ours[0], 6),
        pysam_usd_a_month=round(theirs[0], 6),
    )
    assert theirs == pytest.approx([800.0] * 12)
    assert ours == pytest.approx([1_000.0] * 12)


def test_one_high_month_under_a_ratchet(evidence: Notebook) -> None:
    theirs = pysam_by_month(record(), july_peak())
    assert theirs[6] == pytest.approx(1_600.0)
    assert theirs[:6] == pytest.approx([800.0] * 6)
    ours = ours_by_month(record(), july_peak())
    assert ours == pytest.approx([1_000.0] * 6 + [2_000.0] + [1_600.0] * 5)
    evidence(
        "what PySAM's converter gets wrong: the same with one July peak of 200 kW",
        ours_usd=[round(v) for v in ours],
        pysam_usd=[round(v) for v in theirs],
        pysam_off_by_percent=round(100 * (sum(theirs) / sum(ours) - 1), 1),
    )
    assert sum(theirs) / sum(ours) - 1 == pytest.approx(-0.10, abs=0.02)


def test_a_ratchet_on_summer_peaks_becomes_one_on_all_months(evidence: Notebook) -> None:
    summer = [6 <= m <= 9 for m in range(1, 13)]
    r = record(lookbackmonths=summer)
    del r["lookbackrange"]
    made = tools.URDBv8_to_ElectricityRates(copy.deepcopy({**r, "lookbackrange": 0}))
    flags = made["ur_billing_demand_lookback_percentages"]
    assert len({tuple(row) for row in flags}) == 1, (
        "every month carries the flag of one: the rows are one list"
    )
    evidence(
        "what PySAM's converter gets wrong: a look-back on the peaks of June to September",
        months_flagged_in_the_record=4,
        rows_of_flags_that_differ_in_pysam=len({tuple(row) for row in flags}) - 1,
    )
    load = CONSTANT.copy()
    load[HOURS.month == 2] = 200.0
    assert ours_by_month(r, load)[2:5] == pytest.approx([1_000.0] * 3), "February is no summer month"


def test_converting_twice_shifts_the_callers_schedule(evidence: Notebook) -> None:
    r = record(lookbackpercent=0, lookbackrange=0)
    tools.URDBv8_to_ElectricityRates(r)
    assert r["energyweekdayschedule"][0][0] == 1
    tools.URDBv8_to_ElectricityRates(r)
    assert r["energyweekdayschedule"][0][0] == 2
    evidence(
        "what PySAM's converter gets wrong: the caller's schedule, converted twice",
        period_given=0,
        period_after_two_conversions=r["energyweekdayschedule"][0][0],
    )
    mine = record()
    kept = copy.deepcopy(mine)
    assert vs.load_tariff(mine) == vs.load_tariff(mine)
    assert mine == kept


def test_a_look_back_without_its_range_raises_there_and_is_billed_or_refused_by_field_here(
    evidence: Notebook,
) -> None:
    r = record(lookbackmonths=[True] * 12)
    del r["lookbackrange"]
    with pytest.raises(Exception, match="ur_billing_demand_lookback_period"):
        pysam_by_month(r, CONSTANT)
    ours = ours_by_month(r, CONSTANT)
    evidence(
        "what PySAM's converter gets wrong: a look-back given by months, without a range",
        pysam="raises",
        ours_usd_a_month=round(ours[0], 6),
    )
    assert ours == pytest.approx([1_000.0] * 12)
