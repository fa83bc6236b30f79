"""The CoVoST 2 recipe on made-up tables and a made-up Common Voice 4."""

from __future__ import annotations

import importlib

import in_process
import pytest
from corpus_fixtures import covost2
from corpus_fixtures.commonvoice import COLUMNS_4, line
from corpus_fixtures.covost2 import clip, table
from corpus_harness import write_text


def prepare(folder, variables, options, **others):
    corpora = ("--corpus", variables["COVOST2"], "--common_voice", variables["COMMONVOICE4"])
    return in_process.prepare("covost2", folder, *corpora, *options.split(), **others)


def test_all_stages(recipes, tmp_path):
    variables = covost2.make(tmp_path)
    options = ("--local_data_opts", "--directions de_en,en_zh-CN,en_de")
    work = recipes.run("covost2", tmp_path, options=options, **variables)
    scored = {(row["task"], row["language"], row["metric"]): row for row in work.scores()}
    assert {key[:2] for key in scored if key[0] == "asr"} == {("asr", "de"), ("asr", "en")}
    assert {key[1] for key in scored if key[0] == "ast"} == {"de_en", "en_zh", "en_de"}
    assert "tok:zh" in scored["ast", "en_zh", "bleu"]["signature"]
    # 2 sources and 3 directions in the test set, but two recordings
    encoded = (tmp_path / "dump/encodings/tiny/test/index.tsv").read_text().splitlines()
    assert len(work.rows("test")) == 5 and len([x for x in encoded if not x.startswith(("#", "key"))]) == 2


def test_quotes_tabs_and_line_ends_of_the_text_are_kept(tmp_path):
    work = prepare(tmp_path, covost2.make(tmp_path, ["de_en"]), "--directions de_en")
    rows = work.rows("train")
    texts = {row.text: row.transcript for row in rows.values() if row.task == "ast"}
    assert texts == {
        'He says "yes".': 'Er sagt "ja".', "It rains.": "Es regnet.", "Come, she called.": '"Komm", rief sie.',
        "A back\\slash of tea": "Kalter Tee",
    }  # fmt: skip
    row = rows["covost2-de-common_voice_de_17290000-ast-en"]
    assert (row.language, row.target_language, row.speaker) == ("de", "en", "0" * 32)
    assert row.audio == rows["covost2-de-common_voice_de_17290000"].audio
    assert (len(work.rows("dev")), len(work.rows("test"))) == (2, 2)
    assert work.left_out("train") == {"split dev_covost": [clip("de", 6)]}  # as in the corpus' own splits


def test_removed_and_missing_translations_are_counted_but_no_failure(tmp_path):
    work = prepare(tmp_path, covost2.make(tmp_path, ["en_de"]), "--directions en_de --tasks ast,asr_then_ast")
    assert {reason: len(names) for reason, names in work.left_out("train").items()} == {
        "marked REMOVE": 2, "no translation": 2, "split dev_covost": 1
    }  # fmt: skip
    assert "REMOVE" in {row.text for row in work.rows("test").values()}  # the published test set stays whole
    both = work.rows("dev")["covost2-en-common_voice_en_17290004-asr_then_ast-de"]
    assert both.text == "Transcript: Where is he? Translation: Wo ist er?"


def test_published_archive_and_the_tables_of_splits_give_the_same(tmp_path):
    variables = covost2.make(tmp_path, ["de_en"])
    expected = prepare(tmp_path / "a", variables, "--directions de_en")
    path = variables["COVOST2"] / "covost_v2.de_en.tsv"
    covost2.archive(path)
    archived = prepare(tmp_path / "b", variables, "--directions de_en")
    path.with_name(f"{path.name}.tar.gz").unlink()
    for split in ("train", "dev", "test"):  # what get_covost_splits.py writes
        rows = [
            (clip("de", i), covost2.SENTENCES["de"][i], covost2.TRANSLATIONS["de_en"][i], f"{i // 2:032x}")
            for i, mark in enumerate(covost2.SPLITS)
            if mark == split or (split, mark) == ("train", "train_covost")
        ]
        write_text(path.with_suffix(f".{split}.tsv"), table(("path", "sentence", "translation", "client_id"), rows))
    split = prepare(tmp_path / "c", variables, "--directions de_en")
    for name in ("train", "dev", "test"):
        assert archived.rows(name) == expected.rows(name) == split.rows(name)


def test_bad_lines_and_clips_are_counted(tmp_path):
    variables = covost2.make(tmp_path, ["de_en"])
    clips = variables["COMMONVOICE4"] / "de/clips"
    (clips / "zero.mp3").write_bytes(b"")
    validated = variables["COMMONVOICE4"] / "de/validated.tsv"
    with open(validated, "ab") as file:
        for name, words in (("zero.mp3", "Leer"), ("gone.mp3", "Weg"), ("two.mp3", "Eins"), ("two.mp3", "Zwei")):
            file.write(line(COLUMNS_4, client_id="1", path=name, sentence=words).encode())
        file.write(line(COLUMNS_4, client_id="1", path="latin.mp3", sentence="für").encode("latin-1"))
    with open(variables["COVOST2"] / "covost_v2.de_en.tsv", "ab") as file:
        for name in ("zero.mp3", "gone.mp3", "two.mp3", "latin.mp3", clip("de", 0)):
            file.write(f"{name}\tText.\ttrain\n".encode())
        file.write(b"x.mp3\ttoo few\nx.mp3\ttoo\tmany\ttrain\n" + b"odd.mp3\tf\xfcr\ttrain\n")
        file.write(f"{clip('de', 1)}\tText.\tvalidation\n".encode())
    work = prepare(tmp_path, variables, "--directions de_en --max_failed 0.9")
    found = {reason: len(names) for reason, names in work.left_out("train").items()}
    assert found.pop("unreadable audio", 0) + found.pop("zero length", 0) == 2  # its recognition and its translation
    assert found == {
        "missing audio": 2, "duplicate id": 2, "not in validated.tsv": 1, "wrong column count": 2, "not UTF-8": 1,
        "unknown split": 1, "split dev_covost": 1,
    }  # fmt: skip
    explained = (work.folder / "data/train/left_out.tsv").read_text()
    assert "1 lines of it cannot be read" in explained and "validated.tsv:13" in explained
    assert len(work.rows("train")) == 8


@pytest.mark.parametrize(
    ("options", "said"),
    [("--directions fr_de", "CoVoST 2 has no 'fr_de'"), ("--directions et_en", "no covost_v2.et_en.tsv"),
     ("--directions en_de", "COMMONVOICE4= in db.sh"), ("--directions de_en --tasks st", "st is not among asr ast")],
)  # fmt: skip
def test_what_is_missing_is_named(tmp_path, options, said):
    variables = covost2.make(tmp_path, ["de_en"])
    (variables["COMMONVOICE4"] / "et/clips").mkdir(parents=True)
    (variables["COMMONVOICE4"] / "et/validated.tsv").write_text("client_id\tpath\tsentence\n")
    work = prepare(tmp_path, variables, options, check=False)
    assert work.status == 2 and said in work.output


def test_directions_of_the_option(top, monkeypatch):
    monkeypatch.syspath_prepend(top / "egs2/covost2/slm1/local")
    tables = importlib.import_module("covost2_tables")
    assert len(tables.parse_directions("x_en")) == 21 and len(tables.parse_directions("en_x")) == 15
    assert tables.parse_directions("all,de_en") == list(tables.DIRECTIONS)
    assert tables.parse_directions("sv_en,en_zh-CN sv-SE_en") == ["sv-SE_en", "en_zh-CN"]
