"""Simulated futures: the same in any order and chunk, resumed after a stop, a worker killed, a disk full."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import valuestack as vs
from valuestack.errors import InputError, SolverError, StoreError, UnknownKind
from valuestack.process.stacking import executors, simulate
from valuestack.process.stacking.simulate import days_of, policies_of, weighed

SITE = """
name = "small"
tz = "America/Denver"
[[meters]]
name = "shop"
data = "load.toml"
[[meters.tariffs]]
tariff = "dte-d4-large-general"
[[assets]]
kind = "battery"
name = "battery"
power_kw = 20.0
energy_kwh = 40.0
[study]
policy = "threshold"
[simulate]
policies = ["do_nothing", "threshold"]
chunk = 2
foresight = 0
"""
LOAD = """
name = "load"
what = "a small plant"
tz = "America/Denver"
start = 2021-03-01
days = 60
step_h = 1.0
seed = 3
[base]
kw = 60.0
ripple_frac = 0.1
[[shifts]]
name = "day"
kw = 60.0
days = ["mon", "tue", "wed", "thu", "fri"]
from_h = 7.0
to_h = 18.0
day_sd_frac = 0.1
[sources]
base = "choice"
"shifts.day" = "choice"
calendar = "choice"
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "load.toml").write_text(LOAD)
    (tmp_path / "site.toml").write_text(SITE)
    return tmp_path / "site.toml"


