"""Capacitor bank and inverter vars: both take kvar off the meter, in plan and twin; steps by rule and by choice."""

from __future__ import annotations

from itertools import product
from math import inf
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from valuestack.assets.battery import Battery
from valuestack.assets.capacitor_bank import CapacitorBank
from valuestack.control.do_nothing import DoNothing
from valuestack.control.loop import run
from valuestack.control.twin import Twin
from valuestack.dispatch import Foresight, Series, View, World
from valuestack.errors import DataError
from valuestack.stack.optimise import optimise
from valuestack.terms import Block, HoursUse, Measure, Payment
from valuestack.timeline import Timeline

KW, KVAR = np.array([90.0, 100.0, 60.0, 20.0]), np.array([85.0, 70.0, 30.0, 5.0])


def world_of(kvar: Any = KVAR) -> World:
    series = {"load_kw": Series("load_kw", KW, "kW")}
    if kvar is not None:
        series["load_kvar"] = Series("load_kvar", np.asarray(kvar, dtype=float), "kvar")
    return World(Timeline("2021-07-05", 1.0, 4, "UTC"), series)


def view_of(world: World, *assets: Any) -> View:
    return View(world.timeline, 0, 4, Foresight(world), {a.name: a.initial_state() for a in assets})


def excess(usd_per_kw: float = 9.0, usd_per_kvar: float = 0.4) -> list[Payment]:
    one = np.zeros(4, dtype=np.int64)
    return [
        Payment("pf", "energy", Measure("import"), "each", one, (Block(inf, 0.1),)),
        Payment("pf", "demand", Measure("import"), "max", one, (Block(inf, usd_per_kw),)),
        Payment(
            "pf",
            "excess",
            Measure("kvar"),
            "max",
            one,
            (Block(HoursUse(1 / 3, "demand"), 0.0), Block(inf, usd_per_kvar)),
            so_far=np.zeros(1),
        ),
    ]


def test_levels_are_the_sums_of_steps_and_never_turn_the_sign() -> None:
    bank = CapacitorBank(steps_kvar=(10, 20, 40))
    np.testing.assert_allclose(bank.levels_kvar, np.arange(0, 71, 10))
    np.testing.assert_allclose(bank.given_kvar(np.array([-5.0, 0, 9.99, 10, 35, 500])), [0, 0, 0, 10, 30, 70])
    assert CapacitorBank(steps_kvar=(10,), leading_kvar=6).given_kvar(np.array([5.0]))[0] == 10
    assert CapacitorBank(steps_kvar=(10, 5), control="fixed").given_kvar(np.array([5.0]))[0] == 15


def test_an_automatic_bank_is_the_same_in_plan_and_twin() -> None:
    bank, world = CapacitorBank(steps_kvar=(20, 40), loss_kw_per_kvar=0.001), world_of()
    plan = optimise(
        world.timeline,
        KW,
        [bank.belief(view_of(world, bank))],
        excess(),
        load_kvar=KVAR,
        method="highs",
    )
    record = run(world, [bank], DoNothing())
    assert record.net_kvar is not None and plan.net_kvar is not None
    np.testing.assert_allclose(record.net_kvar, [25, 10, 10, 5])
    np.testing.assert_allclose(plan.net_kvar, record.net_kvar)
    np.testing.assert_allclose(record.net_kw, KW + 0.001 * np.array([60, 60, 20, 0]))
    np.testing.assert_allclose(plan.net_kw, record.net_kw)


def test_a_planned_bank_equals_every_combination_tried() -> None:
    bank = CapacitorBank(steps_kvar=(15, 35), control="planned", loss_kw_per_kvar=0.002)
    world = world_of()
    plan = optimise(
        world.timeline,
        KW,
        [bank.belief(view_of(world, bank))],
        excess(),
        load_kvar=KVAR,
        method="highs",
        gap=1e-9,
    )
    best = inf
    for levels in product((0.0, 15.0, 35.0, 50.0), repeat=4):
        q = np.array(levels)
        net, kvar = KW + 0.002 * q, KVAR - q
        cost = 0.1 * net.sum() + 9 * net.max() + 0.4 * max(kvar.max() - net.max() / 3, 0)
        best = min(best, cost)
    assert plan.objective_usd == pytest.approx(best, abs=1e-6)
    twin = Twin(world, [bank])
    for k in range(4):
        twin.apply({bank.name: plan.setpoints_kw[bank.name][k]})
    record = twin.record()
    np.testing.assert_allclose(record.net_kw, plan.net_kw, atol=1e-9)
    np.testing.assert_allclose(record.net_kvar, plan.net_kvar, atol=1e-6)


def test_inverter_vars_in_the_twin_stay_inside_the_circle() -> None:
    battery, world = Battery(power_kw=50, energy_kwh=200, inverter_kva=60), world_of()
    twin = Twin(world, [battery])
    for k, wish in enumerate([-50.0, 30.0, 0.0, 0.0]):
        twin.apply({"battery": wish})
        given = KVAR[k] - twin.record().net_kvar[k]
        power = twin.record().asset_kw["battery"][k]
        assert np.hypot(power, given) <= 60 + 1e-9
        assert given == pytest.approx(min(KVAR[k], np.sqrt(60**2 - power**2)))
    # Bank first, inverter for the rest.
    bank = CapacitorBank(steps_kvar=(40,))
    record = run(world, [bank, battery], DoNothing())
    np.testing.assert_allclose(record.net_kvar, [0, 0, 0, 0], atol=1e-9)


def test_without_kvar_nothing_is_guessed() -> None:
    bank, world = CapacitorBank(steps_kvar=(40,)), world_of(None)
    with pytest.raises(DataError, match="kvar is not known"):
        bank.belief(view_of(world, bank))
    battery = Battery(power_kw=50, energy_kwh=200, inverter_kva=60)
    assert run(world, [battery], DoNothing()).net_kvar is None
    for bad in ({"steps_kvar": ()}, {"steps_kvar": (5, -1)}, {"steps_kvar": (5,), "colour": 1}):
        with pytest.raises(ValidationError):
            CapacitorBank(**bad)  # type: ignore[arg-type]
