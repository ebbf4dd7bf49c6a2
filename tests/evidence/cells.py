"""Site-years and rates on which policies are judged: real meters and DOE reference buildings, shipped tariffs.

A cell is a load, a rate and a battery of 30 % of the year's peak. The first month is there to learn from; the
eleven after it are settled, bound and policy alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import valuestack as vs
from valuestack.assets.battery import Battery
from valuestack.control import loop
from valuestack.control.policy import Policy
from valuestack.dispatch import Foresight, Series, View, World
from valuestack.site.files import find_tariff
from valuestack.stack.optimise import optimise
from valuestack.streams.retail.tariff_stream import TariffStream
from valuestack.timeline import Kw, Timeline

METERED = {
    "steel works": "load/steel_gwangyang_kr_2018_15min.parquet",
    "plant near Madison": "load/reopt_madison_wi_recast2018_15min.parquet",
}
RATES = (
    "pge-b-20-secondary",
    "sce-tou-8-d-under-2kv",
    "pge-b-19-secondary",
    "coned-sc-9-rate-iii-nyc",
    "sdge-al-tou-over-500kw",
    "fpl-gsldt-1",
    "tep-lgs-tou",
    "dominion-gs-3",
    "smud-ci-tod4-secondary",
    "ladwp-a-3-subtransmission",
    "aps-e-32-l-tou-secondary",
    "lipa-282-large-tou-secondary",
)
# The defaults of the policies, but for those named below, were set on these ten cells.
TUNED = (
    ("steel works", "pge-b-20-secondary", 2),
    ("plant near Madison", "sce-tou-8-d-under-2kv", 2),
    ("Hospital__Phoenix", "pge-b-19-secondary", 2),
    ("Supermarket__Houston", "sdge-al-tou-over-500kw", 2),
    ("LargeOffice__Seattle", "coned-sc-9-rate-iii-nyc", 2),
    ("PrimarySchool__Minneapolis", "pge-b-20-secondary", 2),
    ("RetailStore__Miami", "tep-lgs-tou", 2),
    ("LargeHotel__SanFrancisco", "fpl-gsldt-1", 4),
    ("Warehouse__Boulder", "dominion-gs-3", 4),
    ("MediumOffice__LasVegas", "sce-tou-8-d-under-2kv", 4),
)
# The defaults of the similar-day forecast were set on these, with both batteries.
SET_ON = (
    ("Warehouse__Seattle", "pge-b-20-secondary"),
    ("LargeHotel__Minneapolis", "sce-tou-8-d-under-2kv"),
    ("RetailStore__Albuquerque", "pge-b-19-secondary"),
    ("StripMall__Phoenix", "coned-sc-9-rate-iii-nyc"),
    ("Outpatient__Houston", "sdge-al-tou-over-500kw"),
    ("PrimarySchool__Seattle", "fpl-gsldt-1"),
    ("FullServiceRest__LosAngeles", "tep-lgs-tou"),
    ("LargeHotel__Seattle", "dominion-gs-3"),
    ("PrimarySchool__Boulder", "smud-ci-tod4-secondary"),
    ("MediumOffice__SanFrancisco", "ladwp-a-3-subtransmission"),
    ("Hospital__Houston", "aps-e-32-l-tou-secondary"),
    ("Supermarket__LasVegas", "lipa-282-large-tou-secondary"),
    ("Outpatient__Seattle", "pge-b-20-secondary"),
    ("Warehouse__Miami", "sce-tou-8-d-under-2kv"),
    ("MediumOffice__Atlanta", "pge-b-19-secondary"),
    ("Supermarket__Duluth", "coned-sc-9-rate-iii-nyc"),
    ("RetailStore__Fairbanks", "sdge-al-tou-over-500kw"),
    ("LargeOffice__Baltimore", "fpl-gsldt-1"),
    ("LargeOffice__Miami", "tep-lgs-tou"),
    ("StripMall__Duluth", "dominion-gs-3"),
    ("FullServiceRest__Albuquerque", "smud-ci-tod4-secondary"),
    ("Hospital__Minneapolis", "ladwp-a-3-subtransmission"),
    ("steel works", "pge-b-20-secondary"),
    ("steel works", "coned-sc-9-rate-iii-nyc"),
    ("plant near Madison", "sce-tou-8-d-under-2kv"),
    ("plant near Madison", "dominion-gs-3"),
)
BUILDINGS = (
    "Supermarket__LosAngeles",
    "Supermarket__Chicago",
    "Hospital__LosAngeles",
    "Hospital__Baltimore",
    "Warehouse__Chicago",
    "Warehouse__Atlanta",
    "LargeOffice__LosAngeles",
    "LargeOffice__Chicago",
    "MediumOffice__Houston",
    "MediumOffice__Helena",
    "RetailStore__LosAngeles",
    "RetailStore__Duluth",
    "StripMall__Albuquerque",
    "Outpatient__Atlanta",
    "PrimarySchool__Phoenix",
    "LargeHotel__Baltimore",
    "FullServiceRest__Chicago",
    "Outpatient__Fairbanks",
)
SITES = (*METERED, *BUILDINGS)
WARM_DAYS = 31
FACTS = vs.BillFacts(power_factor=0.9)


def cells(hours: tuple[int, ...] = (2, 4), each: int = 3) -> list[tuple[str, str, int]]:
    """Site, rate and hours of the battery: `each` rates a site, dealt in turn."""
    return [
        (site, RATES[(each * i + j) % len(RATES)], h)
        for i, site in enumerate(SITES)
        for j in range(each)
        for h in hours
    ]


def fresh(site: str, rate: str, hours: int) -> bool:
    """Whether no default was set on this cell."""
    return (site, rate, hours) not in TUNED and (site, rate) not in SET_ON


@lru_cache(maxsize=4)
def load_of(site: str, data: Path) -> tuple[Timeline, Kw]:
    """A year of quarter-hours. A building's hourly simulation is interpolated, with noise of 2 % that lasts
    (first-order autoregression, 0.8 a quarter-hour), seeded by the site's place in this file or its name."""
    import pandas as pd

    if site in METERED:
        kw = pd.read_parquet(data / METERED[site])["kw"].to_numpy(dtype=float)
        return Timeline(start="2018-01-01T00:00", step_h=0.25, n=kw.size, tz="Etc/GMT+8"), kw
    norm = pd.read_parquet(data / "doe_crb" / "doe_crb_electric_norm_8760.parquet", columns=[site])
    year = pd.read_csv(data / "doe_crb" / "doe_crb_annual_kwh.csv")
    building, city = site.split("__")
    kwh = float(year[(year.building == building) & (year.city == city)].annual_kwh.iloc[0])
    hourly = norm[site].to_numpy(dtype=float) * kwh
    n = 35040
    kw = np.interp(np.arange(n) / 4, np.arange(8760) + 0.375, hourly)
    rng = np.random.default_rng(sum(ord(c) for c in site))
    noise, shock = np.zeros(n), rng.normal(0, 0.02 * np.sqrt(1 - 0.8**2), n)
    for t in range(1, n):
        noise[t] = 0.8 * noise[t - 1] + shock[t]
    # The simulated year begins on a Sunday, as 2017 does.
    return Timeline(start="2017-01-01T00:00", step_h=0.25, n=n, tz="Etc/GMT+8"), kw * (1 + noise)


