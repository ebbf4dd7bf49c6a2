"""What a person writes about a site: meters, tariffs, facts, assets, options, economics, a claim.

`SiteFile` is the one definition of the site file: its JSON schema feeds docs and forms. Dates are local
to the site; paths are relative to the file. `site.files.load` turns it into a `Site`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..finance.finance import Finance
from ..forecast.scenarios import Futures
from .contract import Contract


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)


class TariffUse(_Part):
    """A version of a tariff in force: `tariff` is a shipped name or a path; [from_date, until_date)."""

    tariff: str
    from_date: date | None = None
    until_date: date | None = None

    @model_validator(mode="after")
    def _ordered(self) -> TariffUse:
        if self.from_date and self.until_date and self.until_date <= self.from_date:
            raise ValueError(f"until_date {self.until_date} is not after from_date {self.from_date}")
        return self


class Facts(_Part):
    """What a bill needs beyond the meter. Lists may be written here or named as a CSV file.

    power_factor_frac: average power factor where kvar is not metered. cpp_events: days or start times of
    critical-peak events, or a file of them. coincident_hours: start times of the hours in which the system
    peaked. prices: CSV of start time and USD/kWh, or the name of one of the site's series. holidays: the utility's
    days, replacing the tariff's.
    """

    power_factor_frac: float | None = Field(default=None, gt=0, le=1)
    cpp_events: str | tuple[date | datetime, ...] | None = None
    coincident_hours: str | tuple[datetime, ...] | None = None
    prices: str | None = None
    holidays: str | tuple[date, ...] | None = None


class PastMonth(_Part):
    """Billed demand of a cycle before the data, for ratchets: the cycle that contains `month` (YYYY-MM)."""

    month: str = Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")
    peak_kw: float = Field(ge=0)


class BilledTotal(_Part):
    """What the utility charged or metered over [from_date, until_date): decides doubtful readings."""

    from_date: date
    until_date: date
    energy_kwh: float | None = Field(default=None, ge=0)
    peak_kw: float | None = Field(default=None, ge=0)
    usd: float | None = None


class Interconnection(_Part):
    """What the utility lets through the meter. No export unless allowed."""

    export_allowed: bool = False
    export_limit_kw: float | None = Field(default=None, ge=0)
    import_limit_kw: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> Interconnection:
        if self.export_limit_kw and not self.export_allowed:
            raise ValueError(f"export_limit_kw = {self.export_limit_kw:g} but export_allowed = false")
        return self


class MeterFile(_Part):
    """One meter. data: meter file, or the name of a shipped load model. read: reader options, overriding
    the guessed mapping. tariffs: the versions in force, none only for an audit. read_dates: meter read
    dates or a CSV of them, else calendar months. override: why data that the audit disqualifies are to be
    used all the same. readings: net = what the utility's meter reads, in which existing assets are contained; load =
    what the site draws without them (a sub-meter's readings, a load model), from which existing assets come off.
    """

    name: str = "main"
    data: str
    readings: Literal["net", "load"] = "net"
    tariffs: tuple[TariffUse, ...] = ()
    usage_point: str | None = None
    read: dict[str, Any] = Field(default_factory=dict)
    billed: tuple[BilledTotal, ...] = ()
    facts: Facts = Facts()
    read_dates: str | tuple[date, ...] | None = None
    history: tuple[PastMonth, ...] = ()
    interconnection: Interconnection = Interconnection()
    override: str | None = None

    @model_validator(mode="after")
    def _of_one_meter(self) -> MeterFile:
        if self.readings == "load" and self.billed:
            raise ValueError(
                "billed: the utility bills its own meter, these readings are the load alone; leave the totals out, or "
                'give that meter\'s readings and readings = "net"'
            )
        return self


class SeriesFile(_Part):
    """A named series of the site's world beyond its meters: a price, a temperature, an emission rate.

    file: CSV of start time and value, each valid until the next; or value: one number, shaped by `month_frac` (12
    factors) and `hour_frac` (24 factors of the local hour). lead_h: how long before its interval a value is public
    (None = for all time). verified: whether the source was checked; shown wherever the series is used.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    file: str | None = None
    value: float | None = None
    month_frac: tuple[float, ...] | None = Field(default=None, min_length=12, max_length=12)
    hour_frac: tuple[float, ...] | None = Field(default=None, min_length=24, max_length=24)
    unit: str
    lead_h: float | None = 24.0
    source: str = ""
    verified: bool = False

    @model_validator(mode="after")
    def _one_of(self) -> SeriesFile:
        if (self.file is None) == (self.value is None):
            raise ValueError("give either file or value")
        if self.file is not None and (self.month_frac or self.hour_frac):
            raise ValueError("month_frac and hour_frac shape a value, not a file")
        return self


class SizeOptions(_Part):
    """The grid of `study --sizes`: every power with every energy. Empty lists = 25 sizes around the
    present battery, 0.25 to 2 times its power and energy. realised: also run the policy at each size."""

    power_kw: tuple[float, ...] = ()
    energy_kwh: tuple[float, ...] = ()
    realised: bool = False


class Setpoints(_Part):
    """How often the plant's controllers may be told something new. deadband_kw: a smaller wish is not passed on;
    min_dwell_h: a setpoint stands at least so long; max_changes_per_day: of each asset, in a local day;
    change_cost_usd: of one, to the owner (contactors, compressors, staff). Limits of safety are not held up by any
    of them."""

    deadband_kw: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    min_dwell_h: float = Field(default=0.0, ge=0, le=24)
    max_changes_per_day: int | None = Field(default=None, ge=1)
    change_cost_usd: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    @property
    def free(self) -> bool:
        """Whether nothing is limited and nothing costs."""
        return self == Setpoints()


class StudyOptions(_Part):
    """policy: who decides in the realised case, with its options. wear_rounds: at most so many rounds to
    the fixed point of wear price. first_date, until_date: part of the data to study. telemetry: the policy
    sees the mean load of the running interval, as metering every minute or faster gives it; false = only of
    the interval before. time_limit_s: of solving, shared by the bound and every set of layers; where it ends, the best
    plans so far stand, each with the gap that it reached. changes_per_day: the realised case is run again under each
    of these limits of setpoint changes, to say what a limit costs."""

    policy: str = "dynamic"
    policy_options: dict[str, Any] = Field(default_factory=dict)
    telemetry: bool = True
    wear_rounds: int = Field(default=4, ge=0, le=20)
    first_date: date | None = None
    until_date: date | None = None
    time_limit_s: float = Field(default=600.0, gt=0)
    changes_per_day: tuple[Annotated[int, Field(ge=1)], ...] = ()
    sizes: SizeOptions = SizeOptions()


class SimulateOptions(_Part):
    """What a simulation does. policies: by kind, or B for `dynamic`; policy_options: by policy. futures: what differs
    between years; seed: of the futures; chunk: futures a worker takes at once; foresight: the first so many futures
    are also solved with the future known, where no engine or process makes that slow."""

    policies: tuple[str, ...] = ("do_nothing", "threshold", "dynamic")
    policy_options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    scenarios: int = Field(default=1000, ge=1)
    seed: int = Field(default=0, ge=0)
    chunk: int = Field(default=25, ge=1, le=1000)
    foresight: int = Field(default=3, ge=0)
    futures: Futures = Futures()


class Economics(_Part):
    """capex_usd after incentives; om_usd_per_y; life_y. capex_usd_per_kw, capex_usd_per_kwh: for sizes."""

    capex_usd: float | None = Field(default=None, ge=0)
    om_usd_per_y: float = Field(default=0.0, ge=0)
    life_y: float | None = Field(default=None, gt=0)
    capex_usd_per_kw: float | None = Field(default=None, ge=0)
    capex_usd_per_kwh: float | None = Field(default=None, ge=0)
    source: str = ""


Claimed = Literal[
    "saving_usd_per_y",
    "peak_cut_frac",
    "grid_services_usd_per_y",
    "payback_y",
    "outage_usd",
    "premium_frac",
    "resilience_npv_usd",
    "conflict_frac",
]


class Claim(_Part):
    """What somebody says the site would do, to be set beside what is found, under the rules of then and of now.

    saving_usd_per_y: of the bill; peak_cut_frac: of the monthly peak, mean of months. grid_services_usd_per_y: what
    layer 3 adds, net of what it costs the bill, of wear and of fuel. payback_y: of the capital in [finance], by all
    layers. outage_usd: what an outage of outage_h hours costs where nothing carries the load. premium_frac: what
    certificates delivered hour by hour earn above plain ones. also: what the claim is about without giving a number;
    it is measured all the same. resilience_npv_usd is the NPV of layer 2 alone, conflict_frac the share of what the
    layers promise alone that they lose together."""

    text: str
    source: str
    saving_usd_per_y: float | None = None
    peak_cut_frac: float | None = Field(default=None, ge=0, le=1)
    grid_services_usd_per_y: float | None = None
    payback_y: float | None = Field(default=None, gt=0)
    outage_usd: float | None = Field(default=None, ge=0)
    outage_h: float | None = Field(default=None, gt=0)
    premium_frac: float | None = Field(default=None, ge=0)
    also: tuple[Claimed, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Claim:
        if (self.outage_usd is None and "outage_usd" not in self.also) != (self.outage_h is None):
            raise ValueError(
                "outage_h goes with outage_usd: give how long the outage lasts whose cost is claimed"
            )
        if given := [k for k in self.also if getattr(self, k, None) is not None]:
            raise ValueError(f"also: {', '.join(given)} has a number of its own; leave it out of also")
        return self


class SiteFile(_Part):
    """A site as written. assets, streams: tables with `kind` (a file in that room), `name`, `meter`.
    series: what its streams and assets read by name. as_of: the day whose market rules and prices hold; default
    the last day of the data. then: the day of the claim's story, whose rules are run beside those of as_of. iso, state,
    utility: where it stands ('PJM', 'VA', 'Dominion'); a programme of elsewhere is refused. contracts: who shares in
    what its streams earn, and on which terms. setpoints: how often controllers may be told something new.
    finance: the pro forma, where one is wanted beyond `economics`.
    """

    name: str
    what: str = ""
    tz: str
    as_of: date | None = None
    then: date | None = None
    iso: str | None = None
    state: str | None = None
    utility: str | None = None
    meters: tuple[MeterFile, ...] = Field(min_length=1)
    series: tuple[SeriesFile, ...] = ()
    assets: tuple[dict[str, Any], ...] = ()
    streams: tuple[dict[str, Any], ...] = ()
    contracts: tuple[Contract, ...] = ()
    setpoints: Setpoints = Setpoints()
    study: StudyOptions = StudyOptions()
    simulate: SimulateOptions = SimulateOptions()
    finance: Finance | None = None
    economics: Economics = Economics()
    claim: Claim | None = None


@dataclass(frozen=True, slots=True, eq=False)
class NamedSeries:
    """A series of the site with its file read: rows of (start, value), None where it is one shaped number."""

    written: SeriesFile
    rows: Sequence[tuple[datetime, float]] | None = None


@dataclass(frozen=True, slots=True)
class TariffVersion:
    """A loaded tariff and the days it is in force: [from_date, until_date), None = open."""

    tariff: Any
    from_date: date | None
    until_date: date | None
    name: str
    path: Path | None


@dataclass(frozen=True, slots=True, eq=False)
class SiteMeter:
    """A meter with its files read. facts: by name, as `Facts` lists them, files resolved; cycles: read dates
    or None; existing: names of the assets that the meter's readings already contain; streams: reasons beyond
    the tariff, as written (a study binds them to their place)."""

    written: MeterFile
    data: Path
    tariffs: tuple[TariffVersion, ...]
    facts: Mapping[str, Any]
    cycles: tuple[date, ...] | None
    assets: tuple[Any, ...]
    existing: frozenset[str] = frozenset()
    streams: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """The meter's name."""
        return self.written.name

    @property
    def export_limit_kw(self) -> float:
        """What the utility takes from this meter [kW]; 0 = no export, inf = no limit."""
        w = self.written.interconnection
        if not w.export_allowed:
            return 0.0
        return inf if w.export_limit_kw is None else w.export_limit_kw

    @property
    def import_limit_kw(self) -> float:
        """What the service carries [kW]; inf = no limit."""
        limit = self.written.interconnection.import_limit_kw
        return inf if limit is None else limit


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A site ready to be studied. path: where it was written, None if given as a mapping; files: every
    file that the site stands on, for the question whether a result is stale; series: by name, files read."""

    written: SiteFile
    path: Path | None
    meters: tuple[SiteMeter, ...]
    files: tuple[Path, ...]
    series: Mapping[str, NamedSeries] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The site's name."""
        return self.written.name

    @property
    def tz(self) -> str:
        """IANA zone of the site."""
        return self.written.tz

    def meter(self, name: str) -> SiteMeter:
        """The meter called `name`."""
        return next(m for m in self.meters if m.name == name)

    def to_dict(self) -> Mapping[str, Any]:
        """The site as written, with every default, as plain values."""
        out: dict[str, Any] = self.written.model_dump(mode="json")
        return out
