"""First in, first out through a store: the line of lots, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True)
def first_in_first_out(green: Any, grey: Any, out: Any, start: float) -> Any:  # pragma: no cover
    """Green energy given back in each interval, (n,), and what is still held.

    green, grey: deliverable energy that enters at the end of each interval, (n,); out: what leaves in it, before that;
    start: grey energy in line before. A lot is taken from in proportion to its green share.
    """
    n = green.size
    lot, clean = np.zeros(n + 1), np.zeros(n + 1)
    given = np.zeros(n)
    lot[0] = start
    head, tail, held = 0, 1, 0.0
    for k in range(n):
        left = out[k]
        while left > 0.0 and head < tail:
            if left >= lot[head]:
                left -= lot[head]
                given[k] += clean[head]
                head += 1
            else:
                part = clean[head] * left / lot[head]
                given[k] += part
                clean[head] -= part
                lot[head] -= left
                left = 0.0
        if green[k] + grey[k] > 0.0:
            lot[tail], clean[tail] = green[k] + grey[k], green[k]
            tail += 1
    for j in range(head, tail):
        held += clean[j]
    return given, held
