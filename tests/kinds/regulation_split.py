"""Regulation up and down as two awards: each is paid kW x score x (capability + mileage ratio x performance), has its
own room and energy, and only the downward one is seen by the billed peak. Rules of the shipped product.
"""

from datetime import date

from tests.kinds.case import Case, FlatRate, PlainBattery, world
from valuestack.streams.grid.regulation import Leg, Regulation


def case() -> Case:
    # The billed peak under calls, and wear of called energy, are expectations, not settlements.
    up = Leg(capability_usd_per_kw_h=0.03, performance_usd_per_kw_h=0.004, mileage_ratio=1.5)
    down = Leg(capability_usd_per_kw_h=0.01)
    stream = Regulation(
        as_of=date(2026, 11, 1),
        assets=("battery",),
        up=up,
        down=down,
        score_frac=0.9,
        signal_up_frac=0.1,
        signal_down_frac=0.2,
        exposure_frac=0.5,
        aggregated=True,
        price_haircut_frac=0.1,
    )
    return Case(
        world([60, 50, 80, 70]),
        [stream, FlatRate(usd_per_kw=2.0, exact=False)],
        [PlainBattery(wear_usd_per_kwh=0.0)],
    )
