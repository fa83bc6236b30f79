"""FLEURS as data directories train, dev and test: recognition in all chosen languages, translation between some.

    python3 local/prepare.py --corpus /corpora/fleurs --data_dir data --languages de_de,es_419 --directions de_de:en_us

    <language>/{train,dev,test}.tsv                              id, file, text as written, normalized text, …
    <language>/{train,dev,test}/*.wav, or <language>/audio/{train,dev,test}/*.wav

Sentences are the same in all languages and have the same id there, which joins a recording and its translation; not
every sentence was recorded in every language. What lhotse's download_fleurs writes (metadata/<language>/*.tsv) is read,
too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slm_espnet.data.corpus import CorpusWriter, corpus_folder, corpus_parser
from slm_espnet.data.datadir import AudioSource
from slm_espnet.data.delimited import Record, read_delimited
from slm_espnet.data.multilingual import (
    add_language_option,
    add_split_option,
    first_that_exists,
    good_records,
    iso_code,
)
from slm_espnet.data.split import SPLITS
from slm_espnet.data.utterance import Utterance, add_recognition, add_translation
from slm_espnet.errors import UserError, run_main
from slm_espnet.options import chosen, split_names

COLUMNS = ("id", "file", "written", "normalized", "characters", "samples", "gender")
TASKS = ("ast", "asr_then_ast")
CURE = "bring it, or take it out of --languages and --directions"


class Fleurs:
    """Reads the corpus, in whichever of its layouts, into the writer."""

    def __init__(self, root: Path, writer: CorpusWriter, text: str) -> None:
        self.root = root / "data" if (root / "data").is_dir() else root  # as in its repository on the Hub
        self.writer = writer
        self.text = text  # column of the transcripts
        self.tables: dict[tuple[str, str], list[Record]] = {}  # by language and split; each is read once

    def languages(self) -> list[str]:
        """Languages that are there."""
        return sorted(path.name for path in self.root.iterdir() if path.is_dir() and path.name != "metadata")

    def records(self, language: str, split: str) -> list[Record]:
        """Good records of a language's split; others are left out."""
        if (language, split) not in self.tables:
            candidates = [self.root / language / f"{split}.tsv", self.root / "metadata" / language / f"{split}.tsv"]
            table = first_that_exists(candidates, "table of FLEURS", CURE)
            good = good_records(self.writer, split, read_delimited(table, columns=COLUMNS))
            self.tables[language, split] = list(good)
        return self.tables[language, split]

    def sentences(self, language: str, split: str) -> dict[str, str]:
        """Sentence id → the sentence as written; recordings of one sentence have the same."""
        return {values["id"]: values["written"] for _, values in self.records(language, split)}

    def utterances(self, language: str, split: str) -> Iterator[tuple[str, Utterance]]:
        """Sentence id and recording, of all recordings of a language's split."""
        folders = [self.root / language / split, self.root / language / "audio" / split]
        folder = first_that_exists(folders, "folder of recordings", f"unpack {split}.tar.gz there")
        code = iso_code(language)
        for where, values in self.records(language, split):
            utt_id = f"fleurs-{language}-{Path(values['file']).stem}"
            audio = AudioSource(str(folder / values["file"]))
            yield values["id"], Utterance(split, utt_id, audio, values[self.text], code, utt_id, where)

    def add_asr(self, language: str, split: str) -> None:
        """Recognition of all recordings of a language's split."""
        for _, utterance in self.utterances(language, split):
            add_recognition(self.writer, utterance)

    def add_ast(self, source: str, target: str, split: str, task: str) -> None:
        """Translation of the recordings of a language's split whose sentences another language has."""
        translations = self.sentences(target, split)
        for sentence, utterance in self.utterances(source, split):
            if sentence in translations:
                add_translation(self.writer, utterance, translations[sentence], iso_code(target), task)
            else:
                utt_id, message = f"{utterance.utt_id}-{task}-{iso_code(target)}", f"the sentence is {sentence}"
                reason = f"no sentence in {target}"
                self.writer.leave_out(split, utt_id, reason, utterance.where, message, unwanted=True)


def pairs(value: str, spoken: list[str], there: list[str]) -> list[tuple[str, str]]:
    """Directions such as `de_de:en_us`, `all:en_us` and `en_us:all`; all are those spoken, and all there as targets."""
    directions = []
    for entry in split_names(value):
        source, parted, target = entry.partition(":")
        if not parted:
            raise UserError(f"--directions: {entry!r} is not source:target, such as de_de:en_us")
        for first in spoken if source == "all" else chosen(source, there, "--directions"):
            directions += [(first, second) for second in chosen(target, there, "--directions")]
    return [(source, target) for source, target in dict.fromkeys(directions) if source != target]


def main() -> None:
    """Run the command line."""
    parser = corpus_parser(__doc__)
    add_language_option(parser, "all")
    add_split_option(parser)
    parser.add_argument("--directions", default="all:en_us", help="translation, as source:target; all: every one")
    parser.add_argument("--tasks", default="asr,ast", help="asr, ast and asr_then_ast (the words, then translated)")
    parser.add_argument("--text", choices=("written", "normalized"), default="written", help="form of the transcripts")
    options = parser.parse_args()
    writer = CorpusWriter(options)
    corpus = Fleurs(corpus_folder(options.corpus, "FLEURS"), writer, options.text)
    tasks = chosen(options.tasks, ("asr", *TASKS), "--tasks")
    translations = [task for task in tasks if task != "asr"]
    there = corpus.languages()
    languages = chosen(options.languages, there, f"--languages: {corpus.root}")
    directions = pairs(options.directions, languages, there) if translations else []
    for split in chosen(options.splits, SPLITS, "--splits"):
        for language in languages if "asr" in tasks else ():
            corpus.add_asr(language, split)
        for source, target in directions:
            for task in translations:
                corpus.add_ast(source, target, split, task)
    writer.finish()


if __name__ == "__main__":
    run_main(main)
