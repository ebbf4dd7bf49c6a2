"""Which problems the fast kernel solves exactly: one store under a tariff; all else is refused in words.

Taken: one Store with flat wear, any fixed Given, prices an interval on import and export, demand charges on the
interval's own mean with ascending tiers, floors by history and by earlier windows, energy tiers that no plan
can cross (then they are one price), hard limits on import, export, net load and the store, minimum bills that
turn out not to bind, and charges on vars that nothing moves.

What a term costs is stated twice, by the kernel's arrays and by the term's own rule on the plan found; where the
two differ the general solver is asked, so that a slip here cannot become a wrong bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InfeasibleError, SolverError
from ..flows import Given, Offer, Store
from ..solve.problem import Floats, Ints
from ..terms import HoursUse, Limit, Minimum, Payment, Term
from ..timeline import Timeline
from .reach import store_reach
from .value import Flows, priced, worth

if TYPE_CHECKING:
    from ..solve.store_dp import StoreProblem
    from .optimise import Schedule

Ladder = tuple[tuple[float, float], ...]
AGREE = 1e-8  # of the cost: how far kernel and terms may differ by rounding


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the fast kernel does not take a problem."""

    reason: str


class _Not(Exception):
    """A refusal on its way out."""


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A recognised problem; constant_usd is what terms cost beside it; still: charges that nothing moves."""

    problem: StoreProblem
    store: str
    constant_usd: float
    still: tuple[Payment, ...]
    minima: tuple[Minimum, ...]


def recognise(
    horizon: Timeline,
    load_kw: Floats,
    offers: Sequence[Offer],
    terms: Sequence[Term],
    *,
    load_kvar: Floats | None = None,
    import_limit_kw: float | Floats = inf,
    export_limit_kw: float | Floats = 0.0,
) -> tuple[StoreProblem, str] | Refusal:
    """The problem as arrays with the store's name, or a Refusal.

    Minimum bills and charges on fixed vars are left out of the arrays; `fast` puts them back.
    """
    try:
        found = _found(horizon, load_kw, offers, terms, import_limit_kw, export_limit_kw)
    except _Not as e:
        return Refusal(str(e))
    return found.problem, found.store


def fast(
    horizon: Timeline,
    load_kw: Floats,
    offers: Sequence[Offer],
    terms: Sequence[Term],
    *,
    load_kvar: Floats | None,
    import_limit_kw: float | Floats,
    export_limit_kw: float | Floats,
    gap: float,
) -> Schedule | str:
    """The Schedule found by the kernel, or the reason why it was not used."""
    from ..solve.store_dp import solve

    try:
        found = _found(horizon, load_kw, offers, terms, import_limit_kw, export_limit_kw)
        answer = solve(found.problem, gap=0.5 * min(gap, 1e-6))
        return _settled(horizon, load_kw, offers, terms, load_kvar, found, answer)
    except _Not as e:
        return str(e)
    except (InfeasibleError, SolverError) as e:
        return f"the fast kernel gave up ({e})"


def _settled(
    horizon: Timeline,
    load_kw: Floats,
    offers: Sequence[Offer],
    terms: Sequence[Term],
    load_kvar: Floats | None,
    found: _Found,
    answer: Any,
) -> Schedule:
    """The plan priced by every term's own rule, which must come to what the kernel says."""
    from .optimise import schedule_of

    moving = [t for t in terms if t not in found.still]
    made = schedule_of(
        horizon,
        load_kw,
        offers,
        moving,
        {found.store: answer.power},
        lower_bound_usd=-inf,
        method="slope-trick dynamic programme",
        why=(f"{answer.rounds} rounds of cuts, upper - lower bound {answer.upper - answer.lower:.2g} USD",),
    )
    if any(made.term_usd[f"{m.owner}/{m.name}"] > 1e-6 for m in found.minima):
        raise _Not("a minimum bill binds")
    said = answer.upper + found.constant_usd
    if abs(made.objective_usd - said) > AGREE * max(1.0, abs(said), abs(found.constant_usd)):
        raise _Not(
            f"the kernel's cost {said:.6f} is not what the terms come to, {made.objective_usd:.6f} USD"
        )
    lower = answer.lower + found.constant_usd
    usd, kvar = {}, None
    if found.still:
        kvar = _kvar(horizon.n, load_kvar, offers)
        usd = worth(Flows(horizon, made.net_kw, kvar), found.still).usd
    more = float(sum(usd.values()))
    return replace(
        made,
        objective_usd=made.objective_usd + more,
        lower_bound_usd=min(lower, made.objective_usd) + more,
        term_usd={**made.term_usd, **usd},
        net_kvar=kvar if load_kvar is not None else made.net_kvar,
        flows=None if made.flows is None else replace(made.flows, net_kvar=kvar),
    )


