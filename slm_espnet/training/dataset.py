"""The ESPnet data type `slm_rows`: rows of data directories together with their cached encodings.

Its path is `<data_dir>::<encodings_dir>`, as in
`--train_data_path_and_name_and_type data/train::dump/encodings/mini/train,speech,slm_rows`; several training sets are
several such pairs with spaces between. Their utterance ids must differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Set

import numpy as np
from espnet2.train.dataset import DATA_TYPES

from slm_espnet.data.datadir import Row
from slm_espnet.encodings.reader import Encoding, EncodingReader
from slm_espnet.errors import UserError
from slm_espnet.training.data_path import DATA_TYPE, split_path
from slm_espnet.training.groups import CHUNK, open_rows


class RowsWithEncodings:
    """Utterance id → (Row, its encodings); both are read from disk when they are asked for."""

    def __init__(self, path: str, keys_to_load: Set[str] | None = None):
        """Open the directories.

        Args:
            path: `<data_dir>::<encodings_dir>`, one or several.
            keys_to_load: utterances that will be asked for, to be looked up now; None: that is done elsewhere.

        Raises:
            UserError: an utterance that will be asked for has no row or no encoding, or an id is in two directories.
        """
        self.pairs = split_path(path)
        self.readers = [EncodingReader(encodings_dir) for _, encodings_dir in self.pairs]
        self.tables = [open_rows(data_dir) for data_dir, _ in self.pairs]
        self._check_different()
        if keys_to_load is not None:
            self.check(np.array(sorted(utt_id.encode() for utt_id in keys_to_load), "S"))

    def _check_different(self) -> None:
        """No id is in two directories."""
        for number, table in enumerate(self.tables):
            for earlier in range(number):
                for begin in range(0, len(table), CHUNK):
                    rows = self.tables[earlier].find(table.ids[begin : begin + CHUNK])
                    if (rows >= 0).any():
                        utt_id = table.ids[begin + int(np.argmax(rows >= 0))].decode()
                        both = f"{self.pairs[earlier][0]} and {self.pairs[number][0]}"
                        raise UserError(f"utterance {utt_id!r} is in {both}: ids of sets must differ")

    def check(self, ids: np.ndarray) -> None:
        """UserError where an utterance (bytes) has no row or no encoding."""
        no_row, no_encoding, examples = 0, 0, {}
        for begin in range(0, len(ids), CHUNK):
            part = ids[begin : begin + CHUNK]
            there, encoded = np.zeros(len(part), bool), np.zeros(len(part), bool)
            for table, reader in zip(self.tables, self.readers, strict=True):
                rows = table.find(part)
                mine = np.flatnonzero(rows >= 0)
                there[mine] = True
                encoded[mine] = reader.rows(table.keys[rows[mine]]) >= 0
                several = mine[np.isin(rows[mine], table.with_several)]
                for place in several.tolist():
                    keys = [source.key for source in table[int(rows[place])].recordings]
                    encoded[place] = all(key in reader for key in keys)
            for name, missing in (("row", ~there), ("encoding", there & ~encoded)):
                if missing.any():
                    examples.setdefault(name, part[int(np.argmax(missing))].decode())
            no_row, no_encoding = no_row + int((~there).sum()), no_encoding + int((there & ~encoded).sum())
        for table in self.tables:
            table.release()
        for name, count, side in (("row", no_row, 0), ("encoding", no_encoding, 1)):
            if count:
                places = ", ".join(str(pair[side]) for pair in self.pairs)
                raise UserError(
                    f"{count} utterance(s) of the shape files are not in {places}, {examples[name]} for one: the shape "
                    "files are of other data; run stages 2 and 3 again"
                )

    def __getitem__(self, utt_id: str) -> tuple[Row, list[Encoding]]:
        for table, reader in zip(self.tables, self.readers, strict=True):
            number = int(table.find([utt_id])[0])
            if number >= 0:
                row = table[number]
                return row, [reader[source.key] for source in row.recordings]
        raise KeyError(utt_id)

    def __len__(self) -> int:
        return sum(map(len, self.tables))

    def __iter__(self) -> Iterator[str]:
        return (utt_id.decode() for table in self.tables for utt_id in table.ids)


def register_data_type() -> None:
    """Make ESPnet's datasets know `slm_rows`."""
    DATA_TYPES[DATA_TYPE] = {
        "func": RowsWithEncodings,
        "kwargs": ["keys_to_load"],
        "help": "Rows of data directories with their cached encodings: <data_dir>::<encodings_dir> ...",
    }
