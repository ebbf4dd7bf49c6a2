"""Run every benchmark: `python -m benchmarks [--data FOLDER] [--json FILE] [NAME...]`."""

from __future__ import annotations

import argparse
import json
import os
import pkgutil
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(threads, "1")


def _span(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1 or unit == "us":
            return f"{seconds * scale:.3g} {unit}"
    raise AssertionError


def main() -> int:
    from rich.console import Console
    from rich.table import Table

    import benchmarks

    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help="only benchmarks whose name holds one of these")
    parser.add_argument(
        "--data", type=Path, default=None, help="folder of real data; seeded synthetic loads always run"
    )
    parser.add_argument("--json", type=Path, default=None, help="write the rows to this file too")
    asked = parser.parse_args()
    if asked.data is not None and not asked.data.is_dir():
        print(f"--data {asked.data}: no such folder", file=sys.stderr)
        return 2
    names = [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name.startswith("bench_")]
    names = [n for n in names if not asked.names or any(a in n for a in asked.names)]
    console, rows = Console(width=None if sys.stdout.isatty() else 200), []
    table = Table("what", "CPU", "baseline", "its CPU", "ratio", "goal", "verdict", "note")
    for name in names:
        console.print(f"running {name} ...")
        for row in import_module(f"benchmarks.{name}").run(asked.data):
            rows.append({"benchmark": name, **asdict(row), "ratio": row.ratio})
            table.add_row(
                row.name,
                _span(row.seconds),
                row.baseline,
                "" if row.baseline_seconds is None else _span(row.baseline_seconds),
                "" if row.ratio is None else f"{row.ratio:.1f}x",
                row.goal,
                {None: "", True: "met", False: "NOT MET"}[row.met],
                row.note,
            )
    console.print(table)
    if asked.json is not None:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
