"""Offers compared: each replayed over the year, settled, and ranked by what the owner nets.

With R what the market pays for the covered streams (revenue, before penalties), every dollar of it goes to somebody:

    R = penalties + aggregator + utility + financier + cost to serve + wear + lost reserve + other streams + owner

aggregator: what its contracts and fees leave it; utility: bill with the offer less bill without; wear, reserve, other
streams: what they lose against no offer; owner: what he nets more than without an offer. All from settled entries, so
that the sum is exact. Net of the owner: bill before any asset less the bill, plus all entries, less wear, fuel and
starts; expected costs of outages count.

Break-even share: the share s at which net(s) of the same dispatch equals what it is compared with; net(s) only rises in
s. Under the owner's own plan the dispatch would follow the share, so the true one is at or below what is stated.
Break-even size: fixed costs over the net of them a kW of the assets that serve, as `Enrolled.break_even` has it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import Any

import numpy as np

from ...dispatch import Record
from ...errors import InputError
from ...ledger import Entry, Ledger
from ...report.offered import Ceded, Compared, Dispatcher, Offered, Replay, ReserveKept, Survived
from ...report.offered import Worn as WornRow
from ...report.result import BOUND_LABEL, Assumption
from ...report.tables import show_percent, show_usd
from ...site.contract import Revenue
from ...site.offer import Offer, with_offers
from ...site.site import Site
from ..stacking.cases import Run, prices_of
from ..stacking.layers import Placed, day_of_rules, placed, reserve_kwh
from ..stacking.meters import Step, quiet, ready
from .plans import Planned, aggregator_run, base_run, contracted_by, owner_run, serving

HOURS_A_YEAR = 8760.0
HALVINGS = 40
CASES = {
    "owner": "the owner commands: the plan that nets him most under the contract",
    "aggregator": "the counterparty commands: the most from the market within its rights, then the tariff",
    "nobody": "no offer: the owner's plan without the streams on offer",
}


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """Money of one meter under one plan. services: streams as contracted; gross: the covered ones before contracts."""

    bill: Any
    services: Ledger
    gross: Ledger
    operation: Ledger


def compare(
    site: Site, offers: Sequence[Offer], *, ceded: bool = True, progress: Step | None = None
) -> Compared:
    """Compare offers for a site.

    ceded: where the site holds a reserve, also run each offer in the loop with and without the clause that keeps it.
    Errors: InputError for offers that do not fit the site, InfeasibleError, SolverError.
    """
    if not offers:
        raise InputError("offers: none is given; name at least one offer file")
    step, began = progress or quiet, time.process_time()
    site = with_offers(site, offers)
    meters = [ready(site, m, progress=step) for m in site.meters]
    as_of = day_of_rules(site, meters)
    covered = tuple(dict.fromkeys(s for o in offers for s in o.covered))
    at = [placed(site, m, as_of, lenient=True) for m in meters]
    _check_bound(at, offers)
    step("no offer", 0.05)
    base = [base_run(p, covered, site.written.study.wear_rounds, step) for p in at]
    compared = _Comparison(at, base, covered)
    none = compared.replay_of_none()
    out = []
    for i, offer in enumerate(offers):
        step(f"offer {offer.name}", 0.1 + 0.9 * i / len(offers))
        out.append(compared.offered(offer, none, step, ceded=ceded, site=site))
    ranked = _with_second(tuple(sorted(out, key=lambda o: -o.ranked.net_usd)), none, compared)
    step("done", 1.0)
    return Compared(
        site=site.name,
        as_of=as_of,
        span_y=compared.span_y,
        none=none,
        offers=ranked,
        said=tuple(_said(ranked, none, compared.span_y)),
        head=tuple(h for m in meters for h in m.head),
        assumptions=tuple(_assumptions(at, offers)),
        seconds={"cpu": time.process_time() - began},
    )


def _check_bound(at: Sequence[Placed], offers: Sequence[Offer]) -> None:
    """Every covered stream must stand under the rules of the day."""
    there = {s.name for p in at for s in p.streams}
    refused = [r for p in at for r in p.refused]
    problems = []
    for o in offers:
        for name in o.covered:
            if name not in there:
                why = next((r for r in refused if name in r), "its meter does not have it")
                problems.append(f"{o.name}: stream {name!r} cannot stand at this site: {why}")
    if problems:
        raise InputError.collect("offers", problems)


@dataclass(frozen=True, slots=True, eq=False)
class _Done:
    """A stream that is settled already."""

    name: str
    layer: int
    certainty: str
    entries: tuple[Entry, ...]
    world: Any

    @classmethod
    def of(cls, p: Placed, run: Run, offer: Offer) -> list[_Done]:
        """The covered streams of a meter under a plan."""
        world = p.ready.world
        return [
            cls(s.name, s.layer, s.certainty, tuple(s.settle(run.record, world)), world)
            for s in p.streams
            if s.name in offer.covered
        ]

    def settle(self, record: Record, world: Any) -> tuple[Entry, ...]:
        """As it was settled."""
        return self.entries


class _Comparison:
    """The year without an offer, and what each replay is measured against."""

    def __init__(self, at: Sequence[Placed], base: Sequence[Run], covered: Sequence[str]) -> None:
        self.at, self.base, self.covered = at, base, covered
        self.span_y = max(p.ready.timeline.hours for p in at) / HOURS_A_YEAR
        self.before_usd = fsum(p.ready.settle(p.ready.before_kw, p.ready.load_kvar).total_usd for p in at)
        self.settled = [self._settle(p, r, None) for p, r in zip(at, base)]
        self.prices: dict[str, float] = {k: v for r in base for k, v in prices_of(r).items()}
        self.plans: dict[tuple[str, str], list[Planned]] = {}
        self.settled_of: dict[tuple[str, str], list[Settled]] = {}
        self.base_curves = {
            (i, s.name): s.curves(r.record, p.ready.world)
            for i, (p, r) in enumerate(zip(at, base))
            for s in p.streams
            if hasattr(s, "curves")
        }
        self.offers: dict[str, Offer] = {}

    # --- settlement ------------------------------------------------------------------------------

    def _settle(self, p: Placed, run: Run, offer: Offer | None) -> Settled:
        m, record = p.ready, run.record
        mine = offer.covered if offer is not None else ()
        services: list[Entry] = []
        gross: list[Entry] = []
        for s in p.streams:
            if s.name in mine:
                assert offer is not None
                services += contracted_by(offer, s).settle(record, m.world)
                gross += s.settle(record, m.world)
            elif s.name not in self.covered:
                services += s.settle(record, m.world)
        bill = m.settle(record.net_kw, record.net_kvar)
        return Settled(bill, Ledger.of(services), Ledger.of(gross), run.operation)

    def _beside(self, offer: Offer, settled: Sequence[Settled]) -> Ledger:
        """Fees, the financier's part, and what the counterparty repays of a higher demand charge."""
        out: list[Entry] = []
        t = self.at[0].ready.timeline
        cycle, stream = f"{t.start:%Y-%m-%d}/{t.end:%Y-%m-%d}", offer.covered[0]

        def line(item: str, who: str, quantity: float, unit: str, usd: float, why: str) -> None:
            if abs(usd) > 1e-12:
                out.append(
                    Entry(
                        cycle, 3, stream, f"{offer.name}/{item}", who, quantity, unit, None, usd,
                        certainty="contractual", reason=why,
                    )
                )  # fmt: skip

        f, y = offer.fees, self.span_y
        line("sign-up", offer.who, y, "y", -f.sign_up_usd * y / offer.years, f"over {offer.years:g} years")
        line("yearly fee", offer.who, y, "y", -f.usd_per_y * y, "fee")
        kw = self.size_kw(offer)
        line(
            "fee by size", offer.who, kw, "kW", -f.usd_per_kw_y * kw * y, f"{f.usd_per_kw_y:g} USD/kW a year"
        )
        for c in offer.contracts:
            if c.pays_demand_increase:
                more = self._demand_more(settled)
                line("demand increase repaid", c.counterparty, 1.0, "y", more, f"clause of contract {c.name}")
                break
        if offer.financier is not None:
            own = fsum(e.usd for s in settled for e in s.services if self._market(e, offer)) + fsum(
                e.usd for e in out
            )
            part = -offer.financier.revenue_frac * max(0.0, own)
            line("financier's share", offer.financier.name, own, "USD", part, "of what is left to the owner")
            line(
                "financing",
                offer.financier.name,
                y,
                "y",
                -offer.financier.usd_per_y * y,
                "a fixed sum a year",
            )
        return Ledger.of(out)

    def _market(self, e: Entry, offer: Offer) -> bool:
        return e.stream in offer.covered and e.counterparty != "own cost"

    def _demand_more(self, settled: Sequence[Settled]) -> float:
        """Demand charges above those of no offer, month by month, where they are above."""
        more: list[float] = []
        for with_it, without in zip(settled, self.settled):
            a, b = _demand_by_cycle(with_it.bill), _demand_by_cycle(without.bill)
            more += [max(0.0, a.get(c, 0.0) - b.get(c, 0.0)) for c in {*a, *b}]
        return fsum(more)

    def size_kw(self, offer: Offer) -> float:
        """Power of the assets that serve the offer's streams."""
        names = {n for p in self.at for n in serving(p, offer.covered)} | {
            c.asset for c in offer.contracts if c.asset is not None
        }
        out = 0.0
        for p in self.at:
            for a in p.ready.new:
                if a.name in names:
                    rated = getattr(a, "rated_kw", None)
                    units = getattr(a, "units", 1)
                    own = getattr(a, "power_kw", None) or getattr(a, "shed_kw", None)
                    out += float(own if own is not None else (rated or 0.0) * units)
        return out

    def net_usd(self, settled: Sequence[Settled], beside: Ledger) -> float:
        """What the owner nets over the span."""
        return fsum(
            (
                self.before_usd,
                *(-s.bill.total_usd for s in settled),
                *(s.services.total_usd for s in settled),
                *(s.operation.total_usd for s in settled),
                beside.total_usd,
            )
        )

    # --- replays ---------------------------------------------------------------------------------

    def replay_of_none(self) -> Replay:
        """The year without an offer."""
        made = [
            Planned(r, np.zeros(p.ready.timeline.n, dtype=bool), {}, np.zeros(p.ready.timeline.n))
            for p, r in zip(self.at, self.base)
        ]
        return self._replay("nobody", None, made, self.settled, Ledger(), ())

    def offered(self, offer: Offer, none: Replay, step: Step, *, ceded: bool, site: Site) -> Offered:
        """One offer under both dispatchers."""
        self.offers[offer.name] = offer
        replays: dict[str, Replay] = {}
        makers: tuple[tuple[Dispatcher, Callable[..., Planned]], ...] = (
            ("owner", owner_run),
            ("aggregator", aggregator_run),
        )
        for who, maker in makers:
            made = [maker(p, offer, r, self.prices, step) for p, r in zip(self.at, self.base)]
            self.plans[offer.name, who] = made
            replays[who] = self._of_offer(who, offer, made, none)
        c = [x.revenue.guaranteed_usd_per_month for x in offer.contracts]
        sums = [12 * g for g in c if g is not None]
        f = offer.fees
        return Offered(
            name=offer.name,
            who=offer.who,
            what=offer.what,
            dispatcher=offer.dispatcher,
            share_frac=offer.share_frac,
            guaranteed_usd_per_y=sum(sums) if sums else None,
            fees_usd_per_y=f.usd_per_y + f.sign_up_usd / offer.years + f.usd_per_kw_y * self.size_kw(offer),
            years=offer.years,
            exit_usd=offer.exit_usd(),
            owner=replays["owner"],
            aggregator=replays["aggregator"],
            verified=offer.verified,
            source=offer.source,
            ceded=self._ceded(offer, site, step) if ceded else None,
        )

    def _of_offer(self, who: Dispatcher, offer: Offer, made: Sequence[Planned], none: Replay) -> Replay:
        settled = [self._settle(p, x.run, offer) for p, x in zip(self.at, made)]
        self.settled_of[offer.name, who] = settled
        beside = self._beside(offer, settled)
        notes = list(_clause_notes(offer, who))
        for c in offer.contracts:
            for p, x in zip(self.at, made):
                if who == "aggregator" and c.name in x.rights:
                    notes += [f"{c.name}: {b}" for b in self._broken(c, p, x)]
        found = self._replay(who, offer, made, settled, beside, tuple(notes))
        share = self.share_at(offer, who, none.net_usd)
        fixed = self._fixed_usd(offer, settled, beside)
        kw, more = self.size_kw(offer), found.net_usd - none.net_usd
        margin = (more + fixed) / kw if kw > 0 else 0.0
        least = None if margin <= 0 else fixed / margin
        return replace(found, more_usd=more, break_even_frac=share, break_even_kw=least)

    def _broken(self, c: Any, p: Placed, x: Planned) -> list[str]:
        """Clauses that the plan's own record breaks; none, unless something is wrong."""
        record, n = x.run.record, p.ready.timeline.n
        out = np.zeros(n)
        if c.asset is not None:
            out = np.asarray(record.extra.get(f"{c.asset}/called up", np.zeros(n))) * p.ready.timeline.step_h
        on = np.zeros(n, dtype=bool)
        for s in c.streams:
            for key, kw in record.extra.items():
                if key.startswith(f"{s}/"):
                    on |= np.asarray(kw) > 1e-6
        return x.rights[c.name].breaches(on, out)

    def _fixed_usd(self, offer: Offer, settled: Sequence[Settled], beside: Ledger) -> float:
        """Costs over the span that do not grow with the size: to serve, of the contract, of the offer."""
        rows = [
            -e.usd
            for s in settled
            for e in s.services
            if e.stream in offer.covered
            and (e.item == "cost to serve/fixed" or e.item.endswith("/contract costs"))
        ]
        rows += [-e.usd for e in beside if e.item.endswith(("/sign-up", "/yearly fee"))]
        return fsum(rows)

    def share_at(self, offer: Offer, who: str, target_usd: float) -> float | None:
        """Owner share at which this dispatch nets `target_usd`, None where none does; 0 where any does."""
        made = self.plans[offer.name, who]

        was = self.settled_of[offer.name, who]
        done = [_Done.of(p, x.run, offer) for p, x in zip(self.at, made)]

        def net(share: float) -> float:
            """The streams themselves are settled once; only what the contracts make of them depends on the share."""
            tried = _at_share(offer, share)
            settled = [
                replace(
                    old,
                    services=Ledger(
                        (
                            *(e for e in old.services if e.stream not in offer.covered),
                            *(e for s in d for e in contracted_by(tried, s).settle(x.run.record, s.world)),
                        )
                    ),
                )
                for old, d, x in zip(was, done, made)
            ]
            return self.net_usd(settled, self._beside(tried, settled))

        low, high = 0.0, 1.0
        if net(high) < target_usd - 1e-6:
            return None
        if net(low) >= target_usd - 1e-6:
            return 0.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if net(middle) >= target_usd else (middle, high)
        return high

    def _replay(
        self,
        who: Dispatcher,
        offer: Offer | None,
        made: Sequence[Planned],
        settled: Sequence[Settled],
        beside: Ledger,
        notes: tuple[str, ...],
    ) -> Replay:
        net = self.net_usd(settled, beside)
        ledger = Ledger(tuple(e for s in settled for e in s.services)) + beside
        gross = [e for s in settled for e in s.gross if e.counterparty != "own cost"]
        revenue = fsum(max(e.usd, 0.0) for e in gross)
        none_net = self.net_usd(self.settled, Ledger())
        return Replay(
            dispatcher=who,
            label=f"{CASES[who]}; {BOUND_LABEL}",
            bill_usd=fsum(s.bill.total_usd for s in settled),
            net_usd=net,
            more_usd=net - none_net,
            gross_usd=revenue,
            penalties_usd=-fsum(min(e.usd, 0.0) for e in gross),
            split_usd={} if offer is None else self._split(offer, settled, beside, net - none_net),
            damage=self._damage(settled),
            exposed_usd=fsum(_exposed_usd(p, x) for p, x in zip(self.at, made)),
            wear=tuple(self._worn(made)),
            survival=tuple(_survival(self.at, self.base_curves, [x.run.record for x in made])),
            reserves=tuple(_reserves(self.at, [r.record for r in self.base], [x.run.record for x in made])),
            commanded_h=fsum(
                float(x.commanded.sum()) * p.ready.timeline.step_h for p, x in zip(self.at, made)
            ),
            events=sum(int((np.diff(np.concatenate(([0], x.commanded))) > 0).sum()) for x in made),
            ledger=ledger,
            operation_usd=fsum(s.operation.total_usd for s in settled),
            gap_usd=fsum(x.run.plan.gap_usd for x in made if x.run.plan is not None),
            notes=notes,
        )

    def _split(
        self, offer: Offer, settled: Sequence[Settled], beside: Ledger, more: float
    ) -> dict[str, float]:
        """Where each gross dollar went, from settled entries; sums to the market's revenue."""
        theirs = {offer.who, *(c.counterparty for c in offer.contracts)}
        book = [e for s in settled for e in s.services] + list(beside)
        added = {f"{c.name}/" for c in offer.contracts} | {f"{offer.name}/"}
        own = [e for e in book if e.stream in offer.covered]
        before = [e for s in self.settled for e in s.services]
        gross = [e for s in settled for e in s.gross if e.counterparty != "own cost"]

        def contractual(e: Entry) -> bool:
            return any(e.item.startswith(a) for a in added)

        def layer_usd(entries: Sequence[Entry], resilience: bool) -> float:
            return fsum(
                e.usd for e in entries if e.stream not in offer.covered and (e.layer == 2) == resilience
            )

        financier = set() if offer.financier is None else {offer.financier.name}
        return {
            "owner": more,
            "aggregator": -fsum(e.usd for e in own if contractual(e) and e.counterparty in theirs),
            "utility": fsum(a.bill.total_usd - b.bill.total_usd for a, b in zip(settled, self.settled)),
            "financier": -fsum(e.usd for e in own if contractual(e) and e.counterparty in financier - theirs),
            "cost to serve": -fsum(e.usd for e in own if e.counterparty == "own cost"),
            "wear": fsum(
                b.operation.total_usd - a.operation.total_usd for a, b in zip(settled, self.settled)
            ),
            "reserve": layer_usd(before, True) - layer_usd(book, True),
            "other streams": layer_usd(before, False) - layer_usd(book, False),
            "penalties": -fsum(min(e.usd, 0.0) for e in gross),
        }

    def _damage(self, settled: Sequence[Settled]) -> dict[str, float]:
        out: dict[str, float] = {}
        for with_it, without in zip(settled, self.settled):
            a = {k[0]: -v for k, v in with_it.bill.ledger.by("cycle").items()}
            b = {k[0]: -v for k, v in without.bill.ledger.by("cycle").items()}
            for cycle in dict.fromkeys((*b, *a)):
                out[cycle] = out.get(cycle, 0.0) + a.get(cycle, 0.0) - b.get(cycle, 0.0)
        return out

    def _worn(self, made: Sequence[Planned]) -> list[WornRow]:
        from ...assets.wear.warranty import ask_for

        out = []
        for p, x in zip(self.at, made):
            for a in p.ready.new:
                if not hasattr(a, "spent") or a.name not in x.run.record.stored_kwh:
                    continue
                worn = a.worn(x.run.record)
                trace = a.trace(x.run.record)
                out.append(
                    WornRow(
                        asset=a.name,
                        throughput_mwh=worn.throughput_kwh / 1000,
                        full_cycles=worn.full_cycles,
                        wear_usd=worn.counted_usd,
                        fade_frac_per_y=worn.fade_frac_per_y,
                        spent=a.spent(x.run.record) if trace.timeline.hours >= 24 else None,
                        asked=ask_for([trace], term_y=a.warranty.years or 10.0)
                        if trace.years >= 0.5
                        else None,
                    )
                )
        return out

    # --- the reserve, ceded ----------------------------------------------------------------------

    def _ceded(self, offer: Offer, site: Site, step: Step) -> Ceded | None:
        """The same commands in the loop, the guard with the reserve and without it; None where nothing is reserved, and
        for an offer of several contracts, whose rights the loop cannot hold side by side."""
        floors = [reserve_kwh(p) for p in self.at]
        if not any(floors) or len(offer.contracts) > 1:
            return None
        step(f"{offer.name}: the year in the loop, reserve kept and ceded", None)
        runs = [
            [in_the_loop(p, site, offer, x, r, self.base[i]) for r in (f or None, None)]
            for i, (p, f, x) in enumerate(zip(self.at, floors, self.plans[offer.name, "aggregator"]))
        ]
        nets, gross = [], []
        for which in (0, 1):
            settled = [self._settle(p, r[which], offer) for p, r in zip(self.at, runs)]
            beside = self._beside(offer, settled)
            nets.append(self.net_usd(settled, beside))
            gross.append(
                fsum(e.usd for s in settled for e in s.gross if e.counterparty != "own cost" and e.usd > 0)
            )
        kept, gone = [r[0].record for r in runs], [r[1].record for r in runs]
        curves = {
            (i, s.name): s.curves(kept[i], p.ready.world)
            for i, p in enumerate(self.at)
            for s in p.streams
            if hasattr(s, "curves")
        }
        return Ceded(
            offer.name, nets[0], nets[1], gross[0], gross[1],
            tuple(_survival(self.at, curves, gone)), tuple(_reserves(self.at, kept, gone)),
            fsum(float(x.commanded.sum()) * p.ready.timeline.step_h
                 for p, x in zip(self.at, self.plans[offer.name, "aggregator"])),
        )  # fmt: skip


