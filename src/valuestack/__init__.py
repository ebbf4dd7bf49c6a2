"""What every electron behind a commercial meter is worth. See `valuestack --help` and docs/.

    import valuestack as vs
    timeline = vs.Timeline(start="2018-01-01T00:00", step_h=0.25, n=35040, tz="America/Los_Angeles")
    tariff = vs.load_tariff("rate.json")
    bill = vs.bill(tariff, timeline, net_kw)        # net_kw > 0 is drawn from the grid
    study = vs.study(vs.load_site("site.toml"))

Names are imported when they are first used, so that `import valuestack` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .dispatch import Record as Record
    from .errors import ConflictError as ConflictError
    from .errors import DataError as DataError
    from .errors import Disqualified as Disqualified
    from .errors import InfeasibleError as InfeasibleError
    from .errors import InputError as InputError
    from .errors import SolverError as SolverError
    from .errors import UnknownKind as UnknownKind
    from .errors import ValuestackError as ValuestackError
    from .finding import Finding as Finding
    from .ledger import Entry as Entry
    from .ledger import Ledger as Ledger
    from .process.audit import audit as audit
    from .process.stacking.study import study as study
    from .report.result import Study as Study
    from .site.files import load as load_site
    from .site.site import Site as Site
    from .sources.source import read_meter as read_meter
    from .streams.retail.bill import Bill as Bill
    from .streams.retail.bill import bill as bill
    from .streams.retail.facts import BillFacts as BillFacts
    from .streams.retail.tariff import Tariff as Tariff
    from .streams.retail.tariff import load_tariff as load_tariff
    from .timeline import Timeline as Timeline

# name -> where it lives, and what it is called there if otherwise
_WHERE: dict[str, tuple[str, str]] = {
    "Bill": ("streams.retail.bill", "Bill"),
    "BillFacts": ("streams.retail.facts", "BillFacts"),
    "ConflictError": ("errors", "ConflictError"),
    "DataError": ("errors", "DataError"),
    "Disqualified": ("errors", "Disqualified"),
    "Entry": ("ledger", "Entry"),
    "Finding": ("finding", "Finding"),
    "InfeasibleError": ("errors", "InfeasibleError"),
    "InputError": ("errors", "InputError"),
    "Ledger": ("ledger", "Ledger"),
    "Record": ("dispatch", "Record"),
    "Site": ("site.site", "Site"),
    "SolverError": ("errors", "SolverError"),
    "Study": ("report.result", "Study"),
    "Tariff": ("streams.retail.tariff", "Tariff"),
    "Timeline": ("timeline", "Timeline"),
    "UnknownKind": ("errors", "UnknownKind"),
    "ValuestackError": ("errors", "ValuestackError"),
    "audit": ("process.audit", "audit"),
    "bill": ("streams.retail.bill", "bill"),
    "load_site": ("site.files", "load"),
    "load_tariff": ("streams.retail.tariff", "load_tariff"),
    "read_meter": ("sources.source", "read_meter"),
    "study": ("process.stacking.study", "study"),
}
__all__ = [
    "Bill",
    "BillFacts",
    "ConflictError",
    "DataError",
    "Disqualified",
    "Entry",
    "Finding",
    "InfeasibleError",
    "InputError",
    "Ledger",
    "Record",
    "Site",
    "SolverError",
    "Study",
    "Tariff",
    "Timeline",
    "UnknownKind",
    "ValuestackError",
    "__version__",
    "audit",
    "bill",
    "load_site",
    "load_tariff",
    "read_meter",
    "study",
]


def __getattr__(name: str) -> Any:
    try:
        module, attribute = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    found = getattr(import_module(f".{module}", __name__), attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
