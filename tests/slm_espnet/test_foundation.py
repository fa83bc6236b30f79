"""Foundation files: paths are found from the file, mistakes are named."""

from __future__ import annotations

import pytest

from slm_espnet.errors import UserError
from slm_espnet.foundation import load_foundation
from slm_espnet.prompt import PromptTemplate


def test_the_mini_pair(top):
    foundation = load_foundation(top / "conf" / "foundation" / "mini.yaml")
    assert foundation.speech_encoder_conf["model"] == str(top / "egs2" / "mini" / "foundations" / "encoder")
    assert foundation.llm_conf["model"] == str(top / "egs2" / "mini" / "foundations" / "llm")
    assert PromptTemplate.from_dict(foundation.prompt_conf).speech_end == "<sp>"


def test_names_on_the_hub_stay_as_they_are(tmp_path):
    (tmp_path / "beside").mkdir()
    path = tmp_path / "pair.yaml"
    path.write_text(
        "speech_encoder: hf_ctc\nspeech_encoder_conf: {model: facebook/mms-1b-all}\n"
        "llm: hf_seq2seq\nllm_conf: {model: beside}\nlength_reduction:\n",
        encoding="utf-8",
    )
    foundation = load_foundation(path)
    assert foundation.speech_encoder_conf["model"] == "facebook/mms-1b-all"
    assert foundation.llm_conf["model"] == str(tmp_path / "beside")
    assert foundation.length_reduction == "ctc_blank"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("llm: hf_seq2seq\n", "speech_encoder is missing"),
        ("speech_encoder: x\nllm: y\nlm_conf: {}\n", "unknown key.*lm_conf; known.*llm_conf"),
        ("speech_encoder: x\nllm: y\nllm_conf: t5\n", "llm_conf must be a mapping"),
        ("- a\n", "expected keys"),
        ("a: [\n", "not a valid UTF-8 YAML file"),
        (None, "No such file"),
    ],
)
def test_mistakes_are_named(tmp_path, text, said):
    path = tmp_path / "pair.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=said) as caught:
        load_foundation(path)
    assert str(path) in str(caught.value)
