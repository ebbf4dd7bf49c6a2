"""A bounded search over sizes, where the problem is not affine in them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import product
from math import inf

import numpy as np

from ...errors import InfeasibleError, SolverError
from ...solve.problem import Floats
from .axis import Axis, Sized, Sizes, capacity_usd


def search(
    axes: Sequence[Axis],
    cost_usd: Callable[[Sizes], float],
    *,
    start: Sequence[Sizes] = (),
    most: int = 60,
    tolerance: float = 0.01,
    grid: int = 3,
    reason: str = "",
    most_s: float = inf,
) -> Sized:
    """The best sizes of those that a bounded search looks at, where the problem is not affine in them.

    cost_usd: least cost over the horizon at given sizes, with the sizes' own cost in it, inf where they cannot be had.
    A grid of `grid` sizes an axis and `start` are looked at first, so the answer is never worse than these. From the
    best, steps along each axis and along the last progress are tried and halved where none helps (pattern search:
    Hooke and Jeeves 1961, doi:10.1145/321062.321069), until they are below `tolerance` of the ranges, `most` values
    were asked for or `most_s` seconds are over (then `why` says so). It may end in a local optimum: nothing bounds what
    lies elsewhere, and lower_bound_usd is -inf.
    Errors: InfeasibleError where no size looked at can be had.
    """
    tried: dict[tuple[float, ...], float] = {}
    low = np.array([a.lower for a in axes])
    high = np.array([a.upper for a in axes])
    free = np.flatnonzero(high > low)
    began, late = time.monotonic(), False

    def ask(at: Floats) -> float:
        key = tuple(float(f"{v:.9g}") for v in np.clip(at, low, high))
        nonlocal late
        if key not in tried:
            late = late or (bool(tried) and time.monotonic() - began > most_s)
            if late or len(tried) >= most:
                return inf
            tried[key] = float(cost_usd({a.name: v for a, v in zip(axes, key)}))
            if np.isnan(tried[key]):
                raise SolverError(f"sizes {key} have a cost that is no number")
        return tried[key]

    for point in start:
        ask(np.array([point[a.name] for a in axes]))
    for tick in product(*(np.linspace(lo, h, grid if h > lo else 1) for lo, h in zip(low, high))):
        ask(np.array(tick))
    if min(tried.values()) == inf:
        raise InfeasibleError("no size within the range can be had; widen the range", owners=["sizing"])
    now = np.array(min(tried, key=lambda k: tried[k]))
    step = 0.5 / max(1, grid - 1)
    while step >= tolerance and len(tried) < most and not late and free.size:
        was, usd = now, ask(now)
        for j in free:
            for sign in (1.0, -1.0):
                at = now.copy()
                at[j] = np.clip(at[j] + sign * step * (high[j] - low[j]), low[j], high[j])
                if ask(at) < usd:
                    now, usd = at, ask(at)
                    break
        if (now == was).all():
            step /= 2
        elif ask(2 * now - was) < ask(now):
            now = np.clip(2 * now - was, low, high)
    best = min(tried, key=lambda k: tried[k])
    size = {a.name: v for a, v in zip(axes, best)}
    return Sized(
        size,
        tried[best],
        -inf,
        capacity_usd(axes, size),
        "search",
        proved=False,
        why=f"a bounded search over {len(tried)} sizes"
        + (f", ended after {most_s:.0f} s" if late else "")
        + (f": {reason}" if reason else ""),
        tried=tuple(({a.name: v for a, v in zip(axes, k)}, c) for k, c in tried.items()),
    )
