"""Item: one line of a retail bill. A new kind of line is one new file in this room.

A tariff is a list of items. Each charges a `Metered` context in the order of its `stage`: quantities
first (0), then what depends on them (1: reactive, riders), then sums (2: minimum bills), then taxes (3).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ...errors import DataError
from ...ledger import Entry
from ...terms import Term
from ...timeline import Ints, Kw, Timeline
from .cycles import Cycles
from .facts import BillFacts, History

Schedule = tuple[tuple[int, ...], ...]
"""12 months x 24 hours of period numbers, local clock time."""


@dataclass(eq=False)
class Calendar:
    """Look-ups of the wall clock for schedules, made once a timeline. off_day: (n,) weekend or holiday."""

    timeline: Timeline
    off_day: NDArray[np.bool_]

    @classmethod
    def of(cls, timeline: Timeline, holidays: Iterable[Any] | None) -> Calendar:
        """Weekends and `holidays` (dates) are off days."""
        off = timeline.weekday >= 5
        if holidays is not None:
            off = off | timeline.on_dates(holidays)
        return cls(timeline, off)

    @cached_property
    def _cell(self) -> Ints:
        return (self.timeline.month - 1) * 24 + self.timeline.hour

    def periods(self, weekday: Schedule, weekend: Schedule) -> Ints:
        """Period number of each interval, (n,)."""
        on = np.asarray(weekday, dtype=np.int64).ravel()
        off = np.asarray(weekend, dtype=np.int64).ravel()
        return np.where(self.off_day, off[self._cell], on[self._cell])


@dataclass(eq=False)
class Metered:
    """A metered span as items see it. net_kw, net_kvar: (n,), load sign. billed_kw: billed demand by cycle
    of the tariff's main demand charge, set by the first demand item (for hours-use tiers). assumptions:
    sentences, each once. entries: what earlier items charged. in_force_frac: share of each cycle's days in
    which the tariff is in force, (c,); None = all. counted: intervals in which it is, (n,), where net_kw is cut
    to them; None = the whole span is seen."""

    timeline: Timeline
    net_kw: Kw
    net_kvar: Kw | None
    cycles: Cycles
    calendar: Calendar
    facts: BillFacts
    history: History
    tariff: str
    counterparty: str
    assumptions: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    billed_kw: Kw | None = None
    in_force_frac: Kw | None = None
    counted: NDArray[np.bool_] | None = None

    @property
    def part_frac(self) -> Kw:
        """Share of each whole cycle that is metered and in force, (c,): allowances in kWh are prorated by it."""
        if self.in_force_frac is None:
            return self.cycles.covered_frac
        return np.minimum(self.cycles.covered_frac, self.in_force_frac)

    def cut(self) -> Metered:
        """The same span with nothing metered outside `counted`; facts of the whole span stay."""
        if self.counted is None:
            return self
        kvar = None if self.net_kvar is None else np.where(self.counted, self.net_kvar, 0.0)
        return replace(self, net_kw=np.where(self.counted, self.net_kw, 0.0), net_kvar=kvar)

    def assume(self, sentence: str) -> None:
        """State an assumption once."""
        if sentence not in self.assumptions:
            self.assumptions.append(sentence)

    @cached_property
    def import_kw(self) -> Kw:
        """Drawn from the grid, (n,)."""
        return np.maximum(self.net_kw, 0.0)

    @cached_property
    def export_kw(self) -> Kw:
        """Fed to the grid, (n,)."""
        return np.maximum(-self.net_kw, 0.0)

    @cached_property
    def kvar(self) -> Kw:
        """Reactive power, (n,): as metered, else from the power factor; DataError if neither is known."""
        if self.net_kvar is not None:
            return self.net_kvar
        pf = self.facts.power_factor
        if pf is None:
            raise DataError("neither kvar nor a power factor is known")
        self.assume(f"kvar from an average power factor of {np.mean(pf):.3g}")
        ratio = np.asarray(pf, dtype=float)
        return np.asarray(self.import_kw * np.sqrt(1 - ratio**2) / ratio)

    @cached_property
    def kva(self) -> Kw:
        """Apparent power, (n,)."""
        return np.hypot(self.import_kw, self.kvar)

    def averaged(self, kw: Kw, window_min: float | None) -> Kw:
        """Means over the tariff's demand window on clock blocks, repeated to (n,)."""
        step_min = self.timeline.step_h * 60
        if window_min is None or abs(window_min - step_min) < 1e-6:
            return kw
        if window_min < step_min:
            self.assume(
                f"demand is billed on {window_min:g}-minute means, the data have {step_min:g} minutes: "
                "the billed demand is understated, at most by the peak within an interval"
            )
            return kw
        if abs(window_min / step_min - round(window_min / step_min)) > 1e-9:
            self.assume(
                f"a demand window of {window_min:g} minutes cannot be formed from {step_min:g}-minute "
                "data; the data's own interval is used"
            )
            return kw
        block = self.timeline.block(window_min / 60)
        mean = np.bincount(block, weights=kw) / np.bincount(block)
        return mean[block]

    def entry(
        self,
        cycle: int,
        item: str,
        quantity: float,
        unit: str,
        usd_per_unit: float | None,
        charge_usd: float,
        *,
        when: int | None = None,
        reason: str = "",
        certainty: str = "contractual",
    ) -> Entry:
        """An entry of this bill; `charge_usd` > 0 is owed by the owner."""
        return Entry(
            cycle=self.cycles.names[cycle],
            layer=1,
            stream=self.tariff,
            item=item,
            counterparty=self.counterparty,
            quantity=float(quantity),
            unit=unit,
            usd_per_unit=None if usd_per_unit is None else float(usd_per_unit),
            usd=-float(charge_usd),
            when="" if when is None else self.timeline.when(when).isoformat(),
            certainty=certainty,
            reason=reason,
        )


