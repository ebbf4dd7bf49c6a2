"""How many kW to enrol in each programme, beside given assets.

    kW = argmax NPV(kW),   0 or least <= kW <= what the assets hold, each settled from its own plan

Each enrolment is planned with the future known and settled by every stream, its payment by the month and its calls.
Payments by performance may jump and a least quantity leaves a gap, so a grid is looked at before the steps get finer;
no enrolment, the one written and, where the terms are lines in it, that of one problem with the plan are on it.
Nothing is proved of what lies between. What a battery of another size would hold is another question:
`sized_and_enrolled` searches its kW, its kWh and the share enrolled of what it then holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import fsum, inf
from typing import Any

from ....errors import InfeasibleError, InputError, SolverError, ValuestackError
from ....report.sized import Outcome
from ....stack.sizing import Axis, search
from ..meters import Step
from .case import Case
from .engine import axis_of
from .optimum import ENROLLED, Found, axes_of, best_of, is_there, resized
from .programme import Programme, enrollable, enrolled, programmes, sold_twice
from .settled import settled

GRIDS = {1: 6, 2: 4}  # enrolments an axis, by the number of programmes; 3 beyond
MOST = 40  # plans
STARTS = 12  # sizes of other options
TOLERANCE = 0.01  # of the range
MOST_S = 240.0  # of the whole search; what was found until then stands


def worth_usd(o: Outcome) -> float:
    """NPV, or a year's net where the price of an asset is not known."""
    return o.net_usd_per_y if o.npv_usd is None else o.npv_usd


def enrolments(
    case: Case,
    sizable: Sequence[Any],
    options: Sequence[Outcome],
    notes: list[str],
    step: Step,
) -> list[Outcome]:
    """Enrolled kW beside the assets as written, beside the option of most NPV, and with the sizes of stores and solar
    searched along; [] where no programme is on offer."""
    if not any(enrollable(s) for s in case.m.meter.streams):
        return []
    out: list[Outcome] = []
    best = max(options, key=lambda o: -inf if o.npv_usd is None else o.npv_usd)
    sets = [("all as written", list(case.m.new), True)]
    if best.assets and not (best.name.endswith("as written") and len(best.assets) == len(case.m.new)):
        sets.append((best.name, list(best.assets), False))
    for name, assets, written in sets:
        step(f"kW to enrol beside {name}", None)
        try:
            made = enrolment(case, assets, f"{name}, enrolled anew", as_written=written)
            out += [] if made is None else [made]
        except ValuestackError as e:
            notes.append(f"no kW could be enrolled beside {name}: {str(e).splitlines()[0]}")
    beside = [a for a in best.assets if a.name not in {s.name for s in sizable}]
    step("sizes and kW to enrol together", None)
    try:
        out += sized_and_enrolled(case, sizable, beside, [*options, *out])
    except ValuestackError as e:
        notes.append(f"sizes and enrolled kW have no plan together: {str(e).splitlines()[0]}")
    return out


def overpromised(case: Case, o: Outcome) -> str:
    """What an option promises beyond what its assets hold, where its enrolments are those written; '' if nothing."""
    if o.enrolment or o.run is None:
        return ""
    return "; ".join(
        f"{p.name} promises {p.written_kw:,.0f} kW as written, and {o.name} holds {p.held_kw:,.0f} kW at every hour of "
        "its window"
        for p in programmes(case, o.assets)
        if p.written_kw > p.held_kw + 1.0
    )


def most_worth(case: Case, options: Sequence[Outcome], notes: list[str]) -> Outcome:
    """The option of most NPV that holds what it promises, or that is as written; what is passed over is said."""
    priced = sorted((o for o in options if o.npv_usd is not None), key=lambda o: -(o.npv_usd or 0.0))
    for o in priced:
        said = overpromised(case, o)
        if not said or (len(o.assets) == len(case.m.new) and o.name.endswith("as written")):
            return o
        notes.append(f"{o.name} is passed over with an NPV of {o.npv_usd or 0.0:,.0f} USD: {said}")
    return priced[0]


