"""Demand response: each programme's money by hand, what a plan is told, and that both agree."""

from __future__ import annotations

from datetime import date
from math import fsum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.streams.grid.grid_case import Able, changed, days, place, record, timeline, view, world
from valuestack.errors import InputError
from valuestack.stack.value import Flows, worth
from valuestack.streams.grid.baseline import Baseline, Regression, Selection
from valuestack.streams.grid.demand_response import DemandResponse
from valuestack.streams.grid.enrolment import Call
from valuestack.streams.grid.product import Cost, ResponseRule, Step, product
from valuestack.streams.grid.response import Responding, counted_calls, next_nomination, season_of
from valuestack.terms import Claim, Payment

NOW = date(2026, 7, 1)
PACIFIC = "America/Los_Angeles"


def usd(entries: Any, item: str = "") -> float:
    return fsum(e.usd for e in entries if e.item.startswith(item))


def elrp(**more: object) -> DemandResponse:
    parts: dict[str, object] = {
        "product": "elrp",
        "utility": "PG&E",
        "as_of": NOW,
        "events": (Call(start="2026-06-16T16:00", hours=5),),
    }
    return DemandResponse.model_validate(parts | more)


def test_elrp_pays_two_dollars_a_kwh_below_ten_of_ten_days_and_never_charges() -> None:
    # Ten weekdays at 500 kW, the event day at 500 until four, then 380 for five hours: 5 x 120 x 2 USD.
    t = timeline(24 * 20, tz=PACIFIC)
    net = np.full(t.n, 500.0)
    first = t.index("2026-06-16T16:00")
    net[first : first + 5] = 380.0
    w = world(t, net)
    out = list(elrp().settle(record(t, net), w))
    assert usd(out) == pytest.approx(1200.0)
    assert out[0].quantity == pytest.approx(600.0) and "500.0 kW against 380.0 kW" in out[0].reason
    net[first : first + 5] = 650.0
    assert usd(elrp().settle(record(t, net), w)) == 0.0, "more load earns nothing and costs nothing"


def test_charging_in_the_adjustment_window_inflates_the_baseline_within_its_cap() -> None:
    t = timeline(24 * 20, tz=PACIFIC)
    net = np.full(t.n, 500.0)
    first = t.index("2026-06-16T16:00")
    net[first : first + 5] = 380.0
    honest = usd(elrp().settle(record(t, net), world(t, net)))
    net[first - 4 : first - 1] += 400.0  # ratio 1.8, capped at 1.2: B = 600
    gamed = usd(elrp().settle(record(t, net), world(t, net)))
    assert (honest, gamed) == pytest.approx((1200.0, 5 * 220 * 2.0))


def test_a_history_too_short_for_the_baseline_settles_nothing_and_says_why() -> None:
    t = timeline(24 * 8, start="2026-06-10T00:00", tz=PACIFIC)
    (line,) = elrp().settle(record(t, 500.0), world(t, 500.0))
    assert line.usd == 0 and "needs 10 eligible days" in line.reason


def scr(**more: object) -> DemandResponse:
    parts: dict[str, object] = {
        "name": "scr",
        "product": "nyiso-scr",
        "as_of": NOW,
        "coincident_load_kw": 900.0,
        "nomination_kw": 400.0,
        "capacity_usd_per_kw_month": 10.0,
        "energy_usd_per_kwh": "lbmp",
        "events": (Call(start="2026-06-10T14:00", hours=4), Call(start="2026-06-20T14:00", hours=4)),
    }
    return DemandResponse.model_validate(parts | more)


def test_scr_is_paid_on_a_flat_coincident_load_with_a_floor_price_and_half_again_for_what_is_missing() -> (
    None
):
    t = timeline(24 * 30)
    net = np.full(t.n, 900.0)
    for when, kw in (("2026-06-10T14:00", 500.0), ("2026-06-20T14:00", 700.0)):
        k = t.index(when)
        net[k : k + 4] = kw
    w = world(t, net, lbmp=(np.where(np.arange(t.n) < 24 * 15, 0.2, 0.8), "USD/kWh"))
    out = list(scr().settle(record(t, net), w))
    assert usd(out, "events/energy") == pytest.approx(4 * 400 * 0.5 + 4 * 200 * 0.8)
    # mean performance (1 + 0.5) / 2 = 0.75 -> 1 - 1.5 x 0.25 = 0.625 of 400 kW x 10 USD x one month
    assert usd(out, "capacity") == pytest.approx(4000 * 0.625)
    capacity = next(e for e in out if e.item == "capacity")
    assert capacity.cycle == "2026/27" and "0.750 pays 0.625" in capacity.reason


