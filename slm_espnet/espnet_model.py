"""ESPnetSLMModel: the loss on one batch, and the LLM's input for one batch of prompts.

Only the adapter (and LoRA, where it is switched on) is trained, saved and loaded. The LLM stays what it was: in eval
mode, in its own dtype, without gradients, and outside every checkpoint.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from espnet2.train.abs_espnet_model import AbsESPnetModel
from torch.nn.modules.module import _IncompatibleKeys

from slm_espnet.adapter.adapter import Adapter
from slm_espnet.adapter.base import Placement, SpeechEmbeddings
from slm_espnet.adapter.input import valid_mask
from slm_espnet.llm.base import AbsLLM
from slm_espnet.loss import accuracy, cross_entropy, ctc, kl_divergence
from slm_espnet.prompt import Prompt, PromptTemplate
from slm_espnet.training.tokens import Shares

AUTOCAST_DTYPES = {"none": None, "bfloat16": torch.bfloat16}


def pad_ids(sequences: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-pad id sequences with 0: (B, L) int64 and lengths (B,)."""
    lengths = [len(ids) for ids in sequences]
    rows = [[*ids, *[0] * (max(lengths) - len(ids))] for ids in sequences]
    padded = torch.tensor(rows, dtype=torch.int64, device=device).view(len(rows), max(lengths))
    return padded, torch.tensor(lengths, dtype=torch.int64, device=device)


