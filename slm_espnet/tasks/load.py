"""Reading tasks files, with the files that they include; every mistake is named with its place."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slm_espnet.errors import UserError
from slm_espnet.files import read_yaml
from slm_espnet.tasks.task import DEFAULT_VARIANT, Part, Task

FILE_KEYS = ("include", "languages", "tasks")
SCORING_KEYS = ("scorer", "target", "normalizer", "bleu_tokenize")
WORDING_KEYS = ("prompts", "eval_prompt")
TARGETS = ("transcript", "translation", "answer")
USUAL_TARGET = {"wer": "transcript", "bleu": "translation"}  # of a scorer; answer for all others


def load_tasks(path: str | Path) -> dict[str, Task]:
    """Read a tasks file; the tasks by name, included ones first.

    Raises:
        UserError: unreadable file, unknown or missing key, unknown scorer or normalizer, variant without a wording, a
            file that includes itself.
    """
    specs, languages = _read(Path(path), ())
    return {name: _parse_task(path, name, spec, languages) for name, spec in specs.items()}


def merged_tasks(path: str | Path) -> dict[str, Any]:
    """A tasks file with all that it includes in its place: the values of one that needs no other file.

    Raises:
        UserError: as `load_tasks`.
    """
    load_tasks(path)
    specs, languages = _read(Path(path), ())
    return {"languages": languages, "tasks": specs} if languages else {"tasks": specs}


def _read(path: Path, including: tuple[Path, ...]) -> tuple[dict[str, dict], dict[str, str]]:
    """Specifications and language names of a file and of what it includes; those of the file itself win."""
    if path.resolve() in including:
        raise UserError(f"{path}: the file includes itself")
    values = _read_keys(path)
    specs: dict[str, dict] = {}
    languages: dict[str, str] = {}
    included = values.get("include", [])
    for name in [included] if isinstance(included, str) else _list_of_strings(f"{path}: include", included):
        other_specs, other_languages = _read(path.parent / name, (*including, path.resolve()))
        specs |= {task: {**specs.get(task, {}), **spec} for task, spec in other_specs.items()}
        languages |= other_languages
    for name, spec in (values.get("tasks") or {}).items():
        if not isinstance(spec, dict):
            raise UserError(f"{path}: task {str(name)!r}: must hold keys such as scorer, prompts and eval_prompt")
        specs[str(name)] = {**_without_what_is_replaced(specs.get(str(name), {}), spec), **spec}
    return specs, languages | _strings(f"{path}: languages", values.get("languages", {}))


def _without_what_is_replaced(included: dict, spec: dict) -> dict:
    """A target in parts replaces one without, and the other way round."""
    if "parts" in spec:
        return {key: value for key, value in included.items() if key not in SCORING_KEYS}
    if any(key in spec for key in SCORING_KEYS):
        return {key: value for key, value in included.items() if key != "parts"}
    return included


def _read_keys(path: Path) -> dict[str, Any]:
    values = read_yaml(path, "the tasks file")
    if not isinstance(values, dict) or not {"tasks", "include"} & set(values) or set(values) - set(FILE_KEYS):
        raise UserError(f"{path}: must hold `tasks` with the tasks by name under it, `include`, or both")
    if not isinstance(values.get("tasks") or {}, dict):
        raise UserError(f"{path}: under `tasks` must be tasks by name")
    return values


def _parse_task(path: str | Path, name: str, spec: dict, languages: Mapping[str, str]) -> Task:
    where = f"{path}: task {name!r}"
    needed = WORDING_KEYS if "parts" in spec else (*WORDING_KEYS, "scorer", "normalizer")
    allowed = (*WORDING_KEYS, "parts") if "parts" in spec else (*WORDING_KEYS, *SCORING_KEYS)
    _check_keys(where, spec, allowed, needed)
    if "parts" not in spec:
        parts = (_parse_part(where, "", {key: spec[key] for key in SCORING_KEYS if key in spec}),)
    elif not isinstance(spec["parts"], dict) or len(spec["parts"]) < 2:
        raise UserError(f"{where}: parts must hold two or more parts by name, such as transcript and translation")
    else:
        parts = tuple(_parse_part(f"{where}, part {n!r}", str(n), part) for n, part in spec["parts"].items())
    prompts, evaluation = spec["prompts"], spec["eval_prompt"]
    if not isinstance(prompts, dict) or not isinstance(evaluation, dict) or not prompts:
        raise UserError(f"{where}: prompts and eval_prompt must map variants (such as `{DEFAULT_VARIANT}`) to wordings")
    if set(prompts) != set(evaluation):
        raise UserError(f"{where}: prompts has the variants {sorted(prompts)}, eval_prompt has {sorted(evaluation)}")
    for variant, wordings in prompts.items():
        _check_wordings(f"{where}, variant {variant!r}", wordings, evaluation[variant])
    return Task(
        name=name,
        parts=parts,
        prompts={str(variant): tuple(wordings) for variant, wordings in prompts.items()},
        eval_prompt={str(variant): wording for variant, wording in evaluation.items()},
        languages=languages,
    )


def _parse_part(where: str, name: str, spec: object) -> Part:
    if not isinstance(spec, dict):
        raise UserError(f"{where}: must hold the keys marker, scorer and normalizer")
    marker = ("marker",) if name else ()
    _check_keys(where, spec, (*marker, *SCORING_KEYS), (*marker, "scorer", "normalizer"))
    from slm_espnet.scoring.metrics import SCORERS
    from slm_espnet.scoring.normalizers import NORMALIZERS

    scorer = spec["scorer"]
    if scorer not in SCORERS:
        raise UserError(f"{where}: unknown scorer {scorer!r}; known: {', '.join(SCORERS)}")
    target = spec.get("target", USUAL_TARGET.get(scorer, "answer"))
    if target not in TARGETS:
        raise UserError(f"{where}: unknown target {target!r}; known: {', '.join(TARGETS)}")
    if "bleu_tokenize" in spec and scorer != "bleu":
        raise UserError(f"{where}: bleu_tokenize has no meaning for the scorer {scorer}")
    normalizer = _strings(f"{where}: normalizer", spec["normalizer"], several=True)
    for value in normalizer.values():
        if value not in NORMALIZERS:
            raise UserError(f"{where}: unknown normalizer {value!r}; known: {', '.join(NORMALIZERS)}")
    tokenize = _strings(f"{where}: bleu_tokenize", spec.get("bleu_tokenize", {}), several=True)
    _check_tokenizers(where, tokenize)
    if name and not str(spec["marker"]).strip():
        raise UserError(f"{where}: the marker is empty; give the words that announce this part")
    return Part(name, scorer, target, normalizer, tokenize, str(spec.get("marker", "")).strip())


def _check_tokenizers(where: str, tokenize: Mapping[str, str]) -> None:
    if not tokenize:
        return
    from sacrebleu.metrics import BLEU

    for value in tokenize.values():
        if value not in BLEU.TOKENIZERS:
            raise UserError(f"{where}: unknown bleu_tokenize {value!r}; sacrebleu has {', '.join(BLEU.TOKENIZERS)}")


def _check_keys(where: str, spec: dict, allowed: tuple[str, ...], needed: tuple[str, ...]) -> None:
    wrong = [f"unknown {key!r}" for key in spec if key not in allowed]
    wrong += [f"missing {key!r}" for key in needed if key not in spec]
    if wrong:
        raise UserError(f"{where}: {', '.join(wrong)}; possible keys: {', '.join(allowed)}")


def _check_wordings(where: str, wordings: object, evaluation: object) -> None:
    if not isinstance(wordings, list) or not wordings or not all(isinstance(w, str) and w.strip() for w in wordings):
        raise UserError(f"{where}: prompts must be a list of at least one wording, each a non-empty string")
    if not isinstance(evaluation, str) or not evaluation.strip():
        raise UserError(f"{where}: eval_prompt must be one non-empty string")
    for wording in (*wordings, evaluation):
        try:
            fields = list(string.Formatter().parse(wording))
        except ValueError as error:
            raise UserError(f"{where}: {wording!r}: {error}; a brace that is meant is written twice") from error
        for _, name, specification, conversion in fields:
            if name is not None and (not name.isidentifier() or specification or conversion):
                raise UserError(f"{where}: {wording!r}: a field is a name in braces, such as {{language}}")


def _strings(where: str, values: object, several: bool = False) -> dict[str, str]:
    """A mapping of strings; where one string may stand for all languages, that one as `default`."""
    if several and isinstance(values, str):
        return {DEFAULT_VARIANT: values}
    if not isinstance(values, dict) or not all(isinstance(part, str) for pair in values.items() for part in pair):
        kind = "one name, or names by language code" if several else "names by language code"
        raise UserError(f"{where}: must be {kind} (YAML reads a bare `no` as false: quote it)")
    return values


def _list_of_strings(where: str, values: object) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise UserError(f"{where}: must be one path or a list of paths")
    return values
