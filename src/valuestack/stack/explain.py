"""Why a plan does what it does in one interval: what held it, who priced it, and what the next-best action costs.

    cost of an action = least cost with this setpoint asked for in this interval - least cost

found by solving again from the last basis, everything after and before it free to adapt. What held the plan are
the rows and bounds of the interval with a dual value [USD per unit]; who priced it are the terms whose own rule
moves when one kW more, or less, is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InfeasibleError, InputError
from ..flows import Custom, Offer, Store, Unit
from ..solve.problem import Affine, Floats, Ints
from ..terms import Limit, Measure, Term
from ..timeline import Timeline
from .compile import Compiled, at_once, compile_problem
from .optimise import Schedule, optimise
from .staged import stages
from .value import Flows, worth

if TYPE_CHECKING:
    from ..solve.highs import Warm

NUDGE_KW = 1.0
SMALL_USD = 1e-7
_SAYS = {
    "balance": "energy in equals energy out",
    "room up": "power promised upwards",
    "room down": "power promised downwards",
    "energy up, begin": "energy kept for promises upwards",
    "energy up, end": "energy kept for promises upwards",
    "energy down, begin": "room kept for promises downwards",
    "energy down, end": "room kept for promises downwards",
    "charge": "its charging power",
    "discharge": "its discharging power",
    "stored": "its energy limits",
    "output": "its output",
    "export": "the export limit",
    "import": "the import limit",
}


@dataclass(frozen=True, slots=True)
class Held:
    """One limit that the plan stands against. usd_per_unit: what one unit more of it would change the cost by."""

    owner: str
    limit: str
    usd_per_unit: float

    def __str__(self) -> str:
        return f"{self.limit} of {self.owner} ({self.usd_per_unit:+.4g} USD for one unit more)"


@dataclass(frozen=True, slots=True)
class Priced:
    """What a term charges for one kW more, and for one kW less, over this interval [USD, positive = cost]."""

    owner: str
    term: str
    more_usd: float
    less_usd: float

    def __str__(self) -> str:
        return f"{self.term} of {self.owner}: one kW more {self.more_usd:+.4g} USD, one less {self.less_usd:+.4g}"


@dataclass(frozen=True, slots=True)
class Action:
    """A setpoint asked for in one interval and what it costs beyond the plan [USD]; inf where no plan takes it."""

    asset: str
    setpoint_kw: float
    cost_usd: float
    what: str = ""

    def __str__(self) -> str:
        if self.cost_usd == inf:
            return f"{self.asset} at {self.setpoint_kw:+.4g} kW is not possible"
        what = f" ({self.what})" if self.what else ""
        return f"{self.asset} at {self.setpoint_kw:+.4g} kW{what} costs {self.cost_usd:,.2f} USD more"


@dataclass(frozen=True, slots=True)
class Explanation:
    """One interval of a plan. setpoints_kw by asset, load sign; stored_usd_per_kwh: worth of one more kWh stored at
    its end, by store; held, priced: largest first; actions: other setpoints, cheapest first; sentences: for a
    person."""

    k: int
    when: str
    setpoints_kw: dict[str, float]
    net_kw: float
    stored_usd_per_kwh: dict[str, float]
    held: tuple[Held, ...]
    priced: tuple[Priced, ...]
    actions: tuple[Action, ...]

    @property
    def next_best(self) -> Action | None:
        """The cheapest other action that is possible."""
        return next((a for a in self.actions if a.cost_usd < inf), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not possible costs None."""
        return {
            "when": self.when,
            "setpoints_kw": dict(self.setpoints_kw),
            "net_kw": self.net_kw,
            "stored_usd_per_kwh": dict(self.stored_usd_per_kwh),
            "held": [asdict(h) for h in self.held],
            "priced": [asdict(p) for p in self.priced],
            "actions": [
                {**asdict(a), "cost_usd": a.cost_usd if a.cost_usd < inf else None} for a in self.actions
            ],
            "sentences": list(self.sentences),
        }

    @property
    def sentences(self) -> tuple[str, ...]:
        does = ", ".join(f"{name} {_verb(kw)}" for name, kw in self.setpoints_kw.items()) or "nothing moves"
        way = "draws" if self.net_kw >= 0 else "feeds"
        out = [f"At {self.when}: {does}; the meter {way} {abs(self.net_kw):,.1f} kW."]
        out += [f"One more kWh in {n} would save {v:.4g} USD." for n, v in self.stored_usd_per_kwh.items()]
        out += [f"Held by {h}." for h in self.held]
        out += [f"Priced by {p}." for p in self.priced]
        best = self.next_best
        out.append(f"Next best: {best}." if best else "No other action was found possible.")
        return tuple(out)