def join(parts: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Concatenate right-padded parts utterance by utterance.

    Args:
        parts: (B, L_i, E) and lengths (B,) of each part; lengths may be 0.

    Returns:
        (B, S, E) right-padded with zeros, and lengths (B,).
    """
    total = torch.stack([lengths for _, lengths in parts]).sum(0)
    batch, size = len(total), int(total.max())
    offset = torch.arange(batch, device=total.device) * size
    rows, slots = [], []
    for embeddings, lengths in parts:
        valid = valid_mask(lengths, embeddings.size(1))
        rows.append(embeddings[valid])
        slots.append((offset[:, None] + torch.arange(embeddings.size(1), device=total.device))[valid])
        offset = offset + lengths
    flat = torch.cat(rows)
    joined = flat.new_zeros(batch * size, flat.size(1)).index_copy(0, torch.cat(slots), flat)
    return joined.view(batch, size, -1), total


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
        """Encodings (B, T, D), lengths (B,) and prompts → LLM input (B, S, E) right-padded, lengths (B,)."""
        speech = self.speech_embeddings(frames, lengths, placements)
        return self.surround(speech.embeddings, speech.lengths, prompts)

    def speech_embeddings(
        self, frames: torch.Tensor, lengths: torch.Tensor, placements: list[list[Placement]] | None = None
    ) -> SpeechEmbeddings:
        """The part of it that is speech, and what the adapter's own CTC heard."""
        return self.adapter(frames, lengths, self.llm.embedding_table(), placements)

    def text_embeddings(self, texts: Sequence[str], prompts: Sequence[Prompt]) -> tuple[torch.Tensor, torch.Tensor]:
        """The same with text in place of speech: exactly what the untouched LLM reads."""
        rows = [prompt.with_text(self.llm.tokenizer, text) for text, prompt in zip(texts, prompts, strict=True)]
        ids, lengths = pad_ids(rows, self.llm.embedding_table().device)
        return self.llm.embed(ids) * valid_mask(lengths, ids.size(1))[..., None], lengths

    def surround(
        self, speech: torch.Tensor, lengths: torch.Tensor, prompts: Sequence[Prompt]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Speech (B, S, E), lengths (B,) between the ends of prompts."""
        prefix = pad_ids([prompt.prefix for prompt in prompts], speech.device)
        suffix = pad_ids([prompt.suffix for prompt in prompts], speech.device)
        return self._assemble(prefix, (speech, lengths), suffix)

    def _assemble(
        self,
        prefix: tuple[torch.Tensor, torch.Tensor],
        speech: tuple[torch.Tensor, torch.Tensor],
        suffix: tuple[torch.Tensor, torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        before, after = self.llm.embed(prefix[0]), self.llm.embed(suffix[0])
        return join([(before, prefix[1]), (speech[0].to(before.dtype), speech[1]), (after, suffix[1])])

    # Training

    def forward(self, **batch: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Loss on one batch of the collate function (see training/collate.py).

        Loss = ce_weight · CE(target | prompt, speech) + kl_weight · KL(LLM on transcript ‖ LLM on speech)
        + ctc_weight · CTC(LLM tokens of the transcript | mixing logits); what has no weight is not computed. Each is a
        mean over tokens (with `shares`, see training/tokens.py, over those of a whole step: the batch's part of it is
        returned), and the weight returned is the number of target tokens, so that what ESPnet averages over
        batches is a mean over tokens however the data was cut into batches. KL and CTC are means over those
        utterances that have a transcript; a batch without any has no part of theirs.
        """
        ctc_only = self.training and self._count_forward() < self.ctc_only_steps
        shares: Shares | None = batch.get("shares")
        speech = self.adapter(batch["speech"], batch["speech_lengths"], self.llm.embedding_table())
        known, some_known = batch["transcript_lengths"] > 0, True
        if shares is None:
            some_known = bool(known.any())
        else:
            known, some_known = None if shares.all_known else known, shares.some_known
        parts = {}  # name → mean over tokens, weight, share of this batch
        if self.ctc_weight and some_known and speech.ctc_logits is not None:
            found = (speech.ctc_log_probs, speech.ctc_lengths, batch["transcript"], batch["transcript_lengths"])
            parts["loss_ctc"] = ctc(*(_rows(tensor, known) for tensor in found)), self.ctc_weight, "ctc"
        stats = {}
        if not ctc_only and (self.ce_weight or (self.kl_weight and some_known)):
            logits, target = self._logits(speech.embeddings, speech.lengths, batch), _flat_target(batch)
            stats["acc"] = accuracy(logits, target)
            if self.ce_weight:
                parts["loss_ce"] = cross_entropy(logits, target), self.ce_weight, "ce"
            if self.kl_weight and some_known:
                parts["loss_kl"] = self._kl(logits, known, batch), self.kl_weight, "kl"
        loss = mean = speech.embeddings.sum() * 0.0
        for name, (part, weight, share) in parts.items():
            stats[name], mean = part.detach(), mean.detach() + part.detach() * weight
            loss = loss + part * (weight if shares is None else weight * vars(shares)[share])
        stats.update(loss=mean.detach(), embeddings_per_second=speech.lengths.sum() / batch["seconds"].sum())
        if not self.training and self._is_diagnosed():
            stats.update(self._listening(speech.embeddings.detach(), speech.lengths, batch))
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

    def _logits(self, speech: torch.Tensor, lengths: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The LLM's logits (N, V) at the batch's N target positions, with (B, S, E) in the place of speech."""
        inputs, input_lengths = self._assemble(
            (batch["prefix"], batch["prefix_lengths"]), (speech, lengths), (batch["suffix"], batch["suffix_lengths"])
        )
        with self._autocast(inputs.device):
            return self.llm.loss_logits(inputs, input_lengths, batch["target"], batch["target_lengths"])

    def _kl(self, logits: torch.Tensor, known: torch.Tensor | None, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """KL at the target positions of the utterances that have a transcript: known (B,) bool, None where all have.

        The teacher reads what `text_embeddings` gives: the same prompt, with the transcript in the place of speech. It
        is the LLM as it came, without LoRA.
        """
        names = [name for part in ("prefix", "suffix", "target", "transcript") for name in (part, f"{part}_lengths")]
        chosen = {name: _rows(batch[name], known) for name in names}
        with torch.no_grad(), self.llm.without_lora():
            transcript = self.llm.embed(chosen["transcript"])
            teacher = self._logits(transcript, chosen["transcript_lengths"], chosen)
        if known is not None:
            logits = logits[known.repeat_interleave(batch["target_lengths"])]
        return kl_divergence(logits, teacher, self.kl_temperature)

    def _autocast(self, device: torch.device) -> contextlib.AbstractContextManager:
        if self.autocast_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(device.type, self.autocast_dtype)

    @torch.no_grad()
    def _listening(
        self, speech: torch.Tensor, lengths: torch.Tensor, batch: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Is it listening? The loss with another utterance's speech and with silence, and how large embeddings are."""

        def loss(embeddings: torch.Tensor, embedding_lengths: torch.Tensor) -> torch.Tensor:
            return cross_entropy(self._logits(embeddings, embedding_lengths, batch), target)

        target = _flat_target(batch)
        silent = self.adapter(torch.zeros_like(batch["speech"]), batch["speech_lengths"], self.llm.embedding_table())
        stats = {"loss_ce_empty": loss(silent.embeddings, silent.lengths)}
        if not self.ce_weight:
            stats["loss_ce"] = loss(speech, lengths)  # is no part of the loss, but what the others are compared with
        if len(lengths) > 1:
            stats["loss_ce_shuffled"] = loss(speech.roll(1, 0), lengths.roll(1, 0))
        if self._token_norm is None:
            self._token_norm = self.llm.embedding_table().float().norm(dim=-1).mean()
        norms = speech[valid_mask(lengths, speech.size(1))].float().norm(dim=-1)
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


def _rows(tensor: torch.Tensor, chosen: torch.Tensor | None) -> torch.Tensor:
    """The chosen rows; None: all of them, for which no GPU has to be asked how many there are."""
    return tensor if chosen is None else tensor[chosen]


def _flat_target(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """(N,) target ids of the batch, utterance by utterance."""
    return batch["target"][valid_mask(batch["target_lengths"], batch["target"].size(1))]


def _drop_frozen(model: ESPnetSLMModel, state: dict[str, Any], prefix: str, _metadata: dict) -> None:
    """Keep the frozen LLM out of every state dict that is taken of the model."""
    for key in [key for key in state if key.startswith(f"{prefix}llm.")]:
        if key[len(prefix) :] not in model._trained_llm:
            del state[key]
