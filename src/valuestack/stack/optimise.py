"""The least-cost plan of one horizon: terms and offers in, setpoints, money by term and a lower bound out.

A fast kernel is asked first where the shape of the problem allows it; HiGHS takes every shape and judges.
The plan knows everything that the terms and the load say, so over a whole year it is a bound on what any
controller can reach, never a forecast of it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from math import fsum, inf
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..dispatch import Plan, View
from ..errors import ConflictError, DataError, InfeasibleError, InputError, SolverError
from ..flows import Given, Offer, Store
from ..solve.problem import Affine, Floats, Mask, stacked
from ..terms import Term
from ..timeline import Timeline
from .compile import Compiled, at_once, compile_problem
from .value import Flows, sunk_usd, worth

if TYPE_CHECKING:
    from ..assets.asset import Asset
    from ..solve.highs import Options, Progress, Solution, Warm
    from ..streams.stream import ValueStream
    from .elastic import Prices, Relaxation

Method = Literal["auto", "fast", "highs"]
ROUGH = 1e-4  # from this gap on, a rounded plan with the gap that it reached is an answer
ROUNDS = 12  # of tangents on circles, and of binaries against charging and discharging at once


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """A plan over a horizon and what it is worth.

    setpoints_kw: by asset, load sign, (n,). net_kw, net_kvar: (n,) at the meter. stored_kwh: by store, at
    interval ends. awards_kw: by claim 'owner/name'. objective_usd: cost of the horizon (open windows with
    what they held before, see sunk_usd). lower_bound_usd: no plan costs less. term_usd: by 'owner/name' and
    'asset/item', summing to the objective. duals: by row block of the problem, USD per unit; empty where
    integers rule or a kernel answered. stored_value_usd_per_kwh: what one more stored kWh would be worth.
    method: which solver answered; why: sentences for a person. relaxed: limits that were bent, dearest first
    (what they are priced at is in no dollar above). short_kw: fixed awards not held, by claim.
    """

    timeline: Timeline
    setpoints_kw: Mapping[str, Floats]
    net_kw: Floats
    net_kvar: Floats | None
    stored_kwh: Mapping[str, Floats]
    awards_kw: Mapping[str, Floats]
    objective_usd: float
    lower_bound_usd: float
    term_usd: Mapping[str, float]
    method: str
    sunk_usd: float = 0.0
    proved: bool = True
    duals: Mapping[str, Floats] = field(default_factory=dict)
    stored_value_usd_per_kwh: Mapping[str, Floats] = field(default_factory=dict)
    approximations: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    flows: Flows | None = None
    relaxed: tuple[Relaxation, ...] = ()
    short_kw: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def gap_usd(self) -> float:
        """How far the plan may be from the best one [USD]."""
        return self.objective_usd - self.lower_bound_usd

    def plan(self) -> Plan:
        """The same as a Plan, for policies and the loop."""
        return Plan(
            setpoints_kw=self.setpoints_kw,
            awards_kw=self.awards_kw,
            why=self.why,
            objective_usd=self.objective_usd,
            lower_bound_usd=self.lower_bound_usd,
            duals=self.duals,
        )


def optimise(
    horizon: Timeline,
    load_kw: Floats,
    offers: Sequence[Offer],
    terms: Sequence[Term],
    *,
    load_kvar: Floats | None = None,
    import_limit_kw: float | Floats = inf,
    export_limit_kw: float | Floats = 0.0,
    method: Method = "auto",
    gap: float = 1e-6,
    time_limit_s: float = inf,
    progress: Progress | None = None,
    relax: Prices | None = None,
) -> Schedule:
    """The plan of least cost.

    load_kw, load_kvar: (n,) native load [kW, kvar]. offers: what the assets can do. terms: what streams
    and contracts ask. import_limit_kw, export_limit_kw: of the interconnection; 0 = no export. method:
    'auto' asks a fast kernel first, 'fast' insists on one, 'highs' on the general solver. gap: relative, for
    integers. time_limit_s: of the whole call, all rounds of it together. relax: prices at which hard limits give way
    where no plan meets them all (then `relaxed` of the schedule names what did); None = such a problem is refused.
    Errors: InputError, ConflictError (before solving), InfeasibleError (with owners), SolverError.
    """
    if method not in ("auto", "fast", "highs"):
        raise InputError(f"method: {method!r}; choose 'auto', 'fast' or 'highs'")
    asked = _Asked(
        horizon,
        load_kw,
        offers,
        terms,
        load_kvar,
        import_limit_kw,
        export_limit_kw,
        method,
        gap,
        time_limit_s,
        progress,
    )
    try:
        return _planned(asked)
    except (ConflictError, InfeasibleError) as e:
        if relax is None:
            raise _explained(asked, e) from e
        return _bent_plan(asked, relax, e)


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """The arguments of `optimise`."""

    horizon: Timeline
    load_kw: Floats
    offers: Sequence[Offer]
    terms: Sequence[Term]
    load_kvar: Floats | None
    import_limit_kw: float | Floats
    export_limit_kw: float | Floats
    method: Method
    gap: float
    time_limit_s: float
    progress: Progress | None
    began: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float:
        """What is left of the time limit, never less than a second: the last round still makes a plan."""
        return max(1.0, self.time_limit_s - (time.monotonic() - self.began))

    def compiled(self, short_usd_per_kw_h: float | None = None) -> Compiled:
        return compile_problem(
            self.horizon,
            self.load_kw,
            self.offers,
            self.terms,
            load_kvar=self.load_kvar,
            import_limit_kw=self.import_limit_kw,
            export_limit_kw=self.export_limit_kw,
            short_usd_per_kw_h=short_usd_per_kw_h,
        )

    def options(self) -> Options:
        from ..solve.highs import Options

        return Options(gap=self.gap, time_limit_s=self.left_s, progress=self.progress)


def _planned(asked: _Asked) -> Schedule:
    """By the first method that takes the problem."""
    reason = "the general solver was asked for"
    if asked.method != "highs":
        found = _fast(
            asked.horizon,
            asked.load_kw,
            asked.offers,
            asked.terms,
            asked.load_kvar,
            asked.import_limit_kw,
            asked.export_limit_kw,
            asked.gap,
        )
        if isinstance(found, Schedule):
            return found
        reason = found
    compiled = asked.compiled()
    rounded: Schedule | None = None
    if asked.method != "highs":
        answer = _staged(compiled, asked, reason)
        if isinstance(answer, Schedule):
            if answer.proved or asked.gap >= ROUGH or asked.method == "fast":
                return answer
            rounded, answer = answer, f"rounding its switches ends at a wider gap: {'; '.join(answer.why)}"
        reason = answer
        if asked.method == "fast":
            raise InputError(f"the fast methods do not take this problem: {reason}; use method='auto'")
    try:
        found = _by_highs(compiled, asked, reason)
    except SolverError:
        if rounded is None:
            raise
        return rounded  # the plan that there was time for, with its gap
    if rounded is None or found.proved:
        return found
    better = found if found.objective_usd <= rounded.objective_usd else rounded
    return replace(better, lower_bound_usd=max(found.lower_bound_usd, rounded.lower_bound_usd))


def _explained(asked: _Asked, error: ConflictError | InfeasibleError) -> ConflictError | InfeasibleError:
    """The same error with each requirement that cannot be met by itself, its time and what to do."""
    from .clashes import clashes

    found = [
        c
        for c in clashes(
            asked.horizon,
            asked.load_kw,
            asked.offers,
            asked.terms,
            import_limit_kw=asked.import_limit_kw,
            export_limit_kw=asked.export_limit_kw,
        )
        if c.binding
    ]
    if not found or isinstance(error, ConflictError):
        return error
    owners = list(dict.fromkeys((*error.owners, *(o for c in found for o in c.owners))))
    return InfeasibleError(f"{error}\n  - " + "\n  - ".join(str(c) for c in found), owners=owners)


def _bent_plan(asked: _Asked, prices: Prices, error: Exception) -> Schedule:
    """The plan of least cost where limits give way at their prices."""
    from .elastic import bent, relaxations

    soft = bent(
        asked.horizon, asked.offers, asked.terms, asked.import_limit_kw, asked.export_limit_kw, prices
    )
    loose = replace(
        asked,
        offers=soft.offers,
        terms=soft.terms,
        import_limit_kw=soft.import_limit_kw,
        method="highs",
    )
    compiled = loose.compiled(soft.award_usd_per_kw_h)
    try:
        made = _by_highs(compiled, loose, "no plan meets every limit", soft.award_usd_per_kw_h)
    except InfeasibleError as still:
        raise _explained(asked, still) from error
    assert made.flows is not None
    relaxed = relaxations(made.flows, soft.limits, made.short_kw, soft.award_usd_per_kw_h)
    fines = {f"{t.owner}/{t.name}" for t in soft.limits} | {f"{name} not held" for name in made.short_kw}
    usd = {name: value for name, value in made.term_usd.items() if name not in fines}
    less = made.objective_usd - fsum(usd.values())
    return replace(
        made,
        term_usd=usd,
        objective_usd=made.objective_usd - less,
        lower_bound_usd=made.lower_bound_usd - less,
        relaxed=relaxed,
        why=(*made.why, *(f"relaxed: {r}" for r in relaxed)),
    )


def _staged(compiled: Compiled, asked: _Asked, reason: str) -> Schedule | str:
    """The answer of the interior point to a large problem, or the reasons of all fast methods."""
    from ..solve.highs import Solution
    from .relaxed import by_relaxing
    from .relaxed import suits as may_round
    from .staged import LARGE, by_directions, by_interior_point, cost_usd, relaxation, suits

    if compiled.problem.width < LARGE and asked.method != "fast":
        return f"{reason}; and it is small"
    why = suits(compiled)
    if why is None:
        arrays = compiled.problem.arrays()
        root = relaxation(compiled, asked.gap, arrays)
        found = by_interior_point(compiled, asked.gap, root, arrays)
        if not isinstance(found, str):
            x, duals, lower, how = found
            said = f"{how}; the dynamic programme does not take it: {reason}"
            return _schedule(compiled, Solution(x, lower, lower, duals, None), said)
        set_by = found if isinstance(root, str) else by_directions(compiled, asked.gap, root, arrays)
        if not isinstance(set_by, str):
            x, duals, lower, how = set_by
            reached = cost_usd(arrays, x) - lower <= asked.gap * max(abs(lower), 1.0)
            return _schedule(compiled, Solution(x, lower, lower, duals, None, reached), how)
        why = found
    elif may_round(compiled) is None:
        share = 1.0 if asked.gap >= ROUGH else 0.5  # below that gap the general solver has its turn, too
        rounded = by_relaxing(compiled, asked.gap, share * asked.left_s, asked.progress)
        if not isinstance(rounded, str):
            x, duals, lower, how, reached = rounded
            return _schedule(compiled, Solution(x, lower, lower, None, None, reached), how)
        why = f"{why}; {rounded}"
    return f"{reason}; {why}"


def _fast(
    horizon: Timeline,
    load_kw: Floats,
    offers: Sequence[Offer],
    terms: Sequence[Term],
    load_kvar: Floats | None,
    import_limit_kw: float | Floats,
    export_limit_kw: float | Floats,
    gap: float,
) -> Schedule | str:
    """The answer of a fast kernel, or the reason why none takes the problem."""
    try:
        fast = import_module(".recognise", __package__).fast
    except ModuleNotFoundError as e:
        if e.name != f"{__package__}.recognise":
            raise
        return "no fast kernel is installed"
    answer: Schedule | str = fast(
        horizon,
        load_kw,
        offers,
        terms,
        load_kvar=load_kvar,
        import_limit_kw=import_limit_kw,
        export_limit_kw=export_limit_kw,
        gap=gap,
    )
    return answer


def optimise_view(
    view: View,
    assets: Sequence[Asset],
    streams: Sequence[ValueStream],
    *,
    import_limit_kw: float | Floats = inf,
    export_limit_kw: float | Floats = 0.0,
    method: Method = "auto",
    extra_terms: Sequence[Term] = (),
    **options: Any,
) -> Schedule:
    """`optimise` on what a view believes: load from its series, offers from assets, terms from streams."""
    load = _lane(view.series("load_kw"), "load_kw")
    try:
        kvar: Floats | None = _lane(view.series("load_kvar"), "load_kvar")
    except DataError:
        kvar = None
    offers = [a.belief(view) for a in assets]
    terms = [t for s in streams for t in s.terms(view)] + list(extra_terms)
    return optimise(
        view.horizon,
        load,
        offers,
        terms,
        load_kvar=kvar,
        import_limit_kw=import_limit_kw,
        export_limit_kw=export_limit_kw,
        method=method,
        **options,
    )


def _lane(values: Floats, name: str) -> Floats:
    if values.ndim == 2 and values.shape[0] == 1:
        return np.asarray(values[0], dtype=np.float64)
    if values.ndim != 1:
        raise InputError(
            f"{name}: {values.shape[0]} scenarios; one plan takes one series, optimise each by itself"
        )
    return values


def schedule_of(
    horizon: Timeline,
    load_kw: Floats,
    offers: Sequence[Offer],
    terms: Sequence[Term],
    power_kw: Mapping[str, Floats],
    *,
    lower_bound_usd: float,
    method: str,
    why: Sequence[str] = (),
) -> Schedule:
    """A Schedule from the net power of each store, found by whatever method, priced by every term's own rule.

    power_kw: by store name, load sign without its auxiliary draw, (n,); other offers must be Given and are
    taken as they come. For kernels: nothing is solved here.
    """
    net = np.asarray(load_kw, dtype=np.float64).copy()
    assets: dict[str, dict[str, Floats]] = {}
    operation: dict[str, float] = {}
    for o in offers:
        if isinstance(o, Given):
            net += o.net_kw
            assets[o.name] = {"net": o.net_kw, "generation": np.maximum(-o.net_kw, 0.0)}
            continue
        if not isinstance(o, Store) or o.wear_segments or o.loss_pieces:
            raise InputError(
                f"{o.name}: a schedule from power alone takes stores with flat wear and no loss pieces"
            )
        power = power_kw[o.name]
        stored = stored_kwh(o, power, horizon.step_h)
        whole = power if o.aux_kw is None else power + o.aux_kw
        net += whole
        out = np.maximum(-power, 0.0)
        assets[o.name] = {"net": whole, "charge": np.maximum(power, 0.0), "discharge": out, "stored": stored}
        operation[f"{o.name}/wear"] = float(out.sum() * horizon.step_h * o.wear_usd_per_kwh)
        if o.end_value_usd_per_kwh:
            operation[f"{o.name}/energy left"] = -o.end_value_usd_per_kwh * float(stored[-1])
    flows = Flows(horizon, net, None, assets)
    usd = worth(flows, terms).usd | operation
    return Schedule(
        timeline=horizon,
        setpoints_kw={n: power_kw.get(n, f["net"]) for n, f in assets.items()},
        net_kw=net,
        net_kvar=None,
        stored_kwh={n: f["stored"] for n, f in assets.items() if "stored" in f},
        awards_kw={},
        objective_usd=fsum(usd.values()),
        lower_bound_usd=lower_bound_usd,
        term_usd=usd,
        method=method,
        sunk_usd=sunk_usd(horizon, terms, assets),
        why=tuple(why),
        flows=flows,
    )


# --- HiGHS -----------------------------------------------------------------------------------------------


def _by_highs(
    compiled: Compiled, asked: _Asked, reason: str, short_usd_per_kw_h: float | None = None
) -> Schedule:
    exclusive: dict[str, Mask] = {}
    n = asked.horizon.n
    for k in range(ROUNDS):
        if k:
            compiled = compile_problem(
                asked.horizon,
                asked.load_kw,
                asked.offers,
                asked.terms,
                load_kvar=asked.load_kvar,
                import_limit_kw=asked.import_limit_kw,
                export_limit_kw=asked.export_limit_kw,
                exclusive=exclusive,
                short_usd_per_kw_h=short_usd_per_kw_h,
            )
        solution = solve_compiled(compiled, asked.options())
        both = at_once(compiled, solution.x)
        if not both:
            return _schedule(compiled, solution, f"HiGHS: {reason}", method="highs")
        netted = _netted(compiled, solution.x, both)
        if netted is not None:
            return _schedule(compiled, replace(solution, x=netted), f"HiGHS: {reason}", method="highs")
        # Where nothing asks which it is, the two at once move on to other intervals: then all are told apart.
        everywhere = k >= ROUNDS - 3
        exclusive = {
            name: exclusive.get(name, np.zeros(n, dtype=bool)) | mask | everywhere
            for name, mask in both.items()
        } | {name: mask for name, mask in exclusive.items() if name not in both}
    raise SolverError(
        f"a store still charges and discharges at once after {ROUNDS} rounds; shorten the horizon"
    )


def solve_compiled(compiled: Compiled, options: Options | None = None) -> Solution:
    """Solve a compiled problem with HiGHS, with as many tangents as its circles need."""
    from ..solve.highs import Options, Warm

    warm: Warm = Warm(compiled.problem, options or Options())
    solution = warm.run()
    for _ in range(ROUNDS):
        cuts = compiled.cuts(solution.x)
        if not cuts:
            break
        tangents: Affine = stacked(cuts)
        warm.add_rows(tangents, np.full(tangents.n, -inf), np.zeros(tangents.n))
        solution = warm.run()
    return solution


def _netted(compiled: Compiled, x: Floats, both: Mapping[str, Mask]) -> Floats | None:
    """The same net power without charging and discharging at once, if the store can hold what is then not
    burnt; None where it cannot. Wear falls and stored energy rises, so an optimum stays one."""
    x = x.copy()
    for name in both:
        part = compiled.parts[name]
        o = part.offer
        assert isinstance(o, Store) and part.charge is not None and part.discharge is not None
        assert part.stored is not None
        if o.wear_segments or o.loss_pieces or any(asset == name for _, asset in compiled.held.shares):
            return None
        power = part.setpoint.value(x)
        x[part.charge.col], x[part.discharge.col] = np.maximum(power, 0.0), np.maximum(-power, 0.0)
        stored = stored_kwh(o, power, compiled.horizon.step_h)
        if (stored > np.asarray(o.energy_max_kwh[1:]) + 1e-6).any():
            return None
        x[part.stored.col] = stored
    return x


def stored_kwh(o: Store, power: Floats, step_h: float) -> Floats:
    """Energy at the end of each interval under a net power (load sign), (n,); limits are not looked at."""
    gain = (
        np.maximum(power, 0.0) * o.charge_efficiency_frac
        - np.maximum(-power, 0.0) / o.discharge_efficiency_frac
    )
    drain = 0.0 if o.drain_kw is None else o.drain_kw
    if not o.loss_frac_per_h:
        return np.asarray(o.energy_start_kwh + np.cumsum((gain - drain) * step_h))
    keep, now, out = (1.0 - o.loss_frac_per_h) ** step_h, o.energy_start_kwh, np.empty(power.size)
    for k, step in enumerate(((gain - drain) * step_h).tolist()):
        now = now * keep + step
        out[k] = now
    return out


def _schedule(
    compiled: Compiled, solution: Solution, reason: str, *, method: str = "interior point"
) -> Schedule:
    x = solution.x
    flows, worth = compiled.flows(x), compiled.worth(x)
    duals = (
        {}
        if solution.row_dual is None
        else {b.name: solution.row_dual[b.first : b.first + b.n] for b in compiled.problem.rows}
    )
    value = {name: -duals[f"{name}.balance"] for name in compiled.parts if f"{name}.balance" in duals}
    approximations = tuple(f"{a.what} (at most {a.slack_usd:.2f} USD)" for a in compiled.approximations)
    reactive = compiled.meter.kvar
    return Schedule(
        timeline=compiled.horizon,
        setpoints_kw=compiled.setpoints_kw(x),
        net_kw=flows.net_kw,
        net_kvar=None if reactive.fixed and not reactive.const.any() else flows.net_kvar,
        stored_kwh={k: v["stored"] for k, v in flows.assets.items() if "stored" in v},
        awards_kw=flows.awards_kw,
        objective_usd=worth.total_usd,
        lower_bound_usd=solution.lower_bound - compiled.slack_usd,
        term_usd=worth.usd,
        method=method,
        sunk_usd=compiled.sunk_usd,
        proved=solution.proved,
        duals=duals,
        stored_value_usd_per_kwh=value,
        approximations=approximations,
        why=(f"solved by {reason}",),
        flows=flows,
        short_kw={k: v.value(x) for k, v in compiled.held.short.items()},
    )