def sized_and_enrolled(
    case: Case, sizable: Sequence[Any], beside: Sequence[Any], options: Sequence[Outcome] = ()
) -> list[Outcome]:
    """Sizes of stores, solar and priced engines, and the share enrolled of what they then hold, by a search over
    settled plans; its starts are the sizes of other options and those of one problem with the plan. [] where nothing
    may be joined."""
    engines = [a for a in beside if a.kind == "generator" and a.name in case.prices]
    beside = [a for a in beside if a not in engines]
    sized = [*sizable, *engines]
    axes = [*axes_of(case, sizable), *(axis_of(case, a) for a in engines)]
    high = {x.name: x.upper for x in axes}
    most = [resized(a, high) for a in sized]
    open_ = [p for p in programmes(case, [*most, *beside]) if not p.refused]
    if not open_:
        return []
    name = " + ".join(a.name for a in (*sized, *beside)) + " + enrolled kW"
    shares = [Axis(f"{p.name}.{ENROLLED}", 1.0, 0.0) for p in open_]

    def at(size: Mapping[str, float]) -> tuple[list[Any], dict[str, float]]:
        assets = [*(resized(a, size) for a in sized if is_there(a, size)), *beside]
        there = [p for p in programmes(case, assets) if not p.refused]
        return assets, {p.name: p.snapped(size[f"{p.name}.{ENROLLED}"] * p.most_kw) for p in there}

    def cost(size: Mapping[str, float]) -> float:
        assets, kw = at(size)
        on_offer = programmes(case, assets)
        if sold_twice([p for p in on_offer if p.name in kw], kw, case.m.timeline):
            return inf
        made = _settled(case, assets, name, on_offer, kw)
        return inf if made is None else -worth_usd(made)

    start = []
    for o in options:
        size = {
            f"{a.name}.{k}": o.sizes.get(a.name, {}).get(k, 0.0)
            for a in sized
            for k in ("kw", "kwh")
            if f"{a.name}.{k}" in high
        }
        if all(v <= high[k] for k, v in size.items()):
            start.append({**size, **{x.name: 1.0 for x in shares}})
    found = None if engines else joint(case, sizable, beside, open_)
    if found is not None:
        top = {p.name: p.most_kw for p in programmes(case, [*found.at(), *beside])}
        kw = {f"{p.name}.{ENROLLED}": found.sized.size[f"{p.name}.{ENROLLED}"] for p in open_}
        share = {
            f"{p.name}.{ENROLLED}": min(1.0, kw[f"{p.name}.{ENROLLED}"] / top[p.name]) if top[p.name] else 0.0
            for p in open_
        }
        start.insert(0, {**found.sized.size, **share})
    if engines:  # the engines of one option beside the stores of another
        start += [
            {**one, **{f"{a.name}.kw": two[f"{a.name}.kw"] for a in engines}}
            for one in start
            for two in start
        ]
    start = list({tuple(sorted(s.items())): s for s in start}.values())[:STARTS]
    best = search(
        [*axes, *shares],
        cost,
        start=start,
        most=MOST,
        grid=1,  # the options are the grid
        tolerance=2 * TOLERANCE,
        most_s=MOST_S,
        reason="what may be enrolled follows the sizes, and is settled at each",
    )
    assets, kw = at(best.size)
    made = enrolment(case, assets, name, [kw], as_written=False)
    if made is None:
        return []
    edge = [
        f"{x.name}: the best size lies at the end of its range, {x.upper:,.0f}; give max_kw or max_kwh in a price"
        for x in axes
        if best.size[x.name] > 0.999 * x.upper
    ]
    return [replace(made, how=f"{best.why}; then {made.how}", notes=(*made.notes, *edge))]


def joint(
    case: Case, sizable: Sequence[Any], beside: Sequence[Any], on_offer: Sequence[Programme]
) -> Found | None:
    """Sizes and enrolled kW as decisions of one problem with the plan; None where its terms are no lines in them,
    engines are there, a contract shares what is earned, or two programmes exclude one another."""
    if any(a.kind == "generator" for a in (*sizable, *beside)) or case.site.written.contracts:
        return None
    full = {p.name: p.most_kw for p in on_offer}
    if sold_twice(on_offer, full, case.m.timeline):
        return None
    try:
        return best_of(case, sizable, beside=beside, on_offer=on_offer)
    except (InputError, InfeasibleError, SolverError):
        return None


def enrolment(
    case: Case,
    assets: Sequence[Any],
    name: str,
    start: Sequence[Mapping[str, float]] = (),
    *,
    as_written: bool = True,
) -> Outcome | None:
    """The enrolments of most NPV beside these assets; None where no programme is on offer. start: enrolments by
    stream name to look at beside the grid. as_written: those written are looked at whether they can be held or not, so
    that what is found is never worth less. Errors: InfeasibleError where none has a plan."""
    at = programmes(case, assets)
    if not at:
        return None
    t = case.m.timeline
    open_ = [p for p in at if not p.refused]
    axes = [Axis(p.name, max(p.most_kw, p.written_kw if as_written else 0.0), 0.0) for p in open_]
    seen: dict[tuple[float, ...], Outcome | None] = {}

    def made_at(kw: Mapping[str, float]) -> Outcome | None:
        """Settled at enrolments, None where they cannot be had."""
        key = tuple(kw[p.name] for p in open_)
        if key not in seen:
            seen[key] = _settled(case, assets, name, at, kw)
        return seen[key]

    def cost(size: Mapping[str, float]) -> float:
        kw = {p.name: p.snapped(size[p.name]) for p in open_}
        if any(
            kw[p.name] > p.most_kw + 1e-9 and not (as_written and kw[p.name] == p.written_kw) for p in open_
        ):
            return inf
        if sold_twice(open_, kw, t):
            return inf
        made = made_at(kw)
        return inf if made is None else -worth_usd(made)

    own = {p.name: p.written_kw for p in open_}
    starts = [{**{p.name: 0.0 for p in open_}, **s} for s in start]
    linear = joint(case, [], assets, open_) if axes else None
    if linear is not None:
        starts.append({p.name: linear.sized.size[f"{p.name}.{ENROLLED}"] for p in open_})
    if axes:
        why = "payments by performance, least quantities and calls are settled at each enrolment"
        best = search(
            axes,
            cost,
            start=[own, *starts] if as_written else starts,
            most=MOST,
            grid=GRIDS.get(len(axes), 3),
            tolerance=TOLERANCE,
            most_s=MOST_S,
            reason=why,
        )
        kw = {p.name: p.snapped(best.size[p.name]) for p in open_}
        how = best.why
    else:
        kw, how = {}, "no programme on offer may be joined"
    found = made_at(kw)
    if found is None:
        raise InfeasibleError("no enrolment beside these assets has a plan", owners=["sizing"])
    rows = []
    for p in at:
        if p.refused:
            rows.append(_row(case, p, found, 0.0, None, f"not joined: {p.refused}"))
            continue
        more = {**kw, p.name: kw[p.name] + p.step_kw if kw[p.name] else p.lowest_kw}
        after = made_at(more)
        step = more[p.name] - kw[p.name]
        next_usd = None
        if after is not None:
            next_usd = (worth_usd(after) - worth_usd(found)) / step
        rows.append(_row(case, p, found, kw[p.name], next_usd, _limit(open_, p, kw, more, next_usd, t)))
    notes = [f"{r['programme']}: {r['limited_by']}" for r in rows if r["limited_by"].startswith("not joined")]
    return replace(found, how=how, enrolment=tuple(rows), notes=(*found.notes, *notes))


