"""Offers of assets -> columns and rows: what each asset adds at the meter, and the room it has left.

Signs: `net` is load sign (a battery that charges adds); all other flows are >= 0. Power is in kW, energies
at interval ends in kWh. Store balance, with h the step:

    s[t] = (1 - loss)^h s[t-1] + h (charge eta_c - discharge / eta_d - extra losses - drain)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

import numpy as np

from ..errors import InputError
from ..flows import Custom, Formulated, Given, Offer, Store, Unit
from ..solve.problem import Affine, Floats, Ints, Problem, filled
from .polygon import Disc


@dataclass(slots=True, eq=False)
class Called:
    """Expected calls on an asset by its claims, mean kW over each interval."""

    up: Affine
    down: Affine


@dataclass(slots=True, eq=False)
class Part:
    """One asset inside the problem: affine expressions over the intervals, None where it has no such flow."""

    name: str
    offer: Offer
    net: Affine
    setpoint: Affine
    charge: Affine | None = None
    discharge: Affine | None = None
    stored: Affine | None = None
    generation: Affine | None = None
    fuel_gal: Affine | None = None
    run: Affine | None = None
    start: Affine | None = None
    kvar: Affine | None = None
    cost: Affine | None = None
    costs: list[tuple[str, Affine]] = field(default_factory=list)

    def add_cost(self, item: str, expr: Affine) -> None:
        """A cost of operation, summed over the intervals."""
        self.costs.append((item, expr))


def zero(n: int) -> Affine:
    """Nothing, n times."""
    return Affine(np.zeros(n))


def bind(
    problem: Problem,
    name: str,
    expr: Affine,
    *,
    owner: str,
    lower: float | Floats = -inf,
    upper: float | Floats = inf,
) -> Ints:
    """Rows lower <= expr <= upper, only where the column bounds do not already see to it (all of a `whole` one)."""
    low, high = filled(lower, expr.n), filled(upper, expr.n)
    if problem.whole:
        need = np.flatnonzero(np.isfinite(low) | np.isfinite(high))
    else:
        expr = expr.merged()
        least, most = problem.reach(expr)
        slack = 1e-9 * (1 + np.abs(expr.const))
        need = np.flatnonzero((least < low - slack) | (most > high + slack))
    if need.size:
        problem.add_rows(name, expr.take(need), owner=owner, lower=low[need], upper=high[need])
    return need


@dataclass(slots=True, eq=False)
class Draft:
    """An asset whose columns exist but whose rows wait for the claims on it."""

    part: Part
    room_up: Affine | None = None
    room_down: Affine | None = None
    segments: tuple[tuple[Ints, Ints, Ints], ...] = ()
    loss: Affine | None = None
    fuel: Affine | None = None


def draft(problem: Problem, offer: Offer, n: int, step_h: float) -> Draft:
    """Columns of one offer."""
    if isinstance(offer, Given):
        return _given(problem, offer, n, step_h)
    if isinstance(offer, Store):
        return _store(problem, offer, n, step_h)
    if isinstance(offer, Unit):
        return _unit(problem, offer, n, step_h)
    if isinstance(offer, Custom):
        return _custom(problem, offer, n, step_h)
    raise InputError(f"{offer!r} is no offer; an asset offers Given, Store, Unit or Custom")


def _custom(problem: Problem, offer: Custom, n: int, step_h: float) -> Draft:
    made = offer.formulate(problem, step_h)
    if isinstance(made, Formulated):
        shape: tuple[int, ...] = (made.net.n,)
    else:
        cols = np.asarray(made, dtype=np.int64)
        shape = cols.shape
    if shape != (n,):
        raise InputError(
            f"{offer.name}: formulate returned columns of shape {shape}; it must return one "
            f"column of net power for each of the {n} intervals"
        )
    if not isinstance(made, Formulated):
        net = Affine.of(cols)
        return Draft(Part(offer.name, offer, net, net))
    part = Part(offer.name, offer, made.net, made.net, run=made.run, start=made.start, kvar=made.kvar)
    for item, cost in made.costs:
        part.add_cost(item, cost)
    return Draft(part, made.room_up, made.room_down)


def _series(offer: Offer, what: str, value: object, n: int) -> Floats:
    array = np.asarray(value, dtype=np.float64)
    if array.shape not in ((), (n,)):
        raise InputError(f"{offer.name}: {what} has shape {array.shape}; the horizon needs ({n},)")
    if np.isnan(array).any():
        raise InputError(
            f"{offer.name}: {what} holds NaN (first at interval {int(np.isnan(filled(array, n)).argmax())})"
        )
    return filled(array, n)


# --- given -----------------------------------------------------------------------------------------------


def _given(problem: Problem, offer: Given, n: int, step_h: float) -> Draft:
    power = Affine(_series(offer, "net_kw", offer.net_kw, n))
    made = np.maximum(-power.const, 0.0)
    part = Part(offer.name, offer, power, power, generation=Affine(made))
    down: Affine | None = None
    if offer.curtailable and made.any():
        cut = Affine.of(problem.add_columns(f"{offer.name}.curtail", n, owner=offer.name, upper=made))
        part.net = part.setpoint = power + cut
        part.generation = Affine(made) - cut
        part.add_cost("curtailment", cut.times(step_h * offer.curtail_usd_per_kwh))
        down = Affine(made) - cut
    if offer.kvar is not None:
        part.kvar = Affine(_series(offer, "kvar", offer.kvar, n))
    return Draft(part, None, down)


# --- store -----------------------------------------------------------------------------------------------


def _store(problem: Problem, o: Store, n: int, step_h: float) -> Draft:
    _check_store(o, n)
    most_in = _series(o, "charge_max_kw", o.charge_max_kw, n)
    most_out = _series(o, "discharge_max_kw", o.discharge_max_kw, n)
    low, high = o.energy_min_kwh[1:].copy(), o.energy_max_kwh[1:]
    low[-1] = max(low[-1], o.energy_end_min_kwh)
    add = problem.add_columns
    if not o.wear_segments:
        charge = Affine.of(add(f"{o.name}.charge", n, owner=o.name, upper=most_in))
        discharge = Affine.of(add(f"{o.name}.discharge", n, owner=o.name, upper=most_out))
        stored = Affine.of(add(f"{o.name}.stored", n, owner=o.name, lower=low, upper=high))
        segments: tuple[tuple[Ints, Ints, Ints], ...] = ()
    else:
        segments = tuple(
            _segment(problem, o, j, width, n, most_in, most_out)
            for j, width in enumerate(segment_widths_kwh(o))
        )
        charge = _total(n, [c for c, _, _ in segments])
        discharge = _total(n, [d for _, d, _ in segments])
        stored = _total(n, [s for _, _, s in segments])
        bind(problem, f"{o.name}.charge limit", charge, owner=o.name, upper=most_in)
        bind(problem, f"{o.name}.discharge limit", discharge, owner=o.name, upper=most_out)
        bind(problem, f"{o.name}.energy limits", stored, owner=o.name, lower=low, upper=high)
    power = charge - discharge
    aux = _series(o, "aux_kw", 0.0 if o.aux_kw is None else o.aux_kw, n)
    part = Part(o.name, o, power.plus(aux), power, charge=charge, discharge=discharge, stored=stored)
    loss = _loss(problem, o, charge + discharge, n)
    rated_out = _series(o, "discharge_max_kw", o.discharge_max_kw, n)
    return Draft(part, power.plus(rated_out), power.times(-1.0).plus(most_in), segments, loss)


def _check_store(o: Store, n: int) -> None:
    problems = []
    for what, v in (("energy_min_kwh", o.energy_min_kwh), ("energy_max_kwh", o.energy_max_kwh)):
        if np.shape(v) != (n + 1,):
            problems.append(f"{what} has shape {np.shape(v)}; {n} intervals have {n + 1} boundaries")
    for what, eta in (("charge", o.charge_efficiency_frac), ("discharge", o.discharge_efficiency_frac)):
        if not 0 < eta <= 1:
            problems.append(f"{what}_efficiency_frac = {eta!r}; a one-way efficiency lies in (0, 1]")
    if not problems:
        gap = np.flatnonzero(np.asarray(o.energy_min_kwh) > np.asarray(o.energy_max_kwh) + 1e-9)
        if gap.size:
            k = int(gap[0])
            problems.append(
                f"the energy window is empty at boundary {k}: at least {o.energy_min_kwh[k]:g} kWh and at "
                f"most {o.energy_max_kwh[k]:g} kWh; widen the state-of-charge limits or lower the reserve"
            )
        elif o.energy_end_min_kwh > o.energy_max_kwh[-1] + 1e-9:
            problems.append(
                f"energy_end_min_kwh = {o.energy_end_min_kwh:g} lies above the greatest energy "
                f"{o.energy_max_kwh[-1]:g} kWh"
            )
    if any(b[1] < a[1] for a, b in zip(o.wear_segments, o.wear_segments[1:])):
        problems.append("wear_segments must have ascending prices")
    if any(b[1] < a[1] or b[0] <= a[0] for a, b in zip(o.loss_pieces, o.loss_pieces[1:])):
        problems.append("loss_pieces must ascend in power and in loss")
    if problems:
        raise InputError.collect(o.name, problems)


def segment_widths_kwh(o: Store) -> list[float]:
    """Energy of each cycle-depth segment; the last one takes what the widths leave of the store."""
    capacity = float(np.max(o.energy_max_kwh))
    widths = [w * capacity for w, _ in o.wear_segments]
    widths[-1] += max(0.0, capacity - sum(widths))
    return widths


def _segment(
    problem: Problem, o: Store, j: int, width_kwh: float, n: int, most_in: Floats, most_out: Floats
) -> tuple[Ints, Ints, Ints]:
    add = problem.add_columns
    return (
        add(f"{o.name}.charge {j}", n, owner=o.name, upper=most_in),
        add(f"{o.name}.discharge {j}", n, owner=o.name, upper=most_out),
        add(f"{o.name}.stored {j}", n, owner=o.name, upper=width_kwh),
    )


def _total(n: int, blocks: list[Ints]) -> Affine:
    total = zero(n)
    for cols in blocks:
        total = total + Affine.of(cols)
    return total


def _loss(problem: Problem, o: Store, power: Affine, n: int) -> Affine | None:
    """Extra loss by power: convex pieces as slopes and their increases."""
    if not o.loss_pieces:
        return None
    loss = power.times(o.loss_pieces[0][1])
    for k, ((upto, slope), (_, steeper)) in enumerate(zip(o.loss_pieces, o.loss_pieces[1:])):
        over = Affine.of(problem.add_columns(f"{o.name}.power over {k}", n, owner=o.name))
        problem.add_rows(f"{o.name}.power over {k}", over - power, owner=o.name, lower=-upto)
        loss = loss + over.times(steeper - slope)
    return loss


def before(stored: Affine, start: float, n: int) -> Affine:
    """Energy at the beginning of each interval, from the energies at the ends."""
    into = np.arange(1, n + 1, dtype=np.int64)
    into[-1] = -1
    shifted = stored.gather(into, n)
    first = np.zeros(n)
    first[0] = start
    return shifted.plus(first)


def store_rows(problem: Problem, d: Draft, step_h: float, called: Called | None) -> None:
    """Balance and cost of a store, with the energy that its claims are expected to call."""
    o, part = d.part.offer, d.part
    assert isinstance(o, Store) and part.stored is not None and part.discharge is not None
    assert part.charge is not None
    n = part.net.n
    drain = _series(o, "drain_kw", 0.0 if o.drain_kw is None else o.drain_kw, n)
    lost = Affine(drain) + (d.loss or zero(n))
    if called is not None:
        lost = (
            lost
            + called.up.times(1 / o.discharge_efficiency_frac)
            - called.down.times(o.charge_efficiency_frac)
        )
    keep = (1.0 - o.loss_frac_per_h) ** step_h
    if not d.segments:
        _balance(
            problem,
            f"{o.name}.balance",
            o,
            part.stored,
            part.charge,
            part.discharge,
            lost,
            o.energy_start_kwh,
            keep,
            step_h,
        )
        out = part.discharge if called is None else part.discharge + called.up
        part.add_cost("wear", out.times(step_h * o.wear_usd_per_kwh))
    else:
        _segment_rows(problem, d, o, lost, called, keep, step_h)
    if o.end_value_usd_per_kwh:
        part.add_cost("energy left", part.stored.take(np.array([n - 1])).times(-o.end_value_usd_per_kwh))


def _segment_rows(
    problem: Problem, d: Draft, o: Store, lost: Affine, called: Called | None, keep: float, step_h: float
) -> None:
    left = o.energy_start_kwh
    n = d.part.net.n
    wear = zero(n)
    for j, ((c, e, s), width) in enumerate(zip(d.segments, segment_widths_kwh(o))):
        # What is in the store was charged last into the shallow, cheap segments.
        start = min(left, width)
        left -= start
        # Calls and losses are shallow: they belong to the first segment.
        _balance(
            problem,
            f"{o.name}.balance {j}",
            o,
            Affine.of(s),
            Affine.of(c),
            Affine.of(e),
            lost if j == 0 else zero(n),
            start,
            keep,
            step_h,
        )
        out = Affine.of(e) if called is None or j else Affine.of(e) + called.up
        wear = wear + out.times(step_h * o.wear_segments[j][1])
    d.part.add_cost("wear", wear)


def _balance(
    problem: Problem,
    name: str,
    o: Store,
    stored: Affine,
    charge: Affine,
    discharge: Affine,
    lost: Affine,
    start: float,
    keep: float,
    step_h: float,
) -> None:
    gain = charge.times(o.charge_efficiency_frac) - discharge.times(1 / o.discharge_efficiency_frac) - lost
    was = before(stored, start, stored.n).times(keep)
    problem.add_rows(name, stored - was - gain.times(step_h), owner=o.name, lower=0.0, upper=0.0)


# --- unit ------------------------------------------------------------------------------------------------


def steps(hours: float, step_h: float) -> int:
    """Whole intervals that hold so many hours."""
    return int(np.ceil(hours / step_h - 1e-9))


def _unit(problem: Problem, o: Unit, n: int, step_h: float) -> Draft:
    free = _series(o, "available", 1.0 if o.available is None else o.available, n)
    most = _series(o, "max_kw", o.max_kw, n) * free
    least = np.minimum(_series(o, "min_kw", o.min_kw, n), most)
    add = problem.add_columns
    output = Affine.of(add(f"{o.name}.output", n, owner=o.name, upper=most))
    low, high = _held(o, n, step_h)
    run = Affine.of(
        add(f"{o.name}.run", n, owner=o.name, lower=low, upper=np.where(free > 0, high, 0.0), integer=True)
    )
    may = np.ones(n)
    if o.running:  # a start needs a full stop before it
        may[: max(1, steps(o.min_down_h, step_h))] = 0.0
    start = Affine.of(add(f"{o.name}.start", n, owner=o.name, upper=may))
    was = before(run, float(o.running), n)
    problem.add_rows(f"{o.name}.most", output - run.times(most), owner=o.name, upper=0.0)
    if least.any():
        problem.add_rows(f"{o.name}.least", output - run.times(least), owner=o.name, lower=0.0)
    problem.add_rows(f"{o.name}.start", start - run + was, owner=o.name, lower=0.0)
    problem.add_rows(f"{o.name}.start once", start + was, owner=o.name, upper=1.0)
    problem.add_rows(f"{o.name}.start runs", start - run, owner=o.name, upper=0.0)
    _min_times(problem, o, run, start, n, step_h)
    if o.ramp_kw_per_h < inf:
        _ramp(problem, o, output, start, least, n, step_h)
    part = Part(
        o.name,
        o,
        output.times(float(np.sign(o.sign))),
        output.times(float(np.sign(o.sign))),
        run=run,
        start=start,
    )
    if o.sign < 0:
        part.generation = output
    fuel = _fuel(problem, o, output, run, n).times(step_h)
    part.fuel_gal = fuel
    if o.tank_gal < inf:
        _tank(problem, o, fuel, n)
    part.add_cost("fuel", fuel.times(o.fuel_usd_per_gal))
    part.add_cost("running", run.times(step_h * o.usd_per_h))
    part.add_cost("starts", start.times(o.start_usd))
    more, less = run.times(most) - output, output - run.times(least)
    return Draft(part, more if o.sign < 0 else less, less if o.sign < 0 else more)


def _held(o: Unit, n: int, step_h: float) -> tuple[Floats, Floats]:
    """Intervals at the start in which the unit must stay as it is."""
    low, high = np.zeros(n), np.ones(n)
    if o.running:
        low[: max(0, steps(o.min_up_h - o.hours_in_state, step_h)) if o.hours_in_state < inf else 0] = 1.0
    elif o.hours_in_state < inf:
        high[: max(0, steps(o.min_down_h - o.hours_in_state, step_h))] = 0.0
    return low, high


def _min_times(problem: Problem, o: Unit, run: Affine, start: Affine, n: int, step_h: float) -> None:
    up, down = steps(o.min_up_h, step_h), steps(o.min_down_h, step_h)
    if up > 1:
        problem.add_rows(f"{o.name}.min up", _recent(start, up, n) - run, owner=o.name, upper=0.0)
    if down > 1:
        # off d intervals ago in every window that sees a start: run[t-d] + starts in (t-d, t] <= 1
        late = np.arange(down, n, dtype=np.int64)
        if late.size:
            past = run.take(late - down)
            problem.add_rows(
                f"{o.name}.min down", _recent(start, down, n).take(late) + past, owner=o.name, upper=1.0
            )


def _recent(start: Affine, k: int, n: int) -> Affine:
    """Starts in the last k intervals, this one included."""
    t = np.arange(n, dtype=np.int64)
    row = np.concatenate([t[j:] for j in range(min(k, n))])
    col = np.concatenate([t[: n - j] for j in range(min(k, n))])
    return start.mixed(row, col, np.ones(row.size), n)


def _ramp(
    problem: Problem, o: Unit, output: Affine, start: Affine, least: Floats, n: int, step_h: float
) -> None:
    step = o.ramp_kw_per_h * step_h
    inside = np.arange(1, n, dtype=np.int64)
    if inside.size:
        change = (output - before(output, 0.0, n)).take(inside)
        jump = start.take(inside).times(np.maximum(least[inside] - step, 0.0))
        problem.add_rows(f"{o.name}.ramp up", change - jump, owner=o.name, upper=step)


def _fuel(problem: Problem, o: Unit, output: Affine, run: Affine, n: int) -> Affine:
    """Fuel per hour: idle plus marginal pieces (convex as slopes and increases, else with an order)."""
    from .pieces import Hinge, piecewise

    hinges = [
        Hinge(np.full(n, upto), np.full(n, after - slope))
        for (upto, slope), (_, after) in zip(o.fuel_pieces, o.fuel_pieces[1:])
    ]
    marginal = piecewise(
        problem, f"{o.name}.fuel", output, np.full(n, o.fuel_pieces[0][1]), hinges, owner=o.name
    )
    return run.times(o.fuel_idle_gal_per_h) + marginal


def _tank(problem: Problem, o: Unit, fuel: Affine, n: int) -> None:
    """What is left in the tank before each truck, l: used between two trucks out of l_before + what a truck brings,
    and out of a full tank. More in it never hurts, so the level may be taken lower than it is."""
    window = np.zeros(n, dtype=np.int64) if o.refuel_window is None else np.asarray(o.refuel_window)
    count = int(window.max()) + 1
    aside = np.zeros(count) if o.set_aside_gal is None else np.asarray(o.set_aside_gal, dtype=np.float64)
    unused = np.empty(count)  # the level if nothing is used
    for p in range(count):
        full = o.tank_start_gal if p == 0 else min(float(unused[p - 1]) + o.refuel_gal, o.tank_gal)
        unused[p] = full - aside[p]
    name, used = f"{o.name}.tank", fuel.gather(window, count)
    level = Affine.of(
        problem.add_columns(name, count, owner=o.name, lower=np.minimum(o.keep_gal, unused), upper=unused)
    )
    # the first window has what is there; a later one what was left and what came, or a full tank
    came = np.where(np.arange(count) == 0, o.tank_start_gal, o.refuel_gal) - aside
    was = level.gather(np.append(np.arange(1, count, dtype=np.int64), -1), count)
    problem.add_rows(f"{name} use", level + used - was, owner=o.name, upper=came)
    if count > 1:
        later = np.arange(1, count, dtype=np.int64)
        most = o.tank_gal - aside[later]
        problem.add_rows(f"{name} full", (level + used).take(later), owner=o.name, upper=most)


def give_kvar(problem: Problem, d: Draft, n: int, discs: list[Disc]) -> None:
    """Reactive power of an inverter inside its circle, beside what a process draws by itself."""
    o, part = d.part.offer, d.part
    rating = o.inverter_kva if isinstance(o, Store) else o.rating_kva if isinstance(o, Given) else None
    if rating is None:
        return
    q = Affine.of(problem.add_columns(f"{o.name}.kvar", n, owner=o.name, lower=-rating, upper=rating))
    part.kvar = q if part.kvar is None else part.kvar + q
    discs.append(Disc(f"{o.name}.inverter", o.name, part.setpoint, q, Affine(np.full(n, rating))))
