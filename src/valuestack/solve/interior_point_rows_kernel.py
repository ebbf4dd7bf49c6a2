"""Kernels of the interior point: the rows that count, each once, as one-sided rows and equations.

Two rows of a chain in time often ask the same of the same decisions and differ in what stands beside them: a store's
room at the meter with and without the awards that it holds. Where column bounds show that one of them asks for more,
the other is left out (dominated rows, as in Andersen and Andersen 1995, doi:10.1007/BF01586000, for rows that are
parallel but for bounded columns). Its multiplier is zero, so the certificate over all rows is none the worse.
"""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
from numba import njit

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]

SAME = 1e-13  # relative: coefficients that are equal but for rounding
UNLIKE, PARALLEL, ALIKE = 0, 1, 2


@njit(cache=True)
def live(
    start: Ints, index: Ints, value: Floats, row_lower: Floats, row_upper: Floats, low: Floats, fixed: Mask
) -> tuple[Ints, Ints, Ints, Floats, Floats, Floats, float]:
    """Rows of two entries and more with their fixed columns moved into the bounds: original numbers, start, index,
    value, least, most; and the greatest breach of those in which nothing is left to decide."""
    m = start.size - 1
    row, begin = np.empty(m, np.int64), np.zeros(m + 1, np.int64)
    kept, by = np.empty(index.size, np.int64), np.empty(index.size)
    least, most = np.empty(m), np.empty(m)
    rows, top, worst = 0, 0, 0.0
    for i in range(m):
        if start[i + 1] - start[i] < 2 or (row_lower[i] == -inf and row_upper[i] == inf):
            continue
        moved = 0.0
        for e in range(start[i], start[i + 1]):
            j = index[e]
            if fixed[j]:
                moved += value[e] * low[j]
            else:
                kept[top], by[top] = j, value[e]
                top += 1
        if top == begin[rows]:
            worst = max(worst, row_lower[i] - moved, moved - row_upper[i])
            continue
        row[rows], least[rows], most[rows] = i, row_lower[i] - moved, row_upper[i] - moved
        rows += 1
        begin[rows] = top
    return row[:rows], begin[: rows + 1], kept[:top], by[:top], least[:rows], most[:rows], worst


@njit(inline="always")
def _against(
    a: int, a_end: int, b: int, b_end: int, factor: float, index: Ints, value: Floats, timed: Mask, all_count: bool,
    low: Floats, up: Floats,
) -> tuple[int, float, float]:  # fmt: skip
    """How row b, entries [b, b_end), stands to row a: (kind, least, most). PARALLEL: timed entries are factor times
    those of a, and least and most bound what b holds beside factor times a; ALIKE: b is factor times a."""
    least, most, kind = 0.0, 0.0, ALIKE
    while a < a_end or b < b_end:
        i = index[a] if a < a_end else low.size
        j = index[b] if b < b_end else low.size
        k = min(i, j)
        by_a, by_b = value[a] if i == k else 0.0, value[b] if j == k else 0.0
        a += i == k
        b += j == k
        more, size = by_b - factor * by_a, abs(by_b) + abs(factor * by_a)
        if abs(more) <= SAME * size:
            continue
        if all_count or timed[k]:
            return UNLIKE, least, most
        kind = PARALLEL
        least += more * (low[k] if more > 0 else up[k])
        most += more * (up[k] if more > 0 else low[k])
    return kind, least, most


@njit(cache=True)
def _anchored(
    start: Ints, index: Ints, timed: Mask, columns: int, wide: int
) -> tuple[Mask, Ints, Ints, Ints, Ints]:
    """Of each row whether it holds no timed column, its first entry that counts and how many are timed; the first row
    by column of that entry and the next one after each, rows of more than `wide` entries apart."""
    m = start.size - 1
    head, after = np.full(columns, -1), np.full(m, -1)
    timeless, anchor, count = np.zeros(m, np.bool_), np.full(m, -1), np.zeros(m, np.int64)
    for i in range(m - 1, -1, -1):
        for e in range(start[i], start[i + 1]):
            if timed[index[e]]:
                count[i] += 1
                if anchor[i] < 0:
                    anchor[i] = e
        if anchor[i] < 0:
            timeless[i], anchor[i] = True, start[i]
        if start[i + 1] - start[i] <= wide:
            j = index[anchor[i]]
            after[i] = head[j]
            head[j] = i
    return timeless, anchor, count, head, after


