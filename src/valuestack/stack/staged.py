"""Large linear plans by the interior point: any mix of stores, claims, events and tariffs without switches.

The compiled problem is solved as it stands, so that nothing is stated twice; binaries that only keep a store from
charging and discharging at once are relaxed first, since a plan that does not do both needs none. What comes back
is repaired (either charge or discharge, energies recomputed from powers), checked against every row, priced by
every term's own rule and held to the bound that the dual values prove. Where any of this fails the general solver
is asked, with the reason.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from ..flows import Store
from ..solve.problem import Arrays, Floats, Ints, Mask, left_to
from .compile import Compiled
from .exclusive import choices

if TYPE_CHECKING:
    from ..solve.interior_point import Answer

LARGE = 6_000  # columns: below, the general solver is quick and ends on a corner
SHARPER = 0.5  # of the gap asked for: what the interior leaves over is charge and discharge at once
ROUNDS = 3  # of setting directions
SOME = 0.5  # of the horizon: months beyond that are not worth being told from the rest
FINER = 0.01  # of what a row may lack: what balances lack adds up when energies are recomputed from powers
SLIGHT_KWH = 1e-7  # of energy that an interval's balance may lack by rounding
AT_ONCE = 1e-4  # kW of both charge and discharge that count as both
NOISE = 1e-8  # of the cost: what rounding may turn between a plan and a bound that meet


def suits(compiled: Compiled) -> str | None:
    """Why the interior point does not take a compiled problem, or None where it does."""
    if compiled.discs:
        return "apparent power bounds it by circles"
    loose = {f"{name}.charges" for name in compiled.excluded}
    for block in compiled.problem.columns:
        if block.integer and (block.upper > block.lower).any() and block.name not in loose:
            return f"{block.name} of {block.owner} is a choice between yes and no"
    return None


def stages(compiled: Compiled) -> Ints:
    """Interval of each column that belongs to one, else -1."""
    n = compiled.horizon.n
    return np.concatenate(
        [np.arange(n) if c.n == n else np.full(c.n, -1, dtype=np.int64) for c in compiled.problem.columns]
    )


def relaxation(compiled: Compiled, gap: float, arrays: Arrays | None = None) -> Answer | str:
    """The problem without its integers. gap: of the cost, before what is left between plan and bound by repair. arrays:
    of the problem, where they are at hand."""
    from ..solve.interior_point import solve

    a = compiled.problem.arrays() if arrays is None else arrays
    return solve(a, stages(compiled), gap=SHARPER * gap)


def by_interior_point(
    compiled: Compiled, gap: float, found: Answer | str | None = None, arrays: Arrays | None = None
) -> tuple[Floats, Floats, float, str] | str:
    """(x, row duals, lower bound, how) of a certified plan, or why there is none. gap: of the cost. found, arrays: the
    relaxation and the problem's arrays, where they are known already."""
    from ..solve.interior_point import BREACH

    arrays = compiled.problem.arrays() if arrays is None else arrays
    found = relaxation(compiled, gap, arrays) if found is None else found
    if isinstance(found, str):
        return found
    x = _repaired(compiled, arrays, found.x)
    breach = _breach(arrays, x)
    if not breach <= BREACH:
        return _broken(breach)
    # Plan and bound are compared in the problem's own cost: where that approximates a term, the terms' rule may say
    # less, and a bound of the one is none of the other until the slack of the approximation is taken off.
    usd = cost_usd(arrays, x)
    off = usd - found.lower_bound
    if off > gap * max(abs(usd), 1.0):
        return f"the plan of the interior point stands {off:.3g} USD above its bound"
    if off < -NOISE * max(abs(usd), 1.0):
        return f"the interior point's bound stands {-off:.3g} USD above its own plan, so it is none"
    how = (
        f"interior point, {found.iterations} iterations, no limit broken by more than {max(breach, 0.0):.1g}, "
        f"upper - lower bound {max(off, 0.0):.2g} USD"
    )
    return x, found.row_dual, min(found.lower_bound, usd), how


