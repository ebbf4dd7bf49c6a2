"""The audit as a whole: verdicts, marks, dollars at stake, clock changes, resolutions, years, bills that decide."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from valuestack.errors import DataError, Disqualified, InputError
from valuestack.process.audit import Audit, audit
from valuestack.site.site import BilledTotal
from valuestack.sources.source import ESTIMATED, MeterTable
from valuestack.timeline import Kw, Timeline

from .injection import alarms, bills
from .loads import SiteYear, channel, read, synthetic, table


@pytest.fixture(scope="module")
def site() -> SiteYear:
    return synthetic("two shifts", 300, step_h=1.0)


def of(site: SiteYear, kw: Kw, **options: object) -> Audit:
    return audit(table(channel(site.timeline.utc_s, kw)), tz=site.tz, spikes=False, **options)  # type: ignore[arg-type]


def kinds(made: Audit) -> dict[str, str]:
    return {f.kind: f.severity for f in made.findings}


# ---- verdict and marks ----------------------------------------------------------------------------------


def test_a_clean_year_with_a_bill_passes(site: SiteYear) -> None:
    made = of(site, site.kw, billed=bills(site)[3:4])
    assert made.verdict == "pass" and made.usable and not made.quality.any()
    np.testing.assert_allclose(made.net_kw, site.kw)
    assert made.require() is made


def test_without_a_bill_the_multiplier_is_asked_for(site: SiteYear) -> None:
    made = of(site, site.kw)
    assert made.verdict == "needs an answer" and kinds(made) == {"multiplier_unproven": "question"}


@pytest.mark.parametrize(("share", "verdict"), [(0.099, "needs an answer"), (0.101, "disqualified")])
def test_a_tenth_repaired_disqualifies(site: SiteYear, share: float, verdict: str) -> None:
    kw = site.kw.copy()
    n = site.timeline.n
    kw[np.linspace(5, n - 5, round(share * n)).astype(int)] = np.nan
    made = of(site, kw)
    assert made.verdict == verdict
    assert made.quality.sum() == np.isnan(kw).sum() == sum(g.n for g in made.repaired)


@pytest.mark.parametrize(("days", "verdict"), [(33, "needs an answer"), (46, "disqualified")])
def test_a_long_stretch_disqualifies(site: SiteYear, days: int, verdict: str) -> None:
    kw = np.concatenate((site.kw, site.kw))[: 2 * 8760]
    t = Timeline(start=site.timeline.start, step_h=1.0, n=kw.size, tz=site.tz)
    kw[2000 : 2000 + days * 24] = np.nan
    made = audit(table(channel(t.utc_s, kw)), tz=site.tz, spikes=False)
    assert made.verdict == verdict
    if verdict == "disqualified":
        assert made.reasons == ("one stretch of 46 days has no usable reading, more than 45",)


def test_disqualified_data_are_refused_unless_overridden_with_a_reason(site: SiteYear) -> None:
    kw = site.kw.copy()
    kw[1000:2200] = np.nan
    made = of(site, kw)
    with pytest.raises(Disqualified, match=r"cannot carry a result: 14%.*50 days.*override"):
        made.require()
    again = of(site, kw, override="the plant was shut")
    assert again.verdict == "overridden" and again.usable and again.require() is again
    assert again.reasons == made.reasons


def test_estimated_reads_are_kept_marked_and_counted(site: SiteYear) -> None:
    flags = np.zeros(site.timeline.n, dtype=np.int64)
    flags[500:520] = ESTIMATED
    made = audit(table(channel(site.timeline.utc_s, site.kw, quality=flags)), tz=site.tz, spikes=False)
    np.testing.assert_allclose(made.net_kw, site.kw)
    assert np.array_equal(made.quality, flags > 0)
    assert next(f for f in made.findings if f.kind == "estimated").count == 20


# ---- a repaired interval never sets a billed peak unmarked ----------------------------------------------


def test_a_peak_that_stands_on_a_repair_is_named(site: SiteYear) -> None:
    t, kw = site.timeline, site.kw.copy()
    march = np.flatnonzero(t.month == 3)
    top = int(march[np.argmax(kw[march])])
    kw[march] = np.minimum(kw[march], kw[top] * 0.8)
    kw[top - 1 : top + 2] = kw[top] * np.array([1.1, np.nan, 1.1])
    kw[top - 1], kw[top + 1] = np.nan, np.nan
    kw[top - 2] = kw[top + 2] = site.kw[top]
    kw[top - 3 : top - 1] = np.nan
    kw[top + 2 : top + 4] = np.nan
    made = of(site, kw)
    for m in np.unique(t.month_id):
        mine = np.flatnonzero(t.month_id == m)
        k = int(mine[np.argmax(made.net_kw[mine])])
        if made.quality[k]:
            (f,) = [f for f in made.findings if f.kind == "repaired_peak"]
            assert str(np.datetime64(int(m), "M")) in f.where and "metered" in f.where


@pytest.mark.parametrize("seed", range(6))
def test_every_month_whose_peak_is_repaired_is_marked(seed: int) -> None:
    site = synthetic("foundry", 310 + seed, step_h=1.0)
    rng = np.random.default_rng(seed)
    kw = site.kw.copy()
    for a in rng.integers(0, kw.size - 80, 10):
        kw[a : a + rng.integers(3, 70)] = np.nan
    made = of(site, kw)
    rows = " ".join(f.where for f in made.findings if f.kind == "repaired_peak")
    for m in np.unique(site.timeline.month_id):
        mine = np.flatnonzero(site.timeline.month_id == m)
        k = int(mine[np.argmax(made.net_kw[mine])])
        assert (str(np.datetime64(int(m), "M")) in rows) == bool(made.quality[k])


# ---- dollars at stake -----------------------------------------------------------------------------------


def demand_bill(t: Timeline, kw: Kw) -> float:
    """15 USD/kW of each month's peak and 0.1 USD/kWh: an independent price."""
    peaks = [kw[t.month_id == m].max() for m in np.unique(t.month_id)]
    return float(15 * np.sum(peaks) + 0.1 * kw.sum() * t.step_h)


