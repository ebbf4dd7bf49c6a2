"""Coincident-peak tags: load in the hours in which the system peaked sets what next year's capacity costs.

    tag = scale x sum over the hits of mean load in the hit / number of hits;  usd = - tag x price a kW and year

PJM: 5 hits of an hour on different days of June to September, billed from June of the next year; ERCOT: one quarter
hour in each of four months, billed in the next calendar year; New York and New England: one hour. A tag of PJM is
also next year's demand-response nomination, tag - firm level x loss factor: shaving it lowers that income, which is
counted here where dr_usd_per_kw_y says what a nominated kW earns. The money falls due a year later; a ledger of one
year shows it as provisional, under the year in which it is billed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from math import inf
from typing import ClassVar

import numpy as np
from pydantic import Field

from ...dispatch import Record, View, World
from ...errors import InputError
from ...ledger import Entry
from ...terms import Block, Measure, Payment, Term
from ...timeline import Kw, Timeline
from ..stream import Place
from .enrolment import (
    Call,
    Called,
    Enrolled,
    believed,
    calls_on,
    foreseen,
    happened,
    lane,
    runs_of,
    series_clauses,
)
from .product import PeakRule, Product


@dataclass(frozen=True, slots=True, eq=False)
class Tag:
    """A tag of a season: tag_kw, the hits that set it (intervals), and how many of the due ones lie in the data."""

    season: int
    tag_kw: float
    hits: tuple[Called, ...]
    due: int


class CoincidentPeak(Enrolled):
    """A capacity or transmission tag.

    peaks: start times of the system's peaks, or the name of a series that is 1 in them; they are known only after
    the season, so a plan acts on `warning`, a series of the probability that an interval will be a hit, and only a
    perfect-foresight bound on the peaks themselves. usd_per_kw_y: price of a kW of tag in the year it is billed.
    scale_frac: what the utility multiplies the load by (losses, weather scaling). dr_usd_per_kw_y, firm_kw, loss_frac:
    the nomination that follows from the tag.

    >>> CoincidentPeak(product="pjm-5cp", peaks=(), usd_per_kw_y=100.0).name
    'capacity tag'
    """

    kind: ClassVar[str] = "coincident_peak"
    certainty: ClassVar[str] = "contractual"
    counterparty: ClassVar[str] = "utility"
    dispatches: ClassVar[bool] = False  # a tag is charged whatever stands behind the meter

    name: str = "capacity tag"
    peaks: str | tuple[datetime | str, ...]
    warning: str | None = None
    usd_per_kw_y: float | None = Field(default=None, ge=0)
    scale_frac: float = Field(default=1.0, gt=0)
    dr_usd_per_kw_y: float = Field(default=0.0, ge=0)
    firm_kw: float = Field(default=0.0, ge=0)
    loss_frac: float = Field(default=1.0, gt=0)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """See Enrolled."""
        out = list(super().assumptions)
        if self.scale_frac == 1.0:
            out.append(
                f"{self.name}: load counts as metered, without loss or weather scaling (scale_frac = 1)"
            )
        if self.warning is None:
            out.append(
                f"{self.name}: no warning series is given; only a perfect-foresight plan can act on the peaks"
            )
        if self.dr_usd_per_kw_y == 0:
            out.append(
                f"{self.name}: no demand-response nomination follows from the tag (dr_usd_per_kw_y = 0)"
            )
        out.append(f"{self.name}: settled as if next year's price and tag stood in this year's ledger")
        return tuple(dict.fromkeys(out))

    def own_clauses(self, rules: Product, place: Place) -> list[str]:
        """See Enrolled."""
        on = self.as_of or place.timeline.start.date()
        out = []
        if self.price(rules, on) is None:
            out.append(f"usd_per_kw_y: no price of {rules.title} is known for the year after {on}; give it")
        named = {"peaks": self.peaks if isinstance(self.peaks, str) else None, "warning": self.warning}
        out += series_clauses(place, named, ())
        if self.dr_usd_per_kw_y and not _rule(rules).feeds_nomination:
            out.append(f"dr_usd_per_kw_y: no nomination follows from {rules.title}; leave it out")
        return out

    def price(self, rules: Product, on: date) -> float | None:
        """USD per kW of tag in the year it is billed: as given, or the product's price of that year."""
        if self.usd_per_kw_y is not None:
            return self.usd_per_kw_y
        billed = date(on.year + 1, _rule(rules).bills_from_month, 1)
        year = rules.price("usd_per_kw_y", billed, self.area)
        if year is not None:
            return year.usd_per_kw_y
        day = rules.price("usd_per_mw_day", billed, self.area)
        return None if day is None or day.usd_per_mw_day is None else day.usd_per_mw_day / 1000 * 365

    # --- hits ------------------------------------------------------------------------------------

    def _hits(self, rule: PeakRule, t: Timeline, flag: Kw | None) -> list[Called]:
        if isinstance(self.peaks, tuple):
            calls = [Call(start=p, hours=rule.hit_h) for p in self.peaks]
            return calls_on(t, calls, 0.0, self.name)
        assert flag is not None
        n = max(1, round(rule.hit_h / t.step_h))
        out: list[Called] = []
        for run in runs_of(flag):
            if run.n % n:
                raise InputError(
                    f"{self.name}: series {self.peaks!r} marks {run.n * t.step_h:g} h at "
                    f"{t.when(run.first).isoformat()}; hits last {rule.hit_h:g} h each"
                )
            out += [Called(run.first + i, n, run.known) for i in range(0, run.n, n)]
        return out

    def tags(self, record: Record, world: World) -> list[Tag]:
        """The tag that each season in the record sets."""
        t = record.timeline
        rule = _rule(self.rules(t))
        flag = happened(self.peaks, world, t.n) if isinstance(self.peaks, str) else None
        net = np.maximum(lane(np.asarray(record.net_kw), "net_kw"), 0.0)
        by_year: dict[int, list[Called]] = {}
        for c in self._hits(rule, t, flag):
            when = t.when(c.first)
            if when.month not in rule.season_months:
                raise InputError(
                    f"{self.name}: a peak on {when.isoformat()} lies outside months {_months(rule)}; correct the hours"
                )
            by_year.setdefault(when.year, []).append(c)
        out = []
        for year, hits in by_year.items():
            if len(hits) > rule.hits:
                raise InputError(
                    f"{self.name}: {len(hits)} peaks in {year}, a tag counts {rule.hits}; correct them"
                )
            once = {t.when(c.first).month if rule.per == "month" else t.when(c.first).date() for c in hits}
            if len(once) < len(hits):
                each = "month" if rule.per == "month" else "day"
                raise InputError(
                    f"{self.name}: two peaks of {year} fall on one {each}, a tag counts one; correct them"
                )
            kw = self.scale_frac * sum(float(net[c.span].mean()) for c in hits) / rule.hits
            out.append(Tag(year, kw, tuple(hits), rule.hits))
        return out

    # --- ValueStream -----------------------------------------------------------------------------

    def terms(self, view: View) -> Sequence[Term]:
        """A price on the load in the hits, and on next year's nomination where one follows."""
        rules = self.rules(view.timeline)
        rule, h = _rule(rules), view.timeline.step_h
        usd = self.price(rules, self.as_of or view.timeline.start.date())
        if usd is None:
            raise InputError(f"stream {self.name}: usd_per_kw_y: no price of {rules.title} is known; give it")
        if not foreseen(view):
            return self._warned(view, rule, usd)
        whole = view.timeline.part(0, view.k + view.n)
        flag = (
            lane(view.belief.series(self.peaks, first=0, n=whole.n, as_of=view.k), self.peaks)
            if (isinstance(self.peaks, str))
            else None
        )
        hits = self._hits(rule, whole, flag)
        years = sorted({whole.when(c.first).year for c in hits})
        window = np.full(view.n, -1, dtype=np.int64)
        so_far = np.zeros(len(years))
        for c in hits:
            w = years.index(whole.when(c.first).year)
            done = np.arange(c.first, min(view.k, c.first + c.n))
            if done.size and view.record is not None:
                net = lane(np.asarray(view.record.net_kw), "net_kw")
                so_far[w] += float(np.maximum(net[done], 0.0).sum()) * h
            window[max(c.first - view.k, 0) : max(c.first + c.n - view.k, 0)] = w
        if not (window >= 0).any():
            return []
        per_kwh = self.scale_frac / (rule.hits * rule.hit_h)
        past = so_far if so_far.any() else None
        measure = Measure("import")
        out: list[Term] = [
            Payment(
                self.name,
                "tag",
                measure,
                "sum",
                window,
                (Block(inf, usd * per_kwh),),
                f"1/{rule.hits} of a peak",
                past,
            )
        ]
        if self.dr_usd_per_kw_y:
            free = self.firm_kw * self.loss_frac / per_kwh
            blocks = (Block(free, 0.0), Block(inf, -self.dr_usd_per_kw_y * per_kwh))
            why = "a lower tag is a lower nomination next year"
            out.append(Payment(self.name, "nomination", measure, "sum", window, blocks, why, past))
        return out

    def _warned(self, view: View, rule: PeakRule, usd: float) -> Sequence[Term]:
        if self.warning is None:
            return []
        chance = np.clip(believed(self.warning, view), 0.0, 1.0)
        net_usd = usd - self.dr_usd_per_kw_y
        price = chance * net_usd * self.scale_frac / (rule.hits * rule.hit_h)
        why = "expected share of the tag at the warned probability; not exact: the peaks are not known"
        window = np.where(chance > 0, 0, -1).astype(np.int64)
        if not (window >= 0).any():
            return []
        blocks = (Block(inf, price),)
        return [Payment(self.name, "tag", Measure("import"), "each", window, blocks, why, exact=False)]

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """The tag of each season at next year's price, and the nomination that follows from it."""
        t = record.timeline
        rules = self.rules(t)
        rule = _rule(rules)
        for tag in self.tags(record, world):
            usd = self.price(rules, self.as_of or date(tag.season, 1, 1))
            if usd is None:
                raise InputError(
                    f"stream {self.name}: usd_per_kw_y: no price of {rules.title} is known; give it"
                )
            cycle = f"{tag.season + 1}-{rule.bills_from_month:02d}"
            when = t.when(tag.hits[0].first).isoformat()
            seen = f"{len(tag.hits)} of {tag.due} peaks of {tag.season} lie in the data"
            yield self._line(
                cycle, "tag", tag.tag_kw, usd, -usd * tag.tag_kw, when, f"{seen}; billed from {cycle}"
            )
            if self.dr_usd_per_kw_y:
                kw = max(0.0, tag.tag_kw - self.firm_kw * self.loss_frac)
                why = f"nomination = tag less {self.firm_kw:g} kW firm x {self.loss_frac:g}; it falls with the tag"
                price = self.dr_usd_per_kw_y
                yield self._line(cycle, "next year's nomination", kw, price, price * kw, when, why)
        yield from self.cost_entries(t)

    def _line(self, cycle: str, item: str, kw: float, price: float, usd: float, when: str, why: str) -> Entry:
        return Entry(
            cycle,
            self.layer,
            self.name,
            item,
            self.counterparty,
            kw,
            "kW",
            price,
            usd,
            when,
            self.certainty,
            status="provisional",
            reason=why,
        )


def _rule(rules: Product) -> PeakRule:
    assert rules.coincident_peak is not None
    return rules.coincident_peak


def _months(rule: PeakRule) -> str:
    return ", ".join(str(m) for m in rule.season_months)
