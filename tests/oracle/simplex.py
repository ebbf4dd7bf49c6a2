"""A dense two-phase simplex of a few lines, for problems of a few dozen columns: a second opinion on every solver.

minimise c x subject to A x = b, x >= 0 (slacks are the caller's). Dantzig's rule, Bland's after many pivots, so that
it always ends; tested on random problems against scipy in `test_random_stacks`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TINY = 1e-9


def simplex(c: Floats, a: Floats, b: Floats) -> tuple[float, Floats]:
    """Least cost and where; (inf, nothing) where no x exists."""
    a, b = np.where(b[:, None] < 0, -a, a), np.abs(b)
    m, n = a.shape
    table = np.hstack([a, np.eye(m), b[:, None]])
    basis = np.arange(n, n + m)
    infeasible = np.concatenate([np.zeros(n), np.ones(m)])
    if _run(table, basis, infeasible, n + m) > 1e-7:
        return float("inf"), np.zeros(n)
    for i in np.flatnonzero(basis >= n):  # artificial columns at zero leave where they can
        j = int(np.abs(table[i, :n]).argmax())
        if abs(table[i, j]) > TINY:
            _pivot(table, int(i), j)
            basis[i] = j
    least = _run(table, basis, np.concatenate([c, np.zeros(m)]), n)
    x = np.zeros(n + m)
    x[basis] = table[:, -1]
    return least, x[:n]


def _run(table: Floats, basis: NDArray[np.int64], cost: Floats, columns: int) -> float:
    for k in range(5000):
        reduced = cost[:columns] - cost[basis] @ table[:, :columns]
        if reduced.min() > -TINY:
            return float(cost[basis] @ table[:, -1])
        enter = int(reduced.argmin()) if k < 200 else int(np.flatnonzero(reduced < -TINY)[0])
        column = table[:, enter]
        up = column > TINY
        if not up.any():
            return float("-inf")
        ratio = np.full(column.size, np.inf)
        ratio[up] = table[up, -1] / column[up]
        ties = np.flatnonzero(ratio <= ratio.min() + 1e-12)
        leave = int(ties[basis[ties].argmin()])
        _pivot(table, leave, enter)
        basis[leave] = enter
    raise AssertionError("the simplex did not end")


def _pivot(table: Floats, i: int, j: int) -> None:
    table[i] /= table[i, j]
    factor = table[:, j].copy()
    factor[i] = 0.0
    table -= np.outer(factor, table[i])
