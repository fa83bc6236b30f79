"""Speech encoders by kind; a kind's libraries are imported only when it is built."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from slm_espnet.compat import stand_in_for_torchaudio
from slm_espnet.errors import UserError

if TYPE_CHECKING:
    from slm_espnet.speech_encoder.base import AbsSpeechEncoder

SPEECH_ENCODER_KINDS = ("espnet_ctc", "hf_ctc", "hf_encoder")
PADDINGS = ("exact", "allow")


def build_speech_encoder(kind: str, conf: dict[str, Any]) -> AbsSpeechEncoder:
    """A frozen encoder in eval mode, on the CPU.

    Args:
        kind: one of SPEECH_ENCODER_KINDS.
        conf: model (directory or name), revision, dtype (of matrix products: float32 or bfloat16), and what the kind
            adds: target_lang (hf_ctc: the language of an MMS adapter), trust_pickle (hf_ctc, hf_encoder: whether
            pytorch_model.bin may be read where there are no safetensors), weights (espnet_ctc: the weight file, where a
            directory has several), language_symbol and task_symbol (espnet_ctc: what an OWSM-CTC encoder is told),
            window_seconds (hf_encoder: length of Whisper's windows, the model's when not given). Of every kind:
            padding, `exact` (encoders that padding alters get utterances of one length at a time) or `allow` (they get
            padded batches as they come, and how much that alters is said).

    Raises:
        UserError: unknown kind or setting, or a model that is missing or unfit.
    """
    if kind not in SPEECH_ENCODER_KINDS:
        raise UserError(f"speech_encoder {kind!r} is unknown; known: {', '.join(SPEECH_ENCODER_KINDS)}")
    conf = dict(conf)
    padding = conf.pop("padding", None) or "exact"
    if padding not in PADDINGS:
        raise UserError(f"speech_encoder_conf: padding must be one of {', '.join(PADDINGS)}, not {padding!r}")
    stand_in_for_torchaudio()
    encoder = _build(kind, conf)
    if padding == "allow":
        encoder.allow_padding()
    for parameter in encoder.parameters():
        parameter.requires_grad_(False)
    return encoder.eval()


def _build(kind: str, conf: dict[str, Any]) -> AbsSpeechEncoder:
    if kind == "espnet_ctc":
        from slm_espnet.speech_encoder.espnet_ctc import ESPnetCTCEncoder as encoder_class
    elif kind == "hf_ctc":
        from slm_espnet.speech_encoder.huggingface_ctc import HuggingFaceCTCEncoder as encoder_class
    else:
        from slm_espnet.speech_encoder.huggingface_encoder import build_huggingface_encoder as encoder_class
    known = list(inspect.signature(encoder_class).parameters)
    unknown = sorted(set(conf) - set(known))
    if unknown:
        names = ", ".join([*known, "padding"])
        raise UserError(f"speech_encoder_conf of {kind} has unknown key(s) {', '.join(unknown)}; known: {names}")
    if not conf.get("model"):
        raise UserError(f"speech_encoder_conf of {kind} needs model: a directory or a name on the Hub")
    return encoder_class(**conf)
