"""A bilateral deal with a utility, as a user writes it: local capacity in called hours, and voltage support.

    capacity  fixed price x kW x months, plus a sum a call and a price a kWh delivered, less a price a kWh missing
    voltage   price x kvar h supplied in its windows, up to the kvar agreed: supplied = native kvar - metered kvar

The measure of what was delivered is a shipped baseline or a firm level, as for demand response (`response`). The deal
is the user's own contract: its figures are taken as written, with its document as their source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from math import inf
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...dispatch import Record, View, World
from ...errors import DataError, InputError
from ...ledger import Entry
from ...terms import Block, Measure, Payment, Term
from ...timeline import Timeline
from ..stream import Place
from .enrolment import believed, happened, month_names
from .product import Product, Window, parse_product
from .response import Responding


class Voltage(BaseModel):
    """Voltage support: up to `kvar` supplied in `windows`, paid by the kvar h."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kvar: float = Field(gt=0)
    usd_per_kvar_h: float = Field(ge=0)
    windows: tuple[Window, ...] = (Window(),)


class Bilateral(Responding):
    """A deal. Keys beside those of demand response:

    source: the contract. valid_from, valid_to: its term. windows, notice_h, max_events_per_season, max_event_h: when it
    may call. baseline: shipped baseline, or firm_kw. capacity_kw: what is promised. fixed_usd_per_kw_month,
    usd_per_call, usd_per_kwh, penalty_usd_per_kwh: payments. season_months: months in which the fixed price is paid.
    min_kw, telemetry_s, protocols: what it asks. exclusive: the same kW may be sold as capacity to nobody else.
    voltage: voltage support.
    """

    kind: ClassVar[str] = "bilateral"
    certainty: ClassVar[str] = "contractual"
    counterparty: ClassVar[str] = "utility"

    name: str = "utility deal"
    product: str | Product = "bilateral"
    source: str
    valid_from: date
    valid_to: date | None = None
    windows: tuple[Window, ...] = ()
    notice_h: float | None = Field(default=None, ge=0)
    max_events_per_season: int | None = Field(default=None, gt=0)
    max_event_h: float | None = Field(default=None, gt=0)
    season_months: tuple[int, ...] = tuple(range(1, 13))
    baseline: str | None = None
    capacity_kw: float | None = Field(default=None, gt=0)
    fixed_usd_per_kw_month: float = Field(default=0.0, ge=0)
    usd_per_call: float = Field(default=0.0, ge=0)
    usd_per_kwh: float = Field(default=0.0, ge=0)
    penalty_usd_per_kwh: float = Field(default=0.0, ge=0)
    min_kw: float = Field(default=0.0, ge=0)
    telemetry_s: float | None = Field(default=None, gt=0)
    protocols: tuple[str, ...] = ()
    exclusive: bool = True
    voltage: Voltage | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_response(cls, given: Any) -> Any:
        """The deal's own words for what every response is told by."""
        if not isinstance(given, dict):
            return given
        out = dict(given)
        for mine, theirs in (
            ("capacity_kw", "nomination_kw"),
            ("fixed_usd_per_kw_month", "capacity_usd_per_kw_month"),
            ("usd_per_kwh", "energy_usd_per_kwh"),
            ("penalty_usd_per_kwh", "shortfall_usd_per_kwh"),
        ):
            if theirs in out and mine in out:
                raise ValueError(f"{theirs}: a deal calls it {mine}; give that alone")
            if theirs in out:
                raise ValueError(f"{theirs}: a deal calls it {mine}")
            out[theirs] = out.get(mine, None if theirs == "nomination_kw" else 0.0)
        if out.get("events") is None:
            out["events"] = ()
        return out

    @model_validator(mode="after")
    def _something_is_sold(self) -> Bilateral:
        if self.capacity_kw is None and self.voltage is None:
            raise ValueError("nothing is sold: give capacity_kw, or [voltage]")
        if self.capacity_kw is not None and (self.baseline is None) == (self.firm_kw is None):
            raise ValueError("capacity_kw needs a measure: give either baseline or firm_kw")
        if self.firm_kw is not None and self.usd_per_kwh:
            raise ValueError(
                "usd_per_kwh pays for a reduction, which needs a baseline; a firm level has none"
            )
        return self

    def enrolled_at(self, kw: float) -> Self:
        """See Responding."""
        return super().enrolled_at(kw).model_copy(update={"capacity_kw": kw})

    def rules(self, t: Timeline) -> Product:
        """The deal as a product of its own."""
        on = self.as_of or t.start.date()
        rule: dict[str, Any] = {
            "measure": "firm_service_level" if self.firm_kw is not None else "baseline",
            "baseline": None if self.firm_kw is not None else self.baseline or "caiso-10-of-10",
            "energy": "fixed",
            "capacity": "nomination" if self.capacity_kw is not None else "none",
            "season_months": self.season_months,
            "shortfall": bool(self.penalty_usd_per_kwh),
            "steps": ({"at_frac": 0.0, "pay_frac": 1.0},),  # the fixed price is owed whatever is delivered
        }
        table: dict[str, Any] = {
            "name": "bilateral",
            "version": self.source,
            "title": self.name,
            "kind": "bilateral",
            "market": "bilateral",
            "valid_from": self.valid_from,
            "valid_to": self.valid_to,
            "min_kw": self.min_kw,
            "notice_h": self.notice_h,
            "telemetry_s": self.telemetry_s,
            "protocols": self.protocols,
            "windows": self.windows,
            "max_events_per_season": self.max_events_per_season,
            "max_event_h": self.max_event_h,
            "sells_capacity": self.exclusive and self.capacity_kw is not None,
            "demand_response": rule,
        }
        figures = tuple(k for k in table if k not in ("name", "version", "title", "kind", "market"))
        found = parse_product(
            {**table, "sources": [{"figures": figures, "source": self.source, "verified": True}]}
        )
        if not found.in_force(on):
            raise InputError(f"{self.name}: the deal runs {found.years}, not on {on}; set as_of or its dates")
        return found

    def own_clauses(self, rules: Product, place: Place) -> list[str]:
        """See Enrolled."""
        out = super().own_clauses(rules, place)
        if self.voltage is not None and "load_kvar" not in place.world.series:
            out.append(
                "voltage: kvar supplied are counted from the site's own load_kvar, which is not metered here"
            )
        return out

    def _unverified(self) -> tuple[str, ...]:
        return ()  # the deal's figures are the user's own

    # --- ValueStream -----------------------------------------------------------------------------

    def terms(self, view: View) -> Sequence[Term]:
        """Calls as for demand response, and a price on the kvar supplied."""
        out = list(super().terms(view)) if self.capacity_kw is not None else []
        if self.voltage is None:
            return out
        t, v = view.horizon, self.voltage
        on = self._in(t)
        if on.any() and v.usd_per_kvar_h:
            out.append(
                Payment(
                    self.name,
                    "voltage support",
                    Measure("kvar", reference_kw=believed("load_kvar", view)),
                    "each",
                    np.where(on, 0, -1).astype(np.int64),
                    (Block(0.0, 0.0), Block(v.kvar * t.step_h, -v.usd_per_kvar_h), Block(inf, 0.0)),
                    reason=f"kvar supplied up to {v.kvar:g}",
                )
            )
        return out

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """Calls, fixed price and kvar hours."""
        if self.capacity_kw is not None:
            lines = list(super().settle(record, world))
            yield from lines
            yield from self._calls(record.timeline, world)
        else:
            yield from self.cost_entries(record.timeline)
        yield from self._voltage(record, world)

    def _calls(self, t: Timeline, world: World) -> Iterator[Entry]:
        if not self.usd_per_call:
            return
        flag = happened(self.events, world, t.n) if isinstance(self.events, str) else None
        for c in self._told(self.rules(t), t, flag, None, None):
            yield self._entry(
                t, c, "events/call", 1.0, self.usd_per_call, self.usd_per_call, "a sum each call"
            )

    def _voltage(self, record: Record, world: World) -> Iterator[Entry]:
        if self.voltage is None:
            return
        t, v = record.timeline, self.voltage
        if record.net_kvar is None:
            raise DataError(
                f"{self.name}: voltage support is settled from metered kvar and the record holds none"
            )
        supplied = happened("load_kvar", world, t.n) - np.asarray(record.net_kvar)
        kvar_h = np.where(self._in(t), np.clip(supplied, 0.0, v.kvar), 0.0) * t.step_h
        names, index = month_names(t)
        for m, name in enumerate(names):
            amount = float(kvar_h[index == m].sum())
            if amount:
                yield Entry(
                    name,
                    self.layer,
                    self.name,
                    "voltage support",
                    self.counterparty,
                    amount,
                    "kvar h",
                    v.usd_per_kvar_h,
                    amount * v.usd_per_kvar_h,
                    certainty=self.certainty,
                    reason=f"kvar supplied against the site's own, up to {v.kvar:g}",
                )

    def _in(self, t: Timeline) -> np.ndarray[Any, np.dtype[np.bool_]]:
        assert self.voltage is not None
        return np.asarray(np.any([w.mask(t, self.days_off(t)) for w in self.voltage.windows], axis=0))
