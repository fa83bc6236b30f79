"""Temporary files were named by process id alone, which two machines that share a disk can have in common."""

import os
from concurrent.futures import ThreadPoolExecutor

from slm_espnet.files import AtomicFile, temporary_beside, write_atomically


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
