"""Regulation: capacity held for a signal of seconds, paid by what was held and how well it followed.

    credit of an interval = kW h (1 - haircut) [cap f(s; a) + ratio perf f(s; b)],  f(s; k) = max(0, 1 - k (1 - s))

kW the award, h the hours, cap and perf the prices of capability and performance (mileage), ratio the mileage asked of
this resource over that of the price, s the performance score, a and b how much of each price a missing score costs:
1 and 1 in PJM, where the credit is kW x score x (RMCCP + ratio x RMPCP) (Manual 28 section 4.2), 0 and 1 with paid
mileage, 1.1 in New York. Below the forfeit score an interval earns nothing; once the mean score of the last award
hours is below the disqualifying one, nothing more is earned until a new test.

Sources: PJM Manuals 11, 12 and 28 as read in github.com/LauriSarap/pjm-backtesting-engine (docs/pjm-data.md);
snl-quest for NYISO and CAISO. Opportunity cost and the energy of deployment are not credited: behind the meter the
energy is settled by the retail tariff, and self-scheduled offers earn no opportunity cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import ceil, inf
from typing import ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...dispatch import Call, Record, View, World
from ...errors import InputError
from ...ledger import Entry
from ...terms import Claim, Term
from ...timeline import Kw, Timeline
from ..stream import Place
from .enrolment import Amount, Enrolled, believed, happened, lane, month_names, series_clauses
from .performance import SCORERS, Score
from .product import Product, RegulationRule

GATE_H = 12.0  # of a product that states none: noon of the day before


class Leg(BaseModel):
    """Prices of one award [USD per kW and hour], numbers or names of world series.

    mileage_ratio: mileage asked of this resource over the mileage that the performance price is for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    capability_usd_per_kw_h: Amount
    performance_usd_per_kw_h: Amount = 0.0
    mileage_ratio: Amount = 1.0


