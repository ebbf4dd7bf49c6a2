"""Demand charges: the highest mean power of a cycle, flat or by time of use, with tiers and ratchets."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...ledger import Entry
from ...terms import Block, Floor, Measure, Payment, Term
from ...timeline import Ints, Kw
from .item import Decided, Item, Metered, Schedule, tiered_usd

KW_PER_HP = 0.7457  # mechanical horsepower, NIST SP 811 (745.699 9 W)


class DemandTier(BaseModel):
    """Up to `upto` (None = no bound) of the billed demand, each unit costs usd_per_unit (rate + adjustment)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    usd_per_unit: float
    upto: float | None = Field(default=None, gt=0)


class DemandPeriod(BaseModel):
    """One period with its own billed peak."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    tiers: tuple[DemandTier, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ascending(self) -> DemandPeriod:
        bounds = [inf if t.upto is None else t.upto for t in self.tiers]
        if any(b <= a for a, b in pairwise(bounds)):
            raise ValueError(f"tier bounds {bounds} do not ascend; `upto` is cumulative")
        return self

    @property
    def free(self) -> bool:
        """Whether it costs nothing."""
        return all(t.usd_per_unit == 0 for t in self.tiers)


class Ratchet(BaseModel):
    """Billed demand is at least `share_frac` of the highest peak of past cycles.

    share_frac: one number, or 12 by calendar month of the bill. Past cycles: the `months` previous ones, or
    those of the last 11 months whose calendar month is one of `only_months`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    share_frac: float | tuple[float, ...]
    months: int = Field(default=11, ge=1, le=60)
    only_months: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _sane(self) -> Ratchet:
        shares = self.share_frac if isinstance(self.share_frac, tuple) else (self.share_frac,)
        if len(shares) not in (1, 12):
            raise ValueError(f"share_frac: {len(shares)} values; give one, or 12 by month")
        if not all(0 <= s <= 1 for s in shares):
            raise ValueError(f"share_frac: {shares} is a fraction, 80 % is written 0.80")
        return self

    def share(self, month: int) -> float:
        """Share in force in calendar month 1..12."""
        return self.share_frac[month - 1] if isinstance(self.share_frac, tuple) else self.share_frac

    def past(self, month_id: int) -> list[int]:
        """Month numbers (since 1970) that the bill of `month_id` looks back on."""
        span = range(month_id - self.months, month_id)
        return [m for m in span if not self.only_months or m % 12 + 1 in self.only_months]


@dataclass(frozen=True, slots=True, eq=False)
class Peaks:
    """Peak by cycle and period, (c, p); -inf where the period does not occur, with its interval number."""

    kw: Kw
    at: Ints


