"""What is scored: a set's rows, and what each system wrote for them. Scoring and the report page read it here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slm_espnet.data.datadir import Row, read_data_dir
from slm_espnet.encodings.reader import EncodingReader
from slm_espnet.long_audio.datadir import whole_dir
from slm_espnet.long_audio.decoded import merge_by_audio
from slm_espnet.scoring.decoded import Decoded, check_ids, read_decoded


@dataclass(frozen=True)
class Sources:
    """Where the sets of one decoding are; every directory has one folder per set."""

    datadir: Path  # data directories
    slm: Path  # what the trained model wrote
    cascade: Path | None = None  # the frozen LLM on the encoder's transcripts
    bound: Path | None = None  # the frozen LLM on the true transcripts
    encodings: Path | None = None  # for the encoder's own CTC greedy text


@dataclass(frozen=True)
class SetInput:
    """One set as it is scored."""

    name: str
    rows: Sequence[Row]  # of the chosen tasks
    systems: Mapping[str, Decoded]  # slm, and cascade and bound where they were decoded
    ctc: Mapping[str, str] | None  # audio key → CTC greedy text; None for an encoder without CTC


def read_set(name: str, sources: Sources, eval_tasks: Sequence[str] = ()) -> SetInput | None:
    """Read one set's data and decodings.

    Args:
        name: of the set.
        sources: where things are.
        eval_tasks: only rows of these tasks; empty: all.

    Returns:
        None for a set without rows of the chosen tasks.

    Raises:
        UserError: something is missing, damaged, or of other data.
    """
    directory = sources.datadir / name
    data_dir = whole_dir(directory)  # of a set of pieces, the recordings that they were cut from
    inside = data_dir.relative_to(directory)
    rows = read_data_dir(data_dir, require=("wav.scp", "text"))
    wanted = [row for row in rows if not eval_tasks or row.task in eval_tasks]
    if not wanted:
        return None
    directories = {"slm": sources.slm, "cascade": sources.cascade, "bound": sources.bound}
    systems = {system: read_decoded(path / name / inside) for system, path in directories.items() if path is not None}
    for decoded in systems.values():
        check_ids(decoded, {row.utt_id for row in rows}, data_dir)
    ctc = None
    if sources.encodings is not None and data_dir == directory:
        ctc = ctc_hypotheses(sources.encodings / name, wanted)
    elif sources.encodings is not None:
        ctc = ctc_hypotheses(sources.encodings / name, read_data_dir(directory))
        ctc = None if ctc is None else merge_by_audio(directory, ctc)
    return SetInput(name, wanted, systems, ctc)


def ctc_hypotheses(directory: Path, rows: Sequence[Row]) -> dict[str, str] | None:
    """Audio key → CTC greedy text of the rows' recordings that were encoded; None for an encoder without CTC."""
    reader = EncodingReader(directory)
    if reader.fingerprint["vocabulary"] is None:
        return None
    return {key: reader.ctc_hypothesis(key) for key in {row.audio.key for row in rows} if key in reader}
