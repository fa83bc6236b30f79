"""The encoding benchmark runs on a tiny random encoder, and all ways give the same frames."""

from __future__ import annotations

import runpy

import pytest


@pytest.fixture(scope="module")
def benchmark(top):
    return runpy.run_path(str(top / "benchmarks/encoding.py"))


def tables(text):
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|") and "---" not in line]
    return {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize("pair", ["tiny_causal", "tiny_t5"])
def test_all_ways_give_the_same_frames(benchmark, capsys, pair):
    assert benchmark["main"](["--pair", pair, "--utterances", "5", "--repeats", "2", "--batch_size", "3"]) == 0
    found = tables(capsys.readouterr().out)
    assert float(found["plain loop"][-1]) == 0.0
    assert float(found["padded batches"][-1]) < 1e-5
    assert float(found["stage 2"][-1]) < 2**-10  # rounded to float16
    padding = {name: float(found[name][4].split()[0]) for name in ("plain loop", "padded batches", "stage 2")}
    assert padding["plain loop"] == 0 and padding["stage 2"] <= 5 < padding["padded batches"]
    assert all(float(row[1].split()[0]) <= 5 for name, row in found.items() if "drawn" in name)
    assert float(found["all frames, float16"][0]) < float(found["all frames, float32"][0])
    assert all(float(without) < float(whole) for without, whole in (found[n] for n in found if "float" in n))


def test_padding_is_what_fills_a_batch_up_to_its_longest(benchmark):
    assert benchmark["padding_share"]([[4.0], [4.0, 4.0]]) == 0
    assert benchmark["padding_share"]([[4.0, 2.0], [3.0, 3.0]]) == pytest.approx(2 / 14)


def test_lengths_are_those_of_read_speech(top):
    speech = runpy.run_path(str(top / "benchmarks/speech.py"))
    seconds = speech["drawn_seconds"](20000)
    assert 7.2 < seconds.mean() < 7.6 and seconds.min() == 1.5 and seconds.max() == 35.0


def test_a_misnamed_size_is_refused(benchmark):
    with pytest.raises(SystemExit, match="--pair, or --foundation"):
        benchmark["main"]([])
