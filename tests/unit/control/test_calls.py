"""Calls at the desk: shown in time, answered once, held as far as there is room, settled by the streams' own rule."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kinds.called_reduction import product
from tests.unit.control.test_loop import battery, world
from valuestack.control import loop
from valuestack.control.calls import Desk, calls_of
from valuestack.control.policy import Setting
from valuestack.dispatch import Call, Plan, View
from valuestack.errors import InputError
from valuestack.ledger import Ledger
from valuestack.site.contract import Contract, Contracted, Revenue
from valuestack.streams.grid.baseline import Baseline, Selection
from valuestack.streams.grid.demand_response import DemandResponse
from valuestack.streams.grid.enrolment import Call as Event
from valuestack.streams.grid.regulation import Leg, Regulation
from valuestack.timeline import Timeline

DAYS = Timeline(start="2026-11-10T00:00", step_h=0.25, n=96 * 4, tz="America/New_York")


def regulation(**more: Any) -> Regulation:
    given: dict[str, Any] = {
        "as_of": date(2026, 11, 10),
        "iso": "PJM",
        "assets": ("battery",),
        "score_frac": 0.9,
        "max_kw": 60.0,
        "aggregated": True,
        "up": Leg(capability_usd_per_kw_h=0.04),
        "down": Leg(capability_usd_per_kw_h=0.02),
    }
    return Regulation(**{**given, **more})


def response(**more: Any) -> DemandResponse:
    yesterday = Baseline(name="yesterday", weekday=Selection(take=1, of=1), source="by hand", verified=True)
    given: dict[str, Any] = {
        "product": product(),
        "as_of": date(2026, 11, 10),
        "method": yesterday,
        "events": (Event(start="2026-11-12T17:00", hours=2.0, notice_h=20.0),),
        "nomination_kw": 30.0,
        "capacity_usd_per_kw_month": 5.0,
        "shortfall_usd_per_kwh": 0.4,
    }
    return DemandResponse(**{**given, **more})


class Answering:
    """Takes what it is told to take, and keeps a diary of what it was shown."""

    kind: ClassVar[str] = "answering"
    answers: ClassVar[bool] = True

    def __init__(self, plan: Any) -> None:
        self.plan = plan

    def prepare(self, setting: Setting) -> None:
        self.seen: list[tuple[int, str]] = []

    def decide(self, view: View) -> Plan:
        self.seen += [(view.k, c.key) for c in view.calls]
        made: Plan = self.plan(view)
        return made


def takes_all(view: View) -> Plan:
    keys = tuple(c.key for c in view.calls)
    serving = [c for c in view.calls if not c.claim and c.first <= view.k < c.first + c.n]
    return Plan({"battery": -30.0 if serving else 0.0}, accepted=keys)


def run(policy: Any, streams: Sequence[Any], kw: float = 200.0, **more: Any) -> Any:
    load = np.full(DAYS.n, kw)
    return loop.run(world(DAYS, load), [battery()], policy, streams=streams, **more)


def test_a_call_is_shown_from_its_notice_to_its_end() -> None:
    policy = Answering(takes_all)
    run(policy, [response()])
    first, known = 2 * 96 + 17 * 4, 2 * 96 - 3 * 4
    assert [k for k, _ in policy.seen] == list(range(known, first + 8))


def test_awards_are_asked_at_the_gate_and_settled_as_held() -> None:
    stream, policy = regulation(), Answering(takes_all)
    record = run(policy, [stream])
    ups = [k for k, key in policy.seen if key == "regulation/up 2026-11-11"]
    assert ups[0] == 57, "14:15 of the day before"
    awarded, held = record.extra["regulation/up awarded"], record.extra["regulation/up"]
    assert not awarded[:96].any() and (awarded[96:] == 60.0).all(), "the first day's gate was closed"
    assert (held <= awarded + 1e-9).all() and held[96:].any()
    usd = Ledger.of(stream.settle(record, world(DAYS, np.full(DAYS.n, 200.0)))).total_usd
    down = record.extra["regulation/down"]
    assert usd == pytest.approx(0.25 * 0.9 * (0.04 * held.sum() + 0.02 * down.sum()))


def test_what_is_called_moves_the_store_as_the_plan_believes() -> None:
    stream = regulation(signal_up_frac=0.2, signal_down_frac=0.3)
    record = run(Answering(takes_all), [stream])
    up, down = 0.2 * record.extra["regulation/up"], 0.3 * record.extra["regulation/down"]
    ec = ed = 0.88**0.5
    stored = np.concatenate(([battery().start_kwh], record.stored_kwh["battery"]))
    np.testing.assert_allclose(np.diff(stored), 0.25 * (down * ec - up / ed), atol=1e-9)
    np.testing.assert_allclose(record.net_kw, 200.0 + down - up, atol=1e-9)


def test_what_no_energy_stands_behind_earns_nothing() -> None:
    empty = [battery(soc_start_frac=0.05)]
    stream = regulation(down=None, signal_up_frac=0.0)
    record = loop.run(world(DAYS, np.full(DAYS.n, 200.0)), empty, Answering(takes_all), streams=[stream])
    assert record.extra["regulation/up awarded"].any() and not record.extra["regulation/up"].any()
    reserve = np.full(DAYS.n + 1, battery().start_kwh)
    record = run(Answering(takes_all), [stream], reserve_kwh={"battery": reserve})
    assert not record.extra["regulation/up"].any(), "what the reserve keeps is not promised"


def test_a_contract_passes_calls_on() -> None:
    deal = Contract(name="deal", streams=("demand response",), revenue=Revenue(owner_frac=0.7))
    inside = run(Answering(takes_all), [Contracted(response(), deal)])
    assert inside.extra["demand response/accepted"].sum() == 8


def test_who_does_not_answer_refuses() -> None:
    for policy in (Answering(lambda view: Plan({})), Answering(lambda view: Plan({}, awards_kw={}))):
        record = run(policy, [response(), regulation()])
        assert not record.extra["demand response/accepted"].any()
        assert not record.extra["regulation/up awarded"].any()


def test_an_answer_is_final_and_late_ones_do_not_count() -> None:
    call = Call("s", "c", first=6, n=4, known=2, answer=4, kw=50.0, least_kw=10.0)
    timeline = Timeline(start="2026-11-10T00:00", step_h=0.25, n=12, tz="America/New_York")

    def answered(when: int, kw: Any) -> Any:
        desk = Desk([call], timeline)
        for k in range(12):
            desk.public(k)
            desk.take(k, Plan({}, awards_kw={"s/c": kw}) if k == when else Plan({}))
        return desk.answers["s/c"].tolist()

    assert (
        answered(4, 20.0) == [20.0] * 4 and answered(1, 20.0) == [0.0] * 4 and answered(5, 20.0) == [0.0] * 4
    )
    assert (
        answered(3, np.nan) == [0.0] * 4 and answered(3, 1e9) == [50.0] * 4 and answered(3, 5.0) == [0.0] * 4
    )
    assert answered(3, [20.0, -1.0, np.inf, 30.0]) == [20.0, 0.0, 50.0, 30.0]
    with pytest.raises(InputError, match="shape"):
        answered(3, [1.0, 2.0])


def test_awards_are_constant_over_their_blocks() -> None:
    call = Call(
        "s", "c", first=0, n=4, known=0, answer=0, kw=50.0, block=2, claim="s/up", assets=("battery",)
    )
    desk = Desk([call], DAYS)
    desk.public(0)
    desk.take(0, Plan({}, awards_kw={"s/c": np.array([20.0, 30.0, 40.0, 40.0])}))
    assert desk.answers["s/c"].tolist() == [20.0, 20.0, 40.0, 40.0]


def test_awards_that_no_store_holds_are_not_offered_and_said() -> None:
    notes: list[str] = []
    assert calls_of([regulation(assets=("engine",))], world(DAYS, np.zeros(DAYS.n)), ["battery"], notes) == []
    assert "engine" in notes[0]
    twice = [response(), response()]
    with pytest.raises(InputError, match="comes twice"):
        calls_of(twice, world(DAYS, np.full(DAYS.n, 9.0)), ["battery"], notes)


def test_several_lanes_are_refused() -> None:
    lanes = np.full((2, DAYS.n), 200.0)
    with pytest.raises(InputError, match="one lane"):
        loop.run(world(DAYS, lanes), [battery()], Answering(takes_all), streams=[regulation()])


@settings(max_examples=12, deadline=None)
@given(cut=st.integers(100, 96 * 3), kw=st.floats(50, 400), seed=st.integers(0, 99))
def test_the_future_is_not_shown(cut: int, kw: float, seed: int) -> None:
    """Calls that become public later, and loads that come later, change nothing that was shown or done before."""
    rng = np.random.default_rng(seed)
    load = rng.uniform(100, 300, DAYS.n)
    other = load.copy()
    other[cut:] = kw
    hour = cut + 90  # 20 h of notice: public after the cut
    event = (Event(start=DAYS.when(min(hour, DAYS.n - 8)).isoformat(), hours=1.0, notice_h=20.0),)
    seen = []
    for series, events in ((load, ()), (other, event)):
        policy = Answering(takes_all)
        record = loop.run(
            world(DAYS, series), [battery()], policy, streams=[response(events=events), regulation()]
        )
        shown = [x for x in policy.seen if x[0] < cut]
        seen.append((shown, record.asset_kw["battery"][:cut].tolist()))
    assert seen[0] == seen[1]
