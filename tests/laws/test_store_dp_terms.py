"""Whatever the recogniser takes, the kernel's plan costs what HiGHS finds, and its bound is one."""

from __future__ import annotations

from collections import Counter
from math import inf

import numpy as np
import pytest

from valuestack.errors import InfeasibleError
from valuestack.flows import Given, Store
from valuestack.stack.optimise import optimise
from valuestack.stack.recognise import Refusal, recognise
from valuestack.terms import Block, Carry, Floor, Limit, Measure, Minimum, Payment, Term
from valuestack.timeline import Ints, Kw, Timeline

Rng = np.random.Generator


def each(name: str, flow: str, price: float | Kw, window: Ints, weight: float = 1.0) -> Payment:
    return Payment(
        "u",
        name,
        Measure(flow),  # type: ignore[arg-type]
        "each",
        window,
        (Block(inf, price),),
        weight=weight,
    )


def extras(rng: Rng, day: Ints, hour: Ints, total_kwh: float) -> dict[str, list[Term]]:
    """Terms of every shape that the recogniser looks at, some of which it must refuse."""
    n = day.size
    days, zero, dear = int(day[-1]) + 1, np.zeros(n, dtype=np.int64), (hour >= 16) & (hour < 21)
    p = [float(x) for x in np.round(rng.uniform(0.01, 0.3, 4), 3)]
    peak = [float(x) for x in np.round(rng.uniform(0.5, 20.0, 4), 2)]
    at = float(rng.uniform(0.1, 2.0)) * total_kwh
    inside = np.where(dear, day, -1)
    both = (Block(at, p[0]), Block(inf, p[1]))

    def payment(
        name: str, flow: str, over: str, window: Ints, blocks: tuple[Block, ...], **more: object
    ) -> Payment:
        return Payment("u", name, Measure(flow), over, window, blocks, **more)  # type: ignore[arg-type]

    return {
        "tiers": [
            payment("tiers", "import", "sum", zero, both, so_far=np.array([at * rng.choice([0, 0.4])]))
        ],
        "dear tiers": [payment("dear tiers", "import", "sum", np.where(dear, 0, -1), both)],
        "net tiers": [payment("net tiers", "net", "sum", day, both)],
        "bank": [
            payment("bank", "net", "sum", zero, (Block(inf, p[2]),), carry=Carry("kwh", np.array([-1])))
        ],
        "pool": [
            payment("pool a", "import", "sum", np.where(dear, 0, -1), both, pool="pool"),
            payment(
                "pool b",
                "import",
                "sum",
                np.where(dear, -1, 0),
                (Block(at, p[0] + 0.1), Block(inf, p[1] + (0.1 if rng.random() < 0.6 else 0.2))),
                pool="pool",
            ),
        ],
        "weight": [each("cpp", "import", 1.5, inside, weight=0.2)],
        "daily": [payment("daily", "import", "max", day, (Block(inf, np.array(peak * days)[:days]),))],
        "credit": [
            payment("timed", "import", "max", inside, (Block(inf, peak[0] + 5),), so_far=np.full(days, 30.0)),
            payment("credit", "import", "max", inside, (Block(inf, -5.0),), so_far=np.full(days, 30.0)),
        ],
        "declining": [payment("block", "import", "max", zero, (Block(40.0, peak[0]), Block(inf, 0.5)))],
        "rising": [
            payment("rise", "import", "max", zero, (Block(60.0, 1.0), Block(90.0, 2.0), Block(inf, 3.0)))
        ],
        "net peak": [payment("net peak", "net", "max", zero, (Block(inf, peak[1]),))],
        "ratchet": [
            payment(
                "ratchet",
                "import",
                "max",
                day,
                (Block(inf, peak[2]),),
                floors=(
                    Floor(0, least=50.0),
                    *(Floor(d, least=20.0, share=0.8, of_windows=tuple(range(d))) for d in range(1, days)),
                ),
            )
        ],
        "minimum": [Minimum("u", "least", ("energy",), zero, np.array([float(rng.choice([1.0, 1e4]))]))],
        "net limit": [Limit("grid", "cap", Measure("net"), "each", -100.0, 400.0)],
        "reserve": [
            Limit(
                "outage",
                "reserve",
                Measure("stored", asset="battery"),
                "each",
                lower=np.where(dear, 25.0, -inf),
            )
        ],
        "slow": [Limit("warranty", "slow", Measure("discharge", asset="battery"), "each", upper=25.0)],
        "vars": [payment("vars", "kvar", "max", zero, (Block(inf, 0.4),))],
    }


