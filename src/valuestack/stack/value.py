"""What each term comes to by its own rule, from quantities alone: the check on the compiler.

Nothing here looks at columns or rows. `Flows` are numbers, from a solution or from a record; `worth` applies
the rule of each term to them. On a solution the sum must equal the objective, and on a record the settlement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from ..errors import InputError
from ..solve.problem import Floats, Ints, filled
from ..terms import Claim, HoursUse, Limit, Measure, Minimum, Payment, Term
from ..timeline import Timeline

COUNTS = ("start", "fuel_gal")


@dataclass(slots=True, eq=False)
class Flows:
    """Numbers of one horizon. net_kw, net_kvar: (n,) at the meter. assets: by name, flow -> (n,).
    awards_kw: by 'owner/name' of a claim. exposure_kw: (n,) what billed peaks see beside net load."""

    timeline: Timeline
    net_kw: Floats
    net_kvar: Floats | None = None
    assets: Mapping[str, Mapping[str, Floats]] = field(default_factory=dict)
    awards_kw: Mapping[str, Floats] = field(default_factory=dict)
    exposure_kw: Floats | None = None

    def measured(self, m: Measure, *, peak: bool = False) -> Floats:
        """A measure in each interval."""
        base = self._base(m, peak)
        if m.reference_kw is None and m.own is None:
            return base
        out = (0.0 if m.reference_kw is None else m.reference_kw) - base
        if m.own is not None:
            np.add.at(out, m.own.row, m.own.weight * self.net_kw[m.own.col])
        return np.asarray(out)

    def _base(self, m: Measure, peak: bool) -> Floats:
        if m.asset is not None:
            return _asset_flow(self.assets[m.asset], m)
        net = self.net_kw
        if peak and self.exposure_kw is not None and m.flow in ("net", "import", "kva"):
            net = net + self.exposure_kw
        kvar = np.zeros_like(net) if self.net_kvar is None else self.net_kvar
        site = {
            "net": net,
            "import": np.maximum(net, 0.0),
            "export": np.maximum(-net, 0.0),
            "kvar": kvar,
            "kva": np.hypot(net, kvar),
        }
        if m.flow in site:
            return site[m.flow]
        found = [a[m.flow] for a in self.assets.values() if m.flow in a]
        return np.asarray(sum(found, start=np.zeros(net.size)))


def _asset_flow(flows: Mapping[str, Floats], m: Measure) -> Floats:
    if m.flow == "import":
        return flows["charge"]
    if m.flow == "export":
        return flows["generation"] if "generation" in flows else flows["discharge"]
    return flows[m.flow]


def priced(q: Floats, blocks: Sequence[tuple[Floats, Floats]]) -> Floats:
    """Money of a quantity under tiers ((upto, price), ...): area under the price from 0 to q."""
    out = np.zeros_like(q)
    low = np.full_like(q, -inf)
    for k, (upto, price) in enumerate(blocks):
        high = upto if k < len(blocks) - 1 else np.full_like(q, inf)
        out += price * (np.clip(q, low, high) - np.clip(0.0, low, high))
        low = np.maximum(low, high)
    return out


def block_average(
    timeline: Timeline, values: Floats, window: Ints, hours: float | None
) -> tuple[Floats, Ints]:
    """Averages over clock blocks, and the window of each."""
    at = np.flatnonzero(window >= 0)
    if hours is None or hours <= timeline.step_h + 1e-9:
        return values[at], window[at]
    width = int(window.max(initial=-1)) + 2
    kinds, into = np.unique((timeline.block(hours) * width + window)[at], return_inverse=True)
    return np.bincount(into, weights=values[at]) / np.bincount(into), kinds % width


@dataclass(slots=True, eq=False)
class Worth:
    """Money of every term [USD, positive = cost]: by 'owner/name', and per window where it has windows."""

    usd: dict[str, float] = field(default_factory=dict)
    by_window: dict[str, Floats] = field(default_factory=dict)
    quantity: dict[str, Floats] = field(default_factory=dict)

    @property
    def total_usd(self) -> float:
        return float(sum(self.usd.values()))


def _quantity(flows: Flows, p: Payment) -> Floats:
    q = flows.measured(p.measure, peak=p.over == "max")
    h = 1.0 if p.measure.flow in COUNTS else flows.timeline.step_h
    at = np.flatnonzero(p.window >= 0)
    if p.over == "each":
        return q[at] * h
    n = max(p.windows, 0 if p.so_far is None else len(p.so_far), *(f.window + 1 for f in p.floors), 0)
    past = np.zeros(n) if p.so_far is None else filled(p.so_far[:n], n)
    if p.over == "sum":
        return past + np.bincount(p.window[at], weights=q[at] * h, minlength=n)
    signed = (
        p.measure.flow in ("net", "kvar") or p.measure.reference_kw is not None or p.measure.own is not None
    )
    top = np.full(n, -inf if signed and p.so_far is None else 0.0)
    if p.so_far is not None:
        top = past if signed else np.maximum(past, 0.0)
    blocks, window = block_average(flows.timeline, q, p.window, p.measure.average_h)
    np.maximum.at(top, window, blocks)
    return np.where(np.isfinite(top), top, 0.0)


def worth(flows: Flows, terms: Sequence[Term]) -> Worth:
    """Every term by its own rule."""
    out = Worth()
    payments = [t for t in terms if isinstance(t, Payment)]
    measured = {(p.owner, p.name): _quantity(flows, p) for p in payments}
    billed = {k: _billed(p, measured) for (k, p) in (((p.owner, p.name), p) for p in payments)}
    for p in payments:
        if p.pool is None:
            _pay(out, p, billed[p.owner, p.name], _blocks(p, billed, payments, flows.timeline.n))
            out.quantity[f"{p.owner}/{p.name}"] = billed[p.owner, p.name]
    for owner, pool in dict.fromkeys((p.owner, p.pool) for p in payments if p.pool is not None):
        _pool(
            out,
            [p for p in payments if (p.owner, p.pool) == (owner, pool)],
            measured,
            billed,
            payments,
            flows,
        )
    for t in terms:
        if isinstance(t, Minimum):
            _minimum(out, t, payments)
        elif isinstance(t, Claim):
            award = flows.awards_kw.get(f"{t.owner}/{t.name}")
            held = np.zeros(flows.timeline.n) if award is None else award
            out.usd[f"{t.owner}/{t.name}"] = float(-(held * t.usd_per_kw_h).sum() * flows.timeline.step_h)
        elif isinstance(t, Limit) and t.breach_usd_per_unit is not None:
            out.usd[f"{t.owner}/{t.name}"] = t.breach_usd_per_unit * breach(flows, t)
    return out


def _billed(p: Payment, measured: Mapping[tuple[str, str], Floats]) -> Floats:
    q = measured[p.owner, p.name].copy()
    for f in p.floors:
        q[f.window] = max(q[f.window], f.least)
        if f.share > 0 and f.of_windows:
            source = measured[p.owner, f.of or p.name]
            q[f.window] = max(q[f.window], f.share * max(source[w] for w in f.of_windows))
    return q


def _blocks(
    p: Payment, billed: Mapping[tuple[str, str], Floats], payments: Sequence[Payment], n_t: int
) -> list[tuple[Floats, Floats]]:
    n = billed[p.owner, p.name].size
    at = p.window >= 0

    def per(value: float | Floats) -> Floats:
        array = np.asarray(value, dtype=np.float64)
        return array[at] if p.over == "each" and array.shape == (n_t,) else filled(array, n)

    out = []
    for b in p.blocks:
        if isinstance(b.upto, HoursUse):
            of = next(q for q in payments if q.owner == p.owner and q.name == b.upto.of)
            upto = np.zeros(n)
            both = np.flatnonzero(at & (of.window >= 0))
            upto[p.window[both]] = b.upto.hours * billed[of.owner, of.name][of.window[both]]
        else:
            upto = per(b.upto)
        out.append((upto, p.weight * per(b.usd_per_unit)))
    return out


def _pay(out: Worth, p: Payment, q: Floats, blocks: list[tuple[Floats, Floats]]) -> None:
    name = f"{p.owner}/{p.name}"
    if p.carry is None:
        usd = priced(q, blocks)
    else:
        usd = np.zeros_like(q)
        bank = np.zeros_like(q)
        into = p.carry.next_window
        heads = np.setdiff1d(np.arange(q.size), into[into >= 0])
        if heads.size:
            bank[heads[0]] = p.carry.start
        alone = priced(q, blocks)
        for w in range(q.size):
            amount = (q if p.carry.unit == "kwh" else alone)[w] - bank[w]
            due, left = max(amount, 0.0), max(-amount, 0.0)
            pays = np.zeros_like(q)
            pays[w] = due
            usd[w] = priced(pays, blocks)[w] if p.carry.unit == "kwh" else due
            if into[w] >= 0:
                if into[w] <= w:
                    raise InputError(f"{name}: a bank must be carried to a later window")
                bank[into[w]] += left
            else:
                usd[w] -= p.carry.settle_usd_per_unit * left
    out.by_window[name] = usd
    out.usd[name] = float(usd.sum())


def _pool(
    out: Worth,
    members: Sequence[Payment],
    measured: Mapping[tuple[str, str], Floats],
    billed: Mapping[tuple[str, str], Floats],
    payments: Sequence[Payment],
    flows: Flows,
) -> None:
    n = max(measured[p.owner, p.name].size for p in members)
    wide = [np.concatenate((q, np.zeros(n - q.size))) for q in (measured[p.owner, p.name] for p in members)]
    total = np.sum(wide, axis=0)
    for p, q in zip(members, wide):
        whole = dict(billed)
        whole[p.owner, p.name] = total
        share = np.divide(q, total, out=np.zeros(n), where=total != 0)
        usd = share * priced(total, _blocks(p, whole, payments, flows.timeline.n))
        out.by_window[f"{p.owner}/{p.name}"] = usd
        out.usd[f"{p.owner}/{p.name}"] = float(usd.sum())
        out.quantity[f"{p.owner}/{p.name}"] = q


def _minimum(out: Worth, m: Minimum, payments: Sequence[Payment]) -> None:
    n = int(m.window.max(initial=-1)) + 1
    total = np.zeros(n)
    for p in payments:
        if p.owner != m.owner or p.name not in m.members:
            continue
        usd = out.by_window[f"{p.owner}/{p.name}"]
        at = np.flatnonzero(p.window >= 0)
        inner = np.arange(at.size) if p.over == "each" else p.window[at]
        outer = m.window[at]
        seen, first = np.unique(inner, return_index=True)
        keep = outer[first] >= 0
        np.add.at(total, outer[first][keep], usd[seen[keep]])
    out.usd[f"{m.owner}/{m.name}"] = float(
        np.maximum(filled(m.usd, max(n, np.size(m.usd)))[:n] - total, 0.0).sum()
    )


def breach(flows: Flows, t: Limit) -> float:
    """Units by which a limit is broken, hours counted for `each`."""
    n_t = flows.timeline.n
    window = np.zeros(n_t, dtype=np.int64) if t.window is None else t.window
    q = flows.measured(t.measure)
    h = 1.0 if t.measure.flow in COUNTS else flows.timeline.step_h
    if t.over == "each":
        at = np.flatnonzero(window >= 0)
        low, high = filled(t.lower, n_t)[at], filled(t.upper, n_t)[at]
        return float(h * (np.maximum(q[at] - high, 0).sum() + np.maximum(low - q[at], 0).sum()))
    if t.over == "ramp":
        at = np.flatnonzero((window[1:] >= 0) & (window[:-1] >= 0))
        d = q[at + 1] - q[at]
        low, high = filled(t.lower, n_t)[at + 1], filled(t.upper, n_t)[at + 1]
        return float(np.maximum(d - high, 0).sum() + np.maximum(low - d, 0).sum())
    n = max(
        int(window.max(initial=-1)) + 1,
        0 if t.so_far is None else len(t.so_far),
        np.size(t.upper),
        np.size(t.lower),
    )
    at = np.flatnonzero(window >= 0)
    if t.over == "max":
        got = np.full(n, -inf)
        blocks, of = block_average(flows.timeline, q, window, t.measure.average_h)
        np.maximum.at(got, of, blocks)
        return float(np.maximum(got - filled(t.upper, n), 0).sum())
    hours = 1.0 if t.over == "count" else h
    got = np.bincount(window[at], weights=q[at] * hours, minlength=n).astype(np.float64)
    if t.so_far is not None:
        got[: len(t.so_far)] += t.so_far
    return float(
        np.maximum(got - filled(t.upper, n), 0).sum() + np.maximum(filled(t.lower, n) - got, 0).sum()
    )


def sunk_usd(timeline: Timeline, terms: Sequence[Term], assets: Iterable[str]) -> float:
    """What open windows would come to if nothing more were measured in them."""
    old = [t for t in terms if isinstance(t, Payment) and t.so_far is not None]
    if not old:
        return 0.0
    none = np.zeros(timeline.n)
    names = ("net", "charge", "discharge", "stored", "generation", "fuel_gal", "run", "start", "kvar")
    names_of = [t for t in terms if isinstance(t, Payment) and (t in old or _read_by(t, old))]
    return worth(
        Flows(timeline, none, None, {a: dict.fromkeys(names, none) for a in assets}), names_of
    ).total_usd


def _read_by(t: Payment, others: Sequence[Payment]) -> bool:
    """True where one of `others` reads the billed quantity of t."""
    of = {(o.owner, b.upto.of) for o in others for b in o.blocks if isinstance(b.upto, HoursUse)}
    of |= {(o.owner, f.of) for o in others for f in o.floors if f.of is not None}
    return (t.owner, t.name) in of
