"""A price on avoided emissions at the margin, and offsets of what is drawn at the mean: two factors in one plan.

usd = -0.15 sum_t MER_t (load_t - net_t) + 0.04 x 0.5 sum_t AER_t import_t    ($150/t avoided, $40/t for half of it)
"""

import numpy as np

from tests.kinds.case import Case, FlatRate, PlainBattery, world
from valuestack.dispatch import Series, World
from valuestack.streams.environment.carbon import Carbon
from valuestack.streams.stream import Place


def case() -> Case:
    around = world([20, 60, 30, 40])
    series = {
        "marginal": Series("marginal", np.array([200.0, 1100.0, 50.0, 700.0]), "kg/MWh"),
        "average": Series("average", np.array([0.3, 0.4, 0.2, 0.5]), "kg/kWh"),
    }
    around = World(around.timeline, {**around.series, **series})
    assets = [PlainBattery()]
    carbon = Carbon(
        marginal_kg_per_kwh="marginal",
        average_kg_per_kwh="average",
        avoided_usd_per_t=150.0,
        offset_usd_per_t=40.0,
        offset_frac=0.5,
    ).bind(Place(around.timeline, assets, around))
    return Case(around, [carbon, FlatRate()], assets)
