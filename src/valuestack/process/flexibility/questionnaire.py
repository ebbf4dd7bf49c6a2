"""A questionnaire for whoever runs the machines: one sheet a kind of asset, out as XLSX and back in.

The fields are those of the asset's own model, with its types, bounds and words: nothing is defined twice.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from ...errors import InputError, ValuestackError
from ...registry import find, kinds
from ...site.files import asset_of

HEAD = ("asset", "field", "meaning", "unit", "if left blank", "current value", "answer")
NEW = "(new)"
SITE_FIELDS = (
    ("meter", "name of the meter that it stands behind", ""),
    ("existing", "is it there already, so that the meter's readings contain it?", "yes / no"),
)
UNITS = {
    "kw": "kW",
    "kwh": "kWh",
    "kvar": "kvar",
    "kva": "kVA",
    "h": "hours",
    "s": "seconds",
    "c": "degrees C",
    "k": "kelvin",
    "y": "year",
    "usd": "USD",
    "frac": "share, 0 to 1",
    "kg": "kg",
    "gal": "gallons",
    "deg": "degrees",
    "min": "minutes",
    "day": "day",
    "week": "week",
}


@dataclass(frozen=True, slots=True)
class Question:
    """One row: field, what it means, its unit, what holds if it is left blank, and its type."""

    field: str
    meaning: str
    unit: str
    default: str
    annotation: Any


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back: asset tables for a site file, as plain values, and what changed, in sentences."""

    tables: tuple[dict[str, Any], ...]
    changes: tuple[str, ...]

    def to_toml(self) -> str:
        """The tables as text for a site file."""
        return "\n\n".join(
            "[[assets]]\n" + "\n".join(f"{k} = {_toml(v)}" for k, v in t.items()) for t in self.tables
        )


def questions(kind: str) -> tuple[Question, ...]:
    """What is asked of a kind of asset: every field of its model but its name."""
    model = find("assets", kind)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return ()
    doc = " ".join((inspect.getdoc(model) or "").split())
    out = []
    for name, info in model.model_fields.items():
        if name == "name":
            continue
        default = "required" if info.is_required() else _shown(info.get_default(call_default_factory=True))
        out.append(
            Question(name, _meaning(name, doc), _unit(name, info.annotation), default, info.annotation)
        )
    return tuple(out)


def askable() -> tuple[str, ...]:
    """Kinds of asset that a questionnaire can ask about."""
    return tuple(k for k in kinds("assets") if questions(k))


def write_questionnaire(
    path: str | Path,
    assets: Sequence[Mapping[str, Any]],
    *,
    site: str = "site",
    only: Iterable[str] | None = None,
) -> tuple[str, ...]:
    """Write the questionnaire; returns the kinds that it asks about.

    assets: tables as they stand in the site file (kind, name, meter, ...). only: kinds to ask about; by default all.
    Errors: InputError if the file cannot be written or the report extra is not installed.
    """
    try:
        import xlsxwriter
    except ImportError as e:
        raise InputError("the questionnaire needs xlsxwriter; install valuestack[report]") from e
    wanted = tuple(only) if only is not None else askable()
    try:
        book = xlsxwriter.Workbook(str(path))
        styles = {
            "head": book.add_format({"bold": True, "bg_color": "#dde6ee", "text_wrap": True}),
            "text": book.add_format({"text_wrap": True, "valign": "top"}),
            "answer": book.add_format({"bg_color": "#fff8dc", "border": 1, "text_wrap": True}),
        }
        _intro(book.add_worksheet("read me"), site, styles)
        for kind in wanted:
            mine = [a for a in assets if a.get("kind") == kind]
            _sheet(book.add_worksheet(kind[:31]), kind, mine, styles)
        book.close()
    except (OSError, xlsxwriter.exceptions.XlsxWriterException) as e:
        raise InputError(
            f"{path}: cannot be written ({e}); does the folder exist, is it open elsewhere?"
        ) from e
    return wanted