@njit(cache=True)
def distinct(
    start: Ints, index: Ints, value: Floats, least: Floats, most: Floats, timed: Mask, low: Floats, up: Floats,
    wide: int,
) -> tuple[Ints, Floats, Ints, Floats, Mask]:  # fmt: skip
    """Leave in `least` and `most`, in place, only what no other row implies; of alike rows the first keeps the tightest
    bounds of all. Returns the rows that set least and most of each, how many times the row their entries are, and which
    rows hold no timed column.

    timed: (columns,) those of one stage. low, up: (columns,). wide: rows with more entries are left as they are.
    """
    m = least.size
    by_least, by_most, f_least, f_most = np.arange(m), np.arange(m), np.ones(m), np.ones(m)
    timeless, anchor, count, head, after = _anchored(start, index, timed, low.size, wide)
    for j in range(low.size):
        a = head[j]
        while a >= 0:
            b = after[a]
            while b >= 0 and (least[a] > -inf or most[a] < inf):
                # What is cheap to tell apart comes first: most pairs go no further.
                if (
                    timeless[a] != timeless[b]
                    or count[a] != count[b]
                    or (least[b] == -inf and most[b] == inf)
                ):
                    b = after[b]
                    continue
                # Two rows that bound opposite sides only matter to each other where they are alike.
                factor = value[anchor[b]] / value[anchor[a]]
                has_low, has_up = least[b] > -inf, most[b] < inf
                if factor < 0:
                    has_low, has_up = has_up, has_low
                one_side = (least[a] > -inf and has_low) or (most[a] < inf and has_up)
                no_more = timeless[a] or not one_side
                together = start[a + 1] - start[a] == start[b + 1] - start[b] or not no_more
                if together:
                    kind, under, over = _against(
                        start[a],
                        start[a + 1],
                        start[b],
                        start[b + 1],
                        factor,
                        index,
                        value,
                        timed,
                        no_more,
                        low,
                        up,
                    )
                    if kind == ALIKE:
                        _merged(a, b, factor, least, most, by_least, by_most, f_least, f_most)
                    elif kind == PARALLEL:
                        _implied(a, b, factor, under, over, least, most)
                        if factor > 0:
                            under, over = over, under
                        _implied(b, a, 1.0 / factor, -under / factor, -over / factor, least, most)
                b = after[b]
            a = after[a]
    return by_least, f_least, by_most, f_most, timeless


@njit(cache=True)
def _merged(
    a: int, b: int, factor: float, least: Floats, most: Floats, by_least: Ints, by_most: Ints, f_least: Floats,
    f_most: Floats,
) -> None:  # fmt: skip
    """Row b, which is factor times row a, gives its bounds to a."""
    low, up = least[b] / factor, most[b] / factor
    src_low, src_up, f_low, f_up = by_least[b], by_most[b], f_least[b], f_most[b]
    if factor < 0:
        low, up, src_low, src_up, f_low, f_up = up, low, src_up, src_low, f_up, f_low
    if low > least[a]:
        least[a], by_least[a], f_least[a] = low, src_low, factor * f_low
    if up < most[a]:
        most[a], by_most[a], f_most[a] = up, src_up, factor * f_up
    least[b], most[b] = -inf, inf


@njit(cache=True)
def _implied(a: int, b: int, factor: float, under: float, over: float, least: Floats, most: Floats) -> None:
    """Bounds of row b that row a implies are taken away: b = factor a + something within [under, over]. Equations stay
    whole."""
    low, up = factor * least[a], factor * most[a]
    if factor < 0:
        low, up = up, low
    if most[b] <= least[b] + 1e-11 * (1.0 + abs(least[b])):
        return
    if least[b] > -inf and low + under >= least[b] - SAME * abs(least[b]):
        least[b] = -inf
    if most[b] < inf and up + over <= most[b] + SAME * abs(most[b]):
        most[b] = inf


