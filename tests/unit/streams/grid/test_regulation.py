"""Regulation: the credit of each market by hand, forfeits, disqualification, haircuts, clauses."""

from __future__ import annotations

from datetime import date
from math import fsum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.streams.grid.grid_case import Able, changed, place, record, timeline, view, world
from valuestack.errors import InputError
from valuestack.flows import Capability
from valuestack.streams.grid.product import product
from valuestack.streams.grid.regulation import Leg, Regulation, credit_usd_per_kw_h, disqualified
from valuestack.terms import Claim

V2, V3 = date(2026, 6, 1), date(2026, 11, 1)


def rule(name: str, on: date = V2):  # type: ignore[no-untyped-def]
    return product(name, on).regulation


def credit(name: str, score: float, cap: float, perf: float, ratio: float, on: date = V2) -> float:
    parts = credit_usd_per_kw_h(rule(name, on), *(np.array([x]) for x in (score, cap, perf, ratio)))
    return float(sum(parts)[0])


def test_pjm_credit_of_five_minutes_as_in_the_published_engine() -> None:
    # 10 MW x 0.25 x (50 + 1.0 x 5) / 12 = 11.458 USD; strictly below 0.25 nothing: test_reg.py of the engine named.
    assert 10_000 * credit("pjm-regulation", 0.25, 0.050, 0.005, 1.0) / 12 == pytest.approx(
        10 * 0.25 * 55 / 12
    )
    assert credit("pjm-regulation", 0.249, 0.050, 0.005, 1.0) == 0.0
    assert 100_000 * credit("pjm-regulation", 1.0, 0.020, 0.002, 0.0) / 12 == pytest.approx(100 * 20 / 12)
    # RegD in the old regime: mileage of RegD over RegA multiplies the performance price, by the hour.
    assert credit("pjm-regulation", 0.9, 0.020, 0.004, 3.0, date(2024, 6, 1)) == pytest.approx(
        0.9 * (0.02 + 3 * 0.004)
    )


def test_other_markets() -> None:
    assert credit("nyiso-regulation", 0.9, 0.01, 0.002, 2.0) == pytest.approx(0.014 * (1 - 1.1 * 0.1))
    assert credit("nyiso-regulation", 0.0, 0.01, 0.0, 1.0) == 0.0
    assert credit("caiso-regulation", 0.5, 0.01, 0.0001, 10.0) == pytest.approx(0.01 + 0.5 * 10 * 0.0001)


def both(**more: object) -> Regulation:
    parts: dict[str, object] = {
        "as_of": V2,
        "assets": ("battery",),
        "both": Leg(capability_usd_per_kw_h="rmccp", performance_usd_per_kw_h="rmpcp"),
        "score_frac": "score",
    }
    return Regulation.model_validate(parts | more)


def test_settled_interval_by_interval_from_awards_prices_and_scores() -> None:
    t = timeline(4, step_h=0.25)
    w = world(
        t,
        100.0,
        rmccp=([0.02, 0.03, 0.04, 0.05], "USD/kWh"),
        rmpcp=(0.002, "USD/kWh"),
        score=([0.9, 0.2, 1, 0.8], ""),
    )
    award = np.array([100.0, 100.0, 50.0, 0.0])
    out = list(both().settle(record(t, 100.0, extra={"regulation/capacity": award}), w))
    usd = {e.item: e.usd for e in out}
    assert usd["capacity/capability"] == pytest.approx(0.25 * (100 * 0.9 * 0.02 + 50 * 0.04))
    assert usd["capacity/performance"] == pytest.approx(0.25 * 0.002 * (90 + 50))
    assert usd["capacity/forfeited"] == 0.0
    lost = next(e for e in out if e.item == "capacity/forfeited")
    assert f"{0.25 * 100 * 0.032:,.2f} USD" in lost.reason


def test_no_import_earns_nothing() -> None:
    t = timeline(2)
    w = world(t, 100.0, rmccp=(0.02, "USD/kWh"), rmpcp=(0.0, "USD/kWh"), score=(1.0, ""))
    out = list(both().settle(record(t, [50.0, -5.0], extra={"regulation/capacity": np.full(2, 10.0)}), w))
    assert fsum(e.usd for e in out) == pytest.approx(0.2)
    assert any("without import" in e.reason for e in out)


def test_a_low_mean_score_ends_the_awards_until_a_new_test() -> None:
    score = np.concatenate((np.full(150, 0.9), np.full(250, 0.3)))
    out = disqualified(rule("pjm-regulation"), np.full(400, 10.0), score, 1.0)
    first = int(np.flatnonzero(out)[0])
    means = [score[k - 99 : k + 1].mean() for k in range(99, 400)]
    assert first == 99 + next(i for i, m in enumerate(means) if m < 0.4 - 1e-12) + 1
    assert out[first:].all() and not out[:first].any()
    assert not disqualified(rule("pjm-regulation"), np.full(90, 10.0), np.zeros(90), 1.0).any(), (
        "too short to judge"
    )


