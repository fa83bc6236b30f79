"""Turn a finished ESPnet training into a foundation: config.yaml without machine paths, tokens.txt, model.safetensors.

    python local/export.py --expdir exp/encoder --out_dir ../foundations/encoder

Weights are rounded to float16; whoever evaluates the folder evaluates the rounded ones.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

# What ESPnet's ASRTask.build_model reads; all else in its config is about the training or about this machine.
MODEL_KEYS = (
    "token_list", "token_type", "input_size", "frontend", "frontend_conf", "normalize", "normalize_conf",
    "preencoder", "preencoder_conf", "encoder", "encoder_conf", "postencoder", "postencoder_conf",
    "decoder", "decoder_conf", "joint_net_conf", "ctc_conf", "model", "model_conf", "init",
)  # fmt: skip


def model_config(config: dict) -> dict:
    """The part of an ESPnet training config that builds the model, computing in float32 and without augmentation."""
    kept = {key: config[key] for key in MODEL_KEYS if key in config}
    kept |= {"specaug": None, "specaug_conf": {}}
    kept["encoder_conf"] = kept["encoder_conf"] | {"compute_dtype": "float32"}
    return kept


def export(expdir: Path, inference_model: str, out_dir: Path) -> None:
    """Write the foundation; raises FileNotFoundError where the training has not produced `inference_model`."""
    import torch
    import yaml
    from safetensors.torch import save_file

    weights_file = expdir / inference_model
    if not weights_file.is_file():
        raise FileNotFoundError(f"{weights_file} is missing: finish the training (stage 2), or name another file")
    state = torch.load(weights_file, map_location="cpu", weights_only=True)
    rounded = {name: _half(value) for name, value in state.items()}
    config = model_config(yaml.safe_load((expdir / "config.yaml").read_text(encoding="utf-8")))
    out_dir.mkdir(parents=True, exist_ok=True)
    temporary = out_dir / "model.safetensors.tmp"
    save_file(rounded, temporary, metadata={"format": "pt"})
    temporary.chmod(0o644)  # safetensors makes files that only their owner can read
    os.replace(temporary, out_dir / "model.safetensors")
    _write(out_dir / "config.yaml", yaml.safe_dump(config, allow_unicode=True, sort_keys=False))
    _write(out_dir / "tokens.txt", "".join(f"{token}\n" for token in config["token_list"]))


def _half(value):
    import torch

    return value.to(torch.float16).contiguous() if value.is_floating_point() else value.contiguous()


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--expdir", type=Path, required=True, help="ESPnet's output directory")
    parser.add_argument("--inference_model", default="valid.loss.ave.pth", help="weights in expdir")
    parser.add_argument("--out_dir", type=Path, required=True, help="where the foundation goes")
    options = parser.parse_args()
    try:
        export(options.expdir, options.inference_model, options.out_dir)
    except (FileNotFoundError, KeyError) as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
