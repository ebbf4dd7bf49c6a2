"""All layers in one plan: what a site's streams are worth together, alone, and what each costs the others.

A set of layers S is worth
    v(S) = max over plans of  sum of settled money of the streams in S  -  wear, fuel and starts
with the bill as its saving against before. A set without layer 1 is planned as if energy were free, so v of a
layer alone is what its own seller promises, and the whole is at most the sum of singles plus (k - 1) times the
common cost of the stacked plan (each stream alone could follow the stacked plan). Layer 2 brings the reserve: sets
without it may empty the store. Shares of the whole are Shapley values (Shapley 1953): the mean over all orders of
what a layer adds; each is made of the shares of its items. Where no plan meets every limit, limits give way at stated
prices, the weakest first, and are named; where time runs out, the gap that each set reached is.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from hashlib import sha256
from itertools import combinations
from math import fsum, inf
from typing import Any

import numpy as np

from ...errors import ConflictError, InputError, SolverError
from ...finding import Finding
from ...ledger import Entry, Ledger, difference
from ...report.result import BOUND_LABEL, Assumption, Case
from ...report.stacked import ItemShare, Stack, Subset
from ...site.contract import contracted
from ...site.site import Site
from ...stack.attribution import cents, item_shares, shapley
from ...stack.clashes import Clash, clashes
from ...stack.elastic import Prices, Relaxation
from ...streams.stream import Place
from ...terms import Limit, Payment
from . import cycles, held, served
from .budget import WHOLE, Budget
from .cases import Run, bound_run, offers_of
from .investment import investment, with_controls
from .meters import Ready, Step, quiet

GAP = 1e-3  # relative, where integers rule; linear problems are solved to the end
CLOSE_USD = 1.0  # plans closer to the best than this need no other set's
BEND = Prices()  # what limits give way at, where no plan meets them all
# Without layer 1 energy is as good as free, yet not quite: among plans of equal worth the one that a bill would like
# is taken, so that no energy is moved or thrown away for nothing.
TIE = 1e-4
Key = tuple[int, ...]
Asked = tuple[str, bool, str]


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A meter with its streams bound to their place under the rules of a day. refused: who is not, and why."""

    ready: Ready
    place: Place
    streams: tuple[Any, ...]
    refused: tuple[str, ...] = ()


def day_of_rules(site: Site, meters: Sequence[Ready]) -> date:
    """The day whose market rules and prices hold: as written, else the last day of the data."""
    if site.written.as_of is not None:
        return site.written.as_of
    last: date = max(m.timeline.local_date[-1].astype(object) for m in meters)
    return last


def placed(site: Site, m: Ready, as_of: date, *, lenient: bool = False) -> Placed:
    """The meter's streams bound to where they stand.

    lenient: a stream that the day's rules refuse is left out and named, instead of InputError with every problem.
    """
    place = Place(
        timeline=m.timeline,
        assets=(*m.existing, *m.new),
        world=m.world,
        import_limit_kw=m.meter.import_limit_kw,
        export_limit_kw=m.meter.export_limit_kw,
        as_of=as_of,
        iso=site.written.iso,
        state=site.written.state,
        utility=site.written.utility,
    )
    bound: list[Any] = []
    problems: list[str] = []
    for stream in m.meter.streams:
        try:
            made = stream.bind(place) if hasattr(stream, "bind") else stream
        except InputError as e:
            problems += [p if stream.name in p else f"{stream.name}: {p}" for p in e.problems]
            continue
        # One that may not stand beside the tariff, or beside a stream named before it, is out.
        said = contradictions(made, [m.stream, *bound])
        problems += said
        if not said:
            bound.append(contracted(made, site.written.contracts, as_of))
    if problems and not lenient:
        raise InputError.collect(f"meter {m.name}, rules of {as_of}", problems)
    if claimed := double_claims(bound):
        raise InputError.collect(f"meter {m.name}", claimed)
    return Placed(m, place, tuple(bound), tuple(problems))