class Demand(Item):
    """usd = sum over cycles and periods of T(B), B = max(P, share x max of past P), P = highest block mean.

    Flat (one peak a cycle): `months` gives the period of each calendar month. Time of use (one peak a
    cycle and period): `weekday` and `weekend` schedules. unit: kW, kVA or hp (0.7457 kW). daily: the sum of
    each day's peak is charged instead. window_min: averaging window on clock blocks. sliding: the window
    slides by one interval instead. A cycle that spans a change of month weighs each month's rate by days.
    Ratchet: FACTS of the tariff, e.g. 80 % of the highest of the previous 11 months: a constant 100 kW
    load is billed 100 kW every month.
    """

    kind: Literal["demand"] = "demand"
    periods: tuple[DemandPeriod, ...] = Field(min_length=1)
    months: tuple[int, ...] | None = None
    weekday: Schedule | None = None
    weekend: Schedule | None = None
    unit: Literal["kW", "kVA", "hp"] = "kW"
    daily: bool = False
    window_min: float | None = Field(default=None, gt=0)
    sliding: bool = False
    ratchet: Ratchet | None = None
    stage: ClassVar[int] = 0

    @model_validator(mode="after")
    def _one_form(self) -> Demand:
        if (self.months is None) == (self.weekday is None):
            raise ValueError("give either `months` (flat demand) or `weekday` and `weekend` schedules")
        if self.months is not None and (len(self.months) != 12 or max(self.months) >= len(self.periods)):
            raise ValueError(f"months: {self.months} should be 12 period numbers below {len(self.periods)}")
        if self.weekday is not None:
            if self.weekend is None:
                raise ValueError("weekend: missing beside weekday")
            for key, rows in (("weekday", self.weekday), ("weekend", self.weekend)):
                if len(rows) != 12 or any(len(r) != 24 for r in rows):
                    raise ValueError(f"{key}: a schedule has 12 months of 24 hours")
                if (worst := max(max(r) for r in rows)) >= len(self.periods):
                    raise ValueError(
                        f"{key}: period {worst} is scheduled, only {len(self.periods)} are given"
                    )
        return self

    @property
    def by_interval(self) -> bool:
        """See Item: peaks of days belong to the version in force on the day."""
        return self.daily

    def needs(self) -> Any:
        """kVA needs a power factor or kvar."""
        return ("power_factor",) if self.unit == "kVA" else ()

    @property
    def flat(self) -> bool:
        """Whether one peak a cycle is billed, whenever it falls."""
        return self.months is not None

    def label(self, p: int) -> str:
        """Name of period p in the ledger."""
        if self.periods[p].name:
            return self.periods[p].name
        if self.flat:
            return "flat"
        return f"period {p}"

    # --- quantities ------------------------------------------------------------------------------

    def quantity(self, metered: Metered) -> Kw:
        """What is measured, in `unit`, averaged over the window, (n,)."""
        raw = metered.kva if self.unit == "kVA" else metered.import_kw
        if self.unit == "hp":
            raw = raw / KW_PER_HP
        if self.sliding and self.window_min is not None:
            return _slide(raw, self.window_min / 60 / metered.timeline.step_h, metered)
        return metered.averaged(raw, self.window_min)

    def period_of(self, source: Metered | Decided) -> Ints:
        """Period of each interval for the peak, (n,); a flat charge has one."""
        if self.flat:
            return np.zeros(source.timeline.n, dtype=np.int64)
        assert self.weekday is not None and self.weekend is not None
        return source.calendar.periods(self.weekday, self.weekend)

    def weights(self, source: Metered | Decided) -> Kw:
        """Share of each cycle's days in which each period's rate is in force, (c, periods), times the
        share of the cycle that the data cover."""
        cycles, size = source.cycles, len(self.periods)
        out = np.zeros((cycles.n, size))
        in_month = self._in_month()
        for c in range(cycles.n):
            days = np.arange(cycles.first_day[c], cycles.until_day[c]).astype("datetime64[D]")
            months = days.astype("datetime64[M]").astype(np.int64) % 12
            out[c] = in_month[months].mean(axis=0) * cycles.covered_frac[c]
        return out

    def _in_month(self) -> Kw:
        """Whether period p is in force in calendar month m, (12, p)."""
        out = np.zeros((12, len(self.periods)))
        for m in range(12):
            if self.months is not None:
                out[m, self.months[m]] = 1
            else:
                assert self.weekday is not None and self.weekend is not None
                out[m, sorted({*self.weekday[m], *self.weekend[m]})] = 1
        return out

    def peaks(self, metered: Metered, quantity: Kw) -> Peaks:
        """Highest quantity by cycle and period; a flat charge repeats its one peak over its periods."""
        size = 1 if self.flat else len(self.periods)
        code = metered.cycles.index * size + self.period_of(metered)
        kw, at = np.full(metered.cycles.n * size, -np.inf), np.full(metered.cycles.n * size, -1)
        np.maximum.at(kw, code, quantity)
        highest = np.flatnonzero(quantity == kw[code])
        at[code[highest[::-1]]] = highest[::-1]  # the first of equals is the one that set it
        times = len(self.periods) if self.flat else 1
        return Peaks(
            np.repeat(kw.reshape(-1, size), times, axis=1), np.repeat(at.reshape(-1, size), times, axis=1)
        )

    def floors(self, source: Metered | Decided) -> list[tuple[float, float, tuple[int, ...]]]:
        """Per cycle: (least from history, share, earlier cycles of the span) that a ratchet looks at."""
        cycles_of: dict[int, list[int]] = {}  # read dates may put two cycles into one month, or none
        for c, m in enumerate(source.cycles.month_id):
            cycles_of.setdefault(int(m), []).append(c)
        out: list[tuple[float, float, tuple[int, ...]]] = []
        for c, m in enumerate(source.cycles.month_id):
            if self.ratchet is None:
                out.append((0.0, 0.0, ()))
                continue
            share, past = self.ratchet.share(int(m) % 12 + 1), self.ratchet.past(int(m))
            known = [source.history.kw(k) for k in past if k not in cycles_of] if self.by_month else []
            least = share * max((k for k in known if k is not None), default=0.0)
            out.append((least, share, tuple(e for k in past for e in cycles_of.get(k, ()) if e < c)))
        return out

    @property
    def by_month(self) -> bool:
        """Whether history, which holds one peak a month, fits: one billed peak a cycle."""
        return self.flat or sum(not p.free for p in self.periods) == 1

    def missing_history(self, metered: Metered) -> int:
        """Months that the ratchet looks back on and of which neither data nor history say anything."""
        if self.ratchet is None:
            return 0
        month_id = metered.cycles.month_id
        have = {int(m) for m in month_id}
        asked = {k for m in month_id for k in self.ratchet.past(int(m))} - have
        return len([k for k in asked if metered.history.kw(k) is None])

    # --- money -----------------------------------------------------------------------------------

    def charge(self, metered: Metered) -> list[Entry]:
        """See Item."""
        quantity = self.quantity(metered)
        if self.daily:
            return self._daily(metered, quantity)
        peaks = self.peaks(metered, quantity)
        weights, floors = self.weights(metered), self.floors(metered)
        if missing := self.missing_history(metered):
            metered.assume(
                f"demand/{self.name or 'ratchet'}: no history of {missing} earlier months is given; the "
                "ratchet sees only the months in the data and those given"
            )
        if self.ratchet is not None and not self.by_month and metered.history.peak_kw:
            metered.assume(
                f"demand/{self.name or 'ratchet'}: history holds one peak a month, this charge has one by "
                "period; its ratchet looks back no further than the data"
            )
        billed = peaks.kw.copy()
        out: list[Entry] = []
        for c in range(metered.cycles.n):
            least, share, earlier = floors[c]
            for p, period in enumerate(self.periods):
                if peaks.at[c, p] < 0 or weights[c, p] == 0:
                    continue
                past = [peaks.kw[k, p] for k in earlier if np.isfinite(peaks.kw[k, p])]
                floor = max(least, share * max(past, default=0.0))
                billed[c, p] = max(peaks.kw[c, p], floor)
                out += self._line(metered, c, p, period, peaks, billed[c, p], floor, weights[c, p])
        self._say_billed(metered, billed)
        return out

    def _line(
        self,
        metered: Metered,
        c: int,
        p: int,
        period: DemandPeriod,
        peaks: Peaks,
        billed: float,
        floor: float,
        weight: float,
    ) -> list[Entry]:
        if period.free and len(self.periods) > 1:
            return []
        rates = np.array([t.usd_per_unit for t in period.tiers])
        upto = np.array([inf if t.upto is None else t.upto for t in period.tiers])
        usd = float(tiered_usd(np.array([billed]), upto, rates)[0]) * weight
        step_min = metered.timeline.step_h * 60
        formed = self.window_min is not None and _whole(self.window_min / step_min)
        window = self.window_min if formed else step_min
        reason = f"highest {window:g}-minute mean {peaks.kw[c, p]:,.2f} {self.unit}"
        if floor > peaks.kw[c, p]:
            reason += f"; ratchet raises it to {billed:,.2f} {self.unit}"
        if weight < 1 - 1e-9:
            reason += f"; {100 * weight:.1f} % of the cycle's days"
        one = rates[0] * weight if len(rates) == 1 else None
        return [
            metered.entry(
                c,
                f"demand/{self.label(p)}",
                billed,
                self.unit,
                one,
                usd,
                when=int(peaks.at[c, p]),
                reason=reason,
            )
        ]

    def _say_billed(self, metered: Metered, billed: Kw) -> None:
        """Billed kW of each cycle for hours-use tiers: the flat demand, else the highest of the periods."""
        if self.unit != "kVA" and (metered.billed_kw is None or self.flat):
            top = np.where(np.isfinite(billed), billed, 0.0).max(axis=1)
            metered.billed_kw = top * (KW_PER_HP if self.unit == "hp" else 1.0)

    def _daily(self, metered: Metered, quantity: Kw) -> list[Entry]:
        """Sum over days of the day's peak, by cycle and period."""
        if self.ratchet is not None:
            metered.assume(f"demand/{self.name or 'daily'}: its ratchet is not applied to peaks of days")
        period = self.period_of(metered)
        if self.flat:
            assert self.months is not None
            period = np.array(self.months)[metered.timeline.month - 1]
        day = metered.timeline.day - metered.timeline.day[0]
        size = len(self.periods)
        code = (metered.cycles.index * (day[-1] + 1) + day) * size + period
        codes, where = np.unique(code, return_inverse=True)
        top = np.full(codes.size, -np.inf)
        np.maximum.at(top, where, quantity)
        cycle, p_of = codes // size // (day[-1] + 1), codes % size
        out = []
        for c in range(metered.cycles.n):
            for p in range(size):
                mine = top[(cycle == c) & (p_of == p)]
                if mine.size == 0 or (self.periods[p].free and size > 1):
                    continue
                rates = np.array([t.usd_per_unit for t in self.periods[p].tiers])
                upto = np.array([inf if t.upto is None else t.upto for t in self.periods[p].tiers])
                usd = float(tiered_usd(mine, upto, rates).sum())
                out.append(
                    metered.entry(
                        c,
                        f"demand/{self.label(p)} daily",
                        float(mine.sum()),
                        f"{self.unit}-day",
                        rates[0] if len(rates) == 1 else None,
                        usd,
                        reason=f"sum of the peaks of {mine.size} days",
                    )
                )
        return out

    # --- terms -----------------------------------------------------------------------------------

    def terms(self, decided: Decided) -> list[Term]:
        """One Payment on the maximum, a window for each cycle and period; exact, except kVA with kvar unknown."""
        if self.daily:
            return [self._daily_term(decided)]
        size = 1 if self.flat else len(self.periods)
        period = self.period_of(decided)
        weights = self.weights(decided)
        code = decided.cycles.index * size + period
        if not self.flat:
            free = np.array([p.free for p in self.periods])
            code = np.where(free[period], -1, code)
        used, window = np.unique(code, return_inverse=True)
        if used[0] < 0:
            used, window = used[1:], window - 1
        if used.size == 0:
            return []
        scale = self._unit_scale(decided)
        windows = [(int(u) // size, int(u) % size) for u in used]
        number = {u: i for i, u in enumerate(windows)}
        floors = []
        for (c, p), i in number.items():
            least, share, earlier = self.floors(decided)[c] if self.ratchet else (0.0, 0.0, ())
            inside = tuple(number[(k, p)] for k in earlier if (k, p) in number)
            if least > 0 or inside:
                floors.append(Floor(i, least=least / scale, share=share, of_windows=inside))
        blocks = _blocks([self._tiers_of(c, p, weights) for c, p in windows], scale, decided.multiplier)
        what = "flat demand" if self.flat else "demand by time of use"
        return [
            Payment(
                decided.tariff,
                self.term_name,
                self.measure(decided),
                "max",
                window,
                blocks,
                floors=tuple(floors),
                exact=not (why := self._inexact(decided)),
                reason=f"{what}{why and '; '}{why}",
            )
        ]

    @property
    def term_name(self) -> str:
        """Name of its payment."""
        return f"demand{' daily' if self.daily else ''}{' ' + self.name if self.name else ''}"

    def measure(self, decided: Decided) -> Measure:
        """What is averaged over the window before its maximum is taken."""
        flow: Any = "kva" if self.unit == "kVA" and decided.facts.power_factor is None else "import"
        step_min = decided.timeline.step_h * 60
        wide = self.window_min is not None and self.window_min > step_min + 1e-9 and not self.sliding
        if not wide or self.window_min is None or not _whole(self.window_min / step_min):
            return Measure(flow)
        return Measure(flow, average_h=self.window_min / 60)

    def _inexact(self, decided: Decided) -> str:
        """Why the payment is not the rule; '' = it is."""
        step_min = decided.timeline.step_h * 60
        if self.sliding and self.window_min is not None and self.window_min > step_min + 1e-9:
            return "the window slides; single intervals stand for it"
        if self.unit == "kVA" and isinstance(decided.facts.power_factor, np.ndarray):
            return "the power factor varies; its mean stands for it"
        return ""

    def _unit_scale(self, decided: Decided) -> float:
        """Units of `unit` per kW."""
        if self.unit == "hp":
            return 1 / KW_PER_HP
        if self.unit == "kVA" and decided.facts.power_factor is not None:
            return 1 / float(np.mean(decided.facts.power_factor))
        return 1.0

    def _tiers_of(self, c: int, p: int, weights: Kw) -> list[tuple[float, float]]:
        if not self.flat:
            return [
                (inf if t.upto is None else t.upto, t.usd_per_unit * weights[c, p])
                for t in self.periods[p].tiers
            ]
        # Several months' ladders on one peak add up: the union of their bounds with summed prices.
        mine = [(q, weights[c, q]) for q in range(len(self.periods)) if weights[c, q] > 0]
        bounds = sorted({inf if t.upto is None else t.upto for q, _ in mine for t in self.periods[q].tiers})
        out = []
        for b in bounds:
            price = sum(
                w
                * next(
                    t.usd_per_unit for t in self.periods[q].tiers if (inf if t.upto is None else t.upto) >= b
                )
                for q, w in mine
            )
            out.append((b, price))
        # A cycle of which the data hold an hour or two weighs nothing.
        return out or [(inf, 0.0)]

    def _daily_term(self, decided: Decided) -> Payment:
        period = self.period_of(decided)
        if self.flat:
            assert self.months is not None
            period = np.array(self.months)[decided.timeline.month - 1]
        day = decided.timeline.day - decided.timeline.day[0]
        code = day * len(self.periods) + period
        used, window = np.unique(code, return_inverse=True)
        scale = self._unit_scale(decided)
        periods = [self.periods[int(u) % len(self.periods)] for u in used]
        ladders = [[(inf if t.upto is None else t.upto, t.usd_per_unit) for t in p.tiers] for p in periods]
        blocks = _blocks(ladders, scale, decided.multiplier)
        return Payment(
            decided.tariff,
            self.term_name,
            self.measure(decided),
            "max",
            window,
            blocks,
            exact=not (why := self._inexact(decided)),
            reason=f"as-used daily demand{why and '; '}{why}",
        )


def _blocks(ladders: list[list[tuple[float, float]]], scale: float, multiplier: float) -> tuple[Block, ...]:
    """One ladder a window as blocks of equal depth: a short ladder goes on at its last price, over bounds that
    never descend. scale: units per kW."""
    depth = max(len(ladder) for ladder in ladders)
    bounds, prices = np.empty((len(ladders), depth)), np.empty((len(ladders), depth))
    for w, ladder in enumerate(ladders):
        for k in range(depth):
            bounds[w, k], prices[w, k] = ladder[min(k, len(ladder) - 1)]
    for k in range(depth - 1):
        common = np.max(bounds[:, k], where=np.isfinite(bounds[:, k]), initial=0.0)
        before = bounds[:, k - 1] if k else np.zeros(len(ladders))
        bounds[:, k] = np.where(np.isfinite(bounds[:, k]), bounds[:, k], np.maximum(before, common))
    return tuple(
        Block(inf if k == depth - 1 else bounds[:, k] / scale, prices[:, k] * scale * multiplier)
        for k in range(depth)
    )


def _whole(ratio: float) -> bool:
    """Whether a window is a whole number of intervals, at least one."""
    return ratio > 1 - 1e-9 and abs(ratio - round(ratio)) < 1e-9


def _slide(raw: Kw, width: float, metered: Metered) -> Kw:
    """Trailing mean over `width` intervals, (n,)."""
    m = round(width)
    if m <= 1 or abs(width - m) > 1e-9:
        metered.assume(
            "a sliding demand window needs data finer than the window; the data's own interval is used"
        )
        return raw
    total = np.concatenate(([0.0], np.cumsum(raw)))
    end = np.arange(1, raw.size + 1)
    begin = np.maximum(0, end - m)
    return (total[end] - total[begin]) / m
