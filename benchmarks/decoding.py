"""How fast answers are decoded: transformers' generate one by one and in batches, batched greedy search, CTC drafts.

    python ../../../benchmarks/decoding.py --model_dir exp/slm_mini_asr --data_dir data/test_clean \
        --encodings_dir dump/encodings/mini/test_clean
    python benchmarks/decoding.py --random llama --width 512 --layers 4     # random weights, a wrong token in 20

All ways decode the same utterances in turns in one process; adapter and prompt belong to the time. Printed: median CPU
time of an utterance, spread, speed against the first way, passes of the LLM's decoder for a token, WER, and how many
answers are those of batched greedy search, token for token.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP), str(TOP / "benchmarks")]

import torch  # noqa: E402
from common import hardware, in_turns, peak_memory  # noqa: E402

from slm_espnet.checkpoint import load_model  # noqa: E402
from slm_espnet.data.datadir import read_data_dir  # noqa: E402
from slm_espnet.decoding.requests import speech_requests, with_repeats  # noqa: E402
from slm_espnet.decoding.search import search  # noqa: E402
from slm_espnet.decoding.types import DecodingOptions  # noqa: E402
from slm_espnet.encodings.reader import EncodingReader  # noqa: E402
from slm_espnet.errors import run_main  # noqa: E402
from slm_espnet.inference import Decoder  # noqa: E402
from slm_espnet.scoring.error_rate import align, count_edits, summarize  # noqa: E402

Tokens = dict[str, tuple[int, ...]]  # answers by utterance


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_dir", type=Path, help="Trained model")
    parser.add_argument("--llm", help="Where its LLM is, if it has moved")
    parser.add_argument("--data_dir", type=Path, help="Data directory with rows of the task asr")
    parser.add_argument("--encodings_dir", type=Path, help="Encodings of it")
    parser.add_argument("--random", choices=("t5", "llama"), help="In place of a model: random weights of this family")
    parser.add_argument("--width", type=int, default=512, help="Width of the random model")
    parser.add_argument("--layers", type=int, default=6, help="Layers of it")
    parser.add_argument("--wrong", type=float, default=0.05, help="Share of wrong tokens in its drafts")
    parser.add_argument("--utterances", type=int, default=64, help="How many are decoded")
    parser.add_argument("--batch_size", type=int, default=16, help="In one batch")
    parser.add_argument("--repeats", type=int, default=5, help="Repetitions of each way")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--without_generate", action="store_true", help="Leave transformers' generate out: it is slow")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    args = get_parser().parse_args(argv)
    torch.set_num_threads(args.threads)
    print(hardware())
    if args.random:
        random_model(args)
    elif args.model_dir and args.data_dir and args.encodings_dir:
        trained_model(args)
    else:
        raise SystemExit("give --model_dir, --data_dir and --encodings_dir, or --random")
    print(f"peak memory {peak_memory()}")
    return 0


def table(ways: dict[str, Callable[[], Any]], args: argparse.Namespace, describe: Callable[[str], str]) -> None:
    """Time the ways and print a line for each."""
    timings = in_turns(ways, args.repeats)
    first = next(iter(timings.values())).median
    print("|way|ms per utterance|spread|speed|passes per token|WER|as greedy|", "|---" * 7 + "|", sep="\n")
    for name, timing in timings.items():
        cells = f"{1000 * timing.median / args.utterances:.2f}|{100 * timing.spread:.0f} %|{first / timing.median:.2f}"
        print(f"|{name}|{cells}|{describe(name)}|", flush=True)


class Trained:
    """A trained model's requests, its answers by each way, and what is said about them."""

    def __init__(self, args: argparse.Namespace):
        self.model = load_model(args.model_dir, llm_conf={"model": args.llm} if args.llm else None)
        rows = [row for row in read_data_dir(args.data_dir) if row.task == "asr"][: args.utterances]
        args.utterances = len(rows)
        reader = EncodingReader(args.encodings_dir, self.model.encoding_fingerprint)
        self.requests = with_repeats(speech_requests(rows, reader, False)[0], rows, ["asr"])
        self.texts = {row.utt_id: row.text for row in rows}
        self.options = DecodingOptions(
            max_length=100, max_length_ratio=0, loop_repeats=0, ctc_draft="none", batch_size=args.batch_size
        )
        self.tokens: dict[str, Tokens] = {}
        self.passes: dict[str, float] = {}

    def ours(self, name: str, **changes: Any) -> Callable[[], None]:
        """Decode by this toolkit with other options."""

        def run() -> None:
            found = dict(Decoder(self.model, replace(self.options, **changes)).decode(self.requests))
            self.tokens[name] = {utt_id: hypothesis.token_ids for utt_id, hypothesis in found.items()}
            total = max(1, sum(map(len, self.tokens[name].values())))
            self.passes[name] = sum(hypothesis.passes for hypothesis in found.values()) / total

        return run

    def generate(self, name: str, batch_size: int) -> Callable[[], None]:
        """Decode by transformers."""
        decoder = Decoder(self.model, replace(self.options, batch_size=batch_size))

        @torch.no_grad()
        def run() -> None:
            self.tokens[name] = {}
            for requests in decoder._batches(self.requests):
                batch = decoder._embed_speech(requests)
                found = generate(self.model.llm, batch.inputs, batch.lengths, self.options.max_length)
                self.tokens[name] |= {r.utt_id: ids for r, ids in zip(batch.requests, found, strict=True)}

        return run

    def wer(self, name: str) -> float:
        """WER % of a way."""
        decode = self.model.llm.tokenizer.decode
        texts = [self.texts[utt_id] for utt_id in self.tokens[name]]
        return summarize(count_edits(align(texts, [decode(ids) for ids in self.tokens[name].values()]))).error

    def describe(self, name: str) -> str:
        """Passes, WER, and how many answers are those of batched greedy search."""
        same = sum(self.tokens[name][utt_id] == ids for utt_id, ids in self.tokens["greedy"].items())
        passes = f"{self.passes[name]:.2f}" if name in self.passes else "1+"
        return f"{passes}|{self.wer(name):.2f}|{same} of {len(self.texts)}"


