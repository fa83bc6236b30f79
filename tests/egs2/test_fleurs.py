"""The FLEURS recipe on a made-up miniature."""

from __future__ import annotations

import in_process
import pytest
from corpus_fixtures import fleurs
from corpus_harness import write_audio


def prepare(folder, corpus, options, **others):
    return in_process.prepare("fleurs", folder, "--corpus", corpus, *options.split(), **others)


def test_all_stages(recipes, tmp_path):
    corpus = fleurs.make(tmp_path / "fleurs")
    directions = "--directions all:en_us,en_us:cmn_hans_cn"
    options = ("--local_data_opts", f"--languages all {directions}")
    work = recipes.run("fleurs", tmp_path, FLEURS=corpus, options=options)
    scored = {(row["task"], row["language"], row["metric"]): row for row in work.scores()}
    assert {("asr", "zh", "cer"), ("asr", "de", "wer"), ("ast", "zh_en", "bleu")} <= set(scored)
    assert ("asr", "zh", "wer") not in scored
    assert "tok:zh" in scored["ast", "en_zh", "bleu"]["signature"]
    assert "tok:13a" in scored["ast", "de_en", "bleu"]["signature"]
    assert scored["asr", "zh", "cer"]["count"] == 2


def test_translations_are_joined_by_sentence(tmp_path):
    corpus = fleurs.make(tmp_path / "fleurs")
    work = prepare(tmp_path, corpus, "--languages en_us,de_de --directions all:de_de --tasks ast,asr_then_ast")
    rows = list(work.rows("train").values())
    assert {(row.task, row.language, row.target_language) for row in rows} == {
        ("ast", "en", "de"), ("asr_then_ast", "en", "de")
    }  # fmt: skip
    row = next(row for row in rows if row.task == "ast" and row.transcript == 'The "Star" rises.')
    assert row.text == "Der „Stern“ geht auf."
    both = next(other for other in rows if other.task == "asr_then_ast" and other.audio == row.audio)
    assert both.text == 'Transcript: The "Star" rises. Translation: Der „Stern“ geht auf.'
    # a sentence that was recorded twice is translated twice; one without translation is counted, and no failure
    assert len([row for row in rows if row.task == "ast"]) == 3
    assert {reason: len(names) for reason, names in work.left_out("train").items()} == {"no sentence in de_de": 2}
    test = next(row for row in work.rows("test").values() if row.task == "ast")
    assert test.prompt == "Translate this speech from English to German"


@pytest.mark.parametrize("layout", ["hub", "lhotse"])
def test_other_layouts_give_the_same_rows(tmp_path, layout):
    options = "--languages de_de --tasks asr"
    first = prepare(tmp_path / "a", fleurs.make(tmp_path / "archive"), options)
    second = prepare(tmp_path / "b", fleurs.make(tmp_path / layout, layout), options)
    for split in ("train", "dev", "test"):
        assert [(r.utt_id, r.text) for r in first.rows(split).values()] == [
            (r.utt_id, r.text) for r in second.rows(split).values()
        ]


def test_as_lhotse_reads_it(tmp_path):
    fleurs_recipe = pytest.importorskip("lhotse.recipes.fleurs")
    corpus = fleurs.make(tmp_path / "fleurs", "lhotse")
    manifests = fleurs_recipe.prepare_fleurs(corpus, tmp_path / "manifests", languages="de_de")["de_de"]
    work = prepare(tmp_path, corpus, "--languages de_de --tasks asr --text normalized")
    for split in ("train", "dev", "test"):
        theirs = {f"fleurs-de_de-{one.recording_id}": one.text for one in manifests[split]["supervisions"]}
        assert {row.utt_id: row.text for row in work.rows(split).values()} == theirs


def test_bad_lines_and_recordings_are_counted_once(tmp_path):
    corpus = fleurs.make(tmp_path / "fleurs")
    folder = corpus / "en_us/train"
    (folder / "empty.wav").write_bytes(b"")
    whole = write_audio(folder / "short.wav", 0.5)
    whole.write_bytes(whole.read_bytes()[:30])
    with open(corpus / "en_us/train.tsv", "ab") as file:
        for name in ("empty.wav", "short.wav", "gone.wav"):
            file.write(f"9\t{name}\tText\ttext\tt e x t |\t1\tMALE\n".encode())
        file.write(b"9\tlatin.wav\tf\xe4hrt\tx\tx\t1\tMALE\n9\tno more\n")
    options = "--languages en_us --directions en_us:de_de --max_failed 0.9"
    work = prepare(tmp_path, corpus, options)
    found = {reason: len(names) for reason, names in work.left_out("train").items()}
    assert found.pop("unreadable audio") + found.pop("zero length", 0) == 2
    assert found == {"missing audio": 1, "not UTF-8": 1, "wrong column count": 1, "no sentence in de_de": 4}
    assert len([row for row in work.rows("train").values() if row.task == "asr"]) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [("--languages xx_yy", "xx_yy is not among cmn_hans_cn de_de en_us"),
     ("--languages de_de --directions de_de", "'de_de' is not source:target"),
     ("--languages de_de --tasks asr", "de_de/dev.tsv: no such table")],
)  # fmt: skip
def test_what_is_missing_is_named(tmp_path, options, said):
    corpus = fleurs.make(tmp_path / "fleurs")
    (corpus / "de_de/dev.tsv").unlink()
    work = prepare(tmp_path, corpus, options, check=False)
    assert work.status == 2 and said in work.output
