"""The retrieval benchmark runs on made-up data and finds what is spelled well."""

from __future__ import annotations

import runpy


def test_benchmark_on_made_up_data(top, capsys):
    main = runpy.run_path(str(top / "benchmarks/biasing_retrieval.py"))["main"]
    assert main(["--sizes", "10 200", "--utterances", "5", "--misheard", "0.05"]) == 0
    table = [line.strip("|").split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert table[0][:4] == ["N", "recall@1", "recall@3", "recall@10"] and [row[0] for row in table[2:]] == ["10", "200"]
    assert all(float(row[3]) == 1.0 and float(row[5]) > 0 for row in table[2:])
