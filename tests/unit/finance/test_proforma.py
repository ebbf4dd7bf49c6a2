"""The pro forma by hand, against REopt's closed forms, against SAM's Cashloan, and by its laws."""

from __future__ import annotations

from datetime import date
from math import fsum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.errors import InputError
from valuestack.finance.finance import Finance, Value, annual_values
from valuestack.finance.lcc import effective_cost, life_cycle, present_worth
from valuestack.finance.proforma import ageing, cash_flow, in_service, level_payment, plan_of
from valuestack.finance.returns import npv
from valuestack.ledger import Entry, Ledger

START = date(2026, 1, 1)
PLAIN: dict[str, Any] = {
    "start_date": START,
    "analysis_years": 3,
    "discount_frac": 0.10,
    "inflation_frac": 0.02,
    "tax": {"federal_frac": 0.25},
    "capex": [
        {
            "name": "battery",
            "kind": "battery",
            "usd": 100_000.0,
            "itc_frac": 0.3,
            "macrs_class_y": 5,
            "bonus_frac": 1.0,
        }
    ],
}


def finance(**more: Any) -> Finance:
    return Finance.model_validate({**PLAIN, **more})


def test_three_years_by_hand() -> None:
    """Value 40,000 growing 10 %, O&M 2,000 flat, 25 % tax, 30 % credit, basis 85,000 all in year 1.

    y1: 40,000 - 2,000 = 38,000; tax 25 % of 38,000 - 85,000 = -11,750; credit 30,000: 79,750
    y2: 44,000 - 2,000 = 42,000; tax 10,500: 31,500    y3: 48,400 - 2,000 = 46,400; tax 11,600: 34,800
    """
    flow = cash_flow(
        finance(electricity={"frac_per_y": 0.10}, running=[{"name": "service", "usd_per_y": 2000.0}]),
        [Value("tariff", 1, 40_000.0, "contractual")],
    )
    assert flow.owner_usd.tolist() == pytest.approx([-100_000, 79_750, 31_500, 34_800])
    assert flow.npv_usd == pytest.approx(-100_000 + 79_750 / 1.1 + 31_500 / 1.21 + 34_800 / 1.331)
    assert flow.payback_y == pytest.approx(1 + 20_250 / 31_500)
    assert flow.irr_frac is not None and npv(flow.owner_usd, flow.irr_frac) == pytest.approx(0, abs=1e-4)


def test_mid_year_and_real() -> None:
    end = cash_flow(finance(), [Value("tariff", 1, 40_000.0)])
    mid = cash_flow(finance(timing="mid"), [Value("tariff", 1, 40_000.0)])
    assert mid.npv_usd - mid.owner_usd[0] == pytest.approx((end.npv_usd - end.owner_usd[0]) * 1.1**0.5)
    for flow in (end, mid):
        assert npv(flow.real_usd, flow.finance.real, flow.at_y) == pytest.approx(flow.npv_usd)
    real = cash_flow(
        Finance.model_validate(
            {k: v for k, v in PLAIN.items() if k != "discount_frac"}
            | {"discount_real_frac": end.finance.real}
        ),
        [Value("tariff", 1, 40_000.0)],
    )
    assert real.npv_usd == pytest.approx(end.npv_usd)


def test_escalators_have_their_own_base_years() -> None:
    """2 % from money of 2024 and 3 % from the year before operation, 5 % from year 1: no growth compounds wrongly."""
    f = finance(
        electricity={"frac_per_y": 0.02, "base_year": 2024},
        market={"frac_per_y": 0.03, "growth_before_year_1": True},
        om={"frac_per_y": 0.05},
        running=[{"name": "service", "usd_per_y": 100.0}],
    )
    flow = cash_flow(f, [Value("a", 1, 100.0), Value("b", 3, 100.0)])
    assert flow.lines["L1 a"][1:].tolist() == pytest.approx([100 * 1.02**k for k in (2, 3, 4)])
    assert flow.lines["L3 b"][1:].tolist() == pytest.approx([100 * 1.03**k for k in (1, 2, 3)])
    assert flow.lines["running/service"][1:].tolist() == pytest.approx([-100 * 1.05**k for k in (0, 1, 2)])


