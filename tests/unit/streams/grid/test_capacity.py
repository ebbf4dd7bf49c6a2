"""Capacity by hand: UCAP, daily price by delivery year, assessments within the stop-loss."""

from __future__ import annotations

from datetime import date
from math import fsum
from typing import Any

import numpy as np
import pytest

from tests.unit.streams.grid.grid_case import Able, changed, place, record, timeline, view, world
from valuestack.errors import DataError, InputError
from valuestack.streams.grid.capacity import Capacity
from valuestack.streams.grid.enrolment import Call
from valuestack.streams.grid.product import CapacityRule, product
from valuestack.terms import Claim, Payment


def capacity(**more: object) -> Capacity:
    parts: dict[str, object] = {
        "product": "pjm-capacity",
        "icap_kw": 2000.0,
        "elcc_frac": 0.5,
        "assets": ("battery",),
    }
    return Capacity.model_validate(parts | more)


def usd(entries: Any, item: str = "") -> float:
    return fsum(e.usd for e in entries if e.item.startswith(item))


def test_daily_price_changes_with_the_delivery_year() -> None:
    t = timeline(24 * 61, start="2026-05-01T00:00")
    out = list(capacity().settle(record(t, 0.0), world(t, 0.0)))
    assert [e.cycle for e in out] == ["2026-05", "2026-06"]
    assert out[0].usd == pytest.approx(1.0 * 269.92 * 31) and out[1].usd == pytest.approx(1.0 * 329.17 * 30)
    assert out[0].quantity == pytest.approx(31.0) and out[0].unit == "MW day"
    spring = timeline(24 * 31 - 1, start="2026-03-01T00:00")
    (march,) = capacity().settle(record(spring, 0.0), world(spring, 0.0))
    assert march.quantity == pytest.approx(31.0), "the clock change takes no day away"


def test_rating_of_the_class_and_year_or_a_refusal_with_what_is_known() -> None:
    s = capacity(elcc_frac=None, resource="storage_4h")
    rules = product("pjm-capacity", date(2025, 7, 1))
    assert s.ucap_kw(rules, date(2025, 7, 1)) == 1000.0
    with pytest.raises(InputError, match=r"known: storage_4h 2025\); give elcc_frac"):
        s.ucap_kw(rules, date(2026, 7, 1))
    t = timeline(24, start="2028-07-01T00:00")
    with pytest.raises(InputError, match="no price of PJM capacity of a resource is known for 2028-07-01"):
        capacity().bind(place(world(t, 0.0), Able()))


def test_an_assessment_charges_what_is_missing_within_the_stop_loss() -> None:
    t = timeline(24 * 3, start="2026-07-01T00:00")
    power = np.zeros(t.n)
    power[14:18] = [-1000, -400, 200, -1000]
    calls = (Call(start="2026-07-01T14:00", hours=4),)
    s = capacity(assessments=calls, shortfall_usd_per_kwh=2.3, balancing_frac=0.8)
    rec = record(t, 0.0, asset_kw={"battery": power})
    assert usd(s.settle(rec, world(t, 0.0)), "assessments") == pytest.approx(-2.3 * (0.8 * 4000 - 2400))
    stop = changed(
        product("pjm-capacity", date(2026, 7, 1)), capacity=CapacityRule(shortfall=True, stop_loss_frac=0.01)
    )
    held = s.model_copy(update={"product": stop})
    out = [e for e in held.settle(rec, world(t, 0.0)) if e.item.startswith("assessments")]
    assert out[0].usd == pytest.approx(-0.01 * 1.0 * 329.17 * 365) and "stop-loss" in out[0].reason
    with pytest.raises(DataError, match="holds no power of battery"):
        list(s.settle(record(t, 0.0), world(t, 0.0)))


def test_terms_keep_headroom_and_price_the_shortfall() -> None:
    t = timeline(24, start="2026-07-01T00:00")
    s = capacity(
        assessments=(Call(start="2026-07-01T14:00", hours=4),), shortfall_usd_per_kwh=2.3, hold_frac=0.5
    )
    pay, claim = s.terms(view(world(t, 0.0)))
    assert isinstance(pay, Payment) and isinstance(claim, Claim)
    assert pay.blocks[0].upto == 4000.0 and pay.exact
    assert claim.sustain_h == 4.0, "the class stands for four hours"
    assert claim.fixed_kw is not None and claim.fixed_kw[13] == 500.0 and claim.fixed_kw[14] == 0.0


def test_options_are_asked_for() -> None:
    t = timeline(24, start="2026-07-01T00:00")
    w = world(t, 0.0)
    with pytest.raises(InputError) as e:
        capacity(assets=(), assessments=(Call(start="2026-07-01T14:00", hours=4),)).bind(
            place(w, Able(), Able(name="second"))
        )
    assert "name the one asset that delivers" in str(e.value) and "shortfall_usd_per_kwh" in str(e.value)
    assert any("no performance assessment" in a for a in capacity().bind(place(w, Able())).assumptions)


def test_ratings_that_are_recollected_say_so() -> None:
    said = product("pjm-capacity-dr", date(2026, 7, 1)).assumptions
    assert any("ELCC 0.69 of demand_response" in a and "not verified" in a for a in said)
    assert any("usd_per_mw_day 28.92 from 2024-06-01 not verified" in a for a in said)
