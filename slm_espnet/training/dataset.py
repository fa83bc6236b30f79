"""The ESPnet data type `slm_rows`: rows of data directories together with their cached encodings.

Its path is `<data_dir>::<encodings_dir>`, as in
`--train_data_path_and_name_and_type data/train::dump/encodings/mini/train,speech,slm_rows`; several training sets are
several such pairs with spaces between. Their utterance ids must differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from espnet2.train.dataset import DATA_TYPES

from slm_espnet.data.datadir import Row, read_data_dir
from slm_espnet.encodings.reader import Encoding, EncodingReader
from slm_espnet.errors import UserError
from slm_espnet.training.data_path import DATA_TYPE, split_path


class RowsWithEncodings:
    """Utterance id → (Row, Encoding); encodings are read from disk when they are asked for."""

    def __init__(self, path: str, keys_to_load: Set[str] | None = None):
        """Open the directories.

        Args:
            path: `<data_dir>::<encodings_dir>`, one or several.
            keys_to_load: utterances that will be asked for; None: all that have an encoding.

        Raises:
            UserError: an utterance that will be asked for has no row or no encoding, or an id is in two directories.
        """
        pairs = split_path(path)
        self.readers = [EncodingReader(encodings_dir) for _, encodings_dir in pairs]
        self.rows: dict[str, tuple[Row, int]] = {}  # utterance id → row, number of its reader
        for number, (data_dir, _) in enumerate(pairs):
            for row in read_data_dir(data_dir):
                if self._encoded(row, number) if keys_to_load is None else row.utt_id in keys_to_load:
                    if row.utt_id in self.rows:
                        first = pairs[self.rows[row.utt_id][1]][0]
                        raise UserError(
                            f"utterance {row.utt_id!r} is in {first} and {data_dir}: ids of sets must differ"
                        )
                    self.rows[row.utt_id] = row, number
        if keys_to_load is not None:
            self._check(keys_to_load, pairs)

    def _encoded(self, row: Row, number: int) -> bool:
        return row.audio.key in self.readers[number]

    def _check(self, keys: Set[str], pairs: Sequence[tuple[Path, Path]]) -> None:
        no_row = sorted(keys - self.rows.keys())
        no_encoding = sorted(key for key, (row, number) in self.rows.items() if not self._encoded(row, number))
        for missing, places in ((no_row, [pair[0] for pair in pairs]), (no_encoding, [pair[1] for pair in pairs])):
            if missing:
                raise UserError(
                    f"{len(missing)} utterance(s) of the shape files are not in {', '.join(map(str, places))}, "
                    f"{missing[0]} for one: the shape files are of other data; run stages 2 and 3 again"
                )

    def __getitem__(self, utt_id: str) -> tuple[Row, Encoding]:
        row, number = self.rows[utt_id]
        return row, self.readers[number][row.audio.key]

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
        "help": "Rows of data directories with their cached encodings: <data_dir>::<encodings_dir> ...",
    }
