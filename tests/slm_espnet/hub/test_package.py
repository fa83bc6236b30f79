"""Packing: what is in a package, that it is complete and honest, and what is refused of others."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard

from slm_espnet.api.model import SLMInference
from slm_espnet.bin import download, pack
from slm_espnet.checkpoint import read_adapter
from slm_espnet.errors import UserError
from slm_espnet.hub.manifest import check_package, write_manifest
from slm_espnet.hub.names import travelling_name
from slm_espnet.hub.provenance import training_curve
from slm_espnet.prompt import PromptTemplate
from slm_espnet.tasks import load_tasks
from slm_espnet.weights import file_sha256


def values_of(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def copy(package, tmp_path):
    return shutil.copytree(package, tmp_path / "package")


def test_a_package_needs_nothing_else(package, experiment, tmp_path, noise):
    moved = copy(package, tmp_path)
    ours, theirs = (SLMInference.from_pretrained(f, device="cpu", max_length=10) for f in (moved, experiment))
    for one, other in zip(ours.model.state_dict().values(), theirs.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    speech = noise(1.0)
    assert ours(speech, rate=16000).text == theirs(speech, rate=16000).text
    assert ours.model.template == theirs.model.template and ours.instructions.language == "en"
    assert ours.settings.search == theirs.settings.search and ours.settings.biasing == "place"
    assert {n: t.eval_prompt for n, t in ours.instructions.tasks.items()} == {
        n: t.eval_prompt for n, t in theirs.instructions.tasks.items()
    }
    ours, theirs = ({p.name: p for p in f.iterdir()} for f in (moved, package))
    assert ours.keys() == theirs.keys(), "nothing is written where a package is read"


def test_nothing_of_this_machine_is_in_it(package, top, experiment):
    for path in package.rglob("*"):
        if path.is_file() and path.parent == package:
            data = path.read_bytes()
            for place in (top, experiment, Path.home()):
                assert f"{place}/".encode() not in data, path
    config = values_of(package / "config.yaml")
    assert "output_dir" not in config and "train_data_path_and_name_and_type" not in config and config["seed"] == 3
    _, trained_with = read_adapter(package / "adapter.safetensors")
    assert trained_with["llm_identity"]["model"] == "llm" == config["llm_identity"]["model"]
    assert trained_with["encoding_fingerprint"]["encoder"]["model"] == "encoder"


def test_what_made_it_is_in_it(package, top):
    facts = json.loads((package / "provenance.json").read_text())
    assert facts["command"] == "./run.sh --seed 3" and facts["training"]["seed"] == 3
    assert torch.__version__.startswith(facts["versions"]["torch"]) and len(facts["toolkit"]["commit"]) >= 7
    assert facts["examples seen"][0] == {"set": "train", "task": "asr", "language": "en", "examples": 40}
    assert facts["scored with"] == ["date: `now`", "command: `~/run.sh`"]
    encoder = facts["foundations"]["speech_encoder"]
    weights = (top / "egs2/mini/foundations/encoder/model.safetensors").read_bytes()
    assert encoder["weights_sha256"] == hashlib.sha256(weights).hexdigest() and encoder["packed"]
    prompt = values_of(package / "foundation.yaml")["prompt_conf"]
    assert prompt == values_of(package / "config.yaml")["prompt_conf"]
    assert set(prompt) == set(PromptTemplate().to_dict()), "a default that changes later must not change the model"
    assert load_tasks(package / "tasks.yaml")["asr"].parts[0].normalizer == {"default": "basic"}


def test_the_card_is_the_hubs_and_has_the_measured_values(package):
    card = ModelCard.load(package / "README.md")
    data = card.data
    assert data.license == "apache-2.0" and data.language == ["en", "es"] and data.datasets == ["me/corpus"]
    assert data.base_model is None, "neither foundation is on the Hub"
    scores = {(r.task_type, r.metric_type): (r.metric_value, r.dataset_type) for r in data.eval_results}
    assert scores == {
        ("automatic-speech-recognition", "wer"): (12.3456, "test"),
        ("translation", "bleu"): (55.0, "test"),
    }
    assert "|asr|en|yes|wer ↓|12.3 ± 0.5|14.0|0.0|20.0|40|" in card.text and "**unseen**" in card.text
    assert "The training curve was not kept" in card.text and "sha256" in card.text


def test_packing_again_changes_nothing(package, pack_arguments, tmp_path):
    folder = copy(package, tmp_path)
    (folder / "left.txt").write_text("of an earlier packing")
    before = {path: path.read_bytes() for path in package.rglob("*") if path.is_file()}
    stamp = (folder / "adapter.safetensors").stat().st_mtime_ns
    pack.main([*pack_arguments, "--output_dir", str(folder), "--pack_foundations", "true"])
    assert {package / p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert (folder / "adapter.safetensors").stat().st_mtime_ns == stamp


def test_without_foundations_they_are_named_and_must_be_given(pack_arguments, experiment, top, tmp_path):
    folder = tmp_path / "package"
    pack.main([*pack_arguments, "--output_dir", str(folder), "--llm_name", "me/t5@v1"])
    assert not (folder / "foundations").exists()
    pair = values_of(folder / "foundation.yaml")
    assert (pair["llm_conf"]["model"], pair["llm_conf"]["revision"]) == ("me/t5", "v1")
    assert ModelCard.load(folder / "README.md").data.base_model == ["me/t5"]
    with pytest.raises(UserError, match="has no speech_encoder: it was used from a folder"):
        SLMInference.from_pretrained(folder, llm=top / "egs2/mini/foundations/llm")
    parts = {"speech_encoder": top / "egs2/mini/foundations/encoder", "llm": top / "egs2/mini/foundations/llm"}
    slm = SLMInference.from_pretrained(folder, device="cpu", **parts)
    assert slm(text="call mary", instruction="ast", source="en", target="es").text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"../outside.json": b"{}"}, "outside of its folder"),
        ({"/etc/passwd": b""}, "outside of its folder"),
        ({"a\\..\\b.json": b""}, "outside of its folder"),
        ({"weights.pth": b""}, "weights must be safetensors"),
        ({"adapter.safetensors": b"\x80\x04pickle"}, "adapter.safetensors is a pickle"),
        ({"adapter.safetensors": b"PK\x03\x04archive"}, "adapter.safetensors is a pickle"),
        ({"config.yaml": b"changed: true\n"}, "config.yaml has 14 bytes"),
        ({"tasks.yaml": None}, "tasks.yaml is missing"),
    ],
)
def test_what_is_unsafe_or_damaged_is_refused(package, tmp_path, change, message):
    folder = copy(package, tmp_path)
    manifest = json.loads((folder / "package.json").read_text())
    for name, data in change.items():
        if data is None:
            (folder / name).unlink()
        elif name in manifest["files"]:
            (folder / name).write_bytes(data)
            if b"changed" not in data:
                del manifest["files"][name]
                write_manifest(folder)
                manifest = json.loads((folder / "package.json").read_text())
        else:
            manifest["files"][name] = {"size": len(data), "sha256": "0" * 64}
    (folder / "package.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=message):
        SLMInference.from_pretrained(folder)
    with pytest.raises(UserError, match=message):
        download.main(["--model", str(folder)])


def test_a_byte_that_changed_and_a_link_that_leads_out_are_refused(package, tmp_path):
    folder = copy(package, tmp_path)
    data = bytearray((folder / "adapter.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "adapter.safetensors").write_bytes(data)
    with pytest.raises(UserError, match="adapter.safetensors is damaged or was changed: sha256"):
        check_package(folder)
    (folder / "adapter.safetensors").unlink()
    (folder / "adapter.safetensors").symlink_to(package / "adapter.safetensors")
    with pytest.raises(UserError, match="is a link to .* outside of the package"):
        check_package(folder)
    shutil.copy(package / "adapter.safetensors", tmp_path / "a")
    (folder / "adapter.safetensors").unlink()
    shutil.copy(tmp_path / "a", folder / "adapter.safetensors")
    pair = values_of(folder / "foundation.yaml")
    pair["llm_conf"]["model"] = "../elsewhere"
    (folder / "foundation.yaml").write_text(yaml.safe_dump(pair))
    write_manifest(folder)
    with pytest.raises(UserError, match="neither on the Hub nor in the package"):
        SLMInference.from_pretrained(folder)


def test_scores_of_another_adapter_are_refused(pack_arguments, experiment, tmp_path, capsys):
    """Whatever the time stamps say: a checkout or a copy makes them anew."""
    decoding = experiment / "decode_greedy" / "test"
    settings = decoding / "settings.json"
    decoding.mkdir(parents=True)
    try:
        settings.write_text(json.dumps({"adapter": "0" * 64}))
        with pytest.raises(UserError, match=r"of another adapter \(sha256 000000000000…\).*stages 5 and 6 again"):
            pack.main([*pack_arguments, "--output_dir", str(tmp_path / "package")])
        settings.write_text(json.dumps({"adapter": file_sha256(experiment / "adapter.safetensors")}))
        os.utime(experiment / "results.json", (1, 1))
        pack.main([*pack_arguments, "--output_dir", str(tmp_path / "package")])
        assert "unchecked" not in capsys.readouterr().err
        settings.write_text("damaged")
        pack.main([*pack_arguments, "--output_dir", str(tmp_path / "package")])
        assert f"{decoding} does not say with which adapter" in capsys.readouterr().err
    finally:
        shutil.rmtree(decoding.parent)
    with pytest.raises(UserError, match="inference tag 'beam'"):
        pack.main([*pack_arguments, "--output_dir", str(tmp_path / "package"), "--inference_tag", "beam"])


def test_names_of_models_where_they_travel():
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = f"/cache/hub/models--google--mt5-small/snapshots/{commit}"
    names = [("google/mt5-small", commit, ""), (cached, "", ""), ("/models/mt5", "", ""), ("/m", "", "me/x@v1")]
    assert [tuple(vars(travelling_name(*one)).values()) for one in names] == [
        ("google/mt5-small", commit, True), ("google/mt5-small", commit, True), ("mt5", "", False), ("me/x", "v1", True)
    ]  # fmt: skip


def test_training_curve_is_espnets(tmp_path, capsys):
    from espnet2.train.reporter import Reporter

    reporter = Reporter()
    for epoch, loss in ((1, 2.0), (2, 1.0)):
        reporter.set_epoch(epoch)
        for part in ("train", "valid"):
            with reporter.observe(part) as sub:
                sub.register({"loss": torch.tensor(loss), "acc": torch.tensor(0.5)}, torch.tensor(4))
                sub.next()
    torch.save({"reporter": reporter.state_dict(), "model": {}}, tmp_path / "checkpoint.pth")
    both = {"train_acc": 0.5, "valid_acc": 0.5}
    assert training_curve(tmp_path) == [
        {"epoch": 1, "train_loss": 2.0, "valid_loss": 2.0, **both},
        {"epoch": 2, "train_loss": 1.0, "valid_loss": 1.0, **both},
    ]
    (tmp_path / "checkpoint.pth").write_bytes(b"PK broken")
    assert training_curve(tmp_path) == []
    assert "checkpoint.pth cannot be read" in capsys.readouterr().err
