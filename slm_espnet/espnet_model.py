"""ESPnetSLMModel: the loss on one batch, and the LLM's input for one batch of prompts.

Only the adapter (and LoRA, where it is switched on) is trained, saved and loaded. The LLM stays what it was: in eval
mode, in its own dtype, without gradients, and outside every checkpoint.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from espnet2.train.abs_espnet_model import AbsESPnetModel
from torch.nn.modules.module import _IncompatibleKeys

from slm_espnet.adapter.adapter import Adapter
from slm_espnet.adapter.base import Placement, SpeechEmbeddings
from slm_espnet.adapter.input import valid_mask
from slm_espnet.assembly import TEXTS, Sizes, join, pad_ids, text_of
from slm_espnet.llm.base import AbsLLM
from slm_espnet.llm.packing import on_device, spans
from slm_espnet.loss import Output, TargetLoss, Teacher, ctc, target_loss
from slm_espnet.prompt import Prompt, PromptTemplate, TextPrompt
from slm_espnet.training.tokens import Shares, sizes_of

Batch = Mapping[str, torch.Tensor]
AUTOCAST_DTYPES = {"none": None, "bfloat16": torch.bfloat16}


class ESPnetSLMModel(AbsESPnetModel):
    """Frozen LLM, trained adapter, and the template that puts prompts together."""

    def __init__(
        self,
        llm: AbsLLM,
        adapter: Adapter,
        template: PromptTemplate,
        ce_weight: float = 1.0,  # weight of cross-entropy on the target, per target token
        ctc_weight: float = 1.0,  # weight of CTC, per LLM token; much below 1 the adapter falls silent (doc/LOG.md)
        kl_weight: float = 0.0,  # weight of KL to the LLM on the true transcript, per target token; one more LLM pass
        kl_temperature: float = 1.0,  # softens both sides of KL; above 1 more of what the teacher holds unlikely counts
        ctc_only_steps: int = 0,  # so many first training steps with CTC alone, in which the LLM is not run
        autocast_dtype: str = "none",  # none | bfloat16: dtype of the LLM's matrix products in training
        diagnostic_batches: int = 4,  # validation batches on which listening is measured; 0 switches it off
    ):
        super().__init__()
        if autocast_dtype not in AUTOCAST_DTYPES:
            raise ValueError(f"autocast_dtype must be one of {', '.join(AUTOCAST_DTYPES)}, not {autocast_dtype!r}")
        if min(ce_weight, ctc_weight, kl_weight, ctc_only_steps) < 0:
            raise ValueError("ce_weight, ctc_weight, kl_weight and ctc_only_steps cannot be negative")
        if not ce_weight and not ctc_weight and not kl_weight:
            raise ValueError("one of ce_weight, ctc_weight and kl_weight must be above 0")
        if not kl_temperature > 0:
            raise ValueError(f"kl_temperature must be above 0, not {kl_temperature}")
        if ctc_only_steps and not (ctc_weight and adapter.output.has_ctc):
            raise ValueError("ctc_only_steps needs a ctc_weight above 0 and an adapter_output with CTC")
        self.llm = llm
        self.adapter = adapter
        self.template = template
        self.ce_weight, self.ctc_weight, self.ctc_only_steps = ce_weight, ctc_weight, ctc_only_steps
        self.kl_weight, self.kl_temperature = kl_weight, kl_temperature
        self.autocast_dtype = AUTOCAST_DTYPES[autocast_dtype]
        self.diagnostic_batches = diagnostic_batches
        self.encoding_fingerprint: dict[str, Any] | None = None  # of the encodings the adapter is trained on
        self.register_buffer("training_forwards", torch.zeros((), dtype=torch.int64))
        self._forwards: int | None = None  # the same as a plain number, which no GPU has to be asked for
        self.validation_share = (0, 1)  # rank and number of processes that share the validation batches
        self._validated = 0
        self._token_norm: torch.Tensor | None = None
        self._trained_llm = {f"llm.{name}" for name, p in llm.named_parameters() if p.requires_grad}
        self.register_state_dict_post_hook(_drop_frozen)

    @property
    def has_ctc(self) -> bool:
        """Whether the adapter writes the LLM's tokens by a CTC of its own."""
        return self.adapter.output.has_ctc

    # The LLM's input

    def prompt_embeddings(
        self,
        frames: torch.Tensor,
        lengths: torch.Tensor,
        prompts: Sequence[Prompt],
        placements: list[list[Placement]] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encodings (N, T, D), lengths (N,) and B prompts → LLM input (B, S, E) right-padded, lengths (B,).

        N is B where each prompt has one recording; else recordings are in the order of the prompts and their places.
        """
        speech = self.speech_embeddings(frames, lengths, placements)
        return self.surround(speech.embeddings, speech.lengths, prompts)

    def speech_embeddings(
        self, frames: torch.Tensor, lengths: torch.Tensor, placements: list[list[Placement]] | None = None
    ) -> SpeechEmbeddings:
        """The part of it that is speech, and what the adapter's own CTC heard."""
        return self.adapter(frames, lengths, self.llm.embedding_table(), placements)

    def text_embeddings(self, prompts: Sequence[TextPrompt]) -> tuple[torch.Tensor, torch.Tensor]:
        """The same with text in place of speech: exactly what the untouched LLM reads."""
        ids, lengths = pad_ids([prompt.ids for prompt in prompts], self.llm.embedding_table().device)
        return self.llm.embed(ids) * valid_mask(lengths, ids.size(1))[..., None], lengths

    def surround(
        self, speech: torch.Tensor, lengths: torch.Tensor, prompts: Sequence[Prompt]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Speech (N, S, E), lengths (N,) in its places in prompts."""
        ids, sizes = text_of(prompts, speech.device)
        return self._assemble(ids, speech, {**sizes, "speech": lengths.tolist()})[:2]

    def _assemble(self, ids: Batch, speech: torch.Tensor, sizes: Sizes) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
        """Embed the texts of prompts and put speech (N, S, E) between them, by sizes as `join` wants them."""
        parts = {name: self.llm.embed(ids[name]) for name in TEXTS if name in ids}
        return join({**parts, "speech": speech.to(parts["prefix"].dtype)}, sizes)

    # Training

    def forward(self, **batch: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Loss on one batch of the collate function (see training/collate.py).

        Loss = ce_weight · CE(target | prompt, speech) + kl_weight · KL(LLM on transcript ‖ LLM on speech)
        + ctc_weight · CTC(LLM tokens of the transcript | mixing logits); what has no weight is not computed. Each is a
        mean over tokens (with `shares`, see training/tokens.py, over those of a whole step: the batch's part of it is
        returned), and the weight returned is the number of target tokens, so that what ESPnet averages over
        batches is a mean over tokens however the data was cut into batches. CTC is a mean over those recordings that
        have a transcript, KL over utterances all of whose recordings have one; without any a batch has no part of it.
        """
        ctc_only = self.training and self._count_forward() < self.ctc_only_steps
        shares: Shares | None = batch.get("shares")
        share = {"ce": 1.0, "kl": 1.0, "ctc": 1.0} if shares is None else vars(shares)
        sizes = sizes_of(batch) if shares is None else shares.sizes
        speech = self.adapter(batch["speech"], batch["speech_lengths"], self.llm.embedding_table())
        known = [row for row, size in enumerate(sizes["transcript"]) if size]  # recordings
        taught = [row for row, size in enumerate(sizes["read"]) if size]  # utterances
        loss, means, stats = speech.embeddings.sum() * 0.0, [], {}
        if self.ctc_weight and known and speech.ctc_logits is not None:
            stats["loss_ctc"] = self._ctc(speech, batch, sizes, known)
            loss = loss + stats["loss_ctc"] * (self.ctc_weight * share["ctc"])
            means.append(stats["loss_ctc"].detach() * self.ctc_weight)
        if not ctc_only and (self.ce_weight or (self.kl_weight and taught)):
            found = self._target_loss(speech, batch, sizes, taught, share)
            loss, stats["acc"] = loss + found.total, found.accuracy
            parts = [("loss_ce", self.ce_weight, found.ce), ("loss_kl", self.kl_weight if taught else 0.0, found.kl)]
            stats |= {name: part for name, weight, part in parts if weight}
            means.extend(part * weight for _, weight, part in parts if weight)
        stats = {name: value.detach() for name, value in stats.items()}
        mean = torch.stack(means).sum() if means else loss.detach()
        stats.update(loss=mean, embeddings_per_second=speech.lengths.sum() / batch["seconds"].sum())
        if not self.training and self._is_diagnosed():
            stats.update(self._listening(speech, batch, sizes))
        return loss, stats, batch["target_lengths"].sum()

    def _count_forward(self) -> int:
        """Forward passes in training before this one; the count is in checkpoints."""
        self._validated = 0
        if self._forwards is None:
            self._forwards = int(self.training_forwards)
        self._forwards += 1
        self.training_forwards += 1
        return self._forwards - 1

    def _is_diagnosed(self) -> bool:
        """Whether this is one of the first batches of a validation."""
        rank, processes = self.validation_share
        self._validated += 1
        return (self._validated - 1) * processes + rank < self.diagnostic_batches

    def _ctc(self, speech: SpeechEmbeddings, batch: Batch, sizes: Sizes, known: Sequence[int]) -> torch.Tensor:
        """CTC of the recordings that have a transcript; lengths stay on the CPU, where it wants them."""
        heard = torch.tensor(self.adapter.shortened(sizes["speech"]))[known]
        lengths = torch.tensor(sizes["transcript"])[known]
        return ctc(_rows(speech.ctc_log_probs, known), heard, _rows(batch["transcript"], known), lengths)

    def _states(self, speech: torch.Tensor, speech_sizes: Sequence[int], batch: Batch, sizes: Sizes) -> torch.Tensor:
        """The LLM's states (T, H) at the batch's T target positions, with (N, S, E) in the places of speech."""
        inputs, lengths, totals = self._assemble(batch, speech, {**sizes, "speech": speech_sizes})
        both = totals, sizes["target"]
        return self.llm.target_states(inputs, lengths, batch["target"], batch["target_lengths"], both)

    def _target_loss(
        self, speech: SpeechEmbeddings, batch: Batch, sizes: Sizes, taught: Sequence[int], share: Mapping[str, float]
    ) -> TargetLoss:
        """Cross-entropy and KL, with their weights and shares in the total.

        KL is of the utterances whose transcripts are known, which stand first. Its teacher reads what `text_embeddings`
        gives: the same prompt, with the transcript in the place of speech. It is the LLM as it came, without LoRA.
        """
        target, speech_sizes, teacher = _flat_target(batch, sizes), self._speech_sizes(speech, sizes), None
        with self._autocast(target.device):
            states = self._states(speech.embeddings, speech_sizes, batch, sizes)
            if self.kl_weight and taught:
                if len(taught) < len(sizes["target"]):
                    order = on_device(_target_rows(sizes, taught), target.device)
                    states, target = states[order.to(states.device)], target[order]
                teacher = Teacher(self._taught(batch, sizes, taught), self._teacher_logits, self.kl_temperature)
            scales = self.ce_weight * share["ce"], self.kl_weight * share["kl"]
            return target_loss(states, target, self._output(), *scales, teacher)

    @torch.no_grad()
    def _taught(self, batch: Batch, sizes: Sizes, known: Sequence[int]) -> torch.Tensor:
        """The teacher's states at the target positions of the utterances whose transcripts are known."""
        names = [name for part in ("read", "target") for name in (part, f"{part}_lengths")]
        ids, lengths, target, target_lengths = (_rows(batch[name], known) for name in names)
        both = [sizes["read"][row] for row in known], [sizes["target"][row] for row in known]
        with self.llm.without_lora():
            return self.llm.target_states(self.llm.embed(ids), lengths, target, target_lengths, both)

    def _teacher_logits(self, states: torch.Tensor) -> torch.Tensor:
        with self.llm.without_lora() if self.llm.trains_output else contextlib.nullcontext():
            return self.llm.logits(states)

    def _output(self) -> Output:
        return Output(self.llm.logits, self.llm.vocab_size, self.llm.trains_output)

    def _speech_sizes(self, speech: SpeechEmbeddings, sizes: Sizes) -> Sequence[int]:
        """Speech embeddings of each utterance, as plain numbers."""
        return self.adapter.shortened(sizes["speech"]) if speech.sizes is None else speech.sizes

    def _autocast(self, device: torch.device) -> contextlib.AbstractContextManager:
        if self.autocast_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(device.type, self.autocast_dtype)

    @torch.no_grad()
    def _listening(self, speech: SpeechEmbeddings, batch: Batch, sizes: Sizes) -> dict[str, torch.Tensor]:
        """Is it listening? The loss with another utterance's speech and with silence, and how large embeddings are."""

        def loss(embeddings: torch.Tensor, speech_sizes: Sequence[int]) -> torch.Tensor:
            with self._autocast(target.device):
                states = self._states(embeddings, speech_sizes, batch, sizes)
                return target_loss(states, target, self._output()).ce

        target, speech_sizes = _flat_target(batch, sizes), self._speech_sizes(speech, sizes)
        embeddings, lengths = speech.embeddings.detach(), speech.lengths
        silent = self.adapter(torch.zeros_like(batch["speech"]), batch["speech_lengths"], self.llm.embedding_table())
        stats = {"loss_ce_empty": loss(silent.embeddings, self._speech_sizes(silent, sizes))}
        if not self.ce_weight:  # no part of the loss, but what the others are compared with
            stats["loss_ce"] = loss(embeddings, speech_sizes)
        if len(lengths) > 1:
            others = [*speech_sizes[-1:], *speech_sizes[:-1]]
            stats["loss_ce_shuffled"] = loss(embeddings.roll(1, 0), others)
        if self._token_norm is None:
            self._token_norm = self.llm.embedding_table().float().norm(dim=-1).mean()
        norms = embeddings[valid_mask(lengths, embeddings.size(1))].float().norm(dim=-1)
        stats["norm_ratio"] = norms.mean() / self._token_norm.to(norms.device)
        return stats

    def collect_feats(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """What ESPnet's own statistics stage would collect: the encodings as they are."""
        return {"feats": batch["speech"], "feats_lengths": batch["speech_lengths"]}

    # Frozen is frozen

    def _apply(self, fn, recurse: bool = True) -> ESPnetSLMModel:
        """Move with the model, but keep the LLM's dtype: ESPnet calls `.to(dtype=float32)` on whatever it trains."""
        super()._apply(fn, recurse=False)
        self.adapter._apply(fn)
        self.llm._apply(lambda tensor: tensor.to(fn(tensor.new_empty(0)).device))
        return self

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False):
        """Load what is trained, always strictly; keys of the frozen LLM are neither needed nor used.

        Raises:
            RuntimeError: a trained key is missing, unknown or has another shape, also with strict=False.
        """
        own = self.state_dict()
        frozen = {f"llm.{name}" for name, _ in self.llm.named_parameters()} - self._trained_llm
        frozen |= {f"llm.{name}" for name, _ in self.llm.named_buffers()}
        given = {key: value for key, value in state_dict.items() if key not in frozen}
        missing, unexpected = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
        if missing or unexpected:
            raise RuntimeError(f"adapter weights do not fit: missing keys {missing}, unknown keys {unexpected}")
        super().load_state_dict(given, strict=False, assign=assign)
        self._forwards = None
        return _IncompatibleKeys([], [])


def _rows(tensor: torch.Tensor, chosen: Sequence[int]) -> torch.Tensor:
    """The chosen rows, in their order."""
    if len(chosen) == len(tensor):
        return tensor
    return tensor.index_select(0, on_device(np.asarray(chosen), tensor.device))


def _flat_target(batch: Batch, sizes: Sizes) -> torch.Tensor:
    """(N,) target ids of the batch, utterance by utterance."""
    target = batch["target"]
    places = spans(np.arange(len(target)) * target.size(1), np.asarray(sizes["target"]))
    return target.flatten().index_select(0, on_device(places, target.device))


def _target_rows(sizes: Sizes, first: Sequence[int]) -> np.ndarray:
    """(N,) target positions, those of some utterances before the others."""
    lengths = np.asarray(sizes["target"])
    order = np.array([*first, *sorted(set(range(len(lengths))) - set(first))])
    return spans((lengths.cumsum() - lengths)[order], lengths[order])


def _drop_frozen(model: ESPnetSLMModel, state: dict[str, Any], prefix: str, _metadata: dict) -> None:
    """Keep the frozen LLM out of every state dict that is taken of the model."""
    for key in [key for key in state if key.startswith(f"{prefix}llm.")]:
        if key[len(prefix) :] not in model._trained_llm:
            del state[key]
