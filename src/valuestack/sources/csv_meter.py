"""Delimited text of meters (CSV, semicolon, tab or bar; also .gz; UTF-8, UTF-16 or Windows-1252)."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

from ..errors import InputError
from ..finding import Finding
from .columns import OPTIONS, Grid, read_grid
from .source import MeterTable, check_options, head_bytes, open_file

OWN: Mapping[str, Any] = {"delimiter": None, "encoding": None}
DELIMITERS = (";", "\t", "|", ",")
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


class CsvMeter:
    """Reader of meter files in delimited text."""

    kind: ClassVar[str] = "csv_meter"

    def sniff(self, path: str) -> bool:
        """Whether the head is text that holds a delimiter."""
        head = head_bytes(path, 4096)
        encoding, _ = guess_encoding(head)
        if encoding is None:
            return False
        text = head.decode(encoding, "ignore")
        return any(d in text for d in DELIMITERS)

    def fetch(self, path: str, **options: Any) -> MeterTable:
        """The channels of the file. options: delimiter, encoding, and those of `columns.OPTIONS`."""
        check_options(path, options, {**OPTIONS, **OWN})
        own = {k: options.get(k) for k in OWN}
        grid = read_text(path, own["delimiter"], own["encoding"])
        return read_grid(path, grid, {k: v for k, v in options.items() if k not in OWN}, OWN)


def guess_encoding(raw: bytes) -> tuple[str | None, str]:
    """Encoding of a text by its mark or its bytes, None for binary; and why."""
    for mark, name in _BOMS:
        if raw.startswith(mark):
            return name, "byte order mark"
    head = raw[:4096]
    if head.count(0) > len(head) // 4:
        even, odd = head[0::2].count(0), head[1::2].count(0)
        if max(even, odd) > 0.6 * len(head) / 2 and min(even, odd) < 0.2 * len(head) / 2:
            return ("utf-16-be" if even > odd else "utf-16-le"), "every other byte is 0"
        return None, "binary"
    odd_bytes = sum(b < 9 or 13 < b < 27 or b == 127 for b in head)
    if head.count(0) or odd_bytes > 0.02 * len(head) + 1:
        return None, "binary"
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as e:
        if e.start >= len(raw) - 4 and e.reason == "unexpected end of data":
            return "utf-8", "valid UTF-8"
        return "cp1252", "not UTF-8"
    return "utf-8", "valid UTF-8"


def read_text(path: str, delimiter: str | None = None, encoding: str | None = None) -> Grid:
    """The file as a grid of text cells."""
    try:
        with open_file(path) as stream:
            raw = stream.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise InputError(f"{path}: the gzip file is cut off or damaged ({e}); download it again") from e
    except OSError as e:
        raise InputError(f"{path}: cannot be read ({e})") from e
    guess, why = (encoding, "given") if encoding else guess_encoding(raw)
    if guess is None:
        raise InputError(f"{path}: binary data, not delimited text; export the meter data as CSV")
    try:
        text = raw.decode(guess, "replace" if guess == "cp1252" and not encoding else "strict")
    except (UnicodeDecodeError, LookupError) as e:
        raise InputError(f"{path}: cannot be read as {guess} ({e}); give encoding=, e.g. 'cp1252'") from e
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise InputError(f"{path}: the file is empty; download it again")
    lines = re.split(r"\r\n|\n|\r", text)
    findings = []
    facts: dict[str, Any] = {"format": "csv_meter", "encoding": guess}
    if guess not in ("utf-8", "utf-8-sig") and why != "given":
        findings.append(Finding("encoding", "info", f"read as {guess} ({why})", path, remedy="encoding="))
    named = re.match(r"^sep=(.)$", lines[0].strip())
    if delimiter is None:
        delimiter = named[1] if named else guess_delimiter(lines)
    if len(delimiter) != 1:
        raise InputError(f"{path}: delimiter: {delimiter!r} must be one character, such as ',' or ';'")
    facts["delimiter"] = delimiter
    rows, numbers = _split(path, lines, delimiter, skip=1 if named else 0)
    return Grid(rows=rows, line=numbers, facts=facts, findings=findings)


def _split(path: str, lines: list[str], delimiter: str, skip: int) -> tuple[list[Any], list[int]]:
    rows: list[Any] = []
    numbers: list[int] = []
    reader = csv.reader(
        (line.replace("\0", "") for line in lines[skip:]), delimiter=delimiter, skipinitialspace=True
    )
    try:
        for row in reader:
            if row:
                rows.append(row)
                numbers.append(reader.line_num + skip)
    except csv.Error as e:
        raise InputError(
            f"{path}: line {reader.line_num + skip}: {e}; check the quotation marks there"
        ) from e
    if not rows:
        raise InputError(f"{path}: the file is empty; download it again")
    return rows, numbers


def guess_delimiter(lines: list[str]) -> str:
    """The delimiter that cuts most lines into equally many, more than one, cells."""
    full = [line for line in lines if line.strip()]
    middle = full[len(full) // 3 : len(full) // 3 + 60]
    sample = [*full[:20], *middle] if len(full) > 80 else full
    best, score = ",", 0.0
    for mark in DELIMITERS:
        counts = Counter(len(r) for r in csv.reader(sample, delimiter=mark))
        width, n = max(((w, c) for w, c in counts.items() if w > 1), key=lambda wc: wc[1], default=(1, 0))
        share = n / max(len(sample), 1)
        # A comma also stands in numbers and notes: another mark that cuts evenly wins.
        if share * (1.0 if mark != "," else 0.95) > score and width > 1:
            best, score = mark, share
    return best
