"""Standing: headroom that streams ask to be kept ready, hour by hour, whatever is called.

A stream says it as a `Claim` of its terms with `fixed_kw` (already awarded, no decision); it states one from the first
interval on, zeros where none stands, and in its own calls, where the headroom is being delivered. Kept ready is what
the store can stand behind: its power, and its energy above the reserve for `sustain_h`. What of it is asked of other
assets is not kept, and said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dispatch import Call, View
from ..flows import Store
from ..terms import Claim
from ..timeline import Kw
from .promises import Promises, short_view


class Standing:
    """Headroom kept ready by one store over a run. streams: whoever may ask. ahead: intervals laid at a time, of which
    `near` are planned with every interval."""

    def __init__(self, streams: Sequence[Any], store: Store, near: int, ahead: int) -> None:
        self._streams, self._store = list(streams), store
        self._near, self._ahead = near, ahead
        self._until, self._events = 0, frozenset[str]()
        self._partly: dict[str, tuple[float, float]] = {}
        self._others: dict[str, tuple[str, ...]] = {}

    def lay(self, view: View, promises: Promises) -> None:
        """Lay what is asked ahead, where time or a new call has changed it."""
        k, n = view.k, view.timeline.n
        events = frozenset(c.key for c in view.calls if not c.claim)
        first = self._until == 0
        if not self._streams or not (first or events != self._events or self._until < min(n, k + self._near)):
            return
        short = short_view(view, self._ahead)
        asking = []
        for s in self._streams:
            claims = [t for t in s.terms(short) if isinstance(t, Claim) and t.fixed_kw is not None]
            asking += [s] if claims else []
            for t in claims:
                self._stand(t, k, short.n, promises)
        self._streams = asking if first else self._streams
        self._until, self._events = k + short.n, events

    @property
    def asks(self) -> bool:
        """Whether any stream asks for headroom, as far as is known."""
        return bool(self._streams)

    def _stand(self, t: Claim, k: int, n: int, promises: Promises) -> None:
        name, store = f"{t.owner}/{t.name}", self._store
        if store.name not in t.eligible:
            self._others[name] = t.eligible
            return
        asked = np.array(np.broadcast_to(np.asarray(t.fixed_kw, dtype=float), n))
        kept = np.minimum(asked, self._most_kw(t, k, n, promises))
        if np.any(kept < asked - 1e-9):
            i = int(np.argmax(asked - kept))
            self._partly.setdefault(name, (float(asked[i]), float(kept[i])))
        c = Call(
            t.owner, t.name, k, n, known=k, answer=k, direction=t.direction, claim=name, assets=(store.name,),
            sustain_h=t.sustain_h, may_share=t.may_share,
        )  # fmt: skip
        promises.stand(c, k, kept)

    def _most_kw(self, t: Claim, k: int, n: int, promises: Promises) -> Kw:
        """What the store can stand behind in each of n intervals from k on."""
        s, here = self._store, slice(k, k + n)
        most = np.full(n, np.inf)
        floor = promises.floor_kwh[k : k + n + 1]
        room = s.energy_max_kwh[here] - s.energy_min_kwh[here] - np.maximum(floor[:-1], floor[1:])
        for side, power, per in (
            ("down", s.discharge_max_kw, s.discharge_efficiency_frac),
            ("up", s.charge_max_kw, 1 / s.charge_efficiency_frac),
        ):
            if t.direction != side:
                most = np.minimum(most, power[here])
                if t.sustain_h > 0:
                    most = np.minimum(most, np.maximum(room, 0.0) * per / t.sustain_h)
        return np.asarray(most)

    def sentences(self) -> list[str]:
        """What of it is not kept, for a person."""
        out = [
            f"{name}: {kw:,.0f} kW are to be kept ready, and {self._store.name} can stand behind {can:,.0f} kW"
            for name, (kw, can) in self._partly.items()
        ]
        what = self._store.name or "no store"
        return out + [
            f"{name}: headroom of {', '.join(names)} is to be kept ready; this method keeps that of {what} alone"
            for name, names in self._others.items()
        ]
