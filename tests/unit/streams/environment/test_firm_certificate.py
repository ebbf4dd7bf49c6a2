"""Stored green energy, first in first out: worked by hand, conserved always, never more than charged or discharged."""

from __future__ import annotations

from math import fsum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kinds.rec_and_curtailment import case
from tests.unit.streams.environment.records import metered
from valuestack.errors import InputError
from valuestack.streams.environment.environment import allocate
from valuestack.streams.environment.firm_certificate import FirmCertificate
from valuestack.streams.stream import Place, ValueStream

A = np.array


def test_worked_by_hand() -> None:
    """100 kWh of sun at noon, 80 of it stored at 0.9; 20 kWh of grey before it in line; evening wants 60 of 70 given.

    In line: 20 grey, then 72 green. 70 given = 20 grey + 50 green; all 50 are wanted. Held: 22. Surplus: 20.
    Of 100: 20 surplus + (50 + 22) / 0.9 = 80. Lost on the 50: 50 / 0.9 - 50 = 5.56 kWh.
    """
    got = allocate(A([100.0, 0.0]), A([80.0, 0.0]), A([0.0, 70.0]), A([0.0, 60.0]), 0.9, start_kwh=20.0)
    assert got.surplus_kwh.tolist() == [20.0, 0.0]
    assert got.delivered_kwh.tolist() == [0.0, pytest.approx(50.0)]
    assert got.held_kwh == pytest.approx(22.0) and got.lost_kwh == pytest.approx(50 / 0.9 - 50)


def test_grid_charging_is_grey_and_waits_its_turn() -> None:
    """30 grey then 30 green: the first 30 out are grey."""
    got = allocate(
        A([0.0, 30.0, 0.0, 0.0]), A([30.0, 30.0, 0.0, 0.0]), A([0, 0, 30.0, 30.0]), A([0, 0, 99.0, 99.0]), 1.0
    )
    assert got.delivered_kwh.tolist() == [0, 0, 0, 30.0]


def test_firm_hours_earn_the_premium_and_the_rest_the_plain_price() -> None:
    """Noon: 1000 made, 600 charged; evening: 540 given at 0.9. REC $10, 15 %: 0.54 x 11.5 firm + 0.4 x 10 plain."""
    record, world = metered(
        {"pv": [-1000.0, 0.0], "bess": [600.0, -540.0]}, stores=["bess"], start="2024-06-03T16:00", step_h=1.0
    )
    firm = FirmCertificate(
        assets=("pv",),
        stores=("bess",),
        hours=(17,),
        rec_usd_per_mwh=10.0,
        premium_frac=0.15,
        round_trip_efficiency_frac=0.9,
    )
    entries = {e.item.split("/")[0]: e for e in firm.settle(record, world)}
    assert entries["firm"].usd == pytest.approx(0.54 * 11.5) and entries["plain"].usd == pytest.approx(4.0)
    assert isinstance(firm, ValueStream) and firm.terms(None) == ()  # type: ignore[arg-type]


def test_what_is_still_stored_is_worth_nothing_yet() -> None:
    record, world = metered({"pv": [-1000.0], "bess": [1000.0]}, stores=["bess"])
    firm = FirmCertificate(
        assets=("pv",),
        stores=("bess",),
        hours=(3,),
        rec_usd_per_mwh=10.0,
        premium_frac=0.15,
        round_trip_efficiency_frac=0.8,
    )
    (held,) = firm.settle(record, world)
    assert (held.usd, held.status, held.quantity) == (0.0, "provisional", pytest.approx(0.8))


def test_bind_reads_stores_and_refuses_what_is_none() -> None:
    built = case()
    place = Place(built.world.timeline, built.assets, built.world)
    firm = FirmCertificate(rec_usd_per_mwh="rec price", premium_frac=0.15).bind(place)
    assert (firm.assets, firm.stores) == (("solar",), ("battery",))
    assert firm.round_trip_efficiency_frac == pytest.approx(0.95 * 0.95)
    assert firm.start_kwh == pytest.approx(20 * 0.95)
    with pytest.raises(InputError, match="2 problems"):
        FirmCertificate(stores=("solar",), wanted_kw="nobody", rec_usd_per_mwh=1.0, premium_frac=0.1).bind(
            place
        )
    with pytest.raises(InputError, match="round_trip_efficiency_frac"):
        record, world = metered({"pv": [-1.0], "bess": [0.0]}, stores=["bess"])
        FirmCertificate(assets=("pv",), stores=("bess",), rec_usd_per_mwh=1.0, premium_frac=0.1).matched(
            record, world
        )


flows = st.lists(
    st.tuples(*[st.sampled_from([0.0, 1.0, 3.5, 10.0]) for _ in range(4)]), min_size=1, max_size=40
)


@settings(max_examples=150, deadline=None)
@given(flows=flows, eta=st.sampled_from([0.5, 0.81, 1.0]), start=st.sampled_from([0.0, 4.0]))
def test_fifo_conserves_every_mwh(flows: list[tuple[float, ...]], eta: float, start: float) -> None:
    made, charge, discharge, wanted = (np.array(x) for x in zip(*flows))
    got = allocate(made, charge, discharge, wanted, eta, start_kwh=start)
    out = fsum(got.delivered_kwh) + fsum(got.released_kwh) + got.held_kwh
    assert fsum(made) == pytest.approx(fsum(got.direct_kwh) + fsum(got.surplus_kwh) + out / eta)
    back = got.delivered_kwh + got.released_kwh
    assert np.all(back <= discharge + 1e-9) and np.all(got.direct_kwh + got.delivered_kwh <= wanted + 1e-9)
    # At any moment no more has come back than went in, losses taken off.
    assert np.all(np.cumsum(back) <= np.cumsum(got.stored_kwh) * eta + 1e-9)
    # The matched quantity is bounded by min(efficiency x charge, discharge).
    assert fsum(got.delivered_kwh) <= min(eta * fsum(charge), fsum(discharge)) + 1e-9


@settings(max_examples=80, deadline=None)
@given(flows=flows, eta=st.sampled_from([0.5, 1.0]))
def test_fifo_is_what_single_kwh_in_line_would_do(flows: list[tuple[float, ...]], eta: float) -> None:
    """Brute force: half-kWh tokens in a list, taken from the front (0.5 divides every quantity here)."""
    line: list[bool] = []
    delivered = 0.0
    grain = 0.25
    for made, charge, discharge, wanted in flows:
        direct = min(made, wanted)
        green = min(charge, made - direct)
        out, line = line[: round(discharge / grain)], line[round(discharge / grain) :]
        delivered += min(sum(out) * grain, wanted - direct)
        # Within one interval green and grey enter mixed; only pure intervals are compared token by token.
        if 0 < green < charge:
            return
        line += [green > 0] * round(charge * eta / grain)
    m, c, d, w = (np.array(x) for x in zip(*flows))
    assert fsum(allocate(m, c, d, w, eta).delivered_kwh) == pytest.approx(delivered)
