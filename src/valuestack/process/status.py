"""Where a site stands in the seven steps: done, stale, skipped, open or not yet available.

A step that was run leaves a line in `steps.json` of the results folder, with a hash of everything that
it stood on. The step is stale as soon as one of those files, or the version that computed it, differs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from ..errors import InputError
from ..site.site import Site

State = Literal["done", "stale", "skipped", "open", "not yet available"]

STEPS: tuple[tuple[str, str, str], ...] = (
    ("data audit", "audit", "what the meter data are worth, and what was repaired"),
    ("flexibility", "flexibility", "what each asset and load can really do"),
    ("stacking", "stacking", "what the assets save on the tariff: before, realised, bound"),
    ("procurement", "procurement", "what to buy, and what to ask of vendors"),
    ("contracts", "contracts", "what each clause costs or earns"),
    ("commissioning", "commissioning", "whether the plant does what was believed of it"),
    ("review", "review", "the quarter's gap between expected and settled"),
)
FILE = "steps.json"


@dataclass(frozen=True, slots=True)
class Step:
    """One of the seven steps. when: ISO time of the last run; why: what makes it stale or skipped."""

    number: int
    name: str
    state: State
    what: str
    when: str = ""
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def inputs(site: Site) -> dict[str, str]:
    """SHA-256 of every file the site stands on, by path; a site given as a mapping by its own values."""
    out = {str(f): _hash(f) for f in site.files}
    if site.path is None:
        text = json.dumps(site.to_dict(), sort_keys=True, default=str)
        out["site"] = hashlib.sha256(text.encode()).hexdigest()
    return out


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "missing"


def record(folder: Path, site: Site, steps: Iterable[str], version: str) -> Path:
    """Note in `folder` that `steps` were run on the site as it stands now."""
    known = {name for name, _, _ in STEPS}
    if unknown := set(steps) - known:
        raise InputError(
            f"no step is called {', '.join(sorted(unknown))}; the steps: {', '.join(sorted(known))}"
        )
    path = folder / FILE
    done = _read(path)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    stamp = {"site": site.name, "when": now, "version": version, "inputs": inputs(site)}
    done.update(dict.fromkeys(steps, stamp))
    path.write_text(json.dumps(done, indent=1), encoding="utf-8")
    return path


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        done = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise InputError(f"{path}: cannot be read ({e}); delete it and run the steps again") from e
    if not isinstance(done, dict):
        raise InputError(f"{path}: is not a list of steps; delete it and run the steps again")
    return done


def status(site: Site, folder: Path, version: str) -> list[Step]:
    """The seven steps of `site` by what stands in its results folder."""
    done = _read(folder / FILE)
    now = inputs(site)
    last = max((i for i, (name, _, _) in enumerate(STEPS) if name in done), default=-1)
    out = []
    for i, (name, module, what) in enumerate(STEPS):
        stamp = done.get(name)
        if stamp is not None:
            why = _changes(stamp, now, site.name, version)
            out.append(Step(i + 1, name, "stale" if why else "done", what, str(stamp.get("when", "")), why))
        elif find_spec(f"{__package__}.{module}") is None:
            out.append(Step(i + 1, name, "not yet available", what))
        elif i < last:
            out.append(Step(i + 1, name, "skipped", what, why="a later step was run without it"))
        else:
            out.append(Step(i + 1, name, "open", what))
    return out


def _changes(stamp: Mapping[str, Any], now: Mapping[str, str], site: str, version: str) -> str:
    """What differs between then and now, or ''."""
    then = stamp.get("inputs", {})
    parts = [
        f"{Path(p).name} {'is gone' if now.get(p) == 'missing' else 'has changed'}"
        for p in then
        if p in now and then[p] != now[p]
    ]
    parts += [f"{Path(p).name} is new" for p in now if p not in then]
    parts += [f"{Path(p).name} is no longer used" for p in then if p not in now]
    if stamp.get("site") != site:
        parts.append(f"it was run for the site {stamp.get('site')!r}")
    if stamp.get("version") != version:
        parts.append(f"it was computed by version {stamp.get('version')}, this is {version}")
    return "; ".join(parts)
