"""What an asset offers to the optimiser, and what it can do in an outage.

Kernels and compilers accept an asset by the shape of its offer and never ask for its kind:

    Given    power that happens (PV, a fixed process), perhaps curtailable
    Store    energy that can wait (a battery, a cold store)
    Unit     something that runs or does not (a generator, a compressor batch)
    Custom   writes its own rows; general solver only

All series have shape (n,) over the horizon; energies at interval boundaries have shape (n + 1,).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from .timeline import Ints, Kw

if TYPE_CHECKING:
    from .solve.problem import Affine, Problem


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """Power that happens: net_kw (n,), load sign, so generation is negative.

    curtailable: generation may be cut at curtail_usd_per_kwh. rating_kva: apparent power of its
    inverter, None = gives no vars. kvar: reactive power drawn (n,), load sign.
    """

    name: str
    net_kw: Kw
    curtailable: bool = False
    curtail_usd_per_kwh: float = 0.0
    kvar: Kw | None = None
    rating_kva: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Store:
    """Energy that can wait.

    charge_max_kw, discharge_max_kw: (n,) at the meter side. energy_min_kwh, energy_max_kwh: (n + 1,).
    energy_start_kwh; energy_end_min_kwh: least energy at the end of the horizon; end_value_usd_per_kwh:
    worth of what is left. charge_efficiency_frac, discharge_efficiency_frac: one way.
    loss_frac_per_h: share of the stored energy lost an hour, (1 - loss)^h over h hours. drain_kw: (n,)
    constant loss from the store (heat leak, idle draw served by the store); aux_kw: (n,) drawn at the meter
    whether used or not.
    wear_usd_per_kwh: price of wear per kWh discharged at the meter. wear_segments: ((width_frac,
    usd_per_kwh), ...) cycle-depth segments in ascending price, replacing wear_usd_per_kwh where given
    (parallel stores; Xu et al. 2018, arXiv 1707.04567). loss_pieces: ((upto_kw, extra_loss_kw_per_kw),
    ...) convex extra loss by power. inverter_kva: apparent power limit, None = gives no vars.
    exclusive: charging and discharging at once is physically impossible and must be excluded.
    """

    name: str
    charge_max_kw: Kw
    discharge_max_kw: Kw
    energy_min_kwh: Kw
    energy_max_kwh: Kw
    energy_start_kwh: float
    charge_efficiency_frac: float = 1.0
    discharge_efficiency_frac: float = 1.0
    energy_end_min_kwh: float = -inf
    end_value_usd_per_kwh: float = 0.0
    loss_frac_per_h: float = 0.0
    drain_kw: Kw | None = None
    aux_kw: Kw | None = None
    wear_usd_per_kwh: float = 0.0
    wear_segments: tuple[tuple[float, float], ...] = ()
    loss_pieces: tuple[tuple[float, float], ...] = ()
    inverter_kva: float | None = None
    exclusive: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """Something that runs or does not.

    min_kw, max_kw: (n,) output when running (generation, >= 0; a load when `sign` is +1).
    start_usd, usd_per_h: cost of a start and of an hour of running. fuel_pieces: ((upto_kw, gal_per_kwh),
    ...) marginal, ascending; fuel_idle_gal_per_h at zero output; fuel_usd_per_gal. min_up_h, min_down_h.
    ramp_kw_per_h. running: on before the horizon; hours_in_state: for how long. available: (n,) 0 or 1.
    tank_gal: usable, full; tank_start_gal: what is in it; keep_gal: what must stay. refuel_window: (n,) rising from 0,
    the number of trucks that have come; each fills in up to refuel_gal. set_aside_gal: (windows,) used otherwise.
    """

    name: str
    min_kw: Kw
    max_kw: Kw
    sign: int = -1
    start_usd: float = 0.0
    usd_per_h: float = 0.0
    fuel_pieces: tuple[tuple[float, float], ...] = ((inf, 0.0),)
    fuel_idle_gal_per_h: float = 0.0
    fuel_usd_per_gal: float = 0.0
    min_up_h: float = 0.0
    min_down_h: float = 0.0
    ramp_kw_per_h: float = inf
    running: bool = False
    hours_in_state: float = inf
    available: Kw | None = None
    tank_gal: float = inf
    tank_start_gal: float = inf
    keep_gal: float = 0.0
    refuel_window: Ints | None = None
    refuel_gal: float = 0.0
    set_aside_gal: Kw | None = None


@dataclass(frozen=True, slots=True)
class Custom:
    """An asset that writes its own rows. `formulate(problem, step_h)` adds columns and rows and returns
    the column numbers (n,) of its net power [kW, load sign], which are its setpoints too, or a `Formulated`.
    Only the general solver takes it."""

    name: str
    formulate: Callable[[Problem, float], np.ndarray[Any, Any] | Formulated]


@dataclass(frozen=True, slots=True, eq=False)
class Formulated:
    """What a Custom wrote, where it is more than a column of power: affine expressions over the intervals, (n,).

    net: power at the meter [kW, load sign], its setpoint too. kvar: reactive power drawn. run, start: 0..1 and
    starts, as a Unit's. room_up, room_down: kW by which net load could still fall or rise on call; None = no claim
    may stand on that side. costs: (item, USD in each interval), settled by the asset itself under the same item.
    """

    net: Affine
    kvar: Affine | None = None
    run: Affine | None = None
    start: Affine | None = None
    room_up: Affine | None = None
    room_down: Affine | None = None
    costs: tuple[tuple[str, Affine], ...] = ()


Offer = Given | Store | Unit | Custom


@dataclass(frozen=True, slots=True)
class Backup:
    """What an asset can do for the critical load once the grid is gone.

    kw: power after start_h, of all its units; kwh: energy it holds now (inf for a fuelled unit with fuel left by
    fuel_gal). start_frac: probability of starting when called; mttf_h: mean time to failure running; both of one
    of its `units`, which are alike and share the load. available_frac: of one unit, not down for repair.
    common_cause_frac: share of failures that take all units at once. fuel_pieces, fuel_idle_gal_per_h: of all
    units running together. tank_gal: usable, full. A truck brings refuel_gal every refuel_every_h in an outage.
    """

    name: str
    kw: float
    kwh: float = inf
    start_h: float = 0.0
    fuel_gal: float = inf
    fuel_pieces: tuple[tuple[float, float], ...] = field(default=((inf, 0.0),))
    fuel_idle_gal_per_h: float = 0.0
    start_frac: float = 1.0
    mttf_h: float = inf
    units: int = 1
    available_frac: float = 1.0
    common_cause_frac: float = 0.0
    tank_gal: float = inf
    refuel_every_h: float = inf
    refuel_gal: float = 0.0


@dataclass(frozen=True, slots=True)
class RunLimit:
    """Hours a calendar year that a permit lets an asset run while the grid is present. An asset may offer
    `run_limits()`; a stream states them as limits, because an asset states no terms.

    name: the clause. hours_per_y: of one engine. used_h: counted in the first calendar year before the study
    begins. reason: where the limit is written.
    """

    name: str
    hours_per_y: float
    used_h: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Capability:
    """What an asset can be asked from outside, as a programme checks it. An asset may offer it as
    `capability()`; what it leaves open counts as not stated, never as given.

    protocols: it speaks, by common name in lower case ('openadr_2_0b', 'modbus', 'dnp3'). telemetry_s: how
    often it reports. response_s: from signal to full power. notice_h: warning it needs. max_duration_h: how
    long it can answer one call. paid_dispatch: whether its permit lets a grid programme pay for running it;
    why_not: the clause that forbids it.
    """

    protocols: tuple[str, ...] = ()
    telemetry_s: float | None = None
    response_s: float | None = None
    notice_h: float = 0.0
    max_duration_h: float = inf
    paid_dispatch: bool = True
    why_not: str = ""
