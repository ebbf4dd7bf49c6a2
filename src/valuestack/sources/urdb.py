"""URDB v8 records (OpenEI Utility Rate Database): one JSON object a rate, into a plain tariff mapping.

Every field of the record is billed by an item, or stands in `stated` in words, or is refused by its name.
Field meanings: https://openei.org/services/doc/rest/util_rates (read 2026-11). Keys come in camelCase or
lower case, and as the flattened columns of the CSV download.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from ..errors import InputError

_IDENTITY = {
    "label",
    "utility",
    "name",
    "uri",
    "eiaid",
    "approved",
    "is_default",
    "supersedes",
    "startdate",
    "enddate",
    "sector",
    "source",
    "sourceparent",
    "country",
    "revisions",
    "latest_update",
    "utilityname",
    "previous",
    "demandcomments",
    "energycomments",
    "basicinformationcomments",
    "description",
    "usenetmetering",
}  # texts among these stand in the notes or in `stated`
_BILLED = {
    "energyratestructure",
    "energyweekdayschedule",
    "energyweekendschedule",
    "fueladjustmentsmonthly",
    "flatdemandstructure",
    "flatdemandmonths",
    "flatdemandunit",
    "demandratestructure",
    "demandweekdayschedule",
    "demandweekendschedule",
    "demandrateunit",
    "demandwindow",
    "demandratchetpercentage",
    "lookbackmonths",
    "lookbackpercent",
    "lookbackrange",
    "demandreactivepowercharge",
    "coincidentratestructure",
    "coincidentrateschedule",
    "coincidentschedule",
    "coincidentrateunit",
    "fixedchargefirstmeter",
    "fixedchargeeaaddl",
    "fixedchargeunits",
    "mincharge",
    "minchargeunits",
    "fixedmonthlycharge",
    "minmonthlycharge",
    "annualmincharge",
    "dgrules",
    "servicetype",
    "demandunits",
}
_ELIGIBLE = {
    "peakkwcapacitymin",
    "peakkwcapacitymax",
    "peakkwcapacityhistory",
    "peakkwhusagemin",
    "peakkwhusagemax",
    "peakkwhusagehistory",
    "voltageminimum",
    "voltagemaximum",
    "voltagecategory",
    "phasewiring",
}
_ATTRS = {"energyattrs", "demandattrs", "fixedattrs"}
_VIEW = "https://apps.openei.org/IURDB/rate/view/"
_UNBOUNDED = 1e30
_ENERGY_UNITS = {"kwh": "kWh", "kwh/kw": "kWh/kW", "kwh daily": "kWh daily", "kwh/kw daily": "kWh/kW daily"}
_DEMAND_UNITS = {"kw": "kW", "kva": "kVA", "hp": "hp"}


class Urdb:
    """Reader of URDB records as a source; `fetch` returns plain tariff mappings."""

    kind: ClassVar[str] = "urdb"

    def sniff(self, path: str) -> bool:
        """Whether the head of the file looks like a URDB record."""
        with Path(path).open("rb") as f:
            head = f.read(4096)
        return b"ratestructure" in head.lower() or b"openei" in head.lower()

    def fetch(self, path: str, **options: Any) -> list[dict[str, Any]]:
        """Every record of a JSON file (one record, {"items": [...]}, or one record a line)."""
        import json

        text = Path(path).read_text(encoding="utf-8-sig")
        try:
            data = json.loads(text)
            rows = data.get("items", [data]) if isinstance(data, dict) else data
        except json.JSONDecodeError:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        return [translate(r, where=f"{path}: {r.get('label', '')}") for r in rows]


def translate(record: Mapping[str, Any], *, where: str = "urdb", partial: bool = False) -> dict[str, Any]:
    """A tariff mapping (name, items, stated, eligibility ...) from one record.

    partial: the record may lack charges of its own (a file of ours adds them). Raises InputError with every
    field that cannot be billed.
    """
    reader = _Record(_lower(record))
    out = reader.mapping(partial)
    if reader.problems:
        raise InputError.collect(where, reader.problems)
    return out


def _lower(record: Mapping[str, Any]) -> dict[str, Any]:
    """Keys in lower case, flattened columns folded back, empty fields left out."""
    out: dict[str, Any] = {}
    flat: dict[str, dict[int, dict[int, dict[str, Any]]]] = {}
    for key, value in record.items():
        k = str(key).lower()
        if value is None or value == "" or (isinstance(value, float) and value != value):
            continue
        if found := re.fullmatch(r"(\w+)/period(\d+)/tier(\d+)(rate|max|adj|sell|unit)", k):
            name, p, t, part = found.groups()
            flat.setdefault(name, {}).setdefault(int(p), {}).setdefault(int(t), {})[part] = value
        elif found := re.fullmatch(r"flatdemandmonth(\d+)", k):
            out.setdefault("flatdemandmonths", [0] * 12)[int(found.group(1)) - 1] = int(value)
        else:
            out[k] = _listed(value)
    for name, periods in flat.items():
        out[name] = [[periods[p][t] for t in sorted(periods[p])] for p in sorted(periods)]
    return out


def _listed(value: Any) -> Any:
    """A list written as text in a CSV cell ("[[0, 0, ...]]", Python 2's "0L" included) as a list."""
    if not (isinstance(value, str) and value.lstrip().startswith("[")):
        return value
    import json

    try:
        return json.loads(re.sub(r"(\d)L\b", r"\1", value).replace("'", '"').replace("None", "null"))
    except json.JSONDecodeError:
        return value


class _Record:
    def __init__(self, record: dict[str, Any]) -> None:
        self.r = record
        self.problems: list[str] = []
        self.stated: list[str] = []

    # --- the whole -------------------------------------------------------------------------------

    def mapping(self, partial: bool) -> dict[str, Any]:
        r = self.r
        items = [
            *self.fixed(),
            *self.demand(),
            *self.energy(),
            *self.coincident(),
            *self.reactive(),
            *self.minimum(),
        ]
        self.texts()
        if not items and not partial and not self.problems:
            self.problems.append(
                "no charge of any kind: energyratestructure, flatdemandstructure and fixed charges are empty"
            )
        out = {
            "name": str(r.get("name") or r.get("label") or "URDB rate"),
            "utility": str(r.get("utility") or ""),
            # The record is the source that the figures are true to; the rate sheet behind it was not read.
            "source": str(r.get("uri") or (f"{_VIEW}{r['label']}" if "label" in r else r.get("source", ""))),
            "verified": True,
            "notes": self.notes(),
            "service": str(r.get("servicetype") or "bundled").lower(),
            "items": items,
            "stated": self.stated,
            "eligibility": self.eligibility(),
        }
        for key, name in (("startdate", "valid_from"), ("enddate", "valid_until")):
            if key in r:
                out[name] = self.day(key)
        if out.get("valid_from"):
            out["source_date"] = out["valid_from"]
        return out

    def notes(self) -> list[str]:
        """Texts about the tariff that change no figure."""
        r = self.r
        out = [f"{key}: {' '.join(str(r[key]).split())}" for key in ("description", "sector") if key in r]
        out += [f"rate sheet named by the record: {r[key]}" for key in ("source", "sourceparent") if key in r]
        return out

    def day(self, key: str) -> Any:
        try:
            return datetime.fromtimestamp(float(self.r[key]), UTC).date()
        except (TypeError, ValueError, OverflowError, OSError):
            try:
                return datetime.fromisoformat(str(self.r[key])[:10]).date()
            except ValueError:
                self.problems.append(f"{key}: {self.r[key]!r} is neither seconds since 1970 nor a date")
                return None

    def number(self, key: str, value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            self.problems.append(f"{key}: {value!r} is not a number")
            return 0.0

    def texts(self) -> None:
        """Clauses in words: shown, because nothing else says that they were not billed."""
        r = self.r
        for key in ("energycomments", "demandcomments", "basicinformationcomments"):
            if key in r:
                words = " ".join(str(r[key]).split())
                self.stated.append(f"the record's {key} are not billed beyond its figures: {words}")
        for key in sorted(_ATTRS & set(r)):
            rows = r[key] if isinstance(r[key], list) else [r[key]]
            pairs = [f"{k}: {v}" for row in rows if isinstance(row, Mapping) for k, v in row.items()]
            if pairs:
                self.stated.append(f"riders in words in {key} are not billed: {'; '.join(pairs)}")
        if r.get("usenetmetering") and "dgrules" not in r:
            self.stated.append(
                "usenetmetering is set, but no dgrules: energy fed in is credited only at sell rates, if any"
            )
        service = str(r.get("servicetype", "")).lower()
        if service == "delivery":
            self.stated.append("servicetype Delivery: supply is not in this bill")
        elif service == "energy":
            self.stated.append("servicetype Energy: delivery is not in this bill")
        for key in sorted(set(r) - _IDENTITY - _BILLED - _ELIGIBLE - _ATTRS):
            self.stated.append(f"field {key} is not known and was not billed: {str(r[key])[:200]}")

    def eligibility(self) -> dict[str, Any] | None:
        r = self.r
        out: dict[str, Any] = {}
        if str(r.get("demandunits", "kW")).lower() == "kw":
            names = {"peakkwcapacitymin": "peak_kw_min", "peakkwcapacitymax": "peak_kw_max"}
        else:
            names = {}
        names |= {
            "peakkwhusagemin": "energy_kwh_min",
            "peakkwhusagemax": "energy_kwh_max",
            "peakkwcapacityhistory": "months",
        }
        for key, name in names.items():
            if key in r:
                out[name] = self.number(key, r[key])
        words = [f"{k} {r[k]}" for k in sorted(_ELIGIBLE & set(r)) if k not in names]
        if words:
            out["text"] = ", ".join(words)
        return out or None

    # --- charges ---------------------------------------------------------------------------------

    def schedule(self, key: str, periods: int) -> list[list[int]] | None:
        rows = self.r.get(key)
        if not (
            isinstance(rows, Sequence)
            and len(rows) == 12
            and all(isinstance(x, Sequence) and len(x) == 24 for x in rows)
        ):
            self.problems.append(f"{key}: should be 12 months of 24 hours")
            return None
        out = [[int(v) for v in row] for row in rows]
        missing = sorted({v for row in out for v in row if not 0 <= v < periods})
        if missing:
            self.problems.append(
                f"{key}: schedules period {', '.join(map(str, missing))}, the structure has only {periods}"
            )
            return None
        return out

    def tiers(self, key: str, p: int, rows: Any, unit: Any) -> list[dict[str, Any]]:
        """Tiers of one period: [{price, upto, unit, sell}], the last one without bound."""
        where = f"{key}[{p}]"
        if not isinstance(rows, Sequence) or not rows:
            self.problems.append(f"{where}: has no tiers")
            return []
        out = []
        for t, row in enumerate(rows):
            if not isinstance(row, Mapping):
                self.problems.append(f"{where}[{t}]: {row!r} is not a tier")
                continue
            if "rate" not in row and "adj" not in row and "sell" not in row and len(rows) > 1:
                self.stated.append(f"{where}[{t}] states no rate; it is billed at 0")
            price = self.number(f"{where}[{t}].rate", row.get("rate") or 0.0) + self.number(
                f"{where}[{t}].adj", row.get("adj") or 0.0
            )
            top = row.get("max")
            upto = None if top is None else self.number(f"{where}[{t}].max", top)
            out.append(
                {
                    "price": price,
                    "upto": None if upto is None or upto >= _UNBOUNDED else upto,
                    "unit": row.get("unit"),
                    "sell": row.get("sell"),
                }
            )
        if out and out[-1]["upto"] is not None:
            self.stated.append(f"{where}: the last tier ends at {out[-1]['upto']:g}; it is taken to go on")
            out[-1]["upto"] = None
        for t, (a, b) in enumerate(pairwise(out)):
            if a["upto"] is None:
                self.problems.append(f"{where}[{t}].max: missing, though tier {t + 1} follows")
            elif a["upto"] <= 0:
                self.problems.append(f"{where}[{t}].max: {a['upto']:g} is not above 0")
            elif (
                b["upto"] is not None
                and b["upto"] <= a["upto"]
                and (a["unit"] or unit) == (b["unit"] or unit)
            ):
                self.problems.append(
                    f"{where}[{t + 1}].max: {b['upto']:g} does not lie above {a['upto']:g}; bounds are cumulative"
                )
        return out

    def fixed(self) -> list[dict[str, Any]]:
        r, out = self.r, []
        if "fixedchargefirstmeter" in r:
            unit = r.get("fixedchargeunits")
            if unit is None:
                self.stated.append("fixedchargeunits is missing: $/month is taken")
            per = self.per("fixedchargeunits", unit or "$/month")
            out.append(
                {
                    "kind": "fixed",
                    "name": "customer charge",
                    "usd": self.number("fixedchargefirstmeter", r["fixedchargefirstmeter"]),
                    "per": per,
                }
            )
        elif "fixedmonthlycharge" in r:
            out.append(
                {
                    "kind": "fixed",
                    "name": "customer charge",
                    "usd": self.number("fixedmonthlycharge", r["fixedmonthlycharge"]),
                    "per": "month",
                }
            )
        if "fixedchargeeaaddl" in r:
            self.stated.append(
                f"fixedchargeeaaddl {r['fixedchargeeaaddl']} is for each further meter; one meter is billed"
            )
        return out

    def per(self, key: str, unit: Any) -> str:
        found = {"$/day": "day", "$/month": "month", "$/year": "year"}.get(str(unit).lower().replace(" ", ""))
        if found is None:
            self.problems.append(f"{key}: {unit!r} is not $/day, $/month or $/year")
        return found or "month"

    def minimum(self) -> list[dict[str, Any]]:
        r, out = self.r, []
        if "mincharge" in r:
            per = self.per("minchargeunits", r.get("minchargeunits") or "$/month")
            out.append({"kind": "minimum", "usd": self.number("mincharge", r["mincharge"]), "per": per})
        if "minmonthlycharge" in r and "mincharge" not in r:
            out.append(
                {
                    "kind": "minimum",
                    "usd": self.number("minmonthlycharge", r["minmonthlycharge"]),
                    "per": "month",
                }
            )
        if "annualmincharge" in r:
            out.append(
                {
                    "kind": "minimum",
                    "usd": self.number("annualmincharge", r["annualmincharge"]),
                    "per": "year",
                }
            )
        return out

    def energy(self) -> list[dict[str, Any]]:
        r, key = self.r, "energyratestructure"
        if key not in r:
            if "energyweekdayschedule" in r:
                self.problems.append(f"{key}: missing, though energyweekdayschedule is given")
            return []
        periods = [self.tiers(key, p, rows, "kWh") for p, rows in enumerate(r[key])]
        weekday, weekend = (
            self.schedule("energyweekdayschedule", len(periods)),
            self.schedule("energyweekendschedule", len(periods)),
        )
        rules = str(r.get("dgrules", "")).lower()
        metering = {
            "": "import",
            "net metering": "net",
            "net billing instantaneous": "import",
            "net billing hourly": "net_hourly",
            "buy all sell all": "gross",
        }.get(rules)
        if metering is None:
            self.problems.append(f"dgrules: {r['dgrules']!r} is not a rule that can be billed")
        for p, tiers in enumerate(periods):
            for t, tier in enumerate(tiers):
                unit = str(tier["unit"] or "kWh").lower()
                if unit not in _ENERGY_UNITS:
                    self.problems.append(
                        f"{key}[{p}][{t}].unit: {tier['unit']!r}; kWh, kWh/kW, kWh daily and kWh/kW daily can be billed"
                    )
        if weekday is None or weekend is None or self.problems:
            return []
        item: dict[str, Any] = {
            "kind": "energy",
            "metering": metering,
            "weekday": weekday,
            "weekend": weekend,
            "periods": [
                {
                    "tiers": [
                        {
                            "usd_per_kwh": t["price"],
                            "upto": t["upto"],
                            "unit": _ENERGY_UNITS[str(t["unit"] or "kWh").lower()],
                        }
                        for t in tiers
                    ]
                }
                for tiers in periods
            ],
        }
        if "fueladjustmentsmonthly" in r:
            values = r["fueladjustmentsmonthly"]
            if isinstance(values, Sequence) and len(values) == 12:
                item["adjustment_usd_per_kwh"] = [
                    self.number("fueladjustmentsmonthly", v or 0.0) for v in values
                ]
            else:
                self.problems.append(f"fueladjustmentsmonthly: {values!r} should be 12 values")
        return [item, *self.export(periods, weekday, weekend, rules)]

    def export(self, periods: list[Any], weekday: Any, weekend: Any, rules: str) -> list[dict[str, Any]]:
        sell = [self.number("sell", tiers[0]["sell"] or 0.0) for tiers in periods]
        if not any(sell):
            return []
        if rules == "net metering":
            self.stated.append(
                "net metering: sell rates are for credit left over, whose rule the record does not state; "
                "left-over kWh carry on and earn nothing"
            )
            return []
        if any(t["sell"] not in (None, tiers[0]["sell"]) for tiers in periods for t in tiers):
            self.stated.append("sell rates differ by tier: that of the first tier is paid")
        netting = {"net billing hourly": "hour", "buy all sell all": "gross"}.get(rules, "interval")
        return [
            {
                "kind": "export",
                "usd_per_kwh": sell,
                "weekday": weekday,
                "weekend": weekend,
                "netting": netting,
            }
        ]

    def demand(self) -> list[dict[str, Any]]:
        r, out = self.r, []
        flat = self.one_demand("flatdemandstructure", "flatdemandunit")
        if flat is not None:
            months = r.get("flatdemandmonths")
            if not (isinstance(months, Sequence) and len(months) == 12):
                self.problems.append("flatdemandmonths: should be 12 period numbers")
            elif max(int(m) for m in months) >= len(flat["periods"]):
                self.problems.append(
                    f"flatdemandmonths: names period {max(months)}, the structure has only {len(flat['periods'])}"
                )
            else:
                out.append({**flat, "months": [int(m) for m in months], "name": "flat"})
        timed = self.one_demand("demandratestructure", "demandrateunit")
        if timed is not None:
            weekday = self.schedule("demandweekdayschedule", len(timed["periods"]))
            weekend = self.schedule("demandweekendschedule", len(timed["periods"]))
            if weekday and weekend:
                out.append({**timed, "weekday": weekday, "weekend": weekend, "name": "tou"})
        ratchet = self.ratchet()
        if ratchet and out:
            out[0]["ratchet"] = ratchet
            if len(out) > 1:
                self.stated.append(
                    "the ratchet is applied to the flat demand charge, not to time-of-use demand"
                )
        elif ratchet:
            self.stated.append("a ratchet is stated without a demand charge; it changes nothing")
        return out

    def one_demand(self, key: str, unit_key: str) -> dict[str, Any] | None:
        r = self.r
        if key not in r or not r[key]:
            return None
        unit = str(r.get(unit_key) or "kW").lower()
        daily = unit.endswith(" daily")
        name = _DEMAND_UNITS.get(unit.removesuffix(" daily"))
        if name is None:
            self.problems.append(f"{unit_key}: {r[unit_key]!r} is not kW, kVA or hp, alone or daily")
            return None
        periods = [self.tiers(key, p, rows, "kW") for p, rows in enumerate(r[key])]
        out: dict[str, Any] = {
            "kind": "demand",
            "unit": name,
            "daily": daily,
            "periods": [
                {"tiers": [{"usd_per_unit": t["price"], "upto": t["upto"]} for t in tiers]}
                for tiers in periods
            ],
        }
        if "demandwindow" in r:
            minutes = self.number("demandwindow", r["demandwindow"])
            if minutes < 1:
                self.stated.append(
                    f"demandwindow {minutes:g} is no number of minutes; the data's own interval is used"
                )
            else:
                out["window_min"] = minutes
        return out

    def ratchet(self) -> dict[str, Any] | None:
        r = self.r
        if "lookbackpercent" in r and self.number("lookbackpercent", r["lookbackpercent"]) > 0:
            share = float(r["lookbackpercent"])
            if share > 1:
                self.problems.append(f"lookbackpercent: {share:g} is not a fraction between 0 and 1")
                return None
            if share < 0.05:
                self.stated.append(
                    f"lookbackpercent {share:g} is a fraction in URDB; so small a ratchet may be a slip for "
                    f"{100 * share:g}"
                )
            months = int(self.number("lookbackrange", r.get("lookbackrange") or 0))
            flags = r.get("lookbackmonths") or []
            flagged = [m + 1 for m, f in enumerate(flags) if f and str(f).lower() not in ("0", "false")]
            if months > 0:
                return {"share_frac": share, "months": months}
            if flagged:
                return {"share_frac": share, "months": 11, "only_months": flagged}
            self.stated.append(
                "lookbackpercent is given without lookbackrange or lookbackmonths: the previous 11 months are taken"
            )
            return {"share_frac": share, "months": 11}
        if "demandratchetpercentage" in r:
            values = [self.number("demandratchetpercentage", v or 0.0) for v in r["demandratchetpercentage"]]
            if len(values) != 12:
                self.problems.append(f"demandratchetpercentage: {len(values)} values, should be 12")
                return None
            scale = 100 if max(values) > 1 else 1
            if any(values):
                self.stated.append(
                    "demandratchetpercentage names no months to look back on: the previous 11 are taken"
                )
            return {"share_frac": [v / scale for v in values], "months": 11} if any(values) else None
        return None

    def coincident(self) -> list[dict[str, Any]]:
        r, key = self.r, "coincidentratestructure"
        if key not in r or not r[key]:
            return []
        unit = _DEMAND_UNITS.get(str(r.get("coincidentrateunit") or "kW").lower())
        if unit is None:
            self.problems.append(f"coincidentrateunit: {r['coincidentrateunit']!r} is not kW, kVA or hp")
            return []
        name = "coincidentrateschedule" if "coincidentrateschedule" in r else "coincidentschedule"
        periods = [self.tiers(key, p, rows, "kW") for p, rows in enumerate(r[key])]
        schedule = self.schedule(name, len(periods))
        if schedule is None:
            return []
        return [
            {
                "kind": "coincident",
                "unit": unit,
                "schedule": schedule,
                "periods": [
                    {"tiers": [{"usd_per_unit": t["price"], "upto": t["upto"]} for t in tiers]}
                    for tiers in periods
                ],
            }
        ]

    def reactive(self) -> list[dict[str, Any]]:
        if "demandreactivepowercharge" not in self.r:
            return []
        price = self.number("demandreactivepowercharge", self.r["demandreactivepowercharge"])
        return [{"kind": "reactive", "usd_per_kvar": price, "assumed": True}] if price else []
