"""Sizes for a site: the joint optimum, options on offer, a frontier, what the next unit is worth, what it all needs.

    size: plan and sizes in one problem over all layers' terms, each stream weighted by what the pro forma makes of a
    dollar a year of it, each unit of size at what the pro forma makes of its price
    then: the plan at that size by the usual bound, settled by the streams from its record, carried to NPV

Every plan knows the future, so every figure is a bound, and sizes are compared bound against bound.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from math import fsum, inf, isfinite
from typing import Any

import numpy as np

from ...dispatch import Record
from ...errors import InfeasibleError, InputError, ValuestackError
from ...finance.finance import CapexItem, Finance, Replacement, RunningCost, StreamPlan, Value
from ...finance.proforma import CashFlow, cash_flow
from ...finding import Finding
from ...flows import Store
from ...report.result import Assumption
from ...report.sized import Outcome, Sizing, ranked
from ...site.files import load as load_site
from ...site.site import Site
from ...site.vendors import Option, Price, Vendors, generic
from ...stack.sizing import Axis, Joint, Sized, joint, search
from ...terms import Claim, Limit, Minimum, Payment
from ...timeline import Kw
from . import granularity as coarse
from . import layers
from .cases import bound_run, offers_of
from .meters import Ready, Step, quiet, ready

HOURS_A_YEAR = 8760.0
NOTHING = 0.5  # kW, kWh: below, an asset is not there
ENERGY_H = 6.0  # energy axis up to so many hours of the load's peak, where no price names a limit
FRONTIER = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
WEAR = "wear set aside"
ROUGH = 1e-5  # of the cost: how near the sizes of a frontier and of other prices must be to the best
GAP, TIME_LIMIT_S = 1e-3, 30.0  # of one plan, where integers rule


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
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

    def flow(self, values: Sequence[Value], bought: Sequence[_Bought] = ()) -> CashFlow:
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
        again = [r for b in bought for r in b.again(self.finance.analysis_years)]
        made = self.finance.model_copy(
            update={
                "capex": tuple(b.item for b in bought),
                "running": (*self.finance.running, *om) if bought else (),
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
                [Value(self.tariff, 1, 0.0)], [_bought(price, "unit", kw, kwh, self.finance)]
            ).npv_usd

        base = cost(1000.0, 1000.0)
        more = cost(2000.0, 1000.0) if unit == "kw" else cost(1000.0, 2000.0)
        return (more - base) / 1000.0 / self.per_usd(1, self.tariff)


@dataclass(frozen=True, slots=True)
class _Bought:
    """Something bought: its capex item, upkeep, and when it is bought again."""

    name: str
    item: CapexItem
    om_usd_per_y: float = 0.0
    again_usd: float = 0.0
    life_y: int | None = None

    def again(self, years: int) -> list[Replacement]:
        if not self.life_y or not self.again_usd:
            return []
        return [
            Replacement(name=f"{self.name} again", usd=self.again_usd, year=y)
            for y in range(self.life_y, years, self.life_y)
        ]


def _bought(price: Price, name: str, kw: float, kwh: float, finance: Finance) -> _Bought:
    usd = price.capex_usd(kw, kwh)
    like = next((c for c in finance.capex if c.name == name), None)
    change: dict[str, Any] = {"name": name, "kind": price.kind, "usd": usd}
    if like is not None:
        kept = like.model_dump(include=_KEPT)
        item = CapexItem(**{**kept, **change})
    else:
        item = CapexItem(**change, technology=price.technology)
    return _Bought(name, item, price.om_frac_per_y * usd, price.usd_per_kwh * kwh, price.life_y)


_KEPT = {"technology", "itc_frac", "itc_share_frac", "macrs_class_y", "bonus_frac", "salvage_frac"}


# --- prices ----------------------------------------------------------------------------------------------


def _prices(
    site: Site, assets: Sequence[Any], vendors: Vendors | None, shelf: Vendors
) -> tuple[dict[str, Price], dict[str, str]]:
    """Price of each asset and where it is from: a vendors' file, the site's own capex by size, its economics, or the
    shipped line, brought to the level of the site's own sum where it writes one."""
    out: dict[str, Price] = {}
    said: dict[str, str] = {}
    finance, economics = site.written.finance, site.written.economics
    for a in assets:
        line = None if vendors is None else vendors.price(a.kind, a.name)
        if line is not None:
            out[a.name], said[a.name] = line, f"{line.said} ({line.source})"
            continue
        item = None if finance is None else next((c for c in finance.capex if c.name == a.name), None)
        stock = shelf.price(a.kind, a.name)
        if item is not None and (item.usd_per_kw or item.usd_per_kwh):
            out[a.name] = Price(
                kind=a.kind,
                usd_per_kw=item.usd_per_kw or 0.0,
                usd_per_kwh=item.usd_per_kwh or 0.0,
                om_frac_per_y=0.0 if stock is None else stock.om_frac_per_y,
                technology=item.technology,
                source="the site's [[finance.capex]]",
                verified=True,
            )
        elif a.kind == "battery" and (economics.capex_usd_per_kw or economics.capex_usd_per_kwh):
            usd = 0.0
            if economics.capex_usd is not None:
                by_size = (economics.capex_usd_per_kw or 0.0) * a.power_kw
                by_size += (economics.capex_usd_per_kwh or 0.0) * a.energy_kwh
                usd = max(0.0, economics.capex_usd - by_size)
            share = economics.om_usd_per_y / economics.capex_usd if economics.capex_usd else 0.0
            out[a.name] = Price(
                kind="battery",
                usd=usd,
                usd_per_kw=economics.capex_usd_per_kw or 0.0,
                usd_per_kwh=economics.capex_usd_per_kwh or 0.0,
                om_frac_per_y=share,
                technology=None if stock is None else stock.technology,
                source=economics.source or "the site's [economics]",
                verified=bool(economics.source),
            )
        elif stock is not None:
            level = 1.0
            if item is not None and item.cost_usd > 0:
                level = item.cost_usd / stock.capex_usd(*_size_of(a))
            out[a.name] = stock.model_copy(
                update={
                    "usd": stock.usd * level,
                    "usd_per_kw": stock.usd_per_kw * level,
                    "usd_per_kwh": stock.usd_per_kwh * level,
                }
            )
            if abs(level - 1) > 1e-9:
                said[a.name] = (
                    f"{out[a.name].said}: the shipped line x {level:.3g}, so that the size written costs the "
                    f"{item.cost_usd:,.0f} USD written ({stock.source})"  # type: ignore[union-attr]
                )
        if a.name in out:
            said.setdefault(a.name, f"{out[a.name].said} ({out[a.name].source})")
    return out, said


