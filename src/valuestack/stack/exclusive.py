"""A store charges or discharges, never both: binaries where both could pay, and what each of the two says by itself.

Without its binary z (1 = charging) a store may do both at once in a relaxation, and burn energy wherever that pays: on
a day that counts towards the baseline of an event, or to make room for dear charging to come. The plan cannot, so
that the relaxation's bound stands too low. Two facts bring it near again.

1. Where nothing is charged, no more is discharged than the rest of the site takes and the limits let out: a bound.
2. A row a x + p charge + q discharge <= b holds while charging and while discharging. With A the most that a x can be
   while the store discharges,

       a x + p charge <= b z + A (1 - z)

   holds in both, since z is 1 in the one and 0 in the other, and likewise with the roles exchanged: the big-M form of a
   disjunction (Balas 1979, doi:10.1016/S0167-5060(08)70342-X) with the least M that bounds and the other rows of that
   way give. Rows on what is stored say nothing of power: there the balance of the interval stands for the energy at its
   end, and rows on the energy at its begin help to say what A is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..flows import Store
from ..solve.problem import Affine, Columns, Floats, Ints, Mask, Problem, Rows
from .offers import Draft, Part

NEVER = 1 << 60
MANY, SOME = (
    1_000,
    0.125,
)  # choices, and share of the intervals, beyond which more rows cost more than they gain
SLIGHT = 1e-6  # of a bound: what a sharper row must gain to be worth its place


def cap_discharge(
    problem: Problem, drafts: Mapping[str, Draft], load_kw: Floats, export_cap_kw: Floats
) -> None:
    """Bounds on the discharge of stores that do not charge meanwhile: what the rest of the site takes at most, and what
    may leave. load_kw, export_cap_kw: (n,)."""
    net = sum((d.part.net for d in drafts.values()), start=Affine(load_kw))
    for d in drafts.values():
        part = d.part
        if not _exclusive(part) or part.charge is None or part.discharge is None:
            continue
        rest = net - part.charge + part.discharge
        cap = np.maximum(problem.reach(rest)[1] + export_cap_kw, 0.0)
        for block in _blocks(problem, part.discharge):
            np.minimum(block.upper, cap, out=block.upper)


def _exclusive(part: Part) -> bool:
    return isinstance(part.offer, Store) and part.offer.exclusive


def _blocks(problem: Problem, flow: Affine) -> list[Columns]:
    """The blocks that a flow is the sum of, each with one column an interval."""
    return [b for b in problem.columns if b.n == flow.n and np.isin(b.first, flow.col)]


def add_choices(
    problem: Problem, drafts: Mapping[str, Draft], least_usd: Floats, more: Mapping[str, Mask]
) -> dict[str, Mask]:
    """Binaries that keep a store from charging and discharging at once, where that could pay; by store, where that is,
    (n,). least_usd: least price of a kWh of net load, (n,). more: by store, where they are wanted besides."""
    out = {}
    for name, d in drafts.items():
        part = d.part
        if not _exclusive(part) or part.charge is None or part.discharge is None:
            continue
        o = part.offer
        assert isinstance(o, Store)
        n = part.net.n
        _, most_in = problem.reach(part.charge)
        _, most_out = problem.reach(part.discharge)
        limit_in, limit_out = np.minimum(most_in, o.charge_max_kw), np.minimum(most_out, o.discharge_max_kw)
        pays = (least_usd < -1e-12) | np.asarray(more.get(name, np.zeros(n)), dtype=bool)
        at = np.flatnonzero(pays & (limit_in > 0) & (limit_out > 0))
        out[name] = pays
        if at.size:
            z = Affine.of(
                problem.add_columns(f"{name}.charges", at.size, owner=name, upper=1.0, integer=True)
            )
            problem.add_rows(
                f"{name}.charge or", part.charge.take(at) - z.times(limit_in[at]), owner=name, upper=0.0
            )
            problem.add_rows(
                f"{name}.discharge or",
                part.discharge.take(at) + z.times(limit_out[at]),
                owner=name,
                upper=limit_out[at],
            )
    return out


def choices(problem: Problem, name: str, part: Part) -> tuple[Ints, Ints]:
    """Columns of the binaries of a store, 1 where it charges, and their intervals."""
    z = next((b for b in problem.columns if b.name == f"{name}.charges"), None)
    if z is None or part.charge is None:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    rows = next(r for r in problem.rows if r.name == f"{name}.charge or")
    of = np.full(problem.width, -1, dtype=np.int64)
    of[part.charge.col] = part.charge.row
    interval, mine = np.full(z.n, -1, dtype=np.int64), of[rows.col] >= 0
    interval[rows.row[mine]] = of[rows.col[mine]]
    return z.cols, interval


def sharpen(problem: Problem, drafts: Mapping[str, Draft]) -> None:
    """Rows for the choices of `add_choices`, once all others stand: what each row says while charging, and while
    discharging. None where choices are so many that a relaxation would take longer than its sharper bound is worth."""
    for name, d in drafts.items():
        block = next((b for b in problem.columns if b.name == f"{name}.charges"), None)
        if block is not None and block.n <= max(MANY, SOME * d.part.net.n):
            _sharpen(problem, name, d.part, block)


# --- rows by the way a store goes --------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Sides:
    """Rows sum of coef x[col] <= bound, entries by row, each of one choice: its number, (rows,)."""

    name: str
    owner: str
    row: Ints
    col: Ints
    coef: Floats
    bound: Floats
    choice: Ints


class _Way:
    """The least and most of every column while the store goes one way, choice by choice: by its bounds, and by what
    every row leaves room for where the columns `shut` are nil and those `open_` are not."""

    def __init__(self, problem: Problem, sides: list[_Sides], shut: Mask, open_: Mask) -> None:
        self.low_of, self.high_of = problem.bounds()
        self._power = shut | open_
        self._keys = np.unique(np.concatenate([self._key(s.choice[s.row], s.col) for s in sides]))
        col = self._keys % self._power.size
        self.low, self.high = self.low_of[col], self.high_of[col]
        low, high = self.low.copy(), self.high.copy()
        for s in sides:
            other = ~self._power[s.col]
            pair, coef = self._at(s.choice[s.row], s.col)[other], s.coef[other]
            least = np.where(open_[s.col], np.minimum(s.coef * self.high_of[s.col], 0.0), 0.0)
            least[other] = np.minimum(coef * self.low[pair], coef * self.high[pair])
            with np.errstate(invalid="ignore"):
                rest = np.bincount(s.row, least, s.bound.size)[s.row] - least
                edge = ((s.bound[s.row] - rest) / s.coef)[other]
            up, down = np.isfinite(edge) & (coef > 0), np.isfinite(edge) & (coef < 0)
            np.minimum.at(high, pair[up], edge[up])
            np.maximum.at(low, pair[down], edge[down])
        fits = (
            low <= high
        )  # else the store cannot go this way, and nothing is built on what rounding may have done
        self.low[fits], self.high[fits] = low[fits], high[fits]

    def _key(self, choice: Ints, col: Ints) -> Ints:
        return np.asarray(choice * self._power.size + col)

    def _at(self, choice: Ints, col: Ints) -> Ints:
        """Where a choice and a column stand; only those of `sides` do."""
        key = self._key(choice, col)
        return np.minimum(np.searchsorted(self._keys, key), self._keys.size - 1)

    def most(self, s: _Sides) -> Floats:
        """The most that each row's columns beside the store's power can come to, (rows,)."""
        other = ~self._power[s.col]
        choice, col, coef = s.choice[s.row[other]], s.col[other], s.coef[other]
        pair = self._at(choice, col)
        known = self._keys[pair] == self._key(choice, col)
        low, high = (
            np.where(known, self.low[pair], self.low_of[col]),
            np.where(known, self.high[pair], self.high_of[col]),
        )
        return np.bincount(s.row[other], np.maximum(coef * low, coef * high), s.bound.size).astype(np.float64)

    def most_after(self, s: _Sides, begin: _Sides, stored: Mask) -> Floats:
        """The same for rows that hold the energy at the begin of the interval, by the best of the rows that limit it:
        inf where there is none."""
        out = np.full(s.bound.size, np.inf)
        own, limit = _coefficients(s, stored), _coefficients(begin, stored)
        order = np.argsort(begin.choice, kind="stable")
        edges = np.searchsorted(begin.choice[order], np.arange(int(s.choice.max()) + 2))
        mine, rank = _ranges(edges[s.choice], edges[s.choice + 1])
        by = order[rank]
        fits = own[mine] * limit[by] > 0
        mine, by = mine[fits], by[fits]
        times = own[mine] / limit[by]
        here, e = _ranges(*_spans(s, mine))
        there, f = _ranges(*_spans(begin, by))
        left = Affine(
            np.zeros(mine.size),
            np.concatenate((here, there)),
            np.concatenate((s.col[e], begin.col[f])),
            np.concatenate((s.coef[e], -times[there] * begin.coef[f])),
        ).merged()
        rest = _Sides("", "", left.row, left.col, left.coef, s.bound[mine], s.choice[mine])
        np.minimum.at(out, mine, self.most(rest) + times * begin.bound[by])
        return out


def _coefficients(s: _Sides, columns: Mask) -> Floats:
    """Of each row's one column among `columns`, 0 where it has none."""
    out, mine = np.zeros(s.bound.size), columns[s.col]
    out[s.row[mine]] = s.coef[mine]
    return out