def contradictions(stream: Any, others: Sequence[Any]) -> list[str]:
    """Why a stream may not stand beside others: programmes that exclude one another or a clause of the tariff (which
    is one of the others), attributes claimed twice."""
    out: list[str] = []
    for other in others:
        for one, two in ((stream, other), (other, stream)):
            said = getattr(one, "contradicts", None)
            out += [] if said is None else said(two)
    return list(dict.fromkeys(out))


def double_claims(streams: Sequence[Any]) -> list[str]:
    """Titles that all streams together claim beyond what there is, such as three who each want half of a MWh."""
    from ...streams.environment.environment import refuse_double_claims

    try:
        refuse_double_claims(streams)
    except ConflictError as e:
        return [str(e)]
    return []


def floors(p: Placed) -> list[Limit]:
    """Hard limits of layer 2: a plan of the tariff alone keeps them too, for resilience overrides every other
    reason."""
    view = p.ready.view((*p.ready.existing, *p.ready.new), p.streams)
    return [t for s in p.streams if s.layer == 2 for t in s.terms(view) if isinstance(t, Limit)]


def reserve_kwh(p: Placed) -> dict[str, Any]:
    """Floors of every store that the streams of layer 2 ask for, (n + 1,) by name; the highest where several do."""
    out: dict[str, Any] = {}
    for stream in p.streams:
        if hasattr(stream, "floors_kwh"):
            for name, floor in stream.floors_kwh(p.place).items():
                out[name] = np.maximum(out[name], floor) if name in out else np.asarray(floor)
    return out


def stacked(
    site: Site,
    meters: Sequence[Ready],
    before: Case,
    prices: Mapping[str, float],
    as_of: date,
    *,
    lenient: bool = False,
    known: dict[Asked, Run] | None = None,
    budget: Budget | None = None,
    curves: bool = True,
    progress: Step = quiet,
) -> Stack:
    """Every set of layers of a site planned, settled and compared. before: the case without assets; prices: wear
    price by store, from the bound of layer 1. known: plans by what was asked of them, read and added to: sets that
    ask the same (a layer whose streams only settle asks nothing) are planned once. curves: also what one more cycle a
    year of each store earns."""
    known = {} if known is None else known
    budget = Budget(site.written.study.time_limit_s) if budget is None else budget
    budget.start()
    at = [placed(site, m, as_of, lenient=lenient) for m in meters]
    progress(f"conflicts (rules of {as_of})", None)
    clashing = [(p.ready.name, c) for p in at for c in clashes_of(p)]
    there = sorted({1, *(s.layer for p in at for s in p.streams)})
    sets = [c for k in range(1, len(there) + 1) for c in combinations(there, k)]
    runs: dict[Key, list[_Planned]] = {}
    subsets: dict[Key, Subset] = {(): Subset((), {}, 0.0)}
    for i, layers in enumerate(sorted(sets, key=len, reverse=True)):
        progress(f"layers {'+'.join(map(str, layers))} (rules of {as_of})", i / len(sets))
        rounds = site.written.study.wear_rounds if not i else 0
        larger = [runs[k] for k in runs if set(layers) < set(k)]
        runs[layers] = [
            _run(p, layers, prices, rounds, known, budget, [r[j] for r in larger], progress)
            for j, p in enumerate(at)
        ]
        if not i:
            prices = {k: w.price_usd_per_kwh for r in runs[layers] for k, w in r.run.wear.items()}
        subsets[layers] = _settled(at, runs[layers], layers, before)
    for layers, planned in _exchanged(at, runs).items():
        runs[layers] = planned
        subsets[layers] = _settled(at, planned, layers, before)
    subsets = dict(sorted(subsets.items(), key=lambda kv: (len(kv[0]), kv[0])))
    whole = [r.run for r in runs[tuple(there)]]
    case = _case(at, whole)
    shares = _shares(subsets, there)
    found = Stack(
        as_of=as_of,
        case=case,
        services=case.services,
        subsets=subsets,
        shares_usd=shares,
        items=tuple(_items(subsets, there, shares)),
        span_y=max(m.timeline.hours for m in meters) / 8760.0,
        refused=tuple(r for p in at for r in p.refused),
        conflicts=tuple(clashing),
        relaxed=tuple((p.ready.name, r) for p, run in zip(at, whole) for r in relaxed_of(run)),
        assumptions=tuple(_assumptions(at)),
        tables=served.tables(at, whole),
    )
    found = replace(
        found,
        cycling=cycles.of_stores(at, whole, budget, progress) if curves else {},
        findings=tuple(_findings(at, found)),
    )
    extra = rooms(at, whole)
    without = tuple(k for k in there if k != 2)
    cost = held.reserve_cost(
        at, whole, [r.run for r in runs[without]], subsets[tuple(there)], subsets[without]
    )
    if cost is not None:
        extra["cost of the reserve"] = cost
    if site.written.finance is not None:
        finance = with_controls(site.written.finance, [a for p in at for a in p.ready.new])
        extra["investment"] = investment(finance, found, outages_per_y(at))
    return replace(found, extra=extra)


