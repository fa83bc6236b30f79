"""LibriSpeech as data directories, line by line through lhotse's recipe (`lhotse.recipes.librispeech`).

    python3 local/prepare.py --corpus /corpora/LibriSpeech --data_dir data --train_parts train-clean-100

Writes `train` (all of --train_parts), `dev` (all of --dev_parts) and one directory for each of --test_parts, named like
it with `_` for `-`. Text is in lower case. Test sets and dev are written again with lists of words that may occur,
as <set>_biasing<N>; biasing.py says which.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from biasing import add_sets, word_files  # noqa: E402

from slm_espnet.data.corpus import CorpusWriter, corpus_folder, corpus_parser  # noqa: E402
from slm_espnet.data.lhotse_bridge import audio_source, faithful  # noqa: E402
from slm_espnet.data.utterance import Utterance, add_recognition  # noqa: E402
from slm_espnet.errors import UserError, run_main  # noqa: E402
from slm_espnet.options import split_names  # noqa: E402


def add_part(writer: CorpusWriter, set_name: str, folder: Path) -> None:
    """Add the utterances of a part such as train-clean-100."""
    tables = sorted(folder.rglob("*.trans.txt"))
    if not tables:
        raise UserError(f"{folder}: there is no *.trans.txt below it; is the part unpacked completely?")
    with faithful("librispeech") as recipe:
        for table in tables:
            for where, line in writer.lines(set_name, table):
                utt_id, _, words = line.strip().partition(" ")
                if not words.strip():
                    writer.leave_out(set_name, utt_id, "malformed line", where, "expected an id and words")
                    continue
                found = recipe.parse_utterance(folder, line, {})
                if found is None:
                    writer.leave_out(set_name, utt_id, "missing audio", where, f"there is no {utt_id}.flac beside it")
                    continue
                recording, supervision = found
                text, audio, speaker = supervision.text.lower(), audio_source(recording), supervision.speaker
                add_recognition(writer, Utterance(set_name, utt_id, audio, text, "en", speaker, where))


def prepare(options: argparse.Namespace) -> None:
    """Write all sets."""
    parts = {"train": split_names(options.train_parts), "dev": split_names(options.dev_parts)}
    parts |= {part.replace("-", "_"): [part] for part in split_names(options.test_parts)}
    root = corpus_folder(options.corpus, "LIBRISPEECH", *(part for names in parts.values() for part in names))
    writer = CorpusWriter(options)
    for set_name, names in parts.items():
        for name in names:
            add_part(writer, set_name, root / name)
    writer.finish()
    sizes = [int(size) for size in split_names(options.biasing_sizes)]
    if not sizes:
        return
    published = corpus_folder(options.biasing, "LIBRISPEECH_BIASING") if options.biasing != Path("") else None
    texts = (row.text for row, _ in writer.sets["train"].rows.values())
    words = word_files(published, texts, options.common_words, writer.folder("words"))
    for set_name in (name for name in parts if name != "train"):
        add_sets(writer.folder(set_name), set_name, sizes, words, published, options)


def main() -> None:
    """Run the command line."""
    parser = corpus_parser(__doc__)
    parser.add_argument("--train_parts", default="train-clean-100,train-clean-360,train-other-500")
    parser.add_argument("--dev_parts", default="dev-clean,dev-other")
    parser.add_argument("--test_parts", default="test-clean,test-other")
    parser.add_argument("--biasing", type=Path, default=Path(""), help="folder of the published biasing lists")
    parser.add_argument("--biasing_sizes", default="100,500,1000,2000", help="distractors of each list; empty: none")
    parser.add_argument("--common_words", type=int, default=5000, help="so many words are not rare, without --biasing")
    prepare(parser.parse_args())


if __name__ == "__main__":
    run_main(main)