def read_questionnaire(path: str | Path) -> Answers:
    """The answers as asset tables, checked by the assets' own models.

    A blank answer keeps the current value; '-' takes it away. A new asset is one whose first row's asset cell was
    given a name. Errors: InputError with every problem, each with sheet and cell.
    """
    import openpyxl

    try:
        book = openpyxl.load_workbook(str(path), data_only=True)
    except Exception as e:
        raise InputError(
            f"{path}: cannot be read as a workbook ({e}); give the file that was sent out"
        ) from e
    problems: list[str] = []
    tables: list[dict[str, Any]] = []
    changes: list[str] = []
    for sheet in book.worksheets:
        if sheet.title == "read me":
            continue
        kind = next((k for k in askable() if k[:31] == sheet.title), None)
        if kind is None:
            problems.append(f"sheet {sheet.title!r}: no kind of asset is called so; do not rename sheets")
            continue
        got = [str(c.value or "").strip() for c in sheet[1]][: len(HEAD)]
        if got != list(HEAD):
            problems.append(f"sheet {sheet.title}: row 1 should read {', '.join(HEAD)}; do not move columns")
            continue
        for table in _tables(sheet, kind, problems, changes):
            _checked(table, kind, sheet.title, problems)
            tables.append(table)
    names = [t["name"] for t in tables]
    problems += [
        f"{n!r} is the name of several assets" for n in sorted({n for n in names if names.count(n) > 1})
    ]
    if problems:
        raise InputError.collect(str(path), problems)
    return Answers(tuple(tables), tuple(changes))


# --- out -------------------------------------------------------------------------------------------------


def _intro(sheet: Any, site: str, styles: Mapping[str, Any]) -> None:
    sheet.set_column(0, 0, 100)
    for i, line in enumerate(
        (
            f"Questions about the equipment of {site}",
            "Each sheet asks about one kind of equipment. Please write into the yellow column only.",
            "Leave a cell blank to keep the current value, write - to take it away, yes or no where that is asked.",
            'Lists are written like [1, 2, 3]; tables like [{"from_h": 8, "until_h": 17}].',
            f"For equipment that is not listed yet, replace {NEW} in the first row of its block by a name.",
        )
    ):
        sheet.write(i, 0, line, styles["head"] if i == 0 else styles["text"])


def _sheet(sheet: Any, kind: str, assets: Sequence[Mapping[str, Any]], styles: Mapping[str, Any]) -> None:
    for j, (word, width) in enumerate(zip(HEAD, (18, 26, 70, 16, 18, 22, 22), strict=True)):
        sheet.set_column(j, j, width)
        sheet.write(0, j, word, styles["head"])
    sheet.freeze_panes(1, 2)
    row = 1
    for table in [*assets, {"name": NEW}]:
        name = str(table.get("name", kind))
        for field, meaning, unit in SITE_FIELDS:
            _row(sheet, row, (name, field, meaning, unit, "", _cell(table.get(field))), styles)
            row += 1
        for q in questions(kind):
            _row(sheet, row, (name, q.field, q.meaning, q.unit, q.default, _cell(table.get(q.field))), styles)
            row += 1


def _row(sheet: Any, row: int, values: Sequence[Any], styles: Mapping[str, Any]) -> None:
    for j, value in enumerate(values):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            sheet.write_number(row, j, value, styles["text"])
        else:
            sheet.write_string(row, j, str(value), styles["text"])
    sheet.write_blank(row, len(values), None, styles["answer"])


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float, str)):
        return value
    return json.dumps(value, default=str)


def _shown(value: Any) -> str:
    if value is None or value == "" or value == ():
        return "not stated"
    if isinstance(value, BaseModel):
        return json.dumps(value.model_dump(mode="json", exclude_defaults=True))
    return str(_cell(list(value) if isinstance(value, tuple) else value))


def _unit(name: str, annotation: Any) -> str:
    if bool in _types(annotation):
        return "yes / no"
    if not {int, float} & set(_types(annotation)):
        return "list" if any(get_origin(t) is tuple for t in _types(annotation)) else "text"
    left, *per = name.split("_per_")
    first = UNITS.get(left.rsplit("_", 1)[-1], "")
    rest = [UNITS.get(p.split("_")[0], p.split("_")[0]) for p in per]
    if not first and rest:
        first = left.replace("_", " ")
    return " per ".join([first, *rest]) if first else "number"


