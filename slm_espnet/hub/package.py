"""Making a package of a trained adapter, see manifest.py for what is in it.

Packing again changes only the files that differ, so that an upload sends no more than it must.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from slm_espnet.api.files import usual_request
from slm_espnet.api.settings import relevant_names
from slm_espnet.biasing.options import load_options
from slm_espnet.checkpoint import read_adapter, save_adapter
from slm_espnet.errors import UserError
from slm_espnet.files import read_yaml, write_atomically
from slm_espnet.foundation import Foundation, load_foundation
from slm_espnet.hub.card import CardFacts, write_card
from slm_espnet.hub.frozen import FrozenModel, copy_file, find_frozen
from slm_espnet.hub.manifest import ADAPTER, CARD, CONFIG, FOUNDATION, MANIFEST, META, check_name, write_manifest
from slm_espnet.hub.provenance import TRAINING, provenance, without_home
from slm_espnet.scoring.report import RESULTS
from slm_espnet.tasks import Task, load_tasks
from slm_espnet.tasks.load import merged_tasks
from slm_espnet.training.build import build_template
from slm_espnet.training.config import read_config
from slm_espnet.weights import file_sha256

TASKS, SETTINGS, BIASING, BACKGROUND, PROVENANCE, PAGE = (
    "tasks.yaml", "inference.yaml", "biasing.yaml", "biasing_background.npz", "provenance.json", "RESULTS.md",
)  # fmt: skip
# Of the configuration: the model. What training did is in it, too (provenance.TRAINING); the rest belongs to a machine.
MODEL = ("version", "llm", "llm_conf", "prompt_conf", "input_size", "adapter", "adapter_conf", "adapter_output",
         "adapter_output_conf", "length_reduction", "length_reduction_conf", "model", "model_conf",
         "encoding_fingerprint", "llm_identity")  # fmt: skip
# The names that SLMInference and ESPnet's ModelDownloader share.
META_FILES = {
    "slm_train_config": CONFIG,
    "slm_model_file": ADAPTER,
    "foundation": FOUNDATION,
    "tasks_config": TASKS,
    "inference_config": SETTINGS,
}


@dataclass(frozen=True)
class PackRequest:
    """What is packed, and what only its maker can say."""

    exp_dir: Path  # experiment with results
    model_dir: Path  # adapter.safetensors and config.yaml; the same unless the model was downloaded
    output_dir: Path  # the package
    foundation: Path  # YAML of the pair
    tasks_config: Path  # YAML of the tasks
    inference_config: Path | None = None  # YAML of the decoding
    biasing_config: Path | None = None  # tuned settings of biasing
    inference_tag: str | None = None  # decoding whose scores go on the card; None: the only one
    pack_foundations: bool = False  # also pack the frozen models
    speech_encoder_name: str = ""  # Hub id of the speech encoder, where it was used from a folder
    llm_name: str = ""  # likewise of the language model
    name: str = ""  # of the model; empty: that of the experiment
    license: str = ""  # identifier of the Hub, such as apache-2.0; empty: none is stated
    languages: tuple[str, ...] = ()  # codes; empty: those that were trained or scored
    datasets: tuple[str, ...] = ()  # ids of the Hub
    task: str = ""  # of a call without instruction; empty: recognition
    language: str = ""  # likewise; empty: the one most trained on
    command: str = ""  # of the recipe


def pack(request: PackRequest) -> dict[str, int]:
    """Write a package; returns the sizes of its files by name.

    Raises:
        UserError: something is missing, damaged or not of this model; the package is then not complete.
    """
    output = request.output_dir
    config = read_config(request.model_dir / CONFIG)
    pair = load_foundation(request.foundation)
    encoder, llm = find_frozen(config, pair, request)
    tasks = load_tasks(request.tasks_config)
    rows = read_rows(request)
    output.mkdir(parents=True, exist_ok=True)
    (output / MANIFEST).unlink(missing_ok=True)  # until all is there, this is no package
    written = {ADAPTER, CONFIG, FOUNDATION, TASKS, SETTINGS, PROVENANCE, META, CARD}
    config = portable_config(config, encoder, llm)
    write_adapter(request.model_dir / ADAPTER, config, output / ADAPTER)
    _write(output / CONFIG, _yaml(config))
    _write(output / FOUNDATION, _yaml(portable_foundation(pair, config, encoder, llm)))
    _write(output / TASKS, _yaml(merged_tasks(request.tasks_config)))
    settings = write_settings(request, tasks, written)
    facts = provenance(request.exp_dir, request.model_dir, config, request.command)
    facts["foundations"] = {part.role: part.facts() for part in (encoder, llm)}
    _write(output / PROVENANCE, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    for name in (RESULTS, PAGE):
        if (request.exp_dir / name).is_file():
            _write(output / name, without_home((request.exp_dir / name).read_text(encoding="utf-8")))
            written.add(name)
    if request.pack_foundations:
        written |= {name for part in (encoder, llm) for name in part.copy_to(output)}
    _write(output / META, _yaml({"files": META_FILES, "yaml_files": {}}))  # nothing there is to be rewritten
    write_card(output / CARD, CardFacts(request, config, settings, tasks, rows, facts))
    remove_others(output, written)
    files = write_manifest(output)
    for name in files:
        check_name(name, str(output))
    return {name: files[name].size for name in files}


def read_rows(request: PackRequest) -> list[dict[str, Any]]:
    """Rows of results.json; [] where the model was not scored.

    Raises:
        UserError: they are of another adapter, or damaged, or of several decodings of which none is chosen.
    """
    from slm_espnet.scoring.collect import read_results

    path = request.exp_dir / RESULTS
    if not path.is_file():
        return []
    rows = read_results(request.exp_dir, request.inference_tag)
    adapter = file_sha256(request.model_dir / ADAPTER)
    for inference, name in sorted({(row["inference"], row["set"]) for row in rows}):
        decoding = request.exp_dir / f"decode_{inference}" / name
        decoded_with = adapter_of(decoding)
        if decoded_with is None:
            print(f"{decoding} does not say with which adapter it was decoded: its scores are packed unchecked",
                  file=sys.stderr, flush=True)  # fmt: skip
        elif decoded_with != adapter:
            raise UserError(
                f"{path}: the scores of {decoding} are of another adapter (sha256 {decoded_with[:12]}…) than "
                f"{request.model_dir / ADAPTER} ({adapter[:12]}…); run stages 5 and 6 again"
            )
    return rows


def adapter_of(decoding: Path) -> str | None:
    """The sha256 of the adapter that a merged decoding was made with; None where it does not say."""
    try:
        return json.loads((decoding / "settings.json").read_text(encoding="utf-8")).get("adapter")
    except (OSError, ValueError, AttributeError):  # removed to save room, or damaged
        return None


def portable_config(config: dict[str, Any], encoder: FrozenModel, llm: FrozenModel) -> dict[str, Any]:
    """The configuration of the training without what belongs to one machine, and with every field of the prompt."""
    kept = {key: value for key, value in config.items() if key in (*MODEL, *TRAINING)}
    fingerprint, identity = dict(config["encoding_fingerprint"]), dict(config["llm_identity"])
    llm_conf = {**(config.get("llm_conf") or {}), "model": llm.place}
    llm_conf.pop("revision", None)
    if llm.revision:
        llm_conf["revision"] = llm.revision
    return {
        **kept,
        "encoding_fingerprint": {**fingerprint, "encoder": encoder.portable(fingerprint["encoder"])},
        "llm_identity": llm.portable(identity),
        "llm_conf": llm_conf,
        "prompt_conf": build_template(config.get("prompt_conf")).to_dict(),
    }


def portable_foundation(
    pair: Foundation, config: dict[str, Any], encoder: FrozenModel, llm: FrozenModel
) -> dict[str, Any]:
    """The pair as a foundation file in the package."""
    values = {key: value for key, value in asdict(pair).items() if value not in ({}, "")}
    for part in (encoder, llm):
        conf = {key: value for key, value in vars(pair)[f"{part.role}_conf"].items() if key != "revision"}
        conf["model"] = part.place
        if part.revision:
            conf["revision"] = part.revision
        values[f"{part.role}_conf"] = conf
    return {**values, "prompt_conf": config["prompt_conf"]}


def write_adapter(source: Path, config: dict[str, Any], path: Path) -> None:
    """Copy the weights; their metadata names the foundations as the package does. The same is not written again.

    Raises:
        UserError: the file is damaged, or belongs to other foundations than its configuration.
    """
    state, trained_with = read_adapter(source)
    before = read_config(source.parent / CONFIG)
    for key, found in trained_with.items():
        if found != before.get(key):
            raise UserError(f"{source} was trained with another {key} than {source.parent / CONFIG} names")
    if path.is_file():
        try:
            there, identities = read_adapter(path)
        except UserError:
            there, identities = {}, {}
        same = there.keys() == state.keys() and all(torch.equal(there[key], state[key]) for key in state)
        if same and all(identities[key] == config.get(key) for key in identities):
            return
    save_adapter(state, config, path)


def write_settings(request: PackRequest, tasks: dict[str, Task], written: set[str]) -> dict[str, Any]:
    """inference.yaml, and tuned biasing with its background; returns the settings."""
    values = {} if request.inference_config is None else read_yaml(request.inference_config, "the decoding") or {}
    usual = usual_request(request.model_dir, tasks)
    settings = {key: value for key, value in values.items() if key in relevant_names() and value is not None}
    settings.pop("biasing_config", None)
    settings["task"], settings["language"] = request.task or usual[0], request.language or usual[1]
    if settings["task"] and settings["task"] not in tasks:
        raise UserError(f"--task {settings['task']} is not among the tasks {', '.join(tasks)}")
    if request.biasing_config is not None:
        background = load_options(request.biasing_config).background
        text = request.biasing_config.read_text(encoding="utf-8")
        if background:
            copy_file(request.biasing_config.parent / background, request.output_dir / BACKGROUND)
            text = text.replace(background, BACKGROUND)
            written.add(BACKGROUND)
        _write(request.output_dir / BIASING, text)
        settings["biasing_config"] = BIASING
        written.add(BIASING)
    _write(request.output_dir / SETTINGS, _yaml(settings))
    return settings


def remove_others(folder: Path, written: set[str]) -> None:
    """Remove files of an earlier packing that are no part of the package any more."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(folder).as_posix() not in written:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _yaml(values: Any) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)


def _write(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text)
