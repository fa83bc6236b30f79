"""Check a data directory, report every utterance that cannot be used, and write what is left.

Good utterances beside a bad one are kept: each row is either kept or left out for one counted reason. Tables that are
merely out of order, or say the same line twice, are put in order without loss.
"""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from slm_espnet.data.datadir import AudioSource, Row, RowBuilder, make_builder, present_tables
from slm_espnet.data.table import Line, Problem, join, repaired_lines, write_table
from slm_espnet.errors import UserError

EXAMPLES = 3  # problems of each reason that a report shows
AUDIO_CHECKS = ("none", "header", "full")
# Further tables that are cut to the kept rows when a directory is written.
COPIED_TABLES = ("utt2num_samples", "utt2dur", "utt2num_frames")


@dataclass
class Report:
    """What a check found."""

    directory: Path
    kept: int = 0  # rows that can be used
    left_out: Counter[str] = field(default_factory=Counter)  # reason → rows that cannot
    examples: dict[str, list[Problem]] = field(default_factory=lambda: defaultdict(list))  # the first of each reason
    repairs: Counter[str] = field(default_factory=Counter)  # what was put in order without losing a row
    unchecked_pipes: int = 0  # rows whose audio is made by a command, which was not run

    @property
    def total(self) -> int:
        """Rows that occur anywhere in the directory."""
        return self.kept + self.left_out.total()

    @property
    def good(self) -> bool:
        """Nothing is left out and nothing has to be put in order."""
        return not self.left_out and not self.repairs.total()

    def add(self, problem: Problem) -> None:
        """Count a row that is left out."""
        self.left_out[problem.reason] += 1
        if len(self.examples[problem.reason]) < EXAMPLES:
            self.examples[problem.reason].append(problem)

    def share_is_fine(self, max_failed: float) -> bool:
        """Some row is left and at most the share `max_failed` of the rows is left out."""
        return self.kept > 0 and self.left_out.total() <= max_failed * self.total

    def check_share(self, max_failed: float) -> None:
        """Raises: UserError: no row is left, or more than the share `max_failed` of the rows is left out."""
        if not self.share_is_fine(max_failed):
            failed = self.left_out.total()
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.left_out.most_common()) or "it is empty"
            raise UserError(
                f"{self.directory}: {failed} of {self.total} utterances cannot be used ({reasons}); at most "
                f"{max_failed:.1%} may fail: mend them, or allow more with --max_failed"
            )

    def table(self) -> str:
        """The report as text: kept, left out by reason with examples, put in order."""
        rows = [("kept", self.kept), *((f"left out: {reason}", n) for reason, n in self.left_out.most_common())]
        rows += [(f"put in order: {what}", n) for what, n in sorted(self.repairs.items()) if n]
        width = max(len(name) for name, _ in rows)
        lines = [f"{self.directory}: {self.total} utterances"]
        for name, count in rows:
            lines.append(f"  {name:<{width}} {count:>9}")
            for problem in self.examples.get(name.removeprefix("left out: "), []):
                lines.append(f"      {problem.where}: {problem.message}")
        if self.unchecked_pipes:
            lines.append(f"  ({self.unchecked_pipes} made by commands in wav.scp, which were not run)")
        return "\n".join(lines)


def validate(
    directory: str | Path,
    require: tuple[str, ...] = ("wav.scp", "text"),
    *,
    audio: str = "header",
    allow_empty_text: bool = False,
) -> Report:
    """Check every row of a data directory.

    Args:
        directory: the data directory; it is not changed.
        require: files that must exist.
        audio: "none" looks at the tables only, "header" also opens each recording, "full" also reads the samples.
        allow_empty_text: keep rows without a target (test sets of silence or noise).

    Raises:
        UserError: not a data directory, or a required file is missing.
    """
    report = Report(Path(directory))
    for _ in _good_rows(report, require, audio, allow_empty_text):
        pass
    return report


def fix(
    directory: str | Path,
    output_dir: str | Path | None = None,
    require: tuple[str, ...] = ("wav.scp", "text"),
    *,
    audio: str = "header",
    allow_empty_text: bool = False,
    max_failed: float = 0.01,
) -> Report:
    """Write the usable rows of a directory, in order, to output_dir or (None) in its place.

    In place, the files as they were are kept in `<directory>/.backup`; a directory that is good is not touched.
    Nothing is written when more than max_failed of the rows would be left out: `Report.check_share` says so.

    Raises:
        UserError: as `validate`.
    """
    directory = Path(directory)
    report = Report(directory)
    ids = {row.utt_id for row in _good_rows(report, require, audio, allow_empty_text)}
    if report.share_is_fine(max_failed) and (output_dir is not None or not report.good):
        write_subset(directory, ids, Path(output_dir) if output_dir is not None else directory)
    return report


