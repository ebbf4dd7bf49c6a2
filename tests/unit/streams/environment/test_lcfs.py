"""Credits by the regulation's formula: worked in both forms, by date, and never for a stationary battery."""

from __future__ import annotations

from math import fsum

import numpy as np
import pytest

from tests.kinds.case import Case, FlatRate, PlainBattery
from tests.kinds.case import metered as planned
from tests.kinds.case import world as small_world
from tests.unit.streams.environment.records import metered
from valuestack.errors import InputError
from valuestack.stack.optimise import optimise_view
from valuestack.streams.environment.environment import MJ_PER_KWH, facts
from valuestack.streams.environment.lcfs import Lcfs, credits_t
from valuestack.streams.stream import Place, ValueStream


def test_worked_example() -> None:
    """Illustrative figures: CI_std 81, CI 79, EER 3.8, one MWh: (81 x 3.8 - 79) x 3600 MJ x 1e-6 = 0.824 credits,
    $49 at $60. Both forms of 17 CCR 95486.1(a) agree: (std - CI/EER) x E x EER = (std x EER - CI) x E."""
    assert credits_t(1000.0, 81.0, 79.0, 3.8) == pytest.approx((81 * 3.8 - 79) * 3600e-6)
    assert credits_t(1000.0, 81.0, 79.0, 3.8) * 60 == pytest.approx(49.4, abs=0.05)
    # (a)(4): displaced energy is the energy used.
    assert credits_t(1000.0, 81.0, 79.0, 3.8, uplift=False) == pytest.approx((81 - 79 / 3.8) * 3600e-6)


def test_shipped_rows_agree_with_each_other() -> None:
    """The 2018 amendments fall linearly from 6.25 % below the 2010 baseline in 2019 to 20 % in 2030: the recollected
    2024 row (12.5 %) and the verified 2025 row (13.75 %) imply the same baseline. A utility's calculator equates
    100,000 kWh with 2,677 gal of diesel, which at 134.47 MJ/gal is 3.6 MJ a kWh."""
    rows = {(f.valid_from.year, f.valid_from.month): f for f in facts("lcfs", "benchmark") if f.valid_from}
    for fuel in ("gasoline_g_per_mj", "diesel_g_per_mj"):
        early, late = float(rows[2024, 1].values[fuel]), float(rows[2025, 1].values[fuel])
        assert early / (1 - 0.125) == pytest.approx(late / (1 - 0.1375), abs=0.02)
        assert float(rows[2026, 1].values[fuel]) < float(rows[2025, 7].values[fuel]) < late
    assert pytest.approx(2677, abs=1) == 100_000 * MJ_PER_KWH / 134.47


def test_light_duty_from_published_rows() -> None:
    """2020 grid average 82.92 g/MJ, EER 3.4; a benchmark of 91.98 given: (91.98 x 3.4 - 82.92) x 3.6e-6 t/kWh."""
    record, world = metered({"cars": [100.0, 0.0]}, start="2020-05-01T00:00")
    lcfs = Lcfs(use="light_duty", asset="cars", usd_per_credit=191.67, standard_g_per_mj=91.98)
    (entry,) = lcfs.settle(record, world)
    assert entry.quantity == pytest.approx((91.98 * 3.4 - 82.92) * 3.6e-6 * 100)
    assert entry.usd == pytest.approx(entry.quantity * 191.67) and entry.cycle == "2020-Q2"
    assert isinstance(lcfs, ValueStream)


def test_the_benchmark_steps_down_in_mid_2025() -> None:
    """Diesel 86.64 until 30 June 2025, 81.70 from 1 July: an hour before and an hour after midnight."""
    record, world = metered({"trucks": [1000.0, 1000.0]}, start="2025-06-30T23:00", tz="America/Los_Angeles")
    lcfs = Lcfs(use="heavy_duty", asset="trucks", usd_per_credit=50.0, ci_g_per_mj=80.0)
    before, after = (e.quantity for e in lcfs.settle(record, world))
    assert before == pytest.approx((86.64 * 5 - 80) * 3.6e-3) and after == pytest.approx(
        (81.70 * 5 - 80) * 3.6e-3
    )