def by_directions(
    compiled: Compiled, gap: float, root: Answer, arrays: Arrays | None = None
) -> tuple[Floats, Floats, float, str] | str:
    """The same where burning energy pays, so that the relaxation charges and discharges at once: it sets which of the
    two a store may do there, and the plan under that is held to the relaxation's bound, whatever the gap is then.

    The months in which that is are planned anew, all others as the relaxation has them; the whole horizon where that is
    most of it, or gives no plan."""
    from ..solve.interior_point import solve

    a, at = compiled.problem.arrays() if arrays is None else arrays, stages(compiled)
    fixed, why = a, "no direction was left to set"
    best: tuple[Floats, Floats, float] | None = None
    for whole in (False, True):
        found: Answer | str = root
        for _ in range(ROUNDS):
            if isinstance(found, str):
                break
            fixed, months = _one_way(compiled, fixed, found.x)
            if not months.any() or (not whole and months.mean() > SOME):
                break
            found = (
                solve(fixed, at, gap=SHARPER * gap)
                if whole
                else _anew(compiled, fixed, at, found, months, gap)
            )
            made = found if isinstance(found, str) else tidied(compiled, a, found.x)
            if isinstance(found, str) or isinstance(made, str):
                why = str(made)
                continue
            usd = cost_usd(a, made)
            if best is None or usd < best[2]:
                best = made, found.row_dual, usd
            if best[2] - root.lower_bound <= gap * max(abs(best[2]), 1.0):
                break
        if best is not None:
            return _directed(best, root)
    return why


def _directed(best: tuple[Floats, Floats, float], root: Answer) -> tuple[Floats, Floats, float, str] | str:
    x, duals, usd = best
    off = usd - root.lower_bound
    if off < -NOISE * max(abs(usd), 1.0):
        return f"the interior point's bound stands {-off:.3g} USD above its own plan, so it is none"
    how = (
        "interior point, a direction set for each store where its relaxation charges and discharges at once; "
        f"upper - lower bound {max(off, 0.0):.2f} USD, {max(off, 0.0) / max(abs(usd), 1.0):.1e} of the cost"
    )
    return x, duals, min(root.lower_bound, usd), how


def _one_way(compiled: Compiled, a: Arrays, x: Floats) -> tuple[Arrays, Mask]:
    """The problem with the lesser of charge and discharge shut where a plan does both, and at every choice between them
    in the same months; those months, (n,), none where it nowhere does both."""
    from ..solve.sparse_kernel import touching

    low, upper, idle = a.lower.copy(), a.upper.copy(), np.zeros(a.cost.size, dtype=bool)
    months = np.zeros(compiled.horizon.n, dtype=bool)
    for name, part in compiled.parts.items():
        o = part.offer
        if not isinstance(o, Store) or not o.exclusive or part.charge is None or part.discharge is None:
            continue
        if o.wear_segments or o.loss_pieces:
            continue
        c, d = part.charge.col, part.discharge.col
        both = np.minimum(x[c], x[d]) > AT_ONCE
        if not both.any():
            continue
        mine = np.isin(compiled.horizon.month_id, np.unique(compiled.horizon.month_id[both]))
        switch, interval = choices(compiled.problem, name, part)
        z = np.full(both.size, -1, dtype=np.int64)
        z[interval] = switch
        told = both | (mine & (z >= 0) & (np.maximum(x[c], x[d]) > AT_ONCE))
        charges = x[c] >= x[d]
        shut, other = np.where(charges, d, c), np.where(charges, c, d)
        told &= (low[shut] <= 0.0) & (upper[other] > 0.0)
        upper[shut[told]] = 0.0
        told &= z >= 0
        low[z[told & charges]] = 1.0
        upper[z[told & ~charges]] = 0.0
        idle[z[told]] = True
        months |= mine
    # What weighs a switch is said by the columns that are shut, and would only tie hours to months.
    row_lower, row_upper = a.row_lower.copy(), a.row_upper.copy()
    said = touching(a.start, a.index, idle)
    row_lower[said], row_upper[said] = -inf, inf
    return replace(a, lower=low, upper=upper, row_lower=row_lower, row_upper=row_upper), months


def _anew(compiled: Compiled, a: Arrays, at: Ints, answer: Answer, months: Mask, gap: float) -> Answer | str:
    """Those months planned anew, all else as it stands in an answer, whose bound and dual values stay where nothing
    moves. at: interval of each column, -1 for none."""
    from ..solve.interior_point import BREACH, solve
    from ..solve.sparse_kernel import touching

    free = np.zeros(at.size, dtype=bool)
    free[at >= 0] = months[at[at >= 0]]
    last = months & ~np.append(months[1:], True)  # what is handed on to the next month stays
    for part in compiled.parts.values():
        if part.stored is not None:
            free[part.stored.col[last[part.stored.row]]] = False
    beside = a.index[np.repeat(touching(a.start, a.index, free), np.diff(a.start))]
    free[beside[at[beside] < 0]] = True  # peaks and awards of these months, and payments that span others
    for award in compiled.held.awards.values():
        free[award.col[~months[award.row]]] = False
    x = np.clip(answer.x, a.lower, a.upper)
    left, rows, columns = left_to(a, free, x)
    again = solve(left, at[columns], gap=SHARPER * gap, breach=FINER * BREACH)
    if isinstance(again, str):
        return again
    x[columns] = again.x
    y = answer.row_dual.copy()
    y[rows] = again.row_dual
    return replace(answer, x=x, row_dual=y, objective=again.objective)