@njit(cache=True)
def arranged(
    order: Ints,
    side: Floats,
    bound: Floats,
    start: Ints,
    index: Ints,
    value: Floats,
    place: Ints,
    unit: float,
) -> tuple[Floats, Ints, np.ndarray[Any, np.dtype[np.uint32]], Floats, Floats]:
    """Rows `order`, turned by `side`, each scaled to a greatest entry of one, its entries in the order of K: bound,
    start, column, value and the height that it was divided by."""
    m, total = order.size, 0
    for i in order:
        total += start[i + 1] - start[i]
    begin, column, by = np.zeros(m + 1, np.int64), np.empty(total, np.uint32), np.empty(total)
    rhs, height = np.empty(m), np.zeros(m)
    at = 0
    for k in range(m):
        i = order[k]
        for e in range(start[i], start[i + 1]):
            height[k] = max(height[k], abs(value[e]))
        for e in range(start[i], start[i + 1]):
            c, v, f = place[index[e]], value[e] * side[k] / height[k], at
            while f > begin[k] and column[f - 1] > c:
                column[f], by[f] = column[f - 1], by[f - 1]
                f -= 1
            column[f], by[f] = c, v
            at += 1
        begin[k + 1] = at
        rhs[k] = bound[k] / height[k] / unit
    return rhs, begin, column, by, height


@njit(cache=True)
def kinds(start: Ints, index: Ints, bits: Ints, place: Ints, alive: Mask, most: int) -> Ints:
    """Number of each row's kind, (rows,): rows of one kind have the same coefficients in the same order, and as a rule
    their places rise and fall alike, too. bits: the coefficients' own. At most `most` kinds are told apart, a power of
    two; further rows are all of kind `most`."""
    m = start.size - 1
    table, of, out = np.full(2 * most, -1), np.empty(most, np.int64), np.full(m, most)
    way, known = np.empty(most, np.int64), 0
    for i in range(m):
        if not alive[i]:
            continue
        a, n, rise = start[i], start[i + 1] - start[i], 0
        for e in range(a + 1, a + n):
            rise = (2 * rise + (place[index[e - 1]] < place[index[e]])) & 0xFFFFFFFF
        key = np.uint64(n) ^ (np.uint64(rise) << np.uint64(16))
        for e in range(a, a + n):
            key = (key ^ np.uint64(bits[e])) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(29)
        at = np.int64(key & np.uint64(2 * most - 1))
        while table[at] >= 0:
            b = of[table[at]]
            same = start[b + 1] - start[b] == n and way[table[at]] == rise
            if same:
                for e in range(n):
                    same &= bits[start[b] + e] == bits[a + e]
            if same:
                break
            at = (at + 1) % (2 * most)
        if table[at] < 0:
            if known == most:
                continue
            table[at], of[known], way[known] = known, i, rise
            known += 1
        out[i] = table[at]
    return out


@njit(cache=True)
def runs(start: Ints, value: Floats, rows: int) -> tuple[Ints, Ints, Floats]:
    """Neighbours with the same coefficients among the first `rows`: first row of each run and the end (runs + 1,),
    where its coefficients begin (runs + 1,), and these."""
    first, at, top, q = np.empty(rows + 1, np.int64), np.empty(rows + 1, np.int64), 0, 0
    coef = np.empty(start[rows])
    for i in range(rows):
        a, n = start[i], start[i + 1] - start[i]
        same = i > 0 and start[i] - start[i - 1] == n
        if same:
            for e in range(n):
                same &= value[a + e] == value[a - n + e]
        if not same:
            first[q], at[q] = i, top
            q += 1
            for e in range(n):
                coef[top + e] = value[a + e]
            top += n
    first[q], at[q] = rows, top
    return first[: q + 1].copy(), at[: q + 1].copy(), coef[:top].copy()