def test_forklifts_displace_their_own_energy_unless_approved() -> None:
    record, world = metered({"lifts": [1000.0]}, start="2026-03-02T00:00")
    base = {"use": "forklift", "asset": "lifts", "usd_per_credit": 50.0, "ci_g_per_mj": 80.0}
    plain, approved = (
        fsum(e.quantity for e in Lcfs(**base, approved_2011=a).settle(record, world)) for a in (False, True)
    )  # type: ignore[arg-type]
    assert approved == pytest.approx(3.8 * plain) and plain == pytest.approx((80.17 - 80 / 3.8) * 3.6e-3)
    assert any("not verified" in a for a in Lcfs(**base).assumptions)  # type: ignore[arg-type]


def test_a_stationary_battery_earns_nothing() -> None:
    around = small_world([10, 10, 10, 10], start="2026-07-01T00:00")
    place = Place(around.timeline, [PlainBattery()], around)
    base = {"use": "light_duty", "asset": "battery", "usd_per_credit": 50.0, "ci_g_per_mj": 80.0}
    with pytest.raises(InputError, match="stationary battery earns none"):
        Lcfs(**base).bind(place)  # type: ignore[arg-type]
    record, world = metered({"battery": [5.0]}, stores=["battery"], start="2026-07-01T00:00")
    with pytest.raises(InputError, match="stationary"):
        list(Lcfs(**base).settle(record, world))  # type: ignore[arg-type]


def test_days_without_a_known_benchmark_are_refused_with_the_remedy() -> None:
    record, world = metered({"cars": [1.0]}, start="2031-01-01T00:00")
    with pytest.raises(InputError, match="no benchmark is known for 2031-01-01"):
        list(Lcfs(use="light_duty", asset="cars", usd_per_credit=1.0, ci_g_per_mj=80.0).settle(record, world))
    place = Place(world.timeline, [], world)
    with pytest.raises(InputError, match="4 problems"):
        Lcfs(use="light_duty", asset="cars", usd_per_credit="p").bind(place)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"use": "forklifts", "asset": "a"}, "did you mean 'forklift'"),
        ({"use": "forklift"}, "give either"),
        ({"use": "light_duty", "asset": "a", "approved_2011": True}, "forklifts only"),
        ({"use": "light_duty", "asset": "a", "metered": False}, "fit a meter"),
    ],
)
def test_bad_input_is_refused(more: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Lcfs.model_validate({"usd_per_credit": 1.0, **more})


def test_smart_charging_follows_the_intensity_of_the_hour_exactly() -> None:
    """A fleet's own store: the plan's objective is what settlement pays for its charging less what it gives back."""
    from valuestack.dispatch import Series, World

    around = small_world([20, 20, 20, 20], start="2026-07-01T10:00")
    ci = Series("ci", np.array([140.0, 30.0, 60.0, 90.0]), "g/MJ")
    around = World(around.timeline, {**around.series, "ci": ci})
    fleet = PlainBattery(name="fleet", start_kwh=10.0)
    lcfs = Lcfs(use="light_duty", asset="fleet", vehicles=True, usd_per_credit=60.0, ci_g_per_mj="ci").bind(
        Place(around.timeline, [fleet], around)
    )
    case = Case(around, [lcfs, FlatRate()], [fleet])
    plan = optimise_view(case.view(), case.assets, case.streams, method="highs", gap=1e-9)
    settled = fsum(e.usd for e in lcfs.settle(planned(plan), around))
    assert -settled == pytest.approx(
        fsum(v for k, v in plan.term_usd.items() if k.startswith("lcfs/")), abs=1e-7
    )
    assert plan.flows is not None and plan.flows.assets["fleet"]["charge"][0] < 1e-6
