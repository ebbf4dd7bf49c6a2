"""The page on encoding a tariff shows a file that works and the amount it comes to."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import valuestack as vs

PAGE = Path(__file__).resolve().parents[4] / "docs" / "how-to" / "encode-a-tariff.md"


def test_the_example_comes_to_the_amount_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(r"<!-- tested -->\n```json\n(.*?)```", text, re.S)
    stated = re.search(r"comes to \$([\d,]+\.\d\d)", text)
    assert found and stated
    timeline = vs.Timeline(start="2019-07-01T00:00", step_h=0.25, n=96 * 31, tz="America/New_York")
    bill = vs.bill(
        vs.load_tariff(json.loads(found[1])),
        timeline,
        np.full(timeline.n, 400.0),
        facts=vs.BillFacts(power_factor=0.80),
    )
    kwh, demand = 400 * 744, 400 * 12.5
    by_hand = kwh * 1.03 * 0.07 + 1.05 * (150 + demand * 0.9 / 0.8 + kwh * 0.0125)
    assert bill.total_usd == pytest.approx(by_hand, abs=0.005)
    assert f"{bill.total_usd:,.2f}" == stated[1]
