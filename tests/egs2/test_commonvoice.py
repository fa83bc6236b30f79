"""The Common Voice recipe on a made-up release."""

from __future__ import annotations

from corpus_fixtures import commonvoice
from corpus_fixtures.commonvoice import COLUMNS, COLUMNS_4, line
from corpus_harness import write_audio
from in_process import prepare

BOTH = ("--local_data_opts", "--languages de,zh-CN")


def test_all_stages(recipes, tmp_path):
    corpus = commonvoice.make(tmp_path / "cv-corpus-17.0")
    work = recipes.run("commonvoice", tmp_path, COMMONVOICE=corpus, options=BOTH)
    scored = {(row["language"], row["metric"]): row["count"] for row in work.scores() if row["metric"][:4] != "ctc_"}
    assert scored == {("de", "wer"): 2, ("de", "cer"): 2, ("zh", "cer"): 2}  # no words where there are no spaces
    assert work.sets == ("dev", "test", "train") and len(work.rows("train")) == 8
    row = work.rows("test")["commonvoice-zh-CN-common_voice_zh-CN_17290015"]
    assert (row.text, row.transcript, row.language, row.task) == ("今天天气很好。", "今天天气很好。", "zh", "asr")
    assert row.prompt == "Recognize this speech in Chinese" and row.speaker == f"{7:032x}"
    assert row.audio.path == str(corpus / "zh-CN/clips/common_voice_zh-CN_17290015.mp3")
    texts = {row.text for row in work.rows("train").values()}
    assert '"Guten Tag", sagte sie.' in texts  # CSV's quotation goes, ...
    assert '"你好"他说。' in texts  # ... a quotation mark that merely begins the sentence stays


def test_release_4_has_other_columns(tmp_path):
    corpus = commonvoice.make(tmp_path / "corpus", ("de",), COLUMNS_4)
    table = corpus / "de/dev.tsv"
    table.write_text(table.read_text().replace(".mp3", ""))  # as in the first releases
    work = prepare("commonvoice", tmp_path, "--corpus", corpus, "--languages", "all", "--splits", "dev")
    assert work.sets == ("dev",) and len(work.rows("dev")) == 2


def test_bad_lines_and_clips_are_counted(tmp_path):
    corpus = commonvoice.make(tmp_path / "corpus", ("de",))
    clips = corpus / "de/clips"
    clip = write_audio(clips / "common_voice_de_9.mp3", 0.5, 3, 32000)
    (clips / "empty.mp3").write_bytes(b"")
    (clips / "broken.mp3").write_bytes(clip.read_bytes()[:40])
    with open(corpus / "de/train.tsv", "ab") as file:
        for name, sentence in (
            (clip.name, 'Er sagte "nein'), ("gone.mp3", "a"), ("empty.mp3", "b"), ("broken.mp3", "c"),
            ("common_voice_de_17290001.mp3", "again"), ("silent.mp3", " "), ("", "no path"),
        ):  # fmt: skip
            file.write(line(COLUMNS, client_id="1", path=name, sentence=sentence).encode())
        file.write(b"x\tzwei.mp3\tzu wenig\n")
        file.write(line(COLUMNS, client_id="1", path="latin.mp3", sentence="fährt").encode("latin-1"))
    work = prepare("commonvoice", tmp_path, "--corpus", corpus, "--max_failed", "0.9")
    assert len(work.rows("train")) == 5
    assert work.rows("train")["commonvoice-de-common_voice_de_9"].text == 'Er sagte "nein'
    found = {reason: len(ids) for reason, ids in work.left_out("train").items()}
    unreadable = found.pop("unreadable audio") + found.pop("zero length", 0)
    assert unreadable == 2 and found == {
        "missing audio": 1, "duplicate id": 1, "empty text": 1, "row without audio": 1, "wrong column count": 1,
        "not UTF-8": 1,
    }  # fmt: skip
    assert {"train.tsv:9", "train.tsv:13", "train.tsv:14"} <= set(work.places("train"))


def test_too_much_that_is_bad_is_an_error(tmp_path):
    corpus = commonvoice.make(tmp_path / "corpus", ("de",))
    (corpus / "de/clips/common_voice_de_17290007.mp3").unlink()
    work = prepare("commonvoice", tmp_path, "--corpus", corpus, "--languages", "de", check=False)
    assert work.status == 2 and "50.0% of the utterances cannot be used (1 missing audio)" in work.output
    assert work.sets == ()


def test_a_missing_split_and_an_unknown_language_are_named(tmp_path):
    corpus = commonvoice.make(tmp_path / "corpus", ("de",))
    (corpus / "de/dev.tsv").unlink()
    work = prepare("commonvoice", tmp_path, "--corpus", corpus, "--languages", "de", check=False)
    assert work.status == 2 and f"{corpus}/de/dev.tsv: cannot read it" in work.output
    work = prepare("commonvoice", tmp_path, "--corpus", corpus, "--languages", "de,zh-CN", check=False)
    assert work.status == 2 and "zh-CN is not among de" in work.output
