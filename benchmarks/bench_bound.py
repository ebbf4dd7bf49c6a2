"""The annual perfect-foresight bound: the fast kernel against HiGHS (dual simplex, one thread, import eliminated)."""

from __future__ import annotations

import time
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clock import Row, cpu_s
from valuestack.flows import Store
from valuestack.solve.highs import Warm
from valuestack.solve.store_dp import billed_usd, energy_usd, peaks_of, plan
from valuestack.stack.compile import compile_problem
from valuestack.stack.recognise import Refusal, fast, recognise
from valuestack.terms import Block, Measure, Payment
from valuestack.timeline import Kw, Timeline


def tariff(timeline: Timeline) -> list[Payment]:
    """Three energy prices, a flat and two timed demand charges: 28 windows a year, like a large Californian rate."""
    summer = np.isin(timeline.month, (6, 7, 8, 9))
    peak = (timeline.hour >= 16) & (timeline.hour < 21)
    part = ((timeline.hour >= 14) & (timeline.hour < 16)) | ((timeline.hour >= 21) & (timeline.hour < 23))
    price = np.where(summer, np.where(peak, 0.21, np.where(part, 0.165, 0.135)), np.where(peak, 0.175, 0.136))
    month = timeline.month_id - timeline.month_id[0]
    zero = np.zeros(timeline.n, dtype=np.int64)
    timed = np.where(summer, 30.0, 2.0)
    return [
        Payment("utility", "energy", Measure("import"), "each", zero, (Block(inf, price),)),
        Payment("utility", "flat", Measure("import"), "max", month, (Block(inf, 25.0),)),
        Payment(
            "utility",
            "peak",
            Measure("import"),
            "max",
            np.where(peak, month, -1),
            (Block(inf, np.array([timed[month == m][0] for m in range(int(month.max()) + 1)])),),
        ),
        Payment(
            "utility",
            "part",
            Measure("import"),
            "max",
            np.where(part & summer, month - int(month[summer].min(initial=month[-1])), -1),
            (Block(inf, 6.5),),
        ),
    ]


def battery(n: int, kw: float, kwh: float) -> Store:
    return Store(
        "battery",
        np.full(n, kw),
        np.full(n, kw),
        np.full(n + 1, 0.05 * kwh),
        np.full(n + 1, kwh),
        0.5 * kwh,
        0.94,
        0.94,
        0.5 * kwh,
        wear_usd_per_kwh=0.02,
    )