def cost_usd(a: Arrays, x: Floats) -> float:
    """Cost of a plan by the problem's own rows, approximations of terms as they stand."""
    return float(a.cost @ x) + float(a.offset)


def tidied(compiled: Compiled, a: Arrays, x: Floats) -> Floats | str:
    """An interior plan made one that a machine can follow and that keeps every row, or why that failed."""
    from ..solve.interior_point import BREACH

    x = _repaired(compiled, a, x)
    breach = _breach(a, x)
    return x if breach <= BREACH else _broken(breach)


def _broken(breach: float) -> str:
    return f"the plan of the interior point breaks a limit by {breach:.2g}"


def _breach(a: Arrays, x: Floats) -> float:
    """Greatest breach of a row or bound."""
    from ..solve.sparse_kernel import activity

    stands = activity(a.start, a.index, a.value, x)
    rows = np.maximum(a.row_lower - stands, stands - a.row_upper)
    columns = np.maximum(a.lower - x, x - a.upper)
    return float(max(rows.max(initial=0.0), columns.max(initial=0.0)))


def _repaired(compiled: Compiled, a: Arrays, x: Floats) -> Floats:
    """Either charge or discharge, energies recomputed from powers, switches as they stand.

    An interior plan does a little of both at once. The same net power without it leaves more in the store; where
    that would not fit, a little less is charged.
    """
    x = x.copy()
    for name, part in compiled.parts.items():
        o = part.offer
        if not isinstance(o, Store) or part.charge is None or part.discharge is None or part.stored is None:
            continue
        if not o.exclusive or o.wear_segments or o.loss_pieces:
            continue
        power = part.setpoint.value(x)
        calls = compiled.held.called.get(name)
        other = np.zeros(power.size) if o.drain_kw is None else -np.broadcast_to(o.drain_kw, power.size)
        if calls is not None:
            other = other + calls.down.value(x) * o.charge_efficiency_frac
            other = other - calls.up.value(x) / o.discharge_efficiency_frac
        cols = (part.charge.col, part.discharge.col)
        planned = x[part.stored.col].copy()
        x[cols[0]], x[cols[1]] = np.maximum(power, 0.0), np.maximum(-power, 0.0)
        room = np.where(power > 0, _room(compiled, a, x, cols[0], -1.0), _room(compiled, a, x, cols[1], 1.0))
        power, stored = _walked(o, power, other, planned, np.maximum(room, 0.0), compiled.horizon.step_h)
        x[cols[0]], x[cols[1]] = np.maximum(power, 0.0), np.maximum(-power, 0.0)
        x[part.stored.col] = stored
    rows = {r.name: r for r in compiled.problem.rows}
    for block in compiled.problem.columns:
        row = rows.get(block.name.removesuffix("s") + " or")
        if block.integer and row is not None:
            own = row.col >= block.first
            own &= row.col < block.first + block.n
            flow = np.bincount(row.row[~own], weights=(row.coef * x[row.col])[~own], minlength=row.n)
            x[block.cols] = (flow > 0.0).astype(np.float64)
    return x


def _room(compiled: Compiled, a: Arrays, x: Floats, cols: Ints, way: float) -> Floats:
    """How far each of `cols` may go up (way 1) or down (-1) with all others as they are, balances of stores
    apart, (cols,)."""
    from ..solve.sparse_kernel import room

    slot = np.full(x.size, -1, dtype=np.int64)
    slot[cols] = np.arange(cols.size)
    free = np.ones(a.row_lower.size, dtype=bool)
    for block in compiled.problem.rows:
        if block.name.endswith(".balance"):
            free[block.first : block.first + block.n] = False
    out = a.upper[cols] - x[cols] if way > 0 else x[cols] - a.lower[cols]
    room(a.start, a.index, a.value, a.row_lower, a.row_upper, x, free, slot, way, out)
    return out


def _walked(
    o: Store, power: Floats, other_kw: Floats, planned: Floats, room: Floats, step_h: float
) -> tuple[Floats, Floats]:
    """Power and energy (n,) of a walk that gives up charge, as far as `room` allows, where it would hold more than
    was planned."""
    from .staged_kernel import walk

    power, stored = power.copy(), np.empty(power.size)
    keep = (1.0 - o.loss_frac_per_h) ** step_h
    ec, ed = o.charge_efficiency_frac, o.discharge_efficiency_frac
    walk(
        power,
        np.asarray(other_kw),
        planned,
        room,
        o.energy_start_kwh,
        ec,
        ed,
        keep,
        step_h,
        SLIGHT_KWH,
        stored,
    )
    return power, stored
