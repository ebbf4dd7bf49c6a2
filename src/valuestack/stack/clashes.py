"""What cannot be had, found before solving: by name, owner and time, with what to do about it.

Each check compares one requirement with the most that the assets could do for it, whatever else is asked; so a
clash is certain, while a problem without one may still lack a plan. Sources of the sums: energy that a store can
hold in time, min(E_max, E[t-1] + h eta_c P_c); power that may be promised, up + down <= P_c + P_d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from ..flows import Given, Offer, Store, Unit
from ..solve.problem import Floats, Mask, filled
from ..terms import Claim, Limit, Term, conflicts
from ..timeline import Timeline
from .reach import store_reach

SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class Clash:
    """One requirement that cannot be met.

    owners: who is in the way of whom. name: of the requirement, 'owner/name'. first: interval, when: its time
    (ISO). intervals: how many. what, remedy: sentences for a person. binding: no plan exists while it stands;
    else a programme that can never be served, and will not be.
    """

    owners: tuple[str, ...]
    name: str
    first: int
    when: str
    intervals: int
    what: str
    remedy: str
    binding: bool = True

    def __str__(self) -> str:
        count = f", {self.intervals} intervals in all" if self.intervals > 1 else ""
        return f"{self.what}; first at {self.when}{count}; {self.remedy}"


def clashes(
    horizon: Timeline,
    load_kw: Floats,
    offers: Sequence[Offer],
    terms: Sequence[Term],
    *,
    import_limit_kw: float | Floats = inf,
    export_limit_kw: float | Floats = 0.0,
) -> tuple[Clash, ...]:
    """All clashes of one horizon, the binding ones first. Arguments as for `optimise`."""
    case = _Case(horizon, np.asarray(load_kw, dtype=np.float64), list(offers), list(terms))
    found = [
        *_limits(case),
        *_reserves(case),
        *_powers(case),
        *_awards(case),
        *_least_awards(case),
        *_sums(case),
        *_meter(case, filled(import_limit_kw, horizon.n)),
    ]
    return tuple(sorted(found, key=lambda c: (not c.binding, c.first)))


@dataclass(slots=True, eq=False)
class _Case:
    horizon: Timeline
    load: Floats
    offers: list[Offer]
    terms: list[Term]

    @property
    def n(self) -> int:
        return self.horizon.n

    @property
    def stores(self) -> dict[str, Store]:
        return {o.name: o for o in self.offers if isinstance(o, Store)}

    def hard(self, flow: str, asset: str | None) -> list[Limit]:
        """Hard limits an interval on one plain measure."""
        return [
            t
            for t in self.terms
            if isinstance(t, Limit)
            and t.over == "each"
            and t.breach_usd_per_unit is None
            and (t.measure.flow, t.measure.asset) == (flow, asset)
            and t.measure.reference_kw is None
            and t.measure.own is None
        ]

    def clash(
        self, where: Mask, owners: Sequence[str], name: str, what: str, remedy: str, binding: bool = True
    ) -> Clash:
        at = np.flatnonzero(where)
        k = int(at[0])
        return Clash(
            tuple(dict.fromkeys(owners)),
            name,
            k,
            self.horizon.when(k).isoformat(),
            int(at.size),
            what,
            remedy,
            binding,
        )


def _on(t: Limit, n: int) -> Mask:
    return np.ones(n, dtype=bool) if t.window is None else np.asarray(t.window >= 0)


def _limits(case: _Case) -> list[Clash]:
    return [
        Clash(
            c.owners,
            "/".join(c.owners),
            c.first,
            case.horizon.when(c.first).isoformat(),
            c.intervals,
            c.what,
            "relax one of them or give it a price for breach",
        )
        for c in conflicts(case.terms, case.n)
    ]


def _highest(case: _Case, o: Store) -> Floats:
    """Most energy that a store can hold at the end of each interval, (n,)."""
    top = np.asarray(o.energy_max_kwh[1:], dtype=np.float64).copy()
    for t in case.hard("stored", o.name):
        top = np.where(_on(t, case.n), np.minimum(top, t.upper), top)
    gain = filled(o.charge_max_kw, case.n) * o.charge_efficiency_frac * case.horizon.step_h
    held = o.energy_start_kwh
    for k, (cap, more) in enumerate(zip(top.tolist(), gain.tolist())):
        if held >= cap:
            held = cap
            continue
        held = min(cap, held + more)
        top[k] = held
    return top


def _reserves(case: _Case) -> list[Clash]:
    """Energy asked for that the store cannot hold, or not by then."""
    found = []
    for o in case.stores.values():
        for t in case.hard("stored", o.name):
            lower = np.where(_on(t, case.n), filled(t.lower, case.n), -inf)
            capacity = np.asarray(o.energy_max_kwh[1:])
            above = lower > capacity + SLACK
            late = ~above & (lower > _highest(case, o) + SLACK)
            for where, most, how in (
                (above, capacity, "holds at most"),
                (late, _highest(case, o), "can hold at most"),
            ):
                if not where.any():
                    continue
                k = int(np.flatnonzero(where)[0])
                found.append(
                    case.clash(
                        where,
                        (t.owner, o.name),
                        f"{t.owner}/{t.name}",
                        f"{t.owner} asks for at least {lower[k]:g} kWh in {o.name} ({t.name}), "
                        f"which {how} {most[k]:g} kWh{'' if where is above else ' by then'}",
                        "lower the reserve, start fuller or give the reserve a price for breach",
                    )
                )
    return found


def _powers(case: _Case) -> list[Clash]:
    """A flow asked of an asset beyond its power."""
    found = []
    for o in case.offers:
        if isinstance(o, Store):
            most = {
                "charge": filled(o.charge_max_kw, case.n),
                "discharge": filled(o.discharge_max_kw, case.n),
            }
        elif isinstance(o, Unit):
            most = {"generation": filled(o.max_kw, case.n) * (1.0 if o.available is None else o.available)}
        else:
            continue
        for flow, cap in most.items():
            for t in case.hard(flow, o.name):
                lower = np.where(_on(t, case.n), filled(t.lower, case.n), -inf)
                where = lower > cap + SLACK
                if where.any():
                    k = int(np.flatnonzero(where)[0])
                    asks = f"{t.owner} asks for {lower[k]:g} kW of {flow} by {o.name} ({t.name})"
                    what = f"{asks}, which can do {cap[k]:g} kW"
                    found.append(
                        case.clash(
                            where,
                            (t.owner, o.name),
                            f"{t.owner}/{t.name}",
                            what,
                            "ask for less or give it a price for breach",
                        )
                    )
    return found


def _room(case: _Case, name: str) -> tuple[Floats, Floats, Floats] | None:
    """Power that an asset may promise up and down together, and each alone up and down at most, (n,)."""
    o = next((o for o in case.offers if o.name == name), None)
    if isinstance(o, Store):
        both = filled(o.charge_max_kw, case.n) + filled(o.discharge_max_kw, case.n)
        return both, both, both
    if isinstance(o, Unit):
        span = filled(o.max_kw, case.n) * (1.0 if o.available is None else o.available)
        return span, span, span
    if isinstance(o, Given) and o.curtailable:
        made = np.maximum(-filled(o.net_kw, case.n), 0.0)
        return made, np.zeros(case.n), made
    return None


def _awards(case: _Case) -> list[Clash]:
    """Awards already made that the eligible assets cannot hold, by power and by energy; those that may share count
    once."""
    fixed = [t for t in case.terms if isinstance(t, Claim) and t.fixed_kw is not None]
    found = []
    for group in dict.fromkeys(t.eligible for t in fixed):
        members = [t for t in fixed if t.eligible == group]
        rooms = [r for r in (_room(case, name) for name in group) if r is not None]
        if not rooms:
            continue
        both = np.sum([r[0] for r in rooms], axis=0)
        up, down = _together(members, "up", case.n), _together(members, "down", case.n)
        owners = (*(t.owner for t in members), *group)
        names = ", ".join(f"{t.owner}/{t.name}" for t in members)
        where = up + down > both + SLACK
        if where.any():
            k = int(np.flatnonzero(where)[0])
            takes = f"awards of {names} take {up[k] + down[k]:g} kW up and down"
            what = f"{takes}, {', '.join(group)} can give {both[k]:g} kW"
            found.append(
                case.clash(where, owners, names, what, "buy back an award or let another asset serve it")
            )
        found += _award_energy(case, members, group, owners, names)
    return found


def _together(members: Sequence[Claim], side: str, n: int) -> Floats:
    """Fixed awards of one side, the largest of those that may share."""
    total: Floats = np.zeros(n)
    left = [t for t in members if t.direction in (side, "both")]
    while left:
        head = left.pop(0)
        most = filled(head.fixed_kw if head.fixed_kw is not None else 0.0, n)
        for other in [t for t in left if t.name in head.may_share or head.name in t.may_share]:
            most = np.maximum(most, filled(other.fixed_kw if other.fixed_kw is not None else 0.0, n))
            left.remove(other)
        total = total + most
    return total


def _award_energy(
    case: _Case, members: Sequence[Claim], group: tuple[str, ...], owners: Sequence[str], names: str
) -> list[Clash]:
    stores = [case.stores[name] for name in group if name in case.stores]
    if len(stores) != len(group):
        return []
    need, has = np.zeros(case.n), np.zeros(case.n)
    who = list(owners)
    for t in members:
        kw = filled(t.fixed_kw if t.fixed_kw is not None else 0.0, case.n)
        o = stores[0]
        if t.direction in ("up", "both"):
            need = np.maximum(need, kw * t.sustain_h / o.discharge_efficiency_frac)
        if t.direction == "both":
            need = np.maximum(
                need, kw * t.sustain_h * (1 / o.discharge_efficiency_frac + o.charge_efficiency_frac)
            )
    for o in stores:
        low = np.asarray(o.energy_min_kwh[1:], dtype=np.float64)
        for limit in case.hard("stored", o.name):
            low = np.where(_on(limit, case.n), np.maximum(low, limit.lower), low)
            who.append(limit.owner)
        has = has + np.maximum(np.asarray(o.energy_max_kwh[1:]) - low, 0.0)
    where = need > has + SLACK
    if not where.any():
        return []
    k = int(np.flatnonzero(where)[0])
    what = f"awards of {names} need {need[k]:g} kWh of room, {', '.join(group)} has {has[k]:g} kWh above its reserve"
    return [case.clash(where, who, names, what, "buy back an award or lower the reserve")]


def _least_awards(case: _Case) -> list[Clash]:
    """Programmes whose least award nobody here can ever hold."""
    found = []
    for t in case.terms:
        if not isinstance(t, Claim) or t.fixed_kw is not None or t.min_kw <= 0:
            continue
        rooms = [r for r in (_room(case, name) for name in t.eligible) if r is not None]
        if not rooms:
            continue
        share = 2.0 if t.direction == "both" else 1.0
        most = np.minimum(np.sum([r[0] for r in rooms], axis=0) / share, t.max_kw)
        on = np.ones(case.n, dtype=bool) if t.when is None else np.asarray(t.when)
        where = on & (most < t.min_kw - SLACK)
        if on.any() and (where == on).all():
            k = int(np.flatnonzero(where)[0])
            takes = f"{t.owner} takes no less than {t.min_kw:g} kW ({t.name})"
            what = f"{takes}, {', '.join(t.eligible)} can hold {most[k]:g} kW"
            found.append(
                case.clash(
                    where,
                    (t.owner, *t.eligible),
                    f"{t.owner}/{t.name}",
                    what,
                    "leave the programme out or join an aggregate",
                    False,
                )
            )
    return found


def _sums(case: _Case) -> list[Clash]:
    """Energy of an event, or a cap on a window's energy, beyond what stores hold above their reserve."""
    if not all(isinstance(o, (Store, Given)) and not getattr(o, "curtailable", False) for o in case.offers):
        return []
    found = []
    for t in case.terms:
        m = t.measure if isinstance(t, Limit) else None
        if not isinstance(t, Limit) or m is None or t.over != "sum" or t.breach_usd_per_unit is not None:
            continue
        if m.asset is not None or m.own is not None or m.flow not in ("net", "import") or t.window is None:
            continue
        n_w = int(t.window.max(initial=-1)) + 1
        upper = filled(t.upper, n_w)
        if m.reference_kw is not None:
            upper = _window_sum(case, m.reference_kw, t) - filled(t.lower, n_w)
        past = np.zeros(n_w) if t.so_far is None else np.asarray(t.so_far)[:n_w]
        least = past + _least_energy(case, t, n_w)
        short = np.flatnonzero(least > upper + SLACK)
        if short.size:
            w = int(short[0])
            owners = [t.owner, *(o.name for o in case.stores.values())]
            owners += [r.owner for o in case.stores.values() for r in case.hard("stored", o.name)]
            what = (
                f"{t.owner} asks for {least[w] - upper[w]:.4g} kWh more than the stores can give in one window "
                f"({t.name}) above their reserve"
            )
            found.append(
                case.clash(
                    t.window == w, owners, f"{t.owner}/{t.name}", what, "nominate less or lower the reserve"
                )
            )
    return found


