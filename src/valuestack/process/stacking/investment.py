"""The investment behind a stacked plan: cash flow, and every nested set of layers, from settled sets.

Annual values are those of the settled sets of layers, so a set that was planned without the others brings what it
would bring alone. Wear is left out of them: over the years it is replacement, which the pro forma buys by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...finance.finance import CapexItem, Finance, RunningCost, Value
from ...finance.nested import SETS, NestedSets, flow_of, nested
from ...finance.proforma import CashFlow, cash_flow
from ...finance.risk import Base, base_layers
from ...report.stacked import Stack, Subset


@dataclass(frozen=True, slots=True, eq=False)
class Investment:
    """Cash flow of the whole stack (a bound), nested sets, and whether the base layers carry it."""

    flow: CashFlow
    sets: NestedSets
    base: Base | None
    certainty: Mapping[str, str] = field(default_factory=dict)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a person reads first."""
        f = self.flow
        irr = (
            "no internal rate of return"
            if f.irr_frac is None
            else f"an internal rate of return of {f.irr_frac:.1%}"
        )
        pays = "does not pay back" if f.payback_y is None else f"pays back in {f.payback_y:.1f} years"
        out = [
            f"If every year brought what the bound of all layers brings: NPV "
            f"{'-' if f.npv_usd < 0 else ''}${abs(f.npv_usd):,.0f} at "
            f"{f.finance.nominal:.2%} nominal over {f.finance.analysis_years} years, {irr}; it {pays}. A "
            "perfect-foresight bound, as is every figure of this section that does not say otherwise."
        ]
        if self.base is not None:
            out.append(("" if self.base.passes else "WARNING: ") + self.base.verdict + ".")
        return (*out, *self.sets.notes)

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Nested sets, the year table, and who gets what."""
        sets = [
            {
                "set": r.name,
                "dispatch": f"{r.dispatch_share_frac:.0%}",
                "first year_usd": r.first_year_usd,
                "npv_usd": r.npv_usd,
                "irr_frac": r.irr_frac,
                "payback_y": None if r.payback_y is None else round(r.payback_y, 1),
                "label": r.label,
            }
            for r in self.sets.rows
        ]
        years = [
            {"line": row["line"], **{f"{k}_usd": v for k, v in enumerate(row["usd"])}}
            for row in self.flow.rows()
        ]
        shares = [{"party": k, "present value_usd": v} for k, v in self.flow.shares().items()]
        return {
            "NPV, IRR and payback of every nested set (bounds)": sets,
            "Cash flow by year, nominal USD": years,
            "Who gets what": shares,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "cash_flow": self.flow.to_dict(),
            "sets": self.sets.to_dict(),
            "base": None
            if self.base is None
            else {"npv_usd": self.base.npv_usd, "passes": self.base.passes, "verdict": self.base.verdict},
        }


def with_controls(finance: Finance, assets: Sequence[Any]) -> Finance:
    """The pro forma with what assets themselves say that their controls cost to buy and to keep up, where it names no
    item of its own for that: an asset's name or 'controls of NAME' in capex, 'upkeep of NAME' in running."""
    capex, running = list(finance.capex), list(finance.running)
    bought, kept = {c.name for c in capex}, {r.name for r in running}
    for a in assets:
        usd, om = (float(getattr(a, k, 0.0)) for k in ("control_capex_usd", "control_om_usd_per_y"))
        if usd and not {a.name, f"controls of {a.name}"} & bought:
            capex.append(CapexItem(name=f"controls of {a.name}", usd=usd))
        if om and f"upkeep of {a.name}" not in kept:
            running.append(RunningCost(name=f"upkeep of {a.name}", usd_per_y=om))
    return finance.model_copy(update={"capex": tuple(capex), "running": tuple(running)})


def values_of(subset: Subset, stack: Stack) -> list[Value]:
    """What a settled set of layers brings a year, by stream."""
    sure = certainty_of(stack)
    per_y = 1.0 / stack.span_y
    out = [
        Value(stream, layer, usd * per_y, sure.get(stream, "contractual" if layer == 1 else "market"))
        for (layer, stream), usd in subset.by_stream.items()
    ]
    running = subset.operation_usd - subset.wear_usd
    if abs(running) > 0.005:
        out.append(Value("fuel, starts and upkeep", 0, running * per_y, "metered"))
    return out


def certainty_of(stack: Stack) -> dict[str, str]:
    """Certainty of each stream, by its largest entry."""
    best: dict[str, tuple[float, str]] = {}
    for e in stack.services:
        if abs(e.usd) > best.get(e.stream, (-1.0, ""))[0]:
            best[e.stream] = (abs(e.usd), e.certainty)
    return {k: v[1] for k, v in best.items()}


def investment(finance: Finance, stack: Stack, outages_per_y: float | None = None) -> Investment:
    """Pro forma of the stack and of every nested set that the site has."""
    there = set(stack.layers)
    by_set: dict[str, list[Value]] = {}
    for name, layers in SETS.items():
        if set(layers) <= there or (
            name.startswith("layers") and there & set(layers) and max(layers) in there
        ):
            key = tuple(sorted(there & set(layers)))
            by_set[name] = values_of(stack.subsets[key], stack)
    whole = values_of(stack.whole, stack)
    flow = cash_flow(finance, whole)
    base_key = tuple(sorted(there & {1, 2}))
    base = None
    if base_key:
        base = base_layers(flow_of(finance, values_of(stack.subsets[base_key], stack)).npv_usd, whole)
    return Investment(flow, nested(finance, by_set, outages_per_y=outages_per_y), base, certainty_of(stack))
