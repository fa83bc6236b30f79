"""What a decoding run is asked for, and what it answers: frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DecodingOptions:
    """Settings of a search."""

    beam_size: int = 1  # 1 is greedy
    max_length: int = 200  # most target tokens, EOS counted
    max_length_ratio: float = 2.0  # most target tokens per LLM token of the CTC hypothesis, 0: no such bound
    max_length_offset: int = 20  # added to the bound above, so that short speech may have long answers
    length_penalty: float = 0.0  # beam: score is log-probability / length ** length_penalty, EOS counted
    loop_ngram: int = 4  # a loop is a phrase repeated at the end of the output, over ngram x repeats tokens or more ...
    loop_repeats: int = 4  # ... and at least this often; it is cut to one copy. 0: loops are not looked for
    batch_tokens: int = 4000  # most input positions (padding included) in one batch
    batch_size: int = 64  # most utterances x beams in one batch

    def __post_init__(self) -> None:
        for name in ("beam_size", "max_length", "loop_ngram", "batch_tokens", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.max_length_ratio < 0 or self.max_length_offset < 0:
            raise ValueError("max_length_ratio and max_length_offset cannot be negative")
        if self.max_length_ratio and not self.max_length_offset:
            raise ValueError("max_length_ratio needs a max_length_offset above 0, or silence could have no answer")
        if self.loop_repeats == 1 or self.loop_repeats < 0:
            raise ValueError(f"loop_repeats must be 0 or at least 2, not {self.loop_repeats}")


@dataclass(frozen=True)
class SearchResult:
    """Best answer for one input, in tokens."""

    token_ids: tuple[int, ...]  # without EOS
    token_log_probs: tuple[float, ...]  # one per token_ids, then one for EOS if it was reached
    score: float  # what the search ranked by: sum of token_log_probs, or that over length ** length_penalty
    truncated: bool = False  # the bound was reached before EOS
    looped: bool = False  # a repetition was found and cut; scores are those of what is left


@dataclass(frozen=True)
class Hypothesis:
    """One utterance's answer."""

    text: str  # detokenized
    token_ids: tuple[int, ...]  # without EOS
    token_log_probs: tuple[float, ...]  # one per token_ids, then one for EOS if it was reached
    score: float  # what the search ranked by: sum of token_log_probs, or that over length ** length_penalty
    truncated: bool = False  # the bound was reached before EOS
    looped: bool = False  # a repetition was found and cut
