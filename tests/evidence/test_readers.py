"""Real files: every Green Button sample whole across clock changes, and the dirty files as described."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from valuestack.sources.source import Channel, read_meter

pytestmark = pytest.mark.data

# Usage points, channels, readings and commodity as an independent count of the elements in each file gives.
FEEDS = {
    "12MonthlyUpdates": (1, 1, 366),
    "15minLP_15Days": (1, 1, 1340),
    "1hrLP_32DaysFiveUsagePoints_M": (5, 5, 3840),
    "BatchFeedThreeUsagePoints_M": (3, 4, 384),
    "Coastal_Multi_Family_Jan_1_2011_to_Jan_1_2012": (1, 1, 8760),
    "Electric": (1, 1, 2),
    "GETBatchSampleEUI": (1, 1, 768),
    "Gas": (1, 1, 13),
    "MonthlyOnlyElectricData": (1, 1, 14),
    "hourlyForMonthMar": (1, 1, 743),
    "hourlyForMonthNov": (1, 1, 721),
}


def by_day(c: Channel, tz: str) -> dict[str, float]:
    """Hours of readings that each local date holds, counted interval by interval."""
    assert c.duration_s is not None
    z = ZoneInfo(tz)
    out: dict[str, float] = {}
    for s, d in zip(c.label_s.tolist(), c.duration_s.tolist(), strict=True):
        day = datetime.fromtimestamp(s, UTC).astimezone(z).date().isoformat()
        out[day] = out.get(day, 0.0) + d / 3600
    return out


def test_all_green_button_samples(data_dir: Path, evidence: Any) -> None:
    files = sorted((data_dir / "greenbutton").glob("*.xml.gz"))
    assert len(files) == len(FEEDS)
    readings = spring = autumn = 0
    for file in files:
        points, channels, n = FEEDS[file.name.removeprefix("openespi_").removesuffix(".xml.gz")]
        table = read_meter(file)
        assert len({c.usage_point for c in table.channels}) == points and len(table.channels) == channels
        assert sum(c.value.size for c in table.channels) == n
        readings += n
        for c in table.channels:
            assert np.isfinite(c.value).all()
            assert c.flow == ("other" if "Gas" in file.name else c.flow) and c.label == "start"
        sub_monthly = [c for c in table.channels if c.duration_s is not None and c.duration_s.max() <= 90000]
        for c in sub_monthly if table.tz else ():
            days = by_day(c, table.tz or "")
            # The outermost days of a feed may be cut; every other one is as long as its clock says.
            for day, hours in sorted(days.items())[1:-1]:
                start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(table.tz or ""))
                length = ((start.replace(hour=12).utcoffset() or start) == start.utcoffset() and 24) or (
                    23 if start.month < 7 else 25
                )
                assert hours == length, (file.name, day, hours)
                spring += length == 23
                autumn += length == 25
    assert spring and autumn
    evidence(
        "Green Button samples read",
        files=len(files),
        readings=readings,
        days_of_23_h=spring,
        days_of_25_h=autumn,
    )


def test_two_directions_stay_apart(data_dir: Path) -> None:
    table = read_meter(data_dir / "greenbutton" / "openespi_BatchFeedThreeUsagePoints_M.xml.gz")
    flows = [(c.usage_point, c.flow, round(float(c.value.sum()), 3)) for c in table.channels]
    assert flows == [
        ("4284792", "delivered", 14.635),
        ("4284792", "received", 30.195),
        ("4284793", "delivered", 166.73),
        ("4284794", "received", 0.0),
    ]


def test_energy_agrees_with_the_feeds_own_summary(data_dir: Path) -> None:
    table = read_meter(data_dir / "greenbutton" / "openespi_hourlyForMonthNov.xml.gz")
    assert table.channels[0].value.sum() == pytest.approx(table.billed[0]["last_period_kwh"], abs=1e-9)
    assert table.billed[0]["bill_last_period_usd"] == pytest.approx(253.05)


def test_the_steel_works_as_published(data_dir: Path, evidence: Any) -> None:
    import pandas as pd

    table = read_meter(data_dir / "load" / "dirty" / "steel_gwangyang_as_published.csv.gz")
    kinds = {f.kind for f in table.findings}
    assert {"header_mismatch", "midnight_label", "date_order", "label"} <= kinds
    assert not [f for f in table.findings if f.severity == "question"]
    assert table.mapping["encoding"] == "utf-8-sig" and table.mapping["date_order"] == "dmy"
    c = table.channels[0]
    assert c.label == "end" and c.quantity == "kwh" and c.value.size == 35040
    clean = pd.read_parquet(data_dir / "load" / "steel_gwangyang_kr_2018_15min.parquet")
    start = c.label_s - 900 - 9 * 3600
    want = clean["ts_utc"].astype("int64").to_numpy() // 10**6
    np.testing.assert_array_equal(start, want)
    off = np.flatnonzero(np.abs(c.value * 4 - clean["kw"].to_numpy()) > 1e-6)
    zeros = int((c.value == 0).sum())
    assert zeros == 1
    assert [x.quantity for x in table.channels] == ["kwh", "kvarh", "kvarh"]
    assert [x.flow for x in table.channels] == ["delivered", "delivered", "received"]
    evidence(
        "steel works as published", rows=35040, rows_unlike_the_clean_file=int(off.size), zero_rows=zeros
    )
    assert off.size <= 1


def test_stuck_meter_and_school(data_dir: Path, evidence: Any) -> None:
    stuck = read_meter(data_dir / "load" / "dirty" / "epri_sample_5min_stuck_meter_2019.parquet").channels[0]
    share = float((stuck.value == 157.44).mean())
    assert stuck.quantity == "kw" and stuck.value.size == 105120 and 0.66 < share < 0.68
    school = read_meter(data_dir / "load" / "dirty" / "nmecr_school_2018_hourly.parquet").channels[0]
    missing = int(np.isnan(school.value).sum())
    repeated = school.label_s.size - np.unique(school.label_s).size
    assert (school.quantity, missing, repeated) == ("kwh", 13, 1)
    evidence(
        "dirty tables",
        stuck_share_frac=round(share, 4),
        school_missing=missing,
        school_repeated_labels=repeated,
    )
