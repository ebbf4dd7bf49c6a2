"""A deal with a utility: its payments by hand, and what it refuses."""

from __future__ import annotations

from datetime import date
from math import fsum

import numpy as np
import pytest

from tests.unit.streams.grid.grid_case import Able, place, record, timeline, view, world
from valuestack.errors import DataError, InputError
from valuestack.stack.value import Flows, worth
from valuestack.streams.grid.bilateral import Bilateral, Voltage
from valuestack.streams.grid.demand_response import DemandResponse
from valuestack.streams.grid.enrolment import Call, contradictions
from valuestack.streams.grid.product import Window

T = timeline(24 * 30, tz="America/Los_Angeles")


def deal(**more: object) -> Bilateral:
    parts: dict[str, object] = {
        "name": "feeder relief",
        "source": "agreement of 2026-01-15",
        "valid_from": date(2026, 1, 1),
        "valid_to": date(2029, 1, 1),
        "windows": (Window(months=(6, 7, 8, 9), days="weekdays", from_h=16, to_h=21),),
        "notice_h": 4.0,
        "max_event_h": 4.0,
        "season_months": (6, 7, 8, 9),
        "baseline": "caiso-10-of-10",
        "capacity_kw": 200.0,
        "fixed_usd_per_kw_month": 7.0,
        "usd_per_call": 50.0,
        "usd_per_kwh": 0.25,
        "penalty_usd_per_kwh": 1.0,
        "events": (Call(start="2026-06-16T17:00", hours=4),),
    }
    return Bilateral.model_validate(parts | more)


def test_fixed_call_energy_and_penalty_payments() -> None:
    net = np.full(T.n, 800.0)
    k = T.index("2026-06-16T17:00")
    net[k : k + 4] = 650.0
    out = list(deal().settle(record(T, net), world(T, net)))
    got = {e.item: e.usd for e in out}
    assert got["capacity"] == pytest.approx(200 * 7.0), "one month, owed whatever is delivered"
    assert got["events/call"] == 50.0
    assert got["events/energy"] == pytest.approx(600 * 0.25)
    assert got["events/shortfall"] == pytest.approx(-200 * 1.0)
    assert {e.counterparty for e in out} == {"utility"}


def test_plan_and_settlement_of_a_deal_agree() -> None:
    net = np.full(T.n, 800.0)
    k = T.index("2026-06-16T17:00")
    net[k : k + 4] = [650.0, 900.0, 500.0, 700.0]
    w = world(T, np.full(T.n, 800.0))
    stated = worth(
        Flows(T, net), deal().terms(view(w))
    ).total_usd  # a call below its baseline: convex is exact
    settled = fsum(e.usd for e in deal().settle(record(T, net), w))
    assert -stated - 800 * 1.0 + 200 * 7.0 + 50 == pytest.approx(settled)


def test_voltage_support_counts_kvar_supplied_against_the_sites_own() -> None:
    s = Bilateral(
        source="letter",
        valid_from=date(2026, 1, 1),
        voltage=Voltage(kvar=100.0, usd_per_kvar_h=0.02, windows=(Window(from_h=9, to_h=21),)),
    )
    w = world(T, 500.0, load_kvar=(300.0, "kvar"))
    rec = record(T, 500.0, net_kvar=np.where(T.hour < 12, 240.0, 150.0))
    (line,) = s.settle(rec, w)
    assert line.quantity == pytest.approx(30 * (3 * 60 + 9 * 100)) and line.usd == pytest.approx(
        0.02 * line.quantity
    )
    flows = Flows(T, np.full(T.n, 500.0), rec.net_kvar)
    assert -worth(flows, s.terms(view(w))).total_usd == pytest.approx(line.usd)
    with pytest.raises(DataError, match="metered kvar"):
        list(s.settle(record(T, 500.0), w))
    with pytest.raises(InputError, match="load_kvar, which is not metered"):
        s.bind(place(world(T, 500.0), Able()))


def test_a_firm_level_and_what_a_deal_may_not_say() -> None:
    s = deal(baseline=None, firm_kw=600.0, usd_per_kwh=0.0)
    net = np.full(T.n, 800.0)
    out = {e.item: e.usd for e in s.settle(record(T, net), world(T, net))}
    assert out["events/above firm level"] == pytest.approx(-200 * 4 * 1.0)
    for bad, words in (
        ({"capacity_kw": None}, "nothing is sold"),
        ({"baseline": None}, "either baseline or firm_kw"),
        ({"baseline": None, "firm_kw": 1.0}, "a firm level has none"),
        ({"nomination_kw": 5.0}, "a deal calls it capacity_kw"),
    ):
        with pytest.raises(ValueError, match=words):
            deal(**bad)
    with pytest.raises(InputError, match=r"the deal runs from 2026-01-01 to 2029-01-01, not on 2030-06-01"):
        deal(as_of=date(2030, 6, 1)).rules(T)


def test_an_exclusive_deal_may_not_stand_beside_another_sale_of_the_same_kw() -> None:
    other = DemandResponse(
        name="bidding", product="cbp-sce", as_of=date(2026, 6, 1), events=(), nomination_kw=200.0
    )
    (found,) = contradictions([deal(), other], T)
    assert "sold twice" in found.what
    assert contradictions([deal(exclusive=False), other], T) == []
    made = deal().bind(place(world(T, 500.0), Able()))
    assert made.as_of == date(2026, 6, 1) and not any("not verified" in a for a in made.assumptions)
    with pytest.raises(InputError, match="lies outside the hours"):
        deal(events=(Call(start="2026-06-13T17:00", hours=2),)).bind(place(world(T, 500.0), Able()))
