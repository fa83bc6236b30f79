"""Recordings with captions (.vtt or .srt), as yt-dlp and others store them: segments from the times of the cues.

    python3 local/prepare.py --corpus /corpora/videos --data_dir data --language de

A caption file belongs to the recording of the same name: talk.mp3 has talk.vtt, talk.srt or, with its language,
talk.en.vtt. The language is that in the file's name, else in its heading, else --language. Where a recording has
captions in several languages, --language says which one is spoken. Cues that follow each other become one segment.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from captions import Captions, Piece, read_captions, spoken_pieces  # noqa: E402

from slm_espnet.data.corpus import CorpusWriter, corpus_folder, corpus_parser  # noqa: E402
from slm_espnet.data.datadir import AudioSource  # noqa: E402
from slm_espnet.data.multilingual import iso_code  # noqa: E402
from slm_espnet.data.split import add_split_options, split_groups  # noqa: E402
from slm_espnet.data.utterance import Utterance, add_recognition  # noqa: E402
from slm_espnet.errors import UserError, run_main  # noqa: E402
from slm_espnet.files import temporary_beside  # noqa: E402
from slm_espnet.tasks.languages import language_name  # noqa: E402

READABLE = (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff")
CONVERTED = (".m4a", ".mp4", ".webm", ".mkv", ".mov", ".aac", ".wma", ".avi")
CAPTIONS = (".vtt", ".srt")
TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*")  # a language in a file's name
BLOCK_SECONDS = 120.0  # where there are fewer than three recordings, parts of this length are split into sets


@dataclass(frozen=True)
class Recording:
    """One recording with the captions that are used."""

    name: str  # path below the corpus' folder without its ending
    path: Path
    captions: Captions
    source: Path  # of the captions
    language: str


@dataclass(frozen=True)
class Segment:
    """Cues that are used as one utterance."""

    pieces: tuple[Piece, ...]

    @property
    def start(self) -> float:
        return self.pieces[0].start

    @property
    def stop(self) -> float:
        return max(piece.stop for piece in self.pieces)

    @property
    def text(self) -> str:
        return " ".join(piece.text for piece in self.pieces)


def segments_of(pieces: list[Piece], max_seconds: float, max_gap: float) -> list[Segment]:
    """Join cues: up to max_seconds, over pauses of at most max_gap, never over what must not be used.

    Once a segment has half of that length it ends at the first end of a sentence.
    """
    segments: list[Segment] = []
    open_pieces: list[Piece] = []

    def close() -> None:
        if open_pieces:
            segments.append(Segment(tuple(open_pieces)))
            open_pieces.clear()

    for piece in pieces:
        if piece.reason:
            close()
            continue
        if open_pieces:
            current = Segment(tuple(open_pieces))
            sentence_ends = current.text.endswith((".", "?", "!", "…"))
            long_enough = sentence_ends and current.stop - current.start >= max_seconds / 2
            too_long = max(piece.stop, current.stop) - current.start > max_seconds
            if long_enough or too_long or piece.start - current.stop > max_gap:
                close()
        open_pieces.append(piece)
    close()
    return segments


class Preparation:
    """Finds recordings and captions, writes train, dev and test."""

    def __init__(self, options) -> None:
        self.options = options
        self.root = corpus_folder(options.corpus, "YOUTUBE")
        self.writer = CorpusWriter(options)
        self._conversions: dict[str, str] = {}  # recording → why it could not be converted; "" where it was

    def run(self) -> None:
        """Everything."""
        found: list[tuple[Recording, Segment, str]] = []
        for recording in self._recordings():
            for problem in recording.captions.problems:
                self.writer.leave_out("train", "-", problem.reason, problem.where, problem.message)
            for segment in self._segments(recording):
                found.append((recording, segment, recording.name))
        if len({group for *_, group in found}) < 3:
            found = [(r, s, f"{r.name} {int(s.start // BLOCK_SECONDS)}") for r, s, _ in found]
        options = self.options
        groups = [group for *_, group in found]
        sets = split_groups(groups, options.seed, options.dev_share, options.test_share) if found else {}
        for recording, segment, group in found:
            self._add(sets[group], recording, segment)
        self.writer.finish()

    def _recordings(self) -> list[Recording]:
        files = sorted(path for path in self.root.rglob("*") if path.is_file() and not path.name.startswith("."))
        audio: dict[str, Path] = {}
        for path in files:
            if path.suffix.lower() in READABLE + CONVERTED:
                audio.setdefault(self._name(path), path)
        captions: dict[str, list[tuple[str, Path]]] = {}  # recording → (language in the name, captions)
        for path in (path for path in files if path.suffix.lower() in CAPTIONS):
            name, tag = self._name(path), ""
            if name not in audio and TAG.fullmatch(name.rpartition(".")[2]):
                name, _, tag = name.rpartition(".")
            if name not in audio:
                message = f"there is no recording {name} with one of the endings {' '.join(READABLE + CONVERTED)}"
                self.writer.leave_out("train", "-", "captions without recording", str(path), message)
            else:
                captions.setdefault(name, []).append((tag, path))
        for name in sorted(set(audio) - set(captions)):
            self.writer.leave_out("train", "-", "recording without captions", str(audio[name]), unwanted=True)
        chosen = (self._choose(name, audio[name], captions[name]) for name in sorted(captions))
        return [recording for recording in chosen if recording is not None]

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.root).with_suffix(""))

    def _choose(self, name: str, path: Path, candidates: list[tuple[str, Path]]) -> Recording | None:
        """The captions in the language spoken; the others are counted."""
        read = []
        for tag, source in candidates:
            try:
                captions = read_captions(source)
            except UserError as error:
                self.writer.leave_out("train", "-", "unreadable captions", str(source), str(error))
                continue
            read.append((tag or captions.language or self.options.language, captions, source))
        spoken = [entry for entry in read if self._is_spoken(entry[0], [tag for tag, *_ in read])]
        if len({iso_code(tag) for tag, *_ in spoken}) > 1:
            message = f"captions in {', '.join(tag or 'no language' for tag, *_ in spoken)}: which one is spoken? say "
            self.writer.leave_out("train", "-", "several languages", str(path), f"{message}--language")
            return None
        for entry in read:
            if entry not in spoken[:1]:
                self.writer.leave_out("train", "-", "further captions", str(entry[2]), unwanted=True)
        if not spoken:
            return None
        tag, captions, source = spoken[0]
        try:
            language_name(iso_code(tag))
        except UserError as error:
            message = f"{error}; or give the language with --language" if tag else "say which it is with --language"
            self.writer.leave_out("train", "-", "unknown language", str(source), message)
            return None
        return Recording(name, path, captions, source, iso_code(tag))

    def _is_spoken(self, tag: str, tags: list[str]) -> bool:
        """Whether captions are in the language spoken, as far as --language or a name such as en-orig tells."""
        if len({iso_code(other) for other in tags}) == 1:
            return True
        if self.options.language:
            return iso_code(tag) == iso_code(self.options.language)
        return tag.endswith("-orig") or not any(other.endswith("-orig") for other in tags)

    def _segments(self, recording: Recording) -> list[Segment]:
        options, kept = self.options, []
        pieces = spoken_pieces(recording.captions.cues)
        for piece in pieces:
            if piece.reason:
                self.writer.leave_out("train", "-", f"caption with {piece.reason}", piece.where, unwanted=True)
        for segment in segments_of(pieces, options.max_seconds, options.max_gap):
            seconds, where = segment.stop - segment.start, segment.pieces[0].where
            reason = ""
            if seconds < options.min_seconds:
                reason = f"shorter than {options.min_seconds:g} s"
            elif seconds > options.max_seconds:
                reason = f"longer than {options.max_seconds:g} s"
            elif len(segment.text) > options.max_rate * seconds:
                reason = f"more than {options.max_rate:g} characters a second"
            if reason:
                self.writer.leave_out("train", self._id(recording, segment), reason, where, unwanted=True)
            else:
                kept.append(segment)
        return kept

    def _id(self, recording: Recording, segment: Segment) -> str:
        name = re.sub(r"[^\w.-]+", "_", recording.name)
        return f"{name}-{round(segment.start * 100):07d}-{round(segment.stop * 100):07d}"

    def _add(self, set_name: str, recording: Recording, segment: Segment) -> None:
        utt_id, where = self._id(recording, segment), segment.pieces[0].where
        path, why = self._readable(recording)
        if why:
            self.writer.leave_out(set_name, utt_id, "recording not converted", where, why)
            return
        source = AudioSource(str(path), segment.start, segment.stop)
        speaker = re.sub(r"[^\w.-]+", "_", recording.name)
        utterance = Utterance(set_name, utt_id, source, segment.text, recording.language, speaker, where)
        add_recognition(self.writer, utterance)

    def _readable(self, recording: Recording) -> tuple[Path, str]:
        """The recording in a format that is read directly, and why there is none."""
        if recording.path.suffix.lower() in READABLE:
            return recording.path, ""
        name = str(recording.path.relative_to(self.root)).replace("/", "_")
        output = self.options.dump_dir.absolute() / "audio" / "converted" / f"{name}.flac"
        if recording.name not in self._conversions:
            self._conversions[recording.name] = "" if output.is_file() else self._convert(recording.path, output)
        return output, self._conversions[recording.name]

    def _convert(self, source: Path, output: Path) -> str:
        words = shlex.split(self.options.convert_command)
        if not words or shutil.which(words[0]) is None:
            return f"there is no program {words[0] if words else ''!r} to convert it: install it, or --convert_command"
        output.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(output, ".flac")
        command = [word.replace("{input}", str(source)).replace("{output}", str(temporary)) for word in words]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
        if done.returncode or not temporary.is_file():
            temporary.unlink(missing_ok=True)
            said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
            return f"{words[0]} says: {said[-1][:200]}"
        os.replace(temporary, output)
        return ""


def main() -> None:
    """Run the command line."""
    parser = corpus_parser(__doc__)
    add_split_options(parser, 0.05)
    parser.add_argument("--language", default="", help="language spoken, where no name and no heading says it")
    parser.add_argument("--max_seconds", type=float, default=20.0, help="longest segment")
    parser.add_argument("--min_seconds", type=float, default=1.0, help="shortest segment")
    parser.add_argument("--max_gap", type=float, default=0.7, help="longest pause between the cues of a segment")
    parser.add_argument("--max_rate", type=float, default=30.0, help="most characters a second")
    parser.add_argument(
        "--convert_command",
        default="ffmpeg -v error -nostdin -y -i {input} -vn -ac 1 -ar 16000 {output}",
        help="makes {output}, a flac file, of recordings that cannot be read directly (mp4, m4a, webm, …)",
    )
    Preparation(parser.parse_args()).run()


if __name__ == "__main__":
    run_main(main)