def _spans(s: _Sides, rows: Ints) -> tuple[Ints, Ints]:
    """First entry of each of some rows, and that after its last."""
    return np.searchsorted(s.row, rows), np.searchsorted(s.row, rows, side="right")


def _ranges(first: Ints, after: Ints) -> tuple[Ints, Ints]:
    """All numbers of all ranges, and of which range each is."""
    counts = after - first
    of = np.repeat(np.arange(first.size), counts)
    return of, np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(of.size)


def _joined(sides: list[_Sides]) -> _Sides:
    """Rows of all, one after another."""
    shift = np.cumsum([0, *(s.bound.size for s in sides)])
    return _Sides(
        "", "",
        np.concatenate([s.row + k for s, k in zip(sides, shift)]),
        np.concatenate([s.col for s in sides]),
        np.concatenate([s.coef for s in sides]),
        np.concatenate([s.bound for s in sides]),
        np.concatenate([s.choice for s in sides]),
    )  # fmt: skip


def _sharpen(problem: Problem, name: str, part: Part, switches: Columns) -> None:
    assert part.charge is not None and part.discharge is not None
    number = np.full(problem.width, -1, dtype=np.int64)  # of the choice that a column of power belongs to
    charging, discharging = np.zeros(problem.width, dtype=bool), np.zeros(problem.width, dtype=bool)
    charging[part.charge.col] = discharging[part.discharge.col] = True
    of = np.full(part.net.n, -1, dtype=np.int64)
    of[choices(problem, name, part)[1]] = np.arange(switches.n)
    number[part.charge.col], number[part.discharge.col] = of[part.charge.row], of[part.discharge.row]
    stored, blocks = np.zeros(problem.width, dtype=bool), _concerned(problem, name, number >= 0, of)
    power = _on_power(blocks, number, charging | discharging)
    energy, begins = _on_energy(problem, blocks, name, of, stored, charging | discharging)
    if not power + energy:
        return
    for on, off, verb in ((charging, discharging, "charges"), (discharging, charging, "discharges")):
        way = _Way(problem, power + energy, shut=on, open_=off)
        most = [way.most(s) for s in power]
        if energy:
            whole = _joined(energy)
            both = way.most(whole)
            if begins:
                both = np.minimum(both, way.most_after(whole, _joined(begins), stored))
            most += np.split(both, np.cumsum([s.bound.size for s in energy])[:-1])
        for s, a in zip(power + energy, most):
            _told(problem, name, s, a, switches.cols, on, off, way.high_of, verb)


