"""A part of a cache survives being killed anywhere, a full disk, and a second writer."""

from __future__ import annotations

import errno

import numpy as np
import pytest

from slm_espnet.encodings import writer as module
from slm_espnet.encodings.layout import Encoding, index_path, shard_path
from slm_espnet.encodings.writer import EncodingWriter, as_stored, complete_entries
from slm_espnet.errors import UserError


@pytest.fixture
def encodings(pipeline_of):
    """Ten encodings by key, of different lengths."""
    generator = np.random.default_rng(1)
    waves = [0.2 * generator.standard_normal(60 + 77 * n).astype(np.float32) for n in range(10)]
    pipeline = pipeline_of()
    return {f"{n:020x}": as_stored(encoding, pipeline.layout) for n, encoding in enumerate(pipeline.encode(waves))}


def write(directory, fingerprint, encodings, batch=3):
    with EncodingWriter(directory, 2, fingerprint) as writer:
        missing = [key for key in encodings if key not in writer.keys]
        for begin in range(0, len(missing), batch):
            writer.write({key: encodings[key] for key in missing[begin : begin + batch]})
    return shard_path(directory, 2).read_bytes(), index_path(directory, 2).read_bytes()


def test_a_killed_job_goes_on_to_identical_bytes(tmp_path, pipeline_of, encodings):
    fingerprint = pipeline_of().fingerprint
    (tmp_path / "whole").mkdir()
    shard, index = write(tmp_path / "whole", fingerprint, encodings)
    line_ends = [i + 1 for i, byte in enumerate(index) if byte == 10]
    cuts = [(0, 0), (0, 5), (100, line_ends[0]), (len(shard), len(index) - 1), (len(shard) - 1, len(index))]
    cuts += [(len(shard) // 2, line_ends[3] + 7), (len(shard), line_ends[5]), (len(shard), len(index))]
    for number, (shard_size, index_size) in enumerate(cuts):
        part = tmp_path / str(number)
        part.mkdir()
        shard_path(part, 2).write_bytes(shard[:shard_size])
        index_path(part, 2).write_bytes(index[:index_size])
        assert write(part, fingerprint, encodings, batch=4) == (shard, index), (shard_size, index_size)


def test_bytes_that_never_reached_the_disk_are_noticed(tmp_path, pipeline_of, encodings):
    """After a power cut a file may have its length but not its content."""
    shard, index = write(tmp_path, pipeline_of().fingerprint, encodings)
    shard_path(tmp_path, 2).write_bytes(shard[:-64] + bytes(64))
    assert write(tmp_path, pipeline_of().fingerprint, encodings) == (shard, index)


def test_a_full_disk_is_said_and_what_was_written_stays(tmp_path, pipeline_of, encodings, monkeypatch):
    fingerprint = pipeline_of().fingerprint
    first = dict(list(encodings.items())[:4])
    real = module._write_all
    with EncodingWriter(tmp_path, 2, fingerprint) as writer:
        writer.write(first)

        def full(file, data):
            real(file, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(module, "_write_all", full)
        with pytest.raises(UserError, match=rf"cannot write {tmp_path}/shard\.2\.bin .*No space left.*4 encodings"):
            writer.write(encodings)
        monkeypatch.setattr(module, "_write_all", real)
    entries = complete_entries(tmp_path, 2, module.digest(fingerprint))
    assert [entry.key for entry in entries] == list(first)
    (tmp_path / "whole").mkdir()
    assert write(tmp_path, fingerprint, encodings) == write(tmp_path / "whole", fingerprint, encodings)


def test_parts_of_another_configuration_are_refused_or_replaced(tmp_path, pipeline_of, encodings):
    write(tmp_path, pipeline_of().fingerprint, encodings)
    with pytest.raises(UserError, match="another configuration.*--overwrite true"):
        EncodingWriter(tmp_path, 2, pipeline_of(seed=1).fingerprint)
    with EncodingWriter(tmp_path, 2, pipeline_of(seed=1).fingerprint, overwrite=True) as writer:
        assert not writer.keys
    assert shard_path(tmp_path, 2).stat().st_size == 0


def test_values_that_float16_cannot_hold_are_not_stored_as_infinity(pipeline_of):
    frames = np.array([[1e5, 0, 0, 0, 0, 0]], np.float32)
    encoding = Encoding(frames, np.zeros(1, np.int32), np.ones(1, np.int32), 1, 0.1, "", None)
    with pytest.raises(OverflowError, match="float16"):
        as_stored(encoding, pipeline_of().layout)
    assert as_stored(encoding, pipeline_of(storage_dtype="float32").layout).frames.max() == np.float32(1e5)
