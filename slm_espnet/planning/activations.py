"""What encoding, training and decoding hold beside weights: one step of each, run on tensors without data."""

from __future__ import annotations

import math
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from slm_espnet.adapter.adapter import Adapter
from slm_espnet.adapter.embedding_mixture import EmbeddingMixtureOutput
from slm_espnet.llm.hf_causal import output_layer
from slm_espnet.loss import Output, target_loss
from slm_espnet.planning.measure import peak_bytes
from slm_espnet.planning.models import EncoderSize
from slm_espnet.planning.workload import Workload

TOKENS_PER_SECOND = 4.0  # of speech: what collapsing frames by tokens leaves


def encoding_bytes(encoder: EncoderSize, workload: Workload) -> int:
    """A batch of stage 2 without gradients, in float32."""
    batch = max(1, int(workload.batch_seconds / workload.seconds))
    if not encoder.measurable:
        return _estimated(encoder, batch * workload.seconds)
    if encoder.kind == "whisper":
        window = 2 * encoder.model.config.max_source_positions  # frames of 10 ms, 30 s: every window is filled up
        windows = batch * math.ceil(100 * workload.seconds / window)
        inputs = {"input_features": (windows, encoder.bands, window)}
    elif encoder.bands:
        rate = 50 if encoder.kind == "wav2vec2-bert" else 100  # which reads its filter banks in pairs
        inputs = {"input_features": (batch, round(rate * workload.seconds), encoder.bands)}
    else:
        inputs = {"input_values": (batch, round(16000 * workload.seconds))}

    def compute() -> Any:
        with torch.no_grad():
            output = encoder.model(**{name: torch.empty(size) for name, size in inputs.items()})
            return output.logits.float().log_softmax(-1) if encoder.vocab_size else output

    return peak_bytes(encoder.model, compute)


def _estimated(encoder: EncoderSize, seconds: float) -> int:
    """ESPnet encoders: the first convolution's maps before and after its ReLU, or three copies of the logits."""
    maps = 2 * encoder.dim * (50 * seconds) * (encoder.bands / 2)  # halved in time and frequency
    logits = 3 * encoder.vocab_size * seconds / encoder.frame_shift
    return round(4 * max(maps, logits))


