"""Write rows as a Kaldi data directory: what a recipe's data preparation ends with."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from slm_espnet.data.datadir import Row
from slm_espnet.data.table import write_table
from slm_espnet.data.validate import write_speakers
from slm_espnet.errors import UserError

_COLUMNS = {
    "text": lambda row: row.text,
    "prompt": lambda row: row.prompt,
    "utt2task": lambda row: row.task,
    "utt2lang": lambda row: row.language,
    "utt2spk": lambda row: row.speaker,
    "wav.scp": lambda row: row.audio.path,  # last: a directory that has it is complete
}
_OPTIONAL_COLUMNS = {  # a row without it has None
    "context": lambda row: json.dumps(row.context, ensure_ascii=False) if row.context else None,
    "transcript": lambda row: row.transcript,
    "utt2category": lambda row: row.category,
}


def write_data_dir(directory: Path, rows: Iterable[Row]) -> int:
    """Write a data directory, sorted by utterance id; a file of an optional column exists only where a row has it.

    Args:
        directory: made where it does not exist; files of an earlier preparation are replaced or removed.
        rows: whole recordings (no start and stop), ids all different.

    Returns:
        The number of rows.

    Raises:
        UserError: an id occurs twice, or a file cannot be written.
    """
    rows = sorted(rows, key=lambda row: row.utt_id)
    for first, second in zip(rows, rows[1:], strict=False):
        if first.utt_id == second.utt_id:
            raise UserError(f"{directory}: utterance id {first.utt_id!r} occurs twice; every row needs its own")
    directory.mkdir(parents=True, exist_ok=True)
    for name, column in _OPTIONAL_COLUMNS.items():
        present = [(row.utt_id, value) for row in rows if (value := column(row)) is not None]
        if present:
            write_table(directory / name, present)
        else:
            (directory / name).unlink(missing_ok=True)
    for name, column in _COLUMNS.items():
        write_table(directory / name, ((row.utt_id, column(row)) for row in rows))
    write_speakers(directory)
    return len(rows)
