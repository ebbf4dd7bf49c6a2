"""Writes docs/explanation/capture.md: what every policy keeps of the bound, on every cell.

    python -m tests.evidence.capture_table FOLDER_OF_REAL_DATA

The page is written by hand around two marks, between which this puts the tables, with the date.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from valuestack.control.dynamic import Dynamic
from valuestack.control.persistence_mpc import PersistenceMpc
from valuestack.control.policy import Policy
from valuestack.control.threshold import Threshold
from valuestack.control.tou_schedule import TouSchedule

from .cells import TUNED, Cell, cell, cells, fresh

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "capture.md"
MARKS = ("<!-- measured -->", "<!-- end -->")
POLICIES: dict[str, Callable[[], Policy]] = {
    "dynamic (B)": Dynamic,
    "threshold": Threshold,
    "persistence MPC": PersistenceMpc,
    "time-of-use schedule": TouSchedule,
}
Kept = dict[str, float]


def measured(data: Path, which: Iterable[tuple[str, str, int]]) -> list[tuple[Cell, Kept]]:
    """Share of the bound that each policy keeps, by cell."""
    out = []
    for site, rate, hours in which:
        c = cell(site, rate, hours, data)
        if c.nothing_usd - c.bound_usd < 1.0:
            continue  # a rate on which even foresight saves nothing has no share to state
        kept = {name: c.kept(make()) for name, make in POLICIES.items()}
        out.append((c, kept))
        print(f"{site:30s} {rate:32s} {hours} h " + " ".join(f"{v:6.3f}" for v in kept.values()), flush=True)
    return out


def summary(rows: list[tuple[Cell, Kept]]) -> list[str]:
    """One row a policy: mean, tenth percentile, worst, weighed by the bound's dollars; cells below nothing."""
    lines = [
        "| policy | mean | p10 | worst | weighed by dollars | cells below doing nothing |",
        "|---|---|---|---|---|---|",
    ]
    weight = np.array([c.nothing_usd - c.bound_usd for c, _ in rows])
    for name in POLICIES:
        kept = np.array([k[name] for _, k in rows])
        lines.append(
            f"| {name} | {kept.mean():.3f} | {np.quantile(kept, 0.1):.3f} | {kept.min():.3f} | "
            f"{float((kept * weight).sum() / weight.sum()):.3f} | {int((kept < 0).sum())} of {kept.size} |"
        )
    return lines


def tables(rows: list[tuple[Cell, Kept]]) -> list[str]:
    """The page's measured part."""
    lines = [f"Measured {datetime.now(UTC):%Y-%m-%d} on {len(rows)} cells."]
    for hours in sorted({c.hours for c, _ in rows}):
        mine = [(c, k) for c, k in rows if c.hours == hours]
        unseen = [(c, k) for c, k in mine if fresh(c.site, c.rate, c.hours)]
        lines += ["", f"### Battery of {hours} hours, {len(mine)} cells", "", *summary(mine)]
        if len(unseen) < len(mine):
            lines += ["", f"Of these, the {len(unseen)} on which no default was set:", "", *summary(unseen)]
        wins = [
            f"{name}: {sum(k['dynamic (B)'] >= k[name] for _, k in mine)} of {len(mine)}"
            for name in list(POLICIES)[1:]
        ]
        lines += ["", "Cells on which B keeps at least as much as " + "; ".join(wins) + "."]
    lines += ["", "### Every cell", "", "| site | rate | battery | " + " | ".join(POLICIES) + " |"]
    lines.append("|---|---|---|" + "---|" * len(POLICIES))
    for c, kept in rows:
        shares = " | ".join(f"{v:.3f}" for v in kept.values())
        lines.append(f"| {c.site} | {c.rate} | {c.hours} h | {shares} |")
    return lines


def write(lines: list[str]) -> None:
    """Put the tables between the page's marks."""
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(MARKS[0])
    _, tail = rest.split(MARKS[1])
    body = "\n".join(lines)
    PAGE.write_text(f"{head}{MARKS[0]}\n{body}\n{MARKS[1]}{tail}", encoding="utf-8")


def main() -> None:
    data, began = Path(sys.argv[1]), time.perf_counter()
    rows = measured(data, [*cells(each=2), *(t for t in TUNED)])
    write(tables(rows))
    print(f"{len(rows)} cells in {time.perf_counter() - began:.0f} s -> {PAGE.name}")


if __name__ == "__main__":
    main()
