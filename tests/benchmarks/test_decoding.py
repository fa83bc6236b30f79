"""The decoding benchmark runs on a tiny random model, and exact drafts give its greedy answers."""

from __future__ import annotations

import runpy

import pytest


@pytest.mark.parametrize("family", ["t5", "llama"])
def test_benchmark_on_random_weights(top, capsys, family):
    main = runpy.run_path(str(top / "benchmarks/decoding.py"))["main"]
    assert main(["--random", family, "--width", "64", "--layers", "1", "--batch_size", "2", "--repeats", "2"]) == 0
    table = [line.strip("|").split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [row[0] for row in table[2:]][-2:] == ["greedy", "exact drafts"]
    assert all(row[6] == "2 of 2" for row in table[2:])
    assert float(table[-1][4]) < float(table[-2][4])  # fewer passes for a token
