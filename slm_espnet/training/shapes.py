"""Shape files of stage 3 as arrays: tens of millions of `<utterance> <length>[,<dim>]` lines in little memory."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from slm_espnet.errors import UserError

CHUNK = 100_000  # lines at a time
CURE = "run stage 3 again, with --overwrite true"


@dataclass(frozen=True)
class Shapes:
    """What some shape files say, in the order of the first one."""

    ids: np.ndarray  # (N,) bytes: utterance ids
    lengths: tuple[np.ndarray, ...]  # of each file (N,) int32
    dims: tuple[int, ...]  # of each file: product of what follows the length, 1 where nothing does

    def __len__(self) -> int:
        return len(self.ids)


def read_shapes(paths: Sequence[str | Path]) -> Shapes:
    """Read shape files of the same utterances.

    Raises:
        UserError: missing, empty, damaged or truncated, or files of different utterances.
    """
    ids, lengths, dims = None, [], []
    for path in map(Path, paths):
        same, found, length, dim = _read(path, ids)
        _check_number(path, len(length))
        if not same:
            length = length[_order(found, ids, path, paths[0])]
        ids = found if ids is None else ids
        lengths.append(length)
        dims.append(dim)
    return Shapes(ids, tuple(lengths), tuple(dims))


@lru_cache(maxsize=2)  # asked for several times at the start of a training
def known_shapes(paths: tuple[str, ...], _state: tuple) -> Shapes:
    """`read_shapes` once for a state of the files (`groups.state_of`)."""
    return read_shapes(paths)


def _read(path: Path, like: np.ndarray | None) -> tuple[bool, np.ndarray, np.ndarray, int]:
    """Whether a file has the ids of another one in the same order; its ids, lengths and dimension."""
    chunks: list[np.ndarray] = []
    lengths, dims, done, same = [], set(), 0, True
    try:
        with open(path, "rb") as file:
            while lines := list(itertools.islice(file, CHUNK)):
                ids = np.array([line.split(None, 1)[0] for line in lines])
                shapes = [line.split(None, 1)[1].rstrip() for line in lines]
                lengths.append(np.array([int(shape.partition(b",")[0]) for shape in shapes], np.int32))
                dims.update([shape.partition(b",")[2] for shape in shapes])
                part = ids[:0] if like is None else like[done : done + len(ids)]
                same = like is None or (same and len(part) == len(ids) and bool((part == ids).all()))
                chunks.append(part if same and like is not None else ids)  # those are there already
                done += len(ids)
        products = {int(np.prod([int(n) for n in dim.split(b",")])) if dim else 1 for dim in dims}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; stage 3 (python -m slm_espnet.bin.stats) writes it") from None
    except (ValueError, IndexError):
        message = f"{path}: damaged after line {done}, `<utterance> <length>[,<dim>]` is expected; {CURE}"
        raise UserError(message) from None
    if not done:
        raise UserError(f"{path}: empty; {CURE}")
    if len(dims) > 1:
        raise UserError(f"{path}: utterances of different dimensions ({len(dims)}); {CURE}")
    same = same and (like is None or done == len(like))
    found = like if same and like is not None else _joined(chunks)
    if found is not like and not (found[1:] > found[:-1]).all() and len(np.unique(found)) < len(found):
        raise UserError(f"{path}: an utterance occurs twice; {CURE}")
    return same, found, np.concatenate(lengths), products.pop()


def _joined(chunks: list[np.ndarray]) -> np.ndarray:
    """One array of many, which are given up one after the other."""
    joined = np.empty(sum(map(len, chunks)), f"S{max(chunk.dtype.itemsize for chunk in chunks)}")
    done = 0
    while chunks:
        chunk = chunks.pop(0)
        joined[done : done + len(chunk)] = chunk
        done += len(chunk)
    return joined


def _check_number(path: Path, number: int) -> None:
    """Stage 3 says beside the file how many utterances it kept: a shorter file has been cut."""
    try:
        kept = json.loads((path.parent / "summary.json").read_text(encoding="utf-8"))["kept"]
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        return  # of another origin
    if kept != number:
        raise UserError(f"{path}: {number} utterances, but stage 3 kept {kept}: it was truncated or changed; {CURE}")


def _order(found: np.ndarray, wanted: np.ndarray, path: Path, first: str | Path) -> np.ndarray:
    """Places in one file of another file's utterances."""
    order = np.argsort(found)
    places = np.minimum(np.searchsorted(found, wanted, sorter=order), len(found) - 1)
    if len(found) != len(wanted) or (found[order[places]] != wanted).any():
        raise UserError(f"{path} and {first} are of different utterances; {CURE}")
    return order[places]
