"""Each cause is injected into bills of a random load, and must be named from the paid amounts alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from valuestack.errors import InputError
from valuestack.ledger import Ledger
from valuestack.streams.retail.bill import bill
from valuestack.streams.retail.facts import BillFacts
from valuestack.streams.retail.reconcile import Case, read_paid, reconcile
from valuestack.streams.retail.repriced import labels, repriced
from valuestack.streams.retail.tariff import load_tariff
from valuestack.timeline import Timeline

ON_PEAK = [[1 if 12 <= h < 18 else 0 for h in range(24)]] * 12
OFF_PEAK = [[0] * 24] * 12
READS = tuple(date(2019, m, d) for m, d in [(1, 1), (1, 29), (2, 27), (3, 28), (4, 29), (5, 30), (6, 30)])
FACTS = BillFacts(power_factor=0.85)


def written(scale: float = 1.0, drop: tuple[str, ...] = (), **changes: Any) -> Any:
    """A tariff with everything that can go wrong on it."""
    items = [
        {"kind": "fixed", "usd": 100 * scale},
        {
            "kind": "demand",
            "name": "facility",
            "months": [0] * 12,
            "window_min": changes.get("window_min", 15),
            "periods": [{"tiers": [{"usd_per_unit": 12.5 * scale}]}],
            "ratchet": {"share_frac": 0.8},
        },
        {
            "kind": "energy",
            "weekday": ON_PEAK,
            "weekend": OFF_PEAK,
            "periods": [
                {
                    "name": "off-peak",
                    "tiers": [{"upto": 50000, "usd_per_kwh": 0.08 * scale}, {"usd_per_kwh": 0.06}],
                },
                {"name": "on-peak", "tiers": [{"upto": 50000, "usd_per_kwh": 0.14}, {"usd_per_kwh": 0.11}]},
            ],
        },
        {"kind": "power_factor", "name": "floor", "method": "floor", "floor_frac": 0.9},
        {"kind": "rider", "name": "fuel", "per": "kWh", "usd": 0.0123},
        {"kind": "tax", "name": "city", "share_frac": changes.get("tax", 0.0725)},
    ]
    return load_tariff(
        {
            "name": "t",
            "utility": "u",
            "source": "s",
            "verified": True,
            "holidays": "pge",
            "items": [i for i in items if i["kind"] not in drop],
        }
    )


def case_of(seed: int) -> Case:
    t = Timeline(start="2019-01-01T00:00", step_h=0.25, n=96 * 180 - 4, tz="America/Los_Angeles")
    rng = np.random.default_rng(seed)
    wave = 300 + 150 * np.sin((t.hour - 6) / 24 * 2 * np.pi) + 80 * (t.weekday < 5)
    kw = np.maximum(0, wave + rng.uniform(30, 90) * rng.standard_normal(t.n))
    return Case(written(), t, kw, None, {"2018-08": 900.0}, READS, FACTS)


def ledger_of(case: Case) -> Ledger:
    return bill(
        case.tariff,
        case.timeline,
        case.net_kw,
        case.net_kvar,
        history=case.history,
        cycles=case.cycles,
        facts=case.facts,
    ).ledger


def paid(
    case: Case, *, totals: bool = False, change: Callable[[str, float], float] | None = None
) -> list[dict[str, Any]]:
    """What a utility that bills `case` prints, under the read dates that our customer was told."""
    ledger = ledger_of(case)
    names = sorted({e.cycle for e in ledger})
    out: dict[tuple[int, str], float] = {}
    for e in ledger:
        key = (names.index(e.cycle), "total" if totals else e.item)
        out[key] = out.get(key, 0.0) - e.usd * (change(e.item, e.usd) if change else 1.0)
    return [
        {
            "cycle_start": str(READS[k]),
            "cycle_end": str(READS[k + 1]),
            "item": item,
            "usd": round(usd, 2),
            "quantity": None,
            "unit": "",
        }
        for (k, item), usd in sorted(out.items())
    ]


def shifted(kw: Any, n: int) -> Any:
    return kw[np.clip(np.arange(kw.size) - n, 0, kw.size - 1)]


INJECTED: list[tuple[str, str, Callable[[Case], Case]]] = [
    ("multiplier", "factor of 40", lambda c: replace(c, net_kw=c.net_kw * 40)),
    ("multiplier", "kW were taken for kWh", lambda c: replace(c, net_kw=c.net_kw * 0.25)),
    ("ratchet history", "did not enter", lambda c: replace(c, history=None)),
    ("ratchet history", "1,200.0 kW", lambda c: replace(c, history={"2018-08": 900.0, "2018-10": 1200.0})),
    ("power factor", "0.80", lambda c: replace(c, facts=BillFacts(power_factor=0.80))),
    ("power factor", "not charged", lambda c: replace(c, tariff=written(drop=("power_factor",)))),
    ("window", "30-minute", lambda c: replace(c, tariff=written(window_min=30), history=None)),
    ("zone", "1 h later", lambda c: replace(c, net_kw=shifted(c.net_kw, 4))),
    ("zone", "3 h earlier", lambda c: replace(c, net_kw=shifted(c.net_kw, -12))),
    ("tax", "not charged", lambda c: replace(c, tariff=written(drop=("tax",)))),
    ("tax", "twice", lambda c: replace(c, tariff=written(tax=2 * 0.0725))),
    ("rider", "not charged", lambda c: replace(c, tariff=written(drop=("rider", "tax")))),
]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("cause, says, wrong", INJECTED, ids=[f"{c}: {s}" for c, s, _ in INJECTED])
def test_an_injected_cause_is_named(cause: str, says: str, wrong: Callable[[Case], Case], seed: int) -> None:
    case = case_of(seed)
    if says == "30-minute":  # a ratchet that binds would hide what the window does
        case = replace(case, history=None)
    if says == "not charged" and cause == "rider":
        case = replace(case, tariff=written(drop=("tax",)))
    found = reconcile(case, paid(wrong(case)))
    assert found.causes == (cause,), found.causes
    assert all(says in r.words for r in found.lines if r.cause)


def test_one_wrong_read_date_touches_the_two_cycles_around_it() -> None:
    case = case_of(3)
    moved = replace(case, cycles=(*READS[:2], date(2019, 3, 1), *READS[3:]))
    found = reconcile(case, paid(moved))
    assert found.causes == ("read dates",)
    said = {r.cycle: r.words for r in found.lines if r.cause}
    assert len(said) == 2
    assert any("ended 2 days later" in w for w in said.values())
    assert any("started 2 days later" in w for w in said.values())


def test_another_version_is_named() -> None:
    case = case_of(4)
    found = reconcile(
        case, paid(replace(case, tariff=written(scale=1.07))), versions={"2020": written(scale=1.07)}
    )
    assert found.causes == ("tariff version",)
    assert all("2020" in r.words for r in found.lines if r.cause)


def test_tiers_per_period_are_named() -> None:
    case = case_of(5)
    t, ledger = case.timeline, ledger_of(replace(case, tariff=written(drop=("power_factor", "rider", "tax"))))
    case = replace(case, tariff=written(drop=("power_factor", "rider", "tax")), facts=None)
    # the wrong bill, made by hand: each period's own energy runs through its own tiers
    holidays = {date(2019, 1, 1), date(2019, 2, 18), date(2019, 5, 27)}
    on = (t.weekday < 5) & (t.hour >= 12) & (t.hour < 18) & ~t.on_dates(holidays)
    index = np.searchsorted([(d - date(1970, 1, 1)).days for d in READS], t.day, side="right") - 1
    kwh = {
        True: np.bincount(index[on], weights=case.net_kw[on] * 0.25),
        False: np.bincount(index[~on], weights=case.net_kw[~on] * 0.25),
    }
    names = sorted({e.cycle for e in ledger})
    rows = []
    for e in ledger:
        k, usd = names.index(e.cycle), -e.usd
        if e.item.startswith("energy/"):
            low, high = (0.14, 0.11) if e.item == "energy/on-peak" else (0.08, 0.06)
            q = kwh[e.item == "energy/on-peak"][k]
            usd = low * min(q, 50000) + high * max(0.0, q - 50000)
        rows.append(
            {"cycle_start": READS[k], "cycle_end": READS[k + 1], "item": e.item, "usd": round(usd, 2)}
        )
    found = reconcile(case, rows)
    assert found.causes == ("tier",)


def test_summer_time_ignored_by_the_meter_is_named() -> None:
    case = case_of(6)
    offset = case.timeline.local_s - case.timeline.utc_s
    at = np.arange(case.timeline.n)
    late = np.where(offset == offset.max(), np.clip(at + 4, 0, at[-1]), at)
    found = reconcile(case, paid(replace(case, net_kw=case.net_kw[late])))
    assert found.causes == ("zone",)
    assert all("summer" in r.words for r in found.lines if r.cause)


@pytest.mark.parametrize(
    "item, rate, family", [("rider/wildfire", 0.0045, "rider"), ("total", 0.0045, "rider")]
)
def test_a_charge_that_the_tariff_lacks_is_found_with_its_rate(item: str, rate: float, family: str) -> None:
    case = case_of(7)
    rows = paid(case, totals=item == "total")
    index = np.searchsorted([(d - date(1970, 1, 1)).days for d in READS], case.timeline.day, side="right") - 1
    kwh = np.bincount(index, weights=case.net_kw * 0.25)
    for k in range(6):
        extra = round(float(rate * kwh[k]), 2)
        if item == "total":
            rows[k]["usd"] = round(rows[k]["usd"] + extra, 2)
        else:
            rows.append({"cycle_start": READS[k], "cycle_end": READS[k + 1], "item": item, "usd": extra})
    found = reconcile(case, rows)
    assert found.causes == (family,)
    assert any(f"{rate:.3g}" in r.words for r in found.lines if r.cause)


@pytest.mark.parametrize(
    "kind, update, says",
    [
        ("tax", {"share_frac": 0.0825}, "8.25 % instead of 7.25 %"),
        ("rider", {"usd": 0.0223}, "0.0223 USD/kWh instead of 0.0123"),
    ],
)
def test_a_tax_or_rider_at_another_rate_is_named_with_it(
    kind: str, update: dict[str, float], says: str
) -> None:
    """A tax stands on the rider, so that two rows differ where one rate does."""
    case = case_of(11)
    items = tuple(i.model_copy(update=update) if i.kind == kind else i for i in case.tariff.items)
    theirs = case.tariff.model_copy(update={"items": items})
    found = reconcile(case, paid(replace(case, tariff=theirs)))
    assert found.causes == (kind,)
    assert all(says in r.words and not r.also for r in found.lines if r.cause)


def test_prices_of_a_version_that_we_do_not_have_are_read_off_the_bill() -> None:
    case, factors = case_of(12), {"demand/flat": 1.06, "energy/off-peak": 1.03, "energy/on-peak": 1.08}
    theirs = case.tariff.model_copy(update={"items": tuple(repriced(i, factors) for i in case.tariff.items)})
    found = reconcile(case, paid(replace(case, tariff=theirs)))
    assert found.causes == ("tariff version",)
    words = next(r.words for r in found.lines if r.cause)
    assert "demand/flat at 1.06 times" in words and "energy/off-peak at 1.03 times" in words
    assert found.lines and all(
        abs(r.paid_usd - (r.explained_usd or 0)) < 0.05 for r in found.lines if r.cause
    )


def test_repriced_scales_prices_and_nothing_else() -> None:
    case = case_of(1)
    twice = {n: 2.0 for i in case.tariff.items for n in labels(i) if i.kind not in ("tax",)}
    dear = case.tariff.model_copy(update={"items": tuple(repriced(i, twice) for i in case.tariff.items)})
    once, double = ledger_of(case), ledger_of(replace(case, tariff=dear))
    kw_and_kwh = [[e.quantity for e in x if e.unit in ("kW", "kWh", "months")] for x in (once, double)]
    assert kw_and_kwh[0] == pytest.approx(kw_and_kwh[1]) and len(kw_and_kwh[0]) == 30
    assert double.total_usd == pytest.approx(2 * once.total_usd, rel=1e-9)


def test_an_arbitrary_error_stays_unexplained() -> None:
    case = case_of(8)
    rows = paid(case)
    rng = np.random.default_rng(0)
    for row in rows:
        row["usd"] = round(row["usd"] * float(rng.uniform(0.6, 1.4)), 2)
    found = reconcile(case, rows)
    assert "unexplained" in found.causes
    assert sum(r.cause == "unexplained" for r in found.lines) > 0.8 * len(found.lines)


def test_equal_bills_have_no_cause_and_the_rows_add_up() -> None:
    case = case_of(9)
    found = reconcile(case, paid(case))
    assert found.causes == () and found.tested == 0
    due = -ledger_of(case).total_usd
    assert sum(r.settled_usd for r in found.lines) == pytest.approx(due, abs=1e-6)
    assert abs(found.difference_usd) < 0.01 * len(found.lines)


def test_words_of_a_printed_bill_find_our_items() -> None:
    case = case_of(10)
    rows = paid(case)
    printed = {
        "fixed/customer charge": "Customer Charge",
        "demand/flat": "Demand Charge",
        "tax/city": "City Tax",
    }
    for r in rows:
        r["item"] = printed.get(r["item"], r["item"])
    found = reconcile(case, rows)
    assert found.causes == ()
    assert {"Customer Charge", "Demand Charge", "City Tax"} <= {r.item for r in found.lines}


def test_inclusive_cycle_ends_are_recognised() -> None:
    case = case_of(11)
    rows = paid(case)
    for r in rows:
        r["cycle_end"] = str(date.fromordinal(date.fromisoformat(r["cycle_end"]).toordinal() - 1))
    found = reconcile(case, rows)
    assert found.causes == ()
    assert any("last day" in a for a in found.assumptions)


def test_bills_outside_the_data_are_left_out_or_refused() -> None:
    case = case_of(12)
    old = {"cycle_start": "2017-01-01", "cycle_end": "2017-02-01", "item": "total", "usd": 1.0}
    found = reconcile(case, [*paid(case), old])
    assert any("2017-01-01" in a for a in found.assumptions)
    with pytest.raises(InputError, match="no cycle lies inside"):
        reconcile(case, [old])


def test_bad_rows_are_all_named_at_once() -> None:
    with pytest.raises(InputError) as e:
        read_paid(
            [
                {"cycle_start": "x", "cycle_end": "2019-01-01", "item": "a", "usd": 1},
                {"cycle_start": "2019-02-01", "cycle_end": "2019-01-01", "item": "a", "usd": 1},
                {"cycle_start": "2019-01-01", "cycle_end": "2019-02-01", "item": "a"},
            ]
        )
    assert len(e.value.problems) == 3


def test_totals_that_fit_nothing_have_no_cause() -> None:
    """A single amount a cycle comes near many a hypothesis by chance; none of them is named for it."""
    case = case_of(13)
    rows = paid(case, totals=True)
    for k, row in enumerate(rows):
        row["usd"] = round(row["usd"] * (0.953, 0.961)[k % 2], 2)
    assert reconcile(case, rows).causes == ("unexplained",)
