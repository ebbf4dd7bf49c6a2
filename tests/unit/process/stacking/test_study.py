"""The study: money by the same bill in all cases, attribution to the cent, a bound that bounds, and honesty."""

from __future__ import annotations

import copy
import json
import tomllib
from datetime import date
from typing import Any

import numpy as np
import pytest

import valuestack as vs
from valuestack.errors import InputError
from valuestack.process.stacking.meters import ready
from valuestack.report.result import BOUND_LABEL
from valuestack.site.files import load, shipped

FIRST: dict[str, Any] = tomllib.loads(shipped("sites")["first-story"].read_text(encoding="utf-8"))


def site(**changes: Any) -> dict[str, Any]:
    """Six weeks of the first story, two billed peaks."""
    out = copy.deepcopy(FIRST)
    out["study"] = out.get("study", {}) | {"first_date": date(2021, 5, 17), "until_date": date(2021, 7, 1)}
    for key, value in changes.items():
        out[key] = out[key] | value if isinstance(value, dict) and key in out else value
    return out


@pytest.fixture(scope="module")
def found() -> Any:
    return vs.study(site())


def test_before_is_the_bill_of_the_data(found: Any) -> None:
    made = ready(load(site()), load(site()).meters[0])
    alone = vs.bill(made.tariff, made.timeline, made.before_kw, facts=vs.BillFacts(power_factor=0.9))
    assert found.before.bill.total_usd == alone.total_usd == found.before.bill_usd


def test_every_case_is_settled_from_its_own_record(found: Any) -> None:
    made = ready(load(site()), load(site()).meters[0])
    for case in (found.before, found.realised, found.bound):
        assert made.settle(case.record.net_kw).total_usd == pytest.approx(case.bill_usd, abs=1e-9)


def test_attribution_sums_to_the_saving_to_the_cent(found: Any) -> None:
    for case in (found.realised, found.bound):
        assert sum(c.usd for c in found.changes(case)) == pytest.approx(found.saving_usd(case), abs=0.005)


def test_the_bound_bounds(found: Any) -> None:
    slack = found.objective_usd - found.lower_bound_usd
    assert found.gap_frac is not None and 0 <= found.gap_frac < 0.05
    assert found.net_usd(found.realised) <= found.net_usd(found.bound) + slack + 1
    assert 0 < found.capture_frac <= 1 + (slack + 1) / found.net_usd(found.bound)


def test_the_bound_is_labelled_wherever_it_is_shown(found: Any) -> None:
    assert found.bound.label == BOUND_LABEL and "perfect foresight" in json.dumps(
        found.to_dict()["bound"]["label"]
    )


def test_records_balance(found: Any) -> None:
    load_kw = found.meters[0].load_kw
    for case in (found.realised, found.bound):
        record = case.record
        assert np.allclose(record.net_kw, load_kw + sum(record.asset_kw.values()), atol=1e-6)
        assert record.net_kw.min() >= -1e-6  # no export was allowed


def test_wear_is_priced_as_it_is_counted_or_the_difference_is_said(found: Any) -> None:
    (wear,) = found.bound.wear.values()
    assert wear.counted_usd == pytest.approx(found.bound.wear_usd) and wear.counted_usd > 0
    said = any(f.kind == "wear_price" for f in found.findings)
    assert abs(wear.difference_frac) <= 0.05 or said


def test_a_result_on_a_load_model_says_so_at_its_head(found: Any) -> None:
    assert "nobody metered it" in found.head[0] and "months" in found.head[1]


def test_payback_and_claims_are_there(found: Any) -> None:
    assert [p.case for p in found.payback] == ["realised", "bound"]
    assert [c.unit for c in found.claims] == ["USD a year", "frac"]


def test_it_is_json(found: Any) -> None:
    body = json.loads(json.dumps(found.to_dict(), allow_nan=False, default=str))
    assert body["capture_frac"] == found.capture_frac and body["realised"]["bills"]["plant"]["total_usd"] > 0
    assert body["site"]["study"]["wear_rounds"] == 4  # defaults are echoed


def test_assumptions_carry_source_and_whether_it_was_checked(found: Any) -> None:
    texts = {a.what: a for a in found.assumptions}
    assert not next(a for t, a in texts.items() if "mean load of the running interval" in t).verified
    assert any("calendar months" in t for t in texts) and any(
        "power_factor" in t and "verified" in t for t in texts
    )


def test_doing_nothing_saves_nothing() -> None:
    resting = vs.study(
        site(
            study=FIRST["study"]
            | {"policy": "do_nothing", "first_date": date(2021, 5, 17), "until_date": date(2021, 7, 1)}
        )
    )
    assert resting.realised_saving_usd == pytest.approx(
        0, abs=0.005
    ) and resting.capture_frac == pytest.approx(0)


