"""Low carbon fuel credits of a fleet's own store: each kWh charged earns by the carbon intensity of its hour, and what
is given back to the site has driven nothing.

usd_t = -60 (75.16 x 3.4 - CI_t) x 3.6e-6 x (charge_t - discharge_t)       (gasoline benchmark of 2026, EER 3.4)
"""

import numpy as np

from tests.kinds.case import Case, FlatRate, PlainBattery, world
from valuestack.dispatch import Series, World
from valuestack.streams.environment.lcfs import Lcfs
from valuestack.streams.stream import Place


def case() -> Case:
    around = world([20, 20, 20, 20], start="2026-07-01T10:00")
    intensity = Series("intensity", np.array([140.0, 30.0, 60.0, 90.0]), "g/MJ")
    around = World(around.timeline, {**around.series, "intensity": intensity})
    fleet = PlainBattery(name="fleet", start_kwh=10.0)
    lcfs = Lcfs(
        use="light_duty", asset="fleet", vehicles=True, usd_per_credit=60.0, ci_g_per_mj="intensity"
    ).bind(Place(around.timeline, [fleet], around))
    return Case(around, [lcfs, FlatRate()], [fleet])
