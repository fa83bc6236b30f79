"""Switchboard, Fisher and HUB5 2000 as data directories; transcripts through lhotse's recipes for the three.

    python3 local/prepare.py --corpus /corpora/switchboard --fisher /corpora/fisher --eval2000 /corpora/hub5_2000 \\
        --data_dir data

Writes train_switchboard and dev (whole conversations of Switchboard), train_fisher, eval2000_switchboard and
eval2000_callhome. Each speaker has a channel of the recording, which wav.scp cuts out by a command.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

from telephone_text import fisher_words, hub5_words, switchboard_words  # noqa: E402

from slm_espnet.data.channel import sphere_source  # noqa: E402
from slm_espnet.data.corpus import CorpusWriter, corpus_folder, corpus_parser  # noqa: E402
from slm_espnet.data.datadir import AudioSource  # noqa: E402
from slm_espnet.data.lhotse_bridge import bad_times, lhotse_recipe, screened  # noqa: E402
from slm_espnet.data.utterance import Utterance, add_recognition  # noqa: E402
from slm_espnet.errors import UserError, run_main  # noqa: E402
from slm_espnet.options import chosen  # noqa: E402

if TYPE_CHECKING:
    from lhotse import SupervisionSegment

CORPORA = ("switchboard", "fisher", "eval2000")
SILENCE = "[silence]"
FISHER_HEAD = "#\n#\n\n"  # lhotse's parser skips three lines


class Conversations:
    """Adds segments of two-channel telephone recordings."""

    def __init__(self, writer: CorpusWriter, recordings: Iterable[Path]) -> None:
        self.writer = writer
        self.recordings = {path.stem: path for path in recordings}
        self._channels: dict[tuple[str, int], str | UserError] = {}

    def add(self, set_name: str, segment: SupervisionSegment, words: str, speaker: str, where: str) -> None:
        """Add a segment whose words have been cleaned."""
        side = "AB"[segment.channel]
        times = f"{round(segment.start * 100):06d}-{round(segment.end * 100):06d}"
        utt_id = f"{segment.recording_id}-{side}_{times}"
        writer = self.writer
        if not words:
            writer.leave_out(set_name, utt_id, "no words", where, segment.text, unwanted=True)
            return
        if segment.recording_id not in self.recordings:
            message = f"there is no {segment.recording_id}.sph"
            writer.leave_out(set_name, utt_id, "missing audio", where, message)
            return
        path = self._channel(segment.recording_id, segment.channel)
        if isinstance(path, UserError):
            writer.leave_out(set_name, utt_id, "unreadable audio", where, str(path))
            return
        source = AudioSource(path, segment.start, segment.end)
        add_recognition(writer, Utterance(set_name, utt_id, source, words, "en", speaker, where))

    def _channel(self, recording: str, channel: int) -> str | UserError:
        """wav.scp's value of a speaker's channel, or what is wrong with the recording."""
        if (recording, channel) not in self._channels:
            try:
                value, seconds = sphere_source(self.recordings[recording], channel)
            except UserError as error:
                self._channels[recording, channel] = error
            else:
                self.writer.recording_seconds(value, seconds)
                self._channels[recording, channel] = value
        return self._channels[recording, channel]


def columns(count: int, times: int) -> Callable[[str], str | None]:
    """A complaint about lines with fewer columns, or without begin and end in the columns from `times`."""

    def complaint(line: str) -> str | None:
        fields = line.split()
        if fields[0].startswith("#"):
            return ""
        if len(fields) < count:
            return f"{len(fields)} columns, expected at least {count}"
        return bad_times(fields[times], fields[times + 1])

    return complaint


def fisher_complaint(line: str) -> str | None:
    """What is wrong with a line `begin end side: words`."""
    wrong = columns(3, 0)(line)
    if wrong is not None:
        return wrong
    side = line.split()[2]
    return None if side in ("A:", "B:") else f"{side!r} is not `A:` or `B:`"


def hub5_complaint(line: str) -> str | None:
    """The same, where a second speaker of a side is `A1:`."""
    wrong = columns(3, 0)(line)
    if wrong is not None:
        return wrong
    side = line.split()[2]
    return None if re.fullmatch(r"[AB]\d?:", side) else f"{side!r} is not `A:` or `B:`"


def add_switchboard(writer: CorpusWriter, root: Path, dev_conversations: int) -> None:
    """Switchboard: LDC97S62 and the transcripts swb_ms98_transcriptions below one folder."""
    texts = sorted(root.rglob("sw*-trans.text"))
    if not texts:
        cure = "unpack switchboard_word_alignments.tar.gz there (README.md)"
        raise UserError(f"{root}: there is no *-trans.text; {cure}")
    conversations = Conversations(writer, root.rglob("sw*.sph"))
    names = sorted({path.name[2:6] for path in texts})
    development = set(names[:dev_conversations])
    for path in texts:
        name, side = path.name[2:6], path.name[6]
        set_name = "dev" if name in development else "train_switchboard"
        with screened(writer, set_name, [path], columns(4, 1)) as (copy,):
            segments = lhotse_recipe("switchboard").make_segments(
                copy.path, SimpleNamespace(id=f"sw0{name}"), "AB".index(side), omit_silence=False
            )
            for segment, where in zip(segments, copy.places, strict=True):
                if segment.text == SILENCE:
                    writer.leave_out(set_name, segment.id, "silence", where, unwanted=True)
                else:
                    words = switchboard_words(segment.text)
                    conversations.add(set_name, segment, words, f"sw0{name}{side}", where)


def add_fisher(writer: CorpusWriter, root: Path) -> None:
    """Fisher English parts 1 and 2: audio, transcripts and calldata.tbl anywhere below one folder."""
    texts = sorted(root.rglob("fe_03_*.txt"))
    if not texts:
        raise UserError(f"{root}: there is no fe_03_*.txt; are LDC2004T19 and LDC2005T19 below it?")
    speakers = fisher_speakers(writer, root)
    conversations = Conversations(writer, root.rglob("fe_03_*.sph"))
    for path in texts:
        call = path.stem.split("_")[2]
        sides = speakers.get(call, {"A": f"fe_{call}A", "B": f"fe_{call}B"})
        with screened(writer, "train_fisher", [path], fisher_complaint, head=FISHER_HEAD) as (copy,):
            segments = lhotse_recipe("fisher_english").create_supervision(({call: sides}, copy.path))
            for segment, where in zip(segments, copy.places, strict=True):
                conversations.add("train_fisher", segment, fisher_words(segment.text), segment.speaker, where)


def fisher_speakers(writer: CorpusWriter, root: Path) -> dict[str, dict[str, str]]:
    """Call → side → speaker's number, from the tables of calls; those of one speaker are the same in all calls."""
    speakers = {}
    for table in sorted(root.rglob("*_calldata.tbl")):
        for _, line in writer.lines("train_fisher", table):
            fields = line.split(",")
            if len(fields) > 10 and fields[0].isdigit():
                speakers[fields[0]] = {"A": f"fe_{fields[5]}", "B": f"fe_{fields[10]}"}
    return speakers


