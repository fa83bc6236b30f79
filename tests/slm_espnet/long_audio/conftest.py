"""Speech that everything is known about: every word is a tone, and the encoder hears which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from slm_espnet.speech_encoder.base import AbsSpeechEncoder, EncoderOutput

RATE, FRAME = 4000, 80  # Hz; samples of an encoder frame (20 ms, FFT bins of 50 Hz)
WORDS = tuple(first + last for first in ("ka", "mo", "ti", "pu", "se") for last in ("lin", "rov", "das", "nem", "to"))
GAP = 0.06  # seconds between words


@dataclass(frozen=True)
class Talk:
    """A recording and what is said in it."""

    samples: np.ndarray
    words: list[str]


def make_talk(seconds: float, seed: int, pause_every: int = 8, noise: float = 1e-4) -> Talk:
    """Sentences of about `pause_every` words with pauses of 0.4 to 1.2 s between them; 0: no pause at all."""
    random = np.random.default_rng(seed)
    parts, words = [], []
    while sum(map(len, parts)) < seconds * RATE:
        word = int(random.integers(len(WORDS)))
        times = np.arange(int(random.uniform(0.25, 0.5) * RATE)) / RATE
        parts += [0.3 * np.sin(2 * np.pi * (200 + 50 * word) * times), np.zeros(int(GAP * RATE))]
        words.append(WORDS[word])
        if pause_every and random.integers(pause_every) == 0:
            parts.append(np.zeros(int(random.uniform(0.4, 1.2) * RATE)))
    samples = np.concatenate(parts)
    return Talk((samples + noise * random.standard_normal(len(samples))).astype(np.float32), words)


class ToneEncoder(AbsSpeechEncoder):
    """Blank where it is quiet, else the word of the tone that is heard."""

    sampling_rate, dim, frame_shift, blank_id, min_samples = RATE, 1, FRAME / RATE, 0, FRAME
    vocabulary = ("<blank>", *WORDS)

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0  # seconds of what it was given at once

    def forward(self, speech, speech_lengths):
        self.longest = max(self.longest, speech.size(1) / RATE)
        windows = speech[:, : speech.size(1) // FRAME * FRAME].unflatten(1, (-1, FRAME))
        bins = torch.fft.rfft(windows).abs()[..., 1:].argmax(-1) + 1
        loud = windows.square().mean(-1) > 5e-3
        best = torch.where(loud, bins - 3, 0).clamp(0, len(WORDS))
        for row in best:  # the edges of a tone are unclear: all of it is what most of it is
            for start, stop in tones(row):
                row[start:stop] = row[start:stop].mode().values
        log_probs = torch.nn.functional.one_hot(best, len(self.vocabulary)).float().mul(20).log_softmax(-1)
        return EncoderOutput(best[..., None].float(), speech_lengths // FRAME, log_probs)

    def ctc_text(self, token_ids):
        return " ".join(self.vocabulary[token] for token in token_ids)

    def identity(self):
        return {"kind": "tones"}

    def recognize(self, samples: np.ndarray) -> str:
        """Words of a piece; of one that is cut at an edge only the half that is there is written."""
        output = self(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
        best = output.ctc_log_probs[0].argmax(-1)
        runs = tones(best)
        words = [self.vocabulary[best[start]] for start, _ in runs]
        if runs and runs[0][0] == 0 and runs[0][1] < 12:
            words[0] = words[0][2:]
        if runs and runs[-1][1] == len(best) and runs[-1][1] - runs[-1][0] < 12:
            words[-1] = words[-1][:2]
        return " ".join(words)


def tones(best: torch.Tensor) -> list[tuple[int, int]]:
    """First and past-the-last frame of each run that is not blank."""
    edges = torch.diff(torch.nn.functional.pad((best > 0).int(), (1, 1))).nonzero()[:, 0].tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


@pytest.fixture
def encoder() -> ToneEncoder:
    return ToneEncoder().eval()
