"""A corpus as data directories: an example, to be replaced by what yours needs.

    python3 local/prepare.py --corpus downloads --data_dir data

Reads table.tsv in the corpus' folder, tab-separated with a heading: set, id, audio (a path below the folder), language,
speaker and text. What cannot be used is counted in data/<set>/left_out.tsv.
"""

from __future__ import annotations

from slm_espnet.data.corpus import CorpusWriter, corpus_folder, corpus_parser
from slm_espnet.data.datadir import AudioSource
from slm_espnet.data.delimited import read_delimited
from slm_espnet.data.table import Problem
from slm_espnet.data.utterance import Utterance, add_recognition
from slm_espnet.errors import run_main

TABLE = "table.tsv"
COLUMNS = ("set", "id", "audio", "language", "speaker", "text")


def main() -> None:
    """Run the command line."""
    options = corpus_parser(__doc__).parse_args()
    root = corpus_folder(options.corpus, "MY_CORPUS", TABLE)
    writer = CorpusWriter(options)
    for record in read_delimited(root / TABLE, required=COLUMNS):
        if isinstance(record, Problem):
            writer.leave_out("train", "-", record.reason, record.where, record.message)
            continue
        where, values = record
        set_name, utt_id, audio, language, speaker, text = (values[name] for name in COLUMNS)
        source = AudioSource(str(root / audio) if audio else "")
        add_recognition(writer, Utterance(set_name, utt_id, source, text.lower(), language, speaker, where))
    writer.finish()


if __name__ == "__main__":
    run_main(main)
