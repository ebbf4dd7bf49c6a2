"""Wear against the standard's vector, another package, and published closed forms."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import rainflow
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.assets.wear.fade import calendar_capacity_frac, fade
from valuestack.assets.wear.rainflow import Rainflow, count
from valuestack.assets.wear.stress import load_stress, stresses
from valuestack.errors import UnknownKind


def test_vector_of_the_standard() -> None:
    """ASTM E1049-85, figure 6: ranges 3 (1/2), 4 (1 1/2), 6 (1/2), 8 (1), 9 (1/2)."""
    found = count(np.array([-2.0, 1, -3, 5, -1, 3, -4, 4, -2]))
    total: Counter[float] = Counter()
    for r, n in zip(found.range_, found.count, strict=True):
        total[float(r)] += float(n)
    assert total == {3.0: 0.5, 4.0: 1.5, 6.0: 0.5, 8.0: 1.0, 9.0: 0.5}


histories = st.lists(st.integers(-9, 9), min_size=3, max_size=120).map(lambda x: np.array(x, dtype=float))


@settings(max_examples=150, deadline=None)
@given(history=histories)
def test_equal_to_the_rainflow_package(history: np.ndarray) -> None:
    ours: Counter[float] = Counter()
    for r, n in zip(*(lambda c: (c.range_, c.count))(count(history)), strict=True):
        ours[round(float(r), 9)] += float(n)
    theirs: Counter[float] = Counter()
    for r, _, n, _, _ in rainflow.extract_cycles(history):
        if r > 0:
            theirs[round(float(r), 9)] += float(n)
    assert ours == theirs


@settings(max_examples=80, deadline=None)
@given(history=histories, cuts=st.lists(st.integers(0, 120), max_size=5))
def test_counting_in_pieces_equals_counting_at_once(history: np.ndarray, cuts: list[int]) -> None:
    counter = Rainflow()
    for part in np.split(history, sorted(min(c, history.size) for c in cuts)):
        counter.push(part)
    whole, pieces = count(history), counter.cycles()
    assert sorted(zip(whole.range_, whole.count, strict=True)) == sorted(
        zip(pieces.range_, pieces.count, strict=True)
    )


@pytest.mark.parametrize(
    ("temperature_c", "soc", "loss"),
    # Ten years by SAM's calendar model q0 - k sqrt(t) with its default coefficients (ssc).
    [(25.0, 0.3, 0.001), (25.0, 0.5, 0.019), (25.0, 0.9, 0.116), (35.0, 0.5, 0.062), (35.0, 0.9, 0.257)],
)
def test_ten_years_of_rest_as_sam_computes_them(temperature_c: float, soc: float, loss: float) -> None:
    left = calendar_capacity_frac(
        load_stress("nmc-xu-2018"), np.full(8760, soc), temperature_c, 1.0, repeats=10
    )
    assert 1 - left == pytest.approx(loss, abs=0.0015)


def test_calendar_fade_follows_sam_step_by_step_on_a_moving_trace() -> None:
    """SAM's own recursion dq = k^2 / (2 dq) dt, in hourly steps, against the closed form used here."""
    rng = np.random.default_rng(3)
    soc = np.clip(0.5 + np.cumsum(rng.normal(0, 0.05, 8760 * 2)), 0.1, 0.95)
    stress = load_stress("nmc-xu-2018")
    c = stress.calendar
    assert c is not None
    lost, kelvin = 0.0, 298.15
    for s in soc:
        k = c["a"] * np.exp(c["b"] * (1 / kelvin - 1 / 296)) * np.exp(c["c"] * (s / kelvin - 1 / 296))
        lost = k * np.sqrt(1 / 24) if lost == 0 else lost + k**2 / (2 * lost) / 24
    assert calendar_capacity_frac(stress, soc, 25.0, 1.0) == pytest.approx(c["q0"] - lost, abs=5e-4)


def test_ten_years_of_daily_cycles_within_half_a_point_of_the_published_life_equation() -> None:
    """Cycle ageing of Xu et al. 2018: life lost by N cycles of depth d is N Phi(d), here 3650 of 60 %."""
    day = np.concatenate((np.linspace(0.2, 0.8, 12), np.linspace(0.8, 0.2, 12)))
    stress = load_stress("nmc-xu-2018")
    found = fade(stress, np.tile(day, 365), 25.0, 1.0, years=10)
    assert found.cycling_frac == pytest.approx(1 - 0.2 * 3650 * 5.24e-4 * 0.6**2.03, abs=0.005)
    assert found.capacity_frac == pytest.approx(found.calendar_frac + found.cycling_frac - 1)
    assert not found.findings


def test_outside_the_fitted_range_is_said() -> None:
    found = fade(load_stress("nmc-xu-2018"), np.full(100, 0.5), 55.0, 1.0, years=1)
    assert [f.kind for f in found.findings] == ["wear_extrapolated"] and "55 to 55 C" in found.findings[
        0
    ].what


def test_segments_are_the_published_prices() -> None:
    """R = 300 USD/kWh, eta_d = 0.95, four segments: 0.040, 0.122, 0.207, 0.293 USD/kWh (arXiv 1707.04567)."""
    prices = [p for _, p in load_stress("nmc-xu-2018").segments(4, 300.0, 0.95)]
    assert prices == pytest.approx([0.040, 0.122, 0.207, 0.293], abs=6e-4)
    one = load_stress("lfp-linear").segments(8, 300.0, 0.95)
    assert one == (pytest.approx((1.0, 300 / 6000 / 0.95)),), "by throughput depth has one price"


def test_every_wear_model_names_its_source() -> None:
    for name in stresses():
        stress = load_stress(name)
        assert stress.source and (stress.verified or stress.note)
    with pytest.raises(UnknownKind, match="lfp-linear"):
        load_stress("lfp-liner")
