"""How a data directory and its encodings are named together in ESPnet's data options."""

from __future__ import annotations

from pathlib import Path

from slm_espnet.errors import UserError

DATA_TYPE = "slm_rows"
SEPARATOR = "::"


def split_path(path: str) -> tuple[Path, Path]:
    """`<data_dir>::<encodings_dir>` → both directories; UserError when it is something else."""
    data_dir, separator, encodings_dir = path.partition(SEPARATOR)
    if not separator or not data_dir or not encodings_dir:
        raise UserError(f"{path}: data of type {DATA_TYPE} is written <data_dir>{SEPARATOR}<encodings_dir>")
    return Path(data_dir), Path(encodings_dir)
