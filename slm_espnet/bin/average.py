"""After stage 4: write adapter.safetensors from the weights that training averaged.

python -m slm_espnet.bin.average --exp_dir exp/slm_mini [--inference_model valid.loss.ave.pth]
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Sequence
from pathlib import Path

from slm_espnet.errors import UserError, run_main


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--exp_dir", type=Path, required=True, help="output_dir of the training")
    parser.add_argument("--inference_model", default="valid.loss.ave.pth", help="Weights in exp_dir")
    return parser


def write_adapter(exp_dir: Path, inference_model: str) -> Path:
    """Read ESPnet's weights, check that they are whole, write them as safetensors; returns the file's path."""
    import torch

    from slm_espnet.checkpoint import ADAPTER_FILE, CONFIG_FILE, save_adapter
    from slm_espnet.training.config import read_config

    config = read_config(exp_dir / CONFIG_FILE)
    source = exp_dir / inference_model
    if not source.exists():
        raise UserError(
            f"{source} does not exist: training has not ended; go on with --resume true, or give --inference_model"
        )
    try:
        state = torch.load(source, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(f"{source} cannot be read: {error}; resume the training, it writes the file again") from error
    broken = [key for key, value in state.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    if broken:
        raise UserError(f"{source} has infinite or undefined weights ({broken[0]}); train with a smaller learning rate")
    save_adapter(state, config, exp_dir / ADAPTER_FILE)
    return exp_dir / ADAPTER_FILE


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(argv)
    path = write_adapter(args.exp_dir, args.inference_model)
    print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB from {args.inference_model}")


if __name__ == "__main__":
    run_main(main)
