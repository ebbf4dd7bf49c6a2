"""docs/reference/json.md against what the commands write: every key of theirs is described, and none is invented."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from valuestack.cli import run

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "json.md").read_text(encoding="utf-8")
CALLS = {
    "audit": ["audit", "first-story"],
    "bill": ["bill", "first-story"],
    "study": ["study", "first-story"],
    "simulate": [
        "simulate",
        "first-story",
        "--scenarios",
        "2",
        "--policies",
        "do_nothing,threshold",
        "--workers",
        "1",
    ],
    "flexibility": ["flexibility", "first-story"],
    "explain": ["explain", "first-story", "2021-07-14T17:00", "--days", "3"],
    "tariff list": ["tariff", "list"],
    "tariff show": ["tariff", "show", "pge-b-20-secondary"],
    "tariff rank": ["tariff", "rank", "first-story"],
    "status": ["status", "first-story"],
}
# Beside the keys of the result: keys of what lies deeper, and words that are values, not keys.
UNSHOWN = {"tariff show": {"jurisdiction", "counterparty", "service"}}


def section(command: str) -> str:
    found = re.search(rf"^## `{command}`$(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    assert found, f"json.md has no section {command}"
    return found.group(1)


def result_of(command: str, capsys: pytest.CaptureFixture[str], folder: Path) -> dict[str, Any]:
    more = ["--out", str(folder), "--formats", "json"] if command == "study" else []
    more = ["--out", str(folder)] if command in ("flexibility", "simulate") else more
    assert run([*CALLS[command], *more, "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert set(out) == {"command", "version", "inputs", "result"} and out["command"] == command
    return dict(out["result"])


def keys(value: Any, depth: int = 3) -> set[str]:
    """All keys down to a depth; names that a person gave (meters, assets) come along."""
    if isinstance(value, dict):
        return set(value) | {k for v in value.values() for k in (keys(v, depth - 1) if depth else ())}
    if isinstance(value, list) and value:
        return keys(value[0], depth)
    return set()


@pytest.mark.parametrize("command", list(CALLS))
def test_the_page_describes_what_the_command_writes(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    result, text = result_of(command, capsys, tmp_path), section(command)
    top = set(result)
    if set(result) == {"meters"}:
        (one,) = result["meters"].values()
        top |= set(one)
    named = set(re.findall(r"`([a-z_]+)`", text))
    assert top - UNSHOWN.get(command, set()) <= named, "written, not described"


@pytest.mark.parametrize("command", [c for c in CALLS if c != "tariff show"])
def test_every_key_of_the_page_is_written(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """First column of the tables: keys that every run writes."""
    written = keys(result_of(command, capsys, tmp_path))
    rows = [line.split("|")[1] for line in section(command).splitlines() if line.startswith("| `")]
    listed = {k for row in rows for k in re.findall(r"`([a-z_]+)`", row)} - {"actual"}
    assert listed <= written, "described, not written"


def test_a_comparison_with_paid_bills_is_as_described(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    paid = tmp_path / "bills.csv"
    paid.write_text(
        "cycle_start,cycle_end,item,quantity,unit,usd\n2021-02-01,2021-03-01,total,,,80000.00\n"
        "2021-03-01,2021-04-01,total,,,81000.00\n"
    )
    assert run(["bill", "first-story", "--actual", str(paid), "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["result"]["meters"].values()
    text = section("bill")
    assert all(f"`{k}`" in text for k in (*one["actual"], *one["actual"]["rows"][0]))
