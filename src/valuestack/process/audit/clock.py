"""Does the site live by the clock that its labels are read on?

A site lives by the wall clock. If the labels are really another clock, the shape of its working days moves by
an hour against itself where clocks change. The move is judged day by day: a day speaks for the move if the mean
day of the weeks on the other side of the change fits it better an hour on than as it stands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...timeline import Ints, Kw, Timeline, utc_offsets_s

WEEKS = 3
MOST = 0.7
"""Share of the days that must speak for the move, on either side of a change."""
FLAT = 0.02
"""A mean day that varies by less than this share of its mean shows nothing."""
RULES = ("America/New_York", "Europe/Berlin")
"""Whose clock changes are tried where the labels' own zone has none."""


@dataclass(frozen=True, slots=True)
class Move:
    """By how many hours the daily shape moves at each change [h, + is later in summer than the labels say],
    and whose changes these are ('' for the zone's own)."""

    hours: float
    rule: str = ""


def clock_move(timeline: Timeline, kw: Kw) -> Move | None:
    """The move of the daily shape at clock changes, None where there is none or nothing shows it."""
    own = _changes(timeline.utc_s, timeline.tz)
    if own:
        hours = _moved(timeline, kw, own)
        return Move(hours) if hours else None
    for rule in RULES:
        hours = _moved(timeline, kw, _changes(timeline.utc_s, rule))
        # A site that keeps summer time moves an hour earlier in spring on a clock that does not.
        if hours:
            return Move(hours, rule)
    return None


def _changes(utc_s: Ints, tz: str) -> list[tuple[int, int]]:
    """(interval after the change, +1 for spring) of a zone's clock changes."""
    offset = utc_offsets_s(utc_s, tz)
    return [(int(k) + 1, int(np.sign(offset[k + 1] - offset[k]))) for k in np.flatnonzero(np.diff(offset))]


def _moved(timeline: Timeline, kw: Kw, changes: list[tuple[int, int]]) -> float:
    """Mean move over the changes if there are two at least and all agree, else 0."""
    votes = [v for k, sign in changes if (v := _vote(timeline, kw, k, sign)) is not None]
    if len(votes) < 2 or len({np.sign(v) for v in votes}) != 1:
        return 0.0
    return float(np.mean(votes))


def _vote(timeline: Timeline, kw: Kw, k: int, sign: int) -> float | None:
    """+1, -1 or 0 hours at one change; None without evidence."""
    span = WEEKS * 7 * 86400 // timeline.step_s
    before = _rows(timeline, kw, slice(max(0, k - span), k))
    after = _rows(timeline, kw, slice(k, k + span))
    if before is None or after is None:
        return None
    per = 3600 // timeline.step_s
    level = abs(float(np.nanmean(kw)))
    if min(np.ptp(before.mean(axis=0)), np.ptp(after.mean(axis=0))) < FLAT * level:
        return None
    for shift in (per, -per):
        # In the days after, what stood at slot s stands at s + shift.
        late = _speaks(after, before.mean(axis=0), shift)
        early = _speaks(before, after.mean(axis=0), -shift)
        if late >= MOST and early >= MOST:
            return sign * shift / per
    return 0.0


def _speaks(days: Kw, mean: Kw, shift: int) -> float:
    """Share of days that the mean day fits better moved by `shift` slots than as it stands."""
    still = _unlike(days, mean)
    return float((_unlike(days, np.roll(mean, shift)) < 0.98 * still).mean())


def _unlike(days: Kw, mean: Kw) -> Kw:
    """1 - correlation of each day with a mean day, (days,)."""
    d = days - days.mean(axis=1, keepdims=True)
    m = mean - mean.mean()
    size = np.sqrt((d**2).sum(axis=1) * (m**2).sum())
    return np.asarray(1 - (d @ m) / np.where(size > 0, size, 1.0))


def _rows(timeline: Timeline, kw: Kw, part: slice) -> Kw | None:
    """Whole working days of a stretch, (days, slots); None with fewer than five."""
    slot = timeline.local_s[part] % 86400 // timeline.step_s
    day = timeline.day[part] - timeline.day[part][0] if timeline.day[part].size else timeline.day[part]
    if day.size == 0:
        return None
    rows = np.full((int(day[-1]) + 1, 86400 // timeline.step_s), np.nan)
    rows[day, slot] = kw[part]
    work: NDArray[np.bool_] = np.zeros(rows.shape[0], dtype=bool)
    work[day] = timeline.weekday[part] < 5
    rows = rows[work & np.isfinite(rows).all(axis=1)]
    return rows if rows.shape[0] >= 5 else None


def active_hour(timeline: Timeline, kw: Kw) -> tuple[float, float]:
    """Mean hour of the day [h] at which the load above its nightly low is drawn, and how concentrated (0..1)."""
    hour = timeline.hour
    total = np.bincount(hour, weights=kw, minlength=24) / np.maximum(1, np.bincount(hour, minlength=24))
    weight = total - total.min()
    if weight.sum() <= 0:
        return 0.0, 0.0
    turn = (weight * np.exp(2j * np.pi * (np.arange(24) + 0.5) / 24)).sum() / weight.sum()
    return float(np.angle(turn) / (2 * np.pi) * 24 % 24), float(abs(turn))
