"""What a simulation found: the one thing that its page, workbook, JSON and terminal print. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..timeline import Kw

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which method to take. margin_usd_per_y: mean of the paired difference to the second, error_usd its standard
    error; wins_frac: futures in which it is ahead. flips: what would change the answer. sure: the margin is above
    twice its error."""

    best: str
    second: str
    margin_usd_per_y: float
    error_usd: float
    wins_frac: float
    sure: bool
    sentence: str
    flips: tuple[str, ...] = ()

    @property
    def turned(self) -> tuple[str, ...]:
        """What would turn the answer round, in sentences."""
        return tuple(f"It would be the other way round if {f}." for f in self.flips) or (
            "Nothing that was drawn would turn it round, nor any layer's money or wear's price up to five times "
            "what it is.",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "best": self.best,
            "second": self.second,
            "margin_usd_per_y": self.margin_usd_per_y,
            "error_usd": self.error_usd,
            "wins_frac": self.wins_frac,
            "sure": self.sure,
            "sentence": self.sentence,
            "flips": list(self.flips),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """Outcome of the futures of a site under its policies.

    net_usd_per_y, npv_usd: (futures,) by policy, paired by future; npv empty where no pro forma is known. outcomes,
    convergence, tornado, layers, streams, concentration, base, stress, risk: rows as a person reads them, each of a
    policy. head: what must stand above every figure; methods: how each figure was made; partial: not all futures yet.
    """

    site: str
    what: str
    futures: int
    asked: int
    seed: int
    as_of: str
    policies: tuple[str, ...]
    names: Mapping[str, str]
    head: tuple[str, ...]
    net_usd_per_y: Mapping[str, Kw]
    npv_usd: Mapping[str, Kw]
    outcomes: Rows
    convergence: Rows
    tornado: Rows
    layers: Rows
    streams: Rows
    concentration: Rows
    base: Rows
    stress: Rows
    risk: Rows
    verdict: Verdict | None
    inputs: Rows
    methods: tuple[str, ...]
    assumptions: tuple[str, ...] = ()
    cpu_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def partial(self) -> bool:
        """Whether some of the futures are still to come."""
        return self.futures < self.asked

    def tables(self) -> dict[str, Rows]:
        """Every table by its title, in the order of the page."""
        return {
            "Outcome": self.outcomes,
            "Base layers": self.base,
            "Layers": self.layers,
            "Streams": self.streams,
            "Drivers": self.tornado,
            "Concentration": self.concentration,
            "Stress": self.stress,
            "Key risks": self.risk,
            "Convergence": self.convergence,
            "What differs between futures": self.inputs,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "site": self.site,
            "what": self.what,
            "futures": self.futures,
            "asked": self.asked,
            "seed": self.seed,
            "as_of": self.as_of,
            "policies": [{"kind": k, "name": self.names[k]} for k in self.policies],
            "head": list(self.head),
            "verdict": None if self.verdict is None else self.verdict.to_dict(),
            "outcomes": [dict(r) for r in self.outcomes],
            "convergence": [dict(r) for r in self.convergence],
            "tornado": [dict(r) for r in self.tornado],
            "layers": [dict(r) for r in self.layers],
            "streams": [dict(r) for r in self.streams],
            "concentration": [dict(r) for r in self.concentration],
            "base": [dict(r) for r in self.base],
            "stress": [dict(r) for r in self.stress],
            "risk": [dict(r) for r in self.risk],
            "net_usd_per_y": {k: np.asarray(v).tolist() for k, v in self.net_usd_per_y.items()},
            "npv_usd": {k: np.asarray(v).tolist() for k, v in self.npv_usd.items()},
            "inputs": [dict(r) for r in self.inputs],
            "methods": list(self.methods),
            "assumptions": list(self.assumptions),
            "cpu_s": dict(self.cpu_s),
        }
