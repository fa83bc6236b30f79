"""AN4's data preparation on a made-up corpus in each layout that AN4 is published in."""

from __future__ import annotations

import importlib
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from slm_espnet.data.audio import read_audio
from slm_espnet.data.datadir import read_data_dir
from slm_espnet.errors import UserError

TRAIN = {"fash": 3, "mabc": 3, "fjam": 2}  # speaker → recordings; the encoder knows fash, fjam is a development speaker
TEST = {"fcaw": 2}
WORDS = ("GO", "RUBOUT G M E F THREE NINE", "HALL'S AVENUE")


@pytest.fixture
def local(top, monkeypatch):
    """Import a module of the recipe's local folder."""
    monkeypatch.syspath_prepend(str(top / "egs2/an4/slm1/local"))
    return importlib.import_module


def wave(index: int) -> np.ndarray:
    """Half a second of something smooth, int16."""
    time = np.arange(8000) / 16000
    return np.round(8000 * np.sin(2 * np.pi * (200 + 30 * index) * time)).astype(np.int16)


def write_audio(stem: Path, layout: str, samples: np.ndarray) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    if layout.startswith("raw"):
        data = samples.astype(">i2" if layout == "raw_big" else "<i2").tobytes()
        stem.with_name(f"{stem.name}.raw").write_bytes(data)
    elif layout == "sph":
        soundfile.write(stem.with_name(f"{stem.name}.sph"), samples, 16000, format="NIST", subtype="PCM_16")
    else:
        soundfile.write(stem.with_name(f"{stem.name}.{layout}"), samples, 16000)


def make_corpus(folder: Path, layout: str = "flac") -> Path:
    (folder / "etc").mkdir(parents=True)
    for split, part, speakers in (("train", "an4_clstk", TRAIN), ("test", "an4test_clstk", TEST)):
        ids, lines = [], []
        for speaker, count in speakers.items():
            for i in range(count):
                name = f"an{100 + i}-{speaker}-b"
                ids.append(f"{part}/{speaker}/{name}")
                words = WORDS[i]
                lines.append(f"<s> {words} </s> ({name})" if split == "train" else f"{words} ({name})")
                write_audio(folder / "wav" / part / speaker / name, layout, wave(len(ids)))
        (folder / "etc" / f"an4_{split}.fileids").write_text("\n".join(ids) + "\n")
        (folder / "etc" / f"an4_{split}.transcription").write_text("\n".join(lines) + "\n")
    return folder