def _size_of(a: Any) -> tuple[float, float]:
    """(kW, kWh) of an asset as written."""
    if a.kind == "battery":
        return float(a.power_kw), float(a.energy_kwh)
    if a.kind == "pv":
        return float(a.dc_kw or 0.0), 0.0
    if a.kind == "generator":
        return float(a.rated_kw * a.units), 0.0
    return 0.0, 0.0


def _sizable(a: Any) -> bool:
    return (a.kind == "battery" and a.file is None) or (a.kind == "pv" and a.dc_kw is not None)


def _resized(a: Any, size: Mapping[str, float]) -> Any:
    """The asset at a size by axis name 'asset.kw', 'asset.kwh'."""
    kw = max(size[f"{a.name}.kw"], 1e-6)
    if a.kind == "battery":
        return a.with_size(kw, max(size[f"{a.name}.kwh"], 1e-6))
    if a.kind == "generator":
        return a.with_size(kw / a.units)
    return a.with_size(kw)


def _there(a: Any, size: Mapping[str, float]) -> bool:
    kwh = size.get(f"{a.name}.kwh", inf)
    return size[f"{a.name}.kw"] >= NOTHING and kwh >= NOTHING


def _finance(site: Site, priced_on: date) -> tuple[Finance, tuple[str, ...]]:
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


# --- terms at the pro forma's weights --------------------------------------------------------------------


def _terms(case: _Case, p: layers.Placed) -> list[Any]:
    """What the tariff and all layers ask, each stream at the weight that the pro forma gives it."""
    view = p.ready.view((*p.ready.existing, *p.ready.new), p.streams)
    out = list(p.ready.stream.terms(view))
    for s in p.streams:
        w = case.weight(s.layer, s.name)
        out += [_weighted(t, w) for t in s.terms(view)]
    return out


def _weighted(t: Any, weight: float) -> Any:
    if abs(weight - 1) < 1e-12:
        return t
    if isinstance(t, Payment):
        return replace(t, weight=t.weight * weight)
    if isinstance(t, Claim):
        return replace(t, usd_per_kw_h=np.asarray(t.usd_per_kw_h) * weight)
    if isinstance(t, Limit) and t.breach_usd_per_unit is not None:
        return replace(t, breach_usd_per_unit=t.breach_usd_per_unit * weight)
    if isinstance(t, Minimum):
        return replace(t, usd=np.asarray(t.usd) * weight)
    return t


def _wear_weighted(case: _Case, offers: Sequence[Any]) -> list[Any]:
    w = case.weight(0, WEAR)
    out = []
    for o in offers:
        if isinstance(o, Store):
            price = case.wear_price.get(o.name, o.wear_usd_per_kwh)
            segments = tuple((width, usd * w) for width, usd in o.wear_segments)
            o = replace(o, wear_usd_per_kwh=price * w, wear_segments=segments)
        out.append(o)
    return out


# --- one set of assets, settled --------------------------------------------------------------------------


def _settled(
    case: _Case,
    assets: Sequence[Any],
    name: str,
    *,
    bought: Sequence[_Bought] | None = None,
    how: str = "",
    vendor: str = "",
) -> Outcome:
    """Plan a set of assets with the future known, settle its record by every stream, carry it to NPV."""
    p = case.on(assets)
    w = case.weight(0, WEAR)
    prices = {a.name: case.wear_price[a.name] * w for a in assets if a.name in case.wear_price}
    run = bound_run(
        p.ready, rounds=0, price_usd_per_kwh=prices, terms=_terms(case, p), gap=GAP, time_limit_s=TIME_LIMIT_S
    )
    after = p.ready.settle(run.record.net_kw, run.record.net_kvar)
    saving = fsum((case.before_usd, -after.total_usd)) / case.span_y
    money: dict[tuple[int, str], list[float]] = {}
    for s in p.streams:
        for e in s.settle(run.record, p.ready.world):
            money.setdefault((e.layer, e.stream), []).append(e.usd)
    services = {k: fsum(v) / case.span_y for k, v in money.items()}
    wear = -fsum(e.usd for e in run.operation if e.item.split("/")[0] == "wear") / case.span_y
    other = -fsum(e.usd for e in run.operation if e.item.split("/")[0] != "wear") / case.span_y
    moving = [a for a in assets if a.kind in ("thermal_load", "flexible_load", "virtual_battery")]
    om = fsum(float(getattr(a, "control_om_usd_per_y", 0.0)) for a in moving)
    if bought is None:
        bought = _bill_of(case, assets)
    flow = None
    if bought is not None:
        values = [Value(case.tariff, 1, saving, "contractual")]
        values += [Value(stream, layer, usd, "market") for (layer, stream), usd in services.items()]
        if wear:
            values.append(Value(WEAR, 0, -wear, "modelled"))
        if other:
            values.append(Value("fuel, starts and upkeep", 0, -other, "metered"))
        if om:
            values.append(Value("upkeep of controls", 0, -om, "metered"))
        flow = case.flow(values, bought)
    moved_kw, moved_kwh = _moved(run.record, moving, case.span_y)
    notes = [f"left out: {r}" for r in p.refused]
    if run.plan is not None and not run.plan.proved:
        off = run.plan.gap_usd / max(abs(run.plan.objective_usd), 1.0)
        notes.append(f"its plan is proven within {off:.1e} of its cost only")
    return Outcome(
        name=name,
        sizes={a.name: _sizes(a, run.record) for a in assets},
        capex_usd=None if bought is None else fsum(b.item.cost_usd for b in bought),
        saving_usd_per_y=saving,
        services_usd_per_y=fsum(services.values()),
        wear_usd_per_y=wear,
        running_usd_per_y=other,
        om_usd_per_y=om + (0.0 if bought is None else fsum(b.om_usd_per_y for b in bought)),
        npv_usd=None if flow is None else flow.npv_usd,
        payback_y=None if flow is None else flow.payback_y,
        irr_frac=None if flow is None else flow.irr_frac,
        peak_kw=float(np.max(run.record.net_kw)),
        method=run.method,
        how=how,
        vendor=vendor,
        enrolled_kw={} if run.plan is None else {k: float(np.max(v)) for k, v in run.plan.awards_kw.items()},
        moved_kw=moved_kw,
        moved_kwh=moved_kwh,
        proved=bool(run.plan is None or run.plan.proved),
        notes=tuple(notes),
        assets=tuple(assets),
        flow=flow,
        run=run,
    )


