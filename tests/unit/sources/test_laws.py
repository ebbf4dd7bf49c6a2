"""What is written in any shape is read back; no damage to a file gives anything but our own errors."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from valuestack.errors import ValuestackError
from valuestack.sources.source import read_meter

from . import exports
from .exports import truth, wall

DATES = {
    "iso": "%Y-%m-%d",
    "mdy": "%m/%d/%Y",
    "dmy": "%d/%m/%Y",
    "dotted": "%d.%m.%Y",
    "short": "%m/%d/%y",
    "named": "%d-%b-%Y",
    "compact": "%Y%m%d",
}
TIMES = {"24h": "%H:%M", "seconds": "%H:%M:%S", "ampm": "%I:%M %p"}


@dataclass(frozen=True)
class Shape:
    """One way of writing a series down."""

    date: str
    time: str
    columns: int
    delimiter: str
    comma: bool
    label: str
    unit: str
    newest_first: bool
    preamble: int
    scale: float


shapes = st.builds(
    Shape,
    date=st.sampled_from(sorted(DATES)),
    time=st.sampled_from(sorted(TIMES)),
    columns=st.integers(1, 2),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    comma=st.booleans(),
    label=st.sampled_from(["start", "end"]),
    unit=st.sampled_from(["kW", "kWh", "Wh", "MWh"]),
    newest_first=st.booleans(),
    preamble=st.integers(0, 3),
    scale=st.sampled_from([1.0, 1000.0]),
)


def written(t: exports.Truth, s: Shape) -> str:
    factor = {"kW": 3600 / t.step_s, "kWh": 1.0, "Wh": 1000.0, "MWh": 1e-3}[s.unit] * s.scale
    rows = []
    for start, v in zip(t.start_s, t.kwh):
        at = wall(start + (t.step_s if s.label == "end" else 0))
        value = f"{v * factor:.6f}"
        if s.comma:
            value = value.replace(".", ",")
        if s.delimiter in value:
            value = f'"{value}"'
        sep = s.delimiter if s.columns == 2 else " "
        rows.append(f"{at:{DATES[s.date]}}{sep}{at:{TIMES[s.time]}}{s.delimiter}{value}")
    if s.newest_first:
        rows.reverse()
    head = s.delimiter.join([*["Date", "Time"][: s.columns], f"Usage ({s.unit})"])
    return "\n".join([f"Line {k} of a note" for k in range(s.preamble)] + [head, *rows]) + "\n"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    s=shapes,
    seed=st.integers(0, 1000),
    step_s=st.sampled_from([300, 900, 1800, 3600]),
    days=st.integers(13, 16),
)
def test_round_trip(s: Shape, seed: int, step_s: int, days: int, tmp_path: Path) -> None:
    t = truth(days=days, step_s=step_s, first="2023-05-01", seed=seed)
    path = tmp_path / "m.csv"
    path.write_text(written(t, s))
    table = read_meter(path)
    c = table.channels[0]
    assert [f for f in table.findings if f.severity in ("question", "error")] == []
    assert c.label == s.label and c.quantity == ("kw" if s.unit == "kW" else "kwh")
    label, value = exports.in_order(c.label_s, c.value)
    np.testing.assert_array_equal(exports.starts(label, c.label, step_s), t.start_s)
    kwh = value / s.scale * (step_s / 3600 if c.quantity == "kw" else 1)
    np.testing.assert_allclose(kwh, t.kwh, atol=2e-3)


def survives(path: Path) -> bool:
    """Whether the file was read; anything but our own error fails the test."""
    try:
        table = read_meter(path)
    except ValuestackError as e:
        assert str(path.name) in str(e)
        return False
    for c in table.channels:
        n = c.value.size
        assert c.label_s.shape == (n,) and (c.place is None or c.place.shape == (n,))
        assert c.duration_s is None or c.duration_s.shape == (n,)
        assert c.quality is None or c.quality.shape == (n,)
    return True


@pytest.mark.parametrize("shape", sorted(exports.EXPORTS))
def test_damaged_text_gives_a_reading_or_our_own_error(shape: str, tmp_path: Path) -> None:
    rng = random.Random(shape)
    whole = exports.EXPORTS[shape](truth(days=2, step_s=3600)).encode()
    path = tmp_path / "m.csv"
    for _ in range(60):
        path.write_bytes(exports.mutate(whole, rng))
        survives(path)


def test_damaged_feeds_books_and_tables(tmp_path: Path) -> None:
    import pandas as pd

    from .test_green_button import clock, feed, hours, kind
    from .test_xlsx_parquet import book

    t = truth(days=2, step_s=3600)
    rng = random.Random(7)
    sheet = book(
        tmp_path / "b.xlsx",
        {"S": [["time", "kWh"], *([wall(s), float(v)] for s, v in zip(t.start_s, t.kwh))]},
    )
    frame = pd.DataFrame({"ts": pd.to_datetime(t.start_s, unit="s"), "kwh": t.kwh})
    frame.to_parquet(tmp_path / "p.parquet")
    files = {
        "x.xml": feed(
            [("A", kind(), hours([1] * 30)), ("B", kind(flow=19), hours([2] * 30))], clock()
        ).encode(),
        "y.xlsx": sheet.read_bytes(),
        "z.parquet": (tmp_path / "p.parquet").read_bytes(),
    }
    for name, whole in files.items():
        path = tmp_path / name
        for _ in range(60):
            path.write_bytes(exports.mutate(whole, rng))
            survives(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    raw=st.one_of(
        st.binary(max_size=400),
        st.text(alphabet='0123456789:/-., ;\t\n"aeTZkWh', max_size=400).map(str.encode),
    )
)
def test_random_bytes(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(raw)
    survives(path)
