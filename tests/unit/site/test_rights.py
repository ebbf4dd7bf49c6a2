"""Dispatch rights: the best hours against enumeration, and a meter that no command sequence can get past."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.site.contract import Dispatch
from valuestack.site.rights import Rights
from valuestack.timeline import Timeline

DAYS = Timeline(start="2019-03-08", step_h=1.0, n=96, tz="America/New_York")  # over the change of the clock


def runs_of(on: tuple[int, ...]) -> list[int]:
    text = "".join(map(str, on))
    return [len(r) for r in text.split("0") if r]


@given(
    st.lists(st.integers(1, 9), min_size=9, max_size=9),
    st.one_of(st.none(), st.integers(0, 3)),
    st.one_of(st.none(), st.integers(1, 4)),
    st.integers(0, 3),
    st.one_of(st.none(), st.integers(0, 7)),
)
@settings(max_examples=60, deadline=None)
def test_the_best_hours_are_those_of_enumeration(
    value: list[int], events: int | None, hours: int | None, rest: int, cap: int | None
) -> None:
    """Exact without a cap of hours; with one never better than the best, and within the clauses."""
    t = Timeline(start="2019-01-01", step_h=1.0, n=9, tz="UTC")
    d = Dispatch(
        max_events_per_y=events, max_hours_per_event=hours, min_rest_h=float(rest), max_hours_per_y=cap
    )
    rights, best = Rights(d, t), 0.0
    for on in product((0, 1), repeat=9):
        if not rights.breaches(np.array(on, dtype=bool), np.zeros(9)):
            best = max(best, float(np.dot(on, value)))
    got = rights.best(np.array(value, dtype=float), kw=1.0)
    assert not rights.breaches(got, np.zeros(9))
    mine = float(np.dot(got, value))
    assert mine <= best + 1e-9
    if cap is None or (events is None and hours is None and rest == 0):
        assert mine == pytest.approx(best)


def test_hours_of_the_day_run_over_midnight() -> None:
    mask = Rights(Dispatch(from_h=22, to_h=6), DAYS).open
    hour = DAYS.hour
    assert (mask == ((hour >= 22) | (hour < 6))).all()
    assert not Rights(Dispatch(from_h=9, to_h=17), DAYS).open[hour == 17].any()


dispatches = st.builds(
    Dispatch,
    max_events_per_y=st.one_of(st.none(), st.integers(0, 6)),
    max_hours_per_event=st.one_of(st.none(), st.integers(1, 5).map(float)),
    max_hours_per_y=st.one_of(st.none(), st.integers(0, 40).map(float)),
    max_cycles_per_y=st.one_of(st.none(), st.floats(0, 5)),
    max_cycles_per_day=st.one_of(st.none(), st.floats(0, 2)),
    min_rest_h=st.integers(0, 12).map(float),
    from_h=st.integers(0, 23).map(float),
    to_h=st.integers(1, 24).map(float),
)


@given(dispatches, st.lists(st.integers(0, 95), max_size=120))
@settings(max_examples=120, deadline=None)
def test_a_meter_refuses_only_what_would_break_a_clause(dispatch: Dispatch, commands: list[int]) -> None:
    """Each grant against the clauses read off the whole sequence, with and without the interval."""
    rights = Rights(dispatch, DAYS)
    meter, on = rights.meter(), np.zeros(96, dtype=bool)
    for k in commands:
        if on[k]:
            continue
        wanted = on.copy()
        wanted[k] = True
        fits = not rights.breaches(wanted, np.zeros(96))
        granted = meter.grant(k, 0.0) is not None
        assert granted <= fits
        if dispatch.min_rest_h == 0 and dispatch.max_hours_per_event is None:
            assert granted == fits
        on[k] = granted
    assert np.array_equal(meter.on, on)


@given(dispatches, st.lists(st.tuples(st.integers(0, 95), st.floats(0, 300)), max_size=150))
@settings(max_examples=120, deadline=None)
def test_no_sequence_of_commands_breaks_a_clause(
    dispatch: Dispatch, commands: list[tuple[int, float]]
) -> None:
    rights = Rights(dispatch, DAYS, cycle_kwh=100.0)
    meter = rights.meter()
    for k, kwh in commands:
        meter.grant(k, kwh)
        assert not rights.breaches(meter.on, meter.out_kwh)


def test_a_meter_without_limits_grants_all() -> None:
    rights = Rights(Dispatch(), DAYS, cycle_kwh=100.0)
    meter = rights.meter()
    assert all(meter.grant(k, 50.0) == 50.0 for k in range(96))
    assert meter.on.all() and not meter.refused


def test_cycles_of_a_day_take_its_best_hours() -> None:
    """One cycle of 100 kWh a day at 100 kW and a mean call of a quarter: four hours, the dearest."""
    rights = Rights(Dispatch(max_cycles_per_day=1.0), DAYS, cycle_kwh=100.0)
    value = np.asarray(DAYS.hour, dtype=float) + 1
    got = rights.best(value, kw=100.0, out_frac=0.25)
    whole = np.asarray(DAYS.day) < DAYS.day[-1]  # the span ends an hour into its last day
    assert (np.bincount((np.asarray(DAYS.day) - DAYS.day[0])[got & whole]) == 4).all()
    assert set(np.asarray(DAYS.hour)[got & whole]) == {20, 21, 22, 23}
