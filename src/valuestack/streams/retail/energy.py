"""Energy charges by time of use, with tiers on the cycle's total."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import inf
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...errors import DataError
from ...ledger import Entry
from ...terms import Block, Carry, HoursUse, Measure, Payment, Term
from ...timeline import Ints, Kw
from .item import Decided, Item, Metered, Schedule, tiered_usd

BILLED = "billed demand"
"""Name by which hours-use tiers refer to the tariff's billed demand; see tariff_stream."""

TierUnit = Literal["kWh", "kWh/kW", "kWh daily", "kWh/kW daily"]


class EnergyTier(BaseModel):
    """Up to `upto` (None = no bound) of the cycle's energy, in `unit`, at usd_per_kwh (rate + adjustment)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    usd_per_kwh: float
    upto: float | None = Field(default=None, gt=0)
    unit: TierUnit = "kWh"
    sell_usd_per_kwh: float | None = None


class EnergyPeriod(BaseModel):
    """One time-of-use period."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    tiers: tuple[EnergyTier, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ascending(self) -> EnergyPeriod:
        bounds = [t.upto if t.upto is not None else inf for t in self.tiers]
        one_unit = len({t.unit for t in self.tiers}) == 1
        if one_unit and any(b <= a for a, b in pairwise(bounds)):
            raise ValueError(f"tier bounds {bounds} do not ascend; `upto` is cumulative")
        return self


