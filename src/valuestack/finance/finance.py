"""What a person writes about money over the years: capex, running costs, escalators, wear, tax, debt, third parties.

All money is nominal unless a name says real. One discount rate is written, nominal or real; the other follows:
    1 + nominal = (1 + real)(1 + inflation)      (Fisher)
Every escalator names the year in whose money its figures stand, so that none compounds from a wrong base.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import UnknownKind
from ..ledger import CERTAINTIES, LAYERS, Ledger
from .incentives import rows, unverified

EscalatorName = Literal["electricity", "market", "outage", "attributes", "fuel", "om", "none"]
BY_LAYER: dict[int, EscalatorName] = {0: "fuel", 1: "electricity", 2: "outage", 3: "market", 4: "attributes"}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)


class Escalation(_Part):
    """Growth of one kind of price: frac_per_y nominal. base_year: whose money the figures are in, none = the first
    year of operation. growth_before_year_1: figures are of the year before operation, so year 1 has grown once."""

    frac_per_y: float = Field(default=0.0, gt=-1, lt=1)
    base_year: int | None = None
    growth_before_year_1: bool = False

    @model_validator(mode="after")
    def _one_base(self) -> Escalation:
        if self.base_year is not None and self.growth_before_year_1:
            raise ValueError("give base_year or growth_before_year_1, not both")
        return self

    def offset_y(self, start_year: int) -> int:
        """Years of growth that year 1 has already seen."""
        if self.growth_before_year_1:
            return 1
        return 0 if self.base_year is None else start_year - self.base_year


class CapexItem(_Part):
    """One thing that is bought. kind: of the asset ('battery', 'pv', 'generator', 'other'), for its class life.

    usd, or usd_per_kw x size_kw + usd_per_kwh x size_kwh. rebate_usd: paid by others, lowers cost and basis, untaxed.
    technology: whose dated investment credit it may take ('storage', 'solar'); itc_frac: written instead;
    itc_share_frac: of the cost that qualifies. macrs_class_y: 3, 5, 7, 10, 15, 20, 0 = not depreciated, none = by kind.
    bonus_frac: none = as dated. salvage_frac: of cost, at the end.
    """

    name: str
    kind: str = "other"
    usd: float | None = Field(default=None, ge=0)
    usd_per_kw: float | None = Field(default=None, ge=0)
    size_kw: float | None = Field(default=None, ge=0)
    usd_per_kwh: float | None = Field(default=None, ge=0)
    size_kwh: float | None = Field(default=None, ge=0)
    rebate_usd: float = Field(default=0.0, ge=0)
    technology: Literal["storage", "solar"] | None = None
    itc_frac: float | None = Field(default=None, ge=0, le=1)
    itc_share_frac: float = Field(default=1.0, ge=0, le=1)
    macrs_class_y: int | None = None
    bonus_frac: float | None = Field(default=None, ge=0, le=1)
    salvage_frac: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _priced(self) -> CapexItem:
        pairs = [("usd_per_kw", "size_kw"), ("usd_per_kwh", "size_kwh")]
        by_size = any(getattr(self, k) is not None for pair in pairs for k in pair)
        problems = []
        if (self.usd is None) != by_size:
            problems.append(f"{self.name}: give usd, or prices and sizes, and not both")
        for price, size in pairs:
            if (getattr(self, price) is None) != (getattr(self, size) is None):
                problems.append(f"{self.name}: {price} and {size}: give both")
        if self.technology is not None and self.itc_frac is not None:
            problems.append(f"{self.name}: give technology (dated credit) or itc_frac, not both")
        if self.macrs_class_y not in (None, 0, 3, 5, 7, 10, 15, 20):
            problems.append(f"{self.name}: macrs_class_y = {self.macrs_class_y}: 0, 3, 5, 7, 10, 15 or 20")
        if not problems and self.rebate_usd > self.cost_usd:
            problems.append(f"{self.name}: rebate_usd = {self.rebate_usd:g} is above its cost")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def cost_usd(self) -> float:
        """Price before rebates and credits."""
        if self.usd is not None:
            return self.usd
        return (self.usd_per_kw or 0.0) * (self.size_kw or 0.0) + (self.usd_per_kwh or 0.0) * (
            self.size_kwh or 0.0
        )


class RunningCost(_Part):
    """A cost of every year: fixed usd_per_y, and usd_per_kwh x kwh_per_y. escalator: which growth it follows."""

    name: str
    usd_per_y: float = Field(default=0.0, ge=0)
    usd_per_kwh: float = Field(default=0.0, ge=0)
    kwh_per_y: float = Field(default=0.0, ge=0)
    escalator: EscalatorName = "om"

    @property
    def first_usd(self) -> float:
        """What it comes to a year, in the money of its escalator's base year."""
        return self.usd_per_y + self.usd_per_kwh * self.kwh_per_y


