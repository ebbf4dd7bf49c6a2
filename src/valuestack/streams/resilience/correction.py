"""Power-factor correction: vars of an inverter that is there, against a capacitor bank that is bought.

To lift a load of P from cos phi_1 to cos phi_2 takes Qc = P (tan phi_1 - tan phi_2). What it saves is the difference
of two bills; which clause bills power factor is the tariff's matter, so a bill comes as a callable bill_usd(kw, kvar).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import acos, inf, sqrt, tan

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ...errors import InputError
from ...timeline import Kw

BillUsd = Callable[[Kw, Kw], float]
LIKELY_ORDERS = (5, 7, 11, 13)  # of six-pulse rectifiers
NEAR = 0.1  # of an order: so near to it a bank resonates


class BankPrice(BaseModel):
    """A switched bank that can be bought: steps of step_kvar, never over-correcting by a step. capex_usd and
    capex_usd_per_kvar, om_usd_per_kvar_y; loss_frac of its kvar is lost as kW while it is on."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    step_kvar: float = Field(gt=0)
    capex_usd_per_kvar: float = Field(ge=0)
    capex_usd: float = Field(default=0.0, ge=0)
    om_usd_per_kvar_y: float = Field(default=0.0, ge=0)
    loss_frac: float = Field(default=0.0, ge=0, lt=0.1)
    life_y: float = Field(gt=0)


@dataclass(frozen=True, slots=True)
class Correction:
    """One way to correct. saving_usd_per_y after its running cost; payback_y inf where it never pays back; npv_usd over
    its life. lowest_power_factor_frac: after it, of intervals with load. notes: resonance with the supply."""

    name: str
    kvar: float
    capex_usd: float
    saving_usd_per_y: float
    payback_y: float
    npv_usd: float
    lowest_power_factor_frac: float
    notes: tuple[str, ...] = ()


def needed_kvar(kw: float, power_factor: float, target: float) -> float:
    """Qc = P (tan phi_1 - tan phi_2).

    >>> round(needed_kvar(100.0, 0.80, 0.95), 2)      # 75.00 - 32.87
    42.13
    """
    for what, value in (("power_factor", power_factor), ("target", target)):
        if not 0 < value <= 1:
            raise InputError(f"{what} = {value:g}: a power factor lies above 0 and at most 1")
    return max(0.0, kw * (tan(acos(power_factor)) - tan(acos(target))))


def resonance_order(short_circuit_kva: float, kvar: float) -> float:
    """Parallel resonance of a bank with the supply: h = sqrt(Ssc / Qc) (IEEE 519, IEEE 1036)."""
    return inf if kvar <= 0 else sqrt(short_circuit_kva / kvar)


def lowest_power_factor(kw: Kw, kvar: Kw) -> float:
    """Lowest |P| / S of the intervals that draw at least a tenth of the peak."""
    on = np.abs(kw) >= 0.1 * np.abs(kw).max(initial=0.0)
    s = np.hypot(kw[on], kvar[on])
    return float((np.abs(kw[on]) / np.maximum(s, 1e-12)).min(initial=1.0))


def banked(kvar: Kw, total_kvar: float, step_kvar: float) -> Kw:
    """Reactive load with a switched bank of total_kvar: whole steps, never into leading, (n,)."""
    steps = np.floor(np.clip(kvar, 0.0, total_kvar) / step_kvar + 1e-9)
    return np.asarray(kvar - steps * step_kvar)


def by_inverter(kvar: Kw, inverter_kw: Kw, rating_kva: float) -> Kw:
    """Reactive load with an inverter's vars: what its circle leaves beside its own power, |q| <= sqrt(S^2 - p^2)."""
    room = np.sqrt(np.maximum(rating_kva**2 - np.asarray(inverter_kw, dtype=float) ** 2, 0.0))
    return np.asarray(kvar - np.clip(kvar, -room, room))


