"""The Wall Street Journal corpora as data directories. Lhotse has no recipe for them; wsj_corpus.py reads them.

    python3 local/prepare.py --corpus /corpora/LDC93S6A --wsj1 /corpora/LDC94S13A --data_dir data

Writes train_si284 (and train_si84, its part in WSJ0), test_dev93, test_eval92 and test_eval93: the sets of Kaldi's
and ESPnet's recipes, of the first channel (wv1).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from wsj_corpus import DOT_LINE, INDEX_LINE, INDICES, disc_name, discs, find_index, spoken  # noqa: E402

from slm_espnet.data.channel import sphere_source  # noqa: E402
from slm_espnet.data.corpus import CorpusWriter, corpus_folder, corpus_parser  # noqa: E402
from slm_espnet.data.datadir import AudioSource  # noqa: E402
from slm_espnet.data.utterance import Utterance, add_recognition  # noqa: E402
from slm_espnet.errors import UserError, run_main  # noqa: E402
from slm_espnet.options import chosen  # noqa: E402

EXCLUDED = "wsj0/si_tr_s/401/"  # on disc 11-2.1: a speaker who is on the test discs as well; Kaldi leaves it out too


class Transcripts:
    """Words by utterance, from the *.dot files of all discs; a file is read when one of its utterances is asked for."""

    def __init__(self, writer: CorpusWriter, folders: dict[str, Path]) -> None:
        self.writer = writer
        self.files: dict[str, list[Path]] = {}  # the first six letters of its utterances → files
        for folder in folders.values():
            for path in sorted(folder.rglob("*.dot")):
                self.files.setdefault(path.stem.lower()[:6], []).append(path)
        self._words: dict[str, tuple[str, str]] = {}

    def get(self, set_name: str, utt_id: str) -> tuple[str, str] | None:
        """(words, file:line) of an utterance, None where there is no transcript."""
        for path in self.files.pop(utt_id[:6], ()):
            for where, line in self.writer.lines(set_name, path):
                match = DOT_LINE.fullmatch(line)
                if match is None:
                    self.writer.leave_out(set_name, "-", "malformed line", where, "expected `words (utterance)`")
                else:
                    self._words.setdefault(match["id"].lower(), (match["words"], where))
        return self._words.get(utt_id)


def add_recording(writer: CorpusWriter, set_name: str, path: Path, where: str, transcripts: Transcripts) -> None:
    """Add a recording that an index lists."""
    utt_id = path.stem.lower()
    found = transcripts.get(set_name, utt_id)
    if found is None:
        writer.leave_out(set_name, utt_id, "no transcript", where, f"no *.dot file has a line for {utt_id}")
        return
    words = spoken(found[0])
    if not words:
        writer.leave_out(set_name, utt_id, "no words", found[1], found[0], unwanted=True)
        return
    if not path.is_file():
        writer.leave_out(set_name, utt_id, "missing audio", where, f"there is no {path}")
        return
    try:
        audio, seconds = sphere_source(path, 0)
    except UserError as error:
        writer.leave_out(set_name, utt_id, "unreadable audio", where, str(error))
        return
    writer.recording_seconds(audio, seconds)
    speaker = path.parent.name.lower()
    add_recognition(writer, Utterance(set_name, utt_id, AudioSource(audio), words, "en", speaker, found[1]))


def add_set(writer: CorpusWriter, set_name: str, folders: dict[str, Path], transcripts: Transcripts) -> None:
    """Add what the index files of a set list."""
    for name in INDICES[set_name]:
        index = find_index(folders, name)
        if index is None:
            raise UserError(f"no disc has the index file {name}; are WSJ0= and WSJ1= in db.sh right and complete?")
        for where, line in writer.lines(set_name, index):
            if line.startswith(";"):
                continue
            match = INDEX_LINE.match(line)
            if match is None:
                writer.leave_out(set_name, "-", "malformed line", where, f"expected `disc: path`, found {line!r}")
                continue
            folder = folders.get(disc_name(match["disc"]))
            if EXCLUDED in match["path"]:
                writer.leave_out(set_name, Path(match["path"]).stem, "speaker of a test", where, unwanted=True)
            elif folder is None:
                writer.leave_out(set_name, Path(match["path"]).stem, "missing disc", where, match["disc"])
            else:
                path = folder / match["path"].lstrip("/")
                path = path if path.suffix else path.with_name(f"{path.name}.wv1")
                add_recording(writer, set_name, path, where, transcripts)


def prepare(options: argparse.Namespace) -> None:
    """Write the chosen sets."""
    set_names = chosen(options.sets, INDICES, "--sets")
    roots = [corpus_folder(options.corpus, "WSJ0")]
    if any(name.startswith("wsj1") for set_name in set_names for name in INDICES[set_name]):
        roots.append(corpus_folder(options.wsj1, "WSJ1"))
    folders = discs(roots)
    if not folders:
        raise UserError(f"{roots[0]}: has no folders of discs such as 11-1.1; WSJ0= in db.sh is the folder that has")
    writer = CorpusWriter(options)
    transcripts = Transcripts(writer, folders)
    for set_name in set_names:
        add_set(writer, set_name, folders, transcripts)
    writer.finish()


def main() -> None:
    """Run the command line."""
    parser = corpus_parser(__doc__)
    parser.add_argument("--wsj1", type=Path, default=Path(""), help="folder of WSJ1's discs; --corpus is WSJ0's")
    sets = "train_si284,test_dev93,test_eval92,test_eval93"
    parser.add_argument("--sets", default=sets, help=f"of {', '.join(INDICES)}")
    prepare(parser.parse_args())


if __name__ == "__main__":
    run_main(main)
