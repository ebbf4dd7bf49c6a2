"""Compiled rainflow stack; see rainflow.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Floats = np.ndarray[Any, np.dtype[np.float64]]


@njit(cache=True)
def _close(stack: Floats, size: int, rows: Floats, m: int) -> tuple[int, int]:
    """Count what the last confirmed turning point closes; returns the new sizes of stack and rows."""
    while size >= 3:
        x = abs(stack[size - 1] - stack[size - 2])
        y = abs(stack[size - 2] - stack[size - 3])
        if x < y:
            break
        rows[m, 0] = y
        rows[m, 1] = 0.5 * (stack[size - 2] + stack[size - 3])
        rows[m, 2] = 0.5 if size == 3 else 1.0
        m += 1
        if size == 3:
            stack[0], stack[1] = stack[1], stack[2]
            size = 2
        else:
            stack[size - 3] = stack[size - 1]
            size -= 2
    return size, m


@njit(cache=True)
def push(history: Floats, begun: Floats) -> tuple[Floats, Floats]:
    """Stack (its last point provisional) after more history, and the cycles closed (m, 3)."""
    stack = np.empty(begun.size + history.size + 1)
    rows = np.empty((begun.size + history.size + 1, 3))
    size, m = begun.size, 0
    stack[:size] = begun
    for v in history:
        if size == 0:
            stack[0] = v
            size = 1
            continue
        last = stack[size - 1]
        if v == last:
            continue
        if size >= 2 and (v - last) * (last - stack[size - 2]) > 0:
            stack[size - 1] = v
            continue
        size, m = _close(stack, size, rows, m)
        stack[size] = v
        size += 1
    return stack[:size].copy(), rows[:m].copy()


@njit(cache=True)
def finish(begun: Floats) -> Floats:
    """Cycles that an end of the history here would add, (m, 3)."""
    stack = begun.copy()
    rows = np.empty((2 * begun.size + 1, 3))
    size, m = _close(stack, begun.size, rows, 0)
    for k in range(size - 1):
        rows[m, 0] = abs(stack[k + 1] - stack[k])
        rows[m, 1] = 0.5 * (stack[k + 1] + stack[k])
        rows[m, 2] = 0.5
        m += 1
    return rows[:m].copy()
