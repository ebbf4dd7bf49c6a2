"""Site files: TOML in, a Site out; every problem found first, then one error with file and key.

site = load("site.toml")          # or a shipped example by name, or a mapping
"""

from __future__ import annotations

import csv
import difflib
import inspect
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import InputError, UnknownKind, ValuestackError
from ..sources.source import MeterTable
from ..timeline import localise, zone
from .site import Facts, MeterFile, NamedSeries, Site, SiteFile, SiteMeter, TariffUse, TariffVersion

STREAM_ROOMS = ("streams.resilience", "streams.grid", "streams.environment")
DATA = Path(__file__).resolve().parent.parent / "data"


def shipped(what: str, *suffixes: str) -> dict[str, Path]:
    """Files that come with the library by name: what = 'sites', 'loads' or 'tariffs'."""
    folder = DATA / what
    wanted = suffixes or (".toml", ".json")
    found = sorted(p for p in folder.glob("*") if p.suffix in wanted) if folder.is_dir() else []
    return {p.stem: p for p in found}


def load(written: str | Path | Mapping[str, Any]) -> Site:
    """A site from a TOML file, from a folder that holds site.toml, by the name of a shipped example, or
    from a mapping of the same shape (paths relative to the working folder).

    Errors: InputError that lists every problem with its key.
    """
    if isinstance(written, Mapping):
        return _build(dict(written), None, Path.cwd(), "site")
    path = _find(Path(written))
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as e:
        raise InputError(f"{path}: cannot be read ({e.strerror}); check the path and its permissions") from e
    except UnicodeDecodeError as e:
        raise InputError(f"{path}: is not UTF-8 text ({e.reason} at byte {e.start}); save it as UTF-8") from e
    except tomllib.TOMLDecodeError as e:
        raise InputError(f"{path}: is not valid TOML: {e}; see docs/reference/site-file.md") from e
    return _build(values, path, path.parent, str(path))


def load_values(values: Mapping[str, Any], like: Site) -> Site:
    """A site from plain values of the same shape, with the files and the name of another that it is made from."""
    folder = Path.cwd() if like.path is None else like.path.parent
    return _build(dict(values), like.path, folder, like.name)


def _find(path: Path) -> Path:
    if path.is_dir():
        if (path / "site.toml").is_file():
            return path / "site.toml"
        raise InputError(
            f"{path}: the folder holds no site.toml; name the site file itself, "
            "or write one with `valuestack init`"
        )
    if path.is_file():
        return path
    examples = shipped("sites", ".toml")
    if str(path) in examples:
        return examples[str(path)]
    near = difflib.get_close_matches(str(path), examples, n=2, cutoff=0.5)
    hint = (
        f"did you mean the example {near[0]!r}?"
        if near
        else f"shipped examples: {', '.join(examples)}"
        if examples
        else "check the path"
    )
    raise InputError(f"{path}: no such site file; {hint}")


