"""Shares sum to the cent, dividends to the difference; the law of stacking and the crossing of cycling on plans."""

from __future__ import annotations

from dataclasses import replace
from math import fsum, inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.flows import Store
from valuestack.ledger import Entry, Ledger
from valuestack.stack.attribution import attribute, cents, dividends, item_shares, shapley, subsets
from valuestack.stack.cycling import cycling
from valuestack.stack.optimise import optimise
from valuestack.terms import Block, Claim, Limit, Measure, Payment, Term
from valuestack.timeline import Timeline

LAYERS = (1, 2, 3, 4)
N = 24


def _entry(layer: int, item: str, usd: float) -> Entry:
    return Entry("2018-07", layer, f"stream {layer}", item, "utility", 0.0, "kWh", None, usd)


def test_the_airport_game() -> None:
    """Littlechild and Owen 1973, doi:10.1287/mnsc.20.3.370: each user shares every step it needs equally."""
    cost = {1: 10.0, 2: 20.0, 3: 50.0, 4: 80.0}
    v = {s: -max((cost[p] for p in s), default=0.0) for s in subsets(LAYERS)}
    share = shapley(v, LAYERS)
    assert share == pytest.approx(
        {1: -10 / 4, 2: -10 / 4 - 10 / 3, 3: -2.5 - 10 / 3 - 15, 4: -2.5 - 10 / 3 - 15 - 30}
    )


@given(st.lists(st.floats(-1e6, 1e6), min_size=16, max_size=16))
def test_shares_items_and_dividends_sum_to_the_cent(usd: list[float]) -> None:
    worth = dict(zip(subsets(LAYERS), usd))

    def settled(s: frozenset[object]) -> Ledger:
        whole = worth[s]
        own = [_entry(layer, "a", whole / 3) for layer in LAYERS if layer in s]
        return Ledger.of([*own, _entry(0, "wear", whole - fsum(e.usd for e in own))])

    found = attribute(settled, LAYERS)
    assert fsum(s.shapley_usd for s in found.shares) == pytest.approx(found.total_usd, abs=1e-6)
    for share in found.shares:
        assert fsum(i.usd for i in share.items) == pytest.approx(share.shapley_usd, abs=1e-6)
    assert fsum(d.usd for d in found.dividends) == pytest.approx(
        worth[frozenset(LAYERS)] - worth[frozenset()] - found.singles_usd, abs=1e-4
    )


@given(st.lists(st.floats(-1e5, 1e5), min_size=1, max_size=9))
def test_cents_move_no_part_by_more_than_the_rounding(parts: list[float]) -> None:
    out = cents(parts, fsum(parts))
    assert fsum(out) == pytest.approx(round(fsum(parts), 2), abs=1e-6)
    assert all(abs(a - b) < 0.0101 for a, b in zip(out, parts))


def test_conflict_is_what_serving_one_costs_the_other() -> None:
    def settled(s: frozenset[object]) -> Ledger:
        usd = {1: 100.0, 3: 60.0}
        if s == {1, 3}:
            usd = {1: 80.0, 3: 55.0}
        return Ledger.of([_entry(k, "a", usd[k]) for k in (1, 3) if k in s])

    found = attribute(settled, (1, 3))
    assert found.conflict_usd == {(1, 3): 5.0, (3, 1): 20.0}
    assert found.total_usd == 135.0 and found.dividends[0].usd == -25.0
    assert "conflict of 1 + 3" in str(found.dividends[0])


