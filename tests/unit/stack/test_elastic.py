"""Requirements that cannot be met are named before solving; with prices a plan exists and says what it bends."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.errors import InfeasibleError
from valuestack.flows import Store
from valuestack.stack.clashes import clashes
from valuestack.stack.elastic import Prices
from valuestack.stack.optimise import optimise
from valuestack.terms import Block, Claim, Limit, Measure, Payment, Term
from valuestack.timeline import Timeline

N = 4
HORIZON = Timeline(start="2018-07-02T15:00", step_h=1.0, n=N, tz="America/Los_Angeles")
LOAD = np.array([60.0, 60.0, 60.0, 260.0])
ENERGY = Payment(
    "tariff", "energy", Measure("import"), "each", np.zeros(N, dtype=np.int64), (Block(inf, 0.2),)
)
RESERVE = Limit("resilience", "reserve", Measure("stored", asset="battery"), "each",
                lower=np.array([90.0, 120.0, 80.0, 80.0]), priority=0)  # fmt: skip
EVENT = Limit("programme", "event", Measure("net", reference_kw=np.full(N, 60.0)), "sum", lower=150.0,
              window=np.array([-1, 0, 0, -1]), priority=4)  # fmt: skip
AWARD = Claim("market", "regulation", "up", np.full(N, 0.02), ("battery",),
              fixed_kw=np.array([200.0, 0.0, 0.0, 0.0]), sustain_h=0.5)  # fmt: skip


def store(start_kwh: float = 20.0) -> Store:
    return Store("battery", np.full(N, 50.0), np.full(N, 50.0), np.zeros(N + 1), np.full(N + 1, 100.0), start_kwh,
                 0.95, 0.95)  # fmt: skip


def test_each_impossible_requirement_by_name_owner_and_time() -> None:
    found = clashes(HORIZON, LOAD, [store()], [ENERGY, RESERVE, EVENT, AWARD], import_limit_kw=100.0)
    by_name = {(c.name, c.first): c for c in found}
    above = by_name["resilience/reserve", 1]
    assert above.owners == ("resilience", "battery") and "120 kWh" in above.what and "16:00" in above.when
    assert "67.5 kWh by then" in by_name["resilience/reserve", 0].what  # 20 + 50 x 0.95 in one hour
    assert any(c.name == "market/regulation" and "200 kW" in c.what for c in found)
    assert "resilience" in by_name["programme/event", 1].owners  # the reserve is in its way
    assert by_name["interconnection/import", 3].what.startswith("the load leaves 210 kW")
    assert all(c.remedy and c.binding for c in found)


def test_a_programme_that_nobody_here_can_serve_is_told_but_binds_nothing() -> None:
    big = Claim("market", "capacity", "both", np.full(N, 0.02), ("battery",), min_kw=100.0)
    (clash,) = clashes(HORIZON, LOAD, [store()], [ENERGY, big])
    assert not clash.binding and "100 kW" in clash.what and "50 kW" in clash.what
    optimise(HORIZON, LOAD, [store()], [ENERGY, big])


def test_what_can_be_had_is_no_clash() -> None:
    fine: list[Term] = [
        ENERGY,
        replace(RESERVE, lower=40.0),
        replace(EVENT, lower=20.0),
        replace(AWARD, fixed_kw=np.full(N, 10.0)),
    ]
    assert clashes(HORIZON, LOAD, [store(90.0)], fine) == ()
    assert optimise(HORIZON, LOAD, [store(90.0)], fine, method="highs").relaxed == ()


def test_without_prices_the_refusal_says_which_requirement_and_when() -> None:
    with pytest.raises(InfeasibleError, match=r"90 kWh in battery.*first at 2018-07-02T15:00"):
        optimise(HORIZON, LOAD, [store()], [ENERGY, replace(RESERVE, lower=90.0)])


def test_with_prices_a_plan_exists_and_names_what_it_bends() -> None:
    terms: list[Term] = [ENERGY, RESERVE, EVENT, AWARD]
    made = optimise(HORIZON, LOAD, [store()], terms, import_limit_kw=100.0, relax=Prices())
    owners = {r.owner: r for r in made.relaxed}
    assert set(owners) == {"interconnection", "resilience", "market", "programme"}
    assert owners["programme"].first == 1 and owners["programme"].usd_per_unit == Prices().at(4)
    # 90 - 67.5 in the first hour and 120 - 100 in the second at least
    assert owners["resilience"].amount == pytest.approx(22.5 + 20.0)
    assert owners["market"].amount == pytest.approx(200.0 - made.awards_kw["market/regulation"][0])
    # what bending is priced at is no money: the objective is what the real terms come to
    energy = 0.2 * float(made.net_kw.sum())
    held = 0.02 * float(made.awards_kw["market/regulation"].sum())
    assert made.objective_usd == pytest.approx(energy - held)
    assert made.lower_bound_usd <= made.objective_usd + 1e-6
    assert any("relaxed: reserve of resilience" in s for s in made.why)


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 140), st.floats(0, 400), st.floats(20, 300), st.floats(0, 100))
def test_a_plan_always_exists_and_bends_only_where_it_must(
    reserve: float, event: float, import_kw: float, start: float
) -> None:
    terms: list[Term] = [ENERGY, replace(RESERVE, lower=reserve), replace(EVENT, lower=event)]
    made = optimise(HORIZON, LOAD, [store(start)], terms, import_limit_kw=import_kw, relax=Prices())
    try:
        firm = optimise(HORIZON, LOAD, [store(start)], terms, import_limit_kw=import_kw, method="highs")
    except InfeasibleError:
        assert made.relaxed
        return
    assert made.relaxed == ()
    assert made.objective_usd == pytest.approx(firm.objective_usd, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 140), st.floats(0, 400), st.floats(20, 300), st.floats(0, 100))
def test_a_binding_clash_is_never_told_of_a_problem_with_a_plan(
    reserve: float, event: float, import_kw: float, start: float
) -> None:
    terms: list[Term] = [ENERGY, replace(RESERVE, lower=reserve), replace(EVENT, lower=event)]
    if clashes(HORIZON, LOAD, [store(start)], terms, import_limit_kw=import_kw):
        with pytest.raises(InfeasibleError):
            optimise(HORIZON, LOAD, [store(start)], terms, import_limit_kw=import_kw, method="highs")
