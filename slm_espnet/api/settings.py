"""How a model answers unless a call says otherwise: search, context phrases, and the instruction of a bare call.

    # inference.yaml: the options of slm_espnet.bin.decode that change answers, and two more
    task: asr
    language: en
    beam_size: 1
    biasing: place
    biasing_config: biasing.yaml      # relative to this file

Drafts by CTC (ctc_draft and what belongs to it) are made as in a decoding run, for instructions that are a wording of
a recognition task, or of one of `ctc_draft_tasks`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from slm_espnet.bin.decode import BIASING, RETRIEVERS, SILENCE, get_parser
from slm_espnet.decoding.types import DecodingOptions
from slm_espnet.errors import UserError
from slm_espnet.files import read_yaml

SEARCH = tuple(option.name for option in fields(DecodingOptions))


@dataclass(frozen=True)
class InferenceSettings:
    """What a call falls back on."""

    search: DecodingOptions = field(default_factory=DecodingOptions)
    biasing: str = "prompt"  # what becomes of context phrases: none, prompt, retrieve or place
    biasing_retriever: str = "ctc"  # ctc or embedding
    biasing_threshold: float | None = None  # goes before that of biasing_config
    biasing_config: Path | None = None  # tuned settings
    biasing_prompt_phrases: int = 10  # phrases in the prompt with retrieve
    silence: str = "empty"  # what recognition answers without speech: empty (nothing), or ask (what the model says)
    task: str = ""  # of a call without instruction; empty: asr
    language: str = ""  # of wordings that name one, where the call does not

    def __post_init__(self) -> None:
        if self.biasing not in BIASING or self.biasing_retriever not in RETRIEVERS:
            raise UserError(
                f"biasing is one of {', '.join(BIASING)}, not {self.biasing!r}; biasing_retriever is one of "
                f"{', '.join(RETRIEVERS)}, not {self.biasing_retriever!r}"
            )

        if self.silence not in SILENCE:
            raise UserError(f"silence is one of {', '.join(SILENCE)}, not {self.silence!r}")

    def as_options(self) -> argparse.Namespace:
        """The options of slm_espnet.bin.decode that decoding.biasing reads."""
        own = {name: value for name, value in vars(self).items() if name.startswith("biasing")}
        return argparse.Namespace(**own, biasing_list=None, input="speech")

    def changed(self, values: Mapping[str, Any]) -> InferenceSettings:
        """With other values of some options.

        Raises:
            UserError: an unknown option or an impossible value.
        """
        own = [option.name for option in fields(self) if option.name != "search"]
        unknown = sorted(set(values) - set(own) - set(SEARCH))
        if unknown:
            raise UserError(f"unknown option(s) {', '.join(unknown)}; known: {', '.join([*SEARCH, *own])}")
        try:
            search = replace(self.search, **{name: values[name] for name in SEARCH if name in values})
        except (TypeError, ValueError) as error:
            raise UserError(f"options of the search: {error}") from error
        return replace(self, search=search, **{name: values[name] for name in own if name in values})


def read_settings(path: Path | None) -> InferenceSettings:
    """Settings of a file: inference.yaml of a package, or a recipe's conf/decode.yaml.

    Raises:
        UserError: the file cannot be read, or has a key that is no option of decoding.
    """
    if path is None:
        return InferenceSettings()
    values = read_yaml(path, "the settings of inference") or {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: must have option names as keys, such as `beam_size: 4`")
    running = {action.dest for action in get_parser()._actions}  # those of jobs and files mean nothing here
    kept = {str(k): v for k, v in values.items() if k in relevant_names() or k not in running}
    if kept.get("biasing_config") is not None:
        kept["biasing_config"] = path.parent / str(kept["biasing_config"])
    try:
        return InferenceSettings().changed(kept)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def relevant_names() -> tuple[str, ...]:
    """Options that change answers."""
    return (*SEARCH, *(option.name for option in fields(InferenceSettings) if option.name != "search"))