def test_dollars_at_stake_are_the_worst_reading_less_the_repaired(site: SiteYear) -> None:
    kw = site.kw.copy()
    spike = 5 * kw.max()
    kw[3000] = spike
    made = of(site, kw, bill=demand_bill)
    (f,) = [f for f in made.findings if f.kind == "outlier"]
    as_metered = made.net_kw.copy()
    as_metered[3000] = spike
    want = demand_bill(site.timeline, as_metered) - demand_bill(site.timeline, made.net_kw)
    assert f.at_stake_usd == pytest.approx(want) and want > 15 * 3 * site.kw.max()
    assert made.findings[0] is f  # the dearest first


def test_contradicting_readings_put_the_higher_one_at_stake(site: SiteYear) -> None:
    t = site.timeline.utc_s
    k = int(np.argmax(site.kw))
    both = table(channel(np.append(t, t[k]), np.append(site.kw, 0.5 * site.kw[k])))
    made = audit(both, tz=site.tz, spikes=False, bill=demand_bill)
    (f,) = [f for f in made.findings if f.kind == "duplicate_contradicting"]
    higher = made.net_kw.copy()
    higher[k] = site.kw[k]
    assert made.quality[k] == 1 and made.net_kw[k] == pytest.approx(0.5 * site.kw[k])
    assert f.at_stake_usd == pytest.approx(
        demand_bill(site.timeline, higher) - demand_bill(site.timeline, made.net_kw)
    )


def test_without_a_tariff_nothing_is_priced(site: SiteYear) -> None:
    kw = site.kw.copy()
    kw[100:110] = np.nan
    assert all(f.at_stake_usd is None for f in of(site, kw).findings)


# ---- clocks, resolutions, years -------------------------------------------------------------------------


def spring_to_autumn(step_h: float) -> tuple[Timeline, Kw]:
    year = synthetic("shop", 320, step_h=step_h, tz="America/New_York", year=2021)
    first, n = round(59 * 24 / step_h), round(265 * 24 / step_h)
    return year.timeline.part(first, n), year.kw[first : first + n]


