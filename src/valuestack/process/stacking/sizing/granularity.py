"""The same load as coarser data would show it: hourly means, or twelve bills with a shape laid on them.

A size found on coarse data is settled on the fine data like any other, so the difference is what knowing more is worth.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ....report.sized import Outcome
from ....timeline import Kw, Timeline
from ..meters import Step
from .case import Case
from .optimum import Found, best_of, of_found

BUSY = (7.0, 21.0)  # clock hours of the stated shape, weekdays
BILLS_METHOD = (
    "twelve bills: each month's energy and peak, laid on weekdays as half a sine from 7 to 21 o'clock over a level "
    "that also fills nights and weekends; where the load factor is too low for that, the bump is made narrower"
)
HOURS_METHOD = "hourly means of the same readings"


def from_hours(timeline: Timeline, kw: Kw) -> Kw:
    """Means of clock hours, on the same intervals, (n,)."""
    hour = np.asarray(timeline.utc_s // 3600, dtype=np.int64)
    hour = hour - hour[0]
    count = np.bincount(hour)
    return np.asarray((np.bincount(hour, weights=kw) / np.maximum(count, 1))[hour])


def from_bills(timeline: Timeline, kw: Kw) -> Kw:
    """A year that has each month's energy and highest interval and nothing else of the load, (n,).

    L = base + (peak - base) g^p with g the bump (1 at its middle), base from the month's energy; p = 1, or where base
    would be negative the p at which base = 0.
    """
    clock = timeline.minute_of_day / 60.0 + timeline.step_h / 2
    bump = np.sin(np.pi * np.clip((clock - BUSY[0]) / (BUSY[1] - BUSY[0]), 0.0, 1.0))
    bump = np.where(timeline.weekday < 5, np.maximum(bump, 0.0), 0.0)
    out = np.empty(timeline.n)
    for month in np.unique(timeline.month_id):
        at = timeline.month_id == month
        mean, peak = float(np.maximum(kw[at], 0.0).mean()), float(np.maximum(kw[at], 0.0).max())
        g = bump[at] / max(float(bump[at].max()), 1e-12) if bump[at].any() else np.ones(int(at.sum()))
        low, high = 1.0, 1.0
        while peak * float((g**high).mean()) > mean and high < 4096:
            low, high = high, 2 * high
        for _ in range(60 if high > 1 else 0):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if peak * float((g**middle).mean()) > mean else (low, middle)
        shape = g**high
        share = float(shape.mean())
        base = max(0.0, (mean - peak * share) / max(1 - share, 1e-12))
        out[at] = base + (peak - base) * shape
    return out


def granularity_rows(case: Case, own: Found, truth: Outcome, step: Step) -> tuple[dict[str, Any], ...]:
    """The battery sized from coarser data, each size settled on the data as they are."""
    t = case.m.timeline
    loads: list[tuple[str, Kw | None, str]] = [("twelve bills", from_bills(t, case.m.load_kw), BILLS_METHOD)]
    if t.step_h < 1:
        loads.append(("hourly means", from_hours(t, case.m.load_kw), HOURS_METHOD))
    loads.append((f"{60 * t.step_h:g}-minute data", None, "the readings as they are"))
    out = []
    for name, kw, method in loads:
        step(f"sized from {name}", None)
        found = own if kw is None else best_of(case, own.assets, kw, most=20)
        made = truth if kw is None else of_found(case, found, name)
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


def _promised(case: Case, found: Found, load_kw: Kw) -> float | None:
    """NPV that the coarse data would promise at the size they lead to, settled on themselves."""
    p = case.on(found.at(), load_kw)
    m = p.ready
    before = m.settle(m.before_kw, m.load_kvar).total_usd
    other = replace(case, m=replace(m, new=case.m.new), before_usd=before)
    return of_found(other, found, "coarse").npv_usd
