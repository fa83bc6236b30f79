"""The TED-LIUM 3 recipe on a made-up miniature in the published layout."""

import numpy as np
from corpus_fixtures import tedlium3
from corpus_harness import add_lines, cut_file, tone, write_text

from slm_espnet.data.audio import read_audio

TALK = tedlium3.TALKS["train"]


def test_all_stages(recipes, tmp_path):
    work = recipes.run("tedlium3", tmp_path, TEDLIUM3=tedlium3.make(tmp_path / "corpus"))
    assert {(row["set"], row["count"]) for row in work.scores() if row["metric"] == "wer"} == {("dev", 4), ("test", 4)}
    rows = work.rows("train")
    assert [row.text for row in rows.values()] == [
        "i'm here to show you  photographs".replace("  ", " "), "they're the lakota people", "many of you",
        "know the treaty",
    ]  # fmt: skip
    assert list(rows)[0] == f"{TALK}-0000050-0000175"
    samples = read_audio(rows[f"{TALK}-0000175-0000300"].audio, 16000)
    np.testing.assert_allclose(samples, tone(6.0, 0)[28000:48000], atol=1e-3)
    assert work.left_out("train") == {"not to be scored": ["-"]}


def test_everything_unusable_is_named(recipes, tmp_path):
    corpus = tedlium3.make(tmp_path / "corpus")
    train, dev = (corpus / f"legacy/{part}/stm/{tedlium3.TALKS[part]}.stm" for part in ("train", "dev"))
    add_lines(
        train,
        f"{TALK} 1 {TALK} 5.0 9.5 <o,f0,female> past the end of the recording",
        f"{TALK} 1 {TALK} 5.0",
        f"{TALK} 1 {TALK} five six <o,f0,female> no times",
        f"{TALK} 1 {TALK} 3.0 2.0 <o,f0,female> backwards",
        f"{TALK} 1 {TALK} 1.0 2.0 <o,f0,female> ".encode() + b"caf\xe9",
        f"{TALK} 1 {TALK} 0.5 1.75 <o,f0,female> twice",
        f"{TALK} 1 {TALK} 1.0 2.0 <o,f0,female> [NOISE]",
    )
    write_text(train.with_name("Nobody_2011.stm"), "Nobody_2011 1 Nobody_2011 0 1 <o,f0,male> no audio\n")
    cut_file(corpus / f"legacy/dev/sph/{dev.stem}.sph", 700)
    work = recipes.data("tedlium3", tmp_path, "--max_failed", "0.9", TEDLIUM3=corpus, check=False)
    assert work.status == 2 and "set dev: no utterance can be used (4 unreadable audio)" in work.output
    found = work.left_out("train")
    assert {reason: len(ids) for reason, ids in found.items()} == {
        "segment past the end": 1, "malformed line": 3, "not UTF-8": 1, "duplicate id": 1, "missing audio": 1,
        "no words": 1, "not to be scored": 1,
    }  # fmt: skip
    assert {f"{TALK}.stm:{n}" for n in (1, 6, 7, 8, 9, 10, 11, 12)} <= set(work.places("train"))


def test_a_missing_part_names_db_sh(recipes, tmp_path):
    corpus = tedlium3.make(tmp_path / "corpus")
    (corpus / "legacy/test/stm").rename(corpus / "elsewhere")
    work = recipes.data("tedlium3", tmp_path, TEDLIUM3=corpus, check=False)
    assert work.status == 2 and "legacy/test/stm is missing" in work.output and "TEDLIUM3=" in work.output
