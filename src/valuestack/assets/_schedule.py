"""What assets that follow a clock have in common: windows of hours, a series from a file, a typical year."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import DataError
from ..timeline import Ints, Kw, Timeline

Mask = NDArray[np.bool_]
ALL_MONTHS = tuple(range(1, 13))


class Window(BaseModel):
    """Clock hours [from_h, until_h) on some days and in some months; from_h above until_h runs past midnight.

    days: 'all', 'weekdays' (Monday to Friday; a site's holidays are not known to an asset) or 'weekends'.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    days: Literal["all", "weekdays", "weekends"] = "all"
    from_h: float = Field(default=0.0, ge=0, lt=24)
    until_h: float = Field(default=24.0, gt=0, le=24)
    months: tuple[int, ...] = ALL_MONTHS

    @model_validator(mode="after")
    def _sane(self) -> Window:
        if self.from_h == self.until_h:
            raise ValueError(f"from_h and until_h are both {self.from_h:g}; a window has a length")
        if not self.months or any(not 1 <= m <= 12 for m in self.months):
            raise ValueError(f"months: {list(self.months)} should be calendar months 1..12")
        return self

    def mask(self, timeline: Timeline) -> Mask:
        """True where an interval starts in the window, (n,). After midnight the day is that of the morning."""
        minute = timeline.minute_of_day
        after, until = minute >= self.from_h * 60, minute < self.until_h * 60
        found = after & until if self.from_h < self.until_h else after | until
        found &= np.isin(timeline.month, self.months)
        if self.days != "all":
            found &= (timeline.weekday >= 5) == (self.days == "weekends")
        return found


class HeatWindow(Window):
    """Heat let into a cold store in a window: heat_kw [thermal kW] of doors, people, product or process."""

    heat_kw: float = Field(ge=0)


def heat_kw(windows: Sequence[HeatWindow], timeline: Timeline) -> Kw:
    """Sum of the heat of all windows, (n,)."""
    total = np.zeros(timeline.n)
    for w in windows:
        total = total + w.heat_kw * w.mask(timeline)
    return total


class IntervalFile:
    """A file of power by interval, read like a meter file: local starts in, values on any timeline out.

    Errors: DataError where the file holds another quantity, too little, or not every interval asked for.
    """

    def __init__(self, name: str, path: str, flows: tuple[str, ...]) -> None:
        from ..sources.source import read_meter

        self.name, self.path = name, path
        table = read_meter(path)
        channel = next((c for c in table.channels if c.flow in flows), table.channels[0])
        if channel.quantity not in ("kw", "kwh", "unknown"):
            raise DataError(
                f"{name}: {path} holds {channel.quantity}; power is needed in kW or kWh by interval"
            )
        labels = np.unique(channel.label_s)
        if labels.size < 2:
            raise DataError(f"{name}: {path} holds {labels.size} readings; a series is needed")
        self.clock, self.step_s = channel.clock, int(np.median(np.diff(labels)))
        value = channel.value * (3600 / self.step_s) if channel.quantity == "kwh" else channel.value
        start = channel.label_s - (self.step_s if channel.label == "end" else 0)
        # What is no number is missing, not zero: the timeline that needs it says so.
        there = np.isfinite(value)
        self.by_start: dict[int, float] = dict(
            zip((start[there] // self.step_s).tolist(), value[there].tolist(), strict=True)
        )

    def on(self, timeline: Timeline) -> Kw:
        """Mean power of every interval [kW], (n,)."""
        step_s, name, path = self.step_s, self.name, self.path
        if step_s % timeline.step_s and timeline.step_s % step_s:
            raise DataError(
                f"{name}: {path} has {step_s // 60}-minute values, the meter {timeline.step_s // 60}"
            )
        second = timeline.utc_s if self.clock == "utc" else timeline.local_s
        rows: list[Any]
        if step_s < timeline.step_s:
            parts = [
                [self.by_start.get((int(s) + j) // step_s) for j in range(0, timeline.step_s, step_s)]
                for s in second
            ]
            rows = [
                None if any(v is None for v in p) else float(np.mean([v or 0.0 for v in p])) for p in parts
            ]
        else:
            rows = [self.by_start.get(int(s) // step_s) for s in second]
        missing = [k for k, v in enumerate(rows) if v is None]
        if missing:
            raise DataError(
                f"{name}: {path} has no value for {timeline.when(missing[0]).isoformat()} "
                f"({len(missing)} intervals lack one); complete the file"
            )
        return np.array(rows, dtype=float)


def outdoors_c(
    name: str, timeline: Timeline, known: Kw | None, weather: str | None, constant_c: float | None
) -> Kw:
    """Outdoor temperature, (n,): as the site knows it, else of a weather file's typical year, else one number.
    DataError where an asset `name` has none of them."""
    if known is not None:
        return np.asarray(known, dtype=float)
    if weather is not None:
        from ..sources.weather import Weather

        year = Weather().fetch(weather)
        return typical_year(year.temp_c, year.step_h, year.utc_offset_h, timeline)
    if constant_c is not None:
        return np.full(timeline.n, constant_c)
    raise DataError(
        f"{name}: no outdoor temperature is known; give the site a series temperature_c, or the asset "
        "weather or outdoor_c"
    )


def typical_year(values: Kw, step_h: float, utc_offset_h: float, timeline: Timeline) -> Kw:
    """A typical year laid on a timeline's dates in standard time, (n,); 29 February takes the 28th's values."""
    standard = timeline.utc_s + round(utc_offset_h * 3600)
    day = (standard // 86400).astype("datetime64[D]")
    of_year = (day - day.astype("datetime64[Y]")).astype(np.int64)
    years: Ints = day.astype("datetime64[Y]").astype(int) + 1970
    leap = (years % 4 == 0) & ((years % 100 != 0) | (years % 400 == 0))
    of_year = np.where(leap & (of_year >= 59), of_year - 1, of_year)
    at = (of_year * 24 + (standard % 86400) / 3600) / step_h
    return np.asarray(values[np.minimum(at.astype(np.int64), values.size - 1)])
