"""Writes docs/explanation/forecast.md: what forecasts are worth, in dollars, on real meters and reference buildings.

    python -m tests.evidence.forecast_table FOLDER_OF_REAL_DATA

The page is written by hand around two marks, between which this puts the tables, with the date.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from valuestack.control.dynamic import Dynamic
from valuestack.control.fixed_threshold import FixedThreshold
from valuestack.control.threshold import Threshold
from valuestack.control.tou_schedule import TouSchedule
from valuestack.forecast.emulated import Emulated
from valuestack.forecast.perfect import Perfect
from valuestack.forecast.persistence import Persistence
from valuestack.forecast.quantile_trees import QuantileTrees
from valuestack.forecast.scenarios import Scenarios
from valuestack.forecast.score import BandScore, score_bands
from valuestack.forecast.similar_day import SimilarDay
from valuestack.forecast.similar_quantiles import SimilarQuantiles
from valuestack.terms import Payment
from valuestack.timeline import Kw

from .cells import Cell, cell

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "forecast.md"
MARKS = ("<!-- measured -->", "<!-- end -->")
EMULATED = ("<!-- emulated -->", "<!-- end of emulated -->")
CELLS = (
    ("steel works", "pge-b-20-secondary", 2),
    ("plant near Madison", "sce-tou-8-d-under-2kv", 2),
    ("Hospital__Baltimore", "aps-e-32-l-tou-secondary", 2),
    ("LargeOffice__Chicago", "tep-lgs-tou", 2),
    ("RetailStore__Duluth", "pge-b-19-secondary", 2),
)
SCALES = (0.0, 0.5, 1.0, 1.5, 2.0)
RULES: dict[str, Any] = {
    "threshold": Threshold,
    "fixed threshold": FixedThreshold,
    "time-of-use schedule": TouSchedule,
}
DAY = 96
LEVELS = np.array([0.1, 0.5, 0.9])


@dataclass(frozen=True, eq=False)
class Found:
    """Settled saving by what made it [USD a year of eleven months], changes of setpoint a day, the demand part of B's
    saving, and bands."""

    cell: Cell
    saved: dict[str, float]
    changes: dict[str, float] = field(default_factory=dict)
    demand_frac: float = 0.0
    bands: dict[str, BandScore] = field(default_factory=dict)

    @property
    def bound(self) -> float:
        return self.cell.nothing_usd - self.cell.bound_usd


def changes_a_day(c: Cell, net_kw: Kw) -> float:
    """Intervals a day whose setpoint differs from the one before by more than 1 % of the power."""
    power = net_kw - c.kw[c.first :]
    return float((np.abs(np.diff(power)) > 0.01 * c.battery.power_kw).sum() / (power.size / DAY))


def demand_frac(c: Cell, net_kw: Kw) -> float:
    """Share of a saving that demand charges bring, by the tariff's own terms over the settled months."""
    part = c.timeline.part(c.first, c.timeline.n - c.first)
    before, after = c.kw[c.first :], net_kw
    saved = 0.0
    for t in c.terms:
        if not isinstance(t, Payment) or t.over != "max" or t.measure.asset is not None:
            continue
        window = t.window[c.first : c.first + part.n]
        for w in np.unique(window[window >= 0]):
            at = window == w
            usd = np.broadcast_to(np.asarray(t.blocks[0].usd_per_unit, dtype=float), t.windows)[w]
            saved += t.weight * usd * (before[at].max() - after[at].max())
    return saved / (c.nothing_usd - c.usd(net_kw))


