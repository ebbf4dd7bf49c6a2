"""Permit hours as limits: used, run, tests set aside, and over already."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kinds.case import Case, FlatRate, metered
from tests.kinds.case import world as small
from tests.unit.streams.resilience.places import engine, place, record
from valuestack.assets.generator import TestRun
from valuestack.dispatch import Foresight, View
from valuestack.stack.optimise import optimise_view
from valuestack.streams.resilience.permit import Permit
from valuestack.streams.stream import Place, ValueStream


def view_of(where: Place, permit: Permit, state: object = None, k: int = 0) -> View:
    return View(
        where.timeline, k, where.timeline.n - k, Foresight(where.world),
        {a.name: a.initial_state() for a in where.assets}, {permit.name: state},
    )  # fmt: skip


def test_each_calendar_year_has_its_own_hours() -> None:
    made = engine(permit="non_emergency", permit_h_per_y=50.0, used_h=48.5)
    where = place([50.0] * 4, [made], start="2021-12-31T22:00")
    permit = Permit().bind(where)
    assert isinstance(permit, ValueStream)
    (limit,) = permit.terms(view_of(where, permit))
    assert limit.window.tolist() == [0, 0, 1, 1]
    assert limit.so_far.tolist() == [48.5, 0.0] and limit.upper.tolist() == [50.0, 50.0]
    ran = record(where, output_kw=np.array([80.0, 0.0, 0.0, 0.0]))
    state = permit.observe(permit.initial_state(), ran, 0)
    assert permit.observe(state, ran, 1) == state == {("generator", 2021): 1.0}
    (limit,) = permit.terms(view_of(where, permit, state, 1))
    assert limit.so_far.tolist() == [49.5, 0.0]


def test_tests_are_set_aside_and_what_is_over_stops_it() -> None:
    test = TestRun(weekday="tue", nth=1, hour=9, hours=1.0)
    made = engine(permit="non_emergency", permit_h_per_y=20.0, used_h=30.0, test_run=test)
    where = place([50.0] * 48, [made], start="2021-03-02T00:00")
    permit = Permit().bind(where)
    (limit,) = permit.terms(view_of(where, permit))
    assert limit.upper == pytest.approx([30.0]) and limit.so_far == pytest.approx([30.0])
    fresh = engine(permit="non_emergency", permit_h_per_y=20.0, test_run=test)
    (limit,) = (
        Permit().bind(place([50.0] * 48, [fresh], start="2021-03-02T00:00")).terms(view_of(where, permit))
    )
    assert limit.upper == pytest.approx([19.0])


def test_no_limit_no_term_and_it_costs_nothing() -> None:
    where = place([50.0] * 4, [engine(), engine(name="other", permit="non_emergency")])
    permit = Permit().bind(where)
    assert not permit.terms(view_of(where, permit)) and not list(permit.settle(record(where), where.world))


def test_a_plan_keeps_to_the_permit_at_any_price() -> None:
    made = engine(permit="non_emergency", permit_h_per_y=100.0, used_h=98.0, fuel_usd_per_gal=1.0)
    w = small([80, 90, 85, 70])
    permit = Permit().bind(Place(w.timeline, [made], w))
    case = Case(w, [permit, FlatRate(usd_per_kwh=(9.0, 9.0, 9.0, 9.0))], [made])
    plan = optimise_view(case.view(), case.assets, case.streams, method="highs", gap=1e-9)
    assert made.run_hours(metered(plan), w)[(2018, "peak_shaving")] == 2.0
