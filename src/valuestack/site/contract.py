"""Contracts: who shares in what a stream earns, who may dispatch, and what may override it, as data.

A contract wraps a stream: `Contracted` states the owner's part of its terms and settles the owner's part of its
entries, so that a plan maximises what the owner nets and not the gross, and the ledger still shows every gross
dollar with who took it. With r the gross revenue and p the gross penalty of a settlement period (r, p >= 0), owner
share s and penalty share q, the owner gets
    s r - q p                    without netting,
    s (r - p) if r > p, else q (r - p)   with penalties netted against revenue first,
and at least the floor; a guarantee replaces it, with or without a true-up to what the share would have paid.

Sources of the clause list: published pro-forma agreements (SCE demand response purchase agreement 2022; PG&E
aggregator demand response agreement, contracts.justia.com), read as lists of clauses, not as texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from math import fsum
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..assets.wear.warranty import moved_kw
from ..dispatch import Call, Record, View, World
from ..ledger import Entry
from ..terms import Block, Claim, Payment, Term
from ..timeline import Kw, Timeline

Cause = Literal["outage", "storm warning", "reserve", "production", "safety", "warranty"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)


class Revenue(_Part):
    """Who gets what. owner_frac: the owner's share of gross revenue; penalty_owner_frac: of penalties. netting:
    penalties are taken off revenue before it is shared. floor_usd_per_month: at least this much.
    guaranteed_usd_per_month: paid whatever happens; true_up: the owner also gets what the share would have paid
    beyond it. payment_lag_days: from the end of a month to its payment."""

    owner_frac: float = Field(default=1.0, ge=0, le=1)
    penalty_owner_frac: float = Field(default=1.0, ge=0, le=1)
    netting: bool = False
    floor_usd_per_month: float | None = Field(default=None, ge=0)
    guaranteed_usd_per_month: float | None = Field(default=None, ge=0)
    true_up: bool = False
    payment_lag_days: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _one_promise(self) -> Revenue:
        if self.floor_usd_per_month is not None and self.guaranteed_usd_per_month is not None:
            raise ValueError("floor_usd_per_month and guaranteed_usd_per_month exclude each other; keep one")
        if self.true_up and self.guaranteed_usd_per_month is None:
            raise ValueError("true_up belongs to guaranteed_usd_per_month; give it or drop true_up")
        return self


class Dispatch(_Part):
    """What the counterparty may do with the asset; None = no limit is written. Cycles count what its calls discharge.
    priority: of its calls, lower is stronger (0 is resilience and stays the owner's)."""

    max_events_per_y: int | None = Field(default=None, ge=0)
    max_hours_per_event: float | None = Field(default=None, gt=0)
    max_hours_per_y: float | None = Field(default=None, ge=0)
    max_cycles_per_y: float | None = Field(default=None, ge=0)
    max_cycles_per_day: float | None = Field(default=None, ge=0)
    min_rest_h: float = Field(default=0.0, ge=0)
    soc_min_frac: float = Field(default=0.0, ge=0, lt=1)
    soc_max_frac: float = Field(default=1.0, gt=0, le=1)
    notice_h: float = Field(default=0.0, ge=0)
    from_h: float = Field(default=0.0, ge=0, lt=24)
    to_h: float = Field(default=24.0, gt=0, le=24)
    opt_outs_per_y: int = Field(default=0, ge=0)
    opt_out_usd: float = Field(default=0.0, ge=0)
    priority: int = Field(default=5, ge=1, le=9)

    @model_validator(mode="after")
    def _window(self) -> Dispatch:
        if self.soc_min_frac >= self.soc_max_frac:
            raise ValueError(
                f"soc_min_frac {self.soc_min_frac:g} is not below soc_max_frac {self.soc_max_frac:g}"
            )
        return self


class Override(_Part):
    """For which causes the owner may take the asset back, at what notice and cost."""

    causes: tuple[Cause, ...] = ("outage", "reserve", "safety")
    notice_h: float = Field(default=0.0, ge=0)
    usd_per_event: float = Field(default=0.0, ge=0)


class Wearing(_Part):
    """Who pays for wear: usd_per_mwh that the counterparty pays for each MWh discharged under the contract."""

    usd_per_mwh: float = Field(default=0.0, ge=0)
    capacity_floor_frac: float | None = Field(default=None, gt=0, lt=1)


class ContractTerm(_Part):
    """start and length; exit_usd: cost to leave in each year of it, the last one holding on."""

    start: date
    years: float = Field(gt=0)
    renewal_years: float = Field(default=0.0, ge=0)
    notice_days: int = Field(default=0, ge=0)
    exit_usd: tuple[float, ...] = ()

    def exit_cost_usd(self, year: int) -> float:
        """Cost to leave in year `year` (1 = the first); 0 once the term is over."""
        if not self.exit_usd or year > self.years:
            return 0.0
        return self.exit_usd[min(year, len(self.exit_usd)) - 1]

    @property
    def until(self) -> date:
        """First day after the term."""
        months = round(self.years * 12) + self.start.month - 1
        year, month = self.start.year + months // 12, months % 12 + 1
        day = min(self.start.day, 28) if month == 2 else min(self.start.day, 30)
        return date(year, month, day)


class Contract(_Part):
    """A contract over one or more streams of a site. streams: their names. exclusive: the same assets may not serve
    others through somebody else: no restriction, the same programme, the kW promised, or the whole asset.
    asset: the store that its cycle, window and wear clauses speak of."""

    name: str
    counterparty: str = "aggregator"
    streams: tuple[str, ...] = Field(min_length=1)
    asset: str | None = None
    term: ContractTerm | None = None
    revenue: Revenue = Revenue()
    dispatch: Dispatch = Dispatch()
    override: Override = Override()
    wear: Wearing = Wearing()
    exclusive: Literal["none", "programme", "kw", "asset"] = "none"
    pays_demand_increase: bool = False
    rec_title: Literal["owner", "counterparty"] = "owner"
    telemetry_s: float | None = Field(default=None, gt=0)
    cost_usd_per_y: float = Field(default=0.0, ge=0)
    source: str = ""
    verified: bool = False

    @property
    def not_modelled(self) -> tuple[str, ...]:
        """Clauses that differ from their defaults and that neither plan nor settlement acts on: those that bind the
        counterparty's own dispatch, and those whose breach nobody here would see."""
        clauses = ("dispatch", "override", "exclusive", "pays_demand_increase", "rec_title", "telemetry_s")
        empty = Contract(name="-", streams=("-",))
        out = [c for c in clauses if getattr(self, c) != getattr(empty, c)]
        out += ["wear.capacity_floor_frac"] if self.wear.capacity_floor_frac is not None else []
        return (*out, *(["revenue.payment_lag_days"] if self.revenue.payment_lag_days else []))

    def in_force(self, day: date) -> bool:
        """Whether it holds on a day."""
        return self.term is None or self.term.start <= day < self.term.until


def contracted(stream: Any, contracts: Sequence[Contract], as_of: date) -> Any:
    """The stream inside the contracts over it that hold on a day, the first one outermost; itself where none does."""
    for c in reversed(contracts):
        if stream.name in c.streams and c.in_force(as_of):
            stream = Contracted(stream, c)
    return stream


@dataclass(frozen=True, slots=True, eq=False)
class Contracted:
    """A stream inside a contract: the owner's part of its terms and of its money."""

    inner: Any
    contract: Contract
    kind: ClassVar[str] = "contracted"

    @property
    def name(self) -> str:
        """The stream's own name."""
        return str(self.inner.name)

    @property
    def layer(self) -> int:
        """The stream's own layer."""
        return int(self.inner.layer)

    @property
    def certainty(self) -> str:
        """A guarantee makes it contractual."""
        fixed = self.contract.revenue.guaranteed_usd_per_month is not None
        return "contractual" if fixed else str(self.inner.certainty)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """The stream's own, and where the contract comes from."""
        c = self.contract
        own = () if c.verified else (f"contract {c.name}: {c.source or 'no source given'} (not verified)",)
        held = c.not_modelled
        if held:
            own = (
                *own,
                f"contract {c.name}: written and shown, but nothing acts on it here: {', '.join(held)}",
            )
        return (*getattr(self.inner, "assumptions", ()), *own)

    @property
    def findings(self) -> tuple[Any, ...]:
        """The stream's own."""
        return tuple(getattr(self.inner, "findings", ()))

    def contradicts(self, other: Any) -> list[str]:
        """What the stream says of another one: a contract changes nothing of it."""
        said = getattr(self.inner, "contradicts", None)
        return [] if said is None else list(said(other))

    def initial_state(self) -> Any:
        """The stream's own."""
        return self.inner.initial_state()

    def observe(self, state: Any, record: Record, k: int) -> Any:
        """The stream's own."""
        return self.inner.observe(state, record, k)

    def calls(self, world: World, timeline: Timeline) -> Sequence[Call]:
        """The stream's own: a contract shares money, not what the market asks."""
        said = getattr(self.inner, "calls", None)
        return () if said is None else tuple(said(world, timeline))

    def terms(self, view: View) -> Sequence[Term]:
        """The stream's terms at the owner's share. The clauses of `dispatch` bind the counterparty's own calls, not
        the owner's use of the asset, so they are no terms."""
        return [self._share(t) for t in self.inner.terms(view)]

    def _share(self, term: Term) -> Term:
        r = self.contract.revenue
        fixed = r.guaranteed_usd_per_month is not None and not r.true_up
        s, q = (0.0, r.penalty_owner_frac) if fixed else (r.owner_frac, r.penalty_owner_frac)
        exact = term.exact and not (r.netting or r.floor_usd_per_month or r.guaranteed_usd_per_month)
        if isinstance(term, Claim):
            return replace(term, usd_per_kw_h=s * np.asarray(term.usd_per_kw_h, dtype=float), exact=exact)
        if isinstance(term, Payment):
            if term.name.startswith("shortfall"):
                s = q  # stated as a reward of what is delivered, yet what is missing is a penalty
            blocks = tuple(Block(b.upto, _shared(b.usd_per_unit, s, q)) for b in term.blocks)
            return replace(term, blocks=blocks, exact=exact)
        return term

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """Gross entries of the stream, then what the counterparty takes or gives, month by month."""
        gross = list(self.inner.settle(record, world))
        yield from gross
        c, r = self.contract, self.contract.revenue
        cycles = list(dict.fromkeys(e.cycle for e in gross))
        for cycle in cycles:
            mine = [e for e in gross if e.cycle == cycle and e.counterparty != "own cost"]
            if not mine:
                continue
            plus, minus = self._gross(mine)
            share = owner_usd(r, plus, minus)
            months = _months_in(cycle)
            promised = (
                r.guaranteed_usd_per_month
                if r.guaranteed_usd_per_month is not None
                else r.floor_usd_per_month
            )
            final = share
            if promised is not None:
                fixed = r.guaranteed_usd_per_month is not None and not r.true_up
                final = promised * months if fixed else max(share, promised * months)
            yield self._entry(
                cycle, "share given up", fsum((share, -plus, minus)), plus, f"owner keeps {r.owner_frac:.0%}"
            )
            if abs(final - share) > 1e-9:
                kind = "guarantee" if r.guaranteed_usd_per_month is not None else "floor"
                yield self._entry(cycle, kind, final - share, months, f"{promised:,.2f} USD a month", "month")
        yield from self._wear(record)
        if c.cost_usd_per_y:
            years = record.timeline.hours / 8760.0
            cycle = f"{record.timeline.start:%Y-%m-%d}/{record.timeline.end:%Y-%m-%d}"
            yield self._entry(cycle, "contract costs", -c.cost_usd_per_y * years, years, "yearly cost", "y")

    def _gross(self, entries: Sequence[Entry]) -> tuple[float, float]:
        """Revenue and penalty that this contract shares: what an inner contract took is no penalty, it is revenue
        that never arrives here."""
        taken = self._inner_names()
        passed = [e for e in entries if e.item.split("/", 1)[0] in taken]
        own = [e for e in entries if e not in passed]
        plus, minus = fsum(max(e.usd, 0.0) for e in own), fsum(max(-e.usd, 0.0) for e in own)
        left = plus + fsum(e.usd for e in passed)
        return max(left, 0.0), minus + max(-left, 0.0)

    def _inner_names(self) -> set[str]:
        inner, out = self.inner, set()
        while isinstance(inner, Contracted):
            out.add(inner.contract.name)
            inner = inner.inner
        return out

    def _wear(self, record: Record) -> Iterator[Entry]:
        c = self.contract
        if not c.wear.usd_per_mwh or c.asset is None or c.asset not in record.asset_kw:
            return
        none = np.zeros(record.timeline.n)
        up, down = (record.extra.get(f"{c.asset}/called {way}", none) for way in ("up", "down"))
        _, out_kw = moved_kw(record.asset_kw[c.asset], up, down)
        mwh = float(out_kw.sum()) * record.timeline.step_h / 1000
        cycle = f"{record.timeline.start:%Y-%m-%d}/{record.timeline.end:%Y-%m-%d}"
        yield self._entry(cycle, "wear paid", c.wear.usd_per_mwh * mwh, mwh, "for each MWh discharged", "MWh")

    def _entry(
        self, cycle: str, item: str, usd: float, quantity: float, reason: str, unit: str = "USD"
    ) -> Entry:
        c = self.contract
        return Entry(
            cycle,
            self.layer,
            self.name,
            f"{c.name}/{item}",
            c.counterparty,
            quantity,
            unit,
            None,
            usd,
            certainty="contractual",
            reason=reason,
        )


def owner_usd(r: Revenue, revenue_usd: float, penalty_usd: float) -> float:
    """The owner's part of a period's gross revenue and penalty (both >= 0), before floors and guarantees [USD]."""
    if r.netting:
        net = revenue_usd - penalty_usd
        return net * (r.owner_frac if net > 0 else r.penalty_owner_frac)
    return r.owner_frac * revenue_usd - r.penalty_owner_frac * penalty_usd


def _shared(usd: float | Kw, owner_frac: float, penalty_frac: float) -> float | Kw:
    """Prices at the owner's share: revenue (below zero in a Payment) by one, penalties by the other."""
    price = np.asarray(usd, dtype=float)
    out = np.where(price < 0, owner_frac * price, penalty_frac * price)
    return float(out) if out.ndim == 0 else out


def _months_in(cycle: str) -> float:
    """Months of a settlement period: 1 for '2018-07', days / 30.4375 for a span of dates."""
    first, slash, last = cycle.partition("/")
    if not slash:
        return 1.0 if len(first) <= 7 else 1 / 30.4375
    try:
        days = (date.fromisoformat(last[:10]) - date.fromisoformat(first[:10])).days
    except ValueError:
        return 1.0
    return max(days, 1) / 30.4375
