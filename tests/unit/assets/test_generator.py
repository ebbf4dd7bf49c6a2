"""Generator: fuel curve, permit, truth against belief, tank, counters, money; each by plain arithmetic."""

from __future__ import annotations

import csv
from datetime import date
from itertools import pairwise
from math import fsum, inf
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.kinds.case import Case, FlatRate, metered, world
from valuestack.assets.asset import Asset
from valuestack.assets.generator import FuelPoint, Generator, Maintenance, Refuelling, State, TestRun
from valuestack.dispatch import Foresight, Record, Series, View, World
from valuestack.flows import Given, Unit
from valuestack.stack.optimise import optimise_view
from valuestack.timeline import Timeline

POINTS = tuple(
    FuelPoint(load_frac=f, gal_per_h=g) for f, g in ((0.25, 2.6), (0.5, 4.1), (0.75, 5.8), (1.0, 7.4))
)


def plain(**more: object) -> Generator:
    values = {"rated_kw": 100.0, "permit": "non_emergency", "fuel_usd_per_gal": 3.0, "start_s": 0.0} | more
    return Generator.model_validate(values)


def view_of(g: Generator, n: int = 4, step_h: float = 1.0) -> View:
    t = Timeline(start="2021-03-01T00:00", step_h=step_h, n=n, tz="America/New_York")
    w = World(t, {"load_kw": Series("load_kw", np.full(n, 50.0), "kW")})
    return View(t, 0, n, Foresight(w), {g.name: g.initial_state()})


def record_of(g: Generator, output: list[float], w: World, **extra: np.ndarray) -> Record:
    power = -np.array(output)
    return Record(w.timeline, w["load_kw"] + power, asset_kw={g.name: power}, extra=extra)


def test_it_speaks_the_protocol() -> None:
    assert isinstance(plain(), Asset)


def test_default_fuel_curve_is_that_of_reopt() -> None:
    # slope = (1/eta_f - 0.5/eta_h) / 0.5 / HHV with eta 0.322 and 40.7 kWh/gal: 0.0763 gal/kWh, intercept 0
    ((upto, slope),) = plain().fuel_pieces
    assert upto == inf and slope == pytest.approx(0.0763, abs=5e-5)
    assert plain().fuel_idle_per_h == 0
    assert any("0.0763 gal/kWh" in a for a in plain().assumptions)


def test_points_become_ascending_pieces_and_an_idle_draw() -> None:
    g = plain(fuel_curve=(FuelPoint(kw=50, gal_per_h=4.0), FuelPoint(kw=100, gal_per_h=7.5)), units=2)
    # idle: 4.0 - 50 x 0.07 = 0.5 an engine
    assert g.fuel_idle_per_h == pytest.approx(1.0)
    assert g.fuel_pieces == ((inf, pytest.approx(0.07)),)
    np.testing.assert_allclose(g.burn_per_h([0.0, 100.0, 200.0]), [0.0, 8.0, 15.0])


def test_a_curve_that_is_not_convex_is_made_so_and_said() -> None:
    g = plain(fuel_curve=POINTS)  # 2.6, 4.1, 5.8, 7.4: rises by 1.5, 1.7, 1.6
    slopes = [s for _, s in g.fuel_pieces]
    assert slopes == sorted(slopes)
    (finding,) = g.findings
    assert finding.kind == "fuel_curve_not_convex" and "75 kW" in finding.what
    assert not plain(fuel_curve=(POINTS[0], POINTS[3])).findings