def clashes_of(p: Placed, *, only_floors: bool = False) -> tuple[Clash, ...]:
    """Requirements of a meter that its assets cannot meet, found before solving. only_floors: of the tariff and the
    hard limits of layer 2 alone."""
    m = p.ready
    view = m.view((*m.existing, *m.new), p.streams)
    terms = list(m.stream.terms(view))
    terms += floors(p) if only_floors else [t for s in p.streams for t in s.terms(view)]
    return clashes(
        m.timeline,
        m.load_kw,
        offers_of(m),
        terms,
        import_limit_kw=m.meter.import_limit_kw,
        export_limit_kw=m.meter.export_limit_kw,
    )


def relaxed_of(run: Run) -> tuple[Relaxation, ...]:
    """Limits that gave way in a plan."""
    return tuple(getattr(run.plan, "relaxed", ()))


def told_conflicts(found: Iterable[tuple[str, Clash]]) -> list[Finding]:
    """Findings of what cannot be had, by name, owner and time."""
    return [
        Finding(
            "conflict",
            "error" if c.binding else "warning",
            f"{c.what}; first at {c.when}",
            where=f"meter {meter}, {' and '.join(c.owners)}",
            count=c.intervals,
            done="" if c.binding else "left alone: nothing forces it",
            remedy=c.remedy,
        )
        for meter, c in found
    ]


def told_relaxed(found: Iterable[tuple[str, Relaxation]]) -> list[Finding]:
    """Findings of what gave way."""
    return [
        Finding(
            "relaxed",
            "error",
            f"no plan meets every limit: {r}",
            where=f"meter {meter}, {r.owner}",
            count=r.intervals,
            done=f"broken at a stated price of {r.usd_per_unit:,.0f} a {r.unit}, which is no money and in no sum",
            remedy="ask for less, give the limit a price of its own, or add power, energy or fuel",
        )
        for meter, r in found
    ]


def rooms(at: Sequence[Placed], runs: Sequence[Run]) -> dict[str, Any]:
    """What single streams find in the plan's record, by the stream's name: a survival curve, a reserve kept."""
    out: dict[str, Any] = {}
    for p, run in zip(at, runs):
        for stream in p.streams:
            looks = getattr(stream, "report", None)
            if looks is not None:
                out[stream.name] = looks(run.record, p.ready.world)
    return out


def outages_per_y(at: Sequence[Placed]) -> float | None:
    """How many outages a year the value of layer 2 stands on; None where no stream says."""
    rates = [s.outages_per_y for p in at for s in p.streams if hasattr(s, "outages_per_y")]
    return float(rates[0]) if rates else None


def asked_of(p: Placed, layers: Key, terms: Sequence[Any]) -> Asked:
    """What tells a plan from others of the same meter: the tariff or not, and what streams ask (a digest of their
    terms, so that days whose rules ask the same share a plan)."""
    return (p.ready.name, 1 in layers, sha256(pickle.dumps(list(terms))).hexdigest() if terms else "")


@dataclass(frozen=True, slots=True, eq=False)
class _Planned:
    """A plan of one meter for a set of layers. of: whose plan it is, where time ran out before it had its own.
    gap_usd: how far it may be from the best one, None where that is not known."""

    run: Run
    layers: Key
    of: str = ""
    gap_usd: float | None = 0.0


