"""Payments and minima -> objective. Blocks on one measure are added before their shape is judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import numpy as np

from ..errors import InputError
from ..solve.problem import Affine, Floats, Ints, Mask, Problem, filled
from ..terms import Carry, HoursUse, Measure, Minimum, Payment
from .meter import Meter
from .offers import zero
from .pieces import Hinge, least_slope, merged, piecewise


@dataclass(slots=True, eq=False)
class Billed:
    """Quantities of a payment, per window: what was measured, and what is billed after floors."""

    measured: Affine
    billed: Affine
    low: Floats
    high: Floats
    window: Ints


@dataclass(slots=True, eq=False)
class Group:
    """Payments whose blocks add: equal measure, over, window, floors and carry."""

    payments: list[Payment]
    minima: frozenset[tuple[str, str]]
    cost: Affine | None = None
    pull: Floats | None = None

    @property
    def head(self) -> Payment:
        return self.payments[0]

    @property
    def name(self) -> str:
        return " + ".join(f"{p.owner}/{p.name}" for p in self.payments)

    @property
    def owner(self) -> str:
        return ", ".join(dict.fromkeys(p.owner for p in self.payments))


@dataclass(frozen=True, slots=True)
class Approximation:
    """Where the problem only stands for the rule: by how much it can be off [USD], and why."""

    what: str
    slack_usd: float


@dataclass(slots=True, eq=False)
class Books:
    """State of compiling the payments of one problem."""

    problem: Problem
    meter: Meter
    groups: list[Group] = field(default_factory=list)
    billed: dict[tuple[str, str], Billed] = field(default_factory=dict)
    approximations: list[Approximation] = field(default_factory=list)


def where_of(p: Payment | Minimum) -> str:
    """How a term is called in messages."""
    return f"{p.owner}, {p.name}"


def counted(p: Payment) -> Ints:
    """Intervals that a payment counts."""
    return np.flatnonzero(p.window >= 0)


def size(p: Payment) -> int:
    """Number of quantities that a payment prices: intervals for `each`, else windows."""
    if p.over == "each":
        return int((p.window >= 0).sum())
    past = 0 if p.so_far is None else len(p.so_far)
    return max(p.windows, past, *(f.window + 1 for f in p.floors), 0)


def _per(p: Payment, value: float | Floats, n: int, what: str) -> Floats:
    array = np.asarray(value, dtype=np.float64)
    if p.over == "each" and array.shape == p.window.shape:
        return array[p.window >= 0]
    if array.shape not in ((), (n,)):
        raise InputError(f"{where_of(p)}: {what} has shape {array.shape}; it needs one number or {n} of them")
    return filled(array, n)


def slope_and_hinges(p: Payment, n: int) -> tuple[Floats, list[tuple[Floats | HoursUse, Floats]]]:
    """First price and its changes; the last block's price holds on beyond its bound."""
    if not p.blocks:
        raise InputError(f"{where_of(p)}: a payment needs at least one block with a price")
    if p.weight < 0:
        raise InputError(f"{where_of(p)}: weight = {p.weight!r}; a probability or share is never negative")
    prices = [p.weight * _per(p, b.usd_per_unit, n, "usd_per_unit") for b in p.blocks]
    hinges: list[tuple[Floats | HoursUse, Floats]] = []
    for block, here, after in zip(p.blocks, prices, prices[1:]):
        bound = block.upto if isinstance(block.upto, HoursUse) else _per(p, block.upto, n, "upto")
        hinges.append((bound, after - here))
    return prices[0], hinges


def check(p: Payment, n: int) -> None:
    """Shapes and combinations that have no meaning are refused by name."""
    if p.window.shape != (n,):
        raise InputError(f"{where_of(p)}: window has shape {p.window.shape}; the horizon needs ({n},)")
    if p.over == "each" and (p.floors or p.carry or p.pool):
        raise InputError(f"{where_of(p)}: floors, carry and pool belong to windows; use over='sum' or 'max'")
    if p.so_far is not None and p.over != "each" and len(p.so_far) < p.windows:
        raise InputError(f"{where_of(p)}: so_far knows {len(p.so_far)} windows, the horizon has {p.windows}")


def _same(a: Payment, b: Payment) -> bool:
    if (a.over, a.pool, a.carry) != (b.over, b.pool, b.carry) or a.floors != b.floors or a.pool is not None:
        return False
    if not a.measure.same(b.measure) or not np.array_equal(a.window, b.window):
        return False
    if a.so_far is None or b.so_far is None:
        return a.so_far is b.so_far
    return np.array_equal(a.so_far, b.so_far)


