"""From a configuration (the values of exp/<tag>/config.yaml) to a model; ESPnet's task is not needed."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slm_espnet.adapter.build import build_adapter
from slm_espnet.encodings.reader import EncodingReader
from slm_espnet.errors import UserError
from slm_espnet.espnet_model import ESPnetSLMModel
from slm_espnet.foundation import PROMPT_FORMAT, load_foundation
from slm_espnet.llm.build import build_llm
from slm_espnet.prompt import PromptTemplate
from slm_espnet.training.data_path import DATA_TYPE, split_path


def build_template(conf: dict[str, Any] | None) -> PromptTemplate:
    """PromptTemplate from prompt_conf; a wrong key or value is a UserError."""
    try:
        return PromptTemplate.from_dict(conf or {})
    except (ValueError, TypeError) as error:
        raise UserError(f"prompt_conf: {error}") from error


def build_model(config: dict[str, Any]) -> ESPnetSLMModel:
    """Build LLM and adapter.

    Args:
        config: llm, llm_conf, prompt_conf, input_size, adapter, adapter_output, length_reduction, model_conf (the last
            four as the task's options), and encoding_fingerprint.
    """
    conf = config.get("model_conf") or {}
    given = ("llm", "adapter", "template")
    allowed = [name for name in inspect.signature(ESPnetSLMModel).parameters if name not in given]
    unknown = sorted(set(conf) - set(allowed))
    if unknown:
        raise UserError(f"model_conf has unknown key(s) {', '.join(unknown)}; known: {', '.join(allowed)}")
    template = build_template(config.get("prompt_conf"))
    llm = build_llm(config["llm"], config.get("llm_conf") or {})
    adapter = build_adapter(config, llm.embedding_table())
    try:
        model = ESPnetSLMModel(llm, adapter, template, **conf)
    except (ValueError, TypeError) as error:
        raise UserError(f"model_conf: {error}") from error
    model.encoding_fingerprint = config.get("encoding_fingerprint")
    return model


def check_prompts(before: dict[str, Any], model: ESPnetSLMModel) -> None:
    """Refuse to go on with a training that began with other prompts; `before` is its prompt_conf."""
    example = model.llm.tokenizer, "answer the question", ("Anna", "Ben")
    if build_template({"format": 1, **before}).build(*example) != model.template.build(*example):
        raise UserError("the training began with another prompt_conf; give another --output_dir, or the same one")


def apply_foundation(config: dict[str, Any]) -> None:
    """Fill llm, llm_conf and prompt_conf from the foundation file, in place; what is set already wins, key by key."""
    config["prompt_conf"] = {"format": PROMPT_FORMAT, **(config.get("prompt_conf") or {})}
    if config.get("foundation") is None:
        if config.get("llm") is None:
            raise UserError("no language model: give --foundation conf/foundation/<pair>.yaml, or --llm and --llm_conf")
        return
    foundation = load_foundation(config["foundation"])
    if config.get("llm") is None:
        config["llm"] = foundation.llm
    if config["llm"] == foundation.llm:
        config["llm_conf"] = {**foundation.llm_conf, **(config.get("llm_conf") or {})}
    config["prompt_conf"] = {**foundation.prompt_conf, **config["prompt_conf"]}


def encodings_directories(data: Sequence[tuple[str, str, str]]) -> list[Path]:
    """The encodings directories of `path,name,type` triples; UserError for data of another type."""
    directories = []
    for path, _, kind in data:
        if kind != DATA_TYPE:
            raise UserError(f"{path},{kind}: write data as <data_dir>::<encodings_dir>,speech,{DATA_TYPE}")
        directories.extend(encodings_dir for _, encodings_dir in split_path(path))
    return directories


def apply_encodings(config: dict[str, Any], directories: Sequence[Path]) -> None:
    """Fill input_size and encoding_fingerprint from the encodings, in place; all directories must agree with them."""
    for directory in directories:
        reader = EncodingReader(directory, expected_fingerprint=config.get("encoding_fingerprint"))
        if config.get("encoding_fingerprint") is None:
            config["encoding_fingerprint"] = reader.fingerprint
        if config.get("input_size") is None:
            config["input_size"] = reader.dim
        if config["input_size"] != reader.dim:
            raise UserError(f"input_size is {config['input_size']} but frames in {directory} are {reader.dim} wide")
    if config.get("input_size") is None:
        raise UserError("input_size is not known: give training data of type slm_rows, or --input_size")
