"""Sags against the curves, with and without ride-through; nothing given, nothing valued."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tests.unit.streams.resilience.places import battery, place, record
from valuestack.errors import InputError
from valuestack.streams.resilience.power_quality import PowerQuality, curve
from valuestack.streams.stream import ValueStream


def stream(**more: object) -> PowerQuality:
    values = {
        "damage": {"momentary_usd": 1000.0},
        "critical": {"kw": 40.0},
        "events": [
            {"voltage_frac": 0.0, "duration_s": 0.015, "per_y": 2},  # within 20 ms: ridden through
            {"voltage_frac": 0.65, "duration_s": 0.3, "per_y": 3},  # below 70 %: trips
            {"voltage_frac": 0.75, "duration_s": 0.3, "per_y": 4},  # above 70 %: rides
            {"voltage_frac": 0.75, "duration_s": 2.0, "per_y": 1},  # below 80 %: trips
        ],
    } | more
    return PowerQuality.model_validate(values)


@pytest.mark.parametrize(
    ("voltage", "seconds", "rides"),
    # ITI (CBEMA) curve, Information Technology Industry Council, 2000
    [
        (0.0, 0.02, True),
        (0.0, 0.021, False),
        (0.7, 0.5, True),
        (0.69, 0.5, False),
        (0.79, 0.6, False),
        (0.8, 10.0, True),
        (0.89, 11.0, False),
        (0.9, 60.0, True),
        (1.2, 0.5, True),
        (1.21, 0.5, False),
        (1.4, 0.003, True),
        (1.11, 5.0, False),
        (2.0, 0.001, True),
        (5.0, 0.00016, True),
    ],
)
def test_itic(voltage: float, seconds: float, rides: bool) -> None:
    assert curve("itic").tolerates(voltage, seconds) is rides


@pytest.mark.parametrize(
    ("voltage", "seconds", "rides"),
    # SEMI F47-0706: 50 % for 200 ms, 70 % for 0.5 s, 80 % for 1 s
    [
        (0.5, 0.2, True),
        (0.49, 0.2, False),
        (0.5, 0.21, False),
        (0.7, 0.5, True),
        (0.8, 1.0, True),
        (0.79, 1.0, False),
    ],
)
def test_semi_f47(voltage: float, seconds: float, rides: bool) -> None:
    assert curve("semi-f47").tolerates(voltage, seconds) is rides


def test_a_sag_that_one_curve_rides_trips_the_other() -> None:
    assert curve("semi-f47").tolerates(0.55, 0.15) and not curve("itic").tolerates(0.55, 0.15)


def test_ride_through_turns_a_sag_into_its_transfer() -> None:
    where = place([50.0] * 24, [battery(60.0)])
    bare = stream().bind(where).trips()
    assert bare is not None and (bare.events_per_y, bare.without_per_y, bare.with_per_y) == (10, 4, 4)
    helped = stream(ride_through={"hold_s": 1.0, "transfer_s": 0.01}).bind(where).trips()
    assert helped is not None and helped.with_per_y == 1, "two seconds are longer than it holds"
    assert helped.avoided_usd_per_y == pytest.approx(3000.0)
    slow = stream(ride_through={"hold_s": 60.0, "transfer_s": 0.25}).bind(where).trips()
    assert slow is not None and slow.with_per_y == 3, "65 % for the 250 ms of its transfer trips all the same"


def test_too_small_a_ups_is_not_counted_and_it_is_said() -> None:
    where = place([50.0] * 24, [battery(30.0)])
    bound = stream(ride_through={"hold_s": 60.0}).bind(where)
    found = bound.trips()
    assert found is not None and found.with_per_y == found.without_per_y
    assert any("30 kW does not carry 40 kW" in a for a in bound.assumptions)
    ups = stream(ride_through={"hold_s": 60.0, "kw": 45.0}).bind(where).trips()
    assert ups is not None and ups.with_per_y == 0


def test_settled_as_modelled_and_by_observed_years() -> None:
    where = place([50.0] * 876, [battery(60.0)])
    bound = stream(ride_through={"hold_s": 60.0}, observed_y=2.0).bind(where)
    assert isinstance(bound, ValueStream)
    (entry,) = bound.settle(record(where, 100.0), where.world)
    assert entry.usd == pytest.approx(4 * 1000 / 2 * 0.1) and entry.quantity == pytest.approx(0.2)
    assert (entry.layer, entry.certainty, entry.status) == (2, "modelled", "provisional")


def test_nothing_given_is_not_valued_and_said() -> None:
    where = place([50.0] * 24, [battery(60.0)])
    quiet = stream(events=[], ride_through={"hold_s": 60.0}).bind(where)
    assert quiet.trips() is None and not list(quiet.settle(record(where, 1.0), where.world))
    assert quiet.assumptions == (
        "power quality: no list of sags and no rates are given; power quality is not valued",
    )


def test_bad_input_says_what_to_do() -> None:
    with pytest.raises(ValidationError, match="has no cost of a short interruption"):
        stream(damage="cold-store-4h")
    with pytest.raises(InputError, match="the site has no store; give kw of a UPS"):
        stream(ride_through={"hold_s": 60.0}).bind(place([50.0], []))
    with pytest.raises(InputError, match="bind it to its site first"):
        stream().trips()
    with pytest.raises(ValidationError, match="greater than 0"):
        stream(events=[{"voltage_frac": 0.5, "duration_s": -1.0}])
