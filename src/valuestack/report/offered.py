"""What a comparison of offers found: each offer replayed over the year under two dispatchers, beside no offer at all.

    Replay    one offer under one dispatcher, settled: who gets what of the gross, damage, wear, survival, warranty
    Offered   one offer: its two replays, what it costs to leave, and what it says
    Ceded     the same year in the loop with and without the clause that lets the owner keep a reserve
    Compared  all of them, ranked by what the owner nets

Nothing here computes money: every figure was settled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Literal

from ..ledger import Ledger
from .result import Assumption

Dispatcher = Literal["owner", "aggregator", "nobody"]
BUCKETS: dict[str, str] = {
    "owner": "owner, more than without an offer",
    "aggregator": "aggregator",
    "utility": "utility (bill with less bill without)",
    "financier": "financier",
    "cost to serve": "own cost to serve",
    "wear": "wear, fuel and starts",
    "reserve": "lost reserve (resilience)",
    "other streams": "other streams",
    "penalties": "penalties to the market",
}


@dataclass(frozen=True, slots=True)
class Survived:
    """Probability of surviving an outage of so many hours, before (no offer) and after (the offer)."""

    stream: str
    hours: float
    before_frac: float
    after_frac: float


@dataclass(frozen=True, slots=True)
class ReserveKept:
    """Starts at which a reserve would not carry its hours although nothing fails, before and after."""

    stream: str
    hours: float
    starts: int
    breaches_before: int
    breaches_after: int


@dataclass(frozen=True, slots=True, eq=False)
class Worn:
    """What one store did over the span. spent: its warranty (see assets/wear/warranty.py); asked: terms to ask for."""

    asset: str
    throughput_mwh: float
    full_cycles: float
    wear_usd: float
    fade_frac_per_y: float | None
    spent: Any
    asked: Any

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        s = self.spent
        return {
            "asset": self.asset,
            "throughput_mwh": self.throughput_mwh,
            "full_cycles": self.full_cycles,
            "wear_usd": self.wear_usd,
            "fade_frac_per_y": self.fade_frac_per_y,
            "warranty": None
            if s is None
            else {
                "term_y": s.term_y,
                "terms": [{**asdict(t), "used_frac": t.used_frac} for t in s.terms],
                "years": [asdict(y) for y in s.years],
            },
            "ask_for": None if self.asked is None else asdict(self.asked),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """One offer under one dispatcher, over the span.

    net_usd: money of the owner against the site before any asset, wear and expected outage costs with it; more_usd: the
    same against no offer. gross_usd: what the market paid for the covered streams; split_usd: where each dollar of it
    went, by the names in BUCKETS, summing to it. damage: bill with less bill without by cycle. exposed_usd: what
    more demand charges would come to, were the worst interval of each window a full call (no part of net). commanded_h,
    events: of the counterparty. break_even_frac: owner share at which the offer is worth no offer, second_frac: the
    second best (None = no share is), at this dispatch; break_even_kw: size of the asset from which on it pays. ledger:
    everything but bill and cost of operation. gap_usd: how far the plan may be from the best.
    """

    dispatcher: Dispatcher
    label: str
    bill_usd: float
    net_usd: float
    more_usd: float
    gross_usd: float
    penalties_usd: float
    split_usd: Mapping[str, float]
    damage: Mapping[str, float]
    exposed_usd: float
    wear: tuple[Worn, ...]
    survival: tuple[Survived, ...]
    reserves: tuple[ReserveKept, ...]
    commanded_h: float
    events: int
    ledger: Ledger
    operation_usd: float
    gap_usd: float
    break_even_frac: float | None = None
    second_frac: float | None = None
    break_even_kw: float | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without interval series."""
        plain = (
            "dispatcher",
            "label",
            "bill_usd",
            "net_usd",
            "more_usd",
            "gross_usd",
            "penalties_usd",
            "exposed_usd",
            "operation_usd",
            "gap_usd",
            "commanded_h",
            "events",
            "break_even_frac",
            "second_frac",
            "break_even_kw",
        )
        return {
            **{k: getattr(self, k) for k in plain},
            "split_usd": dict(self.split_usd),
            "damage": [{"cycle": c, "usd": v} for c, v in self.damage.items()],
            "wear": [w.to_dict() for w in self.wear],
            "survival": [asdict(s) for s in self.survival],
            "reserves": [asdict(r) for r in self.reserves],
            "notes": list(self.notes),
            "ledger": self.ledger.to_list(),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Ceded:
    """The same year in the loop: the offer with the clause that keeps the reserve, and without it (twin only).

    each: net_usd to the owner over the span, gross_usd, survival and reserve starts not carried."""

    offer: str
    kept_usd: float
    ceded_usd: float
    kept_gross_usd: float
    ceded_gross_usd: float
    survival: tuple[Survived, ...]
    reserves: tuple[ReserveKept, ...]
    commanded_h: float

    @property
    def more_usd(self) -> float:
        """What ceding the reserve earns the owner over the span, expected outage costs counted."""
        return self.ceded_usd - self.kept_usd

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; before = reserve kept, after = ceded."""
        return {**asdict(self), "more_usd": self.more_usd}


@dataclass(frozen=True, slots=True, eq=False)
class Offered:
    """One offer and its replays. fees_usd_per_y: with sign-up spread over the term; exit_usd: cost to leave by year."""

    name: str
    who: str
    what: str
    dispatcher: Dispatcher
    share_frac: float
    guaranteed_usd_per_y: float | None
    fees_usd_per_y: float
    years: float
    exit_usd: tuple[float, ...]
    owner: Replay
    aggregator: Replay
    verified: bool
    source: str
    ceded: Ceded | None = None

    @property
    def ranked(self) -> Replay:
        """The replay of whoever commands under it."""
        return self.owner if self.dispatcher == "owner" else self.aggregator

    @property
    def other(self) -> Replay:
        """The other one."""
        return self.aggregator if self.dispatcher == "owner" else self.owner

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = ("name", "who", "what", "dispatcher", "share_frac", "guaranteed_usd_per_y", "fees_usd_per_y")
        return {
            **{k: getattr(self, k) for k in plain},
            "years": self.years,
            "exit_usd": list(self.exit_usd),
            "net_usd": self.ranked.net_usd,
            "more_usd": self.ranked.more_usd,
            "owner": self.owner.to_dict(),
            "aggregator": self.aggregator.to_dict(),
            "ceded": None if self.ceded is None else self.ceded.to_dict(),
            "verified": self.verified,
            "source": self.source,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Offers for a site, best first; none: the year without any of them. said: what a person should read first."""

    site: str
    as_of: date
    span_y: float
    none: Replay
    offers: tuple[Offered, ...]
    said: tuple[str, ...]
    head: tuple[str, ...] = ()
    assumptions: tuple[Assumption, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def order(self) -> list[tuple[str, Replay]]:
        """Every offer and no offer, by what the owner nets."""
        rows = [("no offer", self.none), *((o.name, o.ranked) for o in self.offers)]
        return sorted(rows, key=lambda r: -r[1].net_usd)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "site": self.site,
            "as_of": self.as_of.isoformat(),
            "status": "bound: perfect foresight",
            "span_y": self.span_y,
            "head": list(self.head),
            "said": list(self.said),
            "ranking": [
                {
                    "name": n,
                    "net_usd_per_y": r.net_usd / self.span_y,
                    "more_usd_per_y": r.more_usd / self.span_y,
                }
                for n, r in self.order
            ],
            "no_offer": self.none.to_dict(),
            "offers": [o.to_dict() for o in self.offers],
            "assumptions": [a.to_dict() for a in self.assumptions],
            "seconds": dict(self.seconds),
        }
