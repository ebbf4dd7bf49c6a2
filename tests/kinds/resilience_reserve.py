"""A reserve of two hours of critical load, held in a battery and in the tank of an engine that may be sold.

Battery floor: E_low + share x asked / eta, asked = what the engine cannot give; fuel between trucks: the level at first
less the floor, then what a truck brings, at most what fits above the floor.
"""

from tests.kinds.case import Case, FlatRate, world
from valuestack.assets.battery import Battery
from valuestack.assets.generator import Generator
from valuestack.streams.resilience.reserve import Reserve
from valuestack.streams.stream import Place


def case() -> Case:
    # 70 kW of critical load against an engine of 60: 10 kW for 2 h are 20 kWh, 25 in store; the engine burns
    # 0.1 gal/kWh, 6 gal/h, so 12 gal stay in the tank: 18 may go at first, 10 after the truck.
    battery = Battery(
        power_kw=30.0, energy_kwh=60.0, soc_min_frac=0.1, soc_start_frac=1.0, soc_end_min_frac=0.1,
        charge_efficiency_frac=1.0, discharge_efficiency_frac=0.8, wear="none",
    )  # fmt: skip
    engine = Generator.model_validate(
        {
            "rated_kw": 60.0,
            "permit": "non_emergency",
            "fuel_usd_per_gal": 3.0,
            "fuel_curve": [{"kw": 0.0, "gal_per_h": 0.0}, {"kw": 60.0, "gal_per_h": 6.0}],
            "start_s": 0.0,
            "tank_gal": 30.0,
            "usable_tank_frac": 1.0,
            "refuelling": {"every_h": 2.0, "gal": 10.0},
        }
    )
    where = world([90, 100, 95, 80])
    reserve = Reserve.model_validate({"hours": 2.0, "critical": {"kw": 70.0}, "uninterrupted": False})
    bound = reserve.bind(Place(where.timeline, [battery, engine], where))
    return Case(where, [bound, FlatRate(usd_per_kwh=(0.5, 0.9, 0.8, 0.9))], [battery, engine])
