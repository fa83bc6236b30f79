"""Rows → examples → batches, statistics, and what is left out of training."""

import json
import re

import numpy as np
import pytest
import torch

from slm_espnet.bin.stats import check_tasks
from slm_espnet.data.datadir import AudioSource, Row
from slm_espnet.data.row_table import ChosenRows, RowTable
from slm_espnet.data.writer import write_data_dir
from slm_espnet.errors import UserError
from slm_espnet.llm.base import AbsTokenizer, Tokens
from slm_espnet.prompt import PromptTemplate
from slm_espnet.training.collate import collate
from slm_espnet.training.data_path import split_path
from slm_espnet.training.preprocessor import SLMPreprocessor
from slm_espnet.training.stats import Limits, collect_statistics


class Words(AbsTokenizer):
    """One token for each word: its length + 10, with blanks and marks as borders."""

    eos_id, pad_id, bos_id, end_of_turn, answer_lead, closes_text = 1, 0, None, None, "", True

    def tokenize(self, pieces, add_special_tokens):
        text = "".join(piece.text for piece in pieces)
        found = [(match.span(), match[0]) for match in re.finditer(r"<sp>|[^\s<]+", text)]
        ids = [2 if word == "<sp>" else 10 + len(word) for _, word in found]
        return Tokens((*ids, *[1] * add_special_tokens), (*(span for span, _ in found), *[(0, 0)] * add_special_tokens))

    def decode(self, ids):
        return " ".join("x" * (token - 10) for token in ids)

    def special_id(self, piece):
        return {"<sp>": 2}[piece]

    def chat_frame(self, roles, date):
        raise ValueError


class Index:
    """Stands for the encodings of five recordings; r4 is missing."""

    dim, kept = 3, np.array([4, 6, 0, 50])
    seconds = kept / 10

    def __len__(self):
        return 4

    def rows(self, keys):
        known = {source(f"r{n}").key.encode(): n for n in range(4)}
        return np.array([known.get(key, -1) for key in keys])


def source(name):
    return AudioSource(f"{name}.wav")


def row(utt_id, recording, text, task="asr", **more):
    return Row(utt_id, source(recording), text, prompt="say it", task=task, language="en", speaker="s", **more)


@pytest.fixture
def preprocessor():
    return SLMPreprocessor(PromptTemplate(speech_end="<sp>", end="<eos>"), Words())


class Encoded:
    def __init__(self, frames, seconds):
        self.frames, self.seconds = frames, seconds


def test_an_example_has_prompt_target_with_eos_and_the_words_spoken_for_ctc(preprocessor):
    frames = np.ones((4, 3), dtype=np.float16)
    example = preprocessor("u", {"speech": (row("u", "r0", "hello you", context=("bob",)), [Encoded(frames, 0.4)])})
    assert example["speech"].dtype == np.float32 and example["speech"].shape == (4, 3)
    assert example["prefix"].tolist() == []
    assert example["suffix"].tolist() == [2, 18, 18, 13, 13, 12, 1]  # <sp> possible phrases: bob, say it </s>
    assert example["target"].tolist() == [15, 13, 1]
    assert example["transcript"].tolist() == [15, 13]
    assert example["read"].tolist() == [15, 13, 2, 18, 18, 13, 13, 12, 1], "what the LLM reads in place of speech"
    translated = row("v", "r0", "hola", task="ast", transcript="hi there")
    assert preprocessor("v", {"speech": (translated, [Encoded(frames, 0.4)])})["transcript"].tolist() == [12, 15]
    unknown = preprocessor("w", {"speech": (row("w", "r0", "hola", task="ast"), [Encoded(frames, 0.4)])})
    assert unknown["transcript"].size == unknown["read"].size == 0, "a translation is not what was said"


