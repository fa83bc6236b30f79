"""What a decoding run is asked for, and what it answers: frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass

DRAFT_CHOICES = {
    "ctc_draft": ("none", "exact", "accept"),
    "ctc_draft_source": ("encoder", "adapter"),
    "ctc_draft_case": ("keep", "lower", "upper"),
}


@dataclass(frozen=True)
class DecodingOptions:
    """Settings of a search."""

    beam_size: int = 1  # 1 is greedy
    max_length: int = 200  # most target tokens, EOS counted
    max_length_ratio: float = 2.0  # recognition: most tokens per LLM token of the CTC hypothesis, 0: no such bound
    max_length_offset: int = 20  # added to the bound above; other tasks have max_length alone
    length_penalty: float = 0.0  # beam: score is log-probability / length ** length_penalty, EOS counted
    loop_ngram: int = 4  # a loop is a phrase repeated at the end of the output, over ngram x repeats tokens or more ...
    loop_repeats: int = 4  # ... and at least this often; it is cut to one copy. 0: loops are not looked for
    ctc_draft: str = "exact"  # the CTC hypothesis as a draft in greedy search: none | exact | accept
    ctc_draft_source: str = "adapter"  # whose: adapter (its CTC over the LLM's tokens; without it no drafts) | encoder
    ctc_draft_tasks: str = ""  # tasks that have drafts; empty: recognition, as the tasks file says; all: every task
    ctc_draft_case: str = "keep"  # of the encoder's text: keep | lower | upper, as the targets of the training are
    ctc_draft_entropy: float = 0.1  # accept: taken as it is up to this mean entropy (nats) of its frames; 0: never
    ctc_draft_ratio: float = 0.1  # accept: a draft token is kept from this share of the best one's probability on ...
    ctc_draft_top_k: int = 1  # ... or where it is among so many best ones
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
        self._check_drafts()
        if self.loop_repeats == 1 or self.loop_repeats < 0:
            raise ValueError(f"loop_repeats must be 0 or at least 2, not {self.loop_repeats}")

    def _check_drafts(self) -> None:
        for name, choices in DRAFT_CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)}")
        if self.ctc_draft == "accept" and self.beam_size > 1:
            raise ValueError("ctc_draft accept needs greedy search (beam_size 1)")
        if not 0 < self.ctc_draft_ratio <= 1 or self.ctc_draft_top_k < 1 or self.ctc_draft_entropy < 0:
            raise ValueError("ctc_draft_ratio must be above 0 and at most 1, top_k at least 1, entropy not negative")


@dataclass(frozen=True)
class SearchResult:
    """Best answer for one input, in tokens."""

    token_ids: tuple[int, ...]  # without the one that ends it
    token_log_probs: tuple[float, ...]  # one per token_ids, then one for the token that ends it, if there is one
    score: float  # what the search ranked by: sum of token_log_probs, or that over length ** length_penalty
    truncated: bool = False  # the bound was reached before EOS
    looped: bool = False  # a repetition was found and cut; scores are those of what is left
    passes: int = 0  # of the LLM's decoder for this answer; 0: not counted (beam search), or it was not asked
    draft_tokens: int = 0  # tokens of the CTC draft that were tried
    draft_accepted: int = 0  # and that are in the answer
    end_id: int | None = None  # token that ended it: EOS, or the end of a turn; None where it was cut


@dataclass(frozen=True)
class Hypothesis:
    """One utterance's answer."""

    text: str  # detokenized
    token_ids: tuple[int, ...]  # without the one that ends it
    token_log_probs: tuple[float, ...]  # one per token_ids, then one for the token that ends it, if there is one
    score: float  # what the search ranked by: sum of token_log_probs, or that over length ** length_penalty
    truncated: bool = False  # the bound was reached before EOS
    looped: bool = False  # a repetition was found and cut
    passes: int = 0  # of the LLM's decoder for this answer; 0: not counted (beam search), or it was not asked
    draft_tokens: int = 0  # tokens of the CTC draft that were tried
    draft_accepted: int = 0  # and that are in the answer
    from_ctc: bool = False  # the CTC hypothesis as it is; score is its path's log-probability, tokens have none
    silent: bool = False  # nothing was asked: the recording holds no speech, and the task is recognition
    end_id: int | None = None  # token that ended it: EOS, or the end of a turn; None where it was cut