class Regulation(Enrolled):
    """Regulation by the assets named.

    both: prices of one award up and down; up, down: of two awards, as the product holds them. score_frac: performance
    score expected and, where the world knows it, measured: a number or a series. max_kw: most that is offered.
    Haircuts: price_haircut_frac for prices that fall because of the offer, idle_frac for hours that are offered and not
    cleared, untracked_frac for held hours that earn nothing (lost signal, recharge). sustain_h, signal_up_frac,
    signal_down_frac: in place of the product's; up above down drains the store (drift). exposure_frac: share of the
    downward award that the billed peak sees; 1 = a full call in the worst interval. gate_h: hours before
    a day begins by which a controller offers its awards, in place of the product's. may_share: claims that may hold the
    same kW.

    >>> r = Regulation(both=Leg(capability_usd_per_kw_h=0.02, performance_usd_per_kw_h=0.002), score_frac=0.95)
    >>> r.name, r.product
    ('regulation', 'pjm-regulation')
    """

    kind: ClassVar[str] = "regulation"
    counterparty: ClassVar[str] = "system operator"

    name: str = "regulation"
    product: str | Product = "pjm-regulation"
    both: Leg | None = None
    up: Leg | None = None
    down: Leg | None = None
    score_frac: Amount
    max_kw: float = Field(default=inf, gt=0, allow_inf_nan=True)
    price_haircut_frac: float = Field(default=0.0, ge=0, le=1)
    idle_frac: float = Field(default=0.0, ge=0, le=1)
    untracked_frac: float = Field(default=0.0, ge=0, le=1)
    sustain_h: float | None = Field(default=None, ge=0)
    signal_up_frac: float | None = Field(default=None, ge=0, le=1)
    signal_down_frac: float | None = Field(default=None, ge=0, le=1)
    exposure_frac: float = Field(default=1.0, ge=0, le=1)
    gate_h: float | None = Field(default=None, ge=0, le=168)
    may_share: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _score_is_a_share(self) -> Regulation:
        if isinstance(self.score_frac, float) and not 0 <= self.score_frac <= 1:
            raise ValueError(f"score_frac = {self.score_frac:g} should lie between 0 and 1")
        if self.both is None and self.up is None and self.down is None:
            raise ValueError("give the prices: [both] for one award up and down, or [up] and [down]")
        return self

    @property
    def offered_kw(self) -> float | None:
        """Most that is offered, None without a limit."""
        return None if self.max_kw == inf else self.max_kw

    @property
    def kept_frac(self) -> float:
        """What the haircuts leave."""
        return (1 - self.price_haircut_frac) * (1 - self.idle_frac) * (1 - self.untracked_frac)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """See Enrolled."""
        out = list(super().assumptions)
        if self.price_haircut_frac == 0:
            out.append(f"{self.name}: a price taker; its own offer moves no price (price_haircut_frac = 0)")
        if self.idle_frac == 0 and self.untracked_frac == 0:
            out.append(
                f"{self.name}: every hour offered is cleared and followed (idle_frac = untracked_frac = 0)"
            )
        for side, leg in self.legs:
            if leg.mileage_ratio == 1.0 and leg.performance_usd_per_kw_h != 0:
                out.append(
                    f"{self.name} {side}: mileage as asked of the average resource (mileage_ratio = 1)"
                )
        if self.gate_h is None:
            out.append(
                f"{self.name}: a controller offers its awards by the product's gate, and where that states none "
                f"{GATE_H:g} h before the day (gate_h)"
            )
        out.append(f"{self.name}: no opportunity cost is credited, as for self-scheduled offers")
        return tuple(dict.fromkeys(out))

    @property
    def legs(self) -> tuple[tuple[Literal["both", "up", "down"], Leg], ...]:
        """Awards by direction."""
        rows: tuple[tuple[Literal["both", "up", "down"], Leg | None], ...] = (
            ("both", self.both),
            ("up", self.up),
            ("down", self.down),
        )
        return tuple((side, leg) for side, leg in rows if leg is not None)

    def own_clauses(self, rules: Product, place: Place) -> list[str]:
        """See Enrolled."""
        out = list(_sides(self, rules))
        if not self.assets and len(place.assets) > 1:
            names = ", ".join(a.name for a in place.assets)
            out.append(f"assets: name those that regulate, of {names}")
        for side, leg in self.legs:
            prices = {
                f"{side}.capability_usd_per_kw_h": leg.capability_usd_per_kw_h,
                f"{side}.performance_usd_per_kw_h": leg.performance_usd_per_kw_h,
            }
            out += series_clauses(place, prices)
            out += series_clauses(place, {f"{side}.mileage_ratio": leg.mileage_ratio}, ())
        out += series_clauses(place, {"score_frac": self.score_frac}, ())
        rule = _rule(rules)
        if isinstance(self.score_frac, float) and self.score_frac < rule.qualify_frac:
            out.append(
                f"qualify_frac = {rule.qualify_frac:g}: a score of {self.score_frac:g} does not pass the test; improve "
                "control or do not enrol"
            )
        return out

    def score(self, signal: Kw, response: Kw, step_s: float, t: Timeline) -> Score:
        """Performance by the product's own scoring rule. InputError where the product states none."""
        rule = _rule(self.rules(t))
        if rule.score == "none":
            raise InputError(f"{self.name}: {self.product} states no scoring rule; give score_frac")
        return SCORERS[rule.score](signal, response, step_s)

    # --- calls -----------------------------------------------------------------------------------

    def calls(self, world: World, timeline: Timeline) -> Iterator[Call]:
        """Awards that may be offered for, a day and a direction at a time, asked at the gate. A day whose gate closed
        before the timeline begins has none."""
        rules = self.rules(timeline)
        rule = _rule(rules)
        gate = self.gate_h if self.gate_h is not None else rule.gate_h
        gate = GATE_H if gate is None else gate
        n = max(1, round(rule.block_h / timeline.step_h))
        edges = np.flatnonzero(np.diff(timeline.day)) + 1
        signal_up = rule.signal_up_frac if self.signal_up_frac is None else self.signal_up_frac
        signal_down = rule.signal_down_frac if self.signal_down_frac is None else self.signal_down_frac
        for first, until in pairwise((0, *edges.tolist(), timeline.n)):
            asked = first - ceil(gate / timeline.step_h - 1e-9)
            if asked < 0:
                continue
            for side, _ in self.legs:
                title = _title(side)
                yield Call(
                    stream=self.name,
                    name=f"{title} {timeline.when(first):%Y-%m-%d}",
                    first=first,
                    n=until - first,
                    known=asked,
                    answer=asked,
                    direction=side,
                    kw=self.max_kw,
                    least_kw=0.0 if self.aggregated else rules.min_kw,
                    block=n,
                    claim=f"{self.name}/{title}",
                    assets=self.assets,
                    sustain_h=rule.sustain_h if self.sustain_h is None else self.sustain_h,
                    up_frac=0.0 if side == "down" else signal_up,
                    down_frac=0.0 if side == "up" else signal_down,
                    exposure_frac=0.0 if side == "up" else self.exposure_frac,
                    may_share=self.may_share,
                )

    # --- ValueStream -----------------------------------------------------------------------------

    def terms(self, view: View) -> Sequence[Term]:
        """One claim a direction, at the credit that its expected score earns."""
        rules = self.rules(view.timeline)
        rule = _rule(rules)
        problems = list(_sides(self, rules))
        if not self.assets:
            problems.append("assets: name those that regulate, or bind the stream to its site")
        if problems:
            raise InputError.collect(f"stream {self.name}", problems)
        score = believed(self.score_frac, view)
        out: list[Term] = []
        for side, leg in self.legs:
            prices = (
                believed(leg.capability_usd_per_kw_h, view),
                believed(leg.performance_usd_per_kw_h, view),
                believed(leg.mileage_ratio, view),
            )
            cap, perf = credit_usd_per_kw_h(rule, score, *prices)
            signal_up = rule.signal_up_frac if self.signal_up_frac is None else self.signal_up_frac
            signal_down = rule.signal_down_frac if self.signal_down_frac is None else self.signal_down_frac
            out.append(
                Claim(
                    self.name,
                    _title(side),
                    side,
                    (cap + perf) * self.kept_frac,
                    self.assets,
                    min_kw=0.0 if self.aggregated else rules.min_kw,
                    max_kw=self.max_kw,
                    block_h=rule.block_h if rule.block_h > view.timeline.step_h else None,
                    sustain_h=rule.sustain_h if self.sustain_h is None else self.sustain_h,
                    exposure_frac=0.0 if side == "up" else self.exposure_frac,
                    throughput_up_frac=0.0 if side == "down" else signal_up,
                    throughput_down_frac=0.0 if side == "up" else signal_down,
                    may_share=self.may_share,
                    reason=f"{rules.label}, {side}: capability and performance at the expected score",
                )
            )
        return out

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """Credits by month from the awards in the record, prices and scores in the world."""
        t = record.timeline
        rules = self.rules(t)
        score = happened(self.score_frac, world, t.n)
        out: list[Entry] = []
        held_kw = np.zeros(t.n)
        net_kw = lane(np.asarray(record.net_kw), "net_kw")
        for side, leg in self.legs:
            key = f"{self.name}/{_title(side)}"
            award = lane(np.asarray(record.extra.get(key, np.zeros(t.n))), key)
            held_kw = held_kw + award
            prices = (
                happened(leg.capability_usd_per_kw_h, world, t.n),
                happened(leg.performance_usd_per_kw_h, world, t.n),
                happened(leg.mileage_ratio, world, t.n),
            )
            out += self._credits(t, rules, side, award, score, prices, net_kw)
        yield from out
        delivered = float(held_kw.sum()) * t.step_h * _rule(rules).signal_up_frac
        yield from self.cost_entries(t, delivered_kwh=delivered)

    def _credits(
        self,
        t: Timeline,
        rules: Product,
        side: str,
        award: Kw,
        score: Kw,
        prices: tuple[Kw, Kw, Kw],
        net_kw: Kw,
    ) -> Iterator[Entry]:
        rule = _rule(rules)
        cap, perf = credit_usd_per_kw_h(rule, score, *prices)
        full = prices[0] + prices[1] * prices[2]
        out = disqualified(rule, award, score, t.step_h)
        idle = (net_kw <= 0) & rule.imports_only
        paid = ~out & ~idle
        names, index = month_names(t)
        title = _title(side)
        for m, name in enumerate(names):
            here = index == m
            kw_h = award * t.step_h * self.kept_frac * here
            for item, price in (("capability", cap), ("performance", perf)):
                usd = float((kw_h * price)[paid].sum())
                if usd:
                    mean = float((award * score * here).sum() / max(float((award * here).sum()), 1e-300))
                    yield self._line(
                        name,
                        f"{title}/{item}",
                        float(kw_h[paid].sum()),
                        usd,
                        f"{rules.label}; mean score {mean:.3f}",
                    )
            lost = float((kw_h * full)[(score < rule.forfeit_below_frac) & paid].sum())
            if lost:
                yield self._line(name, f"{title}/forfeited", 0.0, 0.0, _forfeit(rule, lost))
            held = kw_h > 0
            if (held & out).any():
                when = t.when(int(np.flatnonzero(held & out)[0])).isoformat()
                why = (
                    f"from {when} on: mean score of {rule.rolling_h:g} award hours below "
                    f"{rule.disqualified_below_frac:g}; nothing is earned until a new test"
                )
                yield self._line(name, f"{title}/disqualified", 0.0, 0.0, why, when)
            if (held & idle & ~out).any():
                why = f"{int((held & idle).sum())} intervals without import earn nothing"
                yield self._line(name, f"{title}/no import", 0.0, 0.0, why)

    def _line(self, cycle: str, item: str, kw_h: float, usd: float, why: str, when: str = "") -> Entry:
        price = usd / kw_h if kw_h else None
        return Entry(
            cycle,
            self.layer,
            self.name,
            item,
            self.counterparty,
            kw_h,
            "kW h",
            price,
            usd,
            when,
            self.certainty,
            reason=why,
        )


