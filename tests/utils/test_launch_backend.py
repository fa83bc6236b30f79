"""Waiting for jobs that run in threads: results in order, errors at once, and no signal overlooked."""

import sys
from concurrent.futures import Future
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "utils"))

from launcher import backend  # noqa: E402
from launcher.job import JobResult  # noqa: E402


def test_results_come_in_the_order_of_the_jobs():
    futures = [Future(), Future()]
    for number in (1, 0):
        futures[number].set_result(JobResult(number, 0))
    assert [result.number for result in backend.wait_for(futures)] == [0, 1]


def test_an_error_does_not_wait_for_the_other_jobs():
    running, failed = Future(), Future()
    failed.set_exception(OSError("no room"))
    with pytest.raises(OSError, match="no room"):
        backend.wait_for([running, failed])


def test_no_wait_is_without_end(monkeypatch):
    def wait(futures, timeout, _when):
        assert timeout <= 1, "a signal that came just before is heeded after it"
        asked.append(timeout)
        if len(asked) == 2:
            futures[0].set_result(JobResult(1, 0))
        return ({futures[0]}, set()) if len(asked) == 2 else (set(), {futures[0]})

    asked = []
    monkeypatch.setattr(backend, "wait", wait)
    assert backend.wait_for([Future()]) == [JobResult(1, 0)]
