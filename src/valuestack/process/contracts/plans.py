"""Two plans of a year under an offer, each with perfect foresight: the owner's and the counterparty's.

Owner (B)          maximises what the owner nets: tariff, wear, and the covered streams at the owner's share.
Counterparty (C)   first the most that the market pays, gross, within the dispatch clauses (site/rights.py), wear priced
                   at what the contract makes it pay; then, with those awards held, the tariff, wear and whatever else
                   the site has, with what is left.

Which hours the counterparty takes is chosen before: the dearest within its rights, at all the power that it may offer.
The second step looks at what is metered when the signal calls its mean; that a full call in the worst interval of a
month would bill more is shown beside it (`exposure_kw`), and stays the owner's risk. Payments by event are answered in
order of time as far as the rights go; in the second step they count `FIRST` times as much as the tariff, so that no
bill makes it break them off. Assets that no covered stream names and that start and stop keep the plan that they have
without an offer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np

from ...dispatch import Record, View
from ...flows import Given, Store
from ...ledger import Entry
from ...site.contract import Contract, Contracted
from ...site.offer import Offer
from ...site.rights import Rights
from ...terms import Claim, Limit, Measure, Payment, Term
from ...timeline import Kw
from ..stacking.cases import Run, bound_run, offers_of
from ..stacking.layers import Placed
from ..stacking.meters import Ready, Step, quiet

GAP = 1e-3  # relative, where integers rule
TIME_LIMIT_S = 20.0
TIE = 1e-3  # of the tariff's energy prices and of wear, to choose among plans that the market pays alike
FIRST = 100.0
HAIR = (
    1e-3  # awards are held to all but this share: a second step without any room has no interior to solve in
)


class Held:
    """An asset that keeps a plan: power and cost of operation are as they were."""

    def __init__(self, asset: Any, record: Record, entries: Sequence[Entry]) -> None:
        self._asset, self._record, self._entries = asset, record, tuple(entries)
        self.name, self.kind = asset.name, asset.kind

    def initial_state(self) -> Any:
        """The asset's own."""
        return self._asset.initial_state()

    def belief(self, view: View) -> Given:
        """What it did."""
        kw = np.asarray(self._record.asset_kw[self.name])
        return Given(self.name, kw[view.k : view.k + view.n])

    def settle(self, record: Record, world: Any) -> Sequence[Entry]:
        """What that cost."""
        return self._entries


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """A plan of one meter: its run, in which intervals the counterparty commands, (n,), and by how much a full call
    would raise the net load of each, (n,)."""

    run: Run
    commanded: np.ndarray[Any, np.dtype[np.bool_]]
    rights: Mapping[str, Rights]
    exposure_kw: Kw


def serving(p: Placed, covered: Sequence[str]) -> set[str]:
    """Names of the assets that covered streams name."""
    out: set[str] = set()
    for s in p.streams:
        if s.name in covered:
            out |= set(getattr(s, "assets", ()))
    return out


def holding(p: Placed, base: Run, covered: Sequence[str]) -> Ready:
    """The meter with every asset that starts and stops, and that no covered stream names, kept at its base plan."""
    m, named = p.ready, serving(p, covered)
    kept = {o.name for o in offers_of(m) if not isinstance(o, (Store, Given)) and o.name not in named}
    new = tuple(
        Held(a, base.record, [e for e in base.operation if e.stream == a.name]) if a.name in kept else a
        for a in m.new
    )
    return replace(m, new=new)


def _finished(p: Placed, m: Ready, run: Run, base: Run) -> Run:
    """The run with what held assets reported in their base plan, for those who settle on it."""
    held = [a.name for a in m.new if isinstance(a, Held)]
    if not held:
        return run
    more = {
        k: v for k, v in base.record.extra.items() if k.split("/")[0] in held and k not in run.record.extra
    }
    return replace(run, record=replace(run.record, extra={**run.record.extra, **more}))


def base_run(p: Placed, covered: Sequence[str], rounds: int, progress: Step = quiet) -> Run:
    """No offer: the owner's plan of everything that no offer covers."""
    m = p.ready
    view = m.view((*m.existing, *m.new), p.streams)
    terms = [
        *m.stream.terms(view),
        *(t for s in p.streams if s.name not in covered for t in s.terms(view)),
    ]
    return bound_run(m, rounds=rounds, terms=terms, gap=GAP, time_limit_s=TIME_LIMIT_S, progress=progress)


