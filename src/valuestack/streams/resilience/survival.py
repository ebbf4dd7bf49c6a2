"""Survival: the probability that the critical load is carried through an outage, from any start.

Units of a group are alike: each is available and starts with probability OA (1 - FTS), and a running one
fails in a step with probability 1 - (1 - 1/MTTF)^step. With j of N running at the start of a step,

    P(N -> j at the start) = C(N, j) p^j (1 - p)^(N - j),              p = OA (1 - FTS)
    P(i -> j in a step)    = C(i, j) (1 - f)^j f^(i - j)

and the load is carried in a step if capacity(j) + battery >= critical load - PV. A share `common_cause`
of start and running failures takes all units of all groups at once (beta factor). This is the Markov
method of REopt's Energy Resilience Performance tool (NREL/REopt.jl, src/outagesim/backup_reliability.jl),
with the battery's energy kept on a grid whose mass is split between neighbours, so that the mean energy is
exact, and the initial energy taken from the dispatch at each start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import comb, inf

import numpy as np

from ...errors import InputError
from ...timeline import Ints, Kw


@dataclass(frozen=True, slots=True)
class Group:
    """`count` units alike. kw: rating of one [kW]; available_frac: operational availability (0..1);
    start_failure_frac: probability of not starting; mttf_h: mean time to failure in operation."""

    name: str
    count: int
    kw: float
    available_frac: float = 0.995
    start_failure_frac: float = 0.0094
    mttf_h: float = 1100.0

    def __post_init__(self) -> None:
        bad = [
            f"{what} = {value!r}: {want}"
            for what, value, ok, want in (
                ("count", self.count, self.count >= 0, "a whole number, 0 or more"),
                ("kw", self.kw, self.kw >= 0, "kW of one unit, 0 or more"),
                ("available_frac", self.available_frac, 0 <= self.available_frac <= 1, "between 0 and 1"),
                (
                    "start_failure_frac",
                    self.start_failure_frac,
                    0 <= self.start_failure_frac <= 1,
                    "between 0 and 1",
                ),
                ("mttf_h", self.mttf_h, self.mttf_h >= 1, "hours, at least 1"),
            )
            if not ok
        ]
        if bad:
            raise InputError.collect(f"generator group {self.name!r}", bad)


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What the store holds when an outage begins. kw: inverter [kW]; kwh: usable capacity; start_kwh:
    (starts,) usable energy at each start; efficiencies one way; available_frac: operational availability."""

    kw: float
    kwh: float
    start_kwh: Kw
    charge_efficiency_frac: float = 0.95
    discharge_efficiency_frac: float = 0.95
    available_frac: float = 0.97


@dataclass(frozen=True, slots=True, eq=False)
class Survival:
    """cumulative: (starts, steps) probability that every step up to and with this one was carried."""

    cumulative: Kw
    step_h: float

    def at(self, hours: float) -> float:
        """Mean over starts of surviving `hours`; starts are weighted alike."""
        k = round(hours / self.step_h) - 1
        if not 0 <= k < self.cumulative.shape[1]:
            raise InputError(
                f"hours: {hours:g} is outside the {self.cumulative.shape[1] * self.step_h:g} h computed"
            )
        return float(self.cumulative[:, k].mean())


def states(groups: Sequence[Group], step_h: float, common_cause_frac: float = 0.0) -> tuple[Kw, Kw, Kw]:
    """Capacity of each state (s,) [kW], its probability at the start (s,), and transitions (s, s).

    A state is how many units of each group run; states are the product over groups.
    """
    capacity, start, step = np.zeros(1), np.ones(1), np.ones((1, 1))
    share = 1.0 - common_cause_frac
    for g in groups:
        p = g.available_frac * (1.0 - share * g.start_failure_frac)
        fail = 1.0 - (1.0 - share / g.mttf_h) ** step_h
        begin = np.array([comb(g.count, j) * p**j * (1 - p) ** (g.count - j) for j in range(g.count + 1)])
        move = np.array(
            [
                [
                    comb(i, j) * (1 - fail) ** j * fail ** (i - j) if j <= i else 0.0
                    for j in range(g.count + 1)
                ]
                for i in range(g.count + 1)
            ]
        )
        capacity = (capacity[:, None] + g.kw * np.arange(g.count + 1)).ravel()
        start = np.outer(start, begin).ravel()
        step = np.kron(step, move)
    if common_cause_frac > 0 and groups:
        worst = max(groups, key=lambda g: g.start_failure_frac)
        at_start = common_cause_frac * worst.start_failure_frac
        running = 1.0 - (1.0 - common_cause_frac / min(g.mttf_h for g in groups)) ** step_h
        start = (1 - at_start) * start
        start[0] += at_start
        step = (1 - running) * step
        step[:, 0] += running
    return capacity, start, step


