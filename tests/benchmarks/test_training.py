"""The training benchmark compares ways that give the same loss; times are not looked at."""

from __future__ import annotations

import runpy
import sys

import pytest

OPTIONS = ("--utterances", "12", "--batch_size", "4", "--repeats", "1")


@pytest.fixture(scope="module")
def benchmark(top):
    """Function (pair, claim, options) → lines printed."""
    sys.path.insert(0, str(top / "benchmarks"))
    try:
        return runpy.run_path(str(top / "benchmarks/training.py"))
    finally:
        sys.path.remove(str(top / "benchmarks"))


def lines_of(benchmark, capsys, pair, claim):
    assert benchmark["main"](["--pair", pair, "--claim", claim, *OPTIONS]) == 0
    return capsys.readouterr().out.splitlines()


def difference(lines):
    return float(
        next(line for line in lines if "largest difference" in line)
        .partition("largest difference of ")[2]
        .split()[2]
        .rstrip(";")
    )


@pytest.mark.parametrize("pair", ["tiny_t5", "tiny_causal"])
def test_an_encoder_in_the_loop_changes_nothing_but_the_time(benchmark, capsys, pair):
    lines = lines_of(benchmark, capsys, pair, "encoder_in_loop")
    assert difference(lines) < 1e-5
    assert [line.split("|")[1] for line in lines if line.startswith("|")][2:] == [
        "encoder in the loop",
        "cached encodings",
    ]


@pytest.mark.parametrize("pair", ["tiny_t5", "tiny_causal"])
def test_all_means_give_the_same_loss(benchmark, capsys, pair):
    lines = lines_of(benchmark, capsys, pair, "no_tricks")
    assert difference(lines) < 1e-5
    ways = [line.split("|")[1] for line in lines if line.startswith("|")][2:]
    assert ways[0] == "none" and ways[-1] == "all" and len(ways) == (4 if pair == "tiny_t5" else 6)


@pytest.mark.parametrize("pair", ["tiny_t5", "tiny_causal"])
def test_memory_is_what_tensors_with_data_take(benchmark, capsys, pair):
    """Beside attention, which a CPU multiplies out where `meta` takes a GPU's."""
    from slm_espnet.planning.measure import PeakMemory

    parts = runpy.run_path(str(benchmark["TOP"] / "benchmarks/training_parts.py"))
    trained = parts["Trained"](benchmark["read_pair"](pair), 16, "cpu", None)
    corpus = parts["draw_corpus"](6)
    batch = parts["make_batch"](corpus, range(6), 16, trained.llm.vocab_size)
    found = {}
    for plain in (True, False):
        memory = PeakMemory([*trained.model.parameters(), *trained.model.buffers()])
        with memory:
            (trained.plain_loss if plain else trained.loss)(batch).backward()
        trained.optimizer.zero_grad()
        found[plain] = memory.peak
    trained.to_meta()
    for plain, peak in found.items():
        assert benchmark["peak_of_step"](trained, batch, plain) == pytest.approx(peak, rel=0.3)
    assert found[False] < found[True]
    assert "all / none" in lines_of(benchmark, capsys, pair, "memory")[-3]


def test_steps_read_mapped_encodings_from_disk(benchmark, capsys):
    lines = lines_of(benchmark, capsys, "mini_t5", "loader")
    rows = [line.strip("|").split("|") for line in lines if line.startswith("|")][2:]
    assert [row[0] for row in rows] == ["0 processes beside", "1 processes beside"]
    assert rows[0][-1] == "yes"


def test_the_corpus_has_mixed_lengths_and_batches_hold_all_of_it(top):
    parts = runpy.run_path(str(top / "benchmarks/training_parts.py"))
    corpus = parts["draw_corpus"](200)
    assert min(one.seconds for one in corpus) >= 1 and 20 < max(one.seconds for one in corpus) <= 30
    for batches in (parts["filled_batches"](corpus, 1000), parts["even_batches"](corpus, 7)):
        assert sorted(sum(batches, [])) == list(range(200))
    filled = parts["filled_batches"](corpus, 1000)
    assert all(len(some) * max(corpus[number].tokens for number in some) <= 1000 for some in filled)


def test_a_step_has_operations_to_be_counted(benchmark, capsys):
    lines = lines_of(benchmark, capsys, "tiny_causal", "floor")
    assert any("G operations in" in line and "of the rate" in line for line in lines)


@pytest.mark.parametrize("pair", ["tiny_t5", "tiny_causal"])
def test_all_means_together_compute_least(benchmark, capsys, pair):
    lines = lines_of(benchmark, capsys, pair, "operations")
    rows = [line.strip("|").split("|") for line in lines if line.startswith("|")][2:]
    shares = [float(row[2]) for row in rows]
    assert rows[0][0] == "none" and rows[-1][0] == "all" and shares[0] == 1.0
    assert shares[-1] == min(shares) < 0.9