def test_start_month_ramp_and_end() -> None:
    f = finance(streams={"dr": {"start_month": 16, "ramp_frac": [0.5, 1.0], "end_year": 5}})
    plan = plan_of(f, Value("dr", 3, 1.0))
    # month 16 = April of year 2: 9 of 12 months at half, then full, gone after year 5
    assert in_service(plan, 6).tolist() == pytest.approx([0, 0, 0.375, 1, 1, 1, 0])


def test_wear_replacement_by_trigger_and_by_year() -> None:
    """Fade 4 % a year, replaced at 80 %: after years 5 and 10; not at the end of year 15, the last."""
    base = {
        "fade_frac_per_y": 0.04,
        "energy_kwh": 100.0,
        "usd_per_kwh": 200.0,
        "price_change_frac_per_y": -0.05,
    }
    f = finance(analysis_years=15, wear={**base, "strategy": "replace", "replace_at_frac": 0.8})
    aged = ageing(f)
    assert aged.replaced == (5, 10)
    assert aged.cost_usd[5] == pytest.approx(20_000 * 0.95**5) and aged.cost_usd[15] == 0
    assert aged.capacity_frac[[1, 5, 6]].tolist() == pytest.approx([0.98, 0.82, 0.98])
    flow = cash_flow(f, [Value("tariff", 1, 1000.0)])
    assert flow.lines["L1 tariff"][5] == pytest.approx(820.0)
    assert ageing(
        finance(analysis_years=15, wear={**base, "strategy": "replace", "replace_year": 6})
    ).replaced == (6, 12)
    added = ageing(finance(analysis_years=15, wear={**base, "strategy": "augment"}))
    assert added.cost_usd[3] == pytest.approx(20_000 * 0.95**3 * 0.04) and added.capacity_frac[
        9
    ] == pytest.approx(0.98)
    listed = ageing(finance(analysis_years=4, wear={"capacity_frac": [0.97, 0.95]}))
    assert listed.capacity_frac.tolist() == pytest.approx([1, 0.985, 0.96, 0.94, 0.92])
    assert "given for 2 years" in listed.notes[0]


def test_debt_by_hand_and_sized_to_coverage() -> None:
    """Contracted 40,000 less costs 4,000, coverage 1.5: service 24,000; 3 years at 8 %: loan 24,000 x 2.5771."""
    base = {"running": [{"name": "service", "usd_per_y": 4000.0}]}
    flow = cash_flow(
        finance(**base, debt={"rate_frac": 0.08, "years": 3, "coverage_frac": 1.5}),
        [Value("tariff", 1, 40_000.0, "contractual"), Value("market", 3, 30_000.0, "market")],
    )
    assert flow.loan_usd == pytest.approx(24_000 * (1 - 1.08**-3) / 0.08)
    assert flow.coverage[1] == pytest.approx(66_000 / 24_000)
    more = cash_flow(
        finance(
            **base,
            debt={"rate_frac": 0.08, "years": 3, "coverage_frac": 1.5, "market_coverage_frac": 2.0},
            streams={"market": {"p90_frac": 0.4}},
        ),
        [Value("tariff", 1, 40_000.0, "contractual"), Value("market", 3, 30_000.0, "market")],
    )
    assert more.loan_usd == pytest.approx((24_000 + 12_000 / 2) * (1 - 1.08**-3) / 0.08)
    share = cash_flow(
        finance(debt={"rate_frac": 0.06, "years": 3, "share_frac": 0.5, "fee_frac": 0.02}),
        [Value("t", 1, 1.0)],
    )
    assert share.loan_usd == 50_000 and share.lines["loan"][0] == pytest.approx(49_000)
    pay = level_payment(50_000, 0.06, 3)
    assert (share.lines["interest"] + share.lines["principal"])[1:].tolist() == pytest.approx([-pay] * 3)
    assert share.lines["principal"].sum() == pytest.approx(-50_000)


def test_modelled_value_pays_no_lender() -> None:
    """An outage cost avoided is worth something and is no cash: it changes neither the loan nor its coverage."""
    debt = {"rate_frac": 0.08, "years": 3, "coverage_frac": 1.5, "market_coverage_frac": 2.0}
    cash = [Value("tariff", 1, 40_000.0, "contractual")]
    soft = [*cash, Value("outage cost", 2, 90_000.0, "modelled")]
    one, two = (cash_flow(finance(debt=debt), v) for v in (cash, soft))
    assert two.loan_usd == pytest.approx(one.loan_usd) and two.coverage == pytest.approx(one.coverage)
    assert one.lowest_coverage == pytest.approx(1.5) and two.npv_usd > one.npv_usd
    assert any("no cash" in a for a in two.assumptions)