def grouped(payments: Sequence[Payment], minima: Sequence[Minimum]) -> list[Group]:
    """Payments that may be added, in order of first appearance; those that others refer to first."""
    groups: list[Group] = []
    for p in payments:
        mine = frozenset((m.owner, m.name) for m in minima if m.owner == p.owner and p.name in m.members)
        for g in groups:
            if g.minima == mine and _same(g.head, p):
                g.payments.append(p)
                break
        else:
            groups.append(Group([p], mine))
    return sorted(groups, key=lambda g: _depth(g.payments, payments))


def aligned(payments: Sequence[Payment]) -> list[Payment]:
    """The same payments, with a maximum that is measured over some of another's windows stated over all of them, at
    no price in the others: a credit on the peak of summer afternoons then adds to the charge on that peak, and their
    sum is judged, not the credit alone."""
    read = {(p.owner, of) for p in payments for of in references(p)}
    out: list[Payment] = []
    for q in payments:
        homes = [p for p in payments if p is not q and p.windows > q.windows and _may_align(p, q)]
        moved = None if (q.owner, q.name) in read else next((m for p in homes if (m := _on(p, q))), None)
        out.append(q if moved is None else moved)
    return out


def _may_align(p: Payment, q: Payment) -> bool:
    plain = all(
        t.over == "max" and t.pool is None and t.carry is None and not t.floors and t.so_far is None
        for t in (p, q)
    )
    numbers = not any(isinstance(b.upto, HoursUse) for b in q.blocks)
    return plain and numbers and p.window.shape == q.window.shape and p.measure.same(q.measure)


def _on(p: Payment, q: Payment) -> Payment | None:
    """q over the windows of p, where each of its own is exactly one of them; else None."""
    counts = q.window >= 0
    if not counts.any() or (p.window[counts] < 0).any():
        return None
    home = np.full(q.windows, -1, dtype=np.int64)
    home[q.window[counts]] = p.window[counts]
    known = home[home >= 0]
    if (home[q.window[counts]] != p.window[counts]).any() or np.unique(known).size < known.size:
        return None
    if int(np.isin(p.window, known).sum()) != int(counts.sum()):
        return None
    n, seen = p.windows, home >= 0

    def spread(value: Any, of_nothing: float) -> Floats:
        full = np.full(n, of_nothing)
        full[home[seen]] = filled(value, q.windows)[seen]
        return full

    blocks = tuple(
        replace(b, upto=spread(b.upto, inf), usd_per_unit=spread(b.usd_per_unit, 0.0)) for b in q.blocks
    )
    return replace(q, window=p.window, blocks=blocks)


def references(p: Payment) -> Iterator[str]:
    """Names of the payments whose billed quantity this one reads."""
    for b in p.blocks:
        if isinstance(b.upto, HoursUse):
            yield b.upto.of
    for f in p.floors:
        if f.of is not None and f.of != p.name:
            yield f.of


def _depth(members: Sequence[Payment], payments: Sequence[Payment], seen: tuple[str, ...] = ()) -> int:
    depth = 0
    for p in members:
        for of in references(p):
            if of in seen:
                raise InputError(
                    f"{where_of(p)}: {of!r} and {p.name!r} refer to each other; one must come first"
                )
            target = [q for q in payments if q.owner == p.owner and q.name == of]
            if not target:
                raise InputError(f"{where_of(p)}: refers to {of!r}, but {p.owner} has no such payment")
            depth = max(depth, 1 + _depth(target, payments, (*seen, p.name)))
    return depth


def window_of(inner: Ints, outer: Ints, n: int, what: str) -> Ints:
    """For each of n inner windows the outer window that holds it; -1 where it has no interval."""
    out = np.full(n, -1, dtype=np.int64)
    both = np.flatnonzero((inner >= 0) & (outer >= 0))
    out[inner[both]] = outer[both]
    if (out[inner[both]] != outer[both]).any():
        raise InputError(f"{what}: one of its windows meets several windows of the payment that it refers to")
    return out


# --- quantities ------------------------------------------------------------------------------------------