def figures(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Rows without the seconds they took, in order."""
    return sorted(tuple((k, v) for k, v in sorted(r.items()) if k != "cpu_s") for r in rows)


def here(job: simulate.Job) -> list[dict[str, Any]]:
    simulate.prepare(job)
    return [r for chunk in range(job.chunks) for r in simulate.work(chunk)]


def job(site: Path, **more: Any) -> simulate.Job:
    values: dict[str, Any] = {
        "site": str(site), "as_of": date(2021, 4, 29), "policies": ("do_nothing", "threshold"), "count": 5,
        "size": 2, "seed": 7,
    }  # fmt: skip
    return simulate.Job(**{**values, **more})


def test_futures_are_the_same_in_any_chunk(site: Path) -> None:
    assert figures(here(job(site))) == figures(here(job(site, size=5)))
    assert figures(here(job(site))) != figures(here(job(site, seed=8)))


def test_doing_nothing_saves_nothing_and_the_policy_is_settled(site: Path) -> None:
    rows = here(job(site))
    nothing = [r for r in rows if r["policy"] == "do_nothing"]
    held = [r for r in rows if r["policy"] == "threshold"]
    assert all(r["total_usd"] == pytest.approx(0.0, abs=1e-9) and r["changes_per_day"] == 0 for r in nothing)
    assert all(r["bill_usd"] == pytest.approx(r["before_usd"] - r["layer 1_usd"]) for r in held)
    assert np.mean([r["layer 1_usd"] for r in held]) > 0 and len({r["before_usd"] for r in held}) == 5


def test_what_is_there_is_kept_and_the_rest_is_done(site: Path, tmp_path: Path) -> None:
    loaded, out = vs.load_site(site), tmp_path / "out"
    first = simulate.simulate(loaded, out, scenarios=4, workers=1).rows
    kept = {p.name: p.stat().st_mtime_ns for p in (out / "futures").glob("part-*.parquet")}
    more = simulate.simulate(loaded, out, scenarios=6, workers=1).rows
    assert (
        len(first) == 8
        and len(more) == 12
        and figures(first) == figures([r for r in more if r["future"] < 4])
    )
    assert all((out / "futures" / n).stat().st_mtime_ns == t for n, t in kept.items())
    fewer = simulate.simulate(loaded, out, scenarios=2, workers=1).rows
    assert figures(fewer) == figures([r for r in more if r["future"] < 2])


def test_another_simulation_in_the_folder_is_refused(site: Path, tmp_path: Path) -> None:
    loaded, out = vs.load_site(site), tmp_path / "out"
    simulate.simulate(loaded, out, scenarios=2, workers=1, policies=["do_nothing"])
    with pytest.raises(InputError, match=r"holds another simulation .*seed"):
        simulate.simulate(loaded, out, scenarios=2, seed=1, workers=1, policies=["do_nothing"])
    assert simulate.simulate(loaded, out, scenarios=2, seed=1, workers=1, policies=["do_nothing"], fresh=True)


def test_a_full_disk_loses_nothing_that_was_done(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    loaded, out = vs.load_site(site), tmp_path / "out"
    whole, left = pq.write_table, [1]

    def full(table: Any, where: Any, **more: Any) -> None:
        if not left[0]:
            Path(where).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        left[0] -= 1
        whole(table, where, **more)

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(StoreError, match=r"No space left on device.*what is done is kept"):
        simulate.simulate(loaded, out, scenarios=6, workers=1, policies=["do_nothing"])
    parts = sorted(p.name for p in (out / "futures").iterdir())
    assert len([p for p in parts if p.endswith(".parquet")]) == 1 and not [p for p in parts if "writing" in p]
    monkeypatch.undo()
    rows = simulate.simulate(loaded, out, scenarios=6, workers=1, policies=["do_nothing"]).rows
    assert figures(rows) == figures(here(job(site, count=6, seed=0, policies=("do_nothing",))))


@pytest.mark.slow
def test_a_stop_in_the_middle_goes_on_to_the_same_numbers(site: Path, tmp_path: Path) -> None:
    """Interrupted as by Ctrl-C once the first chunk is saved; the next call does the rest."""
    out = tmp_path / "out"
    script = tmp_path / "run.py"
    script.write_text(
        textwrap.dedent(f"""
        import signal
        from pathlib import Path
        import valuestack as vs
        from valuestack.process.stacking.simulate import simulate
        out = Path({str(out)!r})
        def interrupted(said, done=None):
            if list(out.glob("futures/part-*.parquet")):
                signal.raise_signal(signal.SIGINT)
        if __name__ == "__main__":
            signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background may ignore it
            simulate(vs.load_site({str(site)!r}), out, scenarios=200, workers=1, progress=interrupted)
        """)
    )
    ended = subprocess.run([sys.executable, str(script)], stderr=subprocess.PIPE, text=True, timeout=300)
    assert ended.returncode != 0 and "KeyboardInterrupt" in ended.stderr
    done = len(list(out.glob("futures/part-*.parquet")))
    assert 1 <= done < 100
    rows = simulate.simulate(vs.load_site(site), out, scenarios=200, workers=1).rows
    assert figures(rows) == figures(here(job(site, count=200, seed=0)))


def dies_once(number: int) -> int:
    """Ends its worker the first time that chunk 3 is tried."""
    mark = Path(os.environ["VALUESTACK_TEST_MARK"])
    if number == 3 and not mark.exists():
        mark.write_text("tried")
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def dies_always(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def squared(number: int) -> int:
    return number * number


def ready() -> None:
    """Nothing to prepare."""


def test_a_killed_worker_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALUESTACK_TEST_MARK", str(tmp_path / "mark"))
    found = dict(executors.run_here(dies_once, range(8), workers=2, prepare=ready, given=()))
    assert found == {k: k * k for k in range(8)} and (tmp_path / "mark").exists()


def test_workers_that_always_die_are_given_up() -> None:
    with pytest.raises(SolverError, match="died 3 times in a row"):
        list(executors.run_here(dies_always, range(4), workers=1, prepare=ready, given=()))


@pytest.mark.slow
def test_a_cluster_gives_the_same_rows_though_a_worker_is_killed(site: Path) -> None:
    from distributed import Client, LocalCluster

    made = job(site, count=8)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        results = executors.run_on_cluster(
            cluster.scheduler_address, simulate.ClusterWork(made), range(made.chunks)
        )
        first = next(results)
        with Client(cluster.scheduler_address, set_as_default=False) as client:
            pid = next(iter(client.run(os.getpid).values()))
        os.kill(pid, signal.SIGKILL)
        rows = [r for _, part in [first, *results] for r in part]
    assert figures(rows) == figures(here(made))


def test_a_cluster_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "CONNECT_S", 1)
    with pytest.raises(InputError, match="no scheduler answers there"):
        list(executors.run_on_cluster("tcp://127.0.0.1:9", dies_always, [0]))


def test_methods_without_a_policy_are_refused_with_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert policies_of(["B", "threshold", "dynamic"]) == ("dynamic", "threshold")
    with pytest.raises(UnknownKind, match="did you mean 'threshold'"):
        policies_of(["treshold"])
    monkeypatch.setitem(simulate.METHODS, "Z", "never_written")
    with pytest.raises(UnknownKind, match="never_written"):
        policies_of(["Z"])
    with pytest.raises(InputError, match="none is named"):
        policies_of([" "])


@pytest.mark.parametrize(
    ("cycle", "want"),
    [
        ("2018", (date(2018, 1, 1), date(2019, 1, 1))),
        ("2018-12", (date(2018, 12, 1), date(2019, 1, 1))),
        ("2018-02-28", (date(2018, 2, 28), date(2018, 3, 1))),
        ("2018-06-14/2018-07-15", (date(2018, 6, 14), date(2018, 7, 15))),
    ],
)
def test_days_of_a_cycle(cycle: str, want: tuple[date, date]) -> None:
    assert days_of(cycle) == want


def test_a_rule_that_changes_weighs_what_comes_after_it() -> None:
    from valuestack.ledger import Entry

    def entry(usd: float) -> Entry:
        return Entry("2018-07", 3, "s", "credit", "market", 1.0, "kW", None, usd)

    assert weighed(entry(100.0), date(2018, 8, 1), 0.0) == 1.0
    assert weighed(entry(100.0), date(2018, 6, 30), 0.0) == 0.0
    assert weighed(entry(100.0), date(2018, 7, 1), 0.5) == 0.5
    assert weighed(entry(100.0), date(2018, 7, 17), 0.0) == pytest.approx(16 / 31)
    assert weighed(entry(-100.0), date(2018, 6, 1), 0.0) == 1.0, "what a market costs does not end with it"


CREDITS = """
[[series]]
name = "fleet_kw"
value = 8.0
unit = "kW"
[[series]]
name = "credit_price"
value = 70.0
unit = "USD/credit"
[[streams]]
kind = "lcfs"
use = "light_duty"
series = "fleet_kw"
usd_per_credit = "credit_price"
standard_g_per_mj = 90.0
ci_g_per_mj = 75.0
[simulate.futures.prices.credit_price]
level_sd_frac = 0.3
"""
COLLAPSE = """
[[simulate.futures.rules]]
name = "credits collapse"
of = ["credit_price"]
per_y = 1.0
factor = 0.05
"""


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_collapse_of_credits_hits_only_its_layer(site: Path, seed: int) -> None:
    """Same seeds, one price changed: under policies that do not see it every other figure is the same to the bit."""
    site.write_text(SITE + CREDITS)
    calm = here(job(site, seed=seed, count=3))
    site.write_text(SITE + CREDITS + COLLAPSE)
    fallen = here(job(site, seed=seed, count=3))
    hit = {"4 | lcfs | market_usd", "layer 4_usd", "total_usd", "driver: rule: credits collapse", "cpu_s"}
    for a, b in zip(calm, fallen, strict=True):
        assert {k: v for k, v in a.items() if k not in hit} == {k: v for k, v in b.items() if k not in hit}
        lost = a["4 | lcfs | market_usd"] - b["4 | lcfs | market_usd"]
        assert lost > 0 and a["total_usd"] - b["total_usd"] == pytest.approx(lost, abs=1e-6)
    sure = {r["future"]: r["4 | lcfs | market_usd"] for r in calm if r["policy"] == "threshold"}
    assert len(set(sure.values())) == 3, "prices differ between futures"


ENGINE = """
[[assets]]
kind = "generator"
name = "engine"
units = 1
rated_kw = 30.0
permit = "non_emergency"
tank_gal = 500.0
[assets.test_run]
nth = 1
weekday = "tue"
hour = 9
hours = 0.5
"""


def test_lanes_are_settled_as_if_each_had_run_alone(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the plain loop, which an engine that may run keeps every policy in."""
    site.write_text(SITE.replace("[study]", ENGINE + "[study]") + CREDITS)
    monkeypatch.setattr(simulate, "resting", lambda *_: {})
    together = here(job(site, count=4, size=4))
    monkeypatch.setattr(simulate, "MOST", 1)
    assert figures(together) == figures(here(job(site, count=4, size=4)))


def test_policies_that_decide_alike_are_run_once(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A and B where nobody calls: each has the row that it has when it is run by itself."""
    made, ran = {"count": 2, "size": 2}, []
    alone = [here(job(site, policies=(kind,), **made)) for kind in ("dynamic", "utility_first")]
    run = simulate.Bench.run

    def counted(self: Any, kind: str, *args: Any, **more: Any) -> Any:
        ran.append(kind)
        return run(self, kind, *args, **more)

    monkeypatch.setattr(simulate.Bench, "run", counted)
    both = here(job(site, policies=("dynamic", "utility_first", "persistence_mpc"), **made))
    assert ran == ["dynamic", "persistence_mpc"]
    assert figures([r for r in both if r["policy"] != "persistence_mpc"]) == figures([*alone[0], *alone[1]])
    assert len({r["bill_usd"] for r in both}) == 4, "another forecast is another run"


def test_an_engine_that_rests_may_stay_out_of_the_loop(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every figure is that of the plain loop with the engine in it, its test runs and tank included."""
    site.write_text(SITE.replace("[study]", ENGINE + "[study]"))
    made = job(site, count=3, size=3)
    quick = here(made)
    (bench,) = simulate._benches
    assert set(bench.resting) == {"engine"} and "engine/fuel_gal" not in bench.resting["engine"].extra
    a = bench.run("threshold", [bench.scenarios.draw(0, 7)])[0]
    monkeypatch.setattr(simulate, "resting", lambda *_: {})
    plain = here(made)
    (bench,) = simulate._benches
    b = bench.run("threshold", [bench.scenarios.draw(0, 7)])[0]
    assert set(a.extra) == set(b.extra) and set(a.asset_kw) == set(b.asset_kw)
    for name, kw in b.extra.items():
        np.testing.assert_allclose(a.extra[name], kw, atol=1e-9)
    for x, y in zip(quick, plain, strict=True):
        assert x.keys() == y.keys()
        for k, v in y.items():
            if k not in ("cpu_s", "policy"):
                assert x[k] == pytest.approx(v, abs=1e-6), k


PROCESS = """
[[assets]]
kind = "flexible_load"
name = "drying"
shed_kw = 20.0
recovery_frac = 1.0
recovery_max_kw = 20.0
recovery_h = 12.0
"""


def test_base_layers_move_all_that_the_policy_moves_in_any_chunk(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B with a process and a stream of layer 4: as run without it, in any chunk, and the process moves."""
    short = LOAD.replace("days = 60", "days = 14")
    (site.parent / "load.toml").write_text(short)
    before, _, after = SITE.partition("[[assets]]")
    site.write_text(before + PROCESS + after[after.index("[study]") :] + CREDITS)
    made = {"policies": ("dynamic",), "count": 2}
    together, alone = here(job(site, size=2, **made)), here(job(site, size=1, **made))
    assert figures(together) == figures(alone)
    ran, run = list[Any](), simulate.Bench.run

    def kept(self: Any, *args: Any, **more: Any) -> Any:
        records = run(self, *args, **more)
        ran.extend((more["answering"], r) for r in records)
        return records

    monkeypatch.setattr(simulate.Bench, "run", kept)
    again = here(job(site, size=2, **made))
    assert figures(again) == figures(alone)
    base = [r for answering, r in ran if not answering]
    assert len(base) >= 2 and all(np.abs(r.asset_kw["drying"]).max() > 0.1 for r in base)


def test_parts_of_another_schema_and_cut_parts_are_noticed(site: Path, tmp_path: Path) -> None:
    import json

    loaded, out = vs.load_site(site), tmp_path / "out"
    three = simulate.simulate(loaded, out, scenarios=3, workers=1, policies=["do_nothing"]).rows
    five = simulate.simulate(loaded, out, scenarios=4, workers=1, policies=["do_nothing"]).rows
    assert [r["future"] for r in five] == [0, 1, 2, 3], "the half chunk of the first run was done again"
    assert figures(three) == figures(five[:3])
    stamp = out / "futures" / simulate.MANIFEST
    held = json.loads(stamp.read_text())
    stamp.write_text(json.dumps({**held, "schema": 1}))
    with pytest.raises(InputError, match=r"schema 1, this version writes 2; give --fresh"):
        simulate.simulate(loaded, out, scenarios=3, workers=1, policies=["do_nothing"])


HOURLY = """
{"name": "hourly", "utility": "u", "source": "made for this test", "verified": true, "holidays": [],
 "items": [{"kind": "hourly_price", "name": "energy"}]}
"""


def test_an_hourly_price_is_billed_as_it_comes_in_each_future(site: Path) -> None:
    """Price and load of a day stay together, and what is known of the price moves the bill of that future."""
    (site.parent / "hourly.json").write_text(HOURLY)
    price = """
[[series]]
name = "lmp"
value = 0.05
hour_frac = [0.5, 0.5, 0.5, 0.5, 0.5, 0.6, 0.8, 1.0, 1.2, 1.2, 1.2, 1.2, 1.2, 1.2, 1.2, 1.4, 1.6, 1.8, 1.6, 1.2, 1.0, 0.8, 0.6, 0.5]
unit = "USD/kWh"
[simulate.futures.load]
growth_sd_frac = 0.0
[simulate.futures.prices.lmp]
level_sd_frac = 0.4
"""  # noqa: E501
    text = SITE.replace(
        'tariff = "dte-d4-large-general"', 'tariff = "hourly.json"\n[meters.facts]\nprices = "lmp"'
    )
    site.write_text(text + price)
    made = job(site, policies=("do_nothing",), count=4, size=4)
    rows = here(made)
    (bench,) = simulate._benches
    assert bench.priced == {"": "lmp"}
    for row in rows:
        future = bench.scenarios.draw(row["future"], made.seed)
        assert row["bill_usd"] == pytest.approx(
            float(future.series["lmp"] @ future.series["load_kw"]), rel=1e-9
        )
    assert len({round(r["bill_usd"]) for r in rows}) == 4


def test_the_first_futures_are_also_solved_with_the_future_known(site: Path) -> None:
    site.write_text(SITE.replace("foresight = 0", "foresight = 1"))
    rows = here(job(site, count=2))
    assert {r["future"] for r in rows if "bound_usd" in r} == {0}
    for r in rows:
        if r["future"] == 0:
            assert r["layer 1_usd"] + r["operation_usd"] <= r["bound_usd"] + 1e-6, "no policy beats the bound"


def test_no_more_futures_begin_than_the_minutes_take_and_the_rest_comes_later(
    site: Path, tmp_path: Path
) -> None:
    made = vs.load_site(site)
    short = simulate.simulate(made, tmp_path / "a", scenarios=50, workers=1, minutes=1e-4)
    there = {r["future"] for r in short.rows}
    assert there and there == set(range(len(there))) and len(there) < 50
    assert short.job.size == 1
    rest = simulate.simulate(made, tmp_path / "a", scenarios=5, workers=1)
    assert {r["future"] for r in rest.rows} == set(range(5))
    whole = simulate.simulate(made, tmp_path / "b", scenarios=5, workers=1, minutes=60)
    assert figures(rest.rows) == figures(whole.rows)


def test_a_stopped_stream_begins_nothing_more() -> None:
    """One chunk at a time: it is asked before each."""
    begun = [0]

    def go_on() -> bool:
        begun[0] += 1
        return begun[0] <= 3

    results = executors.run_here(squared, range(20), workers=1, prepare=ready, given=(), go_on=go_on)
    assert dict(results) == {0: 0, 1: 1, 2: 4}


def test_c_commands_under_the_contract_of_the_site_and_under_which_of_several_is_asked(
    tmp_path: Path,
) -> None:
    from valuestack.process.stacking.layers import day_of_rules
    from valuestack.process.stacking.meters import ready as read
    from valuestack.site.contract import Contract

    made = vs.load_site("data-centre")
    limited = Contract(
        name="nights", streams=("regulation",), asset="battery", dispatch={"from_h": 22.0, "to_h": 6.0}
    )

    def with_contracts(*contracts: Contract) -> Any:
        from dataclasses import replace

        return replace(made, written=made.written.model_copy(update={"contracts": contracts}))

    site = with_contracts(limited)
    (m,) = [read(site, x) for x in site.meters]
    bench = simulate.Bench.of(site, m, day_of_rules(site, [m]))
    (record,) = bench.run("aggregator_primary", [bench.scenarios.draw(0, 0)])
    held = sum(kw for name, kw in record.extra.items() if name in ("regulation/up", "regulation/down"))
    hour = record.timeline.hour
    assert held[(hour >= 22) | (hour < 6)].any() and not held[(hour >= 6) & (hour < 22)].any()
    with pytest.raises(InputError, match="has nights, other"):
        simulate.commanded(with_contracts(limited, limited.model_copy(update={"name": "other"})))
