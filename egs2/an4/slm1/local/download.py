"""Fetch AN4 into a folder, where there is a network; prints the folder of the corpus.

    python local/download.py downloads
"""

from __future__ import annotations

import argparse
import os
import sys
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

from slm_espnet.errors import UserError, run_main
from slm_espnet.files import discard, temporary_beside

URLS = (
    "http://www.speech.cs.cmu.edu/databases/an4/an4_raw.bigendian.tar.gz",
    "http://www.speech.cs.cmu.edu/databases/an4/an4_sphere.tar.gz",
)
TIMEOUT = 20  # seconds without an answer


def fetch(url: str, target: Path) -> None:
    """Download a file, in place only when it is whole."""
    temporary = temporary_beside(target)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response, open(temporary, "wb") as file:
            while block := response.read(1 << 20):
                file.write(block)
        os.replace(temporary, target)
    finally:
        discard(temporary)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack plain files and folders below `folder`; an archive from the network gets no say in anything else.

    (`filter="data"` of tarfile would do, but the first releases of Python 3.11 do not have it.)
    """
    with tarfile.open(archive) as tar:
        safe = [m for m in tar if (m.isfile() or m.isdir()) and not {"..", "/"} & set(Path(m.name).parts)]
        tar.extractall(folder, members=safe)


def corpus_folder(downloads: Path) -> Path | None:
    """The folder that holds etc/an4_train.fileids, None where there is none."""
    found = sorted(downloads.glob("**/etc/an4_train.fileids"))
    return found[0].parents[1] if found else None


def download(downloads: Path, urls: tuple[str, ...] = URLS) -> Path:
    """The corpus below `downloads`, fetched and unpacked if it is not there.

    Raises:
        UserError: no address answers; says how to get the corpus otherwise.
    """
    folder = corpus_folder(downloads)
    if folder is not None:
        return folder
    downloads.mkdir(parents=True, exist_ok=True)
    problems = []
    for url in urls:
        archive = downloads / url.rsplit("/", 1)[1]
        try:
            if not archive.is_file():
                fetch(url, archive)
            unpack(archive, downloads)
        except tarfile.TarError as error:
            archive.unlink(missing_ok=True)
            problems.append(f"{url}: not an archive ({error})")
        except (OSError, urllib.error.URLError) as error:
            problems.append(f"{url}: {error}")
        else:
            folder = corpus_folder(downloads)
            if folder is not None:
                return folder
            problems.append(f"{url}: holds no etc/an4_train.fileids")
    raise UserError(
        f"AN4 is not here and could not be fetched ({'; '.join(problems)}). It is free: unpack {urls[0]} (64 MB) "
        "anywhere, and set AN4=/path/to/an4 in db.sh or in the environment"
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("downloads", type=Path, help="folder to fetch into")
    print(download(parser.parse_args().downloads), file=sys.stdout)


if __name__ == "__main__":
    run_main(main)
