"""What a bill's totals decide about the readings: their unit, their multiplier, which level is the real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Literal

import numpy as np

from ...finding import Finding
from ...sources.source import Channel
from ...timeline import Kw, Timeline
from .faults import Fault
from .grid import regular, timeline_of
from .jumps import JUMP_FACTORS

AGREES = 0.03
"""A bill agrees with the readings within 3 %: read dates fall within days, and losses may be added."""


def totals(billed: Sequence[Any]) -> list[Any]:
    """Those billed totals that state energy."""
    return [b for b in billed if getattr(b, "energy_kwh", None)]


def days(b: Any) -> tuple[date, date]:
    """First day of a billed total, and the day after its last."""
    return b.from_date, b.until_date


def ratio(t: Timeline, kw: Kw, b: Any) -> float | None:
    """Billed energy over metered energy of the same days, None where the data do not cover 95 % of them."""
    a, z = days(b)
    mine = (t.local_date >= np.datetime64(a)) & (t.local_date < np.datetime64(z)) & np.isfinite(kw)
    if mine.sum() * t.step_h < 0.95 * 24 * (z - a).days:
        return None
    kwh = float(np.maximum(kw[mine], 0).sum()) * t.step_h
    return float(b.energy_kwh) / kwh if kwh > 0 else None


def decide_unit(c: Channel, billed: Sequence[Any], tz: str, findings: list[Finding]) -> Channel:
    """kW or kWh where the file does not say: by a billed total, else asked and read as kW."""
    if c.quantity != "unknown":
        return c
    as_kw = replace(c, quantity="kw")
    s = regular(as_kw, tz, [])
    t = timeline_of(s.step_s, s.start_s, s.kw.size, tz)
    ratios = [r for b in totals(billed) if (r := ratio(t, s.kw, b)) is not None]
    hours = s.step_s / 3600
    if ratios and hours < 1:
        # Energy read as power comes out smaller by the length of the interval.
        off = float(np.median(ratios))
        unit: Literal["kw", "kwh"] = "kw" if abs(np.log(off)) < abs(np.log(off * hours)) else "kwh"
        findings[:] = [f for f in findings if f.kind != "unit"]
        findings.append(
            Finding(
                "unit",
                "info",
                f"the file does not say kW or kWh; the billed total says {'kW' if unit == 'kw' else 'kWh'}",
                c.name,
                c.value.size,
                "read so",
            )
        )
        return replace(c, quantity=unit)
    if hours >= 1:
        findings[:] = [f for f in findings if f.kind != "unit"]
        findings.append(
            Finding(
                "unit",
                "info",
                "the file does not say kW or kWh; for intervals of an hour both are the same figure",
                c.name,
                c.value.size,
            )
        )
    elif not any(f.kind == "unit" for f in findings):
        findings.append(
            Finding(
                "unit",
                "question",
                "the file does not say whether the values are kW or kWh of the interval",
                c.name,
                c.value.size,
                "read as kW",
                remedy="say --read unit=kW or --read unit=kWh, or give a billed total",
            )
        )
    return as_kw


def side(t: Timeline, kw: Kw, fault: Fault, billed: Sequence[Any]) -> Literal["repair", "real"] | None:
    """Whether a stretch on another level is a fault or real, by a bill that lies within it; None without one.

    The bill within is held against bills outside, where there are any, so that a factor on the whole file does
    not mislead.
    """
    inside, outside = [], []
    first, last = t.day[fault.first], t.day[min(t.n, fault.first + fault.n) - 1]
    for b in totals(billed):
        r = ratio(t, kw, b)
        if r is None:
            continue
        a, z = (int((d - date(1970, 1, 1)).days) for d in days(b))
        shared = max(0, min(z - 1, int(last)) - max(a, int(first)) + 1) / (z - a)
        if shared >= 0.9:
            inside.append(r)
        elif shared <= 0.05:
            outside.append(r)
    if not inside:
        return None
    off = float(np.median(inside)) / (float(np.median(outside)) if outside else 1.0)
    return "real" if abs(np.log(off)) < abs(np.log(off * fault.factor)) else "repair"


def whole_factor(t: Timeline, net: Kw, billed: Sequence[Any]) -> float:
    """Factor by which every billed total exceeds the readings, if they agree on a known one; else 1."""
    ratios = [r for b in totals(billed) if (r := ratio(t, net, b)) is not None]
    if not ratios:
        return 1.0
    off = float(np.median(ratios))
    if max(ratios) > (1 + AGREES) * off or min(ratios) < (1 - AGREES) * off:
        return 1.0
    near = min((f**s for f in JUMP_FACTORS for s in (1, -1)), key=lambda f: abs(np.log(f / off)))
    return float(near) if abs(np.log(near / off)) < AGREES else 1.0


def notes(t: Timeline, net: Kw, billed: Sequence[Any], factor: float, model: bool) -> list[Finding]:
    """What the billed totals say of the finished load; and the standing question where there are none.

    net: after the factor. model: the load is a documented model, whose scale is its own.
    """
    out = []
    agree = told = 0
    for b in billed:
        out += _peak(t, net, b)
        if b not in totals(billed) or (r := ratio(t, net, b)) is None:
            continue
        told += 1
        agree += abs(r - 1) <= AGREES
        if abs(r - 1) > 0.01:
            a, z = days(b)
            kwh = float(b.energy_kwh) / r
            out.append(
                Finding(
                    "billed_energy",
                    "warning",
                    f"billed {b.energy_kwh:,.0f} kWh, metered {kwh:,.0f} kWh ({r - 1:+.1%})",
                    f"{a} to {z}",
                    1,
                    remedy="check multiplier, unit and read dates",
                )
            )
    if factor != 1.0:
        out.append(
            Finding(
                "multiplier",
                "warning",
                f"the billed totals are {factor:g} times the readings: a multiplier or unit is missing in the "
                "whole file" if factor > 1 else
                f"the readings are {1 / factor:g} times the billed totals: a multiplier or unit is applied twice",
                "whole file",
                t.n,
                f"all readings multiplied by {factor:g}",
                remedy="say so in the file's reading options: --read multiplier=...",
            )
        )  # fmt: skip
    if not told and not model:
        out.append(
            Finding(
                "multiplier_unproven",
                "question",
                "nothing in the file proves its multiplier: readings off by a constant factor look like any other",
                "whole file",
                t.n,
                "taken as written",
                remedy="give the kWh of one bill: [[meters.billed]] with from_date, until_date and energy_kwh",
            )
        )
    return out


def _peak(t: Timeline, net: Kw, b: Any) -> list[Finding]:
    """A billed peak that the readings do not show."""
    peak, (a, z) = getattr(b, "peak_kw", None), days(b)
    mine = (t.local_date >= np.datetime64(a)) & (t.local_date < np.datetime64(z))
    if not peak or mine.sum() * t.step_h < 0.95 * 24 * (z - a).days:
        return []
    metered = float(net[mine].max())
    if abs(metered / peak - 1) <= AGREES:
        return []
    return [
        Finding(
            "billed_peak",
            "warning",
            f"billed {peak:,.1f} kW, highest reading {metered:,.1f} kW ({peak / metered - 1:+.1%})"
            if metered > 0
            else f"billed {peak:,.1f} kW, no reading above zero",
            f"{a} to {z}",
            1,
            remedy="check the demand interval, the read dates and the power factor clause",
        )
    ]