def add_eval2000(writer: CorpusWriter, root: Path) -> None:
    """HUB5 2000: hub5e_00/english/*.sph and reference/english/*.txt anywhere below one folder."""
    texts = sorted(path for path in root.rglob("reference/english/*.txt"))
    if not texts:
        raise UserError(f"{root}: there is no reference/english/*.txt; is LDC2002T43 below it?")
    conversations = Conversations(writer, root.rglob("hub5e_00/english/*.sph"))
    for path in texts:
        set_name = "eval2000_switchboard" if path.stem.startswith("sw") else "eval2000_callhome"
        with screened(writer, set_name, [path], hub5_complaint) as (copy,):
            for segment in lhotse_recipe("eval2000").make_segments(copy.path.parent):
                side = segment.speaker.rpartition("-")[2]
                segment.channel = "AB".index(side[0])  # lhotse takes A1, a second speaker on A's side, for B
                where = copy.places[int(segment.id.rpartition("-")[2])]
                conversations.add(set_name, segment, hub5_words(segment.text), f"{path.stem}{side}", where)


def prepare(options: argparse.Namespace) -> None:
    """Write the sets of the corpora that are given."""
    writer = CorpusWriter(options)
    corpora = chosen(options.corpora, CORPORA, "--corpora")
    if "switchboard" in corpora:
        add_switchboard(writer, corpus_folder(options.corpus, "SWITCHBOARD"), options.dev_conversations)
    if "fisher" in corpora:
        add_fisher(writer, corpus_folder(options.fisher, "FISHER"))
    if "eval2000" in corpora:
        add_eval2000(writer, corpus_folder(options.eval2000, "EVAL2000"))
    writer.finish()


def main() -> None:
    """Run the command line."""
    parser = corpus_parser(__doc__)
    parser.add_argument("--fisher", type=Path, default=Path(""), help="folder with LDC2004S13, LDC2004T19, …")
    parser.add_argument("--eval2000", type=Path, default=Path(""), help="folder with LDC2002S09 and LDC2002T43")
    parser.add_argument("--corpora", default=",".join(CORPORA), help="which of the three to prepare")
    parser.add_argument("--dev_conversations", type=int, default=20, help="conversations of Switchboard that are dev")
    prepare(parser.parse_args())


if __name__ == "__main__":
    run_main(main)
