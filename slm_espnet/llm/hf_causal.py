"""Decoder-only LLMs: Llama, Qwen, Gemma, GPT-2 and what else transformers loads as a causal language model."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from transformers.cache_utils import DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPast

from slm_espnet.compat import known_packing
from slm_espnet.errors import UserError
from slm_espnet.llm.base import DecodingState, Sizes
from slm_espnet.llm.hf_model import HFModel, load_weights
from slm_espnet.llm.kv_cache import can_drop, drop_last, keep_windows
from slm_espnet.llm.lora import LoraOptions
from slm_espnet.llm.packing import on_device, packed_rows, plain_rows, spans
from slm_espnet.llm.source import check_family, read_config
from slm_espnet.model_source import ModelSource


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


class StatesOnly(BaseModelOutputWithPast):
    """Output of which all but the hidden states is None, whatever else a family looks for (images, experts)."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


class GivenStates(torch.nn.Module):
    """Stands for the layers of a model: its hidden states are what is read."""

    def forward(self, *_: object, inputs_embeds: torch.Tensor, **_others: object) -> BaseModelOutputWithPast:
        """(B, S, H) as it is."""
        return StatesOnly(last_hidden_state=inputs_embeds)


def output_layer(model: torch.nn.Module) -> torch.nn.Module:
    """A causal language model without its layers: its own forward turns hidden states into logits.

    So scales and caps that a family has behind its output layer are there. All parameters are the model's.
    """
    head = copy.copy(model)
    head.__dict__["_modules"] = {**model._modules, model.base_model_prefix: GivenStates()}
    return head


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
        packing: bool = True,
    ):
        """Load it; UserError for another family, and for missing or damaged files."""
        config = read_config(source)
        check_family(source, config, encoder_decoder=False)
        if dtype == "float16" and config.model_type.startswith("gemma"):
            raise UserError(f"{source.name} ({config.model_type}) overflows in float16; use dtype bfloat16 or float32")
        model = load_weights(AutoModelForCausalLM, source, getattr(torch, dtype), quantization, device_map, max_memory)
        super().__init__(source, model, dtype, lora, quantization, placed=device_map is not None)
        self.packing = packing  # in training, where the model allows it
        self._packing: bool | None = None  # whether it does; tried when it is first of use
        self.__dict__["_head"] = output_layer(model)  # beside the model, not within it
        # BLOOM and others with ALiBi have no end
        self.max_positions = getattr(config.get_text_config(), "max_position_embeddings", None)
        if quantization is None and device_map is None:
            self._check_inputs(source.name)

    def target_states(
        self,
        inputs: torch.Tensor,
        input_lengths: torch.Tensor,
        target: torch.Tensor,
        target_lengths: torch.Tensor,
        sizes: Sizes | None = None,
    ) -> torch.Tensor:
        """Hidden states at the valid target positions only, see AbsLLM.

        Prompt and target of an utterance stand next to each other, and padding at the end of the row, where no position
        that counts can see it: rows of one utterance need no mask. Where lengths differ much, rows hold several
        utterances (packing.py); transformers keeps these apart by their positions, which begin anew.
        """
        sizes = (input_lengths.tolist(), target_lengths.tolist()) if sizes is None else sizes
        before, after = (np.asarray(lengths) for lengths in sizes)
        lengths = before + after - 1  # nothing follows the last token
        rows = packed_rows(lengths.tolist()) if self._packs() else plain_rows(lengths.tolist())
        table = torch.cat([inputs.to(self.model.dtype).flatten(0, 1), self.embed(target).flatten(0, 1)])
        take = np.zeros(rows.count * rows.size, np.int64)  # padding is whatever stands first
        utterances = np.arange(len(before))
        take[rows.flat(before)] = spans(utterances * inputs.size(1), before)
        take[rows.flat(after - 1, before)] = spans(inputs[..., 0].numel() + utterances * target.size(1), after - 1)
        layout = np.stack([take, rows.positions(lengths).reshape(-1), rows.sequences(lengths).reshape(-1)])
        index, positions, sequences = on_device(layout, inputs.device).view(3, rows.count, rows.size)
        with known_packing(sequences if rows.shared else None):
            hidden = self.model.base_model(
                inputs_embeds=table.index_select(0, index.flatten()).view(rows.count, rows.size, -1),
                position_ids=positions,
                use_cache=False,
            ).last_hidden_state.flatten(0, 1)
        chosen = on_device(rows.flat(after, before - 1), hidden.device)
        return hidden.index_select(0, chosen).to(inputs.device)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """(N, H) → (N, V), see AbsLLM."""
        return type(self.model).forward(self._head, inputs_embeds=states[None]).logits[0].to(states.device)

    @torch.no_grad()
    def _check_inputs(self, name: str) -> None:
        """UserError where embeddings do not stand for ids (Gemma 3n and 4), or padding on the left changes a row.

        Three tokens, once. Not tried with quantized or placed models, which may not run before they are moved.
        """
        ids = torch.tensor([[3, 4, 5]], device=self.model.get_input_embeddings().weight.device)
        inputs, lengths = self.embed(ids), ids.new_tensor([3])
        expected = self.model(input_ids=ids, use_cache=False).logits[:, -1].float()
        padded = torch.cat([inputs.repeat(2, 1, 1), inputs.repeat(2, 1, 1)], dim=1)  # row 0 has 3 of padding
        causes = {
            "reads more of tokens than their embeddings": self.start(inputs, lengths)[1],
            "sees padding on the left": self.start(padded, ids.new_tensor([3, 6]))[1][:1],
        }
        for cause, found in causes.items():
            if not (found - expected).norm() <= 0.1 * expected.norm() and bool(expected.isfinite().all()):
                raise UserError(
                    f"{name} ({self.model.config.model_type}) {cause}, so speech cannot stand in a text that it reads; "
                    "take a model without that, such as Llama, Qwen, Gemma 3, Mistral or SmolLM (doc/FOUNDATIONS.md)"
                )

    @torch.no_grad()
    def _packs(self) -> bool:
        """Whether the model keeps sequences in a row apart: tried once, with and without another one before."""
        if self._packing is None:
            dropouts = [dropout for dropout in self._lora_dropouts if dropout.training]
            self.train(False)
            self._packing = self.packing and self._keeps_apart()
            for dropout in dropouts:
                dropout.train()
        return self._packing

    def _keeps_apart(self) -> bool:
        if self.model.config._attn_implementation not in ("sdpa", "eager"):  # others look at a single row alone
            return False
        device = self.model.get_input_embeddings().weight.device
        rows = self.embed(torch.tensor([[3, 4, 5, 6, 7, 8], [9, 10, 11, 6, 7, 8]], device=device))
        positions = torch.tensor([[0, 1, 2, 0, 1, 2]], device=device)
        one, other = (
            self.model.base_model(inputs_embeds=row[None], position_ids=positions, use_cache=False)
            .last_hidden_state[0, 3:].float()
            for row in rows
        )
        alone = self.model.base_model(inputs_embeds=rows[:1, 3:], position_ids=positions[:, 3:], use_cache=False)
        near = (alone.last_hidden_state[0].float() - one).norm() < 0.05 * one.norm()
        return bool(torch.equal(one, other) and near)

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
        last = None if self.max_positions is None else self.max_positions - 1
        return positions.clamp(min=0, max=last)

    def step(self, state: CausalState, tokens: torch.Tensor) -> torch.Tensor:
        """Append tokens (B, k); float32 logits (B, k, V)."""
        steps = torch.arange(tokens.size(1), device=tokens.device)
        state.mask = torch.cat([state.mask, torch.ones_like(tokens)], dim=1)
        if len(steps) > 1:  # a draft, even where `begin` had none
            keep_windows(state.cache)
        output = self.model(
            input_ids=tokens,
            attention_mask=state.mask,
            position_ids=self._within(state.positions[:, None] + steps),
            past_key_values=state.cache,
            use_cache=True,
        )
        state.positions = state.positions + len(steps)
        return output.logits.float()
