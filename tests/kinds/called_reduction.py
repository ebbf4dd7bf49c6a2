"""Demand response that pays energy, a share of the capacity payment and charges what is missing, below a baseline
that is the mean of the day before: the plan's own first day stands in it. One test call a season, 12 hours.

usd = -0.5 clip(Q, 0, 120) - 20 clip(Q, 0, 120)/120 + 0.4 (120 - Q)+,  Q = 12 (net[1] - net[3]) kWh
"""

from datetime import date

from tests.kinds.case import Case, FlatRate, PlainBattery, world
from valuestack.streams.grid.baseline import Baseline, Selection
from valuestack.streams.grid.demand_response import DemandResponse
from valuestack.streams.grid.enrolment import Call
from valuestack.streams.grid.product import Product, ResponseRule, Source

NOMINATED_KW = 10.0


def product() -> Product:
    """A programme with every kind of payment."""
    return Product(
        name="test-programme",
        version="1",
        title="a programme",
        kind="demand_response",
        market="test",
        demand_response=ResponseRule(
            measure="baseline",
            baseline="caiso-10-of-10",
            energy="fixed",
            energy_usd_per_kwh=0.5,
            capacity="nomination",
            paid_upto_frac=1.0,
            shortfall=True,
        ),
        sources=(Source(figures=("demand_response",), source="written for this test", verified=True),),
    )


def stream() -> DemandResponse:
    """Called in the second half of Tuesday; the baseline is Monday's."""
    yesterday = Baseline(name="yesterday", weekday=Selection(take=1, of=1), source="by hand", verified=True)
    return DemandResponse(
        product=product(),
        as_of=date(2018, 7, 1),
        method=yesterday,
        events=(Call(start="2018-07-03T12:00", hours=12),),
        nomination_kw=NOMINATED_KW,
        forgo=True,
        capacity_usd_per_kw_month=31.0,
        shortfall_usd_per_kwh=0.4,
    )


def case() -> Case:
    # Two of July's 31 days are covered: 10 kW x 31 USD x 2/31 = 20 USD at full performance; the charge of a call in
    # which nothing is delivered, 0.4 x 120 kWh, is moved by no decision and stands in no term.
    return Case(
        world([40, 50, 45, 60], start="2018-07-02T00:00", step_h=12.0),
        [stream(), FlatRate(usd_per_kwh=(0.1, 0.2, 0.1, 0.2))],
        [PlainBattery(power_kw=10.0, energy_kwh=300.0, start_kwh=100.0)],
        fixed_usd=0.4 * NOMINATED_KW * 12.0,
    )
