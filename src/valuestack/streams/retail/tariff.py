"""Tariff: a list of items with who charges them, since when, and who says so.

A tariff file is JSON. It may wrap a URDB record (`"urdb": {...}`) and add what URDB cannot say as items,
or be a URDB record itself, bare or inside {"items": [...]}. Items are found by kind in this room.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ...errors import InputError, UnknownKind
from ...registry import find
from .item import Item

if TYPE_CHECKING:
    from ...timeline import Timeline
    from .compiled import CompiledTariff
    from .facts import BillFacts


class Eligibility(BaseModel):
    """Who may be served: bounds on the highest monthly demand [kW] and on monthly energy [kWh]."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    peak_kw_min: float | None = None
    peak_kw_max: float | None = None
    energy_kwh_min: float | None = None
    energy_kwh_max: float | None = None
    months: float | None = None
    text: str = ""


class Tariff(BaseModel):
    """One version of one tariff.

    source: public address or title of the rate sheet; source_date: its date; verified: whether every figure
    was found there (an item with verified = false is named whenever it is billed). holidays: name of a
    shipped holiday calendar, or dates, billed like a weekend. service: what the charges cover. stated:
    sentences that every bill of this tariff must show.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)

    name: str
    utility: str = ""
    jurisdiction: str = ""
    counterparty: str = ""
    source: str = ""
    source_date: date | None = None
    verified: bool = False
    valid_from: date | None = None
    valid_until: date | None = None
    service: str = "bundled"
    holidays: str | tuple[date, ...] | None = None
    eligibility: Eligibility | None = None
    stated: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    items: tuple[Item, ...] = Field(min_length=1)

    @field_validator("items", mode="before")
    @classmethod
    def _by_kind(cls, rows: Any) -> Any:
        """Each item by its kind; all problems of all items at once."""
        if not isinstance(rows, (list, tuple)):
            raise ValueError("items: a list of items, each with its kind")
        out: list[Item] = []
        problems: list[str] = []
        for i, row in enumerate(rows):
            if isinstance(row, Item):
                out.append(row)
                continue
            try:
                out.append(item_of(row))
            except UnknownKind as e:
                problems.append(f"items[{i}]: {e}")
            except ValidationError as e:
                problems += [
                    f"items[{i}] ({row.get('kind')}).{'.'.join(map(str, p['loc']))}: {_plain(p)}"
                    for p in e.errors()
                ]
            except ValueError as e:
                problems.append(f"items[{i}]: {e}")
        if problems:
            raise ValueError("\n".join(problems))
        return tuple(out)

    @property
    def ordered(self) -> list[Item]:
        """Items in the order in which they charge."""
        return sorted(self.items, key=lambda i: (type(i).stage, i.waits))

    def needs(self) -> dict[str, list[str]]:
        """Fact -> items that cannot be billed without it."""
        out: dict[str, list[str]] = {}
        for item in self.items:
            for fact in item.needs():
                out.setdefault(fact, []).append(f"{item.kind}{' ' + item.name if item.name else ''}")
        return out

    def compile(
        self, timeline: Timeline, facts: BillFacts | None = None, *, cycles: Any = None, history: Any = None
    ) -> CompiledTariff:
        """The fast path: a bill's total as a function of net load alone, for one timeline."""
        from .compiled import CompiledTariff

        return CompiledTariff.of(self, timeline, facts, cycles=cycles, history=history)


def item_of(row: Any) -> Item:
    """One item from its mapping, by kind."""
    if not isinstance(row, Mapping) or "kind" not in row:
        raise ValueError(f"{row!r} is not an item: a mapping with a `kind`")
    found = find("streams.retail", str(row["kind"]))
    if not issubclass(found, Item):
        raise UnknownKind("kind of tariff item", str(row["kind"]), item_kinds())
    return found.model_validate(dict(row))


def item_kinds() -> list[str]:
    """Every kind of item in this room."""
    from ...registry import kinds

    return [
        k
        for k in kinds("streams.retail")
        if isinstance(c := find("streams.retail", k), type) and issubclass(c, Item)
    ]


