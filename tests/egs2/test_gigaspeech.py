"""The GigaSpeech recipe on a made-up miniature: a catalogue in JSON, and opus recordings."""

import importlib.util
import json

import pytest
from corpus_fixtures import gigaspeech
from corpus_fixtures.gigaspeech import AUDIOS, entry
from corpus_harness import write_silence, write_text

from slm_espnet.data.audio import read_audio
from slm_espnet.errors import UserError


def test_all_stages(recipes, tmp_path):
    work = recipes.run("gigaspeech", tmp_path, GIGASPEECH=gigaspeech.make(tmp_path / "corpus"))
    assert {row["set"] for row in work.scores()} == {"dev", "test"}
    rows = work.rows("train_M")
    assert {row.speaker for row in rows.values()} == {"POD0000000001", "YOU0000000002"}, "L is more than M"
    row = rows["YOU0000000002_S0000000"]
    assert row.text == "as it turns out it was" and len(read_audio(row.audio, 16000)) == 16000
    assert work.left_out("dev") == {"no words": ["POD1000000004_S0000001"]}


def test_everything_unusable_is_named(recipes, tmp_path):
    entries = [entry(aid, subsets) for aid, subsets in AUDIOS.items()]
    good, bad = entries[0]["segments"], entries[1]["segments"]
    good[0]["begin_time"], good[0]["end_time"] = 4.0, 7.5
    good[2]["sid"] = good[3]["sid"]
    del bad[0]["text_tn"]
    bad[3]["text_tn"] = "<COMMA>"
    entries.append({"aid": "XYZ", "segments": []})
    missing = entry("POD0000000009", ("M", "L", "XL"))
    corpus = gigaspeech.make(tmp_path / "corpus", [*entries, missing])
    (corpus / missing["path"]).unlink()
    write_silence(corpus / entries[4]["path"], format="OGG", subtype="VORBIS")
    work = recipes.data("gigaspeech", tmp_path, "--max_failed", "0.95", GIGASPEECH=corpus, check=False)
    assert work.status == 2 and "set test: no utterance can be used" in work.output
    found = work.left_out("train_M")
    assert {reason: len(ids) for reason, ids in found.items()} == {
        "segment past the end": 1, "duplicate id": 1, "malformed entry": 2, "empty text": 1, "missing audio": 3,
        "no words": 3,
    }  # fmt: skip
    assert found["segment past the end"] == ["POD0000000001_S0000000"]


def test_a_subset_that_nobody_is_in_is_an_error(recipes, tmp_path):
    corpus = gigaspeech.make(tmp_path / "corpus", [entry("POD0000000001", ("M",)), entry("POD1000000004", ("DEV",))])
    work = recipes.data("gigaspeech", tmp_path, GIGASPEECH=corpus, check=False)
    assert work.status == 2 and "set test: no utterance can be used (none were found)" in work.output


@pytest.fixture
def prepare(top):
    spec = importlib.util.spec_from_file_location("giga_prepare", top / "egs2/gigaspeech/slm1/local/prepare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("chunk", [7, 100, 1 << 20])
def test_the_catalogue_is_read_in_pieces(prepare, tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(prepare, "CHUNK", chunk)
    entries = [entry(aid, subsets) for aid, subsets in AUDIOS.items()]
    path = write_text(tmp_path / "c.json", json.dumps({"language": "EN", "audios": entries, "version": "1"}, indent=2))
    assert list(prepare.stream_audios(path)) == entries
    write_text(path, path.read_text()[:-400])
    with pytest.raises(UserError, match="ends within an entry"):
        list(prepare.stream_audios(path))
    write_text(path, '{"audio": []}')
    with pytest.raises(UserError, match='has no list "audios"'):
        list(prepare.stream_audios(path))