@pytest.mark.data
def test_every_engine_of_the_chart_has_a_convex_belief_at_or_below_its_points(data_dir: Path) -> None:
    rows = list(csv.DictReader((data_dir / "generator" / "diesel_fuel_chart_approx.csv").open()))
    assert len(rows) == 25
    for row in rows:
        kw = float(row["rated_kw"])
        points = [
            {"load_frac": f, "gal_per_h": float(row[f"gal_per_h_{round(100 * f)}pct"])}
            for f in (0.25, 0.5, 0.75, 1.0)
        ]
        g = plain(rated_kw=kw, fuel_curve=points)
        slopes = [s for _, s in g.fuel_pieces]
        assert slopes == sorted(slopes)
        load = np.array([0.25, 0.5, 0.75, 1.0]) * kw
        edges = np.array([0.0, *[u for u, _ in g.fuel_pieces[:-1]], kw])
        believed = g.fuel_idle_per_h + sum(
            s * np.clip(load - a, 0, b - a) for (_, s), a, b in zip(g.fuel_pieces, edges[:-1], edges[1:])
        )
        told = np.array([p["gal_per_h"] for p in points])
        assert (believed <= told + 1e-9).all() and believed[-1] == pytest.approx(told[-1])
        np.testing.assert_allclose(g.burn_per_h(load), told)


@settings(max_examples=40, deadline=None)
@given(rises=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=6), first=st.floats(0.0, 5.0))
def test_belief_is_convex_and_below_the_points(rises: list[float], first: float) -> None:
    rates = np.concatenate(([first], first + np.cumsum(rises)))
    load = np.linspace(0.2, 1.0, rates.size) * 100
    g = plain(fuel_curve=[{"kw": k, "gal_per_h": r} for k, r in zip(load, rates)])
    slopes = [s for _, s in g.fuel_pieces]
    assert all(b >= a - 1e-9 for a, b in pairwise(slopes))
    assert (np.interp(load, *g._envelope) <= rates + 1e-9).all()


def test_an_emergency_permit_is_a_hard_gate() -> None:
    g = plain(permit="emergency")
    offer = g.belief(view_of(g))
    assert isinstance(offer, Given) and not offer.net_kw.any()
    can = g.capability()
    assert not can.paid_dispatch and "63.6640(f)" in can.why_not and "785 F.3d 1" in can.why_not
    assert "non-emergency" in can.why_not
    w = world([50, 50])
    _, power = g.step(g.initial_state(), np.array([-80.0]), w, 0)
    assert power == pytest.approx(0.0), "nor peak shaving: the machine refuses"
    found = g.permit_findings(record_of(g, [80, 0], w), w)
    assert found[0].severity == "error" and "peak shaving" in found[0].what


def test_an_emergency_engine_runs_when_the_grid_is_gone() -> None:
    g = plain(permit="emergency")
    t = Timeline(start="2021-01-01T00:00", step_h=1.0, n=2, tz="UTC")
    w = World(
        t,
        {
            "load_kw": Series("load_kw", np.full(2, 50.0), "kW"),
            "grid_present": Series("grid_present", np.array([0.0, 1.0]), ""),
        },
    )
    state, power = g.step(g.initial_state(), np.array([-80.0]), w, 0)
    assert power == pytest.approx(-80.0)
    _, power = g.step(state, np.array([-80.0]), w, 1)
    assert power == pytest.approx(0.0)
    record = Record(t, np.zeros(2), asset_kw={"generator": np.array([-80.0, 0.0])})
    hours = g.run_hours(record, w)
    assert hours[(2021, "emergency")] == 1.0 and hours[(2021, "peak_shaving")] == 0.0
    assert not g.permit_findings(record, w)


def test_truth_start_delay_least_load_ramp_and_tank() -> None:
    w = world([90] * 4, step_h=0.25)
    late = plain(start_s=300.0, min_load_frac=0.3)
    state, power = late.step(late.initial_state(), np.array([-60.0]), w, 0)
    assert power == pytest.approx(-60.0 * (900 - 300) / 900), "five minutes of fifteen are lost"
    state, power = late.step(state, np.array([-10.0]), w, 1)
    assert power == pytest.approx(-30.0), "runs at its least load"
    state, power = late.step(state, np.array([0.0]), w, 2)
    assert power == pytest.approx(0.0) and not state.running[0]
    slow = plain(ramp_kw_per_min=2.0)
    state, power = slow.step(slow.initial_state(), np.array([-90.0]), w, 0)
    assert power == pytest.approx(-30.0)
    _, power = slow.step(state, np.array([-90.0]), w, 1)
    assert power == pytest.approx(-60.0)
    dry = plain(tank_gal=1.0, usable_tank_frac=0.5, fuel_curve=(POINTS[0], POINTS[3]))
    state, power = dry.step(dry.initial_state(), np.array([-100.0]), w, 0)
    assert power == pytest.approx(-100.0 * 0.5 / (7.4 * 0.25)) and state.fuel_gal == pytest.approx(0.0)
    _, power = dry.step(state, np.array([-100.0]), w, 1)
    assert power == pytest.approx(0.0)


