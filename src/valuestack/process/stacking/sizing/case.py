"""What is asked: a meter with its bill before, its prices, and the pro forma that weighs a dollar of each stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np

from ....errors import InputError
from ....finance.finance import Finance, RunningCost, StreamPlan, Value
from ....finance.proforma import CashFlow, cash_flow
from ....site.site import Site
from ....site.vendors import Price, Vendors, generic
from ....timeline import Kw
from .. import layers
from ..meters import Ready, Step, ready
from .prices import Bought, asset_prices, bought_at, is_sizable

HOURS_A_YEAR = 8760.0
WEAR = "wear set aside"
RUNNING = "fuel, starts and upkeep"


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A meter to be sized: its bill before, prices by asset, the pro forma without what is bought, wear prices."""

    site: Site
    m: Ready
    day: date
    finance: Finance
    prices: Mapping[str, Price]
    said: Mapping[str, str]
    before_usd: float
    wear_price: dict[str, float] = field(default_factory=dict)
    factors: dict[tuple[int, str], float] = field(default_factory=dict)

    @property
    def span_y(self) -> float:
        return self.m.timeline.hours / HOURS_A_YEAR

    @property
    def tariff(self) -> str:
        """Name of the tariff as a stream."""
        return f"tariff of {self.m.name}"

    def on(self, assets: Sequence[Any], load_kw: Kw | None = None) -> layers.Placed:
        """The meter with other assets, or as another load would have it, its streams bound."""
        m = replace(self.m, new=tuple(assets))
        if load_kw is not None:
            world = replace(
                m.world,
                series={**m.world.series, "load_kw": replace(m.world.series["load_kw"], values=load_kw)},
            )
            m = replace(m, load_kw=load_kw, before_kw=load_kw + (m.before_kw - m.load_kw), world=world)
        return layers.placed(self.site, m, self.day, lenient=True)

    # --- what the pro forma makes of a dollar ----------------------------------------------------

    def flow(self, values: Sequence[Value], bought: Sequence[Bought] = ()) -> CashFlow:
        """The pro forma of settled values with what is bought for them."""
        names = {v.stream for v in values}
        plans = {k: v for k, v in self.finance.streams.items() if k in names}
        if WEAR in names:
            plans[WEAR] = StreamPlan(escalator="none", follows_wear=False, follows_dispatch=False)
        om = [
            RunningCost(name=f"upkeep of {b.name}", usd_per_y=b.om_usd_per_y)
            for b in bought
            if b.om_usd_per_y
        ]
        # What the site writes for the upkeep of an asset holds for its size; here it comes with the price.
        own = {f"upkeep of {a.name}" for m in self.site.meters for a in m.assets}
        others = tuple(r for r in self.finance.running if r.name not in own)
        again = [r for b in bought for r in b.again(self.finance.analysis_years)]
        made = self.finance.model_copy(
            update={
                "capex": tuple(b.item for b in bought),
                "running": (*others, *om) if bought else (),
                "replacements": tuple(again),
                "streams": plans,
            }
        )
        return cash_flow(made, values)

    def per_usd(self, layer: int, stream: str) -> float:
        """Present value of a dollar a year of a stream."""
        key = (layer, stream)
        if key not in self.factors:
            self.factors[key] = self.flow([Value(stream, layer, 1.0, "market")]).npv_usd
        return self.factors[key]

    def weight(self, layer: int, stream: str) -> float:
        """The same against a dollar a year of the bill."""
        return self.per_usd(layer, stream) / self.per_usd(1, self.tariff)

    def unit_usd_per_y(self, price: Price, unit: str) -> float:
        """What one more kW or kWh costs, in dollars a year of bill saving that it must bring to be worth it."""

        def cost(kw: float, kwh: float) -> float:
            return -self.flow(
                [Value(self.tariff, 1, 0.0)], [bought_at(price, "unit", kw, kwh, self.finance)]
            ).npv_usd

        base = cost(1000.0, 1000.0)
        more = cost(2000.0, 1000.0) if unit == "kw" else cost(1000.0, 2000.0)
        return (more - base) / 1000.0 / self.per_usd(1, self.tariff)


def case_of(site: Site, vendors: Vendors | None, step: Step) -> tuple[Case, list[Any], list[str]]:
    """The meter to size with its assets (a battery from the price list where it has none), and what was taken."""
    meters = [ready(site, m, progress=step) for m in site.meters]
    shelf = generic()
    m = next((x for x in meters if any(is_sizable(a) for a in x.new)), meters[0])
    notes: list[str] = []
    if len(meters) > 1:
        notes.append(f"sizes are for the meter {m.name}; the site's others stay as they are")
    assets = list(m.new)
    if not any(a.kind == "battery" for a in (*m.new, *m.existing)):
        assets.append(_stock_battery(m, vendors, shelf))
        notes.append("the site has no battery of its own: one as the price list describes it is tried")
    prices, said = asset_prices(site, assets, vendors, shelf)
    finance, money = pro_forma(site, shelf.as_of if vendors is None else vendors.as_of)
    before = m.settle(m.before_kw, m.load_kvar).total_usd
    case = Case(site, m, layers.day_of_rules(site, meters), finance, prices, said, before)
    for a in assets:
        if a.kind == "battery":
            case.wear_price[a.name] = a.wear_usd_per_kwh
    if case.per_usd(1, case.tariff) <= 0:
        raise InputError(
            "finance: a dollar a year of saving has no present value; check discount rate and taxes"
        )
    return case, assets, [*notes, *money]


def pro_forma(site: Site, priced_on: date) -> tuple[Finance, tuple[str, ...]]:
    """The site's pro forma without loans and third parties, or REopt's conventions where it has none."""
    written = site.written.finance
    notes: tuple[str, ...] = ()
    if written is None:
        options: dict[str, Any] = {"preset": "reopt", "start_date": date(priced_on.year + 1, 1, 1)}
        life = site.written.economics.life_y
        if life is not None:
            options["analysis_years"] = max(1, round(life))
        written = Finance(**options)
        notes = (
            f"no [finance] is written: REopt's conventions, {written.nominal:.2%} nominal over "
            f"{written.analysis_years} years" + (" (the life in [economics])" if life is not None else ""),
        )
    if written.debt is not None or written.third_party is not None:
        notes += ("sizes are compared without debt and third parties: all of the cost, all of the value",)
        written = written.model_copy(update={"debt": None, "third_party": None})
    if written.wear.strategy != "none":
        notes += ("wear is set aside by what each plan wears; finance.wear is left out",)
    return written.model_copy(update={"wear": type(written.wear)()}), notes


def _stock_battery(m: Ready, vendors: Vendors | None, shelf: Vendors) -> Any:
    """A battery as the price list describes it, of a tenth of the load's peak for two hours until it is sized."""
    from ....assets.battery import Battery

    price = (None if vendors is None else vendors.price("battery", "battery")) or shelf.price(
        "battery", "battery"
    )
    values = {} if price is None else price.asset
    kw = max(1.0, 0.1 * float(np.max(m.before_kw)))
    return Battery.model_validate({"name": "battery", "power_kw": kw, "energy_kwh": 2 * kw, **values})