def synthetic(timeline: Timeline, kind: str) -> Kw:
    """Seeded loads: an office-like one with noise, the same stuck at one value for two thirds, a spiky one."""
    rng = np.random.default_rng(2026)
    work = (timeline.weekday < 5) & (timeline.hour >= 7) & (timeline.hour < 19)
    season = 1 + 0.25 * np.sin((timeline.month - 4) / 12 * 2 * np.pi)
    kw = 500 + 700 * work * season + rng.normal(0, 40, timeline.n)
    if kind == "stuck meter":
        kw[timeline.n // 3 :] = 787.2
    if kind == "spiky":
        kw = 300 + 60 * work + 900 * (rng.random(timeline.n) < 0.02) + rng.normal(0, 10, timeline.n)
    return np.maximum(kw, 0.0)


def run(data: Path | None) -> list[Row]:
    """Rows for clean and degenerate loads at 15 minutes and an hour."""
    quarter = Timeline(start="2018-01-01T00:00", step_h=0.25, n=35040, tz="Etc/GMT+8")
    hourly = Timeline(start="2018-01-01T00:00", step_h=1.0, n=8760, tz="Etc/GMT+8")
    cases: list[tuple[str, Timeline, Kw, str, float, float]] = [
        ("office, 15 min", quarter, synthetic(quarter, "clean"), "<= 0.15 s and >= 20x", 0.15, 20),
        ("spiky, 15 min", quarter, synthetic(quarter, "spiky"), "<= 0.15 s and >= 20x", 0.15, 20),
        ("stuck meter, 15 min", quarter, synthetic(quarter, "stuck meter"), ">= 100x", inf, 100),
        ("office, hourly", hourly, synthetic(hourly, "clean"), "<= 0.08 s", 0.08, 0),
    ]
    cases += _real(data, quarter)
    return [*(_row(*case) for case in cases), _short(quarter)]


def _part(t: Payment, first: int, n: int, so_far_kw: float) -> Payment:
    """A charge of the year over a few of its intervals, its windows numbered anew, with a peak so far."""
    price, window = np.asarray(t.blocks[0].usd_per_unit), t.window[first : first + n]
    if t.over == "each":
        return replace(t, window=window, blocks=(Block(inf, price[first : first + n]),))
    kept, number = np.unique(window[window >= 0], return_inverse=True)
    window = window.copy()
    window[window >= 0] = number
    usd = price[kept] if price.ndim else np.full(kept.size, float(price))
    return replace(t, window=window, blocks=(Block(inf, usd),), so_far=np.full(kept.size, so_far_kw))


def _short(year: Timeline, intervals: int = 96, states: int = 60) -> Row:
    """A day ahead from random states of charge and peaks so far, as a closed loop asks for it."""
    rng = np.random.default_rng(7)
    kw = synthetic(year, "clean")
    kept, problems = [], []
    for k in rng.integers(0, year.n - intervals, states):
        day = year.part(int(k), intervals)
        store = battery(intervals, 300.0, 1200.0)
        store = replace(
            store,
            energy_start_kwh=float(rng.uniform(100, 1200)),
            energy_end_min_kwh=-inf,
            end_value_usd_per_kwh=0.12,
        )
        mine = kw[k : k + intervals]
        terms = [_part(t, int(k), intervals, float(rng.uniform(0.5, 1)) * mine.max()) for t in tariff(year)]
        found = recognise(day, mine, [store], terms)
        assert not isinstance(found, Refusal)
        kept.append(found[0])
        problems.append(compile_problem(day, mine, [store], terms).problem)
    answers = [plan(p) for p in kept]
    seconds = cpu_s(lambda: [plan(p) for p in kept], repeats=5) / states
    start = time.process_time()
    judged = [Warm(p).run().objective for p in problems]
    off = max(abs(a.upper - j) / abs(j) for a, j in zip(answers, judged))
    return Row(
        "a day ahead at 15 min from a random state",
        seconds,
        "HiGHS dual simplex, cold",
        (time.process_time() - start) / states,
        "off by <= 1e-8",
        off <= 1e-8,
        f"worst off HiGHS by {off:.1e}; {np.mean([a.rounds for a in answers]):.1f} walks on average, "
        f"{sum(a.rounds == 1 for a in answers)} of {states} states need one",
    )


def _real(data: Path | None, timeline: Timeline) -> list[tuple[str, Timeline, Kw, str, float, float]]:
    if data is None:
        return []
    import pandas as pd

    out = []
    for name, file in (
        ("steel works", "steel_gwangyang_kr_2018_15min"),
        ("plant", "reopt_madison_wi_recast2018_15min"),
    ):
        kw = pd.read_parquet(data / "load" / f"{file}.parquet").kw.to_numpy(float)
        out.append((f"{name}, 15 min", timeline, kw, "<= 0.15 s and >= 20x", 0.15, 20.0))
    stuck = pd.read_parquet(data / "load" / "dirty" / "epri_sample_5min_stuck_meter_2019.parquet")
    column = next(c for c in stuck.columns if "kw" in c.lower())
    kw = stuck[column].to_numpy(float)[: 3 * timeline.n].reshape(-1, 3).mean(axis=1)
    out.append(("metered, stuck for 67 %, 15 min", timeline, np.nan_to_num(kw), ">= 100x", inf, 100.0))
    return out


def _row(name: str, timeline: Timeline, kw: Kw, goal: str, most_s: float, least_ratio: float) -> Row:
    store, terms = battery(timeline.n, 0.4 * float(kw.max()), 1.6 * float(kw.max())), tariff(timeline)

    def kernel() -> Any:
        made = fast(
            timeline, kw, [store], terms, load_kvar=None, import_limit_kw=inf, export_limit_kw=0.0, gap=1e-6
        )
        assert not isinstance(made, str), made
        return made

    made = kernel()
    seconds = cpu_s(kernel, repeats=5)
    problem = compile_problem(timeline, kw, [store], terms).problem
    start = time.process_time()
    judge = Warm(problem).run()
    judged = time.process_time() - start
    found = recognise(timeline, kw, [store], terms)
    assert not isinstance(found, Refusal)
    idle, p = np.zeros(timeline.n), found[0]
    saving = energy_usd(p, idle) + billed_usd(p, peaks_of(p, p.load)) - judge.objective
    gap = (made.objective_usd - made.lower_bound_usd) / saving
    off = (made.objective_usd - judge.objective) / saving
    met = seconds <= most_s and judged / seconds >= least_ratio and gap <= 1e-6 and abs(off) <= 1e-6
    return Row(
        f"annual bound, {name}",
        seconds,
        "HiGHS dual simplex",
        judged,
        goal,
        met,
        f"own gap {gap:.1e}, off HiGHS by {off:+.1e} of the saving",
    )
