"""What can be wrong with a metered series, and how it shows. Every threshold says why it is what it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...timeline import Kw, Timeline
from .repair import runs

Mask = NDArray[np.bool_]

STUCK_H = 6.0
STUCK_INTERVALS = 12
"""A value repeated to the last digit for so long is suspicious, if the meter usually moves (see below)."""
STUCK_RARE = 1e-6
"""... and only if a run so long would occur by chance less than once in a million intervals, judged by how
often this meter repeats its last value: a coarse or idle meter repeats honestly."""
STUCK_DAYS = 7.0
"""Longer than a week no load is believed to stand still to the last digit."""
ZERO_SHARE = 0.05
"""Zeros are a fault if the load is otherwise never within 5 % of its median of nothing."""
OUTLIER_RATIO = 2.2
"""A single interval above 2.2 x the next highest of the year, or below -that, is no load but a spike of the meter."""
OUTLIERS_MOST = 40
"""More readings than these above a break are a mode of operation."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A suspected stretch: intervals first .. first + n - 1, and a note."""

    kind: str
    first: int
    n: int
    note: str = ""
    factor: float = 1.0


def negatives(kw: Kw) -> Mask:
    """Below zero on a channel that only delivers."""
    return np.isfinite(kw) & (kw < -1e-9)


def stuck(timeline: Timeline, kw: Kw) -> list[Fault]:
    """Runs of one value too long to be chance.

    The chance that a reading repeats is that of the load as a whole, or that of the very value where the load
    stands on it elsewhere too: an idle plant draws its base load honestly for hours, a dead meter holds the last
    value that it saw. Past `STUCK_DAYS` no load is believed to stand still to the last digit.
    """
    same = np.concatenate(([False], np.diff(kw) == 0))
    candidates = [
        (a - 1, n + 1)
        for a, n in runs(same)
        if (n + 1) * timeline.step_h >= STUCK_H and n + 1 >= STUCK_INTERVALS and abs(kw[a]) > 1e-9
    ]
    if not candidates:
        return []
    inside = np.zeros(kw.size, dtype=bool)
    for a, n in candidates:
        inside[a : a + n] = True
    outside = same[~inside]
    # How often the meter honestly repeats, from what lies outside the suspected runs; a meter that is never
    # seen to move is taken to move, because the profile of a constant load cannot be told from a dead meter.
    repeat = min(0.999, (outside.sum() + 1) / (outside.size + 2)) if outside.size > 200 else 0.05
    out = []
    for a, n in candidates:
        long = n * timeline.step_h > STUCK_DAYS * 24
        if long or max(repeat, _stands(kw, same, a, n, repeat)) ** (n - 1) < STUCK_RARE:
            out.append(Fault("stuck_meter", a, n, f"{kw[a]:,.2f} kW"))
    return out


def _stands(kw: Kw, same: Mask, a: int, n: int, repeat: float) -> float:
    """Chance that the value of a run repeats, from its readings elsewhere."""
    here = kw == kw[a]
    here[a : a + n] = False
    stays = int((here & same).sum())
    return float((stays + 2 * repeat) / (int(here.sum()) + 2))


def zeros(timeline: Timeline, kw: Kw, exports: Mask | None = None) -> list[Fault]:
    """Runs of zero in a load that otherwise never comes near it. exports: (n,) where the meter sends power out,
    so that nothing comes in."""
    known = np.isfinite(kw) if exports is None else np.isfinite(kw) & ~exports
    zero = known & (np.abs(kw) < 1e-9)
    rest = kw[known & ~zero]
    if not zero.any() or rest.size == 0 or zero.mean() > 0.25:
        return []
    low = float(np.quantile(rest, 0.01))
    if low < ZERO_SHARE * float(np.median(rest)):
        return []
    return [Fault("zeros", a, n) for a, n in runs(zero)]


def outliers(kw: Kw) -> list[Fault]:
    """Single intervals (at most two) far above everything else that was ever metered."""
    known = np.where(np.isfinite(kw), kw, -np.inf)
    order = np.argsort(-known)[: OUTLIERS_MOST + 1]
    values = known[order]
    # Where does the tail of the values break? Everything above the lowest break of the ratio is suspected, if
    # it is rare and stands alone.
    breaks = [
        j for j in range(values.size - 1) if values[j + 1] > 0 and values[j] > OUTLIER_RATIO * values[j + 1]
    ]
    if not breaks:
        return []
    mask = np.zeros(kw.size, dtype=bool)
    mask[order[: breaks[-1] + 1]] = True
    return [Fault("outlier", a, n, f"{kw[a]:,.1f} kW") for a, n in runs(mask) if n <= 2]