def contracted_by(offer: Offer, stream: Any) -> Any:
    """A stream inside the offer's contracts over it, the first one outermost; in force whatever the day."""
    for c in reversed(offer.contracts):
        if stream.name in c.streams:
            stream = Contracted(stream, c)
    return stream


def owner_run(
    p: Placed, offer: Offer, base: Run, prices: Mapping[str, float], progress: Step = quiet
) -> Planned:
    """The plan that is best for the owner under the contracts."""
    m = holding(p, base, offer.covered)
    view = m.view((*m.existing, *m.new), p.streams)
    others = [s for s in p.streams if s.name not in offer.covered]
    mine = [contracted_by(offer, s) for s in p.streams if s.name in offer.covered]
    terms = _of_moving(m, [*m.stream.terms(view), *(t for s in (*others, *mine) for t in s.terms(view))])
    paid = {c.asset: c.wear.usd_per_mwh / 1000 for c in offer.contracts if c.asset and c.wear.usd_per_mwh}
    net = {k: max(0.0, v - paid.get(k, 0.0)) for k, v in prices.items()}
    run = _finished(p, m, _planned(m, terms, net, progress), base)
    none = np.zeros(m.timeline.n, dtype=bool)
    flows = getattr(run.plan, "flows", None)
    exposed = None if flows is None else flows.exposure_kw
    if exposed is None:
        exposed = np.zeros(m.timeline.n)
    return Planned(run, none, {c.name: _rights(c, m) for c in offer.contracts}, exposed)


def aggregator_run(
    p: Placed, offer: Offer, base: Run, prices: Mapping[str, float], progress: Step = quiet
) -> Planned:
    """The plan that is best for the counterparty, and with what is left the best for the owner."""
    m = holding(p, base, offer.covered)
    view = m.view((*m.existing, *m.new), p.streams)
    keeps = any("reserve" in c.override.causes for c in offer.contracts)
    floors = [t for s in p.streams if s.layer == 2 for t in s.terms(view) if isinstance(t, Limit)]
    held = _of_moving(m, floors) if keeps else []
    tariff = list(m.stream.terms(view))
    rights = {c.name: _rights(c, m) for c in offer.contracts}
    commanded = np.zeros(m.timeline.n, dtype=bool)
    first: list[Term] = []
    windows: list[Term] = []
    for c in offer.contracts:
        streams = [s for s in p.streams if s.name in c.streams]
        mine = [t for s in streams for t in s.terms(view)]
        on, made = _within(mine, c, rights[c.name], m)
        commanded |= on
        first += made
        windows += _window(c, on, m)
    pays = {c.asset: c.wear.usd_per_mwh / 1000 for c in offer.contracts if c.asset}
    theirs = {k: max(pays.get(k, 0.0), TIE * own) for k, own in prices.items()}
    progress(f"{offer.name}: the counterparty's plan", None)
    gross = _planned(m, [*held, *windows, *first, *_hints(tariff)], theirs, progress)
    awards = gross.plan.awards_kw
    others = [t for s in p.streams if s.name not in offer.covered and s.layer != 2 for t in s.terms(view)]
    others = _of_moving(m, others)
    second = [_fixed(t, awards) for t in first]
    progress(f"{offer.name}: the tariff with what is left", None)
    run = _planned(m, [*held, *windows, *second, *tariff, *others], prices, progress)
    exposed = np.zeros(m.timeline.n)
    for t in first:
        if isinstance(t, Claim):
            exposed += t.exposure_frac * np.asarray(awards[f"{t.owner}/{t.name}"])
    return Planned(_finished(p, m, run, base), commanded, rights, exposed)


def _planned(m: Ready, terms: Sequence[Term], prices: Mapping[str, float], progress: Step) -> Run:
    return bound_run(
        m,
        rounds=0,
        price_usd_per_kwh=prices,
        terms=terms,
        gap=GAP,
        time_limit_s=TIME_LIMIT_S,
        progress=progress,
    )


def _of_moving(m: Ready, terms: Sequence[Term]) -> list[Term]:
    """Without what is asked of assets that keep their plan: they do it already, and no more. What is measured at the
    meter stays, for other assets may serve it."""
    held = {a.name for a in m.new if isinstance(a, Held)}
    out: list[Term] = []
    for t in terms:
        if isinstance(t, Claim):
            free = tuple(a for a in t.eligible if a not in held)
            if free:
                out.append(replace(t, eligible=free))
        elif not isinstance(t, (Limit, Payment)) or t.measure.asset not in held:
            out.append(t)
    return out


