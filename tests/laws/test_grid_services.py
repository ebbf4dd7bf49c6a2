"""Laws of grid services in one plan: headroom is not promised twice, money stated is money settled, and an optional
service never makes the plan dearer. Shipped products, random loads, prices and batteries, quarter-hours."""

from __future__ import annotations

from datetime import date
from math import fsum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kinds.case import FlatRate, PlainBattery, metered
from valuestack.dispatch import Foresight, Series, View, World
from valuestack.stack.optimise import Schedule, optimise_view
from valuestack.streams.grid.demand_response import DemandResponse
from valuestack.streams.grid.enrolment import Call
from valuestack.streams.grid.regulation import Leg, Regulation
from valuestack.timeline import Timeline

N = 24
SUSTAIN_H = 0.5


def draw(seed: int) -> tuple[World, PlainBattery, FlatRate]:
    rng = np.random.default_rng(seed)
    t = Timeline(start="2026-06-16T13:00", step_h=0.25, n=N, tz="America/Los_Angeles")
    series = {
        "load_kw": (rng.uniform(150, 300, N), "kW"),
        "up_price": (rng.uniform(0, 0.05, N), "USD/kWh"),
        "down_price": (rng.uniform(0, 0.05, N), "USD/kWh"),
        "score": (rng.uniform(0.2, 1.0, N), ""),
    }
    w = World(t, {k: Series(k, v, unit) for k, (v, unit) in series.items()})
    battery = PlainBattery(power_kw=60.0, energy_kwh=120.0, start_kwh=60.0, wear_usd_per_kwh=0.01)
    tariff = FlatRate(usd_per_kwh=rng.uniform(0.05, 0.4, N), usd_per_kw=float(rng.uniform(0, 3)), exact=False)
    return w, battery, tariff


def regulation(seed: int, share: tuple[str, ...] = ()) -> Regulation:
    leg = Leg(capability_usd_per_kw_h="up_price", performance_usd_per_kw_h=0.002, mileage_ratio=3.0)
    common: dict[str, Any] = {
        "as_of": date(2026, 7, 1),
        "assets": ("battery",),
        "score_frac": "score",
        "aggregated": True,
        "sustain_h": SUSTAIN_H,
        "signal_up_frac": 0.05,
        "signal_down_frac": 0.05,
        "exposure_frac": 0.3,
        "may_share": share,
    }
    if seed % 2:
        return Regulation(product="pjm-regulation", both=leg, **common)
    down = Leg(capability_usd_per_kw_h="down_price")
    return Regulation(product="caiso-regulation", up=leg, down=down, **common)


def response(share: tuple[str, ...] = ()) -> DemandResponse:
    """Half of 50 kW kept ready from four to nine, but in the call of an hour at seven, which is paid."""
    return DemandResponse(
        product="bip-pge",
        as_of=date(2026, 7, 1),
        assets=("battery",),
        firm_kw=180.0,
        nomination_kw=50.0,
        capacity_usd_per_kw_month=9.0,
        shortfall_usd_per_kwh=2.0,
        events=(Call(start="2026-06-16T18:00", hours=0.5),),
        hold_frac=0.5,
        hold_h=SUSTAIN_H,
        may_share=share,
    )


def solve(w: World, battery: PlainBattery, streams: list[Any]) -> Schedule:
    view = View(
        w.timeline, 0, N, Foresight(w), {"battery": battery.initial_state()}, {s.name: None for s in streams}
    )
    return optimise_view(view, [battery], streams, method="highs", gap=1e-9)


def promised(found: Schedule, direction: str, shared: bool) -> np.ndarray:
    """kW promised to everybody in a direction; claims that share count as the largest of them."""
    a = found.awards_kw
    both = a.get("regulation/capacity", np.zeros(N))
    mine = {"up": a.get("regulation/up", both), "down": a.get("regulation/down", both)}[direction]
    ready = a.get("demand response/ready", np.zeros(N)) if direction == "up" else np.zeros(N)
    return np.maximum(mine, ready) if shared else mine + ready


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), shared=st.booleans())
def test_no_kilowatt_of_headroom_is_promised_twice(seed: int, shared: bool) -> None:
    w, battery, tariff = draw(seed)
    names = ("regulation/up", "regulation/capacity") if shared else ()
    found = solve(w, battery, [tariff, regulation(seed), response(names)])
    power, stored = found.setpoints_kw["battery"], found.stored_kwh["battery"]
    before = np.concatenate(([battery.start_kwh], stored[:-1]))
    up, down = promised(found, "up", shared), promised(found, "down", shared)
    assert (up <= battery.power_kw + power + 1e-6).all(), "power room up"
    assert (down <= battery.power_kw - power + 1e-6).all(), "power room down"
    for energy in (before, stored):
        assert (energy * 0.95 >= up * SUSTAIN_H - 1e-6).all(), "energy to hold it up"
        assert ((battery.energy_kwh - energy) / 0.95 >= down * SUSTAIN_H - 1e-6).all(), "room to take it"
    assert (found.net_kw - up >= -1e-6).all(), "a full call does not export where none is allowed"


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_money_stated_is_money_settled(seed: int) -> None:
    w, battery, tariff = draw(seed)
    streams = [tariff, regulation(seed), response()]
    found = solve(w, battery, streams)
    record = metered(found)
    for s, fixed in ((streams[1], 0.0), (streams[2], 50 * 9.0 * 6 / 720)):  # six of June's 720 hours
        stated = fsum(v for k, v in found.term_usd.items() if k.startswith(f"{s.name}/"))
        assert fsum(e.usd for e in s.settle(record, w)) == pytest.approx(fixed - stated, abs=1e-5)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_an_optional_service_never_makes_the_plan_dearer(seed: int) -> None:
    w, battery, tariff = draw(seed)
    alone = solve(w, battery, [tariff])
    assert solve(w, battery, [tariff, regulation(seed)]).objective_usd <= alone.objective_usd + 1e-6


def test_sharing_is_worth_something_and_not_sharing_costs_it() -> None:
    w, battery, tariff = draw(3)
    apart = solve(w, battery, [tariff, regulation(3), response()])
    shared = solve(w, battery, [tariff, regulation(3), response(("regulation/capacity",))])
    assert shared.objective_usd < apart.objective_usd - 1e-3
