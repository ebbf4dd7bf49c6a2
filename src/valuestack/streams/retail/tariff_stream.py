"""The retail tariff as a value stream: what it asks of a decision, and the settled bill."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from math import fsum, inf
from typing import Any, ClassVar

import numpy as np

from ...dispatch import Record, View, World
from ...ledger import Entry
from ...terms import Block, Floor, HoursUse, Limit, Measure, Minimum, Payment, Term
from ...timeline import Ints, Kw, Timeline
from .bill import Version, bill, tariff_holidays, versions_of
from .cycles import Cycles, make_cycles
from .demand import Demand
from .energy import BILLED
from .facts import BillFacts, History
from .item import Calendar, Decided, Item, Metered

_EPOCH = 719163  # ordinal of 1970-01-01


@dataclass(frozen=True, slots=True, eq=False)
class Stated:
    """A tariff as terms over a timeline. constant_usd: (cycles,) charges that no decision moves. unstated:
    items whose charge depends on the load and that no term says: settlement only."""

    terms: tuple[Term, ...]
    constant_usd: Kw
    unstated: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether terms plus constant are the bill."""
        return not self.unstated and all(t.exact for t in self.terms)


def state(
    tariff: Any,
    timeline: Timeline,
    *,
    cycles: Any = None,
    history: Any = None,
    facts: BillFacts | None = None,
) -> Stated:
    """Every term of a tariff, or of its versions, over a whole timeline.

    A version's energy prices stand on its own days; its demand windows span the cycle and their price is
    weighed by its share of the cycle's days, as the bill prorates them.
    """
    spans, past, known = make_cycles(timeline, cycles), History.of(history), facts or BillFacts()
    versions = versions_of(tariff)
    out: list[Term] = []
    constant = np.zeros(spans.n)
    unstated: list[str] = []
    for i, version in enumerate(versions):
        mask, share = _force(version, timeline, spans)
        if not mask.any():
            continue
        asked, fixed, floor = _one(version, timeline, spans, past, known, share, unstated)
        constant += fixed * share
        tail = f" ({i + 1})" if len(versions) > 1 else ""
        terms = [
            t if mask.all() and not tail else _in_force(item, t, mask, share, spans, tail)
            for item, t in asked
        ]
        out += _minimums(terms, fixed * share, floor, spans)
    return Stated(tuple(out), constant, tuple(dict.fromkeys(unstated)))


def _force(version: Version, timeline: Timeline, cycles: Cycles) -> tuple[np.ndarray[Any, Any], Kw]:
    first = -(10**9) if version.from_date is None else version.from_date.toordinal() - _EPOCH
    until = 10**9 if version.until_date is None else version.until_date.toordinal() - _EPOCH
    days = np.clip(np.minimum(cycles.until_day, until) - np.maximum(cycles.first_day, first), 0, None)
    return (timeline.day >= first) & (timeline.day < until), days / cycles.days


def _one(
    version: Version,
    timeline: Timeline,
    cycles: Cycles,
    past: History,
    facts: BillFacts,
    share: Kw,
    unstated: list[str],
) -> tuple[list[tuple[Item, Term]], Kw, float]:
    """Terms with the items that state them, what no decision moves by cycle, and how minima are taxed."""
    tariff = version.tariff
    holidays = facts.holidays if facts.holidays is not None else tariff_holidays(tariff, timeline)
    calendar = Calendar.of(timeline, holidays)
    decided = Decided(timeline, cycles, calendar, facts, past, tariff.name, in_force_frac=share)
    terms: list[tuple[Item, Term]] = []
    constant = np.zeros(cycles.n)
    index = {name: i for i, name in enumerate(cycles.names)}
    nothing = Metered(
        timeline,
        np.zeros(timeline.n),
        None,
        cycles,
        calendar,
        facts if facts.power_factor is not None else replace(facts, power_factor=0.8),
        past,
        tariff.name,
        "utility",
    )
    some = replace(nothing, net_kw=np.full(timeline.n, 100.0), assumptions=[], entries=[])
    for item in tariff.ordered:
        factor = multiplier(item, tariff.ordered)
        decided.multiplier = factor
        asked = [_honest(t, item, tariff.ordered) for t in item.terms(decided)]
        terms += [(item, t) for t in asked]
        if type(item).stage < 2 and not isinstance(item, _scaling(item)):
            # Charged though stated too: a clause that stands on other charges reads them.
            fixed, moved = item.charge(nothing), item.charge(some)
            nothing.entries += fixed
            some.entries += moved
            if asked:
                continue
            for e in fixed:
                constant[index[e.cycle]] += -e.usd * factor
            if abs(fsum(e.usd for e in fixed) - fsum(e.usd for e in moved)) > 1e-9:
                unstated.append(f"{item.kind} {item.name}".strip())
    return _hours_use(terms, tariff.ordered, decided), constant, _floor_tax(tariff.ordered)


