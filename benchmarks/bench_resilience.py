"""Survival of outages from every start: without chance over a 15-minute year, by a Markov chain over an hourly one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.clock import Row, cpu_s
from valuestack.dispatch import Series, World
from valuestack.flows import Backup
from valuestack.streams.resilience.backing import Backing, Cell, Engine
from valuestack.streams.resilience.survival import Group, Held, survive
from valuestack.timeline import Kw, Timeline

HORIZON_H = 96.0


def critical_kw(timeline: Timeline) -> Kw:
    """A seeded critical load with days and noise, about 1.4 MW."""
    rng = np.random.default_rng(2026)
    day = 300 * np.sin((timeline.hour - 9) / 24 * 2 * np.pi)
    return np.maximum(1400 + day + rng.normal(0, 60, timeline.n), 0.0)


def site(timeline: Timeline) -> Backing:
    """Two engines of 1 MW with fuel for three days and a battery of 500 kW."""
    need = critical_kw(timeline)
    backup = Backup(
        "engines", 2000.0, fuel_gal=10_400.0, fuel_pieces=((np.inf, 0.0763),), units=2, tank_gal=10_400.0
    )
    engine = Engine("engines", backup, np.full(timeline.n, 2000.0), False)
    cell = Cell("battery", 500.0, 100.0, 2000.0, 0.95, 0.95, 1000.0, 500.0)
    world = World(timeline, {"load_kw": Series("load_kw", need, "kW")})
    return Backing(timeline, world["load_kw"], (engine,), (cell,))


def run(data: Path | None) -> list[Row]:
    """Rows for the deterministic walk and for the Markov chain."""
    quarter = Timeline(start="2018-01-01T00:00", step_h=0.25, n=35040, tz="Etc/GMT+5")
    hourly = Timeline(start="2018-01-01T00:00", step_h=1.0, n=8760, tz="Etc/GMT+5")
    return [_certain(site(quarter)), _chance(critical_kw(hourly), 1), _chance(critical_kw(hourly), 2)]


def _certain(backing: Backing) -> Row:
    n = backing.timeline.n
    rng = np.random.default_rng(1)
    stored, fuel = rng.uniform(0, 1800, n), np.full((1, n), 10_400.0)
    seconds = cpu_s(lambda: backing.carry(HORIZON_H, fuel, stored), repeats=5)
    steps, *_ = backing.carry(HORIZON_H, fuel, stored)
    start = np.arange(0, n, n // 200)
    few = backing.carry(HORIZON_H, fuel[:, start], stored[start], start)[0]
    same = bool((few == steps[start]).all())
    return Row(
        f"survival without chance, {n:,} starts x {HORIZON_H:g} h",
        seconds,
        goal="<= 0.5 s",
        met=seconds <= 0.5 and same,
        note=f"{np.mean(steps == backing.steps(HORIZON_H)):.1%} of starts carried, {steps.mean() / 4:.1f} h on average",
    )


def _chance(need_kw: Kw, kinds: int) -> Row:
    """`kinds` groups of two units each with a battery on a grid of 100 energies."""
    n = need_kw.size
    groups = [Group(f"g{i}", 2, 1000.0 / kinds) for i in range(kinds)]
    held = Held(500.0, 1900.0, np.random.default_rng(1).uniform(0, 1900, n))

    def walk() -> float:
        found = survive(
            need_kw, groups, step_h=1.0, horizon_h=HORIZON_H, held=held, common_cause_frac=0.05, bins=100
        )
        return found.at(48)

    seconds = cpu_s(walk, repeats=1)
    goal = "<= 10 s" if kinds == 1 else ""
    return Row(
        f"survival by Markov chain, {2 * kinds} units in {kinds} sizes, {n:,} starts x {HORIZON_H:g} h, 100 energies",
        seconds,
        goal=goal,
        met=seconds <= 10.0 if goal else None,
        note=f"48 h survived with {walk():.4f}",
    )
