"""The tuning command, from a data directory and encodings to a YAML file that decoding can read."""

from __future__ import annotations

import json
import shutil
import sys
from types import ModuleType, SimpleNamespace

import pytest

from slm_espnet.biasing.options import load_options
from slm_espnet.bin import tune_biasing
from slm_espnet.data.datadir import read_data_dir
from slm_espnet.errors import UserError

ROWS = {  # utterance: task, text, transcript, what CTC heard
    "u1": ("asr", "call rosalind now", None, "call rosalynd now"),
    "u2": ("dialog", "okay", "tell walter hello", "tell walter hello"),
    "u3": ("asr", "go home at four", None, "go home at four"),
}


class Reader(dict):
    """Encodings in memory, with the reader's interface."""

    def __init__(self, fingerprint, encodings):
        super().__init__(encodings)
        self.fingerprint = fingerprint


@pytest.fixture
def options(tmp_path, ctc, monkeypatch):
    directory = tmp_path / "data" / "dev"
    directory.mkdir(parents=True)
    columns = {
        "wav.scp": lambda u, row: f"{u}.wav",
        "utt2task": lambda u, row: row[0],
        "text": lambda u, row: row[1],
        "transcript": lambda u, row: row[2],
        "context": lambda u, row: json.dumps(["rosalind", "walter", "yolanda"]),
    }
    for name, value in columns.items():
        lines = [f"{u} {value(u, row)}\n" for u, row in ROWS.items() if value(u, row) is not None]
        (directory / name).write_text("".join(lines), encoding="utf-8")
    encodings = {}
    for row in read_data_dir(directory):
        found = ctc.posteriors(ctc.frames(ROWS[row.utt_id][3]))
        encodings[row.audio.key] = SimpleNamespace(posteriors=found)
    module = ModuleType("slm_espnet.encodings.reader")
    fingerprint = {"vocabulary": list(ctc.vocabulary), "blank_id": 0}
    module.EncodingReader = lambda directory: Reader(fingerprint, encodings)
    monkeypatch.setitem(sys.modules, "slm_espnet.encodings.reader", module)
    output = tmp_path / "exp" / "biasing.yaml"
    arguments = ["--datadir", str(tmp_path / "data"), "--dev_sets", "dev", "--encodings_dir", str(tmp_path)]
    return SimpleNamespace(
        arguments=[*arguments, "--output", str(output)], output=output, data=directory, fingerprint=fingerprint
    )


@pytest.mark.parametrize("criterion", ["name_f1", "wer"])
def test_tuned_options_can_be_loaded(options, criterion, capsys):
    assert tune_biasing.main([*options.arguments, "--criterion", criterion, "--max_phrases", "2"]) == 0
    tuned = load_options(options.output)
    assert tuned.max_phrases == 2 and (options.output.parent / tuned.background).is_file()
    assert "recall 1.000, F1 1.000; WER of CTC text 0.00 %" in capsys.readouterr().out
    text = options.output.read_text(encoding="utf-8")
    assert "3 recordings with lists of 3" in text and "Nothing placed: names found with precision 1.000, recall" in text


def test_longer_lists_get_their_own_threshold(options):
    others = [f"{first}{second}{third}" for first in "bcdfgh" for second in "aeiou" for third in "lmnr"]
    long = options.data.with_name("dev_long")
    shutil.copytree(options.data, long)
    words = json.dumps(["rosalind", "walter", *others])
    (long / "context").write_text("".join(f"{utterance} {words}\n" for utterance in ROWS))
    arguments = [o if o != "dev" else "dev dev_long" for o in options.arguments]
    assert tune_biasing.main(arguments) == 0
    tuned = load_options(options.output)
    assert list(tuned.threshold) == [3, 122] and tuned.threshold[3] < tuned.threshold[122]


def test_what_cannot_be_tuned_on_is_refused(options):
    (options.data / "context").write_text("")
    with pytest.raises(UserError, match="no recording of 'dev' has a context list"):
        tune_biasing.main(options.arguments)
    options.fingerprint["vocabulary"] = None
    with pytest.raises(UserError, match="encoder has no CTC"):
        tune_biasing.main(options.arguments)
    with pytest.raises(UserError, match="at least 1"):
        tune_biasing.main([*options.arguments, "--max_phrases", "0"])