def case(seed: int) -> tuple[Timeline, Kw, list[Store | Given], list[Term], dict[str, float]]:
    rng = np.random.default_rng(seed)
    n = 24 * int(rng.integers(2, 5))
    timeline = Timeline(start="2018-03-09T00:00", step_h=1.0, n=n, tz="UTC")
    hour = np.arange(n) % 24
    load = 60 + 30 * np.sin((hour - 9) / 24 * 2 * np.pi) + rng.gamma(1.5, 8.0, n)
    feeds = rng.random() < 0.4
    solar = -rng.uniform(0, 150) * np.clip(np.sin((hour - 6) / 12 * np.pi), 0, None)
    if not feeds:
        solar = np.maximum(solar, -load)
    power, energy = float(rng.uniform(10, 50)), float(rng.uniform(40, 120))
    store = Store(
        "battery",
        np.full(n, power),
        np.full(n, power),
        np.full(n + 1, 5.0),
        np.full(n + 1, energy),
        0.6 * energy,
        float(rng.uniform(0.8, 1)),
        float(rng.uniform(0.8, 1)),
        energy_end_min_kwh=float(rng.choice([-inf, 0.5 * energy])),
        end_value_usd_per_kwh=float(rng.choice([0.0, 0.05])),
        drain_kw=np.full(n, float(rng.choice([0.0, 0.1]))),
        aux_kw=np.full(n, float(rng.choice([0.0, 0.5]))),
        wear_usd_per_kwh=float(rng.choice([0.0, 0.03])),
    )
    zero = np.zeros(n, dtype=np.int64)
    dear = (hour >= 16) & (hour < 21)
    terms: list[Term] = [
        each("energy", "import", 0.05 + 0.2 * dear * rng.random(), zero),
        Payment("u", "flat", Measure("import"), "max", zero, (Block(inf, float(rng.uniform(0, 20))),)),
    ]
    if feeds:
        terms.append(each("feed", "export", -0.04, zero))
    shapes = extras(rng, np.arange(n) // 24, hour, float(load.sum()))
    for name in rng.choice(list(shapes), size=2, replace=False).tolist():
        terms += shapes[name]
    return timeline, load, [store, Given("sun", solar)], terms, {"export_limit_kw": inf if feeds else 0.0}


@pytest.mark.parametrize("part", range(6))
def test_what_is_recognised_costs_what_highs_finds(part: int) -> None:
    taken: Counter[str] = Counter()
    for seed in range(1000 * part, 1000 * part + 40):
        timeline, load, offers, terms, limits = case(seed)
        found = recognise(timeline, load, offers, terms, **limits)
        try:
            judge = optimise(timeline, load, offers, terms, method="highs", **limits)
        except InfeasibleError:
            continue
        plan = optimise(timeline, load, offers, terms, method="auto", **limits)
        if plan.method == "highs":
            assert isinstance(found, Refusal) or "minimum" in plan.why[0], plan.why
            taken["highs"] += 1
            continue
        taken["kernel"] += 1
        scale = max(1.0, abs(judge.objective_usd))
        assert plan.objective_usd == pytest.approx(judge.objective_usd, abs=2e-6 * scale), seed
        assert plan.lower_bound_usd <= judge.objective_usd + 1e-7 * scale, seed
        assert plan.gap_usd <= 2e-6 * scale, seed
        assert sum(plan.term_usd.values()) == pytest.approx(plan.objective_usd, abs=1e-9 * scale)
    assert taken["kernel"] >= 15, taken


def test_tiers_by_the_hour_of_day_can_be_crossed_day_by_day() -> None:
    """A battery moves its energy out of the dear hours every day: the month's dear energy is not pinned by one
    cycle of the store."""
    n = 24 * 30
    timeline = Timeline(start="2018-03-01T00:00", step_h=1.0, n=n, tz="UTC")
    dear = np.isin(np.arange(n) % 24, (17, 18))
    load = np.full(n, 50.0)
    store = Store("battery", np.full(n, 40.0), np.full(n, 40.0), np.zeros(n + 1), np.full(n + 1, 80.0), 0.0)
    blocks = (Block(2000.0, 0.5), Block(inf, 0.1))  # 3,000 kWh fall in the dear hours; 80 kWh a day can leave
    terms: list[Term] = [Payment("u", "dear", Measure("import"), "sum", np.where(dear, 0, -1), blocks)]
    found = recognise(timeline, load, [store], terms)
    assert isinstance(found, Refusal) and "tier bound" in found.reason
    sure = [
        Payment("u", "dear", Measure("import"), "sum", np.where(dear, 0, -1), (Block(500.0, 0.5), blocks[1]))
    ]
    assert not isinstance(recognise(timeline, load, [store], sure), Refusal)


def test_charges_on_the_same_intervals_are_added() -> None:
    """A critical-peak credit lowers a demand charge; alone it would pay for peaks."""
    n = 48
    timeline = Timeline(start="2018-03-01T00:00", step_h=1.0, n=n, tz="UTC")
    store = Store("battery", np.full(n, 9.0), np.full(n, 9.0), np.zeros(n + 1), np.full(n + 1, 20.0), 10.0)
    dear = np.where(np.arange(n) % 24 > 15, 0, -1)
    charge = Payment("u", "peak", Measure("import"), "max", dear, (Block(inf, 20.0),))
    credit = Payment("u", "credit", Measure("import"), "max", dear, (Block(inf, -12.0),))
    load = 50 + 20.0 * (np.arange(n) % 24 == 18)
    found = recognise(timeline, load, [store], [charge, credit])
    assert not isinstance(found, Refusal)
    assert found[0].tiers == [((inf, 8.0),)]
    alone = recognise(timeline, load, [store], [credit])
    assert isinstance(alone, Refusal) and "pays for peaks" in alone.reason
