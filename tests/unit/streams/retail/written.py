"""Short ways to write tariffs and timelines by hand."""

from __future__ import annotations

from typing import Any

import valuestack as vs

ALL_ONE = [[0] * 24] * 12
FREE = {"kind": "fixed", "usd": 0.0}


def hours(
    days: int, start: str = "2018-01-01T00:00", step_h: float = 1.0, tz: str = "Etc/GMT+8"
) -> vs.Timeline:
    """Days without a change of clock."""
    return vs.Timeline(start=start, step_h=step_h, n=round(days * 24 / step_h), tz=tz)


def energy(*usd: float, weekday: Any = ALL_ONE, weekend: Any = None, **more: Any) -> dict[str, Any]:
    """Energy of one price a period."""
    periods = more.pop("periods", [{"tiers": [{"usd_per_kwh": u}]} for u in usd])
    return {"kind": "energy", "periods": periods, "weekday": weekday, "weekend": weekend or weekday, **more}


def tiers(*rows: tuple[float, float | None], unit: str = "kWh") -> list[dict[str, Any]]:
    """One period of tiers (price, upto)."""
    return [{"tiers": [{"usd_per_kwh": u, "upto": b, "unit": unit} for u, b in rows]}]


def demand(usd: float, **more: Any) -> dict[str, Any]:
    """Flat demand of one price, the same in every month."""
    return {"kind": "demand", "periods": [{"tiers": [{"usd_per_unit": usd}]}], "months": [0] * 12, **more}


def tariff(*items: dict[str, Any], name: str = "hand-made", **more: Any) -> Any:
    """A verified tariff of these items."""
    return vs.load_tariff(
        {"name": name, "source": "by hand", "verified": True, "holidays": [], **more, "items": list(items)}
    )


def usd(bill: Any, item: str, cycle: str | None = None) -> float:
    """Charges of one item [USD], > 0 owed."""
    return -sum(e.usd for e in bill.ledger if e.item.startswith(item) and cycle in (None, e.cycle))