@pytest.mark.parametrize("step_h", [1 / 12, 0.25, 0.5, 1.0])
def test_wall_clock_labels_hold_days_of_23_and_25_hours(step_h: float) -> None:
    t, kw = spring_to_autumn(step_h)
    made = audit(table(channel(t.local_s, kw, clock="wall")), tz=t.tz, spikes=False)
    assert np.array_equal(made.timeline.utc_s, t.utc_s)
    np.testing.assert_allclose(made.net_kw, kw)
    days, n = np.unique(made.timeline.local_date, return_counts=True)
    hours = dict(zip(days.astype(str), (n * step_h).tolist(), strict=True))
    assert hours["2021-03-14"] == pytest.approx(23) and hours["2021-11-07"] == pytest.approx(25)
    assert set(kinds(made)) == {"short_span", "multiplier_unproven"}


def test_an_autumn_hour_that_stands_once_is_a_gap() -> None:
    t, kw = spring_to_autumn(1.0)
    keep = np.ones(t.n, dtype=bool)
    keep[np.flatnonzero(np.diff(t.local_s) <= 0)[0] + 1] = False
    made = audit(table(channel(t.local_s[keep], kw[keep], clock="wall")), tz=t.tz, spikes=False)
    assert {"autumn_hour_once", "gap"} <= set(kinds(made))
    assert made.timeline.n == t.n and made.quality.sum() == 1


def test_a_leap_year_and_several_years_are_whole() -> None:
    site = synthetic("cold store", 322, step_h=1.0, year=2019, years=3)
    made = audit(read(site), tz=site.tz, spikes=False)
    assert made.timeline.n == (365 + 366 + 365) * 24 and alarms(made) == []
    assert (made.timeline.local_date == np.datetime64("2020-02-29")).sum() == 24
    assert len(made.profile.peaks) == 36


def test_delivered_and_received_are_netted_and_kept_apart(site: SiteYear) -> None:
    t = site.timeline
    sold = np.where((t.hour > 10) & (t.hour < 14), 30.0 + t.day % 7, 0.0)
    bought = np.where(sold > 0, 0.0, site.kw)
    both = table(channel(t.utc_s, bought), channel(t.utc_s, sold, flow="received"))
    made = audit(both, tz=site.tz, spikes=False)
    np.testing.assert_allclose(made.net_kw, bought - sold)
    np.testing.assert_allclose(made.import_kw, bought)
    np.testing.assert_allclose(made.export_kw, sold)


def test_channels_of_unequal_length_are_laid_on_one_grid(site: SiteYear) -> None:
    t = site.timeline
    kvar = channel(t.utc_s[50:], 0.3 * site.kw[50:], quantity="kvar")
    made = audit(table(channel(t.utc_s, site.kw), kvar), tz=site.tz, spikes=False)
    assert made.net_kvar is not None
    np.testing.assert_allclose(made.net_kvar[50:], 0.3 * site.kw[50:])


def test_readings_may_come_in_any_order(site: SiteYear) -> None:
    order = np.random.default_rng(1).permutation(site.timeline.n)
    made = audit(table(channel(site.timeline.utc_s[order], site.kw[order])), tz=site.tz, spikes=False)
    np.testing.assert_allclose(made.net_kw, site.kw)


# ---- what a bill decides --------------------------------------------------------------------------------


def test_a_bill_decides_a_factor_on_the_whole_file_for_every_channel(site: SiteYear) -> None:
    t = site.timeline
    both = table(channel(t.utc_s, site.kw / 40), channel(t.utc_s, site.kw / 80, quantity="kvar"))
    made = audit(both, tz=site.tz, spikes=False, billed=bills(site)[2:5])
    assert kinds(made) == {"multiplier": "warning"} and made.net_kvar is not None
    np.testing.assert_allclose(made.net_kw, site.kw, rtol=1e-6)
    np.testing.assert_allclose(made.net_kvar, site.kw / 2, rtol=1e-6)


def test_bills_that_disagree_decide_nothing_and_are_shown(site: SiteYear) -> None:
    one, other = bills(site)[2:4]
    made = of(
        site, site.kw, billed=(one, other.model_copy(update={"energy_kwh": 4 * (other.energy_kwh or 0)}))
    )
    np.testing.assert_allclose(made.net_kw, site.kw)
    (f,) = [f for f in made.findings if f.kind == "billed_energy"]
    assert "+300.0%" in f.what