def _sizes(a: Any, record: Record) -> dict[str, float]:
    kw, kwh = _size_of(a)
    if a.kind in ("thermal_load", "flexible_load", "virtual_battery"):
        return {"kw": float(np.maximum(-np.asarray(record.asset_kw[a.name]), 0.0).max(initial=0.0))}
    return {"kw": kw, "kwh": kwh} if a.kind == "battery" else {"kw": kw}


def _moved(record: Record, moving: Sequence[Any], span_y: float) -> tuple[float | None, float | None]:
    if not moving:
        return None, None
    off = sum(np.maximum(-np.asarray(record.asset_kw[a.name]), 0.0) for a in moving)
    return float(np.max(off)), float(np.sum(off)) * record.timeline.step_h / span_y


def _bill_of(case: _Case, assets: Sequence[Any]) -> list[_Bought] | None:
    """What a set of assets costs; None where the price of one is not known."""
    out = []
    for a in assets:
        if a.name in case.prices:
            out.append(_bought(case.prices[a.name], a.name, *_size_of(a), case.finance))
            continue
        item = next((c for c in case.finance.capex if c.name == a.name), None)
        controls = getattr(a, "control_capex_usd", None)
        if item is not None:
            out.append(_Bought(a.name, item))
        elif controls is not None:
            out.append(_Bought(a.name, CapexItem(name=f"controls of {a.name}", usd=float(controls))))
        else:
            return None
    return out


# --- sizes -----------------------------------------------------------------------------------------------


def _axes(case: _Case, assets: Sequence[Any]) -> list[Axis]:
    """The sizes to decide, each with its range and what the pro forma makes of its price."""
    peak = float(np.max(case.m.before_kw))
    out = []
    for a in assets:
        price = case.prices[a.name]
        kw, kwh = _size_of(a)
        per_kw = case.unit_usd_per_y(price, "kw") * case.span_y
        if a.kind == "battery":
            most = price.max_kw or max(peak, kw)
            out.append(Axis(f"{a.name}.kw", most, per_kw))
            per_kwh = case.unit_usd_per_y(price, "kwh") * case.span_y
            out.append(Axis(f"{a.name}.kwh", price.max_kwh or max(ENERGY_H * most, kwh), per_kwh))
        else:
            out.append(Axis(f"{a.name}.kw", price.max_kw or kw, per_kw))
    return out


