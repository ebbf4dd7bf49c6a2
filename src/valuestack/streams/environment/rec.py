"""Renewable energy certificates: one for each whole MWh of metered generation, sold once.

    certificates = floor((carried kWh + share x metered kWh) / 1000) a month, the rest is carried on
    usd = certificates x min(price, alternative compliance)

A tracking system issues them monthly by vintage from the generation meter (WREGIS and M-RETS operating rules;
EnergyTag for hourly ones); discharge of a store is no generation and losses are load. A state's solar certificates
(SREC) are these with an alternative compliance payment, above which no obliged buyer pays, and a life in months.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from math import floor, inf
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from ...dispatch import Record, View, World
from ...errors import InputError, UnknownKind
from ...ledger import Entry
from ...terms import Block, Measure, Payment, Term
from ...timeline import Kw
from ..stream import Place
from .environment import (
    KWH_PER_MWH,
    Claimant,
    CostToServe,
    Title,
    believed,
    cycle_of,
    facts,
    generated_kwh,
    generators,
    months_of,
    offers,
    priced,
    span_share,
)


class Rec(Claimant):
    """Certificates of what is generated behind the meter.

    assets: whose generation, none = every asset that generates without fuel. share_frac: share of each MWh that this
    stream has title to; shares of all streams come to at most 1. usd_per_mwh: price, or the name of a site series;
    without one, the low end of `product`'s range. acp_usd_per_mwh: alternative compliance payment, a cap on the price.
    life_months: months after its vintage in which a certificate may be sold. sale_months: calendar months in which it
    is sold, none = as issued. whole: only whole certificates are issued; false = an aggregator pays by the kWh.
    start_kwh: carried over from before. first_date, until_date: contract. renewable_fuel: certified fuel counts.
    """

    kind: ClassVar[str] = "rec"
    layer: ClassVar[int] = 4
    certainty: ClassVar[str] = "market"
    name: str = "rec"
    assets: tuple[str, ...] = ()
    share_frac: float = Field(default=1.0, gt=0, le=1)
    usd_per_mwh: float | str | None = None
    product: str | None = None
    acp_usd_per_mwh: float | None = Field(default=None, gt=0)
    life_months: int | None = Field(default=None, gt=0)
    sale_months: tuple[int, ...] = ()
    whole: bool = True
    start_kwh: float = Field(default=0.0, ge=0, lt=KWH_PER_MWH)
    first_date: date | None = None
    until_date: date | None = None
    renewable_fuel: bool = False
    buyer: str = "certificate buyer"
    source: str = ""
    cost: CostToServe = CostToServe()

    @model_validator(mode="after")
    def _consistent(self) -> Rec:
        problems = []
        if self.usd_per_mwh is None and self.product is None:
            problems.append("usd_per_mwh: is missing; give a price, the name of a series, or a product")
        if self.product is not None:
            known = [str(f.values["product"]) for f in facts("certificates", "product")]
            if self.product not in known:
                problems.append(str(UnknownKind("product", self.product, known)))
        if any(not 1 <= m <= 12 for m in self.sale_months):
            problems.append(f"sale_months = {list(self.sale_months)}: months are 1 to 12")
        if self.start_kwh and not self.whole:
            problems.append("start_kwh: nothing is carried where whole = false")
        if self.first_date and self.until_date and self.until_date <= self.first_date:
            problems.append(f"until_date {self.until_date} is not after first_date {self.first_date}")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    # --- what it stands on -----------------------------------------------------------------------

    @property
    def price(self) -> float | str:
        """Price or the name of its series [USD/MWh]."""
        return self.usd_per_mwh if self.usd_per_mwh is not None else self._range[0]

    @property
    def _range(self) -> tuple[float, float]:
        row = next(f for f in facts("certificates", "product") if f.values["product"] == self.product)
        return float(row.values["low_usd_per_mwh"]), float(row.values["high_usd_per_mwh"])

    @property
    def titles(self) -> tuple[Title, ...]:
        """The title that it claims to each asset's generation."""
        return tuple(
            Title(self.name, a, "rec", self.share_frac, self.first_date, self.until_date) for a in self.assets
        )

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Defaults taken."""
        out = []
        if self.usd_per_mwh is None:
            low, high = self._range
            out.append(
                f"{self.name}: priced at the low end of ${low:g} to ${high:g}/MWh for {self.product}, not verified"
            )
        elif not self.source:
            out.append(f"{self.name}: no source is given for its price; not verified")
        if not self.whole:
            out.append(
                f"{self.name}: paid by the kWh; an aggregator bears the rounding to whole certificates"
            )
        return (*out, *self.cost.assumptions(self.name))

    @property
    def break_even_mwh(self) -> float:
        """MWh a year that pay for the programme at a constant price; inf where none do."""
        price = self.price
        if isinstance(price, str):
            raise InputError(
                f"{self.name}: break-even needs a price in numbers, its price is series {price!r}"
            )
        capped = price if self.acp_usd_per_mwh is None else min(price, self.acp_usd_per_mwh)
        return self.cost.break_even_mwh(capped)

    def bind(self, place: Place) -> Rec:
        """Made ready for a place: generating assets found; InputError with every name that cannot be certified."""
        names, problems = generators(self.assets, offers(place), self.renewable_fuel)
        if isinstance(self.price, str):
            try:
                priced(self.price, place.world, self.name, "usd_per_mwh")
            except InputError as e:
                problems.append(str(e).removeprefix(f"{self.name}: "))
        if problems:
            raise InputError.collect(self.name, problems)
        return self.model_copy(update={"assets": names})

    # --- ValueStream -----------------------------------------------------------------------------

    def initial_state(self) -> None:
        """Nothing is remembered: settlement reads the whole record."""
        return

    def observe(self, state: Any, record: Record, k: int) -> Any:
        """Nothing to note."""
        return state

    def terms(self, view: View) -> Sequence[Term]:
        """A price on each kWh generated, net of issuance. Exact where it is paid by the kWh as it is made."""
        exact = not self.whole and not self.sale_months
        why = "" if exact else "; stated by the kWh, settled in whole certificates as they are sold"
        usd_per_kwh = (self._capped(believed(self.price, view)) - self.cost.usd_per_mwh) / KWH_PER_MWH
        window = np.zeros(view.n, dtype=np.int64)
        out = []
        for title in self.titles:
            share = span_share(view.horizon, title)
            out.append(
                Payment(
                    self.name,
                    f"certificates/{title.asset}",
                    Measure("generation", title.asset),
                    "each",
                    window,
                    (Block(inf, -usd_per_kwh * share),),
                    reason=f"one certificate a MWh that {title.asset} generates{why}",
                    exact=exact,
                )
            )
        return out

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """Certificates issued by vintage and sold, and the cost to serve."""
        price = self._capped(priced(self.price, world, self.name, "usd_per_mwh"))
        issued = 0.0
        for asset, kwh in self.claims(record, world).items():
            for entry in self._sold(record, asset, kwh, np.asarray(price)):
                issued += entry.quantity if entry.item.startswith("certificates/") else 0.0
                yield entry
        yield from self.cost.entries(self.name, record, issued, cycle_of(record))

    def claims(self, record: Record, world: World) -> Mapping[str, Kw]:
        """Generation to which it lays claim, by asset, (n,) kWh."""
        if not self.assets:
            raise InputError(f"{self.name}: assets: none is named; name them or bind the stream to its site")
        return {
            t.asset: generated_kwh(record, t.asset, self.name) * span_share(record.timeline, t)
            for t in self.titles
        }

    def minted(self, record: Record, world: World) -> dict[str, list[tuple[str, float]]]:
        """Certificates issued by asset, as (vintage month, MWh)."""
        return {
            a: [(month, mwh) for month, mwh, _ in self._issue(record, kwh)]
            for a, kwh in self.claims(record, world).items()
        }

    # --- parts -----------------------------------------------------------------------------------

    def _capped(self, price: float | Kw) -> float | Kw:
        return price if self.acp_usd_per_mwh is None else np.minimum(price, self.acp_usd_per_mwh)

    def _issue(self, record: Record, kwh: Kw) -> list[tuple[str, float, Kw]]:
        """(vintage month, MWh issued, mask of the month) in order; what is short of a MWh is carried on."""
        carried, out = self.start_kwh, []
        for month, mask in months_of(record.timeline):
            carried += float(kwh[mask].sum())
            # A sum of quarter-hours that is a MWh but for rounding is a MWh.
            mwh = float(floor(carried / KWH_PER_MWH + 1e-9)) if self.whole else carried / KWH_PER_MWH
            carried = max(0.0, carried - mwh * KWH_PER_MWH)
            out.append((month, mwh, mask))
        return out

    def _sold(self, record: Record, asset: str, kwh: Kw, price: Kw) -> Iterable[Entry]:
        bank: list[tuple[str, float]] = []
        for month, mwh, mask in self._issue(record, kwh):
            if mwh > 0:
                bank.append((month, mwh))
            if not bank or (self.sale_months and int(month[-2:]) not in self.sale_months):
                continue
            weight = kwh * mask if mwh > 0 and not self.sale_months else mask.astype(float)
            usd_per_mwh = (
                float((price * weight).sum() / weight.sum()) if weight.sum() else float(price[mask].mean())
            )
            for vintage, lot in bank:
                yield self._lot(asset, month, vintage, lot, usd_per_mwh)
            bank = []
        last = months_of(record.timeline)[-1][0]
        for vintage, lot in bank:
            yield Entry(
                last, 4, self.name, f"held/{asset} {vintage}", self.buyer, lot, "MWh", None, 0.0,
                certainty=self.certainty, status="provisional",
                reason=f"issued in {vintage} and not sold by the end of the record; worth nothing until sold",
            )  # fmt: skip

    def _lot(self, asset: str, month: str, vintage: str, mwh: float, usd_per_mwh: float) -> Entry:
        age = (int(month[:4]) - int(vintage[:4])) * 12 + int(month[-2:]) - int(vintage[-2:])
        if self.life_months is not None and age > self.life_months:
            return Entry(
                month, 4, self.name, f"expired/{asset} {vintage}", self.buyer, mwh, "MWh", 0.0, 0.0,
                certainty=self.certainty,
                reason=f"vintage {vintage} is {age} months old, its life is {self.life_months}",
            )  # fmt: skip
        cap = ""
        if self.acp_usd_per_mwh is not None and usd_per_mwh >= self.acp_usd_per_mwh:
            cap = f", capped by the alternative compliance payment of ${self.acp_usd_per_mwh:g}/MWh"
        return Entry(
            month, 4, self.name, f"certificates/{asset} {vintage}", self.buyer, mwh, "MWh", usd_per_mwh,
            usd_per_mwh * mwh, certainty=self.certainty,
            reason=f"{'whole ' if self.whole else ''}MWh that {asset} generated, vintage {vintage}{cap}",
        )  # fmt: skip
