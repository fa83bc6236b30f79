"""A made-up FLEURS: <language>/{train,dev,test}.tsv, seven columns and no heading, and the recordings beside them."""

from __future__ import annotations

from pathlib import Path

from corpus_harness import write_audio, write_text

SENTENCES = {
    "en_us": {1: 'The "Star" rises.', 2: "It rains in May.", 3: "He came home.", 4: "She knows it."},
    "de_de": {1: "Der „Stern“ geht auf.", 2: "Es regnet im Mai.", 3: "Er kam heim."},
    "cmn_hans_cn": {1: "星星升起。", 2: "五月下雨。", 3: "他回家了。", 4: "她知道。"},
}
# Split → sentences; one of them is recorded twice.
SPLITS = {"train": (1, 2, 1, 4), "dev": (3, 4), "test": (2, 3)}


def make(folder: Path, layout: str = "archive") -> Path:
    """The corpus.

    Args:
        folder: where it goes.
        layout: `archive` (what the archives hold), `hub` (data/<language>/audio/<split>) or `lhotse` (what its
            download_fleurs writes).
    """
    number = 0
    for language, sentences in SENTENCES.items():
        top = {"archive": folder, "hub": folder / "data", "lhotse": folder}[layout] / language
        for split, wanted in SPLITS.items():
            audio = top / "audio" / split if layout == "hub" else top / split
            lines = []
            for sentence in wanted:
                if sentence not in sentences:
                    continue
                number += 1
                name = f"{10000000000000000000 + 7919 * number}.wav"
                write_audio(audio / name, 0.7 + 0.05 * sentence, number)
                written = sentences[sentence]
                plain = written.lower().translate(str.maketrans("", "", '."„“。'))
                fields = (sentence, name, written, plain, " ".join(plain.replace(" ", "|")) + " |", 16000, "FEMALE")
                lines.append("\t".join(map(str, fields)) + "\n")
            table = folder / "metadata" / language / f"{split}.tsv" if layout == "lhotse" else top / f"{split}.tsv"
            write_text(table, "".join(lines))
    return folder