def test_pjm_nomination_follows_from_the_tag_and_a_test_shortfall_costs_a_fifth_more() -> None:
    t = timeline(24 * 30)
    net = np.full(t.n, 1000.0)
    k = t.index("2026-06-10T14:00")
    net[k : k + 2] = 700.0
    w = world(t, net, lmp=(0.1, "USD/kWh"))
    s = DemandResponse(
        product="pjm-capacity-dr",
        as_of=NOW,
        peak_load_kw=1000.0,
        firm_kw=500.0,
        loss_frac=1.05,
        energy_usd_per_kwh="lmp",
        shortfall_usd_per_kwh=0.0,
        events=(Call(start="2026-06-10T14:00", hours=2, test=True),),
    )
    n_kw = 1000 - 500 * 1.05
    assert s.nominated_kw == pytest.approx(n_kw)
    out = list(s.settle(record(t, net), w))
    reduction = 1.05 * (1000 / 1.05 - 700)
    assert usd(out, "events/energy") == pytest.approx(2 * reduction * 0.1)
    p = reduction / n_kw
    month = 329.17 / 1000 * 365 / 12 * 0.69
    assert usd(out, "capacity") == pytest.approx(n_kw * month * (1 - 1.2 * (1 - p)))
    assert s.model_copy(update={"winter_peak_load_kw": 800.0}).nominated_kw == pytest.approx(n_kw - 200)
    lower = next_nomination(s, 900.0)
    assert lower.nominated_kw == pytest.approx(n_kw - 100), "a kW less of tag is a kW less of nomination"
    with pytest.raises(InputError, match="follows no tag"):
        next_nomination(scr(), 900.0)


def test_a_guaranteed_drop_is_the_lesser_of_baseline_and_tag_less_load() -> None:
    t = timeline(24 * 30)
    net = np.full(t.n, 800.0)
    k = t.index("2026-06-16T14:00")
    net[k : k + 2] = 500.0
    w = world(t, 800.0)

    def delivered(tag: float) -> float:
        s = DemandResponse(
            product="pjm-capacity-dr",
            as_of=NOW,
            peak_load_kw=tag,
            drop_kw=400.0,
            energy_usd_per_kwh=1.0,
            shortfall_usd_per_kwh=0.0,
            events=(Call(start="2026-06-16T14:00", hours=2),),
            forgo=True,
        )
        assert s.nominated_kw == 400.0
        settled = usd(s.settle(record(t, net), w), "events/energy")
        assert told(s, w, net)[0] == pytest.approx(settled)
        return settled / 2

    assert delivered(1000.0) == pytest.approx(300.0), "800 by the baseline is less than the tag"
    assert delivered(700.0) == pytest.approx(200.0), "700 by the tag is less than the baseline"
    with pytest.raises(InputError, match="knows no guaranteed drop"):
        elrp(drop_kw=10.0).terms(view(w))


def test_a_real_call_is_no_test_and_leaves_the_capacity_payment_whole() -> None:
    t = timeline(24 * 30)
    s = DemandResponse(
        product="pjm-capacity-dr",
        as_of=NOW,
        peak_load_kw=1000.0,
        firm_kw=500.0,
        energy_usd_per_kwh=0.1,
        shortfall_usd_per_kwh=2.3,
        events=(Call(start="2026-06-10T14:00", hours=1),),
    )
    out = list(s.settle(record(t, 1000.0), world(t, 1000.0)))
    assert usd(out, "capacity") == pytest.approx(500 * 329.17 / 1000 * 365 / 12 * 0.69)
    assert usd(out, "events/shortfall") == pytest.approx(-2.3 * 500)


