"""What a load is like: peaks, duration, base, day types, thresholds, and the hours that set its bill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...terms import Payment, Term
from ...timeline import Kw, Timeline
from .spikes import Pattern, find

CUT_FRAC = 0.10


@dataclass(frozen=True, slots=True)
class BillHours:
    """The fewest hours of a month that carry its demand dollars: capping the load in just these hours at
    (1 - cut) of each billed peak takes `usd` off the month's demand and coincident charges."""

    month: str
    hours: float
    usd: float
    demand_usd: float
    first: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """A load in figures. peaks: (month, kW, when). duration: kW exceeded for shares of the time. day_types:
    mean kW by hour of working days, Saturdays, Sundays and holidays. above: (share of peak, kWh a year above,
    hours, longest stretch h). spike: the strongest recurring spike."""

    energy_kwh: float
    peak_kw: float
    mean_kw: float
    load_factor: float
    base_kw: float
    peaks: tuple[tuple[str, float, str], ...]
    duration: tuple[tuple[float, float], ...]
    day_types: dict[str, tuple[float, ...]]
    seasons: dict[str, float]
    above: tuple[tuple[float, float, float, float], ...]
    spike: Pattern | None
    bill_hours: tuple[BillHours, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "energy_kwh": self.energy_kwh,
            "peak_kw": self.peak_kw,
            "mean_kw": self.mean_kw,
            "load_factor": self.load_factor,
            "base_kw": self.base_kw,
            "peaks": [list(p) for p in self.peaks],
            "duration": [list(d) for d in self.duration],
            "day_types": {k: list(v) for k, v in self.day_types.items()},
            "seasons": self.seasons,
            "above": [list(a) for a in self.above],
            "spike": None if self.spike is None else self.spike.to_dict(),
            "bill_hours": [
                {
                    "month": b.month,
                    "hours": b.hours,
                    "usd": b.usd,
                    "demand_usd": b.demand_usd,
                    "first": list(b.first),
                }
                for b in self.bill_hours
            ],
        }


def profile(
    timeline: Timeline,
    kw: Kw,
    free_day: NDArray[np.bool_],
    *,
    terms: Sequence[Term] = (),
    spikes: bool = True,
) -> Profile:
    """Profile of a repaired load (n,). terms: of the tariff, for the hours that set the bill."""
    h, peak = timeline.step_h, float(kw.max())
    months = np.unique(timeline.month_id)
    peaks = []
    for m in months:
        mine = np.flatnonzero(timeline.month_id == m)
        k = int(mine[np.argmax(kw[mine])])
        peaks.append((str(np.datetime64(int(m), "M")), float(kw[k]), timeline.when(k).isoformat()))
    ordered = np.sort(kw)[::-1]
    shares = (0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
    above = []
    for share in (0.95, 0.9, 0.8, 0.7, 0.6, 0.5):
        over = kw > share * peak
        longest = max((n for _, n in _runs(over)), default=0)
        above.append(
            (share, float(np.maximum(kw - share * peak, 0).sum() * h), float(over.sum() * h), longest * h)
        )
    kinds = {
        "working day": ~free_day,
        "Saturday": timeline.weekday == 5,
        "Sunday or holiday": free_day & (timeline.weekday != 5),
    }
    day_types = {
        name: tuple(
            float(kw[mask & (timeline.hour == hour)].mean())
            if (mask & (timeline.hour == hour)).any()
            else 0.0
            for hour in range(24)
        )
        for name, mask in kinds.items()
        if mask.any()
    }
    seasons = {
        name: float(kw[np.isin(timeline.month, ms)].mean())
        for name, ms in {
            "winter": (12, 1, 2),
            "spring": (3, 4, 5),
            "summer": (6, 7, 8),
            "autumn": (9, 10, 11),
        }.items()
        if np.isin(timeline.month, ms).any()
    }
    return Profile(
        float(kw.sum() * h),
        peak,
        float(kw.mean()),
        float(kw.mean()) / peak if peak > 0 else 0.0,
        float(np.quantile(kw, 0.05)),
        tuple(peaks),
        tuple((s, float(ordered[min(kw.size - 1, int(s * kw.size))])) for s in shares),
        day_types,
        seasons,
        tuple(above),
        find(timeline, kw) if spikes else None,
        bill_hours(timeline, kw, terms),
    )


def bill_hours(
    timeline: Timeline, kw: Kw, terms: Sequence[Term], cut_frac: float = CUT_FRAC
) -> tuple[BillHours, ...]:
    """The fewest hours of each month that carry its demand dollars.

    For each demand window with billed peak P and price c, the intervals above (1 - cut) P must all be capped to
    take c cut P off the bill, and no other needs to be: their union over windows is the smallest set. Prices
    of coincident or critical-peak hours are taken by the interval.
    """
    month = timeline.month_id - timeline.month_id[0]
    needed = np.zeros((int(month[-1]) + 1, timeline.n), dtype=bool)
    usd, whole = np.zeros(needed.shape[0]), np.zeros(needed.shape[0])
    for t in terms:
        if (
            not isinstance(t, Payment)
            or t.measure.asset
            or t.measure.flow not in ("import", "net")
            or t.over != "max"
        ):
            continue
        for w in range(t.windows):
            mine = np.flatnonzero(t.window == w)
            if mine.size == 0:
                continue
            top = float(kw[mine].max())
            price = float(np.broadcast_to(np.asarray(t.blocks[-1].usd_per_unit, dtype=float), t.windows)[w])
            if top <= 0 or price <= 0:
                continue
            m = int(month[mine[np.argmax(kw[mine])]])
            hit = mine[kw[mine] > (1 - cut_frac) * top]
            needed[m, hit] = True
            usd[m] += price * cut_frac * top
            whole[m] += price * top
    out = []
    for m in range(needed.shape[0]):
        if whole[m] > 0:
            at = np.flatnonzero(needed[m])
            strongest = at[np.argsort(-kw[at])[:3]]
            out.append(
                BillHours(
                    str(np.datetime64(int(timeline.month_id[0]) + m, "M")),
                    at.size * timeline.step_h,
                    float(usd[m]),
                    float(whole[m]),
                    tuple(timeline.when(int(k)).isoformat() for k in np.sort(strongest)),
                )
            )
    return tuple(out)


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    from .repair import runs

    return runs(mask)
