"""Stretches on another multiplier: a transformer ratio that changed, kW among kWh.

Of each local day the tenth, fiftieth and ninetieth percentile are taken as logarithms and freed of what working
days, Saturdays and Sundays differ by. A multiplier moves all three alike: a closed plant moves its base load
and its peak by different factors. Between days where all three move, the level is compared with the days just
before; the move must be one of the known factors. The longest stretch is taken for the usual level, and the
bounds are then set to the interval where the readings fit the changed level best.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...timeline import Ints, Kw, Timeline
from .faults import Fault

JUMP_FACTORS = (
    *(2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 120.0),
    *(160.0, 200.0, 240.0, 320.0, 400.0, 600.0, 800.0, 1000.0),
)
"""Ratios by which a level jumps: current transformers (50/5 to 5000/5 A, and one for another), kW for kWh of
5, 15 and 30 minutes (12, 4, 2), W for kW (1000). Half as much again (60/5 for 40/5 A) is left out: heating that
comes on moves a load as much, and no reading tells them apart."""
EDGE = float(np.log(1.35))
"""Less than this from one day to the next is weather or work."""
WINDOW_DAYS = 14
NEAR = 0.07
"""A move is a factor if it lies within 7 % of it, wider by twice its own uncertainty, ..."""
ALIKE = 0.12
"""... and if low, middle and high of the day agree within 12 %, wider likewise."""

SHORT_H, SMALL_H = 20.0, 36.0
"""Shortest stretch believed of a factor of 4 and more, of 2 and 3: a single hot or busy day may double."""
OFTEN, OFTEN_H = 6, 8784
"""A meter is not rewired more than three times a year: a level that moves oftener is how the load works."""
BRIEF_H = 120.0
"""Twice or three times the load for less than five days, and that more than once, is the cold and not the meter."""
BINS = 6
LARGE = float(np.log(6.0))
"""A load that changes sixfold overnight, low, middle and high alike, is no load."""
WINDOWS_DAYS = (2, 4, 7, 14)
BACK = 0.3
"""A move that leads back to within 30 % of where the level came from ends the stretch."""


def jumps(timeline: Timeline, kw: Kw, free_day: NDArray[np.bool_]) -> list[Fault]:
    """Stretches whose whole daily shape is multiplied by a known factor. kw: (n,), NaN where unknown."""
    table, first = _by_day(timeline, kw)
    kind = _kind(timeline, free_day, table.shape[0])
    levels = _levels(table, kind)
    known = np.flatnonzero(np.isfinite(levels).all(axis=1))
    if known.size < 8:
        return []
    logs = levels[known]
    scatter = _scatter(logs)
    edges = _edges(logs)
    for _ in range(2):  # without the edges that are no factor, the others have longer stretches to stand on
        moves = _moves(logs, edges, scatter)
        edges = [e for e, m in zip(edges, moves, strict=True) if m]
    moves = _moves(logs, edges, scatter)
    bounds = [0, *edges, known.size]
    if (len(edges) > OFTEN and timeline.hours < OFTEN_H) or len(edges) > OFTEN * max(
        1, timeline.hours / OFTEN_H
    ):
        return []
    level = np.concatenate(([0.0], np.cumsum([np.sign(m) * np.log(max(1.0, abs(m))) for m in moves])))
    stretches = list(pairwise(bounds))
    if len(stretches) < 2:
        return []
    level -= level[max(range(len(stretches)), key=lambda i: stretches[i][1] - stretches[i][0])]
    out = []
    for (a, z), value in zip(stretches, level.tolist(), strict=True):
        factor = _named(value, NEAR if abs(value) < LARGE else 0.35)
        if factor is None:
            continue
        k = int(first[known[a]]) if a else 0
        end = int(first[known[z]]) if z < known.size else timeline.n
        if abs(value) > LARGE:
            factor = _refined(table, timeline, kw, factor, (k, end), kind)
        k, end = _sharpened(table, timeline, kw, factor, (k, end), (bool(a), z < known.size), kind)
        least = SHORT_H if abs(value) > np.log(3.5) else SMALL_H
        if (end - k) * timeline.step_h < least:
            continue
        if abs(value) < LARGE and not _shape_stays(table, timeline, (k, end), factor, scatter, kind):
            continue
        note = f"{factor:g} times" if factor > 1 else f"1/{1 / factor:g}"
        out.append(Fault("multiplier_jump", k, end - k, note, factor))
    brief = [f for f in out if max(f.factor, 1 / f.factor) < 3.5 and f.n * timeline.step_h < BRIEF_H]
    return [f for f in out if f not in brief] if len(brief) > 1 else out


def _by_day(timeline: Timeline, kw: Kw) -> tuple[Kw, Ints]:
    """(days, slots) of local days, NaN where unknown; first interval of each day."""
    day = timeline.day - timeline.day[0]
    table = np.full((int(day[-1]) + 1, 86400 // timeline.step_s), np.nan)
    table[day, timeline.local_s % 86400 // timeline.step_s] = kw
    return table, np.searchsorted(day, np.arange(table.shape[0] + 1))


def _kind(timeline: Timeline, free_day: NDArray[np.bool_], days: int) -> Ints:
    """0 working day, 1 Saturday, 2 Sunday or holiday, of each local day, (days,)."""
    kind = np.zeros(days, dtype=np.int64)
    day = timeline.day - timeline.day[0]
    kind[day] = np.where(timeline.weekday == 5, 1, np.where(free_day, 2, 0))
    return kind


def _levels(table: Kw, kind: Ints) -> Kw:
    """Logarithms of three percentiles of each day, freed of the kind of day, (days, 3); NaN where unknown."""
    whole = np.isfinite(table).mean(axis=1) >= 0.9
    levels = np.full((table.shape[0], 3), np.nan)
    if whole.any():
        levels[whole] = np.nanquantile(table[whole], (0.1, 0.5, 0.9), axis=1).T
    levels[(levels <= 0).any(axis=1) | ~whole] = np.nan
    logs: Kw = np.log(levels)
    known = np.flatnonzero(np.isfinite(logs).all(axis=1))
    if known.size < 8:
        return logs
    off = logs[known] - _running(logs[known], 7)
    for k in np.unique(kind[known]):
        mine = kind[known] == k
        if mine.sum() >= 4:
            logs[known[mine]] -= np.median(off[mine], axis=0)
    return logs


def _running(logs: Kw, days: int) -> Kw:
    """Running median over an odd number of days, (days, 3)."""
    half = days // 2
    padded = np.pad(logs, ((half, half), (0, 0)), mode="edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, days, axis=0), axis=-1))


def _scatter(logs: Kw) -> float:
    """What days of one level differ by, as a standard deviation of logarithms."""
    return float(1.4826 * np.median(np.abs(logs - _running(logs, 7)).max(axis=1)))


def _edges(logs: Kw) -> list[int]:
    """Days on which all three percentiles have moved, against the day before or the one before that (the
    change may fall within a day)."""
    out: list[int] = []
    for j in range(1, logs.shape[0]):
        for back in (1, 2):
            if j - back < 0:
                continue
            step = logs[j] - logs[j - back]
            if np.all(step > EDGE) or np.all(step < -EDGE):
                if not out or j - out[-1] > 1:
                    out.append(j)
                elif back == 1 and np.abs(step).min() > np.abs(logs[out[-1]] - logs[out[-1] - 1]).min():
                    out[-1] = j
                break
    return out


def _moves(logs: Kw, edges: list[int], scatter: float) -> list[float]:
    """Known factor of the move at each edge, signed (+4: up by 4, -4: down by 4), 0 where it is none.

    The days before and after are compared over windows of two days to two weeks; the one in which low, middle
    and high agree best speaks. An edge that leads back from a neighbour's move is that move's end.
    """
    bounds = [0, *edges, logs.shape[0]]
    raw, apart, out = [], [], []
    for i in range(1, len(bounds) - 1):
        move, unlike, slack = _move(logs, bounds[i - 1], bounds[i], bounds[i + 1], scatter)
        large = abs(move) > LARGE
        factor = _named(move, NEAR + slack if not large else 0.35) if unlike < 1 or large else None
        raw.append(move)
        apart.append(unlike)
        out.append(0.0 if factor is None else factor if factor > 1 else -1 / factor)
    for i, own in enumerate(list(out)):
        for j in (i - 1, i + 1):
            if not 0 <= j < len(out) or not out[j] or raw[i] * raw[j] > 0:
                continue
            both_large = min(abs(raw[i]), abs(raw[j])) > LARGE
            back = abs(raw[i] + raw[j]) < (BACK if not both_large else LARGE)
            if back and (own == 0 or (both_large and apart[j] < apart[i])):
                out[i] = -out[j]
    return out


def _move(logs: Kw, a: int, e: int, z: int, scatter: float) -> tuple[float, float, float]:
    """Move of the level at e between a and z, how far the percentiles disagree on it (1: just admissible), and
    its uncertainty."""
    best = (np.inf, 0.0, 0.0)
    for days in WINDOWS_DAYS:
        after, before = logs[e : min(z, e + days)], logs[max(a, e - days) : e]
        # The day of the change holds both levels.
        after = after[1:] if after.shape[0] > 2 else after
        before = before[1:] if before.shape[0] > 2 and e - days <= a and a > 0 else before
        move = np.median(after, axis=0) - np.median(before, axis=0)
        slack = min(0.1, scatter * (len(after) ** -0.5 + len(before) ** -0.5))
        apart = float(np.ptp(move)) / (ALIKE + slack)
        if apart < best[0]:
            best = (apart, float(np.median(move)), slack)
    return best[1], best[0], best[2]


def _named(move: float, near: float) -> float | None:
    """The known factor whose logarithm is `move`, or None."""
    if abs(move) < EDGE:
        return None
    factor = min(JUMP_FACTORS, key=lambda f: abs(np.log(f) - abs(move)))
    if abs(np.log(factor) - abs(move)) > near:
        return None
    return factor if move > 0 else 1 / factor


def _refined(
    table: Kw, timeline: Timeline, kw: Kw, factor: float, part: tuple[int, int], kind: Ints
) -> float:
    """The known factor nearest to what the readings of the stretch say against like days around it, slot by
    slot: where days differ much, three percentiles of a few days do not tell 30 from 40."""
    day = timeline.day - timeline.day[0]
    d, e = int(day[part[0]]), int(day[part[1] - 1])
    inner = np.arange(d + 1, e) if e - d > 2 else np.arange(d, e + 1)
    near = np.unique(np.concatenate((inner[:WINDOW_DAYS], inner[-WINDOW_DAYS:])))
    around = np.concatenate(
        (np.arange(max(0, d - WINDOW_DAYS), d), np.arange(e + 1, min(table.shape[0], e + 1 + WINDOW_DAYS)))
    )
    moves = []
    for k in np.unique(kind[near]):
        like = around[kind[around] == k]
        if like.size:
            with np.errstate(divide="ignore", invalid="ignore"):
                moves.append((np.log(table[near[kind[near] == k]]) - np.log(_median(table[like]))).ravel())
    move = np.concatenate(moves) if moves else np.empty(0)
    move = move[np.isfinite(move)]
    if move.size == 0:
        return factor
    off = float(np.median(move))
    known = min((f**s for f in JUMP_FACTORS for s in (1, -1)), key=lambda f: abs(np.log(f) - off))
    return (
        float(known) if abs(np.log(known) - off) < abs(np.log(factor) - off) and abs(off) > EDGE else factor
    )


def _median(days: Kw) -> Kw:
    """Median over days of each slot, NaN where no day knows it, (slots,)."""
    out = np.full(days.shape[1], np.nan)
    known = np.isfinite(days).any(axis=0)
    out[known] = np.nanmedian(days[:, known], axis=0)
    return out


def _sharpened(
    table: Kw,
    timeline: Timeline,
    kw: Kw,
    factor: float,
    bounds: tuple[int, int],
    move: tuple[bool, bool],
    kind: Ints,
) -> tuple[int, int]:
    """Both bounds at the interval where readings leave one level for the other, within a day and a half."""
    a, z = bounds
    per = table.shape[1]
    slot = timeline.local_s % 86400 // timeline.step_s
    day = timeline.day - timeline.day[0]
    d, e = int(day[a]), int(day[min(z, timeline.n - 1)])
    near = np.concatenate(
        (
            np.arange(max(0, d - WINDOW_DAYS), max(0, d - 1)),
            np.arange(e + 2, min(table.shape[0], e + WINDOW_DAYS)),
        )
    )
    if near.size == 0:
        return bounds
    rows = np.vstack([_median(table[near[kind[near] == k]]) for k in range(3)])
    rows = np.where(np.isfinite(rows), rows, _median(table[near]))
    usual = rows[kind[day], slot]
    with np.errstate(divide="ignore", invalid="ignore"):
        plain = np.abs(np.log(kw / usual))
        scaled = np.abs(np.log(kw / (factor * usual)))
        gain = np.nan_to_num(np.clip(plain - scaled, -5, 5))
    reach = 3 * per // 2
    if move[0]:
        part = gain[max(0, a - reach) : min(z, a + reach)]
        a = max(0, a - reach) + int(np.argmax(np.cumsum(part[::-1])[::-1]))
    if move[1]:
        low = max(a, z - reach)
        z = low + int(np.argmax(np.cumsum(gain[low : z + reach]))) + 1
    return a, z


def _shape_stays(
    table: Kw, timeline: Timeline, part: tuple[int, int], factor: float, scatter: float, kind: Ints
) -> bool:
    """Whether every four hours of the day have moved by the factor, against like days next to the bounds."""
    day = timeline.day - timeline.day[0]
    d, e = int(day[part[0]]), int(day[part[1] - 1])
    inner = np.arange(d + 1, e) if e - d > 2 else np.arange(d, e + 1)
    # Where the stretch is long, only its days near the rest are compared: seasons change shapes.
    near = np.concatenate((inner[:7] if d > 0 else [], inner[-7:] if e + 1 < table.shape[0] else [])).astype(
        int
    )
    around = np.concatenate((np.arange(max(0, d - 7), d), np.arange(e + 1, min(table.shape[0], e + 8))))
    offs, slack = [], 2 * scatter / np.sqrt(max(1, np.unique(near).size))
    for k in np.unique(kind[near]):
        a, b = _bins(table[near[kind[near] == k]]), _bins(table[around[kind[around] == k]])
        off = np.abs(a - b - np.log(factor))
        if np.isfinite(off).all():
            offs.append(float(np.quantile(off, 0.8)))
    return bool(offs) and min(offs) < 0.15 + slack and max(offs) < 0.25 + slack


def _bins(days: Kw) -> Kw:
    """Logarithm of the mean of each four hours over days, (6,)."""
    known = days[np.isfinite(days).all(axis=1)]
    if known.shape[0] == 0:
        return np.full(BINS, np.nan)
    return np.asarray(np.log(known.mean(axis=0).reshape(BINS, -1).mean(axis=1)))
