"""The LLM's input: embeddings of the text of prompts and of the recordings in them, one after the other.

Sequences are right-padded; everything about lengths is plain numbers on the CPU, so that no GPU is asked for them. The
recordings of a batch, and the texts between two of them, are in the order of the utterances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from slm_espnet.llm.packing import on_device, spans
from slm_espnet.prompt import Prompt

# Text before an utterance's first recording, behind its last one, and between two of them (where any has several)
TEXTS = ("prefix", "suffix", "between")
Sizes = Mapping[str, Sequence[int]]  # name of a sequence of the batch → its lengths; `recordings` of each utterance


def pad_ids(sequences: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-pad id sequences with 0: (B, L) int64 and lengths (B,)."""
    lengths = [len(ids) for ids in sequences]
    rows = [[*ids, *[0] * (max(lengths) - len(ids))] for ids in sequences]
    padded = torch.tensor(rows, dtype=torch.int64, device=device).view(len(rows), max(lengths))
    return padded, torch.tensor(lengths, dtype=torch.int64, device=device)


def text_of(prompts: Sequence[Prompt], device: torch.device) -> tuple[dict[str, torch.Tensor], dict[str, list[int]]]:
    """Padded ids of the texts of prompts, and the sizes that `join` wants of them."""
    texts = {
        "prefix": [prompt.parts[0] for prompt in prompts],
        "suffix": [prompt.parts[-1] for prompt in prompts],
        "between": [part for prompt in prompts for part in prompt.parts[1:-1]],
    }
    texts = {name: parts for name, parts in texts.items() if parts}
    sizes = {name: [len(part) for part in parts] for name, parts in texts.items()}
    sizes["recordings"] = [len(prompt.parts) - 1 for prompt in prompts]
    return {name: pad_ids(parts, device)[0] for name, parts in texts.items()}, sizes


def join(parts: Mapping[str, torch.Tensor], sizes: Sizes) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Put embeddings together, utterance by utterance.

    Args:
        parts: (R, L, E) right-padded: `speech` of each recording, and the embedded TEXTS.
        sizes: lengths of each of them, which may be 0, and `recordings` of each utterance (one where it is not there).

    Returns:
        (B, S, E) right-padded with zeros, lengths (B,), and the same as plain numbers.
    """
    names, order = _order(sizes.get("recordings") or [1] * len(sizes["prefix"]))
    embeddings = [parts[name] for name in names]
    first = np.cumsum([0, *(part.size(0) * part.size(1) for part in embeddings)])  # row of each part in the table
    rows = [begin + np.arange(part.size(0)) * part.size(1) for begin, part in zip(first[:-1], embeddings, strict=True)]
    lengths = np.concatenate([np.asarray(sizes[name], np.int64) for name in names])
    place = np.cumsum([0, *(part.size(0) for part in embeddings)])
    chosen = place[order["part"]] + order["row"]
    totals = np.bincount(order["utterance"], lengths[chosen]).astype(np.int64)
    take = np.full((len(totals), int(totals.max())), first[-1])  # the row of zeros
    take[np.arange(take.shape[1]) < totals[:, None]] = spans(np.concatenate(rows)[chosen], lengths[chosen])
    table = torch.cat([*(part.flatten(0, 1) for part in embeddings), embeddings[0].new_zeros(1, embeddings[0].size(2))])
    joined = table.index_select(0, on_device(take.reshape(-1), table.device))
    return joined.view(*take.shape, -1), on_device(totals, table.device), totals.tolist()


def _order(recordings: Sequence[int]) -> tuple[list[str], dict[str, np.ndarray]]:
    """Names of the parts, and in the order of reading: number of the part, its row, and the utterance (M,) of each."""
    names = ["prefix", "speech", "suffix", *(["between"] if max(recordings) > 1 else [])]
    found, heard, between = [], 0, 0
    for utterance, count in enumerate(recordings):
        found.append((0, utterance, utterance))
        for number in range(count):
            if number:
                found.append((3, between, utterance))
                between += 1
            found.append((1, heard, utterance))
            heard += 1
        found.append((2, utterance, utterance))
    return names, dict(zip(("part", "row", "utterance"), np.array(found).T, strict=True))
