"""Quantiles and joint days: nobody peeks, bands cover, errors hang together, what is emulated errs as the real does."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.unit.forecast.test_forecasters import days, habits
from valuestack.errors import InputError
from valuestack.forecast.emulated import Emulated
from valuestack.forecast.forecaster import QuantileForecaster, error_paths, issued, laid_over
from valuestack.forecast.persistence import Persistence
from valuestack.forecast.quantile_trees import QuantileTrees
from valuestack.forecast.score import score, score_bands
from valuestack.forecast.similar_day import SimilarDay
from valuestack.forecast.similar_quantiles import SimilarQuantiles
from valuestack.registry import find, kinds
from valuestack.timeline import Timeline

LEVELS = np.array([0.1, 0.5, 0.9])
OPEN = {"perfect", "emulated"}  # these are handed the future openly and stand in simulations and bounds only


def honest() -> list[str]:
    classes = {k: find("forecast", k) for k in kinds("forecast")}
    return [
        k
        for k, c in classes.items()
        if hasattr(c, "predict") and not getattr(c, "_is_protocol", False) and k not in OPEN
    ]


@pytest.mark.parametrize("kind", honest())
def test_a_future_that_differs_leaves_every_earlier_answer_as_it_was(kind: str) -> None:
    """Each forecaster of the room, in whatever way it answers, on a series whose future is torn up."""
    timeline, cut = days(80), 96 * 62 + 13
    kw = habits(timeline, seed=9)
    torn = kw.copy()
    torn[cut:] = 1e5 * np.random.default_rng(1).random(timeline.n - cut)
    one, two = find("forecast", kind)(), find("forecast", kind)()
    for k in (cut, cut - 1, cut - 96 * 20, 50):
        assert np.array_equal(one.predict(kw[:k], timeline, 96), two.predict(torn[:k], timeline, 96))
    if hasattr(one, "rolling"):
        rows = [m.rolling(x, timeline, 96, first=cut - 40) for m, x in ((one, kw), (two, torn))]
        assert np.array_equal(rows[0][:41], rows[1][:41])
        assert not np.array_equal(rows[0][42:], rows[1][42:], equal_nan=True)
    if isinstance(one, QuantileForecaster):
        ours, theirs = (
            one.quantiles(kw[:cut], timeline, 96, LEVELS),
            two.quantiles(torn[:cut], timeline, 96, LEVELS),
        )
        assert np.array_equal(ours, theirs) and ours.shape == (3, 96)
        assert (np.diff(ours, axis=0) >= 0).all(), "quantiles do not cross"
        paths = one.scenarios(kw[:cut], timeline, 96, 7, seed=3)
        assert np.array_equal(paths, two.scenarios(torn[:cut], timeline, 96, 7, seed=3))
        assert not np.array_equal(paths, one.scenarios(kw[:cut], timeline, 96, 7, seed=4))


def test_bands_cover_what_comes_and_trees_are_no_worse() -> None:
    timeline = days(125)
    kw = habits(timeline, seed=3)
    at = range(96 * 85, 96 * 122, 96 * 2 + 17)
    actual = np.array([kw[k : k + 96] for k in at])
    found = {}
    for method in (SimilarQuantiles(), QuantileTrees()):
        made = np.array([method.quantiles(kw[:k], timeline, 96, LEVELS) for k in at])
        found[method.kind] = score_bands(made, LEVELS, actual)
        assert 0.6 < found[method.kind].coverage_frac < 0.95, found
    assert found["quantile_trees"].pinball_kw < 1.05 * found["similar_quantiles"].pinball_kw


def test_error_paths_are_those_of_days_alike_and_lie_on_the_forecast_whole() -> None:
    timeline = days(30)
    kw = habits(timeline, seed=5)
    k = 96 * 25 + 30
    method = Persistence(days=1)
    paths = error_paths(method, kw[:k], timeline, 96, 5, 20)
    back = [d for d in range(1, 21) if (timeline.weekday[k - 96 * d] >= 5) == (timeline.weekday[k] >= 5)]
    clocks = timeline.local_s % 86400
    back = [d for d in back if clocks[k - 96 * d] == clocks[k]][:5]  # none across the change of the clock
    for row, d in zip(paths, back):
        then = k - 96 * d
        np.testing.assert_allclose(row, kw[then : then + 96] - kw[then - 96 : then])
    point = np.zeros(96)
    for path in laid_over(point, paths, 20, seed=1):
        assert any(np.array_equal(path, row) for row in paths)
    assert np.array_equal(laid_over(point, paths[:0], 3, seed=1), np.zeros((3, 96)))


def test_trees_without_their_package_are_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    timeline = days(50)
    with pytest.raises(InputError, match=r"lightgbm, which is not installed(.|\n)*similar_quantiles"):
        QuantileTrees().predict(habits(timeline)[: 96 * 45], timeline, 96)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: QuantileTrees(levels_frac=(0.9, 0.5)), "levels"),
        (lambda: QuantileTrees(min_days=10), "check_days"),
        (lambda: SimilarQuantiles(days=1), "days = 1"),
    ],
)
def test_bad_options_are_refused(make: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()


def test_the_emulated_forecaster_errs_as_the_real_one_does_in_a_year_that_it_has_not_seen() -> None:
    """Quantiles of errors by lead and by hour, how they hang together from one issue to the next, and how much a
    forecast is revised: all near those of the real one in another year at twice the level."""
    timeline = days(150)
    kw, other = habits(timeline, seed=8), 2 * habits(timeline, seed=31)
    stand_in = Emulated.trained(kw, timeline, SimilarDay(), 96)
    over = stand_in.over(other, timeline, seed=2)
    real, made = (issued(f, other, timeline, 96) for f in (SimilarDay(), over))
    at = np.arange(96 * 40, 96 * 140)
    actual = np.array([other[k + 1 : k + 97] for k in at])
    theirs, ours = score(real[at], actual), score(made[at], actual)
    assert abs(ours.nmae_frac / theirs.nmae_frac - 1) < 0.05
    assert abs(ours.peak_bias_frac - theirs.peak_bias_frac) < 0.02
    errors = [f[at] - actual for f in (real, made)]
    for lead in (0, 8, 32, 80):
        spread = [np.quantile(e[:, lead], LEVELS) for e in errors]
        assert np.abs(spread[0] - spread[1]).max() < 0.12 * np.ptp(spread[0]), (lead, spread)
        later = [np.corrcoef(e[:-4, lead], e[4:, lead])[0, 1] for e in errors]
        assert abs(later[0] - later[1]) < 0.08, (lead, later)
    for hour in (3, 9, 15, 21):
        mine = timeline.hour[at].astype(int) == hour
        size = [np.abs(e[mine]).mean() for e in errors]
        assert abs(size[1] / size[0] - 1) < 0.12, (hour, size)
    revised = [np.std(f[at + 4][:, :40] - f[at][:, 4:44]) for f in (real, made)]
    assert abs(revised[1] / revised[0] - 1) < 0.08, revised
    # A real forecast's error hangs on the truth: it lies below on high days and above on low ones.
    leaning = [np.corrcoef(e[:, 40], actual[:, 40])[0, 1] for e in errors]
    assert leaning[0] < -0.3 and abs(leaning[0] - leaning[1]) < 0.06, leaning


def test_an_emulated_forecaster_is_the_same_by_seed_and_says_what_it_lacks() -> None:
    timeline = days(80)
    kw = habits(timeline, seed=8)
    stand_in = Emulated.trained(kw, timeline, SimilarDay(), 96)
    over = stand_in.over(kw, timeline, seed=2)
    made = issued(over, kw, timeline, 96)
    assert np.array_equal(made, issued(stand_in.over(kw, timeline, seed=2), kw, timeline, 96), equal_nan=True)
    assert not np.array_equal(
        made, issued(stand_in.over(kw, timeline, seed=3), kw, timeline, 96), equal_nan=True
    )
    assert np.array_equal(over.predict(kw[:500], timeline, 96), over.rolling(kw, timeline, 96)[500])
    assert np.array_equal(over.predict(kw[:500], timeline, 40), over.predict(kw[:500], timeline, 96)[:40])
    assert np.isfinite(over.predict(kw[:0], timeline, 96)).all(), "with no past the usual is said"
    with pytest.raises(InputError, match="no future"):
        stand_in.predict(kw[:500], timeline, 96)
    with pytest.raises(InputError, match="trained on 96"):
        over.predict(kw[:500], timeline, 97)
    with pytest.raises(InputError, match="give at least"):
        Emulated.trained(kw[: 96 * 30], days(30), SimilarDay(), 96)


@pytest.mark.parametrize(("like", "reads"), [(Persistence(), 0), (SimilarDay(share=0.0, decay=0.0), None)])
def test_what_is_a_mean_of_past_days_is_emulated_without_a_rest(like: Any, reads: int | None) -> None:
    """Last week's load, and similar days without correction, are found out from history and hold in another year."""
    timeline = days(90)
    kw, other = habits(timeline, seed=8), habits(timeline, seed=31)
    stand_in = Emulated.trained(kw, timeline, like, 96)
    assert stand_in.explained_frac > 0.9999
    expected = np.full(5, 0.2) if reads is None else np.eye(5)[reads]
    np.testing.assert_allclose(stand_in.copies_frac[0], expected, atol=2e-3)
    real, made = (issued(f, other, timeline, 96) for f in (like, stand_in.over(other, timeline, seed=1)))
    at = slice(96 * 30, 96 * 88)
    assert np.abs(real[at] - made[at]).max() < 0.01 * other.mean()


