"""Made-up Switchboard, Fisher and HUB5 2000: two-channel 8 kHz mu-law sphere files, and each corpus' transcripts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from corpus_harness import tone, write_text


def write_call(path: Path, number: int, seconds: float = 8.0) -> None:
    """A telephone call: another tone on each channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sides = np.stack([tone(seconds, 2 * number, 8000), tone(seconds, 2 * number + 1, 8000)], axis=1)
    soundfile.write(path, sides, 8000, format="NIST", subtype="ULAW")


def make_switchboard(folder: Path, conversations: int = 3) -> Path:
    """LDC97S62 and Mississippi State's transcripts."""
    for number in range(conversations):
        name = f"{2001 + number}"
        write_call(folder / f"LDC97S62/swb1_d1/data/sw0{name}.sph", number)
        for side in "AB":
            turns = (
                (0.0, 1.0, "[silence]"),
                (1.0, 2.5, "uh-huh [laughter-yeah] i th[ought]- i mean"),
                (2.5, 4.0, "[noise] <b_aside> the [vocalized-noise] about_1 <e_aside>"),
                (4.0, 5.0, "[noise]"),
                (5.0, 7.25, "a {brainwave} [him/them] do we-"),
            )
            stem = f"sw{name}{side}-ms98-a"
            lines = [f"{stem}-{i:04d} {b:.6f} {e:.6f} {words}\n" for i, (b, e, words) in enumerate(turns, 1)]
            target = folder / f"swb_ms98_transcriptions/{name[:2]}/{name}/{stem}-trans.text"
            write_text(target, "".join(lines))
    return folder


def make_fisher(folder: Path) -> Path:
    """LDC2004S13 and LDC2004T19."""
    rows = ["CALL_ID,DATE_TIME,TOPICID,SIG_GRADE,CNV_GRADE,APIN,ASX.DL,APHNUM,APHSET,APHTYP,BPIN,BSX.DL,BPHNUM\n"]
    for number in range(2):
        call = f"{1 + number:05d}"
        write_call(folder / f"LDC2004S13/fisher_eng_tr_sp_d1/audio/000/fe_03_{call}.sph", 10 + number)
        text = f"# fe_03_{call}.sph\n# Transcribed at the LDC\n\n1.00 2.50 A: and i generally prefer\n\n"
        text += "2.60 4.10 B: (( h- hello )) [laughter] t. v.\n\n4.20 5.00 A: [noise]\n\n"
        write_text(folder / f"LDC2004T19/data/trans/000/fe_03_{call}.txt", text)
        rows.append(f"{call},20021211_23:36:52,ENG01,3,3,{2602 + number},f.a,1,3,2,1790,f.a,2\n")
    write_text(folder / "LDC2004T19/doc/fe_03_p1_calldata.tbl", "".join(rows))
    return folder


def make_eval2000(folder: Path) -> Path:
    """LDC2002S09 and LDC2002T43."""
    for number, name in enumerate(("sw_4390", "en_4156")):
        write_call(folder / f"LDC2002S09/hub5e_00/english/{name}.sph", 20 + number)
        text = f"#Language: eng\n#File id: {name[3:]}\n\n1.00 2.50 A: %um, we're {{breath}} fine\n\n"
        text += '2.60 4.10 A1: <contraction e_form="[we=>we][\'re=>are]">we\'re starting the -- (( tran- ))\n'
        text += "4.20 5.10 B: mhm\n"
        write_text(folder / f"LDC2002T43/reference/english/{name}.txt", text)
    return folder


def make(folder: Path) -> dict[str, Path]:
    """All three, by their variables in db.sh."""
    return {
        "SWITCHBOARD": make_switchboard(folder / "switchboard"),
        "FISHER": make_fisher(folder / "fisher"),
        "EVAL2000": make_eval2000(folder / "hub5"),
    }
