"""Whole processes, as a user starts them: `valuestack --help`, and a study of a 15-minute year to page and JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.bench_bound import synthetic
from benchmarks.clock import Row
from valuestack.timeline import Timeline

GOAL_HELP_S, GOAL_STUDY_S, GOAL_STUDY_MB = 0.4, 4.0, 600.0
SITE = """
name = "bench"
tz = "America/Los_Angeles"
[[meters]]
name = "main"
data = "load.csv"
[[meters.tariffs]]
tariff = "pge-b-19-secondary"
[meters.facts]
power_factor_frac = 0.9
[[assets]]
kind = "battery"
name = "battery"
meter = "main"
power_kw = 400.0
energy_kwh = 1600.0
round_trip_efficiency_frac = 0.88
replacement_usd_per_kwh = 250.0
"""


# Measured by a small process in between: the highest memory of a child counts that of the process it is forked from.
METER = """
import json, resource, subprocess, sys
done = subprocess.run([sys.executable, "-c", "from valuestack.cli import main; main()", *sys.argv[1:]],
                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, done.stdout, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""


def child(arguments: list[str]) -> tuple[float, float]:
    """CPU seconds and highest resident megabytes of one `valuestack` process and what it started."""
    told = subprocess.run(
        [sys.executable, "-c", METER, *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    code, said, seconds, most = json.loads(told.stdout)
    if code or not said:
        raise RuntimeError(f"valuestack {' '.join(arguments)} failed, or said nothing:\n{said}")
    per_mb = 1024.0**2 if sys.platform == "darwin" else 1024.0  # ru_maxrss is in bytes there, in KB elsewhere
    return float(seconds), most / per_mb


def write_site(folder: Path, kind: str) -> Path:
    """A seeded 15-minute year as a utility's CSV, and a site file with a battery on a shipped tariff."""
    import numpy as np

    year = Timeline(start="2021-01-01T00:00", step_h=0.25, n=35040, tz="America/Los_Angeles")
    kw = synthetic(year, kind)
    local = year.local_s.astype("datetime64[s]")
    rows = (f"{str(t).replace('T', ' ')[:16]},{v:.1f}" for t, v in zip(local, kw, strict=True))
    (folder / "load.csv").write_text("start,kW\n" + "\n".join(rows) + "\n", encoding="utf-8")
    site = folder / "site.toml"
    site.write_text(SITE, encoding="utf-8")
    assert np.isfinite(kw).all()
    return site


def run(data: Path | None) -> list[Row]:
    """Rows for the table: each process once to warm the caches of compiled code, then the median of three."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        calls = [
            ("valuestack --help", ["--help"], GOAL_HELP_S, None),
        ]
        for kind in ("clean", "spiky"):
            (folder / kind).mkdir()
            site, out = write_site(folder / kind, kind), folder / kind / "out"
            arguments = ["study", str(site), "--out", str(out), "--formats", "html,json"]
            what = f"valuestack study, {kind} 15-minute year to page and JSON"
            calls.append((what, arguments, GOAL_STUDY_S, GOAL_STUDY_MB))
        for what, arguments, most_s, most_mb in calls:
            child(arguments)
            took = sorted(child(arguments) for _ in range(3))
            seconds, most = took[1][0], max(mb for _, mb in took)
            if "--out" in arguments and not (Path(arguments[3]) / "report.html").is_file():
                raise RuntimeError(f"{what}: wrote no page")
            met = seconds <= most_s and (most_mb is None or most < most_mb)
            goal = f"<= {most_s:g} s" + ("" if most_mb is None else f" and < {most_mb:g} MB")
            rows.append(Row(what, seconds, goal=goal, met=met, note=f"whole process, {most:.0f} MB at most"))
    return rows
