"""Baselines against values worked out by hand on loads of round numbers."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.errors import DataError, InputError, UnknownKind
from valuestack.streams.grid.baseline import (
    Adjustment,
    Baseline,
    Event,
    Ruler,
    Selection,
    average_coincident_load,
    firm_service_level,
    judge,
    load_baseline,
    shipped,
)
from valuestack.timeline import Kw, Timeline

# Monday 3 June 2019; 42 days of hours
TIME = Timeline(start="2019-06-03T00:00", step_h=1.0, n=24 * 42, tz="America/New_York")


def flat_days(levels: list[float]) -> Kw:
    return np.repeat(np.asarray(levels, dtype=float), 24)


def at(day: int, hour: int, n: int = 4) -> Event:
    return Event(24 * day + hour, n)


def rule(**parts: object) -> Baseline:
    return Baseline.model_validate({"name": "test", "source": "by hand", "verified": True, **parts})


def test_high_4_of_5_drops_the_lowest_weekday_and_shifts_by_the_morning() -> None:
    """PJM Manual 11 section 10.4 (as recollected; the product file marks it unverified): symmetric additive."""
    # Weekdays before Monday 10 June (day 7): 3-7 June at 100, 110, 60, 120, 130 -> drop 60, mean 115.
    levels = [100.0, 110, 60, 120, 130, 900, 900, 140, *[100.0] * 34]
    net = flat_days(levels)
    result = Ruler(TIME, net).baseline(load_baseline("pjm-high-4-of-5"), at(7, 14))
    assert result.unadjusted_kw.tolist() == [115.0] * 4
    assert result.adjustment == pytest.approx(25.0), "hours 10-13 stood at 140: 25 above"
    assert result.kw.tolist() == [140.0] * 4
    assert result.days == (date(2019, 6, 7), date(2019, 6, 6), date(2019, 6, 4), date(2019, 6, 3))


def test_weekend_uses_weekend_days() -> None:
    levels = [10.0] * 42
    for d in (5, 6, 12):
        levels[d] = {5: 50.0, 6: 70.0, 12: 30.0}[d]
    result = Ruler(TIME, flat_days(levels)).baseline(
        rule(
            weekday={"take": 4, "of": 5}, weekend={"take": 2, "of": 3, "pick": "highest", "rank_over": "day"}
        ),
        at(13, 12),
    )
    assert result.unadjusted_kw[0] == 60.0, "of 30, 70 and 50 the highest two"


def test_same_day_3_and_2_as_in_the_worked_example() -> None:
    """PJM's example of the rule (rtowww.com/23098): hours ending 13-17 are compared with 9-11 and 19-20."""
    # Event hours ending 13-17 = 12:00-17:00; before: hours ending 9-11; after: hours ending 19-20.
    net = np.arange(TIME.n, dtype=float) % 24 + 1  # the value is its own hour ending
    result = Ruler(TIME, net).baseline(load_baseline("pjm-same-day-3-2"), at(3, 12, 5))
    assert result.kw.tolist() == [np.mean([9, 10, 11, 19, 20])] * 5


def test_ratio_adjustment_is_capped_at_20_percent() -> None:
    """CAISO Baseline Accuracy Work Group, draft of 2017: "10 of 10 with a 20 % same day adjustment"."""
    levels = [100.0] * 42
    levels[14] = 150.0
    result = Ruler(TIME, flat_days(levels)).baseline(load_baseline("caiso-10-of-10"), at(14, 16))
    assert result.adjustment == pytest.approx(1.5) and result.capped
    assert result.kw.tolist() == pytest.approx([120.0] * 4)


def test_middle_8_of_10_drops_both_ends() -> None:
    levels = [float(10 * (i + 1)) for i in range(42)]
    result = Ruler(TIME, flat_days(levels)).baseline(load_baseline("ercot-middle-8-of-10"), at(14, 12))
    weekdays = [levels[d] for d in range(14) if d % 7 < 5]
    assert result.kw[0] == pytest.approx(np.mean(sorted(weekdays)[1:-1]))


def test_event_days_holidays_and_repaired_days_are_passed_over() -> None:
    levels = [100.0] * 42
    levels[3], levels[2], levels[1] = 900.0, 800.0, 700.0
    net = flat_days(levels)
    quality = np.zeros(TIME.n, dtype=np.int64)
    quality[24 * 1 + 5] = 1
    ruler = Ruler(TIME, net, [at(3, 12)], holidays=[date(2019, 6, 5)], quality=quality)
    result = ruler.baseline(rule(weekday={"take": 2, "of": 2}), at(7, 12))
    assert result.days == (date(2019, 6, 7), date(2019, 6, 3))