def _window_sum(case: _Case, kw: Floats, t: Limit) -> Floats:
    assert t.window is not None
    at = t.window >= 0
    n_w = int(t.window.max(initial=-1)) + 1
    return np.bincount(t.window[at], weights=kw[at] * case.horizon.step_h, minlength=n_w).astype(np.float64)


def _least_energy(case: _Case, t: Limit, n_w: int) -> Floats:
    from dataclasses import replace

    assert t.window is not None
    rest = case.load.copy()
    least: Floats = np.zeros(n_w)
    for o in case.offers:
        if isinstance(o, Given):
            rest = rest + o.net_kw
        elif isinstance(o, Store):
            low = np.asarray(o.energy_min_kwh, dtype=np.float64).copy()
            for limit in case.hard("stored", o.name):
                low[1:] = np.where(_on(limit, case.n), np.maximum(low[1:], limit.lower), low[1:])
            tight = replace(o, energy_min_kwh=np.minimum(low, o.energy_max_kwh))
            least = least + store_reach(tight, t.window, n_w, case.horizon.step_h)[0]
    if t.measure.flow == "import":
        rest = np.maximum(rest, 0.0)
    return least + _window_sum(case, rest, t)


def _meter(case: _Case, import_limit: Floats) -> list[Clash]:
    """Load beyond the interconnection and everything behind the meter."""
    least = case.load.copy()
    for o in case.offers:
        if isinstance(o, Given):
            least = least + np.minimum(o.net_kw, 0.0) if o.curtailable else least + o.net_kw
        elif isinstance(o, Store):
            least = least - filled(o.discharge_max_kw, case.n)
        elif isinstance(o, Unit):
            least = least - filled(o.max_kw, case.n) if o.sign < 0 else least
        else:
            return []
    where = least > import_limit + SLACK
    if not where.any():
        return []
    k = int(np.flatnonzero(where)[0])
    leaves = f"the load leaves {least[k]:g} kW with every asset at full power"
    what = f"{leaves}, the interconnection lets {import_limit[k]:g} kW in"
    return [
        case.clash(
            where, ("interconnection",), "interconnection/import", what, "raise the import limit or add power"
        )
    ]
