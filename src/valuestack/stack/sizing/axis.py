"""A size to decide, and the best sizes found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from ...errors import InputError

Sizes = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Axis:
    """One size to decide. name: unique, such as 'battery.kwh'; lower, upper: its range; usd_per_unit: what a unit
    costs over the horizon, in the money of the objective."""

    name: str
    upper: float
    usd_per_unit: float
    lower: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.lower <= self.upper < inf or self.upper <= 0:
            raise InputError(
                f"{self.name}: a size from {self.lower:g} to {self.upper:g}; give a finite range above zero"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Sized:
    """The best sizes found.

    size: by axis. cost_usd: least cost over the horizon with the sizes' own cost in it; lower_bound_usd: no sizes and
    plan within the axes cost less. capacity_usd: the sizes' own cost. next_usd: by axis, what one more unit would
    save in operation over the horizon; empty where integers rule or a search found the sizes. method, why: how.
    proved: the gap asked for was reached. tried: sizes and cost that a search looked at.
    """

    size: Mapping[str, float]
    cost_usd: float
    lower_bound_usd: float
    capacity_usd: float
    method: str
    next_usd: Mapping[str, float] = field(default_factory=dict)
    proved: bool = True
    why: str = ""
    tried: tuple[tuple[Mapping[str, float], float], ...] = ()


def capacity_usd(axes: Sequence[Axis], size: Sizes) -> float:
    """What sizes cost over the horizon."""
    return float(sum(a.usd_per_unit * size[a.name] for a in axes))