def _settled(
    case: Case, assets: Sequence[Any], name: str, at: Sequence[Programme], kw: Mapping[str, float]
) -> Outcome | None:
    there = {**{p.name: 0.0 for p in at}, **kw}
    other = enrolled(case, there)
    try:
        on = {s.name for s in other.on(assets).streams}
        if any(v > 0 and k not in on for k, v in there.items()):
            return None  # the programme does not take it so
        return settled(other, assets, name)
    except (InfeasibleError, SolverError, InputError):
        return None  # what cannot be held, or has no plan in time, cannot be had


def _limit(
    at: Sequence[Programme],
    p: Programme,
    kw: Mapping[str, float],
    more: Mapping[str, float],
    next_usd: float | None,
    t: Any,
) -> str:
    """What keeps an enrolment from being larger, in words."""
    here = kw[p.name]
    if here > p.most_kw + 1e-9:
        return (
            f"as written, which is more than the {p.held_kw:,.0f} kW that these assets hold at every hour of its "
            "window: a call in another hour than those of the data may find it short"
        )
    if more[p.name] > p.most_kw + 1e-9:
        if p.stream.max_kw is not None and p.stream.max_kw <= p.held_kw:
            return f"max_kw of the stream, {p.stream.max_kw:,.0f} kW"
        level = getattr(p.stream, "counted_from_kw", None)
        if level is not None and p.held_kw >= level - 1e-6:
            return f"all of the {level:,.0f} kW that it counts from: nothing is left to take away"
        return f"what these assets hold at every hour of its window, {p.held_kw:,.0f} kW"
    shared = sold_twice(at, dict(more), t)
    if shared:
        return shared
    if next_usd is None:
        return "no plan holds more"
    if next_usd > 0:
        return "nothing: the search ended within its tolerance"
    least = f" (no less than {p.least_kw:,.0f} kW may be enrolled)" if not here and p.least_kw else ""
    return "what one more kW earns is less than what it costs" + least


def _row(
    case: Case, p: Programme, found: Outcome, kw: float, next_usd: float | None, limit: str
) -> dict[str, Any]:
    money: dict[str, list[float]] = {"capacity": [], "calls": [], "penalties": [], "cost": []}
    if kw and found.run is not None:
        other = enrolled(case, {p.name: kw})
        for s in other.on(found.assets).streams:
            if s.name != p.name:
                continue
            for e in s.settle(found.run.record, case.m.world):
                money[_kind(e.item, e.usd)].append(e.usd)
    usd = {k: fsum(v) / case.span_y for k, v in money.items()}
    return {
        "beside": found.name,
        "programme": p.name,
        "product": p.title,
        "enrolled_kw": kw,
        "written_kw": p.written_kw,
        "least_kw": p.least_kw,
        "step_kw": p.step_kw,
        "held_kw": p.held_kw,
        "capacity_usd_per_y": usd["capacity"],
        "calls_usd_per_y": usd["calls"],
        "penalties_usd_per_y": usd["penalties"],
        "cost_to_serve_usd_per_y": usd["cost"],
        "net_usd_per_y": fsum(usd.values()),
        "next_kw_npv_usd": next_usd,
        "limited_by": limit,
    }


def _kind(item: str, usd: float) -> str:
    """Column of a settled line."""
    head = item.split("/")[0]
    if head == "cost to serve":
        return "cost"
    if head == "capacity":
        return "capacity"
    return "penalties" if usd < 0 else "calls"
