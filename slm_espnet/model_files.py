"""Which files of a Hugging Face model are used: one list for fetching, loading, hashing and packing.

Repositories hold the same weights several times: in other formats (pytorch_model.bin, ONNX, GGUF, *.nemo), in other
precisions (fp16/, model.fp32-00001-of-00002.safetensors), in their makers' own layout (consolidated.safetensors,
original/), and with adapters (adapter/; MMS has one for each of 1,162 languages). The rules here are those by which
transformers chooses among the files of a folder. Nothing here imports torch or transformers or asks the network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from slm_espnet.errors import UserError

CONFIG = "config.json"
SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")  # the whole, or what names the shards
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")  # likewise
SETTINGS = (".json", ".model", ".txt", ".jinja", ".tiktoken")  # configuration and tokenizer, in the top folder
CHAT_TEMPLATES = "additional_chat_templates"  # the one folder below it that tokenizers read
NOTICES = ("README", "LICENSE", "LICENCE", "NOTICE", "COPYING", "USE_POLICY")  # terms go where the weights go
PEFT = "adapter_config.json"  # beside a model it makes transformers load adapter_model.safetensors on top
MOST_NAMED = 5  # in an error
NOT_TENSORS = "the pickle is damaged or holds more than tensors, and is not read"  # torch advises to run what it holds


@dataclass(frozen=True)
class Wanted:
    """What is asked of a model's files."""

    weights: bool = True  # False: configuration and tokenizer alone
    trust_pickle: bool = False  # whether pytorch_model*.bin may be read where there are no safetensors
    target_lang: str | None = None  # MMS: the language whose adapter is used


@dataclass(frozen=True)
class ModelFiles:
    """The files that are used, as paths from the model's top folder, sorted."""

    settings: tuple[str, ...]  # configuration, tokenizer, licence
    weights: tuple[str, ...]  # files of tensors; of these the hash is made
    index: str = ""  # what names the shards; empty where there is one file of weights

    @property
    def every(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(sorted({*self.settings, *self.weights, *([self.index] if self.index else [])}))

    @property
    def are_pickles(self) -> bool:
        """Whether the model itself is read from pytorch_model*.bin."""
        return any(PurePosixPath(name).name.startswith("pytorch_model") for name in self.weights)


def choose_files(model: str, names: Iterable[str], read: Callable[[str], str], wanted: Wanted) -> ModelFiles:
    """The files of a folder or repository that are used.

    Args:
        model: its name, for errors.
        names: all of its files, as paths from the top with `/`.
        read: gives the text of one of them; called for config.json and an index.
        wanted: what is asked for.

    Raises:
        UserError: there are no weights that may be read, an index is damaged or names what is not there, or there is
            no adapter of the language.
    """
    there = set(names)
    settings = tuple(sorted(filter(_is_setting, there)))
    if not wanted.weights:
        return ModelFiles(settings, ())
    head = _head(model, there, read, wanted.trust_pickle)
    weights = {head} if not head.endswith(".json") else _shards(model, head, there, read)
    if wanted.target_lang is not None:
        weights.add(_language_adapter(model, there, wanted))
    return ModelFiles(settings, tuple(sorted(weights)), head if head.endswith(".json") else "")


def _is_setting(name: str) -> bool:
    path = PurePosixPath(name)
    if len(path.parts) > 1:
        return path.parts[:-1] == (CHAT_TEMPLATES,) and path.suffix == ".jinja"
    if path.stem.upper() in NOTICES:
        return True
    return path.suffix in SETTINGS and ".index." not in name and name != PEFT


def _head(model: str, there: set[str], read: Callable[[str], str], trust_pickle: bool) -> str:
    """The file of weights, or the index of its shards."""
    named = _json(model, CONFIG, read).get("transformers_weights") if CONFIG in there else None
    if named is not None:
        if named not in there or not str(named).endswith((".safetensors", ".safetensors.index.json")):
            raise UserError(f"{model}: {CONFIG} names {named} as its weights, which is not there or no safetensors")
        return str(named)
    for candidate in (*SAFETENSORS, *(PICKLES if trust_pickle else ())):
        if candidate in there:
            return candidate
    raise UserError(_no_weights(model, there))


def _no_weights(model: str, there: set[str]) -> str:
    """What to do about a model without weights that may be read."""
    if any(name in there for name in PICKLES):
        return (
            f"{model} has no model.safetensors, only pickled weights (pytorch_model*.bin), which can run code. Look on "
            f"https://huggingface.co/{model}/discussions for a pull request that adds a safetensors variant and give "
            "its number (revision: refs/pr/N); or load the model once where you trust it, write it with "
            "save_pretrained(directory), and give that directory; or, if you trust its makers, set trust_pickle: true: "
            "it is then read by torch.load(weights_only=True)"
        )
    weights = sorted(name for name in there if name.endswith((".safetensors", ".gguf", ".bin", ".pth", ".h5", ".nemo")))
    found = f"only {', '.join(weights[:MOST_NAMED])}{', …' if len(weights) > MOST_NAMED else ''}" if weights else "none"
    return (
        f"{model} has no weights that are read here (model.safetensors, or model.safetensors.index.json and the shards "
        f"it names), {found}; load it once with transformers and write it with save_pretrained(directory)"
    )


def _shards(model: str, index: str, there: set[str], read: Callable[[str], str]) -> set[str]:
    table = _json(model, index, read).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise UserError(f"{model}: {index} has no weight_map; get it again")
    folder = PurePosixPath(index).parent
    shards = {(folder / str(name)).as_posix() for name in table.values()}
    missing = sorted(shards - there)
    if missing:
        listed = ", ".join(missing[:MOST_NAMED]) + (", …" if len(missing) > MOST_NAMED else "")
        raise UserError(f"{model}: {index} names {len(missing)} file(s) that are not there ({listed}); get them again")
    return shards


def _language_adapter(model: str, there: set[str], wanted: Wanted) -> str:
    """Of MMS, the adapter of one language."""
    name = f"adapter.{wanted.target_lang}"
    for suffix in (".safetensors", ".bin") if wanted.trust_pickle else (".safetensors",):
        if name + suffix in there:
            return name + suffix
    known = sorted({part.split(".")[1] for part in there if part.startswith("adapter.") and part.count(".") == 2})
    if not known:
        raise UserError(f"{model} has no language adapters: leave target_lang out")
    if f"{name}.bin" in there:
        raise UserError(f"{model} has {name}.bin only, a pickle, which can run code; set trust_pickle: true to read it")
    listed = ", ".join(known[:MOST_NAMED]) + (", …" if len(known) > MOST_NAMED else "")
    raise UserError(f"{model} has no {name}.safetensors; target_lang is one of its {len(known)} languages ({listed})")


def _json(model: str, name: str, read: Callable[[str], str]) -> dict:
    try:
        values = json.loads(read(name))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{model}: {name} is not readable as JSON ({error}); get it again") from error
    return values if isinstance(values, dict) else {}
