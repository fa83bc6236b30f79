"""What a corpus needs on many GPUs: the arithmetic, the document that shows it, and impossible numbers."""

import subprocess
import sys

import numpy as np
import pytest

from slm_espnet.bin import scale as command
from slm_espnet.encodings.layout import Encoding, Layout
from slm_espnet.encodings.posteriors import FramePosteriors
from slm_espnet.errors import UserError
from slm_espnet.planning.scale import ENTRIES_PER_FRAME, Corpus, Frames, Rates, scale

FRAMES = Frames(dim=256, value_bytes=2, frame_shift=0.04, kept=0.5, vocabulary=500)
CORPUS = Corpus("x", hours=1000, utterances=300_000, test_hours=10, test_utterances=3000)


def test_bytes_of_an_hour_are_those_of_an_encoding_of_an_hour():
    total, kept = 90_000, 45_000
    counts = np.full(total, 5, np.uint8)
    counts[::5] = 6  # 5.2 in the mean
    assert counts.mean() == ENTRIES_PER_FRAME
    entries = int(counts.sum())
    posteriors = FramePosteriors(
        frames=total, vocabulary_size=500, blank_id=0, rows=np.arange(total, dtype=np.int32), counts=counts,
        ids=np.zeros(entries, np.uint16), log_probs=np.zeros(entries, np.float16),
    )  # fmt: skip
    places = np.arange(kept, dtype=np.int32)
    encoding = Encoding(np.zeros((kept, 256), np.float16), places, places + 1, total, 3600.0, "", posteriors)
    fingerprint = {"dim": 256, "storage_dtype": "float16", "blank_id": 0, "vocabulary": [""] * 500}
    assert len(Layout(fingerprint).pack(encoding)) == pytest.approx(FRAMES.bytes_per_hour, rel=1e-3)


def test_jobs_are_as_many_as_gpus_or_as_short_as_asked_for():
    rates = Rates(encoder_rtf=100, load_seconds=36, job_hours=2)
    few, many = scale(CORPUS, 2, FRAMES, rates), scale(CORPUS, 64, FRAMES, rates)
    assert (few.encoding_jobs, many.encoding_jobs) == (5, 64)
    assert few.encoding_hours == pytest.approx(3 * (2 + 0.01)) and many.encoding_hours == pytest.approx(10 / 64 + 0.01)
    assert few.files == 4 * 5 + 6 and few.storage == many.storage == 1000 * FRAMES.bytes_per_hour
    assert (many.decoding_jobs, many.per_decoding_job) == (64, 47)


def test_the_document_has_what_the_command_prints(top, capsys):
    assert command.main(["--foundation", str(top / "conf" / "foundation" / "owsm_ctc_mt0_xxl.yaml")]) == 0
    printed = "owsm" + capsys.readouterr().out.strip().partition("owsm")[2]  # after what importing ESPnet says
    assert printed.count("|\n") == 10 and printed in (top / "doc" / "scale.md").read_text()


def test_numbers_of_ones_own(top, capsys):
    pair = ["--foundation", str(top / "conf" / "foundation" / "mini.yaml")]
    own = ["--corpus", "mine", "10", "9000", "1", "500", "--gpus", "4", "--kept", "0.55"]
    assert command.main([*pair, *own]) == 0
    head, _, _, _, row = capsys.readouterr().out.strip().splitlines()[-5:]
    assert "55% of those every 30 ms: 3" in head and row.startswith("| mine | 4 |") and "4 x 125" in row
    for wrong, message in (
        (["--corpus", "mine", "ten", "9000", "1", "500"], "mine: hours and utterances are numbers, not ten"),
        (["--corpus", "mine", "0", "9000", "1", "500"], "must be above 0"),
        (["--encoder_rtf", "0"], "--encoder_rtf must be above 0"),
        (["--gpus", "0"], "--gpus must be at least 1"),
    ):
        with pytest.raises(UserError, match=message):
            command.main([*pair, *wrong])


def test_help_needs_no_torch():
    code = "import sys; from slm_espnet.bin.scale import get_parser; get_parser(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