def test_state_tax_is_deducted_and_keeps_its_own_depreciation() -> None:
    """State 8 %, no bonus: year 1 state income 40,000 - 20 % of 85,000; federal on 40,000 - 85,000 - state tax."""
    flow = cash_flow(finance(tax={"federal_frac": 0.25, "state_frac": 0.08}), [Value("t", 1, 40_000.0)])
    state = 0.08 * (40_000 - 0.2 * 85_000)
    assert flow.lines["state tax"][1] == pytest.approx(-state)
    assert flow.lines["federal tax"][1] == pytest.approx(-0.25 * (40_000 - 85_000 - state))
    exempt = cash_flow(finance(tax={"exempt": True}), [Value("t", 1, 40_000.0)])
    assert exempt.lines["federal tax"].tolist() == [0, 0, 0, 0]


def test_dated_credit_enters_with_its_reasons() -> None:
    item = {"name": "battery", "kind": "battery", "usd": 100_000.0, "technology": "storage"}
    flow = cash_flow(
        finance(capex=[item], construction_date=date(2025, 6, 1), ac_kw=500.0), [Value("t", 1, 40_000.0)]
    )
    assert flow.lines["investment credit"][1] == pytest.approx(30_000)
    text = "\n".join(flow.assumptions)
    assert "below 1 MW AC" in text and "5-year property, not verified" in text
    gone = cash_flow(finance(capex=[item], start_date=date(2037, 1, 1)), [Value("t", 1, 40_000.0)])
    assert gone.lines["investment credit"][1] == 0 and any("no credit" in a for a in gone.assumptions)


def test_salvage_is_income_and_a_rebate_lowers_cost_and_basis() -> None:
    item = {**PLAIN["capex"][0], "rebate_usd": 20_000.0, "salvage_frac": 0.1}
    flow = cash_flow(finance(capex=[item]), [Value("t", 1, 0.0)])
    assert flow.owner_usd[0] == -80_000 and flow.owner_usd[3] == pytest.approx(0.75 * 10_000)
    assert flow.owner_usd[1] == pytest.approx(0.3 * 80_000 + 0.25 * 80_000 * 0.85)


# --- REopt -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bonus_frac", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("class_y", [5, 7])
def test_npv_is_lcc_of_business_as_usual_less_lcc(bonus_frac: float, class_y: int) -> None:
    """Year table under the preset = closed form: LCC_bau - LCC, with O&M, fuel, replacement in year 10, tax 26 %."""
    item = {
        "name": "b",
        "usd": 900_000.0,
        "itc_frac": 0.3,
        "macrs_class_y": class_y,
        "bonus_frac": bonus_frac,
    }
    f = Finance.model_validate(
        {
            "preset": "reopt",
            "start_date": START,
            "capex": [item],
            "running": [
                {"name": "om", "usd_per_y": 11_000.0},
                {"name": "gen", "usd_per_y": 3_000.0, "escalator": "fuel"},
            ],
            "replacements": [{"name": "b", "usd": 250_000.0, "year": 10}],
        }
    )
    flow = cash_flow(f, [Value("bill", 1, 900_000.0 - 780_000.0)])
    common: dict[str, Any] = {
        "years": 25,
        "discount_frac": 0.0624,
        "tax_frac": 0.26,
        "electricity_growth_frac": 0.0166,
        "om_growth_frac": 0.025,
        "fuel_growth_frac": 0.0197,
    }
    bau = life_cycle(capital_usd=0.0, om_usd_per_y=0.0, bill_usd_per_y=900_000.0, **common)
    capital = effective_cost(
        900_000.0,
        credit_frac=0.3,
        class_y=class_y,
        bonus_frac=bonus_frac,
        tax_frac=0.26,
        discount_frac=0.0624,
        years=25,
        replacements=[(250_000.0, 10)],
    )
    with_ = life_cycle(
        capital_usd=capital, om_usd_per_y=11_000.0, bill_usd_per_y=780_000.0, fuel_usd_per_y=3_000.0, **common
    )
    assert flow.npv_usd == pytest.approx(bau.lcc_usd - with_.lcc_usd, abs=0.01)
    assert bau.lcc_usd == pytest.approx(0.74 * 900_000 * present_worth(25, 0.0166, 0.0624))


