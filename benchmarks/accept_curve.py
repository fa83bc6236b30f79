"""What accepting CTC's transcripts costs and saves: WER over speed, by the thresholds of `ctc_draft: accept`.

    python ../../../benchmarks/accept_curve.py --model_dir exp/slm_mini_asr --output accept_curve.png \
        --data_dir data/dev data/dev_names --encodings_dir dump/encodings/mini/dev dump/encodings/mini/dev_names
    python … --point encoder,0.2,0.1,1 --data_dir data/test_clean …       # one setting, on each set by itself

Sweeps the source of drafts, `ctc_draft_entropy` (up to which a transcript is taken without the LLM) and the pairs of
`ctc_draft_ratio` and `ctc_draft_top_k` (from which a draft token is kept), on all given sets together. Printed: the
settings that none other beats in both WER and speed, and the fastest whose WER is at most --within above that of exact
drafts, as options for a decode.yaml. Choose on development sets, and score test sets with --point afterwards.

Speed is that of exact drafts of the adapter = 1, by median CPU time (GPU: wall time) of all utterances, encodings being
read; adapter and prompt belong to it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP), str(TOP / "benchmarks")]

import torch  # noqa: E402
from common import add_device_options, clock_of, hardware, in_turns  # noqa: E402
from subjects import Trained  # noqa: E402

from slm_espnet.checkpoint import load_model  # noqa: E402
from slm_espnet.decoding.types import Hypothesis  # noqa: E402
from slm_espnet.errors import run_main  # noqa: E402
from slm_espnet.scoring.error_rate import align, count_edits, summarize  # noqa: E402

ENTROPIES = (0.0, 0.05, 0.1, 0.2, 0.4)  # nats
KEPT = ((1.0, 1), (0.1, 1))  # ratio, top_k; the first is the LLM's own choice
HEADER = "way|source|entropy|ratio|top_k|WER|taken|passes per token|ms per utterance|spread|speed".split("|")


@dataclass(frozen=True)
class Setting:
    """One point of the curve."""

    source: str  # encoder or adapter
    mode: str = "exact"  # of ctc_draft
    entropy: float = 0.0  # nats
    ratio: float = 1.0
    top_k: int = 1

    def options(self) -> dict[str, str | float | int]:
        """As of a decoding."""
        return {
            "ctc_draft": self.mode,
            "ctc_draft_source": self.source,
            "ctc_draft_entropy": self.entropy,
            "ctc_draft_ratio": self.ratio,
            "ctc_draft_top_k": self.top_k,
        }


@dataclass(frozen=True)
class Point:
    """What a setting gives."""

    setting: Setting
    wer: float  # %
    taken: float  # % of the utterances that the LLM was not asked
    passes: float  # of the LLM's decoder for a token
    seconds: float  # for an utterance
    spread: float  # of it, a share

    def row(self, exact: Point) -> str:
        """Of the table."""
        s = self.setting
        shown = [s.mode, s.source, *([f"{s.entropy:g}", f"{s.ratio:g}", f"{s.top_k}"] if s.mode == "accept" else "---")]
        shown += [f"{self.wer:.2f}", f"{self.taken:.0f} %", f"{self.passes:.2f}", f"{1000 * self.seconds:.2f}"]
        return "|" + "|".join([*shown, f"{100 * self.spread:.0f} %", f"{exact.seconds / self.seconds:.2f}"]) + "|"


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_dir", type=Path, required=True, help="Trained model")
    parser.add_argument("--llm", help="Where its LLM is, if it has moved")
    parser.add_argument("--data_dir", type=Path, nargs="+", required=True, help="Data directories with rows of asr")
    parser.add_argument("--encodings_dir", type=Path, nargs="+", required=True, help="Encodings of each")
    parser.add_argument("--utterances", type=int, help="First so many of each set; default: all")
    parser.add_argument("--batch_size", type=int, default=16, help="Utterances in one batch (default 16)")
    parser.add_argument("--within", type=float, default=0.1, help="WER, absolute %%, that may be lost (default 0.1)")
    parser.add_argument("--point", action="append", default=[], help="source,entropy,ratio,top_k; no sweep, by set")
    parser.add_argument("--output", type=Path, help="Where the figure goes: a PNG or SVG file")
    add_device_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    args = get_parser().parse_args(argv)
    torch.set_num_threads(args.threads)
    print(hardware())
    llm_conf = ({"model": args.llm} if args.llm else {}) | ({"dtype": args.dtype} if args.dtype else {})
    model = load_model(args.model_dir, device=args.device, llm_conf=llm_conf)
    pairs = zip(args.data_dir, args.encodings_dir, strict=True)
    sets = {directory.name: Trained(model, directory, encodings, args.utterances) for directory, encodings in pairs}
    exact = Setting("adapter")
    if args.point:
        settings = [exact, *(read_point(text) for text in args.point)]
        for name, one in sets.items():
            print(f"\n{name}: {one.count} utterances\n")
            points = measure([one], settings, args)
            print_table(points, points[0])
        return 0
    points = measure(list(sets.values()), [exact, Setting("encoder"), *sweep()], args)
    print(f"\n{' and '.join(sets)}, {sum(one.count for one in sets.values())} utterances\n")
    chosen = choose(points[2:], points[0], args.within)
    print_table([*points[:2], *front(points[2:])], points[0])
    print(f"\nfastest of {len(points) - 2} within {args.within:g} % of {points[0].wer:.2f} %:")
    print("".join(f"{name}: {value}\n" for name, value in chosen.setting.options().items()), end="")
    if args.output is not None:
        draw(points, chosen, args.within, args.output)
    return 0


def read_point(text: str) -> Setting:
    """A setting as written on the command line."""
    source, entropy, ratio, top_k = text.split(",")
    return Setting(source, "accept", float(entropy), float(ratio), int(top_k))


def sweep() -> list[Setting]:
    """All settings; not the one in which nothing is accepted."""
    every = [
        Setting(source, "accept", entropy, *kept)
        for source in ("adapter", "encoder")
        for entropy in ENTROPIES
        for kept in KEPT
    ]
    return [setting for setting in every if setting.entropy or setting.ratio < 1]


def measure(sets: list[Trained], settings: list[Setting], args: argparse.Namespace) -> list[Point]:
    """The points of settings on all sets together."""
    found: dict[Setting, list[tuple[str, Hypothesis]]] = {}

    def way(setting: Setting) -> Callable[[], None]:
        def run() -> None:
            answers = [one.decode(args.batch_size, **setting.options()) for one in sets]
            pairs = zip(sets, answers, strict=True)
            found[setting] = [(one.texts[utt_id], hyp) for one, hyps in pairs for utt_id, hyp in hyps.items()]

        return run

    timings = in_turns({setting: way(setting) for setting in settings}, args.repeats, clock_of(args.device))
    points = []
    for setting, timing in timings.items():
        hypotheses = [hypothesis for _, hypothesis in found[setting]]
        errors = align([text for text, _ in found[setting]], [hypothesis.text for hypothesis in hypotheses])
        tokens = max(1, sum(len(hypothesis.token_ids) for hypothesis in hypotheses))
        points.append(
            Point(
                setting,
                summarize(count_edits(errors)).error,
                100 * sum(hypothesis.from_ctc for hypothesis in hypotheses) / len(hypotheses),
                sum(hypothesis.passes for hypothesis in hypotheses) / tokens,
                timing.median / len(hypotheses),
                timing.spread,
            )
        )
    return points


def front(points: Sequence[Point]) -> list[Point]:
    """Those that none other beats in both WER and speed, the slowest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.seconds, p.wer)):
        if not best or point.wer < best[-1].wer:
            best.append(point)
    return best[::-1]


