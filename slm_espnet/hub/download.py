"""Getting a package from the Hub: only what its manifest names, of one commit, checked by hash before it is used."""

from __future__ import annotations

import glob
import os
import shutil
from pathlib import Path

from slm_espnet.errors import UserError
from slm_espnet.files import cannot_write, discard, temporary_beside
from slm_espnet.hub.manifest import CARD, MANIFEST, FileFacts, check_file, check_package, read_manifest
from slm_espnet.hub.names import hub_name
from slm_espnet.hub.transfer import try_again


def locate(
    model: str,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Path:
    """The folder of a model: the one that is named where there is one, else a package of the Hub.

    Raises:
        UserError: as `fetch`, or a folder was meant that is not there.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        if revision:
            raise UserError(f"{model} is a folder here, which has no revision {revision}")
        return path
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1 or path.exists():
        raise UserError(f"{model}: no such folder, and no name on the Hub (user/name or user/name@revision)")
    return fetch(model, revision, token, cache_dir, local_files_only)


def fetch(
    model: str,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Path:
    """Download a package; what is in the cache is not fetched again, and what was interrupted goes on.

    Args:
        model: user/name or user/name@revision.
        revision: branch, tag or commit, where the name has none.
        token: for a private repository; the stored one when not given.
        cache_dir: the Hub client's when not given.
        local_files_only: use what is in the cache, ask no server.

    Returns:
        The folder of this commit in the cache.

    Raises:
        UserError: it does not exist, is private, is no package, is damaged or unsafe; says what to do.
    """
    from huggingface_hub import hf_hub_download, snapshot_download

    name, at = hub_name(model)
    if at and revision and at != revision:
        raise UserError(f"{model} names a revision, and another one was given: {revision}")
    options = {"cache_dir": cache_dir, "token": token, "local_files_only": local_files_only}
    wanted = at or revision or None
    source = f"{name}@{wanted}" if wanted else name
    manifest = Path(
        try_again(lambda: hf_hub_download(name, MANIFEST, revision=wanted, **options), "download", source)
    )  # fmt: skip
    folder = manifest.parent
    try:
        files = read_manifest(manifest, source)
    except UserError:
        manifest.unlink()  # the link alone: a damaged file must not stay in the way of a mended one
        raise
    # The rest is taken of the same commit, whatever is uploaded meanwhile.
    patterns = [glob.escape(file) for file in (*files, MANIFEST, CARD)]
    try_again(
        lambda: snapshot_download(name, revision=folder.name, allow_patterns=patterns, **options), "download", source
    )
    for file, facts in files.items():
        _check_or_mend(folder, file, facts, source, name, {**options, "revision": folder.name})
    return folder


def _check_or_mend(
    folder: Path, file: str, facts: FileFacts, source: str, name: str, options: dict[str, object]
) -> None:
    """Check a file; one that is damaged here is fetched once more before it is refused."""
    from huggingface_hub import hf_hub_download

    try:
        check_file(folder, file, facts, source)
        return
    except UserError:
        if options["local_files_only"]:
            raise
    try_again(lambda: hf_hub_download(name, file, force_download=True, **options), "download", source)
    try:
        check_file(folder, file, facts, source)
    except UserError:
        (folder / file).resolve().unlink(missing_ok=True)  # so that a mended one is fetched next time
        (folder / file).unlink(missing_ok=True)
        raise


def copy_package(folder: Path, output_dir: Path) -> None:
    """Copy a package to a folder of its own, for a machine without network; refuses one that is something else."""
    if output_dir.exists() and any(output_dir.iterdir()) and not (output_dir / MANIFEST).is_file():
        raise UserError(f"{output_dir} is not empty and no package; give another --output_dir")
    for name in (*read_manifest(folder / MANIFEST, str(folder)), CARD, MANIFEST):
        source, path = folder / name, output_dir / name
        if not source.is_file():
            continue
        temporary = temporary_beside(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, temporary)
            os.replace(temporary, path)
        except OSError as error:
            raise cannot_write(path, error) from error
        finally:
            discard(temporary)
    check_package(output_dir)
