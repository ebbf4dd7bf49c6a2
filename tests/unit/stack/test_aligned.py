"""A credit on a peak adds to the charge on that peak: one linear problem instead of a choice for every interval."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from valuestack.assets.battery import Battery
from valuestack.dispatch import Foresight, Series, View, World
from valuestack.flows import Offer
from valuestack.stack.compile import compile_problem
from valuestack.stack.optimise import optimise
from valuestack.stack.payments import aligned
from valuestack.terms import Block, Measure, Payment, Term
from valuestack.timeline import Timeline

T = Timeline(start="2025-07-01T00:00", step_h=1.0, n=24 * 6, tz="America/Los_Angeles")
LOAD = 80 + 60 * (T.hour > 11) * (T.hour < 18) + np.random.default_rng(1).gamma(2.0, 9.0, T.n)
HIGH = (T.hour >= 12) & (T.hour < 18)
BY_PERIOD = Payment(
    "u", "by period", Measure("import"), "max", np.where(HIGH, 1, 0), (Block(inf, np.array([4.0, 21.0])),)
)
CREDIT = Payment("u", "credit", Measure("import"), "max", np.where(HIGH, 0, -1), (Block(inf, -11.9),))
ENERGY = Payment("u", "energy", Measure("import"), "each", np.arange(T.n), (Block(inf, 0.1),))
EVENT = replace(ENERGY, name="event", window=np.where(T.hour == 16, 0, -1), blocks=(Block(inf, 1.37),))


def offers() -> list[Offer]:
    b = Battery(power_kw=40, energy_kwh=120, round_trip_efficiency_frac=0.9)
    view = View(
        T,
        0,
        T.n,
        Foresight(World(T, {"load_kw": Series("load_kw", LOAD, "kW")})),
        {"battery": b.initial_state()},
    )
    return [b.belief(view)]


def test_the_sum_needs_no_switches_and_the_optimum_is_that_with_them() -> None:
    terms: list[Term] = [BY_PERIOD, CREDIT, ENERGY, EVENT]
    together = compile_problem(T, LOAD, offers(), terms)
    assert not together.problem.has_integers
    # A credit that knows what was measured before is judged by itself: the same optimum, by choices.
    apart: list[Term] = [BY_PERIOD, replace(CREDIT, so_far=np.zeros(1)), ENERGY, EVENT]
    assert compile_problem(T, LOAD, offers(), apart).problem.has_integers
    one = optimise(T, LOAD, offers(), terms, method="highs", gap=1e-9)
    two = optimise(T, LOAD, offers(), apart, method="highs", gap=1e-9)
    assert one.objective_usd == pytest.approx(two.objective_usd, rel=1e-8)
    assert one.objective_usd == pytest.approx(one.lower_bound_usd, rel=1e-8)


def test_only_windows_that_are_the_same_are_laid_together() -> None:
    moved = aligned([BY_PERIOD, CREDIT])[1]
    assert np.array_equal(moved.window, BY_PERIOD.window)
    np.testing.assert_array_equal(moved.blocks[0].usd_per_unit, [0.0, -11.9])
    short = replace(CREDIT, window=np.where(HIGH & (T.hour > 13), 0, -1))
    assert aligned([BY_PERIOD, short])[1] is short
    other = replace(CREDIT, measure=Measure("net"))
    assert aligned([BY_PERIOD, other])[1] is other
