"""Voltage support by a deal with the utility: kvar h that the inverter supplies against the site's own, up to 20 kvar,
in two of four hours, at 0.05 USD/kvar h.
"""

from datetime import date

from tests.kinds.case import Case, FlatRate, PlainBattery, world
from valuestack.streams.grid.bilateral import Bilateral, Voltage
from valuestack.streams.grid.product import Window


def case() -> Case:
    stream = Bilateral(
        source="a contract written for this test",
        valid_from=date(2018, 1, 1),
        voltage=Voltage(kvar=20.0, usd_per_kvar_h=0.05, windows=(Window(from_h=16, to_h=18),)),
    )
    return Case(
        world([60, 50, 80, 70], load_kvar=[30, 25, 40, 35]),
        [stream, FlatRate()],
        [PlainBattery(inverter_kva=60.0)],
    )
