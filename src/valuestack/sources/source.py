"""Source: an outside format in. A source returns tables and plain mappings and decides nothing: what is
doubtful in a file is stated as a Finding, and the audit, which sees the data, judges."""

from __future__ import annotations

import difflib
import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar, Literal, Protocol, cast, runtime_checkable

import numpy as np

from ..errors import InputError
from ..finding import Finding
from ..timeline import Ints, Kw

METERED, ESTIMATED, INVALID = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """One series of readings of one usage point, in file order, as read: unsorted, repeated, with holes.

    flow: delivered (import), received (export), net (load sign), generation, or other for gas and such.
    quantity: what `value` is, after scaling to kilo: mean 'kw' of the interval, 'kwh' of the interval,
    'kvar', 'kvarh', 'kva', 'register_kwh' (a meter stand), or 'unknown' where the file does not say.
    label_s: label of each reading in seconds since 1970 on `clock`: 'utc', or 'wall' for local clock time
    as written (the audit turns it into UTC, because only the data show whether clock changes are in it).
    label: whether the label marks the start or the end of the interval, or unknown. duration_s: interval
    length per reading where the file states it. quality: METERED, ESTIMATED or INVALID per reading.
    value: NaN where the file has no number. place: row or element of each reading, for messages.
    """

    usage_point: str
    flow: Literal["delivered", "received", "net", "generation", "other"]
    quantity: Literal["kw", "kwh", "kvar", "kvarh", "kva", "register_kwh", "unknown"]
    label_s: Ints
    clock: Literal["utc", "wall"]
    label: Literal["start", "end", "unknown"]
    value: Kw
    duration_s: Ints | None = None
    quality: np.ndarray[Any, Any] | None = None
    place: Ints | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class MeterTable:
    """What a meter file holds. mapping: how it was read, every guess under its option name, so that a
    person can override it. tz: zone stated by the file, or None. findings: what the file itself shows;
    severity 'question' where two readings of it are possible and a person must choose."""

    file: str
    channels: tuple[Channel, ...]
    mapping: Mapping[str, Any]
    tz: str | None = None
    findings: tuple[Finding, ...] = ()
    billed: tuple[Mapping[str, Any], ...] = field(default=())


@runtime_checkable
class Source(Protocol):
    """A reader of one outside format."""

    kind: ClassVar[str]

    def sniff(self, path: str) -> bool:
        """Whether the file looks like this format (cheap: reads its head)."""
        ...

    def fetch(self, path: str, **options: Any) -> Any:
        """Read it; InputError with all problems found, each with its place."""
        ...


class Noting:
    """What a reader of a meter file notices while it reads; `path` is where, unless said nearer."""

    path: str
    findings: list[Finding]

    def note(
        self,
        kind: str,
        severity: Any,
        what: str,
        where: str = "",
        count: int = 1,
        done: str = "",
        remedy: str = "",
    ) -> None:
        """Keep one observation."""
        self.findings.append(
            Finding(
                kind=kind,
                severity=severity,
                what=what,
                where=where or self.path,
                count=count,
                done=done,
                remedy=remedy,
            )
        )


READERS = ("green_button", "parquet_meter", "xlsx_meter", "csv_meter")

FACTS = ("channels", "local_time", "value_columns")
"""Keys of a mapping that only inform."""


def read_meter(path: str | Path, *, format: str | None = None, **options: Any) -> MeterTable:
    """The channels of a meter file, read by the reader whose format the file's head shows.

    path: Green Button XML, CSV or other delimited text (both also .gz), XLSX or Parquet. format: one of
    READERS, instead of sniffing. options: overrides of what the reader would guess; their names are the keys
    of MeterTable.mapping, and read_meter(path, **table.mapping) reads the same again. Errors: InputError with
    all problems, each with its place.
    """
    from ..registry import find

    name = str(path)
    options = {k: v for k, v in options.items() if k not in FACTS}
    if format is not None:
        return cast(MeterTable, find("sources", format, where=name)().fetch(name, **options))
    head = head_bytes(name, 512)
    if not head.strip():
        raise InputError(f"{name}: the file is empty; download it again")
    for kind in READERS:
        reader = find("sources", kind)()
        if reader.sniff(name):
            return cast(MeterTable, reader.fetch(name, **options))
    raise InputError(
        f"{name}: neither Green Button XML, delimited text, XLSX nor Parquet (it starts with "
        f"{head[:12]!r}); export the interval data again as CSV or Green Button"
    )


def open_file(path: str | Path) -> IO[bytes]:
    """The file as bytes, unpacked where it is gzip; InputError where it cannot be opened."""
    try:
        stream = Path(path).open("rb")  # noqa: SIM115  (handed to the caller, who closes it)
    except FileNotFoundError as e:
        raise InputError(f"{path}: no such file{_near(Path(path))}") from e
    except IsADirectoryError as e:
        raise InputError(f"{path}: is a folder; name the meter file in it") from e
    except (OSError, ValueError) as e:
        raise InputError(f"{path}: cannot be opened ({e}); check its name and permissions") from e
    packed = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    if not packed:
        return stream
    stream.close()
    return cast(IO[bytes], gzip.open(path, "rb"))


def _near(path: Path) -> str:
    try:
        names = [p.name for p in path.parent.iterdir()]
    except OSError:
        return f"; the folder {path.parent} cannot be read"
    close = difflib.get_close_matches(path.name, names, n=3)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else "; check the path"


def head_bytes(path: str | Path, n: int) -> bytes:
    """The first `n` bytes, unpacked; InputError where there are none to be had."""
    try:
        with open_file(path) as stream:
            return stream.read(n)
    except (EOFError, gzip.BadGzipFile, OSError, zlib.error) as e:
        raise InputError(f"{path}: the gzip file is cut off or damaged ({e}); download it again") from e


def check_options(path: str, options: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    """`options` as they are, if every name is known; else an InputError with the near names."""
    problems = []
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(known))}"
            problems.append(f"no option {name!r}; {hint}")
    if problems:
        raise InputError.collect(path, problems)
    return options
