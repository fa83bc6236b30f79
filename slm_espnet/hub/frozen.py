"""The two frozen models of a package: what they are called where it travels, and their files where they are packed."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slm_espnet.errors import UserError
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
    directory: Path | None  # its files here, where they are packed

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
        files = [path for path in sorted(self.directory.iterdir()) if path.is_file() and path.suffix in SUFFIXES]
        if not any(path.suffix == ".safetensors" for path in files):
            raise UserError(
                f"{self.directory} has no *.safetensors: other weights can run code and are not packed; leave "
                "--pack_foundations false, or save the model as safetensors and train the adapter on that"
            )
        for path in files:
            copy_file(path, package / FOLDER / self.role / path.name)
        return {f"{FOLDER}/{self.role}/{path.name}" for path in files}


def copy_file(source: Path, path: Path) -> None:
    """Copy a file, atomically; one that is there already with the same content stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.stat().st_size == source.stat().st_size:
        if weights_sha256([path]) == weights_sha256([source]):
            return
    temporary = path.with_name(f".{path.name}.tmp{os.getpid()}")
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
        directory = None
        if request.pack_foundations:
            directory = _checked_directory(role, kind, conf, identity["weights_sha256"])
        name = travelling_name(identity["model"], identity.get("revision", ""), given)
        found.append(FrozenModel(role, name, dict(identity), directory))
    return found[0], found[1]


def fetch_foundations(pair: Foundation) -> dict[str, Path]:
    """Where both models are, by role; what is not here yet is downloaded."""
    kinds = (pair.speech_encoder, pair.llm)
    return {role: _files(role, kind, vars(pair)[f"{role}_conf"])[0] for role, kind in zip(ROLES, kinds, strict=True)}


def _checked_directory(role: str, kind: str, conf: dict[str, Any], expected: str) -> Path:
    """The files of a model; UserError where they are not those of training."""
    directory, weights = _files(role, kind, conf)
    hashes = [weights_sha256(some) for some in weights]
    if expected not in hashes:
        raise UserError(
            f"{role} {conf['model']} has weights_sha256 {hashes[0]}, but the adapter was trained on {expected}; give "
            "the foundation it was trained with"
        )
    return directory


def _files(role: str, kind: str, conf: dict[str, Any]) -> tuple[Path, list[list[Path]]]:
    """A model's directory, fetched where it is not here, and what its hash may be made from."""
    model, revision = str(conf["model"]), conf.get("revision")
    if kind == "espnet_ctc":
        from slm_espnet.speech_encoder.espnet_files import find_espnet_model

        files = find_espnet_model(model, revision, conf.get("weights"))
        return files.directory, [[files.weights]]
    if role == "speech_encoder":
        from slm_espnet.speech_encoder.source import find_model

        source = find_model(model, revision)
        language = (f"adapter.{conf.get('target_lang')}.safetensors",)  # MMS has an adapter for each language
        return source.directory, [source.weight_files(), source.weight_files(language)]
    from slm_espnet.llm.source import find_model as find_llm

    found = find_llm(model, revision)
    return found.directory, [found.weight_files()]
