"""Solar that may be cut: by export limits, by negative prices, in plan and twin alike; vars inside its circle."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from valuestack.assets.battery import Battery
from valuestack.assets.pv import Pv
from valuestack.control.do_nothing import DoNothing
from valuestack.control.guard import guard_for
from valuestack.control.loop import run
from valuestack.control.twin import Twin
from valuestack.dispatch import Foresight, Series, View, World
from valuestack.errors import DataError
from valuestack.stack.optimise import Schedule, optimise
from valuestack.terms import Block, Measure, Payment
from valuestack.timeline import Timeline

N = 6
MADE = np.array([0.0, 50.0, 90.0, 90.0, 40.0, 0.0])
T = Timeline("2019-06-01T00:00", 1.0, N, "Etc/GMT+7")


@pytest.fixture
def pv_file(tmp_path: Path) -> str:
    path = tmp_path / "pv.csv"
    path.write_text(
        "\n".join(["start,generation kW"] + [f"2019-06-01T{h:02}:00,{MADE[h]:g}" for h in range(N)])
    )
    return str(path)


def world_of(load_kw: float = 30.0, kvar: float | None = None) -> World:
    series = {"load_kw": Series("load_kw", np.full(N, load_kw), "kW")}
    if kvar is not None:
        series["load_kvar"] = Series("load_kvar", np.full(N, kvar), "kvar")
    return World(T, series)


def planned(world: World, assets: list[Any], price: Any, sell: Any, limit: float) -> Schedule:
    view = View(T, 0, N, Foresight(world), {a.name: a.initial_state() for a in assets})
    one = np.zeros(N, dtype=np.int64)
    terms = [
        Payment("t", "energy", Measure("import"), "each", one, (Block(inf, np.asarray(price)),)),
        Payment("t", "sold", Measure("export"), "each", one, (Block(inf, -np.asarray(sell)),)),
    ]
    return optimise(
        T, world["load_kw"], [a.belief(view) for a in assets], terms, export_limit_kw=limit, method="highs"
    )


def carried_out(world: World, assets: list[Any], plan: Schedule, limit: float) -> Any:
    twin = Twin(world, assets, export_limit_kw=limit)
    guard = guard_for(twin.stores, N, 1.0, inf, limit)
    guard.given, guard.may_cut = twin.given, twin.may_cut
    for k in range(N):
        energy = {o.name: twin.state[o.name] for o in twin.stores}
        wishes = {name: kw[k] for name, kw in plan.setpoints_kw.items()}
        twin.apply(guard.project(k, twin.base_kw[:, k], energy, wishes))
    return twin.record()


@pytest.mark.parametrize("limit", [0.0, 25.0, 1000.0])
def test_export_never_passes_the_limit_in_plan_and_twin(pv_file: str, limit: float) -> None:
    world, pv = world_of(), Pv(file=pv_file, curtailable=True)
    battery = Battery(power_kw=20, energy_kwh=40, round_trip_efficiency_frac=0.9)
    assets = [battery, pv]
    plan = planned(world, assets, np.full(N, 0.2), np.full(N, 0.05), limit)
    assert plan.net_kw.min() >= -limit - 1e-7
    record = carried_out(world, assets, plan, limit)
    np.testing.assert_allclose(record.net_kw, plan.net_kw, atol=1e-6)
    idle = run(world, [pv], DoNothing(), export_limit_kw=limit)
    np.testing.assert_allclose(idle.net_kw, np.maximum(30 - MADE, -limit))
    assert (idle.asset_kw["pv"] <= 0).all() and (idle.asset_kw["pv"] >= -MADE - 1e-9).all()


def test_a_plan_cuts_where_export_costs_and_the_twin_follows(pv_file: str) -> None:
    """Negative sell rates: what would be exported is cut; without the plan's word the twin exports it."""
    world, pv = world_of(), Pv(file=pv_file, curtailable=True)
    sell = np.array([0.05, 0.05, -0.02, -0.02, 0.05, 0.05])
    plan = planned(world, [pv], np.full(N, 0.2), sell, 1000.0)
    np.testing.assert_allclose(plan.net_kw, [30, -20, 0, 0, -10, 30], atol=1e-7)
    np.testing.assert_allclose(carried_out(world, [pv], plan, 1000.0).net_kw, plan.net_kw, atol=1e-7)
    fixed = Pv(file=pv_file)
    kept = carried_out(world, [fixed], plan, 1000.0)
    np.testing.assert_allclose(kept.net_kw, 30 - MADE), "what cannot be cut is not"


def test_a_setpoint_that_is_no_number_cuts_nothing(pv_file: str) -> None:
    twin = Twin(world_of(), [Pv(file=pv_file, curtailable=True)], export_limit_kw=1000.0)
    for k, wish in enumerate([np.nan, np.inf, -np.inf, -200.0, 5.0, 0.0]):
        twin.apply({"pv": wish})
        expected = 0.0 if wish == 5.0 else MADE[k]
        assert -twin.record().asset_kw["pv"][k] == pytest.approx(expected)


def test_its_inverter_gives_vars_beside_its_power(pv_file: str) -> None:
    pv, world = Pv(file=pv_file, inverter_kva=100.0), world_of(100.0, kvar=60.0)
    record = run(world, [pv], DoNothing())
    room = np.sqrt(100.0**2 - MADE**2)
    np.testing.assert_allclose(record.net_kvar, np.maximum(60 - room, 0), atol=1e-9)
    with pytest.raises(DataError, match="inverter_kva"):
        run(world, [Pv(file=pv_file, inverter_kva=80.0)], DoNothing())
