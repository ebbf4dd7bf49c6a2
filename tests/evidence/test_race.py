"""The common race: one problem on which other tools were run, settled by our own bill."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

import valuestack as vs
from tests.conftest import Notebook
from valuestack.assets.battery import Battery
from valuestack.dispatch import Foresight, Series, View, World
from valuestack.stack.optimise import optimise
from valuestack.streams.retail.tariff_stream import state
from valuestack.terms import Block, Measure, Payment
from valuestack.timeline import Kw

pytestmark = pytest.mark.data

# Whole-year optimum bill and bill before, of an independent LP and an independent bill (stated to the cent).
STATED = {
    "P1h": (1_206_831.80, 1_367_399.37),
    "P1q": (1_213_653.17, 1_405_109.52),
    "P2h": (1_019_531.02, 1_205_778.16),
}


def column(path: Path, n: int) -> Kw:
    with gzip.open(path, "rt") as f:
        return np.array(f.read().split()[-n:], dtype=float)


@pytest.mark.parametrize("name", list(STATED))
def test_race(name: str, data_dir: Path, evidence: Notebook) -> None:
    folder = Path(os.environ.get("VALUESTACK_BENCH", data_dir.parent / "bench"))
    if not folder.is_dir():
        pytest.skip("the race is not here: set VALUESTACK_BENCH to its folder")
    case = json.loads((folder / f"{name}.json").read_text())
    n = 8760 * case["steps_per_hour"]
    load = column(folder / case["load_csv"], n)
    if "pv_csv" in case:
        load = load - column(folder / case["pv_csv"], n)
    timeline = vs.Timeline(start="2018-01-01T00:00", step_h=1 / case["steps_per_hour"], n=n, tz="Etc/GMT+8")
    tariff = vs.load_tariff(folder / case["tariff_json"])
    b = case["battery"]
    battery = Battery(
        power_kw=b["kw"],
        energy_kwh=b["kwh"],
        soc_min_frac=b["soc_min"],
        soc_max_frac=b["soc_max"],
        soc_start_frac=b["soc_init"],
        soc_end_min_frac=b["soc_init"],
        charge_efficiency_frac=b["eta_charge"],
        discharge_efficiency_frac=b["eta_discharge"],
    )
    world = World(timeline, {"load_kw": Series("load_kw", load, "kW", -timeline.step_h)})
    view = View(timeline, 0, n, Foresight(world), {"battery": battery.initial_state()})
    sell = case["sell_usd_per_kwh"]
    terms = [*state(tariff, timeline).terms]
    if sell:
        terms.append(
            Payment(
                "race",
                "sell",
                Measure("export"),
                "each",
                np.zeros(n, dtype=np.int64),
                (Block(np.inf, -sell),),
            )
        )
    plan = optimise(timeline, load, [battery.belief(view)], terms, export_limit_kw=np.inf, method="fast")

    def due(net_kw: Kw) -> float:
        return (
            vs.bill(tariff, timeline, net_kw).total_usd
            - sell * float(np.maximum(-net_kw, 0).sum()) * timeline.step_h
        )

    optimum, before = STATED[name]
    saving = before - optimum
    ours = due(plan.net_kw)
    assert due(load) == pytest.approx(before, abs=0.006)
    assert abs(ours - optimum) <= 1e-6 * saving + 0.005, "the optimum is stated to the cent"
    assert ours >= optimum - 0.005, "never below the bound"
    assert plan.lower_bound_usd <= plan.objective_usd
    evidence(
        f"the common race, {name}",
        bill_usd=ours,
        stated_optimum_usd=optimum,
        difference_of_saving=(ours - optimum) / saving,
        own_gap_of_saving=plan.gap_usd / saving,
        method=plan.method,
    )
