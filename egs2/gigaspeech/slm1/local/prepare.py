"""GigaSpeech as data directories; entries of GigaSpeech.json through lhotse's parser (`lhotse.recipes.gigaspeech`).

    python3 local/prepare.py --corpus /corpora/GigaSpeech --data_dir data --train_subset M

Writes train_<subset>, dev and test. The catalogue (2 GB of JSON) is read as a stream. Punctuation tags such as <COMMA>
go, text is in lower case; utterances that are only <SIL>, <MUSIC>, <NOISE> or <OTHER> are left out by design.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slm_espnet.data.corpus import CorpusWriter, corpus_folder, corpus_parser
from slm_espnet.data.lhotse_bridge import audio_source, lhotse_recipe
from slm_espnet.data.utterance import Utterance, add_recognition
from slm_espnet.errors import UserError, run_main

CATALOGUE = "GigaSpeech.json"
SUBSETS = ("XS", "S", "M", "L", "XL")  # each is part of the next
AUDIO_KEYS = ("aid", "path", "duration", "sample_rate", "channels", "subsets", "segments")
SEGMENT_KEYS = ("sid", "begin_time", "end_time", "text_tn", "speaker", "subsets")
GARBAGE = ("<SIL>", "<MUSIC>", "<NOISE>", "<OTHER>")
TAG = re.compile(r"<[A-Z]+>")
CHUNK = 1 << 22  # characters that are read at a time


def stream_audios(path: Path) -> Iterator[dict[str, Any]]:
    """Entries of the catalogue's list `audios`, one at a time.

    Raises:
        UserError: not readable, without such a list, or it ends within an entry.
    """
    decoder, rest, begun = json.JSONDecoder(), "", False
    try:
        with open(path, encoding="utf-8") as file:
            while chunk := file.read(CHUNK):
                rest += chunk
                if not begun:
                    found = re.search(r'"audios"\s*:\s*\[', rest)
                    if found is None:
                        continue
                    begun, rest = True, rest[found.end() :]
                at = 0
                while (start := _next_item(rest, at)) is not None:
                    if rest[start] == "]":
                        return
                    try:
                        item, at = decoder.raw_decode(rest, start)
                    except json.JSONDecodeError:
                        break  # the entry goes on in the next chunk
                    yield item
                rest = rest[at:]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); is GIGASPEECH= in db.sh right?") from error
    what = f"ends within an entry: {rest[:60]!r}" if begun else 'has no list "audios"'
    raise UserError(f"{path}: {what}; download it again")


def _next_item(text: str, at: int) -> int | None:
    """Where the next entry or the closing bracket begins."""
    while at < len(text):
        if text[at] not in " \t\r\n,":
            return at
        at += 1
    return None


def add_audio(writer: CorpusWriter, audio: dict[str, Any], set_name: str, subset: str, where: str) -> None:
    """Add the segments of a recording that belong to a subset."""
    root = writer.options.corpus
    wanted = []
    for segment in audio["segments"]:
        if not all(key in segment for key in SEGMENT_KEYS):
            missing = ", ".join(key for key in SEGMENT_KEYS if key not in segment)
            writer.leave_out(set_name, str(segment.get("sid", "-")), "malformed entry", where, f"has no {missing}")
        elif subset in segment["subsets"]:
            wanted.append(segment)
    recording, segments = lhotse_recipe("gigaspeech").parse_utterance({**audio, "segments": wanted}, root)
    for segment in segments:
        if segment.text.strip() in GARBAGE:
            writer.leave_out(set_name, segment.id, "no words", where, segment.text, unwanted=True)
            continue
        text = " ".join(TAG.sub(" ", segment.text).lower().split())
        speaker = recording.id if segment.speaker in ("N/A", "", None) else segment.speaker
        source = audio_source(recording, segment)
        add_recognition(writer, Utterance(set_name, segment.id, source, text, "en", speaker, where))


def prepare(options: argparse.Namespace) -> None:
    """Write the three sets."""
    options.corpus = corpus_folder(options.corpus, "GIGASPEECH", CATALOGUE, "audio")
    if options.train_subset not in SUBSETS:
        raise UserError(f"unknown subset {options.train_subset}; known: {', '.join(SUBSETS)}")
    sets = {f"train_{options.train_subset}": f"{{{options.train_subset}}}", "dev": "{DEV}", "test": "{TEST}"}
    writer = CorpusWriter(options)
    for number, audio in enumerate(stream_audios(options.corpus / CATALOGUE), 1):
        missing = [key for key in AUDIO_KEYS if key not in audio]
        where = f"{options.corpus / CATALOGUE}, audio {number} ({audio.get('aid', 'without aid')})"
        if missing:
            writer.leave_out(next(iter(sets)), "-", "malformed entry", where, f"has no {', '.join(missing)}")
            continue
        for set_name, subset in sets.items():
            if subset in audio["subsets"]:
                add_audio(writer, audio, set_name, subset, where)
    for set_name in sets:
        writer.expect(set_name)
    writer.finish()


def main() -> None:
    """Run the command line."""
    parser = corpus_parser(__doc__)
    parser.add_argument("--train_subset", default="M", help=f"one of {', '.join(SUBSETS)}: 10 h to 10,000 h")
    prepare(parser.parse_args())


if __name__ == "__main__":
    run_main(main)
