"""Files in the shapes that utilities ship, made from one synthetic series (no data of anybody)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Truth:
    """What a reader must find: interval starts on the wall clock [s], kWh of each interval, its length."""

    start_s: np.ndarray
    kwh: np.ndarray
    step_s: int


def truth(days: int = 31, step_s: int = 900, first: str = "2023-01-01", seed: int = 1) -> Truth:
    n = days * 86400 // step_s
    start = int((datetime.fromisoformat(first) - EPOCH).total_seconds())
    rng = np.random.default_rng(seed)
    kwh = np.round(20 + 15 * np.sin(np.arange(n) * 2 * np.pi * step_s / 86400) + rng.gamma(2.0, 3.0, n), 2)
    return Truth(start + step_s * np.arange(n, dtype=np.int64), kwh, step_s)


def wall(s: int | np.integer) -> datetime:
    return EPOCH + timedelta(seconds=int(s))


def pge_like(t: Truth) -> str:
    """Name, address and account before the header; date, start and end time; cost; notes."""
    out = [
        "Name,ACME COLD STORAGE",
        'Address,"1 MAIN ST, SALINAS CA 93901"',
        "Account Number,1234567890",
        "Service,Service 1",
        "",
        "TYPE,DATE,START TIME,END TIME,USAGE (kWh),COST,NOTES",
    ]
    for s, v in zip(t.start_s, t.kwh, strict=True):
        a, b = wall(s), wall(s + t.step_s - 60)
        out.append(f"Electric usage,{a:%Y-%m-%d},{a:%H:%M},{b:%H:%M},{v},${v * 0.2:.2f},")
    return "\n".join(out) + "\n"


def sdge_like(t: Truth) -> str:
    """Meter number, date, 12-hour start time, duration, three registers."""
    out = ["Meter Number,Date,Start Time,Duration,Consumption,Generation,Net"]
    for s, v in zip(t.start_s, t.kwh, strict=True):
        a = wall(s)
        out.append(f"6590000,{a.month}/{a.day}/{a.year},{a:%I:%M %p},{t.step_s // 60},{v},0,{v}")
    return "\r\n".join(out) + "\r\n"


def sce_like(t: Truth) -> str:
    """A range in one cell, a worded unit, a quality column, notes before and a total after."""
    out = [
        "Your energy usage",
        "",
        "Energy consumption time period,Usage(Real energy in kilowatt-hours),Reading quality",
    ]
    for s, v in zip(t.start_s, t.kwh, strict=True):
        out.append(
            f"{wall(s):%Y-%m-%d %H:%M:%S} to {wall(s + t.step_s):%Y-%m-%d %H:%M:%S},{v},"
            + ("Estimated" if s % 86400 == 0 else "Actual")
        )
    out.append(f"Total,{t.kwh.sum():.2f},")
    return "\ufeff" + "\n".join(out) + "\n"


def smart_texas_like(t: Truth) -> str:
    """ESI id, usage and revision date, start and end time, flag and direction columns."""
    out = [
        "ESIID,USAGE_DATE,REVISION_DATE,USAGE_START_TIME,USAGE_END_TIME,USAGE_KWH,ESTIMATED_ACTUAL,"
        "CONSUMPTION_SURPLUSGENERATION"
    ]
    for s, v in zip(t.start_s, t.kwh, strict=True):
        a, b = wall(s), wall(s + t.step_s)
        for value, word in ((v, "Consumption"), (0.0, "Surplus Generation")):
            out.append(
                f"'10443720000000001,{a:%m/%d/%Y},{b:%m/%d/%Y %H:%M:%S}, {a:%H:%M}, {b:%H:%M},"
                f"{value},A,{word}"
            )
    return "\n".join(out) + "\n"


def wide_like(t: Truth, unit: str = "kWh") -> str:
    """A row a day, columns named by interval end, a meter column, a total column, newest day first."""
    per_day = 86400 // t.step_s
    heads = [
        f"{(k + 1) * t.step_s // 3600:02d}:{(k + 1) * t.step_s % 3600 // 60:02d}" for k in range(per_day)
    ]
    out = ["Meter,Date," + ",".join(heads) + ",Total"]
    for day in range(len(t.kwh) // per_day - 1, -1, -1):
        values = t.kwh[day * per_day : (day + 1) * per_day]
        out.append(
            f"M-1 {unit},{wall(t.start_s[day * per_day]):%m/%d/%Y},"
            + ",".join(map(str, values))
            + f",{values.sum():.2f}"
        )
    return "\n".join(out) + "\n"


def continental_like(t: Truth) -> str:
    """Semicolons, decimal comma, day first, interval end, mean kW, newest first."""
    out = ["Zählpunkt;DE000123", "Zeitstempel (Ende / end);Wirkleistung [kW]"]
    for s, v in list(zip(t.start_s, t.kwh, strict=True))[::-1]:
        kw = v * 3600 / t.step_s
        out.append(f"{wall(s + t.step_s):%d.%m.%Y %H:%M};" + f"{kw:.4f}".replace(".", ","))
    return "\n".join(out) + "\n"


EXPORTS: dict[str, Callable[[Truth], str]] = {
    "pge": pge_like,
    "sdge": sdge_like,
    "sce": sce_like,
    "smart_texas": smart_texas_like,
    "wide": wide_like,
    "continental": continental_like,
}


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def mutate(raw: bytes, rng: random.Random) -> bytes:
    """Damage as files suffer it: cuts, flipped bytes, lost and doubled lines, swapped cells."""
    data = bytearray(raw)
    for _ in range(rng.randint(1, 6)):
        if not data:
            break
        kind, at = rng.randrange(6), rng.randrange(len(data))
        if kind == 0:
            del data[at:]
        elif kind == 1:
            data[at] = rng.randrange(256)
        elif kind == 2:
            del data[at : at + rng.randint(1, 200)]
        elif kind == 3:
            data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 20)))
        elif kind == 4:
            data[at:at] = data[at : at + rng.randint(1, 300)]
        else:
            data[at:at] = rng.choice(
                (b",", b";", b"\n", b'"', b"\x00", b"NaN", b"-", b"1e999", b"31/02/2023", b"<", b"&x;")
            )
    return bytes(data)


def starts(channel_label_s: np.ndarray, label: str, step_s: int) -> np.ndarray:
    return channel_label_s - (step_s if label == "end" else 0)


def in_order(label_s: Sequence[int] | np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(label_s, kind="stable")
    return np.asarray(label_s)[order], value[order]
