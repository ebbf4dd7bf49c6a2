"""The shipped tariffs on real loads: all bill, their clauses by kind, and what about them is not verified."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import valuestack as vs
from tests.conftest import Notebook
from valuestack.streams.retail.tariff import shipped_tariffs

pytestmark = pytest.mark.data


def test_shipped_tariffs_bill_real_loads(data_dir: Path, evidence: Notebook) -> None:
    import pandas as pd

    timeline = vs.Timeline(start="2018-01-01T00:00", step_h=0.25, n=35_040, tz="America/Los_Angeles")
    facts = vs.BillFacts(
        power_factor=0.90, cpp_events=["2018-07-10", "2018-08-06"], prices=np.full(timeline.n, 0.05),
        coincident_hours=[f"2018-{m:02}-15T16:00" for m in range(1, 13)],
    )  # fmt: skip
    loads = {
        name: pd.read_parquet(data_dir / "load" / f"{name}.parquet").kw.to_numpy(float)
        for name in ("steel_gwangyang_kr_2018_15min", "reopt_madison_wi_recast2018_15min")
    }
    kinds: Counter[str] = Counter()
    unverified: list[str] = []
    cents: dict[str, list[float]] = {}
    for name in shipped_tariffs():
        tariff = vs.load_tariff(name)
        kinds.update(item.kind for item in tariff.items)
        clauses = [i for i in tariff.items if getattr(i, "verified", True) is False]
        unverified += [f"{name}: {i.kind} {i.name}".strip() for i in clauses]
        for kw in loads.values():
            found = vs.bill(tariff, timeline, kw, facts=facts)
            cents.setdefault(name, []).append(round(100 * found.total_usd / (kw.sum() * 0.25), 2))
            assert len(set(found.cycles)) == 12 and found.total_usd == -found.ledger.total_usd
            for item in clauses:
                assert sum(item.note in a for a in found.assumptions) == 1, (name, item.kind)
            assert tariff.verified or any("not every figure" in a for a in found.assumptions)
    assert len(shipped_tariffs()) >= 10
    # The steel works use their peak 17 % of the time: some 60 USD/kW of demand charges alone are 50 cents.
    outside = {k: [float(c) for c in v] for k, v in cents.items() if not all(1 < c < 80 for c in v)}
    assert not outside, outside
    assert {"critical_peak", "power_factor", "supply"} <= set(kinds)
    evidence("shipped tariffs on real loads", tariffs=len(cents), loads=len(loads), clauses_by_kind=dict(kinds),
             not_verified=unverified, cents_per_kwh=cents)  # fmt: skip