def _blocks_average(books: Books, p: Payment, flow: Affine) -> tuple[Affine, Ints]:
    """Block averages of a flow and the window of each."""
    hours = p.measure.average_h
    if hours is None or hours <= books.meter.horizon.step_h + 1e-9:
        at = counted(p)
        return flow.take(at), p.window[at]
    key = books.meter.horizon.block(hours) * (p.windows + 1) + p.window
    at = counted(p)
    kinds, into = np.unique(key[at], return_inverse=True)
    size_of = np.bincount(into, minlength=kinds.size)
    whole = np.full(flow.n, -1, dtype=np.int64)
    whole[at] = into
    weight = np.zeros(flow.n)
    weight[at] = 1.0 / size_of[into]
    return flow.gather(whole, kinds.size, weight), kinds % (p.windows + 1)


def _maximum(books: Books, g: Group, exact: Mask) -> Billed:
    """Columns for the highest block of each window; rows only for blocks that can set it."""
    p, problem = g.head, books.problem
    n = size(p)
    flow = books.meter.flow(p.measure, where_of(p), peak=True)
    blocks, window = _blocks_average(books, p, flow)
    blocks = blocks.merged()
    low_b, high_b = problem.reach(blocks)
    signed = (
        p.measure.flow in ("net", "kvar") or p.measure.reference_kw is not None or p.measure.own is not None
    )
    low = np.full(n, -inf if signed else 0.0)
    if p.so_far is not None:
        low = np.maximum(low, p.so_far[:n])
    high = low.copy()
    if signed or not problem.whole:
        np.maximum.at(low, window, low_b)
    np.maximum.at(high, window, high_b)
    empty = ~np.isfinite(low)
    low[empty], high[empty] = 0.0, 0.0
    high = np.maximum(high, low)
    peak = problem.add_columns(g.name, n, owner=g.owner, lower=low, upper=high)
    top = Affine.of(peak)
    may = np.flatnonzero((high_b > low[window] + 1e-9) | problem.whole)
    if may.size:
        problem.add_rows(
            f"{g.name} peak", blocks.take(may) - Affine.of(peak[window[may]]), owner=g.owner, upper=0.0
        )
    if exact.any():
        _attained(books, g, top, blocks, window, low, high, exact)
    return Billed(top, top, low, np.maximum(high, low), p.window)


def _attained(
    books: Books,
    g: Group,
    top: Affine,
    blocks: Affine,
    window: Ints,
    low: Floats,
    high: Floats,
    exact: Mask,
) -> None:
    """The maximum is attained by some block or by what was there before: one binary each."""
    problem = books.problem
    _, high_b = problem.reach(blocks)
    low_b, _ = problem.reach(blocks)
    may = np.flatnonzero(exact[window] & (high_b > low[window] - 1e-9))
    windows = np.flatnonzero(exact)
    if not (np.isfinite(high[windows]).all() and np.isfinite(low_b[may]).all()):
        raise InputError(
            f"{g.name}: earns on a maximum that nothing bounds; give the meter or the asset a limit"
        )
    by = Affine.of(problem.add_columns(f"{g.name} set by", may.size, owner=g.owner, upper=1.0, integer=True))
    before = Affine.of(
        problem.add_columns(f"{g.name} set before", windows.size, owner=g.owner, upper=1.0, integer=True)
    )
    p = g.head
    was = np.zeros(windows.size) if p.so_far is None else p.so_far[windows]
    if p.measure.flow in ("net", "kvar") and p.so_far is None:
        block = next(c for c in problem.columns if c.name == f"{g.name} set before")
        block.upper[:] = 0.0
    span = (high[window] - low_b)[may]
    over = Affine.of(top.col[window[may]]) - blocks.take(may) + by.times(span)
    problem.add_rows(f"{g.name} attained", over, owner=g.owner, upper=span)
    past = top.take(windows) + before.times(high[windows] - was)
    problem.add_rows(f"{g.name} attained before", past, owner=g.owner, upper=high[windows])
    slot = np.full(exact.size, -1, dtype=np.int64)
    slot[windows] = np.arange(windows.size)
    total = by.gather(slot[window[may]], windows.size) + before
    problem.add_rows(f"{g.name} one sets it", total, owner=g.owner, lower=1.0, upper=1.0)


def _sum(books: Books, p: Payment, name: str, owner: str, *, column: bool) -> Billed:
    """What each window adds up to, with what it held before; a column of its own where it is read again."""
    meter, problem = books.meter, books.problem
    n = size(p)
    total = meter.flow(p.measure, where_of(p)).gather(p.window, n, meter.hours(p.measure))
    if p.so_far is not None:
        total = total.plus(p.so_far[:n])
    low, high = reach_sum(books, p, total)
    if column and not total.fixed:
        q = Affine.of(problem.add_columns(name, n, owner=owner, lower=low, upper=high))
        problem.add_rows(f"{name} total", q - total, owner=owner, lower=0.0, upper=0.0)
        total = q
    return Billed(total, total, low, high, p.window)


