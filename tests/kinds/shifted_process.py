"""A process that may stop for one or two hours and makes up what it lost in the two hours after, with a rebound.

u <= 1 if available, s = 40 u (all or nothing), r <= 40 (1 - u), b = 0.25 x 40 in the hour after a call
R_t <= S_(t-1), R_t >= S_(t-2), R = S at the end;  at most one call a day, 3 USD each, 0.02 USD per kWh shed
"""

from tests.kinds.case import Case, FlatRate, world
from valuestack.assets.flexible_load import FlexibleLoad


def case() -> Case:
    load = FlexibleLoad(
        name="mill",
        shed_kw=40.0,
        whole=True,
        max_duration_h=2.0,
        calls_per_day=1,
        recovery_frac=1.0,
        recovery_h=2.0,
        rebound_frac=0.25,
        rebound_h=1.0,
        usd_per_call=3.0,
        usd_per_kwh=0.02,
    )
    return Case(
        world([90, 100, 60, 40]), [FlatRate(usd_per_kwh=(0.3, 0.4, 0.1, 0.1), usd_per_kw=0.5)], [load]
    )
