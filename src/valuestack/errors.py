"""Everything that can go wrong, in one tree.

    ValuestackError
      InputError          something a person wrote is wrong: a file, a key, an option
        UnknownKind       a `kind` or a name that no room holds; says what is near
      DataError           measured data cannot carry the answer that was asked
        Disqualified      the data audit refuses the data (overridable)
      ConflictError       two or more owners ask for what cannot both be had
      InfeasibleError     no plan exists; names the owners of the limits in the way
      SolverError         a solver stopped without an answer
      DriverError         a device did not answer or answered nonsense
      StoreError          telemetry could not be kept

Every message says *what* (the value), *where* (file and key, or time) and *what to do*.
Loaders collect all findings first and then raise once: `InputError.collect`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class ValuestackError(Exception):
    """Root of all errors that are raised on purpose. Catch this at the edge."""


class InputError(ValuestackError):
    """Something a person wrote is wrong. One message may carry many problems."""

    def __init__(self, message: str, *, problems: Sequence[str] = ()) -> None:
        self.problems: tuple[str, ...] = tuple(problems) or (message,)
        super().__init__(message)

    @classmethod
    def collect(cls, where: str, problems: Sequence[str]) -> InputError:
        """One error from all `problems` found in `where` (a file or an object)."""
        if len(problems) == 1:
            return cls(f"{where}: {problems[0]}", problems=problems)
        bullets = "\n".join(f"  - {p}" for p in problems)
        return cls(f"{where}: {len(problems)} problems\n{bullets}", problems=problems)


class UnknownKind(InputError):
    """A name that nothing here answers to."""

    def __init__(self, what: str, name: str, known: Iterable[str], *, where: str = "") -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(known)}"
        prefix = f"{where}: " if where else ""
        super().__init__(f"{prefix}no {what} is called {name!r}; {hint}")


class DataError(ValuestackError):
    """Measured data cannot carry the answer that was asked."""


class Disqualified(DataError):
    """The audit refuses the data; the message says which limit and how to override it."""


class ConflictError(ValuestackError):
    """Two or more owners ask for what cannot both be had."""

    def __init__(self, message: str, *, owners: Sequence[str], times: Sequence[str] = ()) -> None:
        self.owners = tuple(owners)
        self.times = tuple(times)
        super().__init__(message)


class InfeasibleError(ValuestackError):
    """No plan satisfies the limits; `owners` names who set those in the way."""

    def __init__(self, message: str, *, owners: Sequence[str] = ()) -> None:
        self.owners = tuple(owners)
        super().__init__(message)


class SolverError(ValuestackError):
    """A solver stopped without an answer: time limit, numerical trouble, refused option."""


class DriverError(ValuestackError):
    """A device did not answer or answered nonsense."""


class StoreError(ValuestackError):
    """Telemetry could not be kept or found."""
