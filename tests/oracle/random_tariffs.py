"""Random tariffs as JSON, by seed: what the bill, the naive bill, the terms and the compiled bill must agree on."""

from __future__ import annotations

from typing import Any

import numpy as np


def random_tariff(rng: np.random.Generator) -> dict[str, Any]:
    """Energy by time with one of four tier units, demand flat, timed or by day, ratchets, a rider, a minimum, a tax."""
    items = [_demand(rng) for _ in range(int(rng.integers(0, 3)))]
    items += [_energy(rng, by_demand=_hours_use(items))]
    items += [{"kind": "fixed", "usd": _r(rng, 5, 200), "per": str(rng.choice(["day", "month"]))}]
    if rng.random() < 0.4:
        items.append({"kind": "rider", "name": "fuel", "per": "kWh", "usd": _r(rng, -0.01, 0.02)})
    if rng.random() < 0.3:
        items.append({"kind": "minimum", "usd": _r(rng, 100, 9000), "per": "month"})
    if rng.random() < 0.3:
        items.append({"kind": "tax", "name": "t", "share_frac": _r(rng, 0.01, 0.1)})
    return {"name": "random", "source": "drawn", "verified": True, "holidays": [], "items": items}


def _r(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 4)


def _hours_use(items: list[dict[str, Any]]) -> bool:
    """Whether billed demand is one plain number: a single demand charge in kW that is not by day."""
    return len(items) == 1 and not items[0].get("daily")


def _schedule(rng: np.random.Generator, periods: int) -> list[list[int]]:
    row = [0] * 24
    begin, end = sorted(rng.choice(np.arange(1, 24), 2, replace=False).tolist())
    row[begin:end] = [periods - 1] * (end - begin)
    other = [min(1, periods - 1)] * 24
    return [list(row if m in range(3, 10) else other) for m in range(12)]


def _ladder(
    rng: np.random.Generator, key: str, low: float, high: float, top: float, n: int, **more: Any
) -> list[Any]:
    bounds = sorted(rng.uniform(0.1 * top, top, n - 1).round(2).tolist())
    return [{key: _r(rng, low, high), **({"upto": b} if b else {}), **more} for b in [*bounds, None]]


def _energy(rng: np.random.Generator, by_demand: bool) -> dict[str, Any]:
    units = {"kWh": 60_000.0, "kWh daily": 2_500.0, **({"kWh/kW": 500.0} if by_demand else {})}
    unit, n, count = str(rng.choice(list(units))), int(rng.integers(1, 4)), int(rng.integers(1, 4))
    first = _ladder(rng, "usd_per_kwh", 0.03, 0.3, units[unit], n, unit=unit)
    shift = [0.0, *(_r(rng, 0.0, 0.1) for _ in range(count - 1))]
    periods = [
        {"tiers": [{**t, "usd_per_kwh": round(t["usd_per_kwh"] + s, 6)} for t in first]} for s in shift
    ]
    if count > 1 and rng.random() < 0.3:  # ladders that differ between periods
        periods[-1] = {
            "tiers": _ladder(rng, "usd_per_kwh", 0.03, 0.3, units[unit], int(rng.integers(1, 4)), unit=unit)
        }
    return {
        "kind": "energy",
        "periods": periods,
        "weekday": _schedule(rng, count),
        "weekend": [[0] * 24 for _ in range(12)],
    }


def _demand(rng: np.random.Generator) -> dict[str, Any]:
    name, count = f"d{int(rng.integers(0, 10**6))}", int(rng.integers(1, 3))
    depth = int(rng.integers(1, 3))
    periods = [{"tiers": _ladder(rng, "usd_per_unit", 2, 25, 120.0, depth)} for _ in range(count)]
    out: dict[str, Any] = {"kind": "demand", "name": name, "periods": periods}
    if rng.random() < 0.5:
        out["months"] = [count - 1 if m in range(5, 9) else 0 for m in range(12)]
    else:
        out |= {"weekday": _schedule(rng, count), "weekend": [[0] * 24 for _ in range(12)]}
    if rng.random() < 0.3:
        out["window_min"] = 60
    if "months" in out and rng.random() < 0.5:
        rule: dict[str, Any] = {"share_frac": _r(rng, 0.3, 1.0), "months": int(rng.integers(1, 14))}
        if rng.random() < 0.4:
            rule["only_months"] = [6, 7, 8, 9]
        out["ratchet"] = rule
    elif rng.random() < 0.2:
        out["daily"] = True
    return out


def random_load(
    rng: np.random.Generator, n: int, exporting: bool = False
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Mean about 100 kW, with spikes; below zero at times where asked."""
    kw = 60 + 40 * np.sin(np.arange(n) * 2 * np.pi / 96) + rng.gamma(2.0, 20.0, n)
    return np.asarray(kw - (90 * rng.random(n) if exporting else 0.0))
