"""What a sizing found: best sizes, options beside one another, a frontier, a specification sheet, what data are worth.

Nothing here computes money.

Every plan behind these figures knew the future: each figure of a saving or a present value is a bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from ..finding import Finding
from .result import BOUND_LABEL, Assumption

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """One set of assets at its sizes, planned with the future known and settled from that plan's record.

    sizes: by asset, with kw and kwh (kWh only of stores). capex_usd: None where no price is known. saving_usd_per_y: of
    the bill; services_usd_per_y: of all other layers; wear_usd_per_y, running_usd_per_y, om_usd_per_y: costs, >= 0.
    npv_usd by the pro forma, None without capex. peak_kw: billed site's highest load after. moved_kw, moved_kwh: most
    power taken off the load at once, energy moved in the year, of what moves load. enrolled_kw: the most that the plan
    sells of each service that takes awards, by 'stream/claim'. enrolment: the kW to enrol, one row a programme, where
    these were decided.
    """

    name: str
    sizes: Mapping[str, Mapping[str, float]]
    capex_usd: float | None
    saving_usd_per_y: float
    services_usd_per_y: float
    wear_usd_per_y: float
    running_usd_per_y: float
    om_usd_per_y: float
    npv_usd: float | None
    payback_y: float | None
    irr_frac: float | None
    peak_kw: float
    method: str
    how: str = ""
    vendor: str = ""
    enrolled_kw: Mapping[str, float] = field(default_factory=dict)
    moved_kw: float | None = None
    moved_kwh: float | None = None
    proved: bool = True
    enrolment: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    assets: tuple[Any, ...] = ()
    flow: Any = None
    run: Any = None

    @property
    def net_usd_per_y(self) -> float:
        """Bill saving and services less wear, running cost and upkeep, a year."""
        costs = self.wear_usd_per_y + self.running_usd_per_y + self.om_usd_per_y
        return self.saving_usd_per_y + self.services_usd_per_y - costs

    @property
    def npv_per_usd(self) -> float | None:
        """NPV for a dollar of capital; None without either."""
        if self.npv_usd is None or not self.capex_usd:
            return None
        return self.npv_usd / self.capex_usd

    @property
    def words(self) -> str:
        """The sizes in words."""
        out = []
        for name, size in self.sizes.items():
            parts = [f"{size['kw']:,.0f} kW"] if size.get("kw") is not None else []
            parts += [f"{size['kwh']:,.0f} kWh"] if size.get("kwh") is not None else []
            out.append(" / ".join(parts) if len(self.sizes) == 1 else f"{name} {' / '.join(parts)}".strip())
        return "; ".join(out) or "nothing"

    def row(self) -> dict[str, Any]:
        """One row of a table."""
        return {
            "option": self.name,
            "size": self.words,
            "capex_usd": self.capex_usd,
            "saving_usd_per_y": self.saving_usd_per_y,
            "other layers_usd_per_y": self.services_usd_per_y,
            "wear, upkeep, fuel_usd_per_y": self.wear_usd_per_y + self.running_usd_per_y + self.om_usd_per_y,
            "npv_usd": self.npv_usd,
            "npv per dollar": None if self.npv_per_usd is None else round(self.npv_per_usd, 3),
            "payback, years": None if self.payback_y is None else round(self.payback_y, 1),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name,
            "vendor": self.vendor,
            "sizes": {k: dict(v) for k, v in self.sizes.items()},
            "capex_usd": self.capex_usd,
            "saving_usd_per_y": self.saving_usd_per_y,
            "services_usd_per_y": self.services_usd_per_y,
            "wear_usd_per_y": self.wear_usd_per_y,
            "running_usd_per_y": self.running_usd_per_y,
            "om_usd_per_y": self.om_usd_per_y,
            "net_usd_per_y": self.net_usd_per_y,
            "npv_usd": self.npv_usd,
            "npv_per_usd": self.npv_per_usd,
            "payback_y": self.payback_y,
            "irr_frac": self.irr_frac,
            "peak_kw": self.peak_kw,
            "enrolled_kw": dict(self.enrolled_kw),
            "enrolment": [dict(r) for r in self.enrolment],
            "moved_kw": self.moved_kw,
            "moved_kwh": self.moved_kwh,
            "method": self.method,
            "how": self.how,
            "proved": self.proved,
            "status": BOUND_LABEL,
            "notes": list(self.notes),
        }


def ranked(options: Sequence[Outcome]) -> list[Outcome]:
    """By NPV for a dollar of capital, best first; without a price last."""
    return sorted(options, key=lambda o: (o.npv_per_usd is None, -(o.npv_per_usd or 0.0)))


@dataclass(frozen=True, slots=True, eq=False)
class Sizing:
    """All of it.

    best: the set of most NPV, None where nothing pays. optimum: the joint optimum of all sizes, whether it pays or not.
    alone: each asset by itself, and all together. vendors: options quoted. frontier: best sizes at given spends.
    next_units: value of the next kW and kWh. spec: rows of the specification sheet. granularity: rows by data. moving:
    moving load against buying a battery. enrolment: kW to enrol in each programme, beside each set of assets that was
    asked. reopt: outputs under REopt's names.
    """

    site: str
    meter: str
    as_of: date
    span_y: float
    before_usd_per_y: float
    optimum: Outcome | None
    best: Outcome | None
    alone: tuple[Outcome, ...]
    vendors: tuple[Outcome, ...] = ()
    frontier: tuple[Outcome, ...] = ()
    next_units: tuple[Mapping[str, Any], ...] = ()
    enrolment: tuple[Mapping[str, Any], ...] = ()
    spec: tuple[Mapping[str, Any], ...] = ()
    granularity: tuple[Mapping[str, Any], ...] = ()
    moving: Mapping[str, Any] | None = None
    prices: tuple[Mapping[str, Any], ...] = ()
    finance: Mapping[str, Any] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    assumptions: tuple[Assumption, ...] = ()
    findings: tuple[Finding, ...] = ()
    reopt: Mapping[str, Any] | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "site": self.site,
            "meter": self.meter,
            "as_of": self.as_of.isoformat(),
            "status": BOUND_LABEL,
            "span_y": self.span_y,
            "before_usd_per_y": self.before_usd_per_y,
            "sentences": list(self.sentences),
            "head": list(self.head),
            "best": None if self.best is None else self.best.to_dict(),
            "optimum": None if self.optimum is None else self.optimum.to_dict(),
            "options": [o.to_dict() for o in ranked(self.alone)],
            "vendors": [o.to_dict() for o in ranked(self.vendors)],
            "frontier": [o.to_dict() for o in self.frontier],
            "next_units": [dict(r) for r in self.next_units],
            "enrolment": [dict(r) for r in self.enrolment],
            "spec": [dict(r) for r in self.spec],
            "granularity": [dict(r) for r in self.granularity],
            "moving_or_buying": None if self.moving is None else dict(self.moving),
            "prices": [dict(r) for r in self.prices],
            "finance": dict(self.finance),
            "assumptions": [a.to_dict() for a in self.assumptions],
            "findings": [f.to_dict() for f in self.findings],
            "reopt": None if self.reopt is None else dict(self.reopt),
            "seconds": dict(self.seconds),
        }
