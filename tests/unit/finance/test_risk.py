"""Tails, errors and concentration: exact on small samples, and the two forms of CVaR agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.errors import InputError
from valuestack.finance.finance import Value
from valuestack.finance.risk import (
    base_layers,
    contractual_share,
    cvar_usd,
    exceeded,
    herfindahl,
    spread,
    standard_error,
    tornado,
)


def test_worked_tail() -> None:
    """Worst 30 % of ten equal outcomes 1..10: mean of 1, 2, 3. Worst 25 %: (1 + 2 + 3/2) / 2.5."""
    x = list(range(1, 11))
    assert cvar_usd(x, 0.3) == pytest.approx(2.0)
    assert cvar_usd(x, 0.25) == pytest.approx(4.5 / 2.5)
    assert cvar_usd(x, 1.0) == pytest.approx(5.5)
    # with weights: 10 % of -100, 90 % of +10: worst 20 % = (0.1 x -100 + 0.1 x 10) / 0.2
    assert cvar_usd([10.0, -100.0], 0.2, np.array([0.9, 0.1])) == pytest.approx(-45.0)


@settings(max_examples=100, deadline=None)
@given(
    x=st.lists(st.floats(-1e5, 1e5), min_size=1, max_size=30),
    tail=st.floats(0.02, 1.0),
    seed=st.integers(0, 9),
)
def test_sorted_form_is_the_minimum_of_rockafellar_and_uryasev(
    x: list[float], tail: float, seed: int
) -> None:
    """min over eta of eta + E[(loss - eta)+] / tail is attained at an outcome: brute force over all of them."""
    w = np.random.default_rng(seed).random(len(x)) + 0.01
    w /= w.sum()
    loss = -np.array(x)
    brute = min(eta + float(w @ np.maximum(loss - eta, 0)) / tail for eta in loss)
    assert -cvar_usd(x, tail, w) == pytest.approx(brute, rel=1e-9, abs=1e-6)


def test_exceedance_and_spread() -> None:
    x = np.arange(101.0)
    assert exceeded(x, 0.9) == pytest.approx(10.0) and exceeded(x, 0.1) == pytest.approx(90.0)
    assert exceeded([1.0, 2.0, 3.0], 0.5, np.array([0.2, 0.2, 0.6])) == 3.0
    assert exceeded([1.0, 2.0, 3.0], 0.9, np.array([0.2, 0.2, 0.6])) == 1.0
    s = spread(x - 10)
    assert (s.p90_usd, s.p50_usd, s.p10_usd) == pytest.approx((0.0, 40.0, 80.0))
    assert s.loss_frac == pytest.approx(10 / 101)
    assert s.tail_usd == pytest.approx(cvar_usd(x - 10, 0.05))


def test_standard_error_shrinks_as_it_should() -> None:
    assert standard_error([1.0, 3.0]) == pytest.approx(1.0)
    assert standard_error([5.0]) == float("inf")
    rng = np.random.default_rng(1)
    means = [rng.normal(size=400).mean() for _ in range(400)]
    assert np.std(means) == pytest.approx(standard_error(rng.normal(size=400)), rel=0.15)


def test_one_volatile_stream_is_called_out() -> None:
    values = [
        Value("lcfs", 4, 80.0, "market"),
        Value("tariff", 1, 20.0, "contractual"),
        Value("fuel", 0, -5.0),
    ]
    assert herfindahl(values) == pytest.approx(0.64 + 0.04) and contractual_share(values) == pytest.approx(
        0.2
    )
    found = base_layers(-1.0, values)
    assert not found.passes and "lcfs (market), a single stream" in found.verdict
    assert base_layers(0.0, values[1:2]).passes and herfindahl([]) == 0.0
    split = [Value("a", 1, 5.0), Value("b", 1, 5.0)]
    assert herfindahl(split) == pytest.approx(0.5)


def test_tornado_orders_by_width() -> None:
    bars = tornado(lambda i: 3 * i["a"] + i["b"] ** 2, {"a": 1, "b": 1}, {"a": (0, 2), "b": (0, 4)})
    assert [b.name for b in bars] == ["b", "a"]
    assert (bars[0].low_usd, bars[0].high_usd, bars[1].width_usd) == (3.0, 19.0, 6.0)
    with pytest.raises(InputError, match="no input 'c'"):
        tornado(lambda i: 0.0, {"a": 1}, {"c": (0, 1)})


@pytest.mark.parametrize(
    "call", [lambda: cvar_usd([], 0.5), lambda: cvar_usd([1.0], 0.0), lambda: exceeded([1.0], 2.0)]
)
def test_bad_input_is_refused(call) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError):
        call()
