"""Stage 8: put a package on the Hugging Face Hub.

    python -m slm_espnet.bin.upload --package exp/slm_mini/package --hf_repo user/name --hf_private true

Log in once with `hf auth login`, or set HF_TOKEN. Only what has changed is sent; an interrupted upload goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from slm_espnet.bin.config_file import str2bool
from slm_espnet.errors import run_main


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--package", type=Path, required=True, help="Folder that slm_espnet.bin.pack made")
    parser.add_argument("--hf_repo", required=True, help="user/name; made where it does not exist")
    parser.add_argument(
        "--hf_private", type=lambda text: str2bool(text) if text else None, default=None,
        help="true or false: who can see a new repository; one that exists must agree",
    )  # fmt: skip
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(argv)
    from slm_espnet.hub.upload import upload

    done = upload(args.package, args.hf_repo, args.hf_private)
    said = "uploaded" if done.changed else "has all of it already, nothing was sent"
    print(f"{done.url}: {said}; commit {done.commit}")
    print(f'SLMInference.from_pretrained("{done.repo}@{done.commit}")')


if __name__ == "__main__":
    run_main(main)