def _run(
    p: Placed,
    layers: Key,
    prices: Mapping[str, float],
    rounds: int,
    known: dict[Asked, Run],
    budget: Budget,
    larger: Sequence[_Planned],
    progress: Step,
) -> _Planned:
    m, streams = p.ready, [s for s in p.streams if s.layer in layers]
    view = m.view((*m.existing, *m.new), p.streams)
    asking = [t for s in streams for t in s.terms(view)]
    asked = asked_of(p, layers, asking)
    if asked not in known:
        tariff = m.stream.terms(view)
        if 1 not in layers:
            tariff = [_hint(t) for t in tariff if isinstance(t, Payment) and t.over != "max"]
        ask = partial(
            bound_run,
            m,
            rounds=rounds,
            price_usd_per_kwh=prices,
            terms=[*tariff, *asking],
            gap=GAP,
            time_limit_s=budget.of_set_s(1.0 if larger else WHOLE),
            relax=BEND,
            progress=progress,
        )
        try:
            known[asked] = ask(most_s=0.0 if larger else inf)  # where there are larger sets, others stand in
        except SolverError as e:
            found = _stand_in(p, streams, layers, larger, ask)
            if found is None:
                raise SolverError(
                    f"{m.name}: no plan of all layers at all in its part of study.time_limit_s = {budget.whole_s:g}; "
                    f"raise it ({e})"
                ) from e
            budget.sets -= 1
            return found
    budget.sets -= 1
    plan = known[asked].plan
    gap = 0.0 if plan is None else max(0.0, plan.gap_usd)
    return _Planned(_of_streams(known[asked], streams, m), layers, gap_usd=gap)


def _stand_in(
    p: Placed, streams: Sequence[Any], layers: Key, larger: Sequence[_Planned], ask: Any
) -> _Planned | None:
    """The best plan at hand for a set that has none of its own in time: that of a larger set, which keeps every limit
    of this one, or one without engines. That it is not the best is said."""
    m = p.ready
    found = [
        _Planned(_of_streams(r.run, streams, m), layers, f"the plan of {_name(r.layers)}", None)
        for r in larger
        if not r.of
    ]
    try:
        run = ask(most_s=0.0, engines_off=True)
        found.append(_Planned(_of_streams(run, streams, m), layers, "a plan without engines", None))
    except SolverError:
        pass

    def usd(r: _Planned) -> float:
        record = r.run.record
        bill = m.settle(record.net_kw, record.net_kvar).total_usd if 1 in layers else 0.0
        return r.run.services.total_usd + r.run.operation.total_usd - bill

    return max(found, key=usd, default=None)


def _exchanged(at: Sequence[Placed], runs: Mapping[Key, Sequence[_Planned]]) -> dict[Key, list[_Planned]]:
    """Sets whose plan another set's plan betters, with it in its place.

    A plan over switches is proven to a share of the whole cost, which may be more than a stream is worth. The plan of
    another set is one of this set's too where it keeps all of its limits; so that two sets differ by the streams they
    differ by and not by what each search left undone, each takes the best of all plans that it may."""
    out: dict[Key, list[_Planned]] = {}
    for j, p in enumerate(at):
        mine = {layers: planned[j] for layers, planned in runs.items()}
        if not any(r.of or (r.gap_usd or 0.0) > CLOSE_USD for r in mine.values()):
            continue
        view = p.ready.view((*p.ready.existing, *p.ready.new), p.streams)
        binding = {s.layer for s in p.streams if any(_binds(t) for t in s.terms(view))}
        binding |= {1} if any(_binds(t) for t in p.ready.stream.terms(view)) else set()
        worth = _Worth(p)
        for layers, own in mine.items():
            if (not own.of and (own.gap_usd or 0.0) <= CLOSE_USD) or relaxed_of(own.run):
                continue
            may = [
                r
                for other, r in mine.items()
                if not relaxed_of(r.run) and not binding & (set(layers) - set(other))
            ]
            best = max((own, *may), key=lambda r: worth.usd(r.run, layers))
            gain = worth.usd(best.run, layers) - worth.usd(own.run, layers)
            if gain <= 0.005:
                continue
            streams = [s for s in p.streams if s.layer in layers]
            gap = None if own.gap_usd is None else max(0.0, own.gap_usd - gain)
            out.setdefault(layers, list(runs[layers]))[j] = _Planned(
                _of_streams(best.run, streams, p.ready), layers, own.of if gap is None else "", gap
            )
    return out


