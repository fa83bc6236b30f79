"""CTC models of transformers: wav2vec 2.0 and MMS, HuBERT, WavLM, w2v-BERT 2.0, Parakeet CTC and their kin."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from slm_espnet.errors import UserError
from slm_espnet.model_source import ModelSource
from slm_espnet.speech_encoder.base import EncoderOutput
from slm_espnet.speech_encoder.batching import AbsBatchedEncoder
from slm_espnet.speech_encoder.huggingface_input import (
    HOP_SECONDS,
    LOADING_ERRORS,
    WaveformInput,
    load_model,
    read_config,
)
from slm_espnet.speech_encoder.source import check_dtype, find_model
from slm_espnet.weights import weights_sha256

CTC_HEADS = {"parakeet_ctc": "ctc_head", "lasr_ctc": "ctc_head"}  # by model type; lm_head elsewhere


class HuggingFaceCTCEncoder(AbsBatchedEncoder):
    """AutoModelForCTC; a frame is what the CTC layer reads."""

    features_on_cpu = True

    def __init__(
        self,
        model: str,  # directory, or name on the Hub
        revision: str | None = None,  # branch, tag or commit
        dtype: str = "float32",  # of matrix products: float32 or bfloat16
        target_lang: str | None = None,  # MMS: ISO 639-3 code of the language whose adapter is loaded
        trust_pickle: bool = False,  # read pytorch_model.bin where there are no safetensors; such weights can run code
    ) -> None:
        super().__init__()
        from transformers import AutoModelForCTC

        self.compute_dtype = getattr(torch, check_dtype(dtype))
        source = find_model(model, revision, trust_pickle, target_lang)
        self.input = WaveformInput(source)
        config = read_config(source)
        # another language brings a CTC layer of another size
        options = {} if target_lang is None else {"target_lang": target_lang, "ignore_mismatched_sizes": True}
        if target_lang is not None and config.to_dict().get("adapter_attn_dim") is None:
            raise UserError(f"{model} has no language adapters: leave target_lang out")
        self.model = load_model(AutoModelForCTC, source, **options)
        self.head = getattr(self.model, CTC_HEADS.get(config.model_type, "lm_head"))
        self.head.register_forward_pre_hook(self._keep_frames)
        self._frames: torch.Tensor | None = None
        self.tokenizer = _load_tokenizer(source, target_lang)
        self.blank_id = int(self.model.config.pad_token_id)
        self.vocabulary = tuple(
            token or "" for token in self.tokenizer.convert_ids_to_tokens(list(range(self.model.config.vocab_size)))
        )
        self.sampling_rate = self.input.sampling_rate
        self._identity = {
            "kind": "hf_ctc",
            "model": model,
            "revision": source.revision,
            "weights_sha256": weights_sha256(source.weight_files()),
            "dtype": dtype,
            "sampling_rate": str(self.sampling_rate),
        }
        if target_lang is not None:
            self._identity["target_lang"] = target_lang
        self.eval()
        self.dim = self._width()
        self.frame_shift = self.measured_frame_shift(round(HOP_SECONDS * self.sampling_rate))

    def encode(self, speech: torch.Tensor, speech_lengths: torch.Tensor) -> EncoderOutput:
        """See AbsSpeechEncoder.forward."""
        inputs = self.input(speech, speech_lengths, self.model.device)
        lengths = self.input.frame_lengths(self.model, inputs, speech_lengths)
        log_probs = self.model(**inputs).logits.float().log_softmax(-1)
        frames, self._frames = self._frames, None
        return EncoderOutput(frames.float(), lengths, log_probs)

    def ctc_text(self, token_ids: Sequence[int]) -> str:
        """Text of tokens, by the model's own tokenizer; special tokens have none."""
        # repetitions are genuine here: those of neighbouring frames are gone
        text = self.tokenizer.decode(list(token_ids), group_tokens=False, skip_special_tokens=True)
        return " ".join(text.split())

    def identity(self) -> dict[str, str]:
        """kind, model, revision, weights_sha256, dtype, sampling_rate, and target_lang where it is set."""
        return dict(self._identity)

    def _keep_frames(self, _head: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        self._frames = arguments[0]

    def _width(self) -> int:
        """D, from one second of silence: configurations name it differently."""
        with torch.no_grad():
            samples = torch.tensor([self.sampling_rate])
            return self.encode(torch.zeros(1, self.sampling_rate), samples).frames.size(-1)


def _load_tokenizer(source: ModelSource, target_lang: str | None):
    from transformers import AutoTokenizer

    options = {} if target_lang is None else {"target_lang": target_lang}
    try:
        return AutoTokenizer.from_pretrained(source.directory, local_files_only=True, **options)
    except LOADING_ERRORS as error:
        raise UserError(f"{source.name} has no usable tokenizer, so its CTC tokens have no text") from error
