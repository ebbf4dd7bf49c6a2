"""A small study made by hand, with round figures that the report tests can look for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from valuestack.dispatch import Record
from valuestack.finding import Finding
from valuestack.ledger import Entry, Ledger
from valuestack.report.result import (
    Assumption,
    Case,
    Comparison,
    MeterData,
    Payback,
    SizeGrid,
    Study,
    WarrantyUse,
    Wear,
)
from valuestack.timeline import Timeline


@dataclass(frozen=True)
class HandBill:
    """As much of a bill as a report reads."""

    ledger: Ledger
    assumptions: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = field(default=())

    @property
    def total_usd(self) -> float:
        return -self.ledger.total_usd

    def to_dict(self) -> dict[str, Any]:
        return {"total_usd": self.total_usd, "ledger": self.ledger.to_list()}


def hand_bill(timeline: Timeline, net_kw: Any) -> HandBill:
    """20 $/kW on each month's peak and 0.10 $/kWh."""
    entries = []
    for month in np.unique(timeline.month_id):
        mine = np.flatnonzero(timeline.month_id == month)
        cycle = str(np.datetime64("1970-01") + int(month))
        peak = mine[int(np.argmax(net_kw[mine]))]
        kwh = float(net_kw[mine].sum()) * timeline.step_h
        entries.append(Entry(cycle, 1, "hand tariff", "energy/all", "utility", kwh, "kWh", 0.10, -0.10 * kwh))
        entries.append(
            Entry(
                cycle,
                1,
                "hand tariff",
                "demand/flat",
                "utility",
                float(net_kw[peak]),
                "kW",
                20.0,
                -20.0 * float(net_kw[peak]),
                when=timeline.when(int(peak)).isoformat(),
            )
        )
    return HandBill(Ledger.of(entries))


def hand_study(*, tz: str = "America/New_York", days: int = 120, name: str = "Hand-made study") -> Study:
    timeline = Timeline(start="2019-02-01T00:00", step_h=0.25, n=96 * days, tz=tz)
    rng = np.random.default_rng(7)
    load = 200 + 80 * np.sin((timeline.hour - 8) / 24 * 2 * np.pi) + rng.gamma(2.0, 20.0, timeline.n)
    after, best = np.minimum(load, 300.0), np.minimum(load, 280.0)

    def record(net: Any) -> Record:
        battery = net - load
        return Record(
            timeline,
            net,
            asset_kw={"battery": battery},
            stored_kwh={"battery": 400.0 + np.cumsum(battery) * 0.0 - np.abs(battery)},
        )

    def wear(case: str) -> dict[str, Wear]:
        use = WarrantyUse("full cycles", 120.0 if case == "realised" else 400.0, 365.0, "cycles a year", 0.33)
        return {"battery": Wear("battery", 5000.0, 50.0, 0.03, 150.0, 148.0, 3, 0.012, (use,))}

    def operation() -> Ledger:
        return Ledger.of(
            [Entry("2019", 0, "battery", "wear", "owner", 5000.0, "kWh", 0.03, -148.0, certainty="modelled")]
        )

    return Study(
        name=name,
        site={"name": name},
        meters=(
            MeterData(
                "main",
                timeline,
                load,
                load,
                ("hand tariff",),
                "load.csv",
                (np.arange(timeline.n) % 997 == 0).astype(int),
            ),
        ),
        before=Case(
            "before", "before", {"main": hand_bill(timeline, load)}, {"main": Record(timeline, load)}
        ),
        realised=Case(
            "realised",
            "realised",
            {"main": hand_bill(timeline, after)},
            {"main": record(after)},
            operation(),
            wear=wear("realised"),
            method="threshold",
        ),
        bound=Case(
            "bound",
            "upper bound",
            {"main": hand_bill(timeline, best)},
            {"main": record(best)},
            operation(),
            wear=wear("bound"),
            method="slope-trick dynamic programme",
        ),
        objective_usd=100.0,
        lower_bound_usd=99.9999,
        span_y=days / 365,
        head=("The data were overridden by hand.",),
        assumptions=(
            Assumption("no holidays", "none", "the tariff names none", True, "tariff"),
            Assumption("event adder", "0.9 $/kWh", "", False, "tariff"),
        ),
        findings=(
            Finding(
                "gap", "warning", "a gap of 3 intervals <script>", "2019-02-03 04:00", 3, "interpolated", 12.5
            ),
        ),
        payback=(Payback("realised", 100000.0, 500.0, 10.0, 20000.0, 5.13),),
        claims=(
            Comparison(
                "it saves a lot", "a guide", "saving", "USD/y", 120000.0, 20000.0, 25000.0, ("it is smaller",)
            ),
        ),
        sizes=SizeGrid(
            "battery",
            (50.0, 100.0),
            (100.0, 200.0, 300.0),
            np.arange(6.0).reshape(2, 3) * 1000,
            None,
            (1, 1),
            "knee: here",
        ),
    )
