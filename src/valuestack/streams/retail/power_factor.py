"""Power factor clauses, as utilities write them. All are measured on the net meter: power that a battery or
a PV plant takes off the meter leaves the kvar and worsens the billed power factor."""

from __future__ import annotations

from math import hypot, inf
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from ...ledger import Entry
from ...terms import Block, Measure, Payment, Term
from ...timeline import Ints, Kw
from ._clause import Clause, charged, top_by
from .item import Decided, Metered

Method = Literal["kva", "floor", "excess_kvar", "max_kvar", "average", "per_point"]


def factor_of(kw: float, kvar: float) -> float:
    """Power factor kW / sqrt(kW2 + kvar2); 1 where nothing flows, 0 where only kvar do."""
    kva = hypot(kw, kvar)
    return kw / kva if kva > 0 else 1.0


def floor_extra(kw: float, kvar: float, floor: float) -> float:
    """kW billed beyond those metered, kW x (PF*/PF - 1)+ = (PF* x kVA - kW)+.

    >>> round(floor_extra(800, 600, 0.90), 6)      # 800 kW at 0.80 are billed as 900
    100.0
    """
    return max(0.0, floor * hypot(kw, kvar) - kw)


def excess_kvar(
    kw: float, kvar: float, per_kw: float, no_charge_from: float | None, rounded: float | None
) -> float:
    """kvar beyond per_kw x kW; 0 where the power factor reaches no_charge_from.

    >>> round(excess_kvar(1000, 750, 1 / 3, 0.95, 0.1) * 0.40, 2)      # Orange and Rockland's own example
    166.68
    """
    if no_charge_from is not None and factor_of(kw, kvar) >= no_charge_from - 1e-12:
        return 0.0
    extra = max(0.0, kvar - per_kw * kw)
    return round(extra / rounded) * rounded if rounded else extra


