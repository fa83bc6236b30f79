"""Audio of single utterances inside the page, within a budget.

MP3: of what soundfile writes, it is the one that every browser plays; 16 kHz mono at about 25 kbit/s.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass, field

from slm_espnet.data.audio import AudioError, read_audio
from slm_espnet.data.datadir import AudioSource

RATE = 16000  # Hz
LONGEST = 30.0  # seconds of a recording that are embedded
COMPRESSION = 0.9  # libsndfile's scale from 0 (best) to 1 (smallest); at 16 kHz this is 24 kbit/s


@dataclass(frozen=True)
class Clip:
    """One embedded recording."""

    uri: str  # data:audio/mpeg;base64,…
    seconds: float
    is_cut: bool  # the recording is longer


@dataclass
class Sound:
    """What became of the recordings that were asked for, by their key."""

    clips: dict[str, Clip] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)  # key → why it cannot be heard
    kilobytes: float = 0.0  # of all clips, as they stand in the page


def encode(samples) -> bytes:
    """Samples (N,) at 16 kHz as MP3."""
    import soundfile

    stream = io.BytesIO()
    soundfile.write(
        stream, samples, RATE, format="MP3", subtype="MPEG_LAYER_III",
        bitrate_mode="CONSTANT", compression_level=COMPRESSION,
    )  # fmt: skip
    return stream.getvalue()


def embed(sources: Iterable[AudioSource], budget_kb: int) -> Sound:
    """Embed recordings in their order, each once, while they fit.

    Args:
        sources: the most important first.
        budget_kb: kilobytes (1000 bytes) of base64 text; what does not fit is left out, later and shorter ones may fit.
    """
    sound = Sound()
    for source in sources:
        if source.key in sound.clips or source.key in sound.missing:
            continue
        if sound.kilobytes >= budget_kb:
            sound.missing[source.key] = "over the budget for audio"
            continue
        try:
            samples = read_audio(source, RATE)
        except AudioError as error:
            sound.missing[source.key] = error.reason
            continue
        kept = samples[: int(LONGEST * RATE)]
        uri = "data:audio/mpeg;base64," + base64.b64encode(encode(kept)).decode("ascii")
        if sound.kilobytes + len(uri) / 1000 > budget_kb:
            sound.missing[source.key] = "over the budget for audio"
            continue
        sound.kilobytes += len(uri) / 1000
        sound.clips[source.key] = Clip(uri, len(kept) / RATE, len(kept) < len(samples))
    return sound
