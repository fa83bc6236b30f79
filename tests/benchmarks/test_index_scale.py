"""The benchmark of millions of utterances, on fewer: its pieces work, and memory grows as little as it must."""

import ctypes
import gc
import importlib.util
import os
import re
import sys

import pytest

COUNT = 150_000
# 2 GiB for ten million, of which 0.5 GiB are packages; lists and dictionaries take ten times as much
BYTES_EACH = 150
AT_ONCE = 64 << 20  # what a piece has in hand at a time, however many there are


@pytest.fixture(scope="module")
def benchmark(top):
    spec = importlib.util.spec_from_file_location("index_scale", top / "benchmarks" / "index_scale.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["index_scale"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(benchmark, tmp_path_factory):
    """The files of COUNT utterances."""
    folder = tmp_path_factory.mktemp("many")
    benchmark.make(folder, COUNT)
    return folder


def most_memory():
    """Bytes, highest so far."""
    with open("/proc/self/status") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


def growth(work):
    """What a piece says, and by how much it makes a process grow at the highest; it runs in a copy of this one."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)  # memory that earlier tests left free would hide what is taken here
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")  # forget the highest memory so far
            before = most_memory()
            said = work()
            os.write(writing, f"{most_memory() - before} {said}".encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with open(reading, "rb") as file:
        answer = file.read().decode()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    size, _, said = answer.partition(" ")
    return int(size), said


@pytest.mark.parametrize(
    ("piece", "says"),
    [
        ("index_tables", f"{COUNT} rows in .* MiB of index"),
        ("open_encodings", "68 bytes an utterance"),
        ("statistics", "rows/s"),
        ("training", r"\d{4} batches an epoch"),
        ("training_mixed", r"\d{4} batches an epoch"),
        ("decoding", f"{COUNT // 512 + 1} requests, job 4 of 512"),
    ],
)
def test_memory_grows_by_few_bytes_for_each_utterance(benchmark, folder, piece, says, monkeypatch):
    import slm_espnet.task  # noqa: F401  what all pieces load is no growth
    from slm_espnet.data import row_index

    monkeypatch.setattr(row_index, "KEPT_BYTES", 0)
    monkeypatch.setattr(benchmark, "ROWS", 1000)
    size, said = growth(lambda: getattr(benchmark, piece)(folder))
    assert re.search(says, said), said
    assert size < AT_ONCE + BYTES_EACH * COUNT


def test_lists_and_dictionaries_would_be_noticed(benchmark, folder):
    from slm_espnet.data.datadir import read_data_dir

    size, said = growth(lambda: (read_data_dir(folder / "data"), benchmark.before_batches(folder))[1])
    assert f"{COUNT} utterances" in said and size > AT_ONCE + BYTES_EACH * COUNT