def _meaning(name: str, doc: str) -> str:
    """The part of a model's own words that speaks of a field: from its name to the next stop."""
    found = re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", doc)
    if found is None:
        return name.replace("_", " ")
    before = max(doc.rfind(stop, 0, found.start()) for stop in (". ", "; "))
    stops = [at for stop in (". ", "; ") if (at := doc.find(stop, found.end())) >= 0]
    return doc[before + 2 if before >= 0 else 0 : min(stops, default=len(doc))].strip().rstrip(".")


# --- in --------------------------------------------------------------------------------------------------


def _tables(sheet: Any, kind: str, problems: list[str], changes: list[str]) -> list[dict[str, Any]]:
    asked = {q.field: q for q in questions(kind)}
    known = {f for f, _, _ in SITE_FIELDS}
    blocks: list[dict[str, Any]] = []
    answered = False
    for i, cells in enumerate(sheet.iter_rows(min_row=2, max_col=len(HEAD), values_only=True), 2):
        asset, field, current, answer = (cells[j] for j in (0, 1, 5, 6))
        if field is None or str(field).strip() == "":
            continue
        where = f"sheet {sheet.title}, cell G{i}"
        field = str(field).strip()
        if field == SITE_FIELDS[0][0]:
            blocks.append({"kind": kind, "name": str(asset or NEW).strip()})
        if not blocks or (field not in asked and field not in known):
            problems.append(f"sheet {sheet.title}, cell B{i}: no field {field!r}; do not rename fields")
            continue
        table = blocks[-1]
        gone = isinstance(answer, str) and answer.strip() == "-"
        blank = answer is None or (isinstance(answer, str) and not answer.strip())
        value = _parsed(current if blank else answer, asked.get(field), field, where, problems)
        if not blank and table["name"] == NEW:
            answered = True
        if not blank and table["name"] != NEW:
            now = "taken away" if gone else f"{answer}"
            changes.append(f"{table['name']}: {field} was {_cell(current) or 'not stated'}, is {now}")
        if value is not None and not gone:
            table[field] = value
    if answered:
        problems.append(
            f"sheet {sheet.title}: answers stand under {NEW}; give the new equipment a name in column A"
        )
    return [b for b in blocks if b["name"] != NEW]


def _parsed(value: Any, q: Question | None, field: str, where: str, problems: list[str]) -> Any:
    if value is None or (isinstance(value, str) and value.strip() in ("", "-")):
        return None
    wanted = (bool,) if field == "existing" else (str,) if q is None else _types(q.annotation)
    if isinstance(value, str):
        text = value.strip()
        if bool in wanted and text.lower() in ("yes", "no", "true", "false"):
            return text.lower() in ("yes", "true")
        if text[:1] in "[{" or ({int, float} & set(wanted) and str not in wanted):
            try:
                return json.loads(text.replace(",", ".") if _decimal_comma(text) else text)
            except json.JSONDecodeError:
                problems.append(
                    f"{where}: {field} = {text!r} is no number, list or table; write it like 12.5 or [1, 2]"
                )
                return None
        return text
    if isinstance(value, float) and value.is_integer() and int in wanted and float not in wanted:
        return int(value)
    return value


def _decimal_comma(text: str) -> bool:
    return re.fullmatch(r"-?\d+,\d+", text) is not None


def _types(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(t for a in get_args(annotation) for t in _types(a))
    return (annotation,)


def _checked(table: Mapping[str, Any], kind: str, sheet: str, problems: list[str]) -> None:
    values = {k: v for k, v in table.items() if k not in ("kind", *(f for f, _, _ in SITE_FIELDS))}
    try:
        asset_of(kind, values)
    except InputError as e:
        problems += [f"sheet {sheet}, {table['name']}: {p}" for p in e.problems]
    except ValuestackError as e:
        problems.append(f"sheet {sheet}, {table['name']}: {e}")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return json.dumps(str(value), ensure_ascii=False)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)
