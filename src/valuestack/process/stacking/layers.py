"""All layers in one plan: what a site's streams are worth together, alone, and what each costs the others.

A set of layers S is worth
    v(S) = max over plans of  sum of settled money of the streams in S  -  wear, fuel and starts
with the bill as its saving against before. A set without layer 1 is planned as if energy were free, so v of a
layer alone is what its own seller promises, and the whole is at most the sum of singles plus (k - 1) times the
common cost of the stacked plan (each stream alone could follow the stacked plan). Layer 2 brings the reserve: sets
without it may empty the store. Shares of the whole are Shapley values (Shapley 1953): the mean over all orders of
what a layer adds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import combinations
from math import fsum, inf
from typing import Any

import numpy as np

from ...errors import ConflictError, InputError
from ...finding import Finding
from ...ledger import Ledger
from ...report.result import BOUND_LABEL, Assumption, Case
from ...report.stacked import Stack, Subset
from ...site.contract import contracted
from ...site.site import Site
from ...stack.attribution import shapley
from ...streams.stream import Place
from ...terms import Limit, Payment
from .cases import Run, bound_run
from .investment import investment
from .meters import Ready, Step, quiet

GAP = 1e-3  # relative, where integers rule; linear problems are solved to the end
TIME_LIMIT_S = 20.0  # of one solve where integers rule; the plan so far is taken, with its gap said
# Without layer 1 energy is as good as free, yet not quite: among plans of equal worth the one that a bill would like
# is taken, so that no energy is moved or thrown away for nothing.
TIE = 1e-4
Key = tuple[int, ...]
Asked = tuple[str, bool, tuple[str, ...], date | None]


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
    progress: Step = quiet,
) -> Stack:
    """Every set of layers of a site planned, settled and compared. before: the case without assets; prices: wear
    price by store, from the bound of layer 1. known: plans by what was asked of them, read and added to: sets that
    ask the same (a layer whose streams only settle asks nothing) are planned once."""
    known = {} if known is None else known
    at = [placed(site, m, as_of, lenient=lenient) for m in meters]
    there = sorted({1, *(s.layer for p in at for s in p.streams)})
    sets = [c for k in range(1, len(there) + 1) for c in combinations(there, k)]
    whole: list[Run] = []
    subsets: dict[Key, Subset] = {(): Subset((), {}, 0.0)}
    for i, layers in enumerate(sorted(sets, key=len, reverse=True)):
        progress(f"layers {'+'.join(map(str, layers))} (rules of {as_of})", i / len(sets))
        rounds = site.written.study.wear_rounds if not i else 0
        runs = [_run(p, layers, prices, rounds, known, progress) for p in at]
        if not i:
            whole = runs
            prices = {k: w.price_usd_per_kwh for r in runs for k, w in r.wear.items()}
        subsets[layers] = _settled(at, runs, layers, before)
    subsets = dict(sorted(subsets.items(), key=lambda kv: (len(kv[0]), kv[0])))
    case = _case(at, whole)
    found = Stack(
        as_of=as_of,
        case=case,
        services=case.services,
        subsets=subsets,
        shares_usd=_shares(subsets, there),
        span_y=max(m.timeline.hours for m in meters) / 8760.0,
        refused=tuple(r for p in at for r in p.refused),
        relaxed=tuple(str(r) for run in whole for r in getattr(run.plan, "relaxed", ())),
        assumptions=tuple(_assumptions(at)),
        findings=tuple(_findings(at, whole)),
    )
    extra = rooms(at, whole)
    if site.written.finance is not None:
        extra["investment"] = investment(site.written.finance, found, outages_per_y(at))
    return replace(found, extra=extra)


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


def asked_of(p: Placed, layers: Key, stating: Sequence[Any]) -> Asked:
    """What tells a plan from others of the same meter: the tariff or not, and the streams that state terms under the
    rules of a day."""
    names = tuple(s.name for s in stating)
    return (p.ready.name, 1 in layers, names, p.place.as_of if names else None)


def _run(
    p: Placed, layers: Key, prices: Mapping[str, float], rounds: int, known: dict[Asked, Run], progress: Step
) -> Run:
    m, streams = p.ready, [s for s in p.streams if s.layer in layers]
    view = m.view((*m.existing, *m.new), p.streams)
    by_stream = [(s, list(s.terms(view))) for s in streams]
    asked = asked_of(p, layers, [s for s, terms in by_stream if terms])
    if asked not in known:
        tariff = m.stream.terms(view)
        if 1 not in layers:
            tariff = [_hint(t) for t in tariff if isinstance(t, Payment) and t.over != "max"]
        known[asked] = bound_run(
            m,
            rounds=rounds,
            price_usd_per_kwh=prices,
            terms=[*tariff, *(t for _, terms in by_stream for t in terms)],
            gap=GAP,
            time_limit_s=TIME_LIMIT_S,
            progress=progress,
        )
    found = known[asked]
    return replace(found, services=Ledger.of(e for s in streams for e in s.settle(found.record, m.world)))


def _hint(t: Payment) -> Payment:
    """An energy price as a hint: the last tier's, next to nothing, so that no set asks for more than a line."""
    plain = (replace(t.blocks[-1], upto=inf),)
    return replace(t, weight=t.weight * TIE, blocks=plain, pool=None, floors=(), carry=None, so_far=None)


def _settled(at: Sequence[Placed], runs: Sequence[Run], layers: Key, before: Case) -> Subset:
    """Money of one set of layers, by stream."""
    money: dict[tuple[int, str], list[float]] = {}
    for p, run in zip(at, runs):
        if 1 in layers:
            after = p.ready.settle(run.record.net_kw, run.record.net_kvar)
            saved = fsum((before.bills[p.ready.name].total_usd, -after.total_usd))
            money.setdefault((1, f"tariff of {p.ready.name}"), []).append(saved)
        for e in run.services:
            money.setdefault((e.layer, e.stream), []).append(e.usd)
    operation = [e for r in runs for e in r.operation]
    return Subset(
        layers,
        {k: fsum(v) for k, v in money.items()},
        fsum(e.usd for e in operation),
        fsum(e.usd for e in operation if e.item.split("/")[0] == "wear"),
    )


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


def _findings(at: Sequence[Placed], runs: Sequence[Run]) -> list[Finding]:
    out: list[Finding] = []
    for p, run in zip(at, runs):
        for stream in p.streams:
            out += getattr(stream, "findings", ())
        for refused in p.refused:
            out.append(
                Finding(
                    "refused", "warning", refused, where=f"meter {p.ready.name}", done="left out of the stack"
                )
            )
        if run.plan is not None and not run.plan.proved:
            out.append(
                Finding(
                    "not_proved",
                    "warning",
                    f"the stacked plan is proven within {run.plan.gap_usd / max(abs(run.plan.objective_usd), 1.0):.1e} "
                    "of its objective only",
                    where=f"meter {p.ready.name}",
                )
            )
    return out