class PowerFactor(Clause):
    """A charge on bad power factor, by `method`; PF = kW / sqrt(kW2 + kvar2), kW and kvar of the net meter.

    kva          usd_per_unit x highest kVA (in place of, or beside, a kW demand charge)
    floor        demand charges x (PF*/PF - 1)+, or usd_per_unit x kW x (PF*/PF - 1)+ where a price is given;
                 800 kW at 0.80 and PF* = 0.90: 100 kW more (foretaggroup.com)
    excess_kvar  usd_per_unit x (kvar - kvar_per_kw x kW)+, nothing from no_charge_from on; 1000 kW, 750 kvar,
                 k = 1/3, 0.95, 0.40 USD: 166.68 USD (oru.com, 'Calculating power factor'). memory_months = 11
                 takes kW as the highest of this and the 11 cycles before: the 62 % rule is k = 0.62
                 (electrical-contractor.net). kvar_per_kw = 0 charges all kvar, as PSO does below 0.96
    max_kvar     usd_per_unit x highest kvar (SCE: 0.60 USD/kvar in 2020, URDB)
    average      charges named in applies_to x share_per_point x points of the average PF below PF*;
                 average PF = kWh / sqrt(kWh2 + kvarh2) (lawinsider.com)
    per_point    usd_per_unit x kWh x points of the average PF below PF*, a credit above (PG&E)

    measured: 'kw_peak' takes kvar at the time of the highest kW, 'maxima' each by itself, 'average' from
    energies. A point is 0.01. min_kw: the clause holds from this demand on. cap_frac: PF above counts as it.
    """

    kind: Literal["power_factor"] = "power_factor"
    method: Method
    usd_per_unit: float | None = None
    floor_frac: float | None = Field(default=None, gt=0, le=1)
    kvar_per_kw: float = Field(default=0.0, ge=0)
    no_charge_from: float | None = Field(default=None, gt=0, le=1)
    measured: Literal["kw_peak", "maxima", "average"] = "kw_peak"
    memory_months: int = Field(default=0, ge=0, le=35)
    applies_to: tuple[str, ...] = ("demand",)
    share_per_point: float | None = None
    cap_frac: float | None = Field(default=None, gt=0, le=1)
    min_kw: float = 0.0
    window_min: float | None = Field(default=None, gt=0)
    round_kvar: float | None = Field(default=None, gt=0)
    stage: ClassVar[int] = 1

    @model_validator(mode="after")
    def _complete(self) -> PowerFactor:
        lacking = []
        if self.method in ("floor", "average", "per_point") and self.floor_frac is None:
            lacking.append("floor_frac")
        if self.method in ("kva", "excess_kvar", "max_kvar", "per_point") and self.usd_per_unit is None:
            lacking.append("usd_per_unit")
        if self.method == "average" and self.share_per_point is None:
            lacking.append("share_per_point")
        if lacking:
            raise ValueError(f"method {self.method!r} needs {', '.join(lacking)}")
        return self

    def needs(self) -> Any:
        """A power factor, or kvar."""
        return ("power_factor",)

    @property
    def prorate(self) -> Literal["intervals", "days", "derived"]:
        """See Item: a share of charges scales with them."""
        named = self.method == "average" or (self.method == "floor" and self.usd_per_unit is None)
        return "derived" if named else super().prorate

    def charge(self, metered: Metered) -> list[Entry]:
        """See Item."""
        self.say(metered)
        share = self.months_in_force(metered)
        made = [
            self._cycle(metered, c, found, float(share[c] > 0))
            for c, found in enumerate(self._found(metered))
        ]
        return [e for e in made if e is not None]

    def _found(self, metered: Metered) -> list[tuple[float, float, int]]:
        """kW, kvar and the interval of the billed reading, by cycle."""
        c, t = metered.cycles, metered.timeline
        kw, kvar = (metered.averaged(x, self.window_min) for x in (metered.import_kw, metered.kvar))
        size = np.abs(kvar)
        if self.method in ("average", "per_point") or self.measured == "average":
            kwh, kvarh = c.sums(kw * t.step_h), c.sums(size * t.step_h)
            return [(float(kwh[i]), float(kvarh[i]), -1) for i in range(c.n)]
        if self.method == "kva":
            top, at = top_by(c.index, np.hypot(kw, kvar), c.n)
            return [(float(top[i]), 0.0, int(at[i])) for i in range(c.n)]
        if self.method == "max_kvar":
            top, at = top_by(c.index, size, c.n)
            return [(0.0, float(top[i]), int(at[i])) for i in range(c.n)]
        peak, at = top_by(c.index, kw, c.n)
        highest, _ = top_by(c.index, size, c.n)
        kvar_c = highest if self.measured == "maxima" else size[at]
        reference = self._remembered(metered, peak)
        return [(float(reference[i]), float(kvar_c[i]), int(at[i])) for i in range(c.n)]

    def _remembered(self, metered: Metered, peak: Kw) -> Kw:
        """Highest kW of each cycle and the `memory_months` before it, from the span or from history."""
        if not self.memory_months:
            return peak
        ids = metered.cycles.month_id
        own = {int(m): float(p) for m, p in zip(ids, peak, strict=True)}
        out, unknown = peak.copy(), set()
        for c, m in enumerate(ids):
            for back in range(int(m) - self.memory_months, int(m)):
                kw = own.get(back, metered.history.kw(back))
                if kw is None:
                    unknown.add(back)
                else:
                    out[c] = max(out[c], kw)
        if unknown:
            metered.assume(
                f"{self.label}: no history of {len(unknown)} earlier months is given; its memory of "
                f"{self.memory_months} months sees only what is known"
            )
        return out

    def _cycle(self, metered: Metered, c: int, found: tuple[float, float, int], on: float) -> Entry | None:
        kw, kvar, at = found
        if not on or self._too_small(metered, c):
            return None
        factor = min(factor_of(kw, kvar), self.cap_frac or 1.0)
        rate, quantity, usd, unit = self._amount(metered, c, kw, kvar, factor)
        if usd == 0.0:
            return None
        why = (
            f"power factor {factor:.4f}"
            if self.method not in ("kva", "max_kvar")
            else self.method.replace("_", " ")
        )
        if self.method == "excess_kvar":
            why += f"; {kvar:,.1f} kvar against {self.kvar_per_kw:.4g} x {kw:,.1f} kW"
        return metered.entry(
            c, self.label, quantity, unit, rate, usd, when=at if at >= 0 else None, reason=why
        )

    def _too_small(self, metered: Metered, c: int) -> bool:
        return (
            self.min_kw > 0
            and float(metered.import_kw[metered.cycles.index == c].max(initial=0.0)) < self.min_kw
        )

    def _amount(
        self, metered: Metered, c: int, kw: float, kvar: float, factor: float
    ) -> tuple[float | None, float, float, str]:
        """usd per unit, quantity, usd, unit of one cycle."""
        rate = self.usd_per_unit
        named = -sum(e.usd for e in charged(metered.entries, metered.cycles.names[c], self.applies_to))
        if self.method in ("kva", "max_kvar"):
            assert rate is not None
            quantity = kw if self.method == "kva" else kvar
            return rate, quantity, rate * quantity, "kVA" if self.method == "kva" else "kvar"
        if self.method == "excess_kvar":
            assert rate is not None
            extra = excess_kvar(kw, kvar, self.kvar_per_kw, self.no_charge_from, self.round_kvar)
            return rate, extra, rate * extra, "kvar"
        assert self.floor_frac is not None
        if self.method == "floor":
            if self.no_charge_from is not None and factor >= self.no_charge_from:
                return None, 0.0, 0.0, "kW"
            more = floor_extra(kw, kvar, self.floor_frac) / kw if kw > 0 else 0.0
            if rate is None:
                return None, more * named, more * named, "USD"
            billed = floor_extra(kw, kvar, self.floor_frac)
            return rate, billed, rate * billed, "kW"
        points = 100 * (self.floor_frac - factor)
        if self.method == "per_point":
            assert rate is not None
            return rate * points, kw, rate * points * kw, "kWh"
        assert self.share_per_point is not None
        share = self.share_per_point * max(0.0, points)
        return share, named, share * named, "USD"

    def _per_point(self, decided: Decided) -> list[Term]:
        """With one average power factor the points are given, and so is a price per kWh."""
        pf = decided.facts.power_factor
        if not isinstance(pf, float) or self.floor_frac is None or self.usd_per_unit is None:
            return []
        points = 100 * (self.floor_frac - min(pf, self.cap_frac or 1.0))
        return [
            Payment(
                decided.tariff,
                self.label,
                Measure("import"),
                "each",
                np.zeros(decided.timeline.n, dtype=np.int64),
                (Block(inf, self.usd_per_unit * points * decided.multiplier),),
                reason="power factor clause by per_point, at the average power factor given",
                exact=self.min_kw == 0 and bool(self.in_force(decided.timeline).all()),
            )
        ]

    def terms(self, decided: Decided) -> list[Term]:
        """kva and max_kvar are Payments on the highest kVA or kvar (the latter exact while kvar lag). A floor
        with its own price is one on PF* x kVA less one on kW, whose maxima may fall apart. The rest is
        settlement only: no term states a ratio of energies; per_point needs an average factor as a fact."""
        if self.method == "per_point":
            return self._per_point(decided)
        rate, window_h = (self.usd_per_unit or 0.0) * decided.multiplier, None
        if self.window_min and self.window_min / 60 > decided.timeline.step_h + 1e-9:
            window_h = self.window_min / 60
        if rate == 0:
            return []
        months = np.flatnonzero(self.in_force(decided.timeline))
        index: Ints = np.full(decided.timeline.n, -1)
        index[months] = decided.cycles.index[months]

        def on(flow: Any, name: str, usd: float, exact: bool) -> Payment:
            return Payment(
                decided.tariff,
                f"{self.label} {name}".strip(),
                Measure(flow, average_h=window_h),
                "max",
                index,
                (Block(inf, usd),),
                reason=f"power factor clause by {self.method}",
                exact=exact,
            )

        if self.method == "kva":
            return [on("kva", "", rate, True)]
        if self.method == "max_kvar":
            return [on("kvar", "", rate, False)]
        if self.method == "floor" and self.floor_frac is not None:
            return [on("kva", "kVA", rate * self.floor_frac, False), on("import", "less kW", -rate, False)]
        return []
