"""Answers as files: txt, srt, vtt, tsv and json. Nothing here imports torch."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from slm_espnet.long_audio.subtitles import Layout, cues_of

if TYPE_CHECKING:
    from slm_espnet.api.results import Answer


def as_txt(answer: Answer) -> str:
    """The text on one line."""
    return f"{_one_line(answer.text)}\n"


def as_srt(answer: Answer, layout: Layout | None = None) -> str:
    """SubRip subtitles; layout says what a cue may be."""
    cues = []
    for number, cue in enumerate(cues_of(answer.segments, layout), 1):
        lines = "\n".join(cue.lines)
        cues.append(f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.stop, ',')}\n{lines}\n")
    return "\n".join(cues)


def as_vtt(answer: Answer, layout: Layout | None = None) -> str:
    """WebVTT subtitles, likewise."""
    cues = []
    for cue in cues_of(answer.segments, layout):
        lines = "\n".join(html.escape(line, quote=False) for line in cue.lines)
        cues.append(f"{_clock(cue.start, '.')} --> {_clock(cue.stop, '.')}\n{lines}\n")
    return "\n".join(["WEBVTT\n", *cues])


def as_tsv(answer: Answer) -> str:
    """start, end (milliseconds) and text of each segment, as Whisper writes them."""
    rows = [f"{round(1000 * s.start)}\t{round(1000 * s.stop)}\t{_one_line(s.text)}\n" for s in answer.segments]
    return "".join(["start\tend\ttext\n", *rows])


def as_json(answer: Answer) -> str:
    """All that is known, without samples; null for a number that is not finite, which JSON does not have."""
    values = {
        "text": answer.text,
        "instruction": answer.instruction,
        "segments": [vars(segment) for segment in answer.segments],
        "ctc_hypothesis": answer.ctc_hypothesis,
        "score": _finite(answer.score),
        "truncated": answer.truncated,
        "looped": answer.looped,
        "tokens": [{**vars(token), "log_prob": _finite(token.log_prob)} for token in answer.tokens],
    }
    if answer.hearing is not None:
        values["seconds"] = round(answer.hearing.seconds, 3)
        values["frames"] = {"encoder": len(answer.hearing.times), "kept": answer.hearing.frames_kept}
    return json.dumps(values, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


SUBTITLES = ("srt", "vtt")  # which a Layout is given, too
WRITERS: dict[str, Callable[..., str]] = {
    "txt": as_txt,
    "srt": as_srt,
    "vtt": as_vtt,
    "tsv": as_tsv,
    "json": as_json,
}


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _clock(seconds: float, point: str) -> str:
    """hh:mm:ss and milliseconds."""
    whole, milliseconds = divmod(round(1000 * seconds), 1000)
    minutes, second = divmod(whole, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02d}:{minute:02d}:{second:02d}{point}{milliseconds:03d}"
