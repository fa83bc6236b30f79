"""Write the trained model as a Hugging Face checkpoint in half precision, with a tokenizer that needs no network.

    python local/export_lm.py --expdir exp --output ../foundations/llm
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

PROBES = (
    "i want to fly from boston to paris on monday", "p a t t e r s o n", "quién canta esta canción de jazz de múnich",
    "a", "", "two  spaces", " at the edges ", "o'clock", "wilbencyn xqz", "possible names anna zachary",
    "ñandú <sp> help", "<sp>", "seven <sp>", "niño12 ?",
)  # fmt: skip


def fast_tokenizer(model_file: Path):
    """The sentencepiece model as a T5Tokenizer of the tokenizers library, "<sp>" one of its special tokens."""
    import sentencepiece as spm
    from transformers import T5Tokenizer

    pieces = spm.SentencePieceProcessor(model_file=str(model_file))
    vocab = [(pieces.id_to_piece(i), pieces.get_score(i)) for i in range(pieces.get_piece_size())]
    return T5Tokenizer(vocab=vocab, extra_ids=0, additional_special_tokens=["<sp>"])


def check_tokenizer(folder: Path) -> None:
    """Refuse a tokenizer whose ids differ from sentencepiece's on any probe."""
    import sentencepiece as spm
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    pieces = spm.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    for text in PROBES:
        expected, found = pieces.encode(text), tokenizer.encode(text, add_special_tokens=False)
        if "<sp>" in text:  # sentencepiece keeps the blanks around a marker, prompts never write it inside text
            expected, found = [i for i in expected if i == 3], [i for i in found if i == 3]
        if expected != found:
            raise ValueError(f"{folder}: {text!r} is {found} by transformers and {expected} by sentencepiece")
    if tokenizer.convert_tokens_to_ids("<sp>") != pieces.piece_to_id("<sp>") or len(tokenizer) != len(pieces):
        raise ValueError(f"{folder}: '<sp>' or the vocabulary's size differs between transformers and sentencepiece")


def export(expdir: Path, output: Path, values: dict) -> None:
    """Write the model (float16), its configurations, spiece.model and the tokenizer's files."""
    import torch
    from train_lm import build_model

    tokenizer = fast_tokenizer(expdir / "spiece.model")
    model = build_model(values, len(tokenizer))
    model.load_state_dict(torch.load(expdir / "model.pt", weights_only=True)["model"])
    largest = max(parameter.abs().max().item() for parameter in model.parameters())
    if largest > torch.finfo(torch.float16).max / 4:
        raise ValueError(f"a weight of {largest:.3g} does not survive half precision")
    output.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(output)
    tokenizer.save_pretrained(output)
    shutil.copyfile(expdir / "spiece.model", output / "spiece.model")
    (output / "model.safetensors").chmod(0o644)
    check_tokenizer(output)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{output}: {parameters:,} parameters in half precision, token ids equal sentencepiece's")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="training YAML")
    parser.add_argument("--expdir", required=True, help="folder with model.pt and spiece.model")
    parser.add_argument("--output", required=True, help="folder to write")
    args = parser.parse_args()
    import yaml

    with open(args.config, encoding="utf-8") as file:
        values = yaml.safe_load(file)["model"]
    export(Path(args.expdir), Path(args.output), values)


if __name__ == "__main__":
    main()
