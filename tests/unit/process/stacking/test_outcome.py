"""The outcome of simulated futures: figures against their definitions, and what a page warns of first."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import valuestack as vs
from valuestack.errors import InputError
from valuestack.finance.finance import Finance, Value
from valuestack.finance.nested import flow_of
from valuestack.process.stacking.outcome import outcome
from valuestack.process.stacking.outcome.drivers import fit
from valuestack.process.stacking.outcome.recommendation import recommendation
from valuestack.process.stacking.outcome.sample import Key, convergence, samples, spread_row
from valuestack.process.stacking.outcome.worth import weights
from valuestack.process.stacking.simulate import Job, Row, Simulation
from valuestack.report import simulated_page

SITE: dict[str, Any] = {
    "name": "plant",
    "tz": "America/Denver",
    "meters": [{"data": "jobbing-foundry", "tariffs": [{"tariff": "dte-d4-large-general"}]}],
    "assets": [{"kind": "battery", "name": "battery", "power_kw": 100.0, "energy_kwh": 200.0}],
    "finance": {
        "start_date": "2026-01-01",
        "discount_frac": 0.07,
        "inflation_frac": 0.02,
        "analysis_years": 15,
        "capex": [{"name": "battery", "usd": 400_000.0}],
    },
}
KEYS: list[Key] = [(1, "tariff of main", "contractual"), (2, "outages", "modelled"), (4, "lcfs", "market")]


def rows(n: int = 200, seed: int = 1, credit: float = 20_000.0) -> list[Row]:
    """Futures of a plant whose net hangs on the load level, a rule that ends the credits, and chance."""
    rng = np.random.default_rng(seed)
    out: list[Row] = []
    for i in range(n):
        level, ended, noise = rng.normal(0, 0.05), float(rng.random() < 0.08), rng.normal(0, 1_000)
        outage = float(rng.poisson(1.2)) * 3_000.0
        for kind, saved, wear in (
            ("do_nothing", 0.0, 0.0),
            ("threshold", 40_000.0, -6_000.0),
            ("dynamic", 52_000.0, -9_000.0),
        ):
            tariff = saved * (1 + 2 * level) + (noise if saved else 0.0)
            lcfs = credit * (1 - ended)
            out.append(
                {
                    "future": i,
                    "policy": kind,
                    "before_usd": 1e6,
                    "bill_usd": 1e6 - tariff,
                    "operation_usd": wear - 500.0,
                    "wear_usd": wear,
                    "total_usd": tariff + outage + lcfs + wear - 500.0,
                    "layer 1_usd": tariff,
                    "1 | tariff of main | contractual_usd": tariff,
                    "1 | tariff of main | service_h": 900.0,
                    "1 | tariff of main | throughput_kwh": 50_000.0,
                    "2 | outages | modelled_usd": outage,
                    "2 | outages | calls": 1.2,
                    "4 | lcfs | market_usd": lcfs,
                    "4 | lcfs | staff_h": 40.0,
                    "throughput_kwh": 50_000.0,
                    "full_cycles": 250.0,
                    "peak_kw": 900.0,
                    "changes_per_day": 20.0,
                    "span_y": 1.0,
                    "driver: load level": level,
                    "driver: rule: credits end": ended,
                    "cpu_s": 0.1,
                }
            )
    return out


def made(found: list[Row], asked: int | None = None) -> Simulation:
    kinds = tuple(dict.fromkeys(r["policy"] for r in found))
    count = asked or len({r["future"] for r in found})
    return Simulation(Job("plant", date(2026, 1, 1), kinds, count, 25, 0), found)


@pytest.fixture(scope="module")
def site() -> Any:
    return vs.load_site(SITE)


@pytest.fixture(scope="module")
def found(site: Any) -> Any:
    return outcome(site, made(rows()))


# --- figures against their definitions -------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    usd=st.lists(st.floats(-1e5, 2e5), min_size=3, max_size=3),
    debt=st.booleans(),
    lease=st.booleans(),
    years=st.integers(3, 20),
    exempt=st.booleans(),
)
def test_the_weights_give_the_npv_of_the_pro_forma(
    usd: list[float], debt: bool, lease: bool, years: int, exempt: bool
) -> None:
    written: dict[str, Any] = {
        "start_date": "2026-03-01",
        "discount_frac": 0.08,
        "inflation_frac": 0.02,
        "analysis_years": years,
        "electricity": {"frac_per_y": 0.03},
        "capex": [{"name": "b", "kind": "battery", "usd": 3e5, "technology": "storage"}],
        "running": [{"name": "r", "usd_per_y": 4e3}],
        "wear": {"fade_frac_per_y": 0.02},
        "streams": {"lcfs": {"start_month": 5, "end_year": 4, "ramp_frac": [0.5, 1.0]}},
        "tax": {
            "exempt": exempt,
            "federal_frac": None if exempt else 0.21,
            "state_frac": 0.0 if exempt else 0.05,
        },
    }
    if debt:
        written["debt"] = {"rate_frac": 0.06, "years": min(years, 8), "share_frac": 0.4}
    if lease:
        written["third_party"] = {
            "form": "lease",
            "usd_per_y": 30_000.0,
            "years": max(2, years - 1),
            "buyout_usd": 1e4,
        }
    finance = Finance.model_validate(written)
    money = {k: np.array([v]) for k, v in zip(KEYS, usd)}
    flow = flow_of(finance, [Value(k[1], k[0], v, k[2]) for k, v in zip(KEYS, usd)])
    own = flow.owner_usd + (flow.host_usd if lease else 0.0)
    want = float((own / (1 + finance.nominal) ** flow.at_y).sum())
    assert weights(finance, KEYS).repeated(money)[0] == pytest.approx(want, abs=1e-4)


def test_mixed_years_have_the_mean_of_repeated_ones_and_less_spread() -> None:
    finance = Finance.model_validate(SITE["finance"])
    rng = np.random.default_rng(0)
    money = {k: rng.normal(30_000, 9_000, 500) for k in KEYS}
    w = weights(finance, KEYS)
    repeated, mixed = w.repeated(money), w.mixed(money, seed=1, lives=4000)
    assert mixed.mean() == pytest.approx(repeated.mean(), abs=4 * repeated.std() / np.sqrt(500))
    # years weighed alike would give 1 / sqrt(15) of the spread; discounting makes it a little more
    assert 1 / np.sqrt(15) < mixed.std() / repeated.std() < 1.5 / np.sqrt(15)


def test_a_pro_forma_that_is_no_sum_of_years_is_refused() -> None:
    base = SITE["finance"]
    debt = {"rate_frac": 0.06, "years": 8, "coverage_frac": 1.3}
    with pytest.raises(InputError, match="coverage_frac"):
        weights(Finance.model_validate({**base, "debt": debt}), KEYS)
    third = {"form": "shared_savings", "share_frac": 0.5}
    with pytest.raises(InputError, match="shared savings"):
        weights(Finance.model_validate({**base, "third_party": third}), KEYS)


def test_errors_of_quantiles_are_those_of_repeated_experiments() -> None:
    """The bootstrap's error against the spread of many independent samples of the same size."""
    rng = np.random.default_rng(5)
    many = rng.normal(100.0, 20.0, (600, 300))
    row = spread_row(many[0], seed=2)
    p90, tail = np.quantile(many, 0.1, axis=1), np.sort(many, axis=1)[:, :15].mean(axis=1)
    assert row["P90"] == pytest.approx(float(p90[0])) and row["CVaR 5 %"] == pytest.approx(float(tail[0]))
    assert row["mean ±"] == pytest.approx(many[0].std(ddof=1) / np.sqrt(300))
    assert row["P90 ±"] == pytest.approx(p90.std(), rel=0.35)
    assert row["CVaR 5 % ±"] == pytest.approx(tail.std(), rel=0.35)