def test_what_is_written_wins_over_the_preset() -> None:
    f = Finance.model_validate(
        {"preset": "reopt", "start_date": START, "discount_real_frac": 0.03, "analysis_years": 10}
    )
    assert f.discount_frac is None and f.analysis_years == 10 and f.nominal == pytest.approx(1.03 * 1.025 - 1)
    tables = Finance.model_validate(
        {
            "preset": "reopt",
            "start_date": START,
            "tax": {"state_frac": 0.05},
            "om": {"frac_per_y": 0.01},
            "fuel": {"base_year": 2020},
        }
    )
    assert (tables.tax.federal, tables.tax.state) == (0.26, 0.05) and tables.om.growth_before_year_1
    assert tables.fuel.offset_y(2026) == 6 and tables.fuel.frac_per_y == 0.0197
    with pytest.raises(InputError, match="did you mean 'reopt'"):
        Finance.model_validate({"preset": "reop", "start_date": START})


# --- third parties -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "third",
    [
        {"form": "ppa", "usd_per_kwh": 0.1, "kwh_per_y": 300_000.0, "growth_frac_per_y": 0.02},
        {"form": "lease", "usd_per_y": 25_000.0, "years": 2, "buyout_usd": 10_000.0},
        {"form": "shared_savings", "share_frac": 0.6, "layers": [1]},
        None,
    ],
)
def test_everybodys_flows_sum_to_what_comes_in(third: dict[str, Any] | None) -> None:
    f = finance(
        third_party=third,
        debt={"rate_frac": 0.05, "years": 2, "share_frac": 0.4, "fee_frac": 0.01},
        running=[{"name": "service", "usd_per_y": 2000.0}],
        replacements=[{"name": "fan", "usd": 500.0, "year": 3}],
        capex=[{**PLAIN["capex"][0], "rebate_usd": 5000.0, "salvage_frac": 0.05}],
    )
    values = [Value("tariff", 1, 40_000.0, "contractual"), Value("market", 3, 9_000.0, "market")]
    flow = cash_flow(f, values)
    outside = np.array([0, 49_000.0, 49_000.0, 49_000.0 + 5_000.0])
    assert np.sum(list(flow.parties.values()), axis=0).tolist() == pytest.approx(outside.tolist(), abs=1e-6)


def test_shared_savings_never_charge_for_a_loss_and_follow_what_is_realised() -> None:
    third = {"form": "shared_savings", "share_frac": 0.5}
    flow = cash_flow(finance(third_party=third), [Value("t", 1, -1000.0)])
    assert flow.lines["third-party receipts"].tolist() == [0, 0, 0, 0]
    full = cash_flow(finance(third_party=third), [Value("t", 1, 1000.0)])
    less = cash_flow(finance(third_party=third), [Value("t", 1, 1000.0)], dispatch_share_frac=0.6)
    assert less.lines["third-party receipts"][1] == pytest.approx(0.6 * full.lines["third-party receipts"][1])
    assert full.host_usd[1] == pytest.approx(0.75 * 500)


def test_a_lease_by_hand() -> None:
    """Host: (40,000 - 25,000) x 0.75 for two years, then owns: pays the service and 10,000 at the end of year 2."""
    third = {
        "form": "lease",
        "usd_per_y": 25_000.0,
        "years": 2,
        "buyout_usd": 10_000.0,
        "host_discount_frac": 0.05,
    }
    flow = cash_flow(
        finance(third_party=third, running=[{"name": "s", "usd_per_y": 1000.0}]), [Value("t", 1, 40_000.0)]
    )
    assert flow.host_usd.tolist() == pytest.approx([0, 11_250, 0.75 * 5_000, 0.75 * 39_000])
    assert flow.host_npv_usd == pytest.approx(npv(flow.host_usd, 0.05))
    assert flow.lines["running/s"].tolist() == pytest.approx([0, -1000, -1000, 0])


