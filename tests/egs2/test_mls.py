"""The Multilingual LibriSpeech recipe on a made-up miniature."""

from __future__ import annotations

import pytest
from corpus_fixtures import mls
from corpus_harness import write_audio
from in_process import prepare

from slm_espnet.data.audio import audio_seconds

OPTIONS = ("--local_data_opts", "--languages de,pl")
GERMAN = ("--languages", "de", "--max_failed", "0.9")


def test_all_stages(recipes, tmp_path):
    corpus = mls.make(tmp_path / "mls")
    work = recipes.run("mls", tmp_path, MLS=corpus, options=OPTIONS)
    scored = {(row["language"], row["count"]) for row in work.scores() if row["metric"] == "wer"}
    assert scored == {("de", 2), ("pl", 2)}
    row = work.rows("dev")["mls-pl-252_11012_000001"]
    assert row.prompt == "Recognize this speech in Polish" and row.speaker == "mls-pl-252"
    assert row.text == row.transcript == "der abend war still"
    assert row.audio.path == str(corpus / "mls_polish_opus/dev/audio/252/11012/252_11012_000001.opus")
    assert len(work.rows("train")) == 8


@pytest.mark.parametrize(("hours", "kept"), [("1", ["000000"]), ("10", ["000000", "000001", "000002"])])
def test_small_training_sets_are_the_corpus_own(tmp_path, hours, kept):
    corpus = mls.make(tmp_path / "mls", ("mls_german",))
    work = prepare("mls", tmp_path, "--corpus", corpus, "--languages", "de", "--train_hours", hours)
    assert sorted(name[-6:] for name in work.rows("train")) == kept and len(work.rows("dev")) == 2


def test_as_lhotse_reads_it(tmp_path):
    """Lhotse's recipe, which stops at the first bad file and reads all languages, agrees where nothing is bad."""
    mls_recipe = pytest.importorskip("lhotse.recipes.mls")
    corpus = mls.make(tmp_path / "mls", ("mls_german",))
    manifests = mls_recipe.prepare_mls(corpus, opus=False)["german"]
    work = prepare("mls", tmp_path, "--corpus", corpus, *GERMAN)
    for split in ("train", "dev", "test"):
        rows = {row.utt_id: row for row in work.rows(split).values()}
        supervisions = list(manifests[split]["supervisions"])
        assert {f"mls-de-{one.id}" for one in supervisions} == set(rows)
        for one in supervisions:
            row = rows[f"mls-de-{one.id}"]
            assert (row.text, row.speaker) == (one.text, f"mls-de-{one.speaker}")
            assert audio_seconds(row.audio) == pytest.approx(one.duration)


def test_bad_lines_and_recordings_are_counted(tmp_path):
    corpus = mls.make(tmp_path / "mls", ("mls_german",))
    audio = corpus / "mls_german/train/audio/4800/10003"
    write_audio(audio / "4800_10003_000008.flac", 0.5).write_bytes(b"")
    whole = write_audio(audio / "4800_10003_000009.flac", 0.5)
    whole.write_bytes(whole.read_bytes()[:20])
    with open(corpus / "mls_german/train/transcripts.txt", "ab") as file:
        file.write(b"4800_10003_000007\tohne ton\n4800_10003_000008\tleer\n4800_10003_000009\tkaputt\n")
        file.write(b"4800_10003_000000\tnoch einmal\n4800_10003_000005\t\nohne nummer\tja\nohne tabulator\n")
        file.write("4800_10003_000006\tfährt\n".encode("latin-1"))
    work = prepare("mls", tmp_path, "--corpus", corpus, *GERMAN)
    assert len(work.rows("train")) == 4
    found = work.left_out("train")
    assert len(found.pop("unreadable audio")) == 2
    assert {reason: names[0] for reason, names in found.items()} == {
        "missing audio": "mls-de-4800_10003_000007", "duplicate id": "mls-de-4800_10003_000000",
        "empty text": "mls-de-4800_10003_000005", "bad id": "mls-de-ohne nummer", "wrong column count": "-",
        "not UTF-8": "-",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "said"),
    [("--languages de,ru", "ru is not among de"), ("--languages fr", "mls_french: no such language of MLS"),
     ("--languages de --splits dev,train", "transcripts.txt: cannot read it"),
     ("--languages de --train_hours 1", "choose --train_hours all")],
)  # fmt: skip
def test_what_is_missing_is_named(tmp_path, options, said):
    corpus = mls.make(tmp_path / "mls", ("mls_german",))
    (corpus / "mls_german/dev/transcripts.txt").unlink()
    for path in corpus.glob("mls_german/train/limited_supervision/*/**/handles.txt"):
        path.unlink()
    work = prepare("mls", tmp_path, "--corpus", corpus, *options.split(), check=False)
    assert work.status == 2 and said in work.output