class Energy(Item):
    """usd = sum over periods p of (E_p / E) T_p(E), with T_p(E) = sum_k rate_pk (min(E, upto_pk) - upto_p(k-1))+

    E is the energy of the whole cycle and E_p that of the period: tiers are tested on the cycle's total and
    shared by the periods pro rata: 1500 + 500 kWh with a first tier of 1000 kWh at 0.10 and 0.30 above come
    to $400. sharing 'chronological' gives each kWh the tier that the cycle's running total has reached
    instead, as PySAM Utilityrate5 7.1.1 does; the two differ only where the ladders of periods differ. A bound
    in kWh/kW is multiplied by the billed demand of the cycle, one in 'daily' units by its days.
    metering: 'import' bills what is drawn; 'net' bills import less export of the cycle, with a bank of kWh
    that carries over; 'net_hourly' nets within the clock hour first.
    """

    kind: Literal["energy"] = "energy"
    periods: tuple[EnergyPeriod, ...] = Field(min_length=1)
    weekday: Schedule
    weekend: Schedule
    metering: Literal["import", "net", "net_hourly", "gross"] = "import"
    sharing: Literal["pro rata", "chronological"] = "pro rata"
    adjustment_usd_per_kwh: tuple[float, ...] | None = None
    stage: ClassVar[int] = 0

    @model_validator(mode="after")
    def _covered(self) -> Energy:
        for key in ("weekday", "weekend"):
            rows = getattr(self, key)
            if len(rows) != 12 or any(len(r) != 24 for r in rows):
                raise ValueError(f"{key}: a schedule has 12 months of 24 hours")
            worst = max(max(r) for r in rows)
            if worst >= len(self.periods) or min(min(r) for r in rows) < 0:
                raise ValueError(
                    f"{key}: period {worst} is scheduled, only {len(self.periods)} periods are given"
                )
        if self.adjustment_usd_per_kwh is not None and len(self.adjustment_usd_per_kwh) != 12:
            raise ValueError("adjustment_usd_per_kwh: give 12 monthly values")
        return self

    def label(self, p: int) -> str:
        """Name of period p in the ledger."""
        if len(self.periods) == 1 and not self.periods[p].name:
            return "all hours"
        return self.periods[p].name or f"period {p}"

    @property
    def by_demand(self) -> bool:
        """Whether a tier bound hangs on the billed demand."""
        return any(t.unit.startswith("kWh/kW") for p in self.periods for t in p.tiers)

    @property
    def waits(self) -> bool:
        """See Item: hours-use tiers follow the demand charge, wherever the file names it."""
        return self.by_demand

    def bounds(self, p: int, days: Kw, part_frac: Kw, billed_kw: Kw | None) -> Kw:
        """Cumulative tier bounds of period p in kWh by cycle, (c, k). days: of the whole cycle; part_frac:
        the share of it that is billed, which scales every bound."""
        out = np.empty((days.size, len(self.periods[p].tiers)))
        for k, t in enumerate(self.periods[p].tiers):
            size = np.full(days.size, inf) if t.upto is None else t.upto * part_frac
            if t.unit.startswith("kWh/kW"):
                if billed_kw is None:
                    raise DataError(
                        f"energy tiers of {t.upto:g} {t.unit} need a demand charge to say the billed kW"
                    )
                size = size * billed_kw if t.upto is not None else size
            if t.unit.endswith("daily") and t.upto is not None:
                size = size * days
            out[:, k] = size
        ascending: Kw = np.maximum.accumulate(out, axis=1)
        return ascending

    def charge(self, metered: Metered) -> list[Entry]:
        """See Item."""
        period = metered.calendar.periods(self.weekday, self.weekend)
        cycles, np_, h = metered.cycles, len(self.periods), metered.timeline.step_h
        kw = _billed_kw(metered, self.metering)
        code = cycles.index * np_ + period
        kwh = np.bincount(code, weights=kw * h, minlength=cycles.n * np_).reshape(cycles.n, np_)
        total = kwh.sum(axis=1)
        billed = total
        if self.metering == "net":
            billed = _bank(total, metered)
        share = np.divide(billed, total, out=np.zeros_like(total), where=np.abs(total) > 1e-12)
        usd = self._usd(metered, kw * h, code, kwh, billed, share)
        out: list[Entry] = []
        for c in range(cycles.n):
            for p in range(np_):
                if kwh[c, p] == 0.0:
                    continue
                q, ladder = kwh[c, p] * share[c], self.periods[p].tiers
                one = ladder[0].usd_per_kwh if len(ladder) == 1 else None
                why = f"{q:,.2f} kWh"
                if one is None:
                    why += f", its part of {len(ladder)} tiers on {billed[c]:,.2f} kWh"
                out.append(metered.entry(c, f"energy/{self.label(p)}", q, "kWh", one, usd[c, p], reason=why))
        return out + self._adjusted(metered, kw * h, billed, share)

    def _usd(self, metered: Metered, kwh_t: Kw, code: Ints, kwh: Any, billed: Kw, share: Kw) -> Kw:
        """Charges by cycle and period, (c, p)."""
        total = kwh.sum(axis=1)
        out: Kw = np.zeros(kwh.shape)
        for p, period in enumerate(self.periods):
            rates = np.array([t.usd_per_kwh for t in period.tiers])
            if rates.size == 1:
                out[:, p] = kwh[:, p] * share * rates[0]
                continue
            billed_kw = self._billed_kw_of_cycle(metered)
            bounds = self.bounds(p, metered.cycles.days, metered.part_frac, billed_kw)
            if self.sharing == "chronological":
                out[:, p] = self._in_order(metered, kwh_t, code % len(self.periods) == p, bounds, rates)
                continue
            whole = tiered_usd(np.maximum(billed, 0.0), bounds, rates)
            part = np.divide(kwh[:, p], total, out=np.zeros_like(total), where=np.abs(total) > 1e-12)
            out[:, p] = part * whole
        return out

    def _in_order(self, metered: Metered, kwh_t: Kw, mine: NDArray[np.bool_], bounds: Kw, rates: Kw) -> Kw:
        """Charges of one period where each kWh takes the tier that the cycle's running total has reached, (c,)."""
        index = metered.cycles.index
        after = np.cumsum(kwh_t)
        begin = np.concatenate(([0.0], after))[np.searchsorted(index, np.arange(metered.cycles.n))]
        after = after - begin[index]
        before = after - kwh_t
        usd = np.zeros(kwh_t.size)
        low = np.zeros(metered.cycles.n)
        for k in range(rates.size):
            top = bounds[:, k]
            usd += rates[k] * np.clip(
                np.minimum(after, top[index]) - np.maximum(before, low[index]), 0.0, None
            )
            low = top
        return metered.cycles.sums(np.where(mine, usd, 0.0))

    def _adjusted(self, metered: Metered, kwh_t: Kw, billed: Kw, share: Kw) -> list[Entry]:
        """Monthly adjustment per kWh."""
        if self.adjustment_usd_per_kwh is None or not any(self.adjustment_usd_per_kwh):
            return []
        price = np.array(self.adjustment_usd_per_kwh)[metered.timeline.month - 1]
        usd = metered.cycles.sums(kwh_t * price) * share
        return [
            metered.entry(
                c,
                "energy/fuel adjustment",
                q,
                "kWh",
                usd[c] / q if q else None,
                usd[c],
                reason="monthly adjustment per kWh",
            )
            for c, q in enumerate(billed)
        ]

    def _billed_kw_of_cycle(self, metered: Metered) -> Kw | None:
        """Billed demand for hours-use bounds: of the demand charge, else the highest kW of the cycle."""
        if metered.billed_kw is None and self.by_demand:
            metered.assume(
                "hours-use tiers (kWh/kW) without a demand charge: the highest kW of the cycle counts"
            )
            top = np.zeros(metered.cycles.n)
            np.maximum.at(top, metered.cycles.index, metered.import_kw)
            return top
        return metered.billed_kw

    def terms(self, decided: Decided) -> list[Term]:
        """A price an interval for the first tier of its period, and for the steps above it a Payment on the
        cycle's sum: exact in cycles whose periods have equal steps, else shared by a pool where bounds agree."""
        period = decided.calendar.periods(self.weekday, self.weekend)
        adjust = np.zeros(decided.timeline.n)
        if self.adjustment_usd_per_kwh is not None:
            adjust = np.array(self.adjustment_usd_per_kwh)[decided.timeline.month - 1]
        first = np.array([p.tiers[0].usd_per_kwh for p in self.periods])
        if self.metering == "net":
            out: list[Term] = [self._net(decided, period, first, adjust)]
        else:
            out = [self._priced(decided, (first[period] + adjust) * decided.multiplier)]
        ladders: dict[tuple[tuple[int, ...], bool, tuple[float, ...]], list[int]] = {}
        for c in range(decided.cycles.n):
            present = np.unique(period[decided.cycles.index == c]).tolist()
            if any(len(self.periods[p].tiers) > 1 for p in present):
                # A bound in hours is one number a payment: cycles of other lengths have one of their own.
                hours = tuple(round(self._scale(decided, c, t), 12) for t in ("kWh/kW", "kWh/kW daily"))
                ladder, separable = self._ladder(present)
                ladders.setdefault((ladder, separable, hours if self.by_demand else ()), []).append(c)
        for i, ((ladder, separable, _), cycles) in enumerate(ladders.items()):
            tail = self._suffix() + (f" {i + 1}" if i else "")
            mine = np.isin(decided.cycles.index, cycles)
            if len(ladder) == 1:
                out.append(self._tiers(decided, ladder[0], mine, cycles, tail, separable))
            else:
                out += [self._pooled(decided, p, mine & (period == p), tail) for p in ladder]
        return out

    @staticmethod
    def _scale(decided: Decided, c: int, unit: str) -> float:
        """By what a bound in `unit` is multiplied in cycle c, besides billed kW."""
        days = decided.cycles.days[c] if unit.endswith("daily") else 1.0
        return float(decided.part_frac[c] * days)

    def _ladder(self, present: list[int]) -> tuple[tuple[int, ...], bool]:
        """Periods whose ladders stand for a cycle in which `present` occur, and whether that is exact: one
        where all take the same steps, all where only bounds agree, else the longest."""

        def steps(p: int) -> tuple[Any, ...]:
            tiers = self.periods[p].tiers
            return tuple((t.upto, t.unit, round(t.usd_per_kwh - tiers[0].usd_per_kwh, 12)) for t in tiers)

        def bounds(p: int) -> tuple[Any, ...]:
            return tuple((t.upto, t.unit) for t in self.periods[p].tiers)

        longest = max(present, key=lambda p: len(self.periods[p].tiers))
        # Periods of equal steps are named by the first of them, so that months share one payment.
        alike = [p for p in range(len(self.periods)) if steps(p) == steps(longest)]
        if all(p in alike for p in present):
            return (alike[0],), self.sharing == "pro rata" or len(present) == 1
        if self.sharing == "pro rata" and len({bounds(p) for p in present}) == 1:
            return tuple(present), False
        return (alike[0],), False

    def _priced(self, decided: Decided, price: Kw) -> Payment:
        """A price an interval."""
        hourly = self.metering == "net_hourly" and decided.timeline.step_h < 1 - 1e-9
        why = ""
        if hourly:
            why = "; import and export net within the hour, single intervals stand for it"
        elif self.metering == "gross":
            why = "; generation is bought back, net load stands for gross load"
        return Payment(
            decided.tariff,
            f"energy{self._suffix()}",
            Measure("net" if self.metering == "gross" else "import"),
            "each",
            np.zeros(decided.timeline.n, dtype=np.int64),
            (Block(inf, price),),
            reason=f"energy by time of use{why}",
            exact=not why,
        )

    def _suffix(self) -> str:
        return f" {self.name}" if self.name else ""

    def _net(self, decided: Decided, period: Any, first: Kw, adjust: Kw) -> Payment:
        """Net metering. One price: the cycle's net kWh, banked if negative. By time of use: each interval's net
        kWh at its own price, which is the bill of every cycle that draws more than it feeds in."""
        same = np.ptp(first) < 1e-12 and np.ptp(adjust) < 1e-12
        n = decided.cycles.n
        if not same:
            return Payment(
                decided.tariff,
                f"energy net{self._suffix()}",
                Measure("net"),
                "each",
                np.zeros(decided.timeline.n, dtype=np.int64),
                (Block(inf, (first[period] + adjust) * decided.multiplier),),
                reason="net metering by time of use; exact while no cycle feeds in more than it draws",
                exact=False,
            )
        price = np.array([np.mean((first[period] + adjust)[decided.cycles.index == c]) for c in range(n)])
        nxt = np.append(np.arange(1, n), -1)
        return Payment(
            decided.tariff,
            f"energy net{self._suffix()}",
            Measure("net"),
            "sum",
            decided.cycles.index,
            (Block(inf, price * decided.multiplier),),
            carry=Carry("kwh", nxt),
            reason="net metering",
        )

    def _blocks(self, decided: Decided, p: int, cycles: Sequence[int]) -> tuple[Block, ...]:
        """Ladder of period p for these cycles: by how much each price differs from that of the first tier."""
        tiers, out = self.periods[p].tiers, []
        for t in tiers:
            scale = np.array([self._scale(decided, c, t.unit) for c in cycles])
            upto: Any = inf
            if t.upto is not None and t.unit.startswith("kWh/kW"):
                upto = HoursUse(t.upto * float(scale[0]), BILLED)
            elif t.upto is not None:
                upto = t.upto * scale
            out.append(Block(upto, (t.usd_per_kwh - tiers[0].usd_per_kwh) * decided.multiplier))
        return tuple(out)

    def _tiers(
        self,
        decided: Decided,
        p: int,
        mine: NDArray[np.bool_],
        cycles: Sequence[int],
        tail: str,
        separable: bool,
    ) -> Payment:
        """The steps above the first tier, on the total energy of these cycles."""
        why = "" if separable else "; tiers differ by period: the longest ladder stands for all"
        if self.metering in ("gross", "net_hourly") and not why:
            why = "; metering as for the energy price"
        return Payment(
            decided.tariff,
            f"energy tiers{tail}",
            Measure("import" if self.metering in ("import", "net_hourly") else "net"),
            "sum",
            _numbered(decided.cycles.index, mine),
            self._blocks(decided, p, cycles),
            reason=f"tiers on the cycle's energy{why}",
            exact=not why,
        )

    def _pooled(self, decided: Decided, p: int, mine: NDArray[np.bool_], tail: str) -> Payment:
        """The steps of one period among others with the same bounds: tiers are shared pro rata."""
        cycles = np.unique(decided.cycles.index[mine]).tolist()
        return Payment(
            decided.tariff,
            f"energy tiers{tail}/{self.label(p)}",
            Measure("import" if self.metering in ("import", "net_hourly") else "net"),
            "sum",
            _numbered(decided.cycles.index, mine),
            self._blocks(decided, p, cycles),
            reason="tiers on the cycle's energy; the share of each period moves with the plan",
            pool=f"energy tiers{tail}",
            exact=False,
        )