def _build(values: dict[str, Any], path: Path | None, folder: Path, where: str) -> Site:
    try:
        file = SiteFile.model_validate(values)
    except ValidationError as e:
        raise InputError.collect(where, explain(e, SiteFile)) from e
    problems: list[str] = []
    files: list[Path] = [path] if path else []
    series = _series(file, folder, problems, files)
    _check(problems, "tz", lambda: zone(file.tz))
    names = [m.name for m in file.meters]
    for name in sorted({n for n in names if names.count(n) > 1}):
        problems.append(f"meters: {name!r} is the name of {names.count(name)} meters; give each its own")
    if not problems:
        assets, existing = _assets(file, folder, problems, files)
        streams = _things("streams", file, file.streams, folder, problems, files)
        meters = [
            _meter(m, f"meters[{i}]", file, folder, problems, files, series)
            for i, m in enumerate(file.meters)
        ]
        meters = [
            m
            and replace(
                m, assets=assets.get(m.name, ()), existing=existing, streams=tuple(streams.get(m.name, ()))
            )
            for m in meters
        ]
    _options(file, problems)
    if problems:
        raise InputError.collect(where, problems)
    unique = tuple(dict.fromkeys(f.resolve() for f in files))
    return Site(
        written=file,
        path=path,
        meters=tuple(m for m in meters if m is not None),
        files=unique,
        series=series,
    )


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Validation errors as 'key: what is wrong; what to do', with near names for an unknown key."""
    errors = error.errors()
    lists = {_key(_place(e["loc"])) for e in errors if e["type"] != "string_type"}
    out = []
    for e in errors:
        loc = _place(e["loc"])
        key = _key(loc)
        if e["type"] == "string_type" and any(k != key and k.startswith(key) for k in lists):
            continue  # the other form of a value that may be a file name or a list; the list's own error is said
        if e["type"] == "too_short" and any(k.startswith((f"{key}[", f"{key}.")) for k in lists):
            continue  # entries that were refused for their own sake leave the list short
        if e["type"] == "extra_forbidden":
            known = _fields(model, loc[:-1])
            near = difflib.get_close_matches(str(loc[-1]), known, n=2, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known here: {', '.join(known)}"
            out.append(f"{key}: no such key; {hint}")
        elif e["type"] == "missing":
            out.append(f"{key}: is missing; add it")
        else:
            shown = repr(e.get("input"))
            out.append(f"{key}: {e['msg'].removeprefix('Value error, ')} (found {shown[:80]})")
    return list(dict.fromkeys(out))


def _place(loc: Iterable[Any]) -> list[Any]:
    """Keys and numbers of a location, without the names of the forms that a value may have."""
    forms = ("function-", "tuple[", "constrained-")
    return [p for p in loc if p not in ("str", "date", "datetime") and not str(p).startswith(forms)]


def _key(loc: Iterable[Any]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "file"


def _fields(model: type[BaseModel], loc: Iterable[Any]) -> list[str]:
    """Field names of the sub-model that `loc` leads to."""
    current: Any = model
    for part in loc:
        if isinstance(part, int) or not hasattr(current, "model_fields") or part not in current.model_fields:
            continue
        annotation = current.model_fields[part].annotation
        inner = [
            a
            for a in (annotation, *getattr(annotation, "__args__", ()))
            if isinstance(a, type) and issubclass(a, BaseModel)
        ]
        current = inner[0] if inner else current
    return list(current.model_fields)


def _check(problems: list[str], key: str, make: Callable[[], Any]) -> Any:
    """Result of `make`, or None with its problems noted under `key`."""
    try:
        return make()
    except ValidationError as e:
        problems += [f"{key}.{_key(x['loc'])}: {x['msg'].removeprefix('Value error, ')}" for x in e.errors()]
    except InputError as e:
        many = len(e.problems) > 1
        problems += [f"{key}: {p}" for p in e.problems] if many else [f"{key}: {e}"]
    except ValuestackError as e:
        problems.append(f"{key}: {e}")
    return None


def _assets(
    file: SiteFile, folder: Path, problems: list[str], files: list[Path]
) -> tuple[dict[str, tuple[Any, ...]], frozenset[str]]:
    """Assets by the name of their meter, and the names of those that exist already."""
    tables = [dict(values) for values in file.assets]
    existing = {str(v.get("name", v.get("kind"))) for v in tables if v.pop("existing", False)}
    made = _things("assets", file, tables, folder, problems, files)
    return {k: tuple(v) for k, v in made.items()}, frozenset(existing)


def _things(
    room: str,
    file: SiteFile,
    tables: Iterable[Mapping[str, Any]],
    folder: Path,
    problems: list[str],
    files: list[Path],
) -> dict[str, list[Any]]:
    """What tables with a `kind` of `room` make, by the name of their meter."""
    meters = [m.name for m in file.meters]
    example = {"assets": "battery", "streams": "regulation"}[room]
    out: dict[str, list[Any]] = {}
    seen: set[str] = set()
    for i, written in enumerate(tables):
        key, values = f"{room}[{i}]", dict(written)
        meter = values.pop("meter", meters[0] if len(meters) == 1 else None)
        if meter not in meters:
            what = "is missing" if meter is None else f"{meter!r} is no meter of this site"
            problems.append(f"{key}.meter: {what}; write one of {', '.join(map(repr, meters))}")
            meter = meters[0]
        kind = values.pop("kind", None)
        if not isinstance(kind, str):
            problems.append(f'{key}.kind: is missing; write for example kind = "{example}"')
            continue
        values.setdefault("name", kind)
        if values["name"] in seen:
            problems.append(
                f"{key}.name: {values['name']!r} is used twice; give each of the {room} its own name"
            )
        seen.add(values["name"])
        owner = f"{key} {values['name']!r}" if values["name"] != kind else key
        thing = _check(problems, owner, partial(thing_of, room, kind, values, folder, files))
        if thing is not None:
            out.setdefault(str(meter), []).append(thing)
    return out


def asset_of(
    kind: str, values: Mapping[str, Any], folder: Path | None = None, files: list[Path] | None = None
) -> Any:
    """An asset of `kind` from plain values; values that name a file beside the site file are resolved."""
    return thing_of("assets", kind, values, folder, files)


def thing_of(
    room: str,
    kind: str,
    values: Mapping[str, Any],
    folder: Path | None = None,
    files: list[Path] | None = None,
) -> Any:
    """An asset or a stream of `kind` from plain values; see asset_of."""
    from ..registry import find

    cls = stream_class(kind) if room == "streams" else find(room, kind)
    given = dict(values)
    for key, value in given.items():
        # `series` of an asset is a file, that of a stream (which has a layer) the name of one of the site's series.
        paths = ("file", "weather") if hasattr(cls, "layer") else ("file", "weather", "series")
        if folder is not None and isinstance(value, str) and key in paths:
            found = folder / value
            if not found.is_file():
                raise InputError(f"{key}: no file {value!r} in {folder}; check the path")
            given[key] = str(found)
            if files is not None:
                files.append(found)
    if issubclass(cls, BaseModel):
        try:
            return cls.model_validate(given)
        except ValidationError as e:
            raise InputError.collect(kind, explain(e, cls)) from e
    return cls(**given)


def _series(file: SiteFile, folder: Path, problems: list[str], files: list[Path]) -> dict[str, NamedSeries]:
    """Each named series with its file read."""
    names = [s.name for s in file.series]
    for name in sorted({n for n in names if names.count(n) > 1}):
        problems.append(f"series: {name!r} is the name of {names.count(name)} series; give each its own")
    for name in sorted({"load_kw", "load_kvar"} & set(names)):
        problems.append(f"series: {name!r} is what the meters measure; call it something else")
    return {
        s.name: NamedSeries(s, _prices(s.file, file.tz, folder, f"series[{i}].file", problems, files))
        for i, s in enumerate(file.series)
    }


def _meter(
    meter: MeterFile,
    key: str,
    file: SiteFile,
    folder: Path,
    problems: list[str],
    files: list[Path],
    series: Mapping[str, NamedSeries],
) -> SiteMeter | None:
    before = len(problems)
    data = _data(meter.data, folder, f"{key}.data", problems)
    tariffs = _tariffs(meter.tariffs, folder, key, problems)
    facts = _facts(meter.facts, file.tz, folder, f"{key}.facts", problems, files, series)
    cycles = _dates(meter.read_dates, folder, f"{key}.read_dates", problems, files)
    if cycles is not None and (len(cycles) < 2 or list(cycles) != sorted(set(cycles))):
        problems.append(f"{key}.read_dates: needs at least two dates, ascending and each once")
    if data is not None:
        files.append(data)
    files += [t.path for t in tariffs if t.path is not None]
    if len(problems) > before or data is None:
        return None
    return SiteMeter(written=meter, data=data, tariffs=tuple(tariffs), facts=facts, cycles=cycles, assets=())


def _data(name: str, folder: Path, key: str, problems: list[str]) -> Path | None:
    """The meter file beside the site file, else a shipped load model."""
    beside = folder / name
    if beside.is_file():
        return beside
    models = shipped("loads", ".toml")
    if name in models:
        return models[name]
    try:
        names = [p.name for p in beside.parent.iterdir()]
    except OSError:
        names = []
    near = difflib.get_close_matches(beside.name, [*names, *models], n=2, cutoff=0.5)
    hint = (
        f"did you mean {' or '.join(map(repr, near))}?"
        if near
        else f"shipped load models: {', '.join(models)}"
    )
    problems.append(f"{key}: no file {name!r} in {folder}; {hint}")
    return None


def find_tariff(name: str, folder: Path) -> Path:
    """A tariff file by path beside `folder`, or a shipped tariff by name; UnknownKind with near names."""
    for p in (Path(name), folder / name):
        if p.is_file():
            return p
    tariffs = shipped("tariffs")
    if name in tariffs:
        return tariffs[name]
    raise UnknownKind("tariff (file or shipped)", name, tariffs)


def _tariffs(uses: tuple[TariffUse, ...], folder: Path, key: str, problems: list[str]) -> list[TariffVersion]:
    from ..streams.retail.tariff import load_tariff

    out = []
    for j, use in enumerate(uses):
        at = f"{key}.tariffs[{j}]"
        path = _check(problems, f"{at}.tariff", partial(find_tariff, use.tariff, folder))
        if path is None:
            continue
        tariff = _check(problems, f"{at}.tariff", partial(load_tariff, path))
        if tariff is not None:
            out.append(TariffVersion(tariff, use.from_date, use.until_date, use.tariff, path))
    out.sort(key=lambda v: v.from_date or date.min)
    for a, b in pairwise(out):
        if b.from_date is None or (a.until_date is not None and a.until_date > b.from_date):
            problems.append(
                f"{key}.tariffs: {a.name!r} and {b.name!r} are in force on the same days; "
                "set from_date and until_date"
            )
        elif a.until_date is not None and a.until_date < b.from_date:
            problems.append(f"{key}.tariffs: no tariff from {a.until_date} to {b.from_date}; close the gap")
    return out


def _rows(path: Path) -> list[list[str]]:
    """Cells of a CSV; empty lines, comments and a header (a first line with no digit in front) left out."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(f"{path}: cannot be read: {e}") from e
    rows = [[c.strip() for c in row] for row in csv.reader(text.splitlines()) if any(c.strip() for c in row)]
    rows = [r for r in rows if not r[0].startswith("#")]
    return [r for k, r in enumerate(rows) if k or any(ch.isdigit() for ch in r[0])]


