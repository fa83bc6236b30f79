"""A page in the browser to talk to a trained model.

    python -m slm_espnet.bin.demo --model user/name                       # prints the address
    python -m slm_espnet.bin.demo --model exp/slm_mini --port 8000
    ssh -L 7860:localhost:7860 host                                       # the page of another machine, here
    python -m slm_espnet.bin.demo --model user/name --host 0.0.0.0 --ssl_certfile cert.pem --ssl_keyfile key.pem

Record or choose a file, choose a task or write an instruction, read the answer while it comes; what was said before
goes along. Browsers record on a page from localhost or over https alone. Everyone who reaches the page may use it; with
--host 0.0.0.0 that is the network. Visitors wait for each other and do not see each other's dialogs. Nothing is sent
to other servers. Needs Gradio: pip install 'gradio>=6.31,<7'
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slm_espnet.errors import UserError, run_main

if TYPE_CHECKING:
    from slm_espnet.api.model import SLMInference

NO_GRADIO = "the page needs Gradio: pip install 'gradio>=6.31,<7'"


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    group = parser.add_argument_group("the model")
    group.add_argument("--model", required=True, help="user/name, user/name@revision, a folder, or an experiment")
    group.add_argument("--beam_size", type=int, help="Beams; 1 is greedy; without it as the model says")
    group.add_argument("--speech_encoder", type=Path, help="Directory of the speech encoder, where it is not fetched")
    group.add_argument("--llm", type=Path, help="Directory of the language model, likewise")
    group = parser.add_argument_group("the page")
    group.add_argument("--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0: from other machines too")
    group.add_argument("--port", type=int, help="Port; without it the first free one from 7860 on")
    group.add_argument("--ssl_certfile", type=Path, help="Certificate (PEM), for https")
    group.add_argument("--ssl_keyfile", type=Path, help="Its key (PEM)")
    group.add_argument("--max_megabytes", type=int, default=200, help="Largest file that is taken")
    group = parser.add_argument_group("running")
    group.add_argument("--max_seconds", type=float, default=25.0, help="Longest piece of a long recording")
    group.add_argument("--device", help="cpu, cuda, …; auto: the LLM over all GPUs; without it a GPU if there is one")
    group.add_argument("--num_threads", type=int, help="CPU threads; PyTorch's choice without it")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until it is interrupted."""
    args = get_parser().parse_args(argv)
    if not args.max_seconds > 8:
        raise UserError("--max_seconds must be above 8")
    if importlib.util.find_spec("gradio") is None:
        raise UserError(NO_GRADIO)
    with tempfile.TemporaryDirectory(prefix="slm_demo_") as folder:
        # both before Gradio is imported; its own folder of uploads would be shared with other users of the machine
        os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=folder)
        serve_until_interrupted(args)
    return 0


def serve_until_interrupted(args: argparse.Namespace) -> None:
    """Load the model, start the page, say where it is."""
    import torch

    from slm_espnet.api.model import SLMInference
    from slm_espnet.demo.server import Address, serve
    from slm_espnet.long_audio.cutting import CuttingOptions

    address = Address(args.host, args.port, args.ssl_certfile, args.ssl_keyfile, args.max_megabytes)
    if args.num_threads is not None:
        torch.set_num_threads(args.num_threads)
    options = {} if args.beam_size is None else {"beam_size": args.beam_size}
    slm = SLMInference.from_pretrained(
        args.model, speech_encoder=args.speech_encoder, llm=args.llm, device=args.device,
        cutting=CuttingOptions(max_seconds=args.max_seconds), **options,
    )  # fmt: skip
    warm_up(slm)
    page = serve(slm, name_of(args.model), address)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # recordings are deleted however it ends
    print(f"{name_of(args.model)} is at {page.local_url}", flush=True)
    if args.host not in ("127.0.0.1", "localhost"):
        print(f"from other machines: {page.local_url.replace('localhost', socket.gethostname())}", flush=True)
    print("Ctrl-C ends it", flush=True)
    page.block_thread()


def warm_up(slm: SLMInference) -> None:
    """Ask once, so that the first visitor does not wait for what is loaded at first use."""
    import numpy as np
    import soundfile

    with tempfile.TemporaryDirectory() as folder:
        noise = 0.01 * np.random.default_rng(0).normal(size=slm.sampling_rate)
        soundfile.write(Path(folder, "noise.wav"), noise, slm.sampling_rate)
        slm(Path(folder, "noise.wav"), "say this")


def name_of(model: str) -> str:
    """A folder's own name, a Hub name as it is."""
    return Path(model).resolve().name if Path(model).exists() else model


if __name__ == "__main__":
    run_main(main)
