"""Capacity of one battery: half of its unforced capacity is kept ready for two hours, and in an assessment what is
missing of it costs a rate a kWh. 80 kW x 0.5 = 40 kW; usd = 0.9 (40 kWh - discharge kWh)+ over one hour.
"""

from datetime import date

from tests.kinds.case import Case, FlatRate, PlainBattery, world
from valuestack.streams.grid.capacity import Capacity
from valuestack.streams.grid.enrolment import Call


def case() -> Case:
    # The price of standing ready is moved by no decision: 0.04 MW x 300 USD/MW day x 4/24 day = 2 USD, and the
    # assessment's charge with nothing delivered is 0.9 x 40 = 36 USD; neither stands in a term.
    stream = Capacity(
        product="pjm-capacity",
        as_of=date(2025, 7, 1),
        icap_kw=80.0,
        elcc_frac=0.5,
        usd_per_mw_day=300.0,
        assets=("battery",),
        assessments=(Call(start="2018-07-02T17:00", hours=1),),
        shortfall_usd_per_kwh=0.9,
        hold_frac=0.5,
        hold_h=2.0,
    )
    return Case(
        world([60, 50, 80, 70]),
        [stream, FlatRate(usd_per_kwh=(0.1, 0.3, 0.1, 0.2))],
        [PlainBattery()],
        fixed_usd=36.0 - 2.0,
    )
