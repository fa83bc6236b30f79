"""Kaldi data directories: one row is one example (speech, instruction, target).

Files, each with one `<utterance id> <value>` line per row, sorted, UTF-8:

    wav.scp      path, `command |` or ark:offset; keyed by recording where there is a `segments` file
    segments     recording, start and end in seconds (an end of -1 is the end of the recording)
    text         the target that the language model is to write
    prompt       the instruction
    utt2task utt2lang utt2spk   task, language and speaker
    context      JSON list of phrases (optional, also for some rows only)
    references   JSON list of all right targets, where there are several (optional, also for some rows only)
    transcript   the words spoken, for cascade baselines and CTC (optional, also for some rows only)
    utt2category                (optional, also for some rows only)
    utt2target_lang             language of the target where it is not the one spoken (optional, likewise)
    further_audio               JSON list of further recordings of the prompt (optional, likewise; data/spoken.py)
    history                     JSON list of earlier turns of the dialog (optional, likewise; data/spoken.py)
    same_audio_as               one line: the set whose encodings are used for this one (optional)

Rows whose audio is the same recording and span share one encoding (`AudioSource.key`).
"""

from __future__ import annotations

import collections
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slm_espnet.data.spoken import AudioSource, Spoken, Turn, is_span, read_recordings, read_turns
from slm_espnet.data.table import Line, Problem, join, read_lines, sorted_lines
from slm_espnet.errors import UserError

