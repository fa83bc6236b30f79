"""The recipe of telephone speech on made-up miniatures of Switchboard, Fisher and HUB5 2000 in LDC's layouts."""

import importlib.util

import numpy as np
import pytest
from corpus_fixtures import switchboard_fisher
from corpus_harness import add_lines, cut_file, tone

from slm_espnet.data.audio import read_audio

ONE_DEV = "--dev_conversations=1"


def test_all_stages(recipes, tmp_path):
    folders = switchboard_fisher.make(tmp_path / "corpora")
    work = recipes.run("switchboard_fisher", tmp_path, options=("--local_data_opts", ONE_DEV), **folders)
    assert {row["set"] for row in work.scores()} == {"eval2000_switchboard", "eval2000_callhome"}
    rows = work.rows("train_switchboard")
    assert {row.speaker for row in rows.values()} == {"sw02002A", "sw02002B", "sw02003A", "sw02003B"}
    for side, number in (("A", 2), ("B", 3)):  # each speaker's own channel, the whole span
        row = rows[f"sw02002-{side}_000500-000725"]
        assert row.text == "a brainwave him do we-"
        np.testing.assert_allclose(read_audio(row.audio, 8000), tone(8.0, number, 8000)[40000:58000], atol=0.01)
    fisher = work.rows("train_fisher")
    assert {row.speaker for row in fisher.values()} == {"fe_2602", "fe_2603", "fe_1790"}
    callhome = work.rows("eval2000_callhome")
    second = callhome["en_4156-A_000260-000410"]
    assert (second.text, second.speaker) == ("we're starting the tran-", "en_4156A1")
    assert "--channel 0" in second.audio.path, "the second speaker of a side is on that side's channel"


def test_everything_unusable_is_named(recipes, tmp_path):
    folders = switchboard_fisher.make(tmp_path / "corpora")
    root = folders["SWITCHBOARD"]
    turns = root / "swb_ms98_transcriptions/20/2003/sw2003A-ms98-a-trans.text"
    name = "sw2003A-ms98-a"
    add_lines(turns, f"{name}-0006 7.5 9.9 past the end", f"{name}-0007 1.0", f"{name}-0008 b e words",
              f"{name}-0009 5.0 7.25 twice", f"{name}-0010 6.0 7.0 ".encode() + b"caf\xe9")  # fmt: skip
    cut_file(root / "LDC97S62/swb1_d1/data/sw02002.sph", 5000)
    call = folders["FISHER"] / "LDC2004T19/data/trans/000/fe_03_00002.txt"
    add_lines(call, "1.0 2.0 C: who", "2.0 1.0 A: backwards")
    (folders["FISHER"] / "LDC2004S13/fisher_eng_tr_sp_d1/audio/000/fe_03_00001.sph").unlink()
    reference = folders["EVAL2000"] / "LDC2002T43/reference/english/sw_4390.txt"
    add_lines(reference, "1.0 2.0 X: who", "4.20 5.10 B: twice")
    work = recipes.data("switchboard_fisher", tmp_path, ONE_DEV, "--max_failed", "0.9", **folders)

    def count(set_name):
        unwanted = ("silence", "no words")
        return {reason: len(ids) for reason, ids in work.left_out(set_name).items() if reason not in unwanted}

    assert count("train_switchboard") == {
        "unreadable audio": 6, "segment past the end": 1, "malformed line": 2, "duplicate id": 1, "not UTF-8": 1
    }  # fmt: skip
    assert count("train_fisher") == {"missing audio": 2, "malformed line": 2}
    assert count("eval2000_switchboard") == {"malformed line": 1, "duplicate id": 1}
    assert "sw2003A-ms98-a-trans.text:6" in work.places("train_switchboard")
    assert "fe_03_00002.txt:8" in work.places("train_fisher"), "places are those of the published file"


@pytest.mark.parametrize(("variable", "word"), [("FISHER", "FISHER="), ("EVAL2000", "EVAL2000=")])
def test_a_missing_corpus_names_db_sh(recipes, tmp_path, variable, word):
    folders = switchboard_fisher.make(tmp_path / "corpora")
    del folders[variable]
    work = recipes.data("switchboard_fisher", tmp_path, ONE_DEV, check=False, **folders)
    assert work.status == 2 and f"where is the corpus? set {word}" in work.output


@pytest.mark.parametrize(
    ("function", "text", "words"),
    [
        ("switchboard_words", "[laughter-so] they['ve]- they [weren't/were not] <e_aside>", "so they- they weren't"),
        ("switchboard_words", "okay -[vocalized-noise] i've_1 ex[pected]-", "okay i've ex-"),
        ("fisher_words", "(( i th- think )) [breath] t. v. or c._n._n., c.n.n.", "i th- think t v or c n n c n n"),
        ("hub5_words", "%uh {breath} <language> si -- it's (( here )), isn't it?", "uh si it's here isn't it"),
    ],
)
def test_marks_of_annotators_go(top, function, text, words):
    path = top / "egs2/switchboard_fisher/slm1/local/telephone_text.py"
    spec = importlib.util.spec_from_file_location("telephone_text", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert getattr(module, function)(text) == words
