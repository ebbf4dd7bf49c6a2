"""Small random problems, drawn by seed: a store, a load, and terms of every shape."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from valuestack.flows import Store
from valuestack.stack.optimise import stored_kwh
from valuestack.terms import Block, Carry, Floor, HoursUse, Limit, Measure, Minimum, Payment, Term
from valuestack.timeline import Kw, Timeline


@dataclass(frozen=True)
class Instance:
    horizon: Timeline
    load_kw: Kw
    store: Store
    terms: list[Term]
    export_limit_kw: float


def draw(seed: int, n: int = 6, *, negative_prices: bool = True) -> Instance:
    rng = np.random.default_rng(seed)
    horizon = Timeline(start="2018-01-31T21:00", step_h=1.0, n=n, tz="America/Los_Angeles")
    load = np.round(rng.uniform(20, 100, n), 1)
    export = float(rng.choice([0.0, 60.0]))
    if export:
        load -= np.round(rng.uniform(0, 90, n), 1)
        load = np.maximum(load, -50.0)
    power, energy = 40.0, 90.0
    store = Store(
        name="battery",
        charge_max_kw=np.full(n, power),
        discharge_max_kw=np.full(n, power),
        energy_min_kwh=np.zeros(n + 1),
        energy_max_kwh=np.full(n + 1, energy),
        energy_start_kwh=40.0,
        charge_efficiency_frac=0.95,
        discharge_efficiency_frac=0.93,
        energy_end_min_kwh=float(rng.choice([-inf, 40.0])),
        end_value_usd_per_kwh=float(rng.choice([0.0, 0.08])),
        wear_usd_per_kwh=0.01,
        loss_frac_per_h=float(rng.choice([0.0, 0.01])),
    )
    window = np.array([0] * (n // 2) + [1] * (n - n // 2))
    low = -0.1 if negative_prices else 0.02
    terms: list[Term] = [
        Payment(
            "retail",
            "energy",
            Measure("import"),
            "each",
            np.zeros(n, dtype=np.int64),
            (Block(inf, np.round(rng.uniform(low, 0.4, n), 3)),),
        )
    ]
    if export:
        terms.append(
            Payment(
                "retail",
                "export",
                Measure("export"),
                "each",
                np.zeros(n, dtype=np.int64),
                (Block(inf, -np.round(rng.uniform(0.0, 0.3, n), 3)),),
            )
        )
    for extra in rng.choice(len(EXTRAS), size=3, replace=False).tolist():
        terms += EXTRAS[extra](rng, window, n)
    return Instance(horizon, load, store, terms, export)


def _demand(rng: np.random.Generator, window: Kw, n: int) -> list[Term]:
    prices = np.round(rng.uniform(0.2, 4.0, 3), 2)
    return [
        Payment(
            "retail",
            "demand",
            Measure("import"),
            "max",
            window,
            (Block(30.0, prices[0]), Block(60.0, prices[1]), Block(inf, prices[2])),
        )
    ]


def _ratchet(rng: np.random.Generator, window: Kw, n: int) -> list[Term]:
    return [
        Payment(
            "retail",
            "ratchet",
            Measure("import"),
            "max",
            window,
            (Block(inf, 2.0),),
            so_far=np.array([float(rng.uniform(0, 60)), 0.0]),
            floors=(Floor(window=1, least=20.0, share=0.8, of_windows=(0,)),),
        )
    ]


def _tiers(rng: np.random.Generator, window: Kw, n: int) -> list[Term]:
    prices = np.round(rng.uniform(0.01, 0.3, 3), 3)
    return [
        Payment(
            "supply",
            "tiers",
            Measure("import"),
            "sum",
            window,
            (Block(90.0, prices[0]), Block(170.0, prices[1]), Block(inf, prices[2])),
        )
    ]


def _hours_use(rng: np.random.Generator, window: Kw, n: int) -> list[Term]:
    first, second = np.round(rng.uniform(0.02, 0.3, 2), 3)
    return [
        Payment("wires", "kw", Measure("import"), "max", window, (Block(inf, 1.0),)),
        Payment(
            "wires",
            "kwh",
            Measure("import"),
            "sum",
            window,
            (Block(HoursUse(2.0, "kw"), first), Block(inf, second)),
        ),
    ]


def _bank(rng: np.random.Generator, window: Kw, n: int) -> list[Term]:
    unit = "kwh" if rng.random() < 0.5 else "usd"
    return [
        Payment(
            "solar",
            "bank",
            Measure("net"),
            "sum",
            window,
            (Block(inf, np.round(rng.uniform(0.05, 0.3, 2), 3)),),
            carry=Carry(unit=unit, next_window=np.array([1, -1]), settle_usd_per_unit=0.03, start=5.0),
        )
    ]


def _minimum(rng: np.random.Generator, window: Kw, n: int) -> list[Term]:
    return [
        Payment("small", "a", Measure("import"), "sum", window, (Block(inf, 0.05),)),
        Payment("small", "b", Measure("import"), "max", window, (Block(50.0, 0.3), Block(inf, 0.1))),
        Minimum("small", "minimum", ("a", "b"), window, np.array([25.0, 12.0])),
    ]


def _pool(rng: np.random.Generator, window: Kw, n: int) -> list[Term]:
    day = np.arange(n) % 2 == 0
    step = float(np.round(rng.uniform(-0.1, 0.1), 3))
    return [
        Payment(
            "pooled",
            name,
            Measure("import"),
            "sum",
            np.where(mask, window, -1),
            (Block(100.0, base), Block(inf, base + step)),
            pool="cycle",
        )
        for name, mask, base in (("day", day, 0.2), ("night", ~day, 0.12))
    ]


def _event(rng: np.random.Generator, window: Kw, n: int) -> list[Term]:
    at = np.where(np.arange(n) >= n - 2, 0, -1)
    return [
        Payment(
            "grid",
            "event",
            Measure("import", reference_kw=np.full(n, 70.0)),
            "sum",
            at,
            (Block(0.0, 0.0), Block(60.0, -0.5), Block(inf, 0.0)),
            weight=0.7,
        )
    ]


def _cap(rng: np.random.Generator, window: Kw, n: int) -> list[Term]:
    return [
        Limit("warranty", "throughput", Measure("discharge", asset="battery"), "sum", upper=60.0),
        Limit(
            "resilience",
            "reserve",
            Measure("stored", asset="battery"),
            "each",
            lower=15.0,
            breach_usd_per_unit=0.2,
        ),
        Limit("grid", "ramp", Measure("net"), "ramp", lower=-45.0, upper=45.0, breach_usd_per_unit=0.3),
    ]


def _earning_peak(rng: np.random.Generator, window: Kw, n: int) -> list[Term]:
    return [Payment("odd", "credit", Measure("import"), "max", window, (Block(50.0, 1.0), Block(inf, -0.5)))]


EXTRAS = (_demand, _ratchet, _tiers, _hours_use, _bank, _minimum, _pool, _event, _cap, _earning_peak)


def random_power(instance: Instance, rng: np.random.Generator) -> Kw | None:
    """A plan that the store and the meter can follow, or None where chance found none."""
    o, step = instance.store, instance.horizon.step_h
    ec, ed = o.charge_efficiency_frac, o.discharge_efficiency_frac
    keep = (1 - o.loss_frac_per_h) ** step
    levels = np.array([-40.0, -20.0, -7.0, 0.0, 9.0, 20.0, 40.0])
    now, out = o.energy_start_kwh, []
    for k in range(instance.horizon.n):
        low = -min(40.0, now * keep * ed, instance.load_kw[k] + instance.export_limit_kw)
        high = min(40.0, (o.energy_max_kwh[k + 1] - now * keep) / ec)
        if low > high:
            return None
        p = float(np.clip(rng.choice(levels), low, high))
        now = now * keep + (p * ec if p > 0 else p / ed)
        out.append(p)
    power = np.array(out)
    return power if stored_kwh(o, power, step)[-1] >= o.energy_end_min_kwh - 1e-9 else None