def trained_model(args: argparse.Namespace) -> None:
    """The ways on a trained model."""
    trained = Trained(args)
    ways = {}
    if not args.without_generate:
        ways["generate, one by one"] = trained.generate("generate, one by one", 1)
        ways["generate, batches"] = trained.generate("generate, batches", args.batch_size)
    ways |= {
        "greedy, one by one": trained.ours("greedy, one by one", batch_size=1),
        "exact drafts, one by one": trained.ours("exact drafts, one by one", batch_size=1, ctc_draft="exact"),
        "greedy": trained.ours("greedy"),
    }
    for source in ("adapter", "encoder"):
        for mode in ("exact", "accept"):
            name = f"{mode}, draft of the {source}"
            ways[name] = trained.ours(name, ctc_draft=mode, ctc_draft_source=source)
    table(ways, args, trained.describe)


def generate(llm: Any, inputs: torch.Tensor, lengths: torch.Tensor, most: int) -> list[tuple[int, ...]]:
    """Greedy answers by transformers' generate."""
    from slm_espnet.llm.hf_causal import pad_left

    mask = (torch.arange(inputs.size(1)) < lengths[:, None]).long()
    if not llm.is_encoder_decoder:
        inputs, positions = pad_left(inputs, lengths)
        mask = (positions >= 0).long()
    found = llm.model.generate(inputs_embeds=inputs, attention_mask=mask, max_new_tokens=most, do_sample=False)
    rows = found[:, 1:].tolist() if llm.is_encoder_decoder else found.tolist()
    ends = [next((place for place, token in enumerate(ids) if token in llm.stop_ids), len(ids)) for ids in rows]
    return [tuple(ids[:end]) for ids, end in zip(rows, ends, strict=True)]


def random_model(args: argparse.Namespace) -> None:
    """The ways on random weights: 50 positions in, 24 tokens out, drafts that are wrong now and then."""
    with tempfile.TemporaryDirectory() as folder:
        llm = build_random(args, Path(folder))
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(args.batch_size, 50, llm.dim, generator=generator)
    lengths = torch.full((args.batch_size,), 50)
    args.utterances, bounds = args.batch_size, [24] * args.batch_size
    options = DecodingOptions(loop_repeats=0)
    greedy = search(llm, inputs, lengths, bounds, options)
    drafts = []
    for result in greedy:
        ids = torch.tensor(result.token_ids, dtype=torch.int64)
        wrong = torch.rand(len(ids), generator=generator) < args.wrong
        drafts.append(torch.where(wrong, (ids + 7) % llm.vocab_size, ids).tolist())
    answers: dict[str, list] = {}

    def ours(name: str, given: list | None, size: int) -> Callable[[], None]:
        def run() -> None:
            answers[name] = []
            for row in range(0, len(bounds), size):
                part = slice(row, row + size)
                some = None if given is None else given[part]
                answers[name] += search(llm, inputs[part], lengths[part], bounds[part], options, some)

        return run

    ways = {
        "greedy, one by one": ours("greedy, one by one", None, 1),
        "exact drafts, one by one": ours("exact drafts, one by one", drafts, 1),
        "greedy": ours("greedy", None, args.batch_size),
        "exact drafts": ours("exact drafts", drafts, args.batch_size),
    }

    def describe(name: str) -> str:
        tokens = sum(len(result.token_ids) for result in answers[name])
        same = sum(a.token_ids == b.token_ids for a, b in zip(answers[name], greedy, strict=True))
        passes = sum(result.passes for result in answers[name]) / max(1, tokens)
        return f"{passes:.2f}|-|{same} of {len(greedy)}"

    count = sum(parameter.numel() for parameter in llm.parameters())
    print(f"{args.random}, {count / 1e6:.0f} M random parameters, {100 * args.wrong:g} % of the draft tokens wrong")
    table(ways, args, describe)


def build_random(args: argparse.Namespace, folder: Path) -> Any:
    """A language model of the family with the mini tokenizer and 32,000 tokens."""
    import transformers

    from slm_espnet.llm.build import build_llm

    for file in (TOP / "egs2/mini/foundations/llm").glob("*token*"):
        shutil.copy(file, folder)
    heads, inner = args.width // 64, 4 * args.width
    ends = {"pad_token_id": 0, "eos_token_id": 1, "vocab_size": 32000}
    if args.random == "t5":
        config = transformers.T5Config(
            d_model=args.width, d_ff=inner, num_layers=args.layers, num_heads=heads, decoder_start_token_id=0, **ends
        )
        model = transformers.T5ForConditionalGeneration(config)
    else:
        config = transformers.LlamaConfig(
            hidden_size=args.width, intermediate_size=inner, num_hidden_layers=args.layers, num_attention_heads=heads,
            num_key_value_heads=heads, bos_token_id=1, **ends,
        )  # fmt: skip
        model = transformers.LlamaForCausalLM(config)
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.dim() > 1:  # so that answers depend on what is read
            torch.nn.init.normal_(parameter, 0.0, 2.0 * args.width**-0.5)
    model.save_pretrained(folder)
    return build_llm("hf_seq2seq" if args.random == "t5" else "hf_causal", {"model": str(folder)})


if __name__ == "__main__":
    run_main(main)
