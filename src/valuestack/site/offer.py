"""An offer: contracts that somebody proposes for a site, what they bring, and who is paid what beside them.

One TOML file an offer. What it says of shares, floors, dispatch, override, wear, term and exit is a `Contract`
(see contract.py); here stand its name, who offers it, its fees, who commands under it, who finances it, and streams
that the site cannot have without it.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import InputError
from .contract import Contract
from .site import SeriesFile, Site, SiteFile


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)


class Fees(_Part):
    """What the owner pays whoever offers it: once at sign-up, a year, and a year for each kW of the asset."""

    sign_up_usd: float = Field(default=0.0, ge=0)
    usd_per_y: float = Field(default=0.0, ge=0)
    usd_per_kw_y: float = Field(default=0.0, ge=0)


class Financier(_Part):
    """Who finances the asset and is paid from it: a share of what the market pays the owner, and a fixed sum."""

    name: str = "financier"
    revenue_frac: float = Field(default=0.0, ge=0, le=1)
    usd_per_y: float = Field(default=0.0, ge=0)


class Offer(_Part):
    """One offer. name: how it is called in a list; who: who makes it, the counterparty of its contracts unless they
    name another. dispatcher: who commands under it; both are shown, this one is ranked. contracts: at least one.
    streams, series: as in a site file, for what the site cannot have without the offer. source, verified: the paper
    that it stands in, and whether it was checked.
    """

    name: str = Field(min_length=1)
    who: str = Field(default="aggregator", min_length=1)
    what: str = ""
    dispatcher: Literal["aggregator", "owner"] = "aggregator"
    fees: Fees = Fees()
    financier: Financier | None = None
    contracts: tuple[Contract, ...] = Field(min_length=1)
    streams: tuple[dict[str, Any], ...] = ()
    series: tuple[SeriesFile, ...] = ()
    source: str = ""
    verified: bool = False

    @property
    def covered(self) -> tuple[str, ...]:
        """Names of the streams that its contracts speak of."""
        return tuple(dict.fromkeys(s for c in self.contracts for s in c.streams))

    @property
    def share_frac(self) -> float:
        """The least share of revenue that any of its contracts leaves the owner."""
        return min(c.revenue.owner_frac for c in self.contracts)

    @property
    def years(self) -> float:
        """Length of its longest contract, 1 where none states a term."""
        return max((c.term.years for c in self.contracts if c.term is not None), default=1.0)

    def exit_usd(self) -> tuple[float, ...]:
        """Cost to leave in each year of the term, all contracts together."""
        years = max((int(-(-c.term.years // 1)) for c in self.contracts if c.term is not None), default=0)
        return tuple(
            sum(c.term.exit_cost_usd(y) for c in self.contracts if c.term is not None)
            for y in range(1, years + 1)
        )


def load_offer(written: str | Path | Mapping[str, Any]) -> Offer:
    """An offer from a TOML file, by the name of a shipped example, or from a mapping of the same shape.

    Errors: InputError that lists every problem with its key.
    """
    from .files import explain

    where, values = ("offer", dict(written)) if isinstance(written, Mapping) else _read(Path(written))
    try:
        made = Offer.model_validate(values)
    except ValidationError as e:
        raise InputError.collect(where, explain(e, Offer)) from e
    own = tuple(
        c if "counterparty" in c.model_fields_set else c.model_copy(update={"counterparty": made.who})
        for c in made.contracts
    )
    return made.model_copy(update={"contracts": own})


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    from .files import shipped

    if not path.is_file():
        examples = shipped("offers", ".toml")
        if str(path) not in examples:
            near = difflib.get_close_matches(str(path), examples, n=2, cutoff=0.5)
            hint = (
                f"did you mean the example {near[0]!r}?"
                if near
                else f"shipped examples: {', '.join(examples)}"
            )
            raise InputError(f"{path}: no such offer; {hint}")
        path = examples[str(path)]
    try:
        return str(path), tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as e:
        raise InputError(f"{path}: cannot be read ({e.strerror}); check the path and its permissions") from e
    except UnicodeDecodeError as e:
        raise InputError(f"{path}: is not UTF-8 text ({e.reason} at byte {e.start}); save it as UTF-8") from e
    except tomllib.TOMLDecodeError as e:
        raise InputError(f"{path}: is not valid TOML: {e}; see docs/how-to/compare-offers.md") from e


def with_offers(site: Site, offers: Sequence[Offer]) -> Site:
    """The site with every stream and series that the offers bring, read as if its file held them.

    Errors: InputError with every problem of every offer: streams or assets that are not there, a stream that an offer
    brings and the site or another offer names otherwise, two offers of one name.
    """
    from .files import load_values

    file = site.written
    problems: list[str] = []
    streams = [dict(s) for s in file.streams]
    series = list(file.series)
    known = {str(s.get("name", s.get("kind"))): s for s in streams}
    for o in offers:
        for s in o.streams:
            name = str(s.get("name", s.get("kind")))
            if name in known and known[name] != s:
                problems.append(
                    f"{o.name}: streams: {name!r} is another stream already; give it its own name"
                )
            elif name not in known:
                known[name] = s
                streams.append(dict(s))
        for one in o.series:
            held = next((x for x in series if x.name == one.name), None)
            if held is not None and held != one:
                problems.append(
                    f"{o.name}: series: {one.name!r} is another series already; give it its own name"
                )
            elif held is None:
                series.append(one)
    names = [o.name for o in offers]
    problems += [
        f"offers: {n!r} is the name of {names.count(n)} offers; give each its own"
        for n in sorted({n for n in names if names.count(n) > 1})
    ]
    problems += _unmet(file, offers, known)
    if problems:
        raise InputError.collect(f"offers for {site.name}", problems)
    covered = {s for o in offers for s in o.covered}
    values = file.model_dump(mode="python", exclude_unset=True)
    values["streams"] = streams
    values["series"] = [s.model_dump(mode="python", exclude_unset=True) for s in series]
    # A contract of the site over a stream that is on offer is what the offers would replace.
    values["contracts"] = [
        c.model_dump(mode="python", exclude_unset=True)
        for c in file.contracts
        if not covered & set(c.streams)
    ]
    return load_values(values, site)


def _unmet(file: SiteFile, offers: Sequence[Offer], streams: Mapping[str, Any]) -> list[str]:
    """Streams and assets that contracts name and nobody has."""
    out = []
    assets = [str(a.get("name", a.get("kind"))) for a in file.assets]
    for o in offers:
        for c in o.contracts:
            for s in c.streams:
                if s not in streams:
                    near = difflib.get_close_matches(s, streams, n=1, cutoff=0.5)
                    hint = (
                        f"did you mean {near[0]!r}?" if near else f"there are {', '.join(streams) or 'none'}"
                    )
                    out.append(
                        f"{o.name}: contract {c.name}: streams names {s!r}, which neither the site nor the offer has; "
                        f"{hint}"
                    )
            if c.asset is not None and c.asset not in assets:
                out.append(
                    f"{o.name}: contract {c.name}: asset = {c.asset!r} is no asset of the site; there are "
                    f"{', '.join(assets) or 'none'}"
                )
            needs = [
                k
                for k in ("max_cycles_per_y", "max_cycles_per_day")
                if getattr(c.dispatch, k) is not None and c.asset is None
            ]
            if needs:
                out.append(
                    f"{o.name}: contract {c.name}: {', '.join(needs)} count cycles of a store; name it: asset"
                )
    return out
