"""Training by ESPnet's trainer, from a data directory and its encodings to an adapter that loads."""

import copy
import json
import logging
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from espnet2.train.reporter import Reporter

from slm_espnet.bin import average, stats
from slm_espnet.checkpoint import load_model
from slm_espnet.data.datadir import AudioSource
from slm_espnet.encodings.fingerprint import write_fingerprint
from slm_espnet.encodings.job import JobOptions, mark_done
from slm_espnet.encodings.layout import FORMAT, Encoding, job_left_out_path
from slm_espnet.encodings.merge import merge
from slm_espnet.encodings.plan import Recording
from slm_espnet.encodings.writer import EncodingWriter
from slm_espnet.errors import UserError
from slm_espnet.llm.build import build_llm
from slm_espnet.report.curves import read_curve
from slm_espnet.task import SLMTask
from slm_espnet.training.curve import CURVE
from slm_espnet.training.dataset import RowsWithEncodings
from slm_espnet.training.groups import SEEN

WIDTH = 12
TEXTS = ["call mary", "tell james on monday", "book a table", "the weather in london", "call james at nine"]
CONFIG = {
    "max_epoch": 2,
    "batch_type": "sorted",
    "batch_size": 4,
    "optim": "adamw",
    "optim_conf": {"lr": 0.01},
    "scheduler": "onecyclelr",
    "scheduler_conf": {"max_lr": 0.01},
    "adapter_conf": {"size": 16, "heads": 2, "layers": 1},
    "model_conf": {"ctc_only_steps": 2},
    "keep_nbest_models": 2,
    "num_threads": 1,
}


def write_encodings(directory, frames, weights="abc"):
    """A complete set of encodings, as one job of stage 2 leaves it."""
    directory.mkdir(parents=True)
    fingerprint = {
        "format": FORMAT,
        "encoder": {"kind": "made up", "weights_sha256": weights},
        "reduction": {"name": "none"},
        "storage_dtype": "float32",
        "dim": WIDTH,
        "frame_shift": 0.04,
        "blank_id": None,
        "posteriors": None,
        "vocabulary": None,
    }
    write_fingerprint(directory, fingerprint)
    with EncodingWriter(directory, 1, fingerprint) as writer:
        for key, array in frames.items():
            positions = np.arange(len(array))
            writer.write({key: Encoding(array, positions, positions + 1, len(array), 0.04 * len(array), "", None)})
    recordings = [Recording(key, AudioSource(key), None) for key in sorted(frames)]
    job_left_out_path(directory, 1).touch()
    mark_done(directory, fingerprint, recordings, {}, JobOptions(job=1, num_jobs=1))
    merge(recordings, directory, 1, {})


