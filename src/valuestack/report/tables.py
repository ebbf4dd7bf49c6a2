"""Tables: one definition of rows and columns that pages and workbooks both show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any

from ..finding import Finding
from ..ledger import Change, Ledger

if TYPE_CHECKING:
    from .result import ChangeLimit


@dataclass(frozen=True, slots=True)
class Column:
    """One column. form: 'text', 'usd', 'usd_cents', 'kw', 'kwh', 'number', 'rate', 'percent' or 'tag'."""

    title: str
    form: str = "text"

    @property
    def numeric(self) -> bool:
        return self.form not in ("text", "tag")

    @property
    def tag(self) -> bool:
        return self.form == "tag"

    def show(self, value: Any) -> str:
        """The value as a person reads it; '' for nothing."""
        if value is None:
            return ""
        if not self.numeric or isinstance(value, str):
            return str(value)
        if not isfinite(value):
            return "-"
        return _FORMS[self.form](float(value))


def _money(digits: int) -> Callable[[float], str]:
    def show(value: float) -> str:
        value = round(value, digits) + 0.0
        return f"{'-' if value < 0 else ''}${abs(value):,.{digits}f}"

    return show


_FORMS: dict[str, Callable[[float], str]] = {
    "usd": _money(0),
    "usd_cents": _money(2),
    "kw": lambda v: f"{v:,.1f}",
    "kwh": lambda v: f"{v:,.0f}",
    "number": lambda v: f"{v:,.6g}",
    "rate": lambda v: f"{v:,.5f}".rstrip("0").rstrip("."),
    "percent": lambda v: f"{100 * v:,.1f} %",
}
show_usd = _FORMS["usd"]
show_cents = _FORMS["usd_cents"]
show_percent = _FORMS["percent"]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows; sum_row says that the last row is a sum."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...] = field(default=())
    sum_row: bool = False


_ENDS = (
    ("usd", "usd"),
    ("frac", "percent"),
    ("kw", "kw"),
    ("mw", "number"),
    ("kwh", "kwh"),
    ("mwh", "number"),
)
_WORDS = {
    "usd_per_y": "USD a year",
    "per_y": "a year",
    "usd": "USD",
    "kwh": "kWh",
    "mwh": "MWh",
    "kw": "kW",
    "mw": "MW",
    "frac": "",
    "kg": "kg",
    "h": "h",
}


def of_rows(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A table from plain rows: a column for each key, its form and unit read off the end of the name."""
    keys = list(dict.fromkeys(k for row in rows for k in row))
    columns = tuple(Column(_title(k), _form(k, rows)) for k in keys)
    return Table(columns, tuple(tuple(_cell(row.get(k)) for k in keys) for row in rows))


def turned(t: Table, head: str = "figure") -> Table:
    """Rows as columns, for few rows of many figures: the first column names them. Figures that no row has are left
    out."""
    columns = (Column(head), *(Column(t.columns[0].show(row[0])) for row in t.rows))
    body = [
        (column.title, *(column.show(row[i]) for row in t.rows)) for i, column in enumerate(t.columns) if i
    ]
    return Table(columns, tuple(row for row in body if any(row[1:])))


def _form(key: str, rows: Sequence[Mapping[str, Any]]) -> str:
    values = [row.get(key) for row in rows if row.get(key) is not None]
    if not values or any(isinstance(v, (str, bool, list, tuple, dict)) for v in values):
        return "text"
    name = key.removesuffix("_per_y")
    return next((form for end, form in _ENDS if name == end or name.endswith(f"_{end}")), "number")


def _title(key: str) -> str:
    for end, words in _WORDS.items():
        if key == end or key.endswith(f"_{end}"):
            head = key[: -len(end)].rstrip("_").replace("_", " ")
            if end == "per_y":
                return f"{_title(head.replace(' ', '_'))} a year".strip()
            return f"{head}, {words}".strip(", ") if head else words or "share"
    return key.replace("_", " ")


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(v) for v in value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    return float(value) if hasattr(value, "__float__") else str(value)


def changes(rows: Sequence[Change], *, after: str = "realised") -> Table:
    """The bill before and after by item; the last row is the sum, and it is exact."""
    columns = (
        Column("stream"),
        Column("item"),
        Column("before", "usd_cents"),
        Column(after, "usd_cents"),
        Column("saving", "usd_cents"),
    )
    body = [(c.stream, c.item, -c.before_usd, -c.after_usd, c.usd) for c in rows]
    total = (
        "",
        "sum",
        -sum(c.before_usd for c in rows),
        -sum(c.after_usd for c in rows),
        sum(c.usd for c in rows),
    )
    return Table(columns, (*body, total), sum_row=True)


def ledger(book: Ledger) -> Table:
    """Every entry of a ledger as the amount due."""
    columns = (
        Column("cycle"),
        Column("stream"),
        Column("item"),
        Column("quantity", "number"),
        Column("unit"),
        Column("rate", "rate"),
        Column("amount due", "usd_cents"),
        Column("when"),
        Column("certainty"),
        Column("reason"),
    )
    rows = tuple(
        (e.cycle, e.stream, e.item, e.quantity, e.unit, e.usd_per_unit, -e.usd, e.when, e.certainty, e.reason)
        for e in book
    )
    return Table(columns, rows)


def findings(rows: Iterable[Finding]) -> Table:
    """Findings, those with most dollars at stake first."""
    order = {"question": 0, "error": 1, "warning": 2, "info": 3}
    ordered = sorted(rows, key=lambda f: (order[f.severity], -(f.at_stake_usd or 0.0)))
    columns = (
        Column("", "tag"),
        Column("what"),
        Column("where"),
        Column("count", "number"),
        Column("done"),
        Column("at stake", "usd"),
        Column("remedy"),
    )
    return Table(
        columns,
        tuple((f.severity, f.what, f.where, f.count, f.done, f.at_stake_usd, f.remedy) for f in ordered),
    )


def change_limits(rows: Iterable[ChangeLimit]) -> Table:
    """What limits of setpoint changes cost, from the loosest."""
    columns = (
        Column("at most, a day", "number"),
        Column("saved net, USD a year", "usd"),
        Column("lost to the limit, USD a year", "usd"),
        Column("changes of power a day", "kw"),
        Column("forced by limits of safety", "kw"),
    )
    return Table(
        columns,
        tuple(
            (r.most_per_day, r.saving_usd_per_y, r.lost_usd_per_y, r.changes_per_day, r.forced_per_day)
            for r in rows
        ),
    )
