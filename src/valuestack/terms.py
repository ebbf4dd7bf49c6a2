"""The small language in which a stream or a contract clause states what it wants from a decision.

Four terms, each with its owner, a name and a reason in words:

    Payment   money that depends on a measured quantity: an energy price, a demand charge, an event
    Minimum   a floor under the sum of several payments of one window: a minimum bill
    Claim     headroom that is promised: kW up or down, held for a price
    Limit     a bound on a measured quantity, hard or with a price for breach

`stack` compiles terms into a problem; nothing else reads them. Costs are positive and revenues
negative in a Payment; a Claim's price is revenue. Quantities: for `each` and `sum` a measure in kW
is integrated to kWh over the interval (`run` to hours, `stored` to kWh h; `start` and `fuel_gal` are
counts of the interval as they stand); for `max` it is the highest block average in kW, and never below
zero for import and export. Terms state the whole of a window: what it held before the horizon
(`so_far`) is priced with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .timeline import Ints, Kw

Flow = Literal[
    "import",
    "export",
    "net",
    "setpoint",
    "kvar",
    "kva",
    "generation",
    "charge",
    "discharge",
    "stored",
    "fuel_gal",
    "run",
    "start",
]
Over = Literal["each", "sum", "max"]


@dataclass(frozen=True, slots=True, eq=False)
class OwnWeights:
    """Sparse matrix W, (n, n): weight of the plan's own net load of interval `col` in the reference of
    interval `row`. A demand-response baseline that averages days inside the horizon is such a matrix."""

    row: Ints
    col: Ints
    weight: Kw


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """What is measured, per interval, in kW (kvar, kVA; `stored` kWh; `run` 0..1; `start` count).

    flow: import and export are the two sides of the meter (>= 0), net = import - export, load sign. setpoint is what a
    store is asked for beside what awards call of it; of other assets it is not measured.
    asset: name of one asset, or None for the meter. reference_kw: where given, the measure is
    reference_kw + own @ net - flow: a reduction below a baseline. average_h: length of the block that
    is averaged before a maximum is taken, None = one interval.
    """

    flow: Flow
    asset: str | None = None
    reference_kw: Kw | None = None
    own: OwnWeights | None = None
    average_h: float | None = None

    def same(self, other: Measure) -> bool:
        """Equal as a measure: payments over equal measures may be added before convexity is judged."""
        if (self.flow, self.asset, self.average_h) != (other.flow, other.asset, other.average_h):
            return False
        if self.own is not other.own:
            return False
        a, b = self.reference_kw, other.reference_kw
        return a is b or (a is not None and b is not None and np.array_equal(a, b))


@dataclass(frozen=True, slots=True)
class HoursUse:
    """A tier bound of `hours` x the billed kW of the payment `of` in the same cycle (kWh per kW)."""

    hours: float
    of: str


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One tier: up to `upto` of the window's quantity, each unit costs `usd_per_unit`.

    upto: cumulative upper bound in the measure's unit (inf = no bound), one number, one a window, or
    HoursUse; the last block's price holds on beyond its bound. Below zero the first block's price holds.
    usd_per_unit: one number; for `each` also one an interval (n,), otherwise one a window.
    """

    upto: float | Kw | HoursUse
    usd_per_unit: float | Kw


@dataclass(frozen=True, slots=True)
class Floor:
    """The billed quantity of `window` is at least `least`, and at least `share` x the greatest *measured*
    quantity of `of_windows` (of this payment, or of the payment `of`). Contract minimum: `least`.
    Ratchet: history in `least`, months inside the horizon in `of_windows`."""

    window: int
    least: float = 0.0
    share: float = 0.0
    of_windows: tuple[int, ...] = ()
    of: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Carry:
    """What a window leaves over goes to the next: a net-metering bank.

    unit: 'kwh' carries negative energy, 'usd' carries a negative charge. next_window: (windows,) the
    window that receives, -1 where the bank is settled. settle_usd_per_unit: what one left-over unit
    earns there. start: bank at the beginning, in the same unit.
    """

    unit: Literal["kwh", "usd"]
    next_window: Ints
    settle_usd_per_unit: float = 0.0
    start: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Payment:
    """Money as a function of a measured quantity, per window; positive = the owner pays.

    owner, name, reason: who asks, its unique name within the owner, and why in words.
    over: 'each' interval by itself, 'sum' over the window, 'max' block of the window.
    window: (n,) number of the window of each interval, -1 = not counted. so_far: (windows,) what the
    window had already measured before the horizon (kWh or kW). blocks: the tiers, ascending.
    pool: tiers are shared pro rata by all payments of this pool name. floors, carry: see there.
    weight: probability that the payment falls due. exact: the objective equals the settlement
    (tested); False says so and `reason` says why.
    """

    owner: str
    name: str
    measure: Measure
    over: Over
    window: Ints
    blocks: tuple[Block, ...]
    reason: str = ""
    so_far: Kw | None = None
    pool: str | None = None
    floors: tuple[Floor, ...] = ()
    carry: Carry | None = None
    weight: float = 1.0
    exact: bool = True

    @property
    def windows(self) -> int:
        """Number of windows."""
        return int(self.window.max(initial=-1)) + 1


