"""Method C: what a counterparty may and may not do with a store, by hand and under any sequence of commands."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.control.test_calls import DAYS, regulation, response
from tests.unit.control.test_loop import battery, world
from valuestack.control import loop
from valuestack.control.aggregator_primary import AggregatorPrimary, TakenBack
from valuestack.control.policy import Setting
from valuestack.dispatch import Record
from valuestack.errors import InputError
from valuestack.site.contract import Contract, Dispatch, Override
from valuestack.site.rights import Rights

LOAD = 80 + 40 * np.sin(np.arange(DAYS.n) / 96 * 2 * np.pi)
STREAMS = ("regulation",)


def contract(**more: Any) -> Contract:
    return Contract.model_validate({"name": "full control", "streams": STREAMS, "asset": "battery", **more})


def run(policy: AggregatorPrimary, streams: Any = None, **more: Any) -> Record:
    return loop.run(
        world(DAYS, LOAD),
        [battery()],
        policy,
        streams=[regulation()] if streams is None else streams,
        **more,
    )


def held(record: Record) -> np.ndarray[Any, Any]:
    return np.asarray(record.extra["regulation/up"] + record.extra["regulation/down"])


def test_it_takes_every_award_and_the_owner_what_is_left() -> None:
    policy = AggregatorPrimary(contract(dispatch=Dispatch(from_h=6, to_h=18)))
    record = run(policy)
    hour, on = np.asarray(DAYS.hour), held(record) > 0
    assert not on[(hour < 6) | (hour >= 18)].any()
    later = np.asarray(DAYS.day) > DAYS.day[0]  # the gate of the first day closed before the run
    assert on[later & (hour >= 6) & (hour < 18)].mean() > 0.9
    assert record.extra["battery/called up"].sum() > 0
    assert not policy.rights.breaches(on, record.extra["battery/called up"] * DAYS.step_h)


def test_no_live_plant_is_given_away() -> None:
    setting = Setting(DAYS, [battery()], ())
    with pytest.raises(InputError, match="simulated twin only"):
        AggregatorPrimary(contract()).prepare(setting)


def test_other_streams_calls_are_refused() -> None:
    other = Contract(name="other", streams=("something else",), asset="battery")
    assert not held(run(AggregatorPrimary(other))).any()


def test_an_event_is_served_and_counts() -> None:
    c = contract(streams=("demand_response",), dispatch=Dispatch(max_events_per_y=1))
    policy = AggregatorPrimary(c)
    stream = response(name="demand_response")
    record = run(policy, [stream])
    called = np.asarray(record.extra["demand_response/accepted"]) > 0
    assert called.any() and (record.asset_kw["battery"][called] < -1.0).all()
    none = AggregatorPrimary(contract(streams=("demand_response",), dispatch=Dispatch(max_events_per_y=0)))
    assert not np.asarray(run(none, [stream]).extra["demand_response/accepted"]).any()


def test_notice_is_kept() -> None:
    """The gate closes 9.75 h before the day: twelve hours of notice leave nothing before 02:15."""
    record = run(AggregatorPrimary(contract(dispatch=Dispatch(notice_h=12.0))))
    hour = np.asarray(DAYS.hour) + np.asarray(DAYS.local_s % 3600) / 3600
    assert not held(record)[hour < 2.0].any() and held(record)[hour >= 3].any()


def test_opt_outs_are_as_many_as_granted() -> None:
    days = [date(2026, 11, 11), date(2026, 11, 12)]
    c = contract(dispatch=Dispatch(opt_outs_per_y=1, opt_out_usd=50.0))
    policy = AggregatorPrimary(c, opt_outs=days)
    on = held(run(policy)) > 0
    which = DAYS.local_date
    assert not on[which == np.datetime64("2026-11-11")].any()
    assert on[which == np.datetime64("2026-11-12")].any()
    assert policy.opted_days == days[:1]
    assert [e.usd for e in policy.entries()] == [-50.0]


def test_the_owner_takes_the_store_back_only_for_causes_that_are_written() -> None:
    storm = TakenBack("storm warning", DAYS.start + timedelta(hours=60), 12.0)
    c = contract(override=Override(causes=("storm warning",), notice_h=1.0, usd_per_event=25.0))
    policy = AggregatorPrimary(c, taken_back=[storm])
    record = run(policy)
    k = 4 * 61  # an hour of notice
    on = held(record) > 0
    assert on[4 * 60 : k].any()
    full = battery().window_kwh[1]
    stored = record.stored_kwh["battery"]
    reached = k + int(np.argmax(stored[k:] >= full - 1e-6))
    assert stored[reached] == pytest.approx(full)
    assert not record.extra["regulation/down"][reached + 1 : 4 * 72].any()
    assert stored[reached : 4 * 72].min() >= full - 1e-6
    assert [e.usd for e in policy.entries()] == [-25.0]
    deaf = AggregatorPrimary(contract(override=Override(causes=("safety",))), taken_back=[storm])
    assert (held(run(deaf)) > 0)[reached + 1 : 4 * 72].any()


def test_a_ceded_reserve_is_spent_and_a_kept_one_is_not() -> None:
    floor = np.full(DAYS.n + 1, 0.6 * battery().window_kwh[1])
    discharge = {"battery": np.full(DAYS.n, -1e9)}
    kept = run(AggregatorPrimary(contract(), setpoints_kw=discharge), reserve_kwh={"battery": floor})
    ceded = run(AggregatorPrimary(contract(), setpoints_kw=discharge))
    start = battery().start_kwh
    assert kept.stored_kwh["battery"].min() >= min(start, floor[0]) - 1e-6
    assert ceded.stored_kwh["battery"].min() < floor[0] - 1.0


anything = st.one_of(
    st.floats(-1e6, 1e6), st.sampled_from([float("nan"), float("inf"), float("-inf"), 0.0, 60.0, -60.0])
)
dispatches = st.builds(
    Dispatch,
    max_events_per_y=st.one_of(st.none(), st.integers(0, 4)),
    max_hours_per_event=st.one_of(st.none(), st.integers(1, 6).map(float)),
    max_hours_per_y=st.one_of(st.none(), st.integers(0, 30).map(float)),
    max_cycles_per_y=st.one_of(st.none(), st.floats(0, 3)),
    max_cycles_per_day=st.one_of(st.none(), st.floats(0, 1)),
    min_rest_h=st.integers(0, 8).map(float),
    soc_min_frac=st.sampled_from([0.0, 0.2, 0.4]),
    soc_max_frac=st.sampled_from([0.7, 0.9, 1.0]),
    notice_h=st.sampled_from([0.0, 6.0, 12.0]),
    from_h=st.integers(0, 23).map(float),
    to_h=st.integers(1, 24).map(float),
)


@given(
    dispatches,
    st.lists(anything, min_size=6, max_size=12),
    st.lists(anything, min_size=6, max_size=12),
    st.sampled_from([0.0, 0.3]),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 90), st.integers(1, 20)), max_size=2),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_command_sequence_breaks_the_contract_or_the_guard(
    dispatch: Dispatch,
    awards: list[float],
    powers: list[float],
    reserve: float,
    commanded: bool,
    back: list[tuple[int, int]],
) -> None:
    """Whatever is asked: rights, reserve, service and export hold, and what was held is what was granted."""
    n, b = DAYS.n, battery()
    wanted = np.resize(np.repeat(awards, 7), n)
    asked = {"regulation/up": wanted, "regulation/down": np.roll(wanted, 5)}
    setpoints = {"battery": np.resize(np.repeat(powers, 5), n)} if commanded else {}
    storms = [TakenBack("safety", DAYS.start + timedelta(hours=a), float(n_h)) for a, n_h in back]
    policy = AggregatorPrimary(
        contract(dispatch=dispatch), awards_kw=asked, setpoints_kw=setpoints, taken_back=storms
    )
    floor = np.full(n + 1, min(b.start_kwh, reserve * b.window_kwh[1]))
    record = run(policy, reserve_kwh={"battery": floor}, import_limit_kw=200.0, export_limit_kw=0.0)
    rights = Rights(dispatch, DAYS, policy.rights.cycle_kwh)
    called = np.asarray(record.extra.get("battery/called up", np.zeros(n))) * DAYS.step_h
    # What was held by itself, and all that was granted, awards that were not held in the end included.
    parts = rights.breaches(policy.meter.on, np.maximum(called, policy.meter.out_kwh))
    assert not parts
    on = held(record) > 1e-9
    assert not (on & ~policy.meter.on).any()
    assert (called <= policy.meter.out_kwh + 1e-6).all()
    stored = record.stored_kwh["battery"]
    assert stored.min() >= floor[0] - 1e-6 and stored.max() <= b.window_kwh[1] + 1e-6
    assert record.net_kw.min() >= -1e-6 and record.net_kw.max() <= 200.0 + 1e-6
    # A store above the window is not pushed further up, one below it is not drawn further down, while it is commanded.
    before = np.concatenate(([b.start_kwh], stored[:-1]))
    low, high = dispatch.soc_min_frac * b.left_kwh, dispatch.soc_max_frac * b.left_kwh
    may = policy.meter.on & ~policy._back
    assert (stored[may] >= np.minimum(low, before[may]) - 1e-6).all()
    roof = np.maximum(np.maximum(high, before[may]), floor[0])
    assert (stored[may] <= roof + 1e-6).all()
    # Once the owner has it back and full, it stays so.
    full = b.window_kwh[1]
    kept = policy._back & (before >= full - 1e-6)
    assert (stored[kept] >= full - 1e-6).all()
