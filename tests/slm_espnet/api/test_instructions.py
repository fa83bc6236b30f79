"""Instructions of a dialog: which tasks have a place for the turns before, and which wording they choose."""

import pytest

from slm_espnet.api.instructions import Instructions
from slm_espnet.errors import UserError
from slm_espnet.tasks import load_tasks

HISTORY = [("User", "hello"), ("Assistant", "hi")]
SAID = "User: hello Assistant: hi"


@pytest.fixture
def instructions(top):
    """Tasks of dialogs, with and without descriptions of services, and others."""
    shared, sgd = (load_tasks(top / path) for path in ("conf/tasks/speech.yaml", "egs2/sgd/slm1/conf/tasks.yaml"))
    return Instructions({**shared, **sgd})


def test_a_task_takes_the_history_where_one_of_its_wordings_has_a_place(instructions):
    assert instructions.takes_history("dialog") and instructions.takes_history("reply to this")
    assert not instructions.takes_history("asr") and not instructions.takes_history("instruction", "spoken")
    for task, variant in (("dialog", None), ("dialog", "default"), ("dialog", "services")):
        assert instructions.takes_history(task, variant), variant
        fields = {} if variant is None else {"variant": variant}
        fields |= {"services": "Trains"} if variant == "services" else {}
        told = instructions.resolve(task, history=HISTORY, **fields)
        assert SAID in told and ("Trains" in told) == ("services" in fields)
        assert SAID not in instructions.resolve(task, **fields)
    with pytest.raises(UserError, match="no place for history"):
        instructions.resolve("asr", language="en", history=HISTORY)


def test_a_chat_template_is_given_earlier_turns_as_turns(instructions):
    chat = Instructions(instructions.tasks, chat=True)
    turns = (("user", "hello"), ("assistant", "hi"))
    for history in (turns, [("User", "hello "), ("Assistant", "hi")], [{"role": "user", "content": "hello"}, turns[1]]):
        assert chat.in_turns("Reply", history=history) == ("Reply", turns, ())
    joined = chat.in_turns("Reply", history=[("user", "a"), ("user", "b"), *turns[1:]])[1]
    assert joined == (("user", "a\nb"), ("assistant", "hi")), "roles alternate"
    for history in ("User: hello", ["hello"], [("Agent", "hello")], turns[1:]):
        text, apart, _ = chat.in_turns("Reply", history=history)
        assert apart == () and text.startswith("Reply. The conversation so far: "), "what is no such dialog is told"
    assert chat.in_turns("Reply") == ("Reply", (), ())
    assert instructions.in_turns("Reply", history=turns) == (instructions.resolve("Reply", history=turns), (), ())
    wording = chat.in_turns("dialog", history=turns)
    assert wording == (instructions.resolve("dialog", history=turns), (), ()), "a task's wording has a place for them"