def survive(
    critical_kw: Kw,
    groups: Sequence[Group],
    *,
    step_h: float,
    horizon_h: float,
    held: Held | None = None,
    starts: Ints | None = None,
    bins: int = 100,
    common_cause_frac: float = 0.0,
    fuel_steps: Ints | None = None,
) -> Survival:
    """Survival from each start.

    critical_kw: (n,) critical load less PV in an outage, wrapped at the end as a year; starts: interval
    numbers (default all). held.start_kwh has one value a start. fuel_steps: (starts,) steps that the
    fuel on hand lasts, see `fuel_steps`. bins: grid of the store's energy.
    """
    n = critical_kw.size
    begin = np.arange(n) if starts is None else np.asarray(starts, dtype=np.int64)
    steps = round(horizon_h / step_h)
    if steps < 1:
        raise InputError(f"horizon_h: {horizon_h!r} is shorter than one interval of {step_h:g} h")
    capacity, first, move = states(groups, step_h, common_cause_frac)
    from .survival_kernel import walk

    lasts = (
        np.full(begin.size, steps, dtype=np.int64)
        if fuel_steps is None
        else np.asarray(fuel_steps, dtype=np.int64)
    )
    load = np.ascontiguousarray(critical_kw, dtype=np.float64)
    without = walk(
        load, begin, steps, step_h, capacity, first, move, lasts, np.zeros(begin.size), 0.0, 0.0, 1.0, 1.0, 1
    )
    if held is None or held.kw <= 0 or held.kwh <= 0:
        return Survival(without, step_h)
    if held.start_kwh.shape != begin.shape:
        raise InputError(f"held.start_kwh: {held.start_kwh.size} values for {begin.size} starts")
    with_it = walk(
        load,
        begin,
        steps,
        step_h,
        capacity,
        first,
        move,
        lasts,
        held.start_kwh.astype(np.float64),
        held.kw,
        held.kwh,
        held.charge_efficiency_frac,
        held.discharge_efficiency_frac,
        bins + 1,
    )
    a = held.available_frac
    return Survival(a * with_it + (1 - a) * without, step_h)


def fuel_steps(
    critical_kw: Kw,
    starts: Ints,
    steps: int,
    *,
    step_h: float,
    fuel_gal: float,
    slope_gal_per_kwh: float,
    idle_gal_per_h: float = 0.0,
) -> Ints:
    """How many steps the tank lasts from each start, (starts,), at most `steps`.

    Fuel a step = slope x max(critical, 0) x h + idle x h: the units carry the load alone, which is the
    cautious case. REopt takes slope and intercept the same way (src/core/generator.jl).
    """
    if fuel_gal == inf:
        return np.full(starts.size, steps, dtype=np.int64)
    burn = (slope_gal_per_kwh * np.maximum(critical_kw, 0.0) + idle_gal_per_h) * step_h
    return lasting_steps(burn, starts, steps, np.full(starts.size, fuel_gal))


def lasting_steps(
    burn_gal: Kw,
    starts: Ints,
    steps: int,
    fuel_gal: Kw,
    *,
    every_steps: int = 0,
    truck_gal: float = 0.0,
    tank_gal: float = inf,
) -> Ints:
    """How many whole steps the fuel of each start lasts, (starts,), at most `steps`.

    burn_gal: (n,) of a step, wrapped at the end; fuel_gal: (starts,). A truck fills in truck_gal after every
    every_steps of the outage (0 = none comes), up to tank_gal.
    """
    turns = 2 + steps // burn_gal.size
    total = np.concatenate(([0.0], np.cumsum(np.tile(burn_gal, turns))))
    begin, tank = np.asarray(starts, dtype=np.int64), np.asarray(fuel_gal, dtype=float)
    out, going = np.full(begin.size, steps, dtype=np.int64), np.ones(begin.size, dtype=bool)
    cuts = [0, *(range(every_steps, steps, every_steps) if every_steps else ()), steps]
    for a, b in pairwise(cuts):
        if a:
            tank = np.minimum(tank + truck_gal, tank_gal)
        base = total[begin + a]
        last = np.searchsorted(total, base + tank + 1e-9, side="right") - 1 - begin
        ends = going & (last < b)
        out[ends] = last[ends]
        going &= ~ends
        tank = tank - (total[begin + b] - base)
    return out
