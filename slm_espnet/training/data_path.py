"""How data directories and their encodings are named together in ESPnet's data options."""

from __future__ import annotations

from pathlib import Path

from slm_espnet.errors import UserError

DATA_TYPE = "slm_rows"
SEPARATOR = "::"


def split_path(path: str) -> list[tuple[Path, Path]]:
    """`<data_dir>::<encodings_dir>`, several of them with spaces between → both directories of each.

    Raises:
        UserError: something else, or a data directory given twice.
    """
    pairs = []
    for one in path.split():
        data_dir, separator, encodings_dir = one.partition(SEPARATOR)
        if not separator or not data_dir or not encodings_dir:
            raise UserError(f"{one}: data of type {DATA_TYPE} is written <data_dir>{SEPARATOR}<encodings_dir>")
        pairs.append((Path(data_dir), Path(encodings_dir)))
    if not pairs:
        raise UserError(f"data of type {DATA_TYPE} is written <data_dir>{SEPARATOR}<encodings_dir>, not {path!r}")
    directories = [data_dir for data_dir, _ in pairs]
    for number, data_dir in enumerate(directories):
        if data_dir in directories[:number]:
            raise UserError(f"{path}: {data_dir} is given twice")
    return pairs