def reach_sum(books: Books, p: Payment, total: Affine) -> tuple[Floats, Floats]:
    """Least and greatest sum that the assets can bring about, by their power and by their energy."""
    from .reach import sum_reach

    low, high = books.problem.reach(total)
    meter = books.meter
    plain = p.measure.asset is None and p.measure.reference_kw is None and p.measure.own is None
    if plain and p.measure.flow in ("net", "import") and (p.measure.flow == "net" or meter.export is None):
        past = np.zeros(total.n) if p.so_far is None else p.so_far[: total.n]
        tight = sum_reach(meter, p.window, total.n)
        if tight is not None:
            low, high = np.maximum(low, tight[0] + past), np.minimum(high, tight[1] + past)
    if p.measure.flow in ("import", "export") and plain:
        low = np.maximum(low, 0.0 if p.so_far is None else p.so_far[: total.n])
    return low, high


# --- floors ----------------------------------------------------------------------------------------------


def _floored(books: Books, g: Group, made: Billed) -> Billed:
    """Billed quantity = the measured one, a contract minimum, or a share of other windows (a ratchet)."""
    p, problem = g.head, books.problem
    if not p.floors:
        return made
    n = made.low.size
    least = np.full(n, -inf)
    for f in p.floors:
        least[f.window] = max(least[f.window], f.least)
    low, high = np.maximum(made.low, least), np.maximum(made.high, least)
    for f in p.floors:
        if f.share > 0:
            source = made if f.of is None or f.of == p.name else books.billed[p.owner, f.of]
            reach = [f.share * source.high[w] for w in f.of_windows if w < source.high.size]
            high[f.window] = max([high[f.window], *reach])
    billed = problem.add_columns(f"{g.name} billed", n, owner=g.owner, lower=low, upper=high)
    expr = Affine.of(billed)
    problem.add_rows(f"{g.name} billed", expr - made.measured, owner=g.owner, lower=0.0)
    for f in p.floors:
        if f.share <= 0:
            continue
        source = made if f.of is None or f.of == p.name else books.billed[p.owner, f.of]
        others = np.array(f.of_windows, dtype=np.int64)
        if others.size and others.max() >= source.measured.n:
            raise InputError(
                f"{where_of(p)}: a floor reads window {others.max()}; there are {source.measured.n}"
            )
        for w in others.tolist():
            one = np.array([w])
            if f.share * source.high[w] > low[f.window] + 1e-9:
                row = expr.take(np.array([f.window])) - source.measured.take(one).times(f.share)
                problem.add_rows(f"{g.name} floor {f.window} from {w}", row, owner=g.owner, lower=0.0)
    return Billed(made.measured, expr, low, high, made.window)


# --- money -----------------------------------------------------------------------------------------------


def shape(books: Books, g: Group) -> tuple[Floats, list[Hinge]]:
    """First slope and hinges of the sum of a group's payments."""
    n = size(g.head)
    slope = np.zeros(n)
    hinges: list[Hinge] = []
    for p in g.payments:
        first, changes = slope_and_hinges(p, n)
        slope = slope + first
        for bound, delta in changes:
            hinges.append(
                Hinge(_hours_use(books, p, bound, n) if isinstance(bound, HoursUse) else bound, delta)
            )
    return slope, merged(hinges)


def _hours_use(books: Books, p: Payment, bound: HoursUse, n: int) -> Affine:
    of = books.billed[p.owner, bound.of]
    where = window_of(p.window, of.window, n, where_of(p))
    known = where >= 0
    return of.billed.mixed(np.flatnonzero(known), where[known], np.full(int(known.sum()), bound.hours), n)


def _pulls(payments: Sequence[Payment], groups: Sequence[Group]) -> None:
    """What one more billed kW may save elsewhere (wider cheap tiers): there a maximum must be exact."""
    for g in groups:
        g.pull = np.zeros(size(g.head))
    by_name = {(p.owner, p.name): g for g in groups for p in g.payments}
    for p in payments:
        n = size(p)
        _, changes = slope_and_hinges(p, n)
        for bound, delta in changes:
            if isinstance(bound, HoursUse):
                target = by_name[p.owner, bound.of]
                members = (
                    1 if p.pool is None else sum(q.pool == p.pool and q.owner == p.owner for q in payments)
                )
                where = window_of(p.window, target.head.window, n, where_of(p))
                gain = np.where(where >= 0, np.maximum(delta, 0.0) * bound.hours, 0.0)
                assert target.pull is not None
                np.add.at(target.pull, np.maximum(where, 0), gain / members)


