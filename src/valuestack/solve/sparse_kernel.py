"""Kernels on sparse matrices by rows, in one pass each where numpy would need several and a row number an entry."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

SHORT = 32  # entries: rows up to that are sorted by insertion


@njit(cache=True)
def activity(start: Ints, index: Ints, value: Floats, x: Floats) -> Floats:
    """A x, (rows,)."""
    out = np.empty(start.size - 1)
    for i in range(out.size):
        a = 0.0
        for e in range(start[i], start[i + 1]):
            a += value[e] * x[index[e]]
        out[i] = a
    return out


@njit(cache=True)
def reduced(cost: Floats, start: Ints, index: Ints, value: Floats, y: Floats) -> Floats:
    """cost - A'y, (columns,)."""
    out = cost.copy()
    for i in range(start.size - 1):
        if y[i] != 0.0:
            for e in range(start[i], start[i + 1]):
                out[index[e]] -= value[e] * y[i]
    return out


@njit(cache=True)
def touching(start: Ints, index: Ints, columns: Any) -> Any:
    """Whether each row holds one of some columns, (rows,). columns: (columns,) which."""
    out = np.zeros(start.size - 1, np.bool_)
    for i in range(out.size):
        for e in range(start[i], start[i + 1]):
            out[i] |= columns[index[e]]
    return out


@njit(cache=True)
def ordered(row: Ints, col: Ints) -> bool:
    """Whether entries stand by row, then by column, each place once."""
    out = True
    for e in range(1, row.size):
        out &= row[e] > row[e - 1] or (row[e] == row[e - 1] and col[e] > col[e - 1])
    return out


@njit(cache=True)
def merged(row: Ints, col: Ints, coef: Floats, n: int) -> tuple[Ints, Ints, Floats]:
    """Entries by row, then by column, those on one place added in the order given; sums of zero are left out."""
    begin = np.zeros(n + 1, np.int64)
    for e in range(row.size):
        begin[row[e] + 1] += 1
    for i in range(n):
        begin[i + 1] += begin[i]
    at = begin[:n].copy()
    j, v = np.empty(row.size, np.int64), np.empty(row.size)
    for e in range(row.size):
        k = at[row[e]]
        j[k], v[k] = col[e], coef[e]
        at[row[e]] = k + 1
    out_row, top = np.empty(row.size, np.int64), 0
    for i in range(n):
        a, b = begin[i], begin[i + 1]
        if b - a > SHORT:
            order = np.argsort(j[a:b], kind="mergesort")
            j[a:b], v[a:b] = j[a:b][order], v[a:b][order]
        else:
            for e in range(a + 1, b):
                c, by, f = j[e], v[e], e
                while f > a and j[f - 1] > c:
                    j[f], v[f] = j[f - 1], v[f - 1]
                    f -= 1
                j[f], v[f] = c, by
        e = a
        while e < b:
            c, total = j[e], v[e]
            e += 1
            while e < b and j[e] == c:
                total += v[e]
                e += 1
            if total != 0.0:
                out_row[top], j[top], v[top] = i, c, total
                top += 1
    return out_row[:top].copy(), j[:top].copy(), v[:top].copy()


@njit(cache=True)
def reach(
    const: Floats, row: Ints, col: Ints, coef: Floats, low: Floats, high: Floats
) -> tuple[Floats, Floats]:
    """Least and greatest of const + M x for low <= x <= high, (rows,) each; M as triplets, each place once."""
    least, most = const.copy(), const.copy()
    for e in range(row.size):
        i, j, v = row[e], col[e], coef[e]
        a, b = v * low[j], v * high[j]
        if v > 0:
            least[i] += a
            most[i] += b
        else:
            least[i] += b
            most[i] += a
    return least, most


@njit(cache=True)
def room(
    start: Ints, index: Ints, value: Floats, row_lower: Floats, row_upper: Floats, x: Floats, free: Any, slot: Ints,
    way: float, out: Floats,
) -> None:  # fmt: skip
    """Lower each out[slot[j]] to how far column j may go up (way 1) or down (-1) in rows that are `free`, all other
    columns as they are, in place."""
    for i in range(start.size - 1):
        if not free[i]:
            continue
        a, found = 0.0, False
        for e in range(start[i], start[i + 1]):
            a += value[e] * x[index[e]]
            found |= slot[index[e]] >= 0
        if not found:
            continue
        for e in range(start[i], start[i + 1]):
            k = slot[index[e]]
            if k >= 0:
                coef = value[e] * way
                left = row_upper[i] - a if coef > 0 else a - row_lower[i]
                out[k] = min(out[k], left / abs(coef))
