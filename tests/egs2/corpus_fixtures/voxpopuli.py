"""A made-up VoxPopuli: whole sessions with their table, or utterances as the authors' get_asr_data cuts them."""

from __future__ import annotations

import gzip
from pathlib import Path

from corpus_harness import write_audio, write_text

HEADING = (
    "session_id|id_|original_text|normed_text|speaker_id|split|gender|is_gold_transcript|accent|vad|start_time|end_time"
).split("|")
WORDS = ("mr president i agree", "this is about fish", "we vote at noon", "thank you very much")
SPLITS = {"train": 4, "dev": 2, "test": 2}
SESSIONS = ("20090112-0900-PLENARY-3-en", "20130204-0900-PLENARY-5-en")


def session_line(session: str, number: int, words: str, split: str, start: str, stop: str) -> str:
    """A line of a table of sessions, in the quotation of CSV where the text needs it."""
    written = f'"{words.capitalize()}, said he: ""yes | no""."'
    vad = f"[[{start}, {stop}]]"
    return "|".join(
        (session, f"{session}_{number}", written, words, "4737", split, "male", "False", "None", vad, start, stop)
    )


def make_sessions(folder: Path, more: tuple[str, ...] = ()) -> Path:
    """Sessions of English, with `more` lines in the table."""
    lines = ["|".join(HEADING)]
    for number, session in enumerate(SESSIONS):
        path = folder / "raw_audios" / "original" / session[:4] / f"{session}_original.ogg"
        write_audio(path, 12.0, number)
    for split, count in SPLITS.items():
        for index in range(count):
            session = SESSIONS[index % 2]
            start = 0.5 + index + {"train": 0, "dev": 5, "test": 8}[split]
            lines.append(session_line(session, index, WORDS[index], split, f"{start:.2f}", f"{start + 0.9:.2f}"))
    table = folder / "transcribed_data" / "en" / "asr_en.tsv.gz"
    write_text(table, gzip.compress("\n".join([*lines, *more, ""]).encode()))
    return folder


def make_cut(folder: Path, languages: tuple[str, ...] = ("de", "fr")) -> Path:
    """Utterances that are files, of some languages."""
    heading = "id\traw_text\tnormalized_text\tspeaker_id\tsplit\tgender\tis_gold_transcript\taccent\n"
    for language in languages:
        top = folder / "transcribed_data" / language
        for split, count in SPLITS.items():
            lines = [heading]
            for index in range(count):
                name = f"20{index:02d}0112-0900-PLENARY-3-{language}_{split}{index}"
                write_audio(top / name[:4] / f"{name}.ogg", 0.8 + 0.1 * index, index)
                words = WORDS[index]
                lines.append(f"{name}\t{words.capitalize()}.\t{words}\t{index // 2}\t{split}\tfemale\tTrue\tNone\n")
            write_text(top / f"asr_{split}.tsv", "".join(lines))
    return folder
