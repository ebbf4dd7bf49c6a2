"""Limits -> rows, hard or with a price for breach.

`each`, `max` and `ramp` bound the measure itself (kW, kWh stored, ...); `sum` and `count` what it adds up to.
The price of a breach is per unit; for `each` a breach in kW counts for the hours it lasts. `priority` is for
the guard, which must act when not all can be had; an optimiser that cannot meet every hard limit says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from ..errors import InputError
from ..solve.problem import Affine, Floats, Ints, Problem
from ..terms import Limit, Measure
from .meter import Meter
from .offers import bind


@dataclass(slots=True, eq=False)
class Bound:
    """One limit as expressions with bounds, and what breaking it cost."""

    limit: Limit
    expr: Affine
    lower: Floats
    upper: Floats
    hours: float


def where_of(limit: Limit) -> str:
    """How it is called in messages."""
    return f"{limit.owner}, {limit.name}"


def _numbers(limit: Limit, value: float | Floats, n: int, what: str) -> Floats:
    array = np.asarray(value, dtype=np.float64)
    if array.shape not in ((), (n,)):
        raise InputError(
            f"{where_of(limit)}: {what} has shape {array.shape}; it needs one number or {n} of them"
        )
    if np.isnan(array).any():
        raise InputError(f"{where_of(limit)}: {what} holds NaN; use -inf or inf where there is no bound")
    return np.array(np.broadcast_to(array, (n,)))


def _windows(limit: Limit, n: int) -> Ints:
    if limit.window is None:
        return np.zeros(n, dtype=np.int64)
    if limit.window.shape != (n,):
        raise InputError(
            f"{where_of(limit)}: window has shape {limit.window.shape}; the horizon needs ({n},)"
        )
    return limit.window


def needs_split(limit: Limit) -> bool:
    """True where the limit tells import from export; plain caps per interval bound net load as well."""
    m = limit.measure
    if m.asset is not None or m.flow not in ("import", "export"):
        return False
    return limit.over in ("sum", "ramp", "count") or m.reference_kw is not None or m.own is not None


def _flow(meter: Meter, limit: Limit) -> Affine:
    """A cap on import or export is a cap on net load; a floor above zero too."""
    m: Measure = limit.measure
    plain = m.asset is None and m.reference_kw is None and m.own is None and m.flow in ("import", "export")
    if plain and limit.over in ("each", "max"):
        return meter.net if m.flow == "import" else meter.net.times(-1.0)
    return meter.flow(m, where_of(limit))


def add_limit(problem: Problem, meter: Meter, limit: Limit) -> Bound:
    """Rows of one limit."""
    over = {"each": _each, "sum": _sum, "count": _sum, "max": _max, "ramp": _ramp}[limit.over]
    bound = over(problem, meter, limit)
    if bound.limit.breach_usd_per_unit is None:
        bind(
            problem,
            f"{limit.owner}/{limit.name}",
            bound.expr,
            owner=limit.owner,
            lower=bound.lower,
            upper=bound.upper,
        )
    else:
        _soft(problem, bound, bound.limit.breach_usd_per_unit * bound.hours)
    return bound


def _one_sided(limit: Limit, lower: Floats, upper: Floats) -> tuple[Floats, Floats]:
    """Import and export are never negative: a bound at or below zero says nothing, or forbids the flow."""
    m = limit.measure
    if m.asset is None and m.flow in ("import", "export") and m.reference_kw is None and m.own is None:
        lower = np.where(lower > 0, lower, -inf)
        upper = np.where(upper < 0, -inf, upper)
    return lower, upper


def _each(problem: Problem, meter: Meter, limit: Limit) -> Bound:
    n = meter.n
    at = np.flatnonzero(_windows(limit, n) >= 0)
    lower, upper = _one_sided(
        limit, _numbers(limit, limit.lower, n, "lower"), _numbers(limit, limit.upper, n, "upper")
    )
    at = at[np.isfinite(lower[at]) | np.isfinite(upper[at]) | (upper[at] == -inf) | (lower[at] == inf)]
    return Bound(limit, _flow(meter, limit).take(at), lower[at], upper[at], meter.hours(limit.measure))


def _sum(problem: Problem, meter: Meter, limit: Limit) -> Bound:
    window = _windows(limit, meter.n)
    past = 0 if limit.so_far is None else len(limit.so_far)
    n = max(int(window.max(initial=-1)) + 1, past, np.size(limit.upper), np.size(limit.lower), 1)
    hours = 1.0 if limit.over == "count" else meter.hours(limit.measure)
    total = _flow(meter, limit).gather(window, n, hours)
    if limit.so_far is not None:
        so_far = np.zeros(n)
        so_far[:past] = limit.so_far
        total = total.plus(so_far)
    return Bound(
        limit, total, _numbers(limit, limit.lower, n, "lower"), _numbers(limit, limit.upper, n, "upper"), 1.0
    )


def _max(problem: Problem, meter: Meter, limit: Limit) -> Bound:
    window = _windows(limit, meter.n)
    n = max(int(window.max(initial=-1)) + 1, 1)
    lower, upper = _numbers(limit, limit.lower, n, "lower"), _numbers(limit, limit.upper, n, "upper")
    flow = _flow(meter, limit)
    hours = limit.measure.average_h
    at = np.flatnonzero(window >= 0)
    if hours is not None and hours > meter.horizon.step_h + 1e-9:
        key = meter.horizon.block(hours) * (n + 1) + window
        kinds, into = np.unique(key[at], return_inverse=True)
        weight, target = np.zeros(flow.n), np.full(flow.n, -1, dtype=np.int64)
        target[at] = into
        weight[at] = 1.0 / np.bincount(into)[into]
        blocks, of = flow.gather(target, kinds.size, weight), kinds % (n + 1)
    else:
        blocks, of = flow.take(at), window[at]
    if np.isfinite(lower).any():
        _reached(problem, limit, blocks, of, lower)
    if limit.breach_usd_per_unit is None:
        return Bound(limit, blocks, np.full(blocks.n, -inf), upper[of], 1.0)
    # one breach a window, as high as its highest block
    over = Affine.of(
        problem.add_columns(
            f"{limit.owner}/{limit.name} highest",
            n,
            owner=limit.owner,
            lower=np.where(np.isfinite(upper), upper, 0.0),
        )
    )
    problem.add_rows(
        f"{limit.owner}/{limit.name} highest", Affine.of(over.col[of]) - blocks, owner=limit.owner, lower=0.0
    )
    return Bound(limit, over, np.full(n, -inf), upper, 1.0)


def _reached(problem: Problem, limit: Limit, blocks: Affine, of: Ints, lower: Floats) -> None:
    """Some block of the window is at least `lower`: a binary each."""
    if limit.breach_usd_per_unit is not None:
        raise InputError(f"{where_of(limit)}: a least maximum cannot have a price for breach; make it hard")
    low, _ = problem.reach(blocks)
    at = np.flatnonzero(np.isfinite(lower[of]))
    z = Affine.of(
        problem.add_columns(
            f"{limit.owner}/{limit.name} reached by", at.size, owner=limit.owner, upper=1.0, integer=True
        )
    )
    gap = np.maximum(lower[of][at] - low[at], 0.0)
    problem.add_rows(
        f"{limit.owner}/{limit.name} reached",
        blocks.take(at) - z.times(gap),
        owner=limit.owner,
        lower=lower[of][at] - gap,
    )
    problem.add_rows(
        f"{limit.owner}/{limit.name} once",
        z.gather(of[at], lower.size),
        owner=limit.owner,
        lower=np.isfinite(lower).astype(float),
    )


def _ramp(problem: Problem, meter: Meter, limit: Limit) -> Bound:
    n = meter.n
    window = _windows(limit, n)
    at = np.flatnonzero((window[1:] >= 0) & (window[:-1] >= 0))
    flow = _flow(meter, limit)
    change = flow.take(at + 1) - flow.take(at)
    lower, upper = _numbers(limit, limit.lower, n, "lower"), _numbers(limit, limit.upper, n, "upper")
    return Bound(limit, change, lower[at + 1], upper[at + 1], 1.0)


def _soft(problem: Problem, bound: Bound, price: float) -> None:
    limit, n = bound.limit, bound.expr.n
    if price < 0:
        raise InputError(
            f"{where_of(limit)}: breach_usd_per_unit = {limit.breach_usd_per_unit!r} would pay for a breach"
        )
    least, most = problem.reach(bound.expr)
    for side, sign, edge, crossed in (
        ("over", 1.0, bound.upper, most > bound.upper),
        ("under", -1.0, bound.lower, least < bound.lower),
    ):
        at = np.flatnonzero(crossed & np.isfinite(edge))
        if not at.size or not n:
            continue
        by = Affine.of(problem.add_columns(f"{limit.owner}/{limit.name} {side}", at.size, owner=limit.owner))
        problem.add_rows(
            f"{limit.owner}/{limit.name} {side}",
            by - bound.expr.take(at).times(sign),
            owner=limit.owner,
            lower=-sign * edge[at],
        )
        problem.add_cost(by.times(price))
