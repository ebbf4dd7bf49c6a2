"""The meter, and what any Measure is as an expression of the decisions.

Import and export are not columns where no export is possible: then import is the net load itself. Where
export may happen and some term tells the two apart,

    export = max(-net, 0),   import = net + export

takes one column and one row an interval, and a binary only where doing both at once would pay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError
from ..solve.problem import Affine, Floats, Mask, Problem
from ..terms import Measure
from ..timeline import Timeline
from .offers import Part, zero
from .polygon import Disc

COUNTS = ("start", "fuel_gal")  # per interval already; every other flow is integrated over the hours


@dataclass(slots=True, eq=False)
class Meter:
    """Net load of the site and the flows of its assets over one horizon."""

    problem: Problem
    horizon: Timeline
    parts: Mapping[str, Part]
    net: Affine
    kvar: Affine
    export_cap_kw: Floats
    exposure: Affine
    export: Affine | None = None
    kva_columns: dict[str, Affine] = field(default_factory=dict)
    discs: list[Disc] = field(default_factory=list)

    @property
    def n(self) -> int:
        return self.horizon.n

    @property
    def imports(self) -> Affine:
        """max(net, 0)."""
        return self.net if self.export is None else self.net + self.export

    @property
    def exports(self) -> Affine:
        """max(-net, 0)."""
        return zero(self.n) if self.export is None else self.export

    def can_export(self) -> Mask:
        """Intervals in which net load may turn negative."""
        low, _ = self.problem.reach(self.net)
        return np.asarray((low < -1e-9) & (self.export_cap_kw > 0), dtype=np.bool_)

    def split(self, excluded: Mask) -> None:
        """Columns for export. excluded: (n,) True where import and export at once would pay."""
        low, high = self.problem.reach(self.net)
        may = self.can_export()
        always = may & (high <= 0)  # never imports: export is the net load itself
        self.export = self.net.times(np.where(always, -1.0, 0.0))
        where = np.flatnonzero(may & ~always)
        if not where.size:
            return
        out = self.problem.add_columns(
            "meter.export",
            where.size,
            owner="meter",
            upper=np.minimum(-low[where], self.export_cap_kw[where]),
        )
        self.export = self.export + Affine.of(out).gather(where, self.n)
        self.problem.add_rows("meter.import", self.imports.take(where), owner="meter", lower=0.0)
        both = where[excluded[where]]
        if both.size:
            way = Affine.of(
                self.problem.add_columns("meter.exports", both.size, owner="meter", upper=1.0, integer=True)
            )
            cap = np.minimum(-low[both], self.export_cap_kw[both])
            self.problem.add_rows(
                "meter.export or", self.export.take(both) - way.times(cap), owner="meter", upper=0.0
            )
            self.problem.add_rows(
                "meter.import or",
                self.imports.take(both) + way.times(high[both]),
                owner="meter",
                upper=high[both],
            )

    def flow(self, measure: Measure, where: str, *, peak: bool = False) -> Affine:
        """The measure in each interval [kW, kvar, kWh stored, ...]. peak: as a billed maximum sees it, with
        the exposure of claims, and with net load standing for import or export (maxima are >= 0)."""
        base = self._asset(measure, where) if measure.asset is not None else self._site(measure, where, peak)
        if measure.reference_kw is None and measure.own is None:
            return base
        reference = np.zeros(self.n) if measure.reference_kw is None else measure.reference_kw
        if reference.shape != (self.n,):
            raise InputError(
                f"{where}: reference_kw has shape {reference.shape}; the horizon needs ({self.n},)"
            )
        out = base.times(-1.0).plus(reference)
        if measure.own is not None:
            w = measure.own
            out = out + self.net.mixed(w.row, w.col, w.weight, self.n)
        return out

    def _site(self, measure: Measure, where: str, peak: bool) -> Affine:
        flow = measure.flow
        simple = peak and measure.reference_kw is None and measure.own is None
        if flow == "net" or (flow == "import" and simple):
            return self.net + self.exposure if peak else self.net
        if flow == "import":
            return self.imports
        if flow == "export":
            return self.net.times(-1.0) if simple else self.exports
        if flow == "kvar":
            return self.kvar
        if flow == "kva":
            return self._kva(peak)
        parts = [getattr(p, flow) for p in self.parts.values() if getattr(p, flow) is not None]
        if not parts:
            raise InputError(f"{where}: nothing behind the meter has a flow {flow!r}")
        total = zero(self.n)
        for part in parts:
            total = total + part
        return total

    def _kva(self, peak: bool) -> Affine:
        """A column above sqrt(net^2 + kvar^2), held up by the sides of a polygon."""
        net = self.net + self.exposure if peak else self.net
        key = "meter.kva exposed" if peak and not self.exposure.fixed else "meter.kva"
        if key not in self.kva_columns:
            bounds = [self.problem.reach(e) for e in (net, self.kvar)]
            least = np.hypot(
                *(np.where((lo <= 0) & (hi >= 0), 0.0, np.minimum(abs(lo), abs(hi))) for lo, hi in bounds)
            )
            most = np.hypot(*(np.maximum(abs(lo), abs(hi)) for lo, hi in bounds))
            s = Affine.of(self.problem.add_columns(key, self.n, owner="meter", lower=least, upper=most))
            disc = Disc(key, "meter", net, self.kvar, s)
            disc.add(self.problem)
            self.discs.append(disc)
            self.kva_columns[key] = s
        return self.kva_columns[key]

    def _asset(self, measure: Measure, where: str) -> Affine:
        part = self.parts.get(str(measure.asset))
        if part is None:
            raise InputError(
                f"{where}: measures {measure.asset!r}, which is no asset here; there are "
                f"{', '.join(self.parts) or 'none'}"
            )
        if measure.flow == "import":
            found = part.charge
        elif measure.flow == "export":
            found = part.generation if part.generation is not None else part.discharge
        else:
            found = getattr(part, measure.flow, None)
        if found is None:
            raise InputError(f"{where}: asset {measure.asset!r} has no flow {measure.flow!r}")
        return found

    def hours(self, measure: Measure) -> float:
        """What one interval's value counts for in a sum: its hours, or 1 for counts."""
        return 1.0 if measure.flow in COUNTS else self.horizon.step_h