def _floor_tax(items: Sequence[Item]) -> float:
    """By which taxes raise what a minimum bill compares, nan where they raise its parts unequally."""
    taxes = [i for i in items if type(i).stage > 2]
    charging = [i for i in items if i not in taxes and not _only_scales(i)]
    factors = {1.0 + sum(t.scales(f"{i.kind}/{i.name}") for t in taxes) for i in charging}
    return factors.pop() if len(factors) == 1 else float("nan")


def _only_scales(item: Item) -> bool:
    return isinstance(item, _scaling(item))


def _hours_use(
    terms: list[tuple[Item, Term]], items: Sequence[Item], decided: Decided
) -> list[tuple[Item, Term]]:
    """Hours-use tiers refer to the payment whose billed kW they read: the flat demand charge, or one without
    a price that follows the highest of the periods, or of the cycle."""
    if not any(_reads_billed(t) for _, t in terms):
        return terms
    named = [i for i in items if isinstance(i, Demand) and not i.daily and i.unit != "kVA"]
    billing = next((i for i in reversed(named) if i.flat), named[0] if named else None)
    of = BILLED
    # Where more billed kW save on energy, a plan must not be free to call up a floor: it stays out.
    ratchet = billing is not None and billing.ratchet is not None
    loose = ratchet and any(_rises(t) for _, t in terms if _reads_billed(t))
    if (
        billing is not None
        and billing.flat
        and not loose
        and any(t.name == billing.term_name for _, t in terms)
    ):
        of = billing.term_name
    out = [
        (i, _loosened(_referring(t, of)) if loose and _reads_billed(t) else _referring(t, of))
        for i, t in terms
    ]
    if of != BILLED:
        return out
    floors: list[Floor] = []
    if billing is not None and ratchet and not loose:
        for c, (least, share, earlier) in enumerate(billing.floors(decided)):
            if least > 0 or earlier:
                floors.append(Floor(c, least=least, share=share, of_windows=earlier))
    measure = billing.measure(decided) if billing is not None else Measure("import")
    billed = Payment(
        decided.tariff,
        BILLED,
        measure,
        "max",
        decided.cycles.index,
        (Block(inf, 0.0),),
        floors=tuple(floors),
        reason="billed demand, for hours-use tiers",
    )
    owner = billing or next(i for i, t in terms if _reads_billed(t))
    return [*out, (owner, billed)]


def _rises(term: Term) -> bool:
    """Whether a price rises from one tier to the next."""
    if not isinstance(term, Payment):
        return False
    prices = [np.asarray(b.usd_per_unit) for b in term.blocks]
    return any(bool(np.any(b > a)) for a, b in pairwise(prices))


def _loosened(term: Term) -> Term:
    why = f"{term.reason}; the tiers rise with billed kW, whose ratchet is left out"
    return replace(term, exact=False, reason=why)


def _reads_billed(term: Term) -> bool:
    return isinstance(term, Payment) and any(
        isinstance(b.upto, HoursUse) and b.upto.of == BILLED for b in term.blocks
    )


def _referring(term: Term, of: str, old: str = BILLED) -> Term:
    """The term with hours-use bounds on `old` turned to the payment `of`."""
    if not isinstance(term, Payment) or not any(isinstance(b.upto, HoursUse) for b in term.blocks):
        return term
    return replace(
        term,
        blocks=tuple(
            replace(b, upto=HoursUse(b.upto.hours, of))
            if isinstance(b.upto, HoursUse) and b.upto.of == old
            else b
            for b in term.blocks
        ),
    )


def _scaling(item: Item) -> type[Item]:
    """The item's own class if it only scales others (its charge is folded into their prices)."""
    return (
        type(item) if any(item.scales(k) for k in ("energy/x", "demand/x", "fixed/x", "export/x")) else _Never
    )


class _Never(Item):
    """Matches no item."""


def multiplier(item: Item, items: Sequence[Item]) -> float:
    """By which percentage riders and taxes scale what `item` charges: those that charge after it, and those
    that charge on these in turn."""
    order = list(items)

    def factor(name: str, at: int) -> float:
        out = 1.0
        for j in range(at + 1, len(order)):
            share = order[j].scales(name)
            if share:
                out += share * factor(f"{order[j].kind}/{order[j].name}", j)
        return out

    return factor(f"{item.kind}/{item.name}", next(k for k, other in enumerate(order) if other is item))


