"""Performance of regulation: how well a response follows a signal, and what a signal asks of a store.

The classic score of an hour (PJM Manual 12 section 4.5.6 before the single signal; samples of 10 s), for each t

    (A_t, D_t) = corr(signal[t .. t + 5 min], response[t + d .. t + d + 5 min]) and 1 - max(0, d - 10 s) / 5 min,
                 at the delay d in 0 .. 5 min where their sum is greatest
    P = 1 - mean |response - signal| / mean |signal|
    score = (mean A + mean D + P) / 3, each part within 0 .. 1

The mean of |signal| divides, not the mean of the signal, which is near zero for a signal that averages out. Where
a stretch of the signal is flat, A_t = 1 - |slope of signal - slope of response|, slopes a sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ...errors import DataError
from ...timeline import Kw

WINDOW_S, LATENCY_S = 300.0, 10.0
FLAT = 1e-9  # of the signal's root mean square over the stretch: below it a stretch has no shape to correlate


@dataclass(frozen=True, slots=True)
class Score:
    """Parts and whole of a performance score, each 0 .. 1; delay_s: mean delay at which the response fits best."""

    accuracy_frac: float
    delay_frac: float
    precision_frac: float
    score_frac: float
    delay_s: float


@dataclass(frozen=True, slots=True)
class SignalUse:
    """What a signal (-1 .. 1, positive = up = less net load) asks per kW of award.

    up_frac, down_frac: energy per hour each way; drift_frac = up - down: above zero it empties a store.
    mileage_per_h: sum of |changes| an hour. swing_h: greatest less least of the running energy [kWh per kW], the
    room a store needs to follow without losses.
    """

    up_frac: float
    down_frac: float
    drift_frac: float
    mileage_per_h: float
    swing_h: float


def classic(signal: Kw, response: Kw, step_s: float = 10.0) -> Score:
    """The classic score of a signal and its response, (n,) each, same unit and sign.

    Only stretches that lie wholly inside the data count; at least 5 minutes are needed. DataError otherwise.
    """
    s, r = _checked(signal, response, step_s)
    width = round(WINDOW_S / step_s) + 1
    shapes = sliding_window_view(s, width)
    answers = sliding_window_view(r, width)
    n, delays = shapes.shape[0], np.arange(width)
    fit = np.full((n, width), -np.inf)
    for d in delays:
        if d < n:
            fit[: n - d, d] = _agreement(shapes[: n - d], answers[d:])
    score = 1.0 - np.maximum(0.0, delays * step_s - LATENCY_S) / WINDOW_S
    best = np.argmax(fit + score, axis=1)
    accuracy = float(np.clip(fit[np.arange(n), best], 0.0, 1.0).mean())
    delay, precision = float(np.clip(score[best], 0.0, 1.0).mean()), _precision(s, r)
    whole = float(np.clip((accuracy + delay + precision) / 3, 0.0, 1.0))
    return Score(accuracy, delay, precision, whole, float(best.mean() * step_s))


def precision_only(signal: Kw, response: Kw, step_s: float = 10.0) -> Score:
    """P alone as the whole score: a recollection of scoring under the single signal, not verified."""
    s, r = _checked(signal, response, step_s)
    p = _precision(s, r)
    return Score(float("nan"), float("nan"), p, p, float("nan"))


SCORERS: dict[str, Callable[[Kw, Kw, float], Score]] = {"classic": classic, "precision": precision_only}


def signal_use(signal: Kw, step_s: float) -> SignalUse:
    """What a signal asks per kW of award.

    >>> signal_use(np.array([1.0, -1.0, 1.0, -1.0]), 900.0)
    SignalUse(up_frac=0.5, down_frac=0.5, drift_frac=0.0, mileage_per_h=6.0, swing_h=0.25)
    """
    s = np.asarray(signal, dtype=np.float64)
    hours = s.size * step_s / 3600
    up, down = float(np.maximum(s, 0).mean()), float(np.maximum(-s, 0).mean())
    running = np.concatenate(([0.0], np.cumsum(s) * step_s / 3600))
    return SignalUse(
        up, down, up - down, float(np.abs(np.diff(s)).sum() / hours), float(running.max() - running.min())
    )


def _checked(signal: Kw, response: Kw, step_s: float) -> tuple[Kw, Kw]:
    s, r = np.asarray(signal, dtype=np.float64), np.asarray(response, dtype=np.float64)
    if s.ndim != 1 or s.shape != r.shape:
        raise DataError(f"signal has shape {s.shape}, response {r.shape}; both need (n,)")
    if s.size * step_s < WINDOW_S + step_s:
        raise DataError(f"{s.size} samples of {step_s:g} s; a score needs at least {WINDOW_S / 60:g} minutes")
    if not (np.isfinite(s).all() and np.isfinite(r).all()):
        raise DataError("signal or response has holes; score the hours without them")
    return s, r


def _agreement(shapes: Kw, answers: Kw) -> Kw:
    """Correlation of each row; of flat stretches of the signal one minus the gap of slopes."""
    a = shapes - shapes.mean(axis=1, keepdims=True)
    b = answers - answers.mean(axis=1, keepdims=True)
    size_a, size_b = np.sqrt((a * a).sum(axis=1)), np.sqrt((b * b).sum(axis=1))
    level = np.sqrt((shapes * shapes).sum(axis=1))
    flat = size_a <= FLAT * np.maximum(level, 1.0)
    both = ~flat & (size_b > 0)
    out = np.zeros(a.shape[0])
    out[both] = (a[both] * b[both]).sum(axis=1) / (size_a[both] * size_b[both])
    x = np.arange(a.shape[1]) - (a.shape[1] - 1) / 2
    gap = (a - b) @ x / (x @ x)
    out[flat] = 1.0 - np.abs(gap[flat])
    return out


def _precision(s: Kw, r: Kw) -> float:
    asked, missed = float(np.abs(s).mean()), float(np.abs(r - s).mean())
    if asked == 0:
        return 1.0 if missed == 0 else 0.0
    return float(np.clip(1.0 - missed / asked, 0.0, 1.0))