def _group_cost(books: Books, g: Group) -> Affine:
    p, problem = g.head, books.problem
    slope, hinges = shape(books, g)
    if p.over == "each":
        at = counted(p)
        q = books.meter.flow(p.measure, g.name).take(at).times(books.meter.hours(p.measure))
        return piecewise(problem, g.name, q, slope, hinges, owner=g.owner)
    least = least_slope(slope, hinges) - (g.pull if g.pull is not None else 0.0)
    if p.over == "max":
        if p.floors and (least < -1e-12).any():
            raise InputError(f"{g.name}: a billed demand with floors may not earn money; split the payment")
        made = _maximum(books, g, least < -1e-12)
    else:
        made = _sum(books, p, g.name, g.owner, column=bool(hinges or p.floors or p.carry))
    made = _floored(books, g, made)
    for member in g.payments:
        books.billed[member.owner, member.name] = made
    if p.carry is not None:
        return _carried(books, g, made, slope, hinges, p.carry)
    return piecewise(problem, g.name, made.billed, slope, hinges, owner=g.owner, reach=(made.low, made.high))


def _bank_into(next_window: Ints, bank: Affine, n: int, start: float) -> Affine:
    """What each window receives: the banks that name it, and the first one the opening balance."""
    received = bank.gather(next_window.astype(np.int64), n)
    heads = np.setdiff1d(np.arange(n), next_window[next_window >= 0])
    opening = np.zeros(n)
    if heads.size:
        opening[heads[0]] = start
    return received.plus(opening)


def _carried(
    books: Books, g: Group, made: Billed, slope: Floats, hinges: list[Hinge], carry: Carry
) -> Affine:
    problem, n = books.problem, made.low.size
    if carry.next_window.shape != (n,):
        raise InputError(f"{g.name}: carry.next_window names {carry.next_window.size} windows; there are {n}")
    bank = Affine.of(problem.add_columns(f"{g.name} bank", n, owner=g.owner))
    received = _bank_into(carry.next_window, bank, n, carry.start)
    settled = np.where(carry.next_window < 0, carry.settle_usd_per_unit, 0.0)
    if carry.unit == "usd":
        if carry.settle_usd_per_unit > 1:
            raise InputError(
                f"{g.name}: a bank in USD that pays {carry.settle_usd_per_unit!r} for a dollar has no end"
            )
        charge = piecewise(
            problem, g.name, made.billed, slope, hinges, owner=g.owner, reach=(made.low, made.high)
        )
        pay = Affine.of(problem.add_columns(f"{g.name} paid", n, owner=g.owner))
        problem.add_rows(
            f"{g.name} carry", pay - bank - charge + received, owner=g.owner, lower=0.0, upper=0.0
        )
        return pay - bank.times(settled)
    most_banked = _bank_reach(carry, made.low, n)
    billed = Affine.of(
        problem.add_columns(f"{g.name} after bank", n, owner=g.owner, upper=np.maximum(made.high, 0.0))
    )
    problem.add_rows(
        f"{g.name} carry", billed - bank - made.billed + received, owner=g.owner, lower=0.0, upper=0.0
    )
    here = least_slope(slope, hinges)
    numeric = slope + sum((np.maximum(h.delta, 0.0) for h in hinges), start=np.zeros(n))
    later = np.maximum(numeric.max(initial=0.0), settled.max(initial=0.0))
    choose = np.flatnonzero((here < later - 1e-12) & (most_banked > 0) & (made.high > 0))
    if choose.size:
        z = Affine.of(
            problem.add_columns(f"{g.name} banks", choose.size, owner=g.owner, upper=1.0, integer=True)
        )
        problem.add_rows(
            f"{g.name} banks or", bank.take(choose) - z.times(most_banked[choose]), owner=g.owner, upper=0.0
        )
        problem.add_rows(
            f"{g.name} pays or",
            billed.take(choose) + z.times(made.high[choose]),
            owner=g.owner,
            upper=made.high[choose],
        )
    cost = piecewise(
        problem, g.name, billed, slope, hinges, owner=g.owner, reach=(np.zeros(n), np.maximum(made.high, 0.0))
    )
    return cost - bank.times(settled)


