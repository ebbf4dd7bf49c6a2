"""A year of quarter-hours billed: compiled against plain numpy, and the full ledger beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import valuestack as vs

from .clock import Row, cpu_s

N = 35_040
GOAL_COMPILED_S, GOAL_RATIO, GOAL_LEDGER_S = 50e-6, 10.0, 5e-3
ON, OFF = list(range(12, 18)), [0] * 24
SUMMER = [
    [2 if h in ON else 1 if 8 <= h < 21 else 0 for h in range(24)] if 4 <= m < 10 else OFF for m in range(12)
]
PRICES, TIER_KWH, ABOVE = (0.09, 0.12, 0.17), 50_000.0, 0.02
DEMAND_USD, TIMED_USD, SHARE = 14.0, 19.0, 0.8


def tariff() -> Any:
    """Energy by time of use with two tiers, flat demand under an 80 % ratchet, and a summer peak demand."""
    ladder = [{"tiers": [{"usd_per_kwh": p, "upto": TIER_KWH}, {"usd_per_kwh": p + ABOVE}]} for p in PRICES]
    weekend = [OFF] * 12
    items = [
        {"kind": "energy", "periods": ladder, "weekday": SUMMER, "weekend": weekend},
        {"kind": "demand", "name": "flat", "periods": [{"tiers": [{"usd_per_unit": DEMAND_USD}]}], "months": [0] * 12,
         "ratchet": {"share_frac": SHARE, "months": 11}},
        {"kind": "demand", "name": "peak", "weekday": SUMMER, "weekend": weekend,
         "periods": [{"tiers": [{"usd_per_unit": u}]} for u in (0.0, 0.0, TIMED_USD)]},
        {"kind": "fixed", "usd": 300.0},
    ]  # fmt: skip
    about = {"name": "bench", "source": "made for timing", "verified": True, "holidays": []}
    return vs.load_tariff({**about, "items": items})


def load_kw() -> Any:
    """A seeded load of some 300 kW with days, seasons and spikes."""
    rng, t = np.random.default_rng(7), np.arange(N)
    day = 1 + 0.5 * np.sin(2 * np.pi * (t / 96 - 0.3))
    return 250 * day * (1 + 0.2 * np.sin(2 * np.pi * t / N)) + rng.gamma(2.0, 15.0, N)


class Plain:
    """The same bill as a careful person writes it in numpy for tariffs of this shape: look-ups and the order by
    window made beforehand, then bincount and maximum.reduceat over whole arrays."""

    def __init__(self, timeline: Any) -> None:
        month = (timeline.month - 1).astype(np.int64)
        self.code = month * 3 + np.where(timeline.weekday >= 5, 0, np.array(SUMMER)[month, timeline.hour])
        self.month_first = np.flatnonzero(np.concatenate(([True], np.diff(month) != 0)))
        self.order = np.argsort(self.code, kind="stable")
        ordered = self.code[self.order]
        self.first = np.flatnonzero(np.concatenate(([True], np.diff(ordered) != 0)))
        self.timed_usd = np.array([0.0, 0.0, TIMED_USD])[ordered[self.first] % 3]
        self.step_h = timeline.step_h

    def total_usd(self, net_kw: Any) -> float:
        drawn = np.maximum(net_kw, 0.0)
        kwh = np.bincount(self.code, weights=drawn, minlength=36).reshape(12, 3) * self.step_h
        above = np.maximum(kwh.sum(axis=1) - TIER_KWH, 0.0)
        usd = float((kwh @ np.array(PRICES)).sum() + ABOVE * above.sum())
        top = np.maximum.reduceat(drawn, self.month_first)
        billed = np.array([max(top[m], SHARE * max(top[:m], default=0.0)) for m in range(12)])
        timed = np.maximum.reduceat(drawn[self.order], self.first) @ self.timed_usd
        return usd + DEMAND_USD * float(billed.sum()) + float(timed) + 12 * 300.0


def run(data: Path | None) -> list[Row]:
    """Rows for the table; the three bills must agree before they are timed."""
    timeline = vs.Timeline(start="2018-01-01T00:00", step_h=0.25, n=N, tz="Etc/GMT+8")
    rate, kw = tariff(), load_kw()
    compiled, plain = rate.compile(timeline), Plain(timeline)
    if not compiled.fast:
        raise RuntimeError(f"the tariff is not compiled: {compiled.why}")
    totals = [compiled.total_usd(kw), plain.total_usd(kw), vs.bill(rate, timeline, kw).total_usd]
    if max(totals) - min(totals) > 1e-9 * totals[0]:
        raise RuntimeError(f"the bills differ: {totals}")
    fast = cpu_s(lambda: compiled.total_usd(kw), repeats=15, inner=200)
    by_numpy = cpu_s(lambda: plain.total_usd(kw), repeats=15, inner=20)
    ledger = cpu_s(lambda: vs.bill(rate, timeline, kw), repeats=15, inner=3)
    ratio = by_numpy / fast
    return [
        Row("compiled.total_usd, 35,040 intervals", fast, "numpy bincount and reduceat", by_numpy,
            f"<= 50 us and >= {GOAL_RATIO:g}x", fast <= GOAL_COMPILED_S and ratio >= GOAL_RATIO),
        Row("vs.bill with full ledger", ledger, goal="<= 5 ms more than compiled",
            met=ledger - fast <= GOAL_LEDGER_S, note=f"{1e3 * (ledger - fast):.2f} ms more"),
    ]  # fmt: skip
