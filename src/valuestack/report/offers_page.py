"""The page of a comparison of offers: ranking, who gets what, damage, wear and warranty, resilience, break-even.

Nothing here computes money: it is read from settled replays.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from . import offers_figures as draw
from . import tables
from .offered import BUCKETS, Compared, Offered, Replay
from .page import _put, _whole, check_folder, check_formats
from .parts import Card, Part, Section, figure, table, text
from .tables import Column, Table, show_percent, show_usd

WHO = {"owner": "owner commands", "aggregator": "aggregator commands", "nobody": "no offer"}


def replays(found: Compared) -> list[tuple[Offered, Replay]]:
    """Both replays of every offer, the ranked one first."""
    return [(o, r) for o in found.offers for r in (o.ranked, o.other)]


def ranking_table(found: Compared) -> Table:
    """Every offer and none, best first, USD a year."""
    y = found.span_y
    columns = (
        Column("offer"),
        Column("commanded by"),
        Column("owner's share", "percent"),
        Column("net to the owner", "usd"),
        Column("more than no offer", "usd"),
        Column("other dispatcher, net", "usd"),
        Column("market pays, gross", "usd"),
        Column("bill more", "usd"),
        Column("wear", "usd"),
        Column("penalties", "usd"),
        Column("to leave in year 1", "usd"),
    )
    by = {o.name: o for o in found.offers}
    rows = []
    for name, r in found.order:
        o = by.get(name)
        rows.append(
            (
                name,
                WHO[r.dispatcher],
                None if o is None else o.share_frac,
                r.net_usd / y,
                None if o is None else r.more_usd / y,
                None if o is None else o.other.net_usd / y,
                None if o is None else r.gross_usd / y,
                None if o is None else r.split_usd["utility"] / y,
                -r.operation_usd / y,
                None if o is None else r.penalties_usd / y,
                None if o is None or not o.exit_usd else o.exit_usd[0],
            )
        )
    return Table(columns, tuple(rows))


def split_table(found: Compared) -> Table:
    """Who gets what of the gross, USD a year, a column a replay; the last row is their sum, what the market paid."""
    y, each = found.span_y, replays(found)
    columns = (Column("goes to"), *(Column(_title(o, r), "usd_cents") for o, r in each))
    rows = tuple((what, *(r.split_usd[k] / y for _, r in each)) for k, what in BUCKETS.items())
    total = ("sum = paid by the market", *(sum(r.split_usd.values()) / y for _, r in each))
    return Table(columns, (*rows, total), sum_row=True)


def damage_table(found: Compared) -> Table:
    """Bill with the offer less bill without, a row a cycle, a column a replay."""
    each = replays(found)
    cycles = list(dict.fromkeys(c for _, r in each for c in r.damage))
    columns = (Column("cycle"), *(Column(_title(o, r), "usd_cents") for o, r in each))
    rows = [(c, *(r.damage.get(c, 0.0) for _, r in each)) for c in cycles]
    rows.append(("sum", *(sum(r.damage.values()) for _, r in each)))
    rows.append(("more, were the worst interval a full call", *(r.exposed_usd for _, r in each)))
    return Table(columns, tuple(rows))


def _title(o: Offered, r: Replay) -> str:
    return f"{o.name}, {r.dispatcher}"


def wear_table(found: Compared) -> Table:
    """Use of each store under no offer and under both replays of each, and the warranty terms to ask for."""
    columns = (
        Column("offer"),
        Column("commanded by"),
        Column("store"),
        Column("MWh a year", "number"),
        Column("full cycles a year", "number"),
        Column("wear, USD a year", "usd"),
        Column("capacity lost in year 1", "percent"),
        Column("ask for: cycles a year", "number"),
        Column("cycles a day", "number"),
        Column("MWh over the term", "number"),
        Column("mean state of charge", "percent"),
        Column("kW per kWh", "number"),
    )
    rows = []
    for name, r in [("no offer", found.none), *((o.name, r) for o, r in replays(found))]:
        for w in r.wear:
            a = w.asked
            rows.append(
                (
                    name,
                    WHO[r.dispatcher],
                    w.asset,
                    round(w.throughput_mwh / found.span_y, 1),
                    round(w.full_cycles / found.span_y, 1),
                    w.wear_usd / found.span_y,
                    w.fade_frac_per_y,
                    None if a is None else round(a.cycles_per_y, 1),
                    None if a is None else round(a.cycles_per_day, 2),
                    None if a is None else round(a.throughput_mwh),
                    None if a is None else a.mean_soc_frac,
                    None if a is None else round(a.max_kw_per_kwh, 3),
                )
            )
    return Table(columns, tuple(rows))


def warranty_table(found: Compared) -> Table:
    """Each written term of a warranty: used, limit, and when it is breached."""
    columns = (
        Column("offer"),
        Column("commanded by"),
        Column("store"),
        Column("term"),
        Column("used", "number"),
        Column("limit", "number"),
        Column("unit"),
        Column("breached on"),
    )
    rows = []
    for name, r in [("no offer", found.none), *((o.name, r) for o, r in replays(found))]:
        for w in r.wear:
            for t in () if w.spent is None else w.spent.terms:
                when = "never in its term" if t.breach is None else f"{t.breach:%d %B %Y}"
                rows.append(
                    (name, WHO[r.dispatcher], w.asset, t.name, round(t.used, 4), t.limit, t.unit, when)
                )
    return Table(columns, tuple(rows))


def survival_table(found: Compared) -> Table:
    """Survival of outages and reserve starts not carried, without the offer and with it."""
    columns = (
        Column("offer"),
        Column("commanded by"),
        Column("what"),
        Column("no offer"),
        Column("with the offer"),
    )
    rows: list[tuple[Any, ...]] = []
    for o, r in replays(found):
        who = WHO[r.dispatcher]
        for s in r.survival:
            rows.append(
                (
                    o.name,
                    who,
                    f"{s.hours:g} h survived ({s.stream})",
                    _odds(s.before_frac),
                    _odds(s.after_frac),
                )
            )
        for k in r.reserves:
            rows.append(
                (
                    o.name,
                    who,
                    f"of {k.starts:,} starts, {k.hours:g} h not carried ({k.stream})",
                    f"{k.breaches_before:,}",
                    f"{k.breaches_after:,}",
                )
            )
    return Table(columns, tuple(rows))


def even_table(found: Compared) -> Table:
    """Break-even share and size of each replay."""
    columns = (
        Column("offer"),
        Column("commanded by"),
        Column("owner's share now", "percent"),
        Column("share worth no offer", "percent"),
        Column("share worth the second best", "percent"),
        Column("least size that pays, kW"),
        Column("fees a year", "usd"),
        Column("cost to leave by year"),
    )
    rows = []
    for o, r in replays(found):
        kw = "no size does" if r.break_even_kw is None else f"{r.break_even_kw:,.0f}"
        rows.append(
            (
                o.name,
                WHO[r.dispatcher],
                o.share_frac,
                _share(r.break_even_frac),
                _share(r.second_frac) if r is o.ranked else "",
                kw,
                o.fees_usd_per_y,
                ", ".join(show_usd(v) for v in o.exit_usd) or "none is written",
            )
        )
    return Table(columns, tuple(rows))


def ceded_table(found: Compared) -> Table:
    """The year in the loop with the clause that keeps the reserve and without it."""
    y = found.span_y
    columns = (
        Column("offer"),
        Column("net, reserve kept", "usd"),
        Column("net, reserve ceded", "usd"),
        Column("ceding earns", "usd"),
        Column("market, kept", "usd"),
        Column("market, ceded", "usd"),
        Column("24 h survived, kept"),
        Column("ceded"),
        Column("starts not carried, kept", "number"),
        Column("ceded", "number"),
    )
    rows = []
    for o in found.offers:
        c = o.ceded
        if c is None:
            continue
        day = next((s for s in c.survival if s.hours == 24.0), None)
        rows.append(
            (
                o.name,
                c.kept_usd / y,
                c.ceded_usd / y,
                c.more_usd / y,
                c.kept_gross_usd / y,
                c.ceded_gross_usd / y,
                "" if day is None else _odds(day.before_frac),
                "" if day is None else _odds(day.after_frac),
                sum(k.breaches_before for k in c.reserves),
                sum(k.breaches_after for k in c.reserves),
            )
        )
    return Table(columns, tuple(rows))


def _odds(frac: float) -> str:
    return f"{100 * frac:.2f} %"


def _share(frac: float | None) -> str:
    return "none is enough" if frac is None else "any" if frac <= 0 else show_percent(frac)


# --- the page --------------------------------------------------------------------------------------------


def sections(found: Compared) -> list[Section]:
    """The page's sections."""
    y = found.span_y
    by = {o.name: o for o in found.offers}
    order = [(n, r.net_usd / y, by[n].other.net_usd / y if n in by else None) for n, r in found.order]
    shown = [(o.name, {k: v / r.gross_usd for k, v in r.split_usd.items()})
             for o in found.offers for r in (o.ranked,) if r.gross_usd > 0]  # fmt: skip
    cycles = list(dict.fromkeys(c for o in found.offers for c in o.ranked.damage))
    damage = {o.name: [o.ranked.damage.get(c, 0.0) for c in cycles] for o in found.offers}
    out = [
        Section(
            "ranking",
            "What the owner nets",
            (
                text(
                    "Every offer replayed over the same year with perfect foresight, settled, and ranked by what the "
                    "owner nets under whoever commands; wear and expected outage costs count. No offer stands in the "
                    "list: the owner's best plan without the streams that are on offer."
                ),
                figure(draw.ranking(order, found.none.net_usd / y), "Net to the owner, USD a year"),
                table(ranking_table(found), "Offers, best first, USD a year (bounds)"),
            ),
        )
    ]
    parts: list[Part] = [
        text(
            "Every dollar that the market pays goes to somebody. What the utility takes is the rise of the bill; wear "
            "and lost reserve are nobody's income, and still gone. The sum is the market's payment, to the cent."
        )
    ]
    if shown:
        parts.append(figure(draw.shares(shown), "Where each gross dollar goes, whoever commands as ranked"))
    parts.append(table(split_table(found), "Who gets what, USD a year"))
    out.append(Section("split", "Who gets what of each gross dollar", tuple(parts)))
    out.append(
        Section(
            "damage",
            "What it does to the bill",
            (
                figure(
                    draw.damage(cycles, damage), "Bill with the offer less bill without, by billing cycle"
                ),
                table(damage_table(found), "Bill with the offer less bill without, USD"),
                text(
                    "Settled on what is metered when the signal calls its mean. The last row is what demand charges "
                    "would come to more, were the worst interval of each billing window a full call.",
                    "small",
                ),
            ),
        )
    )
    spent = warranty_table(found)
    out.append(
        Section(
            "wear",
            "Wear and warranty",
            (
                table(wear_table(found), "Use of the store, and the warranty terms to ask for"),
                *(
                    (table(spent, "Warranty terms that are written"),)
                    if spent.rows
                    else (
                        text("The site file writes no warranty; the terms to ask for stand above.", "small"),
                    )
                ),
                text(
                    "Terms to ask for are the ninth decile over the years seen; of one year it is that year.",
                    "small",
                ),
            ),
        )
    )
    odds = survival_table(found)
    if odds.rows:
        out.append(Section("resilience", "What is left for an outage", (table(odds),)))
    ceded = ceded_table(found)
    if ceded.rows:
        out.append(
            Section(
                "ceded",
                "The reserve, kept and ceded",
                (
                    text(
                        "The same commands run interval by interval against the simulated site, once behind a guard "
                        "that holds the reserve and once without it. A live plant never runs without."
                    ),
                    table(ceded, "With the override clause and without it, USD a year"),
                ),
            )
        )
    out.append(
        Section(
            "even",
            "Break-even",
            (
                table(even_table(found), "Share and size at which an offer pays"),
                text(
                    "At the dispatch of the replay. Under the owner's plan dispatch would follow the share, so the "
                    "share needed is at or below what is stated.",
                    "small",
                ),
            ),
        )
    )
    out.append(_stands_on(found))
    return out


