"""Examples → one padded batch."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch

OF_UTTERANCES = ("prefix", "suffix", "target", "read")
OF_RECORDINGS = ("speech", "transcript")
Example = dict[str, np.ndarray]


def collate(data: Collection[tuple[str, Example]]) -> tuple[list[str], dict[str, torch.Tensor]]:
    """Right-pad with zeros; any sequence but speech and target may be empty.

    Returns:
        ids of B utterances, and a dict with speech (N, T, D) float and transcript (N, L) int64 (what stands in place of
        speech where it is text) of N recordings; (B, L) int64 prefix, suffix, target and read (the whole prompt with
        the transcripts); `<name>_lengths` int64 for each of them; and seconds (B,) float. N is B, but where an
        utterance has several recordings: then they are in the order of the utterances, recordings (B,) int64 has their
        numbers, and between (N - B, L) int64 the text between two recordings of an utterance.
    """
    utt_ids, examples = [utt_id for utt_id, _ in data], [example for _, example in data]
    parts = {name: [example[name] for example in examples] for name in OF_UTTERANCES}
    parts |= {name: [part for example in examples for part in _split(example, name)] for name in OF_RECORDINGS}
    several = any("between" in example for example in examples)
    if several:
        parts["between"] = [p for example in examples if "between" in example for p in _split(example, "between")]
    batch: dict[str, torch.Tensor] = {}
    for name, arrays in parts.items():
        lengths = [len(array) for array in arrays]
        padded = np.zeros((len(arrays), max(lengths), *arrays[0].shape[1:]), dtype=arrays[0].dtype)
        for row, array in zip(padded, arrays, strict=True):
            row[: len(array)] = array
        batch[name] = torch.from_numpy(padded)
        batch[f"{name}_lengths"] = torch.tensor(lengths, dtype=torch.int64)
    batch["seconds"] = torch.from_numpy(np.concatenate([example["seconds"] for example in examples]))
    if several:
        counts = [len(example["speech_sizes"]) if "speech_sizes" in example else 1 for example in examples]
        batch["recordings"] = torch.tensor(counts, dtype=torch.int64)
    return utt_ids, batch


def _split(example: Example, name: str) -> list[np.ndarray]:
    """The parts of a sequence that are padded one by one."""
    sizes = example.get(f"{name}_sizes")
    return [example[name]] if sizes is None else np.split(example[name], np.cumsum(sizes)[:-1])