@pytest.fixture(scope="module")
def work(tmp_path_factory, tiny_t5):
    """A folder with data/{train,dev}, enc/{train,dev}, a foundation file, and a training configuration."""
    folder = tmp_path_factory.mktemp("work")
    random = np.random.default_rng(0)
    for part, count in (("train", 16), ("dev", 5)):
        data = folder / "data" / part
        data.mkdir(parents=True)
        ids = [f"{part}{n:02d}" for n in range(count)]
        columns = {
            "wav.scp": [f"{part}{n}.wav" for n in range(count)],
            "text": [TEXTS[n % len(TEXTS)] for n in range(count)],
            "prompt": ["recognize this speech"] * count,
            "utt2task": ["asr"] * count,
        }
        for name, values in columns.items():
            lines = [f"{utt} {value}\n" for utt, value in zip(ids, values, strict=True)]
            (data / name).write_text("".join(lines), encoding="utf-8")
        keys = [AudioSource(path).key for path in columns["wav.scp"]]
        write_encodings(folder / "enc" / part, {key: random.normal(size=(12 + n, WIDTH)) for n, key in enumerate(keys)})
    foundation = {
        "speech_encoder": "espnet_ctc",
        "speech_encoder_conf": {"model": "not/needed"},
        "length_reduction": "ctc_blank",
        "length_reduction_conf": {},
        "llm": "hf_seq2seq",
        "llm_conf": {"model": str(tiny_t5), "dtype": "float32"},
        "prompt_conf": {"speech_end": "<sp>", "end": "<eos>"},
    }
    (folder / "foundation.yaml").write_text(yaml.safe_dump(foundation), encoding="utf-8")
    (folder / "train.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    for part in ("train", "dev"):
        options = ["--data_dir", folder / "data" / part, "--encodings_dir", folder / "enc" / part]
        options += ["--foundation", folder / "foundation.yaml", "--output_dir", folder / "stats" / part]
        assert stats.main([str(option) for option in options]) == 0
    return folder


def train(work, output_dir, *options, train_shape=None, valid_encodings=None, train_data=None, more_data=None):
    arguments = ["--config", work / "train.yaml", "--foundation", work / "foundation.yaml", "--resume", "true"]
    for kind, part in (("train", "train"), ("valid", "dev")):
        encodings = valid_encodings if valid_encodings and kind == "valid" else work / "enc" / part
        data_dir = train_data if train_data and kind == "train" else work / "data" / part
        data = f"{data_dir}::{encodings}"
        if more_data and kind == "train":
            data += f" {more_data}"
        arguments += [f"--{kind}_data_path_and_name_and_type", f"{data},speech,slm_rows"]
        shape = work / "stats" / part / "speech_shape"
        arguments += [f"--{kind}_shape_file", train_shape if train_shape and kind == "train" else shape]
    SLMTask.main(cmd=[str(argument) for argument in (*arguments, "--output_dir", output_dir, *options)])


@pytest.fixture(scope="module")
def trained(work):
    """exp directory of an uninterrupted training, averaged."""
    output_dir = work / "exp"
    train(work, output_dir)
    average.main(["--exp_dir", str(output_dir)])
    return output_dir


def weights(path):
    return torch.load(path, weights_only=True)


def test_checkpoints_hold_the_adapter_only(trained):
    checkpoint = torch.load(trained / "checkpoint.pth", weights_only=True)
    names = set(checkpoint["model"])
    assert names and all(name.startswith("adapter.") or name == "training_forwards" for name in names)
    assert checkpoint["model"]["training_forwards"] == 8
    moments = checkpoint["optimizers"][0]["state"]
    assert len(moments) == len(names) - 1, "the optimizer knows the adapter's parameters and no other"
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["input_size"] == WIDTH and config["scheduler_conf"]["total_steps"] == 8
    assert config["llm_identity"]["kind"] == "hf_seq2seq" and config["encoding_fingerprint"]


def test_the_curve_is_kept_by_epoch(trained):
    curve = read_curve(trained)
    assert curve.origin == CURVE
    for part, names in {"train": ("loss", "loss_ce", "optim0_lr0"), "valid": ("loss", "loss_ce_shuffled")}.items():
        assert all(curve.line(part, name)[0] == [1, 2] for name in names)
    log = Reporter()
    log.load_state_dict(torch.load(trained / "checkpoint.pth", weights_only=False)["reporter"])
    assert curve.line("valid", "loss")[1] == [log.get_value("valid", "loss", epoch) for epoch in (1, 2)]
    assert curve.line("train", "loss")[1] == [log.get_value("train", "loss", epoch) for epoch in (1, 2)]


def test_the_average_is_the_mean_of_the_epochs(trained):
    epochs = [weights(trained / f"{n}epoch.pth") for n in (1, 2)]
    model = load_model(trained)
    for name, value in model.adapter.state_dict().items():
        mean = (epochs[0][f"adapter.{name}"] + epochs[1][f"adapter.{name}"]) / 2
        torch.testing.assert_close(value, mean)


def test_the_llm_is_bit_identical_after_training(trained, tiny_t5):
    fresh = build_llm("hf_seq2seq", {"model": str(tiny_t5), "dtype": "float32"}).state_dict()
    loaded = load_model(trained).llm.state_dict()
    assert fresh.keys() == loaded.keys() and all(torch.equal(fresh[key], loaded[key]) for key in fresh)


def test_killed_while_saving_and_resumed_gives_the_same_weights(work, trained, tmp_path):
    expected = weights(trained / "2epoch.pth")
    train(work, tmp_path)
    whole = (tmp_path / "checkpoint.pth").read_bytes()
    (tmp_path / "checkpoint.pth").write_bytes(whole[: len(whole) // 3])
    (tmp_path / "2epoch.pth").unlink()
    train(work, tmp_path)
    resumed = weights(tmp_path / "2epoch.pth")
    assert all(torch.equal(resumed[key], expected[key]) for key in expected)
    assert read_curve(tmp_path).line("valid", "loss") == read_curve(trained).line("valid", "loss")
    (tmp_path / "2epoch.pth").write_bytes(b"cut")
    train(work, tmp_path)
    assert weights(tmp_path / "2epoch.pth").keys() == expected.keys(), "a cut epoch file is written again"


def test_start_up_says_what_is_joined_and_how_much_is_trained(work, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        train(work, tmp_path, "--dry_run", "true")
    said = caplog.text
    for part in ("speech encoder:", "language model:", "trainable share", "adapter body", "kept frames/s"):
        assert part in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_epohc": 3}, "max_epohc.*did you mean max_epoch"),
        ({"adapter_conf": {"sise": 3}}, "adapter_conf has unknown key.*sise"),
        ({"model_conf": {"ctc_wieght": 3}}, "model_conf has unknown key.*ctc_wieght"),
        ({"prompt_conf": {"ordre": []}}, "prompt_conf.*ordre"),
        ({"optim_conf": {"learning_rate": 1}}, "optim_conf.*learning_rate"),
        ({"scheduler_conf": {"maximum_lr": 1}}, "scheduler_conf has unknown key.*maximum_lr.*max_lr"),
        ({"input_size": 5}, "input_size is 5 but frames"),
        ({"best_model_criterion": [["valid", "loss", "min"], ["train", "loss", "min"]]}, "one best_model_criterion"),
        ({"use_adapter": True}, "use_adapter"),
        ({"mixing_conf": {"temprature": 3}}, "mixing_conf has unknown key.*temprature"),
        ({"mixing_conf": {"temperature": 3}, "iterator_type": "chunk"}, "mixing_conf needs iterator_type sequence"),
    ],
)
def test_a_wrong_configuration_is_one_line(work, tmp_path, change, message):
    config = {**copy.deepcopy(CONFIG), **change}
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        train(work, tmp_path / "exp", "--config", tmp_path / "train.yaml")
    assert "\n" not in str(caught.value)


def test_an_unknown_option_is_one_line(work, tmp_path):
    with pytest.raises(UserError, match="--max_epock.*did you mean max_epoch"):
        train(work, tmp_path, "--max_epock", "3")


def test_going_on_with_other_settings_or_foundations_is_refused(work, trained, tmp_path):
    (tmp_path / "checkpoint.pth").write_bytes((trained / "checkpoint.pth").read_bytes())
    with pytest.raises(UserError, match="other settings.*another --output_dir"):
        train(work, tmp_path, "--adapter_conf", "layers=2")
    config = yaml.safe_load((trained / "config.yaml").read_text())
    config["llm_identity"]["weights_sha256"] = "of another"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match="belongs to the LLM.*of another in training"):
        train(work, tmp_path)


def test_encodings_of_two_encoders_do_not_mix(work, tmp_path):
    write_encodings(tmp_path / "enc", {AudioSource("dev0.wav").key: np.zeros((3, WIDTH))}, weights="def")
    with pytest.raises(UserError, match="weights_sha256: expected abc, found def"):
        train(work, tmp_path / "exp", valid_encodings=tmp_path / "enc")


def test_shape_files_of_other_data_are_refused(work, tmp_path):
    (tmp_path / "speech_shape").write_text("stranger 5,12\n", encoding="utf-8")
    with pytest.raises(UserError, match="1 utterance.*stranger.*stages 2 and 3"):
        train(work, tmp_path / "exp", train_shape=tmp_path / "speech_shape")


def test_self_targets_are_chosen_by_their_instructions_whatever_tasks_are_trained(work, tmp_path):
    own = tmp_path / "train_self"
    shutil.copytree(work / "data/train", own)
    (own / "self_targets.json").write_text("{}")
    for table in (own / name for name in ("wav.scp", "text", "prompt", "utt2task")):
        lines = table.read_text().replace(" asr", " dialog").splitlines()
        table.write_text("".join(f"self-{line}\n" for line in lines))
    options = ["--data_dir", own, work / "data/train", "--encodings_dir", *[work / "enc/train"] * 2]
    options += ["--foundation", work / "foundation.yaml", "--output_dir", tmp_path / "stats", "--tasks", "asr"]
    assert stats.main([str(option) for option in options]) == 0
    assert json.loads((tmp_path / "stats/summary.json").read_text())["by_task"] == {"asr": 16, "dialog": 16}


def test_kl_is_trained_and_reported_and_the_configuration_says_what_was_seen(work, tmp_path, tiny_t5, caplog):
    own = tmp_path / "train_self"
    shutil.copytree(work / "data/train", own)
    identity = build_llm("hf_seq2seq", {"model": str(tiny_t5), "dtype": "float32"}).identity()
    marker = {"settings": {"llm": {"weights_sha256": identity["weights_sha256"]}}}
    (own / "self_targets.json").write_text(json.dumps(marker))
    weights = ("--model_conf", "kl_weight=1.0", "--model_conf", "kl_temperature=2.0", "--model_conf", "ce_weight=0.0")
    with caplog.at_level(logging.INFO):
        train(work, tmp_path / "exp", *weights, train_data=own)
    assert "loss: 1 KL to the LLM on the transcript (temperature 2) + 1 CTC; CTC alone in the first 2" in caplog.text
    checkpoint = torch.load(tmp_path / "exp/checkpoint.pth", weights_only=True)
    stats = checkpoint["reporter"]["stats"]
    assert 0 < stats[2]["train"]["loss_kl"] < 20 and "loss_ce" not in stats[2]["train"]
    assert stats[2]["valid"]["loss_kl"] > 0 and stats[2]["valid"]["loss_ce_shuffled"] > 0
    config = yaml.safe_load((tmp_path / "exp/config.yaml").read_text())
    assert config["self_tasks"] == ["asr"] and config["trained_tasks"] == []
    marker["settings"]["llm"]["weights_sha256"] = "of another"
    (own / "self_targets.json").write_text(json.dumps(marker))
    with pytest.raises(UserError, match="train_self holds the answers of an LLM with weights of another, not of"):
        train(work, tmp_path / "other", *weights, train_data=own)


@pytest.fixture(scope="module")
def mixed(work, tmp_path_factory):
    """A second training set (4 translated utterances beside 16 recognized ones): options that mix the two alike."""
    folder = tmp_path_factory.mktemp("mixed")
    data = folder / "data" / "more"
    data.mkdir(parents=True)
    table = {"wav.scp": "more{}.wav", "text": "hola {}", "prompt": "say it", "utt2task": "ast", "utt2lang": "en"}
    for name, value in {**table, "utt2target_lang": "es"}.items():
        (data / name).write_text("".join(f"more{n} {value.format(n)}\n" for n in range(4)), encoding="utf-8")
    random = np.random.default_rng(1)
    keys = [AudioSource(f"more{n}.wav").key for n in range(4)]
    write_encodings(folder / "enc" / "more", {key: random.normal(size=(14 + n, WIDTH)) for n, key in enumerate(keys)})
    options = ["--data_dir", work / "data/train", data, "--encodings_dir", work / "enc/train", folder / "enc/more"]
    options += ["--foundation", work / "foundation.yaml", "--output_dir", folder / "stats"]
    assert stats.main([str(option) for option in options]) == 0
    config = {**CONFIG, "mixing_conf": {"temperature": float("inf")}, "batch_type": "numel", "batch_bins": 1500}
    (folder / "train.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return SimpleNamespace(config=folder / "train.yaml", shape=folder / "stats/speech_shape", data=data, folder=folder)


def test_two_sets_are_mixed_and_a_resumed_training_sees_the_same(work, mixed, tmp_path, caplog):
    def run(name, *options):
        more = f"{mixed.data}::{mixed.folder}/enc/more"
        options = ("--config", mixed.config, *options)
        train(work, tmp_path / name, *options, train_shape=mixed.shape, more_data=more)
        return (tmp_path / name / SEEN).read_text(encoding="utf-8")

    with caplog.at_level(logging.INFO):
        seen = run("whole")
    (said,) = [line.split() for line in caplog.text.splitlines() if line.startswith("  more/ast/en_es")]
    assert said[1:6] == ["4", "20.0", "%", "50.0", "%"], "expected shares are said at the start"
    counts = [line.split("\t") for line in seen.splitlines()[1:]]
    assert [row[0] for row in counts] == ["1", "1", "2", "2"] and {row[2] for row in counts} == {"asr", "ast"}
    assert all(abs(float(row[5]) - 0.5) < 0.1 for row in counts)
    config = yaml.safe_load((tmp_path / "whole/config.yaml").read_text(encoding="utf-8"))
    assert config["trained_tasks"] == ["asr", "ast"]
    steps = f"total_steps={config['scheduler_conf']['total_steps']}"
    run("parts", "--max_epoch", 1, "--scheduler_conf", steps)
    assert run("parts") == seen
    whole, parts = (weights(tmp_path / name / "2epoch.pth") for name in ("whole", "parts"))
    assert all(torch.equal(parts[key], whole[key]) for key in whole)


def test_ids_of_training_sets_must_differ(work, mixed):
    path = f"{work}/data/train::{work}/enc/train {work}/data/copy::{work}/enc/train"
    shutil.copytree(work / "data/train", work / "data/copy")
    with pytest.raises(UserError, match="'train00' is in .*data/train and .*data/copy: ids of sets must differ"):
        RowsWithEncodings(path)
    with pytest.raises(UserError, match="2 utterance.*enc/train, more0 for one.*stages 2 and 3"):
        RowsWithEncodings(f"{mixed.data}::{work}/enc/train", {"more0", "more1"})


def test_memory_is_planned_before_a_model_is_loaded_that_is_dealt_out(work, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        train(work, tmp_path / "exp", "--llm_conf", "device_map=auto", "--max_epoch", 1)
    plan, loaded = (caplog.text.index(said) for said in ("memory of each device in GiB", "go to devices cpu"))
    assert plan < loaded
    assert "batches of up to 4 utterances of 27 frames and" in caplog.text and "  cpu: " in caplog.text
    caplog.clear()
    with pytest.raises(UserError, match="device_map auto: the weights take .* there is room for"):
        train(work, tmp_path / "exp", "--llm_conf", "device_map=auto", "--llm_conf", "max_memory={'cpu': 1000}")
    assert "go to devices" not in caplog.text


def test_folded_batches_beside_a_shape_file_of_prompts(work, tmp_path):
    more = []
    for kind, part in (("train", "train"), ("valid", "dev")):
        for name in ("target_shape", "prompt_shape"):
            more += [f"--{kind}_shape_file", work / "stats" / part / name]
    folded = ["--batch_type", "folded", "--fold_length", 20, "--fold_length", 50, "--max_epoch", 1]
    train(work, tmp_path / "exp", *more, *folded)
    assert (tmp_path / "exp" / "checkpoint.pth").is_file()


def test_letters_that_the_llm_cannot_write_are_counted_and_may_stop_or_be_dropped(work, tmp_path, capsys):
    shutil.copytree(work / "data/dev", tmp_path / "data")
    lines = (tmp_path / "data/text").read_text(encoding="utf-8").splitlines()
    lines[0], lines[2] = f"{lines[0]} {{x}}", f"{lines[2]} {{"
    (tmp_path / "data/text").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def call(choice):
        options = ["--data_dir", tmp_path / "data", "--encodings_dir", work / "enc/dev", "--max_failed", 1]
        options += ["--foundation", work / "foundation.yaml", "--output_dir", tmp_path / choice]
        status = stats.main([str(option) for option in (*options, "--unwritable", choice)])
        return status, capsys.readouterr(), json.loads((tmp_path / choice / "summary.json").read_text())

    status, said, summary = call("warn")
    assert status == 0 and "warning: 2 rows have letters that this LLM cannot write: { (2) } (1)" in said.out
    assert summary["kept"] == 5 and summary["unwritable_rows"] == 2 and summary["unwritable"] == {"{": 2, "}": 1}
    status, said, _ = call("stop")
    assert status == 1 and "{ (2) } (1)" in said.err
    status, _, summary = call("drop")
    assert status == 0 and summary["kept"] == 3
    left_out = (tmp_path / "drop/left_out.tsv").read_text()
    assert left_out == (
        "dev00\tletters that the LLM cannot write: { }\ndev02\tletters that the LLM cannot write: {\n"
    )


def test_a_training_without_a_loss_stops_with_the_reason(work, tmp_path):
    shutil.copytree(work / "data/train", tmp_path / "data")
    text = (tmp_path / "data/text").read_text(encoding="utf-8")
    long = "".join(f"{line.split()[0]} {'call mary and james on monday ' * 12}\n" for line in text.splitlines())
    (tmp_path / "data/text").write_text(long, encoding="utf-8")
    options = ("--model_conf", "ctc_only_steps=100", "--max_epoch", 1)
    with pytest.raises(UserError, match="loss to train on: of their .* utterances 0 have no transcript"):
        train(work, tmp_path / "exp", *options, train_data=tmp_path / "data")
