"""Phrase lists from files, and the benchmark's lists made from references."""

from __future__ import annotations

import gzip
import json

import pytest

from slm_espnet.biasing.lists import build_lists, rare_words, read_phrases
from slm_espnet.bin import biasing_lists
from slm_espnet.data.datadir import AudioSource, Row, read_data_dir
from slm_espnet.data.writer import write_data_dir
from slm_espnet.errors import UserError
from slm_espnet.scoring.biasing import read_references

COMMON = frozenset(["call", "the", "at", "noon"])
POOL = [f"rare{number:03}" for number in range(300)] + ["rosalind", "walter"]
REFERENCES = {"u1": "call rosalind at noon", "u2": "the walter the walter zebulon", "u3": "call at noon"}


def test_lists_hold_the_spoken_rare_words_and_n_others():
    lists = build_lists(REFERENCES, COMMON, POOL, [10, 100], seed=1)
    for size, of_size in lists.items():
        for utt_id, text in REFERENCES.items():
            rare = set(rare_words(text, COMMON))
            assert rare <= set(of_size[utt_id]) and len(of_size[utt_id]) == size + len(rare)
            assert set(of_size[utt_id]) & set(text.split()) == rare
    assert rare_words(REFERENCES["u2"], COMMON) == ("walter", "zebulon")  # also what the pool does not have


def test_lists_are_nested_seeded_and_independent_of_other_utterances():
    lists = build_lists(REFERENCES, COMMON, POOL, [10, 100], seed=1)
    assert all(set(lists[10][u]) < set(lists[100][u]) for u in REFERENCES)
    assert build_lists({"u2": REFERENCES["u2"]}, COMMON, POOL, [100, 10], seed=1)[10]["u2"] == lists[10]["u2"]
    assert build_lists(REFERENCES, COMMON, POOL, [10], seed=2)[10] != lists[10]
    assert lists[10]["u1"] != lists[10]["u3"]
    with pytest.raises(ValueError, match="u1: only 301 distractors for a list of 302"):
        build_lists({"u1": REFERENCES["u1"]}, COMMON, POOL, [302], seed=1)
    assert len(build_lists({"u1": REFERENCES["u1"]}, COMMON, POOL, [301], seed=1)[301]["u1"]) == 302


def test_benchmark_lists_of_the_published_kind(top):
    """The rare words of the published references are those that our rule finds."""
    folder = top.parent / "shared/data/text/deep_bias"
    if not folder.is_dir():
        pytest.skip("the benchmark's files (is21_deep_bias) are not on this machine")
    common = frozenset(read_phrases(folder / "common_words_5k.txt"))
    references = read_references(folder / "test-clean.biasing_100.tsv.gz")
    assert len(references) == 2620
    assert all(rare_words(r.text, common) == tuple(sorted(r.biased)) for r in references.values())
    pool = read_phrases(folder / "all_rare_words.txt.gz")
    some = {utt_id: references[utt_id].text for utt_id in list(references)[:20]}
    lists = build_lists(some, common, pool, [100, 2000], seed=1)
    assert all(len(lists[2000][u]) == 2000 + len(references[u].biased) for u in some)


def test_phrases_are_read_one_a_line(tmp_path):
    path = tmp_path / "list.txt.gz"
    with gzip.open(path, "wb") as file:
        file.write("\ufeffAnn  Marie\n\nJosé\r\nAnn Marie\n".encode())
    assert read_phrases(path) == ("Ann Marie", "José")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a\nb\tc\n", r"list.txt:2: control character"), (b"a\nb\xff\n", r"list.txt:2: not UTF-8"), (b"\n", "no phrase")],
)
def test_bad_lists_are_refused_with_the_line(tmp_path, content, message):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_phrases(path)
    with pytest.raises(UserError, match="cannot read the phrases"):
        read_phrases(tmp_path / "none.txt")


@pytest.fixture
def corpus(tmp_path):
    rows = [Row(u, AudioSource(f"{u}.wav"), text.upper(), "do", "asr", "en", u) for u, text in REFERENCES.items()]
    write_data_dir(tmp_path / "data/test", rows)
    (tmp_path / "common.txt").write_text("\n".join(sorted(COMMON)))
    (tmp_path / "rare.txt").write_text("\n".join(POOL))
    options = ["--data_dir", tmp_path / "data/test", "--common_words", tmp_path / "common.txt"]
    return tmp_path, [str(o) for o in [*options, "--rare_words", tmp_path / "rare.txt"]]


def test_command_writes_one_set_for_each_size(corpus):
    folder, options = corpus
    wording = {"prompts": {"default": ["hear"]}, "eval_prompt": {"default": "hear"}}
    task = {"scorer": "wer", "normalizer": "basic", **wording}
    (folder / "tasks.yaml").write_text(json.dumps({"tasks": {"asr_biasing": task}}))
    more = ["--sizes", "5 50", "--task", "asr_biasing", "--tasks_config", str(folder / "tasks.yaml")]
    assert biasing_lists.main([*options, *more]) == 0
    for size in (5, 50):
        directory = folder / f"data/test_biasing{size}"
        rows = {row.utt_id: row for row in read_data_dir(directory)}
        assert rows.keys() == REFERENCES.keys()
        assert len(rows["u1"].context) == size + 1 and "rosalind" in rows["u1"].context
        assert (rows["u1"].task, rows["u1"].prompt) == ("asr_biasing", "hear")
        assert rows["u1"].transcript == rows["u1"].text == "CALL ROSALIND AT NOON"
        assert (directory / "same_audio_as").read_text() == "test\n"


def test_command_takes_published_lists(corpus):
    folder, options = corpus
    path = folder / "published.tsv"
    path.write_text("".join(f'{u}\t{t}\t[]\t["gertrude", "walter"]\n' for u, t in REFERENCES.items()))
    assert biasing_lists.main([*options[:2], "--published", str(path)]) == 0
    assert {row.context for row in read_data_dir(folder / "data/test_published")} == {("gertrude", "walter")}
    path.write_text("u1\tx\t[]\t[]\n")
    with pytest.raises(UserError, match="no list for 2 utterances, such as u2"):
        biasing_lists.main([*options[:2], "--published", str(path)])


def test_command_refuses_what_cannot_be_made(corpus):
    _, options = corpus
    for more, message in (
        (["--sizes", "400"], "only .* distractors"),
        (["--sizes", "ten"], "--sizes ten"),
        (["--task", "asr_biasing"], "belong together"),
    ):
        with pytest.raises(UserError, match=message):
            biasing_lists.main([*options, *more])
    with pytest.raises(UserError, match="--common_words and --rare_words, or --published"):
        biasing_lists.main(options[:2])