def _honest(term: Term, item: Item, items: Sequence[Item]) -> Term:
    """Not exact where a percentage stands on single lines of the item, or on part of the time."""
    for other in items:
        if not _only_scales(other):
            continue
        lines = (*getattr(other, "applies_to", ()), *getattr(other, "exempt", ()))
        single = any(line.startswith(f"{item.kind}/") for line in lines)
        dated = getattr(other, "valid_from", None) or getattr(other, "valid_until", None)
        seasonal = len(getattr(other, "months", range(12))) < 12
        if single or ((dated or seasonal) and other.scales(f"{item.kind}/{item.name}")):
            why = f"{term.reason}; {other.kind} {other.name} stands on a part of it only"
            return replace(term, exact=False, reason=why)
    return term


def _in_force(
    item: Item, term: Term, mask: np.ndarray[Any, Any], share: Kw, cycles: Cycles, tail: str
) -> Term:
    """A version's term: cut to its days, or weighed by its share of each cycle."""
    if isinstance(term, Minimum):
        return replace(term, name=term.name + tail)
    if not isinstance(term, Payment):
        return term
    for of in {b.upto.of for b in term.blocks if isinstance(b.upto, HoursUse)}:
        renamed = _referring(term, of + tail, of)
        assert isinstance(renamed, Payment)
        term = renamed
    floors = tuple(replace(f, of=f.of and f.of + tail) for f in term.floors)
    term = replace(term, name=term.name + tail, floors=floors, pool=term.pool and term.pool + tail)
    if item.by_interval or term.over != "max":
        term = _cut(term, mask)
    if term.over != "max" or not term.windows or getattr(item, "daily", False):
        return term
    first = np.array([int(np.flatnonzero(term.window == w)[0]) for w in range(term.windows)])
    weight = share[cycles.index[first]]
    blocks = tuple(Block(b.upto, np.asarray(b.usd_per_unit) * weight) for b in term.blocks)
    return replace(term, blocks=blocks)


def _cut(p: Payment, mask: np.ndarray[Any, Any]) -> Payment:
    """A payment on the intervals of `mask` alone, its windows numbered anew."""
    window = np.where(mask, p.window, -1)
    if p.over == "each":
        return replace(p, window=window)
    kept = np.unique(window[window >= 0])
    number = np.full(p.windows + 1, -1, dtype=np.int64)
    number[kept] = np.arange(kept.size)

    def of_kept(value: Any) -> Any:
        return value[kept] if isinstance(value, np.ndarray) and value.ndim else value

    carry = p.carry
    if carry is not None:
        following = carry.next_window[kept]
        carry = replace(carry, next_window=np.where(following < 0, -1, number[following]))
    floors = []
    for f in p.floors:
        if number[f.window] >= 0:
            past = tuple(int(number[w]) for w in f.of_windows if number[w] >= 0)
            floors.append(replace(f, window=int(number[f.window]), of_windows=past))
    blocks = tuple(Block(of_kept(b.upto), of_kept(b.usd_per_unit)) for b in p.blocks)
    return replace(p, window=number[window], blocks=blocks, floors=tuple(floors), carry=carry)


def _minimums(terms: list[Term], constant: Kw, tax: float, cycles: Cycles) -> list[Term]:
    """Minimum bills get their members, and are net of what no decision moves. Taxes raise both sides alike,
    or the term is not exact; so it is where a pool of payments, which may be no member, is missing."""
    payments = [t for t in terms if isinstance(t, Payment)]
    members = tuple(t.name for t in payments if t.pool is None)
    alone = sum(isinstance(t, Minimum) for t in terms) == 1  # a second one would count what the first adds
    out: list[Term] = []
    for t in terms:
        if isinstance(t, Minimum):
            first = np.searchsorted(cycles.index, np.arange(cycles.n))
            months = np.bincount(t.window[first], weights=constant, minlength=t.usd.size)
            factor = tax if np.isfinite(tax) else 1.0
            t = replace(
                t,
                members=members,
                usd=t.usd * factor - months,
                exact=bool(alone and np.isfinite(tax) and len(members) == len(payments)),
            )
        out.append(t)
    return out


