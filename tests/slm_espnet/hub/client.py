"""The client's side, in a process of its own: what the Hub's address is, huggingface_hub reads when it is imported.

Reads a JSON line [name, arguments] and answers {"value": …}, or {"error": …} where the toolkit has one.
"""

import json
import sys
import time

from huggingface_hub import constants

from slm_espnet.errors import UserError

time.sleep = lambda _seconds: None  # nobody waits before trying again
constants.DOWNLOAD_CHUNK_SIZE = 1 << 16  # bytes: what is kept of a file that breaks off; 10 MB are more than ours have


def upload(folder, repo, private=None, token=None):
    from pathlib import Path

    from slm_espnet.hub.upload import upload

    return vars(upload(Path(folder), repo, private, token))


def fetch(model, **options):
    from slm_espnet.hub.download import fetch

    return str(fetch(model, **options))


def answer(model, text, instruction, options):
    from slm_espnet import SLMInference

    slm = SLMInference.from_pretrained(model, device="cpu", max_length=12, **options)
    return slm(text=text, instruction=instruction).text


def espnet(model, cachedir, text, instruction):
    from espnet_model_zoo.downloader import ModelDownloader

    from slm_espnet import SLMInference

    files = ModelDownloader(cachedir).download_and_unpack(model)
    return SLMInference(**files, device="cpu", max_length=12)(text=text, instruction=instruction).text


def main():
    out, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            reply = {"value": globals()[name](**arguments)}
        except UserError as error:
            reply = {"error": str(error)}
        print(json.dumps(reply), file=out, flush=True)


if __name__ == "__main__":
    main()
