"""Sizes as decisions: against brute force, against finite differences, and one way of solving against the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from math import inf

import numpy as np
import pytest

from valuestack.assets.battery import Battery
from valuestack.assets.generator import Generator
from valuestack.dispatch import Foresight, Series, View, World
from valuestack.errors import InfeasibleError, InputError
from valuestack.flows import Given, Offer
from valuestack.stack.optimise import optimise
from valuestack.stack.sizing import Axis, Joint, Sizes, joint, search
from valuestack.terms import Block, Claim, Limit, Measure, Payment, Term
from valuestack.timeline import Kw, Timeline

T = Timeline(start="2025-06-02T00:00", step_h=1.0, n=24 * 12, tz="America/New_York")
SUN: Kw = np.maximum(np.sin(2 * np.pi * (T.hour - 6) / 24), 0.0)


def load(seed: int = 0) -> Kw:
    rng = np.random.default_rng(seed)
    work = (T.weekday < 5) & (T.hour >= 8) & (T.hour < 18)
    return np.asarray(100 + 120 * work + rng.gamma(2.0, 12.0, T.n))


def tariff(demand_usd_per_kw: float = 9.0) -> list[Term]:
    month = T.month_id - T.month_id[0]
    dear = (T.hour >= 16) & (T.hour < 21)
    return [
        Payment(
            "u",
            "energy",
            Measure("import"),
            "each",
            np.arange(T.n),
            (Block(inf, np.where(dear, 0.31, 0.11)),),
        ),
        Payment("u", "demand", Measure("import"), "max", month, (Block(inf, demand_usd_per_kw),)),
    ]


def view(*assets: object) -> View:
    world = World(T, {"load_kw": Series("load_kw", load(), "kW")})
    return View(T, 0, T.n, Foresight(world), {a.name: a.initial_state() for a in assets})  # type: ignore[attr-defined]


def battery(size: Sizes) -> Battery:
    return Battery(
        power_kw=max(size["kw"], 1e-6),
        energy_kwh=max(size["kwh"], 1e-6),
        round_trip_efficiency_frac=0.88,
        soc_min_frac=0.1,
        replacement_usd_per_kwh=0.0,
    )


def store_only(size: Sizes) -> tuple[Sequence[Offer], Sequence[Term]]:
    b = battery(size)
    return [b.belief(view(b))], tariff()


def with_sun(size: Sizes) -> tuple[Sequence[Offer], Sequence[Term]]:
    b = battery(size)
    return [b.belief(view(b)), Given("sun", -size["pv"] * SUN, curtailable=True)], tariff()


def on_call(size: Sizes) -> tuple[Sequence[Offer], Sequence[Term]]:
    """A reserve, and a floor that does not depend on the size."""
    b = battery(size)
    claim = Claim(
        "iso", "up", "up", usd_per_kw_h=np.full(T.n, 0.012), eligible=("battery",), max_kw=60.0, sustain_h=1.0
    )
    floor = Limit("reserve", "kept", Measure("stored", asset="battery"), "each", lower=20.0)
    return [b.belief(view(b))], [*tariff(), claim, floor]


AXES = (Axis("kw", 120.0, 0.9), Axis("kwh", 400.0, 1.9))
SUNNY = (*AXES, Axis("pv", 300.0, 1.1))
CASES = {"store": (AXES, store_only), "sun": (SUNNY, with_sun), "on call": (AXES, on_call)}


def made(case: str, method: str) -> Joint:
    axes, model = CASES[case]
    found = joint(T, load(), axes, model, method=method)  # type: ignore[arg-type]
    assert isinstance(found, Joint), found
    return found


def cost_at(case: str, size: Sizes) -> float:
    """What the house's own optimiser says of a size, with the size's own cost."""
    axes, model = CASES[case]
    offers, terms = model(size)
    plan = optimise(T, load(), offers, terms, method="highs", gap=1e-7)
    return plan.objective_usd + sum(a.usd_per_unit * size[a.name] for a in axes)


@pytest.mark.parametrize("case", CASES)
def test_the_continuous_optimum_is_as_good_as_every_size_of_a_grid(case: str) -> None:
    axes, _ = CASES[case]
    best = made(case, "columns").best()
    assert best.lower_bound_usd <= best.cost_usd + 1e-6
    # It is what it says: the plan at that size costs as much.
    assert cost_at(case, best.size) == pytest.approx(best.cost_usd, rel=1e-6)
    grid = product(*(np.linspace(0.02, 1.0, 3) * a.upper for a in axes))
    for point in grid:
        at = dict(zip((a.name for a in axes), map(float, point)))
        try:
            usd = cost_at(case, at)
        except InfeasibleError:
            continue
        assert best.cost_usd <= usd + 1e-6 * abs(usd)


def test_brute_force_ends_at_the_same_size() -> None:
    best = made("store", "columns").best()
    assert 0 < best.size["kw"] < 120 and 0 < best.size["kwh"] < 400
    around = [
        {"kw": best.size["kw"] * f, "kwh": best.size["kwh"] * g}
        for f, g in product((0.97, 1.0, 1.03), repeat=2)
    ]
    costs = [cost_at("store", at) for at in around]
    assert int(np.argmin(costs)) == 4  # the middle of the nine


@pytest.mark.parametrize("case", CASES)
def test_two_ways_to_solve_one_problem_agree(case: str) -> None:
    whole, parts = made(case, "columns"), made(case, "cuts")
    one, two = whole.best(), parts.best()
    assert two.cost_usd == pytest.approx(one.cost_usd, rel=3e-6)
    assert two.lower_bound_usd <= one.cost_usd * (1 + 1e-9) + 1e-6
    assert two.proved
    axes, _ = CASES[case]
    price = {a.name: a.usd_per_unit for a in axes}
    budget = 0.4 * sum(price[k] * v for k, v in one.size.items())
    a, b = whole.best(spend=(price, budget)), parts.best(spend=(price, budget))
    assert sum(price[k] * v for k, v in a.size.items()) == pytest.approx(budget, rel=1e-6)
    assert b.cost_usd == pytest.approx(a.cost_usd, rel=3e-6)
    dear = {k: 1.5 * v for k, v in price.items()}
    assert parts.best(dear).cost_usd == pytest.approx(whole.best(dear).cost_usd, rel=3e-6)


@pytest.mark.parametrize("method", ["columns", "cuts"])
@pytest.mark.parametrize("case", CASES)
def test_the_value_of_the_next_unit_is_the_finite_difference(case: str, method: str) -> None:
    axes, _ = CASES[case]
    base = {a.name: 0.37 * a.upper for a in axes}
    worth = made(case, method).at(base).next_usd
    price = {a.name: a.usd_per_unit for a in axes}
    for a in axes:
        step = 1e-3 * base[a.name]
        up, down = ({**base, a.name: base[a.name] + sign * step} for sign in (1, -1))
        more, less, now = (
            cost_at(case, s) - sum(price[k] * v for k, v in s.items()) for s in (up, down, base)
        )
        right, left = (now - more) / step, (less - now) / step
        # At a kink every slope between the two sides is one.
        assert min(left, right) - 2e-3 <= worth[a.name] <= max(left, right) + 2e-3


def test_an_engine_is_refused_in_words_and_searched_instead() -> None:
    def model(size: Sizes) -> tuple[Sequence[Offer], Sequence[Term]]:
        g = Generator(rated_kw=max(size["kw"], 0.1), permit="non_emergency", min_load_frac=0.3)
        return [g.belief(view(g))], tariff(60.0)

    axes = [Axis("kw", 100.0, 2.0)]
    said = joint(T, load(), axes, model)
    assert said == "kw: coefficients of the problem move with the size"

    def cost(size: Sizes) -> float:
        return (size["kw"] - 31.0) ** 2

    found = search(axes, cost)
    assert found.size["kw"] == pytest.approx(31.0, abs=1.0)
    assert not found.proved and found.lower_bound_usd == -inf


def test_a_search_is_never_worse_than_what_it_looked_at_and_near_the_joint_optimum() -> None:
    best = made("store", "columns").best()
    found = search(AXES, lambda s: made("store", "columns").at(s).cost_usd, most=45)
    assert found.cost_usd == min(c for _, c in found.tried)
    assert best.cost_usd <= found.cost_usd * (1 + 1e-9)
    assert found.cost_usd <= best.cost_usd * (1 + 2e-3)


def test_sizes_that_cannot_be_had_and_ranges_that_are_none() -> None:
    with pytest.raises(InfeasibleError, match="no size"):
        search(AXES, lambda _: inf)
    with pytest.raises(InputError, match="finite range"):
        Axis("kw", inf, 1.0)
    with pytest.raises(InputError, match="spend"):
        made("store", "columns").best(spend=({"kw": 1.0, "kwh": 1.0}, 1e9))


def test_what_depends_on_a_size_in_another_way_is_named() -> None:
    def squared(size: Sizes) -> tuple[Sequence[Offer], Sequence[Term]]:
        (store,), terms = store_only(size)
        return [replace(store, energy_start_kwh=0.002 * size["kwh"] ** 2)], terms  # type: ignore[type-var]

    said = joint(T, load(), AXES, squared)
    assert said == "battery.energy_start_kwh is not affine in the size"
