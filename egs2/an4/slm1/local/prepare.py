"""AN4 as data directories: train_nodev (with varied copies), train_dev and test.

    python local/prepare.py --an4 /path/to/an4 --data_dir data --audio_dir dump/audio

Encodings of recordings that the speech encoder itself was trained on look cleaner than a test's. So its speakers only
come in varied copies, and those that it has never heard come more often; the development speakers are among the latter.
"""

from __future__ import annotations

import argparse
import os
import sys
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from an4_corpus import SAMPLING_RATE, Utterance, read_samples, read_split  # noqa: E402

from slm_espnet.data.datadir import AudioSource, Row  # noqa: E402
from slm_espnet.data.writer import write_data_dir  # noqa: E402
from slm_espnet.errors import UserError, run_main  # noqa: E402
from slm_espnet.files import discard, temporary_beside  # noqa: E402
from slm_espnet.tasks import load_tasks  # noqa: E402

DEV_SPEAKERS = ("fjam", "fnsv", "fwxs", "mbmg", "mdcs", "mjda", "mmkw", "mscg2")  # of the train part


class Preparation:
    """Writes the three data directories."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.prompts = load_tasks(options.tasks_config)["asr"]
        listed = options.encoder_speakers.read_text(encoding="utf-8").split() if options.encoder_speakers else ()
        self.encoder_speakers = frozenset(listed)

    def run(self) -> None:
        """Everything; what cannot be used is named, and more than --max_failed of it is an error."""
        train, left_out_train = read_split(self.options.an4, "train")
        test, left_out_test = read_split(self.options.an4, "test")
        self._report([*left_out_train, *left_out_test], len(train) + len(test))
        dev = [u for u in train if u.speaker in DEV_SPEAKERS]
        rest = [u for u in train if u.speaker not in DEV_SPEAKERS]
        self._write("test", [self._row(u, u.utt_id, self._readable(u)) for u in test])
        self._write("train_dev", [self._row(u, u.utt_id, self._readable(u)) for u in dev])
        self._write("train_nodev", [row for u in rest for row in self._copies(u)])

    def _report(self, left_out: list[str], used: int) -> None:
        for line in left_out:
            print(f"left out: {line}", file=sys.stderr)
        if len(left_out) > self.options.max_failed * (used + len(left_out)):
            raise UserError(f"{len(left_out)} of {used + len(left_out)} utterances cannot be used (named above)")

    def _copies(self, utterance: Utterance) -> list[Row]:
        """The recording itself where the encoder does not know the speaker, and its varied copies."""
        from augment import vary

        options = self.options
        known = utterance.speaker in self.encoder_speakers
        number = zlib.crc32(utterance.utt_id.encode())
        rows = [] if known else [self._row(utterance, utterance.utt_id, self._readable(utterance), number)]
        # the settings are in the folder's name, so that copies of other settings are not taken for these
        folder = options.audio_dir / f"varied_seed{options.seed}_noise{options.noise_share:g}"
        samples = None
        for copy in range(1, (options.known_copies if known else options.new_copies) + 1):
            utt_id = f"{utterance.utt_id}-v{copy}"
            target = folder / f"{utt_id}.wav"
            if not target.is_file():
                samples = read_samples(utterance.audio) if samples is None else samples
                write_audio(target, vary(samples, SAMPLING_RATE, [options.seed, number, copy], options.noise_share))
            rows.append(self._row(utterance, utt_id, target, number + copy))
        return rows

    def _readable(self, utterance: Utterance) -> Path:
        """The recording itself; one without a header is written as wav."""
        if utterance.audio.suffix.lower() != ".raw":
            return utterance.audio
        target = self.options.audio_dir / "unchanged" / f"{utterance.utt_id}.wav"
        if not target.is_file():
            write_audio(target, (read_samples(utterance.audio) * 32768).round().astype("int16"))
        return target

    def _row(self, utterance: Utterance, utt_id: str, audio: Path, paraphrase: int | None = None) -> Row:
        """A row; in training the wordings of the task take turns, else it is the evaluation wording."""
        wordings = self.prompts.prompts["en"]
        prompt = self.prompts.eval_prompt["en"] if paraphrase is None else wordings[paraphrase % len(wordings)]
        return Row(
            utt_id=utt_id,
            audio=AudioSource(str(audio.resolve())),
            text=utterance.words,
            prompt=prompt,
            task="asr",
            language="en",
            speaker=utterance.speaker,
            transcript=utterance.words,
        )

    def _write(self, name: str, rows: list[Row]) -> None:
        if not rows:
            raise UserError(f"{self.options.an4}: no utterance for {name}; is this the whole corpus?")
        count = write_data_dir(self.options.data_dir / name, rows)
        print(f"{self.options.data_dir / name}: {count} utterances, {len({row.speaker for row in rows})} speakers")


def write_audio(path: Path, samples) -> None:
    """Write int16 samples as wav, at once."""
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path, ".wav")
    try:
        soundfile.write(temporary, samples, SAMPLING_RATE, subtype="PCM_16")
        os.replace(temporary, path)
    except (OSError, soundfile.SoundFileError) as error:
        raise UserError(f"cannot write {path} ({error}); make room or choose another --audio_dir") from error
    finally:
        discard(temporary)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--an4", type=Path, required=True, help="folder of the corpus, with etc and wav")
    parser.add_argument("--data_dir", type=Path, required=True, help="where the data directories go")
    parser.add_argument("--audio_dir", type=Path, required=True, help="where varied copies go (about 0.3 GB)")
    parser.add_argument("--tasks_config", type=Path, default=Path("conf/tasks.yaml"), help="wordings of the task")
    parser.add_argument("--encoder_speakers", type=Path, help="file with the speakers that trained the encoder")
    parser.add_argument("--known_copies", type=int, default=2, help="varied copies of the encoder's speakers")
    parser.add_argument("--new_copies", type=int, default=5, help="varied copies of other speakers")
    parser.add_argument("--noise_share", type=float, default=0.6, help="share of copies with added noise")
    parser.add_argument("--max_failed", type=float, default=0.01, help="share of unusable utterances that is an error")
    parser.add_argument("--seed", type=int, default=1, help="seed of speeds, levels and noise")
    Preparation(parser.parse_args()).run()


if __name__ == "__main__":
    run_main(main)
