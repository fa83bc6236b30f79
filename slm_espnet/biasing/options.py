"""Settings of contextual biasing that are tuned on development data, and their YAML file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import yaml

from slm_espnet.errors import UserError
from slm_espnet.files import read_yaml, write_atomically


@dataclass(frozen=True)
class BiasingOptions:
    """Written by the tuning command."""

    # Lowest score (log-probability / sqrt(tokens)) at which a phrase counts as spoken: one for all lists, or by the
    # number of phrases in a list, because the best wrong phrase of a longer list scores higher.
    threshold: float | Mapping[int, float] = -6.0
    max_phrases: int = 3  # most phrases that are placed in an utterance
    null_weight: float = 0.5  # share of a phrase's null score that is subtracted, where there is a background
    background: str = ""  # .npz of background utterances, relative to the YAML file; empty: no null model

    def __post_init__(self) -> None:
        if self.max_phrases < 1:
            raise ValueError(f"max_phrases must be at least 1, not {self.max_phrases}")
        if isinstance(self.threshold, Mapping) and (not self.threshold or min(self.threshold) < 1):
            raise ValueError(f"threshold must have one or more list sizes of at least 1, not {dict(self.threshold)}")

    def threshold_for(self, list_size: int) -> float:
        """The threshold for a list of so many phrases: linear in the logarithm of the size, constant beyond ends."""
        if not isinstance(self.threshold, Mapping):
            return self.threshold
        known = sorted(self.threshold.items())
        if list_size <= known[0][0]:
            return known[0][1]
        for (small, low), (large, high) in zip(known, known[1:], strict=False):
            if list_size <= large:
                share = math.log(list_size / small) / math.log(large / small)
                return low + share * (high - low)
        return known[-1][1]


def load_options(path: str | Path) -> BiasingOptions:
    """Read biasing options from YAML; an unknown key or a value of the wrong kind is an error that names it."""
    values = read_yaml(Path(path), "the biasing options", "slm_espnet.bin.tune_biasing writes them")
    known = [field.name for field in fields(BiasingOptions)]
    if not isinstance(values, dict) or set(values) - set(known):
        raise UserError(f"{path}: biasing options are a mapping with the keys {', '.join(known)}, not {values!r}")
    for key, value in values.items():
        if not _CHECKS[key][0](value):
            raise UserError(f"{path}: {key} must be {_CHECKS[key][1]}, not {value!r}")
    return BiasingOptions(**values)


def save_options(path: str | Path, options: BiasingOptions, comment: str = "") -> None:
    """Write biasing options as YAML, atomically; the comment goes above them."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    write_atomically(path, head + yaml.safe_dump(asdict(options), sort_keys=False))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_threshold(value: object) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(_is_count(size) and _is_number(number) for size, number in value.items())
    return _is_number(value)


_CHECKS = {  # key → what a value must be, and that in words
    "threshold": (_is_threshold, "a number, or a mapping from list sizes to numbers"),
    "max_phrases": (_is_count, "a whole number of at least 1"),
    "null_weight": (_is_number, "a number"),
    "background": (lambda value: isinstance(value, str), "the name of a file"),
}
