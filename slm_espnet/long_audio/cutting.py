"""Where a long recording is cut: at its longest pauses, and with an overlap where there is none.

A piece is as long as it can be (context helps, and every cut is a risk) but no longer than what encoder and LLM take.
Speech that goes on for longer is cut anyway; the next piece then begins earlier than the last one ended, so that every
word is whole in one of the two, and merging.py puts the texts together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slm_espnet.long_audio.pauses import Pause


@dataclass(frozen=True)
class CuttingOptions:
    """Lengths in seconds."""

    max_seconds: float = 25.0  # longest piece
    min_seconds: float = 8.0  # a piece is not cut shorter than this, unless the recording ends
    overlap_seconds: float = 4.0  # how much two pieces share where no pause is between them
    padding_seconds: float = 0.3  # of a pause that stay at each side; what a longer pause has more is left out

    def __post_init__(self) -> None:
        if not 0 < self.min_seconds < self.max_seconds:
            raise ValueError(f"min_seconds must be above 0 and below max_seconds {self.max_seconds:g}")
        if not 0 < self.overlap_seconds < self.max_seconds / 2:
            raise ValueError("overlap_seconds must be above 0 and below half of max_seconds")
        if self.padding_seconds < 0:
            raise ValueError("padding_seconds cannot be negative")


@dataclass(frozen=True)
class Piece:
    """A part of a recording."""

    start: float  # seconds
    stop: float  # seconds
    overlap: float = 0.0  # seconds at its beginning that the piece before it has, too; 0: it begins at a pause


def cut(seconds: float, pauses: Sequence[Pause], options: CuttingOptions | None = None) -> list[Piece]:
    """Pieces of a recording, in order, at least one.

    A recording that is short enough stays whole. Of others the silence at both ends and within long pauses is left out.

    Args:
        seconds: length of the recording.
        pauses: (start, stop) in seconds, sorted, without overlap.
        options: lengths.
    """
    options = options or CuttingOptions()
    if seconds <= options.max_seconds:
        return [Piece(0.0, seconds)]
    begin, end = _speech_span(seconds, pauses, options.padding_seconds)
    if end <= begin:  # nothing is heard; what is recognized in it is still asked for
        return [Piece(0.0, options.max_seconds)]
    pieces: list[Piece] = []
    overlap = 0.0
    while end - begin > options.max_seconds:
        latest = begin + options.max_seconds
        pause = _best_pause(pauses, begin + options.min_seconds, latest)
        if pause is None:
            pieces.append(Piece(begin, latest, overlap))
            begin, overlap = latest - options.overlap_seconds, options.overlap_seconds
        else:
            stop, following = _around(pause, latest, options.padding_seconds)
            pieces.append(Piece(begin, stop, overlap))
            begin, overlap = following, 0.0
    pieces.append(Piece(begin, end, overlap))
    return pieces


def _speech_span(seconds: float, pauses: Sequence[Pause], padding: float) -> tuple[float, float]:
    """Beginning and end of a recording without the silence around what is said."""
    begin, end = 0.0, seconds
    if pauses and pauses[0][0] <= 0:
        begin = max(0.0, pauses[0][1] - padding) if pauses[0][1] < seconds else seconds
    if pauses and pauses[-1][1] >= seconds and begin < seconds:
        end = min(seconds, pauses[-1][0] + padding)
    return begin, end


def _best_pause(pauses: Sequence[Pause], earliest: float, latest: float) -> Pause | None:
    """The longest pause whose middle lies between two times; of equal ones the last. A pause that is still going on at
    the latest time counts as far as it has come.
    """
    best, length = None, 0.0
    for start, stop in pauses:
        middle = (start + min(stop, latest)) / 2
        if earliest <= middle <= latest and min(stop, latest) - start >= length:
            best, length = (start, stop), min(stop, latest) - start
    return best


def _around(pause: Pause, latest: float, padding: float) -> tuple[float, float]:
    """End of the piece before a pause, and beginning of the one after it."""
    start, stop = pause
    middle = (start + stop) / 2
    return min(middle, start + padding, latest), max(middle, stop - padding)