def _stands_on(found: Compared) -> Section:
    notes = dict.fromkeys(n for _, r in replays(found) for n in r.notes)
    rows = Table(
        (Column("what"), Column("value"), Column("source"), Column("", "tag"), Column("where")),
        tuple(
            (a.what, a.value, a.source, "" if a.verified else "unverified", a.where)
            for a in found.assumptions
        ),
    )
    return Section(
        "assumptions",
        "What this stands on",
        (*(text(n, "small") for n in notes), table(rows, "Assumptions", folded=True)),
    )


def cards(found: Compared) -> list[Card]:
    """The headline."""
    y = found.span_y
    name, best = found.order[0]
    out = [
        Card(
            "Best for the owner",
            name,
            f"{show_usd(best.net_usd / y)} a year"
            + ("" if name == "no offer" else f", {show_usd(best.more_usd / y)} more than no offer"),
            "head",
        ),
        Card(
            "No offer, a year", show_usd(found.none.net_usd / y), "the owner's plan without what is on offer"
        ),
    ]
    for o in found.offers[:4]:
        out.append(
            Card(
                o.name,
                show_usd(o.ranked.more_usd / y),
                f"a year against no offer, {WHO[o.ranked.dispatcher]}",
                "bound",
            )
        )
    return out


def render(found: Compared, *, made: str = "") -> str:
    """The page as HTML text: no network, no script, every picture inline."""
    from jinja2 import Environment

    template = files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    return (
        Environment(autoescape=True, trim_blocks=True)
        .from_string(template)
        .render(
            title=f"{found.site}: offers compared",
            subtitle=[f"{len(found.offers)} offers and none; rules of {found.as_of}"],
            warnings=found.head,
            cards=cards(found),
            lead=" ".join(found.said[:3]),
            sections=[
                *(
                    [Section("said", "What was found", tuple(text(s) for s in found.said))]
                    if found.said[3:]
                    else []
                ),
                *sections(found),
            ],
            made=made or f"valuestack offers, {datetime.now():%d %B %Y}",
        )
    )


