"""The choice among spotted phrases, and CTC text with the chosen ones in it.

Phrases are taken from the best score down, above a threshold and without overlap.
"""

from __future__ import annotations

from collections.abc import Sequence

from slm_espnet.biasing.keyword_spotting import Spotted
from slm_espnet.biasing.vocabulary import CTCVocabulary
from slm_espnet.encodings.posteriors import FramePosteriors


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


def ctc_text_with_phrases(vocabulary: CTCVocabulary, posteriors: FramePosteriors, found: Sequence[Spotted]) -> str:
    """CTC greedy text with the found phrases in place of what was heard in their spans.

    Args:
        vocabulary: the encoder's CTC tokens.
        posteriors: of one utterance, all encoder frames.
        found: phrases with non-overlapping spans, in order.
    """
    best = posteriors.best().tolist()
    parts: list[str] = []
    tokens: list[int] = []
    previous, frame, waiting = vocabulary.blank_id, 0, list(found)
    while frame < len(best):
        if waiting and frame >= waiting[0].start:
            item = waiting.pop(0)
            parts += [vocabulary.text(tokens), item.phrase]
            tokens, frame, previous = [], max(item.stop, frame + 1), vocabulary.blank_id
            continue
        if best[frame] not in (vocabulary.blank_id, previous):
            tokens.append(best[frame])
        previous, frame = best[frame], frame + 1
    return " ".join(" ".join([*parts, vocabulary.text(tokens)]).split())