class Replacement(_Part):
    """Something bought again at the end of `year`: usd in the money of that year."""

    name: str
    usd: float = Field(ge=0)
    year: int = Field(ge=1)


class Wear(_Part):
    """How capacity falls and what is done about it, from the wear model.

    capacity_frac: left at the end of year 1, 2, ... of a new battery; or fade_frac_per_y. value_share_frac: share of a
    stream's value that follows capacity. strategy: 'none'; 'replace' at the end of replace_year (and again after as
    many years) or of the year in which capacity falls to replace_at_frac; 'augment' each year what was lost.
    usd_per_kwh x energy_kwh: cost of new capacity today; price_change_frac_per_y: its nominal change.
    """

    capacity_frac: tuple[float, ...] = ()
    fade_frac_per_y: float | None = Field(default=None, ge=0, lt=1)
    value_share_frac: float = Field(default=1.0, ge=0, le=1)
    strategy: Literal["none", "replace", "augment"] = "none"
    replace_at_frac: float | None = Field(default=None, gt=0, lt=1)
    replace_year: int | None = Field(default=None, ge=1)
    energy_kwh: float = Field(default=0.0, ge=0)
    usd_per_kwh: float = Field(default=0.0, ge=0)
    price_change_frac_per_y: float = Field(default=0.0, gt=-1, lt=1)

    @model_validator(mode="after")
    def _consistent(self) -> Wear:
        problems = []
        if self.capacity_frac and self.fade_frac_per_y is not None:
            problems.append("give capacity_frac by year or fade_frac_per_y, not both")
        if any(not 0 <= c <= 1 for c in self.capacity_frac):
            problems.append("capacity_frac: values lie between 0 and 1")
        if any(b > a for a, b in zip((1.0, *self.capacity_frac), self.capacity_frac)):
            problems.append("capacity_frac: capacity cannot rise from year to year")
        if self.strategy == "replace" and (self.replace_at_frac is None) == (self.replace_year is None):
            problems.append("strategy = 'replace': give replace_at_frac or replace_year")
        if self.strategy != "none" and self.energy_kwh * self.usd_per_kwh == 0:
            problems.append(f"strategy = {self.strategy!r}: give energy_kwh and usd_per_kwh")
        if problems:
            raise ValueError("; ".join(problems))
        return self


class StreamPlan(_Part):
    """How one stream's value runs over the years: first paid in start_month (1 = at once); ramp_frac of full value in
    its year 1, 2, ..., the last one holds on; degradation_frac_per_y besides wear (solar modules); escalator or its own
    growth; p90_frac: what is exceeded nine years in ten, for debt; follows_wear; follows_dispatch: scaled by the share
    of dispatch value that is realised."""

    start_month: int = Field(default=1, ge=1)
    ramp_frac: tuple[float, ...] = ()
    degradation_frac_per_y: float = Field(default=0.0, ge=0, lt=1)
    escalator: EscalatorName | None = None
    p90_frac: float | None = Field(default=None, ge=0, le=1)
    follows_wear: bool | None = None
    follows_dispatch: bool | None = None
    end_year: int | None = Field(default=None, ge=1)