def _verb(kw: float) -> str:
    if abs(kw) < 1e-6:
        return "idles"
    return f"{'draws' if kw > 0 else 'gives'} {abs(kw):,.1f} kW"


@dataclass(slots=True, eq=False)
class Explainer:
    """A horizon solved once and ready to be asked about any interval.

    Arguments as for `optimise`. Linear plans are asked from their last basis; those with switches by solving
    afresh, so each question costs a solve.
    """

    horizon: Timeline
    load_kw: Floats
    offers: Sequence[Offer]
    terms: Sequence[Term]
    load_kvar: Floats | None = None
    import_limit_kw: float | Floats = inf
    export_limit_kw: float | Floats = 0.0
    gap: float = 1e-9
    schedule: Schedule = field(init=False)
    _compiled: Compiled = field(init=False)
    _warm: Warm | None = field(init=False, default=None)
    _base_usd: float = field(init=False, default=0.0)
    _rows: int = field(init=False, default=0)
    _reduced: Floats | None = field(init=False, default=None)
    _dual: Floats | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        from ..solve.highs import Options, Warm

        self._compiled = compile_problem(
            self.horizon,
            self.load_kw,
            self.offers,
            self.terms,
            load_kvar=self.load_kvar,
            import_limit_kw=self.import_limit_kw,
            export_limit_kw=self.export_limit_kw,
        )
        self.schedule = self._afresh(self.terms)
        self._base_usd = self.schedule.objective_usd
        self._rows = self._compiled.problem.height
        if self._compiled.discs or self._compiled.problem.has_integers or self._compiled.approximations:
            return
        warm = Warm(self._compiled.problem, Options(gap=self.gap))
        found = warm.run()
        if at_once(self._compiled, found.x):
            return
        self._warm, self._base_usd = warm, found.objective
        self._reduced, self._dual = found.reduced_cost, found.row_dual

    def _afresh(self, terms: Sequence[Term]) -> Schedule:
        return optimise(
            self.horizon,
            self.load_kw,
            self.offers,
            terms,
            load_kvar=self.load_kvar,
            import_limit_kw=self.import_limit_kw,
            export_limit_kw=self.export_limit_kw,
            method="highs",
            gap=self.gap,
        )

    def asked(self, k: int, asset: str, setpoint_kw: float) -> Action:
        """What it costs to give `asset` this setpoint in interval k (load sign), the rest of the plan adapting."""
        self._check(k, asset)
        if self._warm is None:
            return Action(asset, setpoint_kw, self._by_limit(k, asset, setpoint_kw))
        part = self._compiled.parts[asset]
        expr: Affine = part.setpoint.take(np.array([k]))
        number = np.array([self._rows])
        at = np.array([setpoint_kw])
        self._warm.add_rows(expr, at, at)
        self._rows += 1
        free = np.array([inf])
        try:
            found = self._warm.run()
        except InfeasibleError:
            return Action(asset, setpoint_kw, inf)
        finally:
            self._warm.set_row_bounds(number, -free, free)
        if at_once(self._compiled, found.x):
            return Action(asset, setpoint_kw, self._by_limit(k, asset, setpoint_kw))
        return Action(asset, setpoint_kw, max(found.objective - self._base_usd, 0.0))

    def _by_limit(self, k: int, asset: str, setpoint_kw: float) -> float:
        part = self._compiled.parts[asset]
        beside = (part.net - part.setpoint).merged()
        window = np.full(self.horizon.n, -1, dtype=np.int64)
        window[k] = 0
        to, measure = setpoint_kw, Measure("setpoint", asset=asset)  # where calls move with the plan
        if beside.fixed:
            to, measure = setpoint_kw + float(beside.const[k]), Measure("net", asset=asset)
        limit = Limit("asked", f"{asset} at {k}", measure, "each", to, to, window=window)
        try:
            found = self._afresh([*self.terms, limit]).objective_usd
        except InfeasibleError:
            return inf
        return max(found - self._base_usd, 0.0)

    def _check(self, k: int, asset: str) -> None:
        problems = []
        if not 0 <= k < self.horizon.n:
            problems.append(f"interval {k}; the horizon has 0..{self.horizon.n - 1}")
        if asset not in self._compiled.parts:
            problems.append(f"{asset!r} is no asset here; there are {', '.join(self._compiled.parts)}")
        if problems:
            raise InputError.collect("explain", problems)

    def at(self, k: int, asset: str | None = None, *, also_kw: Sequence[float] = ()) -> Explanation:
        """Everything about interval k. asset: whose other actions are tried (the first that can act, where None);
        also_kw: further setpoints to try."""
        acts = [o.name for o in self.offers if isinstance(o, (Store, Unit, Custom))]
        chosen = asset or (acts[0] if acts else next(iter(self._compiled.parts), None))
        actions: list[Action] = []
        if chosen is not None:
            self._check(k, chosen)
            now = float(self.schedule.setpoints_kw[chosen][k])
            for kw, what in (*self._candidates(chosen, k), *((v, "") for v in also_kw)):
                if abs(kw - now) > 1e-3 * (1 + abs(now)):
                    actions.append(replace(self.asked(k, chosen, kw), what=what))
        return Explanation(
            k,
            self.horizon.when(k).isoformat(),
            {name: float(v[k]) for name, v in self.schedule.setpoints_kw.items()},
            float(self.schedule.net_kw[k]),
            {n: float(v[k]) for n, v in self.schedule.stored_value_usd_per_kwh.items()},
            self._held(k),
            self._priced(k),
            tuple(sorted(actions, key=lambda a: a.cost_usd)),
        )

    def _candidates(self, asset: str, k: int) -> list[tuple[float, str]]:
        o = self._compiled.parts[asset].offer
        if isinstance(o, Store):
            return [
                (0.0, "idle"),
                (float(np.broadcast_to(o.charge_max_kw, self.horizon.n)[k]), "charge at full power"),
                (-float(np.broadcast_to(o.discharge_max_kw, self.horizon.n)[k]), "discharge at full power"),
            ]
        if isinstance(o, Unit):
            sign = float(np.sign(o.sign))
            return [
                (0.0, "off"),
                (sign * float(np.broadcast_to(o.max_kw, self.horizon.n)[k]), "full"),
                (sign * float(np.broadcast_to(o.min_kw, self.horizon.n)[k]), "least"),
            ]
        return [(0.0, "idle")]

    # --- duals -------------------------------------------------------------------------------------------

    def _held(self, k: int) -> tuple[Held, ...]:
        if self._dual is None or self._reduced is None:
            return ()
        problem = self._compiled.problem
        mine = self._columns(k)
        out: dict[tuple[str, str], float] = {}
        for rows in problem.rows:
            if rows.name.endswith(".balance"):
                continue
            touched = np.unique(rows.row[np.isin(rows.col, mine)])
            for r in touched.tolist():
                usd = float(self._dual[rows.first + r])
                if abs(usd) > SMALL_USD:
                    key = (rows.owner, _says(rows.name))
                    out[key] = out.get(key, 0.0) + usd
        for block in problem.columns:
            for c in mine[(mine >= block.first) & (mine < block.first + block.n)].tolist():
                usd = float(self._reduced[c])
                if abs(usd) > SMALL_USD:
                    key = (block.owner, _says(block.name))
                    out[key] = out.get(key, 0.0) + usd
        held = [Held(owner, limit, usd) for (owner, limit), usd in out.items()]
        return tuple(sorted(held, key=lambda h: -abs(h.usd_per_unit)))

    def _columns(self, k: int) -> Ints:
        """Decisions of interval k alone, and its awards."""
        own = np.flatnonzero(stages(self._compiled) == k)
        awards = [a.col[a.row == k] for a in self._compiled.held.awards.values()]
        return np.unique(np.concatenate((own, *awards)))

    # --- prices ------------------------------------------------------------------------------------------

    def _priced(self, k: int) -> tuple[Priced, ...]:
        flows = self.schedule.flows
        assert flows is not None
        now = worth(flows, self.terms).usd
        moved: list[dict[str, float]] = []
        for sign in (1.0, -1.0):
            net = flows.net_kw.copy()
            net[k] += sign * NUDGE_KW
            moved.append(worth(_with_net(flows, net), self.terms).usd)
        out = []
        for name, usd in now.items():
            more, less = moved[0][name] - usd, moved[1][name] - usd
            if max(abs(more), abs(less)) > SMALL_USD:
                owner, _, term = name.partition("/")
                out.append(Priced(owner, term, more, less))
        return tuple(sorted(out, key=lambda p: -max(abs(p.more_usd), abs(p.less_usd))))


def _with_net(flows: Flows, net: Floats) -> Flows:
    kept: dict[str, Any] = {
        "net_kvar": flows.net_kvar,
        "assets": flows.assets,
        "awards_kw": flows.awards_kw,
        "exposure_kw": flows.exposure_kw,
    }
    return Flows(flows.timeline, net, **kept)


def _says(name: str) -> str:
    """A row or column block in words."""
    tail = name.rsplit(".", 1)[-1]
    if tail in _SAYS:
        return _SAYS[tail]
    return _SAYS.get(name.split(" ", 1)[-1], name)
