"""The AMI recipe on a made-up miniature with annotations in NXT's XML."""

import numpy as np
from corpus_fixtures import ami
from corpus_harness import cut_file, tone, write_audio, write_silence, write_text

from slm_espnet.data.audio import read_audio

ANNOTATIONS = "ami_public_manual_1.6.2"


def test_all_stages(recipes, tmp_path):
    work = recipes.run("ami", tmp_path, AMI=ami.make(tmp_path / "corpus"))
    assert {row["set"] for row in work.scores()} == {"dev_ihm", "test_ihm", "dev_sdm", "test_sdm"}
    close, distant = work.rows("train_ihm"), work.rows("train_sdm")
    row = close["AMI_ES2002a_IHM_FEE000_0000200_0000330"]
    assert (row.text, row.speaker) == ("um well this is it", "FEE000")
    np.testing.assert_allclose(read_audio(row.audio, 16000), tone(4.0, 2)[32000:52800], atol=1e-4)
    row = distant["AMI_ES2002a_SDM_FEE000_0000200_0000330"]
    np.testing.assert_allclose(read_audio(row.audio, 16000), tone(4.0, 0)[32000:52800], atol=1e-4)


def test_a_missing_headset_does_not_shift_the_others(recipes, tmp_path):
    corpus = ami.make(tmp_path / "corpus")
    (corpus / "ES2002a/audio/ES2002a.Headset-0.wav").unlink()
    work = recipes.data("ami", tmp_path, "--mics", "ihm", "--max_failed", "0.5", AMI=corpus)
    rows = work.rows("train_ihm").values()
    assert {row.speaker for row in rows} == {"FEE000"}
    assert {row.audio.path.rpartition("/")[2] for row in rows} == {"ES2002a.Headset-1.wav"}
    assert len(work.left_out("train_ihm")["missing audio"]) == 3


def test_everything_unusable_is_named(recipes, tmp_path):
    corpus = ami.make(tmp_path / "corpus")
    folder = corpus / ANNOTATIONS
    cut_file(folder / "words/ES2002a.A.words.xml", 200)
    write_audio(corpus / "ES2002a/audio/ES2002a.Headset-1.wav", 1.2)  # the last segment begins at 2 s
    (folder / "segments/ES2011a.B.segments.xml").unlink()
    write_silence(corpus / "ES2004a/audio/ES2004a.Headset-0.wav")
    write_text(folder / "words/ES2004a.B.words.xml", b"<root><w starttime='0' endtime='1'>caf\xe9</w></root>")
    work = recipes.data("ami", tmp_path, "--mics", "ihm", "--max_failed", "0.9", AMI=corpus, check=False)
    assert work.status == 2 and "set test_ihm: no utterance can be used" in work.output
    sets = ("train_ihm", "dev_ihm", "test_ihm")
    count = {name: {r: len(ids) for r, ids in work.left_out(name).items()} for name in sets}
    assert [reasons.pop("meeting without annotation") for reasons in count.values()] == [135, 17, 15]
    assert count["train_ihm"] == {"unreadable annotation": 1, "segment past the end": 1}
    assert count["dev_ihm"] == {"unreadable annotation": 1}
    assert count["test_ihm"] == {"unreadable annotation": 1, "zero length": 3}


def test_missing_annotations_and_unknown_microphones_are_errors(recipes, tmp_path):
    corpus = ami.make(tmp_path / "corpus")
    work = recipes.data("ami", tmp_path, "--mics", "mdm", AMI=corpus, check=False)
    assert work.status == 2 and "--mics: mdm is not among ihm sdm" in work.output
    (corpus / ANNOTATIONS).rename(corpus / "annotations")
    work = recipes.data("ami", tmp_path, AMI=corpus, check=False)
    assert work.status == 2 and f"unpack {ANNOTATIONS}.zip there" in work.output
    work = recipes.data("ami", tmp_path, "--annotations", str(corpus / "annotations"), AMI=corpus)
    assert len(work.sets) == 6
