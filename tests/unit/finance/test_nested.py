"""Nested sets: each is its own pro forma; the outage rate at zero is checked by putting it back."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from valuestack.errors import InputError
from valuestack.finance.finance import Finance, Value
from valuestack.finance.nested import BOUND, by_layers, flow_of, nested
from valuestack.finance.proforma import cash_flow

FINANCE: dict[str, Any] = {
    "start_date": date(2026, 1, 1),
    "analysis_years": 10,
    "discount_frac": 0.08,
    "inflation_frac": 0.02,
    "tax": {"federal_frac": 0.21},
    "capex": [{"name": "battery", "usd": 300_000.0, "itc_frac": 0.3, "macrs_class_y": 5, "bonus_frac": 1.0}],
    "running": [{"name": "service", "usd_per_y": 5_000.0}],
    "streams": {"regulation": {"start_month": 13}},
}
VALUES = (
    Value("tariff", 1, 30_000.0, "contractual"),
    Value("outage cost", 2, 12_000.0, "modelled"),
    Value("regulation", 3, 20_000.0, "market"),
    Value("rec", 4, 2_000.0, "market"),
    Value("fuel", 0, -1_000.0),
)


def test_sets_and_shares() -> None:
    got = nested(Finance.model_validate(FINANCE), by_layers(VALUES), outages_per_y=1.5)
    assert [r.name for r in got.rows[::3]] == [
        "layer 1",
        "layer 2 alone",
        "layers 1-2",
        "layers 1-3",
        "layers 1-4",
    ]
    assert {r.dispatch_share_frac for r in got.rows} == {1.0, 0.8, 0.6}
    assert got.row("layer 1").label == BOUND and "not simulated" in got.row("layer 1", 0.6).label
    # Avoided outage cost does not hang on dispatch; tariff savings do.
    assert got.row("layer 2 alone", 0.6).npv_usd == pytest.approx(got.row("layer 2 alone").npv_usd)
    assert got.row("layer 1", 0.6).npv_usd < got.row("layer 1").npv_usd
    # Every set is its own pro forma.
    whole = cash_flow(Finance.model_validate(FINANCE), VALUES)
    assert got.row("layers 1-4").npv_usd == pytest.approx(whole.npv_usd)
    assert got.row("layers 1-3").first_year_usd == pytest.approx(
        30_000 + 12_000 - 1_000
    )  # regulation starts in year 2
    assert got.to_dict()["notes"]


def test_a_set_may_leave_out_a_planned_stream() -> None:
    """`regulation` is planned in finance.streams and no part of layers 1 and 2: put aside, not refused."""
    f = Finance.model_validate(FINANCE)
    with pytest.raises(InputError, match="no value belongs to 'regulation'"):
        cash_flow(f, VALUES[:2])
    assert flow_of(f, VALUES[:2]).npv_usd == pytest.approx(
        cash_flow(f.model_copy(update={"streams": {}}), VALUES[:2]).npv_usd
    )


def test_outage_rate_at_zero() -> None:
    f = Finance.model_validate(FINANCE)
    got = nested(f, by_layers(VALUES), outages_per_y=1.5)
    assert got.outages_per_y is not None and got.outages_per_y > 1.5
    at = Value("outage cost", 2, 12_000.0 * got.outages_per_y / 1.5)
    free = f.model_copy(update={"streams": {}})
    assert cash_flow(free, [at]).npv_usd == pytest.approx(0.0, abs=0.01)
    assert nested(f, {"layer 2 alone": VALUES[1:2]}).outages_per_y is None


def test_cover_of_running_costs() -> None:
    debt = {"rate_frac": 0.06, "years": 5, "usd": 50_000.0}
    got = nested(Finance.model_validate({**FINANCE, "debt": debt}), by_layers(VALUES))
    pay = 50_000 * 0.06 / (1 - 1.06**-5)
    assert got.cover_frac[1] == pytest.approx(30_000 / (5_000 + pay))
    assert got.cover_frac[6] == pytest.approx(6.0)


def test_a_simulated_share_is_labelled_as_such() -> None:
    got = nested(Finance.model_validate(FINANCE), {"layer 1": VALUES[:1]}, realised_share_frac=0.73)
    assert got.row("layer 1", 0.73).label.startswith("simulated: 73%")
    with pytest.raises(InputError, match="no set 'layer 9'"):
        nested(Finance.model_validate(FINANCE), {"layer 9": VALUES})
