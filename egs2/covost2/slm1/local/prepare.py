"""CoVoST 2 as data directories train, dev and test: translation in all chosen directions, recognition of the sources.

    python3 local/prepare.py --corpus /corpora/covost2 --common_voice /corpora/cv-corpus-4-2019-12-10 \
        --data_dir data --directions de_en,en_de

Splits are those of the corpus. Rows of a recording (several targets, recognition) share its encoding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from covost2_tables import DIRECTIONS, UNUSED, Pair, Sentences, parse_directions, read_direction

from slm_espnet.data.corpus import CorpusWriter, corpus_folder, corpus_parser
from slm_espnet.data.datadir import AudioSource
from slm_espnet.data.multilingual import (
    add_split_option,
    first_that_exists,
    iso_code,
)
from slm_espnet.data.split import SPLITS
from slm_espnet.data.table import Problem
from slm_espnet.data.utterance import Utterance, add_recognition, add_translation
from slm_espnet.errors import run_main
from slm_espnet.options import chosen

TASKS = ("asr", "ast", "asr_then_ast")
REMOVED = re.compile(r"\bREMOVE\b")  # what translators wrote in place of sentences that make no sense


class CoVoST2:
    """Reads directions into the writer."""

    def __init__(self, root: Path, common_voice: Path, writer: CorpusWriter, tasks: list[str]) -> None:
        self.root = root
        self.common_voice = common_voice
        self.writer = writer
        self.tasks = tasks
        self.sentences: dict[str, Sentences] = {}  # by source language
        self.recognized: set[str] = set()  # recordings that have a row of task asr

    def add(self, direction: str, splits: list[str]) -> None:
        """All rows of a direction in some splits."""
        source, target = DIRECTIONS[direction]
        folder = self._folder(source)
        sentences = self.sentences.setdefault(source, Sentences(folder / "validated.tsv"))
        for pair in self._pairs(direction, sentences, splits):
            utterance = _utterance(pair, folder / "clips", source)
            if "asr" in self.tasks and utterance.utt_id not in self.recognized:
                self.recognized.add(utterance.utt_id)
                add_recognition(self.writer, utterance)
            for task in self.tasks:
                if task != "asr":
                    self._translate(utterance, pair.translation, iso_code(target), task)

    def _translate(self, utterance: Utterance, translation: str, target: str, task: str) -> None:
        reason = None
        if not translation.strip():
            reason = "no translation"
        elif utterance.set_name != "test" and REMOVED.search(translation):
            reason = "marked REMOVE"
        if reason is None:
            add_translation(self.writer, utterance, translation, target, task)
        else:
            utt_id, where = f"{utterance.utt_id}-{task}-{target}", utterance.where
            self.writer.leave_out(utterance.set_name, utt_id, reason, where, utterance.words, unwanted=True)

    def _pairs(self, direction: str, sentences: Sentences, splits: list[str]) -> Iterator[Pair]:
        """Good rows of a direction's splits; others are left out."""
        for pair in read_direction(self.root, direction, sentences):
            if isinstance(pair, Problem):
                self.writer.leave_out(splits[0], "-", pair.reason, pair.where, pair.message)
            elif pair.split in UNUSED:
                self.writer.leave_out(splits[0], pair.path, f"split {pair.split}", pair.where, unwanted=True)
            elif pair.split in splits:
                yield pair

    def _folder(self, language: str) -> Path:
        """Folder of a language in Common Voice 4; its archives hold none, so that it may be the given one itself."""
        candidates = [self.common_voice / language, self.common_voice]
        tables = [folder / "validated.tsv" for folder in candidates]
        cure = f"COMMONVOICE4= in db.sh is a folder with {language}/validated.tsv and {language}/clips"
        return first_that_exists(tables, "table of Common Voice", cure).parent


def _utterance(pair: Pair, clips: Path, source: str) -> Utterance:
    clip = pair.path if pair.path.endswith(".mp3") else f"{pair.path}.mp3"
    utt_id = f"covost2-{source}-{Path(clip).stem}"
    audio = AudioSource(str(clips / clip))
    return Utterance(pair.split, utt_id, audio, pair.sentence, iso_code(source), pair.speaker or utt_id, pair.where)


def main() -> None:
    """Run the command line."""
    parser = corpus_parser(__doc__)
    add_split_option(parser)
    parser.add_argument("--common_voice", type=Path, required=True, help="folder of release 4 of Common Voice")
    parser.add_argument("--directions", default="de_en", help="such as de_en,en_de; x_en, en_x, all")
    parser.add_argument("--tasks", default="asr,ast", help="asr, ast and asr_then_ast (the words, then translated)")
    options = parser.parse_args()
    tasks = chosen(options.tasks, TASKS, "--tasks")
    directions = parse_directions(options.directions)
    splits = chosen(options.splits, SPLITS, "--splits")
    writer = CorpusWriter(options)
    common_voice = corpus_folder(options.common_voice, "COMMONVOICE4")
    corpus = CoVoST2(corpus_folder(options.corpus, "COVOST2"), common_voice, writer, tasks)
    for direction in directions:
        corpus.add(direction, splits)
    writer.finish()


if __name__ == "__main__":
    run_main(main)