def test_a_batch_is_padded_and_may_have_empty_prefixes(preprocessor):
    texts = {2: "a", 5: "one two three"}
    rows = [(row(f"u{n}", "r0", text), [Encoded(np.full((n, 3), n), n / 10)]) for n, text in texts.items()]
    utt_ids, batch = collate([(r.utt_id, preprocessor(r.utt_id, {"speech": (r, e)})) for r, e in rows])
    assert utt_ids == ["u2", "u5"]
    assert batch["speech"].shape == (2, 5, 3) and batch["speech_lengths"].tolist() == [2, 5]
    assert not batch["speech"][0, 2:].any() and batch["speech"][1].eq(5).all()
    assert batch["prefix"].shape == (2, 0) and batch["prefix"].dtype == torch.int64
    assert batch["target"].tolist() == [[11, 1, 0, 0], [13, 13, 15, 1]]
    torch.testing.assert_close(batch["seconds"], torch.tensor([0.2, 0.5]))


def test_every_row_is_kept_or_named_with_its_reason(preprocessor, tmp_path):
    rows = [
        row("a", "r0", "one two"),
        row("b", "r1", "x"),
        row("b2", "r1", "hola", task="ast"),
        row("c", "r2", "too short"),
        row("d", "r3", "too long"),
        row("e", "r4", "not encoded"),
        row("f", "r0", " "),
        row("g", "r0", "much too many words"),
    ]
    limits = Limits(max_frames=49, max_target_tokens=4)
    statistics = collect_statistics([(rows[:4], Index()), (rows[4:], Index())], preprocessor, limits, tmp_path)
    assert (tmp_path / "speech_shape").read_text() == "a 4,3\nb 6,3\nb2 6,3\n"
    assert (tmp_path / "target_shape").read_text() == "a 3\nb 2\nb2 2\n"
    prompts = {row.utt_id: preprocessor.prompt(row) for row in rows}
    lengths = {utt_id: len(prompt) for utt_id, prompt in prompts.items()}
    assert (tmp_path / "prompt_shape").read_text() == "".join(f"{name} {lengths[name]}\n" for name in ("a", "b", "b2"))
    reasons = dict(line.split("\t") for line in (tmp_path / "left_out.tsv").read_text().splitlines())
    assert reasons.keys() == set("cdefg")
    assert reasons["e"] == "no encoding" and reasons["f"] == "empty target" and "target tokens" in reasons["g"]
    assert statistics.kept + sum(statistics.left_out.values()) == statistics.rows == 8
    assert statistics.by_task == {"asr": 2, "ast": 1} and statistics.transcripts == 2
    assert statistics.frames_per_second == 10.0, "a recording with two rows counts once"
    assert json.loads((tmp_path / "summary.json").read_text())["kept"] == 3
    assert statistics.failed_share == pytest.approx(5 / 8)
    with pytest.raises(UserError, match="'a' is in two of the sets"):
        collect_statistics([(rows, Index()), (rows[:1], Index())], preprocessor, limits, tmp_path)


def test_tasks_are_chosen_by_name(tmp_path):
    write_data_dir(tmp_path / "data", [row("a", "r0", "x"), row("b", "r0", "y", task="ast")])
    write_data_dir(tmp_path / "more", [row("c", "r0", "x")])
    tables = [RowTable(tmp_path / name) for name in ("data", "more")]
    assert [[r.utt_id for r in ChosenRows(t, t.with_tasks(["ast"]))] for t in tables] == [["b"], []]
    assert tables[0].with_tasks([]).tolist() == tables[0].with_tasks(["asr", "ast"]).tolist() == [0, 1]
    check_tasks(tables, "asr, ast", "data more")
    with pytest.raises(UserError, match="no rows of task.* qa in data more, where there are asr, ast"):
        check_tasks(tables, "asr qa", "data more")


def test_a_path_names_data_and_encodings():
    pairs = [tuple(map(str, pair)) for pair in split_path("data/a::dump/x  data/b::dump/y")]
    assert pairs == [("data/a", "dump/x"), ("data/b", "dump/y")]
    for wrong in ("data/train", "::dump/x", "data/train::", "a::b c", " "):
        with pytest.raises(UserError, match="<data_dir>::<encodings_dir>"):
            split_path(wrong)
    with pytest.raises(UserError, match="data/a is given twice"):
        split_path("data/a::x data/a::y")
