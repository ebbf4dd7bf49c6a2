"""Days alike are those of the same wall clock, also across a change of it, and at every length of interval."""

from __future__ import annotations

import numpy as np
import pytest

from valuestack.assets.battery import Battery
from valuestack.control import loop
from valuestack.control.clock_kernel import days_back
from valuestack.control.demand import clock
from valuestack.control.dynamic import Dynamic
from valuestack.control.policy import Policy
from valuestack.control.threshold import Threshold
from valuestack.dispatch import Series, World
from valuestack.terms import Block, Measure, Payment, Term
from valuestack.timeline import Kw, Timeline


@pytest.mark.parametrize("step_h", [1 / 12, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("start", ["2021-03-10T00:00", "2021-11-03T00:00"])
def test_the_same_clock_time_some_days_ago(step_h: float, start: str) -> None:
    t = Timeline(start=start, step_h=step_h, n=round(9 * 24 / step_h), tz="America/Los_Angeles")
    slot, _ = clock(t)
    per_day = round(24 / step_h)
    strange = 0
    for k in range(per_day, t.n):
        for d in (1, 2, 3):
            then = days_back(k, d, slot, per_day)
            if then < 0:
                assert k < d * per_day + round(1 / step_h)
                continue
            assert then < k
            same = slot[then] == slot[k] and t.day[then] == t.day[k] - d
            # The hour that one of the two days lacks has no counterpart; the nearest hour stands in.
            strange += not same
            assert same or abs(int(t.utc_s[k] - t.utc_s[then]) - d * 86400) <= 3600
    assert strange <= 3 * 2 * round(1 / step_h)


def plant(tz: str) -> tuple[World, list[Term], Battery]:
    """The same plant by its own clock, heats by the hour, where the clock changes in the middle and where not."""
    t = Timeline(
        start="2021-02-15T00:00", step_h=0.25, n=96 * 44 - (4 if tz == "America/Los_Angeles" else 0), tz=tz
    )
    works = (t.weekday < 5) & (t.hour >= 6) & (t.hour < 22)
    heat = (t.minute_of_day // 15) % 5 < 2
    kw: Kw = 140.0 + 420.0 * works + 900.0 * (works & heat)
    terms: list[Term] = [
        Payment("u", "flat", Measure("import"), "max", t.month_id - t.month_id[0], (Block(np.inf, 20.0),))
    ]
    battery = Battery(power_kw=450, energy_kwh=900, round_trip_efficiency_frac=0.9, soc_start_frac=1.0)
    return World(t, {"load_kw": Series("load_kw", kw, "kW", -0.25)}), terms, battery


@pytest.mark.slow
@pytest.mark.parametrize("policy", [Threshold(), Dynamic()], ids=["threshold", "dynamic"])
def test_a_change_of_the_clock_sets_no_peak(policy: Policy) -> None:
    """A plant that does the same each working day is held at the same level after the change as without one."""
    peaks = []
    for tz in ("America/Los_Angeles", "America/Phoenix"):
        world, terms, battery = plant(tz)
        record = loop.run(world, [battery], policy, terms)
        march = world.timeline.month == 3
        peaks.append(float(record.net_kw[march].max()))
    assert peaks[0] == pytest.approx(peaks[1], rel=0.01), peaks