def test_an_interlock_keeps_fuel_while_the_grid_is_there() -> None:
    g = plain(tank_gal=10.0, usable_tank_frac=1.0, keep_gal=4.0, fuel_curve=(POINTS[0], POINTS[3]))
    t = Timeline(start="2021-01-01T00:00", step_h=1.0, n=2, tz="UTC")
    grid = Series("grid_present", np.array([1.0, 0.0]), "")
    w = World(t, {"load_kw": Series("load_kw", np.full(2, 90.0), "kW"), "grid_present": grid})
    state, power = g.step(g.initial_state(), np.array([-100.0]), w, 0)
    assert power == pytest.approx(-100.0 * 6.0 / 7.4) and state.fuel_gal == pytest.approx(4.0)
    state, power = g.step(state, np.array([-100.0]), w, 1)
    assert power == pytest.approx(-100.0 * 4.0 / 7.4) and state.fuel_gal == pytest.approx(0.0)


def test_minimum_times_hold_in_truth() -> None:
    w = world([90] * 4)
    g = plain(min_up_h=2.0, min_down_h=2.0, min_load_frac=0.2)
    state, _ = g.step(g.initial_state(), np.array([-50.0]), w, 0)
    state, power = g.step(state, np.array([0.0]), w, 1)
    assert power == pytest.approx(-20.0), "must stay up, at least load"
    state, power = g.step(state, np.array([0.0]), w, 2)
    assert power == pytest.approx(0.0)
    _, power = g.step(state, np.array([-50.0]), w, 3)
    assert power == pytest.approx(0.0), "must stay down"


def test_lanes_step_as_they_would_alone() -> None:
    w, g = world([90] * 2), plain(min_load_frac=0.2, tank_gal=50.0)
    start = g.initial_state()
    state, power = g.step(start, np.array([-10.0, 0.0, -80.0]), w, 0)
    for lane, wish in enumerate((-10.0, 0.0, -80.0)):
        alone, p = g.step(start, np.array([wish]), w, 0)
        assert p[0] == power[lane] and alone.fuel_gal[0] == state.fuel_gal[lane]


