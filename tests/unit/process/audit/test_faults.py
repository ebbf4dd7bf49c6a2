"""Faults of the twelve kinds in seeded site-years: found, and no false alarm, without any file of data.

The thresholds of the detection were set on seeds 0 to 9; the seeds here are others.
"""

from __future__ import annotations

import numpy as np
import pytest

from valuestack.process.audit import audit, faults, filled
from valuestack.process.audit.clock import clock_move
from valuestack.process.audit.jumps import jumps

from .injection import KINDS, alarms, recall
from .loads import SiteYear, channel, read, synthetic, table

SITES = (("office", 200, 0.25), ("two shifts", 201, 1.0), ("hotel", 202, 0.5))


@pytest.fixture(scope="module")
def office() -> SiteYear:
    return synthetic("office", 210, step_h=1.0)


@pytest.mark.slow
def test_faults_of_twelve_kinds_are_found() -> None:
    hit, missed = recall([synthetic(trade, seed, step_h=h) for trade, seed, h in SITES], seed=200)
    assert list(hit) == list(KINDS) and len(hit) == 12
    assert all(put > 0 for _, put in hit.values())
    assert {k: (got, put) for k, (got, put) in hit.items() if got < 0.95 * put} == {}, missed


@pytest.mark.parametrize("trade", ["office", "shop", "school", "cold store", "foundry", "hotel", "data hall"])
def test_clean_years_raise_no_alarm(trade: str) -> None:
    assert alarms(audit(read(synthetic(trade, 220, step_h=1.0)), tz="America/Chicago", spikes=False)) == []


def test_five_minute_years_raise_no_alarm_and_show_a_dead_meter() -> None:
    site = synthetic("shop", 221, step_h=1 / 12)
    assert alarms(audit(read(site), tz=site.tz, spikes=False)) == []
    kw = site.kw.copy()
    kw[40000:40144] = kw[40000]
    made = audit(table(channel(site.timeline.utc_s, kw)), tz=site.tz, spikes=False)
    assert [f.kind for f in made.findings if f.severity == "warning"] == ["stuck_meter"]
    assert made.quality[40001:40144].all() and made.quality.sum() <= 146


def test_an_idle_plant_that_draws_its_base_load_is_not_stuck(office: SiteYear) -> None:
    kw = np.where(office.timeline.hour < 6, 36.79, office.kw)
    assert faults.stuck(office.timeline, kw) == []


def test_a_dead_meter_holds_a_value_that_is_not_seen_elsewhere(office: SiteYear) -> None:
    kw = np.where(office.timeline.hour < 6, 36.79, office.kw)
    kw[3000:3030] = 217.123
    assert [(f.first, f.n) for f in faults.stuck(office.timeline, kw)] == [(3000, 30)]


def test_zeros_say_nothing_where_the_load_is_often_near_zero(office: SiteYear) -> None:
    kw = np.where(office.timeline.hour < 6, 0.001, office.kw)
    kw[4000:4010] = 0.0
    assert faults.zeros(office.timeline, kw) == []
    kw = office.kw.copy()
    kw[4000:4010] = 0.0
    assert [(f.first, f.n) for f in faults.zeros(office.timeline, kw)] == [(4000, 10)]


def test_many_high_readings_are_a_mode_of_operation(office: SiteYear) -> None:
    kw = office.kw.copy()
    kw[100:8700:50] *= 20
    assert faults.outliers(kw) == []


def test_a_closed_plant_is_no_multiplier(office: SiteYear) -> None:
    t = office.timeline
    shut = (t.month == 7) & (t.hour >= 6) & (t.hour < 20)
    kw = np.where(shut, office.kw * 0.3, office.kw)
    assert jumps(t, kw, t.weekday >= 5) == []


def test_a_multiplier_may_change_at_any_hour(office: SiteYear) -> None:
    kw = office.kw.copy()
    kw[3010:5005] *= 4
    (found,) = jumps(office.timeline, kw, office.timeline.weekday >= 5)
    assert found.factor == 4 and abs(found.first - 3010) <= 2 and abs(found.first + found.n - 5005) <= 2


def test_a_straight_load_is_not_called_filled(office: SiteYear) -> None:
    t = office.timeline
    assert filled.lines(t, np.linspace(10, 20, t.n)) == []
    kw = office.kw.copy()
    kw[1000:1040] = np.round(np.linspace(50, 90, 40), 2)
    assert [(f.first, f.n) for f in filled.lines(t, kw)] in (
        [(1000, 40)],
        [(999, 41)],
        [(1000, 41)],
        [(999, 42)],
    )


def test_a_schedule_that_repeats_every_day_is_not_copied(office: SiteYear) -> None:
    t = office.timeline
    assert filled.copies(t, np.where((t.hour > 7) & (t.hour < 18), 100.0, 20.0 + t.hour)) == []


def test_a_plant_that_runs_by_utc_is_asked_for(office: SiteYear) -> None:
    t = office.timeline
    slot = t.utc_s // 3600 % 24
    kw = 100 + 80 * ((slot >= 13) & (slot < 23)) + np.random.default_rng(5).normal(0, 3, t.n)
    move = clock_move(t, kw)
    assert move is not None and abs(move.hours) == 1 and move.rule == ""


def test_a_flat_load_cannot_show_its_clock(office: SiteYear) -> None:
    kw = 100 + np.random.default_rng(6).normal(0, 1, office.timeline.n)
    assert clock_move(office.timeline, kw) is None
