"""An action's cost is what solving afresh with that setpoint says; what held and priced an interval is named."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from valuestack.errors import InfeasibleError, InputError
from valuestack.flows import Offer, Store, Unit
from valuestack.stack.explain import Explainer
from valuestack.stack.optimise import optimise
from valuestack.terms import Block, Claim, Limit, Measure, Payment, Term
from valuestack.timeline import Timeline

N = 96


def _case(seed: int, *, market: bool = False) -> tuple[Timeline, np.ndarray, Store, list[Term]]:
    rng = np.random.default_rng(seed)
    horizon = Timeline(start="2018-07-02T00:00", step_h=0.25, n=N, tz="America/Los_Angeles")
    hour = np.arange(N) / 4
    load = 120 + 60 * np.sin((hour - 9) / 24 * 2 * np.pi) + rng.uniform(0, 30, N)
    price = np.where((hour >= 16) & (hour < 21), 0.35, 0.14) + rng.uniform(0, 0.02, N)
    store = Store(
        "battery",
        np.full(N, 50.0),
        np.full(N, 50.0),
        np.full(N + 1, 10.0),
        np.full(N + 1, 200.0),
        100.0,
        0.95,
        0.95,
        energy_end_min_kwh=100.0,
        wear_usd_per_kwh=0.02,
    )
    one = np.zeros(N, dtype=np.int64)
    terms: list[Term] = [
        Payment("utility", "energy", Measure("import"), "each", one, (Block(inf, price),)),
        Payment("utility", "demand", Measure("import"), "max", one, (Block(inf, 3.0),)),
        Limit("resilience", "reserve", Measure("stored", asset="battery"), "each", lower=40.0, priority=0),
    ]
    if market:
        prices = rng.uniform(0.0, 0.03, N)
        terms.append(Claim("market", "regulation", "both", prices, ("battery",), block_h=1.0, sustain_h=0.5))
    return horizon, load, store, terms


@pytest.mark.parametrize("market", [False, True])
def test_an_asked_setpoint_costs_what_a_fresh_plan_says(market: bool) -> None:
    horizon, load, store, terms = _case(1, market=market)
    explainer = Explainer(horizon, load, [store], terms)
    base = optimise(horizon, load, [store], terms, method="highs").objective_usd
    rng = np.random.default_rng(2)
    possible = 0
    for k in rng.integers(0, N, 50).tolist():  # twice 50: a hundred random intervals
        kw = float(rng.uniform(-50, 50))
        window = np.full(N, -1)
        window[k] = 0
        fixed = Limit("asked", "setpoint", Measure("net", asset="battery"), "each", kw, kw, window=window)
        action = explainer.asked(k, "battery", kw)
        try:
            again = optimise(horizon, load, [store], [*terms, fixed], method="highs").objective_usd
        except InfeasibleError:
            assert action.cost_usd == inf
            continue
        possible += 1
        assert action.cost_usd == pytest.approx(again - base, abs=0.01)
    assert possible > 40


def test_a_setpoint_is_asked_by_a_fresh_plan_too_where_calls_move_with_it() -> None:
    """Mean calls of an award that is a decision too: from the last basis and by a fresh plan, the same to the cent."""
    horizon, load, store, terms = _case(1, market=True)
    called = [
        replace(t, throughput_up_frac=0.2, throughput_down_frac=0.1) if isinstance(t, Claim) else t
        for t in terms
    ]
    explainer = Explainer(horizon, load, [store], called)
    assert (
        not (explainer._compiled.parts["battery"].net - explainer._compiled.parts["battery"].setpoint)
        .merged()
        .fixed
    )
    rng = np.random.default_rng(3)
    seen = 0
    for k in rng.choice(N, 12, replace=False).tolist():
        kw = float(rng.uniform(-50, 50))
        cost = explainer.asked(k, "battery", kw).cost_usd
        assert explainer._by_limit(k, "battery", kw) == pytest.approx(cost, abs=0.01)
        seen += 0.01 < cost < inf
    assert seen > 5


@pytest.mark.parametrize("case", ["tariff", "market", "engine"])
def test_the_next_best_action_costs_what_a_fresh_plan_with_it_does(case: str) -> None:
    """A hundred random intervals over three plans, one with switches: next best = re-solve, to the cent."""
    horizon, load, store, terms = _case(7, market=case == "market")
    offers: list[Offer] = [store]
    if case == "engine":
        offers.append(
            Unit("engine", np.full(N, 10.0), np.full(N, 40.0), start_usd=4.0, usd_per_h=1.0,
                 fuel_pieces=((40.0, 0.07),), fuel_usd_per_gal=2.5, available=((np.arange(N) // 8) == 9) * 1.0)
        )  # fmt: skip
    explainer = Explainer(horizon, load, offers, terms)
    base = optimise(horizon, load, offers, terms, method="highs", gap=1e-9).objective_usd
    rng = np.random.default_rng(9)
    seen = 0
    for k in rng.choice(N, 6 if case == "engine" else 47, replace=False).tolist():
        found = explainer.at(k, "battery").next_best
        assert found is not None
        window = np.full(N, -1)
        window[k] = 0
        kw = found.setpoint_kw
        asked = Limit("asked", "setpoint", Measure("net", asset="battery"), "each", kw, kw, window=window)
        again = optimise(horizon, load, offers, [*terms, asked], method="highs", gap=1e-9).objective_usd
        assert found.cost_usd == pytest.approx(again - base, abs=0.01)
        seen += 1
    assert seen == (6 if case == "engine" else 47)


def test_an_interval_tells_who_held_and_who_priced_it() -> None:
    horizon, load, store, terms = _case(3, market=True)
    explainer = Explainer(horizon, load, [store], terms)
    net = explainer.schedule.net_kw
    peak = explainer.at(int(net.argmax()))
    demand = next(p for p in peak.priced if p.term == "demand")
    assert demand.more_usd == pytest.approx(3.0)
    assert next(p for p in peak.priced if p.term == "energy").more_usd > 0
    assert any(h.owner == "utility" for h in peak.held)
    assert peak.next_best is not None and peak.next_best.cost_usd >= 0
    assert any("Priced by" in s for s in peak.sentences) and peak.when in peak.sentences[0]
    low = int(np.argmin(explainer.schedule.stored_kwh["battery"]))
    assert any(h.owner in ("resilience", "battery", "market") for h in explainer.at(low).held)


def test_a_fixed_switch_is_asked_by_solving_afresh() -> None:
    horizon, load, store, terms = _case(5)
    terms.append(
        Payment(
            "odd",
            "credit",
            Measure("import"),
            "max",
            np.zeros(N, dtype=int),
            (Block(150.0, 1.0), Block(inf, -0.5)),
        )
    )
    explainer = Explainer(horizon, load, [store], terms)
    now = float(explainer.schedule.setpoints_kw["battery"][10])
    assert explainer.asked(10, "battery", now).cost_usd == pytest.approx(0.0, abs=0.01)


def test_what_is_not_there_is_refused_by_name() -> None:
    horizon, load, store, terms = _case(1)
    with pytest.raises(InputError, match="generator"):
        Explainer(horizon, load, [store], terms).at(N, "generator")
