"""Flexible load: plans equal enumeration, truth keeps the rules, what is shed comes back, rebound is billed."""

from __future__ import annotations

from itertools import groupby, product
from math import ceil, inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import linprog

from valuestack.assets.flexible_load import FlexibleLoad
from valuestack.control.guard import guard_for
from valuestack.control.twin import Twin
from valuestack.dispatch import Foresight, Series, View, World
from valuestack.errors import InputError
from valuestack.stack.optimise import Schedule, optimise
from valuestack.terms import Block, Measure, Payment
from valuestack.timeline import Timeline


def world_of(load: Any, step_h: float = 1.0, start: str = "2019-07-01T00:00") -> World:
    load = np.asarray(load, dtype=float)
    return World(Timeline(start, step_h, load.size, "UTC"), {"load_kw": Series("load_kw", load, "kW")})


def view_of(world: World, asset: Any) -> View:
    return View(world.timeline, 0, world.timeline.n, Foresight(world), {asset.name: asset.initial_state()})


def bill(n: int, price: Any, usd_per_kw: float) -> list[Payment]:
    one = np.zeros(n, dtype=np.int64)
    return [
        Payment("t", "energy", Measure("import"), "each", one, (Block(inf, np.asarray(price)),)),
        Payment("t", "demand", Measure("import"), "max", one, (Block(inf, usd_per_kw),)),
    ]


def planned(world: World, asset: FlexibleLoad, price: Any, usd_per_kw: float) -> Schedule:
    terms = bill(world.timeline.n, price, usd_per_kw)
    offer = asset.belief(view_of(world, asset))
    return optimise(world.timeline, world["load_kw"], [offer], terms, method="highs", gap=1e-9)


# --- enumeration -----------------------------------------------------------------------------------------


def allowed(u: tuple[int, ...], f: dict[str, Any], there: Any) -> bool:
    """The rules of calls, said anew over the runs of a pattern."""
    runs, t = [], 0
    for on, members in groupby(u):
        size = len(list(members))
        runs.append((on, t, size))
        t += size
    n = len(u)
    for i, (on, first, size) in enumerate(runs):
        last = first + size == n
        if on and (size > f["most"] or (size < f["least"] and not last)):
            return False
        if on and not all(there[first : first + size]):
            return False
        if not on and 0 < i < len(runs) - 1 and size < f["between"]:
            return False
    return sum(on for on, _, _ in runs) <= f["calls"]


def best_by_hand(load: Any, price: Any, usd_per_kw: float, f: dict[str, Any], available: Any) -> float:
    """Least cost over every pattern of calls, each with an LP in s, r and the peak by scipy."""
    n, best = len(load), inf
    for u in product((0, 1), repeat=n):
        if not allowed(u, f, available > 0):
            continue
        on = np.array(u)
        # columns: s (n), r (n), peak; rebound after a call = frac x s at its end + fixed
        rebound, fixed = np.zeros((n, n)), np.zeros(n)
        for t in range(1, n):
            if on[t - 1] and not on[t]:
                for j in range(t, min(n, t + f["rebound"])):
                    rebound[j, t - 1] += f["frac"]
                    fixed[j] += f["fixed"]
        net_s, net_r = rebound - np.eye(n), np.eye(n)
        energy = np.asarray(price)
        cost = np.concatenate((energy @ net_s + f["usd_per_kwh"], energy @ net_r, [usd_per_kw]))
        rows = [np.hstack((net_s, net_r, -np.ones((n, 1))))]
        to = [-(load + fixed)]
        below = np.tril(np.ones((n, n)))
        phi = f["phi"]
        rows.append(np.hstack((-phi * (below - np.eye(n)), below, np.zeros((n, 1)))))
        to.append(np.zeros(n))
        late = np.array([[1.0 if j <= t - f["by"] else 0.0 for j in range(n)] for t in range(n)])
        late[-1] = 1.0
        rows.append(np.hstack((phi * late, -below, np.zeros((n, 1)))))
        to.append(np.zeros(n))
        least = np.maximum(f["min_kw"], 0.01 * available)
        if f["whole"]:
            least = available
        bounds = [(least[t], available[t]) if on[t] else (0, 0) for t in range(n)]
        bounds += [(0, 0 if on[t] or not phi else f["back"]) for t in range(n)] + [(0, None)]
        got = linprog(cost, A_ub=np.vstack(rows), b_ub=np.concatenate(to), bounds=bounds)
        if got.status == 0:
            calls = sum(1 for t in range(n) if on[t] and (t == 0 or not on[t - 1]))
            total = got.fun + energy @ (load + fixed) + calls * f["usd_per_call"]
            best = min(best, float(total))
    return best


