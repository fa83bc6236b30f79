"""A made-up LibriSpeech: <part>/<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac and one .trans.txt a chapter."""

from __future__ import annotations

from pathlib import Path

from corpus_harness import write_audio, write_text

PARTS = {
    "train-clean-100": ("103", "1240"), "train-clean-360": ("14", "208"), "train-other-500": ("20", "205"),
    "dev-clean": ("1272", "128104"), "dev-other": ("116", "288045"),
    "test-clean": ("1089", "134686"), "test-other": ("1688", "142285"),
}  # fmt: skip
WORDS = ("HE HOPED THERE WOULD BE STEW", "STUFF IT INTO YOU", "AFTER EARLY NIGHTFALL THE LAMPS", "HELLO BERTIE")


def make(folder: Path, utterances: int = 4) -> Path:
    """The corpus, with so many utterances in each part."""
    for index, (part, (speaker, chapter)) in enumerate(PARTS.items()):
        lines = []
        for number in range(utterances):
            name = f"{speaker}-{chapter}-{number:04d}"
            write_audio(folder / part / speaker / chapter / f"{name}.flac", 0.8 + 0.1 * number, 7 * index + number)
            lines.append(f"{name} {WORDS[number % len(WORDS)]}\n")
        write_text(folder / part / speaker / chapter / f"{speaker}-{chapter}.trans.txt", "".join(lines))
    return folder
