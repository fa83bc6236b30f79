"""The synthetic voices of the mini corpus: which espeak-ng voices speak, and in which split.

A voice is a language base with a variant on top, for example `gmw/en-US+f2`. Variants of train, dev and test are
disjoint, so a score on test is a score on speakers never heard. An unknown *variant* is silently the base voice
in espeak-ng; `check_variants` in `mini_corpus.synth` exists because of that.

The variants that come with espeak-ng are few. So most training voices are drawn: pitch, formants, breath, echo and so
on at random, over about the range that all of espeak-ng's own variants span, the test's too.
"""

from __future__ import annotations

import random

BASES: dict[str, tuple[str, ...]] = {
    "en": ("gmw/en", "gmw/en-US", "gmw/en-GB-x-rp"),
    "es": ("roa/es", "roa/es-419"),
}

DRAWN_VOICES = 160
_DRAWN_PREFIX = "drawn"

VARIANTS: dict[str, tuple[str, ...]] = {
    "train": tuple(
        (
            "m1 m2 m3 m5 m8 f1 f2 f4 Alex Andrea Annie Gene Hugo Jacky Lee Mario Denis adam anika antonio "
            "benjamin boris edward ian iven linda marcelo max pablo paul rob"
        ).split()
    )
    + tuple(f"{_DRAWN_PREFIX}{number:03d}" for number in range(DRAWN_VOICES)),
    # The eight after steph were the test voices while encoder and adapter were designed; Alicia is far from all others.
    "dev": ("m6", "f5", "steph", "m4", "m7", "f3", "Michael", "Alicia", "belinda", "david", "robert"),
    # Drawn by checksum from espeak-ng's human-like variants without a sibling above, before any had been heard.
    "test": ("Andy", "Reed", "RicishayMax", "Tweaky", "grandpa", "michel", "norbert", "shelby"),
}


def voices(language: str, split: str) -> tuple[str, ...]:
    """All voices of a language ("en", "es") in a split ("train", "dev", "test"); KeyError names an unknown one."""
    return tuple(f"{base}+{variant}" for base in BASES[language] for variant in VARIANTS[split])


def speaker_of(voice: str) -> str:
    """A Kaldi speaker name for a voice: `gmw/en-US+f2` becomes `en-US.f2`, so the speaker sorts by language."""
    return voice.partition("/")[2].replace("+", ".")


def drawn_variant(name: str) -> str | None:
    """The text of a drawn variant's espeak-ng voice file; None for variants that come with espeak-ng.

    Formants are in percent of the base voice's frequency, height and width; formant 0 is the voice's low end.
    """
    if not name.startswith(_DRAWN_PREFIX):
        return None
    rng = random.Random(name)
    pitch = 65 * 3.6 ** rng.random()  # Hz, 65 to 234: low male to high female
    tract = 0.82 * 1.7 ** rng.random()  # 0.82 to 1.4: a shorter vocal tract moves all formants up together
    lines = [
        "language variant",
        f"name {name}",
        f"pitch {pitch:.0f} {pitch * rng.uniform(1.15, 1.65):.0f}",
        f"roughness {rng.randint(0, 4)}",
        f"voicing {rng.randint(50, 135)}",
        f"consonants {rng.randint(70, 130)} {rng.randint(20, 130)}",
    ]
    for formant in range(9):
        frequency = 100 * tract * rng.uniform(0.87, 1.15)
        lines.append(f"formant {formant} {frequency:.0f} {rng.randint(60, 150)} {rng.randint(75, 165)}")
    if rng.random() < 0.35:
        lines.append(f"echo {rng.randint(10, 140)} {rng.randint(5, 50)}")
    if rng.random() < 0.4:
        lines.append(f"flutter {rng.randint(0, 12)}")
    if rng.random() < 0.35:
        lines.append("breath " + " ".join(str(rng.randint(0, 8)) for _ in range(8)))
        lines.append("breathw " + " ".join(str(rng.randint(100, 600)) for _ in range(8)))
    if rng.random() < 0.12:
        lines.append(f"klatt {rng.choice((1, 2, 3, 4, 6))}")
    return "\n".join(lines) + "\n"
