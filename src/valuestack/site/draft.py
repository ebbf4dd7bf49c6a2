"""A first site file: commented TOML for somebody's meter file and tariff, to be read and completed."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..errors import InputError
from ..sources.source import Channel
from ..timeline import zone
from .files import find_tariff, read_table, shipped

_TEXT = """\
# A site for `valuestack study`. Paths are relative to this file; every key is described in
# docs/reference/site-file.md. Lines that begin with '#' are examples to uncomment and set.

name = {name}
tz = {tz}                 # the meter's local clock{tz_note}

[[meters]]
name = "main"
data = {data}             # readings; `valuestack audit` shows how the file is read
{usage}# [meters.read]                            # how to read the file, where the guess is wrong
# unit = "kwh"

[[meters.tariffs]]
tariff = {tariff}         # `valuestack tariff list` names the shipped ones
# from_date = 2025-01-01                   # several versions: one table each, with the days in force
# until_date = 2026-01-01

# [[meters.billed]]                        # what the utility billed: decides doubtful readings
# from_date = 2025-06-03
# until_date = 2025-07-02
# energy_kwh = 412345
# peak_kw = 1480
# usd = 71234.56

# [[meters.history]]                       # billed demand before the data begin, for a ratchet
# month = "2024-12"
# peak_kw = 1510

# [meters.facts]
# power_factor_frac = 0.92                 # where reactive power is not metered
# cpp_events = "events.csv"                # critical-peak events
# coincident_hours = ["2025-07-16T17:00"]  # hours in which the system peaked
# prices = "prices.csv"                    # start time, USD/kWh
# holidays = [2025-01-01, 2025-07-04]

# [meters.interconnection]                 # no export unless allowed
# export_allowed = true
# export_limit_kw = 200

{battery}
# [study]
# policy = "dynamic"
# first_date = 2025-01-01

# [economics]                              # for the simple payback
# capex_usd = 450000
# om_usd_per_y = 6000
# life_y = 15
"""

_BATTERY = """\
[[assets]]                                 # a first guess, not advice: 30 % of the highest reading for 2 h
kind = "battery"
name = "battery"
power_kw = {kw:.0f}
energy_kwh = {kwh:.0f}
"""


def draft(meter: Path, tariff: str, *, tz: str | None, name: str | None, beside: Path) -> str:
    """Text of a site file for `meter` on `tariff`, to be written into the folder `beside`."""
    if not meter.is_file() and str(meter) not in shipped("loads", ".toml"):
        raise InputError(f"{meter}: no such meter file; check the path")
    path = meter if meter.is_file() else shipped("loads", ".toml")[str(meter)]
    found = find_tariff(tariff, Path())
    table = read_table(path, {})
    if tz is None and table.tz is None:
        raise InputError(
            f"{meter}: does not say in which time zone its clock runs; give --tz, "
            "for example --tz America/Chicago"
        )
    chosen = tz or str(table.tz)
    zone(chosen)
    points = list(dict.fromkeys(c.usage_point for c in table.channels if c.flow != "other"))
    usage = ""
    if len(points) > 1:
        listed = ", ".join(points[1:6])
        usage = f"usage_point = {json.dumps(points[0])}   # the file also holds {listed}\n"
    data = _relative(meter, beside) if meter.is_file() else str(meter)
    shown = tariff if tariff in shipped("tariffs") else _relative(found, beside)
    return _TEXT.format(
        name=json.dumps(name or path.stem.split(".")[0]),
        tz=json.dumps(chosen),
        tz_note="" if tz else ", as the file states it",
        data=json.dumps(data),
        usage=usage,
        tariff=json.dumps(shown),
        battery=_BATTERY.format(**_guess(table.channels)),
    )


def _relative(path: Path, beside: Path) -> str:
    return Path(os.path.relpath(path.resolve(), beside.resolve())).as_posix()


def _guess(channels: tuple[Channel, ...]) -> dict[str, float]:
    """Battery of 30 % of the highest mean power of an interval, for two hours; 100 kW where unknown."""
    import numpy as np

    peak_kw = 0.0
    for c in channels:
        value, quantity, label_s = c.value, c.quantity, c.label_s
        if quantity not in ("kw", "kwh") or c.flow not in ("delivered", "net"):
            continue
        steps = np.diff(np.sort(label_s))
        step_h = float(np.median(steps[steps > 0])) / 3600 if (steps > 0).any() else 1.0
        power = value / step_h if quantity == "kwh" else value
        # The 99.9th percentile, so that one faulty reading does not size the battery.
        finite = power[np.isfinite(power)]
        if finite.size:
            peak_kw = max(peak_kw, float(np.percentile(finite, 99.9)))
    kw = max(10.0, round(0.3 * peak_kw, -1)) if peak_kw else 100.0
    return {"kw": kw, "kwh": 2 * kw}
