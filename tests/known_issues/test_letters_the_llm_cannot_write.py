"""Letters that the LLM cannot write were dropped from targets without a word."""

import json
import os
import tarfile
from pathlib import Path

import pytest

from slm_espnet.llm.source import ModelSource
from slm_espnet.llm.tokenizer import HFTokenizer
from slm_espnet.training.unwritable import count_lost, describe

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SLM_SHARED", ROOT.parent / "shared")) / "data" / "tokenizers"
MINI = ROOT / "egs2" / "mini" / "foundations" / "llm"
TEXTS = ["naïve café", "a{b}", "日本語", "plain words", "b{ line\u2028end", "no\u00a0break"]


def of_shared(name, tmp_path):
    if not (SHARED / f"{name}.tar.xz").is_file():
        pytest.skip(f"{name}.tar.xz is not in ../shared/data/tokenizers (SLM_SHARED names another folder)")
    with tarfile.open(SHARED / f"{name}.tar.xz") as file:
        file.extractall(tmp_path, filter="data")
    return HFTokenizer(ModelSource(name, "", tmp_path / name))


def test_the_mini_llm_loses_letters_and_they_are_named_most_frequent_first():
    rows, letters = count_lost(HFTokenizer(ModelSource("mini", "", MINI)), TEXTS)
    assert rows == 4
    assert letters == {"{": 2, "}": 1, "ï": 1, "\u2028": 1, "日": 1, "本": 1, "語": 1}
    assert next(iter(letters)) == "{"
    said = describe(rows, letters)
    assert said.startswith("4 rows have letters that this LLM cannot write: { (2) } (1)") and "U+2028 (1)" in said


def test_t5_lacks_some_and_what_nfkc_changes_is_no_loss(tmp_path):
    rows, letters = count_lost(of_shared("flan_t5", tmp_path), ["a ﬁx … ①", "cafe\u0301 no\u00a0break", "{ } < ~ ^ я"])
    assert rows == 1 and set(letters) == {"{", "}", "<", "~", "^", "я"}


@pytest.mark.parametrize("name", ["gemma3", "llama3", "llama3_2", "qwen3", "smollm2_135m_instruct"])
def test_byte_level_tokenizers_write_everything(name, tmp_path):
    assert count_lost(of_shared(name, tmp_path), [*TEXTS, "Привет 👩‍👧 हिन्दी", "tab\tand\nline"]) == (0, {})


def test_a_plan_says_which_letters_of_given_texts_are_lost(tmp_path, capsys):
    from slm_espnet.bin import plan

    (tmp_path / "text").write_text("u1 a{b}\nu2 plain words\n", encoding="utf-8")
    (tmp_path / "wav.scp").write_text("u1 u1.wav\nu2 u2.wav\n", encoding="utf-8")
    options = ["--foundation", str(ROOT / "conf" / "foundation" / "mini.yaml"), "--data_dir", str(tmp_path)]
    assert plan.main(options) == 0
    assert "1 rows have letters that this LLM cannot write: { (1) } (1)" in capsys.readouterr().out
    assert plan.main([*options, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["unwritable"] == {"{": 1, "}": 1}