def _kvar(n: int, load_kvar: Floats | None, offers: Sequence[Offer]) -> Floats:
    out = np.zeros(n) if load_kvar is None else np.asarray(load_kvar, dtype=np.float64).copy()
    for o in offers:
        if isinstance(o, Given) and o.kvar is not None:
            out = out + o.kvar
    return out


# --- the whole -------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Site:
    """What stands behind the meter, as arrays that limits narrow. low, high: (n + 1,) energy."""

    store: Store
    n: int
    h: float
    base: Floats
    charge: Floats
    discharge: Floats
    low: Floats
    high: Floats
    most_import: Floats
    most_export: Floats

    @property
    def may_feed(self) -> Any:
        """Intervals in which net load can turn negative, (n,)."""
        return (self.most_export > 0) & (self.base - self.discharge < 0)


def _found(
    horizon: Timeline,
    load_kw: Floats,
    offers: Sequence[Offer],
    terms: Sequence[Term],
    import_limit_kw: float | Floats,
    export_limit_kw: float | Floats,
) -> _Found:
    from ..solve.store_dp import StoreProblem

    n, h = horizon.n, horizon.step_h
    site = _site(load_kw, offers, n, h, import_limit_kw, export_limit_kw)
    minima = tuple(t for t in terms if isinstance(t, Minimum))
    still = tuple(t for t in terms if isinstance(t, Payment) and _is_still(t, offers, minima))
    for t in terms:
        if isinstance(t, Limit):
            _limit(t, site)
        elif not isinstance(t, (Payment, Minimum)):
            raise _Not(f"{t.name} is a {type(t).__name__.lower()}")
    payments = [t for t in terms if isinstance(t, Payment) and t not in still]
    for t in payments:
        _check_payment(t)
    prices, peaks = _Prices(site), _Peaks(site)
    for t in payments:
        if t.over == "each":
            prices.each(t)
        elif t.over == "max":
            peaks.add(t)
        elif t.pool is None:
            prices.sum(t)
    for key in dict.fromkeys((t.owner, t.pool) for t in payments if t.pool is not None):
        prices.pool([t for t in payments if (t.owner, t.pool) == key])
    buy, sell = prices.buy, -prices.feed
    _convex(buy, sell, site)
    peaks.merge()
    s = site.store
    problem = StoreProblem(
        h=h,
        load=site.base,
        buy=buy,
        sell=np.where(site.may_feed, sell, np.minimum(sell, buy)),
        charge=site.charge,
        discharge=site.discharge,
        ec=s.charge_efficiency_frac,
        ed=s.discharge_efficiency_frac,
        wear=s.wear_usd_per_kwh,
        low=site.low,
        high=site.high,
        start=s.energy_start_kwh,
        end_min=s.energy_end_min_kwh,
        end_value=s.end_value_usd_per_kwh,
        drain=_series(s.drain_kw, n) * h,
        most_import=site.most_import,
        # Where net load stays above zero anyway, no export limit is needed, and no price of export counts.
        most_export=np.where(site.may_feed, site.most_export, np.minimum(site.most_export, 0.0)),
        window=peaks.rows(),
        tiers=[w.ladder for w in peaks.windows],
        least=np.array([w.least for w in peaks.windows]),
        share=np.array([w.share for w in peaks.windows]),
        of=[tuple(w.of) for w in peaks.windows],
        stretch=_stretches(horizon, payments),
        so_far=np.array([w.so_far for w in peaks.windows]),
    )
    return _Found(problem, s.name, prices.constant_usd + peaks.constant_usd, still, minima)


def _series(value: Any, n: int) -> Floats:
    return np.zeros(n) if value is None else np.array(np.broadcast_to(np.asarray(value, dtype=float), (n,)))