def test_economic_response_pays_only_at_or_above_the_net_benefits_price() -> None:
    t = timeline(24 * 12)
    load = days([800.0] * 12)
    price = np.full(t.n, 0.03)
    k = t.index("2026-06-11T15:00")
    price[k : k + 3] = [0.20, 0.30, 0.05]
    net = load.copy()
    net[k : k + 3] -= 100.0
    w = world(t, load, lmp=(price, "USD/kWh"))
    s = DemandResponse(
        product="pjm-economic-dr", as_of=NOW, energy_usd_per_kwh="lmp", net_benefits_usd_per_kwh=0.06
    )
    assert usd(s.settle(record(t, net), w)) == pytest.approx(100 * 0.5)
    dearer = s.model_copy(update={"call_from_usd_per_kwh": 0.25})
    assert usd(dearer.settle(record(t, net), w)) == pytest.approx(100 * 0.3)


def test_a_firm_service_level_charges_only_what_stands_above_it() -> None:
    t = timeline(24 * 30, tz=PACIFIC)
    net = np.full(t.n, 400.0)
    k = t.index("2026-06-10T14:00")
    net[k : k + 2] = [150.0, 90.0]
    s = DemandResponse(
        product="bip-pge",
        as_of=NOW,
        firm_kw=100.0,
        nomination_kw=300.0,
        capacity_usd_per_kw_month=9.0,
        shortfall_usd_per_kwh=6.0,
        events=(Call(start="2026-06-10T14:00", hours=2),),
    )
    out = list(s.settle(record(t, net), world(t, net)))
    assert usd(out, "events") == pytest.approx(-6 * 50) and usd(out, "capacity") == pytest.approx(2700)


def test_pay_for_performance_is_the_mean_reduction_of_the_season() -> None:
    t = timeline(24 * 30)
    net = np.full(t.n, 500.0)
    calls = []
    for day, kw in ((16, 60.0), (18, 20.0), (23, -40.0)):
        k = t.index(f"2026-06-{day}T15:00")
        net[k : k + 2] -= kw
        calls.append(Call(start=f"2026-06-{day}T15:00", hours=2))
    flat = Baseline(name="10 of 10", weekday=Selection(take=10, of=10), source="by hand", verified=True)
    s = DemandResponse(
        product="connectedsolutions-daily", as_of=NOW, area="Eversource", events=tuple(calls), method=flat
    )
    (line,) = [e for e in s.settle(record(t, net), world(t, net)) if e.item == "capacity"]
    assert line.usd == pytest.approx(200 / 4 * (60 + 20 + 0) / 3, rel=1e-6), "June is a quarter of the season"


def test_performance_steps_jump_at_the_threshold() -> None:
    t = timeline(24 * 30, tz="America/Chicago")
    calls = (Call(start="2026-06-16T16:00", hours=2),)

    def paid(kw: float) -> float:
        net = np.full(t.n, 500.0)
        k = t.index("2026-06-16T16:00")
        net[k : k + 2] -= kw
        s = DemandResponse(
            product="ercot-ers-30",
            as_of=NOW,
            nomination_kw=100.0,
            capacity_usd_per_kw_month=3.0,
            events=calls,
        )
        return usd(s.settle(record(t, net), world(t, net)), "capacity")

    assert paid(94.0) == pytest.approx(300 * 0.94) and paid(95.0) == pytest.approx(300.0)


def test_calls_beyond_the_programmes_limits_do_not_count() -> None:
    t = timeline(24 * 30, tz=PACIFIC)
    rules = changed(product("cbp-sce", NOW), max_events_per_season=1)
    s = DemandResponse(
        product=rules,
        as_of=NOW,
        nomination_kw=100.0,
        capacity_usd_per_kw_month=8.0,
        energy_usd_per_kwh=0.1,
        events=(Call(start="2026-06-16T16:00", hours=2), Call(start="2026-06-17T16:00", hours=2)),
    )
    told = s._told(rules, t, None, None, None)
    assert counted_calls(t, told, rules, ["2026"]) == ["2026", None]
    hours = changed(product("cbp-sce", NOW), max_hours_per_y=3.0)
    assert counted_calls(t, told, hours, ["2026"]) == ["2026", None]


def test_seasons_over_new_year_have_one_name() -> None:
    winter = ResponseRule(measure="peak_load", season_months=(11, 12, 1, 2, 3, 4))
    assert [season_of(y, m, winter) for y, m in ((2025, 11), (2026, 1), (2026, 11))] == [
        "2025/26",
        "2025/26",
        "2026/27",
    ]
    whole = ResponseRule(measure="peak_load", season_from_month=6)
    assert [season_of(2026, m, whole) for m in (5, 6)] == ["2025/26", "2026/27"]


# --- plan and settlement -----------------------------------------------------------------------------


