"""A foundation: the pair of frozen models that an adapter joins, described in one YAML file.

    speech_encoder: espnet_ctc
    speech_encoder_conf: {model: ../../egs2/mini/foundations/encoder}
    length_reduction: ctc_blank
    length_reduction_conf: {threshold: 0.95}
    llm: hf_seq2seq
    llm_conf: {model: ../../egs2/mini/foundations/llm}
    prompt_conf: {speech_end: "<sp>"}

A model that is given as a relative path is looked for from the directory of the YAML file. `speech_encoder_config` and
`llm_config` repeat what decides a model's size, as its own config.json (of ESPnet models: config.yaml) has it, so that
`slm_espnet.bin.plan` can say what a pair needs before anything is downloaded; nothing else reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from slm_espnet.errors import UserError
from slm_espnet.files import read_yaml

PROMPT_FORMAT = 2  # of prompts' layout; 1: every part was tokenized by itself, and the ids were put one after the other


@dataclass(frozen=True)
class Foundation:
    """Two frozen models, how the frames between them are reduced, and the layout of prompts."""

    speech_encoder: str  # kind: espnet_ctc, hf_ctc or hf_encoder
    llm: str  # kind: hf_seq2seq or hf_causal
    speech_encoder_conf: dict[str, Any] = field(default_factory=dict)  # model, revision, dtype, ...
    length_reduction: str = "ctc_blank"  # static reduction: ctc_blank, ctc_merge, stack or none
    length_reduction_conf: dict[str, Any] = field(default_factory=dict)  # threshold, ...
    llm_conf: dict[str, Any] = field(default_factory=dict)  # keys of LLMConf (llm/build.py)
    prompt_conf: dict[str, Any] = field(default_factory=dict)  # fields of PromptTemplate
    speech_encoder_config: dict[str, Any] = field(default_factory=dict)  # sizes of a model that is not here yet
    llm_config: dict[str, Any] = field(default_factory=dict)  # likewise


def load_foundation(path: str | Path) -> Foundation:
    """Read a foundation file.

    Raises:
        UserError: the file is missing, is not YAML, or has an unknown, missing or misshapen key.
    """
    path = Path(path)
    values = read_yaml(path, "the foundation", "--foundation takes a file such as conf/foundation/mini.yaml")
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected keys and values such as `llm: hf_seq2seq`")
    return Foundation(**_checked(values, path))


def _checked(values: dict[str, Any], path: Path) -> dict[str, Any]:
    known = [entry.name for entry in fields(Foundation)]
    unknown = [str(key) for key in values if key not in known]
    if unknown:
        raise UserError(f"{path}: unknown key(s) {', '.join(unknown)}; known: {', '.join(known)}")
    for name in ("speech_encoder", "llm"):
        if name not in values:
            raise UserError(f"{path}: key {name} is missing")
    # `length_reduction:` with nothing after it is the default
    checked = {name: value for name, value in values.items() if value is not None}
    for name, value in checked.items():
        wanted = dict if name.endswith(("_conf", "_config")) else str
        if not isinstance(value, wanted):
            raise UserError(f"{path}: {name} must be {'a mapping' if wanted is dict else 'a name'}, not {value!r}")
    for name in ("speech_encoder_conf", "llm_conf"):
        conf = checked.get(name, {})
        if "model" in conf:
            checked[name] = {**conf, "model": _resolved(str(conf["model"]), path.parent)}
    return checked


def _resolved(model: str, directory: Path) -> str:
    """A path from the file's directory where it is one; a name on the Hub stays as it is."""
    expanded = Path(model).expanduser()
    if expanded.is_absolute():
        return str(expanded)
    beside = directory / expanded
    if model.startswith(("./", "../")) or beside.exists():
        return str(beside.resolve())
    return model
