"""Encoder-decoder LLMs of the T5 family: T5, Flan-T5, mT5, mT0, UMT5."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from transformers import AutoModelForSeq2SeqLM
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from slm_espnet.errors import UserError
from slm_espnet.llm.base import DecodingState, Sizes
from slm_espnet.llm.hf_model import HFModel, load_weights
from slm_espnet.llm.kv_cache import drop_last
from slm_espnet.llm.lora import LoraOptions
from slm_espnet.llm.packing import on_device, plain_rows
from slm_espnet.llm.source import check_family, read_config
from slm_espnet.model_source import ModelSource


class Seq2SeqState(DecodingState):
    """Encoder output, its mask, and the decoder's KV cache."""

    def __init__(self, encoded: torch.Tensor, mask: torch.Tensor):
        self.encoded = encoded  # (B, S, E)
        self.mask = mask  # (B, S) int64, 1 where valid
        self.decoded: torch.Tensor | None = None  # (B, cached) int64, 1 where valid; None while all of it is
        self.cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self.origin = torch.arange(len(encoded), device=encoded.device)  # (B,) input row that each row continues

    def reorder(self, index: torch.Tensor) -> None:
        """Make row i continue old row index[i]."""
        origin = self.origin[index]
        if torch.equal(origin, self.origin):  # beams changed places within their inputs: what was read stays
            self.cache.self_attention_cache.reorder_cache(index)
            return
        self.origin = origin
        self.encoded, self.mask = self.encoded[index], self.mask[index]
        if self.decoded is not None:
            self.decoded = self.decoded[index]
        self.cache.reorder_cache(index)

    def can_crop(self) -> bool:
        """True: a decoder of this family keeps all positions."""
        return True

    def crop(self, counts: torch.Tensor) -> None:
        """Forget the last counts[i] positions of row i."""
        decoder = self.cache.self_attention_cache
        if self.decoded is None:
            self.decoded = counts.new_ones(len(counts), decoder.get_seq_length())
        left = drop_last(decoder, counts, self.decoded)
        self.decoded = None if bool(left.all()) else left


class HFSeq2Seq(HFModel):
    """A frozen T5-like model."""

    kind = "hf_seq2seq"
    max_positions = None  # relative positions: no end

    def __init__(
        self,
        source: ModelSource,
        dtype: str,
        lora: LoraOptions | None = None,
        quantization: str | None = None,
        device_map: str | None = None,
        max_memory: Mapping[int | str, int | str] | None = None,
    ):
        """Load it.

        Raises:
            UserError: another family, float16 (in which T5 overflows to NaN), or missing or damaged files.
        """
        config = read_config(source)
        check_family(source, config, encoder_decoder=True)
        if dtype == "float16":
            raise UserError(f"{source.name} ({config.model_type}) overflows in float16; use dtype bfloat16 or float32")
        model = load_weights(AutoModelForSeq2SeqLM, source, getattr(torch, dtype), quantization, device_map, max_memory)
        super().__init__(source, model, dtype, lora, quantization, placed=device_map is not None)
        start = config.decoder_start_token_id
        self.start_id = self.tokenizer.pad_id if start is None else start
        # T5 with tied embeddings scales what goes into the output layer; mT5 never does
        tied = {"t5": lambda: config.scale_decoder_outputs, "umt5": lambda: config.tie_word_embeddings}
        self.output_scale = config.d_model**-0.5 if tied.get(config.model_type, bool)() else 1.0

    def _encode(self, inputs: torch.Tensor, input_lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mask = (torch.arange(inputs.size(1), device=inputs.device) < input_lengths[:, None]).long()
        encoded = self.model.get_encoder()(inputs_embeds=inputs.to(self.model.dtype), attention_mask=mask)
        return encoded.last_hidden_state.to(inputs.device), mask

    def _output(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = self.model.lm_head(hidden * self.output_scale if self.output_scale != 1.0 else hidden)
        return logits.to(hidden.device)

    def target_states(
        self,
        inputs: torch.Tensor,
        input_lengths: torch.Tensor,
        target: torch.Tensor,
        target_lengths: torch.Tensor,
        sizes: Sizes | None = None,
    ) -> torch.Tensor:
        """Hidden states at the valid target positions only, see AbsLLM."""
        target_sizes = np.asarray(target_lengths.tolist() if sizes is None else sizes[1])
        valid = torch.arange(inputs.size(1), device=inputs.device) < input_lengths[:, None]
        # of four dimensions, and added to the scores: a mask of two would be looked at, for which a GPU is waited for
        mask = torch.where(valid, 0.0, torch.finfo(self.model.dtype).min)[:, None, None].to(self.model.dtype)
        encoder, decoder = self.model.get_encoder(), self.model.get_decoder()
        encoded = encoder(inputs_embeds=inputs.to(self.model.dtype), attention_mask=mask).last_hidden_state
        previous = torch.cat([target.new_full((len(target), 1), self.start_id), target[:, :-1]], dim=1)
        hidden = decoder(
            input_ids=previous,
            encoder_hidden_states=encoded.to(inputs.device),
            encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
        chosen = plain_rows([hidden.size(1)] * len(hidden)).flat(target_sizes)
        return hidden.flatten(0, 1).index_select(0, on_device(chosen, hidden.device)).to(inputs.device)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """(N, E) → (N, V), see AbsLLM."""
        return self._output(states)

    def begin(
        self, inputs: torch.Tensor, input_lengths: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[Seq2SeqState, torch.Tensor]:
        """Encode the prompt, decode the first tokens (B, k); state and float32 logits (B, 1 + k, V)."""
        state = Seq2SeqState(*self._encode(inputs, input_lengths))
        first = torch.full((len(inputs), 1), self.start_id, dtype=torch.int64, device=inputs.device)
        return state, self.step(state, torch.cat([first, tokens], dim=1))

    def step(self, state: Seq2SeqState, tokens: torch.Tensor) -> torch.Tensor:
        """Append tokens (B, k); float32 logits (B, k, V)."""
        if state.decoded is not None:
            state.decoded = torch.cat([state.decoded, torch.ones_like(tokens)], dim=1)
        hidden = self.model.get_decoder()(
            input_ids=tokens,
            attention_mask=state.decoded,
            encoder_hidden_states=state.encoded,
            encoder_attention_mask=state.mask,
            past_key_values=state.cache,
            use_cache=True,
        ).last_hidden_state
        return self._output(hidden.to(tokens.device)).float()
