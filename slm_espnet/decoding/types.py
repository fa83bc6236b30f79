"""What a decoding run is asked for, and what it answers: two frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DecodingOptions:
    """Settings of a search."""

    beam_size: int = 1  # 1 is greedy
    max_length: int = 200  # most target tokens, EOS not counted
    max_length_ratio: float = 2.0  # most target tokens per token of the CTC hypothesis (in LLM tokens), 0: no such bound
    max_length_offset: int = 20  # added to the bound above, so that short speech may have long answers
    length_penalty: float = 0.0  # beam: score is log-probability / length ** length_penalty
    loop_ngram: int = 4  # a loop is this many tokens in a row ...
    loop_repeats: int = 4  # ... repeated this often at the end of the output, which is then cut to one copy
    batch_tokens: int = 4000  # most input positions (padding included) in one batch
    batch_size: int = 64  # most utterances in one batch


@dataclass(frozen=True)
class Hypothesis:
    """One utterance's answer."""

    text: str  # detokenized
    token_ids: tuple[int, ...]  # without EOS
    token_log_probs: tuple[float, ...]  # one per token_ids, then one for EOS if it was reached
    score: float  # what the search ranked by: sum of token_log_probs, or that over length ** length_penalty
    truncated: bool = False  # the bound was reached before EOS
    looped: bool = False  # a repetition was found and cut