def adapted_positions(adapter: Adapter, frames: int, seconds: float) -> int:
    """Embeddings that the LLM reads for an utterance of so many kept frames."""
    factor = adapter.body.reduction_factor * (1 if adapter.reduction is None else adapter.reduction.reduction_factor)
    left = -(-frames // factor)
    collapsed = isinstance(adapter.output, EmbeddingMixtureOutput) and adapter.output.collapse
    return min(left, round(TOKENS_PER_SECOND * seconds)) if collapsed else left


def training_bytes(llm: torch.nn.Module, adapter: Adapter, width: int, frames: int, workload: Workload) -> int:
    """A step through adapter and LLM and back; gradients of the adapter are in it, its weights are not."""
    batch, prompt = workload.batch_size, workload.prompt_tokens
    positions = adapted_positions(adapter, frames, workload.seconds)

    def compute() -> None:
        embeddings = _adapt(adapter, torch.empty(batch, frames, width), llm.get_input_embeddings().weight)
        embeddings = embeddings[:, :positions].to(llm.dtype)
        inputs = torch.cat([torch.empty(batch, prompt, embeddings.size(2), dtype=llm.dtype), embeddings], dim=1)
        states = _states(llm, inputs, workload.target_tokens)
        target_loss(states, torch.empty(len(states), dtype=torch.int64), _output(llm)).total.backward()

    try:
        return peak_bytes(torch.nn.ModuleList([llm, adapter]), compute)
    finally:
        adapter.zero_grad(set_to_none=True)


def _adapt(adapter: Adapter, frames: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """The adapter's embeddings; a mixture without its collapsing, which depends on the data."""
    lengths = torch.empty(frames.size(0), dtype=torch.int64)
    output = adapter.output
    if not isinstance(output, EmbeddingMixtureOutput):
        return adapter(frames, lengths, table).embeddings
    hidden = frames
    for part in (adapter.reduction, adapter.body):
        if part is not None:
            hidden, lengths = part(hidden, lengths)
    logits = output.logits(hidden).float()
    mixture = logits[..., 1:].softmax(-1).to(table.dtype) @ table
    return mixture + logits.log_softmax(-1)[..., :1]  # its CTC loss needs the log-probabilities


def _causal_mask(batch: int, size: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(batch, 1, size, size, dtype=dtype)


def _states(llm: torch.nn.Module, inputs: torch.Tensor, target: int) -> torch.Tensor:
    """Hidden states (B * target, H) at the target positions, as target_states of both kinds computes them."""
    batch, size = inputs.shape[:2]
    if llm.config.is_encoder_decoder:
        encoded = llm.get_encoder()(inputs_embeds=inputs).last_hidden_state
        ids = torch.empty(batch, target, dtype=torch.int64)
        decoder = llm.get_decoder()
        hidden = decoder(input_ids=ids, encoder_hidden_states=encoded, use_cache=False).last_hidden_state
        return hidden.flatten(0, 1)
    previous = llm.get_input_embeddings()(torch.empty(batch, target - 1, dtype=torch.int64))
    size += target - 1
    hidden = llm.base_model(
        inputs_embeds=torch.cat([inputs, previous], dim=1),
        attention_mask=_causal_mask(batch, size, llm.dtype),
        position_ids=torch.empty(batch, size, dtype=torch.int64),
        use_cache=False,
    ).last_hidden_state
    return hidden[:, -target:].flatten(0, 1)


def _output(llm: torch.nn.Module) -> Output:
    """The output layer, as logits of both kinds computes it."""
    size = llm.get_input_embeddings().weight.size(0)
    if llm.config.is_encoder_decoder:
        return Output(llm.lm_head, size)
    head = output_layer(llm)
    return Output(lambda states: type(llm).forward(head, inputs_embeds=states[None]).logits[0], size)


def decoding_bytes(llm: torch.nn.Module, positions: int, workload: Workload) -> int:
    """Reading the prompts of a batch, or the cache at the end of the answers, whichever is more."""
    batch, size = workload.decoding_batch_size, workload.prompt_tokens + positions
    dim, made = llm.get_input_embeddings().weight.size(1), {}

    def compute() -> None:
        with torch.no_grad():
            inputs = torch.empty(batch, size, dim, dtype=llm.dtype)
            cache, grown, read = _read_prompt(llm, inputs)
            logits = (
                3 * batch * llm.get_input_embeddings().weight.size(0) * 4
            )  # float32, their log_softmax, their order
            made["end"] = _size(cache) + _size(grown) / read * workload.target_tokens + logits

    peak = peak_bytes(llm, compute)
    return max(peak, round(made["end"]))


def _size(cache: DynamicCache) -> int:
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)


def _read_prompt(llm: torch.nn.Module, inputs: torch.Tensor) -> tuple[DynamicCache, DynamicCache, int]:
    """What stays from the prompt, the cache that grows with the answer, and how many positions that has by now."""
    batch, size = inputs.shape[:2]
    if llm.config.is_encoder_decoder:
        encoded = llm.get_encoder()(inputs_embeds=inputs).last_hidden_state
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        ids = torch.empty(batch, 1, dtype=torch.int64)
        llm.get_decoder()(input_ids=ids, encoder_hidden_states=encoded, past_key_values=cache, use_cache=True)
        return cache.cross_attention_cache, cache.self_attention_cache, 1
    cache = DynamicCache(config=llm.config)
    llm(
        inputs_embeds=inputs,
        attention_mask=_causal_mask(batch, size, llm.dtype),
        position_ids=torch.empty(batch, size, dtype=torch.int64),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return cache, cache, size
