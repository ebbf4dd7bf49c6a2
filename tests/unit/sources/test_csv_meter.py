"""Delimited text in the shapes that utilities ship."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from valuestack.errors import InputError
from valuestack.sources.source import ESTIMATED, MeterTable, read_meter

from . import exports
from .exports import Truth, truth, wall, write


def kinds(table: MeterTable, severity: str | None = None) -> list[str]:
    return [f.kind for f in table.findings if severity is None or f.severity == severity]


def read(path: Path, text: str, encoding: str = "utf-8", **options: Any) -> MeterTable:
    return read_meter(write(path / "m.csv", text, encoding), **options)


def agrees(table: MeterTable, t: Truth, k: int = 0) -> None:
    """The channel holds the truth: same intervals, same energy."""
    c = table.channels[k]
    assert c.label in ("start", "end")
    label, value = exports.in_order(c.label_s, c.value)
    np.testing.assert_array_equal(exports.starts(label, c.label, t.step_s), t.start_s)
    kwh = value * t.step_s / 3600 if c.quantity == "kw" else value
    np.testing.assert_allclose(kwh, t.kwh, rtol=0, atol=1e-3)


@pytest.mark.parametrize("step_s", [300, 900, 1800, 3600])
@pytest.mark.parametrize("shape", sorted(exports.EXPORTS))
def test_each_export_is_read_whole(shape: str, step_s: int, tmp_path: Path) -> None:
    t = truth(step_s=step_s)
    table = read(tmp_path, exports.EXPORTS[shape](t))
    agrees(table, t)
    # That export states no unit anywhere: to ask is the only right answer.
    asked = {"unit"} if shape == "sdge" else set()
    assert set(kinds(table, "question")) == asked, [str(f) for f in table.findings]
    assert table.channels[0].flow == "delivered"


def test_registers_of_one_meter_are_kept_apart(tmp_path: Path) -> None:
    t = truth(days=3)
    table = read(tmp_path, exports.sdge_like(t), unit="kWh")
    assert [c.flow for c in table.channels] == ["delivered", "received", "net"]
    table = read(tmp_path, exports.smart_texas_like(t))
    assert {c.flow for c in table.channels} == {"delivered", "received"}
    assert table.channels[1].value.sum() == 0


def test_estimated_reads_are_flagged(tmp_path: Path) -> None:
    t = truth()
    c = read(tmp_path, exports.sce_like(t)).channels[0]
    assert c.quality is not None and (c.quality == ESTIMATED).sum() == 31
    assert c.duration_s is not None and set(c.duration_s.tolist()) == {900}


def test_totals_row_is_left_out_and_said(tmp_path: Path) -> None:
    table = read(tmp_path, exports.sce_like(truth(days=2)))
    footer = next(f for f in table.findings if f.kind == "footer")
    assert footer.count == 1 and "Total" in footer.what and "line" in footer.where


def test_day_and_month_ambiguous_is_asked(tmp_path: Path) -> None:
    text = "date,kWh\n" + "".join(f"03/04/2023 {h:02d}:00,{h}\n" for h in range(24))
    table = read(tmp_path, text)
    asked = next(f for f in table.findings if f.kind == "date_order")
    assert asked.severity == "question" and "date_order='dmy'" in asked.remedy
    april = read(tmp_path, text, date_order="dmy")
    assert wall(april.channels[0].label_s[0]).month == 4 and "date_order" not in kinds(april, "question")


def test_day_and_month_decided_by_the_run_of_dates(tmp_path: Path) -> None:
    for order, form in (("dmy", "%d/%m/%Y"), ("mdy", "%m/%d/%Y")):
        t = truth(days=12, step_s=3600, first="2023-03-01")
        text = "time,kWh\n" + "".join(f"{wall(s):{form} %H:%M},{v}\n" for s, v in zip(t.start_s, t.kwh))
        table = read(tmp_path, text)
        agrees(table, t)
        assert table.mapping["date_order"] == order and kinds(table, "question") == []


def test_unit_not_stated_is_asked(tmp_path: Path) -> None:
    t = truth(days=14)
    text = "timestamp,value\n" + "".join(f"{wall(s):%Y-%m-%dT%H:%M},{v}\n" for s, v in zip(t.start_s, t.kwh))
    table = read(tmp_path, text)
    assert table.channels[0].quantity == "unknown" and kinds(table, "question") == ["unit"]
    assert read(tmp_path, text, unit="kW").channels[0].quantity == "kw"
    mwh = read(tmp_path, text, values={"value": "MWh"}).channels[0]
    assert mwh.quantity == "kwh" and mwh.value[0] == pytest.approx(1000 * t.kwh[0])


def test_label_not_stated_is_asked(tmp_path: Path) -> None:
    t = truth(days=3)
    rows = list(zip(t.start_s, t.kwh))[10:-7]
    text = "timestamp,kWh\n" + "".join(f"{wall(s):%Y-%m-%d %H:%M},{v}\n" for s, v in rows)
    table = read(tmp_path, text)
    assert table.channels[0].label == "unknown" and kinds(table, "question") == ["label"]
    assert read(tmp_path, text, label="end").channels[0].label == "end"


def test_midnight_carrying_the_day_just_ended(tmp_path: Path) -> None:
    t = truth(days=5)
    rows = []
    for s, v in zip(t.start_s, t.kwh):
        end = wall(s + 900)
        rows.append(f"{wall(s):%d/%m/%Y},{end:%H:%M},{v}")
    for text in (rows, rows[::-1]):
        table = read(tmp_path, "date,Usage_kWh\n" + "\n".join(text), date_order="dmy")
        agrees(table, t)
        assert table.channels[0].label == "end"
        assert {"header_mismatch", "midnight_label"} <= set(kinds(table))


def test_24_00_is_the_end_of_its_day(tmp_path: Path) -> None:
    t = truth(days=20, step_s=3600)
    text = "Date,Hour,kW\n" + "".join(
        f"{wall(s):%m/%d/%Y},{wall(s).hour + 1:02d}:00,{v}\n" for s, v in zip(t.start_s, t.kwh)
    )
    agrees(read(tmp_path, text), t)


@pytest.mark.parametrize("name, first", [("Hour Ending", 1), ("HE", 1), ("Hour", 0)])
def test_hours_as_plain_numbers(name: str, first: int, tmp_path: Path) -> None:
    t = truth(days=20, step_s=3600)
    text = f"Date,{name},kWh\n" + "".join(
        f"{wall(s):%Y-%m-%d},{wall(s).hour + first},{v}\n" for s, v in zip(t.start_s, t.kwh)
    )
    agrees(read(tmp_path, text), t)


def test_compact_dates_and_hhmm(tmp_path: Path) -> None:
    t = truth(days=20)
    text = "Date|Time|kWh\n" + "".join(
        f"{wall(s):%Y%m%d}|{wall(s):%H%M}|{v}\n" for s, v in zip(t.start_s, t.kwh)
    )
    agrees(read(tmp_path, text), t)
    text = "ReadDateTime,kWh\n" + "".join(f"{wall(s):%Y%m%d%H%M},{v}\n" for s, v in zip(t.start_s, t.kwh))
    agrees(read(tmp_path, text), t)


def test_offsets_make_it_utc(tmp_path: Path) -> None:
    t = truth(days=3)
    text = "time,kWh\n" + "".join(
        f"{wall(s):%Y-%m-%dT%H:%M}:00-05:00,{v}\n" for s, v in zip(t.start_s, t.kwh)
    )
    c = read(tmp_path, text, label="start").channels[0]
    assert c.clock == "utc" and c.label_s[0] == t.start_s[0] + 5 * 3600
    text = "time (UTC),kWh\n" + "".join(f"{wall(s):%Y-%m-%d %H:%M},{v}\n" for s, v in zip(t.start_s, t.kwh))
    assert read(tmp_path, text).channels[0].clock == "utc"
    epoch = "timestamp,kWh\n" + "".join(f"{s},{v}\n" for s, v in zip(t.start_s, t.kwh))
    c = read(tmp_path, epoch).channels[0]
    assert c.clock == "utc" and c.label_s[0] == t.start_s[0]


def test_zone_abbreviations_across_a_clock_change(tmp_path: Path) -> None:
    """The repeated hour of an autumn day is told apart by EDT and EST, in one column or two."""
    hours = [("00:00", "EDT"), ("01:00", "EDT"), ("01:00", "EST"), ("02:00", "EST"), ("03:00", "EST")]
    for glue in (" ", ","):
        head = "Date" + (",Time" if glue == "," else "") + ",kWh"
        rows = [f"2023-11-05{glue}{h} {z},{k}" for k, (h, z) in enumerate(hours)]
        c = read(tmp_path, "\n".join([head, *rows]), label="start").channels[0]
        assert c.clock == "utc" and np.diff(c.label_s).tolist() == [3600] * 4


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encodings_and_delimiters(encoding: str, delimiter: str, tmp_path: Path) -> None:
    t = truth(days=14, step_s=3600)
    text = f"Début{delimiter}kWh\n" + "".join(
        f"{wall(s):%Y-%m-%d %H:%M}{delimiter}{v}\n" for s, v in zip(t.start_s, t.kwh)
    )
    table = read(tmp_path, text, encoding)
    agrees(table, t)
    assert table.mapping["delimiter"] == delimiter


def test_gzip_and_thousands_and_brackets(tmp_path: Path) -> None:
    t = truth(days=14, step_s=3600)
    text = "time,kWh\n" + "".join(
        f'{wall(s):%m/%d/%Y %I:%M:%S %p},"{v + 1000:,.2f}"\n' for s, v in zip(t.start_s, t.kwh)
    )
    path = tmp_path / "m.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    table = read_meter(path)
    np.testing.assert_allclose(table.channels[0].value, t.kwh + 1000)
    assert read(tmp_path, "time,net kWh\n2023-01-13 00:00,(1.5)\n2023-01-13 01:00,2-\n").channels[
        0
    ].value.tolist() == [-1.5, -2]


def test_thousands_or_decimals_is_asked(tmp_path: Path) -> None:
    rows = [f"2023-01-13 {h:02d}:00;1,{200 + h}" for h in range(24)]
    table = read(tmp_path, "time;kWh\n" + "\n".join(rows))
    assert "decimal" in kinds(table, "question") and table.channels[0].value[0] == 1.2
    assert read(tmp_path, "time;kWh\n" + "\n".join(rows), decimal=".").channels[0].value[0] == 1200


@pytest.mark.parametrize("per_day", [24, 48, 96, 288])
@pytest.mark.parametrize("heads", ["clock_start", "clock_end", "ampm", "number", "he", "none"])
def test_wide_columns(heads: str, per_day: int, tmp_path: Path) -> None:
    step = 86400 // per_day
    t = truth(days=20, step_s=step)
    names = {
        "clock_start": [f"{wall(k * step):%H:%M}" for k in range(per_day)],
        "clock_end": [f"{wall((k + 1) * step):%H:%M}" for k in range(per_day)],
        "ampm": [f"{wall(k * step):%I:%M %p}" for k in range(per_day)],
        "number": [str(k + 1) for k in range(per_day)],
        "he": [f"HE{k + 1:02d}" for k in range(per_day)],
        "none": [],
    }[heads]
    rows = [
        f"{wall(t.start_s[d * per_day]):%m/%d/%Y},"
        + ",".join(map(str, t.kwh[d * per_day : (d + 1) * per_day]))
        for d in range(20)
    ]
    head = ["Date (kWh)," + ",".join(names)] if names else []
    table = read(tmp_path, "\n".join(head + rows) + "\n", unit="kWh")
    agrees(table, t)
    assert table.mapping["layout"] == "wide" and kinds(table, "question") == []


@pytest.mark.parametrize("named", [True, False])
def test_wide_days_of_23_and_25_hours(named: bool, tmp_path: Path) -> None:
    """Spring and autumn 2023 in New York, columns by number or by clock with an extra one."""
    from zoneinfo import ZoneInfo

    z = ZoneInfo("America/New_York")
    heads = (
        [f"{h:02d}:00" for h in range(24)] + ["01:00 DST"] if named else [f"Hour {h + 1}" for h in range(25)]
    )
    rows, want = [], []
    from datetime import UTC, datetime, timedelta

    for first in ("2023-03-11", "2023-03-12", "2023-11-04", "2023-11-05", "2023-11-06"):
        day = datetime.fromisoformat(first)
        at, end = (
            day.replace(tzinfo=z).astimezone(UTC),
            (day + timedelta(days=1)).replace(tzinfo=z).astimezone(UTC),
        )
        cells: list[str] = [""] * 25
        k = 0
        seen: set[int] = set()
        while at < end:
            local = at.astimezone(z).replace(tzinfo=None)
            want.append((int((local - exports.EPOCH).total_seconds()), 10.0 + k))
            column = k if not named else 24 if local.hour in seen else local.hour
            seen.add(local.hour)
            cells[column] = str(10.0 + k)
            at += timedelta(hours=1)
            k += 1
        rows.append(f"{first}," + ",".join(cells))
    table = read(tmp_path, "Date," + ",".join(heads) + "\n" + "\n".join(rows) + "\n", unit="kWh")
    c = table.channels[0]
    got = sorted(zip(c.label_s[~np.isnan(c.value)].tolist(), c.value[~np.isnan(c.value)].tolist()))
    assert got == sorted(want)
    assert len(want) == 24 + 23 + 24 + 25 + 24


def test_several_meters_in_rows(tmp_path: Path) -> None:
    t = truth(days=3, step_s=3600)
    text = "Meter ID,Read Time,kWh\n" + "".join(
        f"{m},{wall(s):%Y-%m-%d %H:%M},{v * m}\n" for s, v in zip(t.start_s, t.kwh) for m in (1, 2)
    )
    table = read(tmp_path, text)
    assert [c.usage_point for c in table.channels] == ["1", "2"]
    agrees(table, t, 0)
    np.testing.assert_allclose(table.channels[1].value, 2 * t.kwh)


def test_kw_and_kvar_and_power_factor_columns(tmp_path: Path) -> None:
    t = truth(days=3)
    text = "Interval Start,Demand kW,kVAr lagging,Power Factor\n" + "".join(
        f"{wall(s):%Y-%m-%d %H:%M},{v * 4},{v},0.9\n" for s, v in zip(t.start_s, t.kwh)
    )
    table = read(tmp_path, text)
    assert [c.quantity for c in table.channels] == ["kw", "kvar"]
    assert any("Power Factor" in f.what for f in table.findings)


def test_rows_that_cannot_be_read_are_counted_and_placed(tmp_path: Path) -> None:
    t = truth(days=2, step_s=3600)
    rows = [f"{wall(s):%Y-%m-%d %H:%M},{v}" for s, v in zip(t.start_s, t.kwh)]
    rows[5] = "garbage,12"
    rows[9] = rows[9].split(",")[0] + ",oops"
    rows[20] = "time,kWh"
    table = read(tmp_path, "time,kWh\n" + "\n".join(rows) + "\n\n")
    by = {f.kind: f for f in table.findings}
    assert by["unreadable_time"].where == "line 7" and "garbage" in by["unreadable_time"].what
    assert by["unreadable_value"].where == "line 11" and "oops" in by["unreadable_value"].what
    assert by["repeated_header"].where == "line 22"
    assert table.channels[0].value.size == 46 and np.isnan(table.channels[0].value).sum() == 1


def test_unquoted_thousands_commas_are_seen(tmp_path: Path) -> None:
    rows = [f"2023-01-13 {h:02d}:00,{900 + h}" for h in range(22)] + [
        "2023-01-13 22:00,1,024",
        "2023-01-13 23:00,1,011",
    ]
    table = read(tmp_path, "time,kWh\n" + "\n".join(rows))
    odd = next(f for f in table.findings if f.kind == "uneven_rows")
    assert odd.count == 2 and "24" in odd.where


@pytest.mark.parametrize(
    "form",
    ["%a %m/%d/%Y %H:%M", "%d%b%Y:%H:%M:%S", "%b %d, %Y %I:%M %p", "%Y/%m/%d %H:%M", "%A, %d %B %Y %H:%M"],
)
def test_dates_as_programs_write_them(form: str, tmp_path: Path) -> None:
    t = truth(days=14)
    text = "when,kWh\n" + "".join(f'"{wall(s):{form}}",{v}\n' for s, v in zip(t.start_s, t.kwh))
    agrees(read(tmp_path, text), t)


def test_first_values_missing_no_header_and_row_numbers(tmp_path: Path) -> None:
    t = truth(days=14, step_s=3600)
    rows = [f"{k},{wall(s):%Y-%m-%d %H:%M},{v}" for k, (s, v) in enumerate(zip(t.start_s, t.kwh))]
    rows[0], rows[1] = rows[0].rsplit(",", 1)[0] + ",", rows[1].rsplit(",", 1)[0] + ",N/A"
    for head in ([",time,x"], []):
        table = read(tmp_path, "\n".join(head + rows))
        c = table.channels[0]
        assert len(table.channels) == 1 and c.label_s.size == t.start_s.size
        assert np.isnan(c.value[:2]).all() and c.value[2] == t.kwh[2]


def test_units_tell_channels_of_a_wide_file_apart(tmp_path: Path) -> None:
    t = truth(days=5, step_s=3600)
    rows = []
    for d in range(5):
        for unit, factor in (("kWh", 1.0), ("kVARh", 0.5)):
            values = ",".join(map(str, t.kwh[24 * d : 24 * d + 24] * factor))
            rows.append(f"77,{wall(t.start_s[24 * d]):%Y-%m-%d},{unit},{values}")
    head = "Meter,Date,Units," + ",".join(f"{h:02d}:00" for h in range(24))
    table = read(tmp_path, "\n".join([head, *rows]))
    assert [(c.quantity, c.usage_point) for c in table.channels] == [("kwh", "77"), ("kvarh", "77")]
    agrees(table, t)


def test_multiplier_column_is_asked(tmp_path: Path) -> None:
    t = truth(days=3, step_s=3600)
    text = "time,kWh,Meter Multiplier\n" + "".join(
        f"{wall(s):%Y-%m-%d %H:%M},{v},40\n" for s, v in zip(t.start_s, t.kwh)
    )
    table = read(tmp_path, text)
    assert "multiplier=40" in next(f for f in table.findings if f.kind == "multiplier").remedy
    np.testing.assert_allclose(read(tmp_path, text, multiplier=40).channels[0].value, 40 * t.kwh)


def test_meter_stand_is_a_register(tmp_path: Path) -> None:
    t = truth(days=3, step_s=3600)
    text = "time,Meter reading kWh\n" + "".join(
        f"{wall(s):%Y-%m-%d %H:%M},{v:.2f}\n" for s, v in zip(t.start_s, np.cumsum(t.kwh))
    )
    assert read(tmp_path, text).channels[0].quantity == "register_kwh"


@pytest.mark.parametrize("shape", sorted(exports.EXPORTS))
def test_the_mapping_read_back_as_options_gives_the_same(shape: str, tmp_path: Path) -> None:
    text = exports.EXPORTS[shape](truth(days=14))
    table = read(tmp_path, text)
    again = read_meter(tmp_path / "m.csv", **table.mapping)
    assert again.mapping == table.mapping
    for a, b in zip(table.channels, again.channels, strict=True):
        assert (a.name, a.flow, a.quantity, a.label, a.clock) == (
            b.name,
            b.flow,
            b.quantity,
            b.label,
            b.clock,
        )
        np.testing.assert_array_equal(a.label_s, b.label_s)
        np.testing.assert_array_equal(a.value, b.value)
        assert (a.duration_s is None) == (b.duration_s is None)


BAD = [
    ("", {}, "empty"),
    ("   \n\n", {}, "empty"),
    ("just a sentence, and another\nand one more, of words\n", {}, "no rows of times and numbers"),
    ("time,kWh\n2023-01-13 00:00,1\n2023-01-13 01:00,2\n", {"vlaues": "kWh"}, "did you mean values"),
    ("time,kWh\n2023-01-13 00:00,1\n2023-01-13 01:00,2\n", {"values": "kwhh"}, "did you mean 'kWh'"),
    ("time,kWh\n2023-01-13 00:00,1\n2023-01-13 01:00,2\n", {"time": "when"}, "no column 'when'"),
    ("time,kWh\n2023-01-13 00:00,1\n2023-01-13 01:00,2\n", {"label": "middle", "unit": "kJ"}, "2 problems"),
    ("time,kWh\n2023-01-13 00:00,1\n2023-01-13 01:00,2\n", {"tz": "Mars/Olympus"}, "not an IANA time zone"),
    ("time,kWh\n2023-01-13 00:00,1\n2023-01-13 01:00,2\n", {"header_row": 99}, "line 99"),
    ("time,kWh\n2023-01-13 00:00,1\n2023-01-13 01:00,2\n", {"layout": "wide"}, "at least 23 columns"),
    ("time,kWh\n2023-01-13T00:00Z,1\n2023-01-13 01:00,2\n2023-01-13 02:00,2\n", {}, "carry an offset"),
    ("time,kWh\n2023-01-13 00:00,1\n", {"encoding": "klingon"}, "klingon"),
    ("time,kWh\n2023-01-13 00:00,1\n", {"delimiter": "ab"}, "one character"),
    ("time,kWh\n2023-01-13 00:00,1\n", {"multiplier": "two"}, "not a number"),
]


@pytest.mark.parametrize("text, options, words", BAD)
def test_bad_input_says_what_and_where(
    text: str, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"m\.csv") as e:
        read_meter(write(tmp_path / "m.csv", text), **options)
    assert words in str(e.value)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    write(tmp_path / "meter_2023.csv", "x")
    with pytest.raises(InputError, match=r"did you mean 'meter_2023\.csv'"):
        read_meter(tmp_path / "meter_2032.csv")
    with pytest.raises(InputError, match="is a folder"):
        read_meter(tmp_path)
    with pytest.raises(InputError, match="neither Green Button"):
        read_meter(write(tmp_path / "one.txt", "word"))
    (tmp_path / "garbage.csv").write_bytes(bytes(range(256)) * 8)
    with pytest.raises(InputError, match="neither Green Button"):
        read_meter(tmp_path / "garbage.csv")
    whole = gzip.compress(exports.pge_like(truth()).encode())
    (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cut off"):
        read_meter(tmp_path / "cut.csv.gz")
    with pytest.raises(InputError, match="no kind of sources is called"):
        read_meter(tmp_path / "one.txt", format="csv_meters")