def test_a_plan_of_the_belief_is_what_the_truth_carries_out() -> None:
    g = plain(
        min_load_frac=0.3, fuel_curve=(POINTS[0], POINTS[1], FuelPoint(load_frac=1.0, gal_per_h=7.6)),
        start_usd=2.0, om_usd_per_h=1.5, min_up_h=2.0,
    )  # fmt: skip
    case = Case(world([80, 90, 85, 70]), [FlatRate(usd_per_kwh=(0.1, 0.7, 0.9, 0.2))], [g])
    plan = optimise_view(case.view(), case.assets, case.streams, method="highs", gap=1e-9)
    state = g.initial_state()
    for k in range(4):
        state, power = g.step(state, plan.setpoints_kw["generator"][k : k + 1], case.world, k)
        assert power == pytest.approx(plan.setpoints_kw["generator"][k], abs=1e-6)
    assert np.count_nonzero(plan.setpoints_kw["generator"] < -1) == 2
    settled = -fsum(e.usd for e in g.settle(metered(plan), case.world))
    stated = fsum(v for k, v in plan.term_usd.items() if k.startswith("generator/"))
    assert settled == pytest.approx(stated, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    price=st.lists(st.sampled_from([0.1, 0.45, 0.9, 5.0]), min_size=8, max_size=8),
    tank=st.floats(4.0, 60.0),
    gal=st.floats(1.0, 40.0),
    every=st.sampled_from([2.0, 3.0, 5.0]),
    keep=st.sampled_from([0.0, 3.0]),
    begin=st.sampled_from([0, 2, 5]),
)
def test_a_plan_burns_what_tank_and_trucks_hold_and_no_less_than_pays(
    price: list[float], tank: float, gal: float, every: float, keep: float, begin: int
) -> None:
    g = plain(
        tank_gal=tank, usable_tank_frac=1.0, tank_start_frac=0.9, keep_gal=keep,
        refuelling=Refuelling(every_h=every, gal=gal),
        fuel_curve=(FuelPoint(load_frac=0.0, gal_per_h=0.0), FuelPoint(load_frac=1.0, gal_per_h=10.0)),
    )  # fmt: skip
    w, state = world([200] * 8), g.initial_state()
    for k in range(begin):
        state, _ = g.step(state, np.array([-30.0]), w, k)
    view = View(w.timeline, begin, 8 - begin, Foresight(w), {"generator": state})
    plan = optimise_view(view, [g], [FlatRate(usd_per_kwh=tuple(price[begin:]))], method="highs", gap=1e-9)
    wish = plan.setpoints_kw["generator"]
    for k in range(begin, 8):  # the engine carries the plan out to the last drop
        state, power = g.step(state, wish[k - begin : k - begin + 1], w, k)
        assert power[0] == pytest.approx(wish[k - begin], abs=1e-4)
    # no walk that burns nothing, half or all that it may in each hour earns more
    state = g.initial_state()
    for k in range(begin):
        state, _ = g.step(state, np.array([-30.0]), w, k)
    worth = [{round(float(state.fuel_gal[0]), 9): 0.0}]
    for k in range(begin, 8):
        best: dict[float, float] = {}
        for fuel, usd in worth[-1].items():
            now = min(fuel + gal, tank) if g._delivery(w.timeline, k) else fuel
            may = min(10.0, max(now - keep, 0.0))
            for burn in (0.0, may, may / 2):
                left = round(now - burn, 9)
                best[left] = max(best.get(left, -inf), usd + burn * (10 * price[k] - 3.0))
        worth.append(dict(sorted(best.items(), key=lambda x: -x[1])[:200]))
    most = max(worth[-1].values())
    got = sum(-wish[k - begin] * (price[k] - 0.3) for k in range(begin, 8))
    assert got >= most - 1e-4


def test_an_engine_that_runs_dry_leaves_a_plan() -> None:
    curve = (FuelPoint(load_frac=0.0, gal_per_h=0.0), FuelPoint(load_frac=1.0, gal_per_h=8.0))
    g = plain(tank_gal=10.0, usable_tank_frac=1.0, min_up_h=6.0, min_load_frac=0.2, fuel_curve=curve)
    w = world([200] * 4)
    state, _ = g.step(g.initial_state(), np.array([-100.0]), w, 0)
    view = View(w.timeline, 1, 3, Foresight(w), {"generator": state})
    plan = optimise_view(view, [g], [FlatRate(usd_per_kwh=(9.0, 9.0, 9.0))], method="highs", gap=1e-9)
    assert -plan.setpoints_kw["generator"].sum() == pytest.approx(25.0), "2 gal are left of its six hours"


def test_maintenance_takes_it_off_the_plan_and_spares_the_other_units() -> None:
    g = plain(
        units=2, maintenance=[Maintenance(first_date=date(2021, 3, 1), until_date=date(2021, 3, 2), units=1)]
    )
    view = view_of(g, n=30)
    offer = g.belief(view)
    assert isinstance(offer, Unit) and offer.available is not None
    assert offer.available.tolist() == [0.0] * 24 + [1.0] * 6
    assert g.units_out(view.timeline).tolist() == [1.0] * 24 + [0.0] * 6