@dataclass(frozen=True, slots=True, eq=False)
class Minimum:
    """The payments named `members` (of the same owner) come to at least `usd` in each window.

    window: (n,) window of each interval; every window of a member lies inside one of these.
    usd: (windows,) the floor, net of charges that no decision moves (fixed charges).
    """

    owner: str
    name: str
    members: tuple[str, ...]
    window: Ints
    usd: Kw
    reason: str = ""
    exact: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """Headroom promised to somebody: kW that could be delivered on call.

    direction: 'up' = less net load on call, 'down' = more, 'both' = the same kW in both.
    usd_per_kw_h: (n,) revenue per kW held for an hour. min_kw, max_kw: bounds of the award when taken.
    fixed_kw: (n,) already awarded, not a decision. block_h: the award is constant over such blocks.
    when: (n,) bool, hours in which it may be held. sustain_h: energy needed to hold it this long.
    eligible: assets that may serve it. exposure_frac: share of the award that the billed peak sees.
    throughput_up_frac, throughput_down_frac: expected energy called per kW awarded and hour.
    may_share: names of claims that may hold the same kW.
    """

    owner: str
    name: str
    direction: Literal["up", "down", "both"]
    usd_per_kw_h: Kw
    eligible: tuple[str, ...]
    min_kw: float = 0.0
    max_kw: float = inf
    fixed_kw: Kw | None = None
    block_h: float | None = None
    when: NDArray[np.bool_] | None = None
    sustain_h: float = 0.0
    exposure_frac: float = 0.0
    throughput_up_frac: float = 0.0
    throughput_down_frac: float = 0.0
    may_share: tuple[str, ...] = ()
    reason: str = ""
    exact: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """A bound on a measured quantity.

    over: 'each' | 'sum' | 'max' as for payments, 'count' of starts, 'ramp' between intervals [kW].
    lower, upper: (windows,) or (n,) for 'each', or one number; +-inf = none. priority: 0 is strongest
    (resilience), higher numbers yield first; the guard acts on it, while an optimiser that cannot meet
    every hard limit says so. breach_usd_per_unit: None = hard, else the price of breaking it by one unit (for
    'each' by one unit for an hour).
    """

    owner: str
    name: str
    measure: Measure
    over: Literal["each", "sum", "max", "count", "ramp"]
    lower: float | Kw = -inf
    upper: float | Kw = inf
    window: Ints | None = None
    so_far: Kw | None = None
    priority: int = 5
    breach_usd_per_unit: float | None = None
    reason: str = ""
    exact: bool = True


Term = Payment | Minimum | Claim | Limit


class Sharing(Protocol):
    """Whoever holds headroom: 'owner/name', and the names or 'owner/name' of those that may hold the same kW."""

    @property
    def owner(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def may_share(self) -> tuple[str, ...]: ...


S = TypeVar("S", bound=Sharing)


def share_kw(a: Sharing, b: Sharing) -> bool:
    """Whether two may hold the same kW; one of them saying so is enough."""
    return bool({b.name, f"{b.owner}/{b.name}"} & set(a.may_share)) or bool(
        {a.name, f"{a.owner}/{a.name}"} & set(b.may_share)
    )


def families(claims: Sequence[S]) -> list[list[S]]:
    """Claims that may hold the same kW, which count as the largest of them. InputError unless in each family everybody
    may share with everybody."""
    out: list[list[S]] = []
    for c in claims:
        near = [f for f in out if any(share_kw(c, other) for other in f)]
        merged = [c, *(m for f in near for m in f)]
        out = [f for f in out if f not in near] + [merged]
        apart = [(a, b) for i, a in enumerate(merged) for b in merged[i + 1 :] if not share_kw(a, b)]
        if apart:
            a, b = apart[0]
            raise InputError(
                f"{a.owner}/{a.name} and {b.owner}/{b.name} may not share, but both share with a third claim; "
                "let all of them share or drop one permission"
            )
    return out


@dataclass(frozen=True, slots=True)
class Conflict:
    """Terms that cannot all be met, found before solving."""

    owners: tuple[str, ...]
    first: int
    intervals: int
    what: str


@dataclass(slots=True)
class _Band:
    lower: Kw
    upper: Kw
    lower_by: list[str] = field(default_factory=list)
    upper_by: list[str] = field(default_factory=list)


def conflicts(terms: Sequence[Term], n: int) -> list[Conflict]:
    """Hard interval limits on one measure that leave no room, with their owners and first interval."""
    groups: list[tuple[Measure, list[Limit]]] = []
    for term in terms:
        if isinstance(term, Limit) and term.over == "each" and term.breach_usd_per_unit is None:
            for measure, members in groups:
                if measure.same(term.measure):
                    members.append(term)
                    break
            else:
                groups.append((term.measure, [term]))
    found: list[Conflict] = []
    for measure, members in groups:
        lower, upper = np.full(n, -inf), np.full(n, inf)
        for limit in members:
            lower = np.maximum(lower, limit.lower)
            upper = np.minimum(upper, limit.upper)
        bad = np.flatnonzero(lower > upper + 1e-9)
        if bad.size:
            k = int(bad[0])

            def at(bound: float | Kw, k: int = k) -> float:
                return float(np.broadcast_to(bound, n)[k])

            low = max(members, key=lambda m: at(m.lower))
            high = min(members, key=lambda m: at(m.upper))
            found.append(
                Conflict(
                    owners=tuple(dict.fromkeys((low.owner, high.owner))),
                    first=k,
                    intervals=int(bad.size),
                    what=(
                        f"{low.owner} asks for {measure.flow} of at least {at(low.lower):g} ({low.name}), "
                        f"{high.owner} allows at most {at(high.upper):g} ({high.name})"
                    ),
                )
            )
    return found
