"""Data preparation of the mini recipe: what its sets promise, checked on a shrunken run."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from mini_corpus.grammar import RARE_NAMES
from mini_corpus.split import is_held_out, is_held_out_name, part_of

from slm_espnet.data.datadir import read_data_dir

NOISE_LEVELS = ("test_clean", "test_snr10", "test_snr5", "test_snr0")


def prepare(top: Path, folder: Path, *options: str) -> subprocess.CompletedProcess:
    recipe = top / "egs2/mini/slm1"
    command = [sys.executable, "local/prepare.py", "--data_dir", str(folder / "data")]
    command += ["--audio_dir", str(folder / "audio")]
    sizes = "--train 12 --train_spanish 3 --dev 5 --test 5 --names 6 --nj 2".split()
    paths = os.pathsep.join((str(top / "egs2/mini"), str(top)))
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(
        [*command, *sizes, *options], cwd=recipe, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def prepared(top, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mini")
    result = prepare(top, folder)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def rows(prepared) -> dict[str, list]:
    """Rows of every set."""
    required = ("wav.scp", "text", "prompt", "utt2task", "utt2lang", "utt2spk", "transcript", "utt2category")
    return {folder.name: read_data_dir(folder, required) for folder in sorted((prepared / "data").iterdir())}


def transcripts(rows) -> set[str]:
    return {row.transcript for row in rows}


def test_no_sentence_and_no_voice_is_in_two_parts(rows):
    english = {name: transcripts(r for r in found if r.language == "en") for name, found in rows.items()}
    assert all(part_of(sentence) == "adapter" for sentence in english["train"])
    assert all(is_held_out(sentence) for sentences in english.values() for sentence in sentences)
    for name, found in rows.items():
        part = name.partition("_")[0]
        if part != "train":
            assert {part_of(sentence) for sentence in english[name]} <= {part}
        variants = {row.speaker.rpartition(".")[2] for row in found}
        for other, others in rows.items():
            if other.partition("_")[0] != part:
                assert not variants & {row.speaker.rpartition(".")[2] for row in others}


def test_noise_levels_share_sentences_voices_and_questions(rows, prepared):
    def asked(name):
        return [(r.utt_id, r.speaker, r.prompt, r.text) for r in rows[name]]

    assert all(asked(name) == asked("test_clean") for name in NOISE_LEVELS)
    first = [soundfile.read(rows[name][0].audio.path)[0] for name in NOISE_LEVELS]
    assert len({samples.tobytes() for samples in first}) == 4
    assert {row.task for row in rows["test_clean"]} == {"asr", "ast", "qa", "dialog", "category", "continuation"}


def test_rows_about_one_recording_share_it(rows):
    found = rows["test_clean"]
    assert len({row.audio.key for row in found}) == 5
    assert len({row.audio.key for row in rows["train"]}) == 15


def test_targets_belong_to_what_is_said(rows):
    for row in rows["test_clean"]:
        if row.task == "asr":
            assert row.text == row.transcript
        if row.task == "category":
            assert row.text == row.category
        if row.task == "qa":
            assert row.text in row.transcript
    spanish = [row for row in rows["test_es"]]
    assert {(row.language, row.task) for row in spanish} == {("es", "asr"), ("es", "ast")}
    assert all((row.text == row.transcript) == (row.task == "asr") for row in spanish)


def test_name_lists(rows):
    """Unknown names: all spoken ones are in the list of ten, or none is; no training audio has any of them."""
    for row in rows["test_names"]:
        assert len(row.context) == 10
        assert any(name in row.transcript.split() for name in row.context)
        spoken = [name for name in RARE_NAMES if name in row.transcript.split()]
        assert spoken and set(spoken) <= set(row.context)
    for row in rows["test_names_absent"]:
        assert len(row.context) == 10 and not set(row.context) & set(row.transcript.split())
    by_sentence = sorted(rows["dev_names"], key=lambda row: row.utt_id.partition("-devnames")[2])
    assert [any(name in row.transcript.split() for name in row.context) for row in by_sentence] == [True, False] * 3
    assert all(is_held_out_name(name) for row in rows["dev_names"] for name in row.context)
    words = {word for row in rows["train"] for word in row.transcript.split()}
    assert not words & {name for row in rows["dev_names"] + rows["test_names"] for name in row.context}


def test_longer_lists_of_the_same_recordings(rows, prepared):
    """The same sentences with 100 and 1000 names that are not spoken; nothing is synthesized for them."""
    for base in ("test_names", "dev_names"):
        spoken = {row.utt_id: row for row in rows[base] if row.task == "asr"}
        for size in (100, 1000):
            name = f"{base}_{size}"
            assert (prepared / "data" / name / "same_audio_as").read_text() == f"{base}\n"
            assert not (prepared / "audio" / name).exists()
            assert [row.utt_id for row in rows[name]] == sorted(spoken)
            for row in rows[name]:
                first = spoken[row.utt_id]
                said = set(first.context) & set(first.transcript.split())
                assert row.audio == first.audio and row.text == first.text
                assert set(row.context) & set(row.transcript.split()) == said
                assert len(set(row.context)) == len(row.context) == size + len(said)
    long = {row.utt_id: set(row.context) for row in rows["test_names_1000"]}
    assert all(set(row.context) < long[row.utt_id] for row in rows["test_names_100"])


def test_second_run_speaks_nothing_again(top, prepared):
    def state():
        return {p: p.stat().st_mtime_ns for p in prepared.rglob("*.wav")}

    before = state()
    assert len(before) > 50
    assert prepare(top, prepared).returncode == 0
    assert state() == before


def test_exhausted_grammar_is_said(top, monkeypatch):
    monkeypatch.syspath_prepend(str(top / "egs2/mini/slm1/local"))
    sets = importlib.import_module("sets")
    monkeypatch.setattr(sets, "MAX_TRIES", 1)
    with pytest.raises(ValueError, match=r"of 50 distinct sentences found for test; ask for fewer"):
        sets.draw("test", 50, "x")