def test_too_short_a_history_is_refused_with_the_count() -> None:
    with pytest.raises(DataError, match=r"needs 10 eligible days in the 45 days before and finds 2"):
        Ruler(TIME, np.ones(TIME.n)).baseline(load_baseline("caiso-10-of-10"), at(2, 12))


def test_matching_days_are_the_nearest_outside_the_event() -> None:
    rng = np.random.default_rng(1)
    net = flat_days(list(rng.uniform(50, 150, 42)))
    net[24 * 21 : 24 * 22] = net[24 * 16 : 24 * 17] + 0.1
    result = Ruler(TIME, net).baseline(rule(weekday={"take": 1, "of": 45, "pick": "closest"}), at(21, 12))
    assert result.days == (date(2019, 6, 19),)


def test_own_weights_give_the_unadjusted_baseline_back() -> None:
    rng = np.random.default_rng(2)
    net = rng.uniform(50, 150, TIME.n)
    ruler, event = Ruler(TIME, net), at(20, 13)
    result = ruler.baseline(load_baseline("nyiso-high-5-of-10"), event)
    w = ruler.own_weights(result, event)
    again = np.bincount(w.row, weights=w.weight * net[w.col], minlength=TIME.n)[event.span]
    np.testing.assert_allclose(again, result.unadjusted_kw)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), day=st.integers(15, 40), hour=st.integers(6, 18), scale=st.floats(0.1, 10))
def test_a_baseline_scales_with_the_load_and_shaving_ordinary_days_lowers_it(
    seed: int, day: int, hour: int, scale: float
) -> None:
    net = np.random.default_rng(seed).uniform(50, 150, TIME.n)
    for name in ("pjm-high-4-of-5", "caiso-10-of-10", "nyiso-high-5-of-10"):
        one = Ruler(TIME, net).baseline(load_baseline(name), at(day, hour))
        many = Ruler(TIME, scale * net).baseline(load_baseline(name), at(day, hour))
        np.testing.assert_allclose(many.kw, scale * one.kw, rtol=1e-9)
        if name == "pjm-high-4-of-5":
            continue  # it ranks whole days, so shaving may swap a day for one with higher event hours
        shaved = net.copy()
        shaved[: 24 * day] = np.minimum(shaved[: 24 * day], 100.0)
        eroded = Ruler(TIME, shaved).baseline(load_baseline(name), at(day, hour))
        assert eroded.unadjusted_kw.mean() <= one.unadjusted_kw.mean() + 1e-9


def test_clock_changes_leave_whole_days() -> None:
    spring = Timeline(start="2019-02-25T00:00", step_h=0.25, n=96 * 21, tz="America/New_York")
    net = np.full(spring.n, 80.0)
    k = spring.index("2019-03-14T02:00")
    result = Ruler(spring, net).baseline(rule(weekday={"take": 5, "of": 5}), Event(k, 8))
    assert result.kw.tolist() == [80.0] * 8


def test_judging_on_placebo_days() -> None:
    ruler = Ruler(TIME, np.full(TIME.n, 50.0))
    quality = judge(ruler, load_baseline("caiso-10-of-10"), [at(1, 12), at(20, 12), at(30, 12)])
    assert (quality.placebos, quality.refused) == (2, 1)
    assert quality.rrmse_frac == 0 and quality.bias_frac == 0


def test_firm_service_level_is_a_constant() -> None:
    assert firm_service_level(120.0, at(0, 0, 2)).kw.tolist() == [120.0, 120.0]


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_baseline_loads_and_names_its_source(name: str) -> None:
    loaded = load_baseline(name)
    assert loaded.source and (loaded.verified is False or loaded.source_date is not None)


def test_bad_rules_are_refused_in_words() -> None:
    with pytest.raises(UnknownKind, match="caiso-10-of-10"):
        load_baseline("caiso-10of10")
    with pytest.raises(ValueError, match="cannot take more days"):
        Selection(take=5, of=4)
    with pytest.raises(ValueError, match="odd"):
        Selection(take=7, of=10, pick="middle")
    with pytest.raises(ValueError, match="either"):
        rule()
    with pytest.raises(ValueError):
        Adjustment(form="additive", hours=-1)
    assert issubclass(InputError, Exception)


