"""What is in a package, by name, size and hash; and what is refused before anything of it is used.

    adapter.safetensors    the trained weights, which say what foundations they join
    config.yaml            configuration of the training, prompt template included
    foundation.yaml        the pair of frozen models: kinds, Hub ids and revisions, or folders of the package
    tasks.yaml             wordings, scorers and normalizers of the tasks
    inference.yaml         how it was decoded, and the task and language of a call without instruction
    results.json, RESULTS.md   scores
    provenance.json        commit, command, seed, versions, training curve, hashes of the foundations
    foundations/           the frozen models themselves, where they were packed
    meta.yaml              what ESPnet's ModelDownloader reads
    package.json           the manifest: format, size and sha256 of every file but itself and the card
    README.md              the model card, which may be edited on the Hub
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from slm_espnet.errors import UserError
from slm_espnet.files import read_yaml, write_atomically
from slm_espnet.hub.names import HUB_NAME
from slm_espnet.weights import file_sha256

MANIFEST, CARD, META = "package.json", "README.md", "meta.yaml"
ADAPTER, CONFIG, FOUNDATION = "adapter.safetensors", "config.yaml", "foundation.yaml"
NEEDED = (ADAPTER, CONFIG, FOUNDATION)
FORMAT = 1  # of the package; raised where an older toolkit would misread it
# Data alone. Weights in other formats (.bin, .pth, .pt, .ckpt, .pkl) can run code when they are loaded.
SUFFIXES = (".safetensors", ".yaml", ".json", ".md", ".txt", ".model", ".npz", ".jinja", ".tiktoken")
PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")  # how pickles and torch archives begin


@dataclass(frozen=True)
class FileFacts:
    """One file of a package."""

    size: int  # bytes
    sha256: str  # hexadecimal


def write_manifest(folder: Path) -> dict[str, FileFacts]:
    """List what is in a folder, in package.json there."""
    files = {
        path.relative_to(folder).as_posix(): FileFacts(path.stat().st_size, file_sha256(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).as_posix() not in (MANIFEST, CARD)
    }
    values = {"format": FORMAT, "files": {name: vars(facts) for name, facts in files.items()}}
    write_atomically(folder / MANIFEST, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    return files


def read_manifest(path: Path, source: str) -> dict[str, FileFacts]:
    """The files that a package must have.

    Args:
        path: its package.json.
        source: the package, for errors.

    Raises:
        UserError: it is damaged, of a newer toolkit, or names a file that no package may have.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = int(values["format"])
        files = {str(name): FileFacts(int(v["size"]), str(v["sha256"])) for name, v in values["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{source}: {MANIFEST} is damaged ({error}); get or make the package again") from error
    if version > FORMAT:
        raise UserError(f"{source} is a package of format {version}, this toolkit reads {FORMAT}: install a newer one")
    for name in files:
        check_name(name, source)
    missing = [name for name in NEEDED if name not in files]
    if missing:
        raise UserError(f"{source}: {MANIFEST} names no {', '.join(missing)}; it is no package of a trained adapter")
    return files


def check_name(name: str, source: str) -> None:
    """Raises: UserError: a path that leads out of the package, or a kind of file that is more than data."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or str(path) != name:
        raise UserError(f"{source} names a file outside of its folder ({name!r}); it is refused, do not use it")
    if path.suffix not in SUFFIXES:
        raise UserError(
            f"{source} names {name}, which is no kind of file that a package has ({' '.join(SUFFIXES)}); weights must "
            "be safetensors, because other formats can run code"
        )


def check_package(folder: Path, source: str | None = None) -> None:
    """Check every file of a package on this machine.

    Raises:
        UserError: as `read_manifest`; or a file is missing, differs from the manifest, lies elsewhere, or is a pickle.
    """
    source = source or str(folder)
    for name, facts in read_manifest(folder / MANIFEST, source).items():
        check_file(folder, name, facts, source)


def check_file(folder: Path, name: str, facts: FileFacts, source: str) -> None:
    """Check one file of a package, see `check_package`."""
    path = folder / name
    if not path.is_file():
        raise UserError(f"{source}: {name} is missing; get or make the package again")
    places = [folder.resolve()]
    if folder.parent.name == "snapshots":  # the Hub client's cache, where files are links to blobs
        places.append((folder.parent.parent / "blobs").resolve())
    if not any(path.resolve().is_relative_to(place) for place in places):
        raise UserError(f"{source}: {name} is a link to {path.resolve()}, outside of the package; it is refused")
    if path.suffix == ".safetensors":
        with open(path, "rb") as file:
            if file.read(4).startswith(PICKLES):
                raise UserError(f"{source}: {name} is a pickle, which can run code, and no safetensors file; refused")
    size = path.stat().st_size
    if size != facts.size:
        raise UserError(f"{source}: {name} has {size} bytes, not the {facts.size} of {MANIFEST}; get it again")
    found = file_sha256(path)
    if found != facts.sha256:
        raise UserError(
            f"{source}: {name} is damaged or was changed: sha256 {found}, in {MANIFEST} {facts.sha256}; get it again, "
            "or pack it again where it was made"
        )


def check_foundations(folder: Path, given: dict[str, bool]) -> None:
    """Check that the frozen models of a package are in it, on the Hub, or given.

    Args:
        folder: the package.
        given: by role (speech_encoder, llm): whether a directory was given in its place.

    Raises:
        UserError: a model lies outside of the package, or is in none of these places.
    """
    values = read_yaml(folder / FOUNDATION, "the foundation of the package")
    for role, is_given in given.items():
        model = str(((values or {}).get(f"{role}_conf") or {}).get("model", ""))
        if is_given or HUB_NAME.fullmatch(model):
            continue
        if not model.startswith("./") or ".." in PurePosixPath(model).parts:
            raise UserError(f"{folder / FOUNDATION}: {role}: {model} is neither on the Hub nor in the package; refused")
        if not (folder / model).is_dir():
            raise UserError(
                f"{folder} has no {role}: it was used from a folder that is on no Hub and was not packed. Give its "
                f"directory ({role}=…, --{role}), or have the package made with --pack_foundations true"
            )
