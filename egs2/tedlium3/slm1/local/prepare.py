"""TED-LIUM 3 as data directories train, dev and test, through lhotse's recipe (`lhotse.recipes.tedlium`).

    python3 local/prepare.py --corpus /corpora/TEDLIUM_release-3 --data_dir data

The legacy distribution: dev and test are those of TED-LIUM 1 and 2. Each talk's STM file is read by lhotse's parser,
after lines that it could not read are taken out; its text normalization is Kaldi's (noises removed, `they 're` joined).
"""

from __future__ import annotations

from pathlib import Path

from slm_espnet.data.corpus import CorpusWriter, corpus_folder, corpus_parser
from slm_espnet.data.datadir import AudioSource
from slm_espnet.data.lhotse_bridge import Screened, bad_times, lhotse_recipe, screened
from slm_espnet.data.split import SPLITS
from slm_espnet.data.utterance import Utterance, add_recognition
from slm_espnet.errors import UserError, run_main

IGNORED = "ignore_time_segment_in_scoring"


def complaint(line: str) -> str | None:
    """What is wrong with a line of an STM file: `talk channel speaker begin end <labels> words`."""
    fields = line.split()
    if fields[0].startswith(";;"):
        return ""
    if len(fields) < 7:
        return f"{len(fields)} columns, expected talk, channel, speaker, begin, end, labels and words"
    return bad_times(fields[3], fields[4])


def add_talk(writer: CorpusWriter, part: str, talk: Screened) -> None:
    """Add the segments of a talk."""
    lines = talk.path.read_text(encoding="utf-8").splitlines()
    ignored = {number for number, line in enumerate(lines) if line.split()[6:] == [IGNORED]}
    for number in ignored:
        writer.leave_out(part, "-", "not to be scored", talk.places[number], unwanted=True)
    audio = talk.source.parents[1] / "sph" / f"{talk.source.stem}.sph"
    for segment in lhotse_recipe("tedlium")._parse_stm_file(talk.path, "kaldi"):
        where = talk.places[int(segment.id.rpartition("-")[2])]
        utt_id = f"{talk.source.stem}-{round(segment.start * 100):07d}-{round(segment.end * 100):07d}"
        if not segment.text:
            writer.leave_out(part, utt_id, "no words", where, unwanted=True)
            continue
        source = AudioSource(str(audio), segment.start, segment.end)
        add_recognition(writer, Utterance(part, utt_id, source, segment.text, "en", segment.speaker, where))


def main() -> None:
    """Run the command line."""
    options = corpus_parser(__doc__).parse_args()
    root = corpus_folder(options.corpus, "TEDLIUM3", *(f"legacy/{part}/stm" for part in SPLITS))
    writer = CorpusWriter(options)
    for part in SPLITS:
        paths = sorted(Path(root, "legacy", part, "stm").glob("*.stm"))
        if not paths:
            raise UserError(f"{root}/legacy/{part}/stm: there is no *.stm; is the corpus unpacked completely?")
        with screened(writer, part, paths, complaint) as talks:
            for talk in talks:
                add_talk(writer, part, talk)
    writer.finish()


if __name__ == "__main__":
    run_main(main)
