"""Writes docs/explanation/comparison.md: methods A, B and C beside two plain baselines on the shipped sites.

    python -m tests.evidence.comparison_table [--minutes 15] [case ...]

Every figure is of whole years run in the loop of `valuestack simulate` and settled by each stream's own rule. All
policies of a case see the same futures (the same drawn load, prices, calls and outages), so differences are taken
future by future, and their error is that of the mean of the differences. A case takes as many futures as fit into its
share of the minutes, which is set before anything is run, and at least `LEAST`; how many, and how many CPU seconds a
year of each policy took, stands in the page, between the marks of the case.
"""

from __future__ import annotations

import argparse
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import fsum, inf
from pathlib import Path
from typing import Any

import numpy as np

from tests.evidence.warnings_table import put
from valuestack.finance.risk import exceeded, standard_error
from valuestack.process.stacking import layers
from valuestack.process.stacking.meters import ready
from valuestack.process.stacking.simulate import Bench, plain
from valuestack.site.files import load, shipped
from valuestack.site.offer import load_offer

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "comparison.md"
SEED, FIRST, LEAST, MOST = 20260101, 1000, 2, 40
YEARS, CYCLES_PER_Y = 10.0, 365.0  # of a usual commercial warranty: ten years, a cycle a day
NAMES = {
    "do_nothing": "rest",
    "threshold": "threshold",
    "utility_first": "A",
    "dynamic": "B",
    "aggregator_primary": "C",
}
ALL = tuple(NAMES)


@dataclass(frozen=True)
class Case:
    """A site, or a variant of one. weight: its share of the minutes. policies: those that are run; the others are
    named in `left_out` with the reason."""

    name: str
    what: str
    make: Callable[[], Any]
    weight: float
    policies: tuple[str, ...] = ALL
    left_out: str = ""


def battery_alone(contract: str = "") -> Any:
    """The data centre with its battery and regulation alone: no engines, no reserve. contract: a shipped offer whose
    contract stands over regulation under every method; C commands within it."""
    values = tomllib.loads(shipped("sites")["data-centre"].read_text(encoding="utf-8"))
    values["assets"] = [a for a in values["assets"] if a["kind"] == "battery"]
    values["streams"] = [s for s in values["streams"] if s["name"] == "regulation"]
    for key in ("finance", "then"):
        values.pop(key, None)
    if not contract:
        return load(values)
    offer = load_offer(contract)
    (terms,) = offer.contracts
    values["contracts"] = [terms.model_dump(mode="python", exclude_unset=True)]
    values["simulate"] = {"policy_options": {"aggregator_primary": {"contract": values["contracts"][0]}}}
    return load(values)


CASES = (
    Case("first-story", "foundry, 540 kW battery, tariff alone", lambda: load("first-story"), 1.0),
    Case(
        "corporate-campus", "campus, solar and battery, certificates", lambda: load("corporate-campus"), 1.0
    ),
    Case("corner-shop", "shop, solar and battery, outages", lambda: load("corner-shop"), 1.2),
    Case("pharma-cold-store", "battery and engines, 24 h reserve", lambda: load("pharma-cold-store"), 1.5),
    Case("ski-resort", "battery, outages, an evening deal", lambda: load("ski-resort"), 2.0),
    Case("food-plant", "freezers that cool ahead, solar; no store", lambda: load("food-plant"), 1.5),
    Case("manufacturer", "drying, engine, solar; no store", lambda: load("manufacturer"), 1.5),
    Case(
        "data-centre",
        "battery and engines, 48 h reserve, regulation and load management; C without a written limit",
        lambda: load("data-centre"),
        2.0,
        ("do_nothing", "threshold", "utility_first", "aggregator_primary"),
        "B: its daily plans with engines are integer problems of up to two seconds each, five CPU minutes a year",
    ),
    Case(
        "data-centre, battery and regulation alone",
        "1 MW, 4 MWh battery, regulation; C without a written limit",
        battery_alone,
        2.5,
    ),
    Case(
        "the same under a contract",
        "the shipped offer regulation-share: four fifths of revenue under every method; C commands within it",
        lambda: battery_alone("regulation-share"),
        2.5,
    ),
)


@dataclass
class Told:
    """What was seen of one policy: figures of each future, (futures,) each by name."""

    seen: dict[str, list[float]] = field(default_factory=dict)

    def add(self, **figures: float) -> None:
        for name, value in figures.items():
            self.seen.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> Any:
        return np.array(self.seen[name], dtype=float)


def breach_y(bench: Bench, record: Any) -> float:
    """Years until the first of a usual warranty's terms is broken, were the year to repeat itself; inf where none is
    within its ten years, or there is no battery."""
    first = inf
    for a in bench.ready.new:
        if not hasattr(a, "warranty"):
            continue
        warranty = type(a.warranty)(
            years=YEARS,
            cycles_per_y=CYCLES_PER_Y,
            throughput_mwh=CYCLES_PER_Y * YEARS * a.energy_kwh * a.efficiencies[1] / 1000,
        )
        broken = a.model_copy(update={"warranty": warranty}).spent(record).first_breach
        if broken is not None and broken.years_to_breach is not None:
            first = min(first, broken.years_to_breach)
    return first


def hours_of(bench: Bench) -> float | None:
    """The outage that is asked about: as long as the site's reserve, else as its mean outage; None without outages."""
    outages = [plain(s) for s in bench.place.streams if hasattr(plain(s), "survival")]
    if not outages:
        return None
    reserves = [plain(s).hours for s in bench.place.streams if type(plain(s)).__name__ == "Reserve"]
    step = bench.ready.timeline.step_h
    want = max(reserves) if reserves else outages[0].model.mean_h
    return float(min(max(step, round(want / step) * step), outages[0].horizon_h))