COMPLETE_TABLES = ("text", "prompt", "utt2task", "utt2lang", "utt2spk")  # where present, every row has a line
PARTIAL_TABLES = (  # a row may have a line
    "context", "references", "transcript", "utt2category", "utt2target_lang", "further_audio", "history",
)  # fmt: skip
ROW_TABLES = (*COMPLETE_TABLES, *PARTIAL_TABLES)
DEFAULT_TASK = "asr"
SAME_AUDIO = "same_audio_as"  # file that names the set whose recordings, and so encodings, these are
# What other directories of a recipe hold, to say so when one is given in place of a data directory.
OTHER_DIRECTORIES = {
    "fingerprint.json": "holds encodings (the output of stage 2)",
    "index.tsv": "holds encodings (the output of stage 2)",
    "hypotheses.jsonl": "holds hypotheses (the output of decoding)",
    "adapter.safetensors": "holds a trained adapter",
    "speech_shape": "holds statistics (the output of stage 3)",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One example."""

    utt_id: str
    audio: AudioSource
    text: str  # target; "" where the directory has none
    prompt: str  # instruction
    task: str
    language: str  # language spoken; "" when not said
    speaker: str  # the utterance itself when not said
    context: tuple[str, ...] = ()  # phrases that may occur
    transcript: str | None = None  # words spoken
    category: str | None = None
    references: tuple[str, ...] = ()  # every right target, for scoring; () where `text` is the only one
    target_language: str | None = None  # of the target, where that is not in the language spoken
    further: tuple[Spoken, ...] = ()  # recordings after `audio`, at the next places of the prompt
    history: tuple[Turn, ...] = ()  # earlier turns of the dialog

    @property
    def spoken_turns(self) -> tuple[Spoken, ...]:
        """Recordings of the history."""
        return tuple(turn.spoken for turn in self.history if turn.spoken is not None)

    @property
    def recordings(self) -> tuple[AudioSource, ...]:
        """All recordings of the prompt in the order of their places in it."""
        if not self.history and not self.further:  # as nearly all rows
            return (self.audio,)
        before, after = ([one.audio for one in some] for some in (self.spoken_turns, self.further))
        return (*before, self.audio, *after)

    @property
    def languages(self) -> str:
        """The language spoken, or the pair `<spoken>_<target>`: what results and mixing go by."""
        return self.language if self.target_language is None else f"{self.language}_{self.target_language}"


class RowBuilder:
    """Turns the joined lines of one id into a row, or into the problem that prevents it."""

    def __init__(self, directory: Path, recordings: Mapping[str, Line] | None, complete: Sequence[str]) -> None:
        self.directory = directory
        self.recordings = recordings  # wav.scp by recording, where there are segments
        self.audio_table = "wav.scp" if recordings is None else "segments"
        self.complete = complete  # tables that must have a line for every row

    def build(self, utt_id: str, lines: Mapping[str, Line]) -> Row | Problem:
        """A row, or the first problem of its lines."""
        problem = self._problem(utt_id, lines)
        if problem is not None:
            return problem
        audio = self._audio(lines[self.audio_table])
        context = _string_list("context", "phrases", lines.get("context"))
        references = _string_list("references", "targets", lines.get("references"))
        further = read_recordings(lines.get("further_audio"))
        history = read_turns(lines.get("history"))
        for part in (audio, context, references, further, history):
            if isinstance(part, Problem):
                return part
        values = {name: line.value for name, line in lines.items()}
        return Row(
            utt_id=utt_id,
            audio=audio,
            text=values.get("text", ""),
            prompt=sys.intern(values.get("prompt", "")),  # few different ones: kept in memory once
            task=sys.intern(values.get("utt2task", DEFAULT_TASK)),
            language=sys.intern(values.get("utt2lang", "")),
            speaker=sys.intern(values.get("utt2spk", utt_id)),
            context=context,
            transcript=values.get("transcript"),
            category=values.get("utt2category"),
            references=references,
            target_language=_interned(values.get("utt2target_lang")),
            further=further,
            history=history,
        )

    def _problem(self, utt_id: str, lines: Mapping[str, Line]) -> Problem | None:
        for line in lines.values():
            if line.problem is not None:
                return line.problem
        if self.audio_table not in lines:
            name, line = next(iter(lines.items()))
            missing = f"utterance {utt_id!r} has a line here but none in {self.audio_table}; {self._cure()}"
            return Problem(f"{name} without audio", line.where, missing)
        where = lines[self.audio_table].where
        for name in self.complete:
            if name not in lines:
                missing = f"utterance {utt_id!r} has no line in {self.directory / name}; {self._cure()}"
                return Problem(f"audio without {name}", where, missing)
        if not lines[self.audio_table].value:
            return Problem("no path", where, f"utterance {utt_id!r} has no path to its audio; add it")
        return None

    def _cure(self) -> str:
        return f"add it, or run utils/fix_data_dir.sh {self.directory}"

    def _audio(self, line: Line) -> AudioSource | Problem:
        if self.recordings is None:
            return AudioSource(line.value)
        fields = line.value.split()
        try:
            recording, start, stop = fields[0], float(fields[1]), float(fields[2])
        except (IndexError, ValueError):
            message = f"expected `recording start end`, found {line.value!r}; correct it"
            return Problem("bad segment", line.where, message)
        if not is_span(start, None if stop == -1 else stop):
            message = f"the segment from {start:g} to {stop:g} s is no part of a recording; correct it"
            return Problem("bad segment", line.where, message)
        source = self.recordings.get(recording)
        if source is None:
            message = f"recording {recording!r} is not in {self.directory / 'wav.scp'}; {self._cure()}"
            return Problem("segment without recording", line.where, message)
        if source.problem is not None:
            return source.problem
        return AudioSource(source.value, start, None if stop == -1 else stop)


def iter_data_dir(directory: str | Path, require: Sequence[str] = ("wav.scp", "text")) -> Iterator[Row]:
    """Rows of a data directory in the order of their ids, streaming.

    Args:
        directory: the data directory.
        require: files that must exist; those that are there must have a line for every row (`PARTIAL_TABLES` excepted).

    Raises:
        UserError: not a data directory, or at the first line that is wrong; names the file, the line and the cure.
    """
    directory = Path(directory)
    tables = present_tables(directory, require)
    builder = make_builder(directory, tables)
    for utt_id, lines in join({name: sorted_lines(directory / name) for name in tables}):
        row = builder.build(utt_id, lines)
        if isinstance(row, Problem):
            for name in tables:  # an unsorted table looks like missing lines: name that cause first
                collections.deque(sorted_lines(directory / name), maxlen=0)
            raise row.error()
        yield row


def read_data_dir(directory: str | Path, require: Sequence[str] = ("wav.scp", "text")) -> list[Row]:
    """All rows of a data directory sorted by utterance id; arguments and errors as in `iter_data_dir`.

    Raises:
        UserError: also when there is no row at all.
    """
    rows = list(iter_data_dir(directory, require))
    if not rows:
        raise UserError(f"{directory}: no utterance in wav.scp; is the data preparation (stage 1) complete?")
    return rows


def present_tables(directory: Path, require: Sequence[str] = ("wav.scp",)) -> list[str]:
    """Names of the tables to join: wav.scp or segments first, then the row tables that are there.

    Raises:
        UserError: not a data directory, a directory of another stage, or a required file is missing.
    """
    if not directory.is_dir():
        raise UserError(f"{directory}: no such data directory; is the data preparation (stage 1) done?")
    if not (directory / "wav.scp").is_file():
        for name, content in OTHER_DIRECTORIES.items():
            if (directory / name).exists():
                raise UserError(f"{directory} {content}, it is not a data directory: give the one that has wav.scp")
    _check_feature_type(directory)
    for name in ("wav.scp", *require):
        if not (directory / name).is_file():
            raise UserError(f"{directory}: file {name} is missing, a data directory needs it; run stage 1 again")
    audio = "segments" if (directory / "segments").is_file() else "wav.scp"
    return [audio, *(name for name in ROW_TABLES if (directory / name).is_file())]


def make_builder(directory: Path, tables: Sequence[str], recordings: Mapping[str, Line] | None = None) -> RowBuilder:
    """The row builder of a directory with these tables; recordings are read from wav.scp when they are not given.

    Raises:
        UserError: a recording occurs twice or a line of it is unreadable.
    """
    if "segments" in tables and recordings is None:
        recordings = {}
        for line in read_lines(directory / "wav.scp"):
            if line.problem is not None:
                raise line.problem.error()
            if line.key in recordings:
                cure = f"run utils/fix_data_dir.sh {directory}"
                raise UserError(f"{line.where}: recording {line.key!r} occurs twice; {cure}")
            recordings[line.key] = line
    return RowBuilder(directory, recordings, [name for name in COMPLETE_TABLES if name in tables])


def _interned(value: str | None) -> str | None:
    return None if value is None else sys.intern(value)


def _check_feature_type(directory: Path) -> None:
    """ESPnet's dump directories say in `feats_type` what wav.scp's place holds; only raw audio will do."""
    path = directory / "feats_type"
    if path.is_file() and (kind := path.read_text(encoding="utf-8", errors="replace").strip()) != "raw":
        raise UserError(f"{directory} holds {kind} features, not audio: give a data directory of raw audio")


def _string_list(table: str, what: str, line: Line | None) -> tuple[str, ...] | Problem:
    """The strings of a table whose values are JSON lists."""
    if line is None or not line.value:
        return ()
    try:
        strings = json.loads(line.value)
    except json.JSONDecodeError:
        strings = None
    if not isinstance(strings, list) or not all(isinstance(string, str) for string in strings):
        message = f'expected a JSON list of {what} such as ["a", "b c"], found {line.value!r}'
        return Problem(f"bad {table}", line.where, message)
    return tuple(strings)
