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
