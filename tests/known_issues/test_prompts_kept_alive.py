"""Prompts of 4,096 lists of phrases were kept in memory, each list with its thousands of phrases."""

import gc
import weakref

from slm_espnet.remember import WITH_CONTEXT, remembered


class Built(str):
    """A prompt whose end can be seen."""


def test_lists_of_phrases_are_let_go_and_instructions_kept():
    built = []

    def build(instruction, context):
        prompt = Built(f"{instruction} {len(context)}")
        built.append(weakref.ref(prompt))
        return prompt

    prompt = remembered(build)
    for number in range(10 * WITH_CONTEXT):
        context = tuple(f"phrase {number} {i}" for i in range(20))
        assert prompt("write", context) is prompt("write", context)
    gc.collect()
    assert len(built) == 10 * WITH_CONTEXT and sum(one() is not None for one in built) == WITH_CONTEXT
    for number in range(2000):
        prompt(f"instruction {number % 1000}", ())
    assert len(built) == 10 * WITH_CONTEXT + 1000
