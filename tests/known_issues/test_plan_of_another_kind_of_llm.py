"""A kind of LLM that somebody added ended every training on a GPU: its plan of the memory was a KeyError."""

import pytest

from slm_espnet.errors import UserError
from slm_espnet.foundation import Foundation
from slm_espnet.planning.models import llm_on_paper


def test_a_kind_without_a_plan_is_said_to_have_none(tiny_t5):
    pair = Foundation("hf_ctc", "hf_bart", llm_conf={"model": str(tiny_t5)})
    with pytest.raises(UserError, match="no plan for the kind of LLM hf_bart"):
        llm_on_paper(pair)