@settings(max_examples=25, deadline=None)
@given(award=st.floats(0, 500), scale=st.floats(0.1, 4), cut=st.floats(0, 0.9), score=st.floats(0.3, 1))
def test_money_is_linear_in_the_award_and_falls_with_every_haircut(
    award: float, scale: float, cut: float, score: float
) -> None:
    t = timeline(3)
    w = world(t, 900.0, rmccp=([0.01, 0.02, 0.03], "USD/kWh"), rmpcp=(0.001, "USD/kWh"), score=(score, ""))

    def usd(stream: Regulation, kw: float) -> float:
        return fsum(
            e.usd for e in stream.settle(record(t, 900.0, extra={"regulation/capacity": np.full(3, kw)}), w)
        )

    one = usd(both(), award)
    assert usd(both(), scale * award) == pytest.approx(scale * one, abs=1e-9)
    for key in ("price_haircut_frac", "idle_frac", "untracked_frac"):
        assert usd(both(**{key: cut}), award) == pytest.approx((1 - cut) * one, abs=1e-9)


def test_terms_hold_room_energy_drift_and_exposure() -> None:
    t = timeline(4)
    w = world(t, 100.0, rmccp=(0.02, "USD/kWh"), rmpcp=(0.002, "USD/kWh"), score=(0.8, ""))
    (claim,) = both(signal_up_frac=0.3, signal_down_frac=0.2, price_haircut_frac=0.1, max_kw=70.0).terms(
        view(w)
    )
    assert isinstance(claim, Claim) and claim.direction == "both" and claim.sustain_h == 0.5
    assert (claim.throughput_up_frac, claim.throughput_down_frac, claim.exposure_frac) == (0.3, 0.2, 1.0)
    np.testing.assert_allclose(claim.usd_per_kw_h, 0.9 * 0.8 * 0.022)
    apart = Regulation(
        as_of=V3,
        assets=("b",),
        up=Leg(capability_usd_per_kw_h=0.01),
        down=Leg(capability_usd_per_kw_h=0.01),
        score_frac=1.0,
    )
    up, down = apart.terms(view(w))
    assert isinstance(up, Claim) and isinstance(down, Claim)
    assert (up.exposure_frac, down.exposure_frac) == (0.0, 1.0)
    assert (up.throughput_down_frac, down.throughput_up_frac) == (0.0, 0.0)


def test_a_span_across_regimes_is_refused_and_as_of_settles_it() -> None:
    t = timeline(24 * 40, start="2026-09-10T00:00")
    w = world(t, 100.0, rmccp=(0.02, "USD/kWh"), rmpcp=(0.0, "USD/kWh"), score=(1.0, ""))
    with pytest.raises(InputError, match=r"v2 holds until 2026-10-01.*set as_of"):
        both(as_of=None).terms(view(w))
    assert both(as_of=V2).terms(view(w))


def test_clauses_that_a_site_cannot_meet_come_in_one_refusal() -> None:
    t = timeline(4)
    w = world(t, 100.0, rmccp=(20.0, "USD/MWh"), score=(0.9, ""))
    slow = Able(
        can=Capability(telemetry_s=60.0, paid_dispatch=False, why_not="its permit is for emergencies")
    )
    with pytest.raises(InputError) as e:
        both(as_of=V3).bind(place(w, slow, iso="PJM"))
    text = str(e.value)
    for part in (
        "may not be paid for running (its permit is for emergencies)",
        "asks for 2 s or less, battery offers 60 s",
        "holds two awards; give prices as [up] and [down]",
        "'rmccp' is in USD/MWh; convert it",
        "no series 'rmpcp'",
    ):
        assert part in text, text
    assert "stream regulation (pjm-regulation v3)" in text
    with pytest.raises(InputError, match="offered in PJM, not in iso CAISO"):
        both().bind(place(w, slow, iso="CAISO"))
    with pytest.raises(InputError, match=r"a score of 0\.5 does not pass the test"):
        Regulation(as_of=V2, both=Leg(capability_usd_per_kw_h=0.02), score_frac=0.5).bind(place(w, Able()))


def test_what_is_not_stated_is_a_note_not_a_refusal() -> None:
    t = timeline(4)
    w = world(t, 100.0)
    made = Regulation(as_of=V2, both=Leg(capability_usd_per_kw_h=0.02), score_frac=0.9).bind(place(w, Able()))
    assert made.assets == ("battery",)
    said = "\n".join(made.assumptions)
    for part in (
        "telemetry_s is not stated",
        "not verified",
        "price taker",
        "no cost to serve",
        "opportunity cost",
    ):
        assert part in said
    with pytest.raises(InputError, match="name those that regulate"):
        Regulation(as_of=V2, both=Leg(capability_usd_per_kw_h=0.02), score_frac=0.9).bind(
            place(w, Able(), Able(name="second"))
        )
    with pytest.raises(InputError, match="10 kW offered, 100 kW is the least"):
        small = changed(product("pjm-regulation", V2), min_kw=100.0)
        Regulation(
            product=small, as_of=V2, both=Leg(capability_usd_per_kw_h=0.02), score_frac=0.9, max_kw=10.0
        ).bind(place(w, Able()))


def test_the_products_own_scoring_rule() -> None:
    t = timeline(4)
    s = np.sin(np.arange(361) / 20)
    assert both().score(s, s, 10.0, t).score_frac == pytest.approx(1.0)
    with pytest.raises(InputError, match="no scoring rule"):
        both(product="nyiso-regulation").score(s, s, 10.0, t)


def test_options_without_meaning_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        both(score_frac=1.5)
    with pytest.raises(ValueError, match="give the prices"):
        both(both=None)
    with pytest.raises(InputError, match="write kind = 'demand_response'"):
        both(product="caiso-pdr").rules(timeline(4))
