"""All 10,623 real commercial rates, and 100 of them against SAM's Utilityrate5."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import valuestack as vs
from tests.conftest import Notebook
from tests.laws.test_bill_terms import HISTORY, T, objective_and_bill
from tests.oracle.pysam_rate import annual_usd, features, ladders_differ, outside
from valuestack.errors import DataError, InputError
from valuestack.streams.retail.tariff_stream import TariffStream

pytestmark = pytest.mark.data
SYSTEM_PEAKS = [f"2018-{month:02}-15T16:00" for month in range(1, 13)]


@pytest.fixture(scope="module")
def records(data_dir: Path) -> list[dict[str, Any]]:
    with gzip.open(
        data_dir / "tariff" / "urdb_commercial_comstock_10623.jsonl.gz", "rt", encoding="utf-8"
    ) as f:
        return [json.loads(line) for line in f]


@pytest.fixture(scope="module")
def hours() -> vs.Timeline:
    return vs.Timeline(start="2018-01-01T00:00", step_h=1.0, n=8760, tz="Etc/GMT+8")


@pytest.fixture(scope="module")
def loads(data_dir: Path) -> dict[str, Any]:
    import pandas as pd

    steel = pd.read_parquet(data_dir / "load" / "steel_gwangyang_kr_2018_15min.parquet").kw.to_numpy(float)
    plant = pd.read_parquet(data_dir / "load" / "reopt_madison_wi_recast2018_15min.parquet").kw.to_numpy(
        float
    )
    shop = pd.read_parquet(data_dir / "doe_crb" / "doe_crb_electric_norm_8760.parquet")
    office = 500_000 * shop[next(c for c in shop.columns if c.startswith("MediumOffice__"))].to_numpy(float)
    return {
        "steel works": steel.reshape(-1, 4).mean(axis=1),
        "plant": plant.reshape(-1, 4).mean(axis=1),
        "office": office,
    }


GENERAL = ("billing cycles are calendar months", "names no holidays", "billed as if it were in force")
"""Said of these bills whatever the rate: about the span and the calendar, not about the record."""


def how(bill: vs.Bill) -> str:
    """Whether a bill takes anything for granted that its record leaves open."""
    own = [a for a in bill.assumptions if not any(g in a for g in GENERAL)]
    return "billed with named assumptions" if own else "billed"


@pytest.mark.slow
def test_every_rate_is_billed_or_refused_by_field(
    records: list[dict[str, Any]], hours: vs.Timeline, loads: dict[str, Any], evidence: Notebook
) -> None:
    load = loads["plant"]
    with_facts = vs.BillFacts(power_factor=0.90, coincident_hours=SYSTEM_PEAKS)
    counts: dict[str, Counter[str]] = {"without facts": Counter(), "with facts": Counter()}
    needing = wrongly = 0
    for r in records:
        try:
            tariff = vs.load_tariff(r)
        except InputError as e:
            assert all(":" in p or "charge" in p for p in e.problems), "a refusal names its field"
            counts["without facts"]["refused by field"] += 1
            counts["with facts"]["refused by field"] += 1
            continue
        needs = bool(tariff.needs())
        needing += needs
        try:
            bare = vs.bill(tariff, hours, load)
            counts["without facts"][how(bare)] += 1
            wrongly += needs
            assert np.isfinite(bare.total_usd)
        except DataError as e:
            assert needs and any(f in str(e) for f in tariff.needs())
            counts["without facts"]["refused by field"] += 1
        full = vs.bill(tariff, hours, load, facts=with_facts) if needs else bare
        assert np.isfinite(full.total_usd)
        counts["with facts"][how(full)] += 1
    evidence(
        "all 10,623 real rates",
        rates=len(records),
        need_facts=needing,
        billed_without_needed_facts=wrongly,
        **{f"{case}: {what}": n for case, c in counts.items() for what, n in sorted(c.items())},
    )
    assert len(records) == 10_623
    assert wrongly == 0
    assert counts["with facts"]["refused by field"] <= 0.01 * len(records)


def draw(records: list[dict[str, Any]], n: int, seed: int) -> list[dict[str, Any]]:
    """n records, one stratum after the other, by seed."""
    rng = np.random.default_rng(seed)
    strata: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for r in records:
        if not outside(r):
            strata.setdefault(features(r), []).append(r)
    pools = [[pool[i] for i in rng.permutation(len(pool))] for _, pool in sorted(strata.items())]
    out: list[dict[str, Any]] = []
    while len(out) < n:
        for pool in pools:
            if pool and len(out) < n:
                out.append(pool.pop())
    return out


@pytest.mark.slow
def test_a_hundred_rates_agree_with_pysam(
    records: list[dict[str, Any]], hours: vs.Timeline, loads: dict[str, Any], evidence: Notebook
) -> None:
    inside = sum(not outside(r) for r in records)
    worst, worst_rate, in_order = 0.0, "", 0
    strata: Counter[str] = Counter()
    for r in draw(records, 100, seed=20260101):
        tariff = vs.load_tariff(r)
        if ladders_differ(r):
            # SAM gives each kWh the tier that the month's running total has reached; ours shares tiers pro
            # rata unless told otherwise. Both rules are billed by the same item, so SAM's is asked for here.
            items = tuple(
                i.model_copy(update={"sharing": "chronological"}) if i.kind == "energy" else i
                for i in tariff.items
            )
            tariff, in_order = tariff.model_copy(update={"items": items}), in_order + 1
        strata[" + ".join(features(r)) or "one price"] += 1
        for name, load in loads.items():
            ours, theirs = vs.bill(tariff, hours, load).total_usd, annual_usd(r, load)
            allowed = max(0.05, 1e-7 * abs(theirs))
            if abs(ours - theirs) > worst:
                worst, worst_rate = abs(ours - theirs), f"{r['label']} on {name}"
            assert ours == pytest.approx(theirs, abs=allowed, rel=0), (
                r["label"],
                r["name"],
                name,
                features(r),
            )
    evidence(
        "bills against PySAM Utilityrate5",
        rates_inside_its_model=inside,
        rates_drawn=100,
        loads=3,
        pairs=300,
        worst_difference_usd=worst,
        billed_in_chronological_order=in_order,
        worst_pair=worst_rate,
        strata=dict(strata),
    )


@pytest.mark.slow
def test_the_optimiser_counts_what_the_bill_does(records: list[dict[str, Any]], evidence: Notebook) -> None:
    """One rate of each combination of features: charges of a plan by its terms, and by its bill."""
    rng = np.random.default_rng(4)
    strata: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    flags = ("demandwindow", "lookbackpercent", "demandreactivepowercharge", "coincidentratestructure")
    for r in records:
        key = (features(r), r.get("dgrules"), r.get("flatdemandunit"), *(bool(r.get(f)) for f in flags))
        strata.setdefault(key, []).append(r)
    facts = vs.BillFacts(power_factor=0.90, coincident_hours=["2018-06-29T16:00"])
    worst, exact, inexact = 0.0, 0, 0
    for pool in strata.values():
        try:
            tariff = vs.load_tariff(pool[int(rng.integers(len(pool)))])
        except InputError:
            continue
        stream = TariffStream(tariff, T, facts=facts, history=HISTORY)
        objective, bill = objective_and_bill(stream, 3)
        if stream.stated.exact:
            exact, worst = exact + 1, max(worst, abs(objective - bill) / max(1.0, abs(bill)))
        else:
            inexact += 1
    evidence("terms against bills of their plans", rates=exact + inexact, exact=exact, worst_relative=worst)
    assert worst <= 1e-6
    assert exact >= 3 * inexact
