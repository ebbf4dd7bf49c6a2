"""A cold store of two nodes, air and product, that writes its own rows.

    air[t+1]  = air[t]  + h (a (outside - air) + b (product - air) - cop_a p)
    prod[t+1] = prod[t] + h c (air - prod)            lumped capacities, first order, explicit step
with both temperatures inside their windows; the compressor's power p is the decision.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tests.kinds.case import Case, FlatRate, world
from valuestack.dispatch import Record, View, World
from valuestack.flows import Backup, Custom, Offer
from valuestack.ledger import Entry
from valuestack.solve.problem import Affine, Problem
from valuestack.timeline import Kw

OUTSIDE_C, A_PER_H, B_PER_H, C_PER_H, COOLING_C_PER_KWH = 20.0, 0.05, 0.3, 0.1, 0.08


@dataclass
class ColdStore:
    kind: ClassVar[str] = "cold_store"
    name: str = "cold store"

    def initial_state(self) -> Any:
        return (-20.0, -20.0)

    def belief(self, view: View) -> Offer:
        air0, product0 = view.asset_state[self.name]

        def formulate(problem: Problem, step_h: float) -> Any:
            n = view.n
            power = problem.add_columns(f"{self.name}.power", n, owner=self.name, upper=60.0)
            air = problem.add_columns(f"{self.name}.air", n, owner=self.name, lower=-24.0, upper=-18.0)
            product = problem.add_columns(
                f"{self.name}.product", n, owner=self.name, lower=-22.0, upper=-18.0
            )
            shift = np.concatenate((np.arange(1, n), [-1]))
            was_air = Affine.of(air).gather(shift, n).plus(np.eye(n)[0] * air0)
            was_product = Affine.of(product).gather(shift, n).plus(np.eye(n)[0] * product0)
            warmer = was_air.times(-A_PER_H - B_PER_H).plus(A_PER_H * OUTSIDE_C) + was_product.times(B_PER_H)
            gain = warmer - Affine.of(power, COOLING_C_PER_KWH)
            problem.add_rows(
                f"{self.name}.air",
                Affine.of(air) - was_air - gain.times(step_h),
                owner=self.name,
                lower=0.0,
                upper=0.0,
            )
            change = (was_air - was_product).times(C_PER_H * step_h)
            problem.add_rows(
                f"{self.name}.product",
                Affine.of(product) - was_product - change,
                owner=self.name,
                lower=0.0,
                upper=0.0,
            )
            return power

        return Custom(self.name, formulate)

    def step(self, state: Any, setpoint_kw: Kw, world: World, k: int) -> tuple[Any, Kw]:
        air, product = state
        h = world.timeline.step_h
        next_air = air + h * (
            A_PER_H * (OUTSIDE_C - air) + B_PER_H * (product - air) - COOLING_C_PER_KWH * setpoint_kw
        )
        return (next_air, product + h * C_PER_H * (air - product)), setpoint_kw

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        return ()

    def backup(self, state: Any) -> Backup | None:
        return None


def case() -> Case:
    return Case(
        world([10, 10, 10, 10]), [FlatRate(usd_per_kwh=(0.1, 0.1, 0.5, 0.5), usd_per_kw=0.2)], [ColdStore()]
    )
