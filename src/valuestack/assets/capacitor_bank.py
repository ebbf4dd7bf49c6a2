"""Capacitor bank: switched steps that take reactive power off the meter, at the price of small losses.

    Q = sum of the steps switched on [kvar, given],   loss = Q x loss_kw_per_kvar [kW, drawn]

An automatic bank follows the load's kvar by a rule (the most that its steps can give without turning the sign),
so that it is no decision; a planned one is switched by the plan (integers), against a tariff that measures kvar.
Source of the rule: automatic power-factor controllers step by step to a target without over-correction, IEEE Std
1036 (guide for the application of shunt power capacitors).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from ..dispatch import Record, View, World
from ..errors import DataError
from ..flows import Backup, Custom, Formulated, Given
from ..ledger import Entry
from ..solve.problem import Affine, Problem
from ..timeline import Kw


class CapacitorBank(BaseModel):
    """A bank of capacitors in steps.

    steps_kvar: rating of each step at the site's voltage. control: 'automatic' follows the load's kvar, 'planned' is
    switched by the plan, 'fixed' is always on. loss_kw_per_kvar: drawn while on. leading_kvar: how far below zero an
    automatic bank may bring the meter. capex_usd_per_kvar, om_usd_per_y: for pay-back.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: ClassVar[str] = "capacitor_bank"
    name: str = "capacitor_bank"
    steps_kvar: tuple[float, ...] = Field(min_length=1, max_length=12)
    control: Literal["automatic", "planned", "fixed"] = "automatic"
    loss_kw_per_kvar: float = Field(default=0.0005, ge=0, le=0.02)
    leading_kvar: float = Field(default=0.0, ge=0)
    capex_usd_per_kvar: float = Field(default=0.0, ge=0)
    om_usd_per_y: float = Field(default=0.0, ge=0)
    source: str = ""
    _kept: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> CapacitorBank:
        bad = [s for s in self.steps_kvar if s <= 0]
        if bad:
            raise ValueError(f"steps_kvar: {bad} should all be above 0")
        if self.control == "planned" and self.loss_kw_per_kvar == 0:
            raise ValueError(
                "loss_kw_per_kvar: a planned bank is known at the meter by its losses; give them"
            )
        return self

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Defaults taken."""
        out = []
        if "loss_kw_per_kvar" not in self.model_fields_set:
            out.append(
                f"{self.name}: losses of {self.loss_kw_per_kvar * 1000:g} W per kvar by habit of the trade, "
                "not verified"
            )
        out.append(
            f"{self.name}: gives its rated kvar at any voltage; harmonics and resonance are not looked at"
        )
        return tuple(out)

    @property
    def levels_kvar(self) -> Kw:
        """What the steps can give together, ascending from 0."""
        sums = {
            round(float(np.dot(on, self.steps_kvar)), 9)
            for on in product((0, 1), repeat=len(self.steps_kvar))
        }
        return np.array(sorted(sums))

    def given_kvar(self, load_kvar: Kw) -> Kw:
        """What a bank that is not planned gives against a load's kvar, same shape."""
        if self.control == "fixed":
            return np.full_like(np.asarray(load_kvar, dtype=float), sum(self.steps_kvar))
        levels = self.levels_kvar
        at = np.searchsorted(levels, np.asarray(load_kvar) + self.leading_kvar + 1e-9, side="right") - 1
        return np.asarray(levels[np.maximum(at, 0)])

    # --- Asset -----------------------------------------------------------------------------------

    def initial_state(self) -> None:
        """Nothing is remembered."""
        return

    def _load_kvar(self, series: Any) -> Kw:
        try:
            return np.asarray(series("load_kvar"), dtype=float)
        except DataError as e:
            raise DataError(
                f"{self.name}: the site's kvar is not known, so nothing can be said of a capacitor bank; meter it, or "
                "give facts.power_factor_frac"
            ) from e

    def belief(self, view: View) -> Given | Custom:
        """What it gives; where it is planned, the choice of its steps."""
        if self.control == "planned":

            def formulate(problem: Problem, step_h: float) -> Formulated:
                total = Affine(np.zeros(view.n))
                for j, rating in enumerate(self.steps_kvar):
                    cols = problem.add_columns(
                        f"{self.name}.step {j}", view.n, owner=self.name, upper=1.0, integer=True
                    )
                    total = total + Affine.of(cols, rating)
                return Formulated(total.times(self.loss_kw_per_kvar), kvar=total.times(-1.0))

            return Custom(self.name, formulate)
        load = self._load_kvar(view.series)
        kvar = self.given_kvar(load[0] if load.ndim == 2 else load)
        return Given(self.name, kvar * self.loss_kw_per_kvar, kvar=-kvar)

    def step(self, state: Any, setpoint_kw: Kw, world: World, k: int) -> tuple[Any, Kw]:
        """Its losses; a planned bank's setpoint is the losses of the steps that the plan has on."""
        most = sum(self.steps_kvar) * self.loss_kw_per_kvar
        if self.control == "planned":
            return state, np.clip(setpoint_kw, 0.0, most)
        kvar = self.given_kvar(self._load_kvar(world.__getitem__)[..., k])
        return state, np.broadcast_to(kvar * self.loss_kw_per_kvar, np.shape(setpoint_kw)).astype(float)

    def drawn_kvar(self, power_kw: Kw) -> Kw:
        """Vars drawn (below zero = given) at losses of power_kw: a planned bank is known by what it loses."""
        if self.loss_kw_per_kvar == 0:
            return np.zeros_like(power_kw)
        return np.asarray(-power_kw / self.loss_kw_per_kvar)

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """No cost of operation: its losses and what it saves are on the bill."""
        return []

    def backup(self, state: Any) -> Backup | None:
        """Nothing: it gives no power."""
        return None

    def with_steps(self, steps_kvar: tuple[float, ...]) -> CapacitorBank:
        """The same bank with other steps."""
        return CapacitorBank.model_validate({**self.model_dump(), "steps_kvar": steps_kvar})

    @property
    def capex_usd(self) -> float:
        """Price of the bank."""
        return sum(self.steps_kvar) * self.capex_usd_per_kvar
