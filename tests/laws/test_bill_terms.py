"""What the optimiser is told of a tariff is what the bill of its plan comes to."""

from __future__ import annotations

from collections.abc import Callable
from math import fsum
from typing import Any

import numpy as np
import pytest

import valuestack as vs
from tests.kinds.case import Case, PlainBattery, metered
from tests.oracle.plain_bill import random_rate
from valuestack.dispatch import Series, World
from valuestack.stack.optimise import optimise_view
from valuestack.streams.retail.bill import Version
from valuestack.streams.retail.tariff import shipped_tariffs
from valuestack.streams.retail.tariff_stream import TariffStream
from valuestack.terms import HoursUse, Minimum, Payment

T = vs.Timeline(start="2018-06-28T00:00", step_h=2.0, n=60, tz="America/Los_Angeles")
HISTORY = {"2018-03": 150.0, "2018-05": 60.0}


def world(seed: int) -> World:
    rng = np.random.default_rng(seed)
    kw = 70 + 40 * np.sin((T.hour - 8) / 24 * 2 * np.pi) + rng.gamma(1.5, 15.0, T.n)
    return World(T, {"load_kw": Series("load_kw", np.asarray(kw), "kW")})


def objective_and_bill(stream: TariffStream, seed: int) -> tuple[float, float]:
    """Charges as the optimiser counts them, and as the bill settles the plan."""
    case = Case(world(seed), [stream], [PlainBattery(power_kw=40.0, energy_kwh=120.0, start_kwh=60.0)])
    plan = optimise_view(
        case.view(), case.assets, case.streams, export_limit_kw=0.0, method="highs", gap=1e-9
    )
    stated = fsum(v for k, v in plan.term_usd.items() if k.split("/")[0] != "battery")
    settled = fsum(e.usd for e in stream.settle(metered(plan), case.world))
    return stated + float(stream.stated.constant_usd.sum()), -settled


@pytest.mark.parametrize("seed", range(24))
def test_random_tariffs(seed: int) -> None:
    stream = TariffStream(vs.load_tariff(random_rate(seed)), T, history=HISTORY)
    objective, bill = objective_and_bill(stream, seed)
    if stream.stated.exact:
        assert objective == pytest.approx(bill, rel=1e-7, abs=1e-4)


@pytest.mark.parametrize("name", shipped_tariffs())
def test_shipped_tariffs(name: str) -> None:
    facts = vs.BillFacts(
        power_factor=0.9, cpp_events=["2018-06-29"], prices=np.linspace(0.02, 0.11, T.n),
        coincident_hours=["2018-06-28T16:00"], more={"capacity_kw": 300.0, "transmission_kw": 250.0},
    )  # fmt: skip
    stream = TariffStream(vs.load_tariff(name), T, facts=facts, history=HISTORY)
    objective, bill = objective_and_bill(stream, 3)
    if stream.stated.exact:
        assert objective == pytest.approx(bill, rel=1e-7, abs=1e-4)


def flat(usd: float, **more: Any) -> dict[str, Any]:
    return {"kind": "demand", "periods": [{"tiers": [{"usd_per_unit": usd}]}], "months": [0] * 12, **more}


def timed(usd: float, **more: Any) -> dict[str, Any]:
    on = [[0] * 16 + [1] * 5 + [0] * 3] * 12
    ladder = [{"tiers": [{"usd_per_unit": u}]} for u in (usd / 3, usd)]
    return {"kind": "demand", "periods": ladder, "weekday": on, "weekend": [[0] * 24] * 12, **more}


def hours_use(first: float, then: float) -> dict[str, Any]:
    ladder = [
        {"usd_per_kwh": first, "upto": 150.0, "unit": "kWh/kW"},
        {"usd_per_kwh": then, "unit": "kWh/kW"},
    ]
    return {
        "kind": "energy",
        "periods": [{"tiers": ladder}],
        "weekday": [[0] * 24] * 12,
        "weekend": [[0] * 24] * 12,
    }


