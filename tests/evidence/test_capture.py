"""What the causal threshold policy keeps of the perfect-foresight saving, on real loads and shipped rates."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

import valuestack as vs
from tests.conftest import Notebook
from valuestack.assets.battery import Battery
from valuestack.control import loop
from valuestack.control.threshold import Threshold
from valuestack.dispatch import Foresight, Series, View, World
from valuestack.site.files import find_tariff
from valuestack.stack.optimise import optimise
from valuestack.streams.retail.tariff_stream import TariffStream
from valuestack.timeline import Kw, Timeline

# Loads by file, quarter-hours of 2018, kW. The battery is sized by rule: 30 % of the peak, two hours.
LOADS = {
    "steel works": "load/steel_gwangyang_kr_2018_15min.parquet",
    "plant near Madison": "load/reopt_madison_wi_recast2018_15min.parquet",
}
FLAT = {
    "label": "flat",
    "utility": "none",
    "name": "15 USD/kW, 0.12 USD/kWh",
    "country": "USA",
    "flatdemandunit": "kW",
    "flatdemandstructure": [[{"rate": 15.0}]],
    "flatdemandmonths": [0] * 12,
    "energyratestructure": [[{"rate": 0.12}]],
    "energyweekdayschedule": [[0] * 24] * 12,
    "energyweekendschedule": [[0] * 24] * 12,
}
RATES = ("pge-b-20-secondary", "sce-tou-8-d-under-2kv", "flat")


def load_kw(path: Path) -> Kw:
    import pandas as pd

    return pd.read_parquet(path)["kw"].to_numpy(dtype=float)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", list(LOADS))
def test_the_threshold_policy_keeps_more_than_half(name: str, data_dir: Path, evidence: Notebook) -> None:
    kw = load_kw(data_dir / LOADS[name])
    timeline = Timeline(start="2018-01-01T00:00", step_h=0.25, n=kw.size, tz="Etc/GMT+8")
    facts = vs.BillFacts(power_factor=0.9)
    size = 0.3 * float(kw.max())
    battery = Battery(
        power_kw=size,
        energy_kwh=2 * size,
        soc_start_frac=0.5,
        charge_efficiency_frac=0.94,
        discharge_efficiency_frac=0.94,
    )
    world = World(timeline, {"load_kw": Series("load_kw", kw, "kW", -0.25)})
    view = View(timeline, 0, timeline.n, Foresight(world), {battery.name: battery.initial_state()})
    shares, seconds = {}, {}
    for rate in RATES:
        tariff = vs.load_tariff(FLAT if rate == "flat" else find_tariff(rate, Path()))
        terms = list(TariffStream(tariff, timeline, name="tariff", facts=facts).terms(view))
        usd = tariff.compile(timeline, facts).total_usd
        best = usd(np.asarray(optimise(timeline, kw, [battery.belief(view)], terms).net_kw))
        loop.run(world, [battery], Threshold(), terms)  # compiled code is loaded here, not timed
        began = time.process_time()
        record = loop.run(world, [battery], Threshold(), terms)
        seconds[rate] = time.process_time() - began
        shares[rate] = (usd(kw) - usd(record.net_kw)) / (usd(kw) - best)
        assert record.net_kw.min() >= -1e-9
    evidence(
        f"share of the bound that the threshold policy keeps, {name}",
        **{rate.replace("-", "_"): round(share, 3) for rate, share in shares.items()},
        cpu_s_a_year=round(max(seconds.values()), 3),
    )
    assert min(shares.values()) > 0.5, shares
    assert max(seconds.values()) < 2.0, seconds
