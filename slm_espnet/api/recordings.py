"""Files and folders of a command line as recordings, and where the answers about each go. No torch here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slm_espnet.errors import UserError

SUFFIXES = (
    ".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au", ".sph", ".w64", ".caf", ".rf64",
)  # fmt: skip  # what is taken of a folder; a file that is named itself may have any


@dataclass(frozen=True)
class RecordingFile:
    """One recording."""

    path: Path
    name: str  # of its outputs, below the output folder and without their suffix

    def outputs(self, folder: Path, formats: Sequence[str]) -> list[Path]:
        """A file for each format."""
        return [folder / f"{self.name}.{suffix}" for suffix in formats]

    def is_done(self, folder: Path, formats: Sequence[str]) -> bool:
        """All outputs are there, and none is older than the recording."""
        files = self.outputs(folder, formats)
        if not all(file.is_file() for file in files) or not self.path.is_file():
            return False
        return min(file.stat().st_mtime_ns for file in files) >= self.path.stat().st_mtime_ns


def find_recordings(given: Sequence[str]) -> list[RecordingFile]:
    """Recordings in the order given, those of a folder sorted by name; each once.

    Outputs are named as the recordings are, below a folder by the path in it; where two would be the same, the
    recording's suffix stays a part of the name.

    Raises:
        UserError: a folder has no recording, or two recordings would have the same outputs.
    """
    found: dict[Path, tuple[Path, Path]] = {}  # resolved → path, name with suffix
    for text in given:
        path = Path(text)
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
            if not inside:
                raise UserError(f"{path} has no recordings ({' '.join(SUFFIXES)}); name the files themselves")
            for file in inside:
                found.setdefault(file.resolve(), (file, file.relative_to(path)))
        else:
            found.setdefault(path.resolve(), (path, Path(path.name)))
    counts = Counter(name.with_suffix("") for _, name in found.values())
    recordings = [
        RecordingFile(path, str(name if counts[name.with_suffix("")] > 1 else name.with_suffix("")))
        for path, name in found.values()
    ]
    twice = [name for name, count in Counter(recording.name for recording in recordings).items() if count > 1]
    if twice:
        raise UserError(f"several recordings are named {twice[0]}; give the folder above them instead of the files")
    return recordings
