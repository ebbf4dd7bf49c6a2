"""Compiled choice of runs; see rights.py.

best[i, j] of the first i blocks with j runs closed by i:
    best[i, j] = max(best[i - 1, j],  max over lengths l:  best[i - l - rest, j - 1] + sum of worth [i - l, i))
With no limit of runs, j is dropped. A block of -1e18 cannot be part of a run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Floats = np.ndarray[Any, np.dtype[np.float64]]


@njit(cache=True)
def runs(worth: Floats, longest: int, rest: int, events: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Blocks of the runs of greatest sum: at most `events` runs (-1 = any number) of at most `longest` blocks, with
    `rest` blocks between them."""
    n = worth.size
    js = 1 if events < 0 else events + 1
    best = np.zeros((n + 1, js))
    length = np.zeros((n + 1, js), dtype=np.int32)
    for i in range(1, n + 1):
        for j in range(js):
            best[i, j] = best[i - 1, j]
        total = 0.0
        for l in range(1, min(longest, i) + 1):
            if worth[i - l] < -1e17:
                break
            total += worth[i - l]
            before = max(i - l - rest, 0)
            for j in range(0 if events < 0 else 1, js):
                value = total + (best[before, 0] if events < 0 else best[before, j - 1])
                if value > best[i, j] + 1e-12:
                    best[i, j] = value
                    length[i, j] = l
    out = np.zeros(n, dtype=np.bool_)
    i, j = n, js - 1
    while i > 0:
        l = length[i, j]
        if l == 0:
            i -= 1
            continue
        out[i - l : i] = True
        i = max(i - l - rest, 0)
        if events >= 0:
            j -= 1
    return out
