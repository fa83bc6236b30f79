"""Statistics of training data, from index and text alone: lengths for the batch sampler, and what is left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from slm_espnet.data.datadir import Row
from slm_espnet.encodings.reader import EncodingReader
from slm_espnet.errors import UserError
from slm_espnet.files import write_atomically
from slm_espnet.training.preprocessor import SLMPreprocessor, spoken_text


@dataclass(frozen=True)
class Limits:
    """What a training example may be."""

    max_frames: int = 2000  # kept frames of one utterance
    min_frames: int = 1  # likewise
    max_target_tokens: int = 500  # target tokens, EOS included
    max_prompt_tokens: int = 1000  # prefix and suffix together


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

    @property
    def failed_share(self) -> float:
        """Share of the rows that was left out."""
        return 1 - self.kept / self.rows if self.rows else 1.0


class ShapeWriter:
    """Gathers `<utt> <length>[,<dim>]` lines and writes them atomically."""

    def __init__(self, path: Path):
        self.path = path
        self.lines: list[str] = []

    def add(self, utt_id: str, *shape: int) -> None:
        """One line."""
        self.lines.append(f"{utt_id} {','.join(map(str, shape))}\n")

    def close(self) -> None:
        """Write the file."""
        write_atomically(self.path, "".join(self.lines))


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
    """Goes through the rows of one or several sets."""

    def __init__(self, preprocessor: SLMPreprocessor, limits: Limits, output_dir: Path):
        self.preprocessor, self.limits = preprocessor, limits
        self.speech = ShapeWriter(output_dir / "speech_shape")
        self.target = ShapeWriter(output_dir / "target_shape")
        self.dropped: list[str] = []
        self.left_out, self.tasks = Counter(), Counter()
        self.rows = self.transcripts = self.distinct_frames = 0
        self.seconds = 0.0
        self.frame_counts: list[int] = []
        self.target_counts: list[int] = []
        self.ids: set[str] = set()

    def add(self, rows: Collection[Row], reader: EncodingReader) -> None:
        """Take in one set; UserError when it has an utterance id of a set before."""
        encoded = [row for row in rows if row.audio.key in reader]
        lengths = reader.lengths([row.audio.key for row in encoded])
        frames_of = dict(zip((row.audio.key for row in encoded), map(int, lengths), strict=True))
        kept = {row.audio.key for row in rows if self._add_row(row, frames_of.get(row.audio.key, -1), reader.dim)}
        self.distinct_frames += sum(frames_of[key] for key in kept)
        self.seconds += float(sum(reader.seconds_of(sorted(kept))))

    def _add_row(self, row: Row, frames: int, dim: int) -> bool:
        if row.utt_id in self.ids:
            raise UserError(f"utterance {row.utt_id!r} is in two of the sets: ids of sets must differ")
        self.ids.add(row.utt_id)
        self.rows += 1
        prompt = self.preprocessor.prompt(row)
        length = len(self.preprocessor.target_ids(row))
        reason = reason_to_leave_out(frames, length, len(prompt.prefix) + len(prompt.suffix), row, self.limits)
        if reason is not None:
            self.left_out[reason] += 1
            self.dropped.append(f"{row.utt_id}\t{reason}\n")
            return False
        self.speech.add(row.utt_id, frames, dim)
        self.target.add(row.utt_id, length)
        self.tasks[row.task] += 1
        self.transcripts += bool(spoken_text(row))
        self.frame_counts.append(frames)
        self.target_counts.append(length)
        return True

    def statistics(self) -> Statistics:
        """What was counted."""
        return Statistics(
            rows=self.rows,
            kept=len(self.frame_counts),
            left_out=dict(self.left_out),
            by_task=dict(self.tasks),
            transcripts=self.transcripts,
            frames=sum(self.frame_counts),
            seconds=round(self.seconds, 2),
            frames_per_second=round(self.distinct_frames / self.seconds, 3) if self.seconds else 0.0,
            target_tokens=sum(self.target_counts),
            longest_frames=max(self.frame_counts, default=0),
            longest_target=max(self.target_counts, default=0),
        )


def collect_statistics(
    sets: Iterable[tuple[Collection[Row], EncodingReader]],
    preprocessor: SLMPreprocessor,
    limits: Limits,
    output_dir: Path,
) -> Statistics:
    """Write speech_shape, target_shape, left_out.tsv and summary.json; return what the summary says.

    Args:
        sets: rows of each set, and its encodings.
        preprocessor: tokenizes prompts and targets.
        limits: what is left out.
        output_dir: made where it does not exist.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    collector = Collector(preprocessor, limits, output_dir)
    for rows, reader in sets:
        collector.add(rows, reader)
    statistics = collector.statistics()
    write_atomically(output_dir / "left_out.tsv", "".join(collector.dropped))
    collector.speech.close()
    collector.target.close()
    write_atomically(output_dir / "summary.json", json.dumps(asdict(statistics), indent=2, sort_keys=True) + "\n")
    return statistics