def bands_of(c: Cell, method: Any, issues: int = 24) -> BandScore:
    """Bands over the second half of the year, which nobody had seen when they were issued."""
    at = np.linspace(c.timeline.n // 2, c.timeline.n - DAY - 1, issues).astype(int)
    made = np.array([method.quantiles(c.kw[:k], c.timeline, DAY, LEVELS) for k in at])
    return score_bands(made, LEVELS, np.array([c.kw[k : k + DAY] for k in at]))


def examined(c: Cell, *, bands: bool = True) -> Found:
    """Everything about one cell."""
    made = Found(c, {})
    plans: dict[str, Any] = {
        f"error x {s:g}": Dynamic(Perfect(c.kw, SimilarDay(), s)) for s in SCALES if s != 1
    }
    plans["error x 1"] = Dynamic()
    plans["last week's load"] = Dynamic(Persistence())
    plans["perfect, no reserve"] = Dynamic(Perfect(c.kw), scenarios=0)
    plans["perfect, no reserve, 48 h"] = Dynamic(Perfect(c.kw), scenarios=0, horizon_h=48.0)
    plans |= {name: make() for name, make in RULES.items()}
    frac = 0.0
    for name, policy in plans.items():
        net = c.run(policy)
        made.saved[name] = c.nothing_usd - c.usd(net)
        made.changes[name] = changes_a_day(c, net)
        if name == "error x 1":
            frac = demand_frac(c, net)
        print(f"{c.site:24s} {name:28s} {made.saved[name] / made.bound:6.3f}", flush=True)
    found = {m.kind: bands_of(c, m) for m in (SimilarQuantiles(), QuantileTrees())} if bands else {}
    return Found(c, made.saved, made.changes, frac, found)


def falls_below(found: Found, rule: str) -> str:
    """The scale of the forecast's error from which a rule keeps more, read between the scales that were run."""
    at = [found.saved[f"error x {s:g}"] - found.saved[rule] for s in SCALES]
    for a, b, u, v in zip(SCALES, SCALES[1:], at, at[1:]):
        if u > 0 >= v:
            return f"{a + (b - a) * u / (u - v):.2f}"
    return "never up to 2" if at[0] > 0 else "always below"


def tables(rows: list[Found]) -> list[str]:
    """The page's measured part."""
    lines = [f"Measured {datetime.now(UTC):%Y-%m-%d} on {len(rows)} site-years, battery of 2 hours.", ""]
    names = [f"error x {s:g}" for s in SCALES] + ["last week's load"]
    lines += ["### Saving against the forecast's error, share of the bound", ""]
    lines += ["| site | rate | " + " | ".join(names) + " | best rule | B falls below it at error x |"]
    lines.append("|---|---|" + "---|" * (len(names) + 2))
    for f in rows:
        best = max(RULES, key=lambda r: f.saved[r])
        shares = " | ".join(f"{f.saved[n] / f.bound:.3f}" for n in names)
        lines.append(
            f"| {f.cell.site} | {f.cell.rate} | {shares} | {best} {f.saved[best] / f.bound:.3f} "
            f"| {falls_below(f, best)} |"
        )
    lines += ["", "### Where B's regret comes from, share of the bound", ""]
    lines += ["| site | forecast | horizon (24 h, not 48 h) | policy | in all |", "|---|---|---|---|---|"]
    for f in rows:
        own, day, two = (
            f.saved[n] / f.bound for n in ("error x 1", "perfect, no reserve", "perfect, no reserve, 48 h")
        )
        lines.append(f"| {f.cell.site} | {day - own:.3f} | {two - day:.3f} | {1 - two:.3f} | {1 - own:.3f} |")
    lines += ["", "### Demand charges in B's saving, and changes of setpoint a day", ""]
    shown = ["error x 1", *RULES]
    lines += [
        "| site | demand part of the saving | " + " | ".join(["B", *RULES]) + " |",
        "|---|---|" + "---|" * len(shown),
    ]
    for f in rows:
        many = " | ".join(f"{f.changes[n]:.0f}" for n in shown)
        lines.append(f"| {f.cell.site} | {f.demand_frac:.0%} | {many} |")
    lines += ["", "### Bands from the 10th to the 90th percentile, second half of each year", ""]
    lines += [
        "| site | method | inside | pinball kW | width over mean | days whose peak lies below the top |",
        "|---|---|---|---|---|---|",
    ]
    for f in rows:
        for kind, b in f.bands.items():
            lines.append(
                f"| {f.cell.site} | {kind} | {b.coverage_frac:.0%} | {b.pinball_kw:.1f} | {b.width_frac:.2f} "
                f"| {b.peak_coverage_frac:.0%} |"
            )
    return lines


@dataclass(frozen=True)
class Emulation:
    """Regrets of B [USD] with its forecaster and, draw by draw, with the emulated one: over one year, or pairwise over
    as many futures as there are draws."""

    real_usd: tuple[float, ...]
    emulated_usd: tuple[float, ...]

    @property
    def differs_frac(self) -> float:
        return float(np.mean(self.emulated_usd) / np.mean(self.real_usd) - 1)

    @property
    def sd_frac(self) -> float:
        """Standard error of differs_frac: over the draws, or over the pairs."""
        off = np.asarray(self.emulated_usd) - (1 + self.differs_frac) * np.asarray(self.real_usd)
        return float(np.std(off, ddof=1) / np.sqrt(off.size) / np.mean(self.real_usd))

    def __str__(self) -> str:
        return f"{self.differs_frac:+.1%} +/- {self.sd_frac:.1%}"


def regret(c: Cell, forecaster: Any) -> float:
    return c.usd(c.run(Dynamic(forecaster))) - c.bound_usd


def replayed(c: Cell, stand_in: Emulated, seeds: int) -> Emulation:
    """In the year that the emulator was trained on; no day is given the rest of itself."""
    apart = np.full(c.timeline.n // DAY, -1, dtype=np.int64)
    apart[28 : 28 + stand_in.top_kw.size] = np.arange(stand_in.top_kw.size)
    draws = [regret(c, stand_in.over(c.kw, c.timeline, s, apart=apart)) for s in range(seeds)]
    return Emulation((regret(c, SimilarDay()),), tuple(draws))


def in_futures(c: Cell, stand_in: Emulated, futures: int) -> Emulation:
    """In futures drawn as `valuestack simulate` draws them, each with one draw beside the real one."""
    drawn = Scenarios(c.timeline, {"load_kw": c.kw})
    years = [c.other(np.asarray(drawn.draw(i).series["load_kw"])) for i in range(futures)]
    return Emulation(
        tuple(regret(y, SimilarDay()) for y in years),
        tuple(regret(y, stand_in.over(y.kw, y.timeline, i)) for i, y in enumerate(years)),
    )


def half_seen(c: Cell, seeds: int) -> Emulation:
    """From July on, by an emulator that was trained on the months before."""
    half = int(np.argmax(c.timeline.month == 7))
    later = c.other(first=half)
    stand_in = Emulated.trained(c.kw[:half], c.timeline, SimilarDay(), DAY)
    draws = [regret(later, stand_in.over(c.kw, c.timeline, s)) for s in range(seeds)]
    return Emulation((regret(later, SimilarDay()),), tuple(draws))


def emulated(c: Cell, draws: int = 8) -> tuple[Emulation, Emulation]:
    """Real and emulated in the year of history and in futures."""
    stand_in = Emulated.trained(c.kw, c.timeline, SimilarDay(), DAY)
    return replayed(c, stand_in, draws), in_futures(c, stand_in, draws)


def emulated_table(data: Path, which: Any = CELLS, draws: int = 8) -> list[str]:
    """The page's part on the emulated forecaster."""
    lines = [
        f"Measured {datetime.now(UTC):%Y-%m-%d}: regret of B in dollars, {draws} draws over the year of history and "
        f"{draws} futures with one draw each; after +/- is the standard error.",
        "",
        "| site | rate | real | emulated | differs by | in futures: real | emulated | differs by "
        "| July on, trained before: differs by |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for site, rate, hours in which:
        c = cell(site, rate, hours, data)
        year, ahead = emulated(c, draws)
        lines.append(
            f"| {site} | {rate} | {np.mean(year.real_usd):,.0f} | {np.mean(year.emulated_usd):,.0f} | {year} "
            f"| {np.mean(ahead.real_usd):,.0f} | {np.mean(ahead.emulated_usd):,.0f} | {ahead} "
            f"| {half_seen(c, draws)} |"
        )
        print(lines[-1], flush=True)
    return lines


def write(lines: list[str], marks: tuple[str, str] = MARKS) -> None:
    """Put the tables between the page's marks."""
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(marks[0])
    _, tail = rest.split(marks[1])
    body = "\n".join(lines)
    PAGE.write_text(f"{head}{marks[0]}\n{body}\n{marks[1]}{tail}", encoding="utf-8")


def main() -> None:
    rows = []
    for site, rate, hours in CELLS:
        rows.append(examined(cell(site, rate, hours, Path(sys.argv[1]))))
        write(tables(rows))
    write(emulated_table(Path(sys.argv[1])), EMULATED)


if __name__ == "__main__":
    main()