def in_the_loop(
    p: Placed,
    site: Site,
    offer: Offer,
    planned: Planned,
    floors_kwh: Mapping[str, Any] | None,
    base: Run,
) -> Run:
    """The counterparty's commands run interval by interval against the twin: its planned awards, through the contract's
    rights and the guard; between them the site's own policy. floors_kwh: the reserve, None = ceded."""
    from ...control.aggregator_primary import AggregatorPrimary
    from ...control.loop import run
    from ..stacking.cases import wear_of
    from .plans import holding

    m = holding(p, base, offer.covered)
    c = offer.contracts[0]
    covered = [s for s in p.streams if s.name in c.streams]
    awards = {
        k: np.asarray(v)
        for k, v in planned.run.record.extra.items()
        if any(k.startswith(f"{s.name}/") for s in covered)
    }
    options = site.written.study
    policy = AggregatorPrimary(
        c, awards_kw=awards, rest=options.policy, rest_options=dict(options.policy_options)
    )
    view = m.view((*m.existing, *m.new), p.streams)
    record = run(
        m.world,
        (*m.existing, *m.new),
        policy,
        list(m.stream.terms(view)),
        import_limit_kw=m.meter.import_limit_kw,
        export_limit_kw=m.meter.export_limit_kw,
        telemetry=options.telemetry,
        reserve_kwh=dict(floors_kwh) if floors_kwh else None,
        streams=covered,
        setpoints=site.written.setpoints,
    )
    if m.load_kvar is not None and record.net_kvar is None:
        record = replace(record, net_kvar=m.load_kvar)
    more = {k: v for k, v in base.record.extra.items() if k not in record.extra and "/" in k}
    held = {a.name for a in m.new if hasattr(a, "_entries")}
    record = replace(
        record,
        quality=m.quality,
        extra={**record.extra, **{k: v for k, v in more.items() if k.split("/")[0] in held}},
    )
    wear, operation = wear_of(m, record, {}, 0)
    return Run(record, wear, operation, policy.kind)


