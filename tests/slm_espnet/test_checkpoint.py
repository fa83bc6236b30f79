"""Adapter files: what is saved is what is loaded, and nothing that does not fit is."""

import json

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save_file

from slm_espnet.bin import average
from slm_espnet.checkpoint import load_model, save_adapter
from slm_espnet.errors import UserError
from slm_espnet.training.build import build_model, check_prompts


@pytest.fixture(scope="module")
def config(tiny_t5):
    return {
        "llm": "hf_seq2seq",
        "llm_conf": {"model": str(tiny_t5), "dtype": "float32"},
        "prompt_conf": {"end": "<eos>"},
        "input_size": 6,
        "encoding_fingerprint": {"weights_sha256": "abc"},
        "adapter": "mlp",
        "adapter_conf": {"size": 8},
        "adapter_output": "linear",
        "model_conf": {},
    }


@pytest.fixture
def experiment(config, tmp_path):
    """A directory as training and averaging leave it, and the model it came from."""
    torch.manual_seed(1)
    model = build_model(config)
    config = {**config, "llm_identity": dict(model.llm.identity())}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    torch.save(model.state_dict(), tmp_path / "valid.loss.ave.pth")
    average.main(["--exp_dir", str(tmp_path)])
    return tmp_path, model


def rewrite(path, change):
    """Read a safetensors file, change its tensors or metadata, write it again."""
    with safe_open(path, framework="pt") as file:
        tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()
    change(tensors, metadata)
    save_file(tensors, path, metadata)


def test_saved_is_loaded(experiment):
    directory, model = experiment
    for source in (directory, directory / "config.yaml"):
        loaded = load_model(source)
        assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in model.state_dict().items())
        assert not loaded.training and loaded.encoding_fingerprint == {"weights_sha256": "abc"}
        assert loaded.template.end == "<eos>"


def test_prompts_are_laid_out_as_in_training(config, experiment):
    """A configuration that names no format is of a version that had the first one."""
    directory, model = experiment
    assert load_model(directory).template.format == 1
    config = {**config, "llm_identity": dict(model.llm.identity()), "prompt_conf": {"end": "<eos>", "format": 2}}
    (directory / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert load_model(directory).template.format == 2


def test_a_training_does_not_go_on_with_other_prompts(config):
    model = build_model({**config, "prompt_conf": {"end": "<eos>", "separator": " ", "format": 2}})
    check_prompts({"separator": " ", "format": 2}, model)
    with pytest.raises(UserError, match="another prompt_conf"):
        check_prompts({"order": ["instruction", "speech", "context"], "format": 2}, model)
    check_prompts({"end": "<eos>"}, model)  # of the first format, which makes the same ones here
    with pytest.raises(UserError, match="tokenized one by one"):
        check_prompts({}, model)  # had no end of sentence


def test_the_file_holds_the_adapter_and_names_both_foundations(experiment):
    directory, model = experiment
    with safe_open(directory / "adapter.safetensors", framework="pt") as file:
        assert set(file.keys()) == {f"adapter.{name}" for name, _ in model.adapter.named_parameters()}
        metadata = file.metadata()
    assert json.loads(metadata["llm_identity"])["weights_sha256"] == model.llm.identity()["weights_sha256"]
    assert json.loads(metadata["encoding_fingerprint"]) == {"weights_sha256": "abc"}


def test_keys_must_be_exactly_those_of_the_model(experiment):
    directory, model = experiment
    path = directory / "adapter.safetensors"

    def spoil(tensors, _metadata):
        del tensors["adapter.output.scale"]
        tensors["adapter.output.more"] = torch.zeros(1)
        tensors["adapter.output.projection.bias"] = torch.zeros(3)

    rewrite(path, spoil)
    with pytest.raises(UserError) as caught:
        load_model(directory)
    for said in ("adapter.output.scale is missing", "adapter.output.more is unknown", "bias is (3,) instead of (32,)"):
        assert said in str(caught.value)


def test_another_llm_is_refused_and_both_are_named(experiment, tiny_t5, tmp_path_factory):
    from transformers import T5ForConditionalGeneration

    directory, model = experiment
    other = tmp_path_factory.mktemp("other")
    for file in tiny_t5.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    llm = T5ForConditionalGeneration.from_pretrained(tiny_t5)
    with torch.no_grad():
        llm.shared.weight.add_(1.0)
    llm.save_pretrained(other)
    with pytest.raises(UserError) as caught:
        load_model(directory, llm_conf={"model": str(other)})
    assert str(tiny_t5) in str(caught.value) and str(other) in str(caught.value)


def test_the_same_llm_may_lie_elsewhere_and_have_another_dtype(experiment, tiny_t5, tmp_path_factory):
    directory, _ = experiment
    moved = tmp_path_factory.mktemp("moved")
    for file in tiny_t5.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    model = load_model(directory, llm_conf={"model": str(moved), "dtype": "bfloat16"})
    assert model.llm.embedding_table().dtype == torch.bfloat16


def test_encodings_of_another_encoder_are_refused(experiment):
    directory, _ = experiment
    config = yaml.safe_load((directory / "config.yaml").read_text())
    config["encoding_fingerprint"] = {"weights_sha256": "def"}
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match="other encodings"):
        load_model(directory)


def test_files_that_are_missing_or_foreign_are_named(experiment, tmp_path):
    directory, _ = experiment
    path = directory / "adapter.safetensors"
    rewrite(path, lambda _tensors, metadata: metadata.pop("llm_identity"))
    with pytest.raises(UserError, match="which foundations"):
        load_model(directory)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match="not a readable safetensors"):
        load_model(directory)
    path.unlink()
    with pytest.raises(UserError, match="bin.average"):
        load_model(directory)
    with pytest.raises(UserError, match="directory of a trained model"):
        load_model(tmp_path / "nowhere")


def test_averaging_refuses_unfinished_and_broken_weights(experiment):
    directory, model = experiment
    arguments = ["--exp_dir", str(directory)]
    state = model.state_dict()
    state["adapter.output.scale"] = torch.tensor(float("nan"))
    torch.save(state, directory / "valid.loss.ave.pth")
    with pytest.raises(UserError, match="adapter.output.scale.*learning rate"):
        average.main(arguments)
    (directory / "valid.loss.ave.pth").unlink()
    with pytest.raises(UserError, match="--resume true"):
        average.main(arguments)


def test_a_failed_write_leaves_the_old_file(experiment, monkeypatch):
    directory, model = experiment
    path = directory / "adapter.safetensors"
    before = path.read_bytes()

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("slm_espnet.checkpoint.save_file", full)
    with pytest.raises(UserError, match="No space left.*free some space"):
        save_adapter(model.state_dict(), {}, path)
    assert path.read_bytes() == before and not list(directory.glob("*.tmp*"))