def annuity(rate_frac: float, years: float) -> float:
    """Present worth of 1 a year for so many years."""
    return years if rate_frac == 0 else (1 - (1 + rate_frac) ** -years) / rate_frac


def size_bank(
    kw: Kw,
    kvar: Kw,
    bill_usd: BillUsd,
    bank: BankPrice,
    *,
    years: float,
    rate_frac: float,
    short_circuit_kva: float | None = None,
    largest_kvar: float | None = None,
) -> list[Correction]:
    """Every size of a bank in whole steps, best net present value first.

    kw, kvar: (n,) metered load of `years` years; bill_usd: amount due for them. largest_kvar: default the highest
    reactive load. short_circuit_kva: where given, a bank near an order of rectifiers is named.
    """
    _check(kw, kvar, years)
    before = bill_usd(kw, kvar)
    most = float(kvar.max(initial=0.0)) if largest_kvar is None else largest_kvar
    out = []
    for steps in range(1, int(np.floor(most / bank.step_kvar + 1e-9)) + 1):
        size = steps * bank.step_kvar
        left = banked(kvar, size, bank.step_kvar)
        after = bill_usd(kw + (kvar - left) * bank.loss_frac, left)
        saving = (before - after) / years - bank.om_usd_per_kvar_y * size
        capex = bank.capex_usd + bank.capex_usd_per_kvar * size
        notes = _resonance(short_circuit_kva, size)
        out.append(
            _told(
                f"capacitor bank of {size:g} kvar",
                size,
                capex,
                saving,
                bank.life_y,
                rate_frac,
                kw,
                left,
                notes,
            )
        )
    return sorted(out, key=lambda c: -c.npv_usd)


def inverter_vars(
    kw: Kw,
    kvar: Kw,
    bill_usd: BillUsd,
    inverter_kw: Kw,
    rating_kva: float,
    *,
    years: float,
    rate_frac: float,
    life_y: float,
    capex_usd: float = 0.0,
    loss_frac: float = 0.0,
) -> Correction:
    """What the vars of an inverter that is there save. inverter_kw: (n,) its own power; loss_frac: kW lost a kvar."""
    _check(kw, kvar, years)
    left = by_inverter(kvar, inverter_kw, rating_kva)
    given = np.abs(kvar - left)
    saving = (bill_usd(kw, kvar) - bill_usd(kw + given * loss_frac, left)) / years
    name, most = f"vars of an inverter of {rating_kva:g} kVA", float(given.max(initial=0.0))
    return _told(name, most, capex_usd, saving, life_y, rate_frac, kw, left, ())


def rank(options: Sequence[Correction]) -> list[Correction]:
    """By net present value, best first; one that never pays back is last."""
    return sorted(options, key=lambda c: (c.payback_y == inf, -c.npv_usd))


def _told(
    name: str,
    kvar_: float,
    capex: float,
    saving: float,
    life_y: float,
    rate: float,
    kw: Kw,
    left: Kw,
    notes: tuple[str, ...],
) -> Correction:
    payback = capex / saving if saving > 0 else inf
    worth = saving * annuity(rate, life_y) - capex
    return Correction(name, kvar_, capex, saving, payback, worth, lowest_power_factor(kw, left), notes)


def _resonance(short_circuit_kva: float | None, kvar: float) -> tuple[str, ...]:
    if short_circuit_kva is None:
        return ("resonance with the supply is not checked: no short-circuit power is given",)
    order = resonance_order(short_circuit_kva, kvar)
    near = [h for h in LIKELY_ORDERS if abs(order - h) <= NEAR * h]
    if near:
        return (f"resonates at order {order:.1f}, near {near[0]}: detune it, or choose another size",)
    return ()


def _check(kw: Kw, kvar: Kw, years: float) -> None:
    if kw.shape != kvar.shape or kw.ndim != 1:
        raise InputError(
            f"kw has shape {kw.shape} and kvar {kvar.shape}; give one series each of the same intervals"
        )
    if years <= 0:
        raise InputError(f"years = {years:g}: the span of the metered load, above 0")