def _concerned(problem: Problem, name: str, power: Mask, of: Ints) -> list[Rows]:
    """The rows that hold power at a choice or what is stored before or after it, block by block, but for those that
    make a choice one."""
    wanted, own = power.copy(), {f"{name}.balance", f"{name}.charge or", f"{name}.discharge or"}
    for block in problem.columns:
        if block.name == f"{name}.stored":
            wanted[block.cols] = (of >= 0) | np.append(of[1:] >= 0, False)
    out = []
    for r in problem.rows:
        here = np.zeros(r.n, dtype=bool)
        here[r.row[wanted[r.col]]] = r.name not in own
        if here.any():
            e = np.flatnonzero(here[r.row])
            row = (np.cumsum(here) - 1)[r.row[e]]
            out.append(Rows(r.name, r.owner, 0, row, r.col[e], r.coef[e], r.lower[here], r.upper[here]))
    return out


def _on_power(blocks: list[Rows], number: Ints, power: Mask) -> list[_Sides]:
    """Rows that hold power of the store in one interval alone, one in which there is a choice."""
    out: list[_Sides] = []
    for block in blocks:
        here = power[block.col]
        first, last = np.full(block.n, NEVER), np.full(block.n, -1)
        np.minimum.at(first, block.row[here], number[block.col[here]])
        np.maximum.at(last, block.row[here], number[block.col[here]])
        out += _taken(block, np.flatnonzero((first == last) & (last >= 0)), last)
    return out


