"""Where an answer has to end: bounds on its length, and repetition loops."""

from __future__ import annotations

from collections.abc import Sequence

from slm_espnet.decoding.types import DecodingOptions


def length_bound(options: DecodingOptions, spoken_tokens: int | None) -> int:
    """Most target tokens, EOS counted.

    Args:
        options: max_length, and max_length_ratio and max_length_offset where the next is known.
        spoken_tokens: of recognition, length of the CTC hypothesis (or of the text given in place of speech) in LLM
            tokens; None where it is not known, and for tasks whose answers need not be as long as the speech.
    """
    if spoken_tokens is None or not options.max_length_ratio:
        return options.max_length
    return min(options.max_length, int(options.max_length_ratio * spoken_tokens) + options.max_length_offset)


def find_loop(ids: Sequence[int], ngram: int, repeats: int) -> int | None:
    """How many tokens to keep of an output that ends in a loop; None when it does not.

    A loop is a phrase of any length that stands at the end at least `repeats` times in a row, over at least
    `ngram * repeats` tokens. One copy of it is kept.
    """
    if not repeats or len(ids) < ngram * repeats:
        return None
    for period in range(1, len(ids) // repeats + 1):
        span = max(period * repeats, ngram * repeats)
        if ids[-1] == ids[-1 - period] and ids[-span + period :] == ids[-span:-period]:
            while span < len(ids) and ids[-span - 1] == ids[-span - 1 + period]:
                span += 1  # the loop began before
            return len(ids) - span + period
    return None
