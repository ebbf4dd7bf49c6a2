"""Recurring spikes: compressors that start together, furnaces that melt in heats.

A spike is a stretch above the running median of its surroundings by more than the load's ordinary scatter.
Its starts t_j recur with period P if their phases agree: R(P) = |sum_j exp(2 pi i t_j / P)| / N. Every harmonic
P / m agrees as well, so the longest period within 90 % of the best is taken. Chance is judged by the same
search over the starts put at random: the pattern must beat the best of `TRIALS` such searches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ...timeline import Kw, Timeline

SHORTEST_H, LONGEST_H = 1.0, 24.0
LONGEST_SPIKE_H = 2.25
BESIDE_H = 1.0
TRIALS = 10
FINE = 6
BLOCK_DAYS = 28
PRECISION, DAILY = 0.5, 0.6
"""Share of all spikes that must come on time; and, for a daily one, of all days on which it must come."""
USUAL_WORKING, USUAL_FREE = 20, 8
"""Days of one kind that make a usual day: four weeks of working days, eight Saturdays or Sundays."""
LINE_SHARE = 0.55
"""Share of all spikes that must lie on one line for the pattern to keep its phase."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A spike that recurs: period [h], duration [h], height [kW], phase [h after local midnight of the first
    day], how many were seen of how many the period would give, and how well their phases agree (0..1)."""

    period_h: float
    duration_h: float
    height_kw: float
    phase_h: float
    count: int
    expected: int
    agreement: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {k: getattr(self, k) for k in self.__dataclass_fields__}

    def __str__(self) -> str:
        minutes = 60 * self.duration_h
        return (
            f"a spike of about {self.height_kw:,.0f} kW for {minutes:.0f} minutes every {self.period_h:.2f} h "
            f"({self.count} seen of {self.expected}, phases agree to {self.agreement:.0%})"
        )


def find(timeline: Timeline, kw: Kw, *, seed: int = 0) -> Pattern | None:
    """The strongest recurring spike of a load, or None where chance explains what is seen.

    First looked for in what is left of the load without its usual day, so that the working day is not taken for
    the pattern; then in the load itself, because a spike that comes daily is part of the usual day.
    """
    made = _found(timeline, kw - _usual(timeline, kw), seed, PRECISION, 0.15)
    if made is not None:
        return made
    made = _found(timeline, kw, seed, DAILY, DAILY)
    # What recurs otherwise than with the day would have been seen without the usual day.
    parts = 24 / made.period_h if made else 0.5
    return made if abs(parts - round(parts)) < 0.01 * parts else None


def _found(timeline: Timeline, kw: Kw, seed: int, precision: float, recall: float) -> Pattern | None:
    """The spikes of a load that drifts keep their phase for weeks rather than for a year, so that phases are
    compared within blocks of four weeks and the blocks' agreements are averaged. Where they keep it all the
    same, period, start and duration are read off the load folded by the period."""
    step_h = timeline.step_h
    over = kw - _floor(kw, step_h)
    begin, length, height = _events(over, kw, step_h)
    if begin.size < 20:
        return None
    size = round(24 * BLOCK_DAYS / step_h)
    periods = _periods(size, step_h)
    agree = _agreement(begin, kw.size, size, step_h)
    rng = np.random.default_rng(seed)
    chance = max(
        _agreement(rng.integers(0, kw.size, begin.size), kw.size, size, step_h).max() for _ in range(TRIALS)
    )
    agreement = float(agree.max())
    if agreement < 1.1 * chance or agreement < 0.25:
        return None
    keep = np.flatnonzero(agree >= 0.9 * agreement)
    hours = begin * step_h
    period = _refine(hours, (begin // size).astype(int), float(periods[keep].max()))
    expected = round(kw.size * step_h / period)
    hit = _on_time(hours, (begin // size).astype(int), period, step_h)
    if hit.mean() < precision or hit.sum() < recall * expected:
        return None
    turn = np.exp(2j * np.pi * hours[begin < size] / period).sum()
    start = float(np.angle(turn) / (2 * np.pi) * period % period)
    duration = float(np.median(length)) * step_h
    fitted = _line(hours, period, step_h)
    if fitted is not None:
        period, start = fitted
        start, duration = _folded(over, step_h, period, start, duration)
        if duration > LONGEST_SPIKE_H:
            return None  # the morning and the evening of a house, not a spike
        away = np.abs((hours - start + period / 2) % period - period / 2)
        at = away <= np.maximum(1.5 * step_h, 0.1 * period)
        begin, height = begin[at], height[at]
        expected = round(kw.size * step_h / period)
    after_midnight = float(timeline.local_s[0] % 86400) / 3600
    return Pattern(
        period,
        duration,
        float(np.median(height)),
        (start + after_midnight) % period,
        int(begin.size),
        expected,
        agreement,
    )


def _usual(timeline: Timeline, kw: Kw) -> Kw:
    """The usual day of the weeks around each day, working days and the others apart, (n,).

    A low quantile of each clock slot: where spikes take up to half of the time, the median stands on them.
    """
    slots = 86400 // timeline.step_s
    day, slot = timeline.day - timeline.day[0], timeline.local_s % 86400 // timeline.step_s
    table = np.full((int(day[-1]) + 1, slots), np.nan)
    table[day, slot] = kw
    kind = np.zeros(table.shape[0], dtype=np.int64)
    kind[day] = np.maximum(timeline.weekday - 4, 0)
    out = np.zeros_like(table)
    for k in range(3):
        mine = np.flatnonzero(kind == k)
        reach = USUAL_WORKING if k == 0 else USUAL_FREE
        for a in range(0, mine.size, reach // 2):
            near = mine[max(0, a - reach // 2) : a + reach]
            rows = np.where(np.isfinite(table[near]), table[near], np.inf)
            low = np.sort(rows, axis=0)[int(0.35 * near.size)]
            out[mine[a : a + reach // 2]] = np.where(np.isfinite(low), low, np.nanmean(kw))
    return np.asarray(out[day, slot])


def _on_time(hours: Kw, block: Any, period: float, step_h: float) -> Any:
    """Which spikes begin when their block's phase says, (events,) bool: noise that comes in working hours only
    agrees on a daily phase too, but not on a time."""
    hit = np.zeros(hours.size, dtype=bool)
    near = min(max(1.51 * step_h, 0.08 * period), 0.75)
    for b in np.unique(block):
        mine = hours[block == b]
        start = np.angle(np.exp(2j * np.pi * mine / period).sum()) / (2 * np.pi) * period
        hit[block == b] = np.abs((mine - start + period / 2) % period - period / 2) <= near
    return hit


def _line(hours: Kw, period: float, step_h: float) -> tuple[float, float] | None:
    """(period, start) of the line t = start + k x period through the starts, None if they do not keep to one.

    Fitted over spans that double, so that the number k of each start is never in doubt.
    """
    middle = float(hours[hours.size // 2])
    reach, start = 24 * BLOCK_DAYS / 2, 0.0
    turn = np.exp(2j * np.pi * hours[np.abs(hours - middle) <= reach] / period).sum()
    start = float(np.angle(turn)) / (2 * np.pi) * period
    while True:
        mine = hours[np.abs(hours - middle) <= reach]
        for wide in (0.25, 0.12):
            k = np.round((mine - start) / period)
            near = np.abs(mine - start - k * period) <= max(1.01 * step_h, wide * period)
            if near.sum() < 8 or np.ptp(k[near]) < 3:
                return None
            slope, offset = np.polyfit(k[near], mine[near], 1)
            period, start = float(slope), float(offset)
        if near.mean() < LINE_SHARE:
            return None
        if reach >= hours[-1] - hours[0]:
            return period, start % period
        reach *= 2


def _folded(over: Kw, step_h: float, period: float, start: float, duration: float) -> tuple[float, float]:
    """(start, duration) of the spike in the load folded by its period [h].

    The readings are means of intervals: folded, they are the spike smoothed by one interval, which leaves
    its area and its centre as they are. duration = area / height, start = centre - duration / 2.
    """
    bins = max(8, round(period / (step_h / 5)))
    width = period / bins
    hours = (np.arange(over.size) + 0.5) * step_h
    # The spike in the middle of the fold.
    shift = start + duration / 2 - period / 2
    at = np.minimum(((hours - shift) % period / width).astype(int), bins - 1)
    order = np.lexsort((over, at))
    count = np.bincount(at, minlength=bins)
    first = np.concatenate(([0], np.cumsum(count)[:-1]))
    full = np.flatnonzero(count)
    median = over[order[first[full] + count[full] // 2]]
    mean_day = np.interp(np.arange(bins), full, median, period=bins)
    mean_day = mean_day - np.quantile(mean_day, 0.3)
    near = np.abs((np.arange(bins) + 0.5) * width - period / 2) <= min(period / 2, duration / 2 + 2 * step_h)
    top = float(mean_day[near].max())
    height = float(np.median(mean_day[near & (mean_day > 0.75 * top)])) if top > 0 else 0.0
    if height <= 0:
        return start, duration
    peak = int(np.flatnonzero(near)[np.argmax(mean_day[near])])
    low, high = peak, peak
    while low > 0 and mean_day[low - 1] > 0.5 * height:
        low -= 1
    while high < bins - 1 and mean_day[high + 1] > 0.5 * height:
        high += 1
    edge = round(0.6 * step_h / width)
    low, high = max(0, low - edge), min(bins - 1, high + edge)
    part = np.clip(mean_day[low : high + 1], 0, None)
    area = float(part.sum()) * width
    centre = float((part * (np.arange(low, high + 1) + 0.5)).sum() / part.sum()) * width + shift
    length = area / height
    return (centre - length / 2) % period, length


def _floor(kw: Kw, step_h: float) -> Kw:
    """What spikes stand on: a low quantile of the surroundings, (n,)."""
    half = max(2, round(1.5 * LONGEST_SPIKE_H / step_h))
    padded = np.pad(kw, half, mode="reflect")
    centres = np.arange(0, kw.size, max(1, half // 4))
    # A low quantile: where spikes take a good part of the time, the median already stands on them.
    rows = sliding_window_view(padded, 2 * half + 1)[centres]
    return np.asarray(np.interp(np.arange(kw.size), centres, np.quantile(rows, 0.4, axis=1)))


def _events(over: Kw, kw: Kw, step_h: float) -> tuple[Any, Any, Kw]:
    """First interval, length and height of every spike above the floor."""
    # The scatter from below the middle: above it stand the spikes.
    below = over[over < np.median(over)]
    scatter = 1.4826 * float(np.median(np.median(over) - below)) if below.size else 0.0
    typical = float(np.quantile(over, 0.995))
    level = max(3 * scatter, 0.45 * typical, 1e-9)
    mask = over > level
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    begin, end = edges[::2], edges[1::2]
    good = (end - begin) * step_h <= LONGEST_SPIKE_H
    begin, end = begin[good], end[good]
    height = np.array([over[a:b].max() for a, b in zip(begin, end, strict=True)])
    stays = _comes_back(kw, begin, end, height, step_h)
    return begin[stays], (end - begin)[stays], height[stays]


def _comes_back(kw: Kw, begin: Any, end: Any, height: Kw, step_h: float) -> Any:
    """Whether the load after each stretch is what it was before it, within half of its height, (events,) bool: what
    leads from the night's level to the day's is no spike, however regularly it comes."""
    if not begin.size:
        return np.zeros(0, dtype=bool)
    wide = max(1, round(BESIDE_H / step_h))
    total = np.concatenate(([0.0], np.cumsum(kw)))

    def mean(a: Any, b: Any) -> Kw:
        a, b = np.clip(a, 0, kw.size - 1), np.clip(b, 1, kw.size)
        return np.asarray((total[b] - total[a]) / np.maximum(b - a, 1))

    # The first interval on either side may hold part of the stretch.
    before, after = mean(begin - 1 - wide, begin - 1), mean(end + 1, end + 1 + wide)
    return np.abs(after - before) <= 0.5 * height


def _periods(size: int, step_h: float) -> Kw:
    """Candidate periods [h]: the frequencies of a transform padded `FINE` times, so that a phase slips at most
    1 / FINE of a turn over a block."""
    j = np.arange(_band(size, step_h).start, _band(size, step_h).stop)
    return np.asarray(FINE * size * step_h / j)


def _band(size: int, step_h: float) -> slice:
    # Nothing shorter than two intervals can be seen to recur.
    shortest_h = max(SHORTEST_H, 2 * step_h)
    return slice(int(np.ceil(FINE * size * step_h / LONGEST_H)), int(FINE * size * step_h / shortest_h) + 1)


def _agreement(begin: Any, n: int, size: int, step_h: float) -> Kw:
    """|sum_j exp(2 pi i t_j / P)| / N at each candidate period, averaged over blocks by their spikes, (p,)."""
    band = _band(size, step_h)
    total, weight = np.zeros(band.stop - band.start), 0
    for first in range(0, n, size):
        mine = begin[(begin >= first) & (begin < first + size)] - first
        if mine.size < 8:
            continue
        train = np.bincount(mine, minlength=size).astype(float)
        total += np.abs(np.fft.rfft(train, n=FINE * size)[band])
        weight += mine.size
    return total / max(1, weight)


def _refine(hours: Kw, block: Any, period: float) -> float:
    """The period of best agreement near a candidate."""
    fine = period + np.linspace(-1, 1, 41) * period**2 / (FINE * 24 * BLOCK_DAYS)
    total = np.zeros(fine.size)
    for b in np.unique(block):
        total += np.abs(np.exp(2j * np.pi * hours[block == b][:, None] / fine[None, :]).sum(axis=0))
    return float(fine[int(np.argmax(total))])
