"""How fast an adapter is trained: on cached encodings against an encoder in the loop, and by each of our means.

    python benchmarks/training.py --pair base_t5                                        # all claims
    python benchmarks/training.py --pair base_causal --claim no_tricks --utterances 32
    python benchmarks/training.py --pair base_mt0 --claim memory --budget 8000
    python benchmarks/training.py --pair mini_t5 --claim loader --utterances 400
    python benchmarks/training.py --pair parakeet_gemma_2b --device cuda --budget 16000 --utterances 400

Models have the size that the pair states and random weights; the adapter is the paper's (two transformer layers and a
linear one). Utterances of 1 to 30 s are made up, see training_parts.py. Claims:

    encoder_in_loop  steps on cached encodings, and with the frozen encoder run on the waveforms in every step
    no_tricks        logits at target positions, batches by token budget and packing; without them; each alone
    operations       matrix products and attention of the same ways, counted but not carried out
    memory           most bytes of a step, without and with these means (weights not counted; without a GPU the step is
                     run on tensors without data, see planning/measure.py)
    loader           how long a step waits for its batch, with encodings in memory-mapped shards on disk
    floor            a step's counted operations at this machine's rate, and how far the step is from that

Ways that are compared take turns in one process and give the same loss.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP), str(TOP / "benchmarks")]

import floors  # noqa: E402
import torch  # noqa: E402
from common import Timing, add_device_options, clock_of, hardware, in_turns, peak_memory  # noqa: E402
from models import count, random_encoder, read_pair  # noqa: E402
from training_loader import loader_claim  # noqa: E402
from training_parts import Trained, draw_corpus, even_batches, filled_batches, make_batch  # noqa: E402

from slm_espnet.errors import run_main  # noqa: E402
from slm_espnet.planning.measure import peak_bytes  # noqa: E402

WIDTH = 768  # of the encodings where no encoder is run


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="base_t5", help="Name in benchmarks/pairs, or a foundation file with sizes")
    parser.add_argument("--claim", choices=("all", *CLAIMS), default="all", help="What is measured")
    parser.add_argument("--utterances", type=int, default=32, help="Of the corpus")
    parser.add_argument("--batch_size", type=int, default=8, help="Utterances of a batch without token budget")
    parser.add_argument("--budget", type=int, help="Tokens of a batch with it; default: those of the mean even batch")
    parser.add_argument("--num_workers", type=int, default=1, help="Processes that load batches (loader)")
    add_device_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    args = get_parser().parse_args(argv)
    torch.set_num_threads(args.threads)
    print(hardware())
    pair = read_pair(args.pair)
    corpus = draw_corpus(args.utterances)
    seconds, tokens = sum(one.seconds for one in corpus), sum(one.tokens for one in corpus)
    lengths = sorted(one.seconds for one in corpus)
    print(
        f"{args.pair}; {len(corpus)} utterances, {seconds:.0f} s, shortest, median and longest {lengths[0]:.1f}, "
        f"{lengths[len(lengths) // 2]:.1f} and {lengths[-1]:.1f} s; {tokens} tokens of prompt, speech and target"
    )
    args.budget = args.budget or tokens * args.batch_size // len(corpus)
    for name, claim in CLAIMS.items():
        if args.claim in (name, "all"):
            print(f"\n{name}")
            claim(args, pair, corpus)
    print(f"\npeak memory of the process {peak_memory()}")
    return 0


def parts_of(trained: Trained) -> str:
    """Parameters."""
    return f"LLM {count(trained.llm) / 1e6:.1f} M, adapter {count(trained.model.adapter) / 1e6:.1f} M"


def table(first: str, timings: dict[str, Timing], cells: Callable[[str, Timing], Sequence[str]], *names: str) -> None:
    """A line for each way."""
    print(f"|{first}|{'|'.join(names)}|spread|", "|---" * (len(names) + 2) + "|", sep="\n")
    for name, timing in timings.items():
        print(f"|{name}|{'|'.join(cells(name, timing))}|{100 * timing.spread:.0f} %|", flush=True)


def encoder_in_loop(args: argparse.Namespace, pair: Any, corpus: Sequence[Any]) -> None:
    """Ours against the same step with the frozen encoder before it; frames kept are the same."""
    encoder = random_encoder(pair, args.device, args.dtype)
    trained = Trained(pair, encoder.dim, args.device, args.dtype)
    batches, waves = [], []
    for members in filled_batches(corpus, args.budget):
        waves.append(Waveforms([corpus[number] for number in members], encoder, members))
        batch = make_batch(corpus, members, encoder.dim, trained.llm.vocab_size)
        batches.append({**batch, "speech": waves[-1].frames().cpu()})
    losses: dict[str, list[float]] = {}

    def cached() -> None:
        losses["cached encodings"] = [trained.step(trained.loss(batch)) for batch in batches]

    def live() -> None:
        pairs = zip(batches, waves, strict=True)
        losses["encoder in the loop"] = [
            trained.step(trained.loss({**batch, "speech": wave.frames()})) for batch, wave in pairs
        ]

    ways = {"encoder in the loop": live, "cached encodings": cached}
    timings = in_turns(ways, args.repeats, clock_of(args.device))
    same = torch.tensor(losses["encoder in the loop"]) - torch.tensor(losses["cached encodings"])
    slow = timings["encoder in the loop"].median
    encoding = sum(floors.operations(wave.frames) for wave in waves)
    training = sum(operations_of(trained, batch) for batch in batches)
    share = count(encoder) / (count(encoder) + count(trained.llm))
    print(
        f"encoder {count(encoder) / 1e6:.1f} M ({100 * share:.0f} % of both), {parts_of(trained)}; {len(batches)} "
        f"batches of up to {args.budget} tokens; largest difference of a loss {same.abs().max():.1e}; operations with "
        f"the encoder {(encoding + training) / training:.1f} times those without"
    )
    table(
        "way", timings, lambda _, t: (f"{len(batches) / t.median:.3f}", f"{slow / t.median:.2f}"), "steps/s", "speed"
    )


class Waveforms:
    """A batch of noise, and what is kept of its encoding."""

    def __init__(self, examples: Sequence[Any], encoder: Any, seeds: Sequence[int]):
        self.encoder, self.examples = encoder, examples
        samples = [round(one.seconds * encoder.sampling_rate) for one in examples]
        self.lengths = torch.tensor(samples)
        self.speech = torch.zeros(len(samples), max(samples))
        for row, seed, size in zip(self.speech, seeds, samples, strict=True):
            row[:size] = 0.1 * torch.randn(size, generator=torch.Generator().manual_seed(seed))

    @torch.no_grad()
    def frames(self) -> torch.Tensor:
        """(B, T, D): as many frames of each utterance as the filter would keep, spread evenly over it."""
        device = next(self.encoder.parameters()).device
        output = self.encoder(self.speech.to(device), self.lengths.to(device))
        size = max(one.frames for one in self.examples)
        kept = torch.zeros(len(self.examples), size, output.frames.size(2), device=device)
        lengths = torch.tensor([one.frames for one in self.examples], device=device)
        number = torch.arange(size, device=device)
        index = torch.minimum(number * output.lengths[:, None] // lengths[:, None], output.lengths[:, None] - 1)
        kept = output.frames.gather(1, index[..., None].expand_as(kept))
        return (kept * (number < lengths[:, None])[..., None]).float()


def means(encoder_decoder: bool) -> dict[str, tuple[str, bool, bool]]:
    """Name → kind of batches, whether logits are at all positions, whether rows are shared."""
    found = {
        "none": ("even", True, False),
        "target positions": ("even", False, False),
        "token budget": ("filled", True, False),
    }
    if not encoder_decoder:
        found["target positions, packing"] = ("even", False, True)
        found["target positions, token budget"] = ("filled", False, False)
    return {**found, "all": ("filled", False, True)}


def both_batches(args: argparse.Namespace, trained: Trained, corpus: Sequence[Any]) -> dict[str, list[dict]]:
    """Batches of one number of utterances as they come, and by token budget."""
    kinds = {"even": even_batches(corpus, args.batch_size), "filled": filled_batches(corpus, args.budget)}
    return {
        kind: [make_batch(corpus, members, WIDTH, trained.llm.vocab_size) for members in batches]
        for kind, batches in kinds.items()
    }


def no_tricks(args: argparse.Namespace, pair: Any, corpus: Sequence[Any]) -> None:
    """All of it against nothing of it, and each alone."""
    trained = Trained(pair, WIDTH, args.device, args.dtype)
    batches, losses = both_batches(args, trained, corpus), {}

    def way(name: str, kind: str, plain: bool, packing: bool) -> Callable[[], None]:
        def run() -> None:
            use_packing(trained, packing)
            total = 0.0
            for batch in batches[kind]:
                loss = trained.step(trained.plain_loss(batch) if plain else trained.loss(batch))
                total += loss * int(batch["target_lengths"].sum())
            losses[name] = total / sum(one.target for one in corpus)

        return run

    ways = {name: way(name, *how) for name, how in means(trained.llm.is_encoder_decoder).items()}
    timings = in_turns(ways, args.repeats, clock_of(args.device))
    found = list(losses.values())
    tokens, slow = sum(one.tokens for one in corpus), timings["none"].median
    print(
        f"{parts_of(trained)}; {len(batches['even'])} batches of {args.batch_size} utterances as they come, "
        f"{len(batches['filled'])} of up to {args.budget} tokens; largest difference of the loss "
        f"{max(found) - min(found):.1e}"
    )
    cells = lambda name, t: (f"{tokens / t.median:.0f}", f"{slow / t.median:.2f}")  # noqa: E731
    table("means", timings, cells, "tokens/s", "speed")


def operations(args: argparse.Namespace, pair: Any, corpus: Sequence[Any]) -> None:
    """What the same ways have to compute, counted on tensors without data."""
    trained = Trained(pair, WIDTH, "cpu", args.dtype)
    parts = parts_of(trained)
    batches = both_batches(args, trained, corpus)
    trained.to_meta()
    numbers = f"{len(batches['even'])} batches of {args.batch_size}, {len(batches['filled'])} of up to {args.budget}"
    print(f"{parts}; {numbers}")
    print("|means|G operations|of it|", "|---|---|---|", sep="\n")
    first = None
    for name, (kind, plain, packing) in means(trained.llm.is_encoder_decoder).items():
        if not trained.llm.is_encoder_decoder:
            trained.llm._packing = packing  # was tried, on data
        with torch.device("meta"):
            total = sum(operations_of(trained, batch, plain) for batch in batches[kind])
        first = first or total
        print(f"|{name}|{total / 1e9:.0f}|{total / first:.2f}|", flush=True)


def use_packing(trained: Trained, packing: bool) -> None:
    """Switch it on or off."""
    if not trained.llm.is_encoder_decoder:
        trained.llm.packing, trained.llm._packing = packing, None


def operations_of(trained: Trained, batch: dict, plain: bool = False) -> int:
    """Of a step, forward and backward."""
    total = floors.operations(lambda: (trained.plain_loss if plain else trained.loss)(batch).backward())
    trained.optimizer.zero_grad()
    return total


def memory(args: argparse.Namespace, pair: Any, corpus: Sequence[Any]) -> None:
    """Most bytes of a step on the batch that needs most."""
    trained = Trained(pair, WIDTH, args.device, args.dtype)
    parts = parts_of(trained)
    if torch.device(args.device).type != "cuda":
        trained.to_meta()
    peaks = {}
    ways = {
        "none": (even_batches, args.batch_size, True),
        "target positions": (even_batches, args.batch_size, False),
        "all": (filled_batches, args.budget, False),
    }
    for name, (form, limit, plain) in ways.items():
        members = max(form(corpus, limit), key=lambda some: len(some) * max(corpus[number].tokens for number in some))
        batch = make_batch(corpus, members, WIDTH, trained.llm.vocab_size)
        read = sum(corpus[number].tokens for number in members)
        peaks[name] = peak_of_step(trained, batch, plain)
        padded = len(members) * max(corpus[number].tokens for number in members)
        sizes = f"{len(members)} utterances, {read} tokens, {padded} with padding"
        print(f"{name}: {sizes}, {peaks[name] / 2**30:.2f} GiB", flush=True)
    print(f"{parts}, vocabulary {trained.llm.vocab_size}; all / none {peaks['all'] / peaks['none']:.3f}")


def peak_of_step(trained: Trained, batch: dict, plain: bool) -> int:
    """Bytes beyond weights: on a GPU what its allocator says, else of all tensors that would live at once on one."""
    run = trained.plain_loss if plain else trained.loss
    if trained.device == "meta":
        return peak_bytes(trained.model, lambda: run(batch).backward())
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run(batch).backward()
    trained.optimizer.zero_grad()
    return torch.cuda.max_memory_allocated() - before


def floor(args: argparse.Namespace, pair: Any, corpus: Sequence[Any]) -> None:
    """A step's operations at the rate of a large product, against the step."""
    trained = Trained(pair, WIDTH, args.device, args.dtype)
    rate = floors.measure(args.device, str(trained.llm.dtype_name))
    batches = [
        make_batch(corpus, some, WIDTH, trained.llm.vocab_size) for some in filled_batches(corpus, args.budget)
    ]
    needed = sum(operations_of(trained, batch) for batch in batches)
    ways = {"steps": lambda: [trained.step(trained.loss(batch)) for batch in batches]}
    timing = in_turns(ways, args.repeats, clock_of(args.device))["steps"]
    least, tokens = rate.seconds(needed), sum(one.tokens for one in corpus)
    print(rate)
    print(
        f"{needed / 1e9:.0f} G operations in {len(batches)} steps: at least {least:.2f} s, found "
        f"{timing.median:.2f} s ({100 * least / timing.median:.0f} % of the rate, spread {100 * timing.spread:.0f} %), "
        f"{tokens / timing.median:.0f} tokens/s"
    )


CLAIMS = {
    "encoder_in_loop": encoder_in_loop,
    "no_tricks": no_tricks,
    "operations": operations,
    "memory": memory,
    "loader": loader_claim,
    "floor": floor,
}

if __name__ == "__main__":
    run_main(main)
