"""How well each shipped baseline does on days without an event, on real loads: RRMSE and bias by the book."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import valuestack as vs
from tests.conftest import Notebook
from valuestack.streams.grid.baseline import Event, Ruler, judge, load_baseline, shipped

pytestmark = pytest.mark.data
LOADS = ("steel_gwangyang_kr_2018_15min", "reopt_madison_wi_recast2018_15min")


def test_placebo_days_of_real_loads(data_dir: Path, evidence: Notebook) -> None:
    """Four hours from four in the afternoon on the 40 summer weekdays of highest load, as a programme would call."""
    import pandas as pd

    t = vs.Timeline(start="2018-01-01T00:00", step_h=0.25, n=35_040, tz="Etc/GMT+6")
    for name in LOADS:
        kw = pd.read_parquet(data_dir / "load" / f"{name}.parquet").kw.to_numpy(float)
        days = t.day - t.day[0]
        mean = np.bincount(days, weights=kw) / np.bincount(days)
        work = np.array([d for d in range(151, 273) if (d + t.weekday[0]) % 7 < 5])
        chosen = np.sort(work[np.argsort(-mean[work], kind="stable")[:40]])
        placebos = [Event(int(96 * d + 64), 16) for d in chosen]
        ruler = Ruler(t, kw)
        figures = {}
        for method in shipped():
            rule = load_baseline(method)
            if rule.regression is not None:
                continue  # these loads come without temperature
            q = judge(ruler, rule, placebos)
            figures[method] = (round(q.rrmse_frac, 3), round(q.bias_frac, 3), q.placebos)
            assert q.placebos == 40 and q.refused == 0
            errors = [(ruler.baseline(rule, e).kw - kw[e.span]) for e in placebos]
            actual = np.concatenate([kw[e.span] for e in placebos])
            rms = float(np.sqrt((np.concatenate(errors) ** 2).mean()) / actual.mean())
            assert q.rrmse_frac == pytest.approx(rms)
            assert q.bias_frac == pytest.approx(float(np.concatenate(errors).sum() / actual.sum()))
            assert np.isfinite(q.rrmse_frac) and 0 < q.rrmse_frac < 2
        evidence(f"baselines on placebo days of {name}: RRMSE, bias, days", **figures)
