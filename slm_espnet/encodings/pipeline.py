"""From waveforms to encodings: encoder, reduction and best CTC path, the same for the cache and for live speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from slm_espnet.encodings.fingerprint import make_fingerprint
from slm_espnet.encodings.layout import Encoding, Layout
from slm_espnet.encodings.posteriors import TOP_K, FramePosteriors
from slm_espnet.encodings.writer import as_stored
from slm_espnet.errors import UserError
from slm_espnet.foundation import Foundation
from slm_espnet.length_reduction.base import AbsStaticReduction, CTCPath
from slm_espnet.length_reduction.build import build_static_reduction
from slm_espnet.speech_encoder.base import AbsSpeechEncoder, collapsed
from slm_espnet.speech_encoder.build import build_speech_encoder


@dataclass(frozen=True)
class Computed:
    """What the encoder made of a batch, where it computes; on a GPU the computation may still be going on."""

    seconds: list[float]  # of audio, of each utterance
    lengths: torch.Tensor  # (B,) frames
    frames: torch.Tensor  # (B, T, D)
    path: CTCPath | None  # (B, T); None without CTC
    tokens: torch.Tensor | None  # (B, T, k) int64: the k = min(V, TOP_K) likeliest tokens, best first
    log_probs: torch.Tensor | None  # (B, T, k) float32: theirs
    vocabulary_size: int  # V; 0 without CTC

    def on_host(self) -> Computed:
        """The same on the CPU; a GPU is waited for once."""
        if self.frames.device.type == "cpu":
            return self
        path = self.path
        if path is not None:
            path = CTCPath(_to_pinned(path.best), _to_pinned(path.blank), path.blank_id)
        names = ("lengths", "frames", "tokens", "log_probs")
        copies = {name: _to_pinned(getattr(self, name)) for name in names}
        torch.cuda.current_stream(self.frames.device).synchronize()
        return replace(self, path=path, **copies)


class EncodingPipeline:
    """A frozen encoder and a static reduction."""

    def __init__(
        self, encoder: AbsSpeechEncoder, reduction: AbsStaticReduction, storage_dtype: str = "float16"
    ) -> None:
        """Join both; storage_dtype is that of the frames in a cache, to which live frames are rounded too."""
        self.encoder, self.reduction = encoder, reduction
        self.fingerprint = make_fingerprint(encoder, reduction, storage_dtype)
        self.layout = Layout(self.fingerprint)

    @classmethod
    def from_foundation(
        cls, foundation: Foundation, storage_dtype: str = "float16", device: str = "cpu"
    ) -> EncodingPipeline:
        """Build what a foundation file names.

        Raises:
            UserError: as the builders, or the reduction needs CTC and the encoder has none.
        """
        reduction = build_static_reduction(foundation.length_reduction, foundation.length_reduction_conf)
        encoder = build_speech_encoder(foundation.speech_encoder, foundation.speech_encoder_conf)
        if encoder.blank_id is None and foundation.length_reduction in ("ctc_blank", "ctc_merge"):
            raise UserError(
                f"length_reduction {foundation.length_reduction} needs an encoder with CTC, which "
                f"{foundation.speech_encoder_conf.get('model')} is not; use stack or none"
            )
        return cls(encoder.to(device), reduction, storage_dtype)

    @property
    def sampling_rate(self) -> int:
        """Hz of the waveforms."""
        return self.encoder.sampling_rate

    def encode(self, waveforms: Sequence[np.ndarray]) -> list[Encoding]:
        """Encode a batch.

        Args:
            waveforms: float32 (N,) each, at `sampling_rate`, full scale ±1.

        Returns:
            An encoding for each: frames in float32, posteriors as they are stored.

        Raises:
            ValueError: one is shorter than a frame.
        """
        return self.finish(self.compute(waveforms))

    @torch.no_grad()
    def compute(self, waveforms: Sequence[np.ndarray]) -> Computed:
        """The encoder's part of `encode`: all that a GPU does, which nothing here waits for."""
        lengths = torch.tensor([len(waveform) for waveform in waveforms])
        device = next(self.encoder.parameters()).device
        # from pinned memory a GPU fetches by itself
        speech = torch.zeros(len(waveforms), int(lengths.max()), pin_memory=device.type == "cuda")
        for row, waveform in enumerate(waveforms):
            speech[row, : len(waveform)] = torch.from_numpy(np.asarray(waveform, dtype=np.float32))
        output = self.encoder(speech, lengths)
        path = tokens = values = None
        size = 0
        if output.ctc_log_probs is not None:
            size = output.ctc_log_probs.size(-1)
            path = CTCPath.of(output.ctc_log_probs, self.encoder.blank_id)
            values, tokens = output.ctc_log_probs.topk(min(size, TOP_K), dim=-1)
        seconds = [len(waveform) / self.sampling_rate for waveform in waveforms]
        return Computed(seconds, output.lengths, output.frames, path, tokens, values, size)

    @torch.no_grad()
    def finish(self, computed: Computed) -> list[Encoding]:
        """The rest of `encode`, on the CPU: it can run in another thread while the next batch is computed."""
        computed = computed.on_host()
        return [self._encoding(computed, row, length) for row, length in enumerate(computed.lengths.tolist())]

    def encode_as_stored(self, waveforms: Sequence[np.ndarray]) -> list[Encoding]:
        """As `encode`, with frames as a cache of this pipeline would give them back."""
        return [as_stored(encoding, self.layout) for encoding in self.encode(waveforms)]

    def _encoding(self, computed: Computed, row: int, length: int) -> Encoding:
        text, posteriors, path = "", None, None
        if computed.path is not None:
            path = computed.path.row(row, length)
            text = self.encoder.ctc_text(collapsed(path.best.tolist(), path.blank_id)[0])
            tokens, log_probs = (values[row, :length].numpy() for values in (computed.tokens, computed.log_probs))
            posteriors = FramePosteriors.from_best(tokens, log_probs, computed.vocabulary_size, path.blank_id)
        reduced = self.reduction(computed.frames[row, :length], path)
        return Encoding(
            frames=reduced.frames.float().numpy(),
            positions=reduced.positions.numpy(),
            stops=reduced.stops.numpy(),
            frames_total=length,
            seconds=computed.seconds[row],
            ctc_hypothesis=text,
            posteriors=posteriors,
        )


def _to_pinned(tensor: torch.Tensor | None) -> torch.Tensor | None:
    """A copy in pinned memory, which is complete when the stream is."""
    if tensor is None:
        return None
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
