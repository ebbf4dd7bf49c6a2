"""Compiled side of usable.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


@njit(cache=True)
def mend(row: Floats, m: int, first: int, slot: Ints, last: Floats, present: float, most: float) -> None:
    """Put known load where row (n,) holds no number within its first m values, which begin with interval `first`.

    last: load by clock slot, NaN where none is known; present: the last one metered; most: greatest size believed."""
    now = present if np.isfinite(present) else 0.0
    for j in range(m):
        if not abs(row[j]) <= most:
            then = last[slot[first + j]]
            row[j] = then if np.isfinite(then) else now


@njit(cache=True)
def faulty(rows: Floats, total: int, most: float) -> Bools:
    """Whether a row (row k follows interval k) holds no number among its values within `total` intervals."""
    out = np.zeros(rows.shape[0], dtype=np.bool_)
    for k in range(rows.shape[0]):
        for j in range(min(rows.shape[1], total - 1 - k)):
            if not abs(rows[k, j]) <= most:
                out[k] = True
                break
    return out


@njit(cache=True)
def mend_all(rows: Floats, bad: Bools, values: Floats, slot: Ints, last: Floats, most: float) -> None:
    """`mend` of the rows that are `bad`, each with the values up to its own."""
    for k in range(rows.shape[0]):
        if np.isfinite(values[k]):
            last[slot[k]] = values[k]
        if bad[k]:
            mend(rows[k], min(rows.shape[1], slot.size - 1 - k), k + 1, slot, last, values[k], most)
