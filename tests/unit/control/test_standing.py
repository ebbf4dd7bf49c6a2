"""Headroom kept ready: there in every interval in which it can be, before awards, and used up by its own event."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.control.test_calls import regulation, response
from tests.unit.control.test_loop import battery, load, tariff, world
from valuestack.control import loop
from valuestack.control.dynamic import Dynamic
from valuestack.control.obliged_kernel import duty_of
from valuestack.control.promises import Promises, belief_of
from valuestack.control.standing import Standing
from valuestack.control.utility_first import UtilityFirst
from valuestack.dispatch import Call, Record
from valuestack.flows import Store
from valuestack.streams.grid.enrolment import Call as Event
from valuestack.timeline import Timeline

T = Timeline(start="2026-11-09T00:00", step_h=0.25, n=96 * 5, tz="America/New_York")
AT, UNTIL = 96 * 3 + 74, 96 * 3 + 78  # half past six on Thursday, an hour, and nobody said so before
FEW: dict[str, Any] = {"weighed": 2, "least_days": 0, "scenarios": 3, "group_h": 6.0}
METHODS = {"A": lambda: UtilityFirst(**FEW), "B": lambda: Dynamic(layers=FEW)}


def programme(hold_frac: float = 1.0, **more: Any) -> Any:
    events = (Event(start="2026-11-12T18:30", hours=1.0, notice_h=0.0),)
    given = {
        "events": events,
        "assets": ("battery",),
        "nomination_kw": 50.0,
        "hold_frac": hold_frac,
        "hold_h": 1.0,
    }
    return response(**{**given, **more})


def run(method: str, streams: list[Any], notes: list[str] | None = None, **more: Any) -> Record:
    w = world(T, load(T, 3))
    asset = more.pop("asset", None) or battery()
    return loop.run(
        w,
        [asset],
        METHODS[method](),
        tariff(T),
        streams=streams,
        belief=belief_of(w, streams),
        notes=notes,
        **more,
    )


def missing_kwh(stream: Any, record: Record) -> float:
    entries = stream.settle(record, world(T, load(T, 3)))
    return sum(e.quantity for e in entries if "shortfall" in e.item)


@pytest.mark.parametrize("method", ["A", "B"])
def test_the_room_is_there_whenever_it_can_be_and_the_call_that_comes_unheard_is_met(method: str) -> None:
    streams = [programme(), regulation(signal_up_frac=0.1, signal_down_frac=0.15, sustain_h=0.25)]
    record = run(method, streams)
    asked, ready = record.extra["demand response/ready asked"], record.extra["demand response/ready"]
    assert (asked[:AT] == 50.0).all() and (asked[AT:UNTIL] == 0.0).all() and (asked[UNTIL:] == 50.0).all()
    short = np.flatnonzero(ready < asked - 1e-3)
    assert set(short) <= set(range(UNTIL, UNTIL + 3)), "but while it is built up again after its event"
    up, power = record.extra["regulation/up"], record.asset_kw["battery"]
    mean = 0.1 * up - 0.15 * record.extra["regulation/down"]
    assert (up + ready <= 80.0 + power + mean + 1e-6).all(), "no kW is held for both"
    stored, ed = (
        np.concatenate(([battery().start_kwh], record.stored_kwh["battery"])),
        battery().efficiencies[1],
    )
    calm = np.setdiff1d(np.arange(T.n), range(AT - 1, UNTIL + 3))
    assert (stored[calm] - battery().window_kwh[0] >= 50.0 / ed - 1e-3).all(), (
        "an hour of it stands behind it"
    )
    assert missing_kwh(streams[0], record) == 0.0


@pytest.mark.parametrize("method", ["A", "B"])
def test_without_it_the_same_call_is_missed(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What held before it was kept: the same stream, of which no claim was laid."""
    monkeypatch.setattr(Standing, "lay", lambda self, view, promises: None)
    streams = [programme(), regulation(signal_up_frac=0.1, signal_down_frac=0.15, sustain_h=0.25)]
    assert missing_kwh(streams[0], run(method, streams)) > 1.0


