"""Decoding in batches: requests (speech or text, and an instruction) in, hypotheses out.

    model = load_model("exp/slm_asr")
    decoder = Decoder(model, DecodingOptions(beam_size=4))
    for utt_id, hypothesis in decoder.decode(requests):
        print(utt_id, hypothesis.text)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch

from slm_espnet.adapter.base import Placement
from slm_espnet.decoding.bounds import length_bound
from slm_espnet.decoding.search import greedy_steps, search
from slm_espnet.decoding.types import DecodingOptions, Hypothesis, SearchResult
from slm_espnet.llm.base import AbsLLM
from slm_espnet.prompt import Prompt, PromptTemplate


@dataclass(frozen=True)
class Request:
    """One utterance to decode: either `speech` or `text` is given."""

    utt_id: str
    instruction: str
    context: tuple[str, ...] = ()  # phrases for the prompt, or for the biaser to choose from
    speech: Callable[[], Any] | None = None  # loads the encoding (frames (K, D) and what the biaser reads)
    frames: int = 0  # K, known before it is loaded
    text: str | None = None  # text in place of speech
    spoken: str | None = None  # CTC hypothesis, whose length bounds that of the answer

    def __post_init__(self) -> None:
        if (self.speech is None) == (self.text is None):
            raise ValueError(f"request {self.utt_id}: give either speech or text")


class SpeechModel(Protocol):
    """What decoding needs of a model (ESPnetSLMModel has it; for text alone TextModel is enough)."""

    llm: AbsLLM
    template: PromptTemplate

    def text_embeddings(
        self, texts: Sequence[str], prompts: Sequence[Prompt]
    ) -> tuple[torch.Tensor, torch.Tensor]: ...


class TextModel:
    """A frozen LLM and a prompt template, without an adapter: for text in place of speech."""

    def __init__(self, llm: AbsLLM, template: PromptTemplate):
        self.llm = llm
        self.template = template

    def text_embeddings(self, texts: Sequence[str], prompts: Sequence[Prompt]) -> tuple[torch.Tensor, torch.Tensor]:
        """What the untouched LLM reads: (B, S, E) right-padded, lengths (B,)."""
        device = self.llm.embedding_table().device
        rows = [
            torch.tensor(prompt.with_text(self.llm.tokenizer, text), dtype=torch.int64, device=device)
            for text, prompt in zip(texts, prompts, strict=True)
        ]
        lengths = torch.tensor([len(row) for row in rows], device=device)
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        valid = torch.arange(ids.size(1), device=device) < lengths[:, None]
        return self.llm.embed(ids) * valid[..., None], lengths


Biaser = Callable[[Any, Sequence[str]], tuple[list[Placement], tuple[str, ...]]]


class Decoder:
    """Decodes requests in batches of similar length."""

    def __init__(self, model: SpeechModel, options: DecodingOptions | None = None, biaser: Biaser | None = None):
        """Set up.

        Args:
            model: ESPnetSLMModel, or TextModel where all requests are text.
            options: settings of the search and of the batches.
            biaser: (encoding, context) → phrases placed into the speech, and the phrases that the prompt is given in
                place of the whole context (`biasing.context`); None gives the prompt the whole context.
        """
        self.model = model
        self.options = options or DecodingOptions()
        self.biaser = biaser
        self.left_out: dict[str, str] = {}  # utterance → why it could not be decoded
        tokenizer = model.llm.tokenizer
        self._prompt = lru_cache(maxsize=4096)(lambda text, context: model.template.build(tokenizer, text, context))
        self._tokens = lru_cache(maxsize=65536)(lambda text: len(tokenizer.encode(text)))

    def decode(self, requests: Sequence[Request]) -> Iterator[tuple[str, Hypothesis]]:
        """Hypotheses, longest inputs first; what cannot be decoded goes to `left_out` with its reason."""
        for batch in self.decode_batches(requests):
            yield from batch

    def decode_batches(
        self, requests: Sequence[Request], finished: Collection[str] = ()
    ) -> Iterator[list[tuple[str, Hypothesis]]]:
        """The same batch by batch, so that results can be saved together.

        Args:
            requests: of which batches are made.
            finished: utterances that need no result any more. Batches are what they would be without them, so that a
                decoding that goes on computes what a single run does, to the last bit.
        """
        for batch in self._batches(requests):
            if any(request.utt_id not in finished for request in batch):
                yield [(utt_id, found) for utt_id, found in self._decode(batch) if utt_id not in finished]

    def _size(self, request: Request) -> int:
        """Positions of the LLM's input, as far as is known before the adapter has run."""
        context = request.context if self.biaser is None else ()  # few are left of a long list
        prompt = self._prompt(request.instruction, context)
        speech = request.frames if request.text is None else self._tokens(request.text)
        return len(prompt.prefix) + speech + len(prompt.suffix)

    def _batches(self, requests: Sequence[Request]) -> Iterator[list[Request]]:
        sizes = {request.utt_id: self._size(request) for request in requests}
        ordered = sorted(requests, key=lambda r: (r.text is None, -sizes[r.utt_id], r.utt_id))
        most = max(1, self.options.batch_size // self.options.beam_size)
        batch: list[Request] = []
        for request in ordered:
            full = batch and (
                len(batch) == most
                or sizes[batch[0].utt_id] * (len(batch) + 1) > self.options.batch_tokens
                or (batch[0].text is None) != (request.text is None)
            )
            if full:
                yield batch
                batch = []
            batch.append(request)
        if batch:
            yield batch

    @torch.no_grad()
    def _decode(self, batch: list[Request]) -> list[tuple[str, Hypothesis]]:
        batch, inputs, lengths, bounds = self._prepare(batch)
        if not batch:
            return []
        found = search(self.model.llm, inputs, lengths, bounds, self.options)
        return [(request.utt_id, self._hypothesis(result)) for request, result in zip(batch, found, strict=True)]

    @torch.no_grad()
    def stream(self, request: Request) -> Generator[str, None, Hypothesis | None]:
        """The text so far after every token; returns the hypothesis, or None where the request is left out.

        A beam search knows its answer at its end only: with beam_size above 1 nothing is yielded before.
        """
        batch, inputs, lengths, bounds = self._prepare([request])
        if not batch:
            return None
        if self.options.beam_size > 1:
            (result,) = search(self.model.llm, inputs, lengths, bounds, self.options)
            return self._hypothesis(result)
        steps = greedy_steps(self.model.llm, inputs, lengths, bounds, self.options)
        while True:
            try:
                (ids,) = next(steps)
            except StopIteration as end:
                return self._hypothesis(end.value[0])
            yield self.model.llm.tokenizer.decode(ids)

    def _prepare(self, batch: list[Request]) -> tuple[list[Request], torch.Tensor, torch.Tensor, list[int]]:
        """Requests that can be decoded, the LLM's input (B, S, E), lengths (B,), and the bounds of the answers."""
        embed = self._embed_speech if batch[0].text is None else self._embed_text
        batch, inputs, lengths = embed(batch)
        bounds = [self._bound(r, n) for r, n in zip(batch, lengths.tolist(), strict=True)]
        fits = [row for row, bound in enumerate(bounds) if bound > 0]
        for row in set(range(len(batch))) - set(fits):
            self.left_out[batch[row].utt_id] = "input longer than the language model reads"
        index = torch.tensor(fits, dtype=torch.int64, device=lengths.device)
        return [batch[row] for row in fits], inputs[index], lengths[index], [bounds[row] for row in fits]

    def _embed_text(self, batch: list[Request]) -> tuple[list[Request], torch.Tensor, torch.Tensor]:
        prompts = [self._prompt(request.instruction, request.context) for request in batch]
        return batch, *self.model.text_embeddings([request.text for request in batch], prompts)

    def _embed_speech(self, batch: list[Request]) -> tuple[list[Request], torch.Tensor, torch.Tensor]:
        good, frames, placements, prompts = [], [], [], []
        for request in batch:
            encoding = request.speech()
            array = np.asarray(encoding.frames, dtype=np.float32)
            if len(array) == 0 or not np.isfinite(array).all():
                self.left_out[request.utt_id] = "no frames" if len(array) == 0 else "encoding is not finite"
                continue
            context = request.context
            if self.biaser is not None:
                spans, context = self.biaser(encoding, context)
                placements.append(spans)
            good.append(request)
            frames.append(torch.from_numpy(array))
            prompts.append(self._prompt(request.instruction, context))
        device = self.model.llm.embedding_table().device
        lengths = torch.tensor([len(array) for array in frames], dtype=torch.int64, device=device)
        if not good:
            return [], torch.zeros(0, 0, self.model.llm.dim, device=device), lengths
        padded = torch.nn.utils.rnn.pad_sequence(frames, batch_first=True).to(device)
        return good, *self.model.prompt_embeddings(padded, lengths, prompts, placements or None)

    def _bound(self, request: Request, input_length: int) -> int:
        """Most target tokens; 0 where the prompt alone is too long."""
        spoken = request.spoken if request.text is None else request.text
        bound = length_bound(self.options, None if spoken is None else self._tokens(spoken))
        most = self.model.llm.max_positions
        return bound if most is None else max(0, min(bound, most - input_length))

    def _hypothesis(self, result: SearchResult) -> Hypothesis:
        return Hypothesis(
            self.model.llm.tokenizer.decode(result.token_ids),
            result.token_ids,
            result.token_log_probs,
            result.score,
            result.truncated,
            result.looped,
        )
