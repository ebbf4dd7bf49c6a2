"""The classic performance score against hand calculation and a naive double loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.errors import DataError
from valuestack.streams.grid.performance import classic, precision_only, signal_use


def walk(seed: int, n: int = 361) -> np.ndarray:
    """A signal that wanders within -1 .. 1 about zero."""
    steps = np.random.default_rng(seed).normal(0, 0.08, n)
    out, now = np.empty(n), 0.0
    for k, step in enumerate(steps):
        now = float(np.clip(0.99 * now + step, -1, 1))
        out[k] = now
    return out


def naive(signal: np.ndarray, response: np.ndarray) -> tuple[float, float, float]:
    """The definition, sample by sample: 10 s, stretches of 31 samples, delays of 0 to 30 samples."""
    accuracy, delay = [], []
    for t in range(signal.size - 30):
        best, parts = -9.0, (0.0, 0.0)
        for d in range(31):
            if t + d + 31 > response.size:
                break
            a, b = signal[t : t + 31], response[t + d : t + d + 31]
            corr = float(np.corrcoef(a, b)[0, 1]) if b.std() > 0 else 0.0
            late = 1 - max(0, 10 * d - 10) / 300
            if corr + late > best + 1e-12:
                best, parts = corr + late, (corr, late)
        accuracy.append(min(max(parts[0], 0.0), 1.0))
        delay.append(parts[1])
    precision = 1 - np.abs(response - signal).mean() / np.abs(signal).mean()
    return float(np.mean(accuracy)), float(np.mean(delay)), float(np.clip(precision, 0, 1))


def test_perfect_tracking_scores_one_and_half_the_amplitude_loses_half_the_precision() -> None:
    """Parts and their mean as PJM Manual 12 section 4.5.6 defined them: accuracy, delay, precision."""
    s = walk(1)
    assert classic(s, s).score_frac == pytest.approx(1.0)
    half = classic(s, 0.5 * s)
    assert (half.accuracy_frac, half.delay_frac, half.precision_frac) == pytest.approx((1.0, 1.0, 0.5))
    assert half.score_frac == pytest.approx(2.5 / 3)


def test_ten_seconds_are_free_and_a_minute_costs_a_sixth_of_the_delay_score() -> None:
    """PJM Manual 12 section 4.5.6: |delay - 5 min| / 5 min with 10 s of latency free; 60 s late is 1 - 50/300."""
    s = np.random.default_rng(3).uniform(-1, 1, 400)  # white: only the true delay fits
    assert classic(s[1:], s[:-1]).delay_frac == pytest.approx(1.0, abs=1e-3)
    late = classic(s[6:], s[:-6])
    assert late.accuracy_frac == pytest.approx(1.0, abs=0.02)
    assert late.delay_frac == pytest.approx(1 - 50 / 300, abs=0.01)
    assert late.delay_s == pytest.approx(60, abs=2)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 999), noise=st.floats(0, 0.5), lag=st.integers(0, 20))
def test_equal_to_the_definition_sample_by_sample(seed: int, noise: float, lag: int) -> None:
    s = walk(seed, 120)
    r = np.roll(s, lag) + noise * np.random.default_rng(seed + 1).normal(size=s.size)
    found, (accuracy, delay, precision) = classic(s, r), naive(s, r)
    assert found.precision_frac == pytest.approx(precision)
    assert found.accuracy_frac == pytest.approx(accuracy, abs=1e-6)
    assert found.delay_frac == pytest.approx(delay, abs=1e-6)
    assert found.score_frac == pytest.approx((accuracy + delay + precision) / 3, abs=1e-6)


def test_a_signal_that_averages_out_is_divided_by_its_mean_size_not_by_its_mean() -> None:
    s = np.tile([1.0, -1.0], 100)  # its mean is zero: dividing by that would explode
    assert classic(s, 0.9 * s).precision_frac == pytest.approx(0.9)


def test_a_flat_signal_is_judged_by_slopes() -> None:
    s = np.full(61, 0.5)
    assert classic(s, s).score_frac == pytest.approx(1.0)
    ramp = 0.5 + 0.01 * np.arange(61)
    assert classic(s, ramp).accuracy_frac == pytest.approx(0.99)


def test_other_scoring_and_what_a_signal_asks() -> None:
    s = walk(4)
    assert precision_only(s, 0.8 * s).score_frac == pytest.approx(0.8)
    use = signal_use(np.array([1.0, 1.0, -1.0, 0.0]), 900.0)
    assert (use.up_frac, use.down_frac, use.drift_frac) == (0.5, 0.25, 0.25)
    assert use.mileage_per_h == 3.0 and use.swing_h == 0.5


def test_bad_data_is_refused_in_words() -> None:
    with pytest.raises(DataError, match="both need"):
        classic(np.zeros(50), np.zeros(49))
    with pytest.raises(DataError, match="at least 5 minutes"):
        classic(np.zeros(20), np.zeros(20))
    with pytest.raises(DataError, match="holes"):
        classic(np.full(50, np.nan), np.zeros(50))
