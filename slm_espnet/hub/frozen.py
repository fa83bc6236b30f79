"""The two frozen models of a package: what they are called where it travels, and their files where they are packed."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slm_espnet.errors import UserError
from slm_espnet.files import temporary_beside
from slm_espnet.foundation import Foundation
from slm_espnet.hub.manifest import SUFFIXES
from slm_espnet.hub.names import ModelName, travelling_name
from slm_espnet.weights import weights_sha256

if TYPE_CHECKING:
    from slm_espnet.hub.package import PackRequest

FOLDER = "foundations"  # in a package
ROLES = ("speech_encoder", "llm")


@dataclass(frozen=True)
class FrozenModel:
    """One of the two."""

    role: str  # speech_encoder or llm
    name: ModelName
    identity: dict[str, str]  # as it was in training
    directory: Path | None  # where its files are, where they are packed
    files: tuple[str, ...] = ()  # those that are used, as paths from there

    @property
    def place(self) -> str:
        """What foundation.yaml gives as the model: a Hub id, or the folder of the package where its files are or are
        to be put.
        """
        fetched = self.name.on_hub and self.directory is None
        return self.name.name if fetched else f"./{FOLDER}/{self.role}"

    @property
    def revision(self) -> str:
        """Of a model that is fetched."""
        return self.name.revision if self.directory is None else ""

    def portable(self, identity: dict[str, str]) -> dict[str, str]:
        """The identity with the travelling name."""
        return {**identity, "model": self.name.name, "revision": self.name.revision}

    def facts(self) -> dict[str, Any]:
        """For provenance.json."""
        return {**self.portable(self.identity), "packed": self.directory is not None, "on_hub": self.name.on_hub}

    def copy_to(self, package: Path) -> set[str]:
        """Copy the files into a package; returns their names there.

        Raises:
            UserError: the weights are no safetensors, which are all that a package may have.
        """
        if self.directory is None:
            return set()
        names = [name for name in self.files if Path(name).suffix in SUFFIXES]
        if not any(name.endswith(".safetensors") for name in names):
            raise UserError(
                f"{self.directory} has no *.safetensors: other weights can run code and are not packed; leave "
                "--pack_foundations false, or save the model as safetensors and train the adapter on that"
            )
        for name in names:
            copy_file(self.directory / name, package / FOLDER / self.role / name)
        return {f"{FOLDER}/{self.role}/{name}" for name in names}


def copy_file(source: Path, path: Path) -> None:
    """Copy a file, atomically; one that is there already with the same content stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.stat().st_size == source.stat().st_size:
        if weights_sha256([path]) == weights_sha256([source]):
            return
    temporary = temporary_beside(path)
    try:
        shutil.copyfile(source, temporary)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{path} could not be written ({error.strerror}); make room and pack again") from error


def find_frozen(config: dict[str, Any], pair: Foundation, request: PackRequest) -> tuple[FrozenModel, FrozenModel]:
    """Speech encoder and language model of a trained adapter.

    Raises:
        UserError: the foundation is another one than in training, or its files are not those of training.
    """
    identities = (dict((config.get("encoding_fingerprint") or {}).get("encoder") or {}), config.get("llm_identity"))
    kinds = (pair.speech_encoder, pair.llm)
    found = []
    for role, kind, identity, given in zip(
        ROLES, kinds, identities, (request.speech_encoder_name, request.llm_name), strict=True
    ):
        if not identity or identity.get("kind") != kind:
            was = identity.get("kind") if identity else "nothing"
            raise UserError(f"{request.foundation} has the {role} {kind}, the adapter was trained on {was}")
        conf = vars(pair)[f"{role}_conf"]
        place: tuple[Path | None, tuple[str, ...]] = (None, ())
        if request.pack_foundations:
            place = _checked(role, _files(role, kind, conf), conf["model"], identity["weights_sha256"])
        name = travelling_name(identity["model"], identity.get("revision", ""), given)
        found.append(FrozenModel(role, name, dict(identity), *place))
    return found[0], found[1]


def fetch_foundations(pair: Foundation) -> dict[str, Path]:
    """Where both models are, by role; what is not here yet is downloaded."""
    kinds = (pair.speech_encoder, pair.llm)
    confs = (pair.speech_encoder_conf, pair.llm_conf)
    return {role: _files(role, kind, conf).directory for role, kind, conf in zip(ROLES, kinds, confs, strict=True)}


@dataclass(frozen=True)
class _Files:
    """The files of a model that are used."""

    directory: Path
    every: tuple[str, ...]  # as paths from there
    weights: list[Path]  # those that its hash is made from


def _checked(role: str, files: _Files, model: str, expected: str) -> tuple[Path, tuple[str, ...]]:
    """Where the files of a model are, and which; UserError where they are not those of training."""
    found = weights_sha256(files.weights)
    if found != expected:
        raise UserError(
            f"{role} {model} has weights_sha256 {found}, but the adapter was trained on {expected}; give the "
            "foundation it was trained with"
        )
    return files.directory, files.every


def _files(role: str, kind: str, conf: dict[str, Any]) -> _Files:
    """The files of a model, fetched where they are not here."""
    model, revision, trust_pickle = str(conf["model"]), conf.get("revision"), bool(conf.get("trust_pickle", False))
    if kind == "espnet_ctc":
        from slm_espnet.speech_encoder.espnet_files import find_espnet_model

        files = find_espnet_model(model, revision, conf.get("weights"))
        return _Files(files.directory, files.every(), [files.weights])
    if role == "speech_encoder":
        from slm_espnet.speech_encoder.source import find_model

        source = find_model(model, revision, trust_pickle, conf.get("target_lang"))
    else:
        from slm_espnet.llm.source import find_model as find_llm

        source = find_llm(model, revision, trust_pickle=trust_pickle)
    return _Files(source.directory, source.files().every, source.weight_files())