def _moments(
    value: str | tuple[Any, ...] | None,
    tz: str,
    folder: Path,
    key: str,
    problems: list[str],
    files: list[Path],
) -> list[date | datetime] | None:
    """Dates or aware times from a list in the file, or from the first column of a CSV."""
    if value is None:
        return None
    cells: list[Any] = list(value) if not isinstance(value, str) else []
    if isinstance(value, str):
        path = folder / value
        if not path.is_file():
            problems.append(f"{key}: no file {value!r} in {folder}; check the path")
            return None
        files.append(path)
        cells = [r[0] for r in _check(problems, key, lambda: _rows(path)) or []]
    out: list[date | datetime] = []
    for n, cell in enumerate(cells, 1):

        def moment(c: Any = cell) -> date | datetime:
            if isinstance(c, str):
                try:
                    c = datetime.fromisoformat(c) if len(c) > 10 else date.fromisoformat(c)
                except ValueError as e:
                    raise InputError(f"{c!r} is no date; write it like 2026-07-31 or 2026-07-31T16:00") from e
            return localise(c, tz, where="time") if isinstance(c, datetime) else c

        made = _check(problems, f"{key} entry {n}", moment)
        if made is not None:
            out.append(made)
    return out


def _dates(
    value: str | tuple[date, ...] | None, folder: Path, key: str, problems: list[str], files: list[Path]
) -> tuple[date, ...] | None:
    made = _moments(value, "UTC", folder, key, problems, files)
    if made is None:
        return None
    return tuple(m.date() if isinstance(m, datetime) else m for m in made)


