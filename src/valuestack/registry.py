"""One function finds every extension: `find(room, kind)` is the class in `<room>/<kind>.py`.

A room is a package of this library ('assets', 'streams.retail', 'sources', 'control', ...). The file
name is the kind, and the class is the kind in CamelCase. A third party adds a kind by an entry point
in the group 'valuestack.<room>' whose name is the kind.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from .errors import UnknownKind


@cache
def _files(room: str) -> dict[str, str]:
    """kind -> module path of every file in `room` and in the rooms inside it."""
    package = import_module(f"{__package__}.{room}")
    noun = room.rsplit(".", 1)[-1].rstrip("s")
    out: dict[str, str] = {}
    for info in pkgutil.iter_modules(package.__path__):
        if info.ispkg:
            out.update(_files(f"{room}.{info.name}"))
        elif info.name != noun and not info.name.startswith("_"):
            out[info.name] = f"{package.__name__}.{info.name}"
    return out


@cache
def _foreign(room: str) -> dict[str, Any]:
    """Kinds that other packages bring, as entry points."""
    return {e.name: e for e in entry_points(group=f"valuestack.{room}")}


def brought(room: str) -> list[str]:
    """Kinds that other packages bring to `room`, sorted."""
    return sorted(_foreign(room))


def kinds(room: str) -> list[str]:
    """Every kind that `find` knows in `room`, sorted; imports nothing but the room itself."""
    named = {k for k, path in _files(room).items() if _declares(path, k)}
    return sorted(named | _foreign(room).keys())


def class_name(kind: str) -> str:
    """'green_button' -> 'GreenButton'."""
    return "".join(part.capitalize() for part in kind.split("_"))


def _declares(path: str, kind: str) -> bool:
    return hasattr(import_module(path), class_name(kind))


def find(room: str, kind: str, *, where: str = "") -> type[Any]:
    """The class of `kind` in `room`; UnknownKind with near names if there is none."""
    if kind in _foreign(room):
        return _foreign(room)[kind].load()  # type: ignore[no-any-return]
    path = _files(room).get(kind)
    if path is None or not _declares(path, kind):
        raise UnknownKind(f"kind of {room.replace('.', ' ')}", kind, kinds(room), where=where)
    return getattr(import_module(path), class_name(kind))  # type: ignore[no-any-return]
