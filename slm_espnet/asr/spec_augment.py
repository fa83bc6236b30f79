"""SpecAugment with vocal tract length perturbation, drawn for a whole batch at once."""

from __future__ import annotations

import torch
from espnet2.asr.specaug.abs_specaug import AbsSpecAug


class VtlpSpecAug(AbsSpecAug):
    """Warp the frequency axis, then mask bands and stretches of time with the utterance's mean.

    SpecAugment: Park et al. 2019, arXiv 1904.08779. Vocal tract length perturbation: Jaitly and Hinton 2013; here the
    warp is linear in the index of the mel band, an interpolation matrix out of `warp_steps` prepared ones.

    Args:
        n_mels: mel bands.
        warp: largest stretch of the band axis, for example 0.1 for ±10 %; 0 for none.
        freq_mask_width, num_freq_mask: widest band mask, in bands, and how many.
        time_mask_width, num_time_mask: longest time mask, in frames, and how many; none is longer than
            `time_mask_share` of its utterance.
    """

    def __init__(
        self,
        n_mels: int,
        warp: float = 0.1,
        warp_steps: int = 21,
        freq_mask_width: int = 12,
        num_freq_mask: int = 2,
        time_mask_width: int = 20,
        num_time_mask: int = 2,
        time_mask_share: float = 0.1,
    ) -> None:
        super().__init__()
        if freq_mask_width > n_mels:
            raise ValueError(f"freq_mask_width {freq_mask_width} is wider than the {n_mels} mel bands")
        factors = torch.linspace(1 - warp, 1 + warp, warp_steps) if warp > 0 else torch.ones(0)
        matrices = [warp_matrix(n_mels, factor) for factor in factors.tolist()]
        self.register_buffer("matrices", torch.stack(matrices) if matrices else None, persistent=False)
        self.freq_mask_width, self.num_freq_mask = freq_mask_width, num_freq_mask
        self.time_mask_width, self.num_time_mask = time_mask_width, num_time_mask
        self.time_mask_share = time_mask_share

    def forward(
        self, x: torch.Tensor, x_lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """x (B, T, n_mels) log-mel features, x_lengths (B,) frames; the same shapes come back."""
        batch, frames, bands = x.shape
        lengths = x_lengths if x_lengths is not None else torch.full((batch,), frames, device=x.device)
        lengths = lengths.to(x.device).view(batch, 1, 1)
        if self.matrices is not None:
            x = torch.bmm(x, self.matrices[torch.randint(len(self.matrices), (batch,), device=x.device)])
        time = torch.arange(frames, device=x.device)[None, :, None]
        band = torch.arange(bands, device=x.device)[None, None, :]
        real = time < lengths
        mean = (x * real).sum(1, keepdim=True) / lengths
        masked = torch.zeros(batch, 1, bands, dtype=torch.bool, device=x.device)
        for _ in range(self.num_freq_mask):
            masked = masked | self._span(band, self.freq_mask_width, bands)
        times_masked = torch.zeros(batch, frames, 1, dtype=torch.bool, device=x.device)
        longest = (lengths * self.time_mask_share).clamp(max=self.time_mask_width)
        for _ in range(self.num_time_mask):
            times_masked = times_masked | self._span(time, longest, lengths)
        return torch.where((masked | times_masked) & real, mean, x), x_lengths

    @staticmethod
    def _span(index: torch.Tensor, longest: torch.Tensor | float, end: torch.Tensor | int) -> torch.Tensor:
        """For each utterance one random span of at most `longest` before `end`, as a mask along `index`."""
        batch = longest.size(0) if isinstance(longest, torch.Tensor) else None
        shape = (batch, 1, 1) if batch is not None else (1, 1, 1)
        width = torch.rand(shape, device=index.device) * longest
        start = torch.rand(shape, device=index.device) * (end - width)
        return (index >= start) & (index < start + width)


def warp_matrix(n_mels: int, factor: float) -> torch.Tensor:
    """(n_mels, n_mels): features @ matrix reads band j at position j * factor, linearly interpolated."""
    position = (torch.arange(n_mels) * factor).clamp(max=n_mels - 1)
    lower = position.floor().long().clamp(max=n_mels - 2)
    weight = position - lower
    matrix = torch.zeros(n_mels, n_mels)
    columns = torch.arange(n_mels)
    matrix[lower, columns] += 1 - weight
    matrix[lower + 1, columns] += weight
    return matrix
