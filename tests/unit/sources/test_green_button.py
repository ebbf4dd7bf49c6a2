"""Green Button feeds, built piece by piece."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from valuestack.errors import InputError
from valuestack.sources.green_button import GreenButton, decode_dst_rule, dst_date
from valuestack.sources.source import ESTIMATED, INVALID, METERED, MeterTable, read_meter

ESPI = "http://naesb.org/espi"


def entry(link: str, up: str, related: list[str], content: str, title: str = "") -> str:
    links = "".join(f'<link rel="related" href="{r}"/>' for r in related)
    return (
        f'<entry><link rel="self" href="{link}"/><link rel="up" href="{up}"/>{links}<title>{title}</title>'
        f"<content>{content}</content></entry>"
    )


def reading(
    start: int | None,
    value: Any,
    duration: int | None = 3600,
    quality: int | None = None,
    cost: int | None = None,
) -> str:
    period = (
        ""
        if start is None
        else f"<timePeriod><duration>{duration}</duration><start>{start}</start></timePeriod>"
    )
    flag = "" if quality is None else f"<ReadingQuality><quality>{quality}</quality></ReadingQuality>"
    paid = "" if cost is None else f"<cost>{cost}</cost>"
    return f"<IntervalReading>{paid}{flag}{period}<value>{value}</value></IntervalReading>"


def block(readings: list[str], start: int = 0, duration: int = 86400) -> str:
    return (
        f'<IntervalBlock xmlns="{ESPI}"><interval><duration>{duration}</duration>'
        f"<start>{start}</start></interval>"
        f"{''.join(readings)}</IntervalBlock>"
    )


def kind(uom: int = 72, flow: int | None = 1, power: int = 0, behaviour: int = 4, length: int = 3600) -> str:
    direction = "" if flow is None else f"<flowDirection>{flow}</flowDirection>"
    return (
        f'<ReadingType xmlns="{ESPI}"><accumulationBehaviour>{behaviour}</accumulationBehaviour>{direction}'
        f"<intervalLength>{length}</intervalLength><powerOfTenMultiplier>{power}</powerOfTenMultiplier>"
        f"<uom>{uom}</uom></ReadingType>"
    )


def clock(offset: int = -18000, start: str = "360E2000", end: str = "B40E2000") -> str:
    return entry(
        "LocalTimeParameters/1",
        "LocalTimeParameters",
        [],
        f'<LocalTimeParameters xmlns="{ESPI}"><dstEndRule>{end}</dstEndRule><dstOffset>3600</dstOffset>'
        f"<dstStartRule>{start}</dstStartRule><tzOffset>{offset}</tzOffset></LocalTimeParameters>",
    )


def feed(channels: list[tuple[str, str, str]], extra: str = "") -> str:
    """channels: (usage point, ReadingType, blocks)."""
    out = []
    for k, (point, sort, blocks) in enumerate(channels):
        up = f"RetailCustomer/1/UsagePoint/{point}"
        out.append(
            entry(up, "RetailCustomer/1/UsagePoint", [f"{up}/MeterReading"], f'<UsagePoint xmlns="{ESPI}"/>')
        )
        out.append(
            entry(
                f"{up}/MeterReading/{k}",
                f"{up}/MeterReading",
                [f"ReadingType/{k}"],
                f'<MeterReading xmlns="{ESPI}"/>',
            )
        )
        out.append(
            entry(
                f"{up}/MeterReading/{k}/IntervalBlock/1", f"{up}/MeterReading/{k}/IntervalBlock", [], blocks
            )
        )
        out.append(entry(f"ReadingType/{k}", "ReadingType", [], sort))
    return (
        '<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom">'
        + "".join(out)
        + extra
        + "</feed>"
    )


def read(path: Path, text: str | bytes, **options: Any) -> MeterTable:
    file = path / "m.xml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_meter(file, **options)


def hours(values: list[Any], start: int = 1672549200, **more: Any) -> str:
    return block([reading(start + 3600 * k, v, **more) for k, v in enumerate(values)], start)


def test_directions_and_points_are_kept_apart(tmp_path: Path) -> None:
    text = feed(
        [
            ("A", kind(flow=1), hours([1000, 2000])),
            ("A", kind(flow=19), hours([500, 0])),
            ("B", kind(flow=4), hours([-300, 7])),
        ],
        clock(),
    )
    table = read(tmp_path, text)
    assert [(c.usage_point, c.flow) for c in table.channels] == [
        ("A", "delivered"),
        ("A", "received"),
        ("B", "net"),
    ]
    assert table.channels[0].value.tolist() == [1, 2] and table.channels[2].value.tolist() == [-0.3, 0.007]
    assert table.tz == "America/New_York"
    assert [c.usage_point for c in read(tmp_path, text, usage_points=["B"]).channels] == ["B"]
    with pytest.raises(InputError, match="it holds A, B"):
        read(tmp_path, text, usage_points=["C"])


@pytest.mark.parametrize(
    "uom, quantity, factor",
    [(72, "kwh", 1), (38, "kw", 1), (61, "kva", 1), (63, "kvar", 1), (73, "kvarh", 1), (71, "kva", 4)],
)
def test_units_and_powers_of_ten(uom: int, quantity: str, factor: int, tmp_path: Path) -> None:
    for power in (-3, 0, 3, 6):
        text = feed([("A", kind(uom=uom, power=power, length=900), hours([12, 34], duration=900))])
        c = read(tmp_path, text).channels[0]
        assert c.quantity == quantity
        np.testing.assert_allclose(c.value, np.array([12, 34]) * 10.0 ** (power - 3) * factor)


def test_gas_is_named_and_kept_out_of_the_load(tmp_path: Path) -> None:
    table = read(tmp_path, feed([("G", kind(uom=169, power=-3), hours([1500]))]))
    assert table.channels[0].flow == "other" and table.channels[0].value[0] == 1.5
    assert any("therm" in f.what for f in table.findings)


def test_registers_quality_and_cost(tmp_path: Path) -> None:
    stand = feed([("A", kind(behaviour=3), hours([1000, 1500, 1700]))])
    assert read(tmp_path, stand).channels[0].quantity == "register_kwh"
    odd = read(tmp_path, feed([("A", kind(behaviour=3), hours([1000, 500, 700, 100]))]))
    assert odd.channels[0].quantity == "kwh" and any(f.kind == "register_or_delta" for f in odd.findings)
    rows = [reading(k * 3600, 5, quality=q, cost=123456) for k, q in enumerate((0, 8, 10, 17))]
    table = read(tmp_path, feed([("A", kind(), block(rows))]))
    assert table.channels[0].quality is not None
    assert table.channels[0].quality.tolist() == [METERED, ESTIMATED, INVALID, METERED]
    assert table.mapping["channels"][0]["cost_usd"] == pytest.approx(4 * 1.23456)


def test_missing_times_and_values_are_said(tmp_path: Path) -> None:
    rows = [reading(None, 5), reading(None, 6), reading(9 * 3600, "much")]
    table = read(tmp_path, feed([("A", kind(), block(rows, start=0))]))
    c = table.channels[0]
    assert c.label_s.tolist() == [0, 3600, 32400] and np.isnan(c.value[2])
    by = {f.kind: f for f in table.findings}
    assert by["time_derived"].count == 2 and "reading 3" in by["unreadable"].where


def test_zone_from_rules(tmp_path: Path) -> None:
    for offset, start, end, tz in (
        (-18000, "360E2000", "B40E2000", "America/New_York"),
        (-28800, "360E2000", "B40E2000", "America/Los_Angeles"),
        (-25200, "00000000", "00000000", "America/Phoenix"),
        (3600, "3E0E2000", "AE0E3000", "Europe/Berlin"),
    ):
        table = read(
            tmp_path,
            feed(
                [("A", kind(), hours([1] * 48, start=1700000000 // 3600 * 3600))], clock(offset, start, end)
            ),
        )
        assert table.tz == tz
    unknown = read(tmp_path, feed([("A", kind(), hours([1] * 48))], clock(-18000, "360E2000", "C40E2000")))
    assert unknown.tz is None and any(
        f.kind == "zone_unknown" and f.severity == "question" for f in unknown.findings
    )
    assert read(tmp_path, feed([("A", kind(), hours([1]))]), tz="America/Denver").tz == "America/Denver"


def test_dst_rules() -> None:
    rule = decode_dst_rule("360E2000")
    assert (rule["month"], rule["operator"], rule["weekday"], rule["hour"]) == (3, 3, 7, 2)
    # https://www.nist.gov/pml/time-and-frequency-division/popular-links/daylight-saving-time-dst
    assert [str(dst_date(rule, y)) for y in (2011, 2018, 2023)] == ["2011-03-13", "2018-03-11", "2023-03-12"]
    autumn = decode_dst_rule("B40E2000")
    assert [str(dst_date(autumn, y)) for y in (2011, 2018, 2023)] == [
        "2011-11-06",
        "2018-11-04",
        "2023-11-05",
    ]


def test_epoch_written_on_the_local_clock_is_asked(tmp_path: Path) -> None:
    days = [
        block([reading(d * 86400 + h * 3600, 9) for h in range(24)], d * 86400) for d in range(19000, 19010)
    ]
    text = feed([("A", kind(), "".join(days))], clock())
    table = read(tmp_path, text)
    asked = next(f for f in table.findings if f.kind == "epoch_is_local")
    assert asked.severity == "question" and "times='wall'" in asked.remedy
    assert read(tmp_path, text, times="wall").channels[0].clock == "wall"


def test_billing_cycles(tmp_path: Path) -> None:
    summary = entry(
        "RetailCustomer/1/UsagePoint/A/UsageSummary/1",
        "RetailCustomer/1/UsagePoint/A/UsageSummary",
        [],
        f'<UsageSummary xmlns="{ESPI}"><billingPeriod><duration>2592000</duration><start>1672549200</start>'
        "</billingPeriod><billLastPeriod>15303000</billLastPeriod><currency>840</currency>"
        "<overallConsumptionLastPeriod><powerOfTenMultiplier>3</powerOfTenMultiplier><uom>72</uom>"
        "<value>1305</value></overallConsumptionLastPeriod></UsageSummary>",
    )
    cycle = read(tmp_path, feed([("A", kind(), hours([1, 2]))], summary)).billed[0]
    assert cycle["usage_point"] == "A" and cycle["cycle_start_utc"] == "2023-01-01T05:00:00+00:00"
    assert cycle["bill_last_period_usd"] == pytest.approx(153.03) and cycle["last_period_kwh"] == 1305


def test_packed_prefixed_and_utf16(tmp_path: Path) -> None:
    text = feed([("A", kind(), hours([1000, 2000]))])
    assert read(tmp_path, gzip.compress(text.encode())).channels[0].value.tolist() == [1, 2]
    prefixed = text.replace(f' xmlns="{ESPI}"', "").replace("<feed ", f'<feed xmlns:espi="{ESPI}" ')
    for tag in (
        "UsagePoint",
        "MeterReading",
        "ReadingType",
        "IntervalBlock",
        "IntervalReading",
        "interval",
        "timePeriod",
        "duration",
        "start",
        "value",
        "uom",
        "flowDirection",
        "powerOfTenMultiplier",
        "intervalLength",
        "accumulationBehaviour",
    ):
        for mark in ("<", "</"):
            for after in (">", "/>"):
                prefixed = prefixed.replace(f"{mark}{tag}{after}", f"{mark}espi:{tag}{after}")
    assert read(tmp_path, prefixed).channels[0].value.tolist() == [1, 2]
    wide = text.replace("UTF-8", "UTF-16").encode("utf-16")
    assert read(tmp_path, wide).channels[0].value.tolist() == [1, 2]


def test_truncated_and_hostile_files(tmp_path: Path) -> None:
    text = feed([("A", kind(), hours([1000, 2000]))]).replace("</entry>", "</entry>\n")
    with pytest.raises(InputError, match=r"m\.xml: line \d+, column \d+: .*download it again"):
        read(tmp_path, text[: len(text) * 2 // 3])
    bomb = '<?xml version="1.0"?><!DOCTYPE f [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><feed>&b;</feed>'
    with pytest.raises(InputError, match="DTD or entities"):
        read(tmp_path, bomb)
    with pytest.raises(InputError, match="no IntervalReading"):
        read(tmp_path, '<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"></feed>')
    whole = gzip.compress(text.encode() * 5)
    with pytest.raises(InputError, match="cut off"):
        read(tmp_path, whole[: len(whole) - 20])
    with pytest.raises(InputError, match="did you mean multiplier"):
        read(tmp_path, text, multplier=3)
    orphan = feed([("A", kind(), hours([1])), ("B", kind(), hours([2]))]).replace(
        'rel="related" href="ReadingType/1"', 'rel="related" href="x"'
    )
    with pytest.raises(InputError, match="no ReadingType"):
        read(tmp_path, orphan)


def test_a_clock_change_day_an_hour_astray_is_put_right(tmp_path: Path) -> None:
    start = 1678510800  # 2023-03-11 00:00 in New York
    even = [start + 3600 * k for k in range(24 * 3)]
    astray = [s + 3600 if start + 26 * 3600 <= s < start + 33 * 3600 else s for s in even]
    text = feed([("A", kind(), block([reading(s, k) for k, s in enumerate(astray)], start))], clock())
    table = read(tmp_path, text)
    assert table.channels[0].label_s.tolist() == even
    assert any(f.kind == "clock_change_astray" and f.count == 7 for f in table.findings)
    assert read(tmp_path, text, respace=False).channels[0].label_s.tolist() == astray
    # On a day without a clock change it is a fault for the audit to judge.
    other = [s + 3600 if start + 2 * 3600 <= s < start + 9 * 3600 else s for s in even]
    text = feed([("A", kind(), block([reading(s, k) for k, s in enumerate(other)], start))], clock())
    assert read(tmp_path, text).channels[0].label_s.tolist() == other


def test_sniff(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("time,kWh\n1,2\n")
    (tmp_path / "b").write_text(feed([]))
    assert not GreenButton().sniff(str(tmp_path / "a")) and GreenButton().sniff(str(tmp_path / "b"))