def sheets(found: Compared) -> list[tuple[str, Table]]:
    """The tables by sheet name."""
    out = [
        ("Ranking", ranking_table(found)),
        ("Who gets what", split_table(found)),
        ("Bill", damage_table(found)),
        ("Wear", wear_table(found)),
        ("Warranty", warranty_table(found)),
        ("Resilience", survival_table(found)),
        ("Reserve ceded", ceded_table(found)),
        ("Break-even", even_table(found)),
    ]
    out += [
        (f"Ledger {i}{'a' if r is o.aggregator else 'o'}", tables.ledger(r.ledger))
        for i, o in enumerate(found.offers, start=1)
        for r in (o.owner, o.aggregator)
    ]
    return [(n, t) for n, t in out if t.rows]


def write(found: Compared, folder: Path | str, formats: Iterable[str] = ("html", "json")) -> list[Path]:
    """Write offers.html, offers.json and offers.xlsx as asked, and return the paths."""
    wanted = list(dict.fromkeys(formats))
    check_formats(wanted)
    out, paths = check_folder(folder), []
    if "html" in wanted:
        page = render(found)
        paths.append(_whole(out / "offers.html", lambda p: _put(p, page)))
    if "json" in wanted:
        body = json.dumps(found.to_dict(), indent=1, default=str)
        paths.append(_whole(out / "offers.json", lambda p: _put(p, body)))
    if "xlsx" in wanted:
        from .workbook import save_sheets

        paths.append(_whole(out / "offers.xlsx", lambda p: save_sheets(sheets(found), p)))
    return paths
