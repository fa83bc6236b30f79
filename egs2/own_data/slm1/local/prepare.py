"""A folder of recordings and a table: your own data.

    python3 local/prepare.py --corpus /my/recordings --data_dir data

The table is `data.tsv` or `data.jsonl` in the folder (--table names another): tab-separated with a heading, or one JSON
object a line. Columns, of which the first two are needed:

    audio      file, below the folder or absolute; wav, flac, mp3, ogg at any rate
    text       what the model is to write
    language   code of the language spoken (default: --language)
    start, stop   seconds, where a row is a part of its recording
    id         name of the row (default: made of the file's name)
    speaker    no speaker is in two sets, where there are three or more
    set        train, dev or test (default: drawn by seed, whole speakers or whole recordings)
    task       a name of conf/tasks.yaml (default: asr)
    prompt     the instruction (default: the task's wording)
    transcript    the words spoken, where `text` is something else
    target_language   language of `text`, where it is another than the one spoken
    context    phrases that may occur, between | (in JSON: a list)
    references all right texts, between | (in JSON: a list), where there are several
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slm_espnet.data.corpus import CorpusWriter, corpus_folder, corpus_parser
from slm_espnet.data.datadir import AudioSource, Row, is_span
from slm_espnet.data.delimited import Record, read_delimited
from slm_espnet.data.json_files import JsonRecord, read_json_lines
from slm_espnet.data.split import SPLITS, add_split_options, split_groups
from slm_espnet.data.table import Problem
from slm_espnet.errors import UserError, run_main
from slm_espnet.scoring.normalizers import NORMALIZERS
from slm_espnet.tasks.languages import language_name

NEEDED = ("audio", "text")
LISTS = ("context", "references")
TEXTS = ("audio", "text", "language", "id", "speaker", "set", "task", "prompt", "transcript", "target_language")
COLUMNS = (*TEXTS, "start", "stop", *LISTS)
TABLES = ("data.tsv", "data.jsonl")
MORE_TABLES = ("*.tsv", "*.jsonl")  # looked for where there is none of these
SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus")  # tried where the table leaves the ending out


@dataclass(frozen=True)
class Entry:
    """One row of the table."""

    where: str
    values: Mapping[str, str]  # columns with text; empty ones are missing
    start: float | None
    stop: float | None
    lists: Mapping[str, tuple[str, ...]]

    def get(self, name: str, otherwise: str = "") -> str:
        """The text of a column."""
        return self.values.get(name, otherwise)


def find_table(root: Path, name: str) -> Path:
    """The table of a folder.

    Raises:
        UserError: there is none, or it is not clear which.
    """
    if name:
        if not (root / name).is_file():
            raise UserError(f"{root / name}: there is no such table (--table)")
        return root / name
    for usual in TABLES:
        if (root / usual).is_file():
            return root / usual
    found = sorted(path for pattern in MORE_TABLES for path in root.glob(pattern))
    if len(found) == 1:
        return found[0]
    listed = f"there are {', '.join(path.name for path in found)}: say which with --table" if found else (
        f"make {root / TABLES[0]} with a heading and one line for each recording: audio<tab>text"
    )  # fmt: skip
    raise UserError(f"{root}: no table {' or '.join(TABLES)}; {listed}")


def read_table(path: Path) -> Iterable[Entry | Problem]:
    """Rows of a table; one that is not right becomes a problem.

    Raises:
        UserError: a needed column is missing, or one is unknown (most often a misspelled name).
    """
    if path.suffix == ".jsonl":
        records: Iterable[Record | JsonRecord | Problem] = read_json_lines(path)
    else:
        records = read_delimited(path, required=NEEDED)
    for record in records:
        if isinstance(record, Problem):
            yield record
            continue
        unknown = [name for name in record.values if name not in COLUMNS]
        if unknown:
            raise UserError(f"{record.where}: unknown column {', '.join(unknown)}; there are {', '.join(COLUMNS)}")
        yield _entry(record.where, record.values)


def _entry(where: str, values: Mapping[str, Any]) -> Entry | Problem:
    texts, times, lists = {}, {}, {}
    for name, value in values.items():
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        if name in LISTS:
            parts = value.split("|") if isinstance(value, str) else value
            if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
                return Problem(f"bad {name}", where, f"{value!r} is no list of texts")
            lists[name] = tuple(part.strip() for part in parts if part.strip())
        elif name in ("start", "stop"):
            try:
                times[name] = float(value)
            except (TypeError, ValueError):
                return Problem("bad times", where, f"{name} {value!r} is no number of seconds")
        elif isinstance(value, str):
            texts[name] = value.strip()
        else:
            return Problem("malformed record", where, f"{name} is {value!r}, expected a text")
    start, stop = times.get("start"), times.get("stop")
    if stop is not None and start is None:
        start = 0.0
    if start is not None and not is_span(start, stop):
        end = "the end" if stop is None else f"{stop:g} s"
        return Problem("bad times", where, f"from {start:g} s to {end} is no part of a recording")
    for name in NEEDED:
        if name not in texts:
            return Problem("row without audio" if name == "audio" else "empty text", where, f"{name} is empty")
    if "set" in texts and texts["set"] not in SPLITS:
        return Problem("unknown set", where, f"{texts['set']!r}, expected {', '.join(SPLITS)} or nothing")
    return Entry(where, texts, start, stop, lists)


class Preparation:
    """The three sets."""

    def __init__(self, options) -> None:
        self.options = options
        self.root = corpus_folder(options.corpus, "OWN_DATA")
        self.writer = CorpusWriter(options)
        self.normalize = NORMALIZERS[options.normalize]
        self.seen: dict[str, int] = {}  # name of a recording → rows so far

    def run(self) -> None:
        """Everything."""
        entries = []
        for found in read_table(find_table(self.root, self.options.table)):
            if isinstance(found, Problem):
                self.writer.leave_out("train", "-", found.reason, found.where, found.message)
            else:
                entries.append(found)
        for entry, set_name in zip(entries, self._sets(entries), strict=True):
            self._add(set_name, entry)
        self.writer.finish()

    def _sets(self, entries: list[Entry]) -> list[str]:
        """Set of each row: as the table says; else whole speakers or whole recordings where there are enough."""
        free = [entry for entry in entries if not entry.get("set")]
        if not free:
            return [entry.get("set") for entry in entries]
        named = {entry.get("set") for entry in entries}
        dev_share = 0.0 if "dev" in named else self.options.dev_share
        test_share = 0.0 if "test" in named else self.options.test_share
        for column in ("speaker", "audio", "where"):  # the last: each row by itself
            groups = [entry.where if column == "where" else entry.get(column) for entry in free]
            if all(groups) and len(set(groups)) >= len(SPLITS):
                break
        sets = split_groups(groups, self.options.seed, dev_share, test_share)
        drawn = iter(groups)
        return [entry.get("set") or sets[next(drawn)] for entry in entries]

    def _add(self, set_name: str, entry: Entry) -> None:
        utt_id, task, language = self._id(entry), entry.get("task", "asr"), entry.get("language", self.options.language)
        try:
            self.writer.task(task)
        except UserError as error:
            self.writer.leave_out(set_name, utt_id, "unknown task", entry.where, str(error))
            return
        try:
            prompt = entry.get("prompt") or self._prompt(set_name, utt_id, task, language, entry)
        except UserError as error:
            self.writer.leave_out(set_name, utt_id, "no prompt", entry.where, f"{error}; or fill the column prompt")
            return
        text = self.normalize(entry.get("text"))
        transcript = self.normalize(entry.get("transcript")) or (text if task == "asr" else None)
        row = Row(
            utt_id,
            AudioSource(str(self._audio(entry.get("audio"))), entry.start, entry.stop),
            text,
            prompt,
            task,
            language,
            re.sub(r"\s+", "_", entry.get("speaker")) or utt_id,
            context=tuple(map(self.normalize, entry.lists.get("context", ()))),
            transcript=transcript,
            references=tuple(map(self.normalize, entry.lists.get("references", ()))),
            target_language=entry.get("target_language") or None,
        )
        self.writer.add(set_name, row, entry.where)

    def _prompt(self, set_name: str, utt_id: str, task: str, language: str, entry: Entry) -> str:
        names = {"language": language, "source": language, "target": entry.get("target_language", language)}
        for code in names.values():
            language_name(code)
        return self.writer.prompt(task, utt_id, training=set_name == "train", **names)

    def _id(self, entry: Entry) -> str:
        if entry.get("id"):
            return re.sub(r"\s+", "_", entry.get("id"))
        name = re.sub(r"[^\w.-]+", "_", str(Path(entry.get("audio")).with_suffix("")).strip("/."))
        self.seen[name] = self.seen.get(name, 0) + 1
        return name if self.seen[name] == 1 else f"{name}-{self.seen[name]}"

    def _audio(self, name: str) -> Path:
        """The recording; where the table leaves the ending out, the one that is there."""
        path = self.root / name
        if path.suffix.lower() in SUFFIXES or path.is_file():
            return path
        found = [candidate for s in SUFFIXES if (candidate := path.with_name(path.name + s)).is_file()]
        return found[0] if found else path


def main() -> None:
    """Run the command line."""
    parser = corpus_parser(__doc__)
    add_split_options(parser)
    parser.add_argument("--table", default="", help=f"the table's name in the folder (default: {' or '.join(TABLES)})")
    parser.add_argument("--language", default="en", help="language spoken, where the table does not say")
    parser.add_argument(
        "--normalize",
        choices=tuple(NORMALIZERS),
        default="basic",
        help="what is done to texts: basic (default) is lower case without punctuation, none leaves them",
    )
    Preparation(parser.parse_args()).run()


if __name__ == "__main__":
    run_main(main)