def test_matching_days_leave_out_the_hours_around_the_event() -> None:
    net = np.random.default_rng(6).uniform(80, 120, TIME.n)
    like = net[24 * 21 : 24 * 22].copy()
    net[24 * 16 : 24 * 17] = like + 1.0
    net[24 * 15 : 24 * 16] = like
    net[24 * 15 + 11] += 500.0  # the hour before the event of 12 to 16 counts only for the plain comparison
    plain = rule(weekday={"take": 1, "of": 45, "pick": "closest"})
    apart = rule(weekday={"take": 1, "of": 45, "pick": "closest", "apart_h": 1})
    assert Ruler(TIME, net).baseline(plain, at(21, 12)).days == (date(2019, 6, 19),)
    assert Ruler(TIME, net).baseline(apart, at(21, 12)).days == (date(2019, 6, 18),)


def test_nine_tenths_of_yesterday_and_one_tenth_of_the_day() -> None:
    levels = list(np.random.default_rng(7).uniform(50, 150, 42))
    result = Ruler(TIME, flat_days(levels)).baseline(load_baseline("isone-weighted-10"), at(25, 12))
    weekdays = [levels[d] for d in range(25) if d % 7 < 5]
    by_hand = float(np.mean(weekdays[:10]))
    for level in weekdays[10:]:
        by_hand = 0.9 * by_hand + 0.1 * level
    assert result.kw[0] == pytest.approx(by_hand)
    with pytest.raises(ValueError, match="take = of"):
        Selection(take=4, of=10, smoothing_frac=0.1)


def test_regression_on_temperature_equals_a_fit_hour_by_hour() -> None:
    rng = np.random.default_rng(8)
    warm, net = rng.uniform(10, 35, TIME.n), rng.uniform(50, 150, TIME.n)
    fit = rule(regression={"days": 12, "lookback_days": 60})
    result = Ruler(TIME, net, temperature_c=warm).baseline(fit, at(31, 13))
    rows = [24 * d for d in range(31) if d % 7 < 5][-12:]
    for j, hour in enumerate(range(13, 17)):
        k = np.array(rows) + hour
        slope, level = np.polyfit(warm[k], net[k], 1)
        assert result.kw[j] == pytest.approx(level + slope * warm[24 * 31 + hour])
    with pytest.raises(DataError, match="give the ruler a temperature"):
        Ruler(TIME, net).baseline(fit, at(31, 13))
    with pytest.raises(DataError, match="needs 12 eligible days"):
        Ruler(TIME, net, temperature_c=warm).baseline(fit, at(9, 13))


def test_average_coincident_load_is_the_mean_of_the_top_20_of_40_hours() -> None:
    net = np.zeros(TIME.n)
    peaks = list(range(0, 400, 10))
    net[peaks] = np.arange(1.0, 41.0)
    assert average_coincident_load(TIME, net, peaks) == pytest.approx(np.mean(np.arange(21, 41)))
    with pytest.raises(DataError, match="needs 20 peak hours"):
        average_coincident_load(TIME, net, peaks[:19])


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 999),
    method=st.sampled_from(
        [
            "caiso-10-of-10",
            "pjm-high-4-of-5",
            "pjm-same-day-3-2",
            "isone-weighted-10",
            "regression-temperature-30",
        ]
    ),
    kick=st.floats(-20, 20),
)
def test_the_linear_form_gives_the_whole_baseline_back_and_says_when_it_may_not(
    seed: int, method: str, kick: float
) -> None:
    rng = np.random.default_rng(seed)
    long = Timeline(start="2019-04-01T00:00", step_h=1.0, n=24 * 70, tz="America/New_York")
    net, warm = rng.uniform(80, 120, long.n), rng.uniform(10, 30, long.n)
    event = Event(24 * 64 + 13, 4)
    ruler = Ruler(long, net, temperature_c=warm)
    line = ruler.linear(load_baseline(method), event)

    def by_weights(series: Kw) -> Kw:
        return np.bincount(line.row, weights=line.weight * series[line.col], minlength=long.n)[event.span]

    np.testing.assert_allclose(by_weights(net), ruler.baseline(load_baseline(method), event).kw)
    assert line.exact == (line.why == "")
    if line.exact:
        other = net + kick * rng.uniform(0, 1, long.n)
        moved = Ruler(long, other, temperature_c=warm).baseline(load_baseline(method), event).kw
        np.testing.assert_allclose(by_weights(other), moved, rtol=1e-9)


def test_an_adjustment_of_same_day_hours_has_no_meaning() -> None:
    with pytest.raises(ValueError, match="stand as they are"):
        rule(same_day={"before_h": 2}, adjustment={"form": "additive", "hours": 2})
