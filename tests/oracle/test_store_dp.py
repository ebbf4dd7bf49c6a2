"""The fast bound held to HiGHS: random states, profiles clean and degenerate, and the cuts themselves."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.flows import Given, Store
from valuestack.solve.store_dp import billed_usd, energy_usd, peaks_of, solve
from valuestack.stack.optimise import optimise
from valuestack.stack.recognise import Refusal, recognise
from valuestack.terms import Block, Claim, Floor, Limit, Measure, Payment, Term
from valuestack.timeline import Kw, Timeline

ZONE = "America/Los_Angeles"


def battery(
    n: int,
    *,
    power: float = 100.0,
    energy: float = 200.0,
    start: float | None = None,
    ec: float = 0.94,
    ed: float = 0.92,
    wear: float = 0.0,
    end: float = -inf,
    drain: float = 0.0,
) -> Store:
    return Store(
        "battery",
        np.full(n, power),
        np.full(n, power),
        np.full(n + 1, 0.1 * energy),
        np.full(n + 1, energy),
        0.5 * energy if start is None else start,
        ec,
        ed,
        end,
        drain_kw=np.full(n, drain) if drain else None,
        wear_usd_per_kwh=wear,
    )


def tariff(
    timeline: Timeline,
    *,
    flat: float = 20.0,
    timed: float = 15.0,
    ratchet: float = 0.0,
    sell: float = 0.0,
    spread: float = 0.1,
) -> list[Term]:
    """Time-of-use energy, a flat and an afternoon demand charge, a ratchet over months."""
    dear = (timeline.hour >= 16) & (timeline.hour < 21)
    month = timeline.month_id - timeline.month_id[0]
    zero = np.zeros(timeline.n, dtype=np.int64)
    months = int(month[-1]) + 1
    floors = (
        tuple(
            Floor(m, least=30.0 if m == 0 else 0.0, share=ratchet, of_windows=tuple(range(m)))
            for m in range(months)
        )
        if ratchet
        else ()
    )
    out: list[Term] = [
        Payment("utility", "energy", Measure("import"), "each", zero, (Block(inf, 0.1 + spread * dear),)),
        Payment("utility", "flat", Measure("import"), "max", month, (Block(inf, flat),), floors=floors),
    ]
    if timed:
        out.append(
            Payment(
                "utility", "timed", Measure("import"), "max", np.where(dear, month, -1), (Block(inf, timed),)
            )
        )
    if sell:
        out.append(Payment("utility", "sell", Measure("export"), "each", zero, (Block(inf, -sell),)))
    return out


def load(timeline: Timeline, seed: int, kind: str = "clean") -> Kw:
    rng = np.random.default_rng(seed)
    shape = 300 + 150 * np.clip(np.sin((timeline.hour - 7) / 14 * np.pi), 0, None) * (timeline.weekday < 5)
    noisy = shape + rng.gamma(1.2, 40.0, timeline.n)
    if kind == "filler":
        noisy[timeline.n // 3 :] = 157.44
    if kind == "quantised":
        noisy = np.round(noisy / 25) * 25
    if kind == "surplus":
        noisy = noisy - 700 * np.clip(np.sin((timeline.hour - 6) / 12 * np.pi), 0, None)
    if kind == "spiky":
        noisy = 40 + 500 * (rng.random(timeline.n) < 0.03)
    return noisy


def both(
    timeline: Timeline, kw: Kw, store: Store, terms: list[Term], **limits: float
) -> tuple[float, float, float]:
    fast = optimise(timeline, kw, [store], terms, method="fast", **limits)
    judge = optimise(timeline, kw, [store], terms, method="highs", **limits)
    return fast.objective_usd, fast.lower_bound_usd, judge.objective_usd


@pytest.mark.slow
def test_400_random_states_agree_with_highs() -> None:
    rng = np.random.default_rng(42)
    worst = 0.0
    for case in range(400):
        n = int(rng.integers(60, 200))
        timeline = Timeline(
            start=f"2019-{rng.integers(1, 13):02}-{rng.integers(1, 29):02}T00:00", step_h=0.25, n=n, tz="UTC"
        )
        energy = float(rng.uniform(50, 600))
        store = battery(
            n,
            power=float(rng.uniform(20, 200)),
            energy=energy,
            start=float(rng.uniform(0.1, 1.0)) * energy,
            ec=float(rng.uniform(0.8, 1)),
            ed=float(rng.uniform(0.8, 1)),
            wear=float(rng.uniform(0, 0.06)),
            drain=float(rng.choice([0.0, 0.2])),
        )
        terms = tariff(
            timeline,
            flat=float(rng.uniform(0, 30)),
            timed=float(rng.choice([0.0, 25.0])),
            ratchet=float(rng.choice([0.0, 0.8])),
            spread=float(rng.uniform(0, 0.3)),
        )
        # Peaks so far are floors of the open windows.
        so_far = float(rng.uniform(0, 500))
        terms[1] = Payment(
            "utility",
            "flat",
            Measure("import"),
            "max",
            np.zeros(n, dtype=np.int64),
            (Block(inf, float(rng.uniform(1, 30))),),
            floors=(Floor(0, least=so_far),),
        )
        kw = load(timeline, case, str(rng.choice(["clean", "filler", "quantised", "spiky"])))
        upper, lower, judge = both(timeline, kw, store, terms)
        scale = max(1.0, abs(judge))
        worst = max(worst, abs(upper - judge) / scale)
        assert upper == pytest.approx(judge, abs=2e-6 * scale), case
        assert lower <= judge + 1e-7 * scale, (case, "a bound above the optimum is no bound")
    assert worst < 2e-6


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clean", "filler", "quantised", "spiky", "surplus"])
def test_five_profiles_over_a_quarter_with_ratchet(kind: str) -> None:
    timeline = Timeline(start="2019-01-01T00:00", step_h=0.25, n=96 * 90, tz=ZONE)
    store = battery(timeline.n, power=150.0, energy=400.0, wear=0.01, end=200.0)
    sell = 0.04 if kind == "surplus" else 0.0
    terms = tariff(timeline, ratchet=0.8, sell=sell)
    sell = 0.04 if kind == "surplus" else 0.0
    terms, kw = tariff(timeline, ratchet=0.8, sell=sell), load(timeline, 5, kind)
    limits = {"export_limit_kw": inf} if sell else {}
    upper, lower, judge = both(timeline, kw, store, terms, **limits)
    found = recognise(timeline, kw, [store], terms, **limits)
    assert not isinstance(found, Refusal)
    problem = found[0]
    saving = energy_usd(problem, 0 * kw) + billed_usd(problem, peaks_of(problem, kw)) - judge
    assert abs(upper - judge) <= 1e-6 * saving + 1e-8 * abs(judge)
    assert lower <= judge + 1e-8 * abs(judge)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000), power=st.floats(10, 300), energy=st.floats(20, 900), wear=st.floats(0, 0.1)
)
def test_dispatch_keeps_every_limit_and_costs_what_it_says(
    seed: int, power: float, energy: float, wear: float
) -> None:
    timeline = Timeline(start="2019-01-28T00:00", step_h=0.25, n=96 * 8, tz=ZONE)
    store = battery(timeline.n, power=power, energy=energy, wear=wear)
    kw, terms = load(timeline, seed), tariff(timeline, ratchet=0.7)
    found = recognise(timeline, kw, [store], terms)
    assert not isinstance(found, Refusal)
    problem, _ = found
    answer = solve(problem)
    eps = 1e-6 * max(1.0, energy)
    assert (np.abs(answer.power) <= power + eps).all()
    assert (answer.stored >= store.energy_min_kwh[1:] - eps).all() and (
        answer.stored <= store.energy_max_kwh[1:] + eps
    ).all()
    assert (kw + answer.power >= -eps).all(), "nothing may be fed in"
    gain = np.where(answer.power > 0, 0.94 * answer.power, answer.power / 0.92) * 0.25
    np.testing.assert_allclose(
        np.cumsum(gain) + store.energy_start_kwh, answer.stored, atol=1e-6 * max(1.0, energy)
    )
    usd = energy_usd(problem, answer.power) + billed_usd(problem, peaks_of(problem, kw + answer.power))
    assert usd == pytest.approx(answer.upper, rel=1e-9)
    assert answer.upper - answer.lower <= 1e-5 * abs(answer.upper)


def test_what_it_does_not_take_is_said() -> None:
    timeline = Timeline(start="2019-01-01T00:00", step_h=0.25, n=96, tz=ZONE)
    kw, store, terms = np.full(96, 100.0), battery(96), tariff(timeline)
    zero = np.zeros(96, dtype=np.int64)

    def reason(extra: list[Term] | None = None, offers: list[Store | Given] | None = None) -> str:
        found = recognise(timeline, kw, offers or [store], [*terms, *(extra or [])])
        return found.reason if isinstance(found, Refusal) else ""

    assert reason() == ""
    assert "two" in reason(offers=[store, battery(96)]) or "2 stores" in reason(offers=[store, battery(96)])
    assert "claim" in reason([Claim("iso", "reg", "up", np.ones(96), ("battery",))])
    assert "limit" in reason([Limit("x", "soft", Measure("net"), "each", upper=1.0, breach_usd_per_unit=2.0)])
    assert "longer means" in reason(
        [Payment("u", "half-hour", Measure("import", average_h=0.5), "max", zero, (Block(inf, 1.0),))]
    )
    assert "declining" in reason(
        [Payment("u", "d", Measure("import"), "max", zero, (Block(5.0, 2.0), Block(inf, 1.0)))]
    )
    assert "tier bound" in reason(
        [Payment("u", "t", Measure("import"), "sum", zero, (Block(2400.0, 0.2), Block(inf, 0.1)))]
    )
    assert (
        reason([Payment("u", "t", Measure("import"), "sum", zero, (Block(10.0, 0.2), Block(inf, 0.1)))]) == ""
    ), "pinned"
    assert "below zero" in reason([Payment("u", "n", Measure("import"), "each", zero, (Block(inf, -2.0),))])