def test_monthly_tests_burn_fuel_and_count() -> None:
    # 2021-03-02 is the first Tuesday of March, 2021-04-06 that of April.
    g = plain(
        permit="emergency", om_usd_per_h=10.0, fuel_curve=(FuelPoint(load_frac=0.0, gal_per_h=1.0), POINTS[3]),
        test_run=TestRun(hours=0.75, hour=9, load_frac=0.5), tank_gal=100.0, usable_tank_frac=1.0,
    )  # fmt: skip
    t = Timeline(start="2021-03-01T00:00", step_h=0.5, n=48 * 61, tz="America/New_York")
    w = World(t, {"load_kw": Series("load_kw", np.full(t.n, 50.0), "kW")})
    test_h = g.test_h(t)
    assert test_h.sum() == pytest.approx(1.5)
    assert [t.when(int(k)).isoformat() for k in np.flatnonzero(test_h)] == [
        "2021-03-02T09:00:00-05:00", "2021-03-02T09:30:00-05:00",
        "2021-04-06T09:00:00-04:00", "2021-04-06T09:30:00-04:00",
    ]  # fmt: skip
    idle = record_of(g, [0.0] * t.n, w)
    money = {e.item: e.usd for e in g.settle(idle, w)}
    assert money["tests/fuel"] == pytest.approx(-3.0 * 1.5 * (1.0 + 0.5 * 6.4))
    assert money["tests/running"] == pytest.approx(-15.0)
    assert g.tank_levels_gal(idle)[-1] == pytest.approx(100 - 1.5 * 4.2)
    assert g.run_hours(idle, w)[(2021, "test")] == pytest.approx(1.5)


def test_deliveries_fill_the_tank_and_step_agrees_with_the_record() -> None:
    g = plain(
        tank_gal=40.0, usable_tank_frac=1.0, tank_start_frac=0.5, refuelling=Refuelling(every_h=3.0, gal=30.0),
        fuel_curve=(FuelPoint(load_frac=0.0, gal_per_h=0.0), FuelPoint(load_frac=1.0, gal_per_h=10.0)),
    )  # fmt: skip
    wish, w = [100.0, 50.0, 0.0, 100.0, 0.0, 0.0, 20.0], world([100] * 7)
    state, levels, output = g.initial_state(), [], []
    for k, kw in enumerate(wish):
        state, power = g.step(state, np.array([-kw]), w, k)
        levels.append(float(state.fuel_gal[0]))
        output.append(-float(power[0]))
    assert levels == pytest.approx([10, 5, 5, 25, 25, 25, 38]), "20 at first; 30 brought at 3 h; full at 6 h"
    np.testing.assert_allclose(g.tank_levels_gal(record_of(g, output, w)), [20, *levels])
    told = record_of(g, output, w, **{"generator/tank_gal": np.arange(7.0)})
    assert g.tank_levels_gal(told).tolist() == [20, *range(7)]


def test_backup_says_what_is_in_the_tank_and_how_it_fails() -> None:
    g = plain(units=3, tank_gal=1000.0, usable_tank_frac=0.9, refuelling=Refuelling(every_h=24, gal=500))
    b = g.backup(g.initial_state())
    assert (b.kw, b.units, b.fuel_gal, b.tank_gal) == (300.0, 3, 900.0, 900.0)
    assert (b.start_frac, b.mttf_h, b.available_frac) == (1 - 0.0094, 1100.0, 0.995)
    assert b.refuel_gal == 0.0, "a contract that does not hold in an outage brings nothing in one"
    held = plain(tank_gal=10.0, refuelling=Refuelling(every_h=24, gal=500, in_outage=True))
    assert held.backup(held.initial_state()).refuel_every_h == 24
    half = State(np.array([False]), np.array([inf]), np.zeros(1), np.array([450.0]))
    assert g.backup(half).fuel_gal == 450.0