def test_convergence_says_how_many_futures_an_error_of_one_per_cent_needs() -> None:
    rng = np.random.default_rng(3)
    usd = rng.normal(100.0, 30.0, 1000)
    last = convergence(usd)[-1]
    assert [r["futures"] for r in convergence(usd)] == [10, 20, 50, 100, 200, 500, 1000]
    assert last["needed for 1%"] == pytest.approx((0.30 / 0.01) ** 2, rel=0.15)


def test_the_tornado_finds_the_slopes_that_made_the_money(found: Any) -> None:
    bars = {r["driver"]: r for r in found.tornado if r["policy"] == "B: dynamic"}
    level = bars["load level"]
    slope = (level["net at to_usd_per_y"] - level["net at from_usd_per_y"]) / (level["to"] - level["from"])
    assert slope == pytest.approx(104_000.0, rel=0.12) and level["how"].startswith("regression")
    ends = bars["rule: credits end"]
    assert ends["how"].startswith("conditional means")
    assert ends["net at to_usd_per_y"] - ends["net at from_usd_per_y"] == pytest.approx(
        -20_000.0, abs=3 * ends["error_usd"]
    )
    assert bars["which days come, and all else"]["width_usd_per_y"] > 0


def test_drivers_that_say_the_same_are_not_both_fitted() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=50)
    made = fit(3 * x, {"a": x, "b": 2 * x, "still": np.ones(50)})
    assert set(made.slopes) == {"a"} and made.slopes["a"][0] == pytest.approx(3.0)
    assert made.explained_frac == pytest.approx(1.0)


