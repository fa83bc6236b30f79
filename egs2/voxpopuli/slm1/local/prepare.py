"""VoxPopuli (transcribed part) as data directories train, dev and test, with all chosen languages in each.

    python3 local/prepare.py --corpus /corpora/voxpopuli --data_dir data --languages de,fr

The utterances as its authors' get_asr_data cuts them are taken where they are there, else spans of whole sessions:

    transcribed_data/<language>/asr_{train,dev,test}.tsv     id, raw_text, normalized_text, speaker_id, split, …
    transcribed_data/<language>/<year>/<id>.ogg
    transcribed_data/<language>/asr_<language>.tsv.gz        session_id|id_|original_text|normed_text|…|start_time|…
    raw_audios/original/<year>/<session>_original.ogg
"""

from __future__ import annotations

from pathlib import Path

from slm_espnet.data.corpus import CorpusWriter, corpus_folder, corpus_parser
from slm_espnet.data.datadir import AudioSource, is_span
from slm_espnet.data.delimited import read_delimited
from slm_espnet.data.multilingual import (
    add_language_option,
    add_split_option,
    good_records,
)
from slm_espnet.data.split import SPLITS
from slm_espnet.data.utterance import Utterance, add_recognition
from slm_espnet.errors import UserError, run_main
from slm_espnet.options import chosen

LANGUAGES = "en de fr es pl it ro hu cs nl fi hr sk sl et lt".split()  # those that have transcripts
CUT_COLUMNS = ("id", "raw_text", "normalized_text", "speaker_id")
SESSION_COLUMNS = ("session_id", "id_", "original_text", "normed_text", "speaker_id", "split", "start_time", "end_time")


class VoxPopuli:
    """Reads the corpus, in either layout, into the writer."""

    def __init__(self, root: Path, writer: CorpusWriter, written: bool) -> None:
        self.root = root
        self.writer = writer
        self.written = written  # transcripts as published by the parliament, in place of normalized ones

    def add(self, language: str, splits: list[str]) -> None:
        """All rows of a language."""
        folder = self.root / "transcribed_data" / language
        if any((folder / f"asr_{split}.tsv").is_file() for split in SPLITS):
            for split in splits:
                self._add_cut(folder, language, split)
            return
        name = f"asr_{language}.tsv.gz"
        tables = [folder / name, self.root / "annotations" / "asr" / name, self.root / name]
        table = next((path for path in tables if path.is_file()), None)
        if table is None:
            cure = "run voxpopuli.get_asr_data, or bring the table and raw_audios/original"
            raise UserError(f"{folder}: neither asr_train.tsv nor {name} for language {language}; {cure}")
        self._add_sessions(table, language, splits)

    def _add_cut(self, folder: Path, language: str, split: str) -> None:
        """Utterances that are files of their own; pauses that are no speech were cut out of them."""
        records = read_delimited(folder / f"asr_{split}.tsv", required=CUT_COLUMNS)
        for where, values in good_records(self.writer, split, records):
            name = values["id"]
            audio = AudioSource(str(folder / name[:4] / f"{name}.ogg"))
            words = values["raw_text" if self.written else "normalized_text"]
            self._add_row(split, language, name, audio, words, values["speaker_id"], where)

    def _add_sessions(self, table: Path, language: str, splits: list[str]) -> None:
        """Utterances as spans of whole sessions; pauses inside of them stay."""
        records = read_delimited(table, required=SESSION_COLUMNS, delimiter="|", quoting="csv")
        for where, values in good_records(self.writer, splits[0], records):
            split, session = values["split"], values["session_id"]
            name = f"{session}-{values['id_']}"
            if split not in SPLITS:
                unwanted = f"in no split: {split or 'without any'}"
                self.writer.leave_out(splits[0], f"voxpopuli-{language}-{name}", unwanted, where, unwanted=True)
                continue
            if split not in splits:
                continue
            try:
                start, stop = float(values["start_time"]), float(values["end_time"])
            except ValueError:
                message = f"{values['start_time']!r} to {values['end_time']!r} is no time in seconds"
                self.writer.leave_out(split, f"voxpopuli-{language}-{name}", "bad segment", where, message)
                continue
            if not is_span(start, stop):
                message = f"from {start:g} s to {stop:g} s is no part of a recording"
                self.writer.leave_out(split, f"voxpopuli-{language}-{name}", "bad segment", where, message)
                continue
            path = self.root / "raw_audios" / "original" / session[:4] / f"{session}_original.ogg"
            words = values["original_text" if self.written else "normed_text"]
            audio = AudioSource(str(path), start, stop)
            self._add_row(split, language, name, audio, words, values["speaker_id"], where)

    def _add_row(
        self, split: str, language: str, name: str, audio: AudioSource, words: str, speaker: str, where: str
    ) -> None:
        utt_id = f"voxpopuli-{language}-{name}"
        if self.written and not words.strip():  # common, and no damage
            self.writer.leave_out(split, utt_id, "no written text", where, unwanted=True)
            return
        speaker = f"voxpopuli-{language}-{speaker}" if speaker not in ("", "None") else utt_id
        add_recognition(self.writer, Utterance(split, utt_id, audio, words, language, speaker, where))


def main() -> None:
    """Run the command line."""
    parser = corpus_parser(__doc__)
    add_language_option(parser, "en")
    add_split_option(parser)
    parser.add_argument("--text", choices=("normalized", "written"), default="normalized", help="form of the words")
    options = parser.parse_args()
    writer = CorpusWriter(options)
    corpus = VoxPopuli(corpus_folder(options.corpus, "VOXPOPULI"), writer, options.text == "written")
    splits = chosen(options.splits, SPLITS, "--splits")
    for language in chosen(options.languages, LANGUAGES, "--languages"):
        corpus.add(language, splits)
    writer.finish()


if __name__ == "__main__":
    run_main(main)
