"""The VoxPopuli recipe on made-up miniatures in both of the corpus' layouts."""

from __future__ import annotations

import shutil

import in_process
import pytest
from corpus_fixtures import voxpopuli
from corpus_fixtures.voxpopuli import SESSIONS, session_line


def prepare(folder, corpus, options, **others):
    return in_process.prepare("voxpopuli", folder, "--corpus", corpus, *options.split(), **others)


def test_all_stages_on_sessions(recipes, tmp_path):
    corpus = voxpopuli.make_sessions(tmp_path / "voxpopuli")
    work = recipes.run("voxpopuli", tmp_path, VOXPOPULI=corpus, options=("--local_data_opts", "--languages en"))
    assert [(row["language"], row["count"]) for row in work.scores() if row["metric"] == "wer"] == [("en", 2)]
    rows = work.rows("test")
    row = rows[f"voxpopuli-en-{SESSIONS[1]}-{SESSIONS[1]}_1"]
    assert (row.text, row.audio.start, row.audio.stop) == ("this is about fish", 9.5, 10.4)
    assert row.audio.path == str(corpus / f"raw_audios/original/2013/{SESSIONS[1]}_original.ogg")
    assert row.prompt == "Recognize this speech in English" and row.speaker == "voxpopuli-en-4737"
    assert {name: len(work.rows(name)) for name in work.sets} == {"train": 4, "dev": 2, "test": 2}


def test_utterances_that_are_cut_already(tmp_path):
    corpus = voxpopuli.make_cut(tmp_path / "voxpopuli")
    table = corpus / "transcribed_data/fr/asr_train.tsv"
    table.write_text(table.read_text().replace("Thank you very much.", ""))
    work = prepare(tmp_path, corpus, "--languages de,fr --text written")
    row = work.rows("dev")["voxpopuli-fr-20010112-0900-PLENARY-3-fr_dev1"]
    assert (row.text, row.language, row.audio.start) == ("This is about fish.", "fr", None)
    assert row.audio.path.endswith("fr/2001/20010112-0900-PLENARY-3-fr_dev1.ogg")
    assert len(work.rows("train")) == 7 and list(work.left_out("train")) == ["no written text"]


def test_as_lhotse_reads_it(tmp_path):
    """Lhotse's recipe looks for sessions below raw_audios/en, where the publisher's tool does not put them."""
    recipe = pytest.importorskip("lhotse.recipes.voxpopuli")
    corpus = voxpopuli.make_sessions(tmp_path / "voxpopuli")
    (corpus / "raw_audios/en").symlink_to(corpus / "raw_audios/original")
    (tmp_path / "manifests").mkdir()
    shutil.copy(corpus / "transcribed_data/en/asr_en.tsv.gz", tmp_path / "manifests")
    manifests = recipe.prepare_voxpopuli(corpus, tmp_path / "manifests", lang="en")
    work = prepare(tmp_path, corpus, "--languages en")
    for split in ("train", "dev", "test"):
        theirs = {(s.recording_id, s.start, round(s.end, 6), s.text) for s in manifests[split]["supervisions"]}
        ours = {
            (row.audio.path.split("/")[-1].removesuffix("_original.ogg"), row.audio.start, row.audio.stop, row.text)
            for row in work.rows(split).values()
        }
        assert ours == theirs


def test_bad_lines_and_spans_are_counted(tmp_path):
    session = SESSIONS[0]
    more = (
        session_line(session, 90, "past the end", "train", "11.0", "25.0"),
        session_line(session, 91, "no time", "train", "soon", "later"),
        session_line("20200101-0900-PLENARY-9-en", 92, "no session", "train", "1.0", "2.0"),
        session_line(session, 93, "", "train", "1.0", "2.0"),
        session_line(session, 94, "set aside", "invalid", "1.0", "2.0"),
        session_line(session, 0, "again", "train", "1.0", "2.0"),
        f'{session}|95|"never closed|words|1|train|male|False|None|[]|1.0|2.0',
        f"{session}|96|too few",
    )
    corpus = voxpopuli.make_sessions(tmp_path / "voxpopuli", more)
    work = prepare(tmp_path, corpus, "--languages en --max_failed 0.9")
    assert len(work.rows("train")) == 4
    assert {reason: len(names) for reason, names in work.left_out("train").items()} == {
        "segment past the end": 1, "bad segment": 1, "missing audio": 1, "empty text": 1, "in no split: invalid": 1,
        "duplicate id": 1, "broken line": 1, "wrong column count": 1,
    }  # fmt: skip
    assert "asr_en.tsv.gz:16" in work.places("train")


@pytest.mark.parametrize(
    ("options", "said"),
    [("--languages pt", "pt is not among en de"), ("--languages fr", "neither asr_train.tsv nor asr_fr.tsv.gz"),
     ("--languages en", "damaged, it ends in the middle"), ("--languages de", "asr_dev.tsv: cannot read it")],
)  # fmt: skip
def test_what_is_missing_or_damaged_is_named(tmp_path, options, said):
    corpus = voxpopuli.make_cut(voxpopuli.make_sessions(tmp_path / "voxpopuli"), ("de",))
    (corpus / "transcribed_data/de/asr_dev.tsv").unlink()
    table = corpus / "transcribed_data/en/asr_en.tsv.gz"
    table.write_bytes(table.read_bytes()[:-40])
    work = prepare(tmp_path, corpus, options, check=False)
    assert work.status == 2 and said in work.output
