"""Encoders of transformers without CTC: Whisper's, and self-supervised models (wav2vec 2.0, HuBERT, WavLM, ...)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from slm_espnet.errors import UserError
from slm_espnet.model_source import ModelSource
from slm_espnet.speech_encoder.base import AbsSpeechEncoder, EncoderOutput
from slm_espnet.speech_encoder.batching import AbsBatchedEncoder
from slm_espnet.speech_encoder.huggingface_input import HOP_SECONDS, WaveformInput, load_model, read_config
from slm_espnet.speech_encoder.source import check_dtype, find_model
from slm_espnet.weights import weights_sha256

SELF_SUPERVISED = ("wav2vec2", "hubert", "wavlm", "wav2vec2-bert", "wav2vec2-conformer", "unispeech", "unispeech-sat",
                   "data2vec-audio", "sew", "sew-d")  # fmt: skip


def build_huggingface_encoder(
    model: str,
    revision: str | None = None,
    dtype: str = "float32",
    trust_pickle: bool = False,
    window_seconds: float | None = None,
) -> AbsSpeechEncoder:
    """The encoder of a directory or of a Hub repository, by its model type; WhisperEncoder explains window_seconds."""
    source = find_model(model, revision, trust_pickle)
    kind = read_config(source).model_type
    if kind == "whisper":
        return WhisperEncoder(source, dtype, window_seconds)
    if window_seconds is not None:
        raise UserError(f"speech_encoder_conf: window_seconds is for Whisper, and {model} is of type {kind}; remove it")
    if kind in SELF_SUPERVISED:
        return SelfSupervisedEncoder(source, dtype)
    raise UserError(f"{model} is of type {kind}; hf_encoder knows whisper, {', '.join(SELF_SUPERVISED)}")


class _WithoutCTC:
    """What encoders without CTC have in common."""

    blank_id = None
    vocabulary = None

    def ctc_text(self, token_ids: Sequence[int]) -> str:
        """Raises: ValueError: there are no CTC tokens."""
        raise ValueError("this encoder has no CTC")

    def _describe(self, source: ModelSource, dtype: str, sampling_rate: int) -> dict[str, str]:
        return {
            "kind": "hf_encoder",
            "model": source.name,
            "revision": source.revision,
            "weights_sha256": weights_sha256(source.weight_files()),
            "dtype": dtype,
            "sampling_rate": str(sampling_rate),
        }


class SelfSupervisedEncoder(_WithoutCTC, AbsBatchedEncoder):
    """A self-supervised model's last layer."""

    features_on_cpu = True

    def __init__(self, source: ModelSource, dtype: str = "float32") -> None:
        super().__init__()
        from transformers import AutoModel

        self.compute_dtype = getattr(torch, check_dtype(dtype))
        self.input = WaveformInput(source)
        self.model = load_model(AutoModel, source)
        self.sampling_rate = self.input.sampling_rate
        self._identity = self._describe(source, dtype, self.sampling_rate)
        self.eval()
        with torch.no_grad():
            silence = torch.zeros(1, self.sampling_rate)
            self.dim = self.encode(silence, torch.tensor([self.sampling_rate])).frames.size(-1)
        self.frame_shift = self.measured_frame_shift(round(HOP_SECONDS * self.sampling_rate))

    def encode(self, speech: torch.Tensor, speech_lengths: torch.Tensor) -> EncoderOutput:
        """See AbsSpeechEncoder.forward."""
        inputs = self.input(speech, speech_lengths, self.model.device)
        lengths = self.input.frame_lengths(self.model, inputs, speech_lengths)
        return EncoderOutput(self.model(**inputs).last_hidden_state.float(), lengths, None)

    def identity(self) -> dict[str, str]:
        """kind, model, revision, weights_sha256, dtype, sampling_rate."""
        return dict(self._identity)


