"""What a study found: the one thing that every report prints.

    Study   before, realised and bound, with audit, attribution, assumptions and findings
    Case    one way of running the site: bills and records by meter, wear by asset
    Wear, Payback, SizeGrid, Comparison, Assumption: its parts

All money in here was settled by a bill or an asset; nothing in this file computes a tariff.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import fsum
from typing import Any, Literal

import numpy as np

from ..dispatch import Record
from ..finding import Finding
from ..ledger import Change, Ledger, difference
from ..timeline import Kw, Timeline

BOUND_LABEL = "upper bound: perfect foresight, no controller can reach it"


@dataclass(frozen=True, slots=True)
class Assumption:
    """A default or a fact that the result stands on. verified: whether its source was checked."""

    what: str
    value: str = ""
    source: str = ""
    verified: bool = True
    where: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class MeterData:
    """One meter as the study saw it: timeline; load_kw native load (n,); before_kw net load with what is
    already there (n,); quality (n,) or None; audit, or None where the data are a load model; tariffs, the
    names of the versions in force; source, what the series was read from or made by."""

    name: str
    timeline: Timeline
    load_kw: Kw
    before_kw: Kw
    tariffs: tuple[str, ...]
    source: str = ""
    quality: np.ndarray[Any, Any] | None = None
    audit: Any = None


@dataclass(frozen=True, slots=True)
class WarrantyUse:
    """One meter of the warranty: used against limit over its term, at this case's yearly rate."""

    name: str
    used_per_y: float
    limit: float | None
    unit: str
    share_frac: float | None
    years_to_limit: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Wear:
    """What a case did to one store over the span.

    throughput_kwh: discharged at the meter. full_cycles: equivalent. price_usd_per_kwh: wear price the
    plan saw; priced_usd = price x throughput; counted_usd: by rainflow settlement; rounds: of the fixed
    point. fade_frac_per_y: capacity lost in the first year, cycling and calendar; None where no ageing model
    is set. findings: where the fade leaves the range in which its source was fitted. changes_per_day: of its metered
    power.
    """

    asset: str
    throughput_kwh: float
    full_cycles: float
    price_usd_per_kwh: float = 0.0
    priced_usd: float = 0.0
    counted_usd: float = 0.0
    rounds: int = 0
    fade_frac_per_y: float | None = None
    warranty: tuple[WarrantyUse, ...] = ()
    findings: tuple[Finding, ...] = ()
    changes_per_day: float = 0.0

    @property
    def difference_frac(self) -> float | None:
        """(priced - counted) / counted, None where nothing was counted."""
        return (self.priced_usd - self.counted_usd) / self.counted_usd if self.counted_usd else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "difference_frac": self.difference_frac}


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One way of running the site over the span.

    name: before, realised, bound or stacked; label: how it must be called wherever it is shown. bills: settled
    Bill by meter. records: Record by meter (net_kw, asset_kw, stored_kwh). operation: layer-0 entries (wear, fuel,
    starts). services: settled entries of layers 2 to 4. wear: by asset. method: who decided. seconds: CPU spent.
    """

    name: Literal["before", "realised", "bound", "stacked"]
    label: str
    bills: Mapping[str, Any]
    records: Mapping[str, Record]
    operation: Ledger = field(default_factory=Ledger)
    services: Ledger = field(default_factory=Ledger)
    wear: Mapping[str, Wear] = field(default_factory=dict)
    method: str = ""
    stored_change_kwh: float = 0.0
    seconds: float = 0.0

    @property
    def bill(self) -> Any:
        """The bill of the only meter; where there are several, name one: `case.bills[name]`."""
        if len(self.bills) == 1:
            return next(iter(self.bills.values()))
        raise ValueError(
            f"this site has {len(self.bills)} meters: use case.bills[name], one of {list(self.bills)}"
        )

    @property
    def record(self) -> Record:
        """The record of the only meter, or the sum over meters that share one timeline."""
        records = list(self.records.values())
        if len(records) == 1:
            return records[0]
        first = records[0].timeline
        if any(r.timeline != first for r in records):
            raise ValueError(
                f"meters with different timelines have no sum: use case.records[name], "
                f"one of {list(self.records)}"
            )
        return Record(
            timeline=first,
            net_kw=np.sum([r.net_kw for r in records], axis=0),
            asset_kw={k: v for r in records for k, v in r.asset_kw.items()},
            stored_kwh={k: v for r in records for k, v in r.stored_kwh.items()},
        )

    @property
    def ledger(self) -> Ledger:
        """The settled bill items of all meters."""
        out: tuple[Any, ...] = ()
        many = len(self.bills) > 1
        for meter, bill in self.bills.items():
            for e in bill.ledger:
                out += (_of_meter(e, meter) if many else e,)
        return Ledger(out)

    @property
    def bill_usd(self) -> float:
        """Amount due over the span, all meters [USD]."""
        return fsum(b.total_usd for b in self.bills.values())

    @property
    def wear_usd(self) -> float:
        """Wear counted over the span [USD], >= 0."""
        return -self.operation.total_usd

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without interval series."""
        return {
            "name": self.name,
            "label": self.label,
            "method": self.method,
            "bill_usd": self.bill_usd,
            "wear_usd": self.wear_usd,
            "stored_change_kwh": self.stored_change_kwh,
            "peak_kw": {m: float(r.net_kw.max()) for m, r in self.records.items()},
            "bills": {m: b.to_dict() for m, b in self.bills.items()},
            "operation": self.operation.to_list(),
            "services": self.services.to_list(),
            "wear": {k: w.to_dict() for k, w in self.wear.items()},
        }


