"""One set of assets: planned with the future known, settled by every stream from its record, carried to NPV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import fsum, inf
from typing import Any

import numpy as np

from ....dispatch import Record
from ....finance.finance import CapexItem, Value
from ....flows import Store, Unit
from ....report.sized import Outcome
from ....terms import Claim, Limit, Minimum, Payment
from .. import layers
from ..cases import Run, bound_run, offers_of
from .case import RUNNING, WEAR, Case
from .prices import Bought, bought_at, size_of

GAP, TIME_LIMIT_S = 1e-3, 30.0  # of one plan, where integers rule


def weighted_terms(case: Case, p: layers.Placed) -> list[Any]:
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


def weighted_offers(case: Case, offers: Sequence[Any]) -> list[Any]:
    """What assets offer, wear and the running cost of engines at the weight that the pro forma gives them."""
    wear, running = case.weight(0, WEAR), case.weight(0, RUNNING)
    out = []
    for o in offers:
        if isinstance(o, Store):
            price = case.wear_price.get(o.name, o.wear_usd_per_kwh)
            segments = tuple((width, usd * wear) for width, usd in o.wear_segments)
            o = replace(o, wear_usd_per_kwh=price * wear, wear_segments=segments)
        elif isinstance(o, Unit):
            usd = {k: getattr(o, k) * running for k in ("start_usd", "usd_per_h", "fuel_usd_per_gal")}
            o = replace(o, **usd)
        out.append(o)
    return out


def planned(case: Case, p: layers.Placed, most_s: float = inf) -> Run:
    """The plan of most present value at these sizes. most_s: what may be spent where there is no plan in time."""
    w = case.weight(0, WEAR)
    prices = {a.name: case.wear_price[a.name] * w for a in p.ready.new if a.name in case.wear_price}
    return bound_run(
        p.ready,
        rounds=0,
        price_usd_per_kwh=prices,
        terms=weighted_terms(case, p),
        offers=weighted_offers(case, offers_of(p.ready)),
        gap=GAP,
        time_limit_s=TIME_LIMIT_S,
        most_s=most_s,
    )


def settled(
    case: Case,
    assets: Sequence[Any],
    name: str,
    *,
    bought: Sequence[Bought] | None = None,
    how: str = "",
    vendor: str = "",
) -> Outcome:
    """Plan a set of assets with the future known, settle its record by every stream, carry it to NPV."""
    p = case.on(assets)
    run = planned(case, p)
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
        bought = bought_for(case, assets)
    flow = None
    if bought is not None:
        values = [Value(case.tariff, 1, saving, "contractual")]
        values += [Value(stream, layer, usd, "market") for (layer, stream), usd in services.items()]
        if wear:
            values.append(Value(WEAR, 0, -wear, "modelled"))
        if other:
            values.append(Value(RUNNING, 0, -other, "metered"))
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


def nothing(case: Case, name: str, how: str, assets: Sequence[Any], method: str) -> Outcome:
    """The outcome of buying none of some assets."""
    return Outcome(
        name=name,
        sizes={a.name: {"kw": 0.0} | ({"kwh": 0.0} if a.kind == "battery" else {}) for a in assets},
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
        method=method,
        how=how,
    )


def bought_for(case: Case, assets: Sequence[Any]) -> list[Bought] | None:
    """What a set of assets costs; None where the price of one is not known."""
    out = []
    for a in assets:
        if a.name in case.prices:
            out.append(bought_at(case.prices[a.name], a.name, *size_of(a), case.finance))
            continue
        item = next((c for c in case.finance.capex if c.name == a.name), None)
        controls = getattr(a, "control_capex_usd", None)
        if item is not None:
            out.append(Bought(a.name, item))
        elif controls is not None:
            out.append(Bought(a.name, CapexItem(name=f"controls of {a.name}", usd=float(controls))))
        else:
            return None
    return out


def _sizes(a: Any, record: Record) -> dict[str, float]:
    kw, kwh = size_of(a)
    if a.kind in ("thermal_load", "flexible_load", "virtual_battery"):
        return {"kw": float(np.maximum(-np.asarray(record.asset_kw[a.name]), 0.0).max(initial=0.0))}
    return {"kw": kw, "kwh": kwh} if a.kind == "battery" else {"kw": kw}


def _moved(record: Record, moving: Sequence[Any], span_y: float) -> tuple[float | None, float | None]:
    if not moving:
        return None, None
    off = sum(np.maximum(-np.asarray(record.asset_kw[a.name]), 0.0) for a in moving)
    return float(np.max(off)), float(np.sum(off)) * record.timeline.step_h / span_y
