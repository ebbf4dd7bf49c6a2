"""What things cost: the price of each asset and where it is from, and what a set of assets makes the owner buy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ....finance.finance import CapexItem, Finance, Replacement
from ....site.site import Site
from ....site.vendors import Price, Vendors


@dataclass(frozen=True, slots=True)
class Bought:
    """Something bought: its capex item, upkeep, and when it is bought again."""

    name: str
    item: CapexItem
    om_usd_per_y: float = 0.0
    again_usd: float = 0.0
    life_y: int | None = None

    def again(self, years: int) -> list[Replacement]:
        if not self.life_y or not self.again_usd:
            return []
        return [
            Replacement(name=f"{self.name} again", usd=self.again_usd, year=y)
            for y in range(self.life_y, years, self.life_y)
        ]


def bought_at(price: Price, name: str, kw: float, kwh: float, finance: Finance) -> Bought:
    usd = price.capex_usd(kw, kwh)
    like = next((c for c in finance.capex if c.name == name), None)
    change: dict[str, Any] = {"name": name, "kind": price.kind, "usd": usd}
    if like is not None:
        kept = like.model_dump(include=_KEPT)
        item = CapexItem(**{**kept, **change})
    else:
        item = CapexItem(**change, technology=price.technology)
    return Bought(name, item, price.om_frac_per_y * usd, price.usd_per_kwh * kwh, price.life_y)


_KEPT = {"technology", "itc_frac", "itc_share_frac", "macrs_class_y", "bonus_frac", "salvage_frac"}


def asset_prices(
    site: Site, assets: Sequence[Any], vendors: Vendors | None, shelf: Vendors
) -> tuple[dict[str, Price], dict[str, str]]:
    """Price of each asset and where it is from: a vendors' file, the site's own capex by size, its economics, or the
    shipped line, brought to the level of the site's own sum where it writes one."""
    out: dict[str, Price] = {}
    said: dict[str, str] = {}
    finance, economics = site.written.finance, site.written.economics
    for a in assets:
        line = None if vendors is None else vendors.price(a.kind, a.name)
        if line is not None:
            out[a.name], said[a.name] = line, f"{line.said} ({line.source})"
            continue
        item = None if finance is None else next((c for c in finance.capex if c.name == a.name), None)
        stock = shelf.price(a.kind, a.name)
        if item is not None and (item.usd_per_kw or item.usd_per_kwh):
            out[a.name] = Price(
                kind=a.kind,
                usd_per_kw=item.usd_per_kw or 0.0,
                usd_per_kwh=item.usd_per_kwh or 0.0,
                om_frac_per_y=0.0 if stock is None else stock.om_frac_per_y,
                technology=item.technology,
                source="the site's [[finance.capex]]",
                verified=True,
            )
        elif a.kind == "battery" and (economics.capex_usd_per_kw or economics.capex_usd_per_kwh):
            usd = 0.0
            if economics.capex_usd is not None:
                by_size = (economics.capex_usd_per_kw or 0.0) * a.power_kw
                by_size += (economics.capex_usd_per_kwh or 0.0) * a.energy_kwh
                usd = max(0.0, economics.capex_usd - by_size)
            share = economics.om_usd_per_y / economics.capex_usd if economics.capex_usd else 0.0
            out[a.name] = Price(
                kind="battery",
                usd=usd,
                usd_per_kw=economics.capex_usd_per_kw or 0.0,
                usd_per_kwh=economics.capex_usd_per_kwh or 0.0,
                om_frac_per_y=share,
                technology=None if stock is None else stock.technology,
                source=economics.source or "the site's [economics]",
                verified=bool(economics.source),
            )
        elif stock is not None:
            level = 1.0
            if item is not None and item.cost_usd > 0:
                level = item.cost_usd / stock.capex_usd(*size_of(a))
            out[a.name] = stock.model_copy(
                update={
                    "usd": stock.usd * level,
                    "usd_per_kw": stock.usd_per_kw * level,
                    "usd_per_kwh": stock.usd_per_kwh * level,
                }
            )
            if abs(level - 1) > 1e-9:
                said[a.name] = (
                    f"{out[a.name].said}: the shipped line x {level:.3g}, so that the size written costs the "
                    f"{item.cost_usd:,.0f} USD written ({stock.source})"  # type: ignore[union-attr]
                )
        if a.name in out:
            said.setdefault(a.name, f"{out[a.name].said} ({out[a.name].source})")
    return out, said


def size_of(a: Any) -> tuple[float, float]:
    """(kW, kWh) of an asset as written."""
    if a.kind == "battery":
        return float(a.power_kw), float(a.energy_kwh)
    if a.kind == "pv":
        return float(a.dc_kw or 0.0), 0.0
    if a.kind == "generator":
        return float(a.rated_kw * a.units), 0.0
    return 0.0, 0.0


def is_sizable(a: Any) -> bool:
    return (a.kind == "battery" and a.file is None) or (a.kind == "pv" and a.dc_kw is not None)
