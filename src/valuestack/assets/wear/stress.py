"""How much of its life a cycle of a given depth costs a cell, as dated data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from importlib.resources import files
from itertools import pairwise
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...errors import InputError, UnknownKind
from ...timeline import Kw
from .rainflow import Cycles


class Curve(BaseModel):
    """Capacity left after cycles of one depth: cycles ascending from 0, capacity_frac of the same length."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    depth_frac: float = Field(gt=0, le=1)
    cycles: tuple[float, ...] = Field(min_length=2)
    capacity_frac: tuple[float, ...]

    @model_validator(mode="after")
    def _ascending(self) -> Curve:
        if len(self.cycles) != len(self.capacity_frac) or self.cycles[0] != 0 or not _rises(self.cycles):
            raise ValueError(
                f"curve of depth {self.depth_frac:g}: cycles must rise from 0, one capacity each"
            )
        return self


class Stress(BaseModel):
    """Life used by one cycle of depth d (0..1): Phi(d) = coefficient x d^exponent.

    name, chemistry, source, source_date, verified: provenance. end_of_life_frac: capacity left at Phi = 1.
    calendar: SAM's k model (a [1/sqrt(day)], b [K], c [K], q0), see fade.py. curves: measured capacity against
    cycles by rising depth; where given, fade follows them and Phi only prices. temperature_c, depth_frac:
    range in which the source fitted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    chemistry: str
    coefficient: float = Field(gt=0)
    exponent: float = Field(ge=1)
    end_of_life_frac: float = Field(default=0.8, gt=0, lt=1)
    calendar: dict[str, float] | None = None
    curves: tuple[Curve, ...] = ()
    temperature_c: tuple[float, float] | None = None
    depth_frac: tuple[float, float] | None = None
    source: str
    source_date: date | None = None
    verified: bool
    note: str = ""

    @model_validator(mode="after")
    def _by_depth(self) -> Stress:
        if self.curves and not _rises([c.depth_frac for c in self.curves]):
            raise ValueError("curves: depths must rise")
        return self

    def life_frac(self, depth_frac: Any) -> Kw:
        """Phi(d), shape of d."""
        return np.asarray(self.coefficient * np.asarray(depth_frac, dtype=float) ** self.exponent)

    def life_used_frac(self, cycles: Cycles) -> float:
        """Sum of n Phi(depth) over counted cycles of state of charge."""
        return float((cycles.count * self.life_frac(np.clip(cycles.range_, 0.0, 1.0))).sum())

    def segments(
        self, n: int, replacement_usd_per_kwh: float, discharge_efficiency_frac: float
    ) -> tuple[tuple[float, float], ...]:
        """Depth segments and the wear price of a kWh delivered from each.

        c_j = R / eta_d x J x [Phi(j/J) - Phi((j-1)/J)]. Xu, Zhao, Zheng, Litvinov, Kirschen, IEEE Trans. Power
        Systems 33 (2018) 1131, arXiv 1707.04567. Worked: R = 300, eta_d = 0.95, J = 4 and Phi = 5.24e-4 d^2.03
        give 0.040, 0.122, 0.207 and 0.293 USD/kWh. Where depth does not matter (exponent 1) one segment says it all.
        """
        n = 1 if self.exponent == 1 else n
        edges = self.life_frac(np.arange(n + 1) / n)
        price = replacement_usd_per_kwh / discharge_efficiency_frac * n * np.diff(edges)
        return tuple((1.0 / n, float(p)) for p in price)


def _rises(values: Sequence[float]) -> bool:
    return all(a < b for a, b in pairwise(values))


def stresses() -> list[str]:
    """Names of the shipped stress functions."""
    folder = files("valuestack").joinpath("data", "wear")
    return sorted(f.name.removesuffix(".json") for f in folder.iterdir() if f.name.endswith(".json"))


def load_stress(name: str, where: str = "wear model") -> Stress:
    """The shipped stress function `name`."""
    if name not in stresses():
        raise UnknownKind("wear model", name, stresses(), where=where)
    text = files("valuestack").joinpath("data", "wear", f"{name}.json").read_text(encoding="utf-8")
    try:
        return Stress.model_validate(json.loads(text))
    except ValidationError as e:
        raise InputError.collect(
            f"data/wear/{name}.json", [f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in e.errors()]
        ) from e