def _taken(block: Rows, rows: Ints, choice: Ints) -> list[_Sides]:
    """Some rows of a block, one side at a time."""
    out = []
    for sign, bound in ((1.0, block.upper), (-1.0, -block.lower)):
        at = rows[np.isfinite(bound[rows])]
        if at.size:
            into = np.full(block.n, -1, dtype=np.int64)
            into[at] = np.arange(at.size)
            mine = into[block.row] >= 0
            out.append(_Sides(block.name, block.owner, into[block.row[mine]], block.col[mine],
                              sign * block.coef[mine], bound[at], choice[at]))  # fmt: skip
    return out


def _on_energy(
    problem: Problem, blocks: list[Rows], name: str, of: Ints, stored: Mask, power: Mask
) -> tuple[list[_Sides], list[_Sides]]:
    """Rows and bounds on what is stored at the end of an interval with a choice, that interval's balance put in for
    it; those on what is stored at its begin. Rows that hold power, too, are left alone. of: choice of each interval, or
    -1. stored: set where columns are stored energy."""
    balance = next((r for r in problem.rows if r.name == f"{name}.balance"), None)
    held = next((b for b in problem.columns if b.name == f"{name}.stored"), None)
    if balance is None or held is None:
        return [], []
    stored[held.cols] = True
    ends = np.full(problem.width, -1, dtype=np.int64)
    begins = ends.copy()
    ends[held.cols], begins[held.cols[:-1]] = of, of[1:]
    found: tuple[list[_Sides], list[_Sides]] = ([], [])
    for out, choice in zip(found, (ends, begins)):
        at = held.cols[choice[held.cols] >= 0]
        for sign, limit in ((1.0, held.upper), (-1.0, -held.lower)):
            here = at[np.isfinite(limit[at - held.first])]
            if here.size:
                out.append(_Sides(held.name, name, np.arange(here.size), here, np.full(here.size, sign),
                                  limit[here - held.first], choice[here]))  # fmt: skip
        for block in blocks:
            count, last = np.bincount(block.row[stored[block.col]], minlength=block.n), np.full(block.n, -1)
            np.maximum.at(last, block.row, choice[block.col])
            last[block.row[power[block.col]]] = -1
            out += _taken(block, np.flatnonzero((count == 1) & (last >= 0)), last)
    return [_put_in(s, balance, stored, np.flatnonzero(of >= 0)) for s in found[0]], found[1]


def _put_in(s: _Sides, balance: Rows, stored: Mask, at: Ints) -> _Sides:
    """Each row less its coefficient of the energy at the end times the balance of that interval."""
    weight = np.zeros(s.bound.size)
    weight[s.row[stored[s.col]]] = s.coef[stored[s.col]]
    t = at[s.choice]
    row, e = _ranges(np.searchsorted(balance.row, t), np.searchsorted(balance.row, t, side="right"))
    whole = Affine(
        np.zeros(t.size),
        np.concatenate((s.row, row)),
        np.concatenate((s.col, balance.col[e])),
        np.concatenate((s.coef, -weight[row] * balance.coef[e])),
    ).merged()
    return _Sides(
        s.name, s.owner, whole.row, whole.col, whole.coef, s.bound - weight * balance.upper[t], s.choice
    )


def _told(
    problem: Problem,
    name: str,
    s: _Sides,
    most: Floats,
    switch: Ints,
    on: Mask,
    off: Mask,
    high: Floats,
    way: str,
) -> None:
    """Rows of what `s` says while the columns `off` are nil. most: of what stands beside the store's power, (rows,),
    while those `on` are; the switch weighs the two, 1 where the store charges. way: 'charges' or 'discharges'."""
    pushes = np.bincount(s.row[on[s.col]], s.coef[on[s.col]], s.bound.size)
    mine = off[s.col]
    eased = np.bincount(s.row[mine], np.maximum(-s.coef[mine], 0.0) * high[s.col[mine]], s.bound.size)
    gain = s.bound + eased - most
    at = np.flatnonzero((pushes > 0) & np.isfinite(most) & (gain > SLIGHT * (1.0 + np.abs(s.bound))))
    if not at.size:
        return
    kept = Affine(np.zeros(s.bound.size), s.row[~mine], s.col[~mine], s.coef[~mine]).take(at)
    z, b, a = Affine.of(switch[s.choice[at]]), s.bound[at], most[at]
    if way == "charges":
        problem.add_rows(f"{s.name} while {name} charges", kept - z.times(b - a), owner=s.owner, upper=a)
    else:
        problem.add_rows(f"{s.name} while {name} discharges", kept + z.times(b - a), owner=s.owner, upper=b)
