"""Files and folders of a command line as recordings, and where the answers about each go. No torch here."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slm_espnet.data import ffmpeg
from slm_espnet.errors import UserError
from slm_espnet.files import content_key

SUFFIXES = (
    ".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au", ".sph", ".w64", ".caf", ".rf64",
)  # fmt: skip  # what is taken of a folder; a file that is named itself may have any
RESERVED = ("transcribe", "failed")  # transcribe.json and failed.tsv of an output folder are the command's own


@dataclass(frozen=True)
class RecordingFile:
    """One recording."""

    path: Path
    name: str  # of its outputs, below the output folder and without their suffix

    def outputs(self, folder: Path, formats: Sequence[str]) -> list[Path]:
        """A file for each format."""
        return [folder / f"{self.name}.{suffix}" for suffix in formats]

    def is_done(self, folder: Path, formats: Sequence[str], contents: Mapping[str, str]) -> bool:
        """All outputs are there, and are of what the recording holds, as far as that was noted by its name."""
        if not all(file.is_file() for file in self.outputs(folder, formats)) or not self.path.is_file():
            return False
        return contents.get(self.name) in (None, content_key(self.path))


def find_recordings(given: Sequence[str]) -> list[RecordingFile]:
    """Recordings in the order given, those of a folder sorted by name; each once.

    Outputs are named as the recordings are, below a folder by the path in it; where two would be the same, the
    recording's suffix stays a part of the name.

    Raises:
        UserError: a folder has no recording, or two recordings would have the same outputs.

    Of a folder hidden files and `__MACOSX` are left out, and links are followed. Kinds of audio that need ffmpeg are
    taken where it is installed, else counted in one line of the log.
    """
    found: dict[Path, tuple[Path, Path]] = {}  # resolved → path, name with suffix
    for text in given:
        path = Path(text)
        if path.is_dir():
            for file in _inside(path):
                found.setdefault(file.resolve(), (file, file.relative_to(path)))
        else:
            found.setdefault(path.resolve(), (path, Path(path.name)))
    counts = Counter(dict.fromkeys(map(Path, RESERVED), 1))
    counts.update(_stem(name) for _, name in found.values())
    recordings = [
        RecordingFile(path, str(name if counts[_stem(name)] > 1 else name.with_suffix("")))
        for path, name in found.values()
    ]
    own = [recording.path for recording in recordings if recording.name.lower() in RESERVED]
    if own:
        raise UserError(f"{own[0]}: its answers would be named as files of this command are; rename the recording")
    twice = [name for name, count in Counter(recording.name for recording in recordings).items() if count > 1]
    if twice:
        raise UserError(f"several recordings are named {twice[0]}; give the folder above them instead of the files")
    return recordings


def _stem(name: Path) -> Path:
    """The name of outputs, where it is free; as file systems that do not tell A from a have reserved names."""
    stem = name.with_suffix("")
    return Path(str(stem).lower()) if str(stem).lower() in RESERVED else stem


def _inside(folder: Path) -> list[Path]:
    """Recordings of a folder and of those below it, sorted; each folder once, however it is linked."""
    suffixes = (*SUFFIXES, *ffmpeg.SUFFIXES) if ffmpeg.is_installed() else SUFFIXES
    found, others, seen = [], Counter(), set()
    for root, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        for path in (Path(root, name) for name in files if not name.startswith(".")):
            suffix = path.suffix.lower()
            if suffix in suffixes and path.is_file():
                found.append(path)
            elif suffix in ffmpeg.SUFFIXES:
                others[suffix] += 1
    kinds = ", ".join(f"{suffix} ({count})" for suffix, count in sorted(others.items()))
    left_out = f"{others.total()} files need the program ffmpeg, which is not installed: {kinds}; {ffmpeg.CURE}"
    if not found:
        cure = left_out if others else "name the files themselves"
        raise UserError(f"{folder} has no recordings ({' '.join(suffixes)}); {cure}")
    if others:
        logging.getLogger(__name__).warning("%s: %s", folder, left_out)
    return sorted(found)