def _site(
    load_kw: Floats,
    offers: Sequence[Offer],
    n: int,
    h: float,
    import_limit_kw: float | Floats,
    export_limit_kw: float | Floats,
) -> _Site:
    store = _store(offers)
    if np.shape(load_kw) != (n,) or any(
        np.shape(e) != (n + 1,) for e in (store.energy_min_kwh, store.energy_max_kwh)
    ):
        raise _Not("a series has not the horizon's length")
    base = np.asarray(load_kw, dtype=np.float64) + _series(store.aux_kw, n)
    for o in offers:
        if isinstance(o, Given):
            if o.curtailable:
                raise _Not(f"{o.name} may be curtailed")
            base = base + o.net_kw
    site = _Site(
        store,
        n,
        h,
        base,
        _series(store.charge_max_kw, n),
        _series(store.discharge_max_kw, n),
        np.array(store.energy_min_kwh, dtype=np.float64),
        np.array(store.energy_max_kwh, dtype=np.float64),
        _series(import_limit_kw, n),
        _series(export_limit_kw, n),
    )
    if not all(np.isfinite(v).all() for v in (base, site.charge, site.discharge, site.low, site.high)):
        raise _Not("load, power or energy limits hold values that are no numbers")
    if (site.low > site.high).any() or not (0 < store.charge_efficiency_frac <= 1):
        raise _Not(f"the limits of {store.name} leave no room")
    return site


def _store(offers: Sequence[Offer]) -> Store:
    stores = [o for o in offers if isinstance(o, Store)]
    others = [o for o in offers if not isinstance(o, (Store, Given))]
    if others:
        raise _Not(f"{others[0].name} is neither a store nor given")
    if len(stores) != 1:
        raise _Not(f"there are {len(stores)} stores; the kernel takes one")
    s = stores[0]
    for bad, why in (
        (s.wear_segments, "wear by depth segments"),
        (s.loss_pieces, "losses that bend with power"),
        (s.loss_frac_per_h, "self-discharge by share"),
        (s.wear_usd_per_kwh < 0, "a negative price of wear"),
        (not 0 < s.discharge_efficiency_frac <= 1, "an efficiency outside (0, 1]"),
    ):
        if bad:
            raise _Not(f"{s.name} has {why}")
    if (
        s.inverter_kva is not None
        and max(np.max(s.charge_max_kw), np.max(s.discharge_max_kw)) > s.inverter_kva
    ):
        raise _Not(f"the inverter of {s.name} is smaller than its power")
    return s


def _is_still(t: Payment, offers: Sequence[Offer], minima: Sequence[Minimum]) -> bool:
    """Whether a charge is on vars alone and no inverter can give any."""
    inverters = any(
        (isinstance(o, Store) and o.inverter_kva is not None)
        or (isinstance(o, Given) and o.rating_kva is not None)
        for o in offers
    )
    member = any(m.owner == t.owner and t.name in m.members for m in minima)
    return (
        t.measure.flow == "kvar"
        and t.measure.asset is None
        and t.measure.own is None
        and not (inverters or member)
    )


def _check_payment(t: Payment) -> None:
    if t.measure.asset is not None or t.measure.reference_kw is not None or t.measure.own is not None:
        raise _Not(f"{t.name} is not measured at the meter itself")
    if t.measure.flow not in ("import", "export", "net"):
        raise _Not(f"{t.name} is measured in {t.measure.flow}")
    if any(isinstance(b.upto, HoursUse) for b in t.blocks):
        raise _Not(f"{t.name} has hours-use tiers")
    if t.floors and t.over != "max":
        raise _Not(f"{t.name} has floors")


def _limit(t: Limit, site: _Site) -> None:
    """Hard limits an interval narrow the arrays: import, export, net load, and the store's power and energy."""
    m = t.measure
    plain = m.reference_kw is None and m.own is None and m.asset in (None, site.store.name)
    if not plain or t.breach_usd_per_unit is not None or t.over != "each":
        raise _Not(f"{t.name} of {t.owner} is a limit of another kind")
    at = np.ones(site.n, dtype=bool) if t.window is None else t.window >= 0
    lower, upper = np.where(at, t.lower, -inf), np.where(at, t.upper, inf)
    flow = (m.asset is not None, m.flow)
    aux = _series(site.store.aux_kw, site.n)
    if flow != (False, "net") and flow != (True, "stored") and ((lower > 0).any() or (upper < 0).any()):
        raise _Not(f"{t.name} of {t.owner} forces a flow")
    if flow == (False, "import"):
        np.minimum(site.most_import, upper, out=site.most_import)
    elif flow == (False, "export"):
        np.minimum(site.most_export, upper, out=site.most_export)
    elif flow == (False, "net"):
        np.minimum(site.most_import, upper, out=site.most_import)
        np.minimum(site.most_export, -lower, out=site.most_export)
    elif flow == (True, "charge") and not aux.any():
        np.minimum(site.charge, upper, out=site.charge)
    elif flow == (True, "discharge"):
        np.minimum(site.discharge, upper, out=site.discharge)
    elif flow == (True, "stored"):
        site.low[1:], site.high[1:] = np.maximum(site.low[1:], lower), np.minimum(site.high[1:], upper)
    else:
        raise _Not(f"{t.name} of {t.owner} is a limit of another kind")


