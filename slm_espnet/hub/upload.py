"""Putting a package on the Hub: what is there already is not sent, what was interrupted goes on."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path

from slm_espnet.errors import UserError
from slm_espnet.hub.manifest import CARD, MANIFEST, check_package, read_manifest
from slm_espnet.hub.names import HUB_NAME
from slm_espnet.hub.transfer import explain, try_again


@dataclass(frozen=True)
class Uploaded:
    """What an upload did."""

    repo: str  # user/name
    url: str  # of the repository
    commit: str  # what the Hub has now
    changed: bool  # False: all was there before, and nothing was sent


def upload(folder: Path, repo: str, private: bool | None = None, token: str | None = None) -> Uploaded:
    """Upload a package.

    Args:
        folder: the package.
        repo: user/name; made where it does not exist.
        private: True or False for a new repository; one that exists must agree. None: public, or as it is.
        token: one that may write; the stored one when not given.

    Raises:
        UserError: the package is damaged, the name is none, the token may not write, or the network fails for good.
    """
    from huggingface_hub import HfApi

    if not HUB_NAME.fullmatch(repo):
        raise UserError(f"--hf_repo is user/name, not {repo!r}")
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{folder} is no package; run stage 7 (python -m slm_espnet.bin.pack) first")
    check_package(folder)
    api = HfApi(token=token, library_name="slm_espnet")
    url = _make_repository(api, repo, private)
    before = try_again(lambda: api.model_info(repo), "upload", repo)
    names = [*read_manifest(folder / MANIFEST, str(folder)), MANIFEST, CARD]
    there = {sibling.rfilename for sibling in before.siblings or ()}
    gone = sorted(_of_earlier_package(api, repo, before.sha, there) - set(names))
    commit = try_again(
        lambda: api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            allow_patterns=[glob.escape(name) for name in names],
            delete_patterns=[glob.escape(name) for name in gone] or None,
            commit_message="Package of slm_espnet",
        ),
        "upload",
        repo,
    )
    return Uploaded(repo, url, commit.oid, commit.oid != before.sha)


def _make_repository(api, repo: str, private: bool | None) -> str:
    """Make the repository where there is none; one that others can read is not taken for a private one."""
    from huggingface_hub.errors import RepositoryNotFoundError

    from slm_espnet.compat import hub_errors

    try:
        found = api.model_info(repo)
    except RepositoryNotFoundError:
        return str(try_again(lambda: api.create_repo(repo, private=private, exist_ok=True), "upload", repo))
    except hub_errors() as error:
        raise UserError(explain(error, "upload", repo)) from error
    if private is not None and bool(found.private) != private:
        is_now, asked = ("private", "public") if found.private else ("public", "private")
        raise UserError(
            f"{repo} is {is_now} and --hf_private asks for {asked}; change it on its settings page of the Hub, or "
            "leave the option out. Nothing was sent"
        )
    return f"{api.endpoint}/{repo}"


def _of_earlier_package(api, repo: str, revision: str, there: set[str]) -> set[str]:
    """Files that an earlier package put there: those alone may be removed, what else its owner added stays."""
    from huggingface_hub import hf_hub_download

    if MANIFEST not in there:
        return set()
    path = try_again(lambda: hf_hub_download(repo, MANIFEST, revision=revision, token=api.token), "upload", repo)
    try:
        return set(read_manifest(Path(path), repo)) & there
    except UserError:  # by hand or by a newer toolkit: nothing is known, nothing is removed
        return set()
