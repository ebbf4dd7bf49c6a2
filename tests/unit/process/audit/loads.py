"""Site-years for the audit: seeded plants of many trades, and real or simulated years laid on the wall clock."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from valuestack.sources.source import Channel, MeterTable
from valuestack.timeline import Ints, Kw, Timeline

TRADES = ("office", "shop", "school", "two shifts", "cold store", "foundry", "hotel", "data hall")


@dataclass(frozen=True, eq=False)
class SiteYear:
    """A complete year without a fault: power on its timeline."""

    name: str
    timeline: Timeline
    kw: Kw

    @property
    def step_s(self) -> int:
        return self.timeline.step_s

    @property
    def per_day(self) -> int:
        return 86400 // self.step_s

    @property
    def tz(self) -> str:
        return self.timeline.tz


def channel(
    label_s: Ints,
    value: Kw,
    *,
    quantity: str = "kw",
    clock: str = "utc",
    flow: str = "delivered",
    label: str = "start",
    duration_s: Ints | None = None,
    quality: Ints | None = None,
) -> Channel:
    return Channel(
        "meter",
        flow,  # type: ignore[arg-type]
        quantity,  # type: ignore[arg-type]
        label_s,
        clock,  # type: ignore[arg-type]
        label,  # type: ignore[arg-type]
        value,
        duration_s,
        quality,
    )


def table(*channels: Channel, file: str = "meter.csv", tz: str | None = None) -> MeterTable:
    return MeterTable(file, channels, {}, tz)


def read(site: SiteYear) -> MeterTable:
    """The year as a faultless file."""
    return table(channel(site.timeline.utc_s, site.kw))


def synthetic(
    trade: str,
    seed: int,
    *,
    step_h: float = 0.25,
    tz: str = "America/Chicago",
    year: int = 2019,
    years: int = 1,
) -> SiteYear:
    """One plant of a trade for whole local years, (n,) kW: hours of business, weather, people, machines.

    Noise has the size that meters of such plants show (3 to 12 % from quarter-hour to quarter-hour); values are
    rounded to what a meter with a transformer counts, so that idle stretches repeat honestly.
    """
    rng = np.random.default_rng([seed, TRADES.index(trade)])
    first = Timeline(start=f"{year}-01-01T00:00", step_h=step_h, n=1, tz=tz).start
    last = Timeline(start=f"{year + years}-01-01T00:00", step_h=step_h, n=1, tz=tz).start
    n = round((last.timestamp() - first.timestamp()) / 3600 / step_h)
    t = Timeline(start=first, step_h=step_h, n=n, tz=tz)
    hour = t.local_s % 86400 / 3600 + step_h / 2
    day = t.day - t.day[0]
    free = t.weekday >= 5
    season = np.cos(2 * np.pi * (day - 200) / 365.25)
    daily = np.repeat(rng.normal(0, 0.06, int(day[-1]) + 2), 1)[day]
    weather = _slow(rng, n, step_h, 60.0) * 0.15 + 0.5 + 0.5 * season
    cool = np.clip(weather, 0, None) * (0.55 + 0.45 * np.cos(2 * np.pi * (hour - 15.5) / 24))
    size = float(np.exp(rng.uniform(np.log(60), np.log(2500))))
    noise = rng.normal(0, 1, n)

    def open_(a: float, b: float, ramp: float = 1.0) -> Kw:
        return np.clip(np.minimum(hour - a, b - hour) / ramp + 0.5, 0, 1)

    start = rng.uniform(6, 9)
    if trade == "office":
        shape = (
            0.25 + np.where(free, 0.06, 0.75 + daily) * open_(start, start + 11) + 0.35 * cool * open_(5, 20)
        )
        shape = shape * (1 + 0.03 * noise)
    elif trade == "shop":
        late = np.where(t.weekday == 6, 18.0, 21.0)
        shape = (
            0.22 + (0.7 + daily) * np.clip(np.minimum(hour - start - 1, late - hour) + 0.5, 0, 1) + 0.4 * cool
        )
        shape = shape * (1 + 0.04 * noise)
    elif trade == "school":
        away = np.isin(t.month, (7,)) | ((t.month == 12) & (day % 31 > 20))
        shape = 0.2 + np.where(free | away, 0.05, 0.8 + daily) * open_(start - 1, 16) + 0.2 * cool
        shape = shape * (1 + 0.05 * noise)
    elif trade == "two shifts":
        shape = 0.18 + np.where(free, 0.05, 0.9 + daily) * open_(5.5, 22, 0.5) + 0.12 * cool
        shape = shape * (1 + 0.07 * noise)
    elif trade == "cold store":
        shape = 0.5 + 0.45 * cool + 0.35 * (np.sin(2 * np.pi * t.utc_s / 3600 / rng.uniform(0.8, 1.6)) > 0.2)
        shape = shape * (1 + 0.04 * noise)
    elif trade == "foundry":
        on = (np.where(t.weekday == 6, 0.0, 1.0) + daily) * open_(6, 22, 0.5)
        shape = 0.12 + 0.15 * on + 0.8 * on * rng.beta(0.7, 0.9, n)
    elif trade == "hotel":
        two = np.exp(-0.5 * ((hour - 7.5) / 1.5) ** 2) + np.exp(-0.5 * ((hour - 20) / 2.5) ** 2)
        shape = 0.45 + 0.3 * two + 0.35 * cool + daily
        shape = shape * (1 + 0.06 * noise)
    else:
        shape = 0.9 + 0.06 * cool + 0.02 * _slow(rng, n, step_h, 200.0)
        shape = shape * (1 + 0.01 * noise)
    grain = size * float(rng.choice((1e-4, 1e-3, 4e-3)))
    kw = np.round(np.clip(size * shape, 0.02 * size, None) / grain) * grain
    return SiteYear(f"{trade} {seed} {60 * step_h:g} min", t, np.round(kw, 6))


def _slow(rng: np.random.Generator, n: int, step_h: float, every_h: float) -> Kw:
    knots = rng.normal(0, 1, int(n * step_h / every_h) + 3)
    return np.interp(np.arange(n) * step_h / every_h, np.arange(knots.size), knots)


def on_wall_clock(name: str, kw: Kw, year: int, tz: str, step_s: int) -> SiteYear:
    """Values of local clock slots of a whole year laid on a zone: its spring hour is dropped, its autumn hour
    comes twice, as a plant that lives by the clock would have been metered."""
    first = Timeline(start=f"{year}-01-01T00:00", step_h=step_s / 3600, n=1, tz=tz).start
    last = Timeline(start=f"{year + 1}-01-01T00:00", step_h=step_s / 3600, n=1, tz=tz).start
    n = round((last.timestamp() - first.timestamp()) / step_s)
    t = Timeline(start=first, step_h=step_s / 3600, n=n, tz=tz)
    at = (t.local_s - t.local_s[0]) // step_s
    return SiteYear(name, t, kw[np.minimum(at, kw.size - 1)])


def real(data_dir: Path) -> list[SiteYear]:
    """The steel works (its one zero row filled) and the plant near Madison, on a clock that changes."""
    import pandas as pd

    steel = pd.read_parquet(data_dir / "load" / "steel_gwangyang_kr_2018_15min.parquet")["kw"].to_numpy(
        float, copy=True
    )
    k = np.flatnonzero(steel == 0)
    steel[k] = (steel[k - 1] + steel[k + 1]) / 2
    plant = pd.read_parquet(data_dir / "load" / "reopt_madison_wi_recast2018_15min.parquet")["kw"].to_numpy(
        float, copy=True
    )
    return [
        on_wall_clock("steel works", steel, 2018, "America/New_York", 900),
        on_wall_clock("plant near Madison", plant, 2018, "America/Chicago", 900),
    ]


def reference_buildings(data_dir: Path, step_s: int = 3600, every: int = 1, first: int = 0) -> list[SiteYear]:
    """DOE's commercial reference buildings of 2017 (simulated): labels are standard time, people live by the
    clock. step_s = 900: straight lines between hours, with 1 % of seeded scatter, which no hourly year has."""
    import pandas as pd

    shares = pd.read_parquet(data_dir / "doe_crb" / "doe_crb_electric_norm_8760.parquet")
    sizes = pd.read_csv(data_dir / "doe_crb" / "doe_crb_annual_kwh.csv")
    annual = {f"{b}__{c}": k for b, c, k in zip(sizes.building, sizes.city, sizes.annual_kwh, strict=True)}
    start = Timeline(start="2017-01-01T00:00", step_h=step_s / 3600, n=1, tz="America/Chicago").start
    t = Timeline(start=start, step_h=step_s / 3600, n=8760 * 3600 // step_s, tz="America/Chicago")
    out = []
    for j, name in enumerate(list(shares.columns)[first::every]):
        kw = shares[name].to_numpy(float) * annual[name]
        if step_s < 3600:
            per = 3600 // step_s
            mid = (np.arange(8760 * per) + 0.5) / per - 0.5
            scatter = np.random.default_rng(j).normal(1, 0.01, mid.size)
            kw = np.interp(mid, np.arange(8760), kw) * scatter
        out.append(SiteYear(f"{name} {step_s // 60} min", t, np.round(kw, 4)))
    return out