def test_layers_show_what_the_rows_hold(found: Any) -> None:
    mine = {r["layer"][0]: r for r in found.layers if r["policy"] == "B: dynamic"}
    tariff = np.array([r["layer 1_usd"] for r in rows() if r["policy"] == "dynamic"])
    assert mine["1"]["P90_usd_per_y"] == pytest.approx(np.quantile(tariff, 0.1))
    assert mine["1"]["hours_per_y"] == 900.0 and mine["1"]["certainty"] == "contractual"
    assert mine["4"]["staff hours_per_y"] == 40.0 and mine["1"]["staff hours_per_y"] is None
    assert mine["0"]["mean_usd_per_y"] == pytest.approx(-9_500.0)


def test_concentration_is_the_sum_of_squared_shares(found: Any) -> None:
    row = next(r for r in found.concentration if r["policy"] == "do nothing")
    mean = {"outages": 0.0, "lcfs": 0.0}
    for r in rows():
        if r["policy"] == "do_nothing":
            mean["outages"] += r["2 | outages | modelled_usd"]
            mean["lcfs"] += r["4 | lcfs | market_usd"]
    share = mean["lcfs"] / sum(mean.values())
    assert row["Herfindahl index"] == pytest.approx(share**2 + (1 - share) ** 2, abs=1e-3)
    assert row["contractual_frac"] == 0.0 and row["largest stream"] == "lcfs"


# --- what it warns of and recommends ---------------------------------------------------------------------


def test_base_layers_that_fail_open_the_page(found: Any, site: Any) -> None:
    base = {r["policy"]: r for r in found.base}
    assert base["B: dynamic"]["verdict"] == "pass" and not found.head
    dear = {**SITE, "finance": {**SITE["finance"], "capex": [{"name": "battery", "usd": 700_000.0}]}}
    failed = outcome(vs.load_site(dear), made(rows(credit=90_000.0)))
    row = next(r for r in failed.base if r["policy"] == "B: dynamic")
    assert row["verdict"] == "FAIL" and row["NPV of all layers_usd"] > 0 > row["NPV of layers 1 and 2_usd"]
    assert failed.head[0].startswith("BASE LAYERS FAIL under B: dynamic")
    page = simulated_page.render(failed)
    assert page.index("BASE LAYERS FAIL") < page.index('class="cards') < page.index("<h2")


def test_base_layers_of_a_policy_that_answers_calls_are_those_of_its_run_without_them(site: Any) -> None:
    again = {
        "base: 1 | tariff of main | contractual_usd": 60_000.0,
        "base: 2 | outages | modelled_usd": 0.0,
        "base: operation_usd": -4_000.0,
        "base: wear_usd": -4_000.0,
    }
    served = [{**r, **again} for r in rows(20) if r["policy"] == "dynamic"]
    found = outcome(site, made(served))
    value = Value("tariff of main", 1, 60_000.0, "contractual")
    want = flow_of(Finance.model_validate(SITE["finance"]), [value]).npv_usd
    assert found.base[0]["NPV of layers 1 and 2_usd"] == pytest.approx(want, abs=1e-3)


