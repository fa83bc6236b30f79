"""Where a Hugging Face model's files are: in a directory, or on the Hub, from which only those that are used come."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slm_espnet.compat import hub_errors
from slm_espnet.errors import UserError
from slm_espnet.model_files import CONFIG, PEFT, ModelFiles, Wanted, choose_files
from slm_espnet.weights import weights_sha256


@dataclass(frozen=True)
class ModelSource:
    """A model's files on this machine."""

    name: str  # as the configuration gives it
    revision: str  # commit of a Hub model; empty for a directory
    directory: Path
    wanted: Wanted = Wanted()  # which of them are used

    def files(self) -> ModelFiles:
        """The files that are used, whatever lies beside them.

        Raises:
            UserError: as `choose_files`, or an adapter of peft lies beside the model, which transformers would load.
        """
        if self.wanted.weights and (self.directory / PEFT).is_file():
            raise UserError(
                f"{self.directory} has {PEFT}: transformers would load that adapter on top of the model; merge it "
                f"(peft: merge_and_unload, then save_pretrained), or take {PEFT} out of the folder"
            )
        paths = (*self.directory.glob("*"), *self.directory.glob("*/*"))
        names = [path.relative_to(self.directory).as_posix() for path in paths if path.is_file()]
        return choose_files(self.name, names, lambda name: (self.directory / name).read_text("utf-8"), self.wanted)

    def weight_files(self) -> list[Path]:
        """The files of tensors; UserError where there are none that may be read."""
        return [self.directory / name for name in self.files().weights]

    def weights_sha256(self) -> str:
        """One hash of all weight files, 64 hexadecimal digits."""
        return weights_sha256(self.weight_files())

    def loading_options(self) -> dict[str, Any]:
        """Arguments with which transformers' from_pretrained reads the files that `weight_files` names."""
        return {"local_files_only": True, "use_safetensors": not self.files().are_pickles, "weights_only": True}


def locate_model(name: str, revision: str | None, wanted: Wanted, what: str, setting: str) -> ModelSource:
    """The files of a directory or of a Hub repository, downloading what is not there yet.

    Args:
        name: a directory, or a Hub name such as google/mt5-small.
        revision: branch, tag, commit, or refs/pr/N of a Hub repository.
        wanted: which files.
        what: for errors: "language model".
        setting: likewise, where the name was given: "llm_conf: model".

    Raises:
        UserError: it does not exist, is not a model, has no weights that may be read, or cannot be downloaded.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / CONFIG).is_file():
            raise UserError(f"{path} has no {CONFIG}, so it is no Hugging Face model; give a directory that has")
        return ModelSource(name, "", path, wanted)
    if path.is_absolute() or name.startswith(".") or name.count("/") > 1 or path.exists():
        raise UserError(f"{what} {name} does not exist: it is not a directory; correct {setting}, or build it first")
    directory = _download(name, revision, wanted, what)
    return ModelSource(name, directory.name, directory, wanted)


def _download(name: str, revision: str | None, wanted: Wanted, what: str) -> Path:
    """Fetch the files that are used, all of one commit; returns their folder."""
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        # the first file resolves the revision, and leaves it in the cache for when there is no network
        directory = Path(hf_hub_download(name, CONFIG, revision=revision)).parent
        commit = directory.name
        try:
            names = HfApi().list_repo_files(name, revision=commit)
        except hub_errors() as error:  # no network: what is here must do
            return _whole(directory, name, wanted, what, error)

        def read(file: str) -> str:
            return Path(hf_hub_download(name, file, revision=commit)).read_text("utf-8")

        files = choose_files(name, names, read, wanted)
        return Path(snapshot_download(name, revision=commit, allow_patterns=[glob.escape(f) for f in files.every]))
    except hub_errors() as error:
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            raise UserError(f"Hub repository {name} has no {CONFIG}: it is not a Hugging Face model") from error
        at = f" at revision {revision}" if revision else ""
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{what} {name}{at} is neither a directory nor to be had from the Hub ({reason}); check the name, or "
            "download it where there is a network and give its directory"
        ) from error


def _whole(directory: Path, name: str, wanted: Wanted, what: str, why: Exception) -> Path:
    """The folder of the cache, where all that is used is in it."""
    try:
        ModelSource(name, directory.name, directory, wanted).files()
    except UserError as error:
        reason = (str(why).strip() or type(why).__name__).splitlines()[0]
        raise UserError(
            f"{what} {name} is not whole in the Hub's cache ({directory}: {error}), and the Hub cannot be asked "
            f"({reason}); download it where there is a network and give its directory"
        ) from why
    return directory