def _prices(
    name: str | None, tz: str, folder: Path, key: str, problems: list[str], files: list[Path]
) -> list[tuple[datetime, float]] | None:
    """(aware start, value) pairs of a two-column CSV."""
    if name is None:
        return None
    path = folder / name
    if not path.is_file():
        problems.append(f"{key}: no file {name!r} in {folder}; check the path")
        return None
    files.append(path)
    out, bad = [], []
    for n, row in enumerate(_check(problems, key, lambda: _rows(path)) or [], 1):
        try:
            out.append((localise(row[0], tz, where="time"), float(row[1])))
        except (InputError, ValueError, IndexError) as e:
            bad.append(f"{key}: row {n}: {e or 'needs a start time and a number'}")
    problems += bad[:5] + ([f"{key}: and {len(bad) - 5} rows more like these"] if len(bad) > 5 else [])
    return out


def _facts(
    written: Facts,
    tz: str,
    folder: Path,
    key: str,
    problems: list[str],
    files: list[Path],
    series: Mapping[str, NamedSeries],
) -> Any:
    """Facts with their files read, as plain values by name; the bill's own model checks them."""
    return {
        "power_factor_frac": written.power_factor_frac,
        "cpp_events": _moments(written.cpp_events, tz, folder, f"{key}.cpp_events", problems, files),
        "coincident_hours": _moments(
            written.coincident_hours, tz, folder, f"{key}.coincident_hours", problems, files
        ),
        "prices": series.get(written.prices or "")
        or _prices(written.prices, tz, folder, f"{key}.prices", problems, files),
        "holidays": _dates(written.holidays, folder, f"{key}.holidays", problems, files),
    }


