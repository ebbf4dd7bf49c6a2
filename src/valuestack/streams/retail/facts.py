"""What a bill needs beyond the meter: power factor, events, system peaks, prices, holidays, history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import numpy as np

from ...errors import InputError
from ...timeline import Kw, Timeline, epoch_s, localise


@dataclass(frozen=True, slots=True, eq=False)
class BillFacts:
    """Facts that no meter reading holds; all optional, and what a tariff needs and lacks is named.

    power_factor: average power factor 0..1, one number or (n,), where kvar is not metered. cpp_events:
    dates, start times or (start, end) pairs of critical-peak events; () says that there were none.
    coincident_hours: start times of the hours of system peak. prices: (n,) USD/kWh for hourly pricing, by
    name where a tariff has several ('energy'). holidays: dates that are billed like a weekend.
    generation_kw: (n,) gross generation for buy-all-sell-all. more: further named facts of other items.
    """

    power_factor: float | Kw | None = None
    cpp_events: Sequence[Any] | None = None
    coincident_hours: Sequence[Any] | None = None
    prices: Kw | Mapping[str, Kw] | None = None
    holidays: Iterable[date] | None = None
    generation_kw: Kw | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        pf = self.power_factor
        if pf is not None:
            values = np.atleast_1d(np.asarray(pf, dtype=float))
            if not np.all((values > 0) & (values <= 1)):
                raise InputError(f"facts.power_factor: {pf!r} is not between 0 and 1; 90 % is written 0.90")

    def hours_mask(self, name: str, timeline: Timeline) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """True in the clock hours named by `coincident_hours`, (n,)."""
        mask = np.zeros(timeline.n, dtype=np.bool_)
        per_hour = max(1, round(1 / timeline.step_h))
        for when in getattr(self, name) or ():
            start = (
                localise(when, timeline.tz, where=f"facts.{name}")
                if isinstance(when, (str, datetime))
                else None
            )
            if start is None:
                raise InputError(f"facts.{name}: {when!r} is not a time; write it like 2018-07-24T16:00")
            k = (epoch_s(start) - epoch_s(timeline.start)) // timeline.step_s
            if 0 <= k < timeline.n:
                mask[k : k + per_hour] = True
        return mask


@dataclass(frozen=True, slots=True)
class History:
    """Peaks of cycles before the span, for ratchets: month 'YYYY-MM' -> kW."""

    peak_kw: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, history: Any) -> History:
        """From None, a History, a mapping month -> kW, or rows with `month` and `peak_kw`."""
        if history is None:
            return cls()
        if isinstance(history, History):
            return history
        rows = (
            history.items()
            if isinstance(history, Mapping)
            else [(r["month"], r["peak_kw"]) if isinstance(r, Mapping) else (r[0], r[1]) for r in history]
        )
        out, problems = {}, []
        for month, kw in rows:
            key = month.strftime("%Y-%m") if isinstance(month, date) else str(month)[:7]
            try:
                np.datetime64(key, "M")
            except ValueError:
                problems.append(f"{month!r} is not a month; write it like 2017-07")
                continue
            if not float(kw) >= 0:
                problems.append(f"{key}: {kw!r} kW should be 0 or more")
                continue
            out[key] = float(kw)
        if problems:
            raise InputError.collect("history", problems)
        return cls(out)

    def kw(self, month_id: int) -> float | None:
        """Peak of the month numbered since 1970, or None."""
        return self.peak_kw.get(str(np.datetime64(int(month_id), "M")))
