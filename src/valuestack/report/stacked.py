"""What a stacked study found: all layers in one plan, and what each of them is worth beside the others.

    Subset   one set of layers planned and settled by itself
    Stack    the plan of all layers, its money by layer and stream, and how the layers meet

Every figure in here is of a plan with perfect foresight and is labelled a bound; nothing here computes money.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from math import fsum
from typing import Any

from ..finding import Finding
from ..ledger import LAYERS, Ledger
from ..stack.attribution import cents
from ..stack.clashes import Clash
from ..stack.cycling import Cycling
from ..stack.elastic import Relaxation
from .result import Assumption, Case

REALISABLE_FRAC = (1.0, 0.8, 0.6)


@dataclass(frozen=True, slots=True)
class ItemShare:
    """One settled item's part of a layer's Shapley share, USD over the span to the cent.

    layer: whose share. of_layer, stream, item: whose money; of_layer = layer is the layer's own, 0 wear, fuel and
    starts, any other what the layer's being in the plan moves there. settled_usd: what the item comes to in the plan
    of all layers, for the layer's own items.
    """

    layer: int
    of_layer: int
    stream: str
    item: str
    share_usd: float
    settled_usd: float | None = None

    @property
    def own(self) -> bool:
        """Whether it is money of the layer itself."""
        return self.layer == self.of_layer


@dataclass(frozen=True, slots=True, eq=False)
class Subset:
    """One set of layers, planned as if no other existed and settled by its own streams.

    by_stream: settled USD over the span by (layer, stream), the bill as its saving against before.
    operation_usd: wear, fuel and starts, <= 0; wear_usd: the wear in it, no cash in the span. by_item: the same money
    by (layer, stream, item). gap_usd, gap_frac: how far its plans may be from the best ones, None where that is not
    known; proved: within the gap that was asked for. relaxed: limits that gave way. plan_of: what stands for its
    plan, where time ran out before it had its own.
    """

    layers: tuple[int, ...]
    by_stream: Mapping[tuple[int, str], float]
    operation_usd: float
    wear_usd: float = 0.0
    by_item: Mapping[tuple[int, str, str], float] = field(default_factory=dict)
    gap_usd: float | None = 0.0
    gap_frac: float | None = 0.0
    proved: bool = True
    relaxed: int = 0
    plan_of: str = ""

    @property
    def total_usd(self) -> float:
        """Value of the set over the span, net of the cost of operation."""
        return fsum((*self.by_stream.values(), self.operation_usd))

    def layer_usd(self, layer: int) -> float:
        """Settled money of one layer over the span."""
        return fsum(v for (at, _), v in self.by_stream.items() if at == layer)

    @property
    def name(self) -> str:
        """'layers 1 + 3'."""
        return "layers " + " + ".join(map(str, self.layers)) if self.layers else "nothing"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "layers": list(self.layers),
            "total_usd": self.total_usd,
            "operation_usd": self.operation_usd,
            "by_stream": [{"layer": k[0], "stream": k[1], "usd": v} for k, v in self.by_stream.items()],
            "gap_usd": self.gap_usd,
            "gap_frac": self.gap_frac,
            "proved": self.proved,
            "limits_relaxed": self.relaxed,
            "plan_of": self.plan_of,
        }


def clash_rows(found: Sequence[tuple[str, Clash]]) -> list[dict[str, Any]]:
    """What cannot be had, found before solving: by meter, owners and time."""
    return [
        {
            "meter": meter,
            "what": c.what,
            "owners": list(c.owners),
            "requirement": c.name,
            "first_at": c.when,
            "intervals": c.intervals,
            "no_plan_while_it_stands": c.binding,
            "remedy": c.remedy,
        }
        for meter, c in found
    ]


def relaxed_rows(found: Sequence[tuple[str, Relaxation]]) -> list[dict[str, Any]]:
    """What gave way so that there is a plan: by meter and owner, dearest first. The prices are no money."""
    return [
        {
            "meter": meter,
            "owner": r.owner,
            "limit": r.limit,
            "amount": r.amount,
            "unit": r.unit,
            "most_at_once": r.most,
            "first_at": r.when,
            "intervals": r.intervals,
            "stated_price_per_unit": r.usd_per_unit,
        }
        for meter, r in found
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """All layers of a site in one plan, under the rules of `as_of`.

    case: settled from the plan's record; services in it are layers 2 to 4. subsets: every set of the layers that
    are there, by layers. shares_usd: Shapley value by layer, summing to the whole; items: of what each share is made,
    summing to it to the cent. refused: streams that the day's rules do not allow, each with the reason. conflicts:
    requirements that cannot be met, found before solving; relaxed: limits that gave way in the plan, both by meter.
    cycling: by store, what one more cycle a year earns and wears. extra: results of single rooms
    (reserve, survival, inventory, pro forma) by name, each with its own `to_dict`.
    """

    as_of: date
    case: Case
    services: Ledger
    subsets: Mapping[tuple[int, ...], Subset]
    shares_usd: Mapping[int, float]
    span_y: float
    refused: tuple[str, ...] = ()
    conflicts: tuple[tuple[str, Clash], ...] = ()
    relaxed: tuple[tuple[str, Relaxation], ...] = ()
    items: tuple[ItemShare, ...] = ()
    cycling: Mapping[str, Cycling] = field(default_factory=dict)
    assumptions: tuple[Assumption, ...] = ()
    findings: tuple[Finding, ...] = ()
    tables: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that the site has."""
        return max(self.subsets, key=len) if self.subsets else ()

    @property
    def whole(self) -> Subset:
        """The set of all layers."""
        return self.subsets[self.layers]

    @property
    def singles_usd(self) -> float:
        """Sum of what each layer is worth by itself."""
        return fsum(self.subsets[(layer,)].total_usd for layer in self.layers)

    @property
    def synergy_usd(self) -> float:
        """Stacked value less the sum of single layers: positive = synergy, negative = conflict."""
        return self.whole.total_usd - self.singles_usd

    @property
    def cent_shares_usd(self) -> dict[int, float]:
        """Shapley value by layer over the span in whole cents that sum to the whole in whole cents."""
        parts = cents([self.shares_usd[k] for k in self.layers], self.whole.total_usd)
        return dict(zip(self.layers, parts, strict=True))

    def layer_rows(self) -> list[dict[str, Any]]:
        """Each layer of the stacked plan: settled USD a year, alone, its Shapley share."""
        per_y = 1.0 / self.span_y
        return [
            {
                "layer": layer,
                "name": LAYERS[layer],
                "usd_per_y": self.whole.layer_usd(layer) * per_y,
                "alone_usd_per_y": self.subsets[(layer,)].total_usd * per_y,
                "share_usd_per_y": self.shares_usd[layer] * per_y,
            }
            for layer in self.layers
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "as_of": self.as_of.isoformat(),
            "status": "bound: perfect foresight",
            "span_y": self.span_y,
            "layers": self.layer_rows(),
            "total_usd": self.whole.total_usd,
            "singles_usd": self.singles_usd,
            "synergy_usd": self.synergy_usd,
            "subsets": [s.to_dict() for s in self.subsets.values()],
            "shares_usd": {str(k): v for k, v in self.shares_usd.items()},
            "refused": list(self.refused),
            "conflicts": clash_rows(self.conflicts),
            "relaxed": relaxed_rows(self.relaxed),
            "items": [asdict(i) for i in self.items],
            "cycling": {k: c.to_dict() for k, c in self.cycling.items()},
            "case": self.case.to_dict(),
            "assumptions": [a.to_dict() for a in self.assumptions],
            "findings": [f.to_dict() for f in self.findings],
            "tables": dict(self.tables),
            "extra": {k: v.to_dict() if hasattr(v, "to_dict") else asdict(v) for k, v in self.extra.items()},
        }