def choose(points: Sequence[Point], exact: Point, within: float) -> Point:
    """The fastest that loses no more WER; where all lose more, the one that loses least."""
    good = [point for point in points if point.wer <= exact.wer + within]
    return min(good, key=lambda p: p.seconds) if good else min(points, key=lambda p: p.wer)


def print_table(points: Sequence[Point], exact: Point) -> None:
    """One line for each point."""
    print("|" + "|".join(HEADER) + "|", "|---" * len(HEADER) + "|", *(point.row(exact) for point in points), sep="\n")


def draw(points: Sequence[Point], chosen: Point, within: float, path: Path) -> None:
    """WER over speed (log), all points and the fronts of both sources."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot, ticker

    exact, names = points[0], {"adapter": "of the adapter", "encoder": "of the encoder"}
    figure, axes = pyplot.subplots(figsize=(6.4, 4.2), layout="constrained")
    for source, colour in zip(names, ("tab:blue", "tab:orange"), strict=True):
        own = [point for point in points[2:] if point.setting.source == source]
        best = front(own)
        axes.plot([exact.seconds / p.seconds for p in own], [p.wer for p in own], ".", color=colour, alpha=0.4)
        line = [exact.seconds / p.seconds for p in best], [p.wer for p in best]
        axes.plot(*line, "-", color=colour, label=f"accept, draft {names[source]}")
    axes.plot([exact.seconds / p.seconds for p in points[:2]], [p.wer for p in points[:2]], "k^", label="exact drafts")
    axes.axhline(exact.wer + within, color="grey", linestyle=":", label=f"exact + {within:g} %")
    at = exact.seconds / chosen.seconds, chosen.wer
    axes.plot(*at, "o", color="tab:red", fillstyle="none", markersize=12, label="chosen")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_xlabel("speed, log scale (exact drafts of the adapter = 1)")
    axes.set_ylabel("WER %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    run_main(main)
