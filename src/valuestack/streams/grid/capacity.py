"""Capacity: a resource sells its unforced capacity, a price a day for standing ready.

    UCAP = kW x ELCC of its class and delivery year;  usd = UCAP x price a MW day x days
    an assessment of H hours costs rate x (UCAP x balancing ratio x H - delivered)+, within the stop-loss of its year

ELCC ratings and auction prices are data by delivery year (June to May). What counts as delivered is the output of
the one asset named: write one capacity stream an asset. Demand response that sells capacity is `demand_response`.
Sources: each product's file; settlement as in github.com/LauriSarap/pjm-backtesting-engine (capacity.py).
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from math import inf
from typing import ClassVar, Self

import numpy as np
from pydantic import Field

from ...dispatch import Call as Asked
from ...dispatch import Record, View, World
from ...errors import DataError, InputError
from ...ledger import Entry
from ...terms import Block, Claim, Measure, Payment, Term
from ...timeline import Kw, Timeline
from ..stream import Place
from .enrolment import Call, Called, Enrolled, calls_on, foreseen, lane, month_shares, year_of
from .product import CapacityRule, Product

YEAR_BEGINS = 6  # month in which a delivery year begins


class Capacity(Enrolled):
    """A capacity commitment of one asset.

    icap_kw: what it could deliver; max_kw: the most that a sizing may offer. resource: class whose ELCC rating holds;
    elcc_frac: another rating. usd_per_mw_day: price of UCAP, if not the product's of that day and area. assessments:
    performance assessments (start, hours). shortfall_usd_per_kwh: rate of what is missing in them. balancing_frac:
    share of the commitment expected.
    hold_frac: share of UCAP kept ready at all hours, for hold_h. may_share: claims that may hold the same kW.

    >>> c = Capacity(product="pjm-capacity", icap_kw=1000.0, elcc_frac=0.5, usd_per_mw_day=300.0, assets=("battery",))
    >>> c.ucap_kw(None)
    500.0
    """

    kind: ClassVar[str] = "capacity"
    certainty: ClassVar[str] = "contractual"
    counterparty: ClassVar[str] = "market"

    name: str = "capacity"
    icap_kw: float = Field(gt=0)
    max_kw: float | None = Field(default=None, gt=0)
    resource: str | None = None
    elcc_frac: float | None = Field(default=None, gt=0, le=1)
    usd_per_mw_day: float | None = Field(default=None, ge=0)
    assessments: tuple[Call, ...] = ()
    shortfall_usd_per_kwh: float | None = Field(default=None, ge=0)
    balancing_frac: float = Field(default=1.0, gt=0, le=1.5)
    hold_frac: float = Field(default=0.0, ge=0, le=1)
    hold_h: float | None = Field(default=None, gt=0)
    may_share: tuple[str, ...] = ()

    @property
    def offered_kw(self) -> float | None:
        """See Enrolled."""
        return self.icap_kw

    def enrolled_at(self, kw: float) -> Self:
        """The same commitment of another ICAP [kW], above zero."""
        return self.model_copy(update={"icap_kw": kw})

    def calls_of(self, world: World, t: Timeline) -> list[Called]:
        """Assessments over a span."""
        return calls_on(t, self.assessments, self.rules(t).notice_h or 0.0, self.name)

    def promised_usd_per_kw(self, t: Timeline, told: Sequence[Called]) -> float:
        """What one more kW of ICAP earns over a span though nothing of it is delivered [USD/kW]; the stop-loss is not
        seen."""
        rules, usd = self.rules(t), 0.0
        for name, share in month_shares(t, range(1, 13)).items():
            on = self.as_of or date(int(name[:4]), int(name[5:]), 1)
            days = share * monthrange(int(name[:4]), int(name[5:]))[1]
            usd += self.ucap_kw(rules, on) / self.icap_kw / 1000 * self.day_price(rules, on) * days
        rate = self.shortfall_usd_per_kwh or 0.0
        for c in told if rate else ():
            ucap = self.ucap_kw(rules, self.as_of or t.start.date())
            usd -= rate * ucap / self.icap_kw * self.balancing_frac * c.n * t.step_h
        return usd

    def ucap_kw(self, rules: Product | None, on: date | None = None) -> float:
        """Unforced capacity [kW] on a day. InputError where no rating is known."""
        if self.elcc_frac is not None:
            return self.icap_kw * self.elcc_frac
        rating = None if rules is None or on is None else rules.rating(self.resource, on)
        if rating is not None:
            return self.icap_kw * rating.elcc_frac
        ratings = () if rules is None else rules.ratings
        known = ", ".join(sorted({f"{r.resource} {r.from_date.year}" for r in ratings})) or "none"
        raise InputError(
            f"stream {self.name}: no ELCC rating of {self.resource!r} is known for {on} (known: {known}); "
            "give elcc_frac"
        )

    def day_price(self, rules: Product, on: date) -> float:
        """Price of UCAP on a day [USD/MW day]. InputError where none is known."""
        if self.usd_per_mw_day is not None:
            return self.usd_per_mw_day
        found = rules.price("usd_per_mw_day", on, self.area)
        if found is None or found.usd_per_mw_day is None:
            raise InputError(
                f"stream {self.name}: no price of {rules.title} is known for {on}"
                f"{' in ' + self.area if self.area else ''}; give usd_per_mw_day"
            )
        return found.usd_per_mw_day

    @property
    def assumptions(self) -> tuple[str, ...]:
        """See Enrolled."""
        out = list(super().assumptions)
        if not self.assessments:
            out.append(f"{self.name}: no performance assessment is counted (assessments = [])")
        return tuple(dict.fromkeys(out))

    def own_clauses(self, rules: Product, place: Place) -> list[str]:
        """See Enrolled."""
        out = []
        if len(self.assets) != 1 and len(place.assets) != 1:
            out.append("assets: name the one asset that delivers; write one capacity stream an asset")
        on = self.as_of or place.timeline.start.date()
        for ask in (self.ucap_kw, lambda r, d: self.day_price(r, d)):
            try:
                ask(rules, on)
            except InputError as e:
                out.append(str(e).removeprefix(f"stream {self.name}: "))
        if self.assessments and _rule(rules).shortfall and self.shortfall_usd_per_kwh is None:
            out.append(
                "shortfall_usd_per_kwh: assessments charge what is missing; give the rate of the delivery year"
            )
        return out

    def calls(self, world: World, timeline: Timeline) -> Iterator[Asked]:
        """Performance assessments with the product's notice; a commitment is no choice."""
        rules = self.rules(timeline)
        for c in calls_on(timeline, self.assessments, rules.notice_h or 0.0, self.name):
            on = self.as_of or timeline.when(c.first).date()
            yield Asked(
                stream=self.name,
                name=timeline.when(c.first).isoformat()[:16],
                first=c.first,
                n=c.n,
                known=max(0, c.known),
                answer=c.first,
                kw=self.ucap_kw(rules, on) * self.balancing_frac,
                assets=self.assets,
                mandatory=True,
                penalty_usd_per_kwh=self.shortfall_usd_per_kwh or 0.0,
            )

    # --- ValueStream -----------------------------------------------------------------------------

    def terms(self, view: View) -> Sequence[Term]:
        """Headroom kept ready, and the rate of what is missing in assessments."""
        rules = self.rules(view.timeline)
        if len(self.assets) != 1:
            raise InputError(f"stream {self.name}: assets: name the one asset that delivers")
        ucap = self.ucap_kw(rules, self.as_of or view.timeline.start.date())
        whole = view.timeline.part(0, view.k + view.n)
        told = calls_on(whole, self.assessments, rules.notice_h or 0.0, self.name)
        ahead = [c for c in told if c.first + c.n > view.k and (c.known <= view.k or foreseen(view))]
        out: list[Term] = []
        rate = self.shortfall_usd_per_kwh or 0.0
        stop = _rule(rules).stop_loss_frac
        for c in ahead if rate else ():
            when = view.timeline.when(c.first).isoformat()[:16]
            window = np.full(view.n, -1, dtype=np.int64)
            window[max(c.first - view.k, 0) : c.first + c.n - view.k] = 0
            expected = ucap * self.balancing_frac * c.n * view.timeline.step_h
            out.append(
                Payment(
                    self.name,
                    f"shortfall {when}",
                    Measure("export", asset=self.assets[0]),
                    "sum",
                    window,
                    (Block(expected, -rate), Block(inf, 0.0)),
                    reason=f"assessment of {when}"
                    + ("; not exact: the stop-loss is not seen" if stop else ""),
                    exact=not stop,
                )
            )
        if self.hold_frac:
            kept = np.full(view.n, self.hold_frac * ucap)
            for c in ahead:
                kept[max(c.first - view.k, 0) : c.first + c.n - view.k] = 0.0
            out.append(
                Claim(
                    self.name,
                    "ready",
                    "up",
                    np.zeros(view.n),
                    self.assets,
                    fixed_kw=kept,
                    sustain_h=_rule(rules).sustain_h if self.hold_h is None else self.hold_h,
                    may_share=self.may_share,
                    reason=f"{self.hold_frac:.0%} of {ucap:g} kW UCAP kept ready",
                )
            )
        return out

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """Daily price by month, assessments by call, within the stop-loss of the delivery year."""
        t = record.timeline
        rules = self.rules(t)
        shares = month_shares(t, range(1, 13))
        for name in shares:
            on = self.as_of or date(int(name[:4]), int(name[5:]), 1)
            days = shares[name] * monthrange(int(name[:4]), int(name[5:]))[1]
            ucap, price = self.ucap_kw(rules, on), self.day_price(rules, on)
            why = f"{self.icap_kw:g} kW x ELCC {ucap / self.icap_kw:.3f} at {price:g} USD/MW day"
            usd = ucap / 1000 * price * days
            yield Entry(
                name,
                self.layer,
                self.name,
                "capacity",
                self.counterparty,
                ucap / 1000 * days,
                "MW day",
                price,
                usd,
                "",
                self.certainty,
                reason=why,
            )
        told = calls_on(t, self.assessments, 0.0, self.name)
        yield from self._charges(t, rules, told, record)
        yield from self.cost_entries(t, events=len(told))

    def _charges(
        self, t: Timeline, rules: Product, told: Sequence[Called], record: Record
    ) -> Iterator[Entry]:
        if not told:
            return
        if len(self.assets) != 1 or self.assets[0] not in record.asset_kw:
            raise DataError(
                f"{self.name}: the record holds no power of {', '.join(self.assets) or 'an asset'}"
            )
        out: Kw = np.maximum(-lane(np.asarray(record.asset_kw[self.assets[0]]), self.assets[0]), 0.0)
        stop, spent = _rule(rules).stop_loss_frac, dict[int, float]()
        rate = self.shortfall_usd_per_kwh or 0.0
        for c in told:
            when = t.when(c.first)
            on = self.as_of or when.date()
            ucap = self.ucap_kw(rules, on)
            delivered = float(out[c.span].sum()) * t.step_h
            missing = max(0.0, ucap * self.balancing_frac * c.n * t.step_h - delivered)
            year = year_of(when.date(), YEAR_BEGINS)
            left = (
                inf
                if stop is None
                else stop * ucap / 1000 * self.day_price(rules, on) * 365 - spent.get(year, 0.0)
            )
            charge = min(rate * missing, max(0.0, left))
            spent[year] = spent.get(year, 0.0) + charge
            held = "; held by the stop-loss" if charge < rate * missing - 1e-9 else ""
            yield Entry(
                f"{when:%Y-%m}",
                self.layer,
                self.name,
                "assessments/shortfall",
                self.counterparty,
                missing,
                "kWh",
                rate,
                0.0 - charge,
                when.isoformat(),
                "metered",
                reason=f"{delivered:,.1f} kWh delivered of {delivered + missing:,.1f} expected{held}",
            )


def _rule(rules: Product) -> CapacityRule:
    assert rules.capacity is not None
    return rules.capacity
