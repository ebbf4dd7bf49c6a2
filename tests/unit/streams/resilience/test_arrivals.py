"""Outages: means and tails by closed form, the published tables, and a seeded sample that has them."""

from __future__ import annotations

import csv
from math import exp, log, sqrt
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from pydantic import ValidationError

from valuestack.errors import InputError, UnknownKind
from valuestack.streams.resilience.arrivals import OutageModel, Sampled, outages_of
from valuestack.timeline import Timeline

MODEL = OutageModel(
    saifi_per_y=1.2, caidi_h=2.0, median_h=1.2, major_per_y=0.3, major_mean_h=16.0, major_median_h=6.0,
    momentary_per_y=5.0,
)  # fmt: skip
YEAR = Timeline(start="2021-01-01T00:00", step_h=1.0, n=8760, tz="UTC")


def test_nodes_keep_rate_and_mean_and_the_tail() -> None:
    hours, per_y = MODEL.durations()
    assert per_y.sum() == pytest.approx(1.5, rel=1e-9) and MODEL.rate_per_y == 1.5
    assert hours @ per_y == pytest.approx(1.2 * 2.0 + 0.3 * 16.0, rel=1e-9)
    assert MODEL.mean_h == pytest.approx((2.4 + 4.8) / 1.5)
    for d in (0.5, 4.0, 24.0, 96.0):
        by_hand = sum(
            rate * (1 - NormalDist(log(median), sqrt(2 * log(mean / median))).cdf(log(d)))
            for rate, mean, median in ((1.2, 2.0, 1.2), (0.3, 16.0, 6.0))
        )
        assert MODEL.longer_frac(d) * 1.5 == pytest.approx(by_hand, rel=1e-9)
        assert per_y[hours > d].sum() == pytest.approx(by_hand, abs=0.01 * by_hand + 1e-3)
    assert MODEL.longer_frac(0.0) == 1.0


def test_one_length_is_one_node() -> None:
    hours, per_y = OutageModel(saifi_per_y=2.0, caidi_h=3.0, median_h=3.0).durations()
    assert hours.tolist() == [3.0] and per_y.tolist() == [2.0]


def test_a_sample_is_seeded_and_has_the_rates_and_lengths() -> None:
    a, b = MODEL.sample(YEAR, 4000, seed=7), MODEL.sample(YEAR, 4000, seed=7)
    assert np.array_equal(a.hours, b.hours) and not np.array_equal(a.hours, MODEL.sample(YEAR, 4000, 8).hours)
    for sort, rate in ((0, 1.2), (1, 0.3), (2, 5.0)):
        n = int((a.sort == sort).sum())
        assert n / 4000 == pytest.approx(rate, abs=4 * sqrt(rate / 4000))
    assert a.hours[a.sort == 0].mean() == pytest.approx(2.0, rel=0.08)
    assert np.median(a.hours[a.sort == 1]) == pytest.approx(6.0, rel=0.15)
    assert (a.hours[a.sort == 2] == 0).all() and a.start_h.max() < 8760
    assert (np.diff(a.scenario) >= 0).all()


def test_a_sample_as_the_presence_of_the_grid() -> None:
    drawn = Sampled(
        np.array([0, 0, 1]), np.array([1.5, 6.0, 3.0]), np.array([2.0, 0.0, 1.0]), np.array([0, 2, 1])
    )
    t = Timeline(start="2021-01-01T00:00", step_h=1.0, n=8, tz="UTC")
    assert drawn.grid_present(t, 2).tolist() == [[1, 0, 0, 0, 1, 1, 1, 1], [1, 1, 1, 0, 1, 1, 1, 1]]


def test_months_shift_where_they_fall() -> None:
    winter = MODEL.model_copy(update={"month_share_frac": (1.0,) + (0.0,) * 10 + (1.0,)})
    drawn = winter.sample(YEAR, 200, seed=1)
    month = YEAR.month[drawn.start_h.astype(int)]
    assert set(month.tolist()) == {1, 12}
    assert winter.month_weight(YEAR).mean() == pytest.approx(12 / 2 * 62 / 365, rel=1e-3)


@pytest.mark.data
def test_shipped_figures_are_those_of_the_table(data_dir: Path) -> None:
    path = data_dir / "reliability" / "eia_us_saidi_saifi_2014_2022.csv"
    for row in csv.DictReader(path.open()):
        found = outages_of("us-eia", year=int(row["year"]))
        assert found.saifi_per_y == pytest.approx(float(row["ieee_without_med_saifi"]))
        assert found.rate_per_y == pytest.approx(float(row["ieee_with_med_saifi"]))
        assert found.caidi_h * 60 == pytest.approx(float(row["ieee_without_med_caidi_min"]), rel=0.01)
        saidi_h = found.rate_per_y * found.mean_h
        assert saidi_h * 60 == pytest.approx(float(row["ieee_with_med_saidi_min"]))


def test_pooled_years_and_what_is_not_verified() -> None:
    found = outages_of("us-eia")
    assert "2014 to 2022" in found.name
    assert found.caidi_h / (found.median_h or 0) == pytest.approx(exp(0.5))
    text = " ".join(found.assumptions)
    assert "not verified" in text and "momentary interruptions" in text
    plain = OutageModel(saifi_per_y=1.0, caidi_h=2.0)
    assert any("are a choice, not verified" in a for a in plain.assumptions)


def test_bad_input_says_what_to_do() -> None:
    with pytest.raises(UnknownKind, match="did you mean 'us-eia'"):
        outages_of("us-eja")
    with pytest.raises(InputError, match="no year 2031; it has 2014 to 2022"):
        outages_of("us-eia", year=2031)
    with pytest.raises(ValidationError, match="median lies at or below the mean"):
        OutageModel(saifi_per_y=1.0, caidi_h=2.0, median_h=3.0)
    with pytest.raises(ValidationError, match="major events need a mean length"):
        OutageModel(saifi_per_y=1.0, caidi_h=2.0, major_per_y=1.0)
    with pytest.raises(ValidationError, match="twelve numbers"):
        OutageModel(saifi_per_y=1.0, caidi_h=2.0, month_share_frac=(1.0, 2.0))
    with pytest.raises(InputError, match="draw at least one"):
        MODEL.sample(YEAR, 0, seed=1)
