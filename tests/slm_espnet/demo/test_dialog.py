"""What a dialog remembers."""

from slm_espnet.api.instructions import format_history
from slm_espnet.demo.dialog import MOST_TURNS, Turn, history, messages

TURNS = [
    Turn("turn on the light", "recognize this speech", "turn on the light", True, is_recognition=True),
    Turn("good morning", "reply to this", "hello", False),
    Turn("", "what is the topic", "weather", True),
]


def test_history_has_both_sides_in_order_and_what_was_recognized_once():
    said = "User: turn on the light User: good morning Assistant: hello Assistant: weather"
    assert format_history(history(TURNS)) == said
    many = [Turn(f"u{number}", "do", f"a{number}", False) for number in range(MOST_TURNS + 5)]
    assert history(many)[0] == ("User", "u5") and history(many)[-1] == ("Assistant", f"a{MOST_TURNS + 4}")


def test_the_chat_alternates_and_shows_the_turn_that_is_going_on():
    shown = messages(TURNS, "and now", "so f")
    assert [message["role"] for message in shown] == ["user", "assistant"] * 4
    assert shown[2]["content"].startswith("good morning\n") and "reply to this" in shown[2]["content"]
    assert [message["content"] for message in shown[-2:]] == ["and now", "so f"]
    assert messages([]) == []
