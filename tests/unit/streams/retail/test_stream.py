"""A tariff as terms: what they come to is the bill, whole, in halves, and cut to a view."""

from __future__ import annotations

import numpy as np
import pytest

import valuestack as vs
from tests.oracle.random_tariffs import random_load, random_tariff
from valuestack.dispatch import Record, View
from valuestack.stack.value import Flows, worth
from valuestack.streams.retail.tariff_stream import TariffStream

from .written import demand, energy, hours, tariff, tiers

T = hours(61, "2018-05-01T00:00")


@pytest.mark.parametrize("seed", range(40))
def test_terms_and_constant_are_the_bill_where_they_say_so(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rate, kw = vs.load_tariff(random_tariff(rng)), random_load(rng, T.n, seed % 2 == 0)
    stated = TariffStream(rate, T, history={"2018-03": 210.0}).stated
    if not stated.exact:
        assert stated.unstated or any(not t.exact and t.reason for t in stated.terms)
        return
    usd = worth(Flows(T, kw), stated.terms).total_usd + float(stated.constant_usd.sum())
    assert usd == pytest.approx(
        vs.bill(rate, T, kw, history={"2018-03": 210.0}).total_usd, rel=1e-9, abs=1e-6
    )


def test_a_clause_on_other_charges_is_not_called_exact() -> None:
    clause = {"kind": "power_factor", "method": "average", "floor_frac": 0.95, "share_per_point": 0.01}
    facts = vs.BillFacts(power_factor=np.linspace(0.8, 0.9, T.n))
    stated = TariffStream(tariff(demand(9.0), clause), T, facts=facts).stated
    assert stated.unstated == ("power_factor",) and not stated.exact


@pytest.mark.parametrize("at", [300, 744, 1000])
def test_what_was_seen_and_what_is_to_come_make_the_whole(at: int) -> None:
    """Observed up to `at`, the terms of the rest with that state cost what the whole does, less sunk energy."""
    rate = tariff(energy(periods=tiers((0.1, 9_000.0), (0.2, None))),
                  demand(10.0, window_min=120, ratchet={"share_frac": 0.9, "months": 2}))  # fmt: skip
    stream, kw = TariffStream(rate, T), random_load(np.random.default_rng(2), T.n)
    assert stream.stated.exact
    record, state = Record(T, kw), stream.initial_state()
    for k in range(at):
        state = stream.observe(state, record, k)
    rest = vs.Timeline(start=T.when(at).isoformat(), step_h=1.0, n=T.n - at, tz="Etc/GMT+8")
    view = View(T, at, T.n - at, None, {}, {stream.name: state})  # type: ignore[arg-type]
    usd = worth(Flows(rest, kw[at:]), stream.terms(view)).total_usd
    flat = [t for t in stream.stated.terms if getattr(t, "over", "") == "each"]
    sunk = sum(
        float((np.broadcast_to(t.blocks[0].usd_per_unit, T.n)[:at] * np.maximum(kw[:at], 0)).sum())
        for t in flat
    )
    assert usd + sunk == pytest.approx(vs.bill(rate, T, kw).total_usd, rel=1e-9)


def test_settle_is_the_bill() -> None:
    rate, kw = tariff(energy(0.1), demand(9.0)), random_load(np.random.default_rng(5), T.n)
    entries = list(TariffStream(rate, T).settle(Record(T, kw), None))  # type: ignore[arg-type]
    assert entries == list(vs.bill(rate, T, kw).ledger)
