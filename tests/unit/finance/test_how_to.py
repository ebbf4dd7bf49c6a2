"""The how-to page of the pro forma does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "pro-forma.md"


def test_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"<!-- tested -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 3
    scope: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec", dont_inherit=True), scope)
    out = capsys.readouterr().out
    assert "30%: below 1 MW AC" in out and "prohibited foreign entities, not verified" in out
    assert "perfect-foresight bound" in out and "layer 2 alone pays from" in out
    assert (tmp_path / "proforma.xlsx").stat().st_size > 5000
