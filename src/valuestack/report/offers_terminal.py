"""What `valuestack offers` shows in the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from . import offers_page as page
from .offered import BUCKETS, Compared
from .tables import Column, Table
from .terminal import head, rows


def compared(found: Compared) -> RenderableType:
    """Sentences, ranking, who gets what and break-even."""
    ranking = page.ranking_table(found)
    keep = [0, 1, 2, 3, 4, 5, 7]
    short = Table(
        tuple(ranking.columns[i] for i in keep), tuple(tuple(r[i] for i in keep) for r in ranking.rows)
    )
    parts: list[RenderableType] = [*head(found.head)]
    parts += [Text(s) for s in found.said]
    parts += [
        Text(""),
        rows("What the owner nets, USD a year (bounds)", short, left=2),
        Text(""),
        rows("Who gets what of the gross as ranked, USD a year", _split(found), left=1),
        Text(""),
        rows("Break-even", page.even_table(found), left=2),
    ]
    ceded = page.ceded_table(found)
    if ceded.rows:
        parts += [Text(""), rows("The year in the loop: reserve kept and ceded, USD a year", ceded, left=1)]
    return Group(*parts)


def _split(found: Compared) -> Table:
    """A row a bucket, a column an offer."""
    y = found.span_y
    names = list(BUCKETS)
    columns = (Column("goes to"), *(Column(o.name, "usd") for o in found.offers))
    body = tuple(
        (BUCKETS[k], *(o.ranked.split_usd[k] / y for o in found.offers))
        for k in names
        if any(abs(o.ranked.split_usd[k]) > 0.005 for o in found.offers)
    )
    total = ("market pays, gross", *(o.ranked.gross_usd / y for o in found.offers))
    return Table(columns, (*body, total), sum_row=True)
