"""A made-up GigaSpeech: GigaSpeech.json and audio/<source>/<P0000>/<aid>.opus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from corpus_harness import write_audio, write_text

AUDIOS = {"POD0000000001": ("M", "L", "XL"), "YOU0000000002": ("XS", "S", "M", "L", "XL"),
          "AUD0000000003": ("L", "XL"), "POD1000000004": ("DEV",), "YOU1000000005": ("TEST",)}  # fmt: skip
SOURCES = {"POD": "podcast", "YOU": "youtube", "AUD": "audiobook"}
TEXTS = ("AS IT TURNS OUT <COMMA> IT WAS <PERIOD>", "<MUSIC>", "DO YOU KNOW <QUESTIONMARK>",
         "IT'S 5 <EXCLAMATIONPOINT>")  # fmt: skip


def entry(aid: str, subsets: tuple[str, ...]) -> dict[str, Any]:
    """A recording of 5 s with four segments."""
    tags = [f"{{{name}}}" for name in subsets]
    source = SOURCES[aid[:3]]
    segments = [
        {"sid": f"{aid}_S{i:07d}", "speaker": "N/A", "begin_time": 0.2 + 1.1 * i, "end_time": 1.2 + 1.1 * i,
         "text_tn": text, "subsets": tags}
        for i, text in enumerate(TEXTS)
    ]  # fmt: skip
    return {
        "title": 'A "title", with brackets ] }', "url": "N/A", "path": f"audio/{source}/P0000/{aid}.opus", "aid": aid,
        "source": source, "codec": "opus", "channels": 1, "md5": "0", "speaker": "N/A", "category": "Arts", "size": 1,
        "duration": 5.0, "sample_rate": 16000, "format": "opus", "subsets": tags, "segments": segments,
    }  # fmt: skip


def make(folder: Path, entries: list[dict[str, Any]] | None = None) -> Path:
    """The corpus; other entries than its own are given."""
    if entries is None:
        entries = [entry(aid, subsets) for aid, subsets in AUDIOS.items()]
    for number, audio in enumerate(entries):
        if "path" in audio:
            write_audio(folder / audio["path"], 5.0, number, format="OGG", subtype="OPUS")
    catalogue = {"dataset": "GigaSpeech", "language": "EN", "version": "v1.0.0", "audios": entries}
    write_text(folder / "GigaSpeech.json", json.dumps(catalogue, indent=4))
    return folder
