"""The warranty ledger by hand: what is used, when each term is breached, what to ask for; and laws of both."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.assets.battery import Battery
from valuestack.assets.wear.rainflow import count
from valuestack.assets.wear.warranty import Trace, Warranty, ask_for, moved_kw, spent, within
from valuestack.dispatch import Record
from valuestack.errors import InputError
from valuestack.timeline import Timeline

YEAR = Timeline(start="2019-01-01", step_h=1.0, n=8760, tz="America/Phoenix")


def trace(discharged_kw: Any, soc: float = 0.5) -> Trace:
    """100 kWh nameplate, 95 kWh discharged a full cycle."""
    out = np.broadcast_to(np.asarray(discharged_kw, dtype=float), YEAR.n).copy()
    return Trace(YEAR, out, out, np.full(YEAR.n, soc), 100.0, 95.0)


def test_energy_over_the_term_is_breached_in_the_hour_it_is_used_up() -> None:
    """10 kW all year are 87.6 MWh a year; 200 MWh are used up after 20,000 h, the next hour breaches."""
    made = spent(trace(10.0), Warranty(years=10, throughput_mwh=200.0))
    (row,) = made.terms
    assert row.used == pytest.approx(876.0) and row.used_frac == pytest.approx(4.38)
    assert row.breach == YEAR.start + timedelta(hours=20001)
    assert row.years_to_breach == pytest.approx(20001 / 8760)
    assert [y.discharged_mwh for y in made.years] == pytest.approx([87.6] * 10)
    assert made.first_breach is row


def test_cycles_of_a_year_begin_anew_each_year() -> None:
    """9.5 kW an hour is a tenth of a cycle: 876 a year. 800 are passed in hour 8001 of the first year, 900 never."""
    over = spent(trace(9.5), Warranty(years=3, cycles_per_y=800.0)).terms[0]
    assert over.used == pytest.approx(876.0)
    assert over.years_to_breach == pytest.approx(8001 / 8760)
    assert spent(trace(9.5), Warranty(years=3, cycles_per_y=900.0)).first_breach is None


def test_a_day_a_mean_a_low_and_a_rate() -> None:
    out = np.zeros(YEAR.n)
    out[24 * 9 : 24 * 9 + 2] = 95.0  # two full cycles on the tenth day
    w = Warranty(years=5, cycles_per_day=1.5, mean_soc_frac=0.6, min_soc_frac=0.1, max_kw_per_kwh=0.9)
    rows = {t.name: t for t in spent(trace(out, soc=0.7), w).terms}
    assert rows["cycles a day"].years_to_breach == pytest.approx(10 * 24 / 8760)
    assert rows["mean state of charge"].years_to_breach == 1.0  # a mean of a year is known at its end
    assert rows["least state of charge"].breach is None
    assert rows["power over energy"].breach == YEAR.start + timedelta(hours=24 * 9)
    assert rows["power over energy"].used == pytest.approx(0.95)


def test_capacity_is_dated_to_the_month() -> None:
    """2 % a year against 80 % at the end of 15 years: lost after ten."""
    made = spent(trace(1.0), Warranty(years=15, min_capacity_frac=0.8), lambda years: 1 - 0.02 * years)
    (row,) = made.terms
    assert row.used == pytest.approx(0.3) and row.limit == pytest.approx(0.2)
    assert row.years_to_breach == pytest.approx(10.0, abs=1 / 12)
    held = spent(trace(1.0), Warranty(years=9, min_capacity_frac=0.8), lambda years: 1 - 0.02 * years)
    assert held.first_breach is None


def test_what_to_ask_for_is_the_quantile_over_years() -> None:
    traces = [trace(kw) for kw in np.arange(1.0, 12.0)]
    asked = ask_for(traces, term_y=10.0)
    assert asked.years_seen == 11
    assert asked.mwh_per_y == pytest.approx(87.6)  # the tenth of eleven
    assert asked.throughput_mwh == pytest.approx(876.0)
    assert asked.cycles_per_y == pytest.approx(87600 / 95)
    assert asked.max_kw_per_kwh == pytest.approx(0.10)
    with pytest.raises(InputError, match="half a year"):
        ask_for([])


def test_calls_in_an_interval_count_both_ways() -> None:
    """50 kW of plan into the store while a signal takes 20 and gives 25 kW: 75 in, 20 out, 55 net."""
    into, out = moved_kw(np.array([55.0]), 20.0, 25.0)
    assert into == pytest.approx([75.0]) and out == pytest.approx([20.0])


@given(
    st.lists(st.tuples(st.floats(-200, 200), st.floats(0, 100), st.floats(0, 100)), min_size=1, max_size=30)
)
@settings(max_examples=100, deadline=None)
def test_the_net_of_what_moves_is_what_the_meter_saw(rows: list[tuple[float, float, float]]) -> None:
    power, up, down = (np.array(v) for v in zip(*rows, strict=True))
    into, out = moved_kw(power, up, down)
    assert np.allclose(into - out, power) and (into >= -1e-12).all() and (out >= up - 1e-12).all()


@given(st.lists(st.floats(0, 40), min_size=4, max_size=40), st.floats(1.0, 3.0))
@settings(max_examples=60, deadline=None)
def test_cycles_inside_intervals_are_the_dearest_way_to_move_that_energy(
    swings: list[float], exponent: float
) -> None:
    """Against a trace that shows the same in and out in k smaller swings, by rainflow, for any convex stress."""
    deep = within(np.array(swings), np.array(swings), np.full(len(swings), 0.5), (1.0, 1.0), 1.0, 100.0)
    for k in (1, 2, 4):
        points = [0.5]
        for s in swings:
            points += [0.5 + s / k / 100, 0.5] * k
        fine = count(np.array(points))
        assert (deep.count * deep.range_**exponent).sum() >= (fine.count * fine.range_**exponent).sum() - 1e-9
    if exponent == 1.0:
        assert (deep.count * deep.range_).sum() == pytest.approx(sum(swings) / 100)


@given(st.floats(0.5, 20), st.floats(1.0, 3.0), st.floats(50, 2000))
@settings(max_examples=50, deadline=None)
def test_more_use_never_breaches_later(kw: float, more: float, limit: float) -> None:
    w = Warranty(years=12, throughput_mwh=limit, cycles_per_y=limit)
    less, greater = spent(trace(kw), w).terms, spent(trace(kw * more), w).terms
    for a, b in zip(less, greater, strict=True):
        if a.years_to_breach is not None:
            assert b.years_to_breach is not None and b.years_to_breach <= a.years_to_breach + 1e-12
            # and the day of breach is the first: what was used until the hour before was within the limit
    energy = less[0]
    if energy.years_to_breach is not None:
        assert (energy.years_to_breach * 8760 - 1) * kw / 1000 <= limit + 1e-6


def test_a_battery_counts_the_calls_of_its_record() -> None:
    """A quarter of a 100 kW award both ways all year: 25 kW out, 219 MWh, none of which the energies show."""
    b = Battery(
        name="b", power_kw=100, energy_kwh=400, round_trip_efficiency_frac=1.0, soc_min_frac=0.0,
        replacement_usd_per_kwh=250, warranty=Warranty(years=10, throughput_mwh=1000),
    )  # fmt: skip
    flat = np.full(YEAR.n, 200.0)
    idle = Record(YEAR, np.zeros(YEAR.n), asset_kw={"b": np.zeros(YEAR.n)}, stored_kwh={"b": flat})
    calls = {"b/called up": np.full(YEAR.n, 25.0), "b/called down": np.full(YEAR.n, 25.0)}
    busy = Record(YEAR, idle.net_kw, asset_kw=idle.asset_kw, stored_kwh=idle.stored_kwh, extra=calls)
    assert b.worn(idle).throughput_kwh == 0.0 and b.worn(idle).counted_usd == 0.0
    worn = b.worn(busy)
    assert worn.throughput_kwh == pytest.approx(219_000)
    assert worn.full_cycles == pytest.approx(547.5)
    # depth does not matter to this cell: the life is that of as many full cycles
    assert worn.counted_usd == pytest.approx(547.5 * b.stress.coefficient * 250 * 400)
    made = b.spent(busy)
    assert made.terms[0].years_to_breach == pytest.approx(1000 / 219, abs=2 / 8760)
    assert made.years[0].capacity_frac is not None
    assert made.years[0].capacity_frac < b.spent(idle).years[0].capacity_frac  # type: ignore[operator]
