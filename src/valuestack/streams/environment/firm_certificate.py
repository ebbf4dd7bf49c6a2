"""Firm certificates: green MWh delivered in the very hours in which a buyer wants them, at a premium.

    matched = direct + delivered,  usd = matched x REC price x (1 + premium) + the rest x REC price

direct: generation in those hours up to what is wanted; delivered: green energy out of the store, first in first out,
at most min(efficiency x charged, discharged). Energy that the store loses is load: its certificates are cancelled.
A matching first in first out is no term; it is settled only, and a plan does not see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import fsum
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from ...dispatch import Record, View, World
from ...errors import InputError
from ...flows import Store
from ...ledger import Entry
from ...terms import Term
from ...timeline import Kw, Timeline
from ..stream import Place
from .environment import (
    KWH_PER_MWH,
    Allocation,
    Claimant,
    CostToServe,
    Title,
    allocate,
    cycle_of,
    deliverable_kwh,
    generated_kwh,
    generators,
    months_of,
    offers,
    one_lane,
    priced,
    span_share,
    store_flows,
)


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """How a record matches what the buyer wants, (n,) kWh. matched_frac: share of what is wanted."""

    allocation: Allocation
    wanted_kwh: Kw

    @property
    def matched_kwh(self) -> Kw:
        """Delivered when wanted."""
        return self.allocation.direct_kwh + self.allocation.delivered_kwh

    @property
    def matched_frac(self) -> float:
        """Share of what is wanted, nan where the buyer wants no definite amount."""
        total = float(self.wanted_kwh.sum())
        return float(self.matched_kwh.sum()) / total if np.isfinite(total) and total > 0 else float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class MatchedReport:
    """How much of a buyer's hours a plan matches, a year. firm_usd: what the certificates earn over the span;
    plain_usd: what they would earn if all that was generated were sold as generated."""

    found: Matched
    years: float
    firm_usd: float
    plain_usd: float

    @property
    def premium_frac(self) -> float | None:
        """What selling hour by hour earns above selling as generated; None where nothing was generated."""
        return self.firm_usd / self.plain_usd - 1.0 if self.plain_usd > 0 else None

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a person reads first."""
        a = self.found.allocation
        direct, stored = (float(x.sum()) / KWH_PER_MWH / self.years for x in (a.direct_kwh, a.delivered_kwh))
        share = self.found.matched_frac
        told = "" if np.isnan(share) else f", {share:.1%} of what the buyer wants"
        return (
            f"{direct + stored:,.1f} MWh a year are delivered in the hours agreed{told}: {direct:,.1f} MWh as "
            f"generated and {stored:,.1f} MWh from storage, first in first out.",
            *self._earned(),
        )

    def _earned(self) -> tuple[str, ...]:
        """What the certificates bring beside selling them as generated."""
        premium = self.premium_frac
        if premium is None:
            return ()
        more = "more" if premium >= 0 else "less"
        return (
            f"Sold so they earn ${self.firm_usd / self.years:,.0f} a year, {abs(premium):.1%} {more} than the "
            f"${self.plain_usd / self.years:,.0f} of plain certificates of all that is generated; what the store "
            "loses earns nothing.",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        a, share = self.found.allocation, self.found.matched_frac
        return {
            "span_y": self.years,
            "direct_kwh": float(a.direct_kwh.sum()),
            "delivered_kwh": float(a.delivered_kwh.sum()),
            "matched_frac": None if np.isnan(share) else share,
            "firm_usd": self.firm_usd,
            "plain_usd": self.plain_usd,
            "premium_frac": self.premium_frac,
        }


class FirmCertificate(Claimant):
    """Hourly-matched certificates of solar and storage.

    assets: whose generation; stores: which stores carry it. hours: local hours (0..23) in which delivery counts,
    weekdays only where `weekdays_only`. wanted_kw: what the buyer takes in them, a number or a site series; none =
    all that comes. rec_usd_per_mwh: price of a plain certificate, at which the rest is sold; premium_frac: on top for
    what is matched. round_trip_efficiency_frac: none = as the stores' makers state it. start_kwh: grey energy in the
    stores before, as it would come out; none = what they start with. share_frac: title to generation.
    """

    kind: ClassVar[str] = "firm_certificate"
    layer: ClassVar[int] = 4
    certainty: ClassVar[str] = "contractual"
    name: str = "firm certificate"
    assets: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    share_frac: float = Field(default=1.0, gt=0, le=1)
    hours: tuple[int, ...] = ()
    weekdays_only: bool = False
    wanted_kw: float | str | None = None
    rec_usd_per_mwh: float | str
    premium_frac: float = Field(ge=0)
    sell_rest: bool = True
    round_trip_efficiency_frac: float | None = Field(default=None, gt=0, le=1)
    start_kwh: float | None = Field(default=None, ge=0)
    first_date: date | None = None
    until_date: date | None = None
    renewable_fuel: bool = False
    buyer: str = "certificate buyer"
    source: str = ""
    cost: CostToServe = CostToServe()

    @model_validator(mode="after")
    def _consistent(self) -> FirmCertificate:
        if any(not 0 <= h <= 23 for h in self.hours):
            raise ValueError(f"hours = {list(self.hours)}: local hours are 0 to 23")
        if self.first_date and self.until_date and self.until_date <= self.first_date:
            raise ValueError(f"until_date {self.until_date} is not after first_date {self.first_date}")
        return self

    @property
    def titles(self) -> tuple[Title, ...]:
        """The title that it claims to each asset's generation."""
        return tuple(
            Title(self.name, a, "firm certificate", self.share_frac, self.first_date, self.until_date)
            for a in self.assets
        )

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Defaults taken."""
        out = [
            f"{self.name}: settled only; a plan does not see certificates matched first in first out",
            f"{self.name}: what the store loses is load, its certificates are cancelled",
        ]
        if not self.source:
            out.append(f"{self.name}: no source is given for its price and premium; not verified")
        if self.wanted_kw is None:
            out.append(f"{self.name}: the buyer takes all that comes in its hours")
        return (*out, *self.cost.assumptions(self.name))

    def bind(self, place: Place) -> FirmCertificate:
        """Made ready for a place: generators and stores found, the stores' efficiency and content read."""
        found = offers(place)
        names, problems = generators(self.assets, found, self.renewable_fuel)
        stores = {n: o for n, o in found.items() if isinstance(o, Store)}
        for name in self.stores:
            if name not in stores:
                problems.append(f"stores: {name!r} is no store here; there are {', '.join(stores) or 'none'}")
        used = [stores[n] for n in self.stores or tuple(stores) if n in stores]
        for key, value in (("rec_usd_per_mwh", self.rec_usd_per_mwh), ("wanted_kw", self.wanted_kw)):
            if isinstance(value, str) and value not in place.world.series:
                problems.append(f"{key}: the site has no series {value!r}; add it, or write a number")
        if problems:
            raise InputError.collect(self.name, problems)
        update: dict[str, Any] = {"assets": names, "stores": self.stores or tuple(stores)}
        if self.round_trip_efficiency_frac is None:
            # Stores of unequal efficiency are taken at the worst of them, so that no MWh is claimed that was lost.
            update["round_trip_efficiency_frac"] = min(
                (s.charge_efficiency_frac * s.discharge_efficiency_frac for s in used), default=1.0
            )
        if self.start_kwh is None:
            update["start_kwh"] = sum(deliverable_kwh(s) for s in used)
        return self.model_copy(update=update)

    # --- ValueStream -----------------------------------------------------------------------------

    def initial_state(self) -> None:
        """Nothing is remembered: settlement reads the whole record."""
        return

    def observe(self, state: Any, record: Record, k: int) -> Any:
        """Nothing to note."""
        return state

    def terms(self, view: View) -> Sequence[Term]:
        """None: matching first in first out is settled only."""
        return ()

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """What was matched at the premium, the rest as plain certificates, and the cost to serve."""
        found = self.matched(record, world)
        price = priced(self.rec_usd_per_mwh, world, self.name, "rec_usd_per_mwh")
        rest = found.allocation.surplus_kwh + found.allocation.released_kwh
        issued = 0.0
        rows = [("firm", found.matched_kwh, 1 + self.premium_frac, "delivered in the hours agreed")]
        if self.sell_rest:
            rows.append(("plain", rest, 1.0, "generated, and not delivered in the hours agreed"))
        for month, mask in months_of(record.timeline):
            for item, kwh, factor, why in rows:
                mwh = float(kwh[mask].sum()) / KWH_PER_MWH
                if mwh <= 0:
                    continue
                usd = float((kwh * price)[mask].sum()) / KWH_PER_MWH * factor
                issued += mwh
                yield Entry(
                    month, 4, self.name, f"{item}/{month}", self.buyer, mwh, "MWh", usd / mwh, usd,
                    certainty=self.certainty, reason=f"MWh {why}",
                )  # fmt: skip
        held = found.allocation.held_kwh / KWH_PER_MWH
        if held > 0:
            yield Entry(
                cycle_of(record), 4, self.name, "held", self.buyer, held, "MWh", None, 0.0,
                certainty=self.certainty, status="provisional",
                reason="green energy still in the store at the end; worth nothing until delivered",
            )  # fmt: skip
        yield from self.cost.entries(self.name, record, issued, cycle_of(record))

    def claims(self, record: Record, world: World) -> Mapping[str, Kw]:
        """Generation to which it lays claim, by asset, (n,) kWh."""
        return {
            t.asset: generated_kwh(record, t.asset, self.name) * span_share(record.timeline, t)
            for t in self.titles
        }

    def report(self, record: Record, world: World) -> MatchedReport:
        """What a person wants to see of a dispatched record."""
        price = priced(self.rec_usd_per_mwh, world, self.name, "rec_usd_per_mwh")
        made = np.sum(list(self.claims(record, world).values()), axis=0)
        return MatchedReport(
            self.matched(record, world),
            record.timeline.hours / 8760,
            fsum(e.usd for e in self.settle(record, world) if e.item.split("/")[0] in ("firm", "plain")),
            float((made * price).sum()) / KWH_PER_MWH,
        )

    def matched(self, record: Record, world: World) -> Matched:
        """Generation and stored green energy laid against what the buyer wants."""
        if not self.assets:
            raise InputError(f"{self.name}: assets: none is named; name them or bind the stream to its site")
        if self.stores and self.round_trip_efficiency_frac is None:
            raise InputError(
                f"{self.name}: round_trip_efficiency_frac: is missing; give it or bind the stream to its site"
            )
        made = np.sum(list(self.claims(record, world).values()), axis=0)
        charge, discharge = store_flows(record, self.stores, self.name)
        wanted = self._wanted_kwh(record.timeline, world)
        eta = 1.0 if self.round_trip_efficiency_frac is None else self.round_trip_efficiency_frac
        return Matched(
            allocate(made, charge, discharge, wanted, eta, start_kwh=self.start_kwh or 0.0), wanted
        )

    def _wanted_kwh(self, timeline: Timeline, world: World) -> Kw:
        if self.wanted_kw is None:
            kw = np.full(timeline.n, np.inf)
        else:
            kw = np.maximum(one_lane(priced(self.wanted_kw, world, self.name, "wanted_kw"), "wanted_kw"), 0.0)
        when = np.isin(timeline.hour, self.hours) if self.hours else np.ones(timeline.n, dtype=bool)
        if self.weekdays_only:
            when &= timeline.weekday < 5
        return np.where(when, kw * timeline.step_h if self.wanted_kw is not None else kw, 0.0)
