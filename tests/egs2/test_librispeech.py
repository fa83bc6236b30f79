"""The LibriSpeech recipe on a made-up miniature in the published layout."""

import json
import shutil

import pytest
from corpus_fixtures import librispeech
from corpus_harness import add_lines, cut_file, write_silence, write_text

from slm_espnet.data.audio import read_audio

CHAPTER = "test-clean/1089/134686"
LISTS = ("--common_words", "4", "--biasing_sizes", "2,3")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return librispeech.make(tmp_path_factory.mktemp("librispeech") / "LibriSpeech")


def test_all_stages(recipes, tmp_path, corpus):
    sets = ("--test_sets", "test_clean test_clean_biasing3", "--biasing_dev_sets", "dev_biasing2")
    options = ("--local_data_opts", " ".join(LISTS), "--baselines", "ctc transcript", *sets)
    work = recipes.run("librispeech", tmp_path, LIBRISPEECH=corpus, options=options)
    scored = {(row["set"], row["task"], row["metric"]) for row in work.scores()}
    assert {("test_clean", "asr", "wer"), ("test_clean_biasing3", "asr_biasing", "b_wer")} <= scored
    train, test = work.rows("train"), work.rows("test_clean")
    assert len(train) == 12 and len({row.prompt for row in train.values()}) > 1, "wordings take turns in training"
    assert {row.prompt for row in test.values()} == {"Recognize this speech in English"}
    row = test["1089-134686-0002"]
    assert (row.text, row.speaker, row.language) == ("after early nightfall the lamps", "1089", "en")
    assert len(read_audio(row.audio, 16000)) == 16000


def test_lists_are_made_of_rare_words(recipes, tmp_path, corpus):
    work = recipes.data("librispeech", tmp_path, *LISTS, LIBRISPEECH=corpus)
    common = (tmp_path / "data/words/common_words.txt").read_text().split()
    assert len(common) == 4
    short, long = work.rows("test_other_biasing2"), work.rows("test_other_biasing3")
    for utt_id, row in short.items():
        spoken = set(row.transcript.split())
        assert spoken - set(common) <= set(row.context) and len(set(row.context) - spoken) == 2
        assert set(row.context) < set(long[utt_id].context) and row.task == "asr_biasing"


def test_published_lists_are_taken_as_they_are(recipes, tmp_path, corpus):
    published = tmp_path / "is21_deep_bias"
    write_text(published / "words/common_words_5k.txt", "he\nit\nthe\n")
    write_text(published / "words/all_rare_words.txt", "stew\nlamps\nzebra\nyak\nxylem\n")
    lines = [f"1089-134686-{n:04d}\ttext\t[]\t{json.dumps(['zebra', f'word{n}'])}\n" for n in range(4)]
    write_text(published / "ref/test-clean.biasing_2.tsv", "".join(lines))
    work = recipes.data(
        "librispeech", tmp_path, "--biasing_sizes", "2", LIBRISPEECH=corpus, LIBRISPEECH_BIASING=published
    )
    lists = {utt_id: row.context for utt_id, row in work.rows("test_clean_biasing2").items()}
    assert lists["1089-134686-0003"] == ("zebra", "word3")
    others = work.rows("test_other_biasing2").values()
    assert all({"stew", "lamps", "zebra", "yak", "xylem"} & set(row.context) for row in others)


def test_everything_unusable_is_named(recipes, tmp_path, corpus):
    corpus = shutil.copytree(corpus, tmp_path / "LibriSpeech")
    chapter = corpus / CHAPTER
    cut_file(chapter / "1089-134686-0001.flac", 30)
    write_silence(chapter / "1089-134686-0002.flac")
    names = chapter / "1089-134686.trans.txt"
    add_lines(names, "1089-134686-0008 ROW WITHOUT AUDIO", "1089-134686-0009")
    add_lines(names, b"1089-134686-0003 CAF\xe9", "1089-134686-0000 TWICE")
    work = recipes.data("librispeech", tmp_path, "--biasing_sizes", "", LIBRISPEECH=corpus, check=False)
    assert work.status == 2 and "set test_clean: 75.0% of the utterances cannot be used" in work.output
    assert "more with --max_failed" in work.output and not work.sets, "nothing is written when too much is missing"
    work = recipes.data("librispeech", tmp_path, "--biasing_sizes", "", "--max_failed", "0.8", LIBRISPEECH=corpus)
    assert work.left_out("test_clean") == {
        "unreadable audio": ["1089-134686-0001", "1089-134686-0002"],
        "missing audio": ["1089-134686-0008"],
        "malformed line": ["1089-134686-0009"],
        "not UTF-8": ["-"],
        "duplicate id": ["1089-134686-0000"],
    }
    assert sorted(work.rows("test_clean")) == ["1089-134686-0000", "1089-134686-0003"]
    assert "1089-134686.trans.txt:7" in work.places("test_clean") and len(work.rows("test_other")) == 4


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "where is the corpus? set LIBRISPEECH= in db.sh"),
        ({"LIBRISPEECH": "/nowhere"}, "/nowhere: no such folder; set LIBRISPEECH="),
        ({"LIBRISPEECH": "without_dev_other"}, "dev-other is missing: is "),
    ],
)
def test_a_wrong_path_or_a_missing_part_names_db_sh(recipes, tmp_path, corpus, environment, message):
    (tmp_path / "without_dev_other").mkdir()
    for part in corpus.iterdir():
        if part.name != "dev-other":
            (tmp_path / "without_dev_other" / part.name).symlink_to(part)
    environment = {name: tmp_path / value for name, value in environment.items()}  # an absolute one stays as it is
    work = recipes.data("librispeech", tmp_path, check=False, **environment)
    assert work.status == 2 and message in work.output and len(work.output.splitlines()) == 1


def test_a_subset_is_small_and_the_same_again(recipes, tmp_path, corpus):
    options = ("--subset", "3", "--biasing_sizes", "")
    first, second, other = (
        recipes.data("librispeech", tmp_path / name, *options, *seed, LIBRISPEECH=corpus)
        for name, seed in (("a", ()), ("b", ()), ("c", ("--seed", "7")))
    )
    assert len(first.rows("train")) == 3 and first.rows("train") == second.rows("train")
    assert set(first.rows("train")) != set(other.rows("train"))
    assert "3 kept of 12 (a subset)" in first.output
