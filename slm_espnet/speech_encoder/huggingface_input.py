"""Waveforms as transformers' speech models want them, and how many frames come out."""

from __future__ import annotations

import pickle
from typing import Any

import torch
from safetensors import SafetensorError

from slm_espnet.errors import UserError
from slm_espnet.model_files import NOT_TENSORS
from slm_espnet.model_source import ModelSource

# what transformers raises for damaged files
LOADING_ERRORS = (SafetensorError, pickle.UnpicklingError, OSError, ValueError, TypeError, KeyError, RuntimeError)
HOP_SECONDS = 0.01  # frames of all these models advance by a multiple of it


class WaveformInput:
    """A model's feature extractor: normalization, or filter banks, with the mask that says what is real."""

    def __init__(self, source: ModelSource) -> None:
        """Load the feature extractor of a model; UserError where it has none."""
        from transformers import AutoFeatureExtractor

        try:
            self.extractor = AutoFeatureExtractor.from_pretrained(source.directory, local_files_only=True)
        except LOADING_ERRORS as error:
            raise UserError(f"{source.name} has no usable preprocessor_config.json: {_first_line(error)}") from error
        self.sampling_rate = int(self.extractor.sampling_rate)
        self.is_waveform = self.extractor.model_input_names[0] == "input_values"

    def __call__(
        self, speech: torch.Tensor, lengths: torch.Tensor, device: torch.device | str = "cpu"
    ) -> dict[str, torch.Tensor]:
        """speech (B, N), lengths (B,) on the CPU, where features are made → the model's arguments on a device.

        Of models that were trained without a mask of padding (the extractor says so) none is given: they get padded
        batches only where that makes no difference.
        """
        rows = [row[:length].numpy() for row, length in zip(speech, lengths.tolist(), strict=True)]
        inputs = self.extractor(rows, sampling_rate=self.sampling_rate, padding=True, return_tensors="pt")
        if torch.device(device).type == "cuda":  # from pinned memory a GPU fetches by itself
            return {name: value.pin_memory().to(device, non_blocking=True) for name, value in inputs.items()}
        return {name: value.to(device) for name, value in inputs.items()}

    def frame_lengths(self, model: Any, inputs: dict[str, torch.Tensor], samples: torch.Tensor) -> torch.Tensor:
        """(B,) valid output frames of a model for inputs made of so many samples."""
        if self.is_waveform:
            return model._get_feat_extract_output_lengths(samples).long()
        features = inputs["attention_mask"].sum(-1)
        if model.config.model_type in ("parakeet_ctc", "lasr_ctc"):
            return model.encoder._get_subsampling_output_length(features).long()
        return model._get_feat_extract_output_lengths(features).long()


def read_config(source: ModelSource) -> Any:
    """A model's configuration; UserError when transformers does not know it."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(source.directory, local_files_only=True)
    except LOADING_ERRORS as error:
        raise UserError(f"{source.directory / 'config.json'} cannot be used: {_first_line(error)}") from error


def load_model(model_class: Any, source: ModelSource, **options: Any) -> torch.nn.Module:
    """A transformers model in float32 with all of its weights; UserError when some are missing or damaged."""
    import transformers

    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # its report of missing weights is ours below
    try:
        model, report = model_class.from_pretrained(
            source.directory, dtype=torch.float32, output_loading_info=True, **source.loading_options(), **options
        )
    except LOADING_ERRORS as error:
        raise UserError(f"speech encoder {source.name} cannot be loaded: {_first_line(error)}") from error
    finally:
        transformers.logging.set_verbosity(verbosity)
    # training only: what masked frames are replaced with
    missing = sorted(key for key in report["missing_keys"] if not key.endswith("masked_spec_embed"))
    if missing:
        raise UserError(
            f"speech encoder {source.name} lacks {len(missing)} of its weights, {missing[0]} for one: it is another "
            "kind of model (without a CTC layer: hf_encoder), or damaged"
        )
    return model


def _first_line(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):
        return NOT_TENSORS
    return (str(error).strip() or type(error).__name__).splitlines()[0]