def _rights(c: Contract, m: Ready) -> Rights:
    asset = next((a for a in m.new if a.name == c.asset), None)
    cycle = inf
    if asset is not None and hasattr(asset, "energy_kwh"):
        cycle = float(asset.energy_kwh) * float(asset.efficiencies[1])
    return Rights(c.dispatch, m.timeline, cycle)


def _power_kw(m: Ready, names: Sequence[str]) -> float:
    """What assets can give together [kW]."""
    return sum(float(getattr(a, "power_kw", 0.0)) for a in m.new if a.name in names)


def _within(
    terms: Sequence[Term], c: Contract, rights: Rights, m: Ready
) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], list[Term]]:
    """The terms of a counterparty's streams in the intervals that its rights leave it, and those intervals."""
    claims = [t for t in terms if isinstance(t, Claim)]
    on = np.zeros(m.timeline.n, dtype=bool)
    out: list[Term] = [t for t in terms if isinstance(t, Limit)]
    if claims:
        value = sum((np.asarray(t.usd_per_kw_h, dtype=float) for t in claims), np.zeros(m.timeline.n))
        names = tuple(dict.fromkeys(a for t in claims for a in t.eligible))
        kw = min(_power_kw(m, names) or inf, max(t.max_kw for t in claims))
        out_frac = max(t.throughput_up_frac for t in claims)
        block = max((t.block_h for t in claims if t.block_h is not None), default=None)
        on |= rights.best(value, kw=kw, out_frac=out_frac, block_h=block)
        for t in claims:
            may = on if t.when is None else on & np.asarray(t.when)
            out.append(replace(t, when=may))
    events = [t for t in terms if isinstance(t, Payment)]
    if events:
        asked = np.any([t.window >= 0 for t in events], axis=0)
        meter = rights.meter()
        kwh = _power_kw(m, [c.asset] if c.asset else []) * m.timeline.step_h
        for k in np.flatnonzero(asked):
            meter.grant(int(k), kwh)
        on = on | meter.on
        out += [replace(t, window=np.where(meter.on, t.window, -1)) for t in events]
    return on, out


def _window(c: Contract, on: np.ndarray[Any, np.dtype[np.bool_]], m: Ready) -> list[Term]:
    """States of charge that the counterparty may use, in the intervals in which it commands."""
    d = c.dispatch
    asset = next((a for a in m.new if a.name == c.asset), None)
    if asset is None or (d.soc_min_frac <= 0 and d.soc_max_frac >= 1) or not on.any():
        return []
    store = next(o for o in offers_of(m) if isinstance(o, Store) and o.name == c.asset)
    left = float(getattr(asset, "left_kwh", np.max(store.energy_max_kwh)))
    h = m.timeline.step_h
    # From where the store begins a window may take a while to be reached.
    rise = store.energy_start_kwh + np.cumsum(store.charge_max_kw) * store.charge_efficiency_frac * h
    fall = store.energy_start_kwh - np.cumsum(store.discharge_max_kw) / store.discharge_efficiency_frac * h
    low = np.minimum(d.soc_min_frac * left, rise)
    high = np.maximum(d.soc_max_frac * left, fall)
    return [
        Limit(
            c.name,
            "state of charge",
            Measure("stored", asset=c.asset),
            "each",
            lower=np.where(on, low, -inf),
            upper=np.where(on, high, inf),
            reason=f"{d.soc_min_frac:.0%} to {d.soc_max_frac:.0%} while {c.counterparty} commands",
        )
    ]


def _hints(tariff: Sequence[Term]) -> list[Term]:
    return [
        replace(
            t,
            weight=t.weight * TIE,
            blocks=(replace(t.blocks[-1], upto=inf),),
            pool=None,
            floors=(),
            carry=None,
            so_far=None,
        )
        for t in tariff
        if isinstance(t, Payment) and t.over != "max"
    ]


def _fixed(t: Term, awards: Mapping[str, Any]) -> Term:
    """A claim as awarded, a payment far before the tariff."""
    if isinstance(t, Claim):
        kw = np.maximum(np.asarray(awards[f"{t.owner}/{t.name}"]) * (1 - HAIR), 0.0)
        return replace(t, fixed_kw=kw, exposure_frac=0.0)
    if isinstance(t, Payment):
        return replace(t, weight=t.weight * FIRST)
    return t
