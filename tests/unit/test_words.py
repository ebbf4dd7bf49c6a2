"""The other words of the house: errors, ledger, findings, registry, terms, dispatch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from valuestack import registry
from valuestack.dispatch import Foresight, Series, View, World
from valuestack.errors import DataError, InputError, UnknownKind, ValuestackError
from valuestack.finding import Finding
from valuestack.ledger import Entry, Ledger, difference
from valuestack.terms import Limit, Measure, conflicts
from valuestack.timeline import Timeline


def entry(item: str, usd: float, cycle: str = "2018-01") -> Entry:
    return Entry(cycle, 1, "tariff", item, "utility", 1.0, "kWh", usd, usd)


def test_collect_lists_all_problems_once() -> None:
    one = InputError.collect("site.toml", ["name: missing"])
    two = InputError.collect("site.toml", ["name: missing", "tz: missing"])
    assert str(one) == "site.toml: name: missing"
    assert str(two).splitlines() == ["site.toml: 2 problems", "  - name: missing", "  - tz: missing"]
    assert two.problems == ("name: missing", "tz: missing")


def test_unknown_kind_suggests() -> None:
    assert "did you mean 'battery'" in str(UnknownKind("asset", "batery", ["battery", "pv"]))
    assert "known: battery, pv" in str(UnknownKind("asset", "zzz", ["battery", "pv"]))
    assert issubclass(UnknownKind, ValuestackError)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(-1e6, 1e6)), max_size=40),
    st.lists(st.tuples(st.sampled_from("bcd"), st.floats(-1e6, 1e6)), max_size=40),
)
def test_attribution_sums_to_the_whole(
    before: list[tuple[str, float]], after: list[tuple[str, float]]
) -> None:
    a, b = Ledger.of(entry(*x) for x in before), Ledger.of(entry(*x) for x in after)
    assert sum(c.usd for c in difference(a, b)) == pytest.approx(b.total_usd - a.total_usd, abs=1e-6)


def test_ledger_groups() -> None:
    book = Ledger.of([entry("x", 1.0), entry("y", 2.0), entry("x", 3.0, "2018-02")])
    assert book.by("item") == {("x",): 4.0, ("y",): 2.0}
    assert (book + book).total_usd == 12.0
    assert len(book.where(lambda e: e.item == "x")) == 2
    assert book.to_list()[0]["item"] == "x"


def test_finding_reads_as_a_sentence() -> None:
    assert str(Finding("gap", "warning", "3 intervals missing", "row 7", 3, "interpolated")) == (
        "3 intervals missing (row 7) -> interpolated"
    )


def test_registry_finds_by_file_name_and_suggests() -> None:
    assert registry.class_name("green_button") == "GreenButton"
    with pytest.raises(UnknownKind, match=r"site\.toml: no kind of assets is called 'batery'"):
        registry.find("assets", "batery", where="site.toml")


def test_contradicting_limits_are_named_before_solving() -> None:
    net = Measure("net")
    upper = np.array([5.0, 5.0, 5.0])
    lower = np.array([0.0, 6.0, 0.0])
    found = conflicts(
        [
            Limit("utility", "import cap", net, "each", upper=upper),
            Limit("aggregator", "event", Measure("net"), "each", lower=lower),
            Limit("soft", "wish", net, "each", lower=100.0, breach_usd_per_unit=1.0),
            Limit("other", "on a battery", Measure("charge", asset="b"), "each", lower=100.0),
        ],
        3,
    )
    assert len(found) == 1
    assert found[0].owners == ("aggregator", "utility") and (found[0].first, found[0].intervals) == (1, 1)
    assert "at least 6" in found[0].what and "at most 5" in found[0].what


def test_world_names_a_series_of_the_wrong_length_or_absent() -> None:
    t = Timeline(start="2018-01-01T00:00", step_h=1, n=3, tz="UTC")
    with pytest.raises(InputError, match="'load_kw' has 2 values, the timeline 3"):
        World(t, {"load_kw": Series("load_kw", np.zeros(2), "kW")})
    world = World(t, {"load_kw": Series("load_kw", np.arange(3.0), "kW")})
    with pytest.raises(DataError, match="no series 'price'"):
        world["price"]
    assert world.get("price") is None
    view = View(t, 1, 2, Foresight(world), {})
    assert view.series("load_kw").tolist() == [1.0, 2.0]
    assert view.horizon.start == t.when(1)
