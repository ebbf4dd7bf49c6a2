"""Demand response: less load when called, measured against a baseline, a tag or a firm service level.

In a call of H hours, with reference R(t) and metered net load m(t), both times the loss factor L,

    reduction r(t) = L (R(t) - m(t)) [kW],   Q = sum r h [kWh]
    energy    = price x Q, between nothing and what is paid at most (each call, or each interval, by itself)
    shortfall = price x (N H - Q), where the programme charges what is missing of the nomination N
    capacity  = N x price x months x g(p),   p = mean over the calls of Q / (N H) within 0 .. 1

g is the programme's own payment by performance (`steps`): in proportion, with penalties below zero, or a jump. A firm
service level F is charged by what stands above it: price x sum (m - F)+ h.

A plan sees the baseline as it hangs on its own earlier intervals: shaving ordinary days lowers it, charging in an
adjustment window raises it. Sources: each product's file; baselines as cited in `data/baselines`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from math import inf
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from ...dispatch import Call as Asked
from ...dispatch import Record, View, World
from ...errors import DataError, InputError
from ...finding import Finding
from ...ledger import Entry
from ...terms import Block, Claim, Measure, OwnWeights, Payment, Term
from ...timeline import Kw, Timeline
from ..stream import Place
from .baseline import Baseline, Event, Linear, Ruler, load_baseline
from .enrolment import (
    Amount,
    Call,
    Called,
    Enrolled,
    calls_on,
    foreseen,
    happened,
    lane,
    month_shares,
    runs_of,
    series_clauses,
)
from .product import Product, ResponseRule

DROP_BASELINE = "pjm-high-4-of-5"  # of a guaranteed load drop, unless the stream names a method


class Responding(Enrolled):
    """Whoever is paid for less load when called: what demand response and bilateral deals share. Keys are described
    in `demand_response`."""

    kind: ClassVar[str] = "demand_response"
    certainty: ClassVar[str] = "metered"
    counterparty: ClassVar[str] = "programme"

    events: str | tuple[Call, ...] | None = None
    call_from_usd_per_kwh: float = Field(default=0.0, ge=0)
    nomination_kw: float | None = Field(default=None, gt=0)
    max_kw: float | None = Field(default=None, gt=0)
    firm_kw: float | None = Field(default=None, ge=0)
    peak_load_kw: float | None = Field(default=None, gt=0)
    winter_peak_load_kw: float | None = Field(default=None, gt=0)
    drop_kw: float | None = Field(default=None, gt=0)
    coincident_load_kw: float | None = Field(default=None, gt=0)
    loss_frac: float = Field(default=1.0, gt=0)
    energy_usd_per_kwh: Amount | None = None
    capacity_usd_per_kw_month: float | None = Field(default=None, ge=0)
    shortfall_usd_per_kwh: float | None = Field(default=None, ge=0)
    net_benefits_usd_per_kwh: Amount | None = None
    elcc_frac: float | None = Field(default=None, gt=0, le=1)
    test_frac: float | None = Field(default=None, ge=0)
    hold_frac: float = Field(default=0.0, ge=0, le=1)
    hold_h: float = Field(default=0.0, ge=0)
    may_share: tuple[str, ...] = ()
    temperature: str | None = None
    method: Baseline | None = None
    forgo: bool = False

    @model_validator(mode="after")
    def _held_by_somebody(self) -> Responding:
        if self.hold_frac and not self.assets:
            raise ValueError("hold_frac keeps headroom of assets; name them in assets = [...]")
        return self

    # --- what is promised and paid ---------------------------------------------------------------

    @property
    def nominated_kw(self) -> float | None:
        """Nomination: as given, or the tag (the winter one where lower) less the firm level times the loss factor."""
        if self.nomination_kw is not None:
            return self.nomination_kw
        if self.drop_kw is not None:
            return self.drop_kw
        if self.peak_load_kw is not None and self.firm_kw is not None:
            tag = min(self.peak_load_kw, self.winter_peak_load_kw or inf)
            return max(0.0, tag - self.firm_kw * self.loss_frac)
        return None

    @property
    def offered_kw(self) -> float | None:
        """See Enrolled."""
        return self.nominated_kw

    def enrolled_at(self, kw: float) -> Self:
        """The same enrolment with another nomination [kW], above zero. What it is counted from stays: the tag or the
        load that firm level and nomination add up to, so that a firm level falls as the nomination rises."""
        if self.drop_kw is not None:
            return self.model_copy(update={"drop_kw": kw})
        change: dict[str, float] = {}
        if self.nomination_kw is not None or self.firm_kw is None:
            change["nomination_kw"] = kw
        level = self.counted_from_kw
        if level is not None and self.firm_kw is not None:
            change["firm_kw"] = max(0.0, (level - kw) / self.loss_frac)
        return self.model_copy(update=change)

    @property
    def counted_from_kw(self) -> float | None:
        """The level from which a nomination is counted down [kW, times the loss factor]: the tag, or the sum of firm
        level and nomination as written; None where it is a baseline or nothing is written."""
        if self.peak_load_kw is not None:
            return min(self.peak_load_kw, self.winter_peak_load_kw or inf)
        if self.coincident_load_kw is not None:
            return self.coincident_load_kw * self.loss_frac
        if self.firm_kw is not None and self.nomination_kw is not None:
            return self.nomination_kw + self.firm_kw * self.loss_frac
        return None

    def calls_of(self, world: World, t: Timeline) -> list[Called]:
        """Calls over a span as its world tells them."""
        rules = self.rules(t)
        price = happened(self.energy_price(rules), world, t.n)
        least = (
            None
            if self.net_benefits_usd_per_kwh is None
            else happened(self.net_benefits_usd_per_kwh, world, t.n)
        )
        flag = happened(self.events, world, t.n) if isinstance(self.events, str) else None
        return self._told(rules, t, flag, price, least)

    def promised_usd_per_kw(self, t: Timeline, told: Sequence[Called]) -> float:
        """What one more nominated kW earns over a span though nothing of it is delivered [USD/kW]: the capacity payment
        at no performance, less the charge on all that is missing in calls. Terms hold the rest. Exact where the
        payment is a line in performance."""
        rules = self.rules(t)
        rule, seasons, usd = _rule(rules), _Seasons(self, rules, t, list(told)), 0.0
        for season in dict.fromkeys(seasons.names) if rule.capacity == "nomination" else ():
            price, _ = seasons.price(season)
            if rule.measure == "firm_service_level":
                due = 1.0
            elif seasons.calls.get(season):
                due = seasons.pays(0.0)
            else:
                due = seasons.pays(1.0 if self.test_frac is None else self.test_frac)
            usd += price * due
        if rule.shortfall and rule.measure != "firm_service_level":
            usd -= (self.shortfall_usd_per_kwh or 0.0) * sum(c.n for c in told) * t.step_h
        return usd

    def elcc(self, rules: Product, on: date) -> float:
        """UCAP of a nominated kW: as given, the product's rating of the day, or 1 where it has none."""
        if self.elcc_frac is not None:
            return self.elcc_frac
        rating = rules.rating("demand_response", on)
        return 1.0 if rating is None else rating.elcc_frac

    def capacity_price(self, rules: Product, on: date) -> float | None:
        """Capacity price [USD per nominated kW and month] on a day: as given, or the product's dated one.

        USD/kW month = USD/MW day / 1000 x 365 / 12 x ELCC, a mean month.
        """
        if self.capacity_usd_per_kw_month is not None:
            return self.capacity_usd_per_kw_month * self.elcc(rules, on)
        day = rules.price("usd_per_mw_day", on, self.area)
        if day is not None and day.usd_per_mw_day is not None:
            return day.usd_per_mw_day / 1000 * 365 / 12 * self.elcc(rules, on)
        month = rules.price("usd_per_kw_month", on, self.area)
        if month is not None and month.usd_per_kw_month is not None:
            return month.usd_per_kw_month * self.elcc(rules, on)
        season = rules.price("usd_per_kw_y", on, self.area)
        if season is not None and season.usd_per_kw_y is not None:
            return season.usd_per_kw_y / len(_rule(rules).season_months) * self.elcc(rules, on)
        return None

    def energy_price(self, rules: Product) -> Amount:
        """Price of a kWh reduced: as given or the product's."""
        rule = _rule(rules)
        if self.energy_usd_per_kwh is not None:
            return self.energy_usd_per_kwh
        return rule.energy_usd_per_kwh or 0.0

    @property
    def assumptions(self) -> tuple[str, ...]:
        """See Enrolled."""
        out = list(super().assumptions)
        if self.loss_frac == 1.0:
            out.append(f"{self.name}: metered at the customer, no loss factor (loss_frac = 1)")
        if self.nominated_kw and not self.hold_frac:
            out.append(
                f"{self.name}: no headroom is kept outside announced calls (hold_frac = 0); a call that comes with "
                "less notice than a plan needs may be missed"
            )
        if self.holidays is None:
            out.append(f"{self.name}: federal holidays count as weekend in baselines")
        return tuple(dict.fromkeys(out))

    def own_clauses(self, rules: Product, place: Place) -> list[str]:
        """See Enrolled."""
        rule, t = _rule(rules), place.timeline
        out = self._missing(rules, t.start.date() if self.as_of is None else self.as_of)
        out += series_clauses(
            place,
            {
                "energy_usd_per_kwh": self.energy_usd_per_kwh,
                "net_benefits_usd_per_kwh": self.net_benefits_usd_per_kwh,
            },
        )
        out += series_clauses(place, {"events": self.events if isinstance(self.events, str) else None}, ())
        if isinstance(self.events, tuple):
            out += self._event_clauses(rules, t)
        if rule.measure == "baseline" and rule.baseline is not None:
            method = self.method or load_baseline(rule.baseline)
            if method.regression is not None and self.temperature is None:
                out.append(f"temperature: {method.name} needs a temperature series; name one")
        if self.assets and self.hold_frac and self.hold_h == 0 and rules.max_event_h is None:
            out.append("hold_h: say for how long the held headroom must last")
        return out

    def _missing(self, rules: Product, on: date) -> list[str]:
        rule, out = _rule(rules), []
        wants = {
            "baseline": (),
            "firm_service_level": ("firm_kw",),
            "peak_load": ("peak_load_kw",),
            "coincident_load": ("coincident_load_kw",),
        }
        out += [
            f"{k}: {rules.title} is measured by it; give it"
            for k in wants[rule.measure]
            if getattr(self, k) is None
        ]
        if rule.energy == "market" and not isinstance(self.energy_usd_per_kwh, (str, float)):
            out.append("energy_usd_per_kwh: paid at the market price; name the world series that holds it")
        if rule.energy == "fixed" and self.energy_usd_per_kwh is None and rule.energy_usd_per_kwh is None:
            out.append(
                f"energy_usd_per_kwh: no source that could be read states it for {rules.title}; give it"
            )
        if rule.net_benefits and self.net_benefits_usd_per_kwh is None:
            out.append(
                "net_benefits_usd_per_kwh: nothing is paid below the net-benefits price, which is posted each month; "
                "give it as a number or a series"
            )
        if rule.capacity != "none" and self.capacity_price(rules, on) is None:
            out.append(
                f"capacity_usd_per_kw_month: no price of {rules.title} is known for {on}"
                f"{' in ' + self.area if self.area else ''}; give it"
            )
        needs_n = rule.capacity == "nomination" or rule.paid_upto_frac is not None
        if needs_n and self.nominated_kw is None:
            how = ", or firm_kw or drop_kw, from which it follows" if rule.measure == "peak_load" else ""
            out.append(f"nomination_kw: {rules.title} pays for a promise; give it{how}")
        if self.drop_kw is not None and rule.measure != "peak_load":
            out.append(f"drop_kw: {rules.title} knows no guaranteed drop; give nomination_kw")
        if (rule.shortfall or rule.measure == "firm_service_level") and self.shortfall_usd_per_kwh is None:
            out.append(
                f"shortfall_usd_per_kwh: {rules.title} charges what is missing, at a price that no source states; "
                "give it (0 if the aggregator bears it)"
            )
        if self.events is None and not rule.self_called:
            out.append(
                "events: give the calls, [] if there were none, or the name of a series that is 1 in calls"
            )
        return out

    def _event_clauses(self, rules: Product, t: Timeline) -> Iterator[str]:
        assert isinstance(self.events, tuple)
        window = rules.window(t, self.days_off(t))
        for c in calls_on(t, self.events, 0.0, self.name):
            hours = c.n * t.step_h
            when = t.when(c.first).isoformat()
            if not window[c.span].all() and not c.test:
                yield f"events: {when} lies outside the hours in which {rules.title} may call; remove or correct it"
            if rules.max_event_h is not None and hours > rules.max_event_h + 1e-9:
                yield f"events: {when} lasts {hours:g} h, a call at most {rules.max_event_h:g} h; shorten it"

    # --- calls -----------------------------------------------------------------------------------

    def _told(
        self, rules: Product, t: Timeline, flag: Kw | None, price: Kw | None, least: Kw | None
    ) -> list[Called]:
        """Calls on a timeline, from the options or from series over it."""
        if isinstance(self.events, tuple):
            return calls_on(t, self.events, rules.notice_h or 0.0, self.name)
        if flag is not None:
            return runs_of(flag)
        if price is None or not _rule(rules).self_called:
            return []
        worth = price >= np.maximum(0.0 if least is None else least, self.call_from_usd_per_kwh)
        return runs_of((worth & rules.window(t, self.days_off(t))).astype(np.float64))

    def calls(self, world: World, timeline: Timeline) -> Iterator[Asked]:
        """Calls as a controller is told of them: with the product's notice, or where a series marks them as far ahead
        as the series is published. A programme that charges what is missing, or pays capacity by performance, is
        mandatory; one that its owner calls is not."""
        rules = self.rules(timeline)
        rule, n = _rule(rules), timeline.n
        if self.nominated_kw is None and self.events == ():
            return
        price_of = self.energy_price(rules)
        price = happened(price_of, world, n)
        least = (
            None
            if self.net_benefits_usd_per_kwh is None
            else happened(self.net_benefits_usd_per_kwh, world, n)
        )
        flag = happened(self.events, world, n) if isinstance(self.events, str) else None
        named = self.events if isinstance(self.events, str) else price_of
        lead_h = world.series[named].lead_h if isinstance(named, str) else None
        firm = rule.measure == "firm_service_level"
        rate = (self.shortfall_usd_per_kwh or 0.0) if rule.shortfall or firm else 0.0
        for c in self._told(rules, timeline, flag, price, least):
            known = c.known
            if not isinstance(self.events, tuple):
                known = 0 if lead_h is None else c.first - int(lead_h / timeline.step_h + 1e-9)
            yield Asked(
                stream=self.name,
                name=timeline.when(c.first).isoformat()[:16],
                first=c.first,
                n=c.n,
                known=max(0, known),
                answer=c.first,
                kw=inf if self.nominated_kw is None or firm else self.nominated_kw / self.loss_frac,
                assets=self.assets,
                mandatory=not rule.self_called and (rate > 0 or rule.capacity != "none"),
                penalty_usd_per_kwh=rate * (1.0 if firm else self.loss_frac),
                by_meter=not rule.self_called,
            )

    def _series_over(self, view: View, amount: Amount | None) -> Kw | None:
        """A series over intervals 0 .. k + n of the view: what was, then what is believed."""
        if amount is None:
            return None
        if not isinstance(amount, str):
            return np.full(view.k + view.n, float(amount))
        past = np.zeros(0)
        if view.k:
            past = lane(view.belief.series(amount, first=0, n=view.k, as_of=view.k), amount)
        return np.concatenate((past, lane(view.series(amount), amount)))

    # --- terms -----------------------------------------------------------------------------------

    def terms(self, view: View) -> Sequence[Term]:
        """Payments of the calls that are known, and the headroom kept for those that are not."""
        rules = self.rules(view.timeline)
        problems = self._missing(rules, self.as_of or view.timeline.start.date())
        if problems:
            raise InputError.collect(f"stream {self.name}", problems)
        whole = view.timeline.part(0, view.k + view.n)
        price = self._series_over(view, self.energy_price(rules))
        least = self._series_over(view, self.net_benefits_usd_per_kwh)
        flag = self._series_over(view, self.events) if isinstance(self.events, str) else None
        told = self._told(rules, whole, flag, price, least)
        ahead = [c for c in told if c.first + c.n > view.k and (c.known <= view.k or foreseen(view))]
        out: list[Term] = list(self._held(rules, view, ahead))
        if not ahead:
            return out
        if _rule(rules).measure == "firm_service_level":
            return [*out, *self._above_firm(view, ahead)]
        assert price is not None
        paid = _market(_rule(rules), price, least)
        reference = self._references(rules, view, whole, told)
        seasons = _Seasons(self, rules, whole, told)
        for c in ahead:
            made = reference(c)
            if made is not None:
                out += self._payments(rules, view, c, made, paid, seasons)
        return out

    def _references(self, rules: Product, view: View, whole: Timeline, told: list[Called]) -> _Reference:
        load = lane(view.series("load_kw"), "load_kw")
        past = np.zeros(0)
        if view.k:
            if view.record is None:
                raise DataError(f"{self.name}: the view has no record of the intervals before {view.k}")
            past = lane(np.asarray(view.record.net_kw), "net_kw")[: view.k]
        net = np.concatenate((past, load))
        return _Reference(self, rules, whole, net, told, self._series_over(view, self.temperature))

    def _payments(
        self, rules: Product, view: View, c: Called, made: Linear | float, paid: Kw, seasons: _Seasons
    ) -> Iterator[Payment]:
        rule, h, k = _rule(rules), view.timeline.step_h, view.k
        net = None if view.record is None else lane(np.asarray(view.record.net_kw), "net_kw")
        reference, own = _split(made, c, k, view.n, net)
        measure = Measure("net", reference_kw=reference, own=own)
        here = np.arange(max(c.first, k), c.first + c.n) - k
        so_far = self._so_far(made, c, k, h, net)
        window = np.full(view.n, -1, dtype=np.int64)
        n_kw = self.nominated_kw
        exact, why = (made.exact, made.why) if isinstance(made, Linear) else (True, "")
        held = (exact, why)
        if not self.forgo:
            exact, why = (
                False,
                why or "a call that ends above its baseline counts as a loss, and is settled as nothing",
            )
        paid = _in_call(rules, c, paid)
        cap_kw = self._paid_kw(rule)
        each = rule.netting == "interval" or not bool(np.allclose(paid[c.span], paid[c.first]))
        window[here] = 0
        past, whole = np.array([so_far]), c.n * h
        if each and paid[here + k].any():
            price = np.zeros(view.n)
            price[here] = paid[here + k] * self.loss_frac
            blocks = self._ladder(cap_kw * h, -price)
            yield self._payment(c, view, "energy", measure, "each", window, blocks, None, exact, why)
        elif not each and paid[c.first]:
            blocks = self._ladder(cap_kw * whole, -float(paid[c.first]) * self.loss_frac)
            yield self._payment(c, view, "energy", measure, "sum", window, blocks, past, exact, why)
        marginal, note = seasons.marginal(c)
        if marginal:
            upto = inf if n_kw is None else n_kw / self.loss_frac * whole
            blocks = self._ladder(upto, -marginal * self.loss_frac)
            yield self._payment(
                c, view, "performance", measure, "sum", window, blocks, past, exact and not note, why or note
            )
        short = (self.shortfall_usd_per_kwh or 0.0) * self.loss_frac if rule.shortfall else 0.0
        if n_kw and short:
            blocks = (Block(n_kw / self.loss_frac * whole, -short), Block(inf, 0.0))
            yield self._payment(c, view, "shortfall", measure, "sum", window, blocks, past, *held)

    def _ladder(self, upto: float, price: float | Kw) -> tuple[Block, ...]:
        """A price up to `upto`, nothing beyond; below zero nothing where a plan may forgo a call, else the same."""
        below = (Block(0.0, 0.0),) if self.forgo else ()
        return (*below, Block(upto, price), *_tail(upto))

    def _paid_kw(self, rule: ResponseRule) -> float:
        """Most reduction at the meter that earns an energy payment [kW]."""
        n_kw = self.nominated_kw
        if rule.paid_upto_frac is None or n_kw is None:
            return inf
        return rule.paid_upto_frac * n_kw / self.loss_frac

    def _so_far(self, made: Linear | float, c: Called, k: int, h: float, net: Kw | None) -> float:
        """What a running call has already brought [kWh at the meter]."""
        done = np.arange(c.first, min(k, c.first + c.n))
        if not done.size or net is None:
            return 0.0
        if isinstance(made, float):
            return float((made - net[done]).sum() * h)
        known = (made.row < k) & (made.col < k)
        base = np.zeros(c.n)
        np.add.at(base, made.row[known] - c.first, made.weight[known] * net[made.col[known]])
        return float((base[: done.size] - net[done]).sum() * h)

    def _payment(
        self,
        c: Called,
        view: View,
        what: str,
        measure: Measure,
        over: str,
        window: np.ndarray[tuple[int], np.dtype[np.int64]],
        blocks: tuple[Block, ...],
        so_far: Kw | None,
        exact: bool,
        why: str,
    ) -> Payment:
        when = view.timeline.when(c.first).isoformat()[:16]
        reason = f"{what} of the call of {when}" + (f"; not exact: {why}" if not exact else "")
        some = so_far is not None and bool(np.any(so_far != 0))
        return Payment(
            self.name,
            f"{what} {when}",
            measure,
            "each" if over == "each" else "sum",
            window,
            blocks,
            reason=reason,
            so_far=so_far if some else None,
            exact=exact,
        )

    def _above_firm(self, view: View, ahead: list[Called]) -> Iterator[Payment]:
        assert self.firm_kw is not None
        window = np.full(view.n, -1, dtype=np.int64)
        for c in ahead:
            window[max(c.first - view.k, 0) : c.first + c.n - view.k] = 0
        price = self.shortfall_usd_per_kwh or 0.0
        if price:
            yield Payment(
                self.name,
                "above firm level",
                Measure("import"),
                "each",
                window,
                (Block(self.firm_kw * view.timeline.step_h, 0.0), Block(inf, price)),
                reason=f"energy above the firm service level of {self.firm_kw:g} kW in calls",
            )

    def _held(self, rules: Product, view: View, ahead: list[Called]) -> Iterator[Claim]:
        n_kw = self.nominated_kw
        if not self.hold_frac or not n_kw:
            return
        kept = rules.window(view.horizon, self.days_off(view.horizon))
        for c in ahead:  # in a call the headroom is being delivered
            kept[max(c.first - view.k, 0) : c.first + c.n - view.k] = False
        yield Claim(
            self.name,
            "ready",
            "up",
            np.zeros(view.n),
            self.assets,
            fixed_kw=np.where(kept, self.hold_frac * n_kw, 0.0),
            sustain_h=self.hold_h or rules.max_event_h or 0.0,
            may_share=self.may_share,
            reason=f"{self.hold_frac:.0%} of the nomination kept ready for calls of {rules.title}",
        )

    # --- settlement ------------------------------------------------------------------------------

    def _offered(self, rules: Product, told: list[Called], record: Record) -> list[Called]:
        """Calls that were made: where the owner calls, those that a controller took, if one was asked."""
        taken = record.extra.get(f"{self.name}/accepted")
        if taken is None or not _rule(rules).self_called:
            return told
        on = lane(np.asarray(taken), "accepted") > 0.5
        return [c for c in told if on[c.first]]

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """Energy, shortfall and capacity from metered intervals, call by call and season by season."""
        t = record.timeline
        rules = self.rules(t)
        problems = self._missing(rules, self.as_of or t.start.date())
        if problems:
            raise InputError.collect(f"stream {self.name}", problems)
        price = happened(self.energy_price(rules), world, t.n)
        least = (
            None
            if self.net_benefits_usd_per_kwh is None
            else happened(self.net_benefits_usd_per_kwh, world, t.n)
        )
        told = self._offered(rules, self.calls_of(world, t), record)
        net = lane(np.asarray(record.net_kw), "net_kw")
        temperature = None if self.temperature is None else happened(self.temperature, world, t.n)
        reference = _Reference(self, rules, t, net, told, temperature, record.quality)
        seasons = _Seasons(self, rules, t, told)
        paid = _market(_rule(rules), price, least)
        done: list[Settled] = []
        for c in told:
            one, lines = self._settle_call(rules, t, c, reference, net, paid)
            done.append(one)
            yield from lines
        yield from seasons.entries(done)
        served = sum(max(0.0, d.kwh) for d in done)
        yield from self.cost_entries(t, events=len(told), delivered_kwh=served)

    def baseline_findings(self, record: Record, world: World) -> list[Finding]:
        """What the site's own dispatch did to its baseline: below that of the native load it is eroded, above it
        inflated (charging in an adjustment window), each with the energy money that hangs on it."""
        t = record.timeline
        rules = self.rules(t)
        if _rule(rules).measure != "baseline":
            return []
        price = happened(self.energy_price(rules), world, t.n)
        least = (
            None
            if self.net_benefits_usd_per_kwh is None
            else happened(self.net_benefits_usd_per_kwh, world, t.n)
        )
        flag = happened(self.events, world, t.n) if isinstance(self.events, str) else None
        told = self._told(rules, t, flag, price, least)
        warm = None if self.temperature is None else happened(self.temperature, world, t.n)
        paid = _market(_rule(rules), price, least)
        mine, native = (
            _Reference(self, rules, t, lane(np.asarray(kw), "kW"), told, warm, record.quality)
            for kw in (record.net_kw, world["load_kw"][..., : t.n])
        )
        moved: dict[str, list[tuple[float, float, str]]] = {"baseline_eroded": [], "baseline_inflated": []}
        for c in told:
            a, b = mine.settled(c)[0], native.settled(c)[0]
            if a is None or b is None:
                continue
            gap = a - b
            kwh = float(gap.sum()) * t.step_h
            if abs(kwh) > 1e-6 * max(1.0, float(np.abs(b).sum()) * t.step_h):
                usd = float((gap * paid[c.span]).sum()) * t.step_h * self.loss_frac
                kind = "baseline_eroded" if kwh < 0 else "baseline_inflated"
                moved[kind].append((kwh, usd, t.when(c.first).isoformat()))
        out = []
        for kind, rows in moved.items():
            if rows:
                eroded = kind == "baseline_eroded"
                out.append(
                    Finding(
                        kind,
                        "info" if eroded else "warning",
                        f"{self.name}: the site's own dispatch {'lowers' if eroded else 'raises'} the baseline of "
                        f"{len(rows)} calls by {abs(sum(r[0] for r in rows)):,.0f} kWh",
                        where=rows[0][2],
                        count=len(rows),
                        at_stake_usd=abs(sum(r[1] for r in rows)),
                        remedy="shave less on ordinary days at the hours of calls"
                        if eroded
                        else "a programme may call charging in the adjustment window gaming; ask before relying on it",
                    )
                )
        return out

    def _settle_call(
        self, rules: Product, t: Timeline, c: Called, reference: _Reference, net: Kw, paid: Kw
    ) -> tuple[Settled, list[Entry]]:
        rule, h = _rule(rules), t.step_h
        if rule.measure == "firm_service_level":
            assert self.firm_kw is not None
            over = float(np.maximum(np.maximum(net[c.span], 0.0) - self.firm_kw, 0.0).sum() * h)
            price = self.shortfall_usd_per_kwh or 0.0
            why = f"energy above {self.firm_kw:g} kW in the call"
            lines = (
                [self._entry(t, c, "events/above firm level", over, price, -price * over, why)]
                if over
                else []
            )
            return Settled(c, 0.0, 1.0 if over <= 1e-9 else 0.0), lines
        base, how = reference.settled(c)
        if base is None:
            return Settled(c, 0.0, None), [self._entry(t, c, "events/not settled", 0.0, None, 0.0, how)]
        cut = self.loss_frac * (base - net[c.span])
        kwh, n_kw = float(cut.sum() * h), self.nominated_kw
        most = self._paid_kw(rule) * self.loss_frac * h
        by = _in_call(rules, c, paid)[c.span]
        lines = []
        if rule.netting == "interval" or not np.allclose(by, by[0]):
            counted = np.clip(cut * h, 0.0, most)
            amount, usd = float(counted.sum()), float((counted * by).sum())
        else:
            amount = float(np.clip(kwh, 0.0, most * c.n))
            usd = amount * float(by[0])
        why = f"{how}: {base.mean():,.1f} kW against {net[c.span].mean():,.1f} kW metered over {c.n * h:g} h"
        if rule.energy != "none":
            lines.append(
                self._entry(t, c, "events/energy", amount, usd / amount if amount else None, usd, why)
            )
        if rule.shortfall and n_kw and self.shortfall_usd_per_kwh:
            missing = max(0.0, n_kw * c.n * h - kwh)
            charge = self.shortfall_usd_per_kwh
            if missing:
                why = f"{missing:,.1f} kWh missing of {n_kw:g} kW over {c.n * h:g} h; {why}"
                lines.append(self._entry(t, c, "events/shortfall", missing, charge, -charge * missing, why))
        share = None if not n_kw else float(np.clip(kwh / (n_kw * c.n * h), 0.0, 1.0))
        return Settled(c, kwh, share), lines

    def _entry(
        self, t: Timeline, c: Called, item: str, quantity: float, price: float | None, usd: float, why: str
    ) -> Entry:
        when = t.when(c.first)
        return Entry(
            f"{when:%Y-%m}",
            self.layer,
            self.name,
            item,
            self.counterparty,
            quantity,
            "kWh",
            price,
            usd,
            when.isoformat(),
            self.certainty,
            reason=why,
        )


