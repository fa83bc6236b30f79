"""The synthetic voices of the mini corpus: which espeak-ng voices speak, and in which split.

A voice is a language base with a variant on top, for example `gmw/en-US+f2`. Variants of train, dev and test are
disjoint, so a score on test is a score on speakers never heard. An unknown *variant* is silently the base voice
in espeak-ng; `check_variants` in `mini_corpus.synth` exists because of that.
"""

from __future__ import annotations

BASES: dict[str, tuple[str, ...]] = {
    "en": ("gmw/en", "gmw/en-US", "gmw/en-GB-x-rp"),
    "es": ("roa/es", "roa/es-419"),
}

VARIANTS: dict[str, tuple[str, ...]] = {
    "train": tuple(
        (
            "m1 m2 m3 m5 m8 f1 f2 f4 Alex Andrea Annie Gene Hugo Jacky Lee Mario Denis adam anika antonio "
            "benjamin boris edward ian iven linda marcelo max pablo paul rob"
        ).split()
    ),
    "dev": ("m6", "f5", "steph"),
    # Alicia is far from every training variant: kept as the hard case.
    "test": ("m4", "m7", "f3", "Michael", "Alicia", "belinda", "david", "robert"),
}


def voices(language: str, split: str) -> tuple[str, ...]:
    """All voices of a language ("en", "es") in a split ("train", "dev", "test"); KeyError names an unknown one."""
    return tuple(f"{base}+{variant}" for base in BASES[language] for variant in VARIANTS[split])


def speaker_of(voice: str) -> str:
    """A Kaldi speaker name for a voice: `gmw/en-US+f2` becomes `en-US.f2`, so the speaker sorts by language."""
    return voice.partition("/")[2].replace("+", ".")