@dataclass(frozen=True, eq=False)
class TariffStream:
    """A tariff on one meter: terms for the optimiser, a bill for the owner.

    tariff: a Tariff or its versions. limits: further terms of the meter (interconnection). The state holds,
    by payment, what each window has measured so far.
    """

    tariff: Any
    timeline: Timeline
    name: str = "retail tariff"
    cycles: Any = None
    history: Any = None
    facts: BillFacts | None = None
    limits: tuple[Limit, ...] = field(default=())
    kind: ClassVar[str] = "tariff_stream"
    layer: ClassVar[int] = 1
    certainty: ClassVar[str] = "contractual"

    @cached_property
    def stated(self) -> Stated:
        """Terms over the whole timeline."""
        return state(self.tariff, self.timeline, cycles=self.cycles, history=self.history, facts=self.facts)

    @cached_property
    def _blocks(self) -> Mapping[str, Ints]:
        return {
            t.name: self.timeline.block(t.measure.average_h)
            for t in self.stated.terms
            if isinstance(t, Payment) and t.measure.average_h is not None
        }

    @cached_property
    def _paid(self) -> Mapping[str, Kw]:
        """Price of each interval of the payments that no window of their own remembers, (n,)."""
        members = {m for t in self.stated.terms if isinstance(t, Minimum) for m in t.members}
        return {
            t.name: np.where(t.window >= 0, t.blocks[0].usd_per_unit, 0.0)
            for t in self.stated.terms
            if isinstance(t, Payment) and t.over == "each" and t.name in members
        }

    def initial_state(self) -> dict[str, Kw]:
        """Nothing measured in any window."""
        out: dict[str, Kw] = {}
        for t in self.stated.terms:
            if isinstance(t, Payment) and t.over != "each":
                out[t.name] = np.zeros(t.windows)
            elif isinstance(t, Minimum):
                out[t.name] = np.zeros(t.usd.size)
        return out

    def observe(self, state: dict[str, Kw], record: Record, k: int) -> dict[str, Kw]:
        """The state once interval k is closed: peaks of finished blocks, energy of windows, and for minimum
        bills the charges by interval so far [USD]."""
        out = dict(state)
        for t in self.stated.terms:
            if isinstance(t, Minimum):
                out[t.name] = self._charged(t, out[t.name], record, k)
            if not isinstance(t, Payment) or t.over == "each" or t.window[k] < 0:
                continue
            w = int(t.window[k])
            values = out[t.name].copy()
            if t.over == "sum":
                values[w] += float(_flow(t.measure, record, k)) * self.timeline.step_h
            elif t.name not in self._blocks:
                values[w] = max(values[w], float(_flow(t.measure, record, k)))
            else:
                block = self._blocks[t.name]
                if k + 1 == block.size or block[k + 1] != block[k]:
                    first = int(np.searchsorted(block, block[k]))
                    mean = float(np.mean([_flow(t.measure, record, j) for j in range(first, k + 1)]))
                    values[w] = max(values[w], mean)
            out[t.name] = values
        return out

    def _charged(self, t: Minimum, usd: Kw, record: Record, k: int) -> Kw:
        out = usd.copy()
        for p in self.stated.terms:
            if isinstance(p, Payment) and p.name in t.members and p.name in self._paid:
                kwh = float(_flow(p.measure, record, k)) * self.timeline.step_h
                out[int(t.window[k])] += kwh * float(self._paid[p.name][k])
        return out

    def terms(self, view: View) -> Sequence[Term]:
        """The terms over the view's horizon, with what its state says was measured before."""
        if view.k == 0 and view.n == self.timeline.n:
            return (*self.stated.terms, *self.limits)
        held = {**self.initial_state(), **(view.stream_state.get(self.name) or {})}
        part = slice(view.k, view.k + view.n)
        out: list[Term] = []
        for t in self.stated.terms:
            if isinstance(t, Payment):
                blocks = t.blocks
                if t.over == "each":
                    blocks = tuple(
                        Block(b.upto, np.broadcast_to(b.usd_per_unit, self.timeline.n)[part]) for b in blocks
                    )
                if (t.window[part] >= 0).any():
                    out.append(replace(t, window=t.window[part], blocks=blocks, so_far=held.get(t.name)))
            elif isinstance(t, Minimum):
                # What a window that outlasts the horizon will come to is not known: it is not held to its minimum.
                ends = view.k + view.n
                lasts = np.isin(np.arange(t.usd.size), t.window[ends:]) & (t.usd > -inf)
                usd = np.where(lasts, -inf, t.usd - held[t.name])
                out.append(replace(t, window=t.window[part], usd=usd, exact=t.exact and not lasts.any()))
            else:
                out.append(t)
        return (*out, *self.limits)

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """The entries of the bill of what was metered."""
        return bill(
            self.tariff,
            record.timeline,
            record.net_kw,
            record.net_kvar,
            history=self.history,
            cycles=self.cycles,
            facts=self.facts,
        ).ledger


def _flow(measure: Measure, record: Record, k: int) -> Any:
    net = record.net_kw[..., k]
    if measure.flow == "import":
        return np.maximum(net, 0.0)
    if measure.flow == "export":
        return np.maximum(-net, 0.0)
    if measure.flow == "net":
        return net
    kvar = record.net_kvar[..., k] if record.net_kvar is not None else 0.0
    return np.hypot(np.maximum(net, 0.0), kvar) if measure.flow == "kva" else kvar
