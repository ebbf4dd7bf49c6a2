"""The public surface: what `import valuestack` offers, that it is light, and that every kind is tested."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import valuestack as vs
from valuestack.registry import class_name, find, kinds

ROOT = Path(__file__).resolve().parents[2]

PROMISED = [
    "Timeline",
    "load_tariff",
    "bill",
    "BillFacts",
    "load_site",
    "study",
    "audit",
    "read_meter",
    "Study",
    "Entry",
    "Ledger",
    "Finding",
    "Record",
    "Tariff",
    "Bill",
    "Site",
    "ValuestackError",
    "InputError",
    "DataError",
    "Disqualified",
    "ConflictError",
    "InfeasibleError",
    "SolverError",
    "UnknownKind",
]


def test_all_is_what_is_promised() -> None:
    assert sorted(vs.__all__) == vs.__all__ or sorted(vs.__all__, key=str) == list(vs.__all__)
    assert set(vs.__all__) == {*PROMISED, "__version__"}
    assert set(vs.__all__) <= set(dir(vs))


@pytest.mark.parametrize("name", vs.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(vs, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'stduy'"):
        vs.stduy  # noqa: B018


def test_errors_share_one_root() -> None:
    for name in vs.__all__:
        found = getattr(vs, name)
        if isinstance(found, type) and issubclass(found, Exception):
            assert issubclass(found, vs.ValuestackError)


def test_import_and_help_load_nothing_heavy() -> None:
    heavy = ("numpy", "pandas", "numba", "highspy", "matplotlib", "pyarrow", "pydantic", "pvlib", "openpyxl")
    code = (
        "import sys, valuestack, valuestack.cli as c\n"
        "c.run(['--help'])\n"
        f"print([m for m in {heavy!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "study" in done.stdout


def test_help_is_quick() -> None:
    """0.4 s of CPU for the whole process, the best of three."""
    code = (
        "import resource, sys, valuestack.cli as c\n"
        "c.run(['--help'])\n"
        "r = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(r.ru_utime + r.ru_stime, file=sys.stderr)"
    )
    best = min(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr)
        for _ in range(3)
    )
    assert best <= 0.4, f"valuestack --help took {best:.2f} s of CPU"


def is_kind(room: str, name: str) -> bool:
    """Whether a class of a room is one of its kinds: an asset, a stream, an item, a reader, a policy."""
    cls = find(room, name)
    if getattr(cls, "_is_protocol", False):
        return False
    fields = getattr(cls, "model_fields", {})
    return (
        any(hasattr(cls, a) for a in ("kind", "asset_kind", "decide", "fetch", "charge")) or "kind" in fields
    )


@pytest.mark.parametrize("room", ["assets", "streams", "sources", "control", "forecast"])
def test_every_kind_has_a_test(room: str) -> None:
    found = [k for k in kinds(room) if is_kind(room, k)]
    assert found, f"no kind in {room}"
    tests = [p for p in (ROOT / "tests").rglob("test_*.py") if p != Path(__file__).resolve()]
    text = "\n".join(p.stem + "\n" + p.read_text(encoding="utf-8") for p in tests)
    names = {k: k.removesuffix("_meter") if room == "sources" else k for k in found}
    untested = [
        k for k in found if not re.search(rf"(?<![A-Za-z])({names[k]}|{class_name(k)})(?![A-Za-z])", text)
    ]
    assert not untested, f"no test names {untested}"
