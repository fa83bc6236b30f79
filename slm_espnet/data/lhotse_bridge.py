"""From lhotse's manifests to rows. Most public corpora are read by lhotse's own recipes (`lhotse.recipes`).

Those recipes are made for whole and faultless corpora: one bad file ends them, and what does not fit (segments past
the end of a recording, missing audio) they drop with at most a log line. `faithful` makes one of them carry on and hand
over everything, and `add_manifests` then takes what can be used and leaves out the rest with its reason:

    with faithful("mls") as recipe:
        manifests = recipe.prepare_mls(root, opus=False)
    for part, name in (("train", "train_de"), ...):
        add_manifests(writer, name, **manifests["german"][part], make_row=make_row)

Recipes whose parser of one file or line can be called are better called so, behind `CorpusWriter.lines`.
lhotse is only imported when it is needed.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from slm_espnet import compat
from slm_espnet.data.corpus import CorpusWriter
from slm_espnet.data.datadir import AudioSource, Row, is_span
from slm_espnet.errors import UserError

if TYPE_CHECKING:
    from lhotse import Recording, RecordingSet, SupervisionSegment, SupervisionSet


@contextmanager
def faithful(recipe: str) -> Iterator[ModuleType]:
    """A module of lhotse.recipes that, inside of the context, neither drops supervisions nor stops at bad audio.

    Recordings that cannot be opened have no samples (`num_samples` 0); `add_manifests` finds out why. Jobs in other
    processes are not covered: leave num_jobs at 1, or use threads.

    Raises:
        UserError: lhotse is not installed, or the recipe ended with an error (bad line, missing folder, …).
    """
    module = lhotse_recipe(recipe)
    with compat.unfiltered_lhotse(module):
        try:
            yield module
        except (AssertionError, ValueError, KeyError, IndexError, FileNotFoundError, UnicodeDecodeError) as error:
            what = f"{type(error).__name__}: {error}"
            raise UserError(f"lhotse's recipe {recipe} cannot read this corpus ({what}); is it complete?") from error


def lhotse_recipe(name: str) -> ModuleType:
    """The module lhotse.recipes.<name>; without it: a UserError that says what to install."""
    try:
        return importlib.import_module(f"lhotse.recipes.{name}")
    except ImportError as error:
        cure = "run `make install`, or pip install lhotse beautifulsoup4"
        raise UserError(f"lhotse is needed for this corpus ({error}); {cure}") from error


def add_manifests(
    writer: CorpusWriter,
    set_name: str,
    recordings: RecordingSet,
    supervisions: SupervisionSet,
    make_row: Callable[[SupervisionSegment, AudioSource], Row | None],
) -> None:
    """Add the supervisions of a set.

    Args:
        writer: takes the rows; missing, unreadable, empty audio and segments past the end it leaves out by itself.
        set_name: name of the data directory.
        recordings, supervisions: what the recipe returned.
        make_row: makes the row of a supervision; None where the recipe does not want it (music, silence, …).
    """
    by_id = {recording.id: recording for recording in recordings}
    for supervision in supervisions:
        where = f"{set_name}:{supervision.id}"
        recording = by_id.get(supervision.recording_id)
        if recording is None:
            message = f"recording {supervision.recording_id} does not exist"
            writer.leave_out(set_name, supervision.id, "segment without recording", where, message)
            continue
        row = make_row(supervision, audio_source(recording, supervision))
        if row is None:
            writer.leave_out(set_name, supervision.id, "not wanted", where, supervision.text or "", unwanted=True)
        else:
            writer.add(set_name, row, where)


def audio_source(recording: Recording, supervision: SupervisionSegment | None = None) -> AudioSource:
    """Where a supervision's audio is; without one, or where it spans the whole recording, the whole file.

    Raises:
        UserError: the recording is made of several files, or of something else than files.
    """
    if len(recording.sources) != 1 or recording.sources[0].type not in ("file", "command"):
        kinds = ", ".join(source.type for source in recording.sources)
        raise UserError(f"recording {recording.id} is made of {kinds}; one file is needed: choose a source in local/")
    source = recording.sources[0]
    path = f"{source.source} |" if source.type == "command" else str(Path(source.source).absolute())
    if supervision is None or recording.num_samples == 0:
        return AudioSource(path)
    if supervision.start == 0 and abs(supervision.duration - recording.duration) < 0.005:
        return AudioSource(path)
    return AudioSource(path, supervision.start, round(supervision.start + supervision.duration, 6))


@dataclass(frozen=True)
class Screened:
    """A copy of a text file that has only the lines that its parser can read."""

    source: Path  # the file itself
    path: Path  # the copy
    places: tuple[str, ...]  # file:line in the source of each line of the copy, those of the head apart


@contextmanager
def screened(
    writer: CorpusWriter,
    set_name: str,
    paths: Iterable[Path],
    complaint: Callable[[str], str | None],
    *,
    head: str = "",
    encoding: str = "utf-8",
) -> Iterator[list[Screened]]:
    """Copies of text files without the lines that a parser would stumble over; those are left out with their place.

    Args:
        writer: counts the bad lines.
        set_name: set that they belong to.
        paths: text files with different names.
        complaint: what is wrong with a line (without its end), None where nothing is; "" for a comment to be dropped.
        head: what each copy begins with, for parsers that skip some lines.
        encoding: of the files; the copies are UTF-8.

    Yields:
        The copies, in the order of `paths`, with the same names, in a folder that goes when the context ends.
    """
    with tempfile.TemporaryDirectory() as folder:
        copies = []
        for path in paths:
            lines, places = [], []
            for where, line in writer.lines(set_name, path, encoding):
                message = complaint(line)
                if message is None:
                    lines.append(f"{line}\n")
                    places.append(where)
                elif message:
                    writer.leave_out(set_name, "-", "malformed line", where, message)
            copy = Path(folder, path.name)
            copy.write_text(head + "".join(lines), encoding="utf-8")
            copies.append(Screened(path, copy, tuple(places)))
        yield copies


def bad_times(start: str, stop: str) -> str | None:
    """A complaint for `screened`, where two fields are not the begin and end of something in seconds."""
    try:
        first, last = float(start), float(stop)
    except ValueError:
        return f"{start!r} and {stop!r} are not times in seconds"
    return None if is_span(first, last) else f"the segment from {start} to {stop} s is no part of a recording"
