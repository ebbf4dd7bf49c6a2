"""What outages cost with and without backing: against simulation, in closed form, and from the dispatched state."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.unit.streams.resilience.places import battery, engine, place, record
from valuestack.errors import InputError
from valuestack.streams.resilience.outage import Outage
from valuestack.streams.stream import ValueStream

DAMAGE = {"momentary_usd": 100.0, "points": [(1.0, 400.0), (8.0, 3000.0)], "usd_per_kwh": 0.5}
MODEL = {"saifi_per_y": 1.5, "caidi_h": 3.0, "median_h": 1.5, "momentary_per_y": 4.0}


def stream(**more: object) -> Outage:
    values = {
        "critical": {"load_frac": 1.0},
        "outages": MODEL,
        "damage": DAMAGE,
        "horizon_h": 24,
        "bins": 100,
    } | more
    return Outage.model_validate(values)


def test_nothing_behind_the_load_avoids_nothing() -> None:
    where = place([50.0] * 48, [])
    bound = stream().bind(where)
    assert isinstance(bound, ValueStream)
    found = bound.avoided(record(where))
    assert found.avoided_usd == pytest.approx(0.0, abs=1e-9) and found.without_usd > 0
    hours, per_y = bound.model.durations()
    by_hand = per_y @ bound.cost.cost_usd(hours, 50.0 * hours)
    assert found.without_usd / found.years == pytest.approx(by_hand + 4 * 100.0)


def test_a_perfect_backup_that_bridges_avoids_everything_up_to_its_horizon() -> None:
    sure = engine(available_frac=1.0, start_failure_frac=0.0, mttf_h=1e9)
    where = place([50.0] * 48, [sure, battery(60.0)])
    bound = stream(outages=MODEL | {"median_h": 3.0}, store_available_frac=1.0).bind(where)
    found = bound.avoided(record(where, 100.0))
    assert found.with_usd == pytest.approx(0.0, abs=1e-4 * found.without_usd)
    assert found.momentary_usd == pytest.approx(4 * 100.0 * found.years)


def test_an_engine_that_is_not_bridged_blinks() -> None:
    sure = engine(available_frac=1.0, start_failure_frac=0.0, mttf_h=1e9, start_s=10.0)
    where = place([50.0] * 48, [sure])
    found = stream().bind(where).avoided(record(where))
    assert found.bridged_frac == 0.0
    kwh_beyond = 24  # the horizon
    assert found.with_usd / found.years > (1.5 + 4) * 100.0 - 1 and kwh_beyond == 24
    helped = stream(ups_kw=60.0, ups_min=1.0).bind(where).avoided(record(where))
    assert helped.bridged_frac == 1.0
    assert (found.with_usd - helped.with_usd) / found.years == pytest.approx((1.5 + 4) * 100.0, rel=1e-3)


def test_against_simulation() -> None:
    """The same outages drawn one by one: units start or not, fail or not, and the loss is read off at the end."""
    rng = np.random.default_rng(5)
    load = rng.uniform(60.0, 190.0, 96)
    pair = engine(units=2, available_frac=0.9, start_failure_frac=0.1, mttf_h=15.0, start_s=10.0)
    where = place(load, [pair])
    bound = stream(outages=MODEL | {"momentary_per_y": None}).bind(where)
    found = bound.avoided(record(where))
    runs, years_per_run = 60_000, 1 / 1.5
    drawn = rng.integers(0, 96, runs)
    length = 1.5 * np.exp(np.sqrt(2 * np.log(2.0)) * rng.standard_normal(runs))
    units, lost_at = rng.binomial(2, 0.9 * 0.9, runs), np.full(runs, np.inf)
    for j in range(24):
        units = rng.binomial(units, 1 - 1 / 15.0)
        falls = (units * 100.0 < load[(drawn + j) % 96]) & (lost_at == np.inf) & (length > j)
        lost_at[falls] = j
    lost_at[(lost_at == np.inf) & (length > 24)] = 24
    failed = lost_at < np.inf
    cost = np.where(failed, 0.0, 100.0)  # the blink while engines start
    cost[failed & (lost_at > 0)] += 100.0
    left = np.where(failed, length - np.where(failed, lost_at, 0.0), 0.0)
    kwh = np.zeros(runs)
    for i in np.flatnonzero(failed):
        steps = np.arange(int(lost_at[i]), int(np.ceil(length[i])))
        hours = np.clip(length[i] - steps, 0, 1)
        need = np.where(steps < 24, load[(drawn[i] + steps) % 96], load.mean())
        kwh[i] = need @ hours
    cost = cost + bound.cost.cost_usd(left, kwh)
    error = cost.std() / np.sqrt(runs) / years_per_run
    assert found.with_usd / found.years == pytest.approx(cost.mean() / years_per_run, abs=4 * error)
    assert error / (cost.mean() / years_per_run) < 0.02, "the test is sharp"


def test_drawn_outages_cost_on_average_what_is_expected() -> None:
    load = np.random.default_rng(2).uniform(30.0, 120.0, 8760)
    where = place(load, [engine(start_s=10.0), battery(60.0)])
    bound = stream(starts_every_h=2.0).bind(where)
    half = record(where, 100.0)
    without, with_it = bound.scenario_costs_usd(half, 2000, seed=3)
    found = bound.avoided(half)
    for drawn, expected in ((without, found.without_usd), (with_it, found.with_usd)):
        assert drawn.mean() == pytest.approx(expected, abs=4 * drawn.std() / np.sqrt(2000))
    again, _ = bound.scenario_costs_usd(half, 2000, seed=3)
    assert np.array_equal(without, again) and (with_it <= without + 1e-9).mean() > 0.9


def test_an_emptier_battery_is_worth_less_and_the_difference_is_the_price_of_stacking() -> None:
    where = place([50.0] * 48, [battery(60.0, soc_start_frac=1.0)])
    bound = stream().bind(where)
    full, half = record(where, 200.0), record(where, 100.0)
    a, b = bound.avoided(full).avoided_usd, bound.avoided(half).avoided_usd
    assert a > b > 0
    assert bound.price_of_stacking_usd(half) == pytest.approx(a - b)
    assert bound.price_of_stacking_usd(full) == pytest.approx(0.0, abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(stored=st.floats(0, 200), more=st.floats(0, 100), fuel=st.floats(5, 60), extra=st.floats(0, 60))
def test_laws_of_survival(stored: float, more: float, fuel: float, extra: float) -> None:
    """Survival falls with length, and never with more fuel; more energy in store avoids no less cost."""
    load = np.tile([80.0, 120.0, 60.0, 140.0], 6)

    def made(tank: float, units: int = 1) -> Outage:
        where = place(load, [engine(tank_gal=tank, units=units), battery(60.0)])
        return stream(horizon_h=12).bind(where)

    def survives(tank: float, energy: float, units: int = 1) -> np.ndarray:
        bound = made(tank, units)
        assert bound._place is not None
        return bound.survival(record(bound._place, energy)).cumulative

    base = survives(fuel, stored)
    assert (np.diff(base, axis=1) <= 1e-9).all() and base.min() >= 0 and base.max() <= 1 + 1e-9
    assert (survives(fuel + extra, stored) >= base - 1e-9).all()
    assert (survives(1e9, stored, 2) >= survives(1e9, stored) - 1e-9).all()
    # the energy grid splits mass between neighbours: compare means, within the grid
    assert survives(fuel, min(200.0, stored + more)).mean() >= base.mean() - 5e-3


@pytest.mark.parametrize(
    ("units", "needed", "hours", "expected"),
    # computed from the equations of NREL/REopt.jl, src/outagesim/backup_reliability.jl, with its defaults
    [
        (1, 1, 24, 0.964),
        (1, 1, 48, 0.944),
        (1, 1, 96, 0.903),
        (2, 1, 48, 0.9968),
        (2, 2, 48, 0.890),
        (3, 2, 48, 0.991),
        (5, 4, 48, 0.972),
    ],
)
def test_worked_numbers_from_a_site(units: int, needed: int, hours: int, expected: float) -> None:
    where = place([100.0 * needed] * 24, [engine(units=units)])
    found = stream(horizon_h=96).bind(where).curves(record(where)).at(hours)
    assert found == pytest.approx(expected, abs=5e-4)


def test_common_cause_takes_the_gain_of_a_second_unit() -> None:
    alike = place([100.0] * 24, [engine(units=2)])
    shared = place([100.0] * 24, [engine(units=2, common_cause_frac=0.1)])
    a, b = (stream(horizon_h=48).bind(p).curves(record(p)).at(48) for p in (alike, shared))
    assert b < a - 0.003


def test_curves_by_hour_and_month() -> None:
    load = np.where(np.arange(48) % 24 < 12, 90.0, 200.0)
    where = place(load, [engine()], start="2021-05-31T00:00")
    curves = stream().bind(where).curves(record(where))
    assert curves.hours[-1] == 24 and curves.mean_frac.shape == (24,)
    assert curves.by_hour_frac[3, 0] == pytest.approx(0.995 * (1 - 0.0094) * (1 - 1 / 1100))
    assert curves.by_hour_frac[15, 0] == 0.0
    assert np.isnan(curves.by_month_frac[0]).all() and curves.by_month_frac[4, 0] == pytest.approx(
        curves.by_month_frac[5, 0]
    )
    assert curves.certain_frac[0] == 0.5 and curves.certain_frac[11] == pytest.approx(1 / 24)
    assert curves.at(1.0) == curves.mean_frac[0]
    with pytest.raises(InputError, match="known up to 24 h"):
        curves.at(48.0)


def test_settled_as_modelled_layer_two() -> None:
    where = place([50.0] * 48, [engine(), battery(60.0)])
    bound = stream().bind(where)
    entries = list(bound.settle(record(where, 100.0), where.world))
    assert [e.item for e in entries] == ["outages avoided", "momentaries avoided"]
    found = bound.avoided(record(where, 100.0))
    assert sum(e.usd for e in entries) == pytest.approx(found.avoided_usd)
    assert {(e.layer, e.certainty, e.status) for e in entries} == {(2, "modelled", "provisional")}
    assert not bound.terms(None)  # type: ignore[arg-type]
    quiet = stream(outages=MODEL | {"momentary_per_y": None}).bind(where)
    assert [e.item for e in quiet.settle(record(where, 100.0), where.world)] == ["outages avoided"]
    assert any("momentary interruptions is given; they are not valued" in a for a in quiet.assumptions)


def test_bad_input_names_the_clause() -> None:
    with pytest.raises(ValidationError, match="lasts 0 hours or more, check the sign"):
        stream(damage={"points": [(-4.0, 2.8e6)]})
    with pytest.raises(ValidationError, match="did you mean 'ice-1-small'"):
        stream(damage="ice-1-smal")
    with pytest.raises(ValidationError, match="no outage model is called"):
        stream(outages="nowhere")
    with pytest.raises(InputError, match="bind it to its site first"):
        stream().avoided(record(place([1.0], [])))