def credit_usd_per_kw_h(
    rule: RegulationRule, score: Kw, capability: Kw, performance: Kw, ratio: Kw
) -> tuple[Kw, Kw]:
    """Credit of capability and of performance for a kW held an hour, (n,) each; zero below the forfeit score.

    PJM: 10 kW at a score of 0.25 with 0.050 and 0.005 USD/kW h over 5 minutes earns 10 x 0.25 x 0.055 / 12.
    """
    pays = score >= rule.forfeit_below_frac
    lost = 1.0 - score
    cap = capability * np.maximum(0.0, 1.0 - rule.capability_lost_frac * lost)
    perf = ratio * performance * np.maximum(0.0, 1.0 - rule.performance_lost_frac * lost)
    return np.where(pays, cap, 0.0), np.where(pays, perf, 0.0)


def disqualified(
    rule: RegulationRule, award: Kw, score: Kw, step_h: float
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Intervals after the mean score of the last rolling_h award hours fell below the disqualifying one, (n,).

    The mean is judged once rolling_h hours have been held.
    """
    out = np.zeros(award.size, dtype=np.bool_)
    need = round(rule.rolling_h / step_h)
    held = np.flatnonzero(award > 0)
    if rule.disqualified_below_frac <= 0 or held.size < need or need == 0:
        return out
    sums = np.concatenate(([0.0], np.cumsum(score[held])))
    low = np.flatnonzero((sums[need:] - sums[:-need]) / need < rule.disqualified_below_frac - 1e-12)
    if low.size:
        out[held[low[0] + need - 1] + 1 :] = True
    return out


def _sides(stream: Regulation, rules: Product) -> Iterator[str]:
    rule = _rule(rules)
    if rule.direction == "both" and (stream.both is None or stream.up or stream.down):
        yield f"both: {rules.label} holds one award up and down; give its prices as [both] alone"
    if rule.direction == "apart" and (stream.both is not None or not (stream.up or stream.down)):
        yield f"up, down: {rules.label} holds two awards; give prices as [up] and [down], not [both]"


def _rule(rules: Product) -> RegulationRule:
    assert rules.regulation is not None
    return rules.regulation


def _title(side: str) -> str:
    return "capacity" if side == "both" else side


def _forfeit(rule: RegulationRule, usd: float) -> str:
    return f"scores below {rule.forfeit_below_frac:g} forfeit the interval; {usd:,.2f} USD at full score"
