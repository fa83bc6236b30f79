"""A made-up TED-LIUM 3: legacy/<part>/sph/<talk>.sph (16 kHz, 16 bit) and legacy/<part>/stm/<talk>.stm."""

from __future__ import annotations

from pathlib import Path

from corpus_harness import write_audio, write_text

TALKS = {"train": "AaronHuey_2010X", "dev": "BrianCox_2009U", "test": "AimeeMullins_2009P"}


def make(folder: Path) -> Path:
    """One talk of four segments in each part."""
    for number, (part, talk) in enumerate(TALKS.items()):
        write_audio(folder / f"legacy/{part}/sph/{talk}.sph", 6.0, number, format="NIST", subtype="PCM_16")
        lines = (
            f"{talk} 1 {talk} 0.00 0.50 <o,,unknown> {'ignore_time_segment_in_scoring'}",
            f"{talk} 1 {talk} 0.50 1.75 <o,f0,female> i 'm here to show you {{NOISE}} photographs",
            f"{talk} 1 {talk} 1.75 3 <o,f0,female> they 're the lakota <unk> people",
            f"{talk} 1 {talk} 3.00 4.25 <o,f0,female> many of you",
            f"{talk} 1 {talk} 4.25 5.99 <o,f0,female> [NOISE] know the treaty",
        )
        write_text(folder / f"legacy/{part}/stm/{talk}.stm", "".join(f"{line}\n" for line in lines))
    return folder