# --- what is paid ------------------------------------------------------------------------------------


def _rule(rules: Product) -> ResponseRule:
    assert rules.demand_response is not None
    return rules.demand_response


def _market(rule: ResponseRule, price: Kw, least: Kw | None) -> Kw:
    """Price paid in each interval: at least the floor; nothing below the net-benefits price."""
    if rule.energy == "none":
        return np.zeros_like(price)
    out = np.maximum(price, rule.energy_least_usd_per_kwh)
    if rule.net_benefits and least is not None:
        out = np.where(price >= least, out, 0.0)
    return out


def _in_call(rules: Product, c: Called, paid: Kw) -> Kw:
    """Prices in a call: a test that is not paid earns no energy payment."""
    unpaid = c.test and rules.tests is not None and not rules.tests.paid
    return np.zeros_like(paid) if unpaid else paid


def _tail(most: float) -> tuple[Block, ...]:
    return () if most == inf else (Block(inf, 0.0),)


def _split(made: Linear | float, c: Called, k: int, n: int, net: Kw | None) -> tuple[Kw, OwnWeights | None]:
    """A reference over the horizon: what is known of it in kW, and its weights on intervals of the horizon."""
    reference = np.zeros(n)
    if isinstance(made, float):
        reference[max(c.first - k, 0) : c.first + c.n - k] = made
        return reference, None
    live = made.row >= k
    old, new = live & (made.col < k), live & (made.col >= k)
    if old.any():
        assert net is not None
        np.add.at(reference, made.row[old] - k, made.weight[old] * net[made.col[old]])
    return reference, OwnWeights(made.row[new] - k, made.col[new] - k, made.weight[new])


