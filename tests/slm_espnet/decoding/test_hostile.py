"""Results of decoding jobs on a full or read-only disk, damaged, late, and beside a second process."""

import errno
import json
import os
import subprocess
import sys

import pytest

from slm_espnet import files
from slm_espnet.decoding.merging import merge
from slm_espnet.decoding.results import JobWriter
from slm_espnet.decoding.types import Hypothesis
from slm_espnet.errors import UserError, run_main
from slm_espnet.locks import Lock

SETTINGS = {"input": "speech"}
IDS = [f"u{number}" for number in range(6)]


def hypotheses(ids):
    return [(utt_id, Hypothesis(f"words of {utt_id}", (4,), (-0.5, -0.25), -0.75)) for utt_id in ids]


def decode(folder, job=1, num_jobs=1, ids=IDS, **options):
    """A job that decodes what is missing."""
    with JobWriter(folder, job, {**SETTINGS, "num_jobs": num_jobs}, **options) as writer:
        found = [utt_id for utt_id in ids if utt_id not in writer.finished]
        if not writer.done:
            writer.add(hypotheses(found))
            writer.finish({})
    return found


@pytest.mark.parametrize("damage", ["truncated", "corrupted", "missing"])
def test_a_damaged_file_of_one_job_is_named_and_only_what_is_missing_decoded_again(tmp_path, damage):
    decode(tmp_path, 1, 2, IDS[:3])
    decode(tmp_path, 2, 2, IDS[3:])
    path = tmp_path / "hypotheses.2.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    if damage == "truncated":
        path.write_bytes(lines[0] + lines[1][:20])
    elif damage == "corrupted":
        path.write_bytes(lines[0] + lines[1].replace(b'"', b"\x00", 1) + lines[2])
    else:
        path.unlink()
    with pytest.raises(UserError, match=r"hypotheses\.2\.jsonl is truncated or damaged; run job 2 again"):
        merge(tmp_path, 2, IDS, SETTINGS)
    assert decode(tmp_path, 1, 2, IDS[:3]) == []
    assert decode(tmp_path, 2, 2, IDS[3:]) == (IDS[3:] if damage == "missing" else IDS[4:])
    assert path.read_bytes() == whole
    assert merge(tmp_path, 2, IDS, SETTINGS)["decoded"] == 6


def test_a_job_that_is_done_but_lost_lines_goes_on(tmp_path):
    decode(tmp_path)
    path = tmp_path / "hypotheses.1.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:4]))
    assert decode(tmp_path) == IDS[4:] and path.read_bytes() == whole


def test_a_full_disk_is_named_and_given_room_the_same_call_ends_well(tmp_path, small_disk):
    decode(tmp_path / "whole", ids=[f"{number:0200d}" for number in range(90)])
    disk = small_disk(16)
    ids = [f"{number:0200d}" for number in range(90)]
    with pytest.raises(UserError, match=r"cannot write .*hypotheses\.1\.jsonl \(No space left.*goes on from here"):
        decode(disk, ids=ids)
    small_disk.grow(disk, 256)
    assert 0 < len(decode(disk, ids=ids)) < 90, "what was written before the disk was full counts"
    for name in ("hypotheses.1.jsonl", "done.1"):
        assert (disk / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_read_only_folder_is_named(small_disk):
    disk = small_disk(64)
    small_disk.protect(disk)
    for folder in (disk, disk / "new"):
        with pytest.raises(UserError, match=r"cannot write .*Read-only.*choose another one"):
            decode(folder)


def test_a_second_process_is_refused_before_it_removes_anything(tmp_path):
    with JobWriter(tmp_path, 1, {**SETTINGS, "num_jobs": 1}) as writer:
        writer.add(hypotheses(IDS[:2]))
        with pytest.raises(UserError, match=rf"job 1 of this decoding .* \(process {os.getpid()} on "):
            decode(tmp_path, overwrite=True)
        writer.add(hypotheses(IDS[2:]))
        writer.finish({})
    with Lock(tmp_path / ".lock.merge", "x"), pytest.raises(UserError, match="the result of this decoding is being"):
        merge(tmp_path, 1, IDS, SETTINGS)
    assert merge(tmp_path, 1, IDS, SETTINGS)["decoded"] == 6
    assert not list(tmp_path.glob(".*"))


def test_jobs_that_show_late_are_waited_for(tmp_path, monkeypatch, capsys):
    decode(tmp_path, 1, 2, IDS[:3])
    monkeypatch.setattr(files, "LATE_SECONDS", 3.0)
    monkeypatch.setattr(files.time, "sleep", lambda _: decode(tmp_path, 2, 2, IDS[3:]))
    assert merge(tmp_path, 2, IDS, SETTINGS)["decoded"] == 6
    assert "done.2 not to be seen yet; waiting up to 3 s" in capsys.readouterr().err


def test_a_lock_outlives_neither_its_process_nor_a_reader_of_it(tmp_path):
    code = "import os, sys; from pathlib import Path; from slm_espnet.locks import Lock; " \
           "lock = Lock(Path(sys.argv[1]), 'x'); os.kill(os.getpid(), 9)"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")])
    assert done.returncode == -9 and (tmp_path / "lock").is_file(), "a crash leaves the file"
    with Lock(tmp_path / "lock", "x"):
        assert (tmp_path / "lock").read_text().split()[1] == str(os.getpid())
    assert not (tmp_path / "lock").exists()


def test_a_file_system_without_locks_is_worth_a_warning(tmp_path, monkeypatch, capsys):
    def flock(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("slm_espnet.locks.fcntl.flock", flock)
    assert decode(tmp_path) == IDS
    assert "has no locks" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "cure"), [(errno.ENOSPC, "make room"), (errno.EROFS, "choose another folder")])
def test_what_no_room_foresaw_still_is_one_line(number, cure, capsys):
    def main():
        raise OSError(number, os.strerror(number), "some/file")

    with pytest.raises(SystemExit) as raised:
        run_main(main)
    error = capsys.readouterr().err
    assert raised.value.code == 2 and error.startswith("error: some/file: ") and cure in error
    assert len(error.splitlines()) == 1
    with pytest.raises(OSError):
        run_main(lambda: (_ for _ in ()).throw(OSError(errno.EIO, "other")))


def test_settings_of_an_older_marker_are_still_understood(tmp_path):
    decode(tmp_path)
    (tmp_path / "done.1").write_text("")  # as it was written before it said how much was decoded
    assert decode(tmp_path) == []
    assert merge(tmp_path, 1, IDS, SETTINGS)["decoded"] == 6
    assert json.loads((tmp_path / "settings.json").read_text()) == SETTINGS
