"""Damage functions: pieces by hand, shipped ones, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from valuestack.errors import InputError, UnknownKind
from valuestack.streams.resilience.damage import DamageFunction, Spoilage, damage_of, shipped_damages


def test_each_piece_by_hand() -> None:
    f = DamageFunction(
        momentary_usd=100.0, points=((1.0, 300.0), (4.0, 600.0)), usd_per_h=10.0, usd_per_kwh=2.0,
        spoilage=(Spoilage(hold_h=4.0, usd=1000.0), Spoilage(hold_h=2.0, usd=400.0, full_h=6.0)),
        restart_usd=50.0, restart_after_h=0.5,
    )  # fmt: skip
    got = f.cost_usd([0.0, 0.5, 1.0, 3.0, 4.0, 8.0])
    by_hand = [
        0.0,
        200 + 5,
        300 + 10 + 50,
        500 + 30 + 100 + 50,
        600 + 40 + 1000 + 200 + 50,
        1000 + 80 + 1000 + 400 + 50,
    ]
    np.testing.assert_allclose(got, by_hand)
    np.testing.assert_allclose(f.cost_usd([1.0], [7.0]), by_hand[2] + 14)
    assert f.blip_usd == 100.0


def test_the_cold_store_of_a_published_case() -> None:
    f = damage_of("cold-store-4h")
    assert f.cost_usd([3.99, 4.0]).tolist() == [0.0, 2.8e6]
    assert any("not verified" in a for a in f.assumptions)


@pytest.mark.parametrize(
    ("hours", "usd"), [(1e-9, 12952), (0.5, 15241), (1, 17804), (4, 39458), (8, 84083), (16, 165482)]
)
def test_ice_is_what_its_table_says(hours: float, usd: float) -> None:
    # Sullivan, Schellenberg, Blundell 2015, LBNL-6941E, medium and large C&I, 2013 dollars (recollected)
    assert damage_of("ice-1-medium-large").cost_usd(hours) == pytest.approx(usd, abs=0.01)


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.tuples(st.floats(0.01, 5), st.floats(0, 1e4)), max_size=4),
    momentary=st.floats(0, 1e4),
    hold=st.floats(0, 10),
    ramp=st.none() | st.floats(0.1, 5),
)
def test_longer_is_never_cheaper(
    steps: list[tuple[float, float]], momentary: float, hold: float, ramp: float | None
) -> None:
    at, usd = 0.0, momentary
    points = []
    for h, more in steps:
        at, usd = at + h, usd + more
        points.append((at, usd))
    spoilage = Spoilage(hold_h=hold, usd=500.0, full_h=None if ramp is None else hold + ramp)
    f = DamageFunction(momentary_usd=momentary, points=tuple(points), spoilage=(spoilage,), restart_usd=5.0)
    cost = f.cost_usd(np.linspace(0, 40, 200))
    assert cost[0] == 0 and (np.diff(cost) >= -1e-6).all()


def test_every_shipped_one_loads_and_says_where_it_is_from() -> None:
    assert len(shipped_damages()) >= 4
    for name in shipped_damages():
        f = damage_of(name)
        assert f.source and (f.verified or any("not verified" in a for a in f.assumptions))
    with pytest.raises(UnknownKind, match="did you mean 'ice-1-small'"):
        damage_of("ice-1-smal")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"points": [(-1.0, 5.0)]}, "lasts 0 hours or more, check the sign"),
        ({"points": [(2.0, 5.0), (1.0, 9.0)]}, "give hours that rise"),
        ({"momentary_usd": 50.0, "points": [(1.0, 20.0)]}, "give the cost of the whole event"),
        ({"spoilage": [{"hold_h": 4, "usd": 1, "full_h": 3}]}, "must lie after hold_h"),
        ({"usd_per_h": -1.0}, "greater than or equal to 0"),
    ],
)
def test_bad_input_says_what_to_do(written: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DamageFunction.model_validate(written)


def test_negative_hours_are_refused() -> None:
    with pytest.raises(InputError, match="pharma: hours = -3; an outage lasts 0 hours or more"):
        DamageFunction(name="pharma", usd_per_h=1.0).cost_usd([1.0, -3.0])