@pytest.mark.parametrize("seed", range(24))
def test_plans_equal_enumeration(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 6
    load = rng.uniform(60, 120, n).round(1)
    price = rng.choice([0.05, 0.1, 0.4, 0.8], n)
    whole = bool(rng.integers(2))
    windows: list[dict[str, Any]] = [{"from_h": 1, "until_h": 6}] if seed % 3 == 0 else []
    phi = float(rng.choice([0.0, 0.6, 1.0]))
    least, most = int(rng.integers(1, 3)), int(rng.integers(2, 4))
    between, calls, by = int(rng.integers(1, 3)), int(rng.integers(1, 3)), int(rng.integers(2, 4))
    rebound = int(rng.integers(0, 3))
    frac, fixed = (0.3, 2.0) if rebound else (0.0, 0.0)
    asset = FlexibleLoad(
        shed_kw=30.0,
        min_shed_kw=5.0,
        whole=whole,
        windows=windows,
        min_duration_h=least,
        max_duration_h=most,
        min_on_h=between,
        calls_per_day=calls,
        recovery_frac=phi,
        recovery_h=by if phi else None,
        rebound_kw=fixed,
        rebound_frac=frac,
        rebound_h=rebound,
        usd_per_call=1.0,
        usd_per_kwh=0.03,
    )
    world = world_of(load)
    found = planned(world, asset, price, 0.7)
    facts = {
        "least": least,
        "most": most,
        "between": max(between, rebound),
        "calls": calls,
        "phi": phi,
        "by": by,
        "rebound": rebound,
        "frac": frac,
        "fixed": fixed,
        "whole": whole,
        "min_kw": 5.0,
        "back": 30.0,
        "usd_per_call": 1.0,
        "usd_per_kwh": 0.03,
    }
    available = asset.available_kw(world.timeline)
    assert found.objective_usd == pytest.approx(best_by_hand(load, price, 0.7, facts, available), abs=1e-6)
    # What is planned is what the machine does, call by call.
    net = truth(asset, world, found.setpoints_kw[asset.name])
    np.testing.assert_allclose(net, found.setpoints_kw[asset.name], atol=1e-5)


def truth(asset: FlexibleLoad, world: World, setpoints: Any) -> Any:
    state, out = asset.initial_state(), []
    for k in range(world.timeline.n):
        state, power = asset.step(state, np.asarray(setpoints)[k : k + 1], world, k)
        out.append(power[0])
    return np.array(out)


# --- the machine keeps its rules whatever it is asked ------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    least=st.sampled_from([0.0, 0.5, 1.0]),
    most=st.sampled_from([1.0, 2.0]),
    between=st.sampled_from([0.0, 0.75, 2.0]),
    cap=st.sampled_from([1, 3, 8]),
    phi=st.sampled_from([0.0, 0.5, 1.0, 1.2]),
    ramp=st.sampled_from([None, 60.0]),
)
def test_truth_keeps_the_rules_and_gives_the_energy_back(
    seed: int, least: float, most: float, between: float, cap: int, phi: float, ramp: float | None
) -> None:
    asset = FlexibleLoad(
        shed_kw=40.0,
        min_duration_h=least,
        max_duration_h=most,
        min_on_h=between,
        calls_per_day=cap,
        recovery_frac=phi,
        recovery_h=3.0 if phi else None,
        recovery_max_kw=200.0 if phi else None,
        ramp_kw_per_h=ramp,
    )
    rng, lanes, n = np.random.default_rng(seed), 3, 192
    world = world_of(np.full(n, 100.0), step_h=0.25)
    state, power, run = asset.initial_state().for_lanes(lanes), np.zeros((lanes, n)), np.zeros((lanes, n))
    late = np.zeros((lanes, n))
    for k in range(n):
        # the last hours are left alone, so that all can come back
        wish = rng.normal(-5, 40, lanes) if k < n - 24 else np.zeros(lanes)
        state, power[:, k] = asset.step(state, wish, world, k)
        run[:, k], late[:, k] = asset.report(state)["run"], state.late_kwh
    assert power.min() >= -40 - 1e-9
    shed, back = np.maximum(-power, 0) * 0.25, np.maximum(power, 0) * 0.25
    np.testing.assert_allclose(back.sum(axis=1) + asset_owed(state), phi * shed.sum(axis=1), atol=1e-6)
    assert asset_owed(state) == pytest.approx(np.zeros(lanes), abs=1e-9), "all made up by its deadline"
    assert ramp is not None or late.max() < 1e-9, "only a shed that falls slowly may hold recovery up"
    for lane in range(lanes):
        sizes = [(on, len(list(g))) for on, g in groupby(run[lane] > 0.5)]
        slack = 0 if ramp is None else ceil(40 / (ramp * 0.25))
        for i, (on, size) in enumerate(sizes):
            if on:
                assert size <= most * 4 + slack
                assert size >= least * 4 or i == len(sizes) - 1
            elif 0 < i < len(sizes) - 1:
                assert size >= between * 4
        for day in (0, 1):
            begun = np.diff(np.concatenate(([0], run[lane])))[day * 96 : day * 96 + 96] > 0.5
            assert begun.sum() <= cap


