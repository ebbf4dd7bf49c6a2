"""What clauses that no rate database holds have in common: provenance, days in force, hours, windows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...ledger import Entry
from ...timeline import Ints, Kw, Timeline
from .item import Calendar, Item, Metered

Mask = NDArray[np.bool_]
ALL_MONTHS = tuple(range(1, 13))


class Hours(BaseModel):
    """Clock hours [from_h, to_h) on the days and in the months named; holidays are no weekdays."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    from_h: float = Field(default=0, ge=0, lt=24)
    to_h: float = Field(default=24, gt=0, le=24)
    days: Literal["all", "weekdays", "off_days"] = "all"
    months: tuple[int, ...] = ALL_MONTHS

    @model_validator(mode="after")
    def _sane(self) -> Hours:
        if self.to_h <= self.from_h:
            raise ValueError(f"to_h {self.to_h:g} must lie after from_h {self.from_h:g} on the same day")
        if not self.months or any(not 1 <= m <= 12 for m in self.months):
            raise ValueError(f"months: {self.months} should be calendar months 1..12")
        return self

    def mask(self, calendar: Calendar) -> Mask:
        """True in these hours, (n,)."""
        t = calendar.timeline
        found = (t.minute_of_day >= self.from_h * 60) & (t.minute_of_day < self.to_h * 60)
        found &= np.isin(t.month, self.months)
        if self.days != "all":
            found &= calendar.off_day if self.days == "off_days" else ~calendar.off_day
        return found


class Clause(Item):
    """An item with provenance. verified = False is said on every bill on which the clause stands.

    valid_from, valid_until: days in force, [from, until); None = open. note: what is not verified, and why.
    """

    verified: bool = True
    source: str = ""
    note: str = ""
    valid_from: date | None = None
    valid_until: date | None = None

    @model_validator(mode="after")
    def _honest(self) -> Clause:
        if not self.verified and not self.note:
            raise ValueError("note: says what is not verified and why; verified = false needs it")
        if self.valid_from and self.valid_until and self.valid_until <= self.valid_from:
            raise ValueError(f"valid_until {self.valid_until} is not after valid_from {self.valid_from}")
        return self

    @property
    def label(self) -> str:
        """Name in the ledger."""
        return f"{self.kind}/{self.name}" if self.name else self.kind

    def say(self, metered: Metered) -> None:
        """State on the bill what about this clause is not verified."""
        if not self.verified:
            metered.assume(f"{metered.tariff}: {self.label} is not verified: {self.note}")

    def in_force(self, t: Timeline) -> Mask:
        """True where the clause is in force, (n,)."""
        found = np.ones(t.n, dtype=bool)
        if self.valid_from:
            found &= t.day >= (self.valid_from - date(1970, 1, 1)).days
        if self.valid_until:
            found &= t.day < (self.valid_until - date(1970, 1, 1)).days
        return found

    def metered_in(self, metered: Metered) -> Mask:
        """True where the clause is in force and, in a cycle shared by versions, its tariff too, (n,)."""
        on = self.in_force(metered.timeline)
        return on if metered.counted is None else on & metered.counted

    def months_in_force(self, metered: Metered, months: Iterable[int] = ALL_MONTHS) -> Kw:
        """How much of each cycle counts as a month: its metered share in force and in `months`, (c,)."""
        c, t = metered.cycles, metered.timeline
        counted = self.metered_in(metered) & np.isin(t.month, tuple(months))
        size = np.bincount(c.index, minlength=c.n)
        share = np.divide(c.sums(counted.astype(float)), size, out=np.zeros(c.n), where=size > 0)
        return np.asarray(share * c.covered_frac)


def top_by(index: Ints, kw: Kw, n: int, where: Mask | None = None) -> tuple[Kw, Ints]:
    """Highest value by group and its interval: (n,) with 0, and (n,) with -1, where a group has none."""
    at_all = np.arange(kw.size) if where is None else np.flatnonzero(where)
    groups, values = index[at_all], kw[at_all]
    top, at = np.full(n, -np.inf), np.full(n, -1)
    np.maximum.at(top, groups, values)
    highest = np.flatnonzero(values == top[groups])[::-1]  # the first of equals is written last
    at[groups[highest]] = at_all[highest]
    top[at < 0] = 0.0
    return top, at


def charged(entries: Iterable[Entry], cycle: str, applies_to: tuple[str, ...]) -> list[Entry]:
    """Entries of one cycle whose item is one of `applies_to` or begins with it; () = all."""
    return [e for e in entries if e.cycle == cycle and matches(e.item, applies_to)]


def matches(item: str, names: tuple[str, ...]) -> bool:
    """Whether an item is named, in full or by its first part."""
    return not names or any(item == n or item.startswith(n.rstrip("/") + "/") for n in names)


def numbered(windows: Ints) -> Ints:
    """Window numbers without holes: 0, 1, ... in order, -1 stays, (n,)."""
    used, where = np.unique(windows, return_inverse=True)
    return np.asarray(where - int(used.size > 0 and used[0] < 0), dtype=np.int64)
