"""What must hold of every bill, whatever the tariff and the load."""

from __future__ import annotations

from datetime import datetime
from math import fsum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import valuestack as vs
from tests.oracle.naive_bill import amount_due
from tests.oracle.random_tariffs import random_load, random_tariff

T = vs.Timeline(start="2018-05-01T00:00", step_h=0.5, n=61 * 48, tz="Etc/GMT+8")
SEEDS = st.integers(0, 10**6)
FEW = settings(max_examples=25, deadline=None)


def drawn(seed: int, exporting: bool = False) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return random_tariff(rng), random_load(rng, T.n, exporting)


def parts(data: dict[str, Any], *kinds: str) -> Any:
    """The same tariff with items of these kinds alone."""
    items = [i for i in data["items"] if i["kind"] in kinds] or [{"kind": "fixed", "usd": 1.0}]
    return vs.load_tariff({**data, "items": items})


@FEW
@given(SEEDS)
def test_the_naive_bill_agrees(seed: int) -> None:
    data, kw = drawn(seed, exporting=seed % 3 == 0)
    history = {"2018-04": 250.0, "2017-07": 400.0, "2017-11": 90.0} if seed % 2 else {}
    ours = vs.bill(vs.load_tariff(data), T, kw, history=history).total_usd
    assert ours == pytest.approx(
        amount_due(data, datetime(2018, 5, 1), 30, kw.tolist(), history), rel=1e-9, abs=1e-6
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_naive_bill_agrees_over_a_year_end(seed: int) -> None:
    rng = np.random.default_rng(seed)
    timeline = vs.Timeline(start="2018-10-01T00:00", step_h=1.0, n=182 * 24, tz="Etc/GMT+8")
    data, kw = random_tariff(rng), random_load(rng, 182 * 24)
    data["items"].append({"kind": "demand", "name": "r", "periods": [{"tiers": [{"usd_per_unit": 11.0}]}],
                          "months": [0] * 12, "ratchet": {"share_frac": 0.8, "months": 11}})  # fmt: skip
    for i in data["items"]:
        if (
            i["kind"] == "energy"
        ):  # two demand charges: which one hours-use tiers read is another test's matter
            i["periods"] = [{"tiers": [t if t["unit"] != "kWh/kW" else {**t, "unit": "kWh daily"} for t in p["tiers"]]}
                            for p in i["periods"]]  # fmt: skip
    history = {"2018-07": 700.0, "2018-02": 300.0}
    ours = vs.bill(vs.load_tariff(data), timeline, kw, history=history).total_usd
    assert ours == pytest.approx(amount_due(data, datetime(2018, 10, 1), 60, kw.tolist(), history), rel=1e-9)


@FEW
@given(SEEDS)
def test_the_sum_of_entries_is_the_total(seed: int) -> None:
    data, kw = drawn(seed)
    found = vs.bill(vs.load_tariff(data), T, kw)
    assert found.total_usd == -fsum(e.usd for e in found.ledger)
    assert fsum(v for v in found.ledger.by("cycle").values()) == pytest.approx(
        -found.total_usd, rel=1e-12, abs=1e-9
    )


@FEW
@given(SEEDS)
def test_order_within_a_period_and_cycle_does_not_move_energy(seed: int) -> None:
    data, kw = drawn(seed)
    data["items"] = [i for i in data["items"] if i["kind"] == "energy"]
    if any("/kW" in t["unit"] for p in data["items"][0]["periods"] for t in p["tiers"]):
        return  # hours-use tiers read a demand that permutation keeps, but that energy alone does not bill
    tariff, rng = vs.load_tariff(data), np.random.default_rng(seed)
    item = data["items"][0]
    on, off = (np.array(item[k])[T.month - 1, T.hour] for k in ("weekday", "weekend"))
    key = T.month_id * 10 + np.where(T.weekday >= 5, off, on)
    shuffled = kw.copy()
    for k in np.unique(key):
        mine = np.flatnonzero(key == k)
        shuffled[mine] = kw[rng.permutation(mine)]
    assert vs.bill(tariff, T, shuffled).total_usd == pytest.approx(
        vs.bill(tariff, T, kw).total_usd, rel=1e-10
    )


@FEW
@given(SEEDS, st.floats(0.1, 10))
def test_without_tiers_and_minima_the_bill_scales_with_the_load(seed: int, factor: float) -> None:
    data, kw = drawn(seed)
    for i in data["items"]:
        for p in i.get("periods", ()):
            p["tiers"] = [{k: v for k, v in p["tiers"][0].items() if k != "upto"}]
    tariff = parts(data, "energy", "demand", "rider", "tax")
    once, scaled = vs.bill(tariff, T, kw).total_usd, vs.bill(tariff, T, factor * kw).total_usd
    assert scaled == pytest.approx(factor * once, rel=1e-9)


@FEW
@given(SEEDS, st.integers(0, T.n - 1), st.floats(0.0, 500))
def test_more_load_never_lowers_a_demand_charge(seed: int, at: int, more: float) -> None:
    data, kw = drawn(seed)
    tariff = parts(data, "demand", "fixed")
    higher = kw.copy()
    higher[at] += more
    assert vs.bill(tariff, T, higher).total_usd >= vs.bill(tariff, T, kw).total_usd - 1e-7


@FEW
@given(SEEDS)
def test_a_ratchet_never_bills_less_than_the_current_peak(seed: int) -> None:
    data, kw = drawn(seed)
    free = {**data, "items": [{k: v for k, v in i.items() if k != "ratchet"} for i in data["items"]]}
    with_it = vs.bill(parts(data, "demand"), T, kw, history={"2018-03": 300.0})
    without = vs.bill(parts(free, "demand"), T, kw)
    assert with_it.total_usd >= without.total_usd - 1e-9
    own = {e.key: e.quantity for e in without.ledger}
    names = [i["name"] for i in data["items"] if i["kind"] == "demand"]
    if len(names) == 1:
        assert all(e.quantity >= own[e.key] - 1e-9 for e in with_it.ledger)


@FEW
@given(SEEDS)
def test_whole_cycles_without_a_ratchet_add_up(seed: int) -> None:
    data, kw = drawn(seed)
    data["items"] = [{k: v for k, v in i.items() if k != "ratchet"} for i in data["items"]]
    tariff, cut = vs.load_tariff(data), 31 * 48
    may = vs.Timeline(start="2018-05-01T00:00", step_h=0.5, n=cut, tz="Etc/GMT+8")
    june = vs.Timeline(start="2018-06-01T00:00", step_h=0.5, n=T.n - cut, tz="Etc/GMT+8")
    halves = vs.bill(tariff, may, kw[:cut]).total_usd + vs.bill(tariff, june, kw[cut:]).total_usd
    assert vs.bill(tariff, T, kw).total_usd == pytest.approx(halves, rel=1e-10)