def told(s: Responding, w: Any, net: np.ndarray, past: Any = None, k: int = 0) -> tuple[float, bool]:
    """What the terms come to on a net load, by their own rule, and whether all call themselves exact."""
    terms = s.terms(view(w, k=k, past=past))
    assert all(isinstance(t, Payment) for t in terms)
    got = worth(Flows(w.timeline.part(k, w.timeline.n - k), net[k:]), terms).total_usd
    return -got, all(t.exact for t in terms)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 9999), adjust=st.booleans(), loss=st.floats(0.9, 1.1))
def test_what_the_plan_is_told_is_what_is_settled_on_any_net_load(
    seed: int, adjust: bool, loss: float
) -> None:
    """Days and an uncapped additive adjustment hang on the plan's own intervals, and the terms know all of it."""
    rng = np.random.default_rng(seed)
    t = timeline(24 * 8, start="2026-06-08T00:00", tz=PACIFIC)
    load = rng.uniform(300, 600, t.n)
    parts: dict[str, Any] = {"adjustment": {"form": "additive", "hours": 3, "gap_h": 1}} if adjust else {}
    method = Baseline(
        name="5 of 5", weekday=Selection(take=5, of=5), source="by hand", verified=True, **parts
    )
    rules = changed(
        product("cbp-sce", NOW),
        demand_response=ResponseRule(
            measure="baseline",
            baseline="caiso-10-of-10",
            energy="fixed",
            capacity="nomination",
            season_months=(6,),
            paid_upto_frac=1.2,
            shortfall=True,
        ),
    )
    s = DemandResponse(
        product=rules,
        as_of=NOW,
        method=method,
        nomination_kw=60.0,
        capacity_usd_per_kw_month=30.0,
        energy_usd_per_kwh=0.7,
        shortfall_usd_per_kwh=0.4,
        loss_frac=loss,
        events=(Call(start="2026-06-15T16:00", hours=4),),
        holidays=(),
        forgo=True,
    )
    w = world(t, load)
    net = load + rng.uniform(-120, 120, t.n)
    settled = usd(s.settle(record(t, net), w))
    stated, exact = told(s, w, net)
    assert exact
    assert stated - 0.4 * 60 * 4 == pytest.approx(settled, abs=1e-6), (
        "with nothing delivered 96 USD are charged"
    )
    convex, exact = told(s.model_copy(update={"forgo": False}), w, net)
    assert not exact and convex <= stated + 1e-9, "never better than what is settled"
    delivered = next(e for e in s.settle(record(t, net), w) if e.item == "events/energy").quantity
    assert delivered == 0 or convex == pytest.approx(stated)


def test_shaving_ordinary_days_lowers_what_the_plan_is_told() -> None:
    t = timeline(24 * 20, tz=PACIFIC)
    load = np.full(t.n, 500.0)
    w = world(t, load)
    k = t.index("2026-06-16T16:00")
    cut = load.copy()
    cut[k : k + 5] -= 100.0
    shaved = cut.copy()
    for day in range(8, 13):
        shaved[t.index(f"2026-06-{day:02d}T16:00") : t.index(f"2026-06-{day:02d}T16:00") + 5] -= 50.0
    assert told(elrp(), w, cut)[0] == pytest.approx(1000.0)
    assert told(elrp(), w, shaved)[0] == pytest.approx(2 * 5 * (500 - 25 - 400)), (
        "five of ten days 50 kW lower"
    )
    assert usd(elrp().settle(record(t, shaved), w)) == pytest.approx(750.0)
    assert not told(elrp(), w, cut)[1], "the ratio adjustment is held, which the term says"


def test_what_the_own_dispatch_does_to_the_baseline_is_found_with_its_dollars() -> None:
    t = timeline(24 * 20, tz=PACIFIC)
    load = np.full(t.n, 500.0)
    w = world(t, load)
    k = t.index("2026-06-16T16:00")
    net = load.copy()
    for day in range(8, 13):
        first = t.index(f"2026-06-{day:02d}T16:00")
        net[first : first + 5] -= 50.0
    (eroded,) = elrp().baseline_findings(record(t, net), w)
    assert eroded.kind == "baseline_eroded" and eroded.at_stake_usd == pytest.approx(2 * 5 * 25)
    charged = load.copy()
    charged[k - 4 : k - 1] += 400.0
    (inflated,) = elrp().baseline_findings(record(t, charged), w)
    assert inflated.kind == "baseline_inflated" and inflated.severity == "warning"
    assert inflated.at_stake_usd == pytest.approx(2 * 5 * 100), "the cap holds it to a fifth"
    (line,) = elrp().settle(record(t, charged), w)
    assert "adjusted x 1.800, held by its cap" in line.reason
    assert elrp().baseline_findings(record(t, load), w) == []


