"""What the benchmarks of decoding decode: a trained model on a data set, or random weights with made-up drafts.

Both are decoded by this toolkit (`decode`) and by transformers' own `generate` on the same input embeddings.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from models import random_llm, read_pair

from slm_espnet.checkpoint import load_model
from slm_espnet.data.datadir import read_data_dir
from slm_espnet.decoding.requests import speech_requests, with_repeats
from slm_espnet.decoding.search import search
from slm_espnet.decoding.types import DecodingOptions, Hypothesis, SearchResult
from slm_espnet.encodings.reader import EncodingReader
from slm_espnet.inference import Decoder
from slm_espnet.llm.base import AbsLLM
from slm_espnet.llm.hf_causal import pad_left
from slm_espnet.scoring.error_rate import align, count_edits, summarize

Found = dict[str, SearchResult | Hypothesis]  # by utterance
Tokens = dict[str, tuple[int, ...]]
SPREAD = 2.0  # of random weights, in 1/sqrt(width): answers then depend on what is read


class Subject:
    """Utterances and the language model that answers."""

    llm: AbsLLM
    count: int  # utterances
    options: DecodingOptions

    @abstractmethod
    def decode(self, batch_size: int, **changes: Any) -> Found:
        """By this toolkit; `changes` of the options."""

    @abstractmethod
    def batches(self, batch_size: int) -> Iterator[tuple[list[str], torch.Tensor, torch.Tensor]]:
        """Names, input embeddings (B, S, E) right-padded and lengths (B,), in the batches that `decode` makes."""

    def wer(self, answers: Tokens) -> float | None:
        """WER % where there are transcripts."""
        return None

    @torch.no_grad()
    def generate(self, batch_size: int, beams: int) -> Tokens:
        """By transformers."""
        answers: Tokens = {}
        for names, inputs, lengths in self.batches(batch_size):
            answers |= zip(names, _generate(self.llm, inputs, lengths, self.options.max_length, beams), strict=True)
        return answers


class Trained(Subject):
    """A trained model and the recognition rows of a data directory."""

    def __init__(self, model: Any, data_dir: Path, encodings_dir: Path, utterances: int | None):
        """`model` as `load_model` gives it; utterances: the first so many; None: all."""
        self.model, self.llm = model, model.llm
        rows = [row for row in read_data_dir(data_dir) if row.task == "asr"][:utterances]
        reader = EncodingReader(encodings_dir, model.encoding_fingerprint)
        self.requests = with_repeats(speech_requests(rows, reader, False)[0], rows, ["asr"])
        self.texts = {row.utt_id: row.text for row in rows}
        self.count = len(rows)
        self.options = DecodingOptions(max_length=100, max_length_ratio=0, loop_repeats=0, ctc_draft="none")

    @classmethod
    def load(cls, args: Any) -> Trained:
        """By the options of a benchmark."""
        llm_conf = {"model": args.llm} if args.llm else {}
        llm_conf |= {"dtype": args.dtype} if args.dtype else {}
        model = load_model(args.model_dir, device=args.device, llm_conf=llm_conf)
        return cls(model, args.data_dir, args.encodings_dir, args.utterances)

    def decode(self, batch_size: int, **changes: Any) -> Found:
        """By this toolkit."""
        options = replace(self.options, batch_size=batch_size * changes.get("beam_size", 1), **changes)
        return dict(Decoder(self.model, options).decode(self.requests))

    def batches(self, batch_size: int) -> Iterator[tuple[list[str], torch.Tensor, torch.Tensor]]:
        """Of the adapter's output between the ends of prompts."""
        decoder = Decoder(self.model, replace(self.options, batch_size=batch_size))
        for requests in decoder._batches(self.requests):
            batch = decoder._embed_speech(requests)
            yield [request.utt_id for request in batch.requests], batch.inputs, batch.lengths

    def wer(self, answers: Tokens) -> float:
        """WER % against the transcripts."""
        texts = {utt_id: self.llm.tokenizer.decode(ids) for utt_id, ids in answers.items()}
        return summarize(count_edits(align([self.texts[utt_id] for utt_id in texts], list(texts.values())))).error


class Random(Subject):
    """A language model of a pair's size with random weights; its drafts are its answers with so many tokens wrong."""

    def __init__(self, args: Any):
        """By the options of a benchmark."""
        self.llm = random_llm(read_pair(args.pair), args.device, args.dtype, SPREAD)
        self.count = args.utterances
        generator = torch.Generator().manual_seed(1)
        inputs = torch.randn(self.count, args.positions, self.llm.dim, generator=generator)
        self.inputs = inputs.to(args.device)
        self.options = DecodingOptions(max_length=args.tokens, loop_repeats=0, ctc_draft="none")
        self.drafts = [()] * self.count
        for row, result in enumerate(self.decode(args.batch_size).values()):
            ids = torch.tensor(result.token_ids, dtype=torch.int64)
            wrong = torch.rand(len(ids), generator=generator) < args.wrong
            self.drafts[row] = tuple(torch.where(wrong, (ids + 7) % self.llm.vocab_size, ids).tolist())

    def decode(self, batch_size: int, **changes: Any) -> Found:
        """By this toolkit."""
        options = replace(self.options, **changes)
        found: list[SearchResult] = []
        for names, inputs, lengths in self.batches(batch_size):
            rows = slice(len(found), len(found) + len(names))
            drafts = None if options.ctc_draft == "none" else self.drafts[rows]
            found += search(self.llm, inputs, lengths, [options.max_length] * len(names), options, drafts)
        return {str(row): result for row, result in enumerate(found)}

    def batches(self, batch_size: int) -> Iterator[tuple[list[str], torch.Tensor, torch.Tensor]]:
        """Of random embeddings."""
        for first in range(0, self.count, batch_size):
            inputs = self.inputs[first : first + batch_size]
            lengths = torch.full((len(inputs),), inputs.size(1), device=inputs.device)
            yield [str(first + row) for row in range(len(inputs))], inputs, lengths


def _generate(llm: Any, inputs: torch.Tensor, lengths: torch.Tensor, most: int, beams: int) -> list[tuple[int, ...]]:
    """Answers of a batch by transformers' generate: padded on the left for decoder-only models, as its manual asks."""
    mask = (torch.arange(inputs.size(1), device=inputs.device) < lengths[:, None]).long()
    if not llm.is_encoder_decoder:
        inputs, positions = pad_left(inputs, lengths)
        mask = (positions >= 0).long()
    settings = {"max_new_tokens": most, "do_sample": False, "num_beams": beams}
    if beams > 1:
        settings["length_penalty"] = 0.0  # as this toolkit's beam search, by log-probability
    found = llm.model.generate(inputs_embeds=inputs.to(llm.model.dtype), attention_mask=mask, **settings)
    rows = found[:, 1:].tolist() if llm.is_encoder_decoder else found.tolist()
    ends = [next((place for place, token in enumerate(ids) if token in llm.stop_ids), len(ids)) for ids in rows]
    return [tuple(ids[:end]) for ids, end in zip(rows, ends, strict=True)]