def prepare(local, top: Path, corpus: Path, output: Path, monkeypatch, *options: str) -> Path:
    (output / "speakers").parent.mkdir(parents=True, exist_ok=True)
    (output / "speakers").write_text("fash\n")
    arguments = ["--an4", corpus, "--data_dir", output / "data", "--audio_dir", output / "audio"]
    arguments += ["--encoder_speakers", output / "speakers", "--known_copies", 1, "--new_copies", 2, *options]
    arguments += ["--tasks_config", top / "egs2/an4/slm1/conf/tasks.yaml"]
    monkeypatch.setattr("sys.argv", ["prepare.py", *map(str, arguments)])
    spec = importlib.util.spec_from_file_location("an4_prepare", top / "egs2/an4/slm1/local/prepare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main()
    return output / "data"


@pytest.mark.parametrize("layout", ["raw_big", "raw_little", "sph", "wav", "flac"])
def test_every_layout_gives_the_recorded_samples(local, top, tmp_path, monkeypatch, layout):
    data = prepare(local, top, make_corpus(tmp_path / "an4", layout), tmp_path / "out", monkeypatch)
    rows = read_data_dir(data / "test")
    assert [row.text for row in rows] == ["go", "rubout g m e f three nine"]
    assert [row.utt_id for row in rows] == ["fcaw-an100-fcaw-b", "fcaw-an101-fcaw-b"]
    for index, row in enumerate(rows):
        np.testing.assert_array_equal(np.round(read_audio(row.audio, 16000) * 32768), wave(index + 1))


def test_speakers_are_parted_and_the_encoder_s_own_come_varied_only(local, top, tmp_path, monkeypatch):
    data = prepare(local, top, make_corpus(tmp_path / "an4"), tmp_path / "out", monkeypatch)
    train, dev = read_data_dir(data / "train_nodev"), read_data_dir(data / "train_dev")
    assert {row.speaker for row in dev} == {"fjam"} and {row.speaker for row in train} == {"fash", "mabc"}
    copies = {speaker: [r.utt_id[-2:] for r in train if r.speaker == speaker] for speaker in ("fash", "mabc")}
    assert copies == {"fash": ["v1"] * 3, "mabc": ["-b", "v1", "v2"] * 3}
    own = [row for row in train if row.utt_id.startswith("mabc-an100")]
    samples = [read_audio(row.audio, 16000) for row in own]
    assert len({x.tobytes() for x in samples}) == 3
    assert {row.text for row in own} == {"go"}


def test_same_seed_same_copies_other_seed_others(local, top, tmp_path, monkeypatch):
    corpus = make_corpus(tmp_path / "an4")

    def samples(output, seed):
        data = prepare(local, top, corpus, tmp_path / output, monkeypatch, "--seed", seed)
        return [read_audio(row.audio, 16000).tobytes() for row in read_data_dir(data / "train_nodev")]

    first = samples("a", 1)
    assert samples("b", 1) == first
    assert samples("a", 2) != first  # in the same folders: what is there must not be taken for it


def test_one_missing_recording_is_named_and_many_are_an_error(local, top, tmp_path, monkeypatch, capsys):
    corpus = make_corpus(tmp_path / "an4")
    (corpus / "wav/an4_clstk/mabc/an100-mabc-b.flac").unlink()
    data = prepare(local, top, corpus, tmp_path / "out", monkeypatch, "--max_failed", "0.2")
    assert len({row.utt_id[:10] for row in read_data_dir(data / "train_nodev")}) == 5
    assert "left out: an4_clstk/mabc/an100-mabc-b: no audio file" in capsys.readouterr().err
    with pytest.raises(UserError, match="1 of 10 utterances"):
        prepare(local, top, corpus, tmp_path / "out", monkeypatch, "--max_failed", "0.01")


def test_a_folder_that_is_not_an4_names_db_sh(local, tmp_path):
    with pytest.raises(UserError, match=r"an4_train.fileids is missing; AN4= in db.sh"):
        local("an4_corpus").read_split(tmp_path, "train")


def test_a_damaged_transcription_names_the_line(local, tmp_path):
    corpus = make_corpus(tmp_path / "an4")
    with open(corpus / "etc/an4_train.transcription", "a") as file:
        file.write("no name here\n")
    with pytest.raises(UserError, match=r"an4_train.transcription:9: expected"):
        local("an4_corpus").read_split(corpus, "train")


def test_unreadable_audio_is_named(local, tmp_path):
    broken = tmp_path / "x.flac"
    broken.write_bytes(b"not audio")
    with pytest.raises(UserError, match="x.flac cannot be read"):
        local("an4_corpus").read_samples(broken)
    (tmp_path / "x.raw").write_bytes(b"abc")
    with pytest.raises(UserError, match="x.raw cannot be read.*3 bytes"):
        local("an4_corpus").read_samples(tmp_path / "x.raw")


def test_download_unpacks_once_and_says_what_to_do_without_network(local, tmp_path):
    module = local("download")
    make_corpus(tmp_path / "published" / "an4", "wav")
    archive = tmp_path / "published" / "an4.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "published" / "an4", "an4")
        tar.add(tmp_path / "published" / "an4" / "etc" / "an4_test.fileids", "../escaped")
    missing = (tmp_path / "nowhere.tar.gz").as_uri()
    assert module.download(tmp_path / "d", (missing, archive.as_uri())) == tmp_path / "d" / "an4"
    assert not (tmp_path / "escaped").exists()
    archive.unlink()
    assert module.download(tmp_path / "d", (missing,)) == tmp_path / "d" / "an4"
    with pytest.raises(UserError, match=r"could not be fetched .*AN4=/path/to/an4 in db.sh"):
        module.download(tmp_path / "other", (missing,))
