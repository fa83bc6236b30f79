"""Who may learn from which sentence: by the words alone, so that all recipes agree without sharing lists.

`grammar.held_out` keeps sentences for test and dev out of every training. Beside them the speech encoder leaves some
to the adapter: an encoder's output for its own training sentences looks cleaner than any test will. A Spanish sentence
goes where its English one goes.
"""

from __future__ import annotations

import zlib

from mini_corpus.grammar import held_out

# Of the draws of test sentences. Those of "test" were scored again and again while encoder and adapter were designed.
TEST_DRAW = "final"

ADAPTER_BUCKETS = range(1, 8)  # of 40; bucket 0 is what grammar.held_out keeps


def part_of(english: str) -> str:
    """The part of a sentence: "test", "dev" (each half of the held-out ones), "adapter" or "encoder"."""
    checksum = zlib.crc32(english.encode("utf-8"))
    if held_out(english):
        return "test" if checksum // 40 % 2 else "dev"
    return "adapter" if checksum % 40 in ADAPTER_BUCKETS else "encoder"


def is_held_out(english: str) -> bool:
    """Whether the speech encoder must not be trained on this sentence."""
    return part_of(english) != "encoder"


def is_held_out_name(name: str) -> bool:
    """Whether an invented name is kept out of all training speech (one in twenty): the dev set's unknown names."""
    return zlib.crc32(name.encode("utf-8")) % 20 == 0
