"""What a user may hand over by mistake, through the command line: one message that names it, no traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from valuestack.cli import run
from valuestack.timeline import Timeline

Capture = pytest.CaptureFixture[str]
DAYS = 60
SITE = """
name = "x"
tz = "America/Chicago"
[[meters]]
name = "m"
data = "load.csv"
[[meters.tariffs]]
tariff = "flat.json"
"""


def told(capsys: Capture, *args: str) -> tuple[int, str, str]:
    code = run(list(args))
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err and "internal error" not in err
    return code, out, err


def rows() -> list[str]:
    year = Timeline(start="2021-05-03T00:00", step_h=0.25, n=96 * DAYS, tz="America/Chicago")
    rng = np.random.default_rng(3)
    kw = 200 + 90 * np.sin((year.hour - 9) / 24 * 2 * np.pi) + rng.gamma(2.0, 12.0, year.n)
    clock = year.local_s.astype("datetime64[s]")
    return [f"{str(t).replace('T', ' ')[:16]},{v:.2f}" for t, v in zip(clock, kw, strict=True)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    flat: dict[str, Any] = {
        "name": "flat",
        "utility": "u",
        "source": "made for this test",
        "verified": True,
        "holidays": [],
        "items": [
            {
                "kind": "energy",
                "weekday": [[0] * 24] * 12,
                "weekend": [[0] * 24] * 12,
                "periods": [{"tiers": [{"usd_per_kwh": 0.1}]}],
            }
        ],
    }
    (tmp_path / "flat.json").write_text(json.dumps(flat))
    (tmp_path / "load.csv").write_text("start,kW\n" + "\n".join(rows()) + "\n")
    (tmp_path / "site.toml").write_text(SITE)
    return tmp_path


def written(folder: Path, edit: Callable[[list[str]], list[str]]) -> str:
    path = folder / "edited.csv"
    path.write_text("start,kW\n" + "\n".join(edit(rows())) + "\n")
    return str(path)


def findings(capsys: Capture, path: str, tz: str = "America/Chicago") -> dict[str, dict[str, Any]]:
    code, out, _ = told(capsys, "audit", path, "--tz", tz, "--json")
    assert code == 0
    (audit,) = json.loads(out)["result"]["meters"].values()
    return {f["what"]: f for f in audit["findings"]}


def test_a_truncated_xml(capsys: Capture, folder: Path) -> None:
    whole = '<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom">\n<entry><title>meter</title></entry>\n'
    (folder / "cut.xml").write_text(whole + "<entry><content><UsagePoint")
    code, _, err = told(capsys, "audit", str(folder / "cut.xml"))
    assert code == 2 and "cut.xml" in err and "cut off" in err and "line 3" in err


def test_a_zone_that_is_none(capsys: Capture, folder: Path) -> None:
    code, _, err = told(capsys, "audit", str(folder / "load.csv"), "--tz", "Amerika/Chicago")
    assert code == 2 and "'Amerika/Chicago' is not an IANA time zone" in err


def test_overlapping_readings_are_counted_and_marked(capsys: Capture, folder: Path) -> None:
    def twice(r: list[str]) -> list[str]:
        again = [f"{line.split(',')[0]},{float(line.split(',')[1]) + 50:.2f}" for line in r[400:440]]
        return r[:1000] + again + r[1000:]

    found = findings(capsys, written(folder, twice))
    (said,) = (f for what, f in found.items() if "two readings" in what)
    assert said["count"] == 40 and said["severity"] != "info" and said["done"]


@pytest.mark.parametrize("word", ["NaN", "", "inf", "n/a"])
def test_what_is_no_number_is_missing_and_counted(capsys: Capture, folder: Path, word: str) -> None:
    def holes(r: list[str]) -> list[str]:
        return [f"{x.split(',')[0]},{word}" if 500 <= i < 530 else x for i, x in enumerate(r)]

    found = findings(capsys, written(folder, holes))
    (gap,) = (f for what, f in found.items() if "missing in" in what)
    assert gap["count"] == 30


def test_a_tariff_with_a_missing_period(capsys: Capture, folder: Path) -> None:
    written = json.loads((folder / "flat.json").read_text())
    written["items"][0]["weekday"] = [[0] * 23 + [1]] * 12
    (folder / "flat.json").write_text(json.dumps(written))
    code, _, err = told(capsys, "bill", str(folder / "site.toml"))
    assert code == 2 and "flat.json" in err and "period 1 is scheduled, only 1" in err


def test_a_urdb_record_with_a_missing_period(capsys: Capture, folder: Path) -> None:
    record = {
        "label": "x",
        "energyratestructure": [[{"rate": 0.1, "unit": "kWh"}]],
        "energyweekdayschedule": [[2] * 24] * 12,
        "energyweekendschedule": [[0] * 24] * 12,
    }
    (folder / "flat.json").write_text(json.dumps(record))
    code, _, err = told(capsys, "bill", str(folder / "site.toml"))
    assert code == 2 and "energyweekdayschedule" in err and "period 2" in err


def test_an_empty_window_of_charge(capsys: Capture, folder: Path) -> None:
    battery = '[[assets]]\nkind = "battery"\nname = "b"\nmeter = "m"\npower_kw = 50\nenergy_kwh = 100\n'
    window = "soc_min_frac = 0.6\nsoc_max_frac = 0.5\n"
    (folder / "site.toml").write_text(SITE + battery + window)
    code, _, err = told(capsys, "study", str(folder / "site.toml"))
    assert code == 2 and "soc_min_frac = 0.6 leaves no window below soc_max_frac = 0.5" in err


def test_a_folder_that_cannot_be_written(capsys: Capture, folder: Path) -> None:
    (folder / "taken").write_text("a file")
    code, _, err = told(capsys, "study", str(folder / "site.toml"), "--out", str(folder / "taken" / "in"))
    assert code == 2 and "cannot be written" in err and "--out" in err


@pytest.mark.parametrize("limits", ["", "four", "0", "4,-2"])
def test_a_limit_of_changes_that_is_no_number(limits: str, capsys: Capture) -> None:
    code, _, err = told(capsys, "study", "first-story", "--changes", limits)
    assert code == 2 and "--changes" in err and "4,24,96" in err
