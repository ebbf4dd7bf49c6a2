"""A cold store of two nodes by its own file: deviations from the set point, discretised exactly, linear in power.

x+ = Phi x + Gamma (f + k_less less - k_more more),  Phi = exp(A h),  Gamma = A^-1 (Phi - 1) / C_air
    bounds less a margin of 0.5 K;  what was borrowed is returned: C_air x_air + C_goods x_goods <= 0 at the end
"""

import numpy as np

from tests.kinds.case import Case, FlatRate, world
from valuestack.assets.thermal_load import ThermalLoad
from valuestack.dispatch import Series, World


def case() -> Case:
    store = ThermalLoad(
        name="freezer",
        ua_kw_per_k=1.0,
        air_kwh_per_k=20.0,
        product_ua_kw_per_k=5.0,
        product_kwh_per_k=100.0,
        setpoint_c=-20.0,
        air_min_c=-24.0,
        air_max_c=-17.0,
        product_min_c=-23.0,
        product_max_c=-18.0,
        compressor_kw=60.0,
        cop=2.0,
        cop_outdoor_c=30.0,
        margin_k=0.5,
    )
    plain = world([50, 50, 50, 50])
    series = {
        **plain.series,
        "temperature_c": Series("temperature_c", np.array([30.0, 30.0, 32.0, 32.0]), "C"),
    }
    return Case(
        World(plain.timeline, series), [FlatRate(usd_per_kwh=(0.1, 0.1, 0.5, 0.5), usd_per_kw=0.2)], [store]
    )
