"""Stage 2 as a command: every recording comes out or is counted, in one job or many, whole or resumed."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from slm_espnet.data.datadir import AudioSource, read_data_dir
from slm_espnet.encodings import job as job_module
from slm_espnet.encodings.reader import EncodingReader
from slm_espnet.errors import UserError


def add_rows(data_dir, rows):
    for name in ("wav.scp", "text"):
        with open(data_dir / name, "a", encoding="utf-8") as file:
            file.writelines(f"{utt_id} {path if name == 'wav.scp' else 'a'}\n" for utt_id, path in rows)


def contents(directory):
    reader = EncodingReader(directory)
    return {key: (reader[key].frames.tobytes(), reader.ctc_hypothesis(key)) for key in reader.keys()}


def test_many_jobs_give_what_one_gives(command, tmp_path):
    assert command() == 0
    for job in ("3", "1", "2"):
        assert command("--job", job, "--num_jobs", "3", output="jobs") == 0
    assert command("--merge", "true", "--num_jobs", "3", output="jobs") == 0
    one, many = contents(tmp_path / "encodings"), contents(tmp_path / "jobs")
    assert one.keys() == many.keys()
    for key, (frames, text) in one.items():
        other, other_text = many[key]
        assert text == other_text
        np.testing.assert_allclose(*(np.frombuffer(f, np.float16) for f in (frames, other)), rtol=2**-9, atol=1e-6)
    sizes = [(tmp_path / "jobs" / f"shard.{job}.bin").stat().st_size for job in (1, 2, 3)]
    assert max(sizes) < 2 * min(sizes)


def test_what_is_done_is_not_done_again(command, tmp_path, data_dir):
    assert command() == command() == 0
    assert command.built == 1
    before = (tmp_path / "encodings" / "shard.1.bin").read_bytes()
    soundfile.write(data_dir / "new.wav", 0.1 * np.random.default_rng(1).standard_normal(300), 1000)
    add_rows(data_dir, [("utt99", data_dir / "new.wav")])
    assert command() == 0
    assert command.built == 2 and len(EncodingReader(tmp_path / "encodings")) == 25
    assert (tmp_path / "encodings" / "shard.1.bin").read_bytes().startswith(before)
    assert command("--overwrite", "true") == 0
    assert command.built == 3


def test_a_killed_job_resumes_to_the_same_bytes(command, tmp_path, monkeypatch):
    assert command() == 0
    real, batches = job_module._compute, []

    def killed(*arguments):
        batches.append(1)
        if len(batches) == 4:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(job_module, "_compute", killed)
    with pytest.raises(KeyboardInterrupt):
        command(output="resumed")
    resumed = tmp_path / "resumed"
    shard = (resumed / "shard.1.bin").read_bytes()
    (resumed / "shard.1.bin").write_bytes(shard[:-30])  # in the middle of an encoding
    assert shard and not (resumed / "done.1.json").exists()
    assert command(output="resumed") == 0
    for name in ("shard.1.bin", "index.1.tsv", "index.tsv", "index.npy", "keys.npy"):
        assert (resumed / name).read_bytes() == (tmp_path / "encodings" / name).read_bytes(), name


def test_another_number_of_jobs_keeps_what_is_there(command, tmp_path):
    for job in ("1", "2", "3"):
        assert command("--job", job, "--num_jobs", "4") == 0
    for job in ("1", "2"):
        assert command("--job", job, "--num_jobs", "2") == 0
    assert command("--merge", "true", "--num_jobs", "2") == 0
    lines = sum(len(path.read_text().splitlines()) - 1 for path in (tmp_path / "encodings").glob("index.*.tsv"))
    assert len(EncodingReader(tmp_path / "encodings")) == lines == 24


def test_a_truncated_shard_is_made_whole_by_the_same_call(command, tmp_path):
    assert command() == 0
    shard = tmp_path / "encodings" / "shard.1.bin"
    data = shard.read_bytes()
    shard.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="truncated"):
        EncodingReader(tmp_path / "encodings")
    assert command() == 0
    assert shard.read_bytes() == data


def test_bad_audio_is_counted_and_the_rest_is_encoded(command, tmp_path, data_dir, capsys):
    soundfile.write(data_dir / "nothing.wav", np.zeros(0), 1000)
    soundfile.write(data_dir / "short.wav", np.zeros(20), 1000)
    soundfile.write(data_dir / "long.wav", np.zeros(70000), 1000)
    soundfile.write(data_dir / "nan.wav", np.full(500, np.nan), 1000, subtype="FLOAT")
    (data_dir / "text.wav").write_text("no audio", encoding="utf-8")
    bad = ["nothing", "short", "long", "nan", "text", "missing"]
    rows = [(f"z{number}", data_dir / f"{name}.wav") for number, name in enumerate(bad)]
    add_rows(data_dir, [*rows, ("zpipe", "false |")])
    assert command() == 1
    assert "7 of 31" in capsys.readouterr().err
    left_out = [line.split("\t") for line in (tmp_path / "encodings" / "left_out.tsv").read_text().splitlines()]
    reasons = {path.split("/")[-1]: reason for _, reason, path, _ in left_out}
    assert reasons == {
        "nothing.wav": "zero length", "short.wav": "too short for one frame", "long.wav": "longer than 60 s",
        "nan.wav": "not finite", "text.wav": "unreadable audio", "missing.wav": "missing audio",
        "false |": "failed pipe",
    }  # fmt: skip
    reader = EncodingReader(tmp_path / "encodings")
    keys = {row.audio.key for row in read_data_dir(data_dir)}
    assert {key for key in keys if key in reader} | {key for key, *_ in left_out} == keys and len(reader) == 24
    soundfile.write(data_dir / "missing.wav", 0.1 * np.random.default_rng(1).standard_normal(300), 1000)
    assert command("--max_failed", "0.2") == 0  # tries what failed again
    assert len(EncodingReader(tmp_path / "encodings")) == 25
    assert command("--max_failed", "0.2") == 0 and command.built == 2


def test_pipes_are_encoded(command, tmp_path, data_dir):
    add_rows(data_dir, [("zpipe", f"cat {data_dir / '05.wav'} |")])
    assert command() == 0
    reader = EncodingReader(tmp_path / "encodings")
    keys = [AudioSource(path).key for path in (f"cat {data_dir / '05.wav'} |", str(data_dir / "05.wav"))]
    np.testing.assert_allclose(*(reader[key].frames for key in keys), rtol=2**-9, atol=1e-6)


def test_another_configuration_is_refused_unless_overwritten(command, tmp_path):
    assert command() == 0
    with pytest.raises(UserError, match=r"weights_sha256.*--overwrite true"):
        command(seed=1)
    before = contents(tmp_path / "encodings")
    assert command("--overwrite", "true", seed=1) == 0
    after = contents(tmp_path / "encodings")
    assert before.keys() == after.keys() and all(before[key] != after[key] for key in before)
    assert json.loads((tmp_path / "encodings" / "fingerprint.json").read_text())["encoder"]["weights_sha256"][-1] == "1"


def test_jobs_that_are_not_finished_are_named(command):
    assert command("--job", "1", "--num_jobs", "3") == 0
    with pytest.raises(UserError, match=r"job\(s\) 2, 3 of 3 are not finished"):
        command("--merge", "true", "--num_jobs", "3")
    for options in (("--job", "4", "--num_jobs", "3"), ("--num_jobs", "2"), ("--job", "1", "--merge", "true")):
        with pytest.raises(UserError):
            command(*options)


def test_help_and_a_finished_set_need_no_torch(command, tmp_path, data_dir):
    assert command() == 0
    arguments = ["--foundation", "foundation.yaml", "--data_dir", str(data_dir), "--output_dir", "encodings"]
    code = (
        "import sys; from slm_espnet.bin.encode import main; "
        f"assert main({arguments}) == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_more_jobs_than_recordings(command, tmp_path):
    for job in range(1, 27):
        assert command("--job", str(job), "--num_jobs", "26") == 0
    assert command("--merge", "true", "--num_jobs", "26") == 0
    assert len(EncodingReader(tmp_path / "encodings")) == 24
