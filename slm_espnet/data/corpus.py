"""What every corpus' data preparation needs: rows in, data directories and a table of what was left out.

A recipe's `local/prepare.py` reads the corpus and says for each utterance either `add` (a row) or `leave_out` (with the
reason and the place, file:line); nothing disappears silently:

    parser = corpus_parser(__doc__)                        # --corpus --data_dir --dump_dir --tasks_config --subset ...
    options = parser.parse_args()
    writer = CorpusWriter(options)
    root = corpus_folder(options.corpus, "LIBRISPEECH")    # an error names db.sh
    for where, text in writer.lines("train", root / "train.tsv"):
        ...
        prompt = writer.prompt("asr", utt_id, training=True, language="en")
        writer.add("train", Row(utt_id, AudioSource(path), words, prompt, "asr", "en", speaker), where)
    writer.finish()                                        # writes, prints the table; too much left out is an error
"""

from __future__ import annotations

import argparse
import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from slm_espnet.data.audio import AudioError, audio_seconds, check_span
from slm_espnet.data.corpus_set import LEFT_OUT, CorpusSet, one_line
from slm_espnet.data.datadir import AudioSource, Row
from slm_espnet.data.table import BYTE_ORDER_MARK, Problem
from slm_espnet.data.writer import write_data_dir
from slm_espnet.errors import UserError
from slm_espnet.tasks import Task, load_tasks
from slm_espnet.tasks.recognition import RECOGNITION_TASKS