def _convex(buy: Floats, sell: Floats, site: _Site) -> None:
    s = site.store
    ec, ed, wear = s.charge_efficiency_frac, s.discharge_efficiency_frac, s.wear_usd_per_kwh
    feeds = site.may_feed
    if not (np.isfinite(buy).all() and np.isfinite(sell).all()):
        raise _Not("prices hold values that are no numbers")
    for price in (buy, sell[feeds]):
        if price.size and ((price - wear) * ed > price / ec + 1e-12).any():
            raise _Not("prices fall below zero so far that burning energy pays")
    if (sell[feeds] > buy[feeds] + 1e-12).any():
        raise _Not("export earns more than import costs at times")


def _stretches(horizon: Timeline, payments: Sequence[Payment]) -> Ints:
    """Spans of one cut each: the cycles of a charge on every interval, or calendar months."""
    cycles = [t.window for t in payments if t.over == "max" and (t.window >= 0).all() and t.windows > 1]
    by = cycles[0] if cycles else horizon.month_id
    out: Ints = np.concatenate(([0], np.cumsum(np.diff(by) != 0))).astype(np.int64)
    return out


# --- energy ----------------------------------------------------------------------------------------------


def _tiers(t: Payment, w: int) -> Ladder:
    """((upto, price), ...) of one window, the last without bound."""

    def of(value: Any) -> float:
        array = np.asarray(value, dtype=np.float64)
        if array.ndim and w >= array.size:
            raise _Not(f"{t.name} has not a price for each window")
        return float(array[w] if array.ndim else array)

    last = len(t.blocks) - 1
    return tuple(
        (inf if j == last else of(b.upto), t.weight * of(b.usd_per_unit)) for j, b in enumerate(t.blocks)
    )