def policy_class(kind: str) -> type[Any]:
    """The policy called `kind`; the room of control also holds plants and the guard, which decide nothing."""
    from ..registry import find, kinds

    def decides(name: str) -> bool:
        cls = find("control", name)
        return hasattr(cls, "decide") and not getattr(cls, "_is_protocol", False)

    policies = [k for k in kinds("control") if decides(k)]
    if kind not in policies:
        raise UnknownKind("policy", kind, policies)
    return find("control", kind)


def stream_kinds() -> dict[str, str]:
    """Every value stream beyond the tariff (which a meter names by itself): kind -> room."""
    from ..registry import brought, find, kinds

    rooms = {k: room for room in STREAM_ROOMS for k in kinds(room) if hasattr(find(room, k), "settle")}
    return dict(sorted({**rooms, **dict.fromkeys(brought("streams"), "streams")}.items()))


def stream_class(kind: str) -> type[Any]:
    """The value stream called `kind`."""
    from ..registry import find

    rooms = stream_kinds()
    if kind not in rooms:
        raise UnknownKind("value stream", kind, rooms)
    return find(rooms[kind], kind)


def _policy(policy: type[Any], options: Mapping[str, Any]) -> Any:
    """A policy with its options; InputError for one that it does not have."""
    known = list(inspect.signature(policy).parameters)
    for key in options:
        if key not in known:
            raise UnknownKind(f"option of {policy.__name__}", key, known or ["(none)"])
    try:
        return policy(**options)
    except (TypeError, ValueError) as e:
        raise InputError(str(e)) from e


def _options(file: SiteFile, problems: list[str]) -> None:
    policy = _check(problems, "study.policy", lambda: policy_class(file.study.policy))
    if policy is not None:
        _check(problems, "study.policy_options", lambda: _policy(policy, file.study.policy_options))
    a, b = file.study.first_date, file.study.until_date
    if a and b and b <= a:
        problems.append(f"study.until_date: {b} is not after first_date {a}")
    sizes = file.study.sizes
    for key, values in (("power_kw", sizes.power_kw), ("energy_kwh", sizes.energy_kwh)):
        if any(v <= 0 for v in values) or len(set(values)) < len(values):
            problems.append(f"study.sizes.{key}: sizes are above zero and each given once")


def is_load(path: Path) -> bool:
    """Whether a TOML file is a load model rather than a site."""
    from ..sources.load_model import LoadModel

    return path.is_file() and LoadModel().sniff(str(path))


def around_meter(
    data: Path,
    *,
    tz: str | None,
    tariff: str | None,
    usage_point: str | None = None,
    read: Mapping[str, Any] | None = None,
    override: str | None = None,
    power_factor_frac: float | None = None,
) -> Site:
    """A site of one meter and no assets around a meter file, for `audit` and `bill`.

    tz: None = as the file states it; where it does not, InputError asks. tariff: None = none.
    """
    path = data if data.is_file() else shipped("loads", ".toml").get(str(data))
    if path is None:
        problems: list[str] = []
        _data(str(data), Path.cwd(), "meter file", problems)
        raise InputError(problems[0])
    zone_name = tz or zone_of(path, read or {})
    meter: dict[str, Any] = {
        "name": usage_point or "main",
        "data": str(path.resolve()),
        "read": dict(read or {}),
        "usage_point": usage_point,
        "override": override,
        "facts": {"power_factor_frac": power_factor_frac},
        "tariffs": [{"tariff": tariff}] if tariff else [],
    }
    values = {"name": path.stem.split(".")[0], "tz": zone_name, "meters": [meter]}
    return _build(values, None, Path.cwd(), str(data))


def zone_of(path: Path, options: Mapping[str, Any]) -> str:
    """The zone that a meter file states, or an InputError that asks for it."""
    table = read_table(path, options)
    if table.tz is None:
        raise InputError(
            f"{path}: does not say in which time zone its clock runs; give --tz, "
            "for example --tz America/Chicago"
        )
    return table.tz


def read_table(path: Path, options: Mapping[str, Any]) -> MeterTable:
    """A meter file or a load model as a table of channels."""
    from ..sources.source import read_meter

    if is_load(path):
        from ..sources.load_model import LoadModel

        return LoadModel().fetch(str(path), **options)
    return read_meter(str(path), **options)
