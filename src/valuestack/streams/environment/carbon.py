"""Carbon: what a site's electricity emits, and what a change of it avoids; priced only where somebody pays.

Two questions, two factors, never mixed:
    avoided   = sum (load - net) x marginal factor        what the grid emits less because of the plan
    inventory = sum import x average factor               scope 2, location-based (GHG Protocol, Scope 2 Guidance)
    market    = (import - certificates + own use whose certificates were sold) x residual mix
A battery may raise emissions: delta = sum charge x MER - sum discharge x MER; losses alone are enough.
24/7 score = sum_h min(load_h, carbon-free supply_h) / sum_h load_h.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import inf
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from ...dispatch import Record, View, World
from ...errors import InputError
from ...flows import Store
from ...ledger import Entry
from ...terms import Block, Measure, Payment, Term
from ...timeline import Kw, Timeline
from ..stream import Place
from .environment import (
    Claimant,
    CostToServe,
    Title,
    allocate,
    believed,
    cycle_of,
    deliverable_kwh,
    emission_scale,
    facts,
    generated_kwh,
    generators,
    offers,
    one_lane,
    priced,
    span_share,
    store_flows,
)

KG_PER_T = 1000.0


@dataclass(frozen=True, slots=True)
class Inventory:
    """Emissions of a record [kg CO2e] and shares. None = its factor was not given.

    scope1_kg: fuel burnt on site. location_kg, market_kg: scope 2. avoided_kg: by marginal factors, against no assets;
    by_asset_kg: change that each asset brings about, positive = more. score_frac: 24/7 carbon-free energy, hour by
    hour; matched_year_frac: the same energy matched over the year only.
    """

    scope1_kg: float
    location_kg: float | None
    market_kg: float | None
    avoided_kg: float | None
    by_asset_kg: Mapping[str, float]
    score_frac: float
    matched_year_frac: float


@dataclass(frozen=True, slots=True, eq=False)
class CarbonReport:
    """The inventory of a plan beside that of the native load without any asset; marginal and average kept apart."""

    now: Inventory
    before: Inventory
    years: float
    supplied: bool = True  # whether any carbon-free supply is named, of the site or of the grid
    covers: str = ""  # whose emissions are counted, and what of them is priced

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a person reads first."""
        a, out = self.now, [self.covers] if self.covers else []
        if a.location_kg is not None and self.before.location_kg is not None:
            change = (a.location_kg - self.before.location_kg) / KG_PER_T / self.years
            out.append(
                f"Scope 2 by location is {a.location_kg / KG_PER_T / self.years:,.1f} t CO2e a year, {change:+,.1f} t "
                "against the load without assets: energy drawn at the average factor of the grid. It is an inventory, "
                "not what the plan changes."
            )
        else:
            out.append("No average factor is given, so scope 2 by location is not counted.")
        if a.avoided_kg is not None:
            out.append(
                f"Against the native load the assets avoid {a.avoided_kg / KG_PER_T / self.years:,.1f} t CO2e a year "
                "by the grid's marginal factors: what the system emits less. The two are never added."
            )
        else:
            out.append("No marginal factor is given, so what the plan changes in emissions is not counted.")
        if not self.supplied:
            out.append(
                "No carbon-free supply is named (assets whose certificates are kept, grid_cfe_frac), so the 24/7 score "
                "is not counted."
            )
            return tuple(out)
        out.append(
            f"Hour by hour {a.score_frac:.1%} of the load is met by carbon-free energy (24/7 score); matched over the "
            f"whole span only, {a.matched_year_frac:.1%}."
        )
        return tuple(out)

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """The inventory a year, and what each asset changes at the margin."""
        per_y = 1.0 / KG_PER_T / self.years

        def t(kg: float | None) -> float | None:
            return None if kg is None else kg * per_y

        def row(what: str, factor: str, key: str) -> dict[str, Any]:
            was, kg = getattr(self.before, key), getattr(self.now, key)
            return {
                "what": what,
                "counted_by": factor,
                "without_assets": t(was),
                "in_the_plan": t(kg),
            }

        rows = [
            row("scope 1, fuel burnt on site", "fuel", "scope1_kg"),
            row("scope 2, location-based", "average of the grid", "location_kg"),
            row("scope 2, market-based", "residual mix and certificates kept", "market_kg"),
        ]
        out: dict[str, list[dict[str, Any]]] = {"Inventory, t CO2e a year (average factors)": rows}
        if self.now.by_asset_kg:
            out["Change by asset, t CO2e a year (marginal factors)"] = [
                {"asset": name, "change_t_a_year": t(kg)} for name, kg in self.now.by_asset_kg.items()
            ]
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, kg over the span."""
        return {
            "span_y": self.years,
            "covers": self.covers,
            "in_the_plan": _plain(self.now),
            "without_assets": _plain(self.before),
        }


def _plain(i: Inventory) -> dict[str, Any]:
    return {
        "scope1_kg": i.scope1_kg,
        "location_kg": i.location_kg,
        "market_kg": i.market_kg,
        "avoided_kg": i.avoided_kg,
        "by_asset_kg": dict(i.by_asset_kg),
        "score_frac": i.score_frac,
        "matched_year_frac": i.matched_year_frac,
    }


class Carbon(Claimant):
    """Emissions of the site and what is paid for them.

    marginal_kg_per_kwh: factor of the grid's marginal supply, average_kg_per_kwh of its mix, residual_kg_per_kwh of
    what is left of the mix once claimed certificates are taken out: numbers, or names of site series that state their
    unit. avoided_usd_per_t: what is paid per tonne avoided by marginal factors. offset_usd_per_t: what the owner pays
    to offset `offset_frac` of the location-based inventory. assets: whose certificates the site keeps and retires
    (retain_frac of each MWh); stores: carry carbon-free energy for the 24/7 score. grid_cfe_frac: carbon-free share of
    grid supply. certificates_mwh bought and retired a year, with their factor.
    """

    kind: ClassVar[str] = "carbon"
    layer: ClassVar[int] = 4
    certainty: ClassVar[str] = "modelled"
    name: str = "carbon"
    marginal_kg_per_kwh: float | str | None = None
    average_kg_per_kwh: float | str | None = None
    residual_kg_per_kwh: float | str | None = None
    avoided_usd_per_t: float | None = Field(default=None, ge=0)
    offset_usd_per_t: float | None = Field(default=None, ge=0)
    offset_frac: float = Field(default=1.0, ge=0, le=1)
    assets: tuple[str, ...] = ()
    retain_frac: float = Field(default=0.0, ge=0, le=1)
    stores: tuple[str, ...] = ()
    round_trip_efficiency_frac: float | None = Field(default=None, gt=0, le=1)
    grid_cfe_frac: float | str = 0.0
    certificates_mwh: float = Field(default=0.0, ge=0)
    certificates_kg_per_kwh: float = Field(default=0.0, ge=0)
    fuel_kg_per_gal: float | None = Field(default=None, ge=0)
    first_date: date | None = None
    until_date: date | None = None
    buyer: str = "carbon buyer"
    source: str = ""
    cost: CostToServe = CostToServe()
    start_kwh: float | None = Field(default=None, ge=0)
    _scale: dict[str, float] = PrivateAttr(default_factory=dict)  # kg/kWh in one unit of a factor's series

    @model_validator(mode="after")
    def _consistent(self) -> Carbon:
        problems = []
        if self.avoided_usd_per_t is not None and self.marginal_kg_per_kwh is None:
            problems.append(
                "avoided_usd_per_t: what is avoided is counted by marginal factors; give marginal_kg_per_kwh"
            )
        if self.offset_usd_per_t is not None and self.average_kg_per_kwh is None:
            problems.append(
                "offset_usd_per_t: offsets cover the inventory, which is counted by average factors; give "
                "average_kg_per_kwh"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def titles(self) -> tuple[Title, ...]:
        """Certificates that the site keeps for its own claim."""
        if self.retain_frac == 0:
            return ()
        return tuple(
            Title(self.name, a, "own use", self.retain_frac, self.first_date, self.until_date)
            for a in self.assets
        )

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Defaults taken."""
        out = []
        for key in ("marginal_kg_per_kwh", "average_kg_per_kwh"):
            if getattr(self, key) is None:
                what = "avoided emissions are" if key.startswith("m") else "the inventory is"
                out.append(f"{self.name}: no {key} is given; {what} not counted")
            elif not self.source:
                out.append(f"{self.name}: no source is given for {key}; not verified")
        if self.residual_kg_per_kwh is None and self.average_kg_per_kwh is not None:
            out.append(f"{self.name}: no residual mix is given; the average mix stands for it")
        if self.avoided_usd_per_t is None:
            out.append(f"{self.name}: no price is given for avoided emissions; they are counted, not paid")
        if not self.assets:
            out.append(
                f"{self.name}: no assets are named; it covers all that the meter draws and the fuel burnt behind it, "
                "and no certificates are kept"
            )
        if self.assets and self.retain_frac < 1:
            out.append(
                f"{self.name}: {1 - self.retain_frac:.0%} of what {', '.join(self.assets)} generates counts as grid "
                "supply in the market-based inventory, its certificates not being kept"
            )
        if self.fuel_kg_per_gal is None:
            out.append(f"{self.name}: fuel burnt on site is taken as diesel, {_diesel():g} kg CO2/gal")
        return (*out, *self.cost.assumptions(self.name))

    def bind(self, place: Place) -> Carbon:
        """Made ready for a place: assets, stores and factors found; InputError with all that is missing."""
        found = offers(place)
        problems: list[str] = []
        names = self.assets
        if names or self.retain_frac > 0:
            names, problems = generators(self.assets, found, renewable_fuel=True)
        stores = {n: o for n, o in found.items() if isinstance(o, Store)}
        problems += [f"stores: {n!r} is no store here" for n in self.stores if n not in stores]
        for key in ("marginal_kg_per_kwh", "average_kg_per_kwh", "residual_kg_per_kwh", "grid_cfe_frac"):
            value = getattr(self, key)
            try:
                if isinstance(value, str):
                    priced(value, place.world, self.name, key)
                    if key != "grid_cfe_frac":
                        emission_scale(value, place.world, self.name, key)
            except InputError as e:
                problems.append(str(e).removeprefix(f"{self.name}: "))
        if problems:
            raise InputError.collect(self.name, problems)
        update: dict[str, Any] = {"assets": names, "stores": self.stores or tuple(stores)}
        if self.round_trip_efficiency_frac is None:
            update["round_trip_efficiency_frac"] = min(
                (o.charge_efficiency_frac * o.discharge_efficiency_frac for o in stores.values()), default=1.0
            )
        if self.start_kwh is None:
            update["start_kwh"] = sum(deliverable_kwh(o) for o in stores.values())
        bound = self.model_copy(update=update)
        for key in ("marginal_kg_per_kwh", "average_kg_per_kwh"):
            bound._scale[key] = emission_scale(getattr(self, key), place.world, self.name, key)
        return bound

    # --- ValueStream -----------------------------------------------------------------------------

    def initial_state(self) -> None:
        """Nothing is remembered."""
        return

    def observe(self, state: Any, record: Record, k: int) -> Any:
        """Nothing to note."""
        return state

    def terms(self, view: View) -> Sequence[Term]:
        """A price on each kWh less than the load, at the marginal factor; and the offsets of each kWh drawn."""
        window, out = np.zeros(view.n, dtype=np.int64), []
        if self.avoided_usd_per_t is not None and self.marginal_kg_per_kwh is not None:
            price = self.avoided_usd_per_t / KG_PER_T * self._scale.get("marginal_kg_per_kwh", 1.0)
            usd = price * np.asarray(believed(self.marginal_kg_per_kwh, view))
            out.append(
                Payment(
                    self.name,
                    "avoided",
                    Measure("net", reference_kw=np.asarray(view.series("load_kw"), dtype=float)),
                    "each",
                    window,
                    (Block(inf, np.broadcast_to(-usd, (view.n,))),),
                    reason="each kWh below the load avoids the marginal emissions of its hour",
                )
            )
        if self.offset_usd_per_t is not None and self.average_kg_per_kwh is not None:
            cost = self.offset_usd_per_t * self.offset_frac / KG_PER_T
            cost *= self._scale.get("average_kg_per_kwh", 1.0)
            rate = np.broadcast_to(cost * np.asarray(believed(self.average_kg_per_kwh, view)), (view.n,))
            out.append(
                Payment(
                    self.name,
                    "offsets",
                    Measure("import"),
                    "each",
                    window,
                    (Block(inf, rate),),
                    reason="each kWh drawn is offset at the average emissions of its hour",
                )
            )
        return out

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """What is paid for avoided emissions and for offsets; nothing where no price is given."""
        cycle = cycle_of(record)
        avoided_kg, location_kg = self._avoided(record, world), self._location(record, world)
        if self.avoided_usd_per_t is not None and avoided_kg is not None:
            t = avoided_kg / KG_PER_T
            yield Entry(
                cycle, 4, self.name, "avoided", self.buyer, t, "t CO2e", self.avoided_usd_per_t,
                self.avoided_usd_per_t * t, certainty=self.certainty,
                reason="load less net, hour by hour, at marginal factors",
            )  # fmt: skip
        if self.offset_usd_per_t is not None and location_kg is not None:
            t = location_kg / KG_PER_T * self.offset_frac
            yield Entry(
                cycle, 4, self.name, "offsets", "offset seller", t, "t CO2e", self.offset_usd_per_t,
                -self.offset_usd_per_t * t, certainty="market",
                reason=f"offsets for {self.offset_frac:.0%} of the location-based inventory",
            )  # fmt: skip
        yield from self.cost.entries(self.name, record, 0.0, cycle)

    def claims(self, record: Record, world: World) -> Mapping[str, Kw]:
        """Generation whose certificates the site keeps, by asset, (n,) kWh."""
        return {
            t.asset: generated_kwh(record, t.asset, self.name) * span_share(record.timeline, t)
            for t in self.titles
        }

    # --- inventory -------------------------------------------------------------------------------

    def report(self, record: Record, world: World) -> CarbonReport:
        """What a person wants to see of a dispatched record, beside the native load without any asset."""
        bare = self.model_copy(update={"assets": (), "stores": (), "retain_frac": 0.0})
        bare._scale.update(self._scale)
        load = Record(timeline=record.timeline, net_kw=one_lane(world["load_kw"], "load_kw"))
        return CarbonReport(
            self.inventory(record, world),
            bare.inventory(load, world),
            record.timeline.hours / 8760,
            bool(self.assets) or self.grid_cfe_frac != 0.0,
            self._covers(sorted(record.asset_kw)),
        )

    def _covers(self, behind: Sequence[str]) -> str:
        """Whose emissions are counted, and what of them is priced, in words."""
        plan = f", with {', '.join(behind)} as the plan runs them" if behind else ""
        if not self.assets:
            kept = "no asset is named whose certificates are kept"
        elif self.retain_frac == 0:
            kept = f"no certificates of {', '.join(self.assets)} are kept"
        else:
            kept = f"{self.retain_frac:.0%} of the certificates of {', '.join(self.assets)} are kept"
        priced_at = []
        if self.avoided_usd_per_t is not None:
            priced_at.append(f"what all of it avoids at ${self.avoided_usd_per_t:,.2f}/t")
        if self.offset_usd_per_t is not None:
            priced_at.append(
                f"{self.offset_frac:.0%} of the location-based inventory at ${self.offset_usd_per_t:,.2f}/t"
            )
        money = (
            f"Priced: {' and '.join(priced_at)}"
            if priced_at
            else "No emissions are priced, so no dollar hangs on it"
        )
        return (
            f"Covers all that the meter draws and the fuel burnt behind it{plan}, whatever stands in `assets`; {kept}. "
            f"{money}."
        )

    def inventory(self, record: Record, world: World) -> Inventory:
        """Emissions of a record by each way of counting; no money in it."""
        h = record.timeline.step_h
        drawn = np.maximum(one_lane(record.net_kw, "net_kw"), 0.0) * h
        marginal = self._factor("marginal_kg_per_kwh", world)
        residual = self._factor("residual_kg_per_kwh", world)
        residual = self._factor("average_kg_per_kwh", world) if residual is None else residual
        score, matched = self._scores(record, world)
        by_asset = {}
        if marginal is not None:
            by_asset = {a: float((one_lane(kw, a) * marginal).sum() * h) for a, kw in record.asset_kw.items()}
        return Inventory(
            scope1_kg=self._scope1(record),
            location_kg=self._location(record, world),
            market_kg=None if residual is None else self._market(record, world, drawn, residual),
            avoided_kg=self._avoided(record, world),
            by_asset_kg=by_asset,
            score_frac=score,
            matched_year_frac=matched,
        )

    def _avoided(self, record: Record, world: World) -> float | None:
        """Load less net at marginal factors [kg]."""
        marginal = self._factor("marginal_kg_per_kwh", world)
        if marginal is None:
            return None
        less = one_lane(world["load_kw"], "load_kw") - one_lane(record.net_kw, "net_kw")
        return float((less * marginal).sum() * record.timeline.step_h)

    def _location(self, record: Record, world: World) -> float | None:
        """What is drawn at average factors [kg]."""
        average = self._factor("average_kg_per_kwh", world)
        if average is None:
            return None
        drawn = np.maximum(one_lane(record.net_kw, "net_kw"), 0.0)
        return float((drawn * average).sum() * record.timeline.step_h)

    def _factor(self, key: str, world: World) -> Kw | None:
        value = getattr(self, key)
        if value is None:
            return None
        return priced(value, world, self.name, key) * emission_scale(value, world, self.name, key)

    def _scope1(self, record: Record) -> float:
        rate = _diesel() if self.fuel_kg_per_gal is None else self.fuel_kg_per_gal
        gal = sum(
            float(np.asarray(v).sum())
            for k, v in record.extra.items()
            if k == "fuel_gal" or k.endswith("/fuel_gal")
        )
        return gal * rate

    def _market(self, record: Record, world: World, drawn: Kw, residual: Kw) -> float:
        """Own use whose certificates are sold counts like supply from the residual mix."""
        given = np.maximum(-one_lane(record.net_kw, "net_kw"), 0.0) * record.timeline.step_h
        made = [generated_kwh(record, a, self.name) for a in self.assets]
        kept = self.claims(record, world)
        used = np.maximum(np.sum(made, axis=0) - given, 0.0) if made else np.zeros(drawn.shape)
        total = np.sum(made, axis=0) if made else np.ones(drawn.shape)
        mine = np.sum(list(kept.values()), axis=0) if kept else np.zeros(drawn.shape)
        sold = used * (1 - np.divide(mine, total, out=np.zeros(drawn.shape), where=total > 0))
        exposed = drawn + sold
        kwh = float(exposed.sum())
        if kwh <= 0:
            return 0.0
        bought = min(
            self.certificates_mwh * 1000 * record.timeline.hours / 8760, kwh
        )  # bought a year, by its share
        mean = float((exposed * residual).sum()) / kwh
        return bought * self.certificates_kg_per_kwh + (kwh - bought) * mean

    def _scores(self, record: Record, world: World) -> tuple[float, float]:
        """24/7 score and the share matched over the whole span."""
        t = record.timeline
        load = np.maximum(one_lane(world["load_kw"], "load_kw"), 0.0) * t.step_h
        if load.sum() <= 0:
            return 0.0, 0.0
        made = np.sum([generated_kwh(record, a, self.name) for a in self.assets] or [np.zeros(t.n)], axis=0)
        charge, discharge = store_flows(record, self.stores, self.name)
        eta = 1.0 if self.round_trip_efficiency_frac is None else self.round_trip_efficiency_frac
        green = allocate(made, charge, discharge, load, eta, start_kwh=self.start_kwh or 0.0)
        drawn = np.maximum(one_lane(record.net_kw, "net_kw"), 0.0) * t.step_h
        grid = drawn * priced(self.grid_cfe_frac, world, self.name, "grid_cfe_frac")
        supply = green.direct_kwh + green.surplus_kwh + green.delivered_kwh + grid
        hour = _hours(t)
        load_h, supply_h = (np.bincount(hour, weights=x) for x in (load, supply))
        total = float(load_h.sum())
        return float(np.minimum(load_h, supply_h).sum()) / total, min(1.0, float(supply_h.sum()) / total)


def _hours(timeline: Timeline) -> Any:
    """Number of the clock hour of each interval, (n,)."""
    return timeline.block(1.0) if timeline.step_h < 1 else np.arange(timeline.n)


def _diesel() -> float:
    return float(facts("fuels", "fuel")[0].values["kg_co2_per_gal"])
