"""How long a step of a training waits for its batch, with data directory and encodings on disk; see training.py."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import clock_of
from espnet2.train.dataset import ESPnetDataset
from torch.utils.data import DataLoader
from training_parts import Trained, filled_batches, write_encodings

from slm_espnet.encodings.layout import shard_path
from slm_espnet.errors import UserError
from slm_espnet.prompt import PromptTemplate
from slm_espnet.training.collate import collate
from slm_espnet.training.data_path import DATA_TYPE
from slm_espnet.training.dataset import register_data_type
from slm_espnet.training.preprocessor import SLMPreprocessor

WIDTH = 256  # of an encoding
WORDS = ("call", "mary", "tell", "james", "on", "monday", "book", "a", "table", "the", "weather", "in", "london")
WORDS_PER_SECOND = 2.5
INSTRUCTIONS = ("recognize this speech", "write down what is said", "what does the speaker say")


def loader_claim(args: argparse.Namespace, pair: Any, corpus: Sequence[Any]) -> None:
    """Batches per second of the loader alone, and its share of the steps' time."""
    trained = Trained(pair, WIDTH, args.device, args.dtype)
    if len(trained.llm.tokenizer.tokenizer) > trained.llm.vocab_size:
        raise UserError(f"the loader's texts need a vocabulary of at least {len(trained.llm.tokenizer.tokenizer)}")
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        write_corpus(top, corpus)
        register_data_type()
        data = ESPnetDataset(
            [(f"{top / 'data'}::{top / 'encodings'}", "speech", DATA_TYPE)],
            preprocess=SLMPreprocessor(PromptTemplate(end="<eos>"), trained.llm.tokenizer),
        )
        print("|loader|batches/s alone|step, ms|waits, ms|waits, share|mapped|", "|---" * 6 + "|", sep="\n")
        batches = [[name(number) for number in some] for some in filled_batches(corpus, args.budget)]
        for workers in sorted({0, args.num_workers}):
            loader = DataLoader(data, batch_sampler=batches, num_workers=workers, collate_fn=collate)
            alone = min(_seconds_alone(loader) for _ in range(args.repeats))
            steps, waits = _epoch(trained, loader, args.device)
            mapped = str(shard_path(top / "encodings", 1)) in Path("/proc/self/maps").read_text(encoding="utf-8")
            print(
                f"|{workers} processes beside|{len(batches) / alone:.0f}|{1000 * steps / len(batches):.1f}|"
                f"{1000 * waits / len(batches):.2f}|{100 * waits / steps:.1f} %|{'yes' if mapped else 'no'}|",
                flush=True,
            )


def _seconds_alone(loader: DataLoader) -> float:
    began = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - began


def _epoch(trained: Trained, loader: DataLoader, device: str) -> tuple[float, float]:
    """Seconds on the clock of all steps, and of waiting within them, after one epoch to warm up."""
    for _ in range(2):
        waits, iterator, clock = 0.0, iter(loader), time.perf_counter if device == "cpu" else clock_of(device)
        first = next(iterator)  # what starts the processes is no part of a step
        began = clock()
        batch = first
        while batch is not None:
            trained.step(trained.loss(batch[1]))
            asked = time.perf_counter()
            batch = next(iterator, None)
            waits += time.perf_counter() - asked
    return clock() - began, waits


def name(number: int) -> str:
    """An utterance id."""
    return f"utterance{number:06d}"


def write_corpus(top: Path, corpus: Sequence[Any]) -> None:
    """A data directory and its encodings: made-up words and frames, real files."""
    random = np.random.default_rng(0)
    names = [name(number) for number in range(len(corpus))]
    texts = [" ".join(random.choice(WORDS, max(1, round(WORDS_PER_SECOND * one.seconds)))) for one in corpus]
    columns = {
        "wav.scp": [f"{one}.wav" for one in names],
        "text": texts,
        "prompt": [INSTRUCTIONS[number % len(INSTRUCTIONS)] for number in range(len(corpus))],
        "utt2task": ["asr"] * len(corpus),
    }
    (top / "data").mkdir()
    for file, values in columns.items():
        lines = (f"{utt_id} {value}\n" for utt_id, value in zip(names, values, strict=True))
        (top / "data" / file).write_text("".join(lines), encoding="utf-8")
    frames = {
        f"{utt_id}.wav": random.standard_normal((one.frames, WIDTH), np.float32)
        for utt_id, one in zip(names, corpus, strict=True)
    }
    write_encodings(top / "encodings", frames, {f"{n}.wav": one.seconds for n, one in zip(names, corpus, strict=True)})
