"""How well, and how fast, spoken names are retrieved from lists of 10 to 10,000.

    python benchmarks/biasing_retrieval.py                                   # made-up posteriors, anywhere
    python benchmarks/biasing_retrieval.py --data_dir egs2/mini/slm1/data/test_names \
        --encodings_dir egs2/mini/slm1/dump/encodings/mini/test_names \
        --biasing_config egs2/mini/slm1/exp/baseline_mini/biasing.yaml

Distractors are invented names (mini_corpus.grammar.invented_name, seeded). For each list size N it prints the share of
spoken names among the best 1, 3 and 10, and milliseconds of CPU time on one core: the median of an utterance and of
10 s of speech (utterances joined together), and what a list costs once, when it is first used (its tree; with a null
model also the search in the background).
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP), str(TOP / "egs2" / "mini")]

from mini_corpus.grammar import COMMON_NAMES, generate, invented_name  # noqa: E402

from slm_espnet.biasing.context import ctc_retriever, read_options  # noqa: E402
from slm_espnet.biasing.null_model import NullModel, choose_background  # noqa: E402
from slm_espnet.biasing.retrieval import CTCRetriever  # noqa: E402
from slm_espnet.data.datadir import read_data_dir  # noqa: E402
from slm_espnet.encodings.posteriors import FramePosteriors  # noqa: E402
from slm_espnet.encodings.reader import EncodingReader  # noqa: E402
from slm_espnet.errors import run_main  # noqa: E402
from slm_espnet.options import split_names  # noqa: E402
from slm_espnet.scoring.names import found_in  # noqa: E402

RANKS = (1, 3, 10)
LONG = 10.0  # seconds
MADE_UP_SHIFT = 0.04  # seconds per frame of the made-up posteriors


@dataclass(frozen=True)
class Heard:
    """One utterance."""

    posteriors: FramePosteriors
    names: tuple[str, ...]  # spoken ones that are to be found
    seconds: float


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, help="Data directory whose rows have a context and a transcript")
    parser.add_argument("--encodings_dir", type=Path, help="Encodings of it")
    parser.add_argument("--biasing_config", type=Path, help="YAML written by tune_biasing; default: no null model")
    parser.add_argument("--sizes", default="10 100 1000 2000 10000", help="List sizes N")
    parser.add_argument("--utterances", type=int, default=100, help="Most utterances")
    parser.add_argument("--misheard", type=float, default=0.1, help="Share of letters misheard in made-up data")
    parser.add_argument("--seed", type=int, default=1, help="Of the distractors and the made-up data")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    args = get_parser().parse_args(argv)
    if (args.data_dir is None) != (args.encodings_dir is None):
        raise SystemExit("give both --data_dir and --encodings_dir, or neither")
    rng = random.Random(args.seed)
    heard, fingerprint = made_up(args, rng) if args.data_dir is None else recorded(args)
    options = read_options(args.biasing_config, None)
    retriever = ctc_retriever(fingerprint, options, None if args.biasing_config is None else args.biasing_config.parent)
    if args.data_dir is None:  # the last utterances are the background
        background = choose_background([utterance.posteriors for utterance in heard[args.utterances :]])
        heard = heard[: args.utterances]
        retriever = CTCRetriever(retriever.spotter, NullModel(background, options.null_weight))
    sizes = [int(size) for size in split_names(args.sizes)]
    spoken = {name for utterance in heard for name in utterance.names}
    pool = distractors(max(sizes), spoken, rng)
    long = joined(heard)
    print(f"{len(heard)} utterances, {sum(len(h.names) for h in heard)} spoken names; 10 s have {long.frames} frames,")
    print(f"{len(long.rows)} of them no sure blank; background of {len(retriever.null.background)} utterances")
    heads = [f"recall@{rank}" for rank in RANKS]
    print(f"|N|{'|'.join(heads)}|ms|ms of 10 s|ms once|", "|---" * (len(RANKS) + 4) + "|", sep="\n")
    for size in sizes:
        print(row(size, heard, pool, long, retriever), flush=True)
    return 0


def row(size: int, heard: Sequence[Heard], pool: Sequence[str], long: FramePosteriors, retriever: CTCRetriever) -> str:
    """One line of the table."""
    hits, times = dict.fromkeys(RANKS, 0), []
    for utterance in heard:
        listed = (*utterance.names, *pool[: size - len(utterance.names)])
        retriever.null.offsets(retriever.ready(listed).phrases, retriever.scores)
        began = time.thread_time()
        found = [item.phrase for item in retriever.retrieve(utterance.posteriors, listed, max(RANKS))]
        times.append(time.thread_time() - began)
        for rank in RANKS:
            hits[rank] += len(set(found[:rank]) & set(utterance.names))
    total = sum(len(utterance.names) for utterance in heard)
    fresh = CTCRetriever(retriever.spotter, NullModel(retriever.null.background, retriever.null.weight))
    listed, repeated = tuple(pool[:size]), []
    began = time.thread_time()
    fresh.retrieve(long, listed, max(RANKS))
    ready = time.thread_time() - began
    for _ in range(9):
        began = time.thread_time()
        fresh.retrieve(long, listed, max(RANKS))
        repeated.append(time.thread_time() - began)
    cells = [f"{hits[rank] / total:.3f}" for rank in RANKS]
    cells += [f"{1000 * value:.1f}" for value in (statistics.median(times), statistics.median(repeated), ready)]
    return f"|{size}|{'|'.join(cells)}|"


def distractors(count: int, spoken: set[str], rng: random.Random) -> list[str]:
    """Different invented names that nobody says."""
    names: dict[str, None] = {}
    while len(names) < count:
        name = invented_name(rng)
        if name not in spoken:
            names.setdefault(name)
    return list(names)


def joined(heard: Sequence[Heard]) -> FramePosteriors:
    """Utterances one behind the other, cut at 10 s."""
    parts, seconds = [], 0.0
    for utterance in [*heard, *heard]:
        parts.append(utterance.posteriors.dense())
        seconds += utterance.seconds
        if seconds >= LONG:
            break
    dense = np.concatenate(parts)
    first = heard[0].posteriors
    return FramePosteriors.from_dense(dense[: round(len(dense) * LONG / seconds)], first.blank_id)


def recorded(args: argparse.Namespace) -> tuple[list[Heard], dict[str, Any]]:
    """The recordings of a data directory in which a phrase of its list is spoken."""
    reader = EncodingReader(args.encodings_dir)
    heard: dict[str, Heard] = {}
    for row in read_data_dir(args.data_dir, ("wav.scp", "context", "transcript")):
        if row.audio.key in reader and row.audio.key not in heard and row.transcript:
            spoken = found_in(row.transcript, row.context)
            if spoken:
                encoding = reader[row.audio.key]
                heard[row.audio.key] = Heard(encoding.posteriors, tuple(sorted(spoken)), encoding.seconds)
    return list(heard.values())[: args.utterances], reader.fingerprint


def made_up(args: argparse.Namespace, rng: random.Random) -> tuple[list[Heard], dict[str, Any]]:
    """Sentences of the mini grammar with an invented name, spelled by a noisy character CTC."""
    vocabulary = ["<blank>", "<space>", *"abcdefghijklmnopqrstuvwxyz'"]
    fingerprint = {"vocabulary": vocabulary, "blank_id": 0}
    noise = np.random.default_rng(args.seed)
    heard = []
    while len(heard) < args.utterances + 16:
        name = invented_name(rng)
        sentence = generate(rng, [name, *COMMON_NAMES[:1]], need_name=True)
        if name in sentence.names:
            log_probs = spelled(sentence.english, vocabulary, args.misheard, noise)
            posteriors = FramePosteriors.from_dense(log_probs, 0)
            heard.append(Heard(posteriors, (name,), MADE_UP_SHIFT * len(log_probs)))
    return heard, fingerprint


def spelled(text: str, vocabulary: Sequence[str], misheard: float, noise: np.random.Generator) -> np.ndarray:
    """CTC log-probabilities (T, V) of a text: a frame for each letter, a blank after it, some letters misheard."""
    symbols = ("<space>" if char == " " else char for char in text)
    letters = [vocabulary.index(symbol) for symbol in symbols if symbol in vocabulary]
    probabilities = np.full((2 * len(letters), len(vocabulary)), 1e-5)
    for place, letter in enumerate(letters):
        other = int(noise.integers(2, len(vocabulary)))
        sure = 0.6 + 0.4 * noise.random()
        top, second = (other, letter) if noise.random() < misheard and letter > 1 else (letter, other)
        probabilities[2 * place, top] += sure
        probabilities[2 * place, second] += (1 - sure) * noise.random()
        probabilities[2 * place + 1, 0] += 1.0
    return np.log(probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)


if __name__ == "__main__":
    run_main(main)