class _Prices:
    """What a kWh costs when drawn and when fed, by interval, and what pinned tiers cost beside it."""

    def __init__(self, site: _Site) -> None:
        self.site, self.constant_usd = site, 0.0
        self.buy, self.feed = np.zeros(site.n), np.zeros(site.n)

    def _add(self, t: Payment, price: Floats) -> None:
        if t.measure.flow in ("import", "net"):
            self.buy += price
        if t.measure.flow == "export":
            self.feed += price
        elif t.measure.flow == "net":
            self.feed -= price

    def each(self, t: Payment) -> None:
        """A price an interval."""
        if len(t.blocks) != 1:
            raise _Not(f"{t.name} has tiers an interval")
        if np.shape(t.blocks[0].usd_per_unit) not in ((), (self.site.n,)):
            raise _Not(f"{t.name} has not a price for each interval")
        price = t.weight * _series(t.blocks[0].usd_per_unit, self.site.n)
        self._add(t, np.where(t.window >= 0, price, 0.0))

    def sum(self, t: Payment) -> None:
        """Energy tiers that no plan can cross."""
        so_far = _so_far(t)
        low, high = self._reach(t.measure.flow, t.window, so_far.size)
        price = np.zeros(self.site.n)
        for w, past in enumerate(so_far.tolist()):
            tiers = _tiers(t, w)
            k = _tier(t, tiers, low[w] + past, high[w] + past)
            usd = tiers[k][1]
            price[t.window == w] = usd
            sure = low[w] + past
            self.constant_usd += _cost(tiers, sure) - usd * low[w]
            if t.carry is not None and (sure < 0 or t.carry.start or min(p for _, p in tiers) < 0):
                raise _Not(f"{t.name}: a plan may feed in more than a cycle draws, and bank it")
        self._add(t, price)

    def pool(self, members: Sequence[Payment]) -> None:
        """Tiers on the sum of several charges, shared pro rata: linear where no plan crosses a bound and the
        steps of price are equal, sum_p q_p price_pk + sum_(j<k) (price_pj - price_pk) width_j."""
        head, n_w = members[0], max(_so_far(t).size for t in members)
        windows = np.stack([t.window for t in members])
        if ((windows >= 0).sum(axis=0) > 1).any() or any(not t.measure.same(head.measure) for t in members):
            raise _Not(f"{head.pool}: charges that share tiers overlap or are measured unlike")
        if any(t.carry is not None for t in members):
            raise _Not(f"{head.pool}: shared tiers with a bank")
        low, high = self._reach(head.measure.flow, windows.max(axis=0), n_w)
        prices = [np.zeros(self.site.n) for _ in members]
        for w in range(n_w):
            inside = [i for i, t in enumerate(members) if w < _so_far(t).size]
            ladders = {i: _tiers(members[i], w) for i in inside}
            past = sum(float(_so_far(members[i])[w]) for i in inside)
            first = ladders[inside[0]]
            k = _tier(head, first, low[w] + past, high[w] + past)
            steps = {tuple(round(p - x[k][1], 12) for _, p in x[:k]) for x in ladders.values()}
            bounds = {tuple(u for u, _ in x[: k + 1]) for x in ladders.values()}
            if len(steps) > 1 or len(bounds) > 1:
                raise _Not(f"{head.pool}: charges share tiers pro rata with unequal steps of price")
            self.constant_usd += _cost(tuple((u, p - first[k][1]) for u, p in first), low[w] + past)
            for i in inside:
                usd = ladders[i][k][1]
                prices[i][members[i].window == w] = usd
                self.constant_usd += usd * float(_so_far(members[i])[w])
        for t, price in zip(members, prices):
            self._add(t, price)

    def _reach(self, flow: str, window: Ints, n_w: int) -> tuple[Floats, Floats]:
        """Least and greatest energy of each window that a plan can bring about [kWh]."""
        s = self.site
        counted = window >= 0

        def total(kw: Floats) -> Floats:
            return np.bincount(window[counted], weights=kw[counted] * s.h, minlength=n_w)[:n_w].astype(float)

        if flow == "export":
            most = np.minimum(np.maximum(s.discharge - s.base, 0.0), np.maximum(s.most_export, 0.0))
            return total(np.maximum(-s.base - s.charge, 0.0)), total(most)
        if flow == "import" and s.may_feed[counted].any():
            # Net load changes its sign, so that import is no longer net: bound by power alone.
            return total(np.maximum(s.base - s.discharge, 0.0)), total(np.maximum(s.base + s.charge, 0.0))
        rest = total(s.base - _series(s.store.aux_kw, s.n))
        low, high = store_reach(s.store, window, n_w, s.h)
        return rest + low, rest + high


def _so_far(t: Payment) -> Floats:
    """What each window has measured before, for as many windows as the payment knows, (windows,)."""
    n = max(t.windows, 0 if t.so_far is None else len(t.so_far), *(f.window + 1 for f in t.floors), 0)
    out = np.zeros(n)
    if t.so_far is not None:
        out[: len(t.so_far)] = t.so_far
    return out


def _tier(t: Payment, tiers: Ladder, low: float, high: float) -> int:
    """The tier that a window's energy ends in, whatever the plan; the first one holds below zero too."""
    at = -inf
    for k, (upto, _) in enumerate(tiers):
        if at <= low + 1e-9 and high <= upto + 1e-9:
            return k
        at = upto
    raise _Not(f"{t.name}: a plan can bring the cycle's energy across a tier bound")


def _cost(tiers: Ladder, q: float) -> float:
    return float(priced(np.array([q]), [(np.array([u]), np.array([p])) for u, p in tiers])[0])


# --- peaks -----------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Window:
    """One window of the master: where it counts, its price above what is certain, and its floors."""

    name: str
    owner: int  # the payment whose row carries it
    at: Ints
    ladder: Ladder
    so_far: float
    least: float = 0.0
    share: float = 0.0
    of: list[int] = field(default_factory=list)
    low: float = 0.0
    high: float = 0.0