def _bank_reach(carry: Carry, low: Floats, n: int) -> Floats:
    most = np.maximum(-low, 0.0)
    heads = np.setdiff1d(np.arange(n), carry.next_window[carry.next_window >= 0])
    if heads.size:
        most[heads[0]] += carry.start
    for w in heads.tolist():
        at, steps = int(w), 0
        while carry.next_window[at] >= 0 and steps <= n:
            most[carry.next_window[at]] += most[at]
            at, steps = int(carry.next_window[at]), steps + 1
    return most


# --- pools -----------------------------------------------------------------------------------------------


def _pool_cost(books: Books, payments: Sequence[Payment]) -> None:
    """Tiers on the sum of several payments, shared pro rata: each pays its own prices on its share.

    cost = sum_p slope_p q_p + sum_k D_k (Q - b_k)+ with D_k the mean of the members' price steps by share of
    quantity. Equal steps make this exact. Else D_k is taken at the middle of the assets' reach, and the most
    that it can be off is kept as the slack of the bound.
    """
    head = payments[0]
    if any(p.over != "sum" or p.floors or p.carry for p in payments):
        raise InputError(
            f"{where_of(head)}: a pool shares tiers of over='sum' payments without floors or carry"
        )
    name = f"{head.owner}/{head.pool}"
    n = max(size(p) for p in payments)
    parts = [_sum(books, p, f"{p.owner}/{p.name}", p.owner, column=False) for p in payments]
    wide = [_widened(part, n) for part in parts]
    shapes = [slope_and_hinges(p, size(p)) for p in payments]
    changes = [[(_pad_bound(b, n), _pad(d, n)) for b, d in s[1]] for s in shapes]
    if len({len(c) for c in changes}) > 1:
        raise InputError(f"{name}: payments that share tiers need the same number of blocks")
    hinges: list[Hinge] = []
    total = zero(n)
    low, high = np.zeros(n), np.zeros(n)
    for expr, lo, hi in wide:
        total, low, high = total + expr, low + lo, high + hi
    tight = _pool_reach(books, payments, n)
    low, high = np.maximum(low, tight[0]), np.minimum(high, tight[1])
    middle = np.stack([(lo + hi) / 2 for _, lo, hi in wide])
    pinned, off = zero(n), 0.0
    for k in range(len(changes[0])):
        bound = changes[0][k][0]
        if any(not _equal_bound(c[k][0], bound) for c in changes):
            raise InputError(f"{name}: payments that share tiers need equal bounds in block {k}")
        deltas = np.stack([c[k][1] for c in changes])
        share = middle / np.maximum(middle.sum(axis=0), 1e-12)
        mean = (deltas * share).sum(axis=0)
        if isinstance(bound, HoursUse):
            hinge = Hinge(_hours_use(books, head, bound, n), mean)
        else:
            # Beyond the bound for certain: sum_p d_p q_p is exact; only b sum_p d_p q_p / Q hangs on shares.
            sure = np.isfinite(bound) & (low >= bound - 1e-9) & (low > 0)
            at = np.where(sure, bound, 0.0)
            for (expr, _, _), delta in zip(wide, deltas):
                pinned = pinned + expr.times(np.where(sure, delta, 0.0))
            pinned = pinned.plus(-at * mean)
            off += _share_slack(deltas, share, at, [(lo, hi) for _, lo, hi in wide], low, high)
            hinge = Hinge(bound, np.where(sure, 0.0, mean))
            deltas = np.where(sure, 0.0, deltas)
        hinges.append(hinge)
        off += _pool_slack(books, deltas, hinge, high)
    if off > 1e-9:
        what = f"{name}: tiers shared pro rata with unequal price steps are priced at fixed shares"
        books.approximations.append(Approximation(what, off))
    cost = pinned
    for (expr, _, _), (slope, _) in zip(wide, shapes):
        cost = cost + expr.times(_pad(slope, n))
    hinges = merged(hinges)
    quantity = total
    if hinges and not total.fixed:
        q = Affine.of(books.problem.add_columns(name, n, owner=head.owner, lower=low, upper=high))
        books.problem.add_rows(f"{name} total", q - total, owner=head.owner, lower=0.0, upper=0.0)
        quantity = q
    cost = cost + piecewise(
        books.problem, name, quantity, np.zeros(n), hinges, owner=head.owner, reach=(low, high)
    )
    union = np.max(np.stack([p.window for p in payments]), axis=0)
    for p in payments:
        books.billed[p.owner, p.name] = Billed(quantity, quantity, low, high, union)
    books.problem.add_cost(cost)


def _pad(a: Floats, n: int) -> Floats:
    return a if a.size == n else np.concatenate((a, np.zeros(n - a.size)))


