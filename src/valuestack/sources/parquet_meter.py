"""Parquet tables of meters: columns by name, naive (wall clock) or zoned times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..errors import InputError
from .columns import OPTIONS, Grid, read_grid
from .source import MeterTable, check_options, head_bytes, open_file

OWN: Mapping[str, Any] = {}


class ParquetMeter:
    """Reader of meter tables in Parquet."""

    kind: ClassVar[str] = "parquet_meter"

    def sniff(self, path: str) -> bool:
        """Whether the file bears Parquet's mark."""
        return head_bytes(path, 4) == b"PAR1"

    def fetch(self, path: str, **options: Any) -> MeterTable:
        """The channels of the table. options: those of `columns.OPTIONS`."""
        check_options(path, options, OPTIONS)
        return read_grid(path, read_table(path), options, OWN)


def read_table(path: str) -> Grid:
    """The table as a grid whose first row holds the names of the columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open_file(path):
        pass
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError, ValueError) as e:
        raise InputError(f"{path}: not a whole Parquet file ({e}); write it again") from e
    if table.num_rows == 0 or table.num_columns == 0:
        raise InputError(f"{path}: the table is empty")
    columns = [_cells(table.column(k)) for k in range(table.num_columns)]
    rows: list[Any] = [tuple(map(str, table.column_names)), *zip(*columns, strict=True)]
    return Grid(rows=rows, line=range(len(rows)), facts={"format": "parquet_meter"}, named=True)


def _cells(column: Any) -> list[Any]:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        column = column.cast(pa.timestamp("us", tz=kind.tz), safe=False)
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        return [None] * len(column)
    return list(column.to_pylist())
