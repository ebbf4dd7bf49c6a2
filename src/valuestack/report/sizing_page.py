"""The page of a sizing: options, frontier, the next unit, specification sheet, what data are worth, moving or buying.

Nothing here computes money: it is read from settled outcomes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from . import sizing_figures as draw
from . import tables
from .page import _put, _whole, check_folder
from .parts import Card, Part, Section, figure, table, text
from .result import BOUND_LABEL
from .sized import Outcome, Sizing, ranked
from .tables import Column, Table, show_usd


def option_table(options: Sequence[Outcome]) -> Table:
    """Options, best NPV for a dollar of capital first."""
    columns = (
        Column("option"),
        Column("size"),
        Column("capital", "usd"),
        Column("bill saving", "usd"),
        Column("other layers", "usd"),
        Column("wear, upkeep, fuel", "usd"),
        Column("NPV", "usd"),
        Column("NPV per $", "rate"),
        Column("payback, y", "kw"),
    )
    rows = []
    for o in options:
        costs = o.wear_usd_per_y + o.running_usd_per_y + o.om_usd_per_y
        per = None if o.npv_per_usd is None else round(o.npv_per_usd, 2)
        money = (o.capex_usd, o.saving_usd_per_y, o.services_usd_per_y, costs, o.npv_usd)
        rows.append((o.name, o.words, *money, per, o.payback_y))
    return Table(columns, tuple(rows))


def unit_table(found: Sizing) -> Table:
    """What the next kW and kWh save and cost."""
    columns = (
        Column("at"),
        Column("size there"),
        Column("next"),
        Column("saves a year, by duals", "usd_cents"),
        Column("over the next 1 %", "usd_cents"),
        Column("must save a year", "usd_cents"),
        Column("NPV of it", "usd_cents"),
    )
    keys = (
        "at",
        "size",
        "next",
        "saves_usd_per_y",
        "next_percent_saves_usd_per_y",
        "costs_usd_per_y",
        "npv_usd",
    )
    return Table(columns, tuple(tuple(r[k] for k in keys) for r in found.next_units))


def enrolment_table(found: Sizing, *, short: bool = False) -> Table:
    """kW to enrol in each programme, beside each set of assets. short: without what it is made of."""
    columns = {
        "beside": Column("beside"),
        "programme": Column("programme"),
        "enrolled_kw": Column("enrol", "kw"),
        "written_kw": Column("as written", "kw"),
        "least_kw": Column("least", "kw"),
        "held_kw": Column("held at every hour", "kw"),
        "capacity_usd_per_y": Column("capacity", "usd"),
        "calls_usd_per_y": Column("calls", "usd"),
        "penalties_usd_per_y": Column("penalties", "usd"),
        "cost_to_serve_usd_per_y": Column("cost to serve", "usd"),
        "net_usd_per_y": Column("net a year", "usd"),
        "next_kw_npv_usd": Column("NPV of the next kW", "usd_cents"),
        "limited_by": Column("limited by"),
    }
    for k in _LONG if short else ():
        del columns[k]
    return Table(tuple(columns.values()), tuple(tuple(r[k] for k in columns) for r in found.enrolment))


_LONG = (
    "least_kw",
    "capacity_usd_per_y",
    "calls_usd_per_y",
    "penalties_usd_per_y",
    "cost_to_serve_usd_per_y",
    "limited_by",
)


def granularity_table(found: Sizing) -> Table:
    """Sizes from coarser data, settled on the finest."""
    columns = (
        Column("sized from"),
        Column("size"),
        Column("capital", "usd"),
        Column("NPV it promised", "usd"),
        Column("NPV on the finest data", "usd"),
        Column("worth of the finest data", "usd"),
    )
    keys = tuple(k for k in (found.granularity[0] if found.granularity else {}) if k != "method")
    return Table(columns, tuple(tuple(r[k] for k in keys) for r in found.granularity))


def flip_table(found: Sizing) -> Table:
    """Battery prices at which it overtakes the moved load."""
    columns = (
        Column("order"),
        Column("times its price", "rate"),
        Column("USD per kW", "usd"),
        Column("USD per kWh", "usd"),
        Column("fixed", "usd"),
        Column("best size there"),
        Column("else"),
    )
    flips = (found.moving or {}).get("flip") or {}
    rows = []
    for what, f in flips.items():
        times = f.get("price_times")
        shown = None if times is None else round(times, 3)
        money = (f.get("usd_per_kw"), f.get("usd_per_kwh"), f.get("fixed_usd"))
        rows.append((what, shown, *money, f.get("size", ""), f.get("why", "")))
    return Table(columns, tuple(rows))


def sections(found: Sizing) -> list[Section]:
    """All sections of the page."""
    options: list[Part] = [
        table(
            option_table(ranked(found.alone)),
            "Each by itself, best NPV for a dollar of capital first",
            "Savings and costs are a year's. Every plan knows the future: bounds, compared with one another",
        )
    ]
    if found.vendors:
        options.append(table(option_table(ranked(found.vendors)), "Options quoted"))
    if found.frontier or any(o.capex_usd for o in found.alone):
        caption = "NPV over capital; the line joins the best battery at each spend. Bounds."
        options.append(figure(draw.frontier(found), caption))
    if found.frontier:
        options.append(table(option_table(found.frontier), "The frontier", folded=True))
    out = [Section("options", "Options", tuple(options))]
    if found.next_units:
        words = "What one more unit would save in operation, from the plan's own duals, and what its price asks for."
        out.append(Section("next", "The next kW and kWh", (text(words), table(unit_table(found)))))
    if found.enrolment:
        words = (
            "The kW of most NPV in each programme, each enrolment settled from its own plan: capacity by the month, "
            "calls and what is missing in them. Nothing is enrolled beyond what the assets hold at every hour in which "
            "a call may come, unless it is as written; no kW is promised twice. The next kW is valued as if it "
            "could be held."
        )
        out.append(Section("enrol", "kW to enrol", (text(words), table(enrolment_table(found)))))
    if found.spec:
        out.append(Section("spec", "Specification sheet", (table(tables.of_rows(found.spec)),)))
    if found.granularity:
        methods = tuple(text(f"{r['sized from']}: {r['method']}", "muted small") for r in found.granularity)
        out.append(Section("data", "What finer data are worth", (table(granularity_table(found)), *methods)))
    if found.moving is not None and found.moving.get("flip"):
        note = str(found.moving.get("note") or "")
        parts = [
            table(flip_table(found), "Battery price at which the order turns"),
            *([text(note)] if note else []),
        ]
        out.append(Section("moving", "Moving load or buying a battery", tuple(parts)))
    prices = tables.of_rows(found.prices)
    loose = Table(
        (Column("", "tag"), Column("assumption"), Column("value"), Column("source")),
        tuple(
            ("stated" if a.verified else "unverified", a.what, a.value, a.source)
            for a in sorted(found.assumptions, key=lambda a: a.verified)
        ),
    )
    out.append(Section("prices", "Prices and assumptions", (table(prices, "Prices"), table(loose))))
    out.append(Section("findings", "Findings", (table(tables.findings(found.findings)),)))
    return out


def cards(found: Sizing) -> list[Card]:
    """Headlines."""
    made = [Card("Bill before, a year", show_usd(found.before_usd_per_y), "settled by the tariff")]
    if found.best is not None:
        b = found.best
        made.append(Card("Most NPV", show_usd(b.npv_usd or 0.0), f"{b.name}: {b.words}; a bound", "head"))
        made.append(Card("Its capital", show_usd(b.capex_usd or 0.0), "before credits"))
        made.append(Card("Its bill saving a year", show_usd(b.saving_usd_per_y), BOUND_LABEL, "bound"))
    return made


def render(found: Sizing, *, made: str = "") -> str:
    """The page as HTML text: no network, no script, every picture inline."""
    from jinja2 import Environment

    template = files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    page: Any = Environment(autoescape=True, trim_blocks=True).from_string(template)
    return str(
        page.render(
            title=f"{found.site}: sizes",
            subtitle=[f"meter {found.meter}; rules of {found.as_of}; {BOUND_LABEL}"],
            warnings=found.head,
            cards=cards(found),
            lead=" ".join(found.sentences),
            sections=sections(found),
            made=made or f"valuestack size, {datetime.now():%d %B %Y}",
        )
    )


def write(found: Sizing, folder: Path | str) -> list[Path]:
    """sizing.html and sizing.json into a folder. Errors: InputError where nothing can be written."""
    place = check_folder(folder)
    body = render(found)
    data = json.dumps(_plain(found.to_dict()), indent=1, allow_nan=False)
    return [
        _whole(place / "sizing.html", lambda p: _put(p, body)),
        _whole(place / "sizing.json", lambda p: _put(p, data)),
    ]


def _plain(value: Any) -> Any:
    """Values that JSON can hold."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return None
    return value
