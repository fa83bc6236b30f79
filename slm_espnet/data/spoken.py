"""Where samples are, and what a prompt holds besides one recording: further recordings, and earlier turns of a dialog.

Two optional tables of a data directory name them, each a line of JSON for an utterance:

    further_audio   utt1 ["b.wav", {"audio": "talk.flac", "start": 3.5, "stop": 6.0, "transcript": "yes, please"}]
    history         utt1 [{"role": "user", "audio": "q.wav", "transcript": "what time is it"},
                          {"role": "assistant", "content": "noon"}]

A recording is a value as in wav.scp, or an object with one as `audio`, and `start`, `stop` (seconds) and `transcript`
where they are known. A turn has the words that were written (`content`), or is a recording. The recordings of the
history come first in the prompt, then that of wav.scp or segments, then those of further_audio.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

from slm_espnet.data.table import Line, Problem

ROLES = ("user", "assistant")
OF_RECORDING = ("audio", "start", "stop", "transcript")
Refusal = str  # what is wrong with a value


def is_span(start: float, stop: float | None) -> bool:
    """Whether two times in seconds are the begin and the end (None: that of the recording) of a part of a recording.

    Tables written by pandas hold `nan` for what is missing: it is no time, and neither is `inf`.
    """
    return 0 <= start < math.inf and (stop is None or start < stop < math.inf)


@dataclass(frozen=True, slots=True)
class AudioSource:
    """Where a row's samples are."""

    path: str  # value of wav.scp: a path, `command |`, or ark:offset
    start: float | None = None  # seconds; None: from the beginning
    stop: float | None = None  # seconds; None: to the end

    @property
    def key(self) -> str:
        """Name of the audio, equal for rows that share it: 20 hexadecimal digits."""
        return hashlib.sha1(f"{self.path}|{self.start}|{self.stop}".encode()).hexdigest()[:20]

    def __str__(self) -> str:
        if self.start is None:
            return self.path
        return f"{self.path} from {self.start:g} s to {'the end' if self.stop is None else f'{self.stop:g} s'}"


@dataclass(frozen=True, slots=True)
class Spoken:
    """A recording, and what is said in it."""

    audio: AudioSource
    transcript: str | None = None  # None: not known

    def to_json(self) -> dict[str, Any]:
        """Plain values, without those that are not known."""
        one = self.audio
        values = {"audio": one.path, "start": one.start, "stop": one.stop, "transcript": self.transcript}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier turn of a dialog: either written or spoken."""

    role: str  # user or assistant
    words: str | None = None
    spoken: Spoken | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        said = {"content": self.words} if self.spoken is None else self.spoken.to_json()
        return {"role": self.role, **said}


def read_recordings(line: Line | None) -> tuple[Spoken, ...] | Problem:
    """The recordings of a line of further_audio; () where there is none."""
    return _read(line, "further_audio", _recording)


def read_turns(line: Line | None) -> tuple[Turn, ...] | Problem:
    """The turns of a line of history; () where there is none."""
    return _read(line, "history", _turn)


def _read(line: Line | None, table: str, read: Any) -> tuple[Any, ...] | Problem:
    """The items of a line that is a JSON list, each read by a function; or what is wrong with the first bad one."""
    if line is None or not line.value:
        return ()
    try:
        values = json.loads(line.value)
    except (json.JSONDecodeError, RecursionError):
        values = None
    if not isinstance(values, list):
        return Problem(f"bad {table}", line.where, f"expected a JSON list, found {line.value[:80]!r}; correct it")
    found = [read(value) for value in values]
    wrong = next((item for item in found if isinstance(item, Refusal)), None)
    return tuple(found) if wrong is None else Problem(f"bad {table}", line.where, f"{wrong}; correct it")


def _recording(value: Any) -> Spoken | Refusal:
    """A recording of JSON."""
    values = {"audio": value} if isinstance(value, str) else value
    if not isinstance(values, dict) or not set(values) <= set(OF_RECORDING):
        return f"expected a path or an object with {', '.join(OF_RECORDING)}, found {value!r}"
    path, start, stop, transcript = (values.get(name) for name in OF_RECORDING)
    if not isinstance(path, str) or not path.strip():
        return f"a recording needs its path as \"audio\", found {value!r}"
    are_numbers = all(time is None or isinstance(time, int | float) for time in (start, stop))
    if not are_numbers or not is_span(start or 0, stop):
        return f"the times of {value!r} are no part of a recording"
    if transcript is not None and not isinstance(transcript, str):
        return f"the transcript of {value!r} is no text"
    if start is None and stop is not None:
        start = 0
    source = AudioSource(path, None if start is None else float(start), None if stop is None else float(stop))
    return Spoken(source, " ".join(transcript.split()) or None if transcript else None)


def _turn(value: Any) -> Turn | Refusal:
    """A turn of JSON."""
    if not isinstance(value, dict) or value.get("role") not in ROLES:
        return f"a turn is an object with \"role\" ({' or '.join(ROLES)}), found {value!r}"
    said = {name: item for name, item in value.items() if name != "role"}
    if "audio" in said:
        spoken = _recording(said)
        return spoken if isinstance(spoken, Refusal) else Turn(value["role"], spoken=spoken)
    words = said.get("content")
    if set(said) != {"content"} or not isinstance(words, str) or not words.strip():
        return f"a turn has its words as \"content\", or a recording as \"audio\", found {value!r}"
    return Turn(value["role"], words=" ".join(words.split()))
