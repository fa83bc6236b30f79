"""The decoding benchmark runs on tiny random models, and all ways give the answers of transformers' generate."""

from __future__ import annotations

import runpy

import pytest


@pytest.mark.parametrize("pair", ["tiny_t5", "tiny_causal"])
def test_benchmark_on_random_weights(top, capsys, pair):
    main = runpy.run_path(str(top / "benchmarks/decoding.py"))["main"]
    counts = ["--utterances", "3", "--batch_size", "2", "--repeats", "2", "--tokens", "12", "--seconds", "4"]
    assert main(["--pair", pair, *counts]) == 0
    lines = [line.strip("|").split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    table = {name: dict(zip(lines[0][1:], cells, strict=True)) for name, *cells in lines[2:]}
    assert len(table) == 8 and all(row["same"] == "3 of 3" for row in table.values())
    assert float(table["greedy, batches"]["passes per token"]) == 1.0
    assert float(table["exact drafts, batches"]["passes per token"]) < 0.5
    assert float(table["beam 4, batches"]["RTFx"]) > 0 and table["generate, batches"]["floor ms"] == "-"
    greedy, drafted = (table[f"{way}, one by one"]["floor ms"] for way in ("greedy", "exact drafts"))
    assert greedy.endswith("(weights)") and float(greedy.split()[0]) > float(drafted.split()[0]) > 0
