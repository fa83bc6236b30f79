"""English Broadcast News (HUB4) as data directories, through lhotse's recipe (`lhotse.recipes.broadcast_news`).

    python3 local/prepare.py --corpus /corpora/hub4 --data_dir data

Reads LDC98S71 (*.sph) and LDC98T28 (*.sgml) anywhere below one folder. lhotse pairs them by their order; here they are
paired by name, so that one missing file costs one episode. Writes train, and dev and test of whole episodes held out.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import re
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from slm_espnet.data.channel import sphere_source
from slm_espnet.data.corpus import CorpusWriter, corpus_folder, corpus_parser
from slm_espnet.data.datadir import AudioSource
from slm_espnet.data.lhotse_bridge import lhotse_recipe
from slm_espnet.data.utterance import Utterance, add_recognition
from slm_espnet.errors import UserError, run_main

if TYPE_CHECKING:
    from lhotse import SupervisionSegment

SOUNDS = re.compile(r"\[[^\]]*\]|\{[^}]*\}|<[^>]*>")  # [pause], {breath}, <foreign>
MARKS = re.compile(r"[\"()?!,;:*+^@%~#]|\.(?=\s|$)|--")  # punctuation; ^ name, @ new word, % hesitation


def plain_words(text: str) -> str:
    """Words of a HUB4 transcript, in lower case; letters spelled out, `_C_N_N` or `C.N.N.`, are single words."""
    text = MARKS.sub(" ", SOUNDS.sub(" ", text))
    text = re.sub(r"_(?=[A-Za-z](?:\b|_))|(?<=\b[A-Za-z])\.(?=[A-Za-z]\b)|_", " ", text)
    return " ".join(word for word in text.lower().split() if word.strip("-.'"))


def episodes(root: Path) -> dict[str, Path]:
    """Transcripts by the names of their episodes, in an order that has nothing to do with dates and programs."""
    found = {path.stem.lower(): path for pattern in ("*.sgml", "*.sgm") for path in root.rglob(pattern)}
    if not found:
        raise UserError(f"{root}: there is no *.sgml; is LDC98T28 below it?")
    return {name: found[name] for name in sorted(found, key=lambda name: hashlib.sha1(name.encode()).digest())}


def transcript(path: Path) -> str:
    """The text of a transcript, which is UTF-8 or, in the first pressings, Latin-1."""
    data = path.read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def stops(segments: list[SupervisionSegment]) -> list[float]:
    """Ends in seconds: lhotse lets a part of a turn that overlaps another speaker last to the turn's end; here it ends
    where the same speaker's next part begins."""
    found = [round(segment.start + segment.duration, 6) for segment in segments]
    for i, (segment, following) in enumerate(itertools.pairwise(segments)):
        if segment.speaker == following.speaker and segment.start < following.start < found[i]:
            found[i] = following.start
    return found


def add_episode(writer: CorpusWriter, set_name: str, path: Path, audio: Path | None) -> None:
    """Add the segments of an episode; one that lhotse cannot parse is left out as a whole."""
    name = path.stem
    if audio is None:
        writer.leave_out(set_name, name, "missing audio", str(path), f"there is no {name}.sph")
        return
    try:
        source, seconds = sphere_source(audio, 0)
    except UserError as error:
        writer.leave_out(set_name, name, "unreadable audio", str(path), str(error))
        return
    writer.recording_seconds(source, seconds)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_text(transcript(path), encoding="utf-8")
        try:
            segments = lhotse_recipe("broadcast_news").make_supervisions(copy, SimpleNamespace(id=name))["segments"]
        except (AttributeError, KeyError, ValueError) as error:  # no episode, no times, times that are no numbers
            message = f"lhotse cannot read it ({type(error).__name__}: {error})"
            writer.leave_out(set_name, name, "malformed transcript", str(path), message)
            return
    for segment, stop in zip(segments, stops(segments), strict=True):
        first, last = round(segment.start * 1000), round(stop * 1000)
        utt_id = f"{name}_{first:07d}_{last:07d}"
        where = f"{path} at {segment.start:g} s"
        words = plain_words(segment.text)
        if not words:
            writer.leave_out(set_name, utt_id, "no words", where, segment.text, unwanted=True)
            continue
        speaker = f"{name}-{re.sub(r'[^A-Za-z0-9]+', '_', segment.speaker)}"
        span = AudioSource(source, segment.start, stop)
        add_recognition(writer, Utterance(set_name, utt_id, span, words, "en", speaker, where))


def prepare(options: argparse.Namespace) -> None:
    """Write the three sets."""
    root = corpus_folder(options.corpus, "BROADCAST_NEWS")
    recordings = {path.stem.lower(): path for path in root.rglob("*.sph")}
    found = episodes(root)
    if len(found) <= 2 * options.held_out:
        message = f"has {len(found)} episodes, of which {options.held_out} each are to be dev and test; see --held_out"
        raise UserError(f"{root}: {message}")
    writer = CorpusWriter(options)
    for number, (name, path) in enumerate(found.items()):
        held_out = ("dev", "test")[number // options.held_out] if number < 2 * options.held_out else "train"
        add_episode(writer, held_out, path, recordings.get(name))
    for name in sorted(set(recordings) - set(found)):
        writer.leave_out("train", name, "recording without transcript", str(recordings[name]))
    writer.finish()


def main() -> None:
    """Run the command line."""
    parser = corpus_parser(__doc__)
    parser.add_argument("--held_out", type=int, default=6, help="episodes that are dev, and as many that are test")
    prepare(parser.parse_args())


if __name__ == "__main__":
    run_main(main)