@pytest.mark.parametrize("real", [False, True])
def test_a_bill_inside_a_stretch_says_whether_it_is_real(site: SiteYear, real: bool) -> None:
    kw = site.kw.copy()
    part = slice(3000, 5160)
    kw[part] *= 4
    truth = kw if real else site.kw
    made = of(site, kw, billed=bills(site, truth)[5:6])
    np.testing.assert_allclose(made.net_kw, truth, rtol=1e-6)
    assert kinds(made)["multiplier_jump"] == ("info" if real else "warning")
    assert not any(f.severity == "question" for f in made.findings)


def test_a_billed_peak_that_no_reading_shows_is_said(site: SiteYear) -> None:
    (b,) = bills(site)[4:5]
    made = of(site, site.kw, billed=(b.model_copy(update={"peak_kw": 1.2 * (b.peak_kw or 0)}),))
    (f,) = [f for f in made.findings if f.kind == "billed_peak"]
    assert "+20.0%" in f.what


def test_a_bill_of_days_that_are_not_in_the_data_decides_nothing(site: SiteYear) -> None:
    b = BilledTotal(from_date=date(2017, 1, 1), until_date=date(2017, 2, 1), energy_kwh=1.0)
    assert kinds(of(site, site.kw, billed=(b,))) == {"multiplier_unproven": "question"}


def test_a_load_model_is_not_asked_for_its_multiplier(site: SiteYear) -> None:
    made = audit(replace(read(site), mapping={"kind": "load_model"}), tz=site.tz, spikes=False)
    assert made.verdict == "pass"


# ---- what cannot be audited -----------------------------------------------------------------------------


def test_what_cannot_be_audited_is_refused(site: SiteYear) -> None:
    good = channel(site.timeline.utc_s, site.kw)
    with pytest.raises(InputError, match="names no time zone"):
        audit(table(good))
    with pytest.raises(InputError, match="not an IANA time zone"):
        audit(table(good), tz="America/Chikago")
    with pytest.raises(DataError, match="no electricity"):
        audit(table(replace(good, flow="other")), tz=site.tz)
    with pytest.raises(DataError, match="no reading in it is a number"):
        audit(table(replace(good, value=np.full(site.kw.size, np.nan))), tz=site.tz)
    with pytest.raises(DataError, match="one reading is no series"):
        audit(table(channel(site.timeline.utc_s[:1], site.kw[:1])), tz=site.tz)
    with pytest.raises(DataError, match="daily or monthly totals"):
        audit(table(channel(site.timeline.utc_s[::24], site.kw[::24])), tz=site.tz)
    other = replace(good, usage_point="second")
    with pytest.raises(InputError, match=r"holds 2 usage points.*--usage-point"):
        audit(MeterTable("m.csv", (good, other), {}), tz=site.tz)
    with pytest.raises(InputError, match="'third' is not in"):
        audit(MeterTable("m.csv", (good, other), {}), tz=site.tz, usage_point="third")
    with pytest.raises(DataError, match="15 minutes, 60 minutes"):
        quarter = channel(site.timeline.utc_s[0] + 900 * np.arange(4000), np.arange(4000.0) % 7 + 1)
        audit(table(good, quarter), tz=site.tz)


def test_it_is_json_and_says_itself_in_a_few_sentences(site: SiteYear) -> None:
    import json

    made = audit(read(site), tz=site.tz)
    body = json.loads(json.dumps(made.to_dict()))
    assert body["verdict"] == made.verdict and body["repaired_intervals"] == 0
    assert made.lines()[0].startswith("verdict: needs an answer")


@pytest.mark.parametrize("trade", ["office", "shop", "school"])
def test_the_working_day_is_no_recurring_spike(trade: str) -> None:
    """Ramps at opening and closing come on time each day, but lead to another level. (A hotel's two humps of two hours
    do recur, and may be said to.)"""
    from valuestack.process.audit.spikes import find

    for seed in (400, 403, 405):
        site = synthetic(trade, seed, step_h=0.25)
        assert find(site.timeline, site.kw) is None, (trade, seed)