def test_no_asset_no_saving_and_no_capture() -> None:
    bare = vs.study(site(assets=[]))
    assert bare.realised_saving_usd == pytest.approx(0, abs=0.005)
    assert bare.capture_frac is None and "no share of it can be stated" in bare.capture_reason
    assert bare.gap_frac is None and any(f.kind == "no_assets" for f in bare.findings)


def test_two_meters_add_up(found: Any) -> None:
    two = site()
    other = copy.deepcopy(two["meters"][0]) | {"name": "second"}
    two["meters"].append(other)
    both = vs.study(two)
    assert both.before.bill_usd == pytest.approx(2 * found.before.bill_usd)
    assert both.realised_saving_usd == pytest.approx(found.realised_saving_usd)
    assert (
        set(both.before.bills) == {"plant", "second"}
        and both.before.record.net_kw.size == found.meters[0].timeline.n
    )
    assert sum(c.usd for c in both.changes()) == pytest.approx(both.realised_saving_usd, abs=0.005)


def test_shaved_out_of_the_class_is_a_finding() -> None:
    """The foundry is in the class of 1,000 kW and more; a battery of 1,000 kW takes it below."""
    battery = FIRST["assets"][0] | {"power_kw": 1000.0, "energy_kwh": 4000.0}
    big = vs.study(site(assets=[battery]))
    said = [f for f in big.findings if f.kind == "eligibility_after"]
    assert said and "at least 1,000 kW" in said[0].what and "with the assets" in said[0].what


def test_a_span_without_data_is_refused() -> None:
    with pytest.raises(InputError, match="no data from 2031-01-01"):
        vs.study(site(study={"first_date": date(2031, 1, 1), "until_date": date(2031, 2, 1)}))


def test_a_meter_without_a_tariff_is_refused() -> None:
    bare = site()
    bare["meters"][0]["tariffs"] = []
    with pytest.raises(InputError, match="no tariff"):
        vs.study(bare)


def test_a_missing_fact_is_named() -> None:
    bare = site()
    del bare["meters"][0]["facts"]
    with pytest.raises(vs.DataError, match="power_factor"):
        vs.study(bare)


def test_progress_is_told() -> None:
    seen: list[tuple[str, float | None]] = []
    vs.study(site(assets=[]), progress=lambda what, share: seen.append((what, share)))
    shares = [s for _, s in seen if s is not None]
    assert shares == sorted(shares) and shares[-1] == 1.0 and any("perfect foresight" in w for w, _ in seen)


def test_fade_outside_its_range_is_a_finding() -> None:
    written = site()
    hot = {**written["assets"][0], "temperature_c": 60.0}
    said = [f for f in vs.study({**written, "assets": [hot]}).findings if f.kind == "wear_extrapolated"]
    assert any("60" in f.what for f in said) and {f.where.rsplit(", ")[-1] for f in said} == {
        "realised",
        "bound",
    }


def test_a_limit_of_changes_is_settled_like_the_realised_case(found: Any) -> None:
    written = site(study={"changes_per_day": [4, 300]}, setpoints={"change_cost_usd": 0.25})
    written["study"] |= {"first_date": date(2021, 5, 17), "until_date": date(2021, 7, 1)}
    limited = vs.study(written)
    loose, tight = limited.change_limits
    assert (loose.most_per_day, tight.most_per_day) == (300, 4)
    assert loose.lost_usd_per_y == pytest.approx(0.0, abs=1e-6)
    assert tight.lost_usd_per_y == pytest.approx(loose.saving_usd_per_y - tight.saving_usd_per_y)
    assert tight.changes_per_day < loose.changes_per_day
    # The same moves as without a price, and the price of each settled on top.
    assert (limited.realised.record.net_kw == found.realised.record.net_kw).all()
    (paid,) = [e for e in limited.realised.operation if e.item == "setpoint changes"]
    assert limited.realised.wear_usd == pytest.approx(found.realised.wear_usd - paid.usd)
    assert paid.usd == -0.25 * paid.quantity < 0
    (wear,) = limited.realised.wear.values()
    assert wear.changes_per_day * 45 == pytest.approx(paid.quantity, rel=0.02)
    from valuestack.report import page

    assert "What a limit of setpoint changes costs" in page.render(limited)
    assert [r["most_per_day"] for r in limited.to_dict()["change_limits"]] == [300, 4]
    assert "Setpoint changes" in dict(page.workbook_sheets(limited))
