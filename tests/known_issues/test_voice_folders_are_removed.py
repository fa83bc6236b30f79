"""Every process that spoke left a folder of links to voices behind, thousands in a recipe's life."""

import pytest


def test_synthesis_leaves_nothing_in_the_temporary_folder(tmp_path, monkeypatch):
    pytest.importorskip("espeakng_loader")
    from mini_corpus.audio_data import SpeechRow, synthesize_rows

    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    row = SpeechRow("a-1", "call me at nine", "en", "gmw/en-US+drawn003", 170, 50, None, 0.0, 1)
    synthesize_rows([row], tmp_path / "data", tmp_path / "audio", nj=2)
    assert (tmp_path / "data" / "wav.scp").is_file()
    assert not list(temporary.glob("espeak-*"))
