"""The command line: messages instead of tracebacks, exit codes, JSON, and refusal before any work."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from valuestack import __version__
from valuestack.cli import run
from valuestack.cli.app import plain

Capture = pytest.CaptureFixture[str]


def told(capsys: Capture, *args: str) -> tuple[int, str, str]:
    code = run(list(args))
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


def test_version(capsys: Capture) -> None:
    assert told(capsys, "--version") == (0, f"valuestack {__version__}\n", "")


@pytest.mark.parametrize("args", [["stdy"], ["study"], ["study", "x", "--sizs"], ["tariff", "shw"], ["bill"]])
def test_a_wrong_command_line_is_the_users(capsys: Capture, args: list[str]) -> None:
    code, out, err = told(capsys, *args)
    assert code == 2 and out == "" and err.startswith("error: ") and "--help" in err


@pytest.mark.parametrize(
    "args",
    [
        ["study", "frst-story"],
        ["status", "nowhere/site.toml"],
        ["audit", "none.csv", "--tz", "UTC"],
        ["bill", "none.csv", "--tariff", "x", "--tz", "UTC"],
        ["bill", "none.csv"],
        ["tariff", "show", "no-such-tariff"],
        ["init", "none.csv", "--tariff", "x"],
    ],
)
def test_what_is_not_there_is_said_in_one_message(capsys: Capture, args: list[str]) -> None:
    code, out, err = told(capsys, *args)
    assert code == 2 and out == "" and err.count("error: ") == 1


def test_near_names_are_offered(capsys: Capture) -> None:
    _, _, err = told(capsys, "study", "frst-story")
    assert "did you mean the example 'first-story'?" in err


def test_an_error_in_json_is_one_object_with_inputs_and_defaults(capsys: Capture) -> None:
    code, out, err = told(capsys, "study", "frst-story", "--json")
    body = json.loads(out)
    assert code == 2 and body["command"] == "study" and body["version"] == __version__
    assert body["inputs"]["site_file"] == "frst-story" and body["inputs"]["sizes"] is False
    assert body["error"]["kind"] == "InputError" and body["error"]["exit_code"] == 2 and "result" not in body
    assert err.startswith("error: ")


def test_an_unwritable_folder_is_refused_before_anything_is_computed(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    monkeypatch.setattr("valuestack.process.stacking.study.study", lambda *a, **k: pytest.fail("computed"))
    code, _, err = told(capsys, "study", "first-story", "--out", str(tmp_path / "taken"))
    assert code == 2 and "cannot be written to" in err and "--out" in err


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(capsys: Capture, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    code, _, err = told(capsys, "study", "first-story", "--out", str(tmp_path / "new"))
    assert code == 2 and "cannot be written to" in err


def test_an_unknown_format_is_refused_before_anything_is_computed(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("valuestack.process.stacking.study.study", lambda *a, **k: pytest.fail("computed"))
    code, _, err = told(capsys, "study", "first-story", "--out", str(tmp_path), "--formats", "html,pfd")
    assert code == 2 and "'pfd'" in err


def test_a_fault_of_ours_asks_for_a_report(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("valuestack.site.files.load", broken)
    code, _, err = told(capsys, "status", "first-story")
    assert code == 1 and "internal error: ZeroDivisionError" in err and "report" in err
    assert run(["--debug", "status", "first-story"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("valuestack.site.files.load", stop)
    assert run(["status", "first-story"]) == 130


@pytest.mark.parametrize("item", ["unit", "=kwh"])
def test_a_read_option_is_key_and_value(capsys: Capture, item: str) -> None:
    code, _, err = told(capsys, "audit", "jobbing-foundry", "--read", item)
    assert code == 2 and "KEY=VALUE" in err


def test_options_of_a_meter_do_not_go_with_a_site_file(capsys: Capture) -> None:
    code, _, err = told(capsys, "bill", "first-story", "--tz", "UTC")
    assert code == 2 and "--tz" in err and "write this in the file" in err


def test_plain_values_only() -> None:
    import numpy as np

    made = plain({"a": np.array([1.0, np.nan]), "b": float("inf"), "c": Path("x"), "d": (1, {2})})
    assert json.loads(json.dumps(made, allow_nan=False)) == {
        "a": [1.0, None],
        "b": None,
        "c": "x",
        "d": [1, [2]],
    }
