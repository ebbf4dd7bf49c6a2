"""Low Carbon Fuel Standard: credits for electricity that drives something, by the regulation's formula.

    credits [t] = (CI_standard - CI / EER) x E_displaced x 1e-6,   E_displaced = E x EER,   E = 3.6 MJ/kWh x kWh

17 CCR 95486.1(a): CI in gCO2e/MJ of the fuel displaced (gasoline or diesel), EER its energy economy ratio (table 5).
Fixed guideway and forklifts take E_displaced = E by (a)(4), unless of model year 2011 or later and approved by the
Executive Officer. Only electricity used as a transport fuel earns; a stationary battery earns nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from math import inf
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from ...dispatch import Record, View, World
from ...errors import InputError, UnknownKind
from ...flows import Store
from ...ledger import Entry
from ...terms import Block, Measure, Payment, Term
from ...timeline import Kw, Timeline
from ..stream import Place
from .environment import (
    MJ_PER_KWH,
    CostToServe,
    Fact,
    Written,
    believed,
    cycle_of,
    facts,
    in_force,
    offers,
    one_lane,
    priced,
)

G_PER_T = 1e6


def credits_t(
    kwh: Kw | float,
    standard_g_per_mj: Kw | float,
    ci_g_per_mj: Kw | float,
    eer: float,
    *,
    uplift: bool = True,
) -> Any:
    """Credits [t CO2e] of electricity used as a transport fuel; negative = deficits.

    uplift: displaced energy is EER x the energy used, 95486.1(a)(3); False = the energy itself, (a)(4).

    >>> round(float(credits_t(1000, 81.0, 79.0, 3.8)), 4)
    0.8237
    """
    displaced_mj = np.asarray(kwh) * MJ_PER_KWH * (eer if uplift else 1.0)
    return (np.asarray(standard_g_per_mj) - np.asarray(ci_g_per_mj) / eer) * displaced_mj / G_PER_T


class Lcfs(Written):
    """Credits of transport electricity.

    use: what is driven, as in table 5 of the regulation. asset: the charger or fleet behind the meter whose charging
    is metered, or series: metered charging as a site series in kW. vehicles: set true where the asset's own store is
    the vehicles' batteries. usd_per_credit: a number or a site series. ci_g_per_mj: carbon intensity of the
    electricity, a number or a series (smart charging by the hour); none = the dated grid average. standard_g_per_mj:
    benchmark, none = as dated. approved_2011: forklift of model year 2011 or later with approval. metered: estimated
    energy earns nothing once the programme asks for meters.
    """

    kind: ClassVar[str] = "lcfs"
    layer: ClassVar[int] = 4
    certainty: ClassVar[str] = "market"
    name: str = "lcfs"
    use: str
    asset: str | None = None
    series: str | None = None
    vehicles: bool = False
    usd_per_credit: float | str
    ci_g_per_mj: float | str | None = None
    standard_g_per_mj: float | None = Field(default=None, gt=0)
    eer: float | None = Field(default=None, gt=0)
    approved_2011: bool = False
    metered: bool = True
    share_frac: float = Field(default=1.0, gt=0, le=1)
    buyer: str = "credit buyer"
    source: str = ""
    cost: CostToServe = CostToServe()

    @model_validator(mode="after")
    def _consistent(self) -> Lcfs:
        problems = []
        known = [str(f.values["use"]) for f in facts("lcfs", "eer")]
        if self.use not in known:
            problems.append(str(UnknownKind("use of transport electricity", self.use, known)))
        if (self.asset is None) == (self.series is None):
            problems.append("give either `asset` (whose charging is metered) or `series` (metered charging)")
        if not self.metered:
            problems.append("metered = false: credits are issued for metered energy; fit a meter")
        if self.approved_2011 and self.use != "forklift":
            problems.append("approved_2011: concerns forklifts only")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    # --- dated facts -----------------------------------------------------------------------------

    @property
    def _row(self) -> Fact:
        return next(f for f in facts("lcfs", "eer") if f.values["use"] == self.use)

    @property
    def ratio(self) -> float:
        """Energy economy ratio."""
        return self.eer if self.eer is not None else float(self._row.values["eer"])

    @property
    def uplift(self) -> bool:
        """Whether displaced energy is EER times what is used."""
        return self.use != "forklift" or self.approved_2011

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Defaults taken. Which benchmark holds depends on the days: see `notes`."""
        out = []
        if self.eer is None and not self._row.verified:
            why = "; ".join(x for x in (self._row.source, self._row.note) if x)
            out.append(f"{self.name}: EER {self.ratio:g} for {self.use}, not verified: {why}")
        if not self.source:
            out.append(f"{self.name}: no source is given for its credit price; not verified")
        if not self.uplift:
            out.append(
                f"{self.name}: forklifts without approval displace their own energy only, 95486.1(a)(4)"
            )
        out.append(f"{self.name}: credits are counted in fractions; the registry issues whole ones a quarter")
        return (*out, *self.cost.assumptions(self.name))

    def notes(self, timeline: Timeline) -> tuple[str, ...]:
        """Dated rows that settlement over `timeline` stands on and that were not verified."""
        out = []
        for table, given in (("benchmark", self.standard_g_per_mj), ("grid", self.ci_g_per_mj)):
            if given is None:
                for row in facts("lcfs", table):
                    if not row.verified and any(row.holds(d) for d in _days(timeline)):
                        out.append(f"{self.name}: {table} from {row.valid_from}, not verified: {row.source}")
        return tuple(out)

    def bind(self, place: Place) -> Lcfs:
        """Made ready for a place; a stationary store, an unknown series and a day without benchmark are refused."""
        problems = []
        if self.asset is not None:
            found = offers(place)
            offer = found.get(self.asset)
            if self.asset not in found:
                problems.append(
                    f"asset: {self.asset!r} is no asset here; there are {', '.join(found) or 'none'}"
                )
            elif isinstance(offer, Store) and not self.vehicles:
                problems.append(
                    f"asset: {self.asset!r} is a store; only electricity that drives something earns credits. A "
                    "stationary battery earns none; set vehicles = true if these are the vehicles' own batteries"
                )
        for key in ("series", "usd_per_credit", "ci_g_per_mj"):
            value = getattr(self, key)
            if isinstance(value, str) and value not in place.world.series:
                problems.append(f"{key}: the site has no series {value!r}; add it, or write a number")
        for make in (self._standard, self._intensity_by_date):
            try:
                make(place.timeline)
            except InputError as e:
                problems.append(str(e).removeprefix(f"{self.name}: "))
        if problems:
            raise InputError.collect(self.name, problems)
        return self

    # --- ValueStream -----------------------------------------------------------------------------

    def initial_state(self) -> None:
        """Nothing is remembered."""
        return

    def observe(self, state: Any, record: Record, k: int) -> Any:
        """Nothing to note."""
        return state

    def terms(self, view: View) -> Sequence[Term]:
        """A price on each kWh that the vehicles' store charges, taken back on what it discharges. Where the energy
        is metered elsewhere, no decision moves it: settlement only."""
        if self.asset is None or not self.vehicles:
            return ()
        t = view.horizon
        ci: float | Kw = (
            self._intensity_by_date(t)
            if self.ci_g_per_mj is None
            else np.asarray(believed(self.ci_g_per_mj, view))
        )
        usd = (
            credits_t(1.0, self._standard(t), ci, self.ratio, uplift=self.uplift)
            * np.asarray(believed(self.usd_per_credit, view))
            * self.share_frac
        )
        rate, window = np.broadcast_to(usd, (view.n,)), np.zeros(view.n, dtype=np.int64)
        return [
            Payment(
                self.name, "charging", Measure("charge", self.asset), "each", window, (Block(inf, -rate),),
                reason="credits for electricity that drives vehicles",
            ),
            Payment(
                self.name, "given back", Measure("discharge", self.asset), "each", window, (Block(inf, rate),),
                reason="what vehicles give back has driven nothing",
            ),
        ]  # fmt: skip

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """Credits by quarter at the mean price of their kWh, and the cost to serve."""
        t = record.timeline
        kwh = self._kwh(record, world)
        ci = (
            self._intensity_by_date(t)
            if self.ci_g_per_mj is None
            else priced(self.ci_g_per_mj, world, self.name, "ci_g_per_mj")
        )
        tonnes = credits_t(kwh, self._standard(t), ci, self.ratio, uplift=self.uplift) * self.share_frac
        usd = tonnes * priced(self.usd_per_credit, world, self.name, "usd_per_credit")
        quarter = t.year * 4 + (t.month - 1) // 3
        for q in np.unique(quarter).tolist():
            mask = quarter == q
            count, money = float(tonnes[mask].sum()), float(usd[mask].sum())
            if count == 0 and money == 0:
                continue
            what = "credits" if count >= 0 else "deficits"
            yield Entry(
                f"{q // 4}-Q{q % 4 + 1}", 4, self.name, f"{what}/{self.use}", self.buyer, count, "t CO2e",
                money / count if count else None, money, certainty=self.certainty,
                reason=f"{float(kwh[mask].sum()):,.0f} kWh of transport electricity, EER {self.ratio:g}, "
                "17 CCR 95486.1(a)",
            )  # fmt: skip
        yield from self.cost.entries(self.name, record, float(kwh.sum()) / 1000, cycle_of(record))

    # --- parts -----------------------------------------------------------------------------------

    def _kwh(self, record: Record, world: World) -> Kw:
        h = record.timeline.step_h
        if self.series is not None:
            return np.maximum(priced(self.series, world, self.name, "series"), 0.0) * h
        assert self.asset is not None
        if self.asset not in record.asset_kw:
            raise InputError(f"{self.name}: asset: the record holds no meter of {self.asset!r}")
        if self.asset in record.stored_kwh and not self.vehicles:
            raise InputError(
                f"{self.name}: asset: {self.asset!r} is a store; a stationary battery earns no credits"
            )
        net = one_lane(record.asset_kw[self.asset], self.asset)
        return (net if self.vehicles else np.maximum(net, 0.0)) * h

    def _standard(self, timeline: Timeline) -> Kw:
        """Benchmark of each interval [g/MJ], (n,)."""
        if self.standard_g_per_mj is not None:
            return np.full(timeline.n, self.standard_g_per_mj)
        key = f"{self._row.values['fuel']}_g_per_mj"
        return self._dated(timeline, "benchmark", key, "standard_g_per_mj")

    def _intensity_by_date(self, timeline: Timeline) -> Kw:
        """Carbon intensity of each interval as dated [g/MJ], (n,), where none is given."""
        if self.ci_g_per_mj is not None:
            return np.zeros(timeline.n)
        return self._dated(timeline, "grid", "ci_g_per_mj", "ci_g_per_mj")

    def _dated(self, timeline: Timeline, table: str, key: str, option: str) -> Kw:
        rows = facts("lcfs", table)
        out = np.empty(timeline.n)
        for day in _days(timeline):
            row = in_force(rows, day)
            if row is None:
                spans = ", ".join(f"{r.valid_from} to {r.valid_until}" for r in rows)
                raise InputError(
                    f"{self.name}: {option}: no {table} is known for {day} (known: {spans}); write it, with its source"
                )
            out[timeline.day == (day - date(1970, 1, 1)).days] = float(row.values[key])
        return out


def _days(timeline: Timeline) -> list[date]:
    """Every local date, ascending."""
    return [date(1970, 1, 1) + timedelta(days=int(d)) for d in np.unique(timeline.day)]
