"""Temporary files were named by process id alone, which two machines that share a disk can have in common.

Those of trainings had one name for all.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from slm_espnet.files import AtomicFile, temporary_beside, write_atomically
from slm_espnet.training import saving


def test_two_writers_with_the_same_process_id_do_not_meet(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 7)
    path = tmp_path / "table"
    with AtomicFile(path) as first:
        first.write("first\n")
        with AtomicFile(path) as second:
            second.write("second\n")
        assert path.read_text() == "second\n"
        first.write("still first\n")
    assert path.read_text() == "first\nstill first\n"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: write_atomically(path, f"{number}\n" * 1000), range(40)))
    assert len(set(path.read_text().split())) == 1
    assert os.listdir(tmp_path) == ["table"]


def test_names_stay_beside_their_file_within_the_systems_length(tmp_path):
    path = tmp_path / ("ä" * 120 + ".txt")
    write_atomically(path, "text")
    assert path.read_text() == "text"
    name = temporary_beside(path, ".wav")
    assert name.parent == tmp_path and name.name.startswith(".") and name.suffix == ".wav"
    assert len(os.fsencode(temporary_beside(tmp_path / ("𝄞" * 60)).name)) <= 255


def test_no_two_checkpoints_or_notes_of_jobs_are_written_under_one_name(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "utils"))
    from launcher import spool

    monkeypatch.setattr(os, "getpid", lambda: 7)
    monkeypatch.setattr(os, "fsync", lambda _file: written.append(set(os.listdir(tmp_path)) - {"file"}))
    written = []
    for _ in range(2):
        saving.save({"n": 1}, tmp_path / "file")
        spool.write(tmp_path / "file", "text")
    names = [name for found in written for name in found]
    assert len(names) == 4 and len(set(names)) == 4, "one while each is written"
    assert os.listdir(tmp_path) == ["file"]