def _billed_kw(metered: Metered, metering: str) -> Kw:
    if metering == "import":
        return metered.import_kw
    if metering == "net":
        return metered.net_kw
    if metering == "gross":
        return gross_load_kw(metered)
    hour = metered.timeline.block(1.0) if metered.timeline.step_h < 1 else np.arange(metered.timeline.n)
    mean = np.bincount(hour, weights=metered.net_kw) / np.bincount(hour)
    return np.maximum(mean, 0.0)[hour]


def gross_load_kw(metered: Metered) -> Kw:
    """Net load plus gross generation; without exports generation may be unknown and is taken as none."""
    generation = metered.facts.generation_kw
    if generation is not None:
        return np.asarray(np.maximum(metered.net_kw + np.asarray(generation, dtype=float), 0.0))
    if metered.export_kw.any():
        raise DataError("buy all, sell all with exports needs gross generation: BillFacts(generation_kw=...)")
    metered.assume("buy all, sell all: no generation is given and none is assumed")
    return metered.import_kw


def _numbered(index: Ints, mine: NDArray[np.bool_]) -> Ints:
    """Windows 0, 1, ... in order of the cycles where `mine`, -1 elsewhere, (n,)."""
    out = np.full(index.size, -1, dtype=np.int64)
    out[mine] = np.unique(index[mine], return_inverse=True)[1]
    return out


def _bank(total: Kw, metered: Metered) -> Kw:
    """Net energy billed by cycle when surplus kWh carry over to later cycles."""
    bank, out = 0.0, np.zeros_like(total)
    for c, kwh in enumerate(total):
        out[c] = max(0.0, kwh - bank)
        bank = max(0.0, bank - kwh) if kwh > 0 else bank - kwh
    if bank > 1e-9:
        metered.assume(f"{bank:,.0f} kWh of net-metering credit are left at the end and earn nothing")
    return out