def write_subset(directory: Path, ids: set[str], output_dir: Path) -> None:
    """Write the rows `ids` of a directory to another one, or in its place; spk2utt is made anew."""
    output_dir.mkdir(parents=True, exist_ok=True)
    names = [*present_tables(directory), *(name for name in COPIED_TABLES if (directory / name).is_file())]
    sources = directory
    if output_dir.resolve() == directory.resolve():
        sources = directory / ".backup"
        sources.mkdir(exist_ok=True)
        for name in {*names, "wav.scp", "spk2utt"}:
            if (directory / name).is_file():
                shutil.copy2(directory / name, sources / name)
    repairs: Counter[str] = Counter()
    for name in names:
        lines = repaired_lines(sources / name, repairs)
        write_table(output_dir / name, ((line.key, line.value) for line in lines if line.key in ids))
    if "segments" in names:
        _write_recordings(sources / "wav.scp", output_dir)
    write_speakers(output_dir)


def write_speakers(directory: Path) -> None:
    """Make spk2utt from utt2spk, where there is one."""
    if not (directory / "utt2spk").is_file():
        return
    speakers: dict[str, list[str]] = defaultdict(list)
    for line in repaired_lines(directory / "utt2spk", Counter()):
        speakers[line.value].append(line.key)
    write_table(directory / "spk2utt", ((speaker, " ".join(speakers[speaker])) for speaker in sorted(speakers)))


def _write_recordings(wav_scp: Path, output_dir: Path) -> None:
    used = {line.value.split()[0] for line in repaired_lines(output_dir / "segments", Counter())}
    lines = repaired_lines(wav_scp, Counter())
    write_table(output_dir / "wav.scp", ((line.key, line.value) for line in lines if line.key in used))


def _good_rows(report: Report, require: tuple[str, ...], audio: str, allow_empty_text: bool) -> Iterator[Row]:
    """Rows that can be used, streaming; the others are counted in the report."""
    if audio not in AUDIO_CHECKS:
        raise UserError(f"unknown audio check {audio!r}; one of {', '.join(AUDIO_CHECKS)}")
    directory = report.directory
    tables = present_tables(directory, require)
    builder = _builder(directory, tables, report)
    check_audio = _AudioCheck(audio)
    for utt_id, lines in join({name: repaired_lines(directory / name, report.repairs) for name in tables}):
        row = builder.build(utt_id, lines)
        if isinstance(row, Row):
            row = _row_problem(row, lines, check_audio, allow_empty_text) or row
        if isinstance(row, Problem):
            report.add(row)
            continue
        report.kept += 1
        report.unchecked_pipes += audio != "full" and row.audio.path.endswith("|")
        yield row


def _builder(directory: Path, tables: list[str], report: Report) -> RowBuilder:
    recordings: dict[str, Line] | None = None
    if "segments" in tables:
        recordings = {line.key: line for line in repaired_lines(directory / "wav.scp", report.repairs)}
    return make_builder(directory, tables, recordings)


def _row_problem(row: Row, lines: dict[str, Line], check_audio: _AudioCheck, allow_empty_text: bool) -> Problem | None:
    if not row.text and "text" in lines and not allow_empty_text:
        message = f"utterance {row.utt_id!r} has an empty target; write it, or remove the utterance"
        return Problem("empty target", lines["text"].where, message)
    for source in row.recordings:
        problem = check_audio(source, next(iter(lines.values())).where)
        if problem is not None:
            return problem
    return None


class _AudioCheck:
    """Opens each recording span once, as far as asked, and remembers what was wrong with it."""

    def __init__(self, extent: str) -> None:
        self.extent = extent
        self.found: dict[AudioSource, tuple[str, str] | None] = {}

    def __call__(self, source: AudioSource, where: str) -> Problem | None:
        if self.extent == "none":
            return None
        if source not in self.found:
            self.found[source] = self._look(source)
        found = self.found[source]
        return None if found is None else Problem(found[0], where, found[1])

    def _look(self, source: AudioSource) -> tuple[str, str] | None:
        from slm_espnet.data.audio import AudioError, audio_seconds, read_audio

        try:
            if self.extent == "full":
                read_audio(source, 16000)
            else:
                audio_seconds(source)
        except AudioError as error:
            return error.reason, str(error)
        return None
