"""Policy: view in, plan out. Control methods differ only here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, ClassVar, Protocol, runtime_checkable

from ..dispatch import Plan, View
from ..terms import Term
from ..timeline import Kw, Timeline


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """What is public before the first interval: the calendar, the assets, and what the streams ask.

    terms: over the whole timeline (a tariff's schedule is known ahead; its events only as facts).
    import_limit_kw, export_limit_kw: of the interconnection, numbers or (n,). streams: reasons beyond the tariff, for
    policies that answer calls; what they may say ahead is in their terms for a view. simulated: the plant is a twin;
    whoever runs a policy must say so, for some may never be run on anything else.
    """

    timeline: Timeline
    assets: Sequence[Any]
    terms: Sequence[Term]
    import_limit_kw: float | Kw = inf
    export_limit_kw: float | Kw = 0.0
    streams: Sequence[Any] = ()
    floor_kwh: Mapping[str, Kw] = field(default_factory=dict)
    simulated: bool = False


@runtime_checkable
class Policy(Protocol):
    """A way to decide. One file a kind; all scenario lanes at once.

    A policy with `answers = True` is shown the calls of the streams (`View.calls`) and answers in its plans; for all
    others every call goes unanswered. They run one lane at a time, as do those with `moves_all = True`, which plan
    engines and processes beside stores, wherever there are any. One with `windows_kwh(view)` names the
    energies (low, high), (n + 1,) by store, within which it may be obeyed, and the guard is narrowed to them: once
    prepared (view = None), and at every view, where it is empty unless something is new. What one with `remarks()` says
    after a run stands in the run's notes. What headroom one with `standing(k)` keeps ready in interval k, as calls with
    their kW, the desk holds before awards and records.

    One that answers calls may have `stretch(twin, guard, until)`: it carries out intervals from the twin's own on, at
    most up to `until`, in which nobody calls and no award is held, as the loop would, and returns whether it did any.
    """

    kind: ClassVar[str]

    def prepare(self, setting: Setting) -> None:
        """Learn the setting and forget every earlier run; called once before the first interval."""
        ...

    def decide(self, view: View) -> Plan:
        """Setpoints for the interval that begins now, and perhaps a plan beyond."""
        ...