def test_a_running_call_and_days_already_metered_are_known() -> None:
    t = timeline(24 * 20, tz=PACIFIC)
    load = np.full(t.n, 500.0)
    w = world(t, load)
    k = t.index("2026-06-16T16:00")
    net = load.copy()
    net[k : k + 5] = [400, 420, 380, 400, 410]
    flat = Baseline(name="10 of 10", weekday=Selection(take=10, of=10), source="by hand", verified=True)
    s = elrp(method=flat)
    whole = usd(s.settle(record(t, net), w))
    for now in (k - 30, k, k + 2):
        assert told(s, w, net, record(t, net), now)[0] == pytest.approx(whole), "the whole window is priced"


def test_a_call_is_known_only_after_its_notice_unless_the_future_is() -> None:
    t = timeline(24 * 30)
    w = world(t, 500.0)
    s = DemandResponse(
        product="connectedsolutions-daily",
        as_of=NOW,
        area="Eversource",
        events=(Call(start="2026-06-26T15:00", hours=2),),
    )
    k = t.index("2026-06-26T15:00")

    class Believer:
        def series(self, name: str, *, first: int, n: int, as_of: int) -> Any:
            return w[name][first : first + n]

    past = record(t, 500.0)
    assert s.terms(view(w, k=k - 25, belief=Believer(), past=past)) == []
    assert len(s.terms(view(w, k=k - 24, belief=Believer(), past=past))) == 1
    assert len(s.terms(view(w, k=0))) == 1, "a bound knows the future"


def test_headroom_is_kept_in_the_window_outside_calls() -> None:
    t = timeline(24 * 20, tz=PACIFIC)
    s = elrp(nomination_kw=100.0, hold_frac=0.5, assets=("battery",), hold_h=3.0, may_share=("capacity",))
    claims = [c for c in s.terms(view(world(t, 500.0))) if isinstance(c, Claim)]
    (claim,) = claims
    assert claim.fixed_kw is not None and claim.sustain_h == 3.0 and claim.may_share == ("capacity",)
    k = t.index("2026-06-15T16:00")
    assert claim.fixed_kw[k] == 50.0 and claim.fixed_kw[k - 1] == 0.0
    assert claim.fixed_kw[t.index("2026-06-16T17:00")] == 0.0, "in the call it is being delivered"
    with pytest.raises(ValueError, match="name them in assets"):
        elrp(nomination_kw=100.0, hold_frac=0.5)


def test_a_series_of_calls_and_a_regression_on_temperature() -> None:
    t = timeline(24 * 40, start="2026-05-20T00:00", tz=PACIFIC)
    warm = 15 + 10 * np.sin(np.arange(t.n) / 24 / 3) + (t.hour - 12) / 6
    load = 200 + 10 * warm + 5 * t.hour
    flag = np.zeros(t.n)
    k = t.index("2026-06-25T16:00")
    flag[k : k + 3] = 1
    w = world(t, load, called=(flag, ""), temperature_c=(warm, "C"))
    net = load - 50 * flag
    fit = Baseline(name="fit", regression=Regression(days=10), source="by hand", verified=True)
    s = elrp(events="called", method=fit, temperature="temperature_c")
    assert usd(s.settle(record(t, net), w)) == pytest.approx(2 * 150, rel=1e-6), (
        "the fit is exact on a linear load"
    )
    assert told(s.model_copy(update={"forgo": True}), w, net) == (pytest.approx(300, rel=1e-6), True)
    with pytest.raises(InputError, match="needs a temperature series"):
        elrp(events="called", method=fit).bind(place(w, Able(), state="CA"))