# --- what is said ----------------------------------------------------------------------------------------


def _survival(
    at: Sequence[Placed], before: Mapping[tuple[int, str], Any], after: Sequence[Record]
) -> list[Survived]:
    """Survival of outages by length, from the state that each record leaves. before: curves by meter and stream."""
    out = []
    for i, (p, b) in enumerate(zip(at, after)):
        for s in p.streams:
            if not hasattr(s, "curves"):
                continue
            one, two = before[i, s.name], s.curves(b, p.ready.world)
            step_h = p.ready.timeline.step_h
            for h in (1.0, 4.0, 8.0, 24.0, 48.0):
                if h <= s.horizon_h and abs(h / step_h % 1) < 1e-9:
                    out.append(Survived(s.name, h, float(one.at(h)), float(two.at(h))))
    return out


def _reserves(at: Sequence[Placed], before: Sequence[Record], after: Sequence[Record]) -> list[ReserveKept]:
    out = []
    for p, a, b in zip(at, before, after):
        for s in p.streams:
            if hasattr(s, "floors_kwh") and hasattr(s, "check"):
                one, two = s.check(a, p.ready.world), s.check(b, p.ready.world)
                out.append(ReserveKept(s.name, one.hours, one.starts, len(one.breaches), len(two.breaches)))
    return out