class Tax(_Part):
    """federal_frac: none = as dated; state_frac, deducted from federal income; state_bonus: the state follows the
    federal bonus; exempt: pays none (and depreciates nothing)."""

    federal_frac: float | None = Field(default=None, ge=0, lt=1)
    state_frac: float = Field(default=0.0, ge=0, lt=1)
    state_bonus: bool = False
    exempt: bool = False

    @property
    def federal(self) -> float:
        """Federal rate."""
        if self.exempt:
            return 0.0
        return (
            self.federal_frac
            if self.federal_frac is not None
            else float(rows("tax", "federal", "finance")[0]["frac"])
        )

    @property
    def state(self) -> float:
        """State rate."""
        return 0.0 if self.exempt else self.state_frac

    @property
    def combined(self) -> float:
        """Rate on a dollar, state tax being deducted: s + f (1 - s)."""
        return self.state + self.federal * (1 - self.state)


class Debt(_Part):
    """A loan with level payments at year ends. One of usd, share_frac of capex, or coverage_frac: the size at which
    cash flow that counts covers the service so many times (1.35) in every year. market_coverage_frac: coverage asked of
    income that is not contractual (none = it does not count). fee_frac: of the loan, at the start."""

    rate_frac: float = Field(ge=0, lt=1)
    years: int = Field(ge=1)
    usd: float | None = Field(default=None, ge=0)
    share_frac: float | None = Field(default=None, ge=0, le=1)
    coverage_frac: float | None = Field(default=None, ge=1)
    market_coverage_frac: float | None = Field(default=None, ge=1)
    fee_frac: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _one_size(self) -> Debt:
        given = [k for k in ("usd", "share_frac", "coverage_frac") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give one of usd, share_frac, coverage_frac (given: {', '.join(given) or 'none'})"
            )
        if self.market_coverage_frac is not None and self.coverage_frac is None:
            raise ValueError("market_coverage_frac: needs coverage_frac")
        return self


