"""REopt scenario JSON in: a plain site mapping, the files that it names, and every key that was not taken, by name.

Inputs as REopt.jl reads them (nrel.github.io/REopt.jl/dev/reopt/inputs): Site, Settings, ElectricLoad, ElectricTariff,
ElectricUtility, PV, ElectricStorage, Generator, Financial; the older names of its early versions count too. REopt
sizes; a site has sizes: a range that is no point is asked for, or taken at its upper end if that is finite.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from math import isfinite, sqrt
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..finding import Finding
from ..timeline import zone

HOURS = 8760
# Names of today's REopt.jl by those of its early versions.
_OLD = {
    "offtaker_tax_pct": "offtaker_tax_rate_fraction",
    "owner_tax_pct": "owner_tax_rate_fraction",
    "offtaker_discount_pct": "offtaker_discount_rate_fraction",
    "owner_discount_pct": "owner_discount_rate_fraction",
    "elec_cost_escalation_pct": "elec_cost_escalation_rate_fraction",
    "om_cost_escalation_pct": "om_cost_escalation_rate_fraction",
    "generator_fuel_cost_escalation_pct": "generator_fuel_cost_escalation_rate_fraction",
    "macrs_bonus_pct": "macrs_bonus_fraction",
    "total_itc_pct": "total_itc_fraction",
    "federal_itc_pct": "federal_itc_fraction",
    "degradation_pct": "degradation_fraction",
    "cost_per_kw": "installed_cost_per_kw",
    "cost_per_kwh": "installed_cost_per_kwh",
    "internal_efficiency_pct": "internal_efficiency_fraction",
    "inverter_efficiency_pct": "inverter_efficiency_fraction",
    "rectifier_efficiency_pct": "rectifier_efficiency_fraction",
    "soc_min_pct": "soc_min_fraction",
    "soc_init_pct": "soc_init_fraction",
    "min_turn_down_pct": "min_turn_down_fraction",
    "critical_load_pct": "critical_load_fraction",
}
_SECTIONS = {"Storage": "ElectricStorage"}


@dataclass(frozen=True, slots=True)
class ReoptSite:
    """A scenario as a site. site: mapping in the shape of a site file; finance: in the shape of its pro forma (to be
    read by it); files: text by file name, which the mapping refers to; critical_kw: critical load, None if not stated.
    findings: what was assumed, and every key that was not taken."""

    site: Mapping[str, Any]
    finance: Mapping[str, Any]
    files: Mapping[str, str]
    findings: tuple[Finding, ...]
    critical_kw: tuple[float, ...] | None = None

    @property
    def unsupported(self) -> tuple[str, ...]:
        """Keys that were not taken, as 'Section.key'."""
        return tuple(f.where for f in self.findings if f.kind == "reopt_unsupported")

    def write(self, folder: str | Path, *, with_finance: bool = False, file: str = "site.toml") -> Path:
        """Write the site file and its files into `folder`; the path of the site file. Existing files are not
        overwritten. with_finance: the pro forma stands in the site file as [finance]. file: name of the site file."""
        home = Path(folder)
        home.mkdir(parents=True, exist_ok=True)
        texts = {
            **self.files,
            file: toml({**self.site, **({"finance": self.finance} if with_finance else {})}),
        }
        taken = [name for name in texts if (home / name).exists()]
        if taken:
            raise InputError(f"{home}: holds {', '.join(taken)} already; name another folder")
        for name, text in texts.items():
            (home / name).write_text(text, encoding="utf-8")
        return home / file


@dataclass(slots=True)
class _Reader:
    """The scenario under today's names, how each key is written in it, and which were taken."""

    sections: dict[str, dict[str, Any]]
    names: dict[tuple[str, str], str]
    taken: set[tuple[str, str]] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def has(self, section: str) -> bool:
        """Whether the scenario has a section."""
        return section in self.sections

    def take(self, section: str, key: str, default: Any = None) -> Any:
        """A value, noted as taken."""
        self.taken.add((section, key))
        return self.sections.get(section, {}).get(key, default)

    def number(self, section: str, key: str, default: float | None = None) -> float | None:
        """A number, or `default` where it is not given; anything else is a problem."""
        value = self.take(section, key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
            self.problems.append(f"{section}.{key}: {value!r} is no number")
            return default
        return float(value)

    def series(self, section: str, key: str, n: int) -> list[float] | None:
        """A series of n numbers, an hourly one repeated over the steps of its hour."""
        value = self.take(section, key)
        if value in (None, []):
            return None
        if not isinstance(value, Sequence) or isinstance(value, str):
            self.problems.append(f"{section}.{key}: {type(value).__name__} is no series of numbers")
            return None
        bad = [
            k
            for k, v in enumerate(value)
            if isinstance(v, bool) or not isinstance(v, (int, float)) or not isfinite(v)
        ]
        if bad:
            self.problems.append(
                f"{section}.{key}: value {bad[0]} is {value[bad[0]]!r}, no number ({len(bad)} such)"
            )
            return None
        if len(value) == n:
            return [float(v) for v in value]
        if len(value) == HOURS and n % HOURS == 0:
            return [float(v) for v in value for _ in range(n // HOURS)]
        self.problems.append(f"{section}.{key}: has {len(value)} values; {n} are needed")
        return None

    def note(self, kind: str, what: str, where: str, *, severity: Any = "info", remedy: str = "") -> None:
        """A finding."""
        self.findings.append(Finding(kind, severity, what, where=where, remedy=remedy))

    def rest(self) -> None:
        """Every key that nobody took."""
        for place, written in self.names.items():
            if place not in self.taken:
                self.note(
                    "reopt_unsupported",
                    f"{written} is not taken over",
                    written,
                    severity="warning",
                    remedy="add what it means to the site file by hand, if it matters",
                )


def read_scenario(
    written: str | Path | Mapping[str, Any],
    *,
    tz: str | None = None,
    start_date: date | None = None,
    sizes: Mapping[str, float] | None = None,
    name: str = "REopt scenario",
) -> ReoptSite:
    """A REopt scenario as a site.

    written: a JSON file or its mapping. tz: zone of the series; none = the fixed offset nearest to Site.longitude, as
    REopt's series know no summer time. start_date: operation begins. sizes: 'PV.kw', 'ElectricStorage.kw',
    'ElectricStorage.kwh', 'Generator.kw', where the scenario leaves a range.
    Errors: InputError with every problem found, each with its key.
    """
    reader = _open(written)
    load, step_h = _load(reader)
    year = int(reader.number("ElectricLoad", "year", 2017.0) or 2017)
    where = _zone(reader, tz)
    tariff = _tariff(reader)
    made = _Made(reader, step_h, year, where, dict(sizes or {}))
    _utility(reader, made)
    made.pv()
    made.storage()
    made.generator()
    finance = _financial(reader, made, start_date or date(year, 1, 1))
    if start_date is None:
        reader.note("reopt_assumed", f"operation is taken to begin on {year}-01-01", "start_date")
    critical = _critical(reader, load)
    made.stray_sizes()
    reader.rest()
    if reader.problems:
        raise InputError.collect("REopt scenario", reader.problems)
    assert load is not None and tariff is not None and where is not None
    made.files["load.csv"] = _csv(load, year, step_h, where)
    made.files["tariff.json"] = json.dumps(tariff, indent=1)
    site: dict[str, Any] = {
        "name": name,
        "what": "read from a REopt scenario",
        "tz": where,
        "meters": [
            {
                "name": "main",
                "data": "load.csv",
                "tariffs": [{"tariff": "tariff.json"}],
                "interconnection": made.interconnection,
            }
        ],
        "assets": made.assets,
    }
    return ReoptSite(site, finance, made.files, tuple(reader.findings), critical)


def _open(written: str | Path | Mapping[str, Any]) -> _Reader:
    if not isinstance(written, Mapping):
        try:
            written = json.loads(Path(written).read_text(encoding="utf-8-sig"))
        except OSError as e:
            raise InputError(f"{written}: cannot be read ({e.strerror}); check the path") from e
        except (json.JSONDecodeError, UnicodeDecodeError) as e:
            raise InputError(f"{written}: is no JSON: {e}") from e
    if isinstance(written, Mapping) and isinstance(written.get("Scenario"), Mapping):
        raise InputError(
            "REopt scenario: this is a post of the first web service (Scenario.Site...); save it as REopt.jl "
            "or its service from version 3 on reads it"
        )
    if not isinstance(written, Mapping) or "ElectricLoad" not in written:
        raise InputError(
            "REopt scenario: holds no ElectricLoad; a scenario is an object of sections such as Site, "
            "ElectricLoad, ElectricTariff, PV, ElectricStorage"
        )
    sections: dict[str, dict[str, Any]] = {}
    names: dict[tuple[str, str], str] = {}
    problems: list[str] = []
    for name, values in written.items():
        section = _SECTIONS.get(name, name)
        if isinstance(values, list) and name == "PV":
            problems.append("PV: several arrays stand in a list; give one, with the sum of their production")
            continue
        if not isinstance(values, Mapping):
            problems.append(f"{name}: {values!r} is no section")
            continue
        for key, value in values.items():
            today = _OLD.get(str(key), str(key))
            sections.setdefault(section, {})[today] = value
            names[section, today] = f"{name}.{key}"
        sections.setdefault(section, {})
    if problems:
        raise InputError.collect("REopt scenario", problems)
    return _Reader(sections, names)


def _load(reader: _Reader) -> tuple[list[float] | None, float]:
    steps = reader.number("Settings", "time_steps_per_hour", 1.0) or 1.0
    if steps not in (1.0, 2.0, 4.0):
        reader.problems.append(f"Settings.time_steps_per_hour: {steps:g}; REopt takes 1, 2 or 4")
        steps = 1.0
    load = reader.series("ElectricLoad", "loads_kw", HOURS * int(steps))
    if load is None and not any(p.startswith("ElectricLoad.loads_kw") for p in reader.problems):
        named = [
            k
            for k in ("doe_reference_name", "blended_doe_reference_names", "path_to_csv")
            if k in reader.sections["ElectricLoad"]
        ]
        what = (
            f"it names {', '.join(named)}, which REopt builds from its own library"
            if named
            else "it has none"
        )
        reader.problems.append(
            f"ElectricLoad.loads_kw: the load must stand in the scenario; {what}. Put the {HOURS * int(steps)} values "
            "of REopt's result ElectricLoad.load_series_kw there"
        )
    if load is not None and min(load) < 0:
        reader.problems.append(f"ElectricLoad.loads_kw: falls to {min(load):g} kW; a load is not negative")
    return load, 1.0 / steps


def _zone(reader: _Reader, tz: str | None) -> str | None:
    longitude = reader.number("Site", "longitude")
    reader.take("Site", "latitude")
    if tz is not None:
        zone(tz)
        return tz
    if longitude is None:
        reader.problems.append("Site.longitude: is missing; give it, or the zone as tz")
        return None
    offset = round(longitude / 15)
    found = f"Etc/GMT{-offset:+d}" if offset else "Etc/GMT"
    reader.note(
        "reopt_assumed",
        f"times are read in {found}, the standard time nearest to longitude {longitude:g}; REopt's series know no "
        "summer time",
        "Site.longitude",
        remedy="give tz if the series are on a clock with summer time",
    )
    return found


def _tariff(reader: _Reader) -> dict[str, Any] | None:
    """The rate as a URDB record, which the tariff's room reads."""
    section = "ElectricTariff"
    record = reader.take(section, "urdb_response")
    if isinstance(record, Mapping) and record:
        return dict(record)
    energy = _monthly(reader, "monthly_energy_rates", "blended_annual_energy_rate")
    demand = _monthly(reader, "monthly_demand_rates", "blended_annual_demand_rate")
    if energy is None:
        label = reader.sections.get(section, {}).get("urdb_label")
        hint = (
            f"fetch the record {label!r} from the rate database and put it there as urdb_response"
            if label
            else ("give urdb_response, monthly_energy_rates or blended_annual_energy_rate")
        )
        reader.problems.append(f"{section}: holds no rate that can be read here; {hint}")
        return None
    wholesale = reader.number(section, "wholesale_rate")
    net_metering = bool((reader.number("ElectricUtility", "net_metering_limit_kw", 0.0) or 0.0) > 0)
    sell = {} if wholesale is None else {"sell": wholesale}
    out: dict[str, Any] = {
        "label": "reopt",
        "utility": "as in the scenario",
        "name": "rates of the scenario",
        "source": "REopt scenario, ElectricTariff",
        "energyratestructure": [[{"unit": "kWh", "rate": r, **sell}] for r in energy],
        "energyweekdayschedule": [[m] * 24 for m in range(12)],
        "energyweekendschedule": [[m] * 24 for m in range(12)],
    }
    if wholesale is not None and not net_metering:
        out["dgrules"] = "Net Billing Instantaneous"
    if net_metering:
        out["dgrules"] = "Net Metering"
    if demand is not None and any(demand):
        out["flatdemandunit"] = "kW"
        out["flatdemandstructure"] = [[{"rate": r}] for r in demand]
        out["flatdemandmonths"] = list(range(12))
    return out


def _monthly(reader: _Reader, by_month: str, flat: str) -> list[float] | None:
    values = reader.take("ElectricTariff", by_month)
    one = reader.number("ElectricTariff", flat)
    if isinstance(values, Sequence) and not isinstance(values, str) and values:
        if len(values) == 12 and all(isinstance(v, (int, float)) for v in values):
            return [float(v) for v in values]
        reader.problems.append(
            f"ElectricTariff.{by_month}: 12 numbers are needed, it has {len(values)} values"
        )
        return None
    return None if one is None else [one] * 12


def _utility(reader: _Reader, made: _Made) -> None:
    limit = reader.number("ElectricUtility", "interconnection_limit_kw")
    metered = reader.number("ElectricUtility", "net_metering_limit_kw", 0.0) or 0.0
    sells = reader.sections.get("ElectricTariff", {}).get("wholesale_rate") is not None
    if metered > 0 or sells:
        made.interconnection = {"export_allowed": True}
        if limit is not None and limit < 1e8:
            made.interconnection["export_limit_kw"] = limit
    else:
        made.interconnection = {"export_allowed": False}
        reader.note(
            "reopt_assumed", "no net metering and no wholesale rate: nothing is exported", "ElectricUtility"
        )


def _critical(reader: _Reader, load: list[float] | None) -> tuple[float, ...] | None:
    n = HOURS if load is None else len(load)
    series = reader.series("ElectricLoad", "critical_loads_kw", n)
    share = reader.number("ElectricLoad", "critical_load_fraction")
    if series is not None:
        return tuple(series)
    return None if share is None or load is None else tuple(share * v for v in load)


@dataclass(slots=True)
class _Made:
    """Assets and what they cost, as they are read."""

    reader: _Reader
    step_h: float
    year: int
    tz: str | None
    sizes: dict[str, float]
    assets: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    capex: list[dict[str, Any]] = field(default_factory=list)
    running: list[dict[str, Any]] = field(default_factory=list)
    replacements: list[dict[str, Any]] = field(default_factory=list)
    streams: dict[str, Any] = field(default_factory=dict)
    interconnection: dict[str, Any] = field(default_factory=dict)

    def size(self, section: str, unit: str) -> float:
        """The size of a technology: as given, or the point of its range, or its upper end, which is said."""
        asked = self.sizes.pop(f"{section}.{unit}", None)
        low = self.reader.number(section, f"min_{unit}", 0.0) or 0.0
        high = self.reader.number(section, f"max_{unit}")
        where = f"{section}.max_{unit}"
        if asked is not None:
            return float(asked)
        if high is None:
            self.reader.problems.append(
                f"{where}: REopt would choose the size; give sizes['{section}.{unit}'], for instance from its result"
            )
            return 0.0
        if high != low:
            self.reader.note(
                "reopt_assumed",
                f"{section}: between {low:g} and {high:g} {unit} REopt would choose; {high:g} is taken",
                where,
                severity="question",
                remedy=f"give sizes['{section}.{unit}']",
            )
        return high

    def stray_sizes(self) -> None:
        """Sizes that nothing asked for."""
        for key in self.sizes:
            self.reader.problems.append(f"sizes: {key!r} belongs to no technology of the scenario")

    def pv(self) -> None:
        """PV from its production factors."""
        r = self.reader
        if not r.has("PV"):
            return
        existing = r.number("PV", "existing_kw", 0.0) or 0.0
        new = self.size("PV", "kw")
        factor = r.series("PV", "production_factor_series", HOURS * round(1 / self.step_h))
        if factor is None:
            if new + existing > 0 and not any("production_factor_series" in p for p in r.problems):
                r.problems.append(
                    "PV.production_factor_series: is missing; REopt asks PVWatts for it. Put the values of its result "
                    "PV.production_factor_series there"
                )
            return
        if self.tz is not None:
            self.files["pv.csv"] = _csv(factor, self.year, self.step_h, self.tz)
        if new > 0:
            self.assets.append({"kind": "pv", "name": "pv", "file": "pv.csv", "scale": new})
        if existing > 0:
            self.assets.append(
                {"kind": "pv", "name": "existing pv", "file": "pv.csv", "scale": existing, "existing": True}
            )
            if r.take("ElectricLoad", "loads_kw_is_net", True) is False:
                r.problems.append(
                    "ElectricLoad.loads_kw_is_net: false; take the existing solar off the load, as a meter would"
                )
        self._priced("PV", "pv", {"kw": new}, "solar")
        fade = r.number("PV", "degradation_fraction")
        if fade:
            r.note(
                "reopt_assumed",
                f"PV: degradation of {fade:.1%} a year belongs to the stream that values it",
                "PV.degradation_fraction",
                remedy="write finance.streams.<stream>.degradation_frac_per_y",
            )

    def storage(self) -> None:
        """A battery: one-way efficiencies as REopt composes them."""
        r, s = self.reader, "ElectricStorage"
        if not r.has(s):
            return
        kw, kwh = self.size(s, "kw"), self.size(s, "kwh")
        inner = sqrt(r.number(s, "internal_efficiency_fraction", 0.975) or 0.975)
        into = inner * (r.number(s, "rectifier_efficiency_fraction", 0.96) or 0.96)
        out = inner * (r.number(s, "inverter_efficiency_fraction", 0.96) or 0.96)
        battery = {
            "kind": "battery",
            "name": "battery",
            "power_kw": kw,
            "energy_kwh": kwh,
            "charge_efficiency_frac": into,
            "discharge_efficiency_frac": out,
            "soc_min_frac": r.number(s, "soc_min_fraction", 0.2),
            "soc_start_frac": r.number(s, "soc_init_fraction", 0.5),
        }
        if kw > 0 and kwh > 0:
            self.assets.append(battery)
        missing = [k for k in ("internal_efficiency_fraction", "soc_min_fraction") if k not in r.sections[s]]
        if missing:
            r.note("reopt_assumed", f"ElectricStorage: REopt's defaults stand for {', '.join(missing)}", s)
        if r.take(s, "can_grid_charge", True) is False:
            r.note(
                "reopt_unsupported",
                "ElectricStorage.can_grid_charge = false: the battery may charge from the grid here",
                "ElectricStorage.can_grid_charge",
                severity="warning",
                remedy="state the limit in a contract",
            )
        self._priced(s, "battery", {"kw": kw, "kwh": kwh}, "storage")
        for unit, size, key in (
            ("kw", kw, "inverter_replacement_year"),
            ("kwh", kwh, "battery_replacement_year"),
        ):
            usd = r.number(s, f"replace_cost_per_{unit}")
            year = int(r.number(s, key, 10.0) or 10)
            if usd and size > 0:
                what = "inverter" if unit == "kw" else "battery"
                self.replacements.append({"name": f"{what} again", "usd": usd * size, "year": year})

    def generator(self) -> None:
        """Engines: REopt's straight fuel line, its tank, and whether they run beside the grid."""
        r, s = self.reader, "Generator"
        if not r.has(s):
            return
        existing = r.number(s, "existing_kw", 0.0) or 0.0
        new = (
            self.size(s, "kw")
            if {"max_kw", "min_kw"} & r.sections[s].keys() or "Generator.kw" in self.sizes
            else 0.0
        )
        kw = existing + new
        slope = r.number(s, "fuel_slope_gal_per_kwh", 0.076) or 0.076
        idle = r.number(s, "fuel_intercept_gal_per_hr", 0.0) or 0.0
        out: dict[str, Any] = {
            "kind": "generator",
            "name": "generator",
            "rated_kw": kw,
            "min_load_frac": r.number(s, "min_turn_down_fraction", 0.0),
            "fuel_curve": [
                {"load_frac": 0.0, "gal_per_h": idle},
                {"load_frac": 1.0, "gal_per_h": idle + slope * kw},
            ],
            "tank_gal": r.number(s, "fuel_avail_gal", 660.0),
            "usable_tank_frac": 1.0,
            "fuel_usd_per_gal": r.number(s, "fuel_cost_per_gallon", 3.0),
            "permit": "emergency" if r.take(s, "only_runs_during_grid_outage", True) else "non_emergency",
        }
        if kw > 0:
            self.assets.append(out)
        if out["permit"] == "emergency":
            r.note(
                "reopt_assumed",
                "Generator: runs only in outages, so its permit is taken as an emergency one",
                s,
            )
        if new > 0:
            self._priced(s, "generator", {"kw": new}, None)

    def _priced(self, section: str, name: str, size: Mapping[str, float], technology: str | None) -> None:
        """Capex, credit, depreciation and O&M of a technology."""
        r = self.reader
        item: dict[str, Any] = {
            "name": name,
            "kind": {"ElectricStorage": "battery"}.get(section, section.lower()),
        }
        cost, rebate = 0.0, 0.0
        for unit, amount in size.items():
            usd = r.number(section, f"installed_cost_per_{unit}")
            off = r.number(section, f"total_rebate_per_{unit}", 0.0) or 0.0
            if usd is None and amount > 0:
                r.note(
                    "reopt_assumed",
                    f"{section}: no installed_cost_per_{unit} is given; it costs nothing here",
                    f"{section}.installed_cost_per_{unit}",
                    severity="question",
                    remedy="give REopt's cost",
                )
            cost += (usd or 0.0) * amount
            rebate += off * amount
        credit = r.number(section, "total_itc_fraction")
        if credit is None:
            credit = r.number(section, "federal_itc_fraction")
        class_y = r.number(section, "macrs_option_years")
        bonus = r.number(section, "macrs_bonus_fraction")
        reduction = r.number(section, "macrs_itc_reduction", 0.5)
        if reduction != 0.5 and credit:
            r.note(
                "reopt_unsupported",
                f"{section}.macrs_itc_reduction = {reduction:g}: the basis falls by half the credit here",
                f"{section}.macrs_itc_reduction",
                severity="warning",
            )
        if cost > 0:
            item |= {"usd": cost, "rebate_usd": min(rebate, cost), "itc_frac": credit or 0.0}
            item["macrs_class_y"] = int(class_y or 0)
            item["bonus_frac"] = bonus or 0.0
            self.capex.append(item)
        om = sum(
            (r.number(section, f"om_cost_per_{unit}", 0.0) or 0.0) * amount for unit, amount in size.items()
        )
        if om > 0:
            self.running.append({"name": f"O&M of {name}", "usd_per_y": om})


def _financial(reader: _Reader, made: _Made, start: date) -> dict[str, Any]:
    """The pro forma under REopt's conventions, what is stated over them."""
    s = "Financial"
    third = bool(reader.take(s, "third_party_ownership", False))
    who = "owner" if third else "offtaker"
    out: dict[str, Any] = {"preset": "reopt", "start_date": start}
    years = reader.number(s, "analysis_years")
    if years is not None:
        out["analysis_years"] = int(years)
    for party in ("offtaker", "owner"):
        rate = reader.number(s, f"{party}_discount_rate_fraction")
        tax = reader.number(s, f"{party}_tax_rate_fraction")
        if party == who and rate is not None:
            out["discount_frac"] = rate
        if party == who and tax is not None:
            out["tax"] = {"federal_frac": tax, "state_frac": 0.0}
    for key, growth in (
        ("electricity", "elec_cost_escalation_rate_fraction"),
        ("om", "om_cost_escalation_rate_fraction"),
        ("fuel", "generator_fuel_cost_escalation_rate_fraction"),
    ):
        rate = reader.number(s, growth)
        if rate is not None:
            out[key] = {"frac_per_y": rate, "growth_before_year_1": True}
    if third:
        reader.note(
            "reopt_unsupported",
            "Financial.third_party_ownership: the price that the host pays is not in a scenario",
            "Financial.third_party_ownership",
            severity="warning",
            remedy="write finance.third_party",
        )
    last = out.get("analysis_years", 25)
    kept = [r for r in made.replacements if r["year"] < last]
    out |= {"capex": made.capex, "running": made.running, "replacements": kept}
    return out


# --- text out ------------------------------------------------------------------------------------------------


def _csv(values: Sequence[float], year: int, step_h: float, tz: str) -> str:
    """Rows of start time, with its offset, and kW."""
    start = datetime(year, 1, 1, tzinfo=zone(tz))
    utc = start.astimezone(zone("UTC"))
    rows = ["start,kW"]
    for k, v in enumerate(values):
        rows.append(f"{(utc + timedelta(hours=step_h * k)).astimezone(zone(tz)).isoformat()},{v:.10g}")
    return "\n".join(rows) + "\n"


def toml(table: Mapping[str, Any], head: str = "") -> str:
    """A mapping of plain values, tables and lists of tables as TOML."""
    lines, tables = [], []
    for key, value in table.items():
        name = f"{head}.{key}" if head else key
        if isinstance(value, Mapping):
            tables.append(f"\n[{name}]\n{toml(value, name)}")
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            tables += [f"\n[[{name}]]\n{toml(v, name)}" for v in value]
        elif value is not None:
            lines.append(f"{key} = {_plain(value)}")
    return "\n".join(lines) + "\n" + "".join(tables)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_plain(v) for v in value) + "]"
    return repr(value)
