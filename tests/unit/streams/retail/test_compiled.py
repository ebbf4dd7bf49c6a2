"""The compiled bill is the bill, and says why where it goes the general way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import valuestack as vs
from tests.oracle.random_tariffs import random_load, random_tariff
from valuestack.errors import InputError
from valuestack.streams.retail.tariff import shipped_tariffs

from .written import demand, energy, hours, tariff, tiers

T = hours(92, "2018-05-01T00:00", step_h=0.5)
YEAR = vs.Timeline(start="2018-01-01T00:00", step_h=1.0, n=8760, tz="America/Los_Angeles")
FACTS = vs.BillFacts(
    power_factor=0.9, cpp_events=["2018-07-10", "2018-08-02"], prices=np.linspace(0.02, 0.11, 8760),
    coincident_hours=[f"2018-{m:02}-15T16:00" for m in range(1, 13)],
    more={"capacity_kw": 300.0, "transmission_kw": 250.0},
)  # fmt: skip


def same(compiled: Any, timeline: vs.Timeline, loads: list[Any], **known: Any) -> None:
    for kw in loads:
        expected = vs.bill(compiled.tariff, timeline, kw, **known).total_usd
        assert compiled.total_usd(kw) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("name", shipped_tariffs())
def test_every_shipped_tariff(name: str) -> None:
    compiled = vs.load_tariff(name).compile(YEAR, FACTS)
    rng = np.random.default_rng(3)
    same(compiled, YEAR, [5 * random_load(rng, 8760), random_load(rng, 8760, exporting=True)], facts=FACTS)
    assert compiled.fast or compiled.why


def test_sixty_random_tariffs() -> None:
    fast = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        data, history = random_tariff(rng), {"2018-04": 180.0, "2017-08": 260.0}
        rate = vs.load_tariff(data)
        compiled = rate.compile(T, history=history)
        same(
            compiled, T, [s * random_load(rng, T.n, seed % 2 == 0) for s in (0.2, 1.0, 7.0)], history=history
        )
        fast += compiled.fast
        assert compiled.fast or compiled.why
    assert fast >= 40, "most ordinary tariffs are compiled"


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ([energy(0.1), {"kind": "reactive", "usd_per_kvar": 0.5}], ""),
        ([energy(0.1, metering="net_hourly")], "within the hour"),
        ([{"kind": "power_factor", "method": "average", "floor_frac": 0.95, "share_per_point": 0.01}, demand(9.0)],
         "settled only"),
        ([demand(9.0, sliding=True, window_min=60)], "slides"),
    ],
)  # fmt: skip
def test_what_terms_cannot_say_goes_the_general_way(items: list[Any], why: str) -> None:
    facts = vs.BillFacts(power_factor=np.linspace(0.8, 0.95, T.n))
    rng = np.random.default_rng(0)
    compiled = tariff(*items).compile(T, facts)
    assert not compiled.fast and compiled.why and why in compiled.why
    same(compiled, T, [random_load(rng, T.n, True)], facts=facts)


def test_net_metering_is_compiled_until_a_cycle_feeds_in_more_than_it_draws() -> None:
    compiled = tariff(energy(0.1, metering="net")).compile(T)
    rng = np.random.default_rng(0)
    fed = random_load(rng, T.n)
    fed[T.month == 6] = -50.0
    same(compiled, T, [fed, -fed, random_load(rng, T.n, True)])


def test_many_loads_and_bad_ones() -> None:
    compiled = tariff(energy(periods=tiers((0.1, 900.0), (0.2, None))), demand(10.0)).compile(T)
    assert compiled.fast
    rows = np.random.default_rng(1).random((3, T.n)) * 50
    assert compiled.totals_usd(rows) == pytest.approx([compiled.total_usd(r) for r in rows])
    with pytest.raises(InputError, match="net_kw"):
        compiled.total_usd(np.zeros(5))
    spoiled = rows[0].copy()
    spoiled[9] = np.nan
    with pytest.raises(InputError, match="nan at 2018-05-01T04:30"):
        compiled.total_usd(spoiled)
