"""Certificates: whole MWh of metered generation, by vintage, never from discharge, each claimed once."""

from __future__ import annotations

from math import fsum, inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kinds.case import PlainBattery
from tests.kinds.rec_and_curtailment import Solar, case
from tests.unit.streams.environment.records import metered
from valuestack.dispatch import Foresight, View
from valuestack.errors import ConflictError, InputError
from valuestack.streams.environment.environment import (
    CostToServe,
    Title,
    claimed_kwh,
    contradictions,
    refuse_double_claims,
)
from valuestack.streams.environment.firm_certificate import FirmCertificate
from valuestack.streams.environment.rec import Rec
from valuestack.streams.stream import Place, ValueStream


def test_whole_certificates_by_vintage_with_carry() -> None:
    """By hand: 0.4 carried + 900 + 800 kWh in January = 1 certificate, 700.4 kWh go on; February adds 1400: 2 more."""
    record, world = metered({"pv": [-900, -800, -1400, 50]})  # two hours in each month
    rec = Rec(assets=("pv",), usd_per_mwh=30.0, start_kwh=0.4)
    assert rec.minted(record, world) == {"pv": [("2024-01", 1.0), ("2024-02", 2.0)]}
    entries = list(rec.settle(record, world))
    assert [(e.cycle, e.quantity, e.usd) for e in entries] == [("2024-01", 1.0, 30.0), ("2024-02", 2.0, 60.0)]
    assert isinstance(rec, ValueStream)


def test_price_series_is_weighted_by_what_is_made() -> None:
    record, world = metered({"pv": [-1000, -3000]}, series={"p": ([10.0, 20.0], "USD/MWh")})
    (entry,) = Rec(assets=("pv",), usd_per_mwh="p").settle(record, world)
    assert entry.usd == pytest.approx(10 + 60) and entry.usd_per_unit == pytest.approx(17.5)


def test_alternative_compliance_caps_and_old_vintages_expire() -> None:
    """30-day months by hand: vintages January and February, sold in April only; life one month: both too old."""
    kw = [-4.0] * (24 * 121)
    record, world = metered({"pv": kw}, start="2024-01-01T00:00")
    rec = Rec(assets=("pv",), usd_per_mwh=400.0, acp_usd_per_mwh=250.0, life_months=1, sale_months=(4,))
    entries = list(rec.settle(record, world))
    by_item = {e.item.split("/")[0]: e for e in entries}
    assert {e.item for e in entries if e.usd == 0} == {"expired/pv 2024-01", "expired/pv 2024-02"}
    sold = [e for e in entries if e.usd > 0]
    assert [e.item[-7:] for e in sold] == ["2024-03", "2024-04"]
    assert all(e.usd_per_unit == 250.0 for e in sold) and "capped" in by_item["certificates"].reason


def test_unsold_certificates_are_shown_and_worth_nothing() -> None:
    record, world = metered({"pv": [-2000.0, -2000.0]}, start="2024-06-01T00:00")
    (entry,) = Rec(assets=("pv",), usd_per_mwh=9.0, sale_months=(1,)).settle(record, world)
    assert (entry.usd, entry.status, entry.quantity) == (0.0, "provisional", 4.0)


def test_cost_to_serve_and_break_even() -> None:
    rec = Rec(
        assets=("pv",),
        usd_per_mwh=30.0,
        cost=CostToServe(usd_per_y=1000, usd_per_mwh=5, staff_h_per_y=10, staff_usd_per_h=50),
    )
    assert rec.break_even_mwh == pytest.approx(1500 / 25)
    record, world = metered({"pv": [-2000.0]})
    assert fsum(e.usd for e in rec.settle(record, world)) == pytest.approx(
        2 * 30 - 1500 / 8760 * record.timeline.hours - 2 * 5
    )
    assert (
        Rec(assets=("pv",), usd_per_mwh=4.0, cost=CostToServe(usd_per_y=1, usd_per_mwh=5)).break_even_mwh
        == inf
    )


def test_never_minted_from_discharge() -> None:
    record, world = metered({"battery": [-2000.0]}, stores=["battery"])
    with pytest.raises(InputError, match="never minted from discharge"):
        list(Rec(assets=("battery",), usd_per_mwh=9.0).settle(record, world))
    built = case()
    place = Place(built.world.timeline, built.assets, built.world)
    with pytest.raises(InputError, match="'battery' is a store; a certificate is never minted"):
        Rec(assets=("battery",), usd_per_mwh=9.0).bind(place)
    assert Rec(usd_per_mwh=9.0).bind(place).assets == ("solar",)
    with pytest.raises(InputError, match="generates without fuel"):
        Rec(usd_per_mwh=9.0).bind(Place(built.world.timeline, [PlainBattery()], built.world))


def test_all_that_is_wrong_is_said_at_once() -> None:
    built = case()
    with pytest.raises(InputError) as caught:
        Rec(assets=("battery", "wind"), usd_per_mwh="no such series").bind(
            Place(built.world.timeline, built.assets, built.world)
        )
    text = str(caught.value)
    assert "3 problems" in text and "'wind' is no asset here" in text and "no series 'no such series'" in text


