"""What a page is made of: sections of texts, figures and tables, and the cards at its head."""

from __future__ import annotations

from dataclasses import dataclass, field

from .tables import Table


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a section: text, note, heading, figure or table."""

    kind: str
    text: str = ""
    style: str = ""
    svg: str = ""
    caption: str = ""
    table: Table | None = None
    title: str = ""
    note: str = ""
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of the page; `id` is its anchor."""

    id: str
    title: str
    parts: tuple[Part, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Card:
    """One headline figure."""

    name: str
    value: str
    note: str
    style: str = ""


def text(words: str, style: str = "") -> Part:
    """A paragraph."""
    return Part("text", text=words, style=style)


def figure(svg: str, caption: str) -> Part:
    """A picture with its caption."""
    return Part("figure", svg=svg, caption=caption)


def table(rows: Table, title: str = "", note: str = "", *, folded: bool = False) -> Part:
    """A table, folded away if long."""
    return Part("table", table=rows, title=title, note=note, folded=folded)
