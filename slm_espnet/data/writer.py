"""Write rows as a Kaldi data directory: what a recipe's data preparation ends with."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from slm_espnet.data.datadir import AudioSource, Row
from slm_espnet.data.spoken import Spoken, Turn
from slm_espnet.data.table import write_table
from slm_espnet.data.validate import write_speakers
from slm_espnet.errors import UserError

_COLUMNS = {
    "text": lambda row: row.text,
    "prompt": lambda row: row.prompt,
    "utt2task": lambda row: row.task,
    "utt2lang": lambda row: row.language,
    "utt2spk": lambda row: row.speaker,
}
_OPTIONAL_COLUMNS = {  # a row without it has None
    "context": lambda row: json.dumps(row.context, ensure_ascii=False) if row.context else None,
    "references": lambda row: json.dumps(row.references, ensure_ascii=False) if row.references else None,
    "transcript": lambda row: row.transcript,
    "utt2category": lambda row: row.category,
    "utt2target_lang": lambda row: row.target_language,
    "further_audio": lambda row: _json(row.further),
    "history": lambda row: _json(row.history),
}


def _json(items: Sequence[Spoken | Turn]) -> str | None:
    return json.dumps([item.to_json() for item in items], ensure_ascii=False) if items else None


def write_data_dir(directory: Path, rows: Iterable[Row]) -> int:
    """Write a data directory, sorted by utterance id; a file of an optional column exists only where a row has it.

    Args:
        directory: made where it does not exist; files of an earlier preparation are replaced or removed.
        rows: ids all different; where one has a start, there is a `segments` file, and wav.scp is by recording.

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
    (directory / "wav.scp").unlink(missing_ok=True)  # written last: a directory that has it is complete
    for name, column in _OPTIONAL_COLUMNS.items():
        present = [(row.utt_id, value) for row in rows if (value := column(row)) is not None]
        if present:
            write_table(directory / name, present)
        else:
            (directory / name).unlink(missing_ok=True)
    for name, column in _COLUMNS.items():
        write_table(directory / name, ((row.utt_id, column(row)) for row in rows))
    write_speakers(directory)
    _write_audio(directory, rows)
    return len(rows)


def _write_audio(directory: Path, rows: list[Row]) -> None:
    """wav.scp, and segments where a row is a part of its recording."""
    if all(row.audio.start is None for row in rows):
        (directory / "segments").unlink(missing_ok=True)
        write_table(directory / "wav.scp", ((row.utt_id, row.audio.path) for row in rows))
        return
    names = _recording_names({row.audio.path for row in rows})
    write_table(directory / "segments", ((row.utt_id, _segment(row, names[row.audio.path])) for row in rows))
    write_table(directory / "wav.scp", sorted((name, path) for path, name in names.items()))


def _segment(row: Row, recording: str) -> str:
    stop = -1 if row.audio.stop is None else row.audio.stop
    return f"{recording} {_seconds(row.audio.start or 0.0)} {_seconds(stop)}"


def _seconds(value: float) -> str:
    """To the microsecond, without needless zeros."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _recording_names(paths: set[str]) -> dict[str, str]:
    """Path → id: the name of the file (the last in a command), made unlike others by a part of the audio's key."""
    names = {}
    for path in paths:
        words = [word for word in path.split() if "." in word or "/" in word] or [path]
        names[path] = re.sub(r"[^\w.+-]", "_", PurePath(words[-1]).stem) or "recording"
    count = Counter(names.values())
    return {p: n if count[n] == 1 else f"{n}-{AudioSource(p).key[:8]}" for p, n in names.items()}
