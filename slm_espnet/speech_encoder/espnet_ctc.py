"""Speech encoders trained with ESPnet: ASR models with CTC, and OWSM-CTC (task s2t_ctc)."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import torch

from slm_espnet.compat import espnet_tasks
from slm_espnet.errors import UserError
from slm_espnet.speech_encoder.base import EncoderOutput
from slm_espnet.speech_encoder.batching import AbsBatchedEncoder
from slm_espnet.speech_encoder.espnet_files import ESPnetFiles, find_espnet_model
from slm_espnet.speech_encoder.espnet_parts import build, has_usual_parts, without_decoder
from slm_espnet.speech_encoder.source import check_dtype
from slm_espnet.weights import weights_sha256

# Samples from one feature frame to the next where the configuration does not say: ESPnet's own defaults.
DEFAULT_HOPS = {"default": 128, "s3prl": 320}
DEFAULT_HOP = 160
# What decides, besides weights, what an encoder computes.
SETTINGS = ("frontend", "frontend_conf", "preencoder", "preencoder_conf", "encoder", "encoder_conf", "postencoder",
            "postencoder_conf", "normalize")  # fmt: skip


class ESPnetCTCEncoder(AbsBatchedEncoder):
    """An ESPnet checkpoint's frontend, normalization, encoder and CTC layer, as the model's own `encode` runs them."""

    def __init__(
        self,
        model: str,  # directory, packed archive, or name
        revision: str | None = None,  # of a Hub repository
        dtype: str = "float32",  # of matrix products: float32 or bfloat16
        weights: str | None = None,  # weight file in the directory, where it has several
        language_symbol: str | None = None,  # OWSM-CTC: the language it is told, <nolang> lets it find out
        task_symbol: str | None = None,  # OWSM-CTC: <asr>, or <st_eng> and the like
    ) -> None:
        super().__init__()
        self.compute_dtype = getattr(torch, check_dtype(dtype))
        files = find_espnet_model(model, revision, weights)
        config = files.read_config()
        self._has_prompt = "promptencoder" in config
        if not self._has_prompt and (language_symbol or task_symbol):
            raise UserError(f"{model} is not OWSM-CTC: leave language_symbol and task_symbol out")
        self.model = _load(files, config, self._has_prompt)
        self.too_short_errors = (RuntimeError, ValueError, AssertionError, _too_short_error())
        self.vocabulary = tuple(self.model.token_list)
        self.blank_id = self.model.blank_id
        self.dim = self.model.ctc.ctc_lo.in_features
        self._prefix = self._told(language_symbol or "<nolang>", task_symbol or "<asr>") if self._has_prompt else {}
        frontend = config.get("frontend_conf") or {}
        self.sampling_rate = _rate(frontend.get("fs", 16000), files)
        self._separator = " " if config.get("token_type") in ("word", "phn") else ""
        self._identity = {
            "kind": "espnet_ctc",
            "model": model,
            "revision": files.revision,
            "weights_sha256": weights_sha256([files.weights]),
            "settings_sha256": _settings_sha256(config),
            "dtype": dtype,
            "sampling_rate": str(self.sampling_rate),
        }
        self._identity |= {key: self.vocabulary[value] for key, value in self._prefix.items()}
        self.eval()
        self.frame_shift = self.measured_frame_shift(
            int(frontend.get("hop_length") or DEFAULT_HOPS.get(str(config.get("frontend")), DEFAULT_HOP))
        )

    def encode(self, speech: torch.Tensor, speech_lengths: torch.Tensor) -> EncoderOutput:
        """See AbsSpeechEncoder.forward."""
        speech = speech.clone()  # without a frontend ESPnet normalizes in place
        if self._has_prompt:
            frames, lengths = self.model.encode(speech, speech_lengths, **self._prompt(len(speech), speech.device))
        else:
            frames, lengths = self.model.encode(speech, speech_lengths)
        if isinstance(frames, tuple):  # intermediate layers come along
            frames = frames[0]
        # what it was told stands before the speech, two frames
        frames, lengths = frames[:, len(self._prefix) :], lengths - len(self._prefix)
        return EncoderOutput(frames.float(), lengths.long(), self.model.ctc.log_softmax(frames).float())

    def ctc_text(self, token_ids: Sequence[int]) -> str:
        """Text of tokens; special ones such as <unk> or <eng> have none."""
        tokens = [self.vocabulary[token] for token in token_ids]
        spelled = [
            token for token in tokens if token == "<space>" or not (token[:1] == "<" and token[1:].endswith(">"))
        ]
        text = self._separator.join(spelled).replace("<space>", " ").replace("\u2581", " ")
        return " ".join(text.split())

    def identity(self) -> dict[str, str]:
        """kind, model, revision, weights_sha256, settings_sha256, dtype, sampling_rate, and what OWSM-CTC is told."""
        return dict(self._identity)

    def _told(self, language: str, task: str) -> dict[str, int]:
        """Ids of language and task."""
        for symbol in (language, task):
            if symbol not in self.vocabulary:
                raise UserError(
                    f"speech_encoder_conf: {symbol} is none of the model's {len(self.vocabulary)} tokens; languages "
                    "are written like <eng>, tasks like <asr>"
                )
        return {"language": self.vocabulary.index(language), "task": self.vocabulary.index(task)}

    def _prompt(self, batch: int, device: torch.device) -> dict[str, torch.Tensor]:
        """Language, task and no previous text, for each utterance."""
        prefix = torch.tensor(list(self._prefix.values()), device=device).expand(batch, -1)
        previous = torch.full((batch, 1), self.model.na, device=device)
        return {
            "text_prev": previous,
            "text_prev_lengths": torch.ones(batch, dtype=torch.long, device=device),
            "prefix": prefix,
            "prefix_lengths": torch.full((batch,), prefix.size(1), device=device),
        }


def _load(files: ESPnetFiles, config: dict[str, Any], s2t_ctc: bool) -> torch.nn.Module:
    """The model with its weights; what encoding does not need is left behind."""
    try:
        if has_usual_parts(config):
            model = build(config)
            model.load_state_dict(without_decoder(files.read_weights()), strict=True)
        else:
            model = _task(s2t_ctc).build_model(argparse.Namespace(**{"init": None, "specaug": None, **config}))
            model.load_state_dict(files.read_weights(), strict=True)
    except (AttributeError, TypeError, ValueError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"{files.config} and {files.weights.name} do not make a model of ESPnet's task "
            f"{'s2t_ctc' if s2t_ctc else 'asr'}: {reason}"
        ) from error
    if model.ctc is None:
        raise UserError(f"{files.name} was trained without CTC (ctc_weight 0); a CTC encoder is needed")
    model.specaug = None
    if not s2t_ctc:
        model.decoder = None
    return model


def _task(s2t_ctc: bool) -> Any:
    """ESPnet's task; its import takes seconds."""
    if s2t_ctc:
        with espnet_tasks():
            from espnet2.tasks.s2t_ctc import S2TTask

        return S2TTask
    from slm_espnet.asr.task import ASRTask

    return ASRTask


def _too_short_error() -> type[Exception]:
    # by way of an encoder that raises it: the module that defines it has another name in each version of ESPnet
    from espnet2.asr.encoder.conformer_encoder import TooShortUttError

    return TooShortUttError


def _rate(value: int | str, files: ESPnetFiles) -> int:
    """Hz of a number or of a text such as 16k."""
    text = str(value).strip().lower()
    try:
        return round(float(text.removesuffix("k")) * (1000 if text.endswith("k") else 1))
    except ValueError:
        raise UserError(f"{files.config}: frontend_conf: fs is {value!r}, expected a rate such as 16000") from None


def _settings_sha256(config: dict[str, Any]) -> str:
    """Hash of what decides the computation; where a file lies does not."""
    kept = {key: config[key] for key in SETTINGS if config.get(key) is not None}
    kept["normalize_conf"] = {k: v for k, v in (config.get("normalize_conf") or {}).items() if k != "stats_file"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()
