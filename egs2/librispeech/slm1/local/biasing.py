"""Scoring sets of contextual biasing (Le et al., arXiv 2104.02194) beside LibriSpeech's own.

An utterance's list has its rare words and N distractors. With the folder of the published benchmark (is21_deep_bias)
its own lists are taken for the test sets, and its word lists for others and for sizes that it does not have; without
it, rare are all words but the most frequent ones of the training text, which is how the published lists were made.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from slm_espnet.bin.biasing_lists import main as biasing_lists
from slm_espnet.errors import UserError
from slm_espnet.files import write_atomically

TASK = "asr_biasing"


def word_files(published: Path | None, texts: Iterable[str], common: int, folder: Path) -> tuple[Path, Path]:
    """Files with the common and the rare words, one a line: the published ones, or made from the training texts."""
    if published is not None:
        return _first(published, "words/common_words_5k.txt"), _first(published, "words/all_rare_words.txt")
    counts = Counter(word for text in texts for word in text.split())
    ranked = [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "common_words.txt", folder / "rare_words.txt"
    for path, words in zip(paths, (ranked[:common], sorted(ranked[common:])), strict=True):
        write_atomically(path, "".join(f"{word}\n" for word in words))
    if len(ranked) <= common:
        raise UserError(f"the training text has {len(ranked)} different words, {common} are common: --common_words")
    return paths


def _first(folder: Path, name: str) -> Path:
    """A file of the published benchmark, plain or compressed."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise UserError(f"{folder / name} is missing: LIBRISPEECH_BIASING= in db.sh is the folder of is21_deep_bias")


def add_sets(
    directory: Path,
    set_name: str,
    sizes: list[int],
    words: tuple[Path, Path],
    published: Path | None,
    options: argparse.Namespace,
) -> None:
    """Write <set>_biasing<N> beside a set, for each size N.

    Args:
        directory: the data directory whose utterances get lists.
        set_name: its name in the published benchmark, with `_` for `-`.
        sizes: numbers of distractors.
        words: files of the common and the rare words.
        published: folder of the published benchmark, where there is one.
        options: with the seed of the distractors, and the YAML of the tasks, for the wording.
    """
    common = ["--data_dir", directory, "--task", TASK, "--tasks_config", options.tasks_config]
    for size in sizes:
        name = f"ref/{set_name.replace('_', '-')}.biasing_{size}.tsv"
        made = ["--common_words", words[0], "--rare_words", words[1], "--sizes", size, "--seed", options.seed]
        if published is not None and ((published / name).is_file() or (published / f"{name}.gz").is_file()):
            made = ["--published", _first(published, name), "--suffix", f"_biasing{size}"]
        biasing_lists([str(argument) for argument in (*common, *made)])
