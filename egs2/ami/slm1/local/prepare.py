"""AMI as data directories; annotations and partition through lhotse's recipe (`lhotse.recipes.ami`).

    python3 local/prepare.py --corpus /corpora/amicorpus --data_dir data --mics ihm,sdm

Writes {train,dev,test}_{ihm,sdm}: the individual headset microphones, and the first microphone of the first array. The
partition is full-corpus-asr, segments are those of the annotators split at full stops, and text is normalized as in
Kaldi's recipe, in lower case. lhotse's numbering of headsets is not used: it shifts where a recording is missing.
"""

from __future__ import annotations

import argparse
import tempfile
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slm_espnet.data.corpus import CorpusWriter, corpus_folder, corpus_parser
from slm_espnet.data.datadir import AudioSource
from slm_espnet.data.lhotse_bridge import lhotse_recipe
from slm_espnet.data.split import SPLITS
from slm_espnet.data.utterance import Utterance, add_recognition
from slm_espnet.errors import UserError, run_main
from slm_espnet.options import chosen

MICS = {"ihm": "{meeting}.Headset-{channel}.wav", "sdm": "{meeting}.Array1-01.wav"}
ANNOTATIONS = "ami_public_manual_1.6.2"
Annotations = Mapping[tuple[str, str, int], list[Any]]  # (meeting, speaker, channel) → lhotse's segment annotations


def read_annotations(folder: Path, max_words: int) -> tuple[Annotations, dict[str, str]]:
    """lhotse's segments of every speaker, and what is wrong with files that it could not read, by file.

    A file that is no XML, or without the one that it belongs to, costs its speaker in its meeting, nothing else.
    """
    problems = {}
    good: dict[str, set[str]] = {}
    for kind in ("segments", "words"):
        good[kind] = set()
        for path in sorted((folder / kind).glob("*.xml")):
            try:
                ET.parse(path)
            except (ET.ParseError, UnicodeDecodeError) as error:
                problems[str(path)] = f"is not well-formed XML ({error})"
            else:
                good[kind].add(path.name.removesuffix(f".{kind}.xml"))
    for name in good["segments"] ^ good["words"]:
        missing = "words" if name in good["segments"] else "segments"
        problems.setdefault(str(folder / missing / f"{name}.{missing}.xml"), "is missing")
    usable = good["segments"] & good["words"]
    with tempfile.TemporaryDirectory() as copy:
        (Path(copy) / "corpusResources").symlink_to(folder.absolute() / "corpusResources")
        for kind in good:
            (Path(copy) / kind).mkdir()
            for name in usable:
                (Path(copy) / kind / f"{name}.{kind}.xml").symlink_to(folder.absolute() / kind / f"{name}.{kind}.xml")
        recipe = lhotse_recipe("ami")
        found = recipe.parse_ami_annotations(
            Path(copy), normalize="kaldi", max_words_per_segment=max_words, merge_consecutive=True
        )
    return found, problems


def add_segments(writer: CorpusWriter, mic: str, parts: Mapping[str, list[str]], annotations: Annotations) -> None:
    """Add what a microphone heard."""
    meetings = {meeting: part for part, names in parts.items() for meeting in names}
    files = {path.name: path for path in writer.options.corpus.rglob(MICS[mic].format(meeting="*", channel="?"))}
    for (meeting, speaker, channel), segments in sorted(annotations.items()):
        if meeting not in meetings:
            continue
        set_name = f"{meetings[meeting]}_{mic}"
        name = MICS[mic].format(meeting=meeting, channel=channel)
        for segment in segments:
            first, last = round(segment.start_time * 100), round(segment.end_time * 100)
            utt_id = f"AMI_{meeting}_{mic.upper()}_{speaker}_{first:07d}_{last:07d}"
            where = f"{meeting} {speaker} at {segment.start_time:g} s"
            if not segment.text:
                writer.leave_out(set_name, utt_id, "no words", where, unwanted=True)
            elif name not in files:
                writer.leave_out(set_name, utt_id, "missing audio", where, f"there is no {name}")
            else:
                source = AudioSource(str(files[name].absolute()), segment.start_time, segment.end_time)
                add_recognition(writer, Utterance(set_name, utt_id, source, segment.text.lower(), "en", speaker, where))


def prepare(options: argparse.Namespace) -> None:
    """Write the sets of each microphone."""
    mics = chosen(options.mics, MICS, "--mics")
    root = corpus_folder(options.corpus, "AMI")
    folder = options.annotations or root / ANNOTATIONS
    for part in ("corpusResources/meetings.xml", "segments", "words"):
        if not (folder / part).exists():
            raise UserError(f"{folder / part} is missing: unpack {ANNOTATIONS}.zip there, or give --annotations")
    parts = lhotse_recipe("ami").PARTITIONS["full-corpus-asr"]
    annotations, problems = read_annotations(folder, options.max_words)
    annotated = {meeting for meeting, _, _ in annotations}
    writer = CorpusWriter(options)
    for mic in mics:
        add_segments(writer, mic, parts, annotations)
        for part in SPLITS:
            for meeting in sorted(set(parts[part]) - annotated):
                writer.leave_out(f"{part}_{mic}", meeting, "meeting without annotation", str(folder), unwanted=True)
        owner: dict[str, str] = defaultdict(lambda: "train", {m: part for part, names in parts.items() for m in names})
        for path, message in problems.items():
            meeting = Path(path).name.partition(".")[0]
            writer.leave_out(f"{owner[meeting]}_{mic}", "-", "unreadable annotation", path, message)
    writer.finish()


def main() -> None:
    """Run the command line."""
    parser = corpus_parser(__doc__)
    parser.add_argument("--annotations", type=Path, help=f"folder of the annotations (default <corpus>/{ANNOTATIONS})")
    parser.add_argument("--mics", default="ihm,sdm", help="microphones: ihm, sdm")
    parser.add_argument("--max_words", type=int, default=30, help="longer segments are split at commas")
    parser.set_defaults(max_failed=0.03)  # two meetings were published without the distant microphones
    prepare(parser.parse_args())


if __name__ == "__main__":
    run_main(main)