class WhisperEncoder(_WithoutCTC, AbsSpeechEncoder):
    """Whisper's encoder: windows of 30 s, each by itself; what lies beyond the end of the speech is cut off.

    Audio longer than a window is cut into consecutive windows. Every window is filled with silence, as in Whisper's
    training, so that an utterance's frames do not depend on its batch. Shorter windows cost less for short utterances:
    attention and all else are computed for the whole window.
    """

    def __init__(self, source: ModelSource, dtype: str = "float32", window_seconds: float | None = None) -> None:
        """Load it.

        Args:
            source: its files.
            dtype: of matrix products.
            window_seconds: length of the windows, at most the model's (30 s), which None is; a shorter one takes the
                first rows of the position table.

        Raises:
            UserError: the files do not fit together, or the window is no whole number of frames within the model's.
        """
        super().__init__()
        from transformers import WhisperModel

        self.compute_dtype = getattr(torch, check_dtype(dtype))
        self.input = WaveformInput(source)
        self.encoder = load_model(WhisperModel, source).encoder
        self.sampling_rate = self.input.sampling_rate
        self.dim = self.encoder.config.d_model
        self._window = int(self.input.extractor.n_samples)
        # the second convolution of the encoder halves the rate of the features
        self._samples_per_frame = 2 * int(self.input.extractor.hop_length)
        if self._window != self._samples_per_frame * self.encoder.config.max_source_positions:
            raise UserError(f"{source.name}: windows of preprocessor_config.json do not fit max_source_positions")
        identity = self._describe(source, dtype, self.sampling_rate)
        if window_seconds is not None and self._shorten(window_seconds, source.name):
            identity["window_seconds"] = f"{self._window / self.sampling_rate:g}"
        self.frame_shift = self._samples_per_frame / self.sampling_rate
        self.min_samples = self._samples_per_frame // 2
        self._identity = identity
        self.eval()

    def _shorten(self, seconds: float, name: str) -> bool:
        """Take windows of so many seconds; whether they differ from the model's."""
        frames = round(seconds * self.sampling_rate / self._samples_per_frame)
        most = self.encoder.config.max_source_positions
        if not 1 <= frames <= most or abs(frames * self._samples_per_frame - seconds * self.sampling_rate) > 0.5:
            frame, longest = (n * self._samples_per_frame / self.sampling_rate for n in (1, most))
            raise UserError(
                f"speech_encoder_conf: window_seconds {seconds:g} must be a multiple of {frame:g} s, at most "
                f"{longest:g} s for {name}"
            )
        if frames == most:
            return False
        self._window = frames * self._samples_per_frame
        extractor = self.input.extractor  # ours alone
        extractor.chunk_length, extractor.n_samples = self._window / self.sampling_rate, self._window
        extractor.nb_max_frames = self._window // int(extractor.hop_length)
        positions = self.encoder.embed_positions.weight[:frames].clone()
        self.encoder.embed_positions = torch.nn.Embedding.from_pretrained(positions)
        self.encoder.config.max_source_positions = self.encoder.max_source_positions = frames
        return True

    @torch.no_grad()
    def forward(self, speech: torch.Tensor, speech_lengths: torch.Tensor) -> EncoderOutput:
        """See AbsSpeechEncoder.forward; ValueError for fewer than `min_samples`."""
        if int(speech_lengths.min()) < self.min_samples:
            raise ValueError(f"{int(speech_lengths.min())} samples are too few; one frame needs {self.min_samples}")
        windows, counts = [], []
        for row, length in zip(speech, speech_lengths.tolist(), strict=True):
            parts = row[:length].split(self._window)
            windows.extend(part.cpu().numpy() for part in parts)
            counts.append(len(parts))
        features = self.input.extractor(windows, sampling_rate=self.sampling_rate, return_tensors="pt").input_features
        device = next(self.parameters()).device
        with torch.autocast(device.type, self.compute_dtype, enabled=self.compute_dtype != torch.float32):
            encoded = self.encoder(features.to(device)).last_hidden_state.float()
        lengths = -(-speech_lengths // self._samples_per_frame)
        utterances = [
            part.flatten(0, 1)[:length] for part, length in zip(encoded.split(counts), lengths.tolist(), strict=True)
        ]
        return EncoderOutput(torch.nn.utils.rnn.pad_sequence(utterances, batch_first=True), lengths.to(device), None)

    def identity(self) -> dict[str, str]:
        """kind, model, revision, weights_sha256, dtype, sampling_rate."""
        return dict(self._identity)