def _pad_bound(b: Floats | HoursUse, n: int) -> Floats | HoursUse:
    return b if isinstance(b, HoursUse) or b.size == n else np.concatenate((b, np.full(n - b.size, inf)))


def _equal_bound(a: Floats | HoursUse, b: Floats | HoursUse) -> bool:
    if isinstance(a, HoursUse) or isinstance(b, HoursUse):
        return a == b
    return np.array_equal(a, b)


def _widened(part: Billed, n: int) -> tuple[Affine, Floats, Floats]:
    m = part.measured
    wide = Affine(_pad(m.const, n), m.row, m.col, m.coef)
    return wide, _pad(part.low, n), _pad(part.high, n)


def _pool_reach(books: Books, payments: Sequence[Payment], n: int) -> tuple[Floats, Floats]:
    """Reach of the pool's whole cycle: energy that moves between its periods stays inside it."""
    from .reach import sum_reach

    none = (np.full(n, -inf), np.full(n, inf))
    first = payments[0]
    windows = np.stack([p.window for p in payments])
    apart = (windows >= 0).sum(axis=0).max(initial=0) <= 1
    meter = books.meter
    fits = all(p.measure.same(first.measure) for p in payments) and first.measure.asset is None
    if not (apart and fits and first.measure.reference_kw is None and first.measure.own is None):
        return none
    if first.measure.flow != "net" and not (first.measure.flow == "import" and meter.export is None):
        return none
    tight = sum_reach(meter, windows.max(axis=0), n)
    if tight is None:
        return none
    past = sum((_pad(p.so_far[:n], n) for p in payments if p.so_far is not None), start=np.zeros(n))
    return tight[0] + past, tight[1] + past


def _share_slack(
    deltas: Floats,
    share: Floats,
    bound: Floats,
    reach: list[tuple[Floats, Floats]],
    low: Floats,
    high: Floats,
) -> float:
    """Most that b sum_p d_p q_p / Q moves: b (max d - min d) / 2 x the sum of all shares' moves [USD]."""
    moves = np.zeros(bound.size)
    for (lo, hi), now in zip(reach, share):
        most = np.minimum(hi / np.maximum(low, 1e-9), 1.0)
        least = np.maximum(lo / np.maximum(high, 1e-9), 0.0)
        moves += np.maximum(np.maximum(most - now, now - least), 0.0)
    return float((np.maximum(bound, 0.0) * np.ptp(deltas, axis=0) / 2 * np.minimum(moves, 2.0)).sum())


def _pool_slack(books: Books, deltas: Floats, hinge: Hinge, high: Floats) -> float:
    """Most that a hinge that may or may not be crossed is off by taking the members' mean step [USD]."""
    spread = np.maximum(deltas.max(axis=0) - hinge.delta, hinge.delta - deltas.min(axis=0))
    low_b = (
        books.problem.reach(hinge.bound)[0] if isinstance(hinge.bound, Affine) else np.asarray(hinge.bound)
    )
    beyond = np.maximum(high - np.where(np.isfinite(low_b), low_b, inf), 0.0)
    return float(np.where(beyond > 0, spread * beyond, 0.0).sum())


# --- all -------------------------------------------------------------------------------------------------


def add_payments(
    problem: Problem, meter: Meter, payments: Sequence[Payment], minima: Sequence[Minimum]
) -> Books:
    """All payments and minima into the objective."""
    for p in payments:
        check(p, meter.n)
    names = [(p.owner, p.name) for p in payments]
    twice = [f"{o}, {m}" for (o, m) in dict.fromkeys(names) if names.count((o, m)) > 1]
    if twice:
        raise InputError(
            f"payments need names of their own within their owner; given twice: {'; '.join(twice)}"
        )
    books = Books(problem, meter)
    single = [p for p in payments if p.pool is None]
    pooled = [p for p in payments if p.pool is not None]
    for m in minima:
        known = {p.name for p in single if p.owner == m.owner}
        for member in m.members:
            if member not in known:
                raise InputError(
                    f"{where_of(m)}: member {member!r} is no payment of {m.owner} "
                    "(payments of a pool cannot be members)"
                )
    books.groups = grouped(single, minima)
    for pool_of in dict.fromkeys((p.owner, p.pool) for p in pooled):
        for p in pooled:
            for of in references(p):
                if (p.owner, of) not in {(q.owner, q.name) for q in single}:
                    raise InputError(
                        f"{where_of(p)}: refers to {of!r}, which is no payment of {p.owner} ({pool_of[1]})"
                    )
    _pulls(payments, books.groups)
    for g in books.groups:
        g.cost = _group_cost(books, g)
        problem.add_cost(g.cost)
    for owner, pool in dict.fromkeys((p.owner, p.pool) for p in pooled):
        _pool_cost(books, [p for p in pooled if (p.owner, p.pool) == (owner, pool)])
    for m in minima:
        _minimum(books, m)
    return books


