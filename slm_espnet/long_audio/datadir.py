"""Data directories of pieces: made from recordings of any length, decoded like any other, put together again.

    wav.scp segments text prompt utt2task …   one row per piece, `<row>-0001` and so on
    pieces.tsv                                piece, row it belongs to, start, stop and overlap in seconds
    whole/                                    the rows before cutting, as a data directory
    left_out.tsv                              rows whose audio cannot be read, with the reason

The text of a piece is its share, by length, of the row's words: enough for reading along, not for training on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from slm_espnet.data.audio import AudioError
from slm_espnet.data.datadir import AudioSource, Row, present_tables, read_data_dir
from slm_espnet.data.table import read_lines, write_table
from slm_espnet.data.validate import write_speakers, write_subset
from slm_espnet.errors import UserError
from slm_espnet.files import write_atomically
from slm_espnet.long_audio.cutting import CuttingOptions, Piece, cut
from slm_espnet.long_audio.pauses import PauseFinder
from slm_espnet.long_audio.recording import File, Recording

PIECES, WHOLE, LEFT_OUT = "pieces.tsv", "whole", "left_out.tsv"
SHARED_OUT = ("text", "transcript")  # tables whose words run along the audio
NO_WORDS = "-"  # the text of a piece to which no word falls: an empty one would be taken for a mistake
Cutter = Callable[[Recording], list[Piece]]


@dataclass(frozen=True)
class Segmentation:
    """What became of a data directory."""

    rows: int  # that went in
    pieces: int
    without_pause: int  # pieces that begin in an overlap, because no pause was found
    left_out: Mapping[str, tuple[str, str]]  # row → reason, message


def make_cutter(find_pauses: PauseFinder, options: CuttingOptions) -> Cutter:
    """Cut a recording at the pauses that a finder finds; short recordings are not searched."""

    def cut_recording(recording: Recording) -> list[Piece]:
        pauses = find_pauses(recording) if recording.seconds > options.max_seconds else []
        return cut(recording.seconds, pauses, options)

    return cut_recording


def write_pieces(source: Path, target: Path, cutter: Cutter, sampling_rate: int) -> Segmentation:
    """Make a data directory of pieces.

    Args:
        source: a data directory; rows may share recordings, and be segments of them.
        target: where to; what an earlier call wrote is replaced.
        cutter: recording → pieces.
        sampling_rate: Hz at which recordings are read.

    Raises:
        UserError: the source is not right, or nothing can be read.
    """
    if source.resolve() == target.resolve():
        raise UserError(f"{target}: the pieces need a directory of their own")
    rows = read_data_dir(source, require=("wav.scp",))
    cuts: dict[str, list[Piece]] = {}
    reasons: dict[str, tuple[str, str]] = {}
    for key, audio in {row.audio.key: row.audio for row in rows}.items():
        try:
            cuts[key] = cutter(File(audio, sampling_rate))
        except AudioError as error:
            reasons[key] = (error.reason, str(error))
    kept = [row for row in rows if row.audio.key in cuts]
    left_out = {row.utt_id: reasons[row.audio.key] for row in rows if row.audio.key in reasons}
    if not kept:
        raise UserError(f"{source}: no recording can be read ({next(iter(reasons.values()))[1]})")
    target.mkdir(parents=True, exist_ok=True)
    (target / PIECES).unlink(missing_ok=True)  # until everything is there, it is no directory of pieces
    write_subset(source, {row.utt_id for row in kept}, target / WHOLE)
    _write_rows(source, target, kept, cuts)
    listed = (f"{utt_id}\t{reason}\t{message}\n" for utt_id, (reason, message) in sorted(left_out.items()))
    write_atomically(target / LEFT_OUT, "".join(listed))
    lines = ["piece\trow\tstart\tstop\toverlap\n"]
    for row in kept:
        for name, piece in named_pieces(row.utt_id, cuts[row.audio.key]):
            lines.append(f"{name}\t{row.utt_id}\t{piece.start:.3f}\t{piece.stop:.3f}\t{piece.overlap:.3f}\n")
    write_atomically(target / PIECES, "".join(lines))
    overlapping = sum(piece.overlap > 0 for row in kept for piece in cuts[row.audio.key])
    return Segmentation(len(rows), len(lines) - 1, overlapping, left_out)


def named_pieces(utt_id: str, pieces: list[Piece]) -> list[tuple[str, Piece]]:
    """Pieces with the ids of their rows."""
    return [(f"{utt_id}-{number:04d}", piece) for number, piece in enumerate(pieces, 1)]


def read_pieces(directory: Path) -> dict[str, list[tuple[str, Piece]]]:
    """Row → its pieces in order, each with its id; UserError where pieces.tsv is damaged."""
    path = directory / PIECES
    found: dict[str, list[tuple[str, Piece]]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], 2):
        fields = line.split("\t")
        try:
            name, row, start, stop, overlap = fields
            found.setdefault(row, []).append((name, Piece(float(start), float(stop), float(overlap))))
        except ValueError:
            message = f"expected piece, row, start, stop and overlap, found {line!r}"
            raise UserError(f"{path}:{number}: {message}; run slm_espnet.bin.segment again") from None
    return found


def is_pieces(directory: Path) -> bool:
    """Whether a data directory is one of pieces."""
    return (directory / PIECES).is_file()


def whole_dir(directory: Path) -> Path:
    """Where the rows to be scored are: `whole` of a directory of pieces, else the directory itself."""
    return directory / WHOLE if is_pieces(directory) else directory


def _write_rows(source: Path, target: Path, rows: list[Row], cuts: Mapping[str, list[Piece]]) -> None:
    """The tables of the pieces; wav.scp last, because a directory that has it is complete."""
    audio_table, *tables = present_tables(source)
    pieces = {row.utt_id: named_pieces(row.utt_id, cuts[row.audio.key]) for row in rows}
    shares = {row.utt_id: _weights(cuts[row.audio.key]) for row in rows}
    for table in tables:
        lines = []
        for line in read_lines(source / table):
            names = [name for name, _ in pieces.get(line.key, ())]
            values = [line.value] * len(names)
            if names and table in SHARED_OUT:
                values = share_out(line.value, shares[line.key])
            lines += zip(names, values, strict=True)
        write_table(target / table, sorted(lines))
    if "text" not in tables:  # decoding wants the table, and needs nothing of it
        write_table(target / "text", sorted((name, NO_WORDS) for named in pieces.values() for name, _ in named))
    recordings: dict[str, str] = {}  # path → id: of wav.scp where the source has segments, else of the first row
    if audio_table == "segments":
        recordings = {line.value: line.key for line in read_lines(source / "wav.scp")}
    for row in rows:
        recordings.setdefault(row.audio.path, row.utt_id)
    segments = [
        (name, f"{recordings[row.audio.path]} {_span(row.audio, piece)}")
        for row in rows
        for name, piece in pieces[row.utt_id]
    ]
    write_table(target / "segments", sorted(segments))
    write_speakers(target)
    used = {row.audio.path for row in rows}
    write_table(target / "wav.scp", sorted((name, path) for path, name in recordings.items() if path in used))


def _span(audio: AudioSource, piece: Piece) -> str:
    first = audio.start or 0.0
    return f"{first + piece.start:.3f} {first + piece.stop:.3f}"


def _weights(pieces: list[Piece]) -> list[float]:
    """Lengths of pieces without what they share with the one before."""
    return [piece.stop - piece.start - piece.overlap for piece in pieces]


def share_out(text: str, weights: list[float]) -> list[str]:
    """A text's words in order, in parts of about these weights."""
    words, total, parts, first = text.split(), sum(weights), [], 0
    reached = 0.0
    for weight in weights:
        reached += weight
        last = len(words) if len(parts) == len(weights) - 1 else round(len(words) * reached / total)
        parts.append(" ".join(words[first:last]) or NO_WORDS)
        first = last
    return parts


def count_reasons(left_out: Mapping[str, tuple[str, str]]) -> dict[str, int]:
    """How many rows were left out, by reason."""
    return dict(sorted(Counter(reason for reason, _ in left_out.values()).items()))
