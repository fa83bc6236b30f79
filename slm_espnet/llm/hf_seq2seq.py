"""Encoder-decoder LLMs: T5, Flan-T5, mT5, mT0, UMT5, BART, and what else does as transformers' own forward does."""

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

    def __init__(self, encoded: torch.Tensor, mask: torch.Tensor, moves: bool):
        self.encoded = encoded  # (B, S, E)
        self.mask = mask  # (B, S) int64, 1 where valid
        self.decoded: torch.Tensor | None = None  # (B, cached) int64, 1 where valid; None while all of it is
        self.cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self.moves = moves  # whether distances between tokens are all that the decoder knows of their places
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
        """Whether what is kept of a row may stand elsewhere in the cache."""
        return self.moves

    def crop(self, counts: torch.Tensor) -> None:
        """Forget the last counts[i] positions of row i."""
        decoder = self.cache.self_attention_cache
        if self.decoded is None:
            self.decoded = counts.new_ones(len(counts), decoder.get_seq_length())
        left = drop_last(decoder, counts, self.decoded)
        self.decoded = None if bool(left.all()) else left


class HFSeq2Seq(HFModel):
    """A frozen encoder-decoder model."""

    kind = "hf_seq2seq"

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
            UserError: no encoder-decoder, or one that cannot be run by its parts; float16, in which T5 overflows;
                missing or damaged files.
        """
        config = read_config(source)
        check_family(source, config, encoder_decoder=True)
        if dtype == "float16":
            raise UserError(f"{source.name} ({config.model_type}) overflows in float16; use dtype bfloat16 or float32")
        model = load_weights(AutoModelForSeq2SeqLM, source, getattr(torch, dtype), quantization, device_map, max_memory)
        super().__init__(source, model, dtype, lora, quantization, placed=device_map is not None)
        start, forced = config.decoder_start_token_id, model.generation_config.forced_bos_token_id
        # what stands before every answer; BART's begin with a forced token (mBART's with one of the language)
        self.start_ids = (self.tokenizer.pad_id if start is None else start, *([] if forced is None else [forced]))
        # learned positions have an end, relative ones (T5) have none
        self.max_positions = getattr(config, "max_position_embeddings", None)
        # T5 with tied embeddings scales what goes into the output layer; mT5 never does
        tied = {"t5": lambda: config.scale_decoder_outputs, "umt5": lambda: config.tie_word_embeddings}
        self.output_scale = config.d_model**-0.5 if tied.get(config.model_type, bool)() else 1.0
        self._moves = True
        if quantization is None and device_map is None:  # else it may not run before it is moved
            self._check_parts(source.name)

    @torch.no_grad()
    def _check_parts(self, name: str) -> None:
        """UserError where encoder, decoder and output, run one by one, do not give what the whole model gives.

        Three tokens, once. Also finds out whether what a decoder has read may be moved: where its positions are learned
        it may not, and drafts, which move what they keep, are left out.
        """
        ids = torch.tensor([[3, 4, 5]], device=self.model.get_input_embeddings().weight.device)
        answer = torch.cat([ids.new_tensor([self.start_ids]), ids[:, :1]], dim=1)
        expected = self.model(input_ids=ids, decoder_input_ids=answer, use_cache=False).logits[0, -1].float()
        inputs, lengths = self.embed(ids), ids.new_tensor([3])
        found = self.begin(inputs, lengths, ids[:, :1])[1][0, -1]
        targets = torch.cat([ids[:, :1], ids[:, :1]], dim=1)
        trained = self.logits(self.target_states(inputs, lengths, targets, ids.new_tensor([2])))[-1].float()
        near = [bool((one - expected).norm() <= 0.1 * expected.norm()) for one in (found, trained)]
        if not all(near) and bool(expected.isfinite().all()):
            raise UserError(
                f"{name} ({self.model.config.model_type}) gives other answers to embeddings than to tokens, so speech "
                "cannot stand in a text that it reads; take a T5, mT5 or BART model, or a decoder-only one (hf_causal)"
            )
        state = Seq2SeqState(*self._encode(inputs, lengths), True)
        state.decoded = ids.new_zeros(1, 0)
        self.step(state, ids[:, :1])
        state.decoded = ids.new_zeros(1, 1)  # it counts no more, but is in the cache
        moved = self.step(state, answer)[0, -1]
        self._moves = bool((moved - expected).norm() <= 0.01 * expected.norm())

    def _encode(self, inputs: torch.Tensor, input_lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mask = (torch.arange(inputs.size(1), device=inputs.device) < input_lengths[:, None]).long()
        encoded = self.model.get_encoder()(inputs_embeds=inputs.to(self.model.dtype), attention_mask=mask)
        return encoded.last_hidden_state.to(inputs.device), mask

    def _output(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = self.model.lm_head(hidden * self.output_scale if self.output_scale != 1.0 else hidden)
        bias = dict(self.model.named_buffers(recurse=False)).get("final_logits_bias")  # BART's; it moves with the model
        if bias is not None:
            logits = logits + bias[0].to(logits.device)  # a device_map deals it out apart from the output layer
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
        start = target.new_tensor(self.start_ids).expand(len(target), -1)
        previous = torch.cat([start, target[:, :-1]], dim=1)
        hidden = decoder(
            input_ids=previous,
            encoder_hidden_states=encoded.to(inputs.device),
            encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
        chosen = plain_rows([hidden.size(1)] * len(hidden)).flat(target_sizes, len(self.start_ids) - 1)
        return hidden.flatten(0, 1).index_select(0, on_device(chosen, hidden.device)).to(inputs.device)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """(N, E) → (N, V), see AbsLLM."""
        return self._output(states)

    def begin(
        self, inputs: torch.Tensor, input_lengths: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[Seq2SeqState, torch.Tensor]:
        """Encode the prompt, decode the first tokens (B, k); state and float32 logits (B, 1 + k, V)."""
        state = Seq2SeqState(*self._encode(inputs, input_lengths), self._moves)
        start = tokens.new_tensor(self.start_ids).expand(len(inputs), -1)
        logits = self.step(state, torch.cat([start, tokens], dim=1))
        return state, logits[:, len(self.start_ids) - 1 :]

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
