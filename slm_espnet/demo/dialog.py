"""A dialog: what was said and answered, as the model is given it in the next turn and as the page shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

USER, ASSISTANT = "User", "Assistant"  # as in the wordings that models are trained on
MOST_WORDS = 200  # of the past that a model is given: prompts must not grow for ever
SHOWN = 40  # words of a recording that its message shows; all of them stand below the dialog


@dataclass(frozen=True)
class Turn:
    """One turn of a dialog that has ended."""

    said: str  # words of the user: typed, recognized by the model or by CTC; "" where nobody recognized them
    asked: str  # instruction, as the user chose it: without the turns before
    answer: str
    is_spoken: bool
    is_recognition: bool = False  # the answer is what was said, and no reply to it

    def as_history(self) -> list[tuple[str, str]]:
        """Speaker and words; what was recognized is said once."""
        said = [(USER, self.said)] if self.said else []
        return said if self.is_recognition else [*said, (ASSISTANT, self.answer)]


def history(turns: Sequence[Turn]) -> list[tuple[str, str]]:
    """The last turns, as `history=` of a call takes them: as many as have MOST_WORDS words, but one at least."""
    lines: list[tuple[str, str]] = []
    left = MOST_WORDS
    for turn in reversed(turns):
        own = [(speaker, shortened(words, MOST_WORDS // 2)) for speaker, words in turn.as_history()]
        left -= sum(len(words.split()) for _, words in own)
        if left < 0 and lines:
            break
        lines = own + lines
    return lines


def shortened(text: str, most: int) -> str:
    """The first words of a text."""
    words = text.split()
    return text if len(words) <= most else " ".join(words[:most]) + " …"


def messages(turns: Sequence[Turn], said: str | None = None, answer: str = "") -> list[dict[str, str]]:
    """The chat of the page: of each turn a message of the user and one of the assistant.

    Args:
        turns: those that have ended.
        said: message of the turn that is going on, where one is.
        answer: its answer so far.
    """
    pairs = [(bubble(turn.said, turn.asked, turn.is_spoken), turn.answer) for turn in turns]
    if said is not None:
        pairs.append((said, answer))
    return [
        {"role": role, "content": content}
        for pair in pairs
        for role, content in zip(("user", "assistant"), pair, strict=True)
    ]


def bubble(said: str, asked: str, is_spoken: bool) -> str:
    """What a user's message shows: the words, and what was to be done with them."""
    return f"{shortened(said, SHOWN) or '…'}\n→ {asked} ({'spoken' if is_spoken else 'typed'})"