def test_hours_by_purpose_and_the_permit() -> None:
    g = plain(permit_h_per_y=3.0, used_h=1.0)
    w = world([90] * 4, start="2018-12-31T22:00")
    record = record_of(g, [50, 50, 50, 50], w, **{"generator/paid": np.array([1.0, 0, 0, 0])})
    hours = g.run_hours(record, w)
    assert (hours[(2018, "paid")], hours[(2018, "peak_shaving")], hours[(2019, "peak_shaving")]) == (
        1.0,
        1.0,
        2.0,
    )
    assert not g.permit_findings(record, w)
    tight = plain(permit_h_per_y=2.5, used_h=1.0)
    (finding,) = tight.permit_findings(record, w)
    assert "3 h in 2018" in finding.what and "2.5" in finding.what


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"fuel_curve": [{"kw": 50, "gal_per_h": 4}]}, "one point draws no curve"),
        ({"fuel_curve": [{"kw": 50, "gal_per_h": 4}, {"kw": 40, "gal_per_h": 5}]}, "load must rise"),
        ({"fuel_curve": [{"kw": 50, "gal_per_h": 4}, {"kw": 90, "gal_per_h": 3}]}, "more load takes less fuel"),
        ({"fuel_curve": [{"kw": 50, "gal_per_h": 4}, {"kw": 90, "therm_per_h": 6}]}, "mixed"),
        ({"fuel_curve": [{"kw": 50, "load_frac": 0.5, "gal_per_h": 4}]}, "give load_frac or kw"),
        ({"keep_gal": 5}, "there is no tank"),
        ({"keep_gal": 50, "tank_gal": 50}, "the tank gives 45"),
        ({"permit": "natural_gas"}, "no default is known of a gas engine"),
        ({"refuelling": {"every_h": 24, "gal": 5}}, "give tank_gal too"),
        ({"permit": "emergency", "test_run": {"hours": 9}}, "108 h of tests a year, the permit allows 100"),
        ({"permit": "emergency", "used_h": 120}, "has 100 h a year"),
        (
            {"maintenance": [{"first_date": "2021-03-01", "until_date": "2021-03-02", "units": 2}]},
            "there are 1",
        ),
        ({"maintenance": [{"first_date": "2021-03-02", "until_date": "2021-03-01"}]}, "must be after"),
    ],
)  # fmt: skip
def test_bad_input_says_what_to_do(more: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        plain(**more)


def test_another_size_scales_curve_and_tank() -> None:
    g = plain(fuel_curve=POINTS, tank_gal=100.0).with_size(200.0, units=2)
    assert g.tank_gal == 400.0 and g.total_kw == 400.0
    assert g.burn_per_h(400.0) == pytest.approx(2 * 14.8)


def test_another_size_keeps_every_figure_in_proportion() -> None:
    """A tenth of the set is a tenth of all its money and fuel: what a size costs to run has no cliff in it."""
    whole = plain(
        tank_gal=100.0,
        keep_gal=60.0,
        ramp_kw_per_min=50.0,
        om_usd_per_h=12.0,
        start_usd=30.0,
        refuelling={"every_h": 24.0, "gal": 80.0},
    )
    tenth = whole.with_size(whole.rated_kw / 10)
    for key in ("tank_gal", "keep_gal", "ramp_kw_per_min", "om_usd_per_h", "start_usd"):
        assert getattr(tenth, key) == pytest.approx(getattr(whole, key) / 10)
    assert tenth.refuelling is not None and tenth.refuelling.gal == pytest.approx(8.0)
    assert tenth.burn_per_h(whole.total_kw / 10) == pytest.approx(whole.burn_per_h(whole.total_kw) / 10)


def test_gas_is_counted_in_therms() -> None:
    g = plain(
        permit="natural_gas",
        fuel_curve=[{"load_frac": 0.5, "therm_per_h": 6}, {"load_frac": 1, "therm_per_h": 11}],
    )
    w = world([90, 90])
    (fuel,) = [e for e in g.settle(record_of(g, [100, 0], w), w) if e.item == "fuel"]
    assert (fuel.quantity, fuel.unit, fuel.usd) == (11.0, "therm", -33.0)
