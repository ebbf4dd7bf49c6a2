"""What a stacked study found: all layers in one plan, and what each of them is worth beside the others.

    Subset   one set of layers planned and settled by itself
    Stack    the plan of all layers, its money by layer and stream, and how the layers meet

Every figure in here is of a plan with perfect foresight and is labelled a bound; nothing here computes money.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from math import fsum
from typing import Any

from ..finding import Finding
from ..ledger import LAYERS, Ledger
from .result import Assumption, Case

REALISABLE_FRAC = (1.0, 0.8, 0.6)


@dataclass(frozen=True, slots=True, eq=False)
class Subset:
    """One set of layers, planned as if no other existed and settled by its own streams.

    by_stream: settled USD over the span by (layer, stream), the bill as its saving against before.
    operation_usd: wear, fuel and starts, <= 0; wear_usd: the wear in it, no cash in the span.
    """

    layers: tuple[int, ...]
    by_stream: Mapping[tuple[int, str], float]
    operation_usd: float
    wear_usd: float = 0.0

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
        }


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """All layers of a site in one plan, under the rules of `as_of`.

    case: settled from the plan's record; services in it are layers 2 to 4. subsets: every set of the layers that
    are there, by layers. shares_usd: Shapley value by layer, summing to the whole. refused: streams that the day's
    rules do not allow, each with the reason. extra: results of single rooms (reserve, survival, pro forma) by name,
    each with its own `to_dict`.
    """

    as_of: date
    case: Case
    services: Ledger
    subsets: Mapping[tuple[int, ...], Subset]
    shares_usd: Mapping[int, float]
    span_y: float
    refused: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    relaxed: tuple[str, ...] = ()
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
            "conflicts": list(self.conflicts),
            "relaxed": list(self.relaxed),
            "case": self.case.to_dict(),
            "assumptions": [a.to_dict() for a in self.assumptions],
            "findings": [f.to_dict() for f in self.findings],
            "tables": dict(self.tables),
            "extra": {k: v.to_dict() if hasattr(v, "to_dict") else asdict(v) for k, v in self.extra.items()},
        }
