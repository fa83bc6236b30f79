"""Statistics of training data, from index and text alone: lengths for the batch sampler, and what is left out."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from slm_espnet.data.datadir import Row
from slm_espnet.encodings.reader import EncodingReader
from slm_espnet.errors import UserError
from slm_espnet.files import AtomicFile, make_directory, write_atomically
from slm_espnet.locks import Lock
from slm_espnet.progress import Progress
from slm_espnet.training.emptiness import ctc_frames
from slm_espnet.training.preprocessor import SLMPreprocessor
from slm_espnet.training.unwritable import Writability, most_frequent, spelled

CHUNK = 1000  # rows at a time
UNWRITABLE = "letters that the LLM cannot write"  # a reason to leave a row out


@dataclass(frozen=True)
class Limits:
    """What a training example may be."""

    max_frames: int = 2000  # kept frames of one utterance
    min_frames: int = 1  # likewise
    max_target_tokens: int = 500  # target tokens, EOS included
    max_prompt_tokens: int = 1000  # prefix and suffix together
    drop_unwritable: bool = False  # leave out rows with letters that the LLM cannot write


@dataclass(frozen=True)
class Statistics:
    """What was counted."""

    rows: int  # rows of the data directory, of the chosen tasks
    kept: int  # rows that training will see
    left_out: dict[str, int]  # rows left out, by reason
    by_task: dict[str, int]  # kept rows of each task
    transcripts: int  # kept rows with a transcript, which CTC can learn from
    frames: int  # kept encodings in all
    seconds: float  # of audio
    frames_per_second: float
    target_tokens: int  # EOS included
    longest_frames: int
    longest_target: int
    unwritable_rows: int  # rows, left out or not, with letters that the LLM cannot write
    unwritable: dict[str, int]  # those letters, most frequent first, with their rows
    too_long_for_ctc: int  # kept rows whose transcript has more tokens than CTC can write in the frames kept

    @property
    def failed_share(self) -> float:
        """Share of the rows that was left out."""
        return 1 - self.kept / self.rows if self.rows else 1.0


def reason_to_leave_out(frames: int, target: int, prompt: int, row: Row, limits: Limits) -> str | None:
    """Why an example cannot be trained on; None when it can."""
    if frames < 0:
        return "no encoding"
    if not row.text.strip():
        return "empty target"
    if frames < limits.min_frames:
        return f"fewer than {limits.min_frames} frames"
    if frames > limits.max_frames:
        return f"more than {limits.max_frames} frames"
    if target > limits.max_target_tokens:
        return f"more than {limits.max_target_tokens} target tokens"
    if prompt > limits.max_prompt_tokens:
        return f"more than {limits.max_prompt_tokens} prompt tokens"
    return None


class Collector:
    """Goes through the rows of one or several sets, a thousand at a time; a context manager that holds the files."""

    def __init__(self, preprocessor: SLMPreprocessor, limits: Limits, output_dir: Path):
        self.preprocessor, self.limits = preprocessor, limits
        self._files = ExitStack()
        names = ("speech_shape", "target_shape", "prompt_shape", "left_out.tsv")
        self.speech, self.target, self.prompt, self.dropped = (
            self._files.enter_context(AtomicFile(output_dir / name)) for name in names
        )
        self.left_out, self.tasks, self.unwritable = Counter(), Counter(), Counter()
        self.writability = Writability(preprocessor.tokenizer)
        self.unwritable_rows = self.too_long_for_ctc = 0
        self.rows = self.transcripts = self.distinct_frames = 0
        self.seconds = 0.0
        self.kept = self.frames = self.longest_frames = 0
        self.target_tokens = self.longest_target = 0
        self.ids: list[np.ndarray] = []  # of the sets before

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *exception: object) -> None:
        self._files.__exit__(*exception)

    def add(self, rows: Iterable[Row], reader: EncodingReader, progress: Callable[[int], None]) -> None:
        """Take in one set, telling how many rows are done; UserError when it has an utterance id of a set before."""
        rows = iter(rows)
        used = np.zeros(len(reader), bool)
        ids: list[np.ndarray] = []
        while some := list(itertools.islice(rows, CHUNK)):
            ids.append(np.array([row.utt_id.encode() for row in some]))
            self._check_new(ids[-1])
            keys = [[source.key.encode() for source in row.recordings] for row in some]
            places = reader.rows(np.array([key for each in keys for key in each]))
            frames = np.where(places >= 0, reader.kept[np.maximum(places, 0)] if len(reader) else -1, -1).tolist()
            ends = np.cumsum([len(each) for each in keys])
            counts = [frames[end - len(each) : end] for each, end in zip(keys, ends, strict=True)]
            kept = [self._add_row(row, count, reader.dim) for row, count in zip(some, counts, strict=True)]
            used[places[np.repeat(np.array(kept, bool), np.diff(ends, prepend=0))]] = True
            progress(len(some))
        self.distinct_frames += int(reader.kept[used].sum())
        self.seconds += float(reader.seconds[used].sum(dtype=np.float64))
        if ids:
            self.ids.append(np.sort(np.concatenate(ids)))

    def _check_new(self, ids: np.ndarray) -> None:
        for earlier in self.ids:
            places = np.minimum(np.searchsorted(earlier, ids), len(earlier) - 1)
            found = ids[earlier[places] == ids]
            if len(found):
                raise UserError(f"utterance {found[0].decode()!r} is in two of the sets: ids of sets must differ")

    def _add_row(self, row: Row, counts: Sequence[int], dim: int) -> bool:
        """Take in a row by the frames of its recordings, -1 for one without an encoding; whether it is kept."""
        self.rows += 1
        frames = sum(counts) if min(counts) >= 0 else -1
        around = len(self.preprocessor.prompt(row))
        length = len(self.preprocessor.target_ids(row))
        reason = reason_to_leave_out(frames, length, around, row, self.limits)
        lost = self._lost(row)
        if reason is None and lost and self.limits.drop_unwritable:
            reason = UNWRITABLE
        if reason is not None:
            self.left_out[reason] += 1
            letters = f": {' '.join(map(spelled, sorted(lost)))}" if reason == UNWRITABLE else ""
            self.dropped.write(f"{row.utt_id}\t{reason}{letters}\n")
            return False
        self.speech.write(f"{row.utt_id} {frames},{dim}\n")
        self.target.write(f"{row.utt_id} {length}\n")
        self.prompt.write(f"{row.utt_id} {around}\n")
        self.tasks[row.task] += 1
        spoken = self.preprocessor.transcript_ids(row)
        self.transcripts += any(spoken)
        self.too_long_for_ctc += any(count < ctc_frames(ids) for count, ids in zip(counts, spoken, strict=True))
        self.kept += 1
        self.frames += frames
        self.target_tokens += length
        self.longest_frames, self.longest_target = max(self.longest_frames, frames), max(self.longest_target, length)
        return True

    def _lost(self, row: Row) -> set[str]:
        """Count the letters of a row's target, and of the transcript that CTC learns, that cannot be written."""
        lost = self.writability.lost(row.text)
        others = [one.transcript for one in (*row.spoken_turns, *row.further)]
        for text in {row.transcript, *others} - {row.text, None}:
            lost = lost | self.writability.lost(text)
        self.unwritable_rows += bool(lost)
        self.unwritable.update(lost)
        return lost

    def statistics(self) -> Statistics:
        """What was counted."""
        return Statistics(
            rows=self.rows,
            kept=self.kept,
            left_out=dict(self.left_out),
            by_task=dict(self.tasks),
            transcripts=self.transcripts,
            frames=self.frames,
            seconds=round(self.seconds, 2),
            frames_per_second=round(self.distinct_frames / self.seconds, 3) if self.seconds else 0.0,
            target_tokens=self.target_tokens,
            longest_frames=self.longest_frames,
            longest_target=self.longest_target,
            unwritable_rows=self.unwritable_rows,
            unwritable=most_frequent(self.unwritable),
            too_long_for_ctc=self.too_long_for_ctc,
        )


def collect_statistics(
    sets: Iterable[tuple[Collection[Row], EncodingReader]],
    preprocessor: SLMPreprocessor,
    limits: Limits,
    output_dir: Path,
    log_interval: float = 10.0,
) -> Statistics:
    """Write speech_shape, target_shape, prompt_shape, left_out.tsv and summary.json; return what the summary says.

    Args:
        sets: rows of each set, and its encodings.
        preprocessor: tokenizes prompts and targets.
        limits: what is left out.
        output_dir: made where it does not exist.
        log_interval: seconds between lines of progress.

    Raises:
        UserError: an utterance is in two sets, another process writes there, or the disk is full.
    """
    make_directory(output_dir)
    with Lock(output_dir / ".lock", "the statistics"):
        (output_dir / "summary.json").unlink(missing_ok=True)  # written last, it says what the others must hold
        with Collector(preprocessor, limits, output_dir) as collector:
            for rows, reader in sets:
                progress = Progress(str(output_dir), len(rows), log_interval)
                collector.add(rows, reader, progress.advance)
        statistics = collector.statistics()
        text = json.dumps(asdict(statistics), indent=2) + "\n"
        write_atomically(output_dir / "summary.json", text)
    return statistics