def test_what_is_missing_is_asked_for_in_one_refusal() -> None:
    t = timeline(24 * 20, tz=PACIFIC)
    w = world(t, 500.0)
    with pytest.raises(InputError) as e:
        DemandResponse(product="cbp-sce", as_of=NOW).bind(place(w, Able()))
    text = str(e.value)
    for part in (
        "energy_usd_per_kwh: no source",
        "capacity_usd_per_kw_month: no price",
        "nomination_kw",
        "events: give the calls",
    ):
        assert part in text, text
    with pytest.raises(InputError, match="lies outside the hours in which"):
        elrp(events=(Call(start="2026-06-16T10:00", hours=2),)).bind(place(w, Able()))
    with pytest.raises(InputError, match="lasts 6 h, a call at most 5 h"):
        elrp(events=(Call(start="2026-06-16T16:00", hours=6),)).bind(place(w, Able()))
    with pytest.raises(InputError, match="peak_load_kw"):
        DemandResponse(product="pjm-capacity-dr", as_of=NOW, events=()).terms(view(w))
    with pytest.raises(InputError, match="net_benefits_usd_per_kwh: nothing is paid below"):
        DemandResponse(product="pjm-economic-dr", as_of=NOW, energy_usd_per_kwh=0.1).settle(
            record(t, 1.0), w
        ).__next__()  # type: ignore[attr-defined]


def test_cost_to_serve_is_charged_by_call_and_delivery() -> None:
    t = timeline(24 * 20, tz=PACIFIC)
    net = np.full(t.n, 500.0)
    k = t.index("2026-06-16T16:00")
    net[k : k + 5] = 380.0
    s = elrp(cost=Cost(usd_per_event=30, usd_per_mwh=10))
    out = list(s.settle(record(t, net), world(t, net)))
    assert usd(out, "cost to serve/events") == -30 and usd(out, "cost to serve/delivery") == pytest.approx(-6)


def test_steps_begin_at_zero_and_rise() -> None:
    with pytest.raises(ValueError, match="begin at at_frac = 0"):
        ResponseRule(measure="peak_load", steps=(Step(at_frac=0.5, pay_frac=1),))
    with pytest.raises(ValueError, match="belongs to measure"):
        ResponseRule(measure="peak_load", baseline="caiso-10-of-10")


@pytest.mark.parametrize("kind", ["bip", "scr", "pjm", "drop", "no call"])
def test_what_one_more_kw_earns_beside_its_terms_is_what_settlement_says(kind: str) -> None:
    """d settled / d kW = d terms / d kW + promised_usd_per_kw, at any delivery, where payment is a line in it."""
    t = timeline(24 * 30)
    net = np.full(t.n, 900.0)
    k = t.index("2026-06-16T14:00")
    net[k : k + 2] = [500.0, 650.0]
    w = world(t, net)
    call = Call(start="2026-06-16T14:00", hours=2, test=True)
    pjm = {"product": "pjm-capacity-dr", "peak_load_kw": 1000.0, "energy_usd_per_kwh": 0.1}
    options: dict[str, dict[str, object]] = {
        "bip": {
            "product": "bip-pge",
            "firm_kw": 600.0,
            "nomination_kw": 300.0,
            "capacity_usd_per_kw_month": 9.0,
            "shortfall_usd_per_kwh": 6.0,
        },
        "scr": {
            "product": "nyiso-scr",
            "coincident_load_kw": 900.0,
            "nomination_kw": 400.0,
            "capacity_usd_per_kw_month": 10.0,
            "energy_usd_per_kwh": 0.4,
        },
        "pjm": {**pjm, "firm_kw": 400.0, "loss_frac": 1.05, "shortfall_usd_per_kwh": 2.3},
        "drop": {**pjm, "drop_kw": 600.0, "shortfall_usd_per_kwh": 2.3},
        "no call": {**pjm, "firm_kw": 400.0, "shortfall_usd_per_kwh": 2.3, "test_frac": 0.9},
    }
    events = () if kind == "no call" else (call,)
    s = DemandResponse.model_validate({"as_of": NOW, "events": events, **options[kind]})
    assert s.nominated_kw is not None

    def apart(kw: float) -> float:
        other = s.enrolled_at(kw)
        assert other.nominated_kw == pytest.approx(kw)
        assert other.counted_from_kw == pytest.approx(s.counted_from_kw)
        return usd(other.settle(record(t, net), w)) - told(other, w, net)[0]

    kw = s.nominated_kw + 50.0
    slope = (apart(kw + 100.0) - apart(kw)) / 100.0
    assert slope == pytest.approx(s.promised_usd_per_kw(t, s.calls_of(w, t)), rel=1e-9)
