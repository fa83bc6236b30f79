"""Caption files (WebVTT, SubRip) → what is said when.

Captions are made for the eye: automatic ones repeat each line while the next one grows, a cue ends where the line was
full, sounds stand in brackets, lyrics between notes, speakers behind dashes. `spoken_pieces` undoes that.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slm_espnet.data.json_files import has_undecoded
from slm_espnet.data.table import NOT_UTF_8, Problem
from slm_espnet.errors import UserError

TIMES = re.compile(r"\s*(\d+:)?(\d{1,2}):(\d{2})[.,](\d{1,3})\s*-->\s*(\d+:)?(\d{1,2}):(\d{2})[.,](\d{1,3})(?:\s|$)")
VTT_BLOCKS = ("WEBVTT", "NOTE", "STYLE", "REGION")  # first words of what is no cue
LANGUAGE = re.compile(r"^Language:\s*([A-Za-z]{2,3}(?:-[A-Za-z0-9]+)*)\s*$", re.MULTILINE)
WORD_TIME = re.compile(r"<\d[\d:.]*>")  # in automatic captions, before each word
TAG = re.compile(r"<\d[\d:.]*>|</?[A-Za-z][^<>]*>|\{\\[^{}]*\}")  # also the position marks that SubRip borrows: {\an8}
NOTE = re.compile(r"\[[^\[\]]*\]|\([^()]*\)|\uff08[^\uff08\uff09]*\uff09|\u3010[^\u3010\u3011]*\u3011|\*[^*]+\*")
CENSORED = re.compile(r"\[\s*_+\s*\]")  # what automatic captions write for a word that was said
MUSIC = re.compile(r"[\u2669-\u266c]")
SPEAKER = re.compile(r"^\s*(?:(?:[-\u2010-\u2015]+(?!\d)|>>+)\s*)?(?:[A-Z][A-Z0-9 .'-]{1,30}:\s+)?")
NAMED_SPEAKER = re.compile(r"^\s*>>+\s*[A-Z][\w.'-]*(?: [A-Z][\w.'-]*){0,3}:\s+")
FLASH_SECONDS = 0.05  # of a cue that nobody could read: between two steps of a rolling caption
ROLLING_SHARE = 1 / 3  # of the cues that begin with the line before, from which captions count as rolling


@dataclass(frozen=True)
class Cue:
    """One caption as it is shown."""

    where: str  # file:line of its times
    start: float  # seconds
    stop: float
    lines: tuple[str, ...]  # as written


@dataclass(frozen=True)
class Captions:
    """A caption file."""

    language: str | None  # as its heading says
    cues: tuple[Cue, ...]  # by time
    problems: tuple[Problem, ...] = ()  # cues that are not right


@dataclass(frozen=True)
class Piece:
    """Words with their time; one without words is speech that must not be used, with the reason."""

    where: str
    start: float
    stop: float
    text: str
    reason: str = field(default="")


def read_captions(path: Path) -> Captions:
    """Cues of a .vtt or .srt file, UTF-8 or (with a byte order mark) UTF-16.

    Raises:
        UserError: missing, or there is no cue in it.
    """
    cues: list[Cue] = []
    problems: list[Problem] = []
    text = _text(path)
    for number, lines in _blocks(text):
        found = _cue(path, number, lines)
        if isinstance(found, Cue):
            cues.append(found)
        elif found is not None:
            problems.append(found)
    if not cues and not problems:
        raise UserError(f"{path}: there is no caption in it; is it a WebVTT or SubRip file?")
    language = LANGUAGE.search(text.partition("\n\n")[0]) if text.startswith("WEBVTT") else None
    cues.sort(key=lambda cue: (cue.start, cue.stop))
    return Captions(language[1] if language else None, tuple(cues), tuple(problems))


def spoken_pieces(cues: Sequence[Cue]) -> list[Piece]:
    """What is said in each cue, cleaned, without the lines that rolling captions repeat; cues that add none vanish."""
    shown = [[line for raw in cue.lines if (line := _line(raw)) is not None] for cue in cues]
    if is_rolling(cues):
        shown = _without_repeats(shown)
    pieces = []
    for cue, lines in zip(cues, shown, strict=True):
        if not lines:
            continue
        text = " ".join(line.words for line in lines if line.words)
        reason = next((line.reason for line in lines if line.reason), "" if text else "no words")
        pieces.append(Piece(cue.where, cue.start, cue.stop, "" if reason else text, reason))
    return pieces


def clean_line(text: str) -> str:
    """A line of a caption without tags, sounds, speaker marks and invisible characters; "" where no word is left."""
    text = html.unescape(TAG.sub("", text))
    text = "".join(" " if unicodedata.category(c) == "Zs" else c for c in text if unicodedata.category(c) != "Cf")
    text = NOTE.sub(" ", text)
    text = SPEAKER.sub("", NAMED_SPEAKER.sub("", text)).replace(">>", " ")
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text if any(c.isalnum() for c in text) else ""


def is_rolling(cues: Sequence[Cue]) -> bool:
    """Whether lines stay on the screen while the next is written, as in automatic captions."""
    if any(WORD_TIME.search(line) for cue in cues for line in cue.lines):
        return True
    lines = [[words for line in cue.lines if (words := clean_line(line))] for cue in cues]
    repeats = 0
    for before, after, cue in zip(lines, lines[1:], cues[1:], strict=False):
        grows = len(after) > 1 or cue.stop - cue.start < FLASH_SECONDS  # a line that is said twice stands by itself
        repeats += bool(before and after and before[-1] == after[0] and grows)
    return len(cues) > 2 and repeats >= ROLLING_SHARE * (len(cues) - 1)


@dataclass(frozen=True)
class _Line:
    key: str  # by which a repeated line is known
    words: str  # "" where it has none
    reason: str  # why what is said here must not be used


def _line(raw: str) -> _Line | None:
    bare = html.unescape(TAG.sub("", raw)).strip()
    if not bare:
        return None
    reason = ""
    if MUSIC.search(bare) or re.fullmatch("#.+#", bare):
        reason = "lyrics"
    elif CENSORED.search(bare):
        reason = "censored"
    words = clean_line(raw)
    return _Line(words or bare, words, reason)


def _without_repeats(shown: list[list[_Line]]) -> list[list[_Line]]:
    """Leave out of each cue the first lines that are the last ones of the cue before."""
    kept: list[list[_Line]] = []
    before: list[str] = []
    for lines in shown:
        keys = [line.key for line in lines]
        common = next(n for n in range(min(len(before), len(keys)), -1, -1) if before[len(before) - n :] == keys[:n])
        kept.append(lines[common:])
        before = keys or before
    return kept


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", "replace").replace("\ufffd", "\udcff")
    else:
        text = data.decode("utf-8-sig", "surrogateescape")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _blocks(text: str) -> list[tuple[int, list[str]]]:
    """Paragraphs with the number of their first line. A line of blanks does not end one: automatic captions have it."""
    blocks: list[tuple[int, list[str]]] = []
    current: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], 1):
        if line:
            current.append(line)
        elif current:
            blocks.append((number - len(current), current))
            current = []
    return blocks


def _cue(path: Path, number: int, lines: list[str]) -> Cue | Problem | None:
    """The cue of a paragraph, what is wrong with it, or None for what is no cue."""
    if lines[0].startswith(VTT_BLOCKS) and not any("-->" in line for line in lines[:2]):
        return None
    for offset, line in enumerate(lines[:2]):  # the first line may be a number or a name
        times = TIMES.match(line)
        if times is None:
            continue
        where, words = f"{path}:{number + offset}", lines[offset + 1 :]
        start, stop = _seconds(times.groups()[:4]), _seconds(times.groups()[4:])
        if stop <= start:
            return Problem("bad times", where, f"a caption from {start:g} to {stop:g} s; correct or remove it")
        if has_undecoded(words):
            return Problem("not UTF-8", where, f"the caption is not UTF-8; {NOT_UTF_8}")
        return Cue(where, start, stop, tuple(words))
    message = f"{lines[0][:40]!r} stands where times are expected (00:00:01.000 --> 00:00:02.000); correct or remove it"
    return Problem("caption without times", f"{path}:{number}", message.encode("utf-8", "replace").decode())


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = parts
    return int((hours or "0:")[:-1]) * 3600 + int(minutes) * 60 + int(seconds) + int(fraction.ljust(3, "0")) / 1000
