"""Names: numbers end in their unit, files and rooms say what they hold, nothing points to one machine."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "valuestack"
FORBIDDEN = {"utils", "util", "common", "helpers", "helper", "manager", "core", "misc"}

UNIT = (
    r"(kw|kwh|mwh|kvar|kvarh|kva|kvah|mw|h|min|s|y|c|k|usd|frac"
    r"|gal|kg|deg|w|m|m2|days?|month|cycles?|unit|start|event|call|ms|v|a)"
)
ENDS_IN_UNIT = re.compile(
    rf"(^|_){UNIT}(_per_{UNIT})*(_{UNIT})?(_min|_max)?$|(^|_)(hours|seconds|years)($|_)"
)
# Numbers without a unit of their own: counts, shares of a sum, and words whose unit stands beside them.
PLAIN = {
    # the words of terms.py: their unit is that of the measure they stand for
    "upto",
    "weight",
    "share",
    "least",
    "start",
    "lower",
    "upper",
    "so_far",
    "blocks",
    "when",
    "value",
    "values",
    # the ledger's quantity has its unit in the field `unit`
    "quantity",
    "claimed",
    "then",
    "now",
    "realised",
    "bound",
    "limit",
    "used",
    "used_per_y",
    "rows",
    "row",
    "col",
    "knee",
    "full_cycles",
    # availability 0 or 1; smoothing and weighting numbers of forecasts; a baseline's factor or kW by its kind
    "available",
    "class_weight",
    "ridge",
    "decay",
    "adjustment",
    # terms and quantities restated for a kernel or a reconciliation: the unit is that of the term, or `unit`
    "floor_least",
    "floor_share",
    "tier_upto",
    "settled_quantity",
    "paid_quantity",
    # fits and factors without a unit; rainflow counts ranges of whatever series it is given
    "coefficient",
    "factor",
    "scale",
    "load_factor",
    "agreement",
    "exponent",
    "multiplier",
    "cumulative",
    "power_factor",
    "months",
    "range_",
    "mean",
    "count",
    "stack",
    # how many times a price in a spike; a forecast error as a multiple of the real one; values known in advance
    "spike_factor",
    "error_scale",
    "truth",
    # coefficient of performance, and how many times a loss
    "cop",
    "charge_loss_factor",
    "discharge_loss_factor",
}
NUMERIC = re.compile(r"\b(float|Kw|Floats|Kws)\b")


def modules() -> list[Path]:
    return sorted(SRC.rglob("*.py"))


def _is_model(node: ast.ClassDef) -> bool:
    names = {ast.unparse(b) for b in node.bases} | {ast.unparse(d).split("(")[0] for d in node.decorator_list}
    return any(n.endswith(("BaseModel", "dataclass", "_Part")) for n in names)


def numeric_fields(path: Path) -> Iterator[tuple[str, str, int]]:
    """(class, field, line) of each public field that is a number or an array of numbers."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef) or node.name.startswith("_") or not _is_model(node):
            continue
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                kind, name = ast.unparse(item.annotation), item.target.id
                # Mappings of series and tuples of pairs are named by what they hold.
                if name.startswith("_") or "Mapping" in kind or "dict" in kind or "tuple[tuple" in kind:
                    continue
                if NUMERIC.search(kind) and "Callable" not in kind and "ClassVar" not in kind:
                    yield node.name, name, item.lineno


def test_the_unit_check_can_fail() -> None:
    assert not ENDS_IN_UNIT.search("power")
    assert not ENDS_IN_UNIT.search("efficiency")
    for good in (
        "net_kw",
        "usd_per_kwh",
        "charge_efficiency_frac",
        "om_usd_per_y",
        "step_h",
        "usd_per_kw_month",
        "loss_frac_per_h",
        "capex_usd_per_kwh",
    ):
        assert ENDS_IN_UNIT.search(good), good


# Rooms whose numbers are money, power, energy or time; solve and the compiler handle whatever a term measures.
WITH_UNITS = [
    p for p in modules() if not {"solve", "stack"} & set(p.relative_to(SRC).parts) and p.name != "terms.py"
]


def test_public_numbers_end_in_their_unit() -> None:
    bad = [
        f"{p.relative_to(ROOT)}:{line} {cls}.{name}"
        for p in WITH_UNITS
        for cls, name, line in numeric_fields(p)
        if not ENDS_IN_UNIT.search(name) and name not in PLAIN
    ]
    assert not bad, "name these with their unit:\n" + "\n".join(bad)


def test_rooms_and_files_say_what_they_hold() -> None:
    bad = [
        str(p.relative_to(ROOT))
        for p in SRC.rglob("*")
        if p.stem in FORBIDDEN and "__pycache__" not in p.parts
    ]
    assert not bad, bad


@pytest.mark.parametrize("folder", ["src", "docs", "tests", "benchmarks"])
def test_nothing_points_to_one_machine(folder: str) -> None:
    home = re.compile(r"(?<![\w/.])/(home|Users|work|root)/[\w.-]+")
    bad = []
    for p in sorted((ROOT / folder).rglob("*")):
        if p.suffix in {".py", ".md", ".toml", ".json"} and "__pycache__" not in p.parts:
            for n, line in enumerate(p.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                if home.search(line) and "home = re.compile" not in line:
                    bad.append(f"{p.relative_to(ROOT)}:{n} {line.strip()[:80]}")
    assert not bad, "\n".join(bad)


def test_functions_stay_short() -> None:
    """A kernel may be long; what people maintain may not."""
    bad = []
    for p in modules():
        if "kernel" in p.stem or p.stem.endswith("_dp"):
            continue
        for node in ast.walk(ast.parse(p.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or node.lineno) - node.lineno
                jitted = any("jit" in ast.unparse(d) for d in node.decorator_list)
                if length > 110 and not jitted:
                    bad.append(f"{p.relative_to(ROOT)}:{node.lineno} {node.name} has {length} lines")
    assert not bad, "\n".join(bad)
