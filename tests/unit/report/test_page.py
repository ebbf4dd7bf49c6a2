"""The page says what the study says, needs no network, and is written whole or not at all."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from valuestack.errors import InputError, UnknownKind
from valuestack.report import figures, page, tables

from .study import hand_study


@pytest.fixture(scope="module")
def html() -> str:
    return page.render(hand_study())


def test_page_stands_alone(html: str) -> None:
    assert not re.search(r'(src|href)="(https?:)?//', html)
    assert "<script" not in html
    assert "&lt;script&gt;" in html, "text from files is escaped"


def test_headline_is_the_settled_saving_and_the_bound_is_labelled(html: str) -> None:
    study = hand_study()
    assert tables.show_usd(study.realised_saving_usd / study.span_y) in html
    assert "upper bound: perfect foresight" in html
    assert "The data were overridden by hand." in html
    assert "unverified" in html


def test_items_sum_to_the_saving() -> None:
    study = hand_study()
    rows = tables.changes(study.changes()).rows
    assert sum(r[-1] for r in rows[:-1]) == pytest.approx(rows[-1][-1], abs=1e-9)
    assert rows[-1][-1] == pytest.approx(study.realised_saving_usd, abs=1e-9)


def test_every_format_is_written(tmp_path: Path) -> None:
    import pyarrow.parquet as pq
    from openpyxl import load_workbook

    study = hand_study()
    paths = page.write(study, tmp_path / "out", page.FORMATS)
    assert [p.name for p in paths] == [
        "report.html",
        "report.json",
        "report.xlsx",
        "intervals-main.parquet",
        "intervals-main.csv",
    ]
    assert not list((tmp_path / "out").glob(".*"))
    body = json.loads(paths[1].read_text())
    assert body["realised_saving_usd"] == pytest.approx(study.realised_saving_usd)
    book = load_workbook(paths[2])
    assert {"Summary", "By item", "By cycle", "Peaks", "Ledger realised"} <= set(book.sheetnames)
    assert {"Claim", "Payback", "Warranty", "Sizes", "Wear", "Assumptions"} <= set(book.sheetnames)
    assert [c.value for c in book["Sizes"][6]][:5] == [100, 200, 4000, None, "knee"]
    sheet = book["By item"]
    assert str(sheet.cell(sheet.max_row, 5).value).startswith("=SUM(")
    rows = pq.read_table(paths[3])
    np.testing.assert_array_equal(rows["realised_net_kw"].to_numpy(), study.realised.records["main"].net_kw)


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("x")
    with pytest.raises(InputError, match=r"output folder .*file.* cannot be written"):
        page.write(hand_study(), blocker / "sub")


def test_unknown_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownKind, match="did you mean 'html'"):
        page.write(hand_study(), tmp_path, ["htm"])


def test_day_matrix_keeps_the_clock() -> None:
    study = hand_study()
    m = study.meters[0]
    matrix, days = figures.day_matrix(m.timeline, m.before_kw)
    spring = int(np.flatnonzero(days == np.datetime64("2019-03-10"))[0])
    assert np.isnan(matrix[8:12, spring]).all(), "02:00 does not exist on that day"
    assert np.isnan(matrix[:, :-1]).sum() == 4


def test_show() -> None:
    show = {form: tables.Column("x", form).show for form in ("usd", "usd_cents", "percent", "rate", "kw")}
    assert show["usd"](-1234.5) == "-$1,234"
    assert show["usd_cents"](-0.001) == "$0.00"
    assert show["percent"](0.123) == "12.3 %"
    assert show["rate"](0.12) == "0.12"
    assert show["kw"](float("nan")) == "-"


def test_a_format_whose_packages_are_missing_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The core alone reads, bills and studies; what draws comes with an extra, and the message names it."""
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(InputError, match=r"xlsxwriter is not installed; install valuestack\[report\]"):
        page.write(hand_study(), tmp_path / "out", ["json", "xlsx"])
    assert not (tmp_path / "out").exists()
    assert page.write(hand_study(), tmp_path / "out", ["json"])


def test_sheets_have_names_of_their_own() -> None:
    from valuestack.report.workbook import _unique

    taken: set[str] = set()
    long = "investment NPV, IRR and payback of every nested set"
    made = [_unique(n, taken) for n in (long, long.upper(), "a/b: [c]", "a-b- -c-")]
    assert len({m.lower() for m in made}) == 4 and all(
        len(m) <= 31 and not set(m) & set("[]:*?/\\") for m in made
    )
