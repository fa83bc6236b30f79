"""What made a set of encodings: the encoder and its weights, the reduction, and the form of storage.

Encodings of different fingerprints are never mixed, neither in one directory nor in one model.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slm_espnet.encodings.layout import FINGERPRINT, FORMAT
from slm_espnet.encodings.posteriors import LEAST, SURE_BLANK, TOP_K
from slm_espnet.errors import UserError
from slm_espnet.files import write_atomically

if TYPE_CHECKING:
    from slm_espnet.length_reduction.base import AbsStaticReduction
    from slm_espnet.speech_encoder.base import AbsSpeechEncoder

STORAGE_DTYPES = ("float16", "float32")
# Where a model lies does not matter when its weights are the same.
PLACES = ("encoder.model", "encoder.revision")
# An adapter depends neither on how the cache is written nor on what is stored beside the frames.
BESIDE = ("format", "posterior")
WEIGHTS = "encoder.weights_sha256"


def make_fingerprint(encoder: AbsSpeechEncoder, reduction: AbsStaticReduction, storage_dtype: str) -> dict[str, Any]:
    """The fingerprint of encodings that an encoder and a reduction make: plain values for JSON and YAML."""
    vocabulary = None if encoder.vocabulary is None else list(encoder.vocabulary)
    padding = {} if encoder.padding == "exact" else {"padding": encoder.padding}
    return {
        "format": FORMAT,
        "encoder": {**encoder.identity(), **padding},
        "reduction": reduction.identity(),
        "storage_dtype": storage_dtype,
        "dim": reduction.output_dim(encoder.dim),
        "frame_shift": encoder.frame_shift,
        "blank_id": encoder.blank_id,
        "posteriors": None if vocabulary is None else {"top_k": TOP_K, "least": LEAST, "sure_blank": SURE_BLANK},
        "vocabulary": vocabulary,
    }


def digest(fingerprint: dict[str, Any]) -> str:
    """A short name for what two fingerprints must have in common: 16 hexadecimal digits."""
    flat = {key: value for key, value in _flat(fingerprint).items() if key not in PLACES}
    return hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()[:16]


def write_fingerprint(directory: Path, fingerprint: dict[str, Any]) -> None:
    """Write fingerprint.json, atomically."""
    write_atomically(directory / FINGERPRINT, json.dumps(fingerprint, indent=1, ensure_ascii=False) + "\n")


def read_fingerprint(directory: Path) -> dict[str, Any]:
    """Read fingerprint.json.

    Raises:
        UserError: it is missing, damaged, or of another version of the format.
    """
    path = directory / FINGERPRINT
    try:
        fingerprint = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{directory} holds no encodings ({FINGERPRINT} is missing); run stage 2") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({error}); run stage 2 again with --overwrite true") from None
    if not isinstance(fingerprint, dict) or fingerprint.get("format") != FORMAT:
        version = fingerprint.get("format") if isinstance(fingerprint, dict) else None
        raise UserError(
            f"{path}: encodings of another version of the toolkit (format {version}, here {FORMAT}); run stage 2 again "
            "with --overwrite true"
        )
    return fingerprint


def check_fingerprint(
    expected: dict[str, Any], found: dict[str, Any], directory: Path, cure: str, stored: bool = False
) -> None:
    """Refuse encodings that something else made.

    Args:
        expected: what is wanted here.
        found: what made the encodings in the directory.
        directory: to be named.
        cure: what to do about it.
        stored: the encodings must also be stored in the same way, as in one directory; else the frames count alone.

    Raises:
        UserError: they differ; names every key that does, with both sides.
    """
    if not stored:
        expected, found = (
            {key: value for key, value in side.items() if not key.startswith(BESIDE)} for side in (expected, found)
        )
    if digest(expected) == digest(found):
        return
    ours, theirs = _flat(expected), _flat(found)
    if ours.get(WEIGHTS) == theirs.get(WEIGHTS):  # otherwise the models' names help
        ours, theirs = ({k: v for k, v in side.items() if k not in PLACES} for side in (ours, theirs))
    names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    differences = "; ".join(f"{name}: {_sides(ours.get(name), theirs.get(name))}" for name in names)
    raise UserError(f"{directory} holds encodings of another configuration ({differences}); {cure}")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def _sides(expected: Any, found: Any) -> str:
    if isinstance(expected, list) and isinstance(found, list):  # vocabularies: the first difference says enough
        if len(expected) != len(found):
            return f"expected {len(expected)} tokens, found {len(found)}"
        at = next(i for i, (one, other) in enumerate(zip(expected, found, strict=True)) if one != other)
        return f"expected token {at} to be {expected[at]!r}, found {found[at]!r}"
    if isinstance(expected, list) or isinstance(found, list):
        return f"{'with' if found is not None else 'without'} tokens there, not so here"
    return f"expected {expected}, found {found}"