def _binds(t: Any) -> bool:
    """Whether a term forbids anything, so that a plan made without it may break it."""
    return isinstance(t, Limit) or getattr(t, "fixed_kw", None) is not None


class _Worth:
    """What a plan is worth to a set of layers: each stream settled once for each plan."""

    def __init__(self, p: Placed) -> None:
        self.p = p
        self.found: dict[tuple[int, str], float] = {}

    def usd(self, run: Run, layers: Key) -> float:
        """Settled money of the layers' streams and of operation, the bill off."""
        m = self.p.ready
        parts = [run.operation.total_usd]
        if 1 in layers:
            parts.append(
                self._once(run, "", lambda: -m.settle(run.record.net_kw, run.record.net_kvar).total_usd)
            )
        for s in self.p.streams:
            if s.layer in layers:
                parts.append(self._once(run, s.name, partial(self._settled, s, run)))
        return fsum(parts)

    def _settled(self, s: Any, run: Run) -> float:
        return fsum(e.usd for e in s.settle(run.record, self.p.ready.world))

    def _once(self, run: Run, name: str, of: Callable[[], float]) -> float:
        key = (id(run.record), name)
        if key not in self.found:
            self.found[key] = of()
        return self.found[key]


def _name(layers: Key) -> str:
    return Subset(layers, {}, 0.0).name


def _of_streams(run: Run, streams: Sequence[Any], m: Ready) -> Run:
    """The plan, settled by these streams."""
    return replace(run, services=Ledger.of(e for s in streams for e in s.settle(run.record, m.world)))


def _hint(t: Payment) -> Payment:
    """An energy price as a hint: the last tier's, next to nothing, so that no set asks for more than a line."""
    plain = (replace(t.blocks[-1], upto=inf),)
    return replace(t, weight=t.weight * TIE, blocks=plain, pool=None, floors=(), carry=None, so_far=None)


def _settled(at: Sequence[Placed], planned: Sequence[_Planned], layers: Key, before: Case) -> Subset:
    """Money of one set of layers, by stream and by item."""
    money: dict[tuple[int, str, str], list[float]] = {}
    runs = [r.run for r in planned]
    for p, run in zip(at, runs):
        if 1 in layers:
            after = p.ready.settle(run.record.net_kw, run.record.net_kvar)
            for c in difference(before.bills[p.ready.name].ledger, after.ledger):
                money.setdefault((1, f"tariff of {p.ready.name}", _head(c.item)), []).append(c.usd)
        for e in run.services:
            money.setdefault(_key(e), []).append(e.usd)
    operation = [e for r in runs for e in r.operation]
    for e in operation:
        money.setdefault(_key(e), []).append(e.usd)
    by_stream: dict[tuple[int, str], list[float]] = {}
    for (layer, stream, _), usd in money.items():
        if layer:
            by_stream.setdefault((layer, stream), []).extend(usd)
    plans = [r.plan for r in runs if r.plan is not None]
    other = next((r.of for r in planned if r.of), "")
    gaps = [r.gap_usd for r in planned]
    gap = None if other or None in gaps else fsum(g or 0.0 for g in gaps)
    cost = max(fsum(abs(p.objective_usd) for p in plans), 1.0)
    return Subset(
        layers,
        {k: fsum(v) for k, v in by_stream.items()},
        fsum(e.usd for e in operation),
        fsum(e.usd for e in operation if e.item.split("/")[0] == "wear"),
        by_item={k: fsum(v) for k, v in money.items()},
        gap_usd=gap,
        gap_frac=None if gap is None else gap / cost,
        proved=gap is not None and (all(p.proved for p in plans) or gap <= GAP * cost),
        relaxed=sum(len(relaxed_of(r)) for r in runs),
        plan_of=other,
    )


def _key(e: Entry) -> tuple[int, str, str]:
    return (e.layer, e.stream, _head(e.item))


