"""Sites of a few hours on which resilience is tried."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np

from valuestack.assets.battery import Battery
from valuestack.assets.generator import Generator
from valuestack.dispatch import Record, Series, World
from valuestack.streams.stream import Place
from valuestack.timeline import Kw, Timeline


def place(
    load_kw: Sequence[float] | Kw,
    assets: Sequence[object],
    *,
    step_h: float = 1.0,
    start: str = "2021-01-01T00:00",
    import_limit_kw: float = inf,
    **series: Kw,
) -> Place:
    load = np.asarray(load_kw, dtype=float)
    t = Timeline(start=start, step_h=step_h, n=load.size, tz="UTC")
    every = {"load_kw": load, **series}
    world = World(t, {k: Series(k, v, "kW") for k, v in every.items()})
    return Place(t, assets, world, import_limit_kw)


def engine(**more: object) -> Generator:
    """One engine of 100 kW that burns 0.1 gal/kWh and starts at once."""
    values = {
        "rated_kw": 100.0,
        "permit": "emergency",
        "start_s": 0.0,
        "common_cause_frac": 0.0,
        "fuel_curve": [{"kw": 0, "gal_per_h": 0}, {"kw": 100, "gal_per_h": 10}],
        "usable_tank_frac": 1.0,
    } | more
    if "tank_gal" not in more:
        values.pop("usable_tank_frac")
    return Generator.model_validate(values)


def battery(power_kw: float = 50.0, energy_kwh: float = 200.0, **more: object) -> Battery:
    values = {
        "power_kw": power_kw, "energy_kwh": energy_kwh, "soc_min_frac": 0.0,
        "charge_efficiency_frac": 1.0, "discharge_efficiency_frac": 0.8,
    } | more  # fmt: skip
    return Battery.model_validate(values)


def record(where: Place, stored_kwh: float | Kw | None = None, output_kw: float | Kw = 0.0) -> Record:
    """A record in which the battery holds what it holds and the engine runs as told."""
    n, power, stored = where.timeline.n, {}, {}
    for a in where.assets:
        if isinstance(a, Battery):
            stored[a.name] = np.broadcast_to(np.asarray(stored_kwh, dtype=float), (n,)).copy()
            power[a.name] = np.zeros(n)
        else:
            power[a.name] = -np.broadcast_to(np.asarray(output_kw, dtype=float), (n,)).copy()
    net = where.world["load_kw"] + sum(power.values())
    return Record(where.timeline, net, asset_kw=power, stored_kwh=stored)