class CorpusWriter:
    """Collects rows of several sets, then writes each as a data directory.

    Args:
        options: of a parser made by `corpus_parser`.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.sets: dict[str, CorpusSet] = defaultdict(CorpusSet)
        self._tasks: Mapping[str, Task] | None = None
        self._seconds: dict[str, float | AudioError] = {}  # by path; an error is what was wrong with it

    def prompt(self, task: str, utt_id: str, *, training: bool, **names: str) -> str:
        """The instruction of a row: in training a paraphrase drawn by seed and id, else the evaluation wording.

        Args:
            task: a name of --tasks_config.
            utt_id: decides the paraphrase together with --seed.
            training: whether the set is trained on.
            names: what the wording has fields for: language, source, target, …
        """
        rng = random.Random(f"{self.options.seed} {utt_id} {task}") if training else None
        return self.task(task).prompt(rng, **names)

    def task(self, name: str) -> Task:
        """A task of --tasks_config; it is read when first asked.

        Raises:
            UserError: the file is not right, or has no such task.
        """
        if self._tasks is None:
            self._tasks = load_tasks(self.options.tasks_config)
        if name not in self._tasks:
            raise UserError(f"{self.options.tasks_config}: has no task {name!r}; it has {', '.join(self._tasks)}")
        return self._tasks[name]

    def _is_recognition(self, name: str) -> bool:
        """Whether the tasks that were read, where a wording was asked for, say so."""
        return self._tasks is not None and name in self._tasks and self._tasks[name].is_recognition

    def add(self, set_name: str, row: Row, where: str) -> None:
        """Take a row; one that cannot be used is left out with its reason.

        Args:
            set_name: name of the data directory.
            row: white space in its texts is made single blanks.
            where: place that it comes from, as file:line.
        """
        row = replace(row, text=one_line(row.text), prompt=one_line(row.prompt))
        if row.transcript is not None:
            row = replace(row, transcript=one_line(row.transcript) or None)
        if row.transcript is None and row.task not in RECOGNITION_TASKS and self._is_recognition(row.task):
            row = replace(row, transcript=row.text or None)  # so that later stages know it without the tasks file
        found = self.sets[set_name]
        problem = _row_problem(row, where)
        if problem is None and row.utt_id in found.rows:
            other = found.rows[row.utt_id][1]
            problem = Problem("duplicate id", where, f"the id is also at {other}, which is kept")
        if problem is not None:
            found.failed.append((row.utt_id, problem))
        else:
            found.rows[row.utt_id] = (row, where)

    def leave_out(
        self, set_name: str, utt_id: str, reason: str, where: str, message: str = "", *, unwanted: bool = False
    ) -> None:
        """Count an utterance that is not used.

        Args:
            set_name: name of the data directory that it would be in.
            utt_id: its id, "-" where it has none.
            reason: a few words, the same for every case of its kind.
            where: place, as file:line.
            message: what exactly is wrong.
            unwanted: left out by design (silence, marked as not to be scored, …), not counted as a failure.
        """
        found = self.sets[set_name]
        (found.unwanted if unwanted else found.failed).append((utt_id, Problem(reason, where, message)))

    def lines(self, set_name: str, path: Path, encoding: str = "utf-8") -> Iterator[tuple[str, str]]:
        """(file:line, line without its end) of a text file; empty lines are skipped, undecodable ones left out.

        Lines end with \\n or \\r\\n alone, so that quotes, tabs and unusual separators inside of them stay.

        Raises:
            UserError: the file is missing.
        """
        try:
            data = path.read_bytes().removeprefix(BYTE_ORDER_MARK)
        except OSError as error:
            cure = "is the corpus complete, and the path in db.sh right?"
            raise UserError(f"{path}: cannot be read ({error.strerror}); {cure}") from error
        for number, raw in enumerate(data.split(b"\n"), 1):
            where = f"{path}:{number}"
            if not raw.strip():
                continue
            try:
                line = raw.removesuffix(b"\r").decode(encoding)
            except UnicodeDecodeError as error:
                message = f"byte 0x{raw[error.start]:02x} at column {error.start + 1} is not {encoding}"
                self.leave_out(set_name, "-", "not UTF-8" if encoding == "utf-8" else "bad encoding", where, message)
            else:
                yield where, line

    def folder(self, set_name: str) -> Path:
        """Where the data directory of a set is."""
        return self.options.data_dir / f"{self.options.set_prefix}{set_name}"

    def expect(self, *set_names: str) -> None:
        """Name sets that must come out: one that nothing was said about is then an error of `finish`."""
        for name in set_names:
            self.sets[name]  # noqa: B018  # made by being asked for

    def recording_seconds(self, path: str, seconds: float) -> None:
        """Tell the length of a recording that is made by a command (`… |`), whose header cannot be looked at."""
        self._seconds[path] = seconds

    def finish(self) -> None:
        """Look at the audio, write every set and the table of what was left out, print it.

        Raises:
            UserError: no set, an empty set, or more than --max_failed of a set cannot be used; then no data directory
                is written, but its left_out.tsv is.
        """
        if not self.sets:
            raise UserError(f"{self.options.corpus}: no utterance found; is this the corpus' top folder?")
        for name, found in self.sets.items():
            self._choose(found)
            folder = self.folder(name)
            found.write_left_out(folder)
            print(found.table(folder), flush=True)
        self._check_shares()
        for name, found in self.sets.items():
            write_data_dir(self.folder(name), found.kept)

    def _ordered(self, found: CorpusSet) -> list[tuple[Row, str]]:
        """Rows with their places; for --subset in an order by seed in which rows with the same audio are neighbours."""
        entries = list(found.rows.values())
        if self.options.subset:
            entries.sort(key=lambda entry: (self._draw(entry[0]), entry[0].utt_id))
        return entries

    def _draw(self, row: Row) -> bytes:
        """Where a row stands in the order of --subset: decided by --seed and by what is heard."""
        return hashlib.sha1(f"{self.options.seed} {self._heard(row.audio)}".encode()).digest()

    def _heard(self, source: AudioSource) -> str:
        """Name of what is heard, the same wherever the corpus is: path (or command) below its folder, start, stop."""
        path = source.path
        for folder in self._folders:
            path = path.replace(folder, "")
        return f"{path}|{source.start}|{source.stop}"

    @cached_property
    def _folders(self) -> list[str]:
        """Folders that the options name (corpora, data, audio that is made), the longest first; each ends in `/`."""
        named = [value for value in vars(self.options).values() if isinstance(value, Path)]
        places = {place for path in named for place in (path.absolute(), path.resolve())}
        return sorted((f"{place}/" for place in places), key=lambda folder: (-len(folder), folder))

    def _choose(self, found: CorpusSet) -> None:
        """Keep the first --subset rows."""
        for row, where in self._ordered(found):
            if self.options.subset and len(found.kept) == self.options.subset:
                break
            found.tried += 1
            problems = (self._audio_problem(source, where) for source in row.recordings)
            problem = next(filter(None, problems), None)
            if problem is None:
                found.kept.append(row)
            else:
                found.broken += 1
                found.failed.append((row.utt_id, problem))

    def _audio_problem(self, source: AudioSource, where: str) -> Problem | None:
        """What is wrong with a row's audio, as far as the recording's header shows."""
        if self.options.audio_check == "none":
            return None
        if source.path not in self._seconds:
            try:
                seconds = audio_seconds(AudioSource(source.path))
            except AudioError as error:
                self._seconds[source.path] = error
            else:
                self._seconds[source.path] = float("inf") if seconds is None else seconds  # a command: not run
        seconds = self._seconds[source.path]
        try:
            if isinstance(seconds, AudioError):
                raise seconds
            check_span(source, seconds)
        except AudioError as error:
            return Problem(error.reason, where, str(error))
        return None

    def _check_shares(self) -> None:
        for name, found in self.sets.items():
            reasons = Counter(problem.reason for _, problem in found.failed)
            listed = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()) or "none were found"
            table = self.folder(name) / LEFT_OUT
            if not found.kept:
                raise UserError(f"set {name}: no utterance can be used ({listed}); see {table}")
            if found.failed_share > self.options.max_failed:
                raise UserError(
                    f"set {name}: {found.failed_share:.1%} of the utterances cannot be used ({listed}), at most "
                    f"{self.options.max_failed:.1%} may: see {table}, mend the corpus, or allow more with --max_failed"
                )


def corpus_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every data preparation has; a recipe adds its own."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n\n")[0])
    parser.add_argument("--corpus", type=Path, required=True, help="folder of the corpus as its publisher ships it")
    parser.add_argument("--data_dir", "--datadir", type=Path, required=True, help="where the data directories go")
    parser.add_argument("--dump_dir", "--dumpdir", type=Path, default=Path("dump"), help="where made audio may go")
    parser.add_argument("--tasks_config", type=Path, default=Path("conf/tasks.yaml"), help="wordings of the tasks")
    parser.add_argument("--set_prefix", default="", help="what the names of the data directories begin with")
    parser.add_argument("--subset", type=int, default=0, help="only so many rows of each set, drawn by --seed; 0: all")
    parser.add_argument("--seed", type=int, default=1, help="seed of wordings and of --subset")
    parser.add_argument("--max_failed", type=float, default=0.01, help="share of a set that may be unusable")
    parser.add_argument("--audio_check", choices=("none", "header"), default="header", help="look at recordings or not")
    return parser


def corpus_folder(path: Path, variable: str, *parts: str) -> Path:
    """The corpus' folder, checked.

    Args:
        path: as the user gave it; `Path("")`, that is `.`, is an unset variable.
        variable: its name in db.sh.
        parts: files or folders that must be below it.

    Raises:
        UserError: not set, no such folder, or a part is missing; names the variable.
    """
    cure = f"set {variable}= in db.sh, or {variable}=/path ./run.sh"
    if path == Path(""):
        raise UserError(f"where is the corpus? {cure}")
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; {cure}")
    for part in parts:
        if not (path / part).exists():
            raise UserError(f"{path / part} is missing: is {path} the top folder of the corpus, and complete? ({cure})")
    return path.resolve()


def _row_problem(row: Row, where: str) -> Problem | None:
    if not row.utt_id or row.utt_id.split() != [row.utt_id]:
        return Problem("bad id", where, f"{row.utt_id!r} is no id: it is empty or has white space")
    if not row.text:
        return Problem("empty text", where, "there is no target")
    if not row.audio.path.strip():
        return Problem("row without audio", where, "there is no path to its audio")
    return None
