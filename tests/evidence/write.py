"""Turn the figures noted by the evidence tests and the benchmarks into docs/evidence.md, and the head of them
into the README, between its two marks."""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import Any


def _value(x: Any) -> str:
    if isinstance(x, bool) or x is None:
        return str(x)
    if isinstance(x, float):
        return f"{x:,.6g}"
    if isinstance(x, int):
        return f"{x:,}"
    if isinstance(x, dict):
        return "; ".join(f"{k}: {_value(v)}" for k, v in x.items())
    if isinstance(x, list):
        return ", ".join(_value(v) for v in x)
    return str(x)


def _figures(notes: list[dict[str, Any]]) -> list[str]:
    lines = []
    for note in sorted(notes, key=lambda n: (n["test"], n["topic"])):
        lines += [
            f"### {note['topic'][:1].upper()}{note['topic'][1:]}",
            "",
            "| figure | value |",
            "|---|---|",
        ]
        lines += [f"| {k.replace('_', ' ')} | {_value(v)} |" for k, v in note["figures"].items()]
        lines += ["", f"Shown by `{note['test'].split('[')[0]}`.", ""]
    return lines


def _speed(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| what | CPU s | baseline | its CPU s | ratio | goal | verdict | note |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        base = "" if r["baseline_seconds"] is None else f"{r['baseline_seconds']:.4g}"
        ratio = "" if r["ratio"] is None else f"{r['ratio']:.1f}"
        met = {None: "", True: "met", False: "**not met**"}[r["met"]]
        lines.append(
            f"| {r['name']} | {r['seconds']:.4g} | {r['baseline']} | {base} | {ratio} "
            f"| {r['goal']} | {met} | {r['note']} |"
        )
    return lines


MARKS = ("<!-- figures: written by make evidence -->", "<!-- end of the figures -->")


def _span(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def head(notes: list[dict[str, Any]], rows: list[dict[str, Any]], day: str) -> list[str]:
    """The figures that a reader of the README wants first; those that were not measured are left out."""
    by = {n["topic"]: n["figures"] for n in notes}
    lines = [f"| measured on {day} | |", "|---|---|"]

    def say(what: str, text: str) -> None:
        lines.append(f"| {what} | {text} |")

    rates = by.get("all 10,623 real rates")
    if rates:
        ends = [
            f"{rates.get(f'with facts: {e}', 0):,} {e}"
            for e in ("billed", "billed with named assumptions", "refused by field")
        ]
        say(f"{rates['rates']:,} real rates, power factor and coincident hours given", ", ".join(ends))
    sam = by.get("bills against PySAM Utilityrate5")
    if sam:
        worst = max(float(sam["worst_difference_usd"]), 0.0)
        shown = "less than a cent a year" if worst < 0.01 else f"${worst:,.2f} a year"
        say(f"{sam['rates_drawn']} rates x {sam['loads']} loads against PySAM", f"worst difference {shown}")
    races = [f for t, f in by.items() if t.startswith("the common race")]
    if races:
        worst = max(abs(f["difference_of_saving"]) for f in races)
        say(f"{len(races)} benchmark problems with a stated optimum", f"within {worst:.0e} of the saving")
    kept = [float(f["B"]) for t, f in by.items() if t.startswith("share of the bound kept") and "B" in f]
    if kept:
        say(
            f"share of the bound that method B keeps, {len(kept)} site-years",
            f"{min(kept):.0%} to {max(kept):.0%}",
        )
    for r in rows:
        if r["name"].startswith(
            ("compiled.total_usd", "annual bound, office, 15", "valuestack study, clean")
        ):
            ratio = "" if r["ratio"] is None else f", {r['ratio']:.0f} times as fast as {r['baseline']}"
            say(r["name"], f"{_span(r['seconds'])} of one core{ratio}")
    return lines


def into_readme(readme: Path, lines: list[str]) -> None:
    """Replace what stands between the marks; a README without them is left alone."""
    text = readme.read_text(encoding="utf-8")
    if all(m in text for m in MARKS):
        before, rest = text.split(MARKS[0], 1)
        _, after = rest.split(MARKS[1], 1)
        readme.write_text("\n".join([before + MARKS[0], "", *lines, "", MARKS[1] + after]), encoding="utf-8")


def main(notes_file: Path, bench_file: Path, out: Path, readme: Path | None = None) -> None:
    notes = [json.loads(line) for line in notes_file.read_text(encoding="utf-8").splitlines()]
    rows = json.loads(bench_file.read_text(encoding="utf-8")) if bench_file.is_file() else []
    text = [
        "# Evidence",
        "",
        f"Measured on {date.today().isoformat()} by `make evidence DATA=folder`, which fails if any of these "
        f"tests is skipped. {len(notes)} topics, {len(rows)} timings. Seconds are CPU seconds of one core of a "
        "shared machine; "
        "the ratios, taken in the same run, are what can be compared.",
        "",
        "## Figures",
        "",
        *_figures(notes),
        "## Speed",
        "",
        *_speed(rows),
        "",
    ]
    out.write_text("\n".join(text), encoding="utf-8")
    if readme is not None:
        into_readme(readme, head(notes, rows, date.today().isoformat()))
    print(f"wrote {out}")


if __name__ == "__main__":
    main(*(Path(a) for a in sys.argv[1:5]))