class _Reference:
    """What the load would have been in each call, by the product's measure."""

    def __init__(
        self,
        stream: Responding,
        rules: Product,
        t: Timeline,
        net_kw: Kw,
        told: list[Called],
        temperature_c: Kw | None,
        quality: np.ndarray[tuple[int], np.dtype[np.int64]] | None = None,
    ) -> None:
        rule = _rule(rules)
        self.level: float | None = None
        self.method: Baseline | None = None
        if rule.measure == "peak_load":
            assert stream.peak_load_kw is not None
            self.level, self.what = stream.peak_load_kw / stream.loss_frac, "peak load contribution"
        elif rule.measure == "coincident_load":
            assert stream.coincident_load_kw is not None
            self.level, self.what = stream.coincident_load_kw, "average coincident load"
        dropped = rule.measure == "peak_load" and stream.drop_kw is not None
        if rule.measure == "baseline" or dropped:
            self.method = stream.method or load_baseline(rule.baseline or DROP_BASELINE)
            self.what = f"lesser of tag and {self.method.name}" if dropped else self.method.name
            events = [Event(c.first, c.n) for c in told]
            off = stream.days_off(t)
            self.ruler = Ruler(t, net_kw, events, holidays=off, quality=quality, temperature_c=temperature_c)

    def __call__(self, c: Called) -> Linear | float | None:
        """For a plan: a level, or weights on the series; None where too few days stand before the call."""
        if self.method is None:
            return self.level
        try:
            made = self.ruler.linear(self.method, Event(c.first, c.n))
            if self.level is None:
                return made
            kw = self.ruler.baseline(self.method, Event(c.first, c.n)).kw
        except DataError:
            return self.level
        if float(kw.mean()) > self.level:
            return self.level
        return replace(made, exact=False, why="the lesser of baseline and tag is taken as expected")

    def settled(self, c: Called) -> tuple[Kw | None, str]:
        """kW over the call, (n,), and how it came about; None and why, where there is none."""
        flat = None if self.level is None else np.full(c.n, self.level)
        if self.method is None:
            return flat, self.what
        try:
            found = self.ruler.baseline(self.method, Event(c.first, c.n))
        except DataError as e:
            return flat, f"the tag alone: {e}" if flat is not None else f"nothing is settled: {e}"
        kw = found.kw if flat is None else np.minimum(found.kw, flat)
        adjustment = self.method.adjustment
        if adjustment is None:
            return kw, self.what
        size = (
            f"{found.adjustment:+,.1f} kW" if adjustment.form == "additive" else f"x {found.adjustment:.3f}"
        )
        return kw, f"{self.what}, adjusted {size}{', held by its cap' if found.capped else ''}"


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """A settled call: kwh reduced, and the share_frac of the nomination delivered, None where not measured."""

    call: Called
    kwh: float
    share_frac: float | None


