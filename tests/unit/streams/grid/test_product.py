"""Product files: complete, sourced, picked by date and place, refused by name."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from importlib.resources import files
from pathlib import Path

import pytest

from valuestack.errors import InputError, UnknownKind
from valuestack.streams.grid.baseline import load_baseline
from valuestack.streams.grid.product import Product, Window, parse_product, product, products
from valuestack.timeline import Timeline


def table(**parts: object) -> dict[str, object]:
    base: dict[str, object] = {
        "name": "x",
        "version": "1",
        "title": "x",
        "kind": "coincident_peak",
        "market": "m",
        "coincident_peak": {
            "hits": 1,
            "per": "season",
            "season_months": [7],
            "hit_h": 1,
            "bills_from_month": 1,
        },
        "sources": [{"figures": ["coincident_peak"], "source": "by hand", "verified": True}],
    }
    return base | parts


def test_every_file_loads_and_the_versions_of_a_name_do_not_overlap() -> None:
    shipped = products()
    folder = files("valuestack").joinpath("data", "products")
    assert len(shipped) == sum(f.name.endswith(".toml") for f in folder.iterdir())
    for a in shipped:
        for b in shipped:
            if a is not b and a.name == b.name:
                first, second = sorted((a, b), key=lambda p: p.valid_from or date.min)
                if a.utilities and b.utilities and not set(a.utilities) & set(b.utilities):
                    continue  # the same programme, with rules of its own in another utility
                assert first.valid_to is not None and second.valid_from is not None
                assert first.valid_to <= second.valid_from


@pytest.mark.parametrize("p", products(), ids=lambda p: p.label)
def test_a_shipped_product_shows_what_is_not_verified(p: Product) -> None:
    said = "\n".join(p.assumptions)
    for source in p.sources:
        if not source.verified:
            assert all(f in said for f in source.figures)
    assert all("not verified" in a for a in p.assumptions)
    for s in p.sources:
        assert not s.verified or s.source_date is not None
    if p.demand_response is not None and p.demand_response.baseline:
        load_baseline(p.demand_response.baseline)
    known = {q.name for q in products()}
    assert set(p.beside) <= known
    assert set(p.bans) <= known | {"critical_peak", "capacity"}


def test_three_regimes_of_regulation_by_operating_date() -> None:
    label = {
        d: product("pjm-regulation", d).version
        for d in (date(2025, 9, 30), date(2025, 10, 1), date(2026, 10, 1))
    }
    assert list(label.values()) == ["v1", "v2", "v3"]
    assert product("pjm-regulation", date(2026, 9, 30)).regulation.direction == "both"  # type: ignore[union-attr]
    v3 = product("pjm-regulation", date(2026, 10, 1))
    assert v3.regulation is not None and v3.regulation.direction == "apart"
    assert any("valid_from" in a and "go-live" in a for a in v3.assumptions)


def test_outside_its_dates_or_place_a_product_is_refused_with_what_is_in_force() -> None:
    with pytest.raises(
        InputError, match=r"elrp is not in force on 2028-06-01.*in force there on 2028-06-01: .*caiso-pdr"
    ):
        product("elrp", date(2028, 6, 1), state="CA")
    with pytest.raises(
        InputError, match=r"offered in CA, SCE, SDG&E.*not in state TX; in force there .*ercot-ers-10"
    ):
        product("elrp", date(2026, 6, 1), state="TX")
    with pytest.raises(InputError, match=r"elrp differs by place \(CA, PG&E; CA, SCE, SDG&E\); say where"):
        product("elrp", date(2026, 6, 1), state="CA")
    with pytest.raises(UnknownKind, match="pjm-5cp"):
        product("pjm-5-cp", date(2026, 6, 1))


def test_prices_by_delivery_year_and_area() -> None:
    p = product("pjm-capacity-dr", date(2025, 7, 1))
    assert p.price("usd_per_mw_day", date(2025, 7, 1)).usd_per_mw_day == 269.92  # type: ignore[union-attr]
    assert p.price("usd_per_mw_day", date(2025, 7, 1), "BGE").usd_per_mw_day == 466.35  # type: ignore[union-attr]
    assert p.price("usd_per_mw_day", date(2026, 5, 31)).usd_per_mw_day == 269.92  # type: ignore[union-attr]
    assert p.price("usd_per_mw_day", date(2026, 6, 1)).usd_per_mw_day == 329.17  # type: ignore[union-attr]
    assert p.price("usd_per_mw_day", date(2019, 6, 1)) is None
    assert p.rating("demand_response", date(2026, 7, 1)).elcc_frac == 0.69  # type: ignore[union-attr]


def test_windows_by_season_day_and_hour_over_midnight() -> None:
    t = Timeline(start="2026-06-05T00:00", step_h=1.0, n=72, tz="America/New_York")  # Friday
    night = Window(days="weekdays", from_h=22, to_h=5).mask(t)
    assert [t.when(k).hour for k in range(24) if night[k]] == [0, 1, 2, 3, 4, 22, 23]
    assert not night[24:].any(), "Saturday and Sunday"
    off = Window(days="weekends").mask(t, [date(2026, 6, 5)])
    assert off.all(), "a holiday counts as weekend"
    assert not Window(months=(7,)).mask(t).any()


def test_a_figure_without_source_is_refused_and_so_is_a_source_without_figure() -> None:
    with pytest.raises(InputError, match="min_kw has no source"):
        parse_product(table(min_kw=100))
    with pytest.raises(InputError, match="does not state"):
        parse_product(
            table(sources=[{"figures": ["coincident_peak", "notice_h"], "source": "s", "verified": True}])
        )
    with pytest.raises(InputError, match="must go together"):
        parse_product(table(kind="capacity"))
    with pytest.raises(InputError, match="exactly one of"):
        parse_product(table(prices=[{"source": "s", "verified": True}]))
    with pytest.raises(InputError, match="calendar months"):
        parse_product(
            table(
                windows=[{"months": [13]}],
                sources=[{"figures": ["coincident_peak", "windows"], "source": "s", "verified": True}],
            )
        )


def test_the_product_of_the_how_to_page_is_one() -> None:
    page = Path(__file__).resolve().parents[4] / "docs" / "how-to" / "add-a-product.md"
    found = re.search(r"<!-- tested -->\n```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    assert found is not None
    p = parse_product(tomllib.loads(found[1]))
    assert p.in_force(date(2027, 9, 30)) and not p.in_force(date(2027, 10, 1))
    assert p.price("usd_per_kw_month", date(2027, 7, 1)) is not None
    assert [a for a in p.assumptions if "bans not verified" in a]
