"""From spotted phrases to what the model is given: the few phrases for the prompt, and their placements.

Phrases are taken from the best score down, above a threshold and without overlap. Each is put into the prompt's context
and in place of what was heard in its span, in the LLM's own tokens.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Protocol

import yaml

from slm_espnet.adapter.base import Placement
from slm_espnet.biasing.keyword_spotting import KeywordSpotter, Posteriors, Spotted
from slm_espnet.biasing.vocabulary import CTCVocabulary
from slm_espnet.errors import UserError
from slm_espnet.llm.base import AbsTokenizer


@dataclass(frozen=True)
class BiasingOptions:
    """Settings of phrase selection, written by the tuning command."""

    threshold: float = -6.0  # lowest score (log-probability / sqrt(tokens)) at which a phrase counts as spoken
    max_phrases: int = 3  # most phrases per utterance

    def __post_init__(self) -> None:
        if self.max_phrases < 1:
            raise ValueError(f"max_phrases must be at least 1, not {self.max_phrases}")


class HasPosteriors(Protocol):
    """What biasing reads of an utterance's encoding."""

    posterior_ids: object  # (K, k)
    posterior_log_probs: object  # (K, k)
    positions: object  # (K,)


def load_options(path: str | Path) -> BiasingOptions:
    """Read biasing options from YAML; an unknown key or a value of the wrong kind is an error that names it."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot read the biasing options ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a valid UTF-8 YAML file: {' '.join(str(error).split())}") from error
    known = [field.name for field in fields(BiasingOptions)]
    if not isinstance(values, dict) or set(values) - set(known):
        raise UserError(f"{path}: biasing options are a mapping with the keys {', '.join(known)}, not {values!r}")
    for key, value in values.items():
        whole = key == "max_phrases"
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or (whole and value < 1):
            kind = "a whole number of at least 1" if whole else "a number"
            raise UserError(f"{path}: {key} must be {kind}, not {value!r}")
    return BiasingOptions(**values)


def save_options(path: str | Path, options: BiasingOptions, comment: str = "") -> None:
    """Write biasing options as YAML, atomically; the comment goes above them."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    temporary = path.with_name(f"{path.name}.tmp{os.getpid()}")
    temporary.write_text(head + yaml.safe_dump(asdict(options), sort_keys=False), encoding="utf-8")
    os.replace(temporary, path)


def select(spotted: Sequence[Spotted], threshold: float, max_phrases: int) -> list[Spotted]:
    """The best phrases whose spans do not overlap, in the order in which they are spoken.

    The choice is greedy from the best score down, so raising the threshold only shortens it. Among equal scores the
    longer span goes first (`ann` must not win over `ann marie`).
    """
    chosen: list[Spotted] = []
    for item in sorted(spotted, key=lambda s: (-s.score, s.start - s.stop, s.start, s.phrase)):
        if item.score < threshold or len(chosen) == max_phrases:
            break
        if all(item.stop <= other.start or item.start >= other.stop for other in chosen):
            chosen.append(item)
    return sorted(chosen, key=lambda s: s.start)


def posteriors_of(encoding: HasPosteriors) -> Posteriors:
    """The posteriors that were stored with an encoding."""
    return Posteriors(encoding.posterior_ids, encoding.posterior_log_probs, encoding.positions)


class ContextBiaser:
    """For decoding: an utterance's encoding and its phrase list → placements, and the phrases for the prompt."""

    def __init__(
        self,
        vocabulary: Sequence[str],
        blank_id: int,
        tokenizer: AbsTokenizer,
        options: BiasingOptions | None = None,
        frame_step: int = 1,
    ) -> None:
        """Set up for one encoder and one LLM.

        Args:
            vocabulary: the encoder's CTC tokens; blank_id: its blank (both from the encodings' fingerprint).
            tokenizer: the LLM's, for the tokens that are placed.
            options: threshold and number of phrases.
            frame_step: encoder frames per kept frame where none was dropped (k for `stack`, else 1).
        """
        self.spotter = KeywordSpotter(CTCVocabulary(vocabulary, blank_id), frame_step)
        self.tokenizer = tokenizer
        self.options = options or BiasingOptions()

    def find(self, encoding: HasPosteriors, context: Sequence[str]) -> list[Spotted]:
        """Phrases of the list that were spoken, in order, with their spans in kept frames."""
        if not context:
            return []
        spotted = self.spotter.spot(posteriors_of(encoding), list(dict.fromkeys(context)))
        return select(spotted, self.options.threshold, self.options.max_phrases)

    def __call__(self, encoding: HasPosteriors, context: Sequence[str]) -> tuple[list[Placement], tuple[str, ...]]:
        """Placements in the order of their spans, and the same phrases for the prompt's context."""
        found = self.find(encoding, context)
        placements = [Placement(s.start, s.stop, tuple(self.tokenizer.encode(s.phrase))) for s in found]
        return placements, tuple(s.phrase for s in found)


def ctc_text_with_phrases(
    vocabulary: CTCVocabulary, posteriors: Posteriors, found: Sequence[Spotted], frame_step: int = 1
) -> str:
    """CTC greedy text with the found phrases in place of what was heard in their spans.

    Args:
        vocabulary: the encoder's CTC tokens.
        posteriors: one utterance.
        found: phrases with non-overlapping spans, in order.
        frame_step: as in KeywordSpotter.
    """
    best = best_tokens(posteriors)
    gaps = [False, *(b - a > frame_step for a, b in zip(posteriors.positions, posteriors.positions[1:], strict=False))]
    parts: list[str] = []
    tokens: list[int] = []
    previous, frame, waiting = vocabulary.blank_id, 0, list(found)
    while frame < len(best):
        if waiting and frame >= waiting[0].start:
            item = waiting.pop(0)
            parts += [vocabulary.text(tokens), item.phrase]
            tokens, frame, previous = [], max(item.stop, frame + 1), vocabulary.blank_id
            continue
        token = best[frame]
        if token != vocabulary.blank_id and (token != previous or gaps[frame]):
            tokens.append(token)
        previous, frame = token, frame + 1
    return " ".join(" ".join([*parts, vocabulary.text(tokens)]).split())


def best_tokens(posteriors: Posteriors) -> list[int]:
    """The best token of each kept frame."""
    return [int(ids[log_probs.argmax()]) for ids, log_probs in zip(posteriors.ids, posteriors.log_probs, strict=True)]