class _Seasons:
    """Capacity payments by season: which months are covered, which calls count, what performance is worth."""

    def __init__(self, stream: Responding, rules: Product, t: Timeline, told: list[Called]) -> None:
        self.stream, self.rules, self.rule, self.t = stream, rules, _rule(rules), t
        self.names = season_names(t, self.rule)
        self.counted = {
            id(c): s for c, s in zip(told, counted_calls(t, told, rules, self.names)) if s is not None
        }
        self.calls: dict[str, int] = {}
        for s in self.counted.values():
            self.calls[s] = self.calls.get(s, 0) + 1

    def price(self, season: str) -> tuple[float, float]:
        """USD per kW of the season's covered months, and how many months those are."""
        shares = month_shares(self.t, self.rule.season_months)
        usd = months = 0.0
        for name, share in shares.items():
            if season_of(int(name[:4]), int(name[5:]), self.rule) != season:
                continue
            on = self.stream.as_of or date(int(name[:4]), int(name[5:]), 1)
            usd += (self.stream.capacity_price(self.rules, on) or 0.0) * share
            months += share
        return usd, months

    def pays(self, p: float) -> float:
        """g(p): share of the capacity payment due at mean performance p."""
        steps = self.rule.steps
        if not steps:
            return min(max(p, 0.0), 1.0)
        at, pay = [s.at_frac for s in steps], [s.pay_frac for s in steps]
        due = pay[-1]
        for i in range(len(at) - 1):
            if at[i] <= p < at[i + 1]:
                due = pay[i] + (pay[i + 1] - pay[i]) * (p - at[i]) / (at[i + 1] - at[i])
                break
        if self.rule.stop_loss_frac is not None:
            due = max(due, -self.rule.stop_loss_frac)
        return due

    def marginal(self, c: Called) -> tuple[float, str]:
        """USD of one more kWh in a call, up to the nomination, and why that is not exact, '' if it is."""
        season = self.counted.get(id(c))
        if season is None or self.rule.capacity == "none" or self.t.step_h * c.n == 0:
            return 0.0, ""
        usd, _ = self.price(season)
        calls, hours = self.calls[season], c.n * self.t.step_h
        if self.rule.capacity == "performance":
            return usd / (calls * hours), ""
        slope = self.pays(1.0) - self.pays(0.0)
        straight = all(
            abs(self.pays(p) - self.pays(0.0) - slope * p) < 1e-9
            for p in (0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.94, 0.96, 0.99)
        )
        return usd * slope / (
            calls * hours
        ), "" if straight else "payment by performance is taken as a straight line"

    def entries(self, done: list[Settled]) -> Iterator[Entry]:
        """Capacity by season."""
        if self.rule.capacity == "none":
            return
        for season in dict.fromkeys(self.names):
            mine = [d for d in done if self.counted.get(id(d.call)) == season]
            usd_per_kw, months = self.price(season)
            if months:
                yield (
                    self._performed(season, mine, usd_per_kw, months)
                    if (self.rule.capacity == "performance")
                    else self._nominated(season, mine, usd_per_kw, months)
                )

    def _performed(self, season: str, mine: list[Settled], usd_per_kw: float, months: float) -> Entry:
        h = self.t.step_h
        each = [d.kwh / (d.call.n * h) for d in mine]
        n_kw = self.stream.nominated_kw
        kw = float(np.mean([np.clip(x, 0.0, inf if n_kw is None else n_kw) for x in each])) if each else 0.0
        why = f"mean reduction over {len(each)} calls" if each else "no call came, nothing is earned"
        return self._entry(season, kw, usd_per_kw, usd_per_kw * kw, f"{why}; {months:.2f} months covered")

    def _nominated(self, season: str, mine: list[Settled], usd_per_kw: float, months: float) -> Entry:
        n_kw = self.stream.nominated_kw or 0.0
        shown = [d.share_frac for d in mine if d.share_frac is not None]
        if self.rule.measure == "firm_service_level":
            p, why = 1.0, "paid for the firm service level; what stood above it is charged by itself"
        elif shown:
            p, why = float(np.mean(shown)), f"mean performance over {len(shown)} calls"
        elif self.stream.test_frac is not None:
            p, why = self.stream.test_frac, "performance of the test; no call came"
        else:
            p, why = 1.0, "no call and no test; paid in full"
        due = self.pays(p) if self.rule.measure != "firm_service_level" else 1.0
        usd = n_kw * usd_per_kw * due
        return self._entry(
            season,
            n_kw,
            usd_per_kw * due,
            usd,
            f"{why} ({p:.3f} pays {due:.3f}); {months:.2f} months covered",
        )

    def _entry(self, season: str, kw: float, price: float, usd: float, why: str) -> Entry:
        s = self.stream
        return Entry(
            season,
            s.layer,
            s.name,
            "capacity",
            s.counterparty,
            kw,
            "kW",
            price,
            usd,
            "",
            "contractual",
            reason=why,
        )


