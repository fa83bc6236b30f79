"""Batches whose utterances do not influence each other, and three facts about an encoder that are found by trying it.

Many published encoders let padding into the result: group norms over the whole batch row, convolutions that see what
follows the last frame, windows centred past the end. An encoder is therefore given padded batches only if it computes
the same for a padded utterance as for the utterance alone; the others get utterances of one length at a time.
"""

from __future__ import annotations

import contextlib
import logging
import math
from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property

import torch

from slm_espnet.speech_encoder.base import AbsSpeechEncoder, EncoderOutput

TOLERANCE = 2e-4  # of the largest value, in float32; reordered sums differ by far less, leaking padding by far more
PROBE_SECONDS = (0.83, 1.0, 0.53, 0.917)  # odd lengths: what is left over at the end takes several values
LONGEST_MINIMUM = 1.0  # seconds from which any encoder must give a frame


class AbsBatchedEncoder(AbsSpeechEncoder):
    """An encoder whose subclasses say how to encode one batch, and what they raise for audio that is too short."""

    compute_dtype: torch.dtype = torch.float32  # of matrix products
    features_on_cpu: bool = False  # `encode` gets the waveforms as they come, not on the model's device
    too_short_errors: tuple[type[Exception], ...] = (RuntimeError, ValueError)

    @abstractmethod
    def encode(self, speech: torch.Tensor, speech_lengths: torch.Tensor) -> EncoderOutput:
        """Encode a zero-padded batch as `forward` does, in the model's own way."""

    @torch.no_grad()
    def forward(self, speech: torch.Tensor, speech_lengths: torch.Tensor) -> EncoderOutput:
        """Encode waveforms: speech (B, N) float32 in [-1, 1] zero-padded, speech_lengths (B,) in samples.

        Raises:
            ValueError: an utterance is shorter than `min_samples`.
        """
        if int(speech_lengths.min()) < self.min_samples:
            raise ValueError(f"{int(speech_lengths.min())} samples are too few; one frame needs {self.min_samples}")
        groups = self._groups(speech_lengths)
        if len(groups) == 1:
            return self._encode(speech[:, : int(speech_lengths.max())], speech_lengths, self.compute_dtype)
        outputs = [
            self._encode(speech[rows, : int(speech_lengths[rows[0]])], speech_lengths[rows], self.compute_dtype)
            for rows in groups
        ]
        return _joined(outputs, groups, len(speech))

    def _encode(
        self, speech: torch.Tensor, speech_lengths: torch.Tensor, dtype: torch.dtype = torch.float32
    ) -> EncoderOutput:
        device = next(self.parameters()).device
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            if self.features_on_cpu:
                return self.encode(speech, speech_lengths)
            return self.encode(speech.to(device, non_blocking=True), speech_lengths.to(device))

    def _groups(self, lengths: torch.Tensor) -> list[list[int]]:
        """Rows that may be encoded together."""
        values = lengths.tolist()
        if len(set(values)) == 1 or self.padding == "allow" or self.takes_padding:
            return [list(range(len(values)))]
        rows: dict[int, list[int]] = {}
        for row, length in enumerate(values):
            rows.setdefault(length, []).append(row)
        return list(rows.values())

    @cached_property
    def takes_padding(self) -> bool:
        """Whether padded utterances come out as they do alone; it is said once where they do not."""
        found = self.padding_difference <= TOLERANCE
        if not found:
            logging.getLogger(__name__).warning(
                "padding alters this encoder's frames (by %s of the largest value): only utterances of one length are "
                "encoded together, so most come one by one, which is slower on a GPU; padding: allow in "
                "speech_encoder_conf takes padded batches as they are",
                f"{self.padding_difference:.2g}",
            )
        return found

    def allow_padding(self) -> None:
        """Take padded batches even where padding alters the frames; the difference that was measured is said."""
        if self.padding_difference > TOLERANCE:
            self.padding = "allow"
            logging.getLogger(__name__).warning(
                "padding: allow: padding alters the frames by up to %s of the largest value (noise of 0.5 to 1 s)",
                f"{self.padding_difference:.2g}",
            )

    @cached_property
    def padding_difference(self) -> float:
        """How much padding alters, as a share of the largest value: noise is encoded in a padded batch and alone.

        Infinite where even the number of frames differs.
        """
        lengths = torch.tensor([round(seconds * self.sampling_rate) for seconds in PROBE_SECONDS])
        speech = _noise(len(lengths), int(lengths.max()))
        for row, length in enumerate(lengths.tolist()):
            speech[row, length:] = 0
        with torch.no_grad(), _full_precision():
            together = self._encode(speech, lengths)
            found = 0.0
            for row, length in enumerate(lengths.tolist()):
                alone = self._encode(speech[row : row + 1, :length], lengths[row : row + 1])
                found = max(found, _difference(together, alone, row))
        return found

    @cached_property
    def min_samples(self) -> int:
        """Fewest samples that give a frame, found by bisection."""
        short, enough = 0, round(LONGEST_MINIMUM * self.sampling_rate)
        noise = _noise(1, enough)
        while enough - short > 1:
            middle = (short + enough) // 2
            if self._gives_frame(noise[:, :middle]):
                enough = middle
            else:
                short = middle
        return enough

    def _gives_frame(self, speech: torch.Tensor) -> bool:
        try:
            with torch.no_grad():
                output = self._encode(speech, torch.tensor([speech.size(1)]))
        except self.too_short_errors:
            return False
        return int(output.lengths[0]) >= 1 and bool(output.frames[0, : int(output.lengths[0])].isfinite().all())

    def measured_frame_shift(self, hop_samples: int) -> float:
        """Seconds from one frame to the next: a whole number of hops of the features, as found from 1 s and 3 s."""
        counts = []
        for seconds in (1, 3):
            samples = seconds * self.sampling_rate
            with torch.no_grad():
                counts.append(int(self._encode(_noise(1, samples), torch.tensor([samples])).lengths[0]))
        hops = 2 * self.sampling_rate / (counts[1] - counts[0]) / hop_samples
        return max(1, round(hops)) * hop_samples / self.sampling_rate


