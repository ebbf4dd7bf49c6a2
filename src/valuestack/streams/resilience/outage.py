"""What outages cost, and what of it the site's stores and engines avoid, from the state in which dispatch left them.

With S(s, j) the probability that an outage that begins at s is carried through step j, q = S(j-1) - S(j) the
probability of failing in it, and D the length of outages that come lambda a year,

    without backup   lambda E[C(D)]
    with backup      lambda E[ sum over j of q(s, j) C(D - j h), for j h < D ]  + blip where the engines' start shows

averaged over starts s by how often outages come then. A load once lost stays lost until the grid is back (the
cumulative survival of REopt's ERP tool), and nothing is carried beyond the horizon: both are on the cautious side.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from math import inf
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator

from ...dispatch import Record, View, World
from ...errors import InputError
from ...ledger import Entry
from ...terms import Term
from ...timeline import Ints, Kw
from ..stream import Place
from .arrivals import OutageModel, Outages, outages_of
from .backing import Backing, every_steps, gather, state_at_starts
from .critical import CriticalLoad
from .damage import Damage, DamageFunction, damage_of
from .survival import Group, Held, Survival, lasting_steps, survive

REPORTED_H = (0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 24.0, 48.0, 72.0, 96.0)  # lengths that a report shows


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Survival by length of the outage. hours: (steps,); mean_frac: (steps,) over all starts; by_hour_frac: (24, steps)
    by local hour of the start, by_month_frac: (12, steps), NaN where no start falls; certain_frac: (steps,) share of
    starts that would be carried if nothing failed."""

    hours: Kw
    mean_frac: Kw
    by_hour_frac: Kw
    by_month_frac: Kw
    certain_frac: Kw

    def at(self, hours: float) -> float:
        """Mean survival of an outage of `hours`."""
        k = int(np.ceil(hours / self.hours[0] - 1e-9)) - 1
        if not 0 <= k < self.hours.size:
            raise InputError(f"hours = {hours:g}: the survival is known up to {self.hours[-1]:g} h")
        return float(self.mean_frac[k])


@dataclass(frozen=True, slots=True)
class Avoided:
    """Expected cost of outages over the span of a record [USD], and the same a year. momentary_usd: part of avoided_usd
    that is momentary interruptions ridden through. bridged_frac: share of starts at which the load does not blink."""

    without_usd: float
    with_usd: float
    momentary_usd: float
    outages_per_y: float
    bridged_frac: float
    years: float

    @property
    def avoided_usd(self) -> float:
        """Cost that the backing avoids over the span."""
        return self.without_usd - self.with_usd

    @property
    def avoided_usd_per_y(self) -> float:
        """The same a year."""
        return self.avoided_usd / self.years