@pytest.mark.parametrize("method", ["A", "B"])
def test_below_it_the_store_is_filled_at_full_power(method: str) -> None:
    record = run(method, [programme(events=())], asset=battery(soc_start_frac=0.1))
    stored = np.concatenate(([16.0], record.stored_kwh["battery"]))
    assert (record.asset_kw["battery"][:2] >= 80.0 - 1e-3).all()
    ready, asked = record.extra["demand response/ready"], record.extra["demand response/ready asked"]
    filled = int(np.argmax(stored - 8.0 >= 50.0 / battery().efficiencies[1] - 1e-3))
    assert filled == 3 and (ready[filled:] >= asked[filled:] - 1e-3).all()


def test_what_cannot_be_kept_is_said() -> None:
    notes: list[str] = []
    record = run("A", [programme(hold_h=4.0, events=())], notes)
    can = (160.0 - 8.0) * battery().efficiencies[1] / 4.0
    assert any(f"50 kW are to be kept ready, and battery can stand behind {can:,.0f} kW" in n for n in notes)
    np.testing.assert_allclose(record.extra["demand response/ready"][20:], can, atol=1e-3)
    notes.clear()
    record = run("A", [programme(assets=("engine",), events=())], notes)
    assert any(
        "headroom of engine is to be kept ready; this method keeps that of battery" in n for n in notes
    )
    assert "demand response/ready" not in record.extra


def test_the_reserve_stands_below_it() -> None:
    low, high = battery().window_kwh
    floor = np.full(T.n + 1, low + 40.0)
    record = run("A", [programme(events=())], reserve_kwh={"battery": floor})
    stored = record.stored_kwh["battery"]
    assert (stored[8:] >= low + 40.0 + 50.0 / battery().efficiencies[1] - 1e-3).all()
    ready, asked = record.extra["demand response/ready"], record.extra["demand response/ready asked"]
    assert (ready[8:] >= asked[8:] - 1e-3).all() and high > low


def store(n: int) -> Store:
    kw = np.full(n, 80.0)
    return Store("battery", kw, kw, np.zeros(n + 1), np.full(n + 1, 160.0), 80.0)


def test_an_award_taken_off_leaves_the_reserve_as_it_was() -> None:
    n = 8
    floor = np.linspace(10.0, 20.0, n + 1)
    p = Promises(duty_of(n), store(n), 0.25, floor)
    c = Call("s", "c", 2, 3, 0, 0, claim="s/up", assets=("battery",), sustain_h=1.0)
    p.award(c, 2, np.full(3, 5.0))
    assert p.duty.need[2] == pytest.approx(floor[2] + 5.0 / p.ed) and p.duty.need[1] == floor[1]
    p.award(c, 2, np.full(3, -5.0))
    np.testing.assert_array_equal(p.duty.need, floor)


def test_its_event_uses_it_up_and_another_does_not() -> None:
    n = 12
    p = Promises(duty_of(n), store(n), 0.25)
    c = Call("programme", "ready", 0, n, 0, 0, claim="programme/ready", assets=("battery",), sustain_h=1.0)
    kept = np.full(n, 40.0)
    kept[4:6] = 0.0
    p.stand(c, 0, kept)
    full = 40.0 / p.ed
    np.testing.assert_allclose(p.duty.need[[0, 4, 6, 12]], full)
    assert p.duty.need[5] == 0.0
    p.event(slice(4, 6), np.zeros(2), 1.0, "another")
    assert p.duty.need[6] == pytest.approx(full)
    p.event(slice(4, 6), np.zeros(2), 1.0, "programme")
    brought = 80.0 * 0.25 * p.ec
    np.testing.assert_allclose(p.duty.need[6:9], [0.0, brought, min(full, 2 * brought)], atol=1e-5)
    p.clear(0, n)
    assert p.duty.need[6] == pytest.approx(full) and np.isinf(p.duty.most).all()


@pytest.mark.parametrize("method", ["A", "B"])
def test_two_markets_are_not_promised_more_than_the_store_can_give(method: str) -> None:
    streams = [
        regulation(down=None, sustain_h=0.25),
        regulation(name="second", down=None, sustain_h=0.25, max_kw=40.0),
    ]
    record = run(method, streams)
    awarded = record.extra["regulation/up awarded"] + record.extra["second/up awarded"]
    assert 40.0 < awarded.max() <= 80.0 + 1e-6
