"""A deliberately naive bill: one interval after the other, plain Python, no numpy, written from the rules alone.

It reads the JSON of a tariff, not our models, and knows energy (tiers in kWh, daily and hours-use), fixed,
flat and timed demand (windows, tiers, daily peaks, ratchets with history), minimum bills, riders and taxes.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any


def amount_due(
    tariff: dict[str, Any],
    start: datetime,
    step_min: int,
    load_kw: list[float],
    history: dict[str, float] | None = None,
) -> float:
    """Amount due [USD] of whole calendar months, in a zone without a change of clock."""
    when = [start + timedelta(minutes=step_min * k) for k in range(len(load_kw))]
    months = sorted({(t.year, t.month) for t in when})
    charges: dict[tuple[int, int], dict[str, float]] = {m: defaultdict(float) for m in months}
    billed_kw = dict.fromkeys(months, 0.0)
    rows = tariff["items"]
    for kind in ("demand", "fixed", "energy", "rider", "minimum", "tax"):
        for row in (r for r in rows if r["kind"] == kind):
            for month in months:
                here = [k for k, t in enumerate(when) if (t.year, t.month) == month]
                charges[month][kind] += _charge(
                    row,
                    month,
                    when,
                    here,
                    step_min,
                    load_kw,
                    charges[month],
                    billed_kw,
                    history or {},
                    months,
                )
    return sum(v for by_kind in charges.values() for v in by_kind.values())


def _charge(
    row: dict[str, Any],
    month: tuple[int, int],
    when: list[datetime],
    here: list[int],
    step_min: int,
    load: list[float],
    so_far: dict[str, float],
    billed_kw: dict[tuple[int, int], float],
    history: dict[str, float],
    months: list[tuple[int, int]],
) -> float:
    kwh = [max(0.0, load[k]) * step_min / 60 for k in here]
    days = len({when[k].date() for k in here})
    if row["kind"] == "fixed":
        return float(row["usd"] * (days if row.get("per") == "day" else 1))
    if row["kind"] == "rider":
        return float(row["usd"] * sum(kwh))
    if row["kind"] == "tax":
        return float(row["share_frac"] * sum(v for k, v in so_far.items() if k != "tax"))
    if row["kind"] == "minimum":
        return max(0.0, row["usd"] * (days if row.get("per") == "day" else 1) - sum(so_far.values()))
    if row["kind"] == "energy":
        total, usd = sum(kwh), 0.0
        for p, period in enumerate(row["periods"]):
            own = sum(e for k, e in zip(here, kwh, strict=True) if _period(row, when[k]) == p)
            if total > 0:
                ladder = [(_bound(t, days, billed_kw[month]), t["usd_per_kwh"]) for t in period["tiers"]]
                usd += own / total * _climb(total, ladder)
        return usd
    return _demand(row, month, when, step_min, load, days, billed_kw, history, months)


def _demand(
    row: dict[str, Any],
    month: tuple[int, int],
    when: list[datetime],
    step_min: int,
    load: list[float],
    days: int,
    billed_kw: dict[tuple[int, int], float],
    history: dict[str, float],
    months: list[tuple[int, int]],
) -> float:
    width = int(row.get("window_min") or step_min) // step_min
    flat = "months" in row
    peaks: dict[Any, float] = {}
    daily: dict[Any, float] = {}
    for first in range(0, len(load), width):
        mean = sum(max(0.0, load[k]) for k in range(first, first + width)) / width
        t = when[first]
        p = row["months"][t.month - 1] if flat else _period(row, t)
        key = ((t.year, t.month), p)
        peaks[key] = max(peaks.get(key, 0.0), mean)
        if (t.year, t.month) == month:
            daily[(t.date(), p)] = max(daily.get((t.date(), p), 0.0), mean)
    if row.get("daily"):
        return sum(_climb(kw, _steps(row, p)) for (_, p), kw in daily.items())
    usd = 0.0
    for (m, p), kw in peaks.items():
        if m != month:
            continue
        billed = max(kw, _ratchet(row, month, p, peaks, history, months, flat))
        usd += _climb(billed, _steps(row, p))
        billed_kw[month] = max(billed_kw[month], billed)
    return usd


def _ratchet(
    row: dict[str, Any],
    month: tuple[int, int],
    p: int,
    peaks: dict[Any, float],
    history: dict[str, float],
    months: list[tuple[int, int]],
    flat: bool,
) -> float:
    rule = row.get("ratchet")
    if not rule:
        return 0.0
    top, (year, number) = 0.0, month
    for _ in range(rule.get("months", 11)):
        year, number = (year - 1, 12) if number == 1 else (year, number - 1)
        if rule.get("only_months") and number not in rule["only_months"]:
            continue
        if (year, number) in months:
            found = [kw for (m, q), kw in peaks.items() if m == (year, number) and (flat or q == p)]
            top = max([top, *found])
        else:
            top = max(top, history.get(f"{year}-{number:02}", 0.0))
    return float(rule["share_frac"] * top)


def _period(row: dict[str, Any], t: datetime) -> int:
    return int((row["weekend"] if t.weekday() >= 5 else row["weekday"])[t.month - 1][t.hour])


def _bound(tier: dict[str, Any], days: int, billed: float) -> float:
    if tier.get("upto") is None:
        return float("inf")
    unit = tier.get("unit", "kWh")
    return float(tier["upto"]) * (days if "daily" in unit else 1) * (billed if "/kW" in unit else 1)


def _steps(row: dict[str, Any], p: int) -> list[tuple[float, float]]:
    tiers = row["periods"][p]["tiers"]
    return [(float("inf") if t.get("upto") is None else t["upto"], t["usd_per_unit"]) for t in tiers]


def _climb(quantity: float, ladder: list[tuple[float, float]]) -> float:
    usd, low = 0.0, 0.0
    for top, price in ladder:
        usd += price * max(0.0, min(quantity, top) - low)
        low = max(low, top)
    return usd