@pytest.mark.parametrize("step_h", [0.25, 1.0])
def test_a_row_of_the_emulated_forecaster_is_its_formula_and_reads_no_more_ahead_than_it_says(
    step_h: float,
) -> None:
    n = round(24 / step_h)
    timeline = Timeline(start="2019-02-20T00:00", step_h=step_h, n=90 * n, tz="America/New_York")
    kw = habits(days(90), seed=5).reshape(timeline.n, -1).mean(axis=1)
    over = Emulated.trained(kw, timeline, SimilarDay(), n).over(kw, timeline, seed=4)
    f = over.future
    assert f is not None
    day = timeline.day - timeline.day[0]
    slot, hour = timeline.local_s % 86400 // timeline.step_s, timeline.local_s % 86400 // 3600
    for k in np.random.default_rng(1).integers(1, timeline.n - n, 25):
        free, week = int(timeline.weekday[k] >= 5), min(day[k] // 7, over.gains_frac.shape[0] - 1)
        base = f.base_kw[day[k : k + n] - day[k], np.arange(k, k + n)]
        said = base + f.means_kw[k - 1] @ over.gains_frac[week, free, hour[k]]
        said += over.seen_frac[free, hour[k]] * (kw[k : k + n] - base)
        said += f.scale_frac * over.rest_kw[f.drawn[day[k - 1]], slot[k - 1]]
        np.testing.assert_allclose(over.predict(kw[:k], timeline, n), said, rtol=0, atol=1e-9)
    # But for `seen`, the days drawn and the level, no row reads a value that had not come when it was issued.
    cut = 62 * n + 5
    torn = kw.copy()
    torn[cut:] = 1e4 * np.random.default_rng(1).random(timeline.n - cut)
    blind = replace(over, seen_frac=0.0 * over.seen_frac)
    other = blind.placed(torn, timeline, f.drawn, f.scale_frac)
    assert np.array_equal(
        blind.rolling(kw, timeline, n)[: cut + 1], other.rolling(torn, timeline, n)[: cut + 1]
    )