@dataclass(eq=False)
class Decided:
    """What an item needs to state terms over a horizon: the same calendar and cycles.

    multiplier: by which later items (taxes, percentage riders) scale what this one charges. in_force_frac:
    as in Metered.
    """

    timeline: Timeline
    cycles: Cycles
    calendar: Calendar
    facts: BillFacts
    history: History
    tariff: str
    multiplier: float = 1.0
    in_force_frac: Kw | None = None

    @property
    def part_frac(self) -> Kw:
        """See Metered."""
        if self.in_force_frac is None:
            return self.cycles.covered_frac
        return np.minimum(self.cycles.covered_frac, self.in_force_frac)


_BY_INTERVAL = ("energy", "export", "hourly_price", "supply", "critical_peak")


class Item(BaseModel):
    """One line of a bill as written in a tariff file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: str
    name: str = ""
    stage: ClassVar[int] = 0

    def needs(
        self,
    ) -> Sequence[Literal["power_factor", "coincident_hours", "cpp_events", "prices", "generation_kw"]]:
        """Facts without which this item cannot be billed."""
        return ()

    @property
    def waits(self) -> bool:
        """Whether it charges after the others of its stage, because it reads what they bill."""
        return False

    @property
    def by_interval(self) -> bool:
        """Whether a change of tariff inside a cycle is settled by metered intervals; else by days."""
        return self.kind in _BY_INTERVAL

    @property
    def prorate(self) -> Literal["intervals", "days", "derived"]:
        """How a cycle shared with another version is settled: by what is metered in the version's intervals; by
        its share of the days; or not at all, because what it stands on is prorated already."""
        if self.by_interval:
            return "intervals"
        return "derived" if type(self).stage >= 2 else "days"

    def charge(self, metered: Metered) -> list[Entry]:
        """Entries of this item for every cycle."""
        raise NotImplementedError

    def scales(self, item: str) -> float:
        """By which share this item raises a charge named `item` of the ledger: taxes and percentage riders."""
        return 0.0

    def terms(self, decided: Decided) -> list[Term]:
        """What this item asks of a decision; [] for what no decision moves."""
        return []


def charge_in_order(items: Iterable[Item], metered: Metered) -> list[Entry]:
    """Entries of every item, each reading what came before; prorated where a cycle is in force in part.

    metered.counted and in_force_frac say where. A demand, fixed or similar charge is made on the whole cycle
    and scaled by days; energy is metered in the version's own intervals; shares of charges scale with them.
    """
    whole, own = replace(metered, counted=None), metered.cut()
    frac = metered.in_force_frac
    shares = {} if frac is None else dict(zip(metered.cycles.names, frac.tolist(), strict=True))
    done: list[Entry] = []
    for item in items:
        source = own if item.prorate == "intervals" else whole
        source.entries = done
        for e in item.charge(source):
            share = shares.get(e.cycle, 1.0)
            if share <= 0:
                continue
            if share < 1 and item.prorate == "days":
                e = replace(
                    e, usd=e.usd * share, reason=f"{e.reason}; {100 * share:.1f} % of the cycle's days"
                )
            done.append(e)
        own.billed_kw = whole.billed_kw
    return done


def tiered_usd(quantity: Kw, upto: Kw, rate: Kw) -> Kw:
    """Charge of a quantity over cumulative tiers: sum_k rate_k (min(q, upto_k) - upto_(k-1))+.

    quantity: (m,). upto: (m, k) or (k,), ascending, last inf. rate: (k,). Returns (m,).
    """
    bounds = np.broadcast_to(upto, (quantity.size, np.shape(upto)[-1]))
    lower = np.concatenate((np.zeros((quantity.size, 1)), bounds[:, :-1]), axis=1)
    part = np.clip(np.minimum(quantity[:, None], bounds) - lower, 0.0, None)
    return np.asarray(part @ np.asarray(rate, dtype=float))