@dataclass(frozen=True, slots=True, eq=False)
class OutageReport:
    """Avoided cost, what dispatch takes from it, and survival by length, hour and month of the start. damage: what an
    outage costs; need_kw: mean critical load."""

    avoided: Avoided
    stacking_usd: float
    curves: Curves
    hours: tuple[float, ...]
    model: str
    damage: DamageFunction
    need_kw: float

    def outage_usd(self, hours: float) -> float:
        """What one outage of so many hours costs where nothing carries the load."""
        return float(self.damage.cost_usd(hours, self.need_kw * hours))

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a person reads first."""
        a = self.avoided
        per_y = 1.0 / a.years
        shown = [h for h in (4.0, 24.0) if h in self.hours] or [float(self.curves.hours[-1])]
        odds = " and ".join(f"{h:g} h with {self.curves.at(h):.1%}" for h in shown)
        return (
            f"{a.outages_per_y:.2f} sustained outages a year ({self.model}) are expected to cost "
            f"${a.without_usd * per_y:,.0f} a year with nothing behind the critical load and "
            f"${a.with_usd * per_y:,.0f} from the state in which this plan leaves it.",
            f"Dispatch for tariff and market takes ${self.stacking_usd * per_y:,.0f} a year of that against stores and "
            "tanks that wait full: the price of stacking in resilience.",
            f"An outage is survived, failures included: {odds} probability; the load does not blink at "
            f"{a.bridged_frac:.0%} of starts.",
        )

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Survival by length, and by month of the start for a day or the longest below it."""
        c = self.curves
        steps = [round(h / c.hours[0]) - 1 for h in self.hours]
        lengths = [
            {
                "length_h": h,
                "costs where nothing carries the load_usd": self.outage_usd(h),
                "survived_frac": float(c.mean_frac[k]),
                "without failures_frac": float(c.certain_frac[k]),
            }
            for h, k in zip(self.hours, steps)
        ]
        if not steps:
            return {"Survival by length of the outage": lengths}
        shown = max((h for h in self.hours if h <= 24.0), default=self.hours[0])
        last = steps[self.hours.index(shown)]
        return {
            "Survival by length of the outage": lengths,
            f"Survival of {shown:g} h by month of the start": [
                {"month": m + 1, "survived_frac": float(v)}
                for m, v in enumerate(c.by_month_frac[:, last])
                if np.isfinite(v)
            ],
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        a = self.avoided
        return {
            "without_usd": a.without_usd,
            "with_usd": a.with_usd,
            "avoided_usd": a.avoided_usd,
            "price_of_stacking_usd": self.stacking_usd,
            "outages_per_y": a.outages_per_y,
            "bridged_frac": a.bridged_frac,
            **self.tables(),
        }


class Outage(BaseModel):
    """The value of riding through outages.

    outages: a model, or a shipped one by name; damage: a damage function, or a shipped one by name. horizon_h: longest
    outage that is carried. starts_every_h: outages are tried at starts so far apart. common_cause_frac: of engines,
    where it is to be another than their own. store_available_frac: chance that the stores are there; none
    = REopt's. ups_kw, ups_min: a UPS until the engines carry load. bins: grid of the stores' energy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: ClassVar[str] = "outage"
    layer: ClassVar[int] = 2
    certainty: ClassVar[str] = "modelled"
    name: str = "outages"
    critical: CriticalLoad
    outages: Outages = "us-eia"
    damage: Damage
    horizon_h: float = Field(default=96.0, gt=0, le=720)
    starts_every_h: float = Field(default=1.0, gt=0)
    common_cause_frac: float | None = Field(default=None, ge=0, le=1)
    store_available_frac: float | None = Field(default=None, ge=0, le=1)
    ups_kw: float = Field(default=0.0, ge=0)
    ups_min: float = Field(default=0.0, ge=0)
    bins: int = Field(default=50, ge=2, le=1000)
    _place: Place | None = PrivateAttr(default=None)
    _backing: Backing | None = PrivateAttr(default=None)

    @field_validator("outages", "damage")
    @classmethod
    def _known(cls, value: Any, info: Any) -> Any:
        try:
            (outages_of if info.field_name == "outages" else damage_of)(value, "")
        except InputError as e:
            raise ValueError(str(e)) from e
        return value

    # --- before the first interval ---------------------------------------------------------------

    @property
    def model(self) -> OutageModel:
        """The outage model."""
        return outages_of(self.outages, self.name)

    @property
    def cost(self) -> DamageFunction:
        """The damage function."""
        return damage_of(self.damage, self.name)

    @property
    def _store_there_frac(self) -> float:
        given = self.store_available_frac
        return float(_reopt()["battery_available_frac"]) if given is None else given

    def bind(self, place: Place) -> Outage:
        """The stream made ready for a site."""
        bound = self.model_copy()
        bound._place, bound._backing = place, self._backing_of(place)
        return bound

    def _backing_of(self, place: Place) -> Backing:
        return gather(
            place.timeline,
            place.assets,
            place.world,
            self.critical.of(place.world, self.name),
            pv_frac=self.critical.pv_frac,
            ups_kw=self.ups_kw,
            ups_h=self.ups_min / 60,
        )

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Defaults taken and where the figures come from."""
        n = self.name
        out = [f"{n}: {a}" for a in (*self.model.assumptions, *self.cost.assumptions)]
        if self.store_available_frac is None:
            out.append(
                f"{n}: stores are available with probability {self._store_there_frac:g} (REopt default)"
            )
        if self.common_cause_frac is None:
            out.append(f"{n}: common cause of failures as the engines state it")
        out.append(f"{n}: nothing is carried beyond {self.horizon_h:g} h; a load once lost stays lost")
        out.append(
            f"{n}: scheduled maintenance is no part of the survival probability, and once the first tank is empty "
            "nothing more is counted on"
        )
        if self._backing is not None and self._backing.start_h > 0:
            out.append(f"{n}: stores and UPS, where they carry the load, take it without a blink")
        return tuple(out)

    # --- ValueStream -----------------------------------------------------------------------------

    @property
    def outages_per_y(self) -> float:
        """Sustained interruptions a year, major events too."""
        return float(self.model.rate_per_y)

    def initial_state(self) -> Any:
        """Nothing is remembered."""
        return None

    def observe(self, state: Any, record: Record, k: int) -> Any:
        """Nothing to remember."""
        return state

    def terms(self, view: View) -> Sequence[Term]:
        """None: an expected loss is no price of a decision; the stream `reserve` holds energy back."""
        return ()

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """Expected cost of outages avoided over the record: modelled, never a settled sum."""
        found, t = self.avoided(record, world), record.timeline
        cycle = f"{t.start.date()}/{t.when(t.n - 1).date()}"
        rows = [
            (
                "outages avoided",
                found.avoided_usd - found.momentary_usd,
                found.outages_per_y * found.years,
                "outages expected",
            ),
        ]
        if found.momentary_usd:
            rate = (self.model.momentary_per_y or 0.0) * found.years
            rows.append(("momentaries avoided", found.momentary_usd, rate, "interruptions expected"))
        for item, usd, quantity, unit in rows:
            yield Entry(
                cycle,
                self.layer,
                self.name,
                item,
                "owner",
                quantity,
                unit,
                None,
                usd,
                certainty=self.certainty,
                status="provisional",
                reason=f"expected cost {found.without_usd:,.0f} USD without and {found.with_usd:,.0f} USD with what "
                f"stands behind {self.critical.what}, by {self.cost.name}",
            )

    # --- survival --------------------------------------------------------------------------------

    def _ready(self, record: Record, world: World | None) -> tuple[Place, Backing]:
        if self._place is None or self._backing is None:
            raise InputError(f"{self.name}: bind it to its site first: outage.bind(place)")
        if world is None or world is self._place.world:
            return self._place, self._backing
        place = Place(record.timeline, self._place.assets, world)
        return place, self._backing_of(place)

    def starts(self, record: Record) -> Ints:
        """Intervals at which outages are tried."""
        every = max(1, round(self.starts_every_h / record.timeline.step_h))
        return np.arange(0, record.timeline.n, every)

    def survival(self, record: Record, world: World | None = None) -> Survival:
        """Probability of survival from the dispatched state at every start, (starts, steps)."""
        place, backing = self._ready(record, world)
        starts, step_h = self.starts(record), record.timeline.step_h
        fuel, _ = state_at_starts(backing, place.assets, record)
        groups = [
            Group(
                e.name,
                e.backup.units,
                e.unit_kw,
                e.backup.available_frac,
                1.0 - e.backup.start_frac,
                min(e.backup.mttf_h, 1e12),
            )
            for e in backing.engines
        ]
        common = max((e.backup.common_cause_frac for e in backing.engines), default=0.0)
        return survive(
            backing.need_kw,
            groups,
            step_h=step_h,
            horizon_h=self.horizon_h,
            held=self._held(backing, record, starts),
            starts=starts,
            bins=self.bins,
            common_cause_frac=common if self.common_cause_frac is None else self.common_cause_frac,
            fuel_steps=self._lasts(backing, starts, fuel[:, starts], round(self.horizon_h / step_h)),
        )

    def _lasts(self, backing: Backing, starts: Ints, fuel: Kw, steps: int) -> Ints:
        """Steps until the first tank is empty; beyond, nothing is counted on."""
        _, burn = backing.shares()
        out = np.full(starts.size, steps, dtype=np.int64)
        for g, e in enumerate(backing.engines):
            if e.backup.tank_gal < inf:
                mine = lasting_steps(
                    burn[g],
                    starts,
                    steps,
                    fuel[g],
                    every_steps=every_steps(e.backup.refuel_every_h, backing.timeline.step_h),
                    truck_gal=e.backup.refuel_gal,
                    tank_gal=e.backup.tank_gal,
                )
                out = np.minimum(out, mine)
        return out

    def _held(self, backing: Backing, record: Record, starts: Ints) -> Held | None:
        """All stores as one: power and energy add, efficiencies are weighted by energy."""
        cells = backing.cells
        if not cells:
            return None
        size = np.array([c.high_kwh - c.low_kwh for c in cells])
        start: Kw = np.zeros(starts.size)
        for c in cells:
            after = np.asarray(record.stored_kwh[c.name], dtype=float)
            begin = np.concatenate(([c.start_kwh], after[:-1]))[starts]
            start = start + np.clip(begin - c.low_kwh, 0.0, c.high_kwh - c.low_kwh)
        return Held(
            backing.store_kw,
            float(size.sum()),
            start,
            float(np.average([c.charge_efficiency_frac for c in cells], weights=size)),
            float(np.average([c.discharge_efficiency_frac for c in cells], weights=size)),
            self._store_there_frac,
        )

    def curves(self, record: Record, world: World | None = None) -> Curves:
        """Survival by length, by hour and month of the start, and without chance."""
        place, backing = self._ready(record, world)
        found, starts, t = self.survival(record, world).cumulative, self.starts(record), record.timeline
        steps = found.shape[1]
        fuel, stored = state_at_starts(backing, place.assets, record)
        carried, *_ = backing.carry(self.horizon_h, fuel[:, starts], stored[starts], starts)
        lasting = np.arange(1, steps + 1)

        def by(key: Ints, groups: Iterable[int]) -> Kw:
            rows = [
                found[key == g].mean(axis=0) if (key == g).any() else np.full(steps, np.nan) for g in groups
            ]
            return np.array(rows)

        return Curves(
            lasting * t.step_h,
            found.mean(axis=0),
            by(t.hour[starts], range(24)),
            by(t.month[starts], range(1, 13)),
            np.array((carried[:, None] >= lasting[None, :]).mean(axis=0)),
        )

    # --- money -----------------------------------------------------------------------------------

    def avoided(self, record: Record, world: World | None = None) -> Avoided:
        """Expected cost of outages with and without what stands behind the critical load, from the dispatched state."""
        place, backing = self._ready(record, world)
        t, starts = record.timeline, self.starts(record)
        alive = self.survival(record, world).cumulative
        weight = self.model.month_weight(t)[starts]
        years = t.hours / 8760 * float(weight.mean())
        hours, per_y = self.model.durations()
        bridged = self._bridged(backing, place, record)[starts]
        loss = _Loss(self.cost, hours, per_y, t.step_h, alive.shape[1])
        kwh = backing.need_kw[(starts[:, None] + np.arange(alive.shape[1])) % t.n] if loss.by_energy else None
        without = loss.without(starts.size, kwh, float(backing.need_kw.mean()))
        with_it = loss.carried(alive, bridged, kwh, float(backing.need_kw.mean()))
        share = weight / weight.sum()
        momentary_per_y = self.model.momentary_per_y or 0.0
        blinks = momentary_per_y * self.cost.blip_usd * years
        ridden = blinks * float(bridged @ share) if backing.cells or self.ups_kw else 0.0
        return Avoided(
            float(without @ share) * years + blinks,
            float(with_it @ share) * years + blinks - ridden,
            ridden,
            self.model.rate_per_y,
            float(bridged @ share),
            years,
        )

    def scenario_costs_usd(
        self, record: Record, scenarios: int, seed: int, world: World | None = None
    ) -> tuple[Kw, Kw]:
        """Cost of drawn outages over the record without and with backing, (scenarios,) each [USD].

        Outages are drawn, what fails in them is averaged: the spread is that of the outages. Momentaries are in both.
        """
        place, backing = self._ready(record, world)
        t, starts = record.timeline, self.starts(record)
        alive = self.survival(record, world).cumulative
        bridged = self._bridged(backing, place, record)[starts]
        helps = bool(backing.cells) or self.ups_kw > 0
        drawn = self.model.sample(t, scenarios, seed)
        # an outage meets the state of the start that was tried last before it
        at = np.minimum(
            (drawn.start_h / t.step_h).astype(np.int64) // int(starts[1] if starts.size > 1 else t.n),
            starts.size - 1,
        )
        without, with_it = np.zeros(scenarios), np.zeros(scenarios)
        mean_kw = float(backing.need_kw.mean())
        for lane, s, hours, sort in zip(drawn.scenario, at, drawn.hours, drawn.sort, strict=True):
            if hours == 0.0 or sort == 2:
                without[lane] += self.cost.blip_usd
                with_it[lane] += self.cost.blip_usd * (1.0 - bridged[s] * helps)
                continue
            loss = _Loss(self.cost, np.array([hours]), np.ones(1), t.step_h, alive.shape[1])
            kwh = None
            if loss.by_energy:
                kwh = backing.need_kw[(starts[s] + np.arange(alive.shape[1])) % t.n][None, :]
            without[lane] += loss.without(1, kwh, mean_kw)[0]
            with_it[lane] += loss.carried(alive[s : s + 1], bridged[s : s + 1], kwh, mean_kw)[0]
        return without, with_it

    def _bridged(self, backing: Backing, place: Place, record: Record) -> Kw:
        """1 where stores and UPS carry the load until the engines do, (n,)."""
        if backing.start_h <= 0 and backing.engines:
            return np.ones(record.timeline.n)
        _, stored = state_at_starts(backing, place.assets, record)
        time_h = backing.start_h
        ups = min(1.0, backing.ups_h / time_h) if time_h > 0 else float(backing.ups_kw > 0)
        after_kw = np.maximum(backing.need_kw - (backing.ups_kw if ups >= 1 else 0.0), 0.0)
        enough = (after_kw <= backing.store_kw + 1e-9) & (stored + 1e-9 >= after_kw * time_h)
        return np.asarray(enough, dtype=float)

    def report(self, record: Record, world: World) -> OutageReport:
        """What a person wants to see of a dispatched record."""
        step_h = record.timeline.step_h  # lengths are whole intervals
        at = [h for h in REPORTED_H if step_h <= h <= self.horizon_h and abs(h / step_h % 1) < 1e-9]
        return OutageReport(
            self.avoided(record, world),
            self.price_of_stacking_usd(record, world),
            self.curves(record, world),
            tuple(at),
            self.model.name,
            self.cost,
            float(self._ready(record, world)[1].need_kw.mean()),
        )

    def price_of_stacking_usd(self, record: Record, world: World | None = None) -> float:
        """What market and tariff dispatch cost in resilience over a record: the avoided cost of the same site with full
        stores and full tanks at all times, less that of the record as it was dispatched."""
        return (
            self.avoided(self.standing_by(record), world).avoided_usd
            - self.avoided(record, world).avoided_usd
        )

    def standing_by(self, record: Record) -> Record:
        """The record as if everything had waited, full, for an outage."""
        if self._backing is None:
            raise InputError(f"{self.name}: bind it to its site first: outage.bind(place)")
        n = record.timeline.n
        extra = {e.name + "/tank_gal": np.full(n, e.backup.tank_gal) for e in self._backing.engines}
        full = {c.name: np.full(n, c.high_kwh) for c in self._backing.cells}
        return replace(record, stored_kwh={**record.stored_kwh, **full}, extra={**record.extra, **extra})


@cache
def _reopt() -> dict[str, Any]:
    """Defaults of REopt, as shipped."""
    path = files("valuestack").joinpath("data", "generators", "reopt.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


class _Loss:
    """Expected cost a year by step of failure. hours, per_y: nodes of the outage lengths and their rates."""

    def __init__(self, damage: DamageFunction, hours: Kw, per_y: Kw, step_h: float, steps: int) -> None:
        self.damage, self.hours, self.per_y, self.step_h = damage, hours, per_y, step_h
        self.by_energy = damage.usd_per_kwh > 0
        after = hours[None, :] - step_h * np.arange(steps + 1)[:, None]  # what is left of it in step j
        self.by_step_usd = damage.cost_usd(np.maximum(after, 0.0)) @ per_y
        self.in_step_h = np.clip(after[:-1], 0.0, step_h) @ per_y  # hours a year of outage in step j
        self.beyond_h = float(np.maximum(after[-1], 0.0) @ per_y)

    def without(self, starts: int, need_kw: Kw | None, mean_kw: float) -> Kw:
        """Nothing is carried, (starts,)."""
        out = np.full(starts, float(self.by_step_usd[0]))
        if need_kw is not None:
            out = out + self.damage.usd_per_kwh * (need_kw @ self.in_step_h + mean_kw * self.beyond_h)
        return out

    def carried(self, alive: Kw, bridged: Kw, need_kw: Kw | None, mean_kw: float) -> Kw:
        """Carried with probability alive (starts, steps) through each step, (starts,)."""
        fails = np.concatenate((np.ones((alive.shape[0], 1)), alive[:, :-1]), axis=1) - alive
        out = fails @ self.by_step_usd[:-1] + alive[:, -1] * self.by_step_usd[-1]
        out = out + (1.0 - bridged) * alive[:, 0] * self.damage.blip_usd * float(self.per_y.sum())
        if need_kw is not None:
            unserved = ((1.0 - alive) * need_kw) @ self.in_step_h + mean_kw * self.beyond_h
            out = out + self.damage.usd_per_kwh * unserved
        return np.asarray(out)