class ThirdParty(_Part):
    """Somebody else owns the assets; the host of the site keeps the value and pays.

    form: 'ppa' usd_per_kwh x kwh_per_y; 'lease' usd_per_y; 'shared_savings' share_frac of the value of `layers` that
    is realised, never below zero. growth_frac_per_y of the price from year 2; years: term (none = all), then the host
    owns and pays buyout_usd. host_discount_frac (nominal), host_tax: of the host.
    """

    form: Literal["ppa", "lease", "shared_savings"]
    usd_per_kwh: float | None = Field(default=None, ge=0)
    kwh_per_y: float | None = Field(default=None, ge=0)
    usd_per_y: float | None = Field(default=None, ge=0)
    share_frac: float | None = Field(default=None, ge=0, le=1)
    layers: tuple[int, ...] = (1, 2, 3, 4)
    growth_frac_per_y: float = Field(default=0.0, gt=-1, lt=1)
    years: int | None = Field(default=None, ge=1)
    buyout_usd: float = Field(default=0.0, ge=0)
    host_discount_frac: float | None = Field(default=None, gt=-1, lt=1)
    host_tax: Tax | None = None

    @model_validator(mode="after")
    def _priced(self) -> ThirdParty:
        needs = {
            "ppa": ("usd_per_kwh", "kwh_per_y"),
            "lease": ("usd_per_y",),
            "shared_savings": ("share_frac",),
        }
        every = {k for keys in needs.values() for k in keys}
        problems = [
            f"{k}: is missing for form = {self.form!r}" for k in needs[self.form] if getattr(self, k) is None
        ]
        extra = sorted(k for k in every - set(needs[self.form]) if getattr(self, k) is not None)
        problems += [f"{k}: says nothing of form = {self.form!r}; leave it out" for k in extra]
        if self.buyout_usd and self.years is None:
            problems.append("buyout_usd: needs years, the term after which it is paid")
        problems += [
            f"layers: {k} is none of {', '.join(map(str, LAYERS))}" for k in self.layers if k not in LAYERS
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self


class Finance(_Part):
    """The pro forma of a site.

    preset: a named set of conventions under what is written ('reopt'). start_date: operation begins; construction_date
    and acquired_date decide credits and bonus (none = start_date). analysis_years. Discount rate: discount_frac
    (nominal) or discount_real_frac. timing: flows of a year at its 'end' or 'mid'. Escalators by name. capex, running,
    replacements, wear, streams (plans by stream), tax, debt, third_party. The last five decide the dated credit.
    """

    preset: str | None = None
    start_date: date
    construction_date: date | None = None
    acquired_date: date | None = None
    analysis_years: int = Field(default=20, ge=1, le=60)
    discount_frac: float | None = Field(default=None, gt=-1, lt=1)
    discount_real_frac: float | None = Field(default=None, gt=-1, lt=1)
    inflation_frac: float | None = Field(default=None, gt=-1, lt=1)
    timing: Literal["end", "mid"] = "end"
    electricity: Escalation = Escalation()
    market: Escalation = Escalation()
    outage: Escalation = Escalation()
    attributes: Escalation = Escalation()
    fuel: Escalation = Escalation()
    om: Escalation = Escalation()
    capex: tuple[CapexItem, ...] = ()
    running: tuple[RunningCost, ...] = ()
    replacements: tuple[Replacement, ...] = ()
    wear: Wear = Wear()
    streams: dict[str, StreamPlan] = Field(default_factory=dict)
    tax: Tax = Tax()
    debt: Debt | None = None
    third_party: ThirdParty | None = None
    prevailing_wage: bool = False
    domestic_content: bool = False
    energy_community: bool = False
    foreign_free_frac: float | None = Field(default=None, ge=0, le=1)
    ac_kw: float | None = Field(default=None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _under_preset(cls, written: Any) -> Any:
        if not isinstance(written, Mapping) or written.get("preset") is None:
            return written
        under = preset(str(written["preset"]))
        both = {k: v for k, v in under.items() if k not in ("source", "verified")}
        if "discount_real_frac" in written:
            both.pop("discount_frac", None)
        return {**both, **{k: _over(both.get(k), v) for k, v in written.items()}}

    @model_validator(mode="after")
    def _consistent(self) -> Finance:
        problems = []
        if (self.discount_frac is None) == (self.discount_real_frac is None):
            problems.append("give discount_frac (nominal) or discount_real_frac, one of them")
        term = None if self.third_party is None else self.third_party.years
        if term is not None and term > self.analysis_years:
            problems.append(f"third_party.years = {term} is beyond analysis_years = {self.analysis_years}")
        if self.debt is not None and self.debt.years > self.analysis_years:
            problems.append(
                f"debt.years = {self.debt.years} is beyond analysis_years = {self.analysis_years}"
            )
        late = [r.name for r in self.replacements if r.year > self.analysis_years]
        if late:
            problems.append(f"replacements: {', '.join(late)} after the analysis ends; leave them out")
        names = [c.name for c in self.capex]
        problems += [f"capex: {n!r} stands twice" for n in sorted({n for n in names if names.count(n) > 1})]
        if self.construction_date and self.construction_date > self.start_date:
            problems.append(
                f"construction_date {self.construction_date} is after start_date {self.start_date}"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self

    # --- derived ---------------------------------------------------------------------------------

    @property
    def inflation(self) -> float:
        """Inflation a year; as a planning assumption where none is written."""
        if self.inflation_frac is not None:
            return self.inflation_frac
        return float(rows("tax", "inflation", "finance")[0]["frac_per_y"])

    @property
    def nominal(self) -> float:
        """Nominal discount rate."""
        if self.discount_frac is not None:
            return self.discount_frac
        assert self.discount_real_frac is not None
        return (1 + self.discount_real_frac) * (1 + self.inflation) - 1

    @property
    def real(self) -> float:
        """Real discount rate."""
        return (1 + self.nominal) / (1 + self.inflation) - 1

    @property
    def capex_usd(self) -> float:
        """Cost before rebates and credits."""
        return sum(c.cost_usd for c in self.capex)

    def escalation(self, name: EscalatorName) -> Escalation:
        """Growth called `name`."""
        return Escalation() if name == "none" else getattr(self, name)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Defaults taken."""
        out = []
        if self.preset is not None:
            out.append(f"finance: conventions of {self.preset!r}: {preset(self.preset)['source']}")
        if self.inflation_frac is None:
            row = rows("tax", "inflation", "finance")[0]
            out += unverified(row, f"finance: inflation of {self.inflation:.1%} a year")
        if self.tax.federal_frac is None and not self.tax.exempt:
            out += unverified(
                rows("tax", "federal", "finance")[0], f"finance: federal tax of {self.tax.federal:.0%}"
            )
        if not self.tax.exempt:
            out.append("finance: the owner has income to use every deduction and credit in its year")
            if self.tax.state_frac == 0:
                out.append("finance: no state tax is given; none is taken")
        flat = [n for n in ("electricity", "market", "om") if self.escalation(n).frac_per_y == 0]
        if flat:
            out.append(f"finance: no growth is given for {', '.join(flat)}; prices stay nominally flat")
        if "analysis_years" not in self.model_fields_set:
            out.append(f"finance: {self.analysis_years} years are analysed")
        if self.wear.strategy == "none" and not self.wear.capacity_frac and self.wear.fade_frac_per_y is None:
            out.append("finance: no wear is given; value does not fall with age and nothing is replaced")
        if self.replacements or self.wear.strategy != "none":
            out.append("finance: replacement and augmentation are deducted in their year, not depreciated")
        if self.debt is not None and self.debt.coverage_frac is not None:
            out.append("finance: debt is sized on cash flow before tax")
        return tuple(out)


def _over(under: Any, written: Any) -> Any:
    """A written table over the preset's, key by key; anything else replaces it."""
    if not (isinstance(under, Mapping) and isinstance(written, Mapping)):
        return written
    kept = {k: v for k, v in under.items() if not (k == "growth_before_year_1" and "base_year" in written)}
    return {**kept, **written}


def preset(name: str) -> dict[str, Any]:
    """Conventions of data/finance/presets.toml by name; UnknownKind where there is none."""
    path = files("valuestack") / "data" / "finance" / "presets.toml"
    table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    if name not in table:
        raise UnknownKind("finance preset", name, table)
    return dict(table[name])


@dataclass(frozen=True, slots=True)
class Value:
    """What one stream is worth in a settled year: usd_per_y > 0 is money to the site. layer 0..4, certainty as in the
    ledger ('contractual' counts as contracted)."""

    stream: str
    layer: int
    usd_per_y: float
    certainty: str = "metered"

    def __post_init__(self) -> None:
        from ..errors import InputError

        if self.layer not in LAYERS:
            raise InputError(f"{self.stream}: layer {self.layer!r} is none of {', '.join(map(str, LAYERS))}")
        if self.certainty not in CERTAINTIES:
            raise InputError(
                f"{self.stream}: certainty {self.certainty!r} is none of {', '.join(CERTAINTIES)}"
            )


def annual_values(after: Ledger, before: Ledger | None = None, *, years: float = 1.0) -> tuple[Value, ...]:
    """Value a year by stream and layer: settled entries after, less those before, over `years` of record.

    Wear is left out: over the years it is replacement, and the pro forma buys that itself.
    """
    out: dict[tuple[str, int, str], float] = {}
    for ledger, sign in ((after, 1.0), (before, -1.0)):
        for e in ledger or ():
            if e.item.split("/")[0] != "wear":
                key = (e.stream, e.layer, e.certainty)
                out[key] = out.get(key, 0.0) + sign * e.usd / years
    return tuple(Value(s, layer, usd, c) for (s, layer, c), usd in out.items())