def _stack(seed: int) -> tuple[Timeline, np.ndarray, Store, dict[str, list[Term]]]:
    rng = np.random.default_rng(seed)
    horizon = Timeline(start="2018-07-02T00:00", step_h=1.0, n=N, tz="America/New_York")
    load = rng.uniform(60, 160, N)
    one = np.zeros(N, dtype=np.int64)
    store = Store("battery", np.full(N, 50.0), np.full(N, 50.0), np.zeros(N + 1), np.full(N + 1, 150.0), 75.0, 0.95,
                  0.94, energy_end_min_kwh=75.0, wear_usd_per_kwh=float(rng.uniform(0.0, 0.05)))  # fmt: skip
    event = np.where((np.arange(N) >= 15) & (np.arange(N) < 18), 0, -1)
    streams: dict[str, list[Term]] = {
        "tariff": [
            Payment(
                "tariff", "energy", Measure("import"), "each", one, (Block(inf, rng.uniform(0.05, 0.3, N)),)
            ),
            Payment(
                "tariff", "demand", Measure("import"), "max", one, (Block(inf, float(rng.uniform(0, 3))),)
            ),
        ],
        "market": [
            Claim("market", "regulation", "both", rng.uniform(0, 0.05, N), ("battery",), sustain_h=0.5)
        ],
        "programme": [
            Payment(
                "programme",
                "event",
                Measure("net", reference_kw=np.full(N, 110.0)),
                "sum",
                event,
                (Block(60.0, -float(rng.uniform(0.1, 1.0))), Block(inf, 0.0)),
            )
        ],
    }
    return horizon, load, store, streams


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000))
def test_a_stack_obeys_the_law_and_an_optional_stream_never_hurts(seed: int) -> None:
    """v(N) <= sum v_i + (k - 1) C, with v_i the best of stream i alone and C the wear of the stacked plan."""
    horizon, load, store, streams = _stack(seed)

    def least(names: tuple[str, ...]) -> tuple[float, float]:
        terms = [t for name in names for t in streams[name]]
        # without streams that price it, power is bounded by the meter alone
        made = optimise(horizon, load, [store], terms, method="highs", import_limit_kw=400.0)
        idle = optimise(horizon, load, [], [t for t in terms if isinstance(t, Payment)], method="highs")
        return idle.objective_usd - made.objective_usd, made.term_usd["battery/wear"]

    names = tuple(streams)
    singles = {name: least((name,))[0] for name in names}
    stacked, wear = least(names)
    assert stacked <= sum(singles.values()) + (len(names) - 1) * wear + 1e-6
    # Regulation is the one optional stream: its award may be nothing. A programme may charge what cannot be met.
    without, _ = least(("tariff", "programme"))
    assert stacked >= without - 1e-6
    v = {s: least(tuple(n for n in names if n in s))[0] if s else 0.0 for s in subsets(names)}
    together = fsum(d.usd for d in dividends(v, names))
    assert stacked == pytest.approx(sum(singles.values()) + together, abs=1e-6)


@pytest.mark.parametrize("names", [("tariff",), ("tariff", "market")])
def test_marginal_revenue_meets_marginal_wear_at_the_plans_own_count(names: tuple[str, ...]) -> None:
    horizon, load, store, streams = _stack(4)
    store = replace(store, wear_usd_per_kwh=0.03)
    terms = [t for name in names for t in streams[name]]
    found = cycling(horizon, load, [store], terms, "battery", method="highs")
    assert found.own_per_y > 0 and found.proved
    own = int(np.argmin(np.abs(found.cycles_per_y - found.own_per_y)))
    assert found.crossing_per_y[0] == pytest.approx(found.own_per_y)
    scale = 1e-6 * float(found.marginal_wear_usd.max())
    # concave: each cycle earns less than the last
    assert (np.diff(found.marginal_revenue_usd) <= scale).all()
    assert (found.marginal_revenue_usd[:own] >= found.marginal_wear_usd[:own] - scale).all()
    assert (found.marginal_revenue_usd[own:] <= found.marginal_wear_usd[own:] + scale).all()
    net = found.revenue_usd - found.wear_usd
    assert net[own] == pytest.approx(net.max())


def test_the_frontier_of_cycles_is_what_a_cap_on_them_finds() -> None:
    """An independent way to the same curve: no price, but a cap on the kWh given."""
    horizon, load, store, streams = _stack(4)
    store = replace(store, wear_usd_per_kwh=0.03)
    found = cycling(horizon, load, [store], streams["tariff"], "battery", method="highs")
    kwh = 150.0 * N / 8760
    free = replace(store, wear_usd_per_kwh=0.0)

    def most(cycles: float) -> float:
        cap = Limit("battery", "cycles", Measure("discharge", asset="battery"), "sum", upper=cycles * kwh,
                    window=np.zeros(N, dtype=np.int64))  # fmt: skip
        return -optimise(horizon, load, [free], [*streams["tariff"], cap], method="highs").objective_usd

    base = most(float(found.cycles_per_y[0]))
    for cycles, usd in zip(found.cycles_per_y[1:], found.revenue_usd[1:]):
        assert most(float(cycles)) - base == pytest.approx(float(usd), abs=1e-4)


@given(st.lists(st.floats(-1e5, 1e5), min_size=16, max_size=16), st.data())
def test_items_of_a_share_sum_to_it(usd: list[float], data: st.DataObject) -> None:
    """Whatever the items are: they come and go with the subsets, and move with them."""
    moved = data.draw(st.lists(st.floats(-1e4, 1e4), min_size=16, max_size=16))
    money: dict[frozenset[object], dict[object, float]] = {}
    for s, a, b in zip(subsets(LAYERS), usd, moved):
        money[s] = {(layer, "own"): a * layer for layer in LAYERS if layer in s} | {(0, "wear"): b}
    shares = shapley({s: fsum(m.values()) for s, m in money.items()}, LAYERS)
    parts = item_shares(money, LAYERS)
    for layer in LAYERS:
        assert fsum(parts[layer].values()) == pytest.approx(shares[layer], abs=1e-6)
    by_item = {item: fsum(parts[p][item] for p in LAYERS) for item in parts[1]}
    whole, none = money[frozenset(LAYERS)], money[frozenset()]
    for item, total in by_item.items():  # and over the players to what the item came to
        assert total == pytest.approx(whole.get(item, 0.0) - none.get(item, 0.0), abs=1e-6)
