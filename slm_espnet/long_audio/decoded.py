"""From hypotheses of pieces to hypotheses of the recordings that they were cut from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slm_espnet.data.datadir import read_data_dir
from slm_espnet.decoding.results import read_hypotheses, read_left_out, text_line
from slm_espnet.errors import UserError
from slm_espnet.files import write_atomically
from slm_espnet.long_audio.cutting import Piece
from slm_espnet.long_audio.datadir import WHOLE, read_pieces
from slm_espnet.long_audio.merging import merge_texts

MISSING = "no piece has a hypothesis"


def merge_decoded(data_dir: Path, output_dir: Path) -> dict[str, int]:
    """Put the hypotheses of a decoded directory of pieces together, into `<output_dir>/whole`.

    Writes text, hypotheses.jsonl (with the times and texts of the pieces), left_out.tsv and summary.json. A recording
    of which some pieces have no hypothesis has the text of the others, and is counted; one without any is left out.

    Returns:
        What summary.json says: utterances, decoded, incomplete.

    Raises:
        UserError: the pieces were not decoded to their end.
    """
    path = output_dir / "hypotheses.jsonl"
    if not path.is_file():
        raise UserError(f"{path} does not exist: {data_dir} was not decoded to its end; run stage 5 (decoding) first")
    found = read_hypotheses(path)
    asked = found.keys() | read_left_out(output_dir / "left_out.tsv").keys()  # with --tasks, not all rows were
    merged: list[dict[str, Any]] = []
    missing: list[str] = []
    for row, named in sorted(read_pieces(data_dir).items()):
        there = [(name, piece) for name, piece in named if name in found]
        if there:
            merged.append(_merged(row, there, found) | {"pieces_missing": len(named) - len(there)})
        elif any(name in asked for name, _ in named):
            missing.append(row)
    incomplete = sum(values["pieces_missing"] > 0 for values in merged)
    summary = {"utterances": len(merged) + len(missing), "decoded": len(merged), "incomplete": incomplete}
    lines = {
        "hypotheses.jsonl": [json.dumps(values, ensure_ascii=False) for values in merged],
        "left_out.tsv": [f"{row}\t{MISSING}" for row in missing],
        "summary.json": [json.dumps(summary, indent=1)],
        "text": [text_line(values) for values in merged],
    }
    (output_dir / WHOLE).mkdir(exist_ok=True)
    for name, content in lines.items():
        write_atomically(output_dir / WHOLE / name, "".join(f"{line}\n" for line in content))
    return summary


def _merged(row: str, named: Sequence[tuple[str, Piece]], found: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """One recording's line of hypotheses.jsonl."""
    hypotheses = [found[name] for name, _ in named]
    return {
        "utt_id": row,
        "text": merge_texts([piece for _, piece in named], [values["text"] for values in hypotheses]),
        "score": sum(values["score"] for values in hypotheses),
        "truncated": any(values["truncated"] for values in hypotheses),
        "looped": any(values["looped"] for values in hypotheses),
        "pieces": [{"start": piece.start, "stop": piece.stop, "text": found[name]["text"]} for name, piece in named],
    }


def merge_by_audio(data_dir: Path, texts: Mapping[str, str]) -> dict[str, str]:
    """Texts of pieces by the key of their audio (an encoder's CTC hypotheses) → texts of recordings by theirs.

    Only recordings of which every piece has a text are in it.
    """
    keys = {row.utt_id: row.audio.key for row in read_data_dir(data_dir)}
    merged = {}
    pieces = read_pieces(data_dir)
    for row in read_data_dir(data_dir / WHOLE, require=("wav.scp",)):
        named = pieces.get(row.utt_id, [])
        if named and all(keys[name] in texts for name, _ in named):
            merged[row.audio.key] = merge_texts([p for _, p in named], [texts[keys[name]] for name, _ in named])
    return merged
