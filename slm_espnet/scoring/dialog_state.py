"""Scores of dialogue state tracking: joint goal accuracy, as the Schema-Guided Dialogue challenge defines it.

A state is written on one line, service by service:

    Restaurants_2: intent = ReserveRestaurant; city = San Jose; time = 11:30 am / Hotels_1: intent = NONE

A reference may list several right values (`time = 11:30 am | half past 11`), and says by `==` that a value must be
matched exactly (slots with a closed list of values). Rastogi et al., arXiv 1909.05855, section 5.2: for a service, the
slot scores are multiplied; a slot of the reference counts 1 or, for free text, the similarity of the strings; a slot
that the reference does not have counts 0. The mean is over services of all turns. `joint_goal_accuracy` is that number,
`joint_goal_exact` the share of services whose slots are all right to the letter (but for case and spacing).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

INTENT = "intent"
METRICS = ("joint_goal_accuracy", "joint_goal_exact", "slot_accuracy", "intent_accuracy")


@dataclass(frozen=True)
class Slot:
    """One slot of a state."""

    values: tuple[str, ...]  # each of them is right
    exact: bool = False  # has a closed list of values: no partial credit


@dataclass(frozen=True)
class ServiceState:
    """What the user wants of one service."""

    intent: str = ""  # "" where it is not said
    slots: Mapping[str, Slot] = field(default_factory=dict)


def write_state(services: Mapping[str, ServiceState], *, reference: bool = False) -> str:
    """A state as one line: what the model is to write, or, with all values, what it is scored by."""
    parts = []
    for name, state in services.items():
        pairs = [f"{INTENT} = {state.intent}"] if state.intent else []
        for slot_name, slot in state.slots.items():
            sign = "==" if reference and slot.exact else "="
            values = slot.values if reference else slot.values[:1]
            pairs.append(f"{slot_name} {sign} {' | '.join(_clean(value) for value in values)}")
        parts.append(f"{name}: {'; '.join(pairs)}")
    return " / ".join(parts)


def read_state(text: str) -> dict[str, ServiceState]:
    """The services of a line. What does not look like a state (a model may write anything) is passed over."""
    services: dict[str, ServiceState] = {}
    for part in text.split(" / "):
        name, colon, pairs = part.partition(":")
        if not colon or not name.strip() or "=" in name:
            continue
        intent, slots = "", {}
        for pair in pairs.split(";"):
            slot, sign, value = pair.partition("=")
            if not sign or not slot.strip():
                continue
            exact = value.startswith("=")
            values = tuple(v for v in (_form(v) for v in value.removeprefix("=").split("|")) if v)
            if slot.strip().lower() == INTENT:
                intent = values[0] if values else ""
            elif values:
                slots[slot.strip().lower()] = Slot(values, exact)
        services[name.strip().lower()] = ServiceState(intent, slots)
    return services


def similarity(left: str, right: str) -> float:
    """0 to 1: the share of characters in common, in order, once the words are sorted (fuzzy token sort ratio)."""
    left, right = _sorted_words(left), _sorted_words(right)
    if not left or not right:
        return 0.0
    return round(200 * _common_length(left, right) / (len(left) + len(right))) / 100


def state_scores(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, np.ndarray]:
    """For each metric (N, 2): the sum over the services (for slot_accuracy: slots) of a row, and their number.

    Args:
        references: states as `write_state(…, reference=True)` writes them.
        hypotheses: in the same order; a missing one is an empty text.
    """
    sums = {name: np.zeros((len(references), 2)) for name in METRICS}
    for number, (reference, hypothesis) in enumerate(zip(references, hypotheses, strict=True)):
        found = read_state(hypothesis)
        for name, state in read_state(reference).items():
            said = found.get(name, ServiceState())
            fuzzy = [_slot_score(slot, said.slots.get(key), True) for key, slot in state.slots.items()]
            exact = [_slot_score(slot, said.slots.get(key), False) for key, slot in state.slots.items()]
            invented = bool(set(said.slots) - set(state.slots))
            sums["joint_goal_accuracy"][number] += 0.0 if invented else float(np.prod(fuzzy)), 1
            sums["joint_goal_exact"][number] += 0.0 if invented else float(np.prod(exact)), 1
            sums["slot_accuracy"][number] += sum(fuzzy), len(fuzzy)
            sums["intent_accuracy"][number] += float(said.intent == state.intent), 1
    return sums


def _slot_score(reference: Slot, said: Slot | None, fuzzy: bool) -> float:
    if said is None:
        return 0.0
    value = said.values[0]
    if not fuzzy or reference.exact:
        return float(value in reference.values)
    return max(similarity(right, value) for right in reference.values)


def _clean(value: str) -> str:
    """A value without the signs that a state is written with."""
    return " ".join(value.replace(";", ",").replace("|", ",").replace("=", " ").replace(" / ", ", ").split())


def _form(value: str) -> str:
    return " ".join(value.lower().split())


def _sorted_words(text: str) -> str:
    return " ".join(sorted("".join(c if c.isalnum() else " " for c in text.lower()).split()))


def _common_length(left: str, right: str) -> int:
    """Length of the longest common subsequence."""
    best = [0] * (len(right) + 1)
    for char in left:
        diagonal = 0
        for index, other in enumerate(right, 1):
            diagonal, best[index] = best[index], diagonal + 1 if char == other else max(best[index], best[index - 1])
    return best[-1]
