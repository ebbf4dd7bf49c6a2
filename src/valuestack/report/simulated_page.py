"""The report of a simulation: one self-contained page, a workbook, JSON; what it computes is nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from . import simulated_figures as draw
from . import tables
from .page import _put, _whole, check_folder
from .parts import Card, Part, Section, figure, table, text
from .simulated import Simulated
from .tables import Table, show_percent, show_usd

FORMATS = ("html", "json", "xlsx")
DRAWN = 10  # futures from which a running mean is worth a picture
_MONEY = ("layer", "mean_usd_per_y", "P10_usd_per_y", "P50_usd_per_y", "P90_usd_per_y", "certainty")
_SERVICE = (
    "layer",
    "calls_per_y",
    "missed_per_y",
    "hours_per_y",
    "throughput_kwh_per_y",
    "staff hours_per_y",
)


def write(
    found: Simulated, folder: Path | str, formats: Iterable[str] = FORMATS, *, made: str = ""
) -> list[Path]:
    """Write simulation.html, simulation.json and simulation.xlsx, those of `formats`, and return the paths."""
    out, wanted = check_folder(folder), list(dict.fromkeys(formats))
    paths: list[Path] = []
    if "html" in wanted:
        page = render(found, made=made)
        paths.append(_whole(out / "simulation.html", lambda p: _put(p, page)))
    if "json" in wanted:
        body = json.dumps(_finite(found.to_dict()), indent=1, default=str, allow_nan=False)
        paths.append(_whole(out / "simulation.json", lambda p: _put(p, body)))
    if "xlsx" in wanted:
        from .workbook import save_sheets

        sheets = [(title, tables.of_rows(rows)) for title, rows in found.tables().items() if rows]
        paths.append(
            _whole(out / "simulation.xlsx", lambda p: save_sheets([*sheets, ("Futures", _futures(found))], p))
        )
    return paths


def render(found: Simulated, *, made: str = "") -> str:
    """The page as HTML text: no network, no script, every picture inline."""
    from jinja2 import Environment

    template = files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    names = ", ".join(found.names[k] for k in found.policies)
    subtitle = [
        *([found.what] if found.what else []),
        f"{found.futures:,} futures of a year under {names}; rules of {found.as_of}; seed {found.seed}",
    ]
    return (
        Environment(autoescape=True, trim_blocks=True)
        .from_string(template)
        .render(
            title=f"{found.site}: simulated futures",
            subtitle=subtitle,
            warnings=found.head,
            cards=_cards(found),
            lead=found.verdict.sentence if found.verdict is not None else "",
            sections=_sections(found),
            made=made or f"valuestack simulate, {datetime.now():%d %B %Y}",
        )
    )


def _shown(found: Simulated) -> str:
    return found.verdict.best if found.verdict is not None else found.policies[-1]


def _cards(found: Simulated) -> list[Card]:
    kind = _shown(found)
    name, of = found.names[kind], {(r["policy"], r["of"]): r for r in found.outcomes}
    out = []
    net = of[(name, "net a year")]
    if found.verdict is not None:
        v = found.verdict
        out.append(
            Card(
                "Recommended",
                name,
                f"{show_usd(v.margin_usd_per_y)} ± {v.error_usd:,.0f} a year ahead of "
                f"{found.names.get(v.second, v.second)}",
                "head",
            )
        )
    out.append(
        Card(
            "Net a year, P50",
            show_usd(net["P50_usd"]),
            f"P90 {show_usd(net['P90_usd'])}, P10 {show_usd(net['P10_usd'])}; worst 5 % "
            f"{show_usd(net['CVaR 5 %_usd'])}",
        )
    )
    npv = of.get((name, "NPV, repeated"))
    if npv is not None:
        out.append(
            Card(
                "NPV, P50",
                show_usd(npv["P50_usd"]),
                f"P90 {show_usd(npv['P90_usd'])}; below zero in {show_percent(npv['below zero_frac'])} of futures",
            )
        )
    base = next((r for r in found.base if r["policy"] == name), None)
    if base is not None:
        out.append(
            Card(
                "Layers 1 and 2 alone",
                str(base["verdict"]),
                f"NPV {show_usd(base['NPV of layers 1 and 2_usd'])}",
            )
        )
    return out


def _sections(found: Simulated) -> list[Section]:
    by_name = {found.names[k]: found.net_usd_per_y[k] for k in found.policies}
    best = found.names[_shown(found)]
    out = [_recommended(found), _outcome(found, by_name)]
    out.append(
        Section(
            "layers",
            "What each layer brings",
            (
                figure(draw.layers(found.layers), "Settled money by layer and policy, USD a year"),
                *_by_policy(found, best, _MONEY, "Money of each layer"),
                *_by_policy(found, best, _SERVICE, "What each layer asked of the site"),
                table(tables.of_rows(found.streams), "Streams under every policy", folded=True),
            ),
        )
    )
    out.append(_base(found))
    out.append(_drivers(found))
    out.append(
        Section(
            "risks",
            "Key risks of each method",
            (table(tables.turned(tables.of_rows(found.risk), "a year under")),),
        )
    )
    out.append(
        Section(
            "convergence",
            "How sure the mean is",
            (
                *(
                    [figure(draw.running_mean(by_name), "Bands are two standard errors of the mean so far")]
                    if found.futures >= DRAWN
                    else []
                ),
                table(tables.of_rows(found.convergence), "Convergence", folded=found.futures >= DRAWN),
            ),
        )
    )
    out.append(_method(found))
    return [s for s in out if s.parts]


def _by_policy(found: Simulated, best: str, keys: Sequence[str], title: str) -> list[Part]:
    """Some columns of the layers, the best policy open and the others folded."""
    names = [found.names[k] for k in found.policies]
    out = []
    for name in (best, *(n for n in names if n != best)):
        rows = [{k: r.get(k) for k in keys} for r in found.layers if r["policy"] == name]
        out.append(table(tables.of_rows(rows), f"{title}, {name}", folded=name != best))
    return out


def _recommended(found: Simulated) -> Section:
    v = found.verdict
    if v is None:
        return Section("recommendation", "Recommendation", ())
    gap = np.asarray(found.net_usd_per_y[v.best]) - np.asarray(found.net_usd_per_y[v.second])
    names = found.names
    parts: list[Part] = [
        text(v.sentence),
        figure(
            draw.margin(gap, names[v.best], names[v.second]), "Each future counts once; the line is the mean"
        ),
        Part("heading", text="What would turn it round"),
        *(text(s) for s in v.turned),
    ]
    return Section("recommendation", "Recommendation", tuple(parts))


def _outcome(found: Simulated, by_name: Mapping[str, Any]) -> Section:
    parts = [
        figure(draw.outcomes(by_name, "net a year"), "A point is a future; bar from P90 to P10, mark at P50")
    ]
    if found.npv_usd:
        npv = {found.names[k]: v for k, v in found.npv_usd.items()}
        parts.append(
            figure(draw.outcomes(npv, "NPV, each future repeated"), "The same futures over the life")
        )
    note = "± is one Monte Carlo standard error; P90 is exceeded in nine of ten futures"
    for of in dict.fromkeys(str(r["of"]) for r in found.outcomes):
        rows = [_with_errors(r) for r in found.outcomes if r["of"] == of]
        parts.append(table(tables.of_rows(rows), of[:1].upper() + of[1:], note))
    return Section("outcome", "How good, and how sure", tuple(parts))


def _with_errors(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with each figure and its error in one cell."""
    out: dict[str, Any] = {}
    for key, value in row.items():
        if key == "of" or key.endswith("±_usd"):
            continue
        if not key.endswith("_usd"):
            out[key] = value
            continue
        error = row.get(key.removesuffix("_usd") + " ±_usd")
        known = error is not None and np.isfinite(error)
        out[key.removesuffix("_usd")] = show_usd(value) + (f" ± {error:,.0f}" if known else "")
    return out