def _minimum(books: Books, m: Minimum) -> None:
    """extra >= usd - sum of the members, extra >= 0, per window."""
    n = int(m.window.max(initial=-1)) + 1
    usd = filled(m.usd, max(n, np.size(m.usd)))[:n]
    total = zero(n)
    for g in books.groups:
        if (m.owner, m.name) not in g.minima or g.cost is None:
            continue
        head = g.head
        inner = np.full(head.window.size, -1, dtype=np.int64)
        if head.over == "each":
            inner[counted(head)] = np.arange(g.cost.n)
        else:
            inner = head.window
        total = total + g.cost.gather(window_of(inner, m.window, g.cost.n, where_of(m)), n)
    low, _ = books.problem.reach(total)
    at = np.flatnonzero((low < usd) | books.problem.whole)
    if at.size:
        extra = Affine.of(books.problem.add_columns(f"{m.owner}/{m.name}", at.size, owner=m.owner))
        books.problem.add_rows(f"{m.owner}/{m.name}", extra + total.take(at), owner=m.owner, lower=usd[at])
        books.problem.add_cost(extra)


def marginal(
    payments: Sequence[Payment], minima: Sequence[Minimum], n: int, step: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Least price of one more kWh at the meter, of net load, import and export; and the greatest of export.

    Per interval, over all shapes that the tiers can take; maxima count where they may earn."""
    net, imports, exports, most = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    free = {(m.owner, member) for m in minima for member in m.members}
    for g in grouped([p for p in payments if p.pool is None], minima):
        _add_marginal(g.payments, free, (net, imports, exports, most), step)
    for p in payments:
        if p.pool is not None:
            _add_marginal([p], free, (net, imports, exports, most), step)
    return net, imports, exports, most


def _add_marginal(
    payments: Sequence[Payment],
    free: set[tuple[str, str]],
    into: tuple[Floats, Floats, Floats, Floats],
    step: float,
) -> None:
    """Least and greatest price of one more unit of a group whose blocks add, onto the flows it measures."""
    p, (net, imports, exports, most), n = payments[0], into, into[0].size
    m: Measure = p.measure
    if m.asset is not None or m.flow not in ("net", "import", "export"):
        return
    low, high = _slopes(payments)
    if any((q.owner, q.name) in free for q in payments) or p.carry is not None:
        # below a minimum bill, or into a bank, one more unit may be worth nothing, or what settles the bank
        settled = p.carry.settle_usd_per_unit if p.carry is not None and p.carry.unit == "kwh" else 0.0
        low, high = np.minimum(low, min(0.0, settled)), np.maximum(high, settled)
    at = counted(p)
    pick = np.arange(at.size) if p.over == "each" else p.window[at]
    low_t, high_t = np.zeros(n), np.zeros(n)
    low_t[at], high_t[at] = low[pick], high[pick]
    if p.over == "max":
        low_t, high_t = np.minimum(low_t, 0.0) / step, np.maximum(high_t, 0.0) / step
    if m.reference_kw is not None or m.own is not None:
        if m.own is not None:
            w = m.own
            np.add.at(net, w.col, np.minimum(w.weight * low_t[w.row], w.weight * high_t[w.row]))
        low_t, high_t = -high_t, -low_t
    if m.flow == "net":
        net += low_t
    elif m.flow == "import":
        imports += low_t
    else:
        exports += low_t
        most += high_t


def _slopes(payments: Sequence[Payment]) -> tuple[Floats, Floats]:
    """Least and greatest slope of the sum of payments, per window (per counted interval for `each`)."""
    count = size(payments[0])
    slope, rises, falls = np.zeros(count), np.zeros(count), np.zeros(count)
    numeric: list[Hinge] = []
    for p in payments:
        first, changes = slope_and_hinges(p, count)
        slope = slope + first
        for bound, delta in changes:
            rises = rises + np.maximum(delta, 0.0)
            if isinstance(bound, HoursUse):
                falls = falls + np.minimum(delta, 0.0)
            else:
                numeric.append(Hinge(bound, delta))
    return least_slope(slope, merged(numeric)) + falls, slope + rises