def survived(bench: Bench, record: Any, world: Any, hours: float | None) -> float:
    """Probability that an outage of so many hours is survived, from the dispatched state at every start tried."""
    for s in bench.place.streams:
        if hours is not None and hasattr(plain(s), "survival"):
            return float(plain(s).survival(record, world).at(hours))
    return float("nan")


def run(case: Case, seconds: float) -> tuple[dict[str, Told], int, float | None]:
    """Every policy of a case in the same futures, until the seconds are over."""
    site = case.make()
    (meter,) = (ready(site, m) for m in site.meters)
    bench = Bench.of(site, meter, layers.day_of_rules(site, [meter]))
    hours = hours_of(bench)
    told = {kind: Told() for kind in case.policies}
    bench.rows([FIRST - 1], case.policies[:2], SEED)  # compiled before anything is timed
    began, count, took = time.process_time(), 0, 0.0
    while count < MOST and (count < LEAST or time.process_time() - began + took <= seconds):
        start = time.process_time()
        (f,) = futures = [bench.scenarios.draw(FIRST + count, SEED)]
        world = bench.world(futures)
        under = bench.under(f)
        idle = world["load_kw"] + fsum_of(
            f.series["asset: " + a.name] for a in under.ready.existing if a.name in under.given
        )
        before = under.bill_usd(idle, world.get("load_kvar"))
        for kind in case.policies:
            at = time.process_time()
            (record,) = under.run(kind, futures)
            spent = time.process_time() - at
            row = under._row(record, world, f, before, idle, SEED)
            told[kind].add(
                net=row["total_usd"] / row["span_y"],
                retail=fsum(v for k, v in row.items() if k in ("layer 1_usd",)) / row["span_y"],
                market=row.get("layer 3_usd", 0.0) / row["span_y"],
                wear=-row["wear_usd"] / row["span_y"],
                cycles=row["full_cycles"] / row["span_y"],
                changes=row["changes_per_day"],
                breach=breach_y(under, record),
                survival=survived(under, record, world, hours),
                cpu=spent,
            )
            print(
                f"{case.name}, future {count}, {NAMES[kind]}: net {row['total_usd']:,.0f}, {spent:.1f} s",
                flush=True,
            )
        count += 1
        took = time.process_time() - start
    return told, count, hours


def fsum_of(rows: Any) -> Any:
    """Sum of series, 0.0 where there is none."""
    out: Any = 0.0
    for r in rows:
        out = out + r
    return out


def money(usd: float) -> str:
    return f"{'-' if round(usd) < 0 else ''}${abs(usd):,.0f}"


def gap(a: Any, b: Any) -> str:
    """Mean of paired differences with its error."""
    d = a - b
    if np.abs(d).max() < 0.5:
        return "$0, the same in every future"
    return f"{money(float(d.mean()))} ± {abs(standard_error(d)):,.0f}"


def lines_of(case: Case, told: Mapping[str, Told], count: int, hours: float | None) -> list[str]:
    """One case as a table and its paired differences."""
    asked = "" if hours is None else f" | an outage of {hours:g} h survived"
    out = [
        f"### {case.name}",
        "",
        f"{case.what[0].upper()}{case.what[1:]}. {count} futures.",
        "",
        f"| policy | net a year P10 | P50 | P90 | mean ± error | bill saving | markets | wear | full cycles | usual "
        f"warranty broken after | changes a day{asked} | CPU s a year |",
        "|---|---|---|---|---|---|---|---|---|---|---|" + ("---|" if hours is not None else "") + "---|",
    ]
    for kind, t in told.items():
        net, breach = t["net"], float(np.median(t["breach"]))
        odds = "" if hours is None else f" | {t['survival'].mean():.2%}"
        out.append(
            f"| {NAMES[kind]} | {money(exceeded(net, 0.1))} | {money(exceeded(net, 0.5))} | "
            f"{money(exceeded(net, 0.9))} | {money(net.mean())} ± {standard_error(net):,.0f} | "
            f"{money(t['retail'].mean())} | {money(t['market'].mean())} | {money(t['wear'].mean())} | "
            f"{t['cycles'].mean():,.0f} | {'not in ten years' if breach == inf else f'{breach:.1f} years'} | "
            f"{t['changes'].mean():.1f}{odds} | {t['cpu'].mean():.1f} |"
        )
    pairs = [
        (a, b)
        for a, b in (
            ("utility_first", "aggregator_primary"),
            ("dynamic", "utility_first"),
            ("dynamic", "threshold"),
            ("utility_first", "threshold"),
        )
        if a in told and b in told
    ]
    said = [f"{NAMES[a]} less {NAMES[b]}: {gap(told[a]['net'], told[b]['net'])}" for a, b in pairs]
    out += ["", "Paired, a year: " + "; ".join(said) + "."]
    if case.left_out:
        out.append(f"Not run: {case.left_out}.")
    return [*out, ""]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("cases", nargs="*", help="names of cases, or parts of them; none = all")
    given = parser.parse_args()
    wanted = [c for c in CASES if not given.cases or any(x in c.name for x in given.cases)]
    share_s = 60 * given.minutes / fsum(c.weight for c in wanted)
    for case in wanted:
        put(PAGE, case.name, lines_of(case, *run(case, share_s * case.weight)))


if __name__ == "__main__":
    main()
