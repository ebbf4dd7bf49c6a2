"""Dynamic optimisation (method B) on the tariff: the cheapest walk of the day ahead, and its next step.

Plan     the exact least cost of the next `horizon_h` on the forecast, from the energy in store, with what each
         demand window has already reached (ratchets and contract minima too) as free, see solve/store_dp.py.
         Energy tiers count at their last price. What is left at the end is worth what the median hour of the day
         after asks for it. A later charge counts as dearer by `tilt_usd_per_kwh` an interval, so that the store
         fills early; of equally cheap walks the one with most in store is taken.
Reserve  the forecast plus the errors that were made at this clock time on up to `scenarios` past days of this kind
         (working day or not) are the days that may come, hour by hour as they hung together. The store is kept as
         full as `cover_frac` of them ask for to hold the planned peaks, as far as these let it be filled. Where they
         ask for any, it holds one surprise more: `surprises` times the root mean square of what the load came above
         the forecast of an interval before, in the last week. A spike comes at its own hour, not at that of a day past.
Raise    a new peak is set where, with the reserve, the plan cannot hold what is paid already: by the least that the
         whole day ahead asks for. A new cycle begins with nothing; while the old one lasts, the next is expected
         to see as much.

Follow   a plan is made every `plan_every_h`, and at once where the load is off its forecast by `replan_frac` of the
         store's power, or what holds a peak is off the planned setpoint by a tenth of that. In between, what was
         planned to hold a peak holds it for the load that came, and all else goes as planned. A plan every interval
         keeps no more money, see docs/explanation/capture.md.

Within the quarter-hour the metered load of the running interval is taken as known (see Twin.telemetry); without it
the forecast stands in, and much of the saving is lost. A ratchet is defended as a floor that is already paid; that
a new peak is paid again in later months is not priced.

Beside streams beyond the tariff, and where a decision moves more than one store (an engine, a process, a cold store),
it plans all of them at once, see all_layers.py. That runs one lane at a time.

The defaults were set on a few cells, see docs/explanation/capture.md, and hold for every site.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..dispatch import Call, Plan, View
from ..forecast.forecaster import Forecaster
from ..forecast.similar_day import SimilarDay
from .guard import Guard
from .horizon import RollingHorizon
from .policy import Setting
from .stores import moved
from .twin import Twin

if TYPE_CHECKING:
    from .all_layers import AllLayersHorizon
    from .answering import Decision


class Dynamic(RollingHorizon):
    """Method B; see the head of this file.

    forecaster: similar days with intraday correction where none is given. horizon_h: how far a plan looks.
    scenarios: past days whose errors are laid over the forecast, 0 = trust it. reach_days: how far back they may
    lie. cover_frac: share of them that the reserve covers, the worst left out; surprises: what it
    holds beyond them, in root mean squares of a surprise. plan_every_h: hours from a plan to the next, 0 = a plan every
    interval; replan_frac: share of the store's power by which the load may be off its forecast
    until then. layers: options of the plan over all layers, by name (AllLayersHorizon).
    """

    kind: ClassVar[str] = "dynamic"
    answers: ClassVar[bool] = True
    moves_all: ClassVar[bool] = True

    def __init__(
        self,
        forecaster: Forecaster | None = None,
        *,
        horizon_h: float = 24.0,
        scenarios: int = 20,
        reach_days: int = 35,
        cover_frac: float = 0.95,
        surprises: float = 2.0,
        tilt_usd_per_kwh: float = 2e-5,
        plan_every_h: float = 1.0,
        replan_frac: float = 0.1,
        layers: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            SimilarDay() if forecaster is None else forecaster,
            horizon_h=horizon_h,
            scenarios=scenarios,
            reach_days=reach_days,
            cover_frac=cover_frac,
            surprises=surprises,
            tilt_usd_per_kwh=tilt_usd_per_kwh,
            plan_every_h=plan_every_h,
            replan_frac=replan_frac,
        )
        self._options = dict(layers or {})
        self._all: AllLayersHorizon | None = None

    def prepare(self, setting: Setting) -> None:
        """See Policy."""
        super().prepare(setting)
        self._looked, self._resting = bool(setting.streams), ""
        self._all = self._over_all(setting) if setting.streams else None

    def _over_all(self, setting: Setting) -> AllLayersHorizon:
        from .all_layers import AllLayersHorizon

        shared: dict[str, Any] = {
            "horizon_h": self.horizon_h,
            "scenarios": self.scenarios,
            "reach_days": self.reach_days,
            "cover_frac": self.cover_frac,
            "surprises": self.surprises,
            "tilt_usd_per_kwh": self.tilt_usd_per_kwh,
            "plan_every_h": self.plan_every_h,
            "replan_frac": self.replan_frac,
        }
        made = AllLayersHorizon(self.forecaster, **{**shared, **self._options})
        made.prepare(setting)
        return made

    def decide(self, view: View) -> Plan:
        """See RollingHorizon; over all assets and layers where there is more than a store and a tariff."""
        if not self._looked:
            self._looked = True
            others = moved(self._assets, view)
            if others and np.asarray(view.now["base_kw"]).size == 1:
                self._all = self._over_all(self._setting)
            elif others:
                self._resting = (
                    f"{', '.join(others)}: left at rest, as several lanes ran at once; run one by one"
                )
        return super().decide(view) if self._all is None else self._all.decide(view)

    def stretch(self, twin: Twin, guard: Guard, until: int) -> bool:
        """See Policy."""
        return self._all is not None and self._all.stretch(twin, guard, until)

    def remarks(self) -> list[str]:
        """See RollingHorizon."""
        told = super().remarks() if self._all is None else self._all.remarks()
        return [*told, self._resting] if self._resting else told

    def standing(self, k: int) -> list[tuple[Call, float]]:
        """See AnsweringHorizon."""
        return [] if self._all is None else self._all.standing(k)

    @property
    def decisions(self) -> list[Decision]:
        """Yes and no to each call with its numbers."""
        return list(getattr(self._all, "decisions", ()))
