"""Readings that somebody made up without saying so: straight lines, copied days, hours spread flat."""

from __future__ import annotations

import numpy as np

from ...timeline import Kw, Timeline
from .faults import Fault, Mask
from .repair import runs

LINE_H = 6.0
LINE_INTERVALS = 8
"""So many intervals of a load that lives never lie on one slope."""
LAST_DIGIT_KW = 0.01
COPY_DAYS = (7, 1, 14, 28, 2, 3, 4, 5, 6, 364)
COPIES_MOST = 0.2
"""A load that copies itself on more than a fifth of its days is a schedule (or a simulation)."""
SPREAD_H = 24.0
CHANCE = 1e-6


def lines(timeline: Timeline, kw: Kw) -> list[Fault]:
    """Straight lines of at least six hours that lead up or down (a level one is a stuck meter)."""
    bend = np.abs(np.diff(kw, n=2))
    bend[~np.isfinite(bend)] = np.inf
    usual = float(np.median(bend[np.isfinite(bend)])) if np.isfinite(bend).any() else 0.0
    known = np.unique(kw[np.isfinite(kw)])
    grain = float(np.diff(known).min()) if known.size > 1 else 0.0
    level = float(np.abs(known).max()) if known.size else 0.0
    # A load that is straight anyhow (simulated, or interpolated throughout) says nothing.
    if usual <= 1e-9 * level:
        return []
    # Rounding bends a line by up to two units of the last digit.
    bent = 1e-9 * level + min(2.01 * max(grain, LAST_DIGIT_KW), 0.02 * usual)
    out = []
    for a, n in runs(bend <= bent):
        rise = abs(kw[a + n + 1] - kw[a])
        if n * timeline.step_h >= LINE_H and n >= LINE_INTERVALS and rise > max(4 * bent, 1e-6 * level):
            out.append(Fault("filled_flat", a, n + 2))
    return out


def copies(timeline: Timeline, kw: Kw) -> list[Fault]:
    """Local days that equal an earlier one to the last digit, in a load whose days never do so by chance."""
    day = timeline.day - timeline.day[0]
    per = 86400 // timeline.step_s
    table = np.full((int(day[-1]) + 1, per), np.nan)
    table[day, timeline.local_s % 86400 // timeline.step_s] = kw
    moves = np.concatenate((np.diff(table, axis=1) != 0, np.ones((table.shape[0], 1), dtype=bool)), axis=1)
    moves &= np.isfinite(table)
    count = moves.sum(axis=1)
    taken = np.zeros(table.shape[0], dtype=bool)
    out: list[Fault] = []
    for back in COPY_DAYS:
        if back >= table.shape[0]:
            continue
        same = np.concatenate((np.zeros((back, per), dtype=bool), table[back:] == table[:-back]))
        share = (same & moves).sum(axis=1) / np.maximum(1, count)
        whole = same.all(axis=1) & (count > 2) & ~taken
        if not whole.any() or whole.mean() > COPIES_MOST:
            continue
        # How often a reading that moves meets that of the earlier day by chance: the livelier days do so
        # less often, so that the 95th percentile of the others stands for all; neighbours hang together, so
        # that only every other reading counts.
        rest = share[back:][~whole[back:]]
        chance = max(0.02, float(np.quantile(rest, 0.95))) if rest.size > 20 else 1.0
        whole &= chance ** (count / 2) * table.shape[0] < CHANCE
        for a, n in runs(whole):
            first = int(np.searchsorted(day, a))
            taken[a : a + n] = True
            note = f"as {back} day{'s' if back > 1 else ''} before"
            out.append(Fault("copied", first, int(np.searchsorted(day, a + n)) - first, note))
    return out


def spread(timeline: Timeline, kw: Kw) -> list[Fault]:
    """Stretches of a day or more in which every hour (half-hour) holds one value for all its intervals."""
    out: list[Fault] = []
    taken = np.zeros(kw.size, dtype=bool)
    same = np.concatenate(([False], np.diff(kw) == 0))
    for coarse_s in (3600, 1800, 900):
        k = coarse_s // timeline.step_s
        if k < 2 or same.mean() > 0.9:
            continue
        lead = int(-(timeline.utc_s[0] // timeline.step_s) % k)
        blocks = (kw.size - lead) // k
        inner = same[lead : lead + blocks * k].reshape(blocks, k)
        flat: Mask = np.all(inner[:, 1:], axis=1) & ~taken[lead : lead + blocks * k].reshape(blocks, k).any(
            axis=1
        )
        moved = ~inner[:, 0]
        for a, n in runs(flat):
            if n * coarse_s >= SPREAD_H * 3600 and _by_design(flat, moved, a, n, k):
                first = lead + a * k
                taken[first : first + n * k] = True
                out.append(Fault("resolution", first, n * k, f"{coarse_s // 60} min"))
    return out


def _by_design(flat: Mask, moved: Mask, a: int, n: int, k: int) -> bool:
    """Whether blocks hold one value each though the load moves between them, which elsewhere is rare."""
    part = slice(a, a + n)
    if moved[part].mean() < 0.4:
        return False
    rest = np.concatenate((flat[:a] & moved[:a], flat[a + n :] & moved[a + n :]))
    chance = (float(rest.sum()) + 1) / (rest.size + 2)
    return bool(chance ** float((moved[part]).sum()) * flat.size < CHANCE)