def season_of(year: int, month: int, rule: ResponseRule) -> str:
    """Name of the season of a month: its calendar year, or '2025/26' where it runs over New Year."""
    months = rule.season_months
    if len(months) == 12:
        first = rule.season_from_month
    elif 12 in months and 1 in months:
        first = next(m for m in range(12, 0, -1) if m in months and (m - 1 or 12) not in months)
    else:
        first = 1
    if first == 1:
        return str(year)
    begin = year if month >= first else year - 1
    return f"{begin}/{(begin + 1) % 100:02d}"


def season_names(t: Timeline, rule: ResponseRule) -> list[str]:
    """Season of each month of a timeline that lies in one, in order."""
    months = [(int(i) // 12 + 1970, int(i) % 12 + 1) for i in np.unique(t.month_id).tolist()]
    return [season_of(y, m, rule) for y, m in months if m in rule.season_months]


def counted_calls(
    t: Timeline, told: Sequence[Called], rules: Product, names: Sequence[str]
) -> list[str | None]:
    """Season in which each call counts, None for calls beyond the programme's limits or outside its season."""
    rule = _rule(rules)
    out: list[str | None] = []
    used: dict[tuple[str, str], float] = {}
    for c in told:
        when, hours = t.when(c.first), c.n * t.step_h
        season = season_of(when.year, when.month, rule)
        limits = [
            (("season", season), 1.0, rules.max_events_per_season),
            (("month", f"{when:%Y-%m}"), 1.0, rules.max_events_per_month),
            (("day", f"{when:%Y-%m-%d}"), 1.0, rules.max_events_per_day),
            (("year hours", season), hours, rules.max_hours_per_y),
            (("month hours", f"{when:%Y-%m}"), hours, rules.max_hours_per_month),
        ]
        over = any(most is not None and used.get(key, 0.0) + add > most + 1e-9 for key, add, most in limits)
        tested = rule.judged_on == "calls" or c.test
        if over or not tested or season not in names or when.month not in rule.season_months:
            out.append(None)
            continue
        for key, add, _ in limits:
            used[key] = used.get(key, 0.0) + add
        out.append(season)
    return out


def next_nomination(stream: Responding, peak_load_kw: float) -> Responding:
    """The same enrolment in the next delivery year, after a new tag: shaving the system's peaks lowers both the tag
    and the nomination that follows from it. InputError where the nomination was written as a number of its own."""
    if stream.nomination_kw is not None:
        raise InputError(
            f"{stream.name}: nomination_kw = {stream.nomination_kw:g} is written down and follows no tag; give "
            "peak_load_kw and firm_kw instead"
        )
    return stream.model_copy(update={"peak_load_kw": peak_load_kw})
