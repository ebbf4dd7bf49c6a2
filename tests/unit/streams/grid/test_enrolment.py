"""What every grid service shares: cost to serve, break-even, contradictions, calls."""

from __future__ import annotations

from datetime import date
from math import inf
from types import SimpleNamespace

import numpy as np
import pytest

from tests.unit.streams.grid.grid_case import Able, changed, place, record, timeline, world
from valuestack.errors import InputError
from valuestack.flows import Capability
from valuestack.streams.grid.coincident_peak import CoincidentPeak
from valuestack.streams.grid.demand_response import DemandResponse
from valuestack.streams.grid.enrolment import Call, calls_on, contradictions, month_shares, runs_of
from valuestack.streams.grid.product import Cost, product

NOW = date(2026, 7, 1)


def elrp(**more: object) -> DemandResponse:
    parts: dict[str, object] = {
        "name": "emergency programme",
        "product": "elrp",
        "utility": "SCE",
        "as_of": NOW,
        "events": (),
    }
    return DemandResponse.model_validate(parts | more)


def bidding(**more: object) -> DemandResponse:
    parts: dict[str, object] = {
        "name": "bidding programme",
        "product": "cbp-sce",
        "as_of": NOW,
        "events": (),
        "nomination_kw": 200.0,
        "capacity_usd_per_kw_month": 8.0,
        "energy_usd_per_kwh": 0.1,
    }
    return DemandResponse.model_validate(parts | more)


def test_cost_to_serve_stands_in_the_ledger_and_gives_a_break_even() -> None:
    cost = Cost(
        usd_per_y=2000, staff_h_per_y=20, staff_usd_per_h=100, usd_per_event=50, usd_per_mwh=5, source="quote"
    )
    s = elrp(cost=cost)
    t = timeline(8760, start="2026-01-01T00:00")
    rows = {e.item: e for e in s.cost_entries(t, events=3, delivered_kwh=2000.0)}
    assert rows["cost to serve/fixed"].usd == pytest.approx(-4000)
    assert rows["cost to serve/events"].usd == pytest.approx(-150)
    assert rows["cost to serve/delivery"].usd == pytest.approx(-10)
    assert all(e.reason == "cost to serve: quote" for e in rows.values())
    # 2 USD/kWh = 2000 USD/MWh less 5: (4000 + 3 x 50) / 1995 MWh a year
    assert s.break_even(2000.0, "MWh", events_per_y=3) == pytest.approx(4150 / 1995)
    assert s.break_even(40.0, "kW", events_per_y=3) == pytest.approx(4150 / 40)
    assert s.break_even(4.0, "MWh") == inf
    assert elrp().break_even(10.0, "kW") == 0.0
    assert any("no cost to serve" in a for a in elrp().assumptions)
    with pytest.raises(ValueError, match="staff_usd_per_h"):
        Cost(staff_h_per_y=3)


def test_half_a_year_carries_half_of_the_fixed_cost() -> None:
    t = timeline(4380, start="2026-01-01T00:00")
    (line,) = elrp(cost=Cost(usd_per_y=1000)).cost_entries(t)
    assert line.usd == pytest.approx(-500)


def test_dual_enrolment_bans_are_found_once_with_owner_clause_and_remedy() -> None:
    t = timeline(24)
    (found,) = contradictions([elrp(), bidding()], t)
    assert found.owners == ("emergency programme", "bidding programme")
    assert "bans cbp-sce" in found.clause and "drop" in found.remedy
    assert contradictions([elrp()], t) == []


def test_a_stream_says_it_of_another_through_a_contract_too() -> None:
    (said,) = elrp().contradicts(SimpleNamespace(inner=bidding()))
    assert said == bidding().contradicts(elrp())[0], "one sentence for the pair, whoever is asked"
    assert elrp().contradicts(SimpleNamespace(name="a reserve")) == []


def test_a_tariff_item_may_be_banned_without_knowing_its_class() -> None:
    tariff = SimpleNamespace(
        name="a rate", tariff=SimpleNamespace(items=[SimpleNamespace(kind="critical_peak")])
    )
    (found,) = contradictions([tariff, elrp()], timeline(24))
    assert set(found.owners) == {"a rate", "emergency programme"} and "critical peak" in found.what
    plain = SimpleNamespace(name="a rate", tariff=SimpleNamespace(items=[SimpleNamespace(kind="demand")]))
    assert contradictions([plain, elrp()], timeline(24)) == []


def test_the_same_kw_may_not_be_sold_twice_as_capacity() -> None:
    t = timeline(24)
    bip = DemandResponse(
        name="interruptible",
        product="bip-pge",
        as_of=NOW,
        events=(),
        firm_kw=100.0,
        nomination_kw=300.0,
        capacity_usd_per_kw_month=9.0,
        shortfall_usd_per_kwh=6.0,
        assets=("battery",),
    )
    (found,) = contradictions([bip, bidding(assets=("battery", "chiller"))], t)
    assert "sold twice" in found.what and "different assets" in found.remedy
    assert contradictions([bip, bidding(assets=("chiller",))], t) == []
    scr = DemandResponse(name="scr", product="nyiso-scr", as_of=NOW, events=(), coincident_load_kw=500.0)
    relief = DemandResponse(name="relief", product="coned-csrp", as_of=NOW, events=(), nomination_kw=100.0)
    assert contradictions([scr, relief], t) == [], "the utility's programme may stand beside it"