@dataclass(frozen=True, eq=False)
class Cell:
    """One cell, with the settled year's bill as a function of net load and the bound on it."""

    site: str
    rate: str
    hours: int
    timeline: Timeline
    kw: Kw
    battery: Battery
    terms: tuple[Any, ...]
    first: int
    usd: Callable[[Kw], float]
    nothing_usd: float
    bound_usd: float
    bound_kw: Kw

    def world(self, kw: Kw | None = None) -> World:
        return World(
            self.timeline, {"load_kw": Series("load_kw", self.kw if kw is None else kw, "kW", -0.25)}
        )

    def run(self, policy: Policy, **options: Any) -> Kw:
        """Net load of the settled months under a policy."""
        record = loop.run(self.world(), [self.battery], policy, self.terms, **options)
        return np.asarray(record.net_kw)[self.first :]

    def share(self, net_kw: Kw) -> float:
        """Share of the bound's saving that a net load keeps."""
        return (self.nothing_usd - self.usd(net_kw)) / (self.nothing_usd - self.bound_usd)

    def other(self, kw: Kw | None = None, first: int | None = None) -> Cell:
        """The same under another load, or settled from another interval on (the first of a month)."""
        load, begin = self.kw if kw is None else kw, self.first if first is None else first
        usd, nothing, bound, net = _settled(self.rate, self.timeline, load, self.battery, begin)
        return replace(
            self, kw=load, first=begin, usd=usd, nothing_usd=nothing, bound_usd=bound, bound_kw=net
        )

    def kept(self, policy: Policy, **options: Any) -> float:
        return self.share(self.run(policy, **options))


def cell(site: str, rate: str, hours: int, data: Path) -> Cell:
    """A cell with its bound computed."""
    timeline, kw = load_of(site, data)
    size = 0.3 * float(kw.max())
    battery = Battery(
        power_kw=size,
        energy_kwh=hours * size,
        soc_start_frac=0.5,
        charge_efficiency_frac=0.94,
        discharge_efficiency_frac=0.94,
    )
    tariff = vs.load_tariff(find_tariff(rate, Path()))
    terms = TariffStream(tariff, timeline, name="tariff", facts=FACTS).stated.terms
    first = WARM_DAYS * 96
    return Cell(
        site,
        rate,
        hours,
        timeline,
        kw,
        battery,
        tuple(terms),
        first,
        *_settled(rate, timeline, kw, battery, first),
    )


def _settled(
    rate: str, timeline: Timeline, kw: Kw, battery: Battery, first: int
) -> tuple[Callable[[Kw], float], float, float, Kw]:
    """Bill from `first` on, that of the load, that of the bound, and the bound's net load."""
    tariff = vs.load_tariff(find_tariff(rate, Path()))
    part = timeline.part(first, timeline.n - first)
    terms = TariffStream(tariff, part, name="tariff", facts=FACTS).stated.terms
    usd = tariff.compile(part, FACTS).total_usd
    mine = kw[first:]
    world = World(part, {"load_kw": Series("load_kw", mine, "kW", -0.25)})
    view = View(part, 0, part.n, Foresight(world), {battery.name: battery.initial_state()})
    best = np.asarray(optimise(part, mine, [battery.belief(view)], terms).net_kw)
    return usd, usd(mine), usd(best), best
