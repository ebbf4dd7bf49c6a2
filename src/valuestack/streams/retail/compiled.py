"""The fast path: a bill's total for one timeline, compiled from the tariff's own terms.

Runs of intervals with constant prices and windows are reduced once (energy in, energy out, highest power);
tiers, floors and minimum bills are then a few dozen numbers. What the terms do not say exactly goes the
general way: kvar and varying power factors, unequal tiers shared between periods, hourly netting, and net
metering in which some cycle feeds in more than it draws. On building, the fast path is held to the general
one on three probe loads; it is used only if it agrees to 1e-9.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from math import inf
from typing import Any

import numpy as np

from ...terms import Block, HoursUse, Measure, Minimum, Payment
from ...timeline import Ints, Kw, Timeline
from .bill import bill, check_series, versions_of
from .cycles import make_cycles
from .facts import BillFacts
from .tariff_stream import Stated, state

_AGREE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """Flat arrays for the kernel; see compiled_kernel.total. R runs, C cells, J payments, B blocks, W windows,
    K tiers, M minima. The order is the kernel's: integers first.

    A payment of flow 3 charges nothing: it says that its windows may not feed in more than they draw, for the
    terms of net metering are the bill only then.
    """

    first: Ints  # (R + 1,) interval at which each run begins
    cell: Ints  # (R,) cell of each run: its prices and windows
    cell_window: Ints  # (C, J)
    over_max: Ints  # (J,) 1 = highest power, 0 = energy
    flow: Ints  # (J,) 0 import, 1 export, 2 net, 3 net that must not be negative
    block_first: Ints  # (B + 1,) interval at which each averaged block begins; (1,) = none
    block_window: Ints  # (J, B) -1 = not averaged
    window_from: Ints  # (J + 1,)
    tier_from: Ints  # (W + 1,)
    tier_of: Ints  # (K,) the bound is tier_hours of this window's billed kW; -1 = it is tier_upto
    floor_from: Ints  # (W + 1,)
    floor_of: Ints
    cell_minimum: Ints  # (C, M) window of the minimum of each cell
    window_minimum: Ints  # (M, W)
    minimum_from: Ints  # (M + 1,)
    import_usd_per_kwh: Kw  # (C,)
    export_usd_per_kwh: Kw  # (C,)
    tier_upto: Kw  # (K,)
    tier_hours: Kw  # (K,)
    tier_usd: Kw  # (K,)
    floor_least: Kw  # (W,)
    floor_share: Kw  # (W,)
    minimum_usd: Kw

    def packed(self) -> tuple[Ints, Ints, Kw]:
        """Where each array begins, all integers, all floats: few arguments are quickly handed over."""
        arrays = [getattr(self, f.name) for f in fields(self)]
        ints = [a.ravel() for a in arrays if a.dtype == np.int64]
        floats = [a.ravel() for a in arrays if a.dtype == np.float64]
        at = [np.cumsum([0, *(a.size for a in group)]) for group in (ints, floats)]
        return np.concatenate(at).astype(np.int64), np.concatenate(ints), np.concatenate(floats)


@dataclass(frozen=True, eq=False)
class CompiledTariff:
    """`total_usd(net_kw)` equals `bill(...).total_usd`. fast: whether the compiled path is used; why: if not."""

    tariff: Any
    timeline: Timeline
    facts: BillFacts | None
    cycles: Any
    history: Any
    program: Program | None
    why: str = ""
    _constant_usd: float = 0.0

    @classmethod
    def of(
        cls,
        tariff: Any,
        timeline: Timeline,
        facts: BillFacts | None = None,
        *,
        cycles: Any = None,
        history: Any = None,
    ) -> CompiledTariff:
        """Compile, and prove on probe loads that the compiled bill is the bill."""
        general = cls(tariff, timeline, facts, cycles, history, None, "")
        probe = _probes(timeline.n)
        expected = [general._general(p) for p in probe]  # also raises for facts that are missing
        stated = state(tariff, timeline, cycles=cycles, history=history, facts=facts)
        net = [i for v in versions_of(tariff) for i in v.tariff.items if getattr(i, "metering", "") == "net"]
        why = _refusal(stated, bool(net), timeline.step_h)
        if not why and _straddled(stated, timeline):
            why = "demand blocks that meet two periods, or of several lengths"
        if why:
            return cls(tariff, timeline, facts, cycles, history, None, why)
        guard = make_cycles(timeline, cycles).index if net else None
        program, constant_usd = _program(stated, timeline, guard), float(stated.constant_usd.sum())
        fast = cls(tariff, timeline, facts, cycles, history, program, "", constant_usd)
        for load, usd in zip(probe, expected, strict=True):
            if abs(fast.total_usd(load) - usd) > _AGREE * max(1.0, abs(usd)):
                why = "the compiled bill differs on a probe load"
                return cls(tariff, timeline, facts, cycles, history, None, why)
        return fast

    @property
    def fast(self) -> bool:
        """Whether the compiled path is used."""
        return self.program is not None

    def total_usd(self, net_kw: Any) -> float:
        """Amount due of a net load (n,) [USD]."""
        kw = np.ascontiguousarray(net_kw, dtype=np.float64)
        if kw.shape != (self.timeline.n,):
            check_series("net_kw", kw, self.timeline)
        if self.program is None:
            return self._general(kw)
        from .compiled_kernel import total

        usd = total(kw, kw.view(np.int64), self.timeline.step_h, *self._packed) + self._constant_usd
        return usd if usd - usd == 0.0 else self._unusual(kw)

    def totals_usd(self, net_kw: Any) -> Kw:
        """Amounts due of many net loads (m, n), (m,) [USD]."""
        kw = np.ascontiguousarray(np.atleast_2d(net_kw), dtype=np.float64)
        if kw.ndim != 2 or kw.shape[1] != self.timeline.n or self.program is None:
            return np.array([self.total_usd(row) for row in kw])
        from .compiled_kernel import totals

        usd = totals(kw, kw.view(np.int64), self.timeline.step_h, *self._packed) + self._constant_usd
        for i in np.flatnonzero(~np.isfinite(usd)):
            usd[i] = self._unusual(kw[i])
        return np.asarray(usd)

    @cached_property
    def _packed(self) -> tuple[Ints, Ints, Kw]:
        assert self.program is not None
        return self.program.packed()

    def _unusual(self, kw: Kw) -> float:
        """A load that is not finite is refused; one that feeds in more than it draws is billed in full."""
        check_series("net_kw", kw, self.timeline)
        return self._general(kw)

    def _general(self, kw: Kw) -> float:
        return bill(
            self.tariff, self.timeline, kw, facts=self.facts, cycles=self.cycles, history=self.history
        ).total_usd


def _probes(n: int) -> list[Kw]:
    """Loads that cross tiers and windows: seeded, one small, one large, one that exports at times."""
    rng = np.random.default_rng(20180101)
    shape = 1 + 0.6 * np.sin(np.arange(n) * 0.0654) + rng.gamma(2.0, 0.2, n)
    return [20.0 * shape, 800.0 * shape, 150.0 * (shape - 0.9)]


def _refusal(stated: Stated, net: bool, step_h: float) -> str:
    """Why the terms cannot be compiled; '' = they can. net: cycles that draw more than they feed in are exact."""
    if stated.unstated:
        return f"{', '.join(stated.unstated)}: settled only, no term states it"
    payments = [t for t in stated.terms if isinstance(t, Payment)]
    names = {t.name for t in payments}
    for t in stated.terms:
        if isinstance(t, Payment):
            why = _refused_payment(t, net, names, step_h)
        elif isinstance(t, Minimum):
            why = "" if t.exact and set(t.members) == names else f"{t.name}: stands on a part of the bill"
        else:
            why = f"a {type(t).__name__.lower()}"
        if why:
            return why
    return ""


def _refused_payment(t: Payment, net: bool, names: set[str], step_h: float) -> str:
    netted = net and t.name.startswith("energy net")
    floors = [f.window for f in t.floors]
    wide = t.measure.average_h is not None and t.measure.average_h > step_h + 1e-9
    hours_use = [b.upto.of for b in t.blocks if isinstance(b.upto, HoursUse)]
    for bad, why in (
        (not t.exact and not netted, t.reason),
        (
            (t.carry is not None and not (netted and t.carry.start == 0)) or t.pool is not None,
            "a bank or pool",
        ),
        (t.measure.asset is not None or t.measure.reference_kw is not None, "not measured at the meter"),
        (t.measure.flow not in _FLOWS, f"measured in {t.measure.flow}"),
        (t.over == "each" and len(t.blocks) != 1, "tiers an interval"),
        (t.over == "max" and t.measure.flow != "import", "a maximum of other than import"),
        (wide and t.over != "max", "a mean that is no maximum"),
        (any(of not in names for of in hours_use), "hours-use tiers on another tariff"),
        (
            any(f.of is not None for f in t.floors) or len(floors) != len(set(floors)),
            "floors on other charges",
        ),
        (t.weight != 1.0 or t.so_far is not None, "weighed or begun"),
    ):
        if bad:
            return f"{t.name}: {why}"
    return ""


_FLOWS = {"import": 0, "export": 1, "net": 2}


def _program(stated: Stated, timeline: Timeline, guard: Ints | None) -> Program:
    n = timeline.n
    drawn, fed = np.zeros(n), np.zeros(n)
    payments: list[Payment] = []
    for t in stated.terms:
        if isinstance(t, Payment) and t.over == "each":
            price = np.broadcast_to(np.asarray(t.blocks[0].usd_per_unit, dtype=float), n)
            price = np.where(t.window >= 0, price, 0.0)
            drawn += price if t.measure.flow != "export" else 0.0
            fed += price if t.measure.flow == "export" else 0.0
            fed -= price if t.measure.flow == "net" else 0.0
        elif isinstance(t, Payment) and t.windows:
            payments.append(t)
    flow = [_FLOWS[p.measure.flow] for p in payments]
    if guard is not None:
        payments.append(Payment("", "", Measure("net"), "sum", guard, (Block(inf, 0.0),)))
        flow.append(3)
    minima = [t for t in stated.terms if isinstance(t, Minimum)]
    block_first, block_window = _blocks(payments, timeline)
    averaged = [bool((row >= 0).any()) for row in block_window]
    windows = np.array([np.where(a, -1, p.window) for p, a in zip(payments, averaged)], dtype=np.int64)
    codes = np.stack([drawn, fed, *windows.astype(float), *(m.window.astype(float) for m in minima)])
    first = np.flatnonzero(np.concatenate(([True], (np.diff(codes, axis=1) != 0).any(axis=0))))
    _, begin, cell = np.unique(codes[:, first], axis=1, return_index=True, return_inverse=True)
    at = first[begin]  # an interval of each cell
    window_from = np.concatenate(([0], np.cumsum([p.windows for p in payments]))).astype(np.int64)
    return Program(
        first=np.append(first, n).astype(np.int64),
        cell=cell.ravel().astype(np.int64),
        cell_window=np.ascontiguousarray(windows.reshape(len(payments), n)[:, at].T),
        over_max=np.array([p.over == "max" for p in payments], dtype=np.int64),
        flow=np.array(flow, dtype=np.int64),
        block_first=block_first,
        block_window=block_window,
        window_from=window_from,
        import_usd_per_kwh=drawn[at],
        export_usd_per_kwh=fed[at],
        **_tiers(payments, window_from),
        **_floors(payments, window_from),
        **_minima(minima, payments, at),
    )


def _blocks(payments: list[Payment], timeline: Timeline) -> tuple[Ints, Ints]:
    """Blocks over which a maximum is averaged, and the window of each, by payment."""
    hours = {p.measure.average_h for p in payments if _wide(p, timeline)}
    if not hours:
        return np.zeros(1, dtype=np.int64), np.full((len(payments), 0), -1, dtype=np.int64)
    key = timeline.block(float(hours.pop() or 0.0))
    first = np.flatnonzero(np.concatenate(([True], np.diff(key) != 0)))
    rows = [p.window[first] if _wide(p, timeline) else np.full(first.size, -1) for p in payments]
    return np.append(first, timeline.n).astype(np.int64), np.array(rows, dtype=np.int64)


def _wide(p: Payment, timeline: Timeline) -> bool:
    return p.measure.average_h is not None and p.measure.average_h > timeline.step_h + 1e-9


def _straddled(stated: Stated, timeline: Timeline) -> bool:
    """Whether averaged blocks differ in length between payments, or meet more than one window."""
    wide = [t for t in stated.terms if isinstance(t, Payment) and _wide(t, timeline)]
    if len({t.measure.average_h for t in wide}) > 1:
        return True
    for t in wide:
        same = np.diff(timeline.block(float(t.measure.average_h or 0.0))) == 0
        if (np.diff(t.window)[same] != 0).any():
            return True
    return False


def _tiers(payments: list[Payment], window_from: Ints) -> dict[str, Any]:
    """Ladders of all windows, one after the other."""
    by_name = {p.name: j for j, p in enumerate(payments)}
    upto: list[float] = []
    hours: list[float] = []
    of: list[int] = []
    usd: list[float] = []
    tier_from = [0]
    for p in payments:
        first = np.array([int(np.argmax(p.window == w)) for w in range(p.windows)])
        for w in range(p.windows):
            for b in p.blocks:
                price = np.broadcast_to(np.asarray(b.usd_per_unit, dtype=float), p.windows)
                usd.append(float(price[w]))
                if isinstance(b.upto, HoursUse):
                    j = by_name[b.upto.of]
                    of.append(int(window_from[j] + payments[j].window[first[w]]))
                    hours.append(b.upto.hours)
                    upto.append(inf)
                else:
                    of.append(-1)
                    hours.append(0.0)
                    upto.append(float(np.broadcast_to(np.asarray(b.upto, dtype=float), p.windows)[w]))
            upto[-1], of[-1] = inf, -1  # the last price holds on
            tier_from.append(len(usd))
    return {
        "tier_from": np.array(tier_from, dtype=np.int64),
        "tier_upto": np.array(upto, dtype=float),
        "tier_hours": np.array(hours, dtype=float),
        "tier_of": np.array(of, dtype=np.int64),
        "tier_usd": np.array(usd, dtype=float),
    }


def _floors(payments: list[Payment], window_from: Ints) -> dict[str, Any]:
    least, share = np.zeros(window_from[-1]), np.zeros(window_from[-1])
    of: list[int] = []
    floor_from = [0]
    for j, p in enumerate(payments):
        floors = {f.window: f for f in p.floors}
        for w in range(p.windows):
            if w in floors:
                f, at = floors[w], window_from[j] + w
                least[at], share[at] = f.least, f.share
                of += [int(window_from[j]) + k for k in f.of_windows]
            floor_from.append(len(of))
    return {
        "floor_least": least,
        "floor_share": share,
        "floor_from": np.array(floor_from, dtype=np.int64),
        "floor_of": np.array(of, dtype=np.int64),
    }


def _minima(minima: list[Minimum], payments: list[Payment], at: Any) -> dict[str, Any]:
    of_cell = np.array([m.window[at] for m in minima], dtype=np.int64).reshape(len(minima), at.size)
    rows = []
    for m in minima:
        rows.append(
            [int(m.window[int(np.argmax(p.window == w))]) for p in payments for w in range(p.windows)]
        )
    width = sum(p.windows for p in payments)
    return {
        "cell_minimum": np.ascontiguousarray(of_cell.T),
        "window_minimum": np.array(rows, dtype=np.int64).reshape(len(minima), width),
        "minimum_from": np.concatenate(([0], np.cumsum([m.usd.size for m in minima]))).astype(np.int64),
        "minimum_usd": np.concatenate([np.zeros(0), *(m.usd for m in minima)]),
    }
