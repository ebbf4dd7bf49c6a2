"""Claims -> awards, shares among eligible assets, and the room that each asset must keep.

An award A is shared: A = sum of shares over the eligible assets. An asset keeps power room for the claims on
it, up and down, and a store keeps energy at both ends of the interval to hold them for `sustain_h`. Claims
that may share hold the same kW, so only the largest of them takes room. Expected calls drift the store, add
wear and move energy at the meter; the billed peak sees `exposure_frac` of the award on top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from ..errors import InputError
from ..flows import Custom, Store
from ..solve.problem import Affine, Floats, Problem, filled
from ..terms import Claim, Limit, families
from ..timeline import Timeline
from .offers import Called, Draft, before, bind, zero


@dataclass(slots=True, eq=False)
class Held:
    """What the claims came to: awards by 'owner/name' (n,), shares by claim and asset, calls by asset; short: kW of
    fixed awards that are not held, where that has a price."""

    awards: dict[str, Affine] = field(default_factory=dict)
    shares: dict[tuple[str, str], Affine] = field(default_factory=dict)
    called: dict[str, Called] = field(default_factory=dict)
    exposure: Affine | None = None
    revenue: dict[str, Affine] = field(default_factory=dict)
    short: dict[str, Affine] = field(default_factory=dict)


def key(c: Claim) -> str:
    """'owner/name'."""
    return f"{c.owner}/{c.name}"


def add_claims(
    problem: Problem,
    claims: Sequence[Claim],
    drafts: Mapping[str, Draft],
    horizon: Timeline,
    short_usd_per_kw_h: float | None = None,
) -> Held:
    """Columns of awards and shares, their revenue, and the expected calls on each asset. short_usd_per_kw_h: price
    of a fixed award that is not held; None = it must be."""
    held = Held(exposure=zero(horizon.n))
    for c in claims:
        _check(c, drafts, horizon.n)
        award = _award(problem, c, drafts, horizon)
        if c.fixed_kw is not None and short_usd_per_kw_h is not None and award.const.any():
            most = np.maximum(award.const, 0.0)
            short = Affine.of(problem.add_columns(f"{key(c)} not held", horizon.n, owner=c.owner, upper=most))
            problem.add_cost(short.times(horizon.step_h * short_usd_per_kw_h))
            held.short[key(c)] = short
            award = award - short
        held.awards[key(c)] = award
        revenue = award.times(-horizon.step_h * filled(c.usd_per_kw_h, horizon.n))
        held.revenue[key(c)] = revenue
        problem.add_cost(revenue)
        assert held.exposure is not None
        held.exposure = held.exposure + award.times(c.exposure_frac)
        for asset, share in _shares(problem, c, award).items():
            held.shares[key(c), asset] = share
            old = held.called.setdefault(asset, Called(zero(horizon.n), zero(horizon.n)))
            held.called[asset] = Called(
                old.up + share.times(c.throughput_up_frac), old.down + share.times(c.throughput_down_frac)
            )
    return held


def _check(c: Claim, drafts: Mapping[str, Draft], n: int) -> None:
    problems = []
    if not c.eligible:
        problems.append("eligible names no asset; name those that may serve it")
    for name in c.eligible:
        d = drafts.get(name)
        if d is None:
            problems.append(f"eligible names {name!r}, which is no asset here ({', '.join(drafts)})")
        elif isinstance(d.part.offer, Custom) and d.room_up is None and d.room_down is None:
            problems.append(f"{name!r} writes its own rows and cannot be reserved")
        elif c.direction in ("up", "both") and d.room_up is None:
            problems.append(f"{name!r} cannot reduce net load on call")
        elif c.direction in ("down", "both") and d.room_down is None:
            problems.append(f"{name!r} cannot raise net load on call")
    for what, value in (("usd_per_kw_h", c.usd_per_kw_h), ("fixed_kw", c.fixed_kw), ("when", c.when)):
        if value is not None and np.shape(value) not in ((), (n,)):
            problems.append(f"{what} has shape {np.shape(value)}; the horizon needs ({n},)")
    if problems:
        raise InputError.collect(f"{c.owner}, {c.name}", problems)


def _room(c: Claim, drafts: Mapping[str, Draft], problem: Problem, n: int) -> Floats:
    """Most that the eligible assets could ever hold, (n,)."""
    most = np.zeros(n)
    for name in c.eligible:
        d = drafts[name]
        sides = [
            s
            for s, wanted in ((d.room_up, c.direction != "down"), (d.room_down, c.direction != "up"))
            if wanted and s is not None
        ]
        most += np.min([problem.reach(s)[1] for s in sides], axis=0)
    return np.minimum(most, c.max_kw)


def _award(problem: Problem, c: Claim, drafts: Mapping[str, Draft], horizon: Timeline) -> Affine:
    n = horizon.n
    if c.fixed_kw is not None:
        return Affine(filled(c.fixed_kw, n))
    may = np.ones(n, dtype=bool) if c.when is None else np.asarray(c.when, dtype=bool)
    block = np.arange(n) if c.block_h is None else horizon.block(c.block_h)
    kinds, into = np.unique(block[may], return_inverse=True)
    if not kinds.size:
        return zero(n)
    most = np.full(kinds.size, inf)
    np.minimum.at(most, into, _room(c, drafts, problem, n)[may])
    name = key(c)
    cols = problem.add_columns(f"{name} award", kinds.size, owner=c.owner, upper=most)
    if c.min_kw > 0:
        on = Affine.of(
            problem.add_columns(
                f"{name} taken",
                kinds.size,
                owner=c.owner,
                upper=(most >= c.min_kw).astype(float),
                integer=True,
            )
        )
        award = Affine.of(cols)
        problem.add_rows(f"{name} at most", award - on.times(most), owner=c.owner, upper=0.0)
        problem.add_rows(f"{name} at least", award - on.times(c.min_kw), owner=c.owner, lower=0.0)
    where = np.flatnonzero(may)
    return Affine(np.zeros(n), where, cols[into], np.ones(where.size))


def _shares(problem: Problem, c: Claim, award: Affine) -> dict[str, Affine]:
    if len(c.eligible) == 1:
        return {c.eligible[0]: award}
    out, total = {}, zero(award.n)
    for asset in c.eligible:
        out[asset] = Affine.of(problem.add_columns(f"{key(c)} by {asset}", award.n, owner=c.owner))
        total = total + out[asset]
    problem.add_rows(f"{key(c)} shared", total - award, owner=c.owner, lower=0.0, upper=0.0)
    return out


def _most(problem: Problem, name: str, members: list[tuple[Claim, Affine]], owner: str) -> Affine:
    """Sum of a single share, or a column above every share of a family."""
    if len(members) == 1:
        return members[0][1]
    top = Affine.of(problem.add_columns(name, members[0][1].n, owner=owner))
    for c, share in members:
        problem.add_rows(f"{name} holds {key(c)}", top - share, owner=owner, lower=0.0)
    return top


def keep_room(
    problem: Problem,
    claims: Sequence[Claim],
    held: Held,
    drafts: Mapping[str, Draft],
    limits: Sequence[Limit] = (),
) -> None:
    """Power and energy room of every asset for the claims on it. What hard limits keep in a store is not promised."""
    groups = families(claims)
    for asset, d in drafts.items():
        n = d.part.net.n
        needs: dict[str, tuple[Affine, Affine]] = {}
        owners: list[str] = []
        for side in ("up", "down"):
            power, energy = zero(n), zero(n)
            for family in groups:
                mine = [
                    (c, held.shares[key(c), asset])
                    for c in family
                    if (key(c), asset) in held.shares and c.direction in (side, "both")
                ]
                if not mine:
                    continue
                owners += [c.owner for c, _ in mine]
                label = f"{asset} {side} for {', '.join(key(c) for c, _ in mine)}"
                power = power + _most(problem, label, mine, mine[0][0].owner)
                if any(c.sustain_h > 0 for c, _ in mine):
                    lasting = [(c, share.times(c.sustain_h)) for c, share in mine]
                    energy = energy + _most(problem, f"{label}, energy", lasting, mine[0][0].owner)
            needs[side] = (power, energy)
        if owners:
            _rows(problem, d, needs, ", ".join(dict.fromkeys(owners)), _kept_kwh(limits, d, n))


def _kept_kwh(limits: Sequence[Limit], d: Draft, n: int) -> Floats:
    """Energy that hard limits per interval keep in a store at interval boundaries, (n + 1,), -inf for none.

    Limits speak of interval ends; at the first boundary stands what the first end asks, or what is there if less."""
    kept, o = np.full(n + 1, -inf), d.part.offer
    for t in limits:
        m = t.measure
        hard = t.over == "each" and t.breach_usd_per_unit is None
        if hard and m.flow == "stored" and m.asset == o.name and m.reference_kw is None and m.own is None:
            on = np.ones(n, dtype=bool) if t.window is None else t.window >= 0
            kept[1:][on] = np.maximum(kept[1:], filled(t.lower, n))[on]
    if isinstance(o, Store):
        kept[0] = min(kept[1], o.energy_start_kwh)
    return kept


def _rows(
    problem: Problem, d: Draft, needs: Mapping[str, tuple[Affine, Affine]], owner: str, kept_kwh: Floats
) -> None:
    name = d.part.name
    for side, room in (("up", d.room_up), ("down", d.room_down)):
        power, energy = needs[side]
        if room is not None and not (power.fixed and not power.const.any()):
            bind(problem, f"{name}.room {side}", room - power, owner=owner, lower=0.0)
        o = d.part.offer
        if not isinstance(o, Store) or (energy.fixed and not energy.const.any()):
            continue
        assert d.part.stored is not None
        begin = before(d.part.stored, o.energy_start_kwh, d.part.net.n)
        # One row for the higher floor; a `whole` problem keeps both, since its sizes say which is higher.
        floors = {"": np.maximum(o.energy_min_kwh, kept_kwh)}
        if problem.whole:
            floors = {"": o.energy_min_kwh, " kept": kept_kwh}
        for when, stored, span, high in (
            ("begin", begin, slice(None, -1), o.energy_max_kwh[:-1]),
            ("end", d.part.stored, slice(1, None), o.energy_max_kwh[1:]),
        ):
            if side == "up":
                expr = stored - energy.times(1 / o.discharge_efficiency_frac)
                for what, least in floors.items():
                    bind(problem, f"{name}.energy{what} up, {when}", expr, owner=owner, lower=least[span])
            else:
                expr = stored + energy.times(o.charge_efficiency_frac)
                bind(problem, f"{name}.energy down, {when}", expr, owner=owner, upper=high)


def keep_site_room(
    problem: Problem,
    claims: Sequence[Claim],
    held: Held,
    net: Affine,
    export_cap_kw: Floats,
    import_cap_kw: Floats,
) -> None:
    """A full call of every claim at once stays within what the interconnection lets through."""
    if not claims:
        return
    groups = families(claims)
    for side, sign, cap in (("up", -1.0, export_cap_kw), ("down", 1.0, import_cap_kw)):
        called, owners = zero(net.n), []
        for family in groups:
            mine = [(c, held.awards[key(c)]) for c in family if c.direction in (side, "both")]
            if mine:
                owners += [c.owner for c, _ in mine]
                label = f"meter {side} for {', '.join(key(c) for c, _ in mine)}"
                called = called + _most(problem, label, mine, mine[0][0].owner)
        if owners:
            owner = ", ".join(dict.fromkeys(["interconnection", *owners]))
            bind(problem, f"meter.room {side}", net.times(sign) + called, owner=owner, upper=cap)