def _of_meter(entry: Any, meter: str) -> Any:
    from dataclasses import replace

    return replace(entry, stream=f"{meter}: {entry.stream}")


@dataclass(frozen=True, slots=True)
class Payback:
    """Simple payback = capex / (saving a year - om). years None: never, and `reason` says why."""

    case: str
    capex_usd: float
    om_usd_per_y: float
    life_y: float | None
    saving_usd_per_y: float
    years: float | None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class SizeGrid:
    """Saving a year over power x energy. power_kw (p,), energy_kwh (e,) or energy_h; *_usd_per_y (p, e),
    NaN where not run. knee: (row, column) of the marked knee and why; capex_usd (p, e) or None."""

    asset: str
    power_kw: tuple[float, ...]
    energy_kwh: tuple[float, ...]
    bound_usd_per_y: np.ndarray[Any, Any]
    realised_usd_per_y: np.ndarray[Any, Any] | None = None
    knee: tuple[int, int] | None = None
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""

        def rows(a: np.ndarray[Any, Any] | None) -> list[list[float | None]] | None:
            return None if a is None else [[None if np.isnan(v) else float(v) for v in row] for row in a]

        return {
            "asset": self.asset,
            "power_kw": list(self.power_kw),
            "energy_kwh": list(self.energy_kwh),
            "bound_usd_per_y": rows(self.bound_usd_per_y),
            "realised_usd_per_y": rows(self.realised_usd_per_y),
            "knee": self.knee,
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class ChangeLimit:
    """The realised case under a limit of setpoint changes: net saving and what it loses to the case as it is [USD a
    year], changes of metered power a day, and how many setpoints a day the guard forced."""

    most_per_day: int
    saving_usd_per_y: float
    lost_usd_per_y: float
    changes_per_day: float
    forced_per_day: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class BridgeStep:
    """One part of a figure under the rules of then and of now; None where there is no then."""

    what: str
    then: float | None
    now: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A claim beside what was found: `claimed` (None where it gives no number), `then` and `now` of all layers in one
    plan under the rules of the claim's day and of today, `realised` and `bound` on the tariff, all in `unit`.
    steps: of what `then` and `now` are made, which they sum to; because: why the figures differ."""

    claim: str
    source: str
    what: str
    unit: str
    claimed: float | None
    realised: float | None = None
    bound: float | None = None
    because: tuple[str, ...] = ()
    then: float | None = None
    now: float | None = None
    steps: tuple[BridgeStep, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """What the assets of a site would have saved, honestly, and at most.

    head: sentences that must stand above every figure (unaudited, overridden, short or modelled data).
    saving = settled bill before - after [USD over the span]; `net` also takes off the wear counted.
    objective_usd, lower_bound_usd: of the bound's problem, all meters; span_y: length in years. stacks: all layers
    in one plan (report.stacked.Stack), under the rules of today and, where a claim is dated, of then. conflicts,
    relaxed: by meter, what the bound's requirements ask in vain and which limits gave way in its plan.
    """

    name: str
    site: Mapping[str, Any]
    meters: tuple[MeterData, ...]
    before: Case
    realised: Case
    bound: Case
    objective_usd: float
    lower_bound_usd: float
    span_y: float
    head: tuple[str, ...] = ()
    assumptions: tuple[Assumption, ...] = ()
    findings: tuple[Finding, ...] = ()
    payback: tuple[Payback, ...] = ()
    claims: tuple[Comparison, ...] = ()
    sizes: SizeGrid | None = None
    change_limits: tuple[ChangeLimit, ...] = ()
    stacks: tuple[Any, ...] = ()
    conflicts: tuple[tuple[str, Any], ...] = ()
    relaxed: tuple[tuple[str, Any], ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    def saving_usd(self, case: Case) -> float:
        """Bill before minus bill of `case` over the span [USD]."""
        return fsum((self.before.bill_usd, -case.bill_usd))

    def net_usd(self, case: Case) -> float:
        """Saving less the wear counted beyond that of `before` [USD over the span]."""
        return fsum((self.saving_usd(case), -case.wear_usd, self.before.wear_usd))

    @property
    def realised_saving_usd(self) -> float:
        """The headline: bill saving with only what could have been known [USD over the span]."""
        return self.saving_usd(self.realised)

    @property
    def bound_saving_usd(self) -> float:
        """Bill saving of the perfect-foresight bound [USD over the span]."""
        return self.saving_usd(self.bound)

    @property
    def capture_frac(self) -> float | None:
        """Realised over bound, both net of wear; None where the bound saves nothing, see `capture_reason`."""
        best = self.net_usd(self.bound)
        return self.net_usd(self.realised) / best if best > 0.005 else None

    @property
    def capture_reason(self) -> str:
        """Why there is no capture, or ''."""
        if self.capture_frac is not None:
            return ""
        return (
            f"even perfect foresight saves nothing (${self.net_usd(self.bound):,.2f} net of wear), "
            "so no share of it can be stated"
        )

    @property
    def gap_frac(self) -> float | None:
        """(upper - lower bound) / saving of the bound's problem; None where it saves nothing."""
        saving = self.net_usd(self.bound)
        gap = max(0.0, self.objective_usd - self.lower_bound_usd)
        return gap / saving if saving > 0.005 else None

    def changes(self, case: Case | None = None) -> list[Change]:
        """Attribution: settled items of `case` (default realised) against before, summing to the saving."""
        return difference(self.before.ledger, (case or self.realised).ledger)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; interval series are in the tables that a report writes."""
        return {
            "name": self.name,
            "head": list(self.head),
            "span_y": self.span_y,
            "site": dict(self.site),
            "realised_saving_usd": self.realised_saving_usd,
            "bound_saving_usd": self.bound_saving_usd,
            "realised_net_usd": self.net_usd(self.realised),
            "bound_net_usd": self.net_usd(self.bound),
            "capture_frac": self.capture_frac,
            "capture_reason": self.capture_reason,
            "gap_frac": self.gap_frac,
            "objective_usd": self.objective_usd,
            "lower_bound_usd": self.lower_bound_usd,
            "meters": [
                {
                    "name": m.name,
                    "timeline": m.timeline.to_dict(),
                    "tariffs": list(m.tariffs),
                    "source": m.source,
                    "peak_kw": float(m.before_kw.max()),
                    "energy_kwh": float(m.load_kw.sum() * m.timeline.step_h),
                }
                for m in self.meters
            ],
            "before": self.before.to_dict(),
            "realised": self.realised.to_dict(),
            "bound": self.bound.to_dict(),
            "changes": {
                c.name: [{**asdict(x), "usd": x.usd} for x in self.changes(c)]
                for c in (self.realised, self.bound)
            },
            "payback": [p.to_dict() for p in self.payback],
            "claims": [c.to_dict() for c in self.claims],
            "sizes": None if self.sizes is None else self.sizes.to_dict(),
            "change_limits": [x.to_dict() for x in self.change_limits],
            "stacks": [s.to_dict() for s in self.stacks],
            "conflicts": [{"meter": meter, **asdict(c)} for meter, c in self.conflicts],
            "relaxed": [{"meter": meter, **asdict(r)} for meter, r in self.relaxed],
            "assumptions": [a.to_dict() for a in self.assumptions],
            "findings": [f.to_dict() for f in self.findings],
            "seconds": dict(self.seconds),
        }