def _joint(case: _Case, assets: Sequence[Any], load_kw: Kw | None = None) -> Joint | str:
    """The problem whose decisions are the sizes of `assets` as well as the plan."""
    p0 = case.on(assets, load_kw)

    def model(size: Mapping[str, float]) -> tuple[Sequence[Any], Sequence[Any]]:
        p = case.on([_resized(a, size) for a in assets], load_kw)
        return _wear_weighted(case, offers_of(p.ready)), _terms(case, p)

    m = p0.ready
    return joint(
        m.timeline,
        m.load_kw,
        _axes(case, assets),
        model,
        load_kvar=m.load_kvar,
        import_limit_kw=m.meter.import_limit_kw,
        export_limit_kw=m.meter.export_limit_kw,
        gap=1e-6,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Best sizes of some assets, and the problem that found them where it can be asked again."""

    assets: tuple[Any, ...]
    sized: Sized
    problem: Joint | None

    def at(self) -> list[Any]:
        """The assets at these sizes, without those that are not there."""
        return [_resized(a, self.sized.size) for a in self.assets if _there(a, self.sized.size)]


def _best(case: _Case, assets: Sequence[Any], load_kw: Kw | None = None, most: int = 40) -> _Found:
    """Best sizes of assets: in one problem where it is affine in them, else by a search over settled plans."""
    problem = _joint(case, assets, load_kw)
    if isinstance(problem, Joint):
        return _Found(tuple(assets), problem.best(), problem)
    axes = _axes(case, assets)

    def cost(size: Mapping[str, float]) -> float:
        there = [_resized(a, size) for a in assets if _there(a, size)]
        p = case.on(there, load_kw)
        w = case.weight(0, WEAR)
        prices = {a.name: case.wear_price[a.name] * w for a in there if a.name in case.wear_price}
        try:
            run = bound_run(p.ready, rounds=0, price_usd_per_kwh=prices, terms=_terms(case, p), gap=GAP)
        except (InfeasibleError, InputError):
            return inf
        return run.objective_usd + fsum(a.usd_per_unit * size[a.name] for a in axes)

    return _Found(tuple(assets), search(axes, cost, most=most, reason=problem), None)


def _priced_wear(case: _Case, found: _Found, progress: Step) -> _Found:
    """The same with wear priced as it is counted at the size found: at most two more rounds."""
    for _ in range(2):
        assets = found.at()
        if not any(a.kind == "battery" for a in assets):
            return found
        p = case.on(assets)
        prices = {a.name: case.wear_price[a.name] for a in assets if a.name in case.wear_price}
        run = bound_run(p.ready, rounds=2, price_usd_per_kwh=prices, terms=_terms(case, p), gap=GAP)
        off = 0.0
        for name, wear in run.wear.items():
            old = case.wear_price.get(name, 0.0)
            new = wear.counted_usd / wear.throughput_kwh if wear.throughput_kwh > 0 else old
            off = max(off, abs(new - old) / max(old, 1e-9) if max(old, new) > 1e-6 else 0.0)
            case.wear_price[name] = new
        if off <= 0.05:
            return found
        progress("sizes, with wear priced as it is counted", None)
        found = _best(case, found.assets)
    return found


# --- the whole -------------------------------------------------------------------------------------------


def size(
    site: Site | Any,
    vendors: Vendors | None = None,
    *,
    progress: Step | None = None,
    granularity: bool = True,
    frontier: bool = True,
) -> Sizing:
    """Sizes for a site. vendors: prices and options beyond the site's own and the shipped ones.

    Errors: InputError where nothing can be sized or nothing is priced; those of a study.
    """
    site = site if isinstance(site, Site) else load_site(site)
    step, clock = progress or quiet, _Clock()
    case, assets, notes = _case(site, vendors, step)
    clock.lap("data")
    sizable = [a for a in assets if _sizable(a) and a.name in case.prices]
    if not sizable:
        raise InputError(f"{site.name}: nothing can be sized: no battery or solar (with dc_kw) has a price")
    found: dict[str, _Found] = {}
    alone: list[Outcome] = []
    for a in sizable:
        step(f"best size of {a.name}", None)
        found[a.name] = _priced_wear(case, _best(case, [a]), step)
        alone.append(_of_found(case, found[a.name], a.name))
    both = found[sizable[0].name]
    if len(sizable) > 1:
        step("best sizes together", None)
        both = _best(case, sizable)
        alone.append(_of_found(case, both, " + ".join(a.name for a in sizable)))
    optimum = alone[-1]
    clock.lap("sizes")
    alone += _as_written(case, assets, sizable, notes, step)
    clock.lap("options")
    quoted = () if vendors is None else _quotes(case, sizable, vendors, step)
    points: tuple[Outcome, ...] = ()
    units: tuple[dict[str, Any], ...] = ()
    rows: tuple[dict[str, Any], ...] = ()
    moving, battery = None, next((a for a in sizable if a.kind == "battery"), None)
    if battery is not None:
        own = found[battery.name]
        points = _frontier(case, own, battery, step) if frontier else ()
        units = _next_units(case, own, battery)
        clock.lap("frontier")
        truth = next(o for o in alone if o.name == battery.name)
        rows = _granularity(case, own, truth, step) if granularity else ()
        clock.lap("granularity")
        moving = _moving(case, alone, own, battery, step)
        clock.lap("moving or buying")
    best = max(
        (o for o in (*alone, *quoted, *points) if o.npv_usd is not None), key=lambda o: o.npv_usd or 0.0
    )
    chosen = best if best.npv_usd is not None and best.npv_usd > 0 else None
    sheet = _spec(case, _with_battery([chosen, optimum, *ranked(alone)], battery), battery)
    step("done", 1.0)
    return Sizing(
        site=site.name,
        meter=case.m.name,
        as_of=case.day,
        span_y=case.span_y,
        before_usd_per_y=case.before_usd / case.span_y,
        optimum=optimum,
        best=chosen,
        alone=tuple(alone),
        vendors=quoted,
        frontier=points,
        next_units=units,
        spec=sheet,
        granularity=rows,
        moving=moving,
        prices=tuple(
            {"asset": k, "price": v, "verified": case.prices[k].verified} for k, v in case.said.items()
        ),
        finance={
            "discount_nominal_frac": case.finance.nominal,
            "discount_real_frac": case.finance.real,
            "analysis_years": case.finance.analysis_years,
            "npv_of_a_dollar_a_year_of_bill_usd": case.per_usd(1, case.tariff),
            "cost_of_a_unit_usd_per_y": {
                x.name: x.usd_per_unit / case.span_y for a in sizable for x in _axes(case, [a])
            },
        },
        sentences=_sentences(case, chosen, optimum, moving, rows),
        head=(*case.m.head, *_short(case.span_y)),
        assumptions=_assumptions(case, assets, notes, vendors),
        findings=_findings(case, (*alone, *quoted), both, vendors),
        reopt=_reopt(case, optimum),
        seconds=clock.laps,
    )


def _case(site: Site, vendors: Vendors | None, step: Step) -> tuple[_Case, list[Any], list[str]]:
    """The meter to size with its assets (a battery from the price list where it has none), and what was taken."""
    meters = [ready(site, m, progress=step) for m in site.meters]
    shelf = generic()
    m = next((x for x in meters if any(_sizable(a) for a in x.new)), meters[0])
    notes: list[str] = []
    if len(meters) > 1:
        notes.append(f"sizes are for the meter {m.name}; the site's others stay as they are")
    assets = list(m.new)
    if not any(a.kind == "battery" for a in (*m.new, *m.existing)):
        assets.append(_stock_battery(m, vendors, shelf))
        notes.append("the site has no battery of its own: one as the price list describes it is tried")
    prices, said = _prices(site, assets, vendors, shelf)
    finance, money = _finance(site, shelf.as_of if vendors is None else vendors.as_of)
    before = m.settle(m.before_kw, m.load_kvar).total_usd
    case = _Case(site, m, layers.day_of_rules(site, meters), finance, prices, said, before)
    for a in assets:
        if a.kind == "battery":
            case.wear_price[a.name] = a.wear_usd_per_kwh
    if case.per_usd(1, case.tariff) <= 0:
        raise InputError(
            "finance: a dollar a year of saving has no present value; check discount rate and taxes"
        )
    return case, assets, [*notes, *money]


def _as_written(
    case: _Case, assets: Sequence[Any], sizable: Sequence[Any], notes: list[str], step: Step
) -> list[Outcome]:
    """What has no size to decide, alone; what has one, as written; and the whole site as written."""
    out: list[Outcome] = []
    for a in assets:
        if a not in sizable:
            step(f"{a.name} alone", None)
            out += _fixed_alone(case, a, notes)
    for a in (a for a in case.m.new if a in sizable):
        step(f"{a.name} as written", None)
        out.append(_settled(case, [a], f"{a.name} as written", how="the size in the site file"))
    if len(case.m.new) > 1:
        step("all of the site's assets as written", None)
        try:
            out.append(_settled(case, case.m.new, "all as written", how="every asset in the site file"))
        except ValuestackError as e:
            notes.append(f"all assets as written have no plan here: {str(e).splitlines()[0]}")
    return out


def _short(span_y: float) -> tuple[str, ...]:
    if span_y >= 0.99:
        return ()
    return (
        f"the data span {span_y * 12:.1f} months: figures of a year are scaled from them, and sizes fit these months",
    )


class _Clock:
    """CPU seconds by stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.process_time()

    def lap(self, name: str) -> None:
        now = time.process_time()
        self.laps[name], self._last = now - self._last, now


def _stock_battery(m: Ready, vendors: Vendors | None, shelf: Vendors) -> Any:
    """A battery as the price list describes it, of a tenth of the load's peak for two hours until it is sized."""
    from ...assets.battery import Battery

    price = (None if vendors is None else vendors.price("battery", "battery")) or shelf.price(
        "battery", "battery"
    )
    values = {} if price is None else price.asset
    kw = max(1.0, 0.1 * float(np.max(m.before_kw)))
    return Battery.model_validate({"name": "battery", "power_kw": kw, "energy_kwh": 2 * kw, **values})


def _of_found(case: _Case, found: _Found, name: str) -> Outcome:
    """The outcome at sizes that were found, zero where they are nothing."""
    assets = found.at()
    if not assets:
        return _nothing(case, name, f"no size earns its cost: {found.sized.why}", found)
    return _settled(case, assets, name, how=found.sized.why)


def _nothing(case: _Case, name: str, how: str, found: _Found) -> Outcome:
    return Outcome(
        name=name,
        sizes={a.name: {"kw": 0.0} | ({"kwh": 0.0} if a.kind == "battery" else {}) for a in found.assets},
        capex_usd=0.0,
        saving_usd_per_y=0.0,
        services_usd_per_y=0.0,
        wear_usd_per_y=0.0,
        running_usd_per_y=0.0,
        om_usd_per_y=0.0,
        npv_usd=0.0,
        payback_y=None,
        irr_frac=None,
        peak_kw=float(np.max(case.m.before_kw)),
        method=found.sized.method,
        how=how,
    )


def _fixed_alone(case: _Case, a: Any, notes: list[str]) -> list[Outcome]:
    """An asset by itself: an engine at its best size, moved load as its process allows."""
    try:
        if a.kind == "generator" and a.name in case.prices:
            return [_engine(case, a)]
        return [_settled(case, [a], a.name, how="as written: what its process allows, called when it pays")]
    except ValuestackError as e:
        notes.append(f"{a.name} alone has no plan: {str(e).splitlines()[0]}")
        return []


def _engine(case: _Case, a: Any) -> Outcome:
    """An engine at the size of most NPV, by a search over settled plans."""
    kw, _ = _size_of(a)
    axis = Axis(f"{a.name}.kw", case.prices[a.name].max_kw or 2 * kw, 0.0)
    seen: dict[float, Outcome] = {}

    def cost(size: Mapping[str, float]) -> float:
        if size[axis.name] < NOTHING:
            return 0.0
        made = _settled(case, [_resized(a, size)], a.name, how="a bounded search over settled plans")
        seen[size[axis.name]] = made
        return -(made.npv_usd or 0.0)

    best = search([axis], cost, most=8, tolerance=0.05)
    return seen.get(best.size[axis.name]) or max(seen.values(), key=lambda o: o.npv_usd or -inf)


def _with_battery(options: Sequence[Outcome | None], battery: Any) -> Outcome | None:
    """The first of these that holds a battery of some size."""
    if battery is None:
        return None
    for o in options:
        if o is not None and o.run is not None and o.sizes.get(battery.name, {}).get("kwh", 0.0) > NOTHING:
            return o
    return None


# --- options, frontier, next units -----------------------------------------------------------------------


def _quotes(case: _Case, sizable: Sequence[Any], vendors: Vendors, step: Step) -> tuple[Outcome, ...]:
    """Every option quoted, alone, in as many units as it comes in."""
    out = []
    name = next((a.name for a in sizable if a.kind == "battery"), "battery")
    for o in vendors.options:
        for units in range(1, o.units_max + 1):
            step(f"option {o.name}", None)
            out.append(_quote(case, o, name, units))
    return tuple(out)


def _quote(case: _Case, o: Option, name: str, units: int) -> Outcome:
    asset = o.battery(name, units)
    case = replace(case, wear_price={**case.wear_price, name: asset.wear_usd_per_kwh})
    item = CapexItem(name=name, kind="battery", usd=o.usd * units, technology=o.technology)
    again = o.replacement_usd_per_kwh * asset.energy_kwh
    title = o.name if units == 1 else f"{units} x {o.name}"
    made = _settled(
        case,
        [asset],
        title,
        bought=[_Bought(name, item, o.om_usd_per_y * units, again, o.life_y)],
        how=f"as quoted: {o.source}" + ("" if o.verified else " (not verified)"),
        vendor=o.vendor,
    )
    over = [
        f"warranty: {u.name} of {u.used_per_y:,.1f} {u.unit} against {u.limit:,.1f}"
        for w in made.run.wear.values()
        for u in w.warranty
        if u.share_frac is not None and u.share_frac > 1
    ]
    if o.replacement_usd_per_kwh == 0:
        over.append("no replacement_usd_per_kwh is quoted: its wear costs nothing here")
    return replace(made, notes=(*made.notes, *over))


def _frontier(case: _Case, own: _Found, battery: Any, step: Step) -> tuple[Outcome, ...]:
    """The best battery at shares and multiples of the optimum's spend (of the written size's where that is nothing)."""
    if own.problem is None:
        return ()
    price = case.prices[battery.name]
    names = (f"{battery.name}.kw", f"{battery.name}.kwh")
    rate = {names[0]: price.usd_per_kw, names[1]: price.usd_per_kwh}
    if not any(rate.values()):
        return ()
    size = own.sized.size if _there(battery, own.sized.size) else dict(zip(names, _size_of(battery)))
    base = fsum(rate[n] * size[n] for n in names)
    problem = replace(own.problem, gap=ROUGH)
    most = fsum(rate[x.name] * x.upper for x in problem.axes)
    out = []
    for k, share in enumerate(FRONTIER):
        if share * base > most:
            break
        step("frontier", k / len(FRONTIER))
        at = _Found((battery,), problem.best(spend=(rate, share * base)), problem)
        if at.at():
            out.append(_settled(case, at.at(), f"at {share:g} x the spend", how=at.sized.why))
    return tuple(out)


def _next_units(case: _Case, own: _Found, battery: Any) -> tuple[dict[str, Any], ...]:
    """What one more kW and kWh would save a year, against what they cost, at the optimum and at the written size.

    By the plan's duals, and by planning again with one percent more: at a kink of the least cost, where an optimum
    likes to lie, the dual is one slope of many and the percent says what more would bring.
    """
    if own.problem is None:
        return ()
    out = []
    at = {"the optimum": own.sized.size}
    if battery in case.m.new:
        at["the size written"] = dict(zip((f"{battery.name}.kw", f"{battery.name}.kwh"), _size_of(battery)))
    for where, size in at.items():
        inside = all(0 <= size[x.name] <= x.upper for x in own.problem.axes)
        if not inside:
            continue
        here = own.problem.at(size)
        for x in own.problem.axes:
            step = min(0.01 * size[x.name], x.upper - size[x.name])
            ahead = None
            if step > 0:
                more = own.problem.at({**size, x.name: size[x.name] + step})
                ahead = (here.cost_usd - here.capacity_usd - more.cost_usd + more.capacity_usd) / step
            save, cost = here.next_usd[x.name] / case.span_y, x.usd_per_unit / case.span_y
            out.append(
                {
                    "at": where,
                    "size": f"{size[x.name]:,.1f}",
                    "next": "kW" if x.name.endswith(".kw") else "kWh",
                    "saves_usd_per_y": save,
                    "next_percent_saves_usd_per_y": None if ahead is None else ahead / case.span_y,
                    "costs_usd_per_y": cost,
                    "npv_usd": ((save if ahead is None else ahead / case.span_y) - cost)
                    * case.per_usd(1, case.tariff),
                }
            )
    return tuple(out)


# --- granularity -----------------------------------------------------------------------------------------


def _granularity(case: _Case, own: _Found, truth: Outcome, step: Step) -> tuple[dict[str, Any], ...]:
    """The battery sized from coarser data, each size settled on the data as they are."""
    t = case.m.timeline
    loads: list[tuple[str, Kw | None, str]] = [
        ("twelve bills", coarse.from_bills(t, case.m.load_kw), coarse.BILLS_METHOD)
    ]
    if t.step_h < 1:
        loads.append(("hourly means", coarse.from_hours(t, case.m.load_kw), coarse.HOURS_METHOD))
    loads.append((f"{60 * t.step_h:g}-minute data", None, "the readings as they are"))
    out = []
    for name, kw, method in loads:
        step(f"sized from {name}", None)
        found = own if kw is None else _best(case, own.assets, kw, most=20)
        made = truth if kw is None else _of_found(case, found, name)
        promised = None
        if kw is not None:
            promised = _promised(case, found, kw)
        out.append(
            {
                "sized from": name,
                "size": made.words,
                "capex_usd": made.capex_usd,
                "promised NPV_usd": made.npv_usd if kw is None else promised,
                "NPV on the finest data_usd": made.npv_usd,
                "worth of knowing more_usd": None
                if made.npv_usd is None or truth.npv_usd is None
                else truth.npv_usd - made.npv_usd,
                "method": method,
            }
        )
    return tuple(out)


def _promised(case: _Case, found: _Found, load_kw: Kw) -> float | None:
    """NPV that the coarse data would promise at the size they lead to, settled on themselves."""
    p = case.on(found.at(), load_kw)
    m = p.ready
    before = m.settle(m.before_kw, m.load_kvar).total_usd
    other = replace(case, m=replace(m, new=case.m.new), before_usd=before)
    return _of_found(other, found, "coarse").npv_usd


# --- moving load against buying a battery ----------------------------------------------------------------


def _moving(
    case: _Case, alone: Sequence[Outcome], own: _Found, battery: Any, step: Step
) -> dict[str, Any] | None:
    """The best of the site's loads that can move against the best battery: capital, saving, and the battery price at
    which the order by NPV for a dollar turns."""
    loads = [o for o in alone if o.moved_kw is not None and len(o.sizes) == 1 and o.capex_usd]
    if not loads:
        return None
    load = ranked(loads)[0]
    buy = next(o for o in alone if o.name == battery.name)
    note = ""
    if not buy.capex_usd:
        buy = next((o for o in alone if o.name == f"{battery.name} as written"), buy)
        note = "no battery pays at its price"
    step("the battery price at which the order turns", None)
    flip = _flip(case, own, battery, load)
    return {
        "load": load.to_dict(),
        "battery": buy.to_dict(),
        "capital_ratio": None if not buy.capex_usd else buy.capex_usd / (load.capex_usd or inf),
        "saving_ratio": None if load.saving_usd_per_y <= 0 else buy.saving_usd_per_y / load.saving_usd_per_y,
        "flip": flip,
        "note": note,
    }


def _flip(case: _Case, own: _Found, battery: Any, load: Outcome) -> dict[str, Any] | None:
    """The multiple of the battery's price at which its NPV for a dollar, at the size best at that price, equals that of
    the moved load; and at which its NPV is as large."""
    if own.problem is None or load.npv_per_usd is None or load.npv_usd is None:
        return None
    price = case.prices[battery.name]
    problem = replace(own.problem, gap=ROUGH)
    base = {x.name: x.usd_per_unit for x in problem.axes}

    def at(times: float) -> Outcome:
        cheap = price.model_copy(
            update={k: getattr(price, k) * times for k in ("usd", "usd_per_kw", "usd_per_kwh")}
        )
        best = problem.best({k: v * times for k, v in base.items()})
        other = replace(case, prices={**case.prices, battery.name: cheap})
        return _of_found(other, _Found((battery,), best, problem), "battery")

    out: dict[str, Any] = {}
    for what, target in (("by NPV for a dollar", load.npv_per_usd), ("by NPV", load.npv_usd)):
        low, high, last = 0.02, 1.0, None

        def better(o: Outcome, target: float = target, what: str = what) -> bool:
            value = o.npv_usd if what == "by NPV" else o.npv_per_usd
            return value is not None and value >= target

        if better(at(high)):
            out[what] = {"price_times": None, "why": "the battery is ahead at its price"}
            continue
        first = at(low)
        if not better(first):
            out[what] = {"price_times": None, "why": f"not even at {low:.0%} of its price"}
            continue
        last = first
        for _ in range(6):
            middle = (low * high) ** 0.5
            o = at(middle)
            if better(o):
                low, last = middle, o
            else:
                high = middle
        out[what] = {
            "price_times": low,
            "usd_per_kw": price.usd_per_kw * low,
            "usd_per_kwh": price.usd_per_kwh * low,
            "fixed_usd": price.usd * low,
            "size": last.words,
            "capex_usd": last.capex_usd,
            "npv_usd": last.npv_usd,
            "within_frac": high / low - 1,
        }
    return out


# --- specification ---------------------------------------------------------------------------------------


def _spec(case: _Case, chosen: Outcome | None, battery: Any) -> tuple[dict[str, Any], ...]:
    """What to ask of a vendor: what the plan used, what streams ask, what a warranty must allow."""
    if chosen is None or battery is None:
        return ()
    name = battery.name
    record, wear = chosen.run.record, chosen.run.wear.get(name)
    size = chosen.sizes[name]
    power = np.asarray(record.asset_kw[name], dtype=float)
    stored = np.asarray(record.stored_kwh[name], dtype=float)
    years = case.finance.analysis_years
    rows: list[dict[str, Any]] = []

    def row(item: str, value: str, why: str) -> None:
        rows.append({"item": item, "asked": value, "why": why})

    row(
        "power",
        f"{size['kw']:,.0f} kW",
        f"the plan draws up to {power.max():,.0f} kW and gives {-power.min():,.0f} kW",
    )
    row(
        "energy",
        f"{size['kwh']:,.0f} kWh nameplate",
        f"{stored.max() - stored.min():,.0f} kWh between the least and the most it holds",
    )
    ec, ed = battery.efficiencies
    row("efficiency", f"{ec * ed:.1%} round trip or better", "as the plan takes it")
    if wear is not None:
        cycles = wear.full_cycles / case.span_y
        out_mwh = wear.throughput_kwh / case.span_y / 1000
        row("cycles", f"{cycles:,.0f} full cycles a year", "what the plan does")
        row(
            "throughput",
            f"{out_mwh:,.1f} MWh a year, {out_mwh * years:,.0f} MWh over {years} years",
            "discharged",
        )
        used = wear.counted_usd / case.span_y
        worth = battery.replacement_usd_per_kwh * size["kwh"]
        if used > 0 and worth > 0:
            row(
                "cycle life",
                f"{worth / used:,.0f} years of this use",
                f"by the wear model {battery.wear_model}",
            )
        if wear.fade_frac_per_y is not None:
            row(
                "fade",
                f"{wear.fade_frac_per_y:.1%} in the first year",
                "calendar and cycling, by the wear model",
            )
        for u in wear.warranty:
            limit = "" if u.limit is None else f"; the asset's warranty allows {u.limit:,.4g}"
            row(f"warranty: {u.name}", f"at least {u.used_per_y:,.4g} {u.unit}", f"what the plan uses{limit}")
    for claim, kw in chosen.enrolled_kw.items():
        row("enrolled", f"{kw:,.0f} kW", f"the most that the plan sells as {claim}")
    asked = _asked(case, chosen)
    for key, unit in (("response_s", "s to full power"), ("telemetry_s", "s between reports")):
        found = [(getattr(r, key), s) for s, r in asked if getattr(r, key, None) is not None]
        if found:
            least, who = min(found)
            row(key.removesuffix("_s").replace("_", " "), f"{least:g} {unit} or less", f"asked by {who}")
    for who, r in asked:
        if getattr(r, "protocols", ()):
            row("protocol", " or ".join(r.protocols), f"asked by {who}")
    if not asked:
        row(
            "response, telemetry, protocols",
            "nothing beyond the site's own controller",
            "no programme is served",
        )
    return tuple(rows)


def _asked(case: _Case, chosen: Outcome) -> list[tuple[str, Any]]:
    """Products of the streams that may serve with these assets, by name."""
    out = []
    for s in case.on(chosen.assets).streams:
        rules = getattr(getattr(s, "inner", s), "rules", None)
        if rules is not None:
            found = rules(case.m.timeline)
            out.append((f"{s.name} ({found.label})", found))
    return out


def _reopt(case: _Case, o: Outcome) -> dict[str, dict[str, Any]] | None:
    """Shared outputs of the optimum under REopt's names, its series left out; None where nothing is bought."""
    if o.flow is None or o.run is None:
        return None
    from ...finance.reopt_outputs import reopt_outputs

    m, record = case.m, o.run.record
    found = reopt_outputs(
        o.flow,
        m.settle(record.net_kw, record.net_kvar).ledger,
        m.settle(m.before_kw, m.load_kvar).ledger,
        record,
        sizes=o.sizes,
        generators={
            a.name: {"pv": "PV", "generator": "Generator"}[a.kind] for a in o.assets if a.kind in _MADE
        },
    )
    return {k: {n: v for n, v in part.items() if not isinstance(v, list)} for k, part in found.items()}


_MADE = ("pv", "generator")


# --- words -----------------------------------------------------------------------------------------------


def _usd(value: float | None) -> str:
    if value is None or not isfinite(value):
        return "-"
    return f"{'-' if value < 0 else ''}${abs(value):,.0f}"


def _sentences(
    case: _Case,
    best: Outcome | None,
    optimum: Outcome,
    moving: Mapping[str, Any] | None,
    rows: Sequence[Mapping[str, Any]],
) -> tuple[str, ...]:
    out = []
    years = case.finance.analysis_years
    if best is None:
        out.append(
            f"At these prices nothing pays: no option has a positive NPV over {years} years, even with perfect "
            "foresight."
        )
    else:
        out.append(
            f"Most NPV: {best.name} ({best.words}) at {_usd(best.capex_usd)}: {_usd(best.npv_usd)} over {years} years, "
            f"a perfect-foresight bound; it saves {_usd(best.saving_usd_per_y)} a year on the bill."
        )
    out.append(
        f"The best size of {optimum.name}: {optimum.words}, NPV {_usd(optimum.npv_usd)}. {optimum.how}."
    )
    if moving is not None and moving["capital_ratio"] is not None:
        load, buy = moving["load"], moving["battery"]
        out.append(
            f"Moving load ({load['name']}, up to {load['moved_kw']:,.0f} kW) costs {_usd(load['capex_usd'])} and saves "
            f"{_usd(load['saving_usd_per_y'])} a year; a battery ({buy['name']}) takes {moving['capital_ratio']:.1f} "
            f"times the capital for {moving['saving_ratio'] or 0:.2f} times the saving."
        )
    if rows:
        worst = rows[0]["worth of knowing more_usd"]
        if worst is not None:
            out.append(
                f"Sized from twelve bills instead of {rows[-1]['sized from']}, the NPV on the finest data would be "
                f"{_usd(worst)} lower."
            )
    return tuple(out)


def _assumptions(
    case: _Case, assets: Sequence[Any], notes: Sequence[str], vendors: Vendors | None
) -> tuple[Assumption, ...]:
    out = [
        Assumption(f"price of {k}", v, case.prices[k].source, case.prices[k].verified, f"asset {k}")
        for k, v in case.said.items()
    ]
    out += [Assumption(n) for n in notes]
    out.append(
        Assumption("wear", "counted by each plan's cycles and set aside every year", "the asset's wear model")
    )
    aged = [k for k, p in case.prices.items() if p.kind == "battery" and p.life_y is None]
    if aged:
        out.append(
            Assumption(
                f"{', '.join(aged)}: not bought again for age within {case.finance.analysis_years} years",
                "no life_y is given",
                "",
                False,
            )
        )
    for a in assets:
        if a.kind == "pv" and a.name in case.prices and case.prices[a.name].max_kw is None:
            out.append(Assumption(f"{a.name}: no more fits than is written", f"{_size_of(a)[0]:,.0f} kW"))
    out += [
        Assumption(s, "", "", "not verified" not in s, f"asset {a.name}")
        for a in assets
        for s in a.assumptions
    ]
    out += list(case.m.assumptions)
    if vendors is not None:
        out.append(
            Assumption(f"vendors: {vendors.name}", f"as of {vendors.as_of}", vendors.source, vendors.verified)
        )
    return tuple(dict.fromkeys(out))


def _findings(
    case: _Case, options: Sequence[Outcome], both: _Found, vendors: Vendors | None
) -> tuple[Finding, ...]:
    out = list(case.m.audited.findings)
    if vendors is not None:
        out += [Finding("stale", "warning", s, remedy="ask for a new quote") for s in vendors.stale(case.day)]
    for x in _axes(case, both.assets):
        if both.sized.size[x.name] > 0.999 * x.upper:
            out.append(
                Finding(
                    "edge",
                    "warning",
                    f"{x.name}: the best size lies at the end of its range, {x.upper:,.0f}",
                    remedy="give max_kw or max_kwh in a price if more can be had",
                )
            )
    settled_only = sorted({s.name for s in case.on(case.m.new).streams if _only_settles(case, s)})
    if settled_only:
        out.append(
            Finding(
                "not_in_the_problem",
                "info",
                f"{', '.join(settled_only)}: counted when a plan is settled, not seen by the problem that finds "
                "the sizes",
                remedy="compare the options' NPV, which counts it",
            )
        )
    for o in options:
        out += [Finding("option", "info", f"{o.name}: {n}") for n in o.notes]
    return tuple(dict.fromkeys(out))


def _only_settles(case: _Case, stream: Any) -> bool:
    p = case.on(case.m.new)
    return not list(stream.terms(p.ready.view((*p.ready.existing, *p.ready.new), p.streams)))
