"""Multilingual LibriSpeech as data directories train, dev and test, with all chosen languages in each.

    python3 local/prepare.py --corpus /corpora/mls --data_dir data --languages de,pl --train_hours 10

    mls_german[_opus]/train/transcripts.txt                      4800_10003_000000<tab>words
    mls_german[_opus]/train/audio/4800/10003/4800_10003_000000.{flac,opus}
    mls_german[_opus]/train/limited_supervision/{9hr,1hr/0..5}/handles.txt

The words are in lower case and without punctuation.
"""

from __future__ import annotations

from pathlib import Path

from slm_espnet.data.corpus import CorpusWriter, corpus_folder, corpus_parser
from slm_espnet.data.datadir import AudioSource
from slm_espnet.data.delimited import read_delimited
from slm_espnet.data.multilingual import (
    add_language_option,
    add_split_option,
    first_that_exists,
    good_records,
)
from slm_espnet.data.split import SPLITS
from slm_espnet.data.utterance import Utterance, add_recognition
from slm_espnet.errors import UserError, run_main
from slm_espnet.options import chosen

LANGUAGES = {
    "de": "german",
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "it": "italian",
    "nl": "dutch",
    "pl": "polish",
    "pt": "portuguese",
}
# The corpus' own small training sets: which of its lists of utterances make one and ten hours.
TRAIN_HOURS = {"all": (), "1": ("1hr/*/handles.txt",), "10": ("1hr/*/handles.txt", "9hr/handles.txt")}


def add_split(writer: CorpusWriter, folder: Path, language: str, split: str, handles: set[str] | None) -> None:
    """All rows of one language's split, or of those that `handles` names."""
    suffix = ".opus" if folder.name.endswith("_opus") else ".flac"
    transcripts = folder / split / "transcripts.txt"
    count = 0
    records = read_delimited(transcripts, columns=("utterance", "words"))
    for where, values in good_records(writer, split, records):
        count += 1
        name = values["utterance"].strip()
        if handles is not None and name not in handles:
            continue
        utt_id = f"mls-{language}-{name}"
        speaker, book, *number = name.split("_")[:3] if name.count("_") == 2 else ("", "")
        if not number:
            writer.leave_out(split, utt_id, "bad id", where, f"{name!r} is not speaker_book_number")
            continue
        audio = AudioSource(str(folder / split / "audio" / speaker / book / f"{name}{suffix}"))
        speaker = f"mls-{language}-{speaker}"
        add_recognition(writer, Utterance(split, utt_id, audio, values["words"], language, speaker, where))
        if handles is not None:
            handles.discard(name)
    if handles is not None:
        print(f"{transcripts}: {count} utterances, of which the corpus' small training set is taken")
        for name in sorted(handles):
            message = "listed in handles.txt alone"
            writer.leave_out(split, f"mls-{language}-{name}", "no transcript", str(transcripts), message)


def read_handles(writer: CorpusWriter, folder: Path, hours: str) -> set[str] | None:
    """Names of the utterances of a small training set; None for all."""
    if hours == "all":
        return None
    limited = folder / "train" / "limited_supervision"
    lists = [path for pattern in TRAIN_HOURS[hours] for path in sorted(limited.glob(pattern))]
    if not lists:
        raise UserError(f"{limited}: no lists of a small training set (handles.txt); choose --train_hours all")
    return {line.strip() for path in lists for _, line in writer.lines("train", path)}


def main() -> None:
    """Run the command line."""
    parser = corpus_parser(__doc__)
    add_language_option(parser, "de")
    add_split_option(parser)
    parser.add_argument("--train_hours", choices=list(TRAIN_HOURS), default="all", help="hours of train per language")
    options = parser.parse_args()
    root = corpus_folder(options.corpus, "MLS")
    writer = CorpusWriter(options)
    for language in chosen(options.languages, LANGUAGES, "--languages"):
        name = f"mls_{LANGUAGES[language]}"
        cure = "bring it, or take its code out of --languages"
        folder = first_that_exists([root / name, root / f"{name}_opus"], "language of MLS", cure)
        for split in chosen(options.splits, SPLITS, "--splits"):
            handles = read_handles(writer, folder, options.train_hours) if split == "train" else None
            add_split(writer, folder, language, split, handles)
    writer.finish()


if __name__ == "__main__":
    run_main(main)
