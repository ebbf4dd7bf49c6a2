"""Kernels of the interior point: order, pattern and numeric factorisation of a sparse quasidefinite matrix.

Every symmetric order of a quasidefinite matrix has a factorisation K = L D L' (Vanderbei 1995,
doi:10.1137/0805005), so the order may follow time alone: then L is as narrow as the state of the plant, and a year
costs what a Riccati sweep costs. All targets of the numeric phase are listed once, since the pattern never changes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Places = np.ndarray[Any, np.dtype[np.uint32]]

LOST = 1e-15  # of a diagonal entry: what is left of it below this is noise


class Pattern(NamedTuple):
    """Columns of L below the diagonal, and where the numeric phase adds what.

    fixed: entries of K that never change, in L's slots. sums_at: slots of all products of two different entries of a
    summed row, row by row. update_at: slot of every product of two entries of a column of L, in order of
    elimination. own (n,): scratch, the diagonal of K before elimination.
    """

    first: Ints
    below: Places
    fixed: Floats
    sums_at: Places
    update_at: Places
    own: Floats


class Factor(NamedTuple):
    """low: entries below the diagonal of K, then of L, (slots,). diagonal: of K, then one over each pivot, (n,)."""

    low: Floats
    diagonal: Floats


@njit(cache=True)
def ranked(order: Ints, key: Ints) -> Ints:
    """`order` sorted by key[order], equal ones as they stand: by counting, since keys are small. key >= 0."""
    count = np.zeros(key.max() + 2 if key.size else 1, np.int64)
    for i in range(key.size):
        count[key[i] + 1] += 1
    for k in range(1, count.size):
        count[k] += count[k - 1]
    out = np.empty(order.size, np.int64)
    for i in order:
        out[count[key[i]]] = i
        count[key[i]] += 1
    return out


@njit(cache=True)
def reach_in_time(
    stage: Ints, start: Ints, index: Ints, alive: Any, long: int, never: int
) -> tuple[Ints, Ints, Ints, Ints, Any, Ints]:
    """First and last stage of columns and of rows, which rows hold no column of any (rows,), and how many rows touch
    each column. Only rows that are `alive` count.

    A long row waits for its last column, but its columns need not wait for it, unless nothing else gives them a
    time."""
    n, m = stage.size, start.size - 1
    first_row, last_row, touched = np.full(m, never), np.full(m, -1), np.zeros(n, np.int64)
    for i in range(m):
        for e in range(start[i], start[i + 1]):
            at = stage[index[e]]
            last_row[i] = max(last_row[i], at)
            if at >= 0:
                first_row[i] = min(first_row[i], at)
            if alive[i]:
                touched[index[e]] += 1
    timeless = last_row < 0
    last, first = stage.copy(), np.where(stage < 0, never, stage)
    for k in range(3):
        was = last.copy()
        for i in range(m):
            if last_row[i] < 0 or not alive[i]:
                continue
            short = start[i + 1] - start[i] <= long
            for e in range(start[i], start[i + 1]):
                j = index[e]
                if short or (k and was[j] < 0):
                    last[j] = max(last[j], last_row[i])
                    first[j] = min(first[j], first_row[i])
        left = False
        for i in range(m):
            if last_row[i] < 0 and alive[i]:
                left = True
                for e in range(start[i], start[i + 1]):
                    j = index[e]
                    last_row[i] = max(last_row[i], last[j])
                    first_row[i] = min(first_row[i], first[j])
        if not left:
            break
    return first, last, first_row, last_row, timeless, touched


@njit(cache=True)
def lower_part(size: int, start: Ints, column: Places, row_place: Places, summed: int) -> tuple[Ints, Places]:
    """Rows below the diagonal of K by column, repeats and all. Entries of each row in the order of K."""
    begin = np.zeros(size + 1, np.int64)
    for i in range(start.size - 1):
        for e in range(start[i], start[i + 1]):
            if i < summed:
                begin[column[e] + 1] += start[i + 1] - 1 - e
            else:
                begin[min(np.int64(column[e]), np.int64(row_place[i - summed])) + 1] += 1
    for j in range(size):
        begin[j + 1] += begin[j]
    at, out = begin[:size].copy(), np.empty(begin[size], np.uint32)
    for i in range(start.size - 1):
        for e in range(start[i], start[i + 1]):
            a = np.int64(column[e])
            if i < summed:
                for f in range(e + 1, start[i + 1]):
                    out[at[a]] = column[f]
                    at[a] += 1
            else:
                b = np.int64(row_place[i - summed])
                out[at[min(a, b)]] = max(a, b)
                at[min(a, b)] += 1
    return begin, out


@njit(cache=True)
def elimination(n: int, begin: Ints, lower: Places) -> tuple[Ints, Places]:
    """Pattern of L from the strictly lower pattern of K by columns (sorted or not, repeats allowed)."""
    first = np.zeros(n + 1, np.int64)
    head = np.full(n, -1, np.int64)
    after = np.full(n, -1, np.int64)
    mark = np.full(n, -1, np.int64)
    room = max(4 * lower.size, 16)
    below = np.empty(room, np.uint32)
    top = 0
    for j in range(n):
        first[j] = top
        need = begin[j + 1] - begin[j]
        child = head[j]
        while child >= 0:
            need += first[child + 1] - first[child]
            child = after[child]
        while top + need > room:
            grown = np.empty(2 * room, np.uint32)
            grown[:top] = below[:top]
            below, room = grown, 2 * room
        mark[j] = j
        for e in range(begin[j], begin[j + 1]):
            i = lower[e]
            if mark[i] != j:
                mark[i] = j
                below[top] = i
                top += 1
        child = head[j]
        while child >= 0:
            for e in range(first[child], first[child + 1]):
                i = below[e]
                if mark[i] != j:
                    mark[i] = j
                    below[top] = i
                    top += 1
            child = after[child]
        first[j + 1] = top
        if top - first[j] > 24:
            mine = below[first[j] : top]
            mine.sort()
        else:
            for e in range(first[j] + 1, top):
                i, f = below[e], e
                while f > first[j] and below[f - 1] > i:
                    below[f] = below[f - 1]
                    f -= 1
                below[f] = i
        if top > first[j]:
            parent = below[first[j]]
            after[j] = head[parent]
            head[parent] = j
    return first, below[:top].copy()


@njit(cache=True)
def updates(first: Ints, below: Places) -> Places:
    """Slots of all products of two entries of one column, in the order in which `factorise` makes them."""
    n = first.size - 1
    total = 0
    for j in range(n):
        k = first[j + 1] - first[j]
        total += k * (k - 1) // 2
    out = np.empty(total, np.uint32)
    at = 0
    for j in range(n):
        for b in range(first[j], first[j + 1]):
            col = below[b]
            e = first[col]
            for a in range(b + 1, first[j + 1]):
                row = below[a]
                while below[e] < row:
                    e += 1
                out[at] = e
                at += 1
    return out


@njit(cache=True)
def targets(
    first: Ints, below: Places, start: Ints, column: Places, value: Floats, row_place: Places, summed: int
) -> tuple[Floats, Places]:
    """Fixed entries, and slots of the products of the summed rows. Entries of each row in the order of K."""
    fixed = np.zeros(below.size)
    total = 0
    for i in range(summed):
        k = start[i + 1] - start[i]
        total += k * (k - 1) // 2
    out = np.empty(total, np.uint32)
    at = 0
    for i in range(summed):
        for e in range(start[i], start[i + 1]):
            for f in range(start[i], e):
                slot = first[column[f]]
                while below[slot] != column[e]:
                    slot += 1
                out[at] = slot
                at += 1
    for i in range(summed, start.size - 1):
        a = np.int64(row_place[i - summed])
        for e in range(start[i], start[i + 1]):
            b = np.int64(column[e])
            slot = first[min(a, b)]
            while below[slot] != max(a, b):
                slot += 1
            fixed[slot] = value[e]
    return fixed, out


@njit(cache=True, error_model="numpy")
def factorise(k: Pattern, f: Factor, r: Floats) -> int:
    """K = L D L' in place, and r <- L^-1 r.

    Near the end weights differ by more than a number holds, and what should be left of a pivot is lost in what was
    taken from it. Such a pivot is given the size of the noise and the sign that it must have (as in Wright 1999,
    doi:10.1137/S1052623496304712): the step is short there, and the next iteration sees what it left. Returns how
    many were. Most columns have three to five entries; written out, they stay in registers."""
    first, below, update_at, own, low, diagonal = k.first, k.below, k.update_at, k.own, f.low, f.diagonal
    at, lost = 0, 0
    for j in range(first.size - 1):
        a0, a1 = first[j], first[j + 1]
        n = a1 - a0
        pivot, was = diagonal[j], own[j]
        if not pivot * was > LOST * was * was:
            pivot = LOST * was
            lost += 1
        by = 1.0 / pivot
        diagonal[j] = by
        v = r[j]
        if n == 4:
            i0, i1, i2, i3 = below[a0], below[a0 + 1], below[a0 + 2], below[a0 + 3]
            w0, w1, w2, w3 = low[a0], low[a0 + 1], low[a0 + 2], low[a0 + 3]
            s0, s1, s2, s3 = w0 * by, w1 * by, w2 * by, w3 * by
            low[update_at[at]] -= s0 * w1
            low[update_at[at + 1]] -= s0 * w2
            low[update_at[at + 2]] -= s0 * w3
            low[update_at[at + 3]] -= s1 * w2
            low[update_at[at + 4]] -= s1 * w3
            low[update_at[at + 5]] -= s2 * w3
            diagonal[i0] -= s0 * w0
            diagonal[i1] -= s1 * w1
            diagonal[i2] -= s2 * w2
            diagonal[i3] -= s3 * w3
            r[i0] -= s0 * v
            r[i1] -= s1 * v
            r[i2] -= s2 * v
            r[i3] -= s3 * v
            low[a0], low[a0 + 1], low[a0 + 2], low[a0 + 3] = s0, s1, s2, s3
            at += 6
        elif n == 3:
            i0, i1, i2 = below[a0], below[a0 + 1], below[a0 + 2]
            w0, w1, w2 = low[a0], low[a0 + 1], low[a0 + 2]
            s0, s1, s2 = w0 * by, w1 * by, w2 * by
            low[update_at[at]] -= s0 * w1
            low[update_at[at + 1]] -= s0 * w2
            low[update_at[at + 2]] -= s1 * w2
            diagonal[i0] -= s0 * w0
            diagonal[i1] -= s1 * w1
            diagonal[i2] -= s2 * w2
            r[i0] -= s0 * v
            r[i1] -= s1 * v
            r[i2] -= s2 * v
            low[a0], low[a0 + 1], low[a0 + 2] = s0, s1, s2
            at += 3
        elif n == 5:
            i0, i1, i2, i3, i4 = below[a0], below[a0 + 1], below[a0 + 2], below[a0 + 3], below[a0 + 4]
            w0, w1, w2, w3, w4 = low[a0], low[a0 + 1], low[a0 + 2], low[a0 + 3], low[a0 + 4]
            s0, s1, s2, s3, s4 = w0 * by, w1 * by, w2 * by, w3 * by, w4 * by
            low[update_at[at]] -= s0 * w1
            low[update_at[at + 1]] -= s0 * w2
            low[update_at[at + 2]] -= s0 * w3
            low[update_at[at + 3]] -= s0 * w4
            low[update_at[at + 4]] -= s1 * w2
            low[update_at[at + 5]] -= s1 * w3
            low[update_at[at + 6]] -= s1 * w4
            low[update_at[at + 7]] -= s2 * w3
            low[update_at[at + 8]] -= s2 * w4
            low[update_at[at + 9]] -= s3 * w4
            diagonal[i0] -= s0 * w0
            diagonal[i1] -= s1 * w1
            diagonal[i2] -= s2 * w2
            diagonal[i3] -= s3 * w3
            diagonal[i4] -= s4 * w4
            r[i0] -= s0 * v
            r[i1] -= s1 * v
            r[i2] -= s2 * v
            r[i3] -= s3 * v
            r[i4] -= s4 * v
            low[a0], low[a0 + 1], low[a0 + 2], low[a0 + 3], low[a0 + 4] = s0, s1, s2, s3, s4
            at += 10
        else:
            for b in range(a0, a1):
                raw = low[b]
                scaled = raw * by
                i = below[b]
                diagonal[i] -= scaled * raw
                r[i] -= scaled * v
                for a in range(b + 1, a1):
                    low[update_at[at]] -= scaled * low[a]
                    at += 1
                low[b] = scaled
    return lost


@njit(cache=True, error_model="numpy")
def forward(k: Pattern, f: Factor, r0: Floats, r1: Floats, mu: float) -> None:
    """r0 <- L^-1 (r0 + mu r1)."""
    first, below, low = k.first, k.below, f.low
    e = first[0]
    for j in range(first.size - 1):
        v = r0[j] + mu * r1[j]
        r0[j] = v
        end = first[j + 1]
        while e < end:
            r0[below[e]] -= low[e] * v
            e += 1


@njit(cache=True, error_model="numpy")
def backward(k: Pattern, f: Factor, r: Floats) -> None:
    """r <- L'^-1 D^-1 r; a column's parent comes last, since it alone is still warm."""
    first, below, low, by = k.first, k.below, f.low, f.diagonal
    e = below.size - 1
    for j in range(first.size - 2, -1, -1):
        v = r[j] * by[j]
        end = first[j]
        while e >= end:
            v -= low[e] * r[below[e]]
            e -= 1
        r[j] = v
