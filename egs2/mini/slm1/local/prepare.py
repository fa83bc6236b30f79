"""Data of the mini recipe: sentences of known meaning, spoken by synthetic voices: rows of (speech, prompt, target).

    python local/prepare.py --data_dir data --audio_dir dump/audio --nj 2

Writes the data directories train, dev, test_clean, test_snr10, test_snr5, test_snr0 (the same sentences and voices
at four noise levels), test_es, dev_names, test_names, test_names_absent, and the sets of names with longer lists, which
have the recordings of others; sets.py says what is in them. A second run only speaks what is missing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import sets  # noqa: E402
from mini_corpus.audio_data import random_rows, synthesize_rows  # noqa: E402
from mini_corpus.tasks import load_tasks  # noqa: E402
from rows import Recording, make_rows  # noqa: E402

from slm_espnet.data.datadir import SAME_AUDIO, Row  # noqa: E402
from slm_espnet.data.writer import write_data_dir  # noqa: E402
from slm_espnet.errors import UserError, run_main  # noqa: E402
from slm_espnet.files import write_atomically  # noqa: E402


def speak(spoken: sets.SpokenSet, audio_dir: Path, seed: int, nj: int) -> list[Recording]:
    """Synthesize a set; the recordings are in the order of its sentences."""
    texts = [s.english if spoken.language == "en" else s.spanish for s in spoken.sentences]
    speech = random_rows(
        texts, spoken.language, spoken.voices, seed, spoken.prefix,
        snr_range=spoken.snr_range, clean_share=spoken.clean_share,
    )  # fmt: skip
    folder = audio_dir / (spoken.same_audio_as or spoken.name) / spoken.language
    table = synthesize_rows(speech, folder, folder, nj)
    paths, speakers = (_column(table / name) for name in ("wav.scp", "utt2spk"))
    return [Recording(row.utt_id, paths[row.utt_id], speakers[row.utt_id]) for row in speech]


def _column(path: Path) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in path.read_text(encoding="utf-8").splitlines())


def prepare(options: argparse.Namespace) -> None:
    """Write every data directory; sets of one name (two languages) become one directory."""
    tasks = load_tasks(options.tasks_config)
    planned = [
        *sets.train_and_dev(options.train, options.train_spanish, options.dev, options.train_rows.split()),
        *sets.test_sets(options.test),
        *sets.name_sets(options.names),
    ]
    shared = {spoken.name: spoken.same_audio_as for spoken in planned if spoken.same_audio_as}
    rows: dict[str, list[Row]] = {}
    for spoken in planned:
        recordings = speak(spoken, options.audio_dir, options.seed, options.nj)
        rows.setdefault(spoken.name, []).extend(make_rows(spoken, recordings, tasks, options.seed))
    for name, found in rows.items():
        count = write_data_dir(options.data_dir / name, found)
        if name in shared:
            write_atomically(options.data_dir / name / SAME_AUDIO, f"{shared[name]}\n")
        print(f"{options.data_dir / name}: {len({row.audio for row in found})} recordings, {count} rows", flush=True)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data_dir", type=Path, required=True, help="where the data directories go")
    parser.add_argument("--audio_dir", type=Path, required=True, help="where the recordings go (about 1 GB)")
    parser.add_argument("--tasks_config", type=Path, default=Path("conf/tasks.yaml"), help="wordings of the tasks")
    parser.add_argument("--train", type=int, default=7000, help="English training sentences")
    parser.add_argument("--train_spanish", type=int, default=2000, help="Spanish training sentences")
    parser.add_argument("--train_rows", default="asr ast", help="tasks that train and dev have rows of")
    parser.add_argument("--dev", type=int, default=150, help="English development sentences, with a fifth Spanish")
    parser.add_argument("--test", type=int, default=250, help="test sentences, the same at each noise level")
    parser.add_argument("--names", type=int, default=200, help="sentences of each set about names")
    parser.add_argument("--seed", type=int, default=1, help="seed of voices, noise and wordings")
    parser.add_argument("--nj", type=int, default=2, help="processes at a time")
    options = parser.parse_args()
    try:
        prepare(options)
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error


if __name__ == "__main__":
    run_main(main)
