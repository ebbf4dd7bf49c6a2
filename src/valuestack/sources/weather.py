"""Weather files in the SAM CSV form (NSRDB PSM3 and kin): two header rows, then hourly or finer rows in local
standard time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..errors import InputError
from ..timeline import Kw

_NAMES = {
    "ghi": ("ghi",),
    "dni": ("dni",),
    "dhi": ("dhi",),
    "temp_c": ("temperature", "temp_air", "tdry", "dry-bulb (c)"),
    "wind_m_s": ("wind speed", "wspd", "wind_speed"),
}


@dataclass(frozen=True, slots=True, eq=False)
class WeatherYear:
    """A year of weather, (n,): global, direct, diffuse irradiance, air temperature, wind; its clock's offset."""

    latitude_deg: float
    longitude_deg: float
    elevation_m: float
    utc_offset_h: float
    step_h: float
    ghi_w_per_m2: Kw
    dni_w_per_m2: Kw
    dhi_w_per_m2: Kw
    temp_c: Kw
    wind_m_s: Kw


class Weather:
    """Reader of SAM CSV weather."""

    kind: ClassVar[str] = "weather"

    def sniff(self, path: str) -> bool:
        """Whether the head names a latitude and irradiance."""
        with _open(path) as f:
            head = [f.readline().lower() for _ in range(3)]
        return "latitude" in head[0] and any("ghi" in line or "dni" in line for line in head)

    def fetch(self, path: str, **options: Any) -> WeatherYear:
        """Read it; InputError names every column and header value that is missing."""
        import pandas as pd

        if not Path(path).is_file():
            raise InputError(f"weather: no file {path}; check the path")
        try:
            head = pd.read_csv(path, nrows=1, dtype=str)
            body = pd.read_csv(path, skiprows=2)
        except (ValueError, UnicodeDecodeError, OSError) as e:
            raise InputError(f"{path}: not a SAM CSV weather file ({str(e).splitlines()[0]})") from e
        site = {str(k).strip().lower(): v for k, v in head.iloc[0].items()} if len(head) else {}
        columns = {str(c).strip().lower(): c for c in body.columns}
        problems = [f"header: {k} is missing" for k in ("latitude", "longitude") if k not in site]
        found = {
            name: next((columns[a] for a in aliases if a in columns), None)
            for name, aliases in _NAMES.items()
        }
        problems += [f"column {n} is missing" for n, c in found.items() if c is None and n != "wind_m_s"]
        if len(body) < 8760:
            problems.append(f"{len(body)} rows; a year has at least 8,760")
        if problems:
            raise InputError.collect(path, problems)

        def column(name: str) -> Kw:
            if found[name] is None:
                return np.full(len(body), 1.0)
            return np.asarray(
                np.nan_to_num(pd.to_numeric(body[found[name]], errors="coerce").to_numpy(dtype=float))
            )

        offset = float(site.get("time zone", site.get("timezone", site.get("local time zone", 0))) or 0)
        return WeatherYear(
            float(site["latitude"]),
            float(site["longitude"]),
            float(site.get("elevation") or 0.0),
            offset,
            8760 / len(body) if len(body) % 8760 == 0 else 8784 / len(body),
            column("ghi"),
            column("dni"),
            column("dhi"),
            column("temp_c"),
            column("wind_m_s"),
        )


def plane_of_array(year: WeatherYear, tilt_deg: float, azimuth_deg: float) -> tuple[Kw, Kw]:
    """Irradiance that reaches the cells of a tilted plane [W/m2] and cell temperature [C], (n,), mid-interval.

    Perez transposition, what the cover glass lets through (physical model; Marion 2017 for diffuse light) and the
    Faiman cell temperature, by pvlib (pvlib.readthedocs.io). ImportError without it.
    """
    import pandas as pd
    import pvlib

    minutes = (np.arange(year.ghi_w_per_m2.size) + 0.5) * year.step_h * 60
    # Any year without 29 February does: the sun's path differs by minutes only.
    begin = pd.Timestamp("2018-01-01", tz=timezone(timedelta(hours=year.utc_offset_h)))
    times = begin + pd.to_timedelta(minutes, unit="min")
    sun = pvlib.solarposition.get_solarposition(
        times, year.latitude_deg, year.longitude_deg, altitude=year.elevation_m
    )
    plane = pvlib.irradiance.get_total_irradiance(
        tilt_deg,
        azimuth_deg,
        sun["apparent_zenith"],
        sun["azimuth"],
        year.dni_w_per_m2,
        year.ghi_w_per_m2,
        year.dhi_w_per_m2,
        dni_extra=pvlib.irradiance.get_extra_radiation(times),
        airmass=pvlib.atmosphere.get_relative_airmass(sun["apparent_zenith"]),
        model="perez",
    )
    incidence = pvlib.irradiance.aoi(tilt_deg, azimuth_deg, sun["apparent_zenith"], sun["azimuth"])
    sky = pvlib.iam.marion_diffuse("physical", tilt_deg)
    through = (
        plane["poa_direct"] * pvlib.iam.physical(incidence)
        + plane["poa_sky_diffuse"] * sky["sky"]
        + plane["poa_ground_diffuse"] * np.nan_to_num(sky["ground"])
    )
    poa = through.fillna(0.0).to_numpy(dtype=float)
    return poa, np.asarray(pvlib.temperature.faiman(poa, year.temp_c, year.wind_m_s), dtype=float)


def _open(path: str) -> Any:
    import gzip

    return (
        gzip.open(path, "rt", encoding="utf-8", errors="replace")
        if path.endswith(".gz")
        else Path(path).open(encoding="utf-8", errors="replace")
    )
