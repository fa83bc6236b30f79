"""Data of the encoder: synthetic and real speech → Kaldi data directories, token list and length files.

    python local/prepare.py --data_dir data --audio_dir dump/audio --nj 2 --an4 /path/to/an4
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from mini_corpus.audio_data import random_rows, synthesize_rows  # noqa: E402
from mini_corpus.grammar import RARE_NAMES  # noqa: E402
from mini_corpus.split import TEST_DRAW  # noqa: E402
from sentences import dictation_sentences, evaluation_sentences, training_sentences  # noqa: E402

SNR_RANGE = (-2.0, 25.0)
CLEAN_SHARE = 0.35
TEST_SNRS = (20, 10, 5, 0)
LETTERS = "'abcdefghijklmnopqrstuvwxyzáéíóúüñ"
RARE = frozenset(RARE_NAMES)
KALDI_FILES = ("wav.scp", "text", "utt2spk", "utt2lang", "utt2num_samples")


def prepare_train(options: argparse.Namespace) -> None:
    """Synthetic training speech in both languages, half of it noisy, plus the real corpora that were given."""
    rows = []
    for language, count in (("en", options.english), ("es", options.spanish)):
        sentences = training_sentences(language, count, options.seed)
        rows += random_rows(
            sentences, language, "train", options.seed, f"{language}t", snr_range=SNR_RANGE, clean_share=CLEAN_SHARE
        )
    parts = [synthesize_rows(rows, options.data_dir / "train_synthetic", options.audio_dir / "train", options.nj)]
    parts += prepare_real(options)
    combine(parts, options.data_dir / "train")


def prepare_real(options: argparse.Namespace) -> list[Path]:
    """Varied copies of the given corpora; held-back AN4 speakers become the set `dev_an4`."""
    from real_speech import read_corpus, write_varied

    parts = []
    speakers = frozenset((Path(__file__).parent / "an4_encoder_speakers.txt").read_text().split())
    for corpus, folder, copies in (("an4", options.an4, 16), ("kathleen", options.kathleen, 6), ("lj", options.lj, 4)):
        if folder is None:
            continue
        recordings = read_corpus(folder, corpus, "train", speakers if corpus == "an4" else None)
        recordings = [r for r in recordings if RARE.isdisjoint(r.words.split())]
        part = options.data_dir / f"train_{corpus}"
        write_varied(recordings, part, options.audio_dir / part.name, copies, options.seed)
        parts.append(part)
    if options.an4 is not None:
        everyone = read_corpus(options.an4, "an4", "train")
        held_back = [r for r in everyone if r.speaker.removeprefix("an4_") not in speakers]
        write_varied(held_back, options.data_dir / "dev_an4", options.audio_dir / "dev_an4", 1, options.seed)
    return parts


def prepare_evaluation(options: argparse.Namespace) -> None:
    """dev with its own voices, and test sets of unseen voices: clean, at each SNR, Spanish, rare names, dictation."""

    def speak(name: str, split: str, sentences: list[str], language: str = "en", **noise) -> Path:
        # The prefix is the sentences', not the set's: the same voices say them at every SNR.
        prefix = name.partition("_snr")[0].replace("_", "")
        rows = random_rows(sentences, language, split, options.seed, prefix, **noise)
        return synthesize_rows(rows, options.data_dir / name, options.audio_dir / name, options.nj)

    mixed = dict(snr_range=SNR_RANGE, clean_share=CLEAN_SHARE)
    parts = [
        speak("dev_en", "dev", evaluation_sentences("en", 120, "dev"), **mixed),
        speak("dev_es", "dev", evaluation_sentences("es", 40, "dev"), "es", **mixed),
        speak("dev_dictation", "dev", dictation_sentences(40, "dev"), **mixed),
    ]
    if options.an4 is not None:
        parts.append(options.data_dir / "dev_an4")
    combine(parts, options.data_dir / "dev")
    english = evaluation_sentences("en", 400, TEST_DRAW)
    speak("test_en", "test", english)
    for snr in TEST_SNRS:
        speak(f"test_en_snr{snr}", "test", english, snr_range=(snr, snr))
    speak("test_es", "test", evaluation_sentences("es", 200, TEST_DRAW), "es")
    speak("test_rare", "test", evaluation_sentences("en", 200, TEST_DRAW, rare_names=True))
    speak("test_dictation", "test", dictation_sentences(200, TEST_DRAW))


def combine(parts: list[Path], data_dir: Path) -> None:
    """Join data directories into one, sorted, with the length files that ESPnet's batches are made from."""
    data_dir.mkdir(parents=True, exist_ok=True)
    for name in KALDI_FILES:
        lines = sorted(line for part in parts for line in (part / name).read_text(encoding="utf-8").splitlines())
        (data_dir / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_tokens(path: Path) -> None:
    """Characters of both languages between ESPnet's special symbols; the blank is 0."""
    tokens = ["<blank>", "<unk>", "<space>", *LETTERS, "<sos/eos>"]
    path.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data_dir", type=Path, required=True, help="where the data directories go")
    parser.add_argument("--audio_dir", type=Path, required=True, help="where the recordings go (about 8 GB)")
    parser.add_argument("--english", type=int, default=60000, help="synthetic English training utterances")
    parser.add_argument("--spanish", type=int, default=14000, help="synthetic Spanish training utterances")
    parser.add_argument("--an4", type=Path, help="folder of AN4; two thirds of its train speakers are used")
    parser.add_argument("--kathleen", type=Path, help="folder of the Kathleen voice")
    parser.add_argument("--lj", type=Path, help="folder of LJ Speech utterances")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything drawn")
    parser.add_argument("--nj", type=int, default=2, help="processes at a time")
    options = parser.parse_args()
    options.data_dir.mkdir(parents=True, exist_ok=True)
    write_tokens(options.data_dir / "tokens.txt")
    try:
        prepare_train(options)
        prepare_evaluation(options)
    except (ValueError, OSError) as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