def test_a_stress_hits_only_its_stream(found: Any) -> None:
    (row,) = (r for r in found.stress if r["policy"] == "B: dynamic")
    lcfs = np.array([r["4 | lcfs | market_usd"] for r in rows() if r["policy"] == "dynamic"])
    net = np.array([r["total_usd"] for r in rows() if r["policy"] == "dynamic"])
    assert row["lost_usd_per_y"] == pytest.approx(lcfs.mean()) and row["layers hit"] == "4"
    assert row["P90 left_usd_per_y"] == pytest.approx(np.quantile(net - lcfs, 0.1))


def test_the_recommendation_is_paired_and_says_what_would_flip_it(found: Any) -> None:
    v = found.verdict
    gap = np.array([r["total_usd"] for r in rows() if r["policy"] == "dynamic"]) - np.array(
        [r["total_usd"] for r in rows() if r["policy"] == "threshold"]
    )
    assert (v.best, v.second) == ("dynamic", "threshold") and v.sure
    assert v.margin_usd_per_y == pytest.approx(gap.mean())
    assert v.error_usd == pytest.approx(gap.std(ddof=1) / np.sqrt(gap.size))
    factor = float(re.search(r"layer 1 \(retail tariff\) brings were ([\d.]+) times", "\n".join(v.flips))[1])  # type: ignore[index]
    cut = [
        {**r, "total_usd": r["total_usd"] - (1 - factor) * r["layer 1_usd"]}
        for r in rows()
        if r["policy"] != "do_nothing"
    ]
    by = {k: np.mean([r["total_usd"] for r in cut if r["policy"] == k]) for k in ("dynamic", "threshold")}
    assert by["dynamic"] == pytest.approx(by["threshold"], abs=0.006 * 12_000)


def test_methods_are_held_against_methods_where_two_ran(site: Any) -> None:
    both = rows(30) + [{**r, "policy": "utility_first"} for r in rows(30) if r["policy"] == "threshold"]
    by = samples(both)
    v = recommendation(by, {k: s.money_usd_per_y() for k, s in by.items()})
    assert (
        v is not None
        and (v.best, v.second) == ("dynamic", "utility_first")
        and "A: utility first" in v.sentence
    )


def test_futures_that_not_every_policy_has_are_left_out_and_the_rest_is_called_partial(site: Any) -> None:
    some = [r for r in rows(40) if not (r["policy"] == "dynamic" and r["future"] >= 25)]
    found = outcome(site, made(some, asked=1000))
    assert found.futures == 25 and found.partial and "25 of 1,000" in found.head[0]


def test_a_site_without_finance_is_told_by_which_conventions(site: Any) -> None:
    bare = {k: v for k, v in SITE.items() if k != "finance"}
    nothing = outcome(vs.load_site(bare), made(rows(20)))
    assert not nothing.npv_usd and "not known" in nothing.head[0] and nothing.base == []
    plain = vs.load_site({**bare, "economics": {"capex_usd": 4e5, "om_usd_per_y": 5e3, "life_y": 12}})
    assumed = outcome(plain, made(rows(20)))
    assert assumed.npv_usd and "REopt" in assumed.assumptions[0] and "12 years" in assumed.assumptions[0]


def test_every_format_is_written_and_the_page_stands_alone(found: Any, tmp_path: Path) -> None:
    from openpyxl import load_workbook

    paths = simulated_page.write(found, tmp_path)
    assert [p.name for p in paths] == ["simulation.html", "simulation.json", "simulation.xlsx"]
    page = paths[0].read_text()
    assert (
        not re.search(r'(src|href)="(https?:)?//', page) and "<script" not in page and page.count("<svg") >= 6
    )
    body = json.loads(paths[1].read_text())
    assert body["verdict"]["best"] == "dynamic" and len(body["net_usd_per_y"]["dynamic"]) == 200
    assert load_workbook(paths[2])["Futures"].max_row == 201
