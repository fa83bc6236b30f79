"""The Wall Street Journal recipe on made-up miniatures of WSJ0 and WSJ1 in LDC's layout."""

from pathlib import Path

import numpy as np
import pytest
from corpus_fixtures import wsj
from corpus_harness import add_lines, cut_file, tone, write_silence

from slm_espnet.data.audio import read_audio

WORDS = ["the female produces comma a litter dash", "mr. and holiday's", "double quote yes percent",
         "sch- school single quote"]  # fmt: skip


def shorten(path: Path) -> None:
    """Give a sphere file the header of a compressed one."""
    data = path.read_bytes()
    head = data[:1024].replace(b"sample_coding -s3 pcm\n", b"sample_coding -s26 pcm,embedded-shorten-v2.00\n")
    assert head != data[:1024]
    path.write_bytes(head[:1024] + data[1024:])


def test_all_stages(recipes, tmp_path):
    work = recipes.run("wsj", tmp_path, **wsj.make(tmp_path / "corpus"))
    assert {row["set"] for row in work.scores()} == {"test_dev93", "test_eval92", "test_eval93"}
    rows = work.rows("train_si284")
    assert {row.speaker for row in rows.values()} == {"011", "4ak"} and len(rows) == 8
    assert [row.text for utt_id, row in rows.items() if utt_id.startswith("4ak")] == WORDS
    assert sorted(work.rows("test_eval93")) == ["4oac0200", "4oac0201", "4oac0202", "4oac0203"]
    np.testing.assert_allclose(read_audio(rows["4akc0201"].audio, 16000), tone(1.1, 6), atol=1e-3)


def test_without_wsj1(recipes, tmp_path):
    folders = wsj.make(tmp_path / "corpus")
    work = recipes.data("wsj", tmp_path, "--sets", "train_si84,test_eval92", WSJ0=folders["WSJ0"])
    assert work.sets == ("test_eval92", "train_si84") and len(work.rows("train_si84")) == 4
    work = recipes.data("wsj", tmp_path, WSJ0=folders["WSJ0"], check=False)
    assert work.status == 2 and "set WSJ1= in db.sh" in work.output


def test_everything_unusable_is_named(recipes, tmp_path):
    folders = wsj.make(tmp_path / "corpus")
    index, disc, folder, *_ = wsj.SETS["si84"]
    audio = folders["WSJ0"] / disc / folder / "011"
    add_lines(
        folders["WSJ0"] / index,
        "11_1_1: wsj0/si_tr_s/011/011c0299.wv1",
        "11_2_1: wsj0/si_tr_s/401/4010101a.wv1",
        "11_7_1: wsj0/si_tr_s/012/012c0201.wv1",
        "what is this",
        b"11_1_1: wsj0/si_tr_s/011/011c02\xe9.wv1",
        "11_1_1: wsj0/si_tr_s/011/011c0200.wv1",
    )
    dots = folders["WSJ0"] / "11-13.1/wsj0/transcrp/dots/si_tr_s/011/011c0200.dot"
    add_lines(dots, "no id in this line", "Words without audio (011c0298)")
    add_lines(folders["WSJ0"] / index, "11_1_1: wsj0/si_tr_s/011/011c0298.wv1")
    cut_file(audio / "011c0201.wv1", 2000)
    write_silence(audio / "011c0202.wv1", format="NIST", subtype="PCM_16")
    work = recipes.data("wsj", tmp_path, "--sets", "train_si84", "--max_failed", "0.9", WSJ0=folders["WSJ0"])
    assert sorted(work.rows("train_si84")) == ["011c0200", "011c0203"]
    found = work.left_out("train_si84")
    assert {reason: sorted(ids) for reason, ids in found.items()} == {
        "no transcript": ["011c0299"],
        "missing audio": ["011c0298"],
        "missing disc": ["012c0201"],  # not on any disc that is there
        "malformed line": ["-", "-"],  # of the index and of the transcripts
        "not UTF-8": ["-"],
        "duplicate id": ["011c0200"],
        "unreadable audio": ["011c0201", "011c0202"],
        "speaker of a test": ["4010101a"],
    }


@pytest.mark.parametrize("there", [True, False])
def test_compressed_recordings_go_through_sph2pipe(recipes, tmp_path, there, monkeypatch):
    folders = wsj.make(tmp_path / "corpus")
    for path in folders["WSJ0"].rglob("*.wv1"):
        shorten(path)
    if there:
        program = tmp_path / "bin/sph2pipe"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/called\ncat {tmp_path}/answer.wav\n')
        program.chmod(0o755)
        recipes = recipes.with_programs(program.parent)
    work = recipes.data("wsj", tmp_path, "--sets", "train_si84", check=False, WSJ0=folders["WSJ0"])
    if there:
        path = folders["WSJ0"] / "11-1.1/wsj0/si_tr_s/011/011c0200.wv1"
        assert work.rows("train_si84")["011c0200"].audio.path == f"sph2pipe -f wav -p -c 1 {path} |"
    else:
        assert work.status == 2 and "`lhotse install-sph2pipe`" in work.output
