"""Statistics of one data set, from index and text alone: lengths for the batch sampler, and what is left out."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from slm_espnet.data.datadir import Row
from slm_espnet.encodings.reader import EncodingReader
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


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that it is either the old or the new one."""
    temporary = path.with_name(f"{path.name}.tmp.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


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


def collect_statistics(
    rows: Collection[Row],
    reader: EncodingReader,
    preprocessor: SLMPreprocessor,
    limits: Limits,
    output_dir: Path,
) -> Statistics:
    """Write speech_shape, target_shape, left_out.tsv and summary.json; return what the summary says."""
    output_dir.mkdir(parents=True, exist_ok=True)
    speech, target = ShapeWriter(output_dir / "speech_shape"), ShapeWriter(output_dir / "target_shape")
    encoded = [row for row in rows if row.audio.key in reader]
    frames_of = dict(zip((r.audio.key for r in encoded), reader.lengths([r.audio.key for r in encoded]), strict=True))
    left_out, tasks, transcripts, dropped = Counter(), Counter(), 0, []
    frame_counts, target_counts, keys = [], [], set()
    for row in rows:
        frames = int(frames_of.get(row.audio.key, -1))
        prompt = preprocessor.prompt(row)
        length = len(preprocessor.target_ids(row))
        reason = reason_to_leave_out(frames, length, len(prompt.prefix) + len(prompt.suffix), row, limits)
        if reason is not None:
            left_out[reason] += 1
            dropped.append(f"{row.utt_id}\t{reason}\n")
            continue
        speech.add(row.utt_id, frames, reader.dim)
        target.add(row.utt_id, length)
        tasks[row.task] += 1
        transcripts += bool(spoken_text(row))
        frame_counts.append(frames)
        target_counts.append(length)
        keys.add(row.audio.key)
    seconds = float(sum(reader.seconds_of(sorted(keys))))
    distinct = sum(int(frames_of[key]) for key in keys)
    statistics = Statistics(
        rows=len(rows),
        kept=len(frame_counts),
        left_out=dict(left_out),
        by_task=dict(tasks),
        transcripts=transcripts,
        frames=sum(frame_counts),
        seconds=round(seconds, 2),
        frames_per_second=round(distinct / seconds, 3) if seconds else 0.0,
        target_tokens=sum(target_counts),
        longest_frames=max(frame_counts, default=0),
        longest_target=max(target_counts, default=0),
    )
    write_atomically(output_dir / "left_out.tsv", "".join(dropped))
    speech.close()
    target.close()
    write_atomically(output_dir / "summary.json", json.dumps(asdict(statistics), indent=2, sort_keys=True) + "\n")
    return statistics
