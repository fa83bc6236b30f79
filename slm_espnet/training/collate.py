"""Examples → one padded batch."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch

SEQUENCES = ("speech", "prefix", "suffix", "target", "transcript", "read")


def collate(data: Collection[tuple[str, dict[str, np.ndarray]]]) -> tuple[list[str], dict[str, torch.Tensor]]:
    """Right-pad with zeros; any sequence but speech and target may be empty.

    Returns:
        utterance ids, and a dict with speech (B, T, D) float; (B, L) int64 prefix, suffix, target, transcript (what
        stands in place of speech where it is text) and read (the whole prompt with it); `<name>_lengths` (B,) int64
        for each of them, and seconds (B,) float.
    """
    utt_ids = [utt_id for utt_id, _ in data]
    batch: dict[str, torch.Tensor] = {}
    for name in SEQUENCES:
        arrays = [example[name] for _, example in data]
        lengths = [len(array) for array in arrays]
        padded = np.zeros((len(arrays), max(lengths), *arrays[0].shape[1:]), dtype=arrays[0].dtype)
        for row, array in zip(padded, arrays, strict=True):
            row[: len(array)] = array
        batch[name] = torch.from_numpy(padded)
        batch[f"{name}_lengths"] = torch.tensor(lengths, dtype=torch.int64)
    batch["seconds"] = torch.from_numpy(np.concatenate([example["seconds"] for _, example in data]))
    return utt_ids, batch
