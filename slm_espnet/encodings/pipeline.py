"""From waveforms to encodings: encoder, reduction and best CTC path, the same for the cache and for live speech."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from slm_espnet.encodings.fingerprint import make_fingerprint
from slm_espnet.encodings.layout import Encoding, Layout
from slm_espnet.encodings.posteriors import TOP_K, FramePosteriors
from slm_espnet.encodings.writer import as_stored
from slm_espnet.errors import UserError
from slm_espnet.foundation import Foundation
from slm_espnet.length_reduction.base import AbsStaticReduction
from slm_espnet.length_reduction.build import build_static_reduction
from slm_espnet.speech_encoder.base import AbsSpeechEncoder, ctc_greedy
from slm_espnet.speech_encoder.build import build_speech_encoder


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

    @torch.no_grad()
    def encode(self, waveforms: Sequence[np.ndarray]) -> list[Encoding]:
        """Encode a batch.

        Args:
            waveforms: float32 (N,) each, at `sampling_rate`, full scale ±1.

        Returns:
            An encoding for each: frames in float32, posteriors as they are stored.

        Raises:
            ValueError: one is shorter than a frame.
        """
        lengths = torch.tensor([len(waveform) for waveform in waveforms])
        speech = torch.zeros(len(waveforms), int(lengths.max()))
        for row, waveform in enumerate(waveforms):
            speech[row, : len(waveform)] = torch.from_numpy(np.asarray(waveform, dtype=np.float32))
        output = self.encoder(speech, lengths)
        encodings = []
        for row, length in enumerate(output.lengths.tolist()):
            log_probs = None if output.ctc_log_probs is None else output.ctc_log_probs[row, :length]
            seconds = len(waveforms[row]) / self.sampling_rate
            encodings.append(self._encoding(output.frames[row, :length], log_probs, seconds))
        return encodings

    def encode_as_stored(self, waveforms: Sequence[np.ndarray]) -> list[Encoding]:
        """As `encode`, with frames as a cache of this pipeline would give them back."""
        return [as_stored(encoding, self.layout) for encoding in self.encode(waveforms)]

    def _encoding(self, frames: torch.Tensor, log_probs: torch.Tensor | None, seconds: float) -> Encoding:
        reduced = self.reduction(frames, log_probs, self.encoder.blank_id)
        text, posteriors = "", None
        if log_probs is not None:
            blank, size = self.encoder.blank_id, log_probs.size(1)
            text = self.encoder.ctc_text(ctc_greedy(log_probs, blank)[0])
            best = log_probs.topk(min(size, TOP_K), dim=-1)
            posteriors = FramePosteriors.from_best(best.indices.cpu().numpy(), best.values.cpu().numpy(), size, blank)
        return Encoding(
            frames=reduced.frames.float().cpu().numpy(),
            positions=reduced.positions.cpu().numpy(),
            stops=reduced.stops.cpu().numpy(),
            frames_total=len(frames),
            seconds=seconds,
            ctc_hypothesis=text,
            posteriors=posteriors,
        )
