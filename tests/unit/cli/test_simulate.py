"""`valuestack simulate`: wrong wishes refused before anything is computed; a stop says how to go on."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.unit.process.stacking.test_outcome import SITE, rows
from valuestack.cli import run
from valuestack.process.stacking import simulate
from valuestack.site import files

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The runs asked for; each comes back at once with rows of 40 futures."""
    asked: list[dict[str, Any]] = []

    def at_once(site: Any, folder: Path, **more: Any) -> simulate.Simulation:
        asked.append(more)
        found = rows(40)
        kinds = tuple(dict.fromkeys(r["policy"] for r in found))
        made = simulate.Simulation(simulate.Job("plant", date(2026, 1, 1), kinds, 40, 25, 0), found)
        more["so_far"](made)
        return made

    monkeypatch.setattr(simulate, "simulate", at_once)
    site = files.load(SITE)
    monkeypatch.setattr(files, "load", lambda *_: site)
    return asked


def test_an_unknown_policy_is_refused_by_near_names(capsys: Capture, tmp_path: Path) -> None:
    assert run(["simulate", "first-story", "--policies", "B,treshold", "--out", str(tmp_path / "o")]) == 2
    assert "did you mean 'threshold'" in capsys.readouterr().err and not (tmp_path / "o").exists()


def test_workers_here_do_not_go_with_a_cluster(capsys: Capture, tmp_path: Path) -> None:
    wish = [
        "simulate",
        "first-story",
        "--workers",
        "2",
        "--cluster",
        "tcp://127.0.0.1:9",
        "--out",
        str(tmp_path),
    ]
    assert run(wish) == 2
    assert "leave one away" in capsys.readouterr().err


@pytest.mark.parametrize("wish", [["--scenarios", "0"], ["--workers", "0"], ["--seed", "-1"]])
def test_numbers_that_make_no_sense_are_refused(capsys: Capture, wish: list[str]) -> None:
    assert run(["simulate", "first-story", *wish]) == 2
    assert wish[0] in capsys.readouterr().err


def test_what_is_asked_for_is_passed_on_and_the_outcome_is_shown_and_written(
    capsys: Capture, tmp_path: Path, simulated: list[dict[str, Any]]
) -> None:
    assert (
        run(
            [
                "simulate",
                "x",
                "--scenarios",
                "40",
                "--seed",
                "7",
                "--policies",
                "B,threshold",
                "--out",
                str(tmp_path),
            ]
        )
        == 0
    )
    out, err = capsys.readouterr()
    (asked,) = simulated
    assert asked["policies"] == ("dynamic", "threshold") and asked["scenarios"] == 40 and asked["seed"] == 7
    assert "B: dynamic nets $" in out and "P90" in out
    assert "turn it round" in out or "the other way round" in out
    assert "so far (40 futures): do nothing $" in err, "partial results are shown"
    assert {p.name for p in tmp_path.iterdir()} >= {"simulation.html", "simulation.json", "simulation.xlsx"}


def test_json_is_one_object(capsys: Capture, tmp_path: Path, simulated: list[dict[str, Any]]) -> None:
    assert run(["simulate", "x", "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["command"] == "simulate" and found["result"]["verdict"]["best"] == "dynamic"
    assert len(found["result"]["files"]) == 3


def test_a_stop_says_how_to_go_on(capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(simulate, "simulate", stopped)
    assert run(["simulate", "first-story", "--out", str(tmp_path)]) == 130
    assert "the same command goes on from there" in capsys.readouterr().err
