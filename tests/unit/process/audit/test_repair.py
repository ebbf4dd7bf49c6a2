"""Repairs by the written rule: a line to two hours, similar days scaled to a week, similar days beyond."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.process.audit import repair
from valuestack.process.audit.repair import fill, runs
from valuestack.timeline import Kw, Timeline

DOCS = Path(__file__).resolve().parents[4] / "docs" / "how-to" / "import-a-meter.md"


def weeks(step_h: float, n_weeks: int = 20) -> tuple[Timeline, Kw]:
    t = Timeline(
        start="2019-01-07T00:00", step_h=step_h, n=round(n_weeks * 168 / step_h), tz="America/Chicago"
    )
    work = (t.weekday < 5) & (t.hour >= 8) & (t.hour < 18)
    return t, np.where(work, 100.0, 20.0) + t.hour


@pytest.mark.parametrize("step_h", [1 / 12, 0.25, 0.5, 1.0])
def test_up_to_two_hours_a_straight_line(step_h: float) -> None:
    t, kw = weeks(step_h)
    n = round(2 / step_h)
    k = round(9 * 24 / step_h) + 3
    broken = kw.copy()
    broken[k : k + n] = np.nan
    made, gaps = fill(t, broken, t.weekday >= 5)
    assert [(g.first, g.n, g.how) for g in gaps] == [(k, n, "line")]
    want = kw[k - 1] + (kw[k + n] - kw[k - 1]) * np.arange(1, n + 1) / (n + 1)
    np.testing.assert_allclose(made[k : k + n], want)
    broken[k + n] = np.nan
    assert fill(t, broken, t.weekday >= 5)[1][0].how == "similar days"


def test_to_a_week_similar_days_meet_the_level_around_the_gap() -> None:
    t, kw = weeks(1.0)
    kw = kw * np.where((t.day - t.day[0]) // 7 == 8, 1.3, 1.0)  # a hotter week
    a = 8 * 168 + 2 * 24
    broken = kw.copy()
    broken[a : a + 30] = np.nan
    made, _ = fill(t, broken, t.weekday >= 5)
    # Of the four like days at least one is not hot; the level of the hours around makes up for it.
    np.testing.assert_allclose(made[a : a + 30], kw[a : a + 30], rtol=0.08)
    assert made[a : a + 30].mean() > 0.97 * kw[a : a + 30].mean()


def test_longer_than_a_week_similar_days_as_they_are() -> None:
    t, kw = weeks(1.0)
    kw = kw * np.where((t.day - t.day[0]) // 14 == 4, 1.3, 1.0)
    a = 8 * 168 + 24
    broken = kw.copy()
    broken[a : a + 10 * 24] = np.nan
    made, gaps = fill(t, broken, t.weekday >= 5)
    assert gaps[0].how == "similar days"
    # Two before and two after of the same kind of day: one hot Monday, three usual weekdays.
    assert made[a : a + 240].mean() < 1.15 * (kw / 1.3)[a : a + 240].mean()


def test_working_days_are_filled_from_working_days() -> None:
    t, kw = weeks(0.25)
    sat = round((5 * 24 + 7 * 24 * 4) / 0.25)
    broken = kw.copy()
    broken[sat : sat + 192] = np.nan  # a weekend
    made, _ = fill(t, broken, t.weekday >= 5)
    np.testing.assert_allclose(made[sat : sat + 192], kw[sat : sat + 192])
    holiday = np.asarray(t.weekday >= 5) | np.asarray(t.local_date == np.datetime64("2019-02-04"))
    monday = round(28 * 24 / 0.25)
    broken = kw.copy()
    broken[monday : monday + 96] = np.nan
    made, _ = fill(t, broken, holiday)
    assert made[monday : monday + 96].max() < 50


def test_gaps_at_the_ends_are_filled_from_similar_days() -> None:
    t, kw = weeks(1.0)
    broken = kw.copy()
    broken[:1] = np.nan
    broken[-30:] = np.nan
    made, gaps = fill(t, broken, t.weekday >= 5)
    assert [g.how for g in gaps] == ["similar days", "similar days"]
    np.testing.assert_allclose(made, kw)


def test_nothing_known_at_all_is_zero() -> None:
    t, _kw = weeks(1.0, 2)
    made, _ = fill(t, np.full(t.n, np.nan), t.weekday >= 5)
    assert made.tolist() == [0.0] * t.n


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1300), st.integers(1, 200)), min_size=1, max_size=4))
def test_metered_readings_are_never_touched_and_no_hole_is_left(holes: list[tuple[int, int]]) -> None:
    t, kw = weeks(1.0, 8)
    broken = kw.copy()
    for a, n in holes:
        broken[a : a + n] = np.nan
    made, gaps = fill(t, broken, t.weekday >= 5)
    known = np.isfinite(broken)
    assert np.isfinite(made).all() and np.array_equal(made[known], broken[known])
    assert [(g.first, g.n) for g in gaps] == runs(~known)
    if known.any():
        assert made.min() >= 0 and made.max() <= 2 * kw.max()


def test_the_rule_and_the_limits_are_written_where_people_read_them() -> None:
    text = " ".join(DOCS.read_text(encoding="utf-8").split())
    for said in (
        f"up to {repair.LINE_H:g} h",
        f"up to {repair.SCALE_H / 24:g} days",
        f"more than {repair.MOST_FRAC:.0%}".replace("%", " %"),
        f"more than {repair.LONGEST_DAYS:g} days",
        "straight line",
        "same kind",
    ):
        assert said in text, said
