"""A generator that starts and stops, with a permit for so many hours a year of which some are used up.

Unit commitment with start variables: v[t] >= u[t] - u[t-1], minimum up time sum of recent starts <= u[t]
(Rajan and Takriti 2005); fuel = idle + convex pieces.
"""

from math import inf

from tests.kinds.case import Case, FlatRate, world
from valuestack.assets.generator import Generator
from valuestack.streams.resilience.permit import Permit
from valuestack.streams.stream import Place


def generator() -> Generator:
    """0.5 gal/h at zero load, 0.07 gal/kWh up to 40 kW and 0.09 beyond; 98 of 100 hours of its permit are used."""
    return Generator.model_validate(
        {
            "rated_kw": 60.0,
            "min_load_frac": 1 / 3,
            "permit": "non_emergency",
            "permit_h_per_y": 100.0,
            "used_h": 98.0,
            "min_up_h": 2.0,
            "start_usd": 2.0,
            "om_usd_per_h": 0.5,
            "fuel_usd_per_gal": 3.0,
            "fuel_curve": [
                {"kw": 0.0, "gal_per_h": 0.5},
                {"kw": 40.0, "gal_per_h": 3.3},
                {"kw": 60.0, "gal_per_h": 5.1},
            ],
        }
    )


def case() -> Case:
    made, where = generator(), world([80, 90, 85, 70])
    permit = Permit().bind(Place(where.timeline, [made], where, inf))
    return Case(where, [permit, FlatRate(usd_per_kwh=(0.5, 0.7, 0.9, 0.6))], [made])
