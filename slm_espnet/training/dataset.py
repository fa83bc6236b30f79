"""The ESPnet data type `slm_rows`: rows of a data directory together with their cached encodings.

Its path is `<data_dir>::<encodings_dir>`, as in
`--train_data_path_and_name_and_type data/train::dump/encodings/mini/train,speech,slm_rows`.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from pathlib import Path

from espnet2.train.dataset import DATA_TYPES

from slm_espnet.data.datadir import Row, read_data_dir
from slm_espnet.encodings.reader import Encoding, EncodingReader
from slm_espnet.errors import UserError
from slm_espnet.training.data_path import DATA_TYPE, split_path


class RowsWithEncodings:
    """Utterance id → (Row, Encoding); encodings are read from disk when they are asked for."""

    def __init__(self, path: str, keys_to_load: Set[str] | None = None):
        """Open both directories.

        Args:
            path: `<data_dir>::<encodings_dir>`.
            keys_to_load: utterances that will be asked for; None: all that have an encoding.

        Raises:
            UserError: an utterance that will be asked for has no row or no encoding.
        """
        data_dir, encodings_dir = split_path(path)
        self.reader = EncodingReader(encodings_dir)
        rows = read_data_dir(data_dir)
        if keys_to_load is None:
            self.rows = {row.utt_id: row for row in rows if row.audio.key in self.reader}
        else:
            self.rows = {row.utt_id: row for row in rows if row.utt_id in keys_to_load}
            self._check(keys_to_load, data_dir, encodings_dir)

    def _check(self, keys: Set[str], data_dir: Path, encodings_dir: Path) -> None:
        no_row = sorted(keys - self.rows.keys())
        no_encoding = sorted(key for key, row in self.rows.items() if row.audio.key not in self.reader)
        for missing, place in ((no_row, data_dir), (no_encoding, encodings_dir)):
            if missing:
                raise UserError(
                    f"{len(missing)} utterance(s) of the shape files are not in {place}, {missing[0]} for one: "
                    "the shape files are of other data; run stages 2 and 3 again"
                )

    def __getitem__(self, utt_id: str) -> tuple[Row, Encoding]:
        row = self.rows[utt_id]
        return row, self.reader[row.audio.key]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def keys(self) -> Set[str]:
        """Utterance ids."""
        return self.rows.keys()


def register_data_type() -> None:
    """Make ESPnet's datasets know `slm_rows`."""
    DATA_TYPES[DATA_TYPE] = {
        "func": RowsWithEncodings,
        "kwargs": ["keys_to_load"],
        "help": "Rows of a data directory with their cached encodings: <data_dir>::<encodings_dir>",
    }
