"""Made-up WSJ0 and WSJ1: folders of discs, index files, sphere files (*.wv1) and transcripts (*.dot)."""

from __future__ import annotations

from pathlib import Path

from corpus_harness import write_audio, write_text

# set → (index file, disc of the recordings, folder of the recordings, speaker, whether the index names the suffix)
SETS = {
    "si84": ("11-13.1/wsj0/doc/indices/train/tr_s_wv1.ndx", "11-1.1", "wsj0/si_tr_s", "011", True),
    "si200": ("13-34.1/wsj1/doc/indices/si_tr_s.ndx", "13-16.1", "wsj1/si_tr_s", "4ak", True),
    "dev93": ("13-34.1/wsj1/doc/indices/h1_p0.ndx", "13-16.1", "wsj1/si_dt_20", "4k0", True),
    "eval92": ("11-13.1/wsj0/doc/indices/test/nvp/si_et_20.ndx", "11-13.1", "wsj0/si_et_20", "440", False),
    "eval93": ("13-32.1/wsj1/doc/indices/wsj1/eval/h1_p0.ndx", "13-33.1", "wsj1/si_et_h1/wsj64k", "4oa", True),
}
WORDS = (
    "The female produces ,COMMA a litter --DASH",
    "Mr. <and> Holiday's [door_slam] .",
    '\\"DOUBLE-QUOTE Yes \\%PERCENT',
    "sch- *school* 'SINGLE-QUOTE . ~",
)


def make(folder: Path) -> dict[str, Path]:
    """Both corpora, by their variables in db.sh."""
    for number, (index, disc, path, speaker, suffix) in enumerate(SETS.values()):
        lines, dots = ["; a comment\n"], []
        for i, words in enumerate(WORDS):
            name = f"{speaker}c02{i:02d}"
            root = folder / ("wsj0" if disc.startswith("11") else "wsj1")
            target = root / disc / path / speaker / f"{name}.wv1"
            write_audio(target, 1.0 + 0.1 * i, 5 * number + i, format="NIST", subtype="PCM_16")
            listed_disc = "13_32_1" if disc == "13-33.1" else disc.replace("-", "_").replace(".", "_")
            lines.append(f"{listed_disc}: {path}/{speaker}/{name}{'.wv1' if suffix else ''}\n")
            dots.append(f"{words} ({name.upper() if number else name})\n")
        write_text(root / index, "".join(lines))
        transcripts = {"wsj0": "11-13.1/wsj0/transcrp/dots", "wsj1": "13-34.1/wsj1/trans"}[root.name]
        write_text(root / transcripts / Path(path).name / speaker / f"{speaker}c0200.dot", "".join(dots))
    return {"WSJ0": folder / "wsj0", "WSJ1": folder / "wsj1"}
