"""What a dialog remembers."""

from slm_espnet.api.instructions import format_history
from slm_espnet.demo.dialog import MOST_WORDS, Turn, history, messages

TURNS = [
    Turn("turn on the light", "recognize this speech", "turn on the light", True, is_recognition=True),
    Turn("good morning", "reply to this", "hello", False),
    Turn("", "what is the topic", "weather", True),
]


def test_history_has_both_sides_in_order_and_what_was_recognized_once():
    said = "User: turn on the light User: good morning Assistant: hello Assistant: weather"
    assert format_history(history(TURNS)) == said


def test_history_is_bounded_and_ends_with_the_last_turn():
    many = [Turn(f"u{number} and so on", "do", f"a{number}", False) for number in range(1000)]
    last = history(many)
    assert sum(len(words.split()) for _, words in last) == MOST_WORDS
    assert last[0] == ("User", f"u{1000 - MOST_WORDS // 5} and so on") and last[-1] == ("Assistant", "a999")
    talk = Turn("word " * 10000, "what is the topic", "words", True)
    said, answered = history([*many, talk])[-2:]
    assert len(said[1].split()) == MOST_WORDS // 2 + 1 and said[1].endswith("…") and answered[1] == "words"
    assert len(messages([talk])[0]["content"]) < 500


def test_the_chat_alternates_and_shows_the_turn_that_is_going_on():
    shown = messages(TURNS, "and now", "so f")
    assert [message["role"] for message in shown] == ["user", "assistant"] * 4
    assert shown[2]["content"].startswith("good morning\n") and "reply to this" in shown[2]["content"]
    assert [message["content"] for message in shown[-2:]] == ["and now", "so f"]
    assert messages([]) == []