def _head(item: str) -> str:
    """'demand' of 'demand/summer peak': an item in the grain of an attribution."""
    return item.split("/", 1)[0]


def _case(at: Sequence[Placed], runs: Sequence[Run]) -> Case:
    names = [p.ready.name for p in at]
    return Case(
        name="stacked",
        label=BOUND_LABEL,
        bills={p.ready.name: p.ready.settle(r.record.net_kw, r.record.net_kvar) for p, r in zip(at, runs)},
        records=dict(zip(names, (r.record for r in runs))),
        operation=Ledger.of(e for r in runs for e in r.operation),
        services=Ledger.of(e for r in runs for e in r.services),
        wear={k: w for r in runs for k, w in r.wear.items()},
        method=", ".join(dict.fromkeys(r.method for r in runs)),
    )


def _shares(subsets: Mapping[Key, Subset], there: Sequence[int]) -> dict[int, float]:
    """Shapley value of each layer, summing to the whole."""
    found = shapley({frozenset(k): s.total_usd for k, s in subsets.items()}, there)
    return {layer: found[layer] for layer in there}


def _items(
    subsets: Mapping[Key, Subset], there: Sequence[int], shares: Mapping[int, float]
) -> list[ItemShare]:
    """Of what each layer's share is made, to the cent: its own items, and what its being there moves elsewhere."""
    parts = item_shares({frozenset(k): s.by_item for k, s in subsets.items()}, there)
    whole = subsets[tuple(there)]
    layer_cents = dict(zip(there, cents([shares[k] for k in there], whole.total_usd), strict=True))
    out: list[ItemShare] = []
    for layer in there:
        mine = [(key, usd) for key, usd in parts[layer].items() if key[0] == layer or abs(usd) >= 0.005]
        small = fsum(usd for key, usd in parts[layer].items() if key[0] != layer and abs(usd) < 0.005)
        usd = cents([*(u for _, u in mine), small], layer_cents[layer])
        if mine and abs(usd[-1]) >= 0.005:  # what is too small to be named goes to the largest that is
            k = max(range(len(mine)), key=lambda j: abs(mine[j][1]))
            usd[k] = round(usd[k] + usd[-1], 2)
        for ((of_layer, stream, item), _), share in zip(mine, usd):
            own = whole.by_item.get((of_layer, stream, item), 0.0) if of_layer == layer else None
            out.append(ItemShare(layer, of_layer, stream, item, share, own))
    return out


def _assumptions(at: Sequence[Placed]) -> list[Assumption]:
    seen: dict[str, Assumption] = {}
    for p in at:
        for stream in p.streams:
            for sentence in getattr(stream, "assumptions", ()):
                text = str(sentence)
                seen.setdefault(
                    text, Assumption(text, "", "", "not verified" not in text, f"stream {stream.name}")
                )
    return list(seen.values())


def _findings(at: Sequence[Placed], found: Stack) -> list[Finding]:
    out = [*told_conflicts(found.conflicts), *told_relaxed(found.relaxed)]
    for p in at:
        for stream in p.streams:
            out += getattr(stream, "findings", ())
        for refused in p.refused:
            out.append(
                Finding(
                    "refused", "warning", refused, where=f"meter {p.ready.name}", done="left out of the stack"
                )
            )
    loose = [s for s in found.subsets.values() if s.layers and not s.proved]
    if loose:
        out.append(
            Finding(
                "not_proved",
                "warning",
                "time ran out before every set of layers was proven best; each is within: "
                + "; ".join(gap_of(s) for s in found.subsets.values() if s.layers),
                where=f"rules of {found.as_of}",
                count=len(loose),
                done="the best plan so far is taken for each",
                remedy="raise study.time_limit_s, or ask for fewer switches (units, calls, least awards)",
            )
        )
    return out


def gap_of(s: Subset) -> str:
    """'layers 1 + 3 2.1e-03 (1,234 USD)': how far a set's plan may be from the best."""
    if s.gap_usd is None or s.gap_frac is None:
        return f"{s.name} not known, {s.plan_of} stands for it"
    return f"{s.name} {s.gap_frac:.1e} ({s.gap_usd:,.0f} USD)"
