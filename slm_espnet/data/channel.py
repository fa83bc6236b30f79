"""One channel of a recording as wav.scp's value; with the header of sphere files, which telephone corpora come in.

    python3 -m slm_espnet.data.channel --channel 1 sw02001.sph      # that channel as wav on the standard output

is what wav.scp calls for recordings with several channels, one speaker in each. Sphere files that are compressed with
`shorten` need the program sph2pipe, which lhotse builds (`lhotse install-sph2pipe`).
"""

from __future__ import annotations

import argparse
import io
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from slm_espnet.data.datadir import AudioSource
from slm_espnet.errors import UserError, run_main

SPHERE_MAGIC = b"NIST_1A\n"


@dataclass(frozen=True)
class SphereHeader:
    """What is needed of a sphere file's header."""

    rate: int  # Hz
    channels: int
    samples: int  # of each channel
    coding: str  # pcm, ulaw, alaw; with `,embedded-shorten-v2.00` where compressed
    data_bytes: int  # that the samples take, where not compressed
    header_bytes: int

    @property
    def shortened(self) -> bool:
        """Compressed by shorten, which libsndfile cannot read."""
        return "shorten" in self.coding


def read_sphere_header(path: Path) -> SphereHeader:
    """The header of a NIST sphere file.

    Raises:
        UserError: missing, not a sphere file, or a broken header.
    """
    try:
        with open(path, "rb") as file:
            first = file.read(16)
            size = int(first[8:16]) if first.startswith(SPHERE_MAGIC) else 0
            text = file.read(size - 16).decode("latin-1") if size > 16 else ""
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a sphere file ({error})") from error
    if not text:
        raise UserError(f"{path}: is not a sphere file (it does not begin with NIST_1A)")
    fields = {parts[0]: parts[2] for line in text.splitlines() if len(parts := line.split(None, 2)) == 3}
    try:
        rate, channels, samples = (int(fields[name]) for name in ("sample_rate", "channel_count", "sample_count"))
        width = int(fields.get("sample_n_bytes", "2"))
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: its sphere header says no {error}; copy the file again") from error
    coding = fields.get("sample_coding", "pcm").strip()
    return SphereHeader(rate, channels, samples, coding, samples * channels * width, size)


def sphere_source(path: Path, channel: int) -> tuple[str, float]:
    """wav.scp's value for a channel (from 0) of a sphere file, and the recording's length in seconds.

    Raises:
        UserError: not readable as sphere, no such channel, no samples, shorter than its header says, or compressed
            and there is no sph2pipe.
    """
    header = read_sphere_header(path)
    if not 0 <= channel < header.channels:
        raise UserError(f"{path}: has {header.channels} channel(s), channel {channel} (from 0) was asked for")
    if header.samples <= 0:
        raise UserError(f"{path}: has no samples; copy the file again")
    if header.shortened:
        if shutil.which("sph2pipe") is None:
            cure = "build it with `lhotse install-sph2pipe` and put its folder into PATH"
            raise UserError(f"{path}: is compressed ({header.coding}), which needs the program sph2pipe; {cure}")
        command = f"sph2pipe -f wav -p -c {channel + 1} {shlex.quote(str(path))} |"
    else:
        missing = header.header_bytes + header.data_bytes - path.stat().st_size
        if missing > 0:
            raise UserError(f"{path}: {missing} bytes of its samples are missing; copy the file again")
        command = str(path) if header.channels == 1 else channel_command(path, channel)
    return command, header.samples / header.rate


def channel_command(path: Path, channel: int) -> str:
    """wav.scp's value for one channel (from 0) of any file that libsndfile reads."""
    return f"python3 -m slm_espnet.data.channel --channel {channel} {shlex.quote(str(path))} |"


def main() -> None:
    """Write one channel of a file as wav to the standard output."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--channel", type=int, required=True, help="counted from 0")
    parser.add_argument("file", help="any format that libsndfile reads")
    options = parser.parse_args()
    import soundfile

    from slm_espnet.data.audio import read_audio

    with soundfile.SoundFile(options.file) as file:
        rate = file.samplerate
    wav = io.BytesIO()
    soundfile.write(wav, read_audio(AudioSource(options.file), rate, options.channel), rate, format="WAV")
    sys.stdout.buffer.write(wav.getvalue())


if __name__ == "__main__":
    run_main(main)
