"""Compiled side of looking back by the clock: the same wall-clock time some days ago."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Ints = np.ndarray[Any, np.dtype[np.int64]]


@njit(cache=True)
def days_back(k: int, days: int, slot: Ints, per_day: int) -> int:
    """Interval at the clock slot of k, `days` local days before; -1 where there is none.

    slot: (n,) clock slot of each interval. Counted back by whole days and moved by what the clock was set on or back
    in between, also where that leads across midnight.
    """
    then = k - days * per_day
    if then < 0:
        return -1
    off = slot[k] - slot[then]
    if off > per_day // 2:
        off -= per_day
    elif off < -(per_day // 2):
        off += per_day
    then += off
    return int(then) if then >= 0 else -1
