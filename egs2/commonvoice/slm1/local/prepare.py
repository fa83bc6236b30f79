"""Common Voice as data directories train, dev and test, with all chosen languages in each.

    python3 local/prepare.py --corpus /corpora/cv-corpus-17.0-2024-03-15 --data_dir data --languages de,fr

The folder of a release has a folder for each language, with train.tsv, dev.tsv, test.tsv and clips/*.mp3. Columns are
found by name, so that every release from 2019 on is read; sentences that kept the quotation of CSV lose it.
"""

from __future__ import annotations

from pathlib import Path

from slm_espnet.data.corpus import CorpusWriter, corpus_folder, corpus_parser
from slm_espnet.data.datadir import AudioSource
from slm_espnet.data.delimited import read_delimited, unquote
from slm_espnet.data.multilingual import (
    add_language_option,
    add_split_option,
    good_records,
    iso_code,
)
from slm_espnet.data.split import SPLITS
from slm_espnet.data.utterance import Utterance, add_recognition
from slm_espnet.errors import UserError, run_main
from slm_espnet.options import chosen

COLUMNS = ("client_id", "path", "sentence")


def add_split(writer: CorpusWriter, folder: Path, split: str) -> None:
    """All rows of one language's split."""
    language = iso_code(folder.name)
    records = read_delimited(folder / f"{split}.tsv", required=COLUMNS)
    for where, values in good_records(writer, split, records):
        name = values["path"]
        clip = name if name.endswith(".mp3") or not name else f"{name}.mp3"  # early releases leave it out
        audio = AudioSource(str(folder / "clips" / clip) if clip else "")
        utt_id = f"commonvoice-{folder.name}-{Path(clip).stem}"
        words, speaker = unquote(values["sentence"].strip()), values["client_id"] or utt_id
        add_recognition(writer, Utterance(split, utt_id, audio, words, language, speaker, where))


def main() -> None:
    """Run the command line."""
    parser = corpus_parser(__doc__)
    add_language_option(parser, "de")
    add_split_option(parser)
    options = parser.parse_args()
    root = corpus_folder(options.corpus, "COMMONVOICE")
    there = sorted(path.parent.name for path in root.glob("*/clips"))
    if not there:
        raise UserError(f"{root}: holds no folder such as de/clips; COMMONVOICE= is the folder of a release")
    writer = CorpusWriter(options)
    for language in chosen(options.languages, there, f"--languages: {root}"):
        for split in chosen(options.splits, SPLITS, "--splits"):
            add_split(writer, root / language, split)
    writer.finish()


if __name__ == "__main__":
    run_main(main)
