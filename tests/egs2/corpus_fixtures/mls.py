"""A made-up Multilingual LibriSpeech: German as flac, Polish as opus, with the lists of small training sets."""

from __future__ import annotations

from pathlib import Path

from corpus_harness import write_audio, write_text

FOLDERS = {"mls_german": ".flac", "mls_polish_opus": ".opus"}
OPUS = {"format": "OGG", "subtype": "OPUS"}
WORDS = ("er ging nach hause", "der abend war still", "sie las ein buch", "niemand sprach ein wort")
# Split → speaker and book of each utterance.
SPLITS = {
    "train": (("4800", "10003"), ("4800", "10003"), ("1897", "2012"), ("1897", "2012")),
    "dev": (("252", "11012"), ("252", "11012")),
    "test": (("1054", "1599"), ("1054", "1599")),
}


def make(folder: Path, languages: tuple[str, ...] = tuple(FOLDERS)) -> Path:
    """The corpus."""
    for language in languages:
        top, suffix = folder / language, FOLDERS[language]
        people = {speaker for places in SPLITS.values() for speaker, _ in places}
        lines = [f" {speaker:<9}|   M   |  train   |  10.0   | 1 \n" for speaker in sorted(people)]
        write_text(top / "metainfo.txt", "".join(lines))
        for split, places in SPLITS.items():
            transcripts, segments = [], []
            for number, (speaker, book) in enumerate(places):
                name = f"{speaker}_{book}_{number:06d}"
                audio = top / split / "audio" / speaker / book / f"{name}{suffix}"
                write_audio(audio, 0.8 + 0.1 * number, number, 16000, **(OPUS if suffix == ".opus" else {}))
                transcripts.append(f"{name}\t{WORDS[number]}\n")
                segments.append(f"{name}\thttp://www.archive.org/download/x/{number}.mp3\t{number}.0\t{number + 1}.0\n")
            write_text(top / split / "transcripts.txt", "".join(transcripts))
            write_text(top / split / "segments.txt", "".join(segments))
        limited = top / "train" / "limited_supervision"
        write_text(limited / "9hr" / "handles.txt", "4800_10003_000001\n1897_2012_000002\n")
        for part in range(6):
            write_text(limited / "1hr" / str(part) / "handles.txt", "4800_10003_000000\n" if part == 0 else "")
    return folder
