"""How fast answers are decoded: transformers' generate one by one and in batches, this toolkit's search, CTC drafts.

    python ../../../benchmarks/decoding.py --model_dir exp/slm_mini_asr --data_dir data/test_clean \
        --encodings_dir dump/encodings/mini/test_clean
    python benchmarks/decoding.py --pair base_t5 --utterances 16    # random weights, drafts with a wrong token in 20
    python benchmarks/decoding.py --pair parakeet_gemma_2b --device cuda --utterances 64 --batch_size 64 --seconds 12

All ways decode the same utterances in turns in one process; of a trained model, adapter and prompt belong to the time,
and encodings are read. Printed: median time of an utterance (CPU time; on a GPU wall time) and spread, speed against
the first way of the same beam size, RTFx (seconds of speech answered in a second, encodings being there), passes of the
LLM's decoder for a token, WER, how many answers are those of the first way, token for token (with beams: those of
generate in batches), and the floor: the longer of the time that the operations of the way take as bare matrix
products, and of that which its weights take to be read, in every pass, at the rate of a copy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP), str(TOP / "benchmarks")]

import floors  # noqa: E402
import torch  # noqa: E402
from common import Timing, add_device_options, clock_of, hardware, in_turns, peak_memory  # noqa: E402
from models import count  # noqa: E402
from subjects import Found, Random, Subject, Tokens, Trained  # noqa: E402

from slm_espnet.errors import run_main  # noqa: E402

HEADER = "way|ms per utterance|spread|speed|RTFx|passes per token|WER|same|floor ms|times it".split("|")


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    group = parser.add_argument_group("a trained model")
    add_trained_options(group)
    group = parser.add_argument_group("random weights")
    group.add_argument("--pair", help="Foundation file, or name in benchmarks/pairs, whose LLM is made up")
    group.add_argument("--positions", type=int, default=50, help="Input positions of an utterance (default 50)")
    group.add_argument("--tokens", type=int, default=24, help="Tokens of an answer (default 24)")
    group.add_argument("--wrong", type=float, default=0.05, help="Share of wrong tokens in the drafts (default 0.05)")
    group = parser.add_argument_group("what is measured")
    group.add_argument("--utterances", type=int, default=32, help="How many are decoded (default 32)")
    group.add_argument("--batch_size", type=int, default=16, help="Utterances in one batch (default 16)")
    group.add_argument("--beam_size", type=int, default=4, help="Of beam search (default 4); 1 leaves it out")
    group.add_argument("--seconds", type=float, default=0.0, help="Of speech in an utterance, for RTFx")
    group.add_argument("--without_generate", action="store_true", help="Leave transformers' generate out")
    group.add_argument("--only_batches", action="store_true", help="Leave out what decodes one by one: it is slow")
    add_device_options(parser)
    return parser


def add_trained_options(group: argparse._ArgumentGroup) -> None:
    """What is decoded by which trained model."""
    group.add_argument("--model_dir", type=Path, help="Trained model")
    group.add_argument("--llm", help="Where its LLM is, if it has moved")
    group.add_argument("--data_dir", type=Path, help="Data directory with rows of the task asr")
    group.add_argument("--encodings_dir", type=Path, help="Encodings of it")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    args = get_parser().parse_args(argv)
    torch.set_num_threads(args.threads)
    print(hardware())
    if args.pair:
        subject: Subject = Random(args)
        size = f"{count(subject.llm) / 1e6:.0f} M random parameters ({args.pair})"
        print(f"{size}, {args.positions} positions, {args.tokens} tokens, {100 * args.wrong:g} % of a draft wrong")
    elif args.model_dir and args.data_dir and args.encodings_dir:
        subject = Trained.load(args)
    else:
        raise SystemExit("give --model_dir, --data_dir and --encodings_dir, or --pair")
    floor = floors.measure(args.device, subject.llm.dtype_name)
    print(f"floor: {floor}; {subject.count} utterances, batches of {args.batch_size}")
    ways = Ways(subject, args)
    timings = in_turns(ways.runs, args.repeats, clock_of(args.device))
    print("|" + "|".join(HEADER) + "|", "|---" * len(HEADER) + "|", sep="\n")
    for name, timing in timings.items():
        print("|" + "|".join([name, *ways.cells(name, timing, timings), *ways.floor(name, timing, floor)]) + "|")
    print(f"peak memory {memory(args.device)}")
    return 0


def memory(device: str) -> str:
    """The most that the process held, and on a GPU the GPU."""
    if torch.device(device).type == "cpu":
        return peak_memory()
    return f"{peak_memory()}, of the GPU {torch.cuda.max_memory_allocated(device) / 2**20:.0f} MiB"


class Ways:
    """The ways of decoding a subject, and their last answers."""

    def __init__(self, subject: Subject, args: argparse.Namespace):
        self.subject, self.args = subject, args
        self.answers: dict[str, Tokens] = {}
        self.passes: dict[str, float] = {}  # for a token
        self.plain: dict[str, Callable[[], Found]] = {}  # ways of this toolkit, nothing noted
        self.reference: dict[str, str] = {}  # way → that with the answers it should have
        self.runs: dict[str, Callable[[], None]] = {}
        beams, many = args.beam_size, args.batch_size
        if not args.without_generate:
            if not args.only_batches:
                self._generate("generate, one by one", 1, 1)
            self._generate("generate, batches", many, 1)
        if not args.only_batches:
            self._ours("greedy, one by one", 1)
            self._ours("exact drafts, one by one", 1, ctc_draft="exact")
        self._ours("greedy, batches", many)
        self._ours("exact drafts, batches", many, ctc_draft="exact")
        if isinstance(subject, Trained):
            self._ours("exact drafts of the encoder, batches", many, ctc_draft="exact", ctc_draft_source="encoder")
        self.reference = dict.fromkeys(self.runs, next(iter(self.runs)))
        if beams > 1:
            if not args.without_generate:
                self._generate(f"generate, beam {beams}, batches", many, beams)
            self._ours(f"beam {beams}, batches", many, beam_size=beams)
            first = next(name for name in self.runs if name not in self.reference)
            self.reference |= {name: first for name in self.runs if name not in self.reference}

    def _generate(self, name: str, batch_size: int, beams: int) -> None:
        def run() -> None:
            self.answers[name] = self.subject.generate(batch_size, beams)

        self.runs[name] = run

    def _ours(self, name: str, batch_size: int, **changes) -> None:
        def run() -> None:
            found = self.plain[name]()
            self.answers[name] = {utt_id: result.token_ids for utt_id, result in found.items()}
            tokens = max(1, sum(len(result.token_ids) for result in found.values()))
            self.passes[name] = sum(result.passes for result in found.values()) / tokens

        self.plain[name] = lambda: self.subject.decode(batch_size, **changes)
        self.runs[name] = run

    def cells(self, name: str, timing: Timing, timings: dict[str, Timing]) -> list[str]:
        """Of a way: times, RTFx, passes, WER, and how many answers are as they should be."""
        first, own = self.answers[self.reference[name]], self.answers[name]
        same = sum(own[utt_id] == ids for utt_id, ids in first.items())
        wer, rtfx = self.subject.wer(own), self.args.seconds * self.subject.count / timing.median
        return [
            f"{1000 * timing.median / self.subject.count:.2f}",
            f"{100 * timing.spread:.0f} %",
            f"{timings[self.reference[name]].median / timing.median:.2f}",
            f"{rtfx:.0f}" if rtfx else "-",
            f"{self.passes[name]:.2f}" if self.passes.get(name) else "-",
            "-" if wer is None else f"{wer:.2f}",
            f"{same} of {len(first)}",
        ]

    def floor(self, name: str, timing: Timing, floor: floors.Floor) -> list[str]:
        """The least time of an utterance, what bounds it, and how many times as long the way takes."""
        if name not in self.plain:
            return ["-", "-"]
        with WeightReads(self.subject.llm) as reads:
            operations = floors.operations(self.plain[name])
        seconds = floor.seconds(operations, reads.bytes)
        bound = "products" if seconds > floor.seconds(0, reads.bytes) else "weights"
        return [f"{1000 * seconds / self.subject.count:.2f} ({bound})", f"{timing.median / seconds:.1f}"]


class WeightReads:
    """Counts, while it is entered, the bytes of weights that the matrix products of a model read, pass by pass."""

    def __init__(self, model: torch.nn.Module):
        self.bytes = 0
        self._linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> WeightReads:
        self._handles = [module.register_forward_hook(self._count) for module in self._linear]
        return self

    def __exit__(self, *_) -> None:
        for handle in self._handles:
            handle.remove()

    def _count(self, module: torch.nn.Linear, *_) -> None:
        self.bytes += module.weight.numel() * module.weight.element_size()


if __name__ == "__main__":
    run_main(main)
