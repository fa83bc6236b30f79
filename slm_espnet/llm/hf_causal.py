"""Decoder-only LLMs: Llama, Qwen, Gemma, GPT-2 and what else transformers loads as a causal language model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from transformers import AutoModelForCausalLM
from transformers.cache_utils import DynamicCache

from slm_espnet.errors import UserError
from slm_espnet.llm.base import DecodingState
from slm_espnet.llm.hf_model import HFModel, load_weights
from slm_espnet.llm.kv_cache import can_drop, drop_last, keep_windows
from slm_espnet.llm.lora import LoraOptions
from slm_espnet.llm.source import ModelSource, check_family, read_config


class CausalState(DecodingState):
    """KV cache, its mask, and the position of the next token of each row."""

    def __init__(self, cache: DynamicCache, mask: torch.Tensor, positions: torch.Tensor):
        self.cache = cache
        self.mask = mask  # (B, cached) int64, 1 where valid
        self.positions = positions  # (B,) int64

    def reorder(self, index: torch.Tensor) -> None:
        """Make row i continue old row index[i]."""
        self.cache.reorder_cache(index)
        self.mask, self.positions = self.mask[index], self.positions[index]

    def can_crop(self) -> bool:
        """Whether all layers are attention, with or without a window."""
        return can_drop(self.cache)

    def crop(self, counts: torch.Tensor) -> None:
        """Forget the last counts[i] positions of row i."""
        self.mask, self.positions = drop_last(self.cache, counts, self.mask), self.positions - counts


def pad_left(inputs: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded (B, S, E), lengths (B,) → the same padded on the left, and positions (B, S), below 0 in padding.

    On the left, because then all rows end together and windowed attention counts distances rightly.
    """
    size = inputs.size(1)
    positions = torch.arange(size, device=inputs.device) - (size - lengths)[:, None]
    moved = inputs.gather(1, positions.clamp(min=0)[..., None].expand_as(inputs))
    return moved * (positions >= 0)[..., None], positions


class HFCausal(HFModel):
    """A frozen decoder-only model."""

    kind = "hf_causal"

    def __init__(
        self,
        source: ModelSource,
        dtype: str,
        lora: LoraOptions | None = None,
        quantization: str | None = None,
        device_map: str | None = None,
        max_memory: Mapping[int | str, int | str] | None = None,
    ):
        """Load it; UserError for another family, and for missing or damaged files."""
        config = read_config(source)
        check_family(source, config, encoder_decoder=False)
        if dtype == "float16" and config.model_type.startswith("gemma"):
            raise UserError(f"{source.name} ({config.model_type}) overflows in float16; use dtype bfloat16 or float32")
        model = load_weights(AutoModelForCausalLM, source, getattr(torch, dtype), quantization, device_map, max_memory)
        super().__init__(source, model, dtype, lora, quantization, placed=device_map is not None)
        self.max_positions = config.get_text_config().max_position_embeddings

    def loss_logits(
        self, inputs: torch.Tensor, input_lengths: torch.Tensor, target: torch.Tensor, target_lengths: torch.Tensor
    ) -> torch.Tensor:
        """Logits at the valid target positions, see AbsLLM.

        Prompts are padded on the left and targets on the right, so that targets stand side by side at the end and the
        model's own output layer (with its scales and caps) runs on them alone.
        """
        prompt, positions = pad_left(inputs, input_lengths)
        steps = torch.arange(target.size(1), device=target.device)
        embeddings = torch.cat([prompt.to(self.model.dtype), self.embed(target[:, :-1])], dim=1)
        positions = torch.cat([positions, input_lengths[:, None] + steps[:-1]], dim=1)
        logits = self.model(
            inputs_embeds=embeddings,
            attention_mask=(positions >= 0).long(),
            position_ids=positions.clamp(min=0),
            use_cache=False,
            logits_to_keep=target.size(1),
        ).logits
        return logits[steps < target_lengths[:, None]]

    def begin(
        self, inputs: torch.Tensor, input_lengths: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[CausalState, torch.Tensor]:
        """Read the prompt and the first tokens (B, k) of the answer; state and float32 logits (B, 1 + k, V)."""
        prompt, positions = pad_left(inputs, input_lengths)
        steps = torch.arange(tokens.size(1), device=tokens.device)
        positions = torch.cat([positions, input_lengths[:, None] + steps], dim=1)
        mask = (positions >= 0).long()
        cache = DynamicCache(config=self.model.config)
        if tokens.size(1):
            keep_windows(cache)
        output = self.model(
            inputs_embeds=torch.cat([prompt.to(self.model.dtype), self.embed(tokens)], dim=1),
            attention_mask=mask,
            position_ids=self._within(positions),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1 + len(steps),
        )
        return CausalState(output.past_key_values, mask, input_lengths + len(steps)), output.logits.float()

    def _within(self, positions: torch.Tensor) -> torch.Tensor:
        """Positions that the model has: padding is before them, what is dropped again may be behind."""
        return positions.clamp(min=0, max=self.max_positions - 1)

    def step(self, state: CausalState, tokens: torch.Tensor) -> torch.Tensor:
        """Append tokens (B, k); float32 logits (B, k, V)."""
        steps = torch.arange(tokens.size(1), device=tokens.device)
        state.mask = torch.cat([state.mask, torch.ones_like(tokens)], dim=1)
        output = self.model(
            input_ids=tokens,
            attention_mask=state.mask,
            position_ids=self._within(state.positions[:, None] + steps),
            past_key_values=state.cache,
            use_cache=True,
        )
        state.positions = state.positions + len(steps)
        return output.logits.float()