def _noise(rows: int, samples: int) -> torch.Tensor:
    """Quiet white noise, always the same."""
    return 0.1 * torch.randn(rows, samples, generator=torch.Generator().manual_seed(0))


@contextlib.contextmanager
def _full_precision() -> Iterator[None]:
    """Within it a GPU multiplies float32 as float32: TF32 differs more between batch sizes than padding may alter."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def _difference(together: EncoderOutput, alone: EncoderOutput, row: int) -> float:
    """Largest difference of an utterance's frames and probabilities, as a share of the largest value."""
    length = int(alone.lengths[0])
    if int(together.lengths[row]) != length:
        return math.inf
    pairs = [(together.frames[row, :length], alone.frames[0, :length])]
    if alone.ctc_log_probs is not None and together.ctc_log_probs is not None:
        pairs.append((together.ctc_log_probs[row, :length].exp(), alone.ctc_log_probs[0, :length].exp()))
    # where all is 0 alone, anything else is a difference without bound
    return max(float(((a - b).abs().max() / b.abs().max()).nan_to_num(0.0)) for a, b in pairs)


def _joined(outputs: list[EncoderOutput], groups: list[list[int]], count: int) -> EncoderOutput:
    """Outputs of groups of rows as one batch in the order of the rows."""
    first = outputs[0]
    longest = max(output.frames.size(1) for output in outputs)
    frames = first.frames.new_zeros(count, longest, first.frames.size(2))
    lengths = first.lengths.new_zeros(count)
    log_probs = None
    if first.ctc_log_probs is not None:
        log_probs = first.ctc_log_probs.new_zeros(count, longest, first.ctc_log_probs.size(2))
    for output, rows in zip(outputs, groups, strict=True):
        frames[rows, : output.frames.size(1)] = output.frames
        lengths[rows] = output.lengths
        if log_probs is not None:
            log_probs[rows, : output.ctc_log_probs.size(1)] = output.ctc_log_probs
    return EncoderOutput(frames, lengths, log_probs)
