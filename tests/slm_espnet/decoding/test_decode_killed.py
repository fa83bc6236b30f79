"""Decoding jobs that are killed or run out of memory: what is decoded stays, and the rest follows."""

import os
import signal

import pytest
import torch
from tiny_decoding import hypotheses, run, same

from slm_espnet.decoding.results import JobWriter
from slm_espnet.errors import UserError
from slm_espnet.inference import Decoder


def test_a_killed_job_is_resumed_and_a_complete_one_is_left_alone(corpus, decoded, tmp_path, capsys, monkeypatch):
    output = tmp_path / "out"
    run(corpus, output, "--job", "1", "--num_jobs", "2")
    path = output / "hypotheses.1.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    (output / "done.1").unlink()
    path.write_bytes(whole[0] + whole[1] + whole[2][:30])
    asked = []
    original = Decoder.decode_batches
    monkeypatch.setattr(
        Decoder, "decode_batches", lambda self, r, done: asked.append(len(r) - len(done)) or original(self, r, done)
    )
    run(corpus, output, "--job", "1", "--num_jobs", "2")
    assert asked == [len(whole) - 2] and "2 of them decoded before" in capsys.readouterr().out
    run(corpus, output, "--job", "1", "--num_jobs", "2")
    run(corpus, output, "--job", "2", "--num_jobs", "2")
    run(corpus, output, "--num_jobs", "2", "--merge")
    assert len(asked) == 2  # the first job was not decoded a third time
    same(hypotheses(output), hypotheses(decoded))
    before = {p.name: p.stat().st_mtime_ns for p in output.iterdir()}
    run(corpus, output)
    assert "already decoded" in capsys.readouterr().out
    assert before == {p.name: p.stat().st_mtime_ns for p in output.iterdir()}


def killed_in_its_second_write(decode_all):
    """Decode in a process of its own that is killed half-way through a line; whether it was."""
    child = os.fork()
    if child == 0:
        real, calls = JobWriter.add, []

        def add(self, results):
            calls.append(1)
            if len(calls) == 2:
                self._file.write(b'{"utt_id": "a')
                os.kill(os.getpid(), signal.SIGKILL)
            real(self, results)

        JobWriter.add = add
        try:
            decode_all()
            os._exit(0)
        finally:
            os._exit(99)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


def test_killed_again_and_again_it_ends_in_the_same_bytes(corpus, tmp_path):
    kills = 0
    while killed_in_its_second_write(lambda: run(corpus, tmp_path / "killed", "--batch_size", "2")):
        kills += 1
    run(corpus, tmp_path / "whole", "--batch_size", "2")
    files = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "killed").iterdir()} == files
    assert kills == 4, "five batches"


def test_too_little_memory_names_what_to_lower_and_keeps_what_is_decoded(corpus, decoded, tmp_path, monkeypatch):
    original = Decoder._decode
    calls = []

    def sometimes(self, batch):
        calls.append(batch)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, batch)

    monkeypatch.setattr(Decoder, "_decode", sometimes)
    with pytest.raises(UserError, match="lower --batch_tokens or --batch_size"):
        run(corpus, tmp_path / "out", "--batch_size", "4")
    run(corpus, tmp_path / "out", "--batch_size", "2")
    assert [len(batch) for batch in calls] == [4, 4, 2, 2, 2]
    same(hypotheses(tmp_path / "out"), hypotheses(decoded))