SHAPES: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "hours-use on a flat charge that stands behind it": lambda: [hours_use(0.10, 0.05), flat(9.0, name="d")],
    "hours-use that rises": lambda: [hours_use(0.05, 0.10), flat(9.0)],
    "hours-use on timed demand": lambda: [hours_use(0.10, 0.05), timed(9.0)],
    "hours-use without a demand charge": lambda: [hours_use(0.10, 0.05)],
    "hours-use under a minimum and a tax": lambda: [
        hours_use(0.10, 0.05), flat(9.0), {"kind": "minimum", "usd": 9_000.0}, {"kind": "fixed", "usd": 30.0},
        {"kind": "tax", "name": "city", "share_frac": 0.1},
    ],
    "riders on riders": lambda: [
        timed(12.0), hours_use(0.1, 0.1),
        {"kind": "rider", "name": "a", "per": "share", "share_frac": 0.05, "applies_to": ["demand"]},
        {"kind": "tax", "name": "city", "share_frac": 0.1, "applies_to": ["demand", "energy"]},
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name: str) -> None:
    rate = vs.load_tariff({"name": "shape", "source": "by hand", "holidays": [], "items": SHAPES[name]()})
    stream = TariffStream(rate, T, history=HISTORY)
    terms = stream.stated.terms
    named = {t.name for t in terms}
    asked = {
        b.upto.of for t in terms if isinstance(t, Payment) for b in t.blocks if isinstance(b.upto, HoursUse)
    }
    assert asked <= named
    assert stream.stated.exact
    objective, bill = objective_and_bill(stream, 1)
    assert objective == pytest.approx(bill, rel=1e-7, abs=1e-4)


def test_hours_use_that_rises_on_a_ratchet_is_solved_and_not_called_exact() -> None:
    items = [hours_use(0.05, 0.10), flat(9.0, ratchet={"share_frac": 0.9, "months": 11})]
    rate = vs.load_tariff(
        {"name": "r", "source": "by hand", "verified": True, "holidays": [], "items": items}
    )
    stream = TariffStream(rate, T, history={"2018-03": 180.0})
    assert not stream.stated.exact
    objective, bill = objective_and_bill(stream, 1)
    assert bill <= objective + 1e-6  # a billed kW more only widens the cheap tier


def test_two_versions_in_one_cycle() -> None:
    first, second = (
        vs.load_tariff({"name": n, "source": "by hand", "verified": True, "holidays": [], "items": [
            {"kind": "energy", "weekday": [[0] * 24] * 12, "weekend": [[0] * 24] * 12, "periods": [
                {"tiers": [{"usd_per_kwh": p, "upto": 4_000.0}, {"usd_per_kwh": 2 * p}]}]},
            timed(k), {"kind": "fixed", "usd": 100.0}]})
        for n, p, k in (("old", 0.1, 10.0), ("new", 0.12, 14.0))
    )  # fmt: skip
    change = T.local_date[18].astype(object)
    stream = TariffStream([Version(first, None, change), Version(second, change, None)], T)
    assert stream.stated.exact
    objective, bill = objective_and_bill(stream, 5)
    assert objective == pytest.approx(bill, rel=1e-7, abs=1e-4)


def test_a_minimum_is_held_when_its_window_ends() -> None:
    items = [hours_use(0.1, 0.1), flat(5.0), {"kind": "minimum", "usd": 30_000.0}]
    rate = vs.load_tariff(
        {"name": "m", "source": "by hand", "verified": True, "holidays": [], "items": items}
    )
    stream, kw = TariffStream(rate, T), world(2).series["load_kw"].values
    state = stream.initial_state()
    record = metered(optimise_view(Case(world(2), [stream], []).view(), [], [stream], export_limit_kw=0.0))
    for k in range(12):
        state = stream.observe(state, record, k)
    from valuestack.dispatch import Foresight, View

    def minimum(first: int, n: int) -> Any:
        view = View(T, first, n, Foresight(world(2)), {}, {stream.name: state})
        return next(t for t in stream.terms(view) if isinstance(t, Minimum))

    whole = next(t for t in stream.stated.terms if isinstance(t, Minimum))
    assert minimum(12, 12).usd[0] == -np.inf  # June is not over
    over = minimum(12, 48)
    assert over.usd[0] == pytest.approx(whole.usd[0] - 0.1 * 2.0 * kw[:12].sum())
