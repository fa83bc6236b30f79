"""What benchmarks of training share: a made-up corpus of mixed lengths, its batches, a model to train, and its step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from espnet2.torch_utils.device_funcs import to_device
from models import random_llm

from slm_espnet.adapter.build import build_adapter
from slm_espnet.adapter.input import valid_mask
from slm_espnet.data.datadir import AudioSource
from slm_espnet.encodings.fingerprint import write_fingerprint
from slm_espnet.encodings.job import JobOptions, mark_done
from slm_espnet.encodings.layout import FORMAT, Encoding, job_left_out_path
from slm_espnet.encodings.merge import merge
from slm_espnet.encodings.plan import Recording
from slm_espnet.encodings.writer import EncodingWriter
from slm_espnet.espnet_model import ESPnetSLMModel
from slm_espnet.foundation import Foundation
from slm_espnet.llm.base import AbsLLM
from slm_espnet.llm.hf_causal import pad_left
from slm_espnet.prompt import PromptTemplate
from slm_espnet.training.collate import collate
from slm_espnet.training.shaping import Shaping
from slm_espnet.training.tokens import Shares, TokenCounts, sizes_of

MEDIAN_SECONDS, SPREAD, SECONDS = 6.0, 0.7, (1.0, 30.0)  # log-normal, cut off at both ends
FRAMES_PER_SECOND = 10.0  # that the blank filter leaves of an encoder's 50
TOKENS_PER_SECOND = 3.3  # of the target
PROMPT_TOKENS = (10, 40)
CLIP = 1.0  # norm of the gradient


@dataclass(frozen=True)
class Example:
    """Lengths of an utterance."""

    seconds: float
    frames: int  # kept
    prompt: int  # tokens, all before the speech
    target: int  # tokens, with EOS

    @property
    def tokens(self) -> int:
        """What the LLM reads of it."""
        return self.frames + self.prompt + self.target


def draw_corpus(count: int, seed: int = 0) -> list[Example]:
    """Utterances of mixed lengths."""
    random = np.random.default_rng(seed)
    seconds = np.clip(MEDIAN_SECONDS * np.exp(SPREAD * random.standard_normal(count)), *SECONDS)
    prompts = random.integers(PROMPT_TOKENS[0], PROMPT_TOKENS[1] + 1, count)
    return [
        Example(s, max(1, round(FRAMES_PER_SECOND * s)), int(prompt), 1 + max(1, round(TOKENS_PER_SECOND * s)))
        for s, prompt in zip(seconds.tolist(), prompts, strict=True)
    ]


def filled_batches(corpus: Sequence[Example], budget: int) -> list[list[int]]:
    """Batches of at most so many tokens that the LLM reads, padding included, as a training forms them."""
    shapes = [np.array([getattr(one, name) for one in corpus]) for name in ("frames", "target", "prompt")]
    order, bounds = Shaping(batch_type="tokens", batch_bins=budget).form(shapes, [1, 1, 1])
    return [order[begin:end].tolist() for begin, end in zip(bounds[:-1], bounds[1:], strict=True)]


def even_batches(corpus: Sequence[Example], size: int) -> list[list[int]]:
    """Batches of so many utterances as they come."""
    return [list(range(begin, min(begin + size, len(corpus)))) for begin in range(0, len(corpus), size)]


def make_batch(corpus: Sequence[Example], members: Sequence[int], width: int, vocabulary: int) -> dict:
    """A batch of the collate function, with made-up contents that depend on the utterance alone."""
    data = []
    for number in members:
        one, random = corpus[number], np.random.default_rng(number)
        sizes = {"prefix": one.prompt, "suffix": 0, "target": one.target, "transcript": 0, "read": 0}
        ids = {name: random.integers(2, vocabulary, size) for name, size in sizes.items()}
        frames = random.standard_normal((one.frames, width), np.float32)
        data.append((str(number), {"speech": frames, "seconds": np.array([one.seconds], np.float32), **ids}))
    return collate(data)[1]


class Trained:
    """A model with its optimizer."""

    def __init__(self, pair: Foundation, width: int, device: str, dtype: str | None, llm: AbsLLM | None = None):
        """The language model of a pair with random weights, and the paper's adapter for encodings of a width."""
        self.device = device
        self.llm = random_llm(pair, device, dtype) if llm is None else llm
        size = min(512, 16 * (self.llm.dim // 16))
        torch.manual_seed(0)
        config = {"input_size": width, "adapter": "transformer", "adapter_output": "linear",
                  "adapter_conf": {"layers": 2, "size": size, "heads": max(1, size // 64), "positions": "rotary",
                                   "dropout": 0.0, "input_dropout": 0.0}}  # fmt: skip
        adapter = build_adapter(config, self.llm.embedding_table())
        self.model = ESPnetSLMModel(self.llm, adapter, PromptTemplate(), ctc_weight=0.0).to(device).train()
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=0.0)  # all its work, but losses stay comparable

    def loss(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Of a batch on the CPU, as a training of the toolkit computes it."""
        counts = TokenCounts.of_batch(batch)
        shares = Shares.of_batch(batch, counts, counts)
        return self.model(**to_device(dict(batch), self.device, non_blocking=True), shares=shares)[0]

    def plain_loss(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The same by transformers' own loss: logits at all padded positions of the batch."""
        sizes = sizes_of(batch)
        batch, model, llm = to_device(dict(batch), self.device), self.model, self.llm
        speech = model.adapter(batch["speech"], batch["speech_lengths"], llm.embedding_table())
        heard = model.adapter.shortened(sizes["speech"])
        inputs, lengths, _ = model._assemble(batch, speech.embeddings, {**sizes, "speech": heard})
        target, number = batch["target"], torch.arange(batch["target"].size(1), device=self.device)
        labels = target.masked_fill(number >= batch["target_lengths"][:, None], -100)
        if llm.is_encoder_decoder:
            mask = self._mask(valid_mask(lengths, inputs.size(1)).long(), 1)
            return llm.model(inputs_embeds=inputs.to(llm.model.dtype), attention_mask=mask, labels=labels).loss
        prompts, positions = pad_left(inputs, lengths)
        inputs = torch.cat([prompts.to(llm.model.dtype), llm.embed(target)], 1)
        mask = torch.cat([(positions >= 0).long(), (labels != -100).long()], 1)
        labels = torch.cat([torch.full_like(positions, -100), labels], 1)
        places = (mask.cumsum(1) - 1).clamp(min=0)
        mask = self._mask(mask, mask.size(1))
        return llm.model(inputs_embeds=inputs, attention_mask=mask, position_ids=places, labels=labels).loss

    def _mask(self, mask: torch.Tensor, queries: int) -> torch.Tensor:
        """(B, S) as it is; on `meta`, where transformers cannot look at it, the mask that it would make of it."""
        if mask.device.type != "meta":
            return mask
        return torch.empty(len(mask), 1, queries, mask.size(1), dtype=self.llm.model.dtype, device="meta")

    def to_meta(self) -> None:
        """Give up all data: what is left can be counted, not computed."""
        if not self.llm.is_encoder_decoder:
            self.llm._packs()  # is tried on data
        self.model._count_forward()  # reads the number of steps before
        self.model.to("meta")
        self.device = "meta"

    def step(self, loss: torch.Tensor) -> float:
        """Backward pass and one step of the optimizer; returns the loss."""
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()


def write_encodings(directory: Path, frames: Mapping[str, np.ndarray], seconds: Mapping[str, float]) -> None:
    """A set of encodings on disk, as stage 2 leaves it; both by the recording's name in wav.scp."""
    directory.mkdir(parents=True)
    width = next(iter(frames.values())).shape[1]
    fingerprint = {
        "format": FORMAT, "encoder": {"kind": "made up"}, "reduction": {"name": "none"}, "storage_dtype": "float16",
        "dim": width, "frame_shift": 0.02, "blank_id": None, "posteriors": None, "vocabulary": None,
    }  # fmt: skip
    write_fingerprint(directory, fingerprint)
    sources = {AudioSource(name).key: name for name in frames}
    with EncodingWriter(directory, 1, fingerprint) as writer:
        for key, name in sources.items():
            array, places = frames[name], np.arange(len(frames[name]), dtype=np.int32)
            writer.write({key: Encoding(array, places, places + 1, len(array), seconds[name], "", None)})
    recordings = [Recording(key, AudioSource(name), None) for key, name in sorted(sources.items())]
    job_left_out_path(directory, 1).touch()
    mark_done(directory, fingerprint, recordings, {}, JobOptions(job=1, num_jobs=1))
    merge(recordings, directory, 1, {})
