"""What Hugging Face models of both kinds have in common: loading, embeddings, identity, LoRA."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from safetensors import SafetensorError

from slm_espnet.errors import UserError
from slm_espnet.llm.base import AbsLLM
from slm_espnet.llm.lora import LoraOptions, add_lora, without_lora
from slm_espnet.llm.placement import place
from slm_espnet.llm.quantization import quantization_options
from slm_espnet.llm.source import read_config
from slm_espnet.llm.tokenizer import HFTokenizer
from slm_espnet.model_files import NOT_TENSORS
from slm_espnet.model_source import ModelSource


class HFModel(AbsLLM):
    """A frozen Hugging Face model with its tokenizer. Subclasses run it."""

    kind: str  # name in configurations

    def __init__(
        self,
        source: ModelSource,
        model: torch.nn.Module,
        dtype: str,
        lora: LoraOptions | None = None,
        quantization: str | None = None,
        placed: bool = False,
    ):
        """Freeze a loaded model.

        Args:
            source: where its files are.
            model: the transformers model.
            dtype: name of the parameters' dtype.
            lora: adds LoRA when given.
            quantization: how it was loaded, for its identity.
            placed: whether its layers are on devices of their own, on which they stay.
        """
        super().__init__()
        self.placed = placed
        self.source, self.dtype_name, self.quantization = source, dtype, quantization
        self.tokenizer = HFTokenizer(source, ends_texts=model.config.is_encoder_decoder)
        self.model = model.requires_grad_(False)
        self.is_encoder_decoder = model.config.is_encoder_decoder
        self.vocab_size, self.dim = model.get_input_embeddings().weight.shape
        ends = _as_list(self.tokenizer.end_of_turn) + _as_list(model.generation_config.eos_token_id)
        self.stop_ids = frozenset({self.tokenizer.eos_id, *ends})
        self._sha256 = source.weights_sha256()
        self._table: torch.Tensor | None = None
        self._lora_dropouts = () if lora is None else add_lora(self.model, lora)
        self.train(False)

    def train(self, mode: bool = True) -> HFModel:
        """Stay in eval mode; only the dropout of LoRA follows `mode`."""
        super().train(False)
        for dropout in self._lora_dropouts:
            dropout.train(mode)
        return self

    def _apply(self, fn: Callable, recurse: bool = True) -> HFModel:
        """Move with the model around it, unless it was dealt out to several devices."""
        return self if self.placed else super()._apply(fn, recurse)

    def without_lora(self) -> AbstractContextManager:
        """Within it the model is what it was before LoRA."""
        return without_lora(self.model) if self._lora_dropouts else nullcontext()

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Ids (...,) → (..., E) as the model's own embedding layer gives them, scale included."""
        return self.model.get_input_embeddings()(ids)

    @property
    def trains_output(self) -> bool:
        """Whether the output layer has trained parameters."""
        return any(parameter.requires_grad for parameter in self.model.get_output_embeddings().parameters())

    def embedding_table(self) -> torch.Tensor:
        """(V, E): embed() of every id; the layer's own weights where they are not scaled."""
        layer = self.model.get_input_embeddings()
        if type(layer) is torch.nn.Embedding:
            return layer.weight
        if self._table is None or self._table.device != layer.weight.device:
            with torch.no_grad():
                self._table = layer(torch.arange(self.vocab_size, device=layer.weight.device))
        return self._table

    def identity(self) -> dict[str, str]:
        """kind, model, revision, weights_sha256, dtype, and quantization where there is one (all strings)."""
        values = {
            "kind": self.kind,
            "model": self.source.name,
            "revision": self.source.revision,
            "weights_sha256": self._sha256,
            "dtype": self.dtype_name,
        }
        return values if self.quantization is None else {**values, "quantization": self.quantization}


def load_weights(
    model_class: Any,
    source: ModelSource,
    dtype: torch.dtype,
    quantization: str | None = None,
    device_map: str | None = None,
    max_memory: Mapping[int | str, int | str] | None = None,
) -> torch.nn.Module:
    """A transformers model with its weights; UserError when they are damaged, do not cover the model, or do not fit."""
    reading = source.loading_options()
    options = {} if quantization is None else quantization_options(quantization, dtype)
    if device_map is not None:
        with torch.device("meta"):
            on_paper = model_class.from_config(read_config(source), dtype=dtype)
        placement = place(on_paper, device_map, max_memory, quantization)
        logging.info(f"the weights of {source.name} go to devices {placement.describe()}")
        options["device_map"] = dict(placement.modules)
    try:
        model, info = model_class.from_pretrained(
            source.directory,
            dtype=dtype,
            output_loading_info=True,
            **reading,
            **options,
        )
    except (SafetensorError, pickle.UnpicklingError, OSError, ValueError, RuntimeError) as error:
        said = NOT_TENSORS if isinstance(error, pickle.UnpicklingError) else str(error)
        reason = " ".join(said.split())[:300]
        raise UserError(f"the weights of {source.name} cannot be loaded: {reason}; get them again") from error
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise UserError(f"the weights of {source.name} lack {len(missing)} tensor(s) ({missing[0]}, …); get them again")
    return model


def _as_list(value: int | list[int] | None) -> list[int]:
    if value is None:
        return []
    return [value] if isinstance(value, int) else list(value)