class _Peaks:
    """Demand charges as windows; charges on the same intervals are added before they are judged."""

    def __init__(self, site: _Site) -> None:
        self.site, self.constant_usd = site, 0.0
        self.windows: list[_Window] = []
        self.payments = 0

    def add(self, t: Payment) -> None:
        """All windows of one charge."""
        if t.measure.average_h is not None and t.measure.average_h > self.site.h + 1e-9:
            raise _Not(f"{t.name} is billed on longer means than the data's interval")
        if t.measure.flow == "export" or t.pool is not None or t.carry is not None:
            raise _Not(f"{t.name} is on export, pooled or banked")
        so_far, first = _so_far(t), len(self.windows)
        order = np.argsort(t.window, kind="stable")
        edges = np.searchsorted(t.window[order], np.arange(so_far.size + 1))
        for w, past in enumerate(so_far.tolist()):
            at = order[edges[w] : edges[w + 1]]
            made = _Window(t.name, self.payments, at, _tiers(t, w), max(past, 0.0))
            lowest = float((self.site.base - self.site.discharge)[at].max(initial=-inf))
            if t.measure.flow == "net" and lowest < 0 and (t.so_far is None or past < 0):
                raise _Not(f"{t.name}: the highest net load of a window may lie below zero")
            made.low = max(lowest, made.so_far)
            made.high = max(float((self.site.base + self.site.charge)[at].max(initial=0.0)), made.so_far)
            self.windows.append(made)
        self._floors(t, first, so_far.size)
        self.payments += 1

    def _floors(self, t: Payment, first: int, n_w: int) -> None:
        for f in t.floors:
            w = self.windows[first + f.window]
            w.least = max(w.least, f.least)
            if f.share <= 0 or not f.of_windows:
                continue
            if f.of not in (None, t.name):
                raise _Not(f"{t.name} has a floor on another charge")
            if w.of and w.share != f.share:
                raise _Not(f"{t.name} has two shares of other windows in one")
            if max(f.of_windows) >= n_w:
                raise _Not(f"{t.name} has a floor on a window that it does not have")
            w.share = f.share
            w.of += [first + k for k in f.of_windows]

    def merge(self) -> None:
        """Windows on the same intervals with equal floors become one; prices below what is billed for certain
        become a constant, and those out of reach are dropped."""
        kept: dict[Any, int] = {}
        into = [0] * len(self.windows)
        windows: list[_Window] = []
        referred = {k for w in self.windows for k in w.of}
        for i, w in enumerate(self.windows):
            key: Any = i if w.of or i in referred else (w.at.tobytes(), w.so_far, w.least)
            if key in kept:
                same = windows[kept[key]]
                same.ladder = _added(same.ladder, w.ladder)
            else:
                kept[key] = len(windows)
                windows.append(w)
            into[i] = kept[key]
        for w in windows:
            w.of = [into[k] for k in w.of]
        for w in windows:
            reach = max((w.share * windows[k].high for k in w.of), default=0.0)
            self.constant_usd += _trim(w, max(w.low, w.least), max(w.high, w.least, reach))
        for w in windows:
            prices = [p for _, p in w.ladder]
            if any(b < a - 1e-12 for a, b in pairwise(prices)):
                raise _Not(f"{w.name} has declining demand tiers")
            if prices[0] < 0:
                raise _Not(f"{w.name} pays for peaks")
        self.windows = windows

    def rows(self) -> Ints:
        """Window of each interval by charge, (charges, n)."""
        out = np.full((self.payments, self.site.n), -1, dtype=np.int64)
        for i, w in enumerate(self.windows):
            out[w.owner, w.at] = i
        return out[(out >= 0).any(axis=1)]


def _added(a: Ladder, b: Ladder) -> Ladder:
    """Sum of two ladders of prices."""
    bounds = sorted({u for u, _ in (*a, *b)})

    def price(tiers: Ladder, upto: float) -> float:
        return next(p for u, p in tiers if u >= upto)

    return tuple((u, price(a, u) + price(b, u)) for u in bounds)


def _trim(w: _Window, low: float, high: float) -> float:
    """Keep the tiers between what is billed at least and at most; returns what the others cost beside these."""
    tiers = w.ladder
    k = next(j for j, (u, _) in enumerate(tiers) if u > low or j == len(tiers) - 1)
    constant, at = 0.0, 0.0
    for upto, price in tiers[:k]:
        constant += (price - tiers[k][1]) * (upto - at)
        at = upto
    end = next(j for j, (u, _) in enumerate(tiers) if u >= high or j == len(tiers) - 1)
    kept = tiers[k : max(k, end) + 1]
    w.ladder = (*kept[:-1], (inf, kept[-1][1]))
    return constant
