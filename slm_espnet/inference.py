"""Decoding in batches: requests (speech or text, and an instruction) in, hypotheses out.

    model = load_model("exp/slm_asr")
    decoder = Decoder(model, DecodingOptions(beam_size=4))
    for utt_id, hypothesis in decoder.decode(requests):
        print(utt_id, hypothesis.text)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch

from slm_espnet.adapter.base import Placement, SpeechEmbeddings
from slm_espnet.decoding.bounds import length_bound
from slm_espnet.decoding.heard import Hearing
from slm_espnet.decoding.partial import PartialText
from slm_espnet.decoding.search import greedy_steps, search
from slm_espnet.decoding.types import DecodingOptions, Hypothesis, SearchResult
from slm_espnet.llm.base import AbsLLM
from slm_espnet.prompt import Prompt, PromptTemplate, TextPrompt

Load = Callable[[], Any]


@dataclass(frozen=True)
class Request:
    """One utterance to decode: either `speech` or `text` is given; tuples of them where a prompt has several."""

    utt_id: str
    instruction: str
    context: tuple[str, ...] = ()  # phrases for the prompt, or for the biaser to choose from
    history: tuple[tuple[str, str], ...] = ()  # earlier turns of the dialog: (`user` or `assistant`, words)
    speech: Load | tuple[Load, ...] | None = None  # loads the encoding (frames (K, D) and what the biaser reads)
    frames: int = 0  # K of all recordings, known before they are loaded
    text: str | tuple[str, ...] | None = None  # text in place of speech
    spoken: str | None = None  # CTC hypothesis, whose length bounds that of the answer
    repeats: bool = False  # the CTC hypothesis is a draft of the answer
    recognizes: bool = False  # the answer should be what was said, so its length bounds that of the answer

    def __post_init__(self) -> None:
        if (self.speech is None) == (self.text is None):
            raise ValueError(f"request {self.utt_id}: give either speech or text")

    @property
    def loads(self) -> tuple[Load, ...]:
        """What loads each recording, in the order of their places in the prompt; () for text."""
        return self.speech if isinstance(self.speech, tuple) else () if self.speech is None else (self.speech,)

    @property
    def texts(self) -> tuple[str, ...]:
        """Text in place of each recording; () for speech."""
        return self.text if isinstance(self.text, tuple) else () if self.text is None else (self.text,)

    @property
    def is_drafted(self) -> bool:
        """Whether what was heard may be a draft: of several recordings no answer is a copy."""
        return self.repeats and len(self.loads or self.texts) == 1


class SpeechModel(Protocol):
    """What decoding needs of a model (ESPnetSLMModel has it; for text alone TextModel is enough)."""

    llm: AbsLLM
    template: PromptTemplate
    has_ctc: bool  # whether the adapter writes the LLM's tokens by a CTC of its own

    def text_embeddings(self, prompts: Sequence[TextPrompt]) -> tuple[torch.Tensor, torch.Tensor]: ...


class TextModel:
    """A frozen LLM and a prompt template, without an adapter: for text in place of speech."""

    has_ctc = False

    def __init__(self, llm: AbsLLM, template: PromptTemplate):
        self.llm = llm
        self.template = template

    def text_embeddings(self, prompts: Sequence[TextPrompt]) -> tuple[torch.Tensor, torch.Tensor]:
        """What the untouched LLM reads: (B, S, E) right-padded, lengths (B,)."""
        device = self.llm.embedding_table().device
        rows = [torch.tensor(prompt.ids, dtype=torch.int64, device=device) for prompt in prompts]
        lengths = torch.tensor([len(row) for row in rows], device=device)
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        valid = torch.arange(ids.size(1), device=device) < lengths[:, None]
        return self.llm.embed(ids) * valid[..., None], lengths



class Biaser(Protocol):
    """What chooses phrases for an utterance: those placed into the speech, and those that the prompt is given."""

    def __call__(self, encoding: Any, context: Sequence[str]) -> tuple[list[Placement], tuple[str, ...]]: ...

    def with_text(self, encoding: Any, context: Sequence[str]) -> tuple[list[Placement], tuple[str, ...], str]:
        """The same, and the CTC hypothesis with the placed phrases in it."""


@dataclass(frozen=True)
class _Batch:
    """Requests that the LLM is asked."""

    requests: list[Request]
    inputs: torch.Tensor  # (B, S, E) right-padded
    lengths: torch.Tensor  # (B,)
    drafts: list[tuple[int, ...]]  # of the answers; () where there is none
    taken: dict[str, Hypothesis]  # utterances of which CTC is sure; the LLM is not asked


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
        self._exact = replace(self.options, ctc_draft="exact")
        self.biaser = biaser
        self.left_out: dict[str, str] = {}  # utterance → why it could not be decoded
        tokenizer = model.llm.tokenizer
        self._usual = lru_cache(maxsize=4096)(lambda instruction: model.template.build(tokenizer, instruction))
        self._encode = lru_cache(maxsize=65536)(lambda text: model.template.answer(tokenizer, text))
        self._hearing = Hearing(self.options, model.llm, model.has_ctc, self._encode)

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
        if request.text is not None:
            return len(self._read(request).ids)
        return len(self._prompt(request, context)) + request.frames

    def _prompt(self, request: Request, context: Sequence[str]) -> Prompt:
        count = len(request.loads)
        if not context and not request.history and count == 1:  # instructions repeat; lists and dialogs do not
            return self._usual(request.instruction)
        template, tokenizer = self.model.template, self.model.llm.tokenizer
        return template.build(tokenizer, request.instruction, context, request.history, count)

    def _read(self, request: Request) -> TextPrompt:
        """The prompt of a request of text."""
        template, tokenizer = self.model.template, self.model.llm.tokenizer
        return template.with_text(tokenizer, request.texts, request.instruction, request.context, request.history)

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
    def _decode(self, requests: list[Request]) -> list[tuple[str, Hypothesis]]:
        batch = self._prepare(requests)
        results = list(batch.taken.items())
        if batch.requests:
            options = self._options(requests)
            found = search(self.model.llm, batch.inputs, batch.lengths, self._bounds(batch), options, batch.drafts)
            results += [(r.utt_id, self._hypothesis(result)) for r, result in zip(batch.requests, found, strict=True)]
        return results

    @torch.no_grad()
    def stream(self, request: Request) -> Generator[str, None, Hypothesis | None]:
        """The text so far after every pass of the LLM (with a draft these are several tokens), in whole characters.

        Returns the hypothesis, or None where the request is left out. A beam search knows its answer at its end only:
        with beam_size above 1 nothing is yielded before; nor where the CTC hypothesis is taken as it is.
        """
        batch, options = self._prepare([request]), self._options([request])
        if not batch.requests:
            return batch.taken.get(request.utt_id)
        asked = self.model.llm, batch.inputs, batch.lengths, self._bounds(batch), options
        if options.beam_size > 1:
            return self._hypothesis(search(*asked)[0])
        steps, text = greedy_steps(*asked, batch.drafts), PartialText(self.model.llm.tokenizer)
        while True:
            try:
                (ids,) = next(steps)
            except StopIteration as end:
                return self._hypothesis(end.value[0])
            yield text.of(ids)

    def _options(self, requests: list[Request]) -> DecodingOptions:
        """Text in place of speech is a bound on what speech can give: only what the LLM itself would say."""
        is_speech = requests[0].text is None
        return self.options if is_speech or self.options.ctc_draft == "none" else self._exact

    def _bounds(self, batch: _Batch) -> list[int]:
        """Most target tokens of each answer."""
        return [self._bound(r, n) for r, n in zip(batch.requests, batch.lengths.tolist(), strict=True)]

    def _prepare(self, requests: list[Request]) -> _Batch:
        """What the LLM is asked, and what it need not be asked; requests that are too long are left out."""
        embed = self._embed_speech if requests[0].text is None else self._embed_text
        batch = embed(requests)
        fits = []
        for row, (request, bound) in enumerate(zip(batch.requests, self._bounds(batch), strict=True)):
            if request.utt_id in batch.taken:
                continue
            if bound > 0:
                fits.append(row)
            else:
                self.left_out[request.utt_id] = "input longer than the language model reads"
        index = torch.tensor(fits, dtype=torch.int64, device=batch.lengths.device)
        lengths = batch.lengths[index]
        return _Batch(
            [batch.requests[row] for row in fits],
            batch.inputs[index, : int(lengths.max())] if fits else batch.inputs[index],
            lengths,
            [batch.drafts[row] for row in fits],
            batch.taken,
        )

    def _embed_text(self, requests: list[Request]) -> _Batch:
        embedded = self.model.text_embeddings([self._read(request) for request in requests])
        drafted = [request.is_drafted and self._hearing.is_used for request in requests]
        drafts = [self._hearing.draft(r.texts[0]) if d else () for r, d in zip(requests, drafted, strict=True)]
        return _Batch(requests, *embedded, drafts, {})

    def _is_drafted(self, request: Request) -> bool:
        return request.is_drafted and self._hearing.of_speech

    def _embed_speech(self, requests: list[Request]) -> _Batch:
        good, frames, placements, prompts, texts, taken = [], [], [], [], [], {}
        for request in requests:
            encodings = [load() for load in request.loads]
            arrays = [np.asarray(encoding.frames, dtype=np.float32) for encoding in encodings]
            problem = _problem(arrays)
            if problem is not None:
                self.left_out[request.utt_id] = problem
                continue
            spans, context, text = self._biased(request, encodings)
            if self._is_drafted(request):
                found = self._hearing.taken(text, encodings[0], self._bound(request, 0))
                if found is not None:
                    taken[request.utt_id] = found
                    continue
            good.append(request)
            frames.extend(torch.from_numpy(array) for array in arrays)
            placements.extend(spans)
            texts.append(text)
            prompts.append(self._prompt(request, context))
        device = self.model.llm.embedding_table().device
        lengths = torch.tensor([len(array) for array in frames], dtype=torch.int64, device=device)
        if not good:
            return _Batch([], torch.zeros(0, 0, self.model.llm.dim, device=device), lengths, [], taken)
        padded = torch.nn.utils.rnn.pad_sequence(frames, batch_first=True).to(device)
        placed = None if self.biaser is None else placements
        drafted = [self._is_drafted(request) for request in good]
        if not any(drafted) or not self._hearing.by_adapter:
            drafts = [self._hearing.draft(t) if wanted else () for t, wanted in zip(texts, drafted, strict=True)]
            return _Batch(good, *self.model.prompt_embeddings(padded, lengths, prompts, placed), drafts, taken)
        speech = self.model.speech_embeddings(padded, lengths, placed)
        drafts, sure = self._heard(speech, good, drafted)
        return _Batch(good, *self.model.surround(speech.embeddings, speech.lengths, prompts), drafts, taken | sure)

    def _heard(
        self, speech: SpeechEmbeddings, requests: Sequence[Request], drafted: Sequence[bool]
    ) -> tuple[list[tuple[int, ...]], dict[str, Hypothesis]]:
        """What the adapter's CTC heard: a draft for each request, () for those without; answers of which it is sure."""
        heard, bounds = self._hearing.drafts(speech), [0] * len(speech.lengths)
        first = np.cumsum([0, *(len(request.loads) for request in requests)])[:-1].tolist()  # recording of each
        drafts: list[tuple[int, ...]] = [()] * len(heard)
        for request, row, wanted in zip(requests, first, drafted, strict=True):
            if wanted:
                drafts[row], bounds[row] = heard[row], self._bound(request, 0)
        sure = self._hearing.taken_of(speech, drafts, bounds)
        taken = {r.utt_id: sure[row] for r, row in zip(requests, first, strict=True) if row in sure}
        return [drafts[row] for row in first], taken

    def _biased(
        self, request: Request, encodings: Sequence[Any]
    ) -> tuple[list[list[Placement]], tuple[str, ...], str | None]:
        """Phrases placed in each recording, phrases for the prompt, and the CTC hypothesis with the placed phrases."""
        if self.biaser is None:
            return [[] for _ in encodings], request.context, request.spoken
        if self._is_drafted(request) and not self._hearing.by_adapter:
            placed, context, text = self.biaser.with_text(encodings[0], request.context)
            return [placed], context, text
        found = [self.biaser(encoding, request.context) for encoding in encodings]
        context = dict.fromkeys(phrase for _, phrases in found for phrase in phrases)
        return [placed for placed, _ in found], tuple(context), request.spoken

    def _bound(self, request: Request, input_length: int) -> int:
        """Most target tokens; 0 where the prompt alone is too long."""
        spoken = None
        if request.recognizes:
            spoken = request.spoken if request.text is None else " ".join(request.texts)
        bound = length_bound(self.options, None if spoken is None else len(self._encode(spoken)))
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
            result.passes,
            result.draft_tokens,
            result.draft_accepted,
            end_id=result.end_id,
        )


def _problem(arrays: Sequence[np.ndarray]) -> str | None:
    """Why frames (K, D) of an utterance's recordings cannot be read; None where they can."""
    if any(len(array) == 0 for array in arrays):
        return "no frames"
    return None if all(np.isfinite(array).all() for array in arrays) else "encoding is not finite"
