"""`valuestack offers` on a week: page, JSON as docs/reference/json.md describes it, and mistakes in one message."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.house.test_json_page import section
from valuestack.cli import run
from valuestack.site.files import shipped

pytestmark = pytest.mark.slow

SITE = shipped("sites")["first-story"].read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("offers") / "site.toml"
    days = 'policy = "threshold"\nfirst_date = 2021-07-05\nuntil_date = 2021-07-09\n'
    path.write_text(SITE.replace('policy = "threshold"\n', days), encoding="utf-8")
    return path


def test_the_command_writes_what_the_page_describes(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    formats = "html,json,xlsx"
    assert (
        run(["offers", str(site), "regulation-70", "--out", str(tmp_path), "--formats", formats, "--json"])
        == 0
    )
    result: dict[str, Any] = json.loads(capsys.readouterr().out)["result"]
    assert [Path(f).name for f in result["files"]] == ["offers.html", "offers.json", "offers.xlsx"]
    named = set(re.findall(r"`([a-z_]+)`", section("offers")))
    (offer,) = result["offers"]
    replay = offer["aggregator"]
    written = set(result) | set(offer) | set(replay) | set(replay["wear"][0]) - {"asset"}
    assert written <= named, written - named
    page = (tmp_path / "offers.html").read_text(encoding="utf-8")
    for words in ("Who gets what", "regulation", "no offer", "Break-even"):
        assert words in page
    assert page.count("<svg") == 3
    whole = [r["name"] for r in result["ranking"]]
    assert sorted(whole) == ["Regulation, 70 %, nights", "no offer"]


def test_the_terminal_says_who_gets_what(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["offers", str(site), "regulation-70", "--out", str(tmp_path), "--formats", "json"]) == 0
    out = capsys.readouterr().out
    assert "market pays, gross" in out and "no offer" in out


def test_mistakes_are_said_without_a_traceback(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["offers", str(site), "regulation-9"]) == 2
    assert "did you mean" in capsys.readouterr().err
    assert run(["offers", str(site), "battery-lease"]) == 2
    assert "neither the site nor the offer has" in capsys.readouterr().err
