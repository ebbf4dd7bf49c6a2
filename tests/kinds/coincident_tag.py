"""A tag of five coincident peaks, two of which lie in these hours around midnight: a fifth of each at next year's
price, less what the nomination that follows from the tag earns above the firm level.

usd = 100 tag - 60 (tag - 5)+, tag = (m1 + m3) / 5
"""

from datetime import date

from tests.kinds.case import Case, FlatRate, PlainBattery, world
from valuestack.streams.grid.coincident_peak import CoincidentPeak


def case() -> Case:
    stream = CoincidentPeak(
        product="pjm-5cp",
        as_of=date(2018, 7, 1),
        peaks=("2018-07-02T23:00", "2018-07-03T01:00"),
        usd_per_kw_y=100.0,
        dr_usd_per_kw_y=60.0,
        firm_kw=5.0,
    )
    return Case(world([60, 50, 80, 70], start="2018-07-02T22:00"), [stream, FlatRate()], [PlainBattery()])
