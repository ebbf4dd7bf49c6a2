"""Cost to serve: what being in each programme costs, beside what it earned, and how much of it pays for itself.

    break-even = fixed cost a year / (income of a unit - cost of a unit)

in units of the stream's largest line of income (MWh, kW, kW h); all figures from its settled entries of the plan, so
a stream whose price moves is taken at the mean that it earned.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, inf
from typing import TYPE_CHECKING, Any

from ...ledger import Entry
from .cases import Run

if TYPE_CHECKING:
    from .layers import Placed

COST = "cost to serve"
BY_UNIT = ("delivery", "issuance")  # lines of it that grow with what is served
TITLE = "Cost to serve each stream, and its break-even"
HOURS_A_YEAR = 8760.0


def tables(at: Sequence[Placed], runs: Sequence[Run]) -> dict[str, list[dict[str, Any]]]:
    """One table of every stream beyond the tariff that earns or costs; none where there is none."""
    rows = [
        row
        for p, run in zip(at, runs, strict=True)
        for stream in p.streams
        if (row := _row(stream, [e for e in run.services if e.stream == stream.name], _years(p))) is not None
    ]
    return {TITLE: rows} if rows else {}


def _years(p: Placed) -> float:
    return p.ready.timeline.hours / HOURS_A_YEAR


def _row(stream: Any, entries: Sequence[Entry], years: float) -> dict[str, Any] | None:
    cost = _cost_of(stream)
    spent = -fsum(e.usd for e in entries if e.item.startswith(COST)) + 0.0
    if cost is None and (not entries or stream.layer == 2):
        return None  # nobody is served: resilience is the owner's own
    income = fsum(e.usd for e in entries if not e.item.startswith(COST))
    sold, unit, least = break_even(entries, years)
    return {
        "layer": stream.layer,
        "stream": stream.name,
        "earned_usd_per_y": income / years,
        "cost_to_serve_usd_per_y": spent / years,
        "of_it_fixed_usd_per_y": None if cost is None else float(cost.fixed_usd_per_y),
        "served": sold,
        "break_even": None if cost is None else least,
        "unit": unit,
    }


def break_even(entries: Sequence[Entry], years: float) -> tuple[float | None, str, float | None]:
    """(units served a year, their unit, units a year from which the stream pays for its cost) of a settled span.

    kWh and kW h are told in MWh and MW h, kW that are paid for by the month or the call as their mean. None where
    nothing is earned; inf where a unit earns less than it costs.
    """
    income = [e for e in entries if e.usd > 0 and e.quantity > 0 and not e.item.startswith(COST)]
    if not income:
        return None, "", None
    sums: dict[tuple[str, str], list[Entry]] = {}
    for e in income:
        sums.setdefault((e.item.split("/", 1)[0], e.unit), []).append(e)
    (_, unit), top = max(sums.items(), key=lambda kv: fsum(e.usd for e in kv[1]))
    scale, unit = {"kWh": (1e-3, "MWh"), "kW h": (1e-3, "MW h")}.get(unit, (1.0, unit))
    sold = scale * fsum(e.quantity for e in top) / years
    if unit == "kW":  # held or delivered cycle by cycle, not added up
        sold = fsum(e.quantity for e in top) / len({(e.cycle, e.when) for e in top})
    earned = fsum(e.usd for e in entries if not e.item.startswith(COST)) / years
    fixed = by_unit = 0.0
    for e in entries:
        if e.item.startswith(COST):
            if e.item.split("/", 1)[-1] in BY_UNIT:
                by_unit -= e.usd / years
            else:
                fixed -= e.usd / years
    margin = (earned - by_unit) / sold
    if fixed <= 0:
        return sold, unit, 0.0 if margin >= 0 else inf
    return sold, unit, fixed / margin if margin > 0 else inf


def _cost_of(stream: Any) -> Any:
    """What a person wrote of it, within whatever contract; None where nothing."""
    inner = stream
    while hasattr(inner, "inner"):
        inner = inner.inner
    cost = getattr(inner, "cost", None)
    asks = ("fixed_usd_per_y", "event_usd", "usd_per_mwh")
    return cost if any(getattr(cost, key, 0.0) for key in asks) else None