def _exposed_usd(p: Placed, x: Planned) -> float:
    """What demand charges would be more if in the worst interval of every window the signal called all that is held."""
    if not x.exposure_kw.any():
        return 0.0
    record = x.run.record
    full, mean = (
        fsum(_demand_by_cycle(p.ready.settle(net, record.net_kvar)).values())
        for net in (np.asarray(record.net_kw) + x.exposure_kw, record.net_kw)
    )
    return full - mean


def _demand_by_cycle(bill: Any) -> dict[str, float]:
    """Demand charges due by billing cycle."""
    out: dict[str, list[float]] = {}
    for e in bill.ledger:
        if e.item.split("/")[0] in ("demand", "coincident", "contract_demand"):
            out.setdefault(e.cycle, []).append(-e.usd)
    return {k: fsum(v) for k, v in out.items()}


def _at_share(offer: Offer, share: float) -> Offer:
    """The same offer at another owner share."""

    def changed(r: Revenue) -> Revenue:
        return r.model_copy(update={"owner_frac": share})

    own = tuple(c.model_copy(update={"revenue": changed(c.revenue)}) for c in offer.contracts)
    return offer.model_copy(update={"contracts": own})


def _clause_notes(offer: Offer, who: str) -> list[str]:
    """Clauses that this replay does not act on, and what a reader might misread."""
    out = []
    for c in offer.contracts:
        acted = {"dispatch", "override", "pays_demand_increase"}
        left = [k for k in c.not_modelled if k not in acted]
        if left:
            out.append(
                f"contract {c.name}: written and shown, but nothing acts on it here: {', '.join(left)}"
            )
        r = c.revenue
        if who == "owner" and r.guaranteed_usd_per_month is not None and not r.true_up:
            out.append(
                f"contract {c.name}: the guarantee is paid whatever is done, so a plan that only looks at the owner's "
                "money gives the market nothing; no counterparty would pay for that for long"
            )
        if who == "aggregator" and "reserve" not in c.override.causes:
            out.append(
                f"contract {c.name}: the reserve is no cause for override, so the counterparty's plan may spend it; a "
                "live plant never runs like that"
            )
    return out


