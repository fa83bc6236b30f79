"""Stage 2 on a machine that dies, on a full or read-only disk, beside a second one, and with files that come late."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from slm_espnet import files
from slm_espnet.encodings import writer as writer_module
from slm_espnet.encodings.layout import job_done_path
from slm_espnet.encodings.reader import EncodingReader
from slm_espnet.errors import UserError

FINAL = ("shard.1.bin", "index.1.tsv", "index.tsv", "index.npy", "keys.npy", "done.json")


def killed_while_writing(command, at, **where):
    """Run the command in a process of its own that is killed half-way through its at-th write; whether it was."""
    child = os.fork()
    if child == 0:
        real, calls = writer_module._write_all, []

        def write_all(file, data):
            calls.append(1)
            if len(calls) == at:
                real(file, data[: len(data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            real(file, data)

        writer_module._write_all = write_all
        try:
            os._exit(command(**where))
        finally:
            os._exit(99)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


def jobs(command, count, output="encodings"):
    for job in range(1, count + 1):
        assert command("--job", str(job), "--num_jobs", str(count), output=output) == 0
    return command("--merge", "true", "--num_jobs", str(count), output=output)


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_killed_again_and_again_it_ends_in_the_same_bytes(command, tmp_path):
    assert command() == 0
    kills = [killed_while_writing(command, at, output="killed") for at in (1, 2, 4, 5, 4, 3, 5)]
    assert all(kills), "in a shard and in an index, at the beginning and later"
    assert command(output="killed") == 0
    for name in FINAL:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "encodings" / name).read_bytes(), name
    assert not list((tmp_path / "killed").glob(".*"))


def test_only_the_part_whose_bytes_changed_is_made_again(command, tmp_path, capsys):
    assert jobs(command, 3) == 0
    folder = tmp_path / "encodings"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    flip(folder / "shard.2.bin", 2 * len(before["shard.2.bin"]) // 3)
    with pytest.raises(UserError, match=r"encodings: damaged: shard\.2\.bin from encoding \d of 8 on; run stage 2"):
        command("--verify", "true")
    built = command.built
    assert jobs(command, 3) == 0 and command.built == built + 1
    assert "part 2 of 3" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert command("--verify", "true") == 0


@pytest.mark.parametrize("damage", ["truncated", "corrupted"])
def test_a_damaged_index_of_one_part_is_named_and_only_that_part_made_again(command, tmp_path, damage):
    assert jobs(command, 3) == 0
    folder = tmp_path / "encodings"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "index.tsv").unlink()  # the parts are to be put together again
    index = folder / "index.2.tsv"
    if damage == "truncated":
        index.write_bytes(index.read_bytes()[:-20])
    else:
        flip(index, index.read_bytes().index(b".") + 1)  # a length in seconds
        with pytest.raises(UserError, match=r"index\.2\.tsv damaged.*only the broken part"):
            command("--merge", "true", "--num_jobs", "3")
    built = command.built
    assert jobs(command, 3) == 0 and command.built == built + 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_joint_index_that_lies_is_noticed_where_it_is_used(command, tmp_path):
    assert command() == 0
    folder = tmp_path / "encodings"
    key = list(EncodingReader(folder).keys())[2]
    table = np.load(folder / "index.npy", mmap_mode="r")
    flip(folder / "index.npy", table.offset + 2 * table.itemsize + table.dtype.fields["offset"][1])
    with pytest.raises(UserError, match=rf"shard\.1\.bin: damaged at byte \d+, encoding {key}; .*--verify"):
        EncodingReader(folder)[key]
    with pytest.raises(UserError, match=r"index\.tsv and what belongs to it"):
        command("--verify", "true")
    assert command() == 0 and len(EncodingReader(folder)[key].frames)


def test_a_full_disk_is_named_and_given_room_the_same_call_ends_well(command, tmp_path, small_disk):
    assert command() == 0
    disk = small_disk(16)
    with pytest.raises(UserError, match=r"cannot write .*[a-z]+\.1\.\w+ \(No space left.*\); make room and run"):
        command(output=disk)
    small_disk.grow(disk, 256)
    assert command(output=disk) == 0
    for name in FINAL:
        assert (disk / name).read_bytes() == (tmp_path / "encodings" / name).read_bytes(), name


def test_a_read_only_folder_is_read_and_not_written(command, tmp_path, small_disk):
    disk = small_disk(256)
    assert command(output=disk / "set") == 0
    small_disk.protect(disk)
    assert command(output=disk / "set") == 0 and command.built == 1, "complete: nothing to write"
    assert len(EncodingReader(disk / "set")) == 24
    with pytest.raises(UserError, match=r"cannot write .*/other \(Read-only.*choose another one"):
        command(output=disk / "other")
    with pytest.raises(UserError, match=r"cannot write .*Read-only"):
        command("--overwrite", "true", output=disk / "set")


def test_a_second_job_on_the_same_part_is_refused_and_told_who_is_there(command, tmp_path):
    folder = tmp_path / "encodings"
    folder.mkdir()
    code = (
        "import sys; from pathlib import Path; from slm_espnet.locks import Lock; "
        "lock = Lock(Path(sys.argv[1]), 'x'); print('here', flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", code, str(folder / ".lock.1")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "here\n"
        for options in ((), ("--overwrite", "true")):
            with pytest.raises(UserError, match=rf"encodings: part 1 .* another process \(process {other.pid} on "):
                command(*options)
        assert {path.name for path in folder.iterdir()} == {".lock.1"}, "what is there is left alone"
        assert command("--job", "2", "--num_jobs", "2") == 0
        other.kill()
    assert command() == 0, "the lock went with the process"


def test_done_markers_that_come_late_are_waited_for(command, tmp_path, monkeypatch, capsys):
    for job in ("1", "2"):
        assert command("--job", job, "--num_jobs", "2") == 0
    marker = job_done_path(tmp_path / "encodings", 2)
    content, naps = marker.read_text(), []
    marker.unlink()
    monkeypatch.setattr(files, "LATE_SECONDS", 5.0)

    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            marker.write_text(content)

    monkeypatch.setattr(files.time, "sleep", sleep)
    assert command("--merge", "true", "--num_jobs", "2") == 0 and len(naps) == 3
    assert capsys.readouterr().err.count("done.2.json not to be seen yet; waiting up to 5 s") == 1
    marker.unlink()
    (tmp_path / "encodings" / "done.json").unlink()
    naps.extend("123")
    with pytest.raises(UserError, match=r"job\(s\) 2 of 2 are not finished"):
        command("--merge", "true", "--num_jobs", "2")
    assert len(naps) == 11, "it waited once more, and not for ever"


@pytest.mark.parametrize("moment", [0, 4102444800])
def test_no_clock_decides_anything(command, tmp_path, moment):
    assert jobs(command, 2) == 0
    folder = tmp_path / "encodings"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for number, path in enumerate(sorted(folder.iterdir())):
        os.utime(path, (moment + number, moment + number))
    built = command.built
    assert jobs(command, 2) == 0 and command.built == built, "1970 or 2100: complete is complete"
    shard = folder / "shard.2.bin"
    shard.write_bytes(before["shard.2.bin"][:-40])
    os.utime(shard, (moment, moment))
    assert jobs(command, 2) == 0 and command.built == built + 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_markers_of_other_settings_or_without_sense_are_no_markers(command, tmp_path):
    assert command() == 0
    for content in ("[]", "{}", "\x00", json.dumps({"request": {}, "audio": "", "num_jobs": 1})):
        for name in ("done.json", "done.1.json"):
            (tmp_path / "encodings" / name).write_text(content)
        assert command() == 0 and len(EncodingReader(tmp_path / "encodings")) == 24
    built = command.built
    assert command("--max_seconds", "59") == 0 and command.built == built + 1, "another request: looked at again"
