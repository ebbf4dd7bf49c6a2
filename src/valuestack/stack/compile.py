"""Terms and offers -> one problem, and a solution back into setpoints, awards and money by term.

minimise  payments + cost of operation - revenue of claims
net_kw = load_kw + sum of what the assets add
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from ..errors import ConflictError, InputError
from ..flows import Offer, Store
from ..solve.problem import Affine, Floats, Mask, Problem, filled
from ..terms import Claim, Limit, Minimum, Payment, Term, conflicts
from ..timeline import Timeline
from .claims import Held, add_claims, keep_room, keep_site_room
from .exclusive import add_choices, cap_discharge, sharpen
from .limits import add_limit, needs_split
from .meter import Meter
from .offers import Draft, Part, bind, draft, give_kvar, store_rows, zero
from .payments import Approximation, Books, add_payments, aligned, marginal
from .polygon import Disc
from .value import Flows, Worth, sunk_usd, worth

SITE = "interconnection"


@dataclass(slots=True, eq=False)
class Compiled:
    """A problem and the way back from its solution.

    approximations: where the problem stands for a rule that it cannot hold exactly; their slack is taken
    off the lower bound. sunk_usd: what open windows cost already (tiers and peaks so far), inside the
    objective. discs: circles that `cuts` makes exact.
    """

    problem: Problem
    horizon: Timeline
    load_kw: Floats
    terms: tuple[Term, ...]
    parts: dict[str, Part]
    meter: Meter
    held: Held
    books: Books
    discs: list[Disc]
    excluded: dict[str, Mask] = field(default_factory=dict)
    short_usd_per_kw_h: float | None = None

    @property
    def approximations(self) -> list[Approximation]:
        return self.books.approximations

    @property
    def slack_usd(self) -> float:
        """Most by which the objective may stand above the true least cost."""
        return float(sum(a.slack_usd for a in self.approximations))

    def flows(self, x: Floats) -> Flows:
        """Numbers of a solution by name."""
        names = ("net", "charge", "discharge", "stored", "generation", "fuel_gal", "run", "start", "kvar")
        assets = {
            name: {f: expr.value(x) for f in names if (expr := getattr(part, f)) is not None}
            for name, part in self.parts.items()
        }
        for name, calls in self.held.called.items():  # what a record of the plan needs to count wear
            assets[name] |= {"called up": calls.up.value(x), "called down": calls.down.value(x)}
            assets[name]["setpoint"] = self.parts[name].setpoint.value(x)
        return Flows(
            self.horizon,
            self.meter.net.value(x),
            self.meter.kvar.value(x),
            assets,
            {k: a.value(x) for k, a in self.held.awards.items()},
            self.meter.exposure.value(x),
        )

    def worth(self, x: Floats) -> Worth:
        """Money of each term by its own rule, and the cost of operation as 'asset/item'."""
        out = worth(self.flows(x), self.terms)
        for name, part in self.parts.items():
            for item, expr in part.costs:
                out.usd[f"{name}/{item}"] = float(expr.value(x).sum())
        if self.short_usd_per_kw_h is not None:
            for name, short in self.held.short.items():
                kwh = float(short.value(x).sum()) * self.horizon.step_h
                out.usd[f"{name} not held"] = kwh * self.short_usd_per_kw_h
        return out

    @property
    def sunk_usd(self) -> float:
        """What the open windows would come to if nothing more were measured in them."""
        return sunk_usd(self.horizon, self.terms, self.parts)

    def cuts(self, x: Floats, tolerance: float = 1e-6) -> list[Affine]:
        """Tangents where a circle is left by more than `tolerance` of its size."""
        size = 1.0 + float(np.max(np.abs(self.meter.net.value(x)), initial=0.0))
        return [c for d in self.discs if (c := d.cuts(x, tolerance * size)) is not None]

    def setpoints_kw(self, x: Floats) -> dict[str, Floats]:
        """By asset, load sign, shape (n,)."""
        return {name: part.setpoint.value(x) for name, part in self.parts.items()}


def compile_problem(
    horizon: Timeline,
    load_kw: Floats,
    offers: Sequence[Offer],
    terms: Sequence[Term],
    *,
    load_kvar: Floats | None = None,
    import_limit_kw: float | Floats = inf,
    export_limit_kw: float | Floats = 0.0,
    exclusive: Mapping[str, Mask] | None = None,
    short_usd_per_kw_h: float | None = None,
    whole: bool = False,
) -> Compiled:
    """The problem of one horizon.

    load_kw, load_kvar: (n,) native load. offers, terms: of all assets and streams. import_limit_kw,
    export_limit_kw: what the interconnection allows, one number or (n,); 0 = no export. exclusive: by store
    name, (n,) True where charging and discharging at once must be excluded by a binary beside the intervals
    in which prices could make it pay. short_usd_per_kw_h: price of awards made and not held, None = they must
    be. whole: nothing is left out because it cannot bind at these sizes, and charging and discharging at once is not
    excluded: what `sizing` needs, whose sizes are decisions. Errors: InputError for shapes and names, ConflictError
    for hard limits that leave no room.
    """
    n = horizon.n
    load = _load(load_kw, n, "load_kw")
    names = [o.name for o in offers]
    if len(set(names)) < len(names):
        raise InputError(
            f"two assets have the same name: {', '.join(sorted(x for x in set(names) if names.count(x) > 1))}"
        )
    _raise_conflicts(terms, horizon)
    payments = aligned([t for t in terms if isinstance(t, Payment)])
    claims = [t for t in terms if isinstance(t, Claim)]
    limits = [t for t in terms if isinstance(t, Limit)]
    export_cap = _export_cap(limits, filled(export_limit_kw, n))
    problem = Problem()
    problem.whole = whole
    drafts = {o.name: draft(problem, o, n, horizon.step_h) for o in offers}
    held = add_claims(problem, claims, drafts, horizon, short_usd_per_kw_h)
    for name, d in drafts.items():
        called = held.called.get(name)
        if isinstance(d.part.offer, Store):
            store_rows(problem, d, horizon.step_h, called)
        if called is not None:
            d.part.net = d.part.net - called.up + called.down
    if not whole:
        cap_discharge(problem, drafts, load, export_cap)
    keep_room(problem, claims, held, drafts, limits)
    discs: list[Disc] = []
    if any(m.flow in ("kvar", "kva") for m in [*(p.measure for p in payments), *(t.measure for t in limits)]):
        for d in drafts.values():
            give_kvar(problem, d, n, discs)
    for disc in discs:
        disc.add(problem)
    meter = _meter(problem, horizon, load, load_kvar, drafts, held, export_cap)
    meter.discs = discs
    bind(problem, f"{SITE} export", meter.net, owner=SITE, lower=-filled(export_limit_kw, n))
    bind(problem, f"{SITE} import", meter.net, owner=SITE, upper=filled(import_limit_kw, n))
    keep_site_room(problem, claims, held, meter.net, export_cap, filled(import_limit_kw, n))
    minima = [t for t in terms if isinstance(t, Minimum)]
    floors = _split(meter, payments, minima, limits, horizon)
    excluded = {} if whole else add_choices(problem, drafts, floors, exclusive or {})
    books = add_payments(problem, meter, payments, minima)
    for limit in limits:
        add_limit(problem, meter, limit)
    sharpen(problem, drafts)
    for d in drafts.values():
        for _, cost in d.part.costs:
            problem.add_cost(cost)
    return Compiled(
        problem,
        horizon,
        load,
        tuple(terms),
        {k: d.part for k, d in drafts.items()},
        meter,
        held,
        books,
        discs,
        excluded,
        short_usd_per_kw_h,
    )


def _load(values: Floats, n: int, what: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (n,):
        raise InputError(f"{what} has shape {array.shape}; the horizon needs ({n},)")
    if not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array))
        raise InputError(
            f"{what} holds {bad.size} values that are not numbers, the first in interval {int(bad[0])}; "
            "repair the data first"
        )
    return array


def _raise_conflicts(terms: Sequence[Term], horizon: Timeline) -> None:
    found = conflicts(terms, horizon.n)
    if not found:
        return
    times = [horizon.when(c.first).isoformat() for c in found]
    lines = [f"{c.what}; first at {when}, {c.intervals} intervals in all" for c, when in zip(found, times)]
    raise ConflictError(
        "limits that cannot be met together:\n  - "
        + "\n  - ".join(lines)
        + "\nrelax one of them or give it a price for breach",
        owners=list(dict.fromkeys(o for c in found for o in c.owners)),
        times=times,
    )


def _export_cap(limits: Sequence[Limit], cap: Floats) -> Floats:
    """Greatest export that the interconnection and every hard limit per interval admit."""
    cap = cap.copy()
    for t in limits:
        m = t.measure
        if (
            t.over == "each"
            and t.breach_usd_per_unit is None
            and m.asset is None
            and m.reference_kw is None
            and m.own is None
            and m.flow in ("export", "net")
        ):
            on = np.ones(cap.size, dtype=bool) if t.window is None else t.window >= 0
            most = filled(t.upper, cap.size) if m.flow == "export" else -filled(t.lower, cap.size)
            cap[on] = np.minimum(cap[on], np.maximum(most[on], 0.0))
    return cap


def _meter(
    problem: Problem,
    horizon: Timeline,
    load: Floats,
    load_kvar: Floats | None,
    drafts: Mapping[str, Draft],
    held: Held,
    export_cap: Floats,
) -> Meter:
    net, kvar = Affine(load), zero(horizon.n)
    if load_kvar is not None:
        kvar = Affine(_load(load_kvar, horizon.n, "load_kvar"))
    for d in drafts.values():
        net = net + d.part.net
        if d.part.kvar is not None:
            kvar = kvar + d.part.kvar
    assert held.exposure is not None
    return Meter(
        problem, horizon, {k: d.part for k, d in drafts.items()}, net, kvar, export_cap, held.exposure
    )


def _tells_apart(p: Payment) -> bool:
    m = p.measure
    if m.asset is not None or m.flow not in ("import", "export"):
        return False
    return p.over != "max" or m.reference_kw is not None or m.own is not None


def _split(
    meter: Meter,
    payments: Sequence[Payment],
    minima: Sequence[Minimum],
    limits: Sequence[Limit],
    horizon: Timeline,
) -> Floats:
    """Tell import from export where some term does; returns the least price of a kWh of net load, (n,)."""
    net, imports, exports, most = marginal(payments, minima, horizon.n, horizon.step_h)
    both = imports + exports
    may = meter.can_export()
    apart = [p for p in payments if _tells_apart(p)]
    limited = [t for t in limits if needs_split(t)]
    if (apart or limited) and may.any():
        flat = all(
            len(p.blocks) == 1
            and not p.floors
            and p.carry is None
            and p.measure.reference_kw is None
            and p.measure.own is None
            and p.over != "max"
            for p in apart
        )
        if limited or not flat or (np.abs(both[may]) > 1e-12).any():
            forced = np.zeros(horizon.n, dtype=bool)
            for t in limited:
                if t.breach_usd_per_unit is not None or np.isfinite(np.asarray(t.lower)).any():
                    forced |= True if t.window is None else t.window >= 0
            meter.split((both < -1e-12) | forced)
    return net + np.where(may, np.minimum(imports, -most), imports)


def at_once(compiled: Compiled, x: Floats, tolerance_kw: float = 1e-6) -> dict[str, Mask]:
    """Intervals in which a store charges and discharges at once in solution x, by store."""
    found = {}
    for name, part in compiled.parts.items():
        if (
            isinstance(part.offer, Store)
            and part.offer.exclusive
            and part.charge is not None
            and part.discharge is not None
        ):
            both = np.minimum(part.charge.value(x), part.discharge.value(x)) > tolerance_kw
            if both.any():
                found[name] = both
    return found