def _with_second(ranked: tuple[Offered, ...], none: Replay, c: _Comparison) -> tuple[Offered, ...]:
    """Each offer with the share at which it is worth the best of the others, no offer among them."""
    out = []
    for o in ranked:
        rest = [none.net_usd, *(x.ranked.net_usd for x in ranked if x is not o)]
        share = c.share_at(c.offers[o.name], o.dispatcher, max(rest))
        made = replace(o.ranked, second_frac=share)
        out.append(replace(o, owner=made) if o.dispatcher == "owner" else replace(o, aggregator=made))
    return tuple(out)


def _said(offers: Sequence[Offered], none: Replay, span_y: float) -> list[str]:
    """What a person should read first."""
    out = []
    best = offers[0]
    if best.ranked.net_usd <= none.net_usd:
        out.append(
            f"No offer is worth taking as it would be dispatched: the best, {best.name}, leaves the owner "
            f"{show_usd(-best.ranked.more_usd / span_y)} a year poorer than none."
        )
    else:
        out.append(
            f"{best.name} leaves the owner {show_usd(best.ranked.more_usd / span_y)} a year more than no offer."
        )
    for low in offers:
        for high in offers:
            if high.guaranteed_usd_per_y is not None or low.guaranteed_usd_per_y is not None:
                continue  # a check is no share
            if high.share_frac > low.share_frac + 1e-9 and high.ranked.net_usd < low.ranked.net_usd - 0.005:
                less = (low.ranked.net_usd - high.ranked.net_usd) / span_y
                out.append(
                    f"A share of {show_percent(high.share_frac)} ({high.name}) leaves the owner {show_usd(less)} a "
                    f"year less than one of {show_percent(low.share_frac)} ({low.name}): its dispatch costs more on "
                    f"the bill and in wear than the share brings."
                )
    for o in offers:
        gap = (o.owner.net_usd - o.aggregator.net_usd) / span_y
        if gap > 0.005:
            out.append(
                f"Under {o.name} it is worth {show_usd(gap)} a year to the owner who commands the battery."
            )
        if 0 < o.ranked.more_usd < o.ranked.exposed_usd:
            out.append(
                f"What {o.name} brings stands on mean calls: were the worst interval of every billing window a full "
                f"call, demand charges would rise by {show_usd(o.ranked.exposed_usd / span_y)} a year, more than that."
            )
        for w in o.ranked.wear:
            first = None if w.spent is None else w.spent.first_breach
            if first is not None and first.breach is not None:
                out.append(
                    f"Under {o.name} the warranty of {w.asset} is breached on {first.breach:%d %B %Y} ({first.name}: "
                    f"{first.used:,.4g} of {first.limit:,.4g} {first.unit}), were the use to go on."
                )
    return out


def _assumptions(at: Sequence[Placed], offers: Sequence[Offer]) -> list[Assumption]:
    out = [a for p in at for a in p.ready.assumptions]
    for o in offers:
        out.append(
            Assumption(
                f"offer {o.name}",
                o.what,
                o.source or "no source given",
                o.verified,
                "offer",
            )
        )
    out.append(
        Assumption(
            "every contract is replayed as if it held all year, whatever its first day",
            "",
            "definition of the replay",
            True,
            "offers",
        )
    )
    out.append(
        Assumption(
            "of a sign-up fee each year of the term bears an equal part; cost to leave is shown and not charged",
            "",
            "definition of the replay",
            True,
            "offers",
        )
    )
    seen: set[str] = set()
    for p in at:
        for s in p.streams:
            for text in map(str, getattr(s, "assumptions", ())):
                if text not in seen:
                    seen.add(text)
                    out.append(Assumption(text, "", "", "not verified" not in text, f"stream {s.name}"))
    return out