def asset_owed(state: Any) -> Any:
    return state.owed_total_kwh


def test_a_call_needs_its_notice_and_a_plan_sends_it_in_time() -> None:
    asset = FlexibleLoad(shed_kw=20, notice_h=2, max_duration_h=2, calls_per_day=1)
    world = world_of(np.full(8, 50.0))
    at_once = truth(asset, world, [0, 0, 0, -20, -20, -20, 0, 0])
    np.testing.assert_allclose(at_once, [0, 0, 0, 0, 0, -20, 0, 0])
    plan = planned(world, asset, [0.1, 0.1, 0.1, 0.9, 0.9, 0.1, 0.1, 0.1], 0.0).setpoints_kw[asset.name]
    np.testing.assert_allclose(plan, [0, 0, 0, -20, -20, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(truth(asset, world, asset.signals_kw(plan, 1.0)), plan, atol=1e-6)
    early = planned(world, asset, [0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], 0.0).setpoints_kw[asset.name]
    assert early[:2] == pytest.approx([0, 0]), "nobody warned before the first interval"


def test_a_plan_continues_from_any_state() -> None:
    """Cut in two at any interval, the second half is planned from the state that the first half left."""
    asset = FlexibleLoad(
        shed_kw=30,
        whole=True,
        min_duration_h=2,
        max_duration_h=3,
        min_on_h=2,
        calls_per_day=2,
        recovery_frac=1,
        recovery_h=4,
        rebound_kw=4,
        rebound_h=1,
    )
    world = world_of([60, 100, 100, 70, 60, 60, 100, 100, 60, 60, 60, 60])
    price = [0.1, 0.6, 0.6, 0.1, 0.1, 0.1, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1]
    whole = planned(world, asset, price, 0.0)
    setpoints = whole.setpoints_kw[asset.name]
    for k in range(1, 12):
        state = asset.initial_state()
        for j in range(k):
            state, _ = asset.step(state, setpoints[j : j + 1], world, j)
        view = View(world.timeline, k, 12 - k, Foresight(world), {asset.name: state})
        rest = optimise(
            view.horizon,
            view.series("load_kw"),
            [asset.belief(view)],
            bill(12 - k, price[k:], 0.0),
            method="highs",
            gap=1e-9,
        )
        sunk = float((whole.net_kw[:k] * np.array(price[:k])).sum())
        assert rest.objective_usd + sunk == pytest.approx(whole.objective_usd, abs=1e-5), k


def test_rebound_is_in_the_billed_peak_of_plan_and_of_what_is_metered() -> None:
    asset = FlexibleLoad(
        shed_kw=50, whole=True, max_duration_h=1, calls_per_day=1, rebound_frac=0.4, rebound_h=1
    )
    world = world_of([100, 150, 140, 100])
    found = planned(world, asset, [0.1] * 4, 10.0)
    twin = Twin(world, [asset])
    for k in range(4):
        twin.apply({asset.name: found.setpoints_kw[asset.name][k]})
    metered = twin.record()
    assert metered.net_kw.max() == pytest.approx(found.net_kw.max())
    # shedding 50 at 01:00 would bring 20 back onto 140: 160 is above 150, so the plan must do something else
    assert found.net_kw.max() <= 150 + 1e-6
    forced = truth(asset, world, [0, -50, 0, 0])
    assert (world["load_kw"] + forced).max() == pytest.approx(160.0), "a call at the peak sets a new one"
    assert set(metered.extra) >= {f"{asset.name}/run", f"{asset.name}/start", f"{asset.name}/owed_kwh"}


def test_objective_is_what_is_settled() -> None:
    asset = FlexibleLoad(shed_kw=30, max_duration_h=1, min_on_h=1, usd_per_call=2.5, usd_per_kwh=0.05)
    world = world_of([100, 100, 100, 100, 100])
    found = planned(world, asset, [0.9, 0.1, 0.9, 0.1, 0.9], 0.0)
    twin = Twin(world, [asset])
    for k in range(5):
        twin.apply({asset.name: found.setpoints_kw[asset.name][k]})
    entries = {e.item: e for e in asset.settle(twin.record(), world)}
    assert entries["calls"].quantity == 3 and entries["calls"].usd == pytest.approx(-7.5)
    assert entries["energy not used"].usd == pytest.approx(-0.05 * 90)
    assert all(e.layer == 0 for e in entries.values())
    stated = sum(v for k, v in found.term_usd.items() if k.startswith(asset.name))
    assert stated == pytest.approx(7.5 + 4.5)


def test_many_lanes_and_an_import_limit() -> None:
    asset = FlexibleLoad(share_frac=0.5, max_duration_h=1, recovery_frac=1.0, recovery_h=4)
    load = np.array([[100.0, 100, 100, 100, 100, 100], [60.0, 60, 60, 60, 60, 60]])
    world = World(Timeline("2019-07-01", 1.0, 6, "UTC"), {"load_kw": Series("load_kw", load, "kW")})
    twin = Twin(world, [asset])
    guard = guard_for([], 6, 1.0, 120.0, 0.0)
    for k, wish in enumerate([-80.0, 80.0, 80.0, 0.0, 0.0, 0.0]):
        twin.apply(guard.project(k, twin.base_kw[:, k], {}, {asset.name: wish}))
    net = twin.record().net_kw
    np.testing.assert_allclose(net[0], [50, 120, 120, 100, 110, 100], atol=1e-9)
    np.testing.assert_allclose(net[1], [30, 90, 60, 60, 60, 60], atol=1e-9)
    assert guard.interventions["limits"] == 2


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({}, "give one of"),
        ({"shed_kw": 10, "share_frac": 0.2}, "give one of"),
        ({"shed_kw": 10, "recovery_frac": 1}, "recovery_h"),
        ({"shed_kw": 10, "rebound_kw": 5}, "rebound_h"),
        ({"shed_kw": 10, "min_duration_h": 3, "max_duration_h": 2}, "above max_duration_h"),
        ({"shed_kw": 10, "calls_per_day": 5, "calls_per_week": 2}, "calls_per_week"),
        ({"shed_kw": 10, "calls_per_day": 9, "min_duration_h": 3}, "do not fit"),
        ({"shed_kw": 10, "min_shed_kw": 20}, "min_shed_kw"),
        ({"shed_kw": 10, "windows": [{"from_h": 3, "until_h": 3}]}, "has a length"),
        ({"shed_kw": 10, "windows": [{"months": [13]}]}, "months"),
        ({"shed_kw": 10, "colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_is_refused_by_key(bad: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        FlexibleLoad(**bad)


def test_times_shorter_than_the_interval_are_refused() -> None:
    with pytest.raises(InputError, match="max_duration_h"):
        FlexibleLoad(shed_kw=10, max_duration_h=0.25).steps(1.0)
    with pytest.raises(InputError, match="no whole number"):
        FlexibleLoad(shed_kw=10, min_duration_h=1.1, max_duration_h=1.4).steps(1.0)


def test_windows_take_hours_days_and_months() -> None:
    t = Timeline("2019-07-05T00:00", 1.0, 72, "UTC")  # a Friday
    asset = FlexibleLoad(
        shed_kw=10,
        windows=[
            {"days": "weekdays", "from_h": 22, "until_h": 2, "months": [7]},
            {"days": "weekends", "from_h": 8, "until_h": 9, "shed_kw": 4},
        ],
    )
    kw = asset.available_kw(t)
    assert list(np.flatnonzero(kw[:24])) == [0, 1, 22, 23]
    assert list(np.flatnonzero(kw[24:48])) == [8] and kw[32] == 4
    assert asset.available_kw(Timeline("2019-08-05", 1.0, 24, "UTC")).max() == 0


def test_what_is_owed_may_not_be_rolled_over() -> None:
    """Shedding and making up in one interval would pay an old debt with a new one for ever; a call that is on or off
    cannot, so what is shed at the dear hours comes back within its window, at whatever price."""
    n = 10
    world = world_of(np.full(n, 100.0))
    asset = FlexibleLoad(shed_kw=40.0, recovery_frac=1.0, recovery_h=2.0, recovery_max_kw=40.0)
    price = np.array([0.1, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.1])
    made = planned(world, asset, price, 0.0)
    net = np.asarray(made.net_kw) - 100.0
    lost, back = np.cumsum(np.maximum(-net, 0.0)), np.cumsum(np.maximum(net, 0.0))
    for t in range(n - 2):
        assert back[t + 2] >= lost[t] - 1e-6, "made up two hours later"
    assert made.objective_usd >= 100.0 * price.sum() - 40.0 * 0.9 * 2 - 1e-6
