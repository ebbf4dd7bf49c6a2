"""The tutorial does what it says: its commands run in order, as written, and so does its Python."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from valuestack.cli import run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.S)


@pytest.mark.slow
def test_the_tutorial_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = [line for block in blocks("bash") for line in block.splitlines() if line.strip()]
    assert len(commands) >= 6
    for line in commands:
        words = shlex.split(line)
        assert words[0] == "valuestack", line
        code = run(words[1:])
        out, err = capsys.readouterr()
        assert code == 0, f"{line}\n{out}\n{err}"
        if words[1] == "init":
            site = tmp_path / "my-site" / "site.toml"
            text = site.read_text().replace("# [meters.facts]", "[meters.facts]")
            text = text.replace("# power_factor_frac", "power_factor_frac")
            # Two months suffice to see every command work.
            text += "\n[study]\nfirst_date = 2021-05-01\nuntil_date = 2021-07-01\n"
            site.write_text(text)
        if words[1] == "status":
            assert "done" in out and "not yet available" in out
            site.write_text(site.read_text() + "\n# changed\n")
            assert run(words[1:]) == 0 and "stale" in capsys.readouterr().out
    assert (tmp_path / "first-report" / "report.html").is_file()


@pytest.mark.slow
def test_the_python_of_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, str(PAGE), "exec"), {})
    assert len(out.getvalue().splitlines()) > 3