def shipped_tariffs() -> list[str]:
    """Names of the tariffs that come with the package."""
    folder = files("valuestack").joinpath("data", "tariffs")
    return sorted(f.name.removesuffix(".json") for f in folder.iterdir() if f.name.endswith(".json"))


def load_tariff(what: str | Path | Mapping[str, Any] | Tariff) -> Tariff:
    """A tariff from a file, a mapping, or the name of a shipped one.

    Takes our own form, a URDB v8 record, or URDB's answer {"items": [record]} with one record. Raises
    InputError with every problem found, each with its key.
    """
    if isinstance(what, Tariff):
        return what
    if isinstance(what, Mapping):
        return _from_mapping(what, str(what.get("name") or what.get("label") or "tariff"))
    path = Path(what)
    if path.suffix == "" and not path.exists():
        if str(what) not in shipped_tariffs():
            raise UnknownKind("shipped tariff", str(what), shipped_tariffs())
        text = files("valuestack").joinpath("data", "tariffs", f"{what}.json").read_text(encoding="utf-8")
        return _from_text(text, f"{what}.json")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "not a text file"
        raise InputError(
            f"{path}: cannot be read ({reason}); give a tariff file or one of: {', '.join(shipped_tariffs())}"
        ) from e
    return _from_text(text, str(path))


def _from_text(text: str, where: str) -> Tariff:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as e:
        raise InputError(f"{where}: not JSON at line {e.lineno}, column {e.colno} ({e.msg})") from e
    if not isinstance(data, Mapping):
        raise InputError(f"{where}: holds a {type(data).__name__}, a tariff is a JSON object")
    return _from_mapping(data, where)


def _is_urdb(data: Mapping[str, Any]) -> bool:
    return any(
        str(k).lower()
        in (
            "energyratestructure",
            "flatdemandstructure",
            "demandratestructure",
            "label",
            "fixedchargefirstmeter",
            "fixedmonthlycharge",
        )
        or "/period" in str(k)
        for k in data
    )


def _from_mapping(data: Mapping[str, Any], where: str) -> Tariff:
    from ...sources.urdb import translate

    rows = data.get("items")
    if (
        isinstance(rows, Sequence)
        and not isinstance(rows, str)
        and rows
        and all(isinstance(r, Mapping) and "kind" not in r and _is_urdb(r) for r in rows)
    ):
        if len(rows) != 1:
            raise InputError(
                f"{where}: holds {len(rows)} rates; give one: "
                + ", ".join(f"{r.get('label')} ({r.get('name')})" for r in rows[:8])
            )
        data = rows[0]
    if "kind" not in data and _is_urdb(data) and "urdb" not in data:
        return _build(translate(data, where=where), where)
    if "urdb" in data:
        own = {k: v for k, v in data.items() if k != "urdb"}
        base = translate(data["urdb"], where=f"{where}: urdb", partial=True)
        merged = {**base, **own}
        merged["items"] = [*base["items"], *own.get("items", ())]
        for key in ("stated", "notes"):
            merged[key] = [*own.get(key, ()), *base[key]]
        return _build(merged, where)
    return _build(data, where)


def _build(data: Mapping[str, Any], where: str) -> Tariff:
    try:
        return Tariff.model_validate(dict(data))
    except ValidationError as e:
        problems: list[str] = []
        for p in e.errors():
            key = ".".join(map(str, p["loc"]))
            lines = _plain(p).split("\n")
            problems += (
                lines
                if key == "items" and lines[0].startswith("items[")
                else [f"{key}: {line}" for line in lines]
            )
        raise InputError.collect(where, problems) from e


def _plain(problem: Any) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return "no such key here; check its spelling"
    if problem["type"] == "missing":
        return "missing"
    shown = problem.get("input")
    return (
        message
        if isinstance(shown, (dict, list, tuple)) or problem["type"] == "value_error"
        else f"{message} (got {shown!r})"
    )
