"""What is worth keeping of prompts that were built: few distinct instructions, not every list of phrases."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")
PLAIN = 4096  # prompts without context that are kept: instructions repeat
WITH_CONTEXT = 8  # prompts with context: lists of thousands of phrases, which repeat one after the other if at all


def remembered(build: Callable[[str, tuple[str, ...]], T]) -> Callable[[str, tuple[str, ...]], T]:
    """A function of instruction and context phrases that builds a prompt it has just built only once."""
    plain = lru_cache(maxsize=PLAIN)(build)
    with_context = lru_cache(maxsize=WITH_CONTEXT)(build)

    def prompt(instruction: str, context: tuple[str, ...]) -> T:
        return with_context(instruction, context) if context else plain(instruction, context)

    return prompt
