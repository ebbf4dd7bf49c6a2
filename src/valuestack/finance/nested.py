"""The investment under each nested set of layers: 1; 2 alone; 1 + 2; 1 to 3; 1 to 4, at 100, 80 and 60 % of dispatch.

Annual values come from plans with perfect foresight, so each figure is a bound until a simulation supplies its own
share of realised value; the lower shares stand in for that until then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import InputError
from .finance import Finance, Value
from .proforma import CashFlow, cash_flow

SETS: dict[str, tuple[int, ...]] = {
    "layer 1": (1,),
    "layer 2 alone": (2,),
    "layers 1-2": (1, 2),
    "layers 1-3": (1, 2, 3),
    "layers 1-4": (1, 2, 3, 4),
}
SHARES = (1.0, 0.8, 0.6)
BOUND = "perfect-foresight bound"


@dataclass(frozen=True, slots=True)
class Nested:
    """One set at one share of dispatch value."""

    name: str
    dispatch_share_frac: float
    first_year_usd: float
    npv_usd: float
    irr_frac: float | None
    payback_y: float | None
    label: str


@dataclass(frozen=True, slots=True)
class NestedSets:
    """Every set at every share. outages_per_y: the rate at which layer 2 alone is worth nothing (None where none does
    or no rate was given). cover_frac: by year, layer 1's value over running costs and debt service, at 100 %."""

    rows: tuple[Nested, ...]
    outages_per_y: float | None
    outages_given_per_y: float | None
    cover_frac: Mapping[int, float]
    notes: tuple[str, ...] = field(default=())

    def row(self, name: str, share_frac: float = 1.0) -> Nested:
        """One row."""
        return next(r for r in self.rows if r.name == name and r.dispatch_share_frac == share_frac)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "rows": [
                {
                    "set": r.name,
                    "dispatch_share_frac": r.dispatch_share_frac,
                    "first_year_usd": r.first_year_usd,
                    "npv_usd": r.npv_usd,
                    "irr_frac": r.irr_frac,
                    "payback_y": r.payback_y,
                    "label": r.label,
                }
                for r in self.rows
            ],
            "outages_per_y_at_zero": self.outages_per_y,
            "outages_given_per_y": self.outages_given_per_y,
            "cover_frac": dict(self.cover_frac),
            "notes": list(self.notes),
        }


def by_layers(values: Sequence[Value]) -> dict[str, tuple[Value, ...]]:
    """The nested sets out of one stacked plan's values: layers are cut off, nothing is planned anew. Layer 0, the cost
    of operation of the stacked plan, goes with every set that dispatches (all but layer 2 alone)."""
    return {
        name: tuple(v for v in values if v.layer in layers or (v.layer == 0 and name != "layer 2 alone"))
        for name, layers in SETS.items()
    }


def nested(
    finance: Finance,
    values_by_set: Mapping[str, Sequence[Value]],
    *,
    outages_per_y: float | None = None,
    realised_share_frac: float | None = None,
    shares_frac: Sequence[float] = SHARES,
) -> NestedSets:
    """NPV, IRR and payback of each set, as `by_layers` cuts it or from a plan of its own.

    values_by_set: by the names in SETS (any of them). outages_per_y: the rate that layer 2's value stands on.
    realised_share_frac: what a simulation found to be realised; its rows are then no bound.
    Errors: InputError for an unknown set.
    """
    stray = sorted(set(values_by_set) - set(SETS))
    if stray:
        raise InputError(f"nested: no set {', '.join(map(repr, stray))}; sets: {', '.join(SETS)}")
    shares = [*shares_frac] + ([realised_share_frac] if realised_share_frac is not None else [])
    rows = []
    for name in (n for n in SETS if n in values_by_set):
        for share in dict.fromkeys(shares):
            flow = flow_of(finance, values_by_set[name], share)
            label = BOUND if share == 1.0 else f"{share:.0%} of the bound's dispatch value, not simulated"
            if share == realised_share_frac:
                label = f"simulated: {share:.0%} of the bound's dispatch value is realised"
            rows.append(
                Nested(name, share, _first_year(flow), flow.npv_usd, flow.irr_frac, flow.payback_y, label)
            )
    zero = _outage_rate(finance, values_by_set.get("layer 2 alone"), outages_per_y)
    cover = _cover(finance, values_by_set.get("layer 1"))
    return NestedSets(tuple(rows), zero, outages_per_y, cover, _notes(values_by_set, outages_per_y))


def flow_of(finance: Finance, values: Sequence[Value], share: float = 1.0) -> CashFlow:
    """The pro forma of a set; plans for streams that the set leaves out are put aside."""
    names = {v.stream for v in values}
    kept = {k: p for k, p in finance.streams.items() if k in names}
    return cash_flow(finance.model_copy(update={"streams": kept}), values, dispatch_share_frac=share)


def _first_year(flow: CashFlow) -> float:
    return float(sum(v[1] for k, v in flow.lines.items() if k.startswith(("L", "host L"))))


def _outage_rate(
    finance: Finance, values: Sequence[Value] | None, outages_per_y: float | None
) -> float | None:
    """Rate at which layer 2 alone is worth nothing: its value is proportional to the rate, the rest is not."""
    if values is None or not outages_per_y or not any(v.layer == 2 and v.usd_per_y > 0 for v in values):
        return None

    def worth(scale: float) -> float:
        scaled = [
            Value(v.stream, v.layer, v.usd_per_y * scale, v.certainty) if v.layer == 2 else v for v in values
        ]
        return flow_of(finance, scaled, 1.0).project_npv_usd

    low, high = 0.0, 1.0
    if worth(low) >= 0:
        return 0.0
    while worth(high) < 0:
        low, high = high, high * 4
        if high > 1e9:
            return None
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if worth(middle) < 0 else (low, middle)
        if high - low < 1e-9 * high:
            break
    return high * outages_per_y


def _cover(finance: Finance, values: Sequence[Value] | None) -> dict[int, float]:
    """Layer 1's value over running costs, replacement and debt service, by year; years without cost left out."""
    if values is None:
        return {}
    flow = flow_of(finance, values, 1.0)
    value = np.sum([v for k, v in flow.lines.items() if k.startswith(("L1 ", "host L1 "))], axis=0)
    costs = -np.sum(
        [
            v
            for k, v in flow.lines.items()
            if k.startswith("running/") or k in ("replacement and augmentation", "interest", "principal")
        ],
        axis=0,
    )
    return {t: float(value[t] / costs[t]) for t in range(1, finance.analysis_years + 1) if costs[t] > 0}


def _notes(values_by_set: Mapping[str, Sequence[Value]], outages_per_y: float | None) -> tuple[str, ...]:
    out = [f"every figure at 100 % is a {BOUND}; no simulation has shown what share of it is realised"]
    if "layer 2 alone" in values_by_set and not outages_per_y:
        out.append("no outage rate is given; the rate at which layer 2 alone is worth nothing is not known")
    return tuple(out)