# --- laws ------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    usd=st.floats(0, 1e5),
    growth=st.floats(-0.05, 0.08),
    discount=st.floats(0.01, 0.2),
    inflation=st.floats(0, 0.06),
    scale=st.floats(0.1, 5),
)
def test_scaling_all_money_scales_the_result(
    usd: float, growth: float, discount: float, inflation: float, scale: float
) -> None:
    """NPV is homogeneous in money; the rate of return and the payback do not move; nominal and real agree."""

    def made(s: float) -> Any:
        return cash_flow(
            finance(
                discount_frac=discount,
                inflation_frac=inflation,
                electricity={"frac_per_y": growth},
                analysis_years=8,
                capex=[{**PLAIN["capex"][0], "usd": 100_000.0 * s}],
                running=[{"name": "s", "usd_per_y": 500.0 * s}],
                debt={"rate_frac": 0.05, "years": 5, "coverage_frac": 1.3},
            ),
            [Value("t", 1, usd * s, "contractual")],
        )

    one, many = made(1.0), made(scale)
    assert many.npv_usd == pytest.approx(scale * one.npv_usd, rel=1e-9, abs=1e-4)
    assert npv(one.real_usd, one.finance.real, one.at_y) == pytest.approx(one.npv_usd, rel=1e-9, abs=1e-4)
    # A loan at the after-tax discount rate would be neutral; whoever lends, everybody's flows still sum.
    inflow = one.lines["L1 t"]
    assert np.sum(list(one.parties.values()), axis=0).tolist() == pytest.approx(inflow.tolist(), abs=1e-5)


def test_values_from_a_ledger_leave_wear_to_the_pro_forma() -> None:
    def line(stream: str, layer: int, item: str, usd: float) -> Entry:
        return Entry("y", layer, stream, item, "utility", 0.0, "", None, usd)

    before = Ledger.of([line("tariff", 1, "energy", -900.0)])
    after = Ledger.of(
        [
            line("tariff", 1, "energy", -700.0),
            line("bess", 0, "wear/cycling", -50.0),
            line("gen", 0, "fuel", -20.0),
        ]
    )
    got = annual_values(after, before, years=0.5)
    assert {(v.stream, v.usd_per_y) for v in got} == {("tariff", 400.0), ("gen", -40.0)}
    assert fsum(v.usd_per_y for v in got) == 360.0


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"discount_real_frac": 0.05}, "one of them"),
        ({"streams": {"x": {"start_month": 0}}}, "start_month"),
        ({"capex": [{"name": "a"}]}, "give usd, or prices and sizes"),
        ({"capex": [{"name": "a", "usd_per_kw": 1.0}]}, "give both"),
        ({"capex": [{"name": "a", "usd": 1.0, "technology": "solar", "itc_frac": 0.3}]}, "not both"),
        ({"capex": [{"name": "a", "usd": 1.0}, {"name": "a", "usd": 2.0}]}, "stands twice"),
        ({"capex": [{"name": "a", "usd": 1.0, "macrs_class_y": 6}]}, "macrs_class_y = 6"),
        ({"debt": {"rate_frac": 0.05, "years": 9, "usd": 1.0}}, "beyond analysis_years"),
        ({"debt": {"rate_frac": 0.05, "years": 2}}, "give one of usd"),
        (
            {"wear": {"strategy": "replace", "energy_kwh": 1.0, "usd_per_kwh": 1.0}},
            "replace_at_frac or replace_year",
        ),
        ({"wear": {"capacity_frac": [0.9, 0.95]}}, "cannot rise"),
        ({"third_party": {"form": "lease", "share_frac": 0.5}}, "usd_per_y: is missing"),
        ({"replacements": [{"name": "a", "usd": 1.0, "year": 4}]}, "after the analysis ends"),
        ({"electricity": {"frac_per_y": 0.1, "base_year": 2020, "growth_before_year_1": True}}, "not both"),
        ({"construction_date": date(2027, 1, 1)}, "after start_date"),
    ],
)
def test_bad_input_is_refused(more: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        finance(**more)


def test_stray_and_double_streams_are_refused() -> None:
    with pytest.raises(InputError, match="no value belongs to 'dr'"):
        cash_flow(finance(streams={"dr": {}}), [Value("t", 1, 1.0)])
    with pytest.raises(InputError, match="stand twice"):
        cash_flow(finance(), [Value("t", 1, 1.0), Value("t", 1, 2.0)])
    with pytest.raises(InputError, match="layer 7"):
        Value("t", 7, 1.0)
