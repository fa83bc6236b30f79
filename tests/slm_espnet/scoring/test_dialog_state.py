"""Joint goal accuracy, worked out by hand."""

from __future__ import annotations

import math

import pytest

from slm_espnet.scoring.dialog_state import ServiceState, Slot, read_state, similarity, state_scores, write_state
from slm_espnet.scoring.metrics import score_group

STATE = {
    "Restaurants_2": ServiceState(
        "ReserveRestaurant",
        {
            "city": Slot(("San Jose",)),
            "time": Slot(("11:30 am", "half past 11; or so")),
            "seats": Slot(("2",), exact=True),
        },
    ),
    "Hotels_1": ServiceState("NONE"),
}
REFERENCE = write_state(STATE, reference=True)


def score(hypothesis: str, reference: str = REFERENCE) -> dict[str, float]:
    scores = score_group("dialog_state", ["target"], [hypothesis], alternatives=[[reference]]).metrics
    return {name: measured.value for name, measured in scores.items()}


def test_a_state_is_written_for_the_model_and_for_the_scorer():
    target = "Restaurants_2: intent = ReserveRestaurant; city = San Jose; time = 11:30 am; seats = 2"
    target += " / Hotels_1: intent = NONE"
    assert write_state(STATE) == target
    assert "time = 11:30 am | half past 11, or so; seats == 2" in REFERENCE
    assert read_state(target).keys() == {"restaurants_2", "hotels_1"}
    assert read_state(REFERENCE)["restaurants_2"].slots["seats"] == Slot(("2",), exact=True)


def test_the_target_itself_is_right_and_so_is_another_right_value():
    assert set(score(write_state(STATE)).values()) == {1.0}
    other = write_state(STATE).replace("11:30 am", "HALF past 11, or so")
    assert score(other)["joint_goal_exact"] == 1.0


def test_free_text_may_be_similar_closed_lists_must_be_exact():
    similar = score(write_state(STATE).replace("San Jose", "jose, San"))
    assert similar["joint_goal_accuracy"] == 1.0  # the same words
    assert similar["joint_goal_exact"] == 0.5  # Hotels_1 has no slot to get wrong
    near = score(write_state(STATE).replace("San Jose", "San Josa"))
    assert near["joint_goal_accuracy"] == pytest.approx((0.88 + 1) / 2)  # 7 of 8 characters
    wrong = score(write_state(STATE).replace("seats = 2", "seats = 22"))
    assert wrong["joint_goal_accuracy"] == 0.5 and wrong["slot_accuracy"] == pytest.approx(2 / 3)


def test_missing_invented_and_misplaced_slots_cost_the_service():
    assert score(write_state(STATE).replace("; seats = 2", ""))["joint_goal_accuracy"] == 0.5
    assert score(write_state(STATE) + "; stars = 5")["joint_goal_accuracy"] == 0.5
    assert score("Hotels_1: intent = NONE")["intent_accuracy"] == 0.5
    swapped = write_state(STATE).replace("Restaurants_2", "Restaurants_1")
    assert score(swapped)["joint_goal_accuracy"] == 0.5


@pytest.mark.parametrize("text", ["", "no idea", "a: b", "= = =", ": x = y /", "x = y", "Restaurants_2:", ";;/ /:="])
def test_anything_may_be_written_by_a_model(text):
    scores = score(text)
    assert scores["slot_accuracy"] == 0.0 and scores["intent_accuracy"] == 0.0
    assert scores["joint_goal_accuracy"] == 0.5  # Hotels_1 has no slots and nothing was invented for it


def test_the_mean_is_over_services_and_a_row_without_slots_has_no_slot_accuracy():
    other = write_state({"Hotels_1": ServiceState("ReserveHotel", {"stars": Slot(("5",), exact=True)})}, reference=True)
    sums = state_scores([REFERENCE, other], [write_state(STATE), "Hotels_1: intent = ReserveHotel; stars = 4"])
    assert sums["joint_goal_accuracy"].tolist() == [[2, 2], [0, 1]]
    assert math.isnan(score("x", "Hotels_1: intent = NONE")["slot_accuracy"])


def test_similarity_ignores_order_case_and_punctuation():
    assert similarity("Half-past 11", "11 half past") == 1.0
    assert similarity("abcd", "abxd") == 0.75
    assert similarity("", "") == 0.0