def test_an_emergency_generator_may_serve_only_where_the_programme_allows_it() -> None:
    t = timeline(24 * 40, start="2026-06-01T00:00", tz="America/Los_Angeles")
    w = world(t, 500.0)
    generator = Able(name="generator", can=Capability(paid_dispatch=False, why_not="emergency permit"))
    with pytest.raises(
        InputError, match=r"generator may not be paid for running \(emergency permit\); leave it out"
    ):
        bidding().bind(place(w, generator, state="CA"))
    assert elrp().bind(place(w, generator, state="CA")).assets == ("generator",)
    assert bidding(assets=("chiller",)).bind(place(w, generator, Able(name="chiller"), state="CA"))


def test_an_export_product_on_a_site_that_may_not_export_is_refused() -> None:
    t = timeline(24, start="2026-07-01T00:00")
    w = world(t, 500.0)
    p = changed(product("elrp", NOW, utility="SCE"), export="required")
    with pytest.raises(InputError, match="this site may not export; agree an export limit"):
        elrp(product=p).bind(place(w, Able()))
    assert elrp(product=p).bind(place(w, Able(), export_limit_kw=100.0))


def test_notice_protocol_duration_and_size_are_checked() -> None:
    t = timeline(24, start="2026-07-01T00:00")
    w = world(t, 500.0)
    p = changed(
        product("cbp-sce", NOW), notice_h=0.5, protocols=("openadr_2_0b",), min_kw=300.0, response_s=600.0
    )
    slow = Able(can=Capability(notice_h=2.0, protocols=("modbus",), max_duration_h=0.5, response_s=1200.0))
    with pytest.raises(InputError) as e:
        bidding(product=p, assets=("pump",)).bind(place(w, slow))
    text = str(e.value)
    for part in ("'pump', which is no asset here", "200 kW offered, 300 kW is the least"):
        assert part in text
    with pytest.raises(InputError) as e:
        bidding(product=p, aggregated=True).bind(place(w, slow))
    text = str(e.value)
    for part in (
        "calls come 0.5 h ahead, battery needs 2 h",
        "speaks openadr_2_0b, battery only modbus",
        "a call lasts 1 h or more, battery can answer 0.5 h",
        "asks for 600 s or less, battery offers 1200 s",
    ):
        assert part in text, text
    able = Able(can=Capability(notice_h=0.1, protocols=("OpenADR_2_0b",), max_duration_h=2.0, response_s=5.0))
    made = bidding(product=p, aggregated=True).bind(place(w, able))
    assert any("can answer 2 h of a call that may last 6 h" in a for a in made.assumptions)


def test_calls_fit_the_timeline_or_are_refused() -> None:
    t = timeline(48)
    a, b = calls_on(
        t, [Call(start="2026-06-01T20:00", hours=8), Call(start="2026-06-01T10:00", hours=2)], 1.0, "x"
    )
    assert (a.first, a.n, a.known, b.first, b.n) == (10, 2, 9, 20, 8)
    assert calls_on(t, [Call(start="2026-07-01T10:00", hours=2)], 0.0, "x") == []
    with pytest.raises(InputError, match="does not fit intervals of 1 h"):
        calls_on(t, [Call(start="2026-06-01T10:30", hours=2)], 0.0, "x")
    with pytest.raises(InputError, match="overlap"):
        calls_on(
            t, [Call(start="2026-06-01T10:00", hours=2), Call(start="2026-06-01T11:00", hours=2)], 0.0, "x"
        )
    assert [(c.first, c.n) for c in runs_of(np.array([1.0, 0, 1, 1]))] == [(0, 1), (2, 2)]


def test_months_are_covered_by_their_own_length_across_clock_changes() -> None:
    t = timeline(24 * 59 - 1, start="2026-02-01T00:00")  # 8 March lasts 23 hours
    assert month_shares(t, (2, 3)) == pytest.approx({"2026-02": 1.0, "2026-03": 1.0})
    assert month_shares(timeline(24 * 14, start="2026-02-01T00:00"), (2,)) == pytest.approx({"2026-02": 0.5})


def test_earned_break_even_of_a_settled_span() -> None:
    t = timeline(8760, start="2026-01-01T00:00")
    s = CoincidentPeak(
        name="x",
        product="pjm-5cp",
        as_of=NOW,
        peaks=("2026-07-01T16:00",),
        usd_per_kw_y=1.0,
        cost=Cost(usd_per_y=10),
    )
    assert s.earned_break_even(s.settle(record(t, 10.0), world(t, 10.0)), t) is None, "a tag only costs"
