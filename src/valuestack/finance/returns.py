"""Present value, internal rate of return, payback: of flows at stated times, nothing about energy or tax.

Flows (n,) [USD], positive = money in; times [years from now]. npv = sum c / (1 + r)^t.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..timeline import Kw


def times(n: int, timing: str = "end") -> Kw:
    """Times of flows 0..n-1: now, then the end (or the middle) of each year, (n,)."""
    t = np.arange(n, dtype=np.float64)
    return t if timing == "end" else np.where(t > 0, t - 0.5, 0.0)


def npv(flows: Sequence[float] | Kw, rate_frac: float, at_y: Kw | None = None) -> float:
    """Present value at `rate_frac` [USD].

    >>> round(npv([-100, 60, 60], 0.1), 4)
    4.1322
    """
    c = np.asarray(flows, dtype=np.float64)
    t = times(c.size) if at_y is None else at_y
    if rate_frac <= -1:
        raise InputError(f"discount rate: {rate_frac!r} should be above -1")
    return float((c / (1 + rate_frac) ** t).sum())


def irr_all(flows: Sequence[float] | Kw, at_y: Kw | None = None) -> tuple[float, ...]:
    """Every rate between -99.9 % and 100,000 % at which the flows are worth nothing, ascending.

    Roots of a polynomial in 1/(1+r): sign changes on a grid in ln(1+r), then bisection with Newton steps that are
    taken only where they stay inside the bracket, so it cannot run away.
    """
    c = np.asarray(flows, dtype=np.float64)
    t = times(c.size) if at_y is None else np.asarray(at_y, dtype=np.float64)
    scale = float(np.abs(c).max(initial=0.0))
    if scale == 0 or np.all(c >= 0) or np.all(c <= 0):
        return ()
    c = c / scale

    grid = np.linspace(np.log(1e-3), np.log(1001), 4001)
    shift = t[None, :] - np.where(grid < 0, t[-1], 0.0)[:, None]
    sign = np.sign(np.exp(-grid[:, None] * shift) @ c)
    out = [float(np.expm1(grid[k])) for k in np.flatnonzero(sign == 0)]
    for k in np.flatnonzero(sign[:-1] * sign[1:] < 0):
        out.append(float(np.expm1(_root(c, t, float(grid[k]), float(grid[k + 1])))))
    return tuple(sorted(out))


def _worth(c: Kw, t: Kw, u: float) -> tuple[float, float]:
    """Value at u = ln(1 + r) and its slope, up to a positive factor that keeps low rates from overflowing."""
    shift = t - (t[-1] if u < 0 else 0.0)
    weighted = c * np.exp(-u * shift)
    return float(weighted.sum()), float(-(shift * weighted).sum())


def _root(c: Kw, t: Kw, low: float, high: float) -> float:
    above = _worth(c, t, low)[0] > 0
    u = 0.5 * (low + high)
    for _ in range(200):
        fu, slope = _worth(c, t, u)
        if fu == 0 or high - low < 1e-15:
            break
        if (fu > 0) == above:
            low = u
        else:
            high = u
        step = u - fu / slope if slope else np.inf
        u = step if low < step < high else 0.5 * (low + high)
    return u


def irr(flows: Sequence[float] | Kw, at_y: Kw | None = None) -> float | None:
    """The rate at which the flows are worth nothing; None where there is none. Of several, the one nearest to zero
    (`irr_all` gives them all: flows that change sign more than once may have several)."""
    found = irr_all(flows, at_y)
    return min(found, key=abs) if found else None


def payback_y(flows: Sequence[float] | Kw, at_y: Kw | None = None, rate_frac: float = 0.0) -> float | None:
    """Years until the (discounted) sum of the flows turns and stays at or above zero, straight between flows; None
    where it never does. With flows at year ends it is counted as if each year's money came evenly.

    >>> payback_y([-100, 40, 40, 40])
    2.5
    """
    c = np.asarray(flows, dtype=np.float64)
    t = times(c.size)
    discounted = c / (1 + rate_frac) ** (t if at_y is None else at_y)
    total = np.cumsum(discounted)
    below = np.flatnonzero(total < -1e-9)
    if below.size == 0:
        return 0.0
    k = int(below[-1])
    if k == c.size - 1:
        return None
    return float(k + -total[k] / (total[k + 1] - total[k]))