@pytest.mark.parametrize(
    ("written", "match"),
    [
        ({}, "usd_per_mwh: is missing"),
        ({"product": "nj-srec2"}, "did you mean 'nj-srec-2'"),
        ({"usd_per_mwh": 1.0, "sale_months": [0]}, "months are 1 to 12"),
        ({"usd_per_mwh": 1.0, "whole": False, "start_kwh": 5.0}, "nothing is carried"),
        ({"usd_per_mwh": 1.0, "prise": 1}, "prise"),
    ],
)
def test_bad_input_is_refused(written: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Rec.model_validate(written)


def test_a_product_without_a_price_takes_the_low_end_and_says_so() -> None:
    rec = Rec(assets=("pv",), product="pjm-tier-1")
    assert rec.price == 25.0 and any("not verified" in a for a in rec.assumptions)


def test_terms_are_exact_only_by_the_kwh() -> None:
    built = case()
    view = View(built.world.timeline, 0, 4, Foresight(built.world), {"solar": None})
    (exact,) = Rec(assets=("solar",), usd_per_mwh=9.0, whole=False).terms(view)
    (whole,) = Rec(assets=("solar",), usd_per_mwh=9.0).terms(view)
    assert exact.exact and not whole.exact and "whole" in whole.reason


def test_double_claims_are_refused_by_owner_and_share() -> None:
    rec = Rec(name="state", assets=("pv",), usd_per_mwh=9.0, share_frac=0.7)
    firm = FirmCertificate(assets=("pv",), rec_usd_per_mwh=9.0, premium_frac=0.15, share_frac=0.4)
    (finding,) = contradictions([*rec.titles, *firm.titles])
    assert finding.severity == "error" and "110%" in finding.what
    with pytest.raises(ConflictError, match=r"state \(rec, 70%\), firm certificate") as caught:
        refuse_double_claims([rec, firm])
    assert caught.value.owners == ("state", "firm certificate")
    refuse_double_claims([rec, firm.model_copy(update={"share_frac": 0.3})])
    assert rec.contradicts(firm) == firm.contradicts(rec) and "110%" in rec.contradicts(firm)[0]
    assert rec.contradicts(object()) == []

    class Shared:
        inner = firm

    assert rec.contradicts(Shared()) == rec.contradicts(firm)


def test_claims_one_after_the_other_do_not_collide() -> None:
    from datetime import date

    first = Title("a", "pv", "rec", 1.0, None, date(2025, 1, 1))
    then = Title("b", "pv", "rec", 1.0, date(2025, 1, 1), None)
    assert contradictions([first, then]) == ()
    (found,) = contradictions([first, Title("b", "pv", "rec", 1.0, date(2024, 7, 1), None)])
    assert "from 2024-07-01" in found.what


powers = st.lists(st.floats(-5000, 5000), min_size=1, max_size=60)


@settings(max_examples=80, deadline=None)
@given(pv=powers, battery=st.floats(-5000, 5000), share=st.floats(0.05, 1), start=st.floats(0, 999))
def test_never_more_certificates_than_generation(
    pv: list[float], battery: float, share: float, start: float
) -> None:
    """Minted <= carried + metered generation x share, short of it by less than one; the battery changes nothing."""
    record, world = metered({"pv": pv, "battery": [battery] * len(pv)}, stores=["battery"], step_h=6.0)
    rec = Rec(assets=("pv",), usd_per_mwh=20.0, share_frac=share, start_kwh=start)
    minted = fsum(mwh for _, mwh in rec.minted(record, world)["pv"])
    made = share * fsum(-p * 6 for p in pv if p < 0) + start
    assert made / 1000 - 1 - 1e-6 < minted <= made / 1000 + 1e-6
    assert minted == round(minted)
    idle, same_world = metered({"pv": pv}, step_h=6.0)
    assert rec.minted(idle, same_world) == rec.minted(record, world)


@settings(max_examples=60, deadline=None)
@given(shares=st.lists(st.floats(0.05, 1), min_size=1, max_size=4), pv=powers)
def test_one_claim_a_mwh(shares: list[float], pv: list[float]) -> None:
    """Streams that pass the title check never claim more than was metered, interval by interval."""
    streams = [Rec(name=f"r{i}", assets=("pv",), usd_per_mwh=1.0, share_frac=s) for i, s in enumerate(shares)]
    record, world = metered({"pv": pv})
    claimed = claimed_kwh(streams, record, world)["pv"]
    made = np.maximum(-np.array(pv), 0.0)
    if contradictions([t for s in streams for t in s.titles]):
        assert fsum(shares) > 1
    else:
        assert np.all(claimed <= made * (1 + 1e-8) + 1e-9)


def test_solar_of_the_case_is_an_asset() -> None:
    assert Solar().backup(None) is None