def _base(found: Simulated) -> Section:
    parts: list[Part] = []
    if found.base:
        parts.append(table(tables.of_rows(found.base), "Do layers 1 and 2 alone carry the investment?"))
    parts.append(table(tables.of_rows(found.concentration), "How much hangs on one stream"))
    if found.stress:
        parts.append(table(tables.of_rows(found.stress), "A price collapses: what is left"))
    return Section("base", "What the value stands on", tuple(parts))


def _drivers(found: Simulated) -> Section:
    name = found.names[_shown(found)]
    rows = [r for r in found.tornado if r["policy"] == name]
    if not rows:
        return Section("drivers", "What drives it", ())
    mean = float(np.mean(found.net_usd_per_y[_shown(found)]))
    return Section(
        "drivers",
        f"What drives it: {name}",
        (
            figure(
                draw.tornado(rows, mean),
                "Ends are labelled with the driver's value; the line is one standard error",
            ),
            table(tables.of_rows(found.tornado), "Drivers of every policy", folded=True),
        ),
    )


def _method(found: Simulated) -> Section:
    parts = [text(w) for w in found.methods]
    if found.inputs:
        parts.append(table(tables.of_rows(found.inputs), "What differs between futures"))
    parts += [text(a, "small") for a in found.assumptions]
    spent = ", ".join(f"{k} {v:,.0f} s" for k, v in found.cpu_s.items())
    parts.append(text(f"CPU: {spent}.", "small"))
    return Section("method", "How it was made", tuple(parts))


def _futures(found: Simulated) -> Table:
    """One row a future: net and NPV under each policy."""
    rows = []
    for i in range(found.futures):
        row: dict[str, Any] = {"future": i}
        row |= {f"net, {found.names[k]}_usd_per_y": float(v[i]) for k, v in found.net_usd_per_y.items()}
        row |= {f"NPV, {found.names[k]}_usd": float(v[i]) for k, v in found.npv_usd.items()}
        rows.append(row)
    return tables.of_rows(rows)


def _finite(value: Any) -> Any:
    """None for what is no finite number."""
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
