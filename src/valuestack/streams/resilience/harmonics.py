"""Harmonic current against IEEE 519: total demand distortion and each order, at the point of common coupling.

    TDD = sqrt(sum of I_h^2, h >= 2) / I_L,      limit by Isc / I_L and by the band of the order

I_L is the mean of the twelve monthly maximum demand currents: TDD is not the distortion of the moment, which grows as
the load falls. Statistics: see `tests` of the data file (99th percentile of a day and week, 95th of a week).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np

from ...errors import InputError
from ...timeline import Kw

SAMPLES_IN = {("3 s", "day"): 28_800, ("10 min", "week"): 1_008}


@dataclass(frozen=True, slots=True)
class OrderVerdict:
    """One order, or 'TDD': measured and allowed share of the demand current."""

    order: str
    measured_frac: float
    limit_frac: float

    @property
    def met(self) -> bool:
        """Whether it is within its limit."""
        return self.measured_frac <= self.limit_frac + 1e-12


@dataclass(frozen=True, slots=True)
class Verdict:
    """All orders and TDD against the limits; what: which values were judged. notes: what was taken."""

    what: str
    short_circuit_a_per_a: float
    rows: tuple[OrderVerdict, ...]
    notes: tuple[str, ...] = ()

    @property
    def met(self) -> bool:
        """Whether every row is within its limit."""
        return all(r.met for r in self.rows)

    @property
    def tdd_frac(self) -> float:
        """Total demand distortion."""
        return next(r.measured_frac for r in self.rows if r.order == "TDD")


@cache
def limits() -> dict[str, Any]:
    """The table of IEEE 519, as shipped."""
    path = files("valuestack").joinpath("data", "power_quality", "ieee-519.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def demand_current_a(monthly_max_kw: Sequence[float], volts: float, power_factor_frac: float) -> float:
    """I_L [A] of three phases: mean of the twelve monthly maxima, I = P / (sqrt 3 V pf).

    >>> round(demand_current_a([1000.0] * 12, 480.0, 0.9), 1)
    1336.5
    """
    kw = np.asarray(monthly_max_kw, dtype=float)
    if kw.size != 12 or (kw < 0).any() or not kw.any():
        raise InputError(
            f"monthly_max_kw: {kw.size} values; give the maximum demand of each of twelve months, 0 or more"
        )
    if volts <= 0 or not 0 < power_factor_frac <= 1:
        raise InputError(
            f"volts = {volts:g}, power_factor_frac = {power_factor_frac:g}: volts above 0 and a power factor up to 1"
        )
    return float(kw.mean() * 1000 / (np.sqrt(3.0) * volts * power_factor_frac))


def order_limit_frac(order: int, short_circuit_a_per_a: float) -> float:
    """Limit of one order as a share of I_L, even orders by the 2022 edition."""
    data = limits()
    row = _row(short_circuit_a_per_a)
    if not 2 <= order < data["bands"][-1]:
        raise InputError(f"order {order}: the table speaks of orders 2 to {data['bands'][-1] - 1}")
    limit = float(
        next(share for upto, share in zip(data["bands"], row["band_frac"], strict=True) if order < upto)
    )
    if order % 2:
        return limit
    return limit * float(data["even_low_frac" if order <= data["even_low_order"] else "even_high_frac"])


def _row(short_circuit_a_per_a: float) -> Mapping[str, Any]:
    if short_circuit_a_per_a <= 0:
        raise InputError(
            f"Isc / IL = {short_circuit_a_per_a:g}: give a short-circuit current above 0, in amperes at the point "
            "of common coupling"
        )
    found: Mapping[str, Any] = next(r for r in limits()["limits"] if short_circuit_a_per_a < r["upto"])
    return found


def verdict(
    harmonics_a: Mapping[int, float], short_circuit_a: float, demand_a: float, *, der_frac: float = 0.0
) -> Verdict:
    """Judge one set of harmonic currents [A rms by order] at the limits themselves.

    der_frac: distributed generation as a share of the annual average load; above a tenth IEEE 1547 rules its current.
    """
    orders = sorted(h for h in harmonics_a if h >= 2)
    _check(orders, demand_a)
    amps = np.array([[harmonics_a[h] for h in orders]])
    return _judge("one measurement", orders, amps[0], short_circuit_a, demand_a, 1.0, der_frac)


def statistical(
    orders: Sequence[int],
    samples_a: Kw,
    every: Literal["3 s", "10 min"],
    short_circuit_a: float,
    demand_a: float,
    *,
    der_frac: float = 0.0,
) -> tuple[Verdict, ...]:
    """Judge a measurement campaign by percentiles: samples_a (m, orders) [A rms], one row every 3 s or 10 min.

    The rows are cut into days or weeks from the first on; the worst span counts. A last part of a span counts too.
    """
    samples = np.asarray(samples_a, dtype=float)
    if samples.ndim != 2 or samples.shape[1] != len(orders) or not samples.size:
        raise InputError(f"samples_a: shape {samples.shape}; give one row a sample and {len(orders)} columns")
    _check(list(orders), demand_a)
    out = []
    for test in limits()["tests"]:
        if test["values"] != every:
            continue
        size = SAMPLES_IN[(every, test["span"])]
        spans = [samples[i : i + size] for i in range(0, samples.shape[0], size)]
        share = float(test["percentile_frac"])
        worst = np.max([np.quantile(s, share, axis=0, method="higher") for s in spans], axis=0)
        tdd = max(float(np.quantile(np.sqrt((s**2).sum(axis=1)), share, method="higher")) for s in spans)
        what = f"{share:.0%} of {every} values of a {test['span']} within {test['times']:g} x the limit"
        out.append(
            _judge(what, list(orders), worst, short_circuit_a, demand_a, float(test["times"]), der_frac, tdd)
        )
    return tuple(out)


def _check(orders: Sequence[int], demand_a: float) -> None:
    if demand_a <= 0:
        raise InputError(f"demand_a = {demand_a:g}: IL is the mean of twelve monthly maxima, above 0")
    if not orders or min(orders) < 2:
        raise InputError("harmonics: give orders from 2 on; the fundamental is no distortion")


def _judge(
    what: str,
    orders: Sequence[int],
    amps: Kw,
    short_circuit_a: float,
    demand_a: float,
    times: float,
    der_frac: float,
    tdd_a: float | None = None,
) -> Verdict:
    if (amps < 0).any():
        raise InputError(f"harmonics: {float(amps.min()):g} A; rms currents are 0 or more")
    ratio = short_circuit_a / demand_a
    total = float(np.sqrt((amps**2).sum())) if tdd_a is None else tdd_a
    rows = [OrderVerdict("TDD", total / demand_a, times * float(_row(ratio)["tdd_frac"]))]
    rows += [
        OrderVerdict(str(h), float(a) / demand_a, times * order_limit_frac(h, ratio))
        for h, a in zip(orders, amps, strict=True)
    ]
    notes = [f"limits: {limits()['source']}"]
    if times != 1.0 or tdd_a is not None:
        notes.append("the statistical tests are not verified")
    if der_frac > float(limits()["der_share_frac"]):
        notes.append(
            f"distributed generation is {der_frac:.0%} of the average load: its own current is judged by IEEE 1547 "
            "(total rated distortion), not here"
        )
    return Verdict(what, ratio, tuple(rows), tuple(notes))
