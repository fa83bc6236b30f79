"""A made-up CoVoST 2, its tables written as its authors write them, and the Common Voice 4 that they belong to."""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from corpus_fixtures.commonvoice import COLUMNS_4, line
from corpus_harness import write_audio, write_text

# Direction → translations of the recordings of its source; the marks of the splits are SPLITS.
SENTENCES = {
    "de": ('Er sagt "ja".', "Es regnet.", '"""Komm"", rief sie."', "Kalter Tee", "Wo ist er?", "Ich weiß.", "Bald."),
    "en": ("He says yes.", "It rains.", "Come here!", "Cold tea", "Where is he?", "I know.", "Soon."),
}
TRANSLATIONS = {
    "de_en": (
        'He says "yes".', "It\trains.", "Come,\nshe called.", "A back\\slash of tea", "Where is he?", "I know.", "Soon."
    ),
    "en_zh-CN": ("他说是。", "下雨了。", "过来！", "冷茶", "他在哪里？", "我知道。", "很快。"),
    "en_de": ("Er sagt ja.", "Es regnet.", "REMOVE", "", "Wo ist er?", "REMOVE", "Bald."),
}  # fmt: skip
SPLITS = ("train", "train", "train", "train_covost", "dev", "test", "dev_covost")


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in the dialect of the corpus' own get_covost_splits.py."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\", lineterminator="\n")
    writer.writerows([heading, *rows])
    return text.getvalue()


def clip(source: str, number: int) -> str:
    """Name of a recording."""
    return f"common_voice_{source}_{17290000 + number}.mp3"


def make(folder: Path, directions: Sequence[str] = tuple(TRANSLATIONS)) -> dict[str, Path]:
    """The corpus and Common Voice, as the variables of db.sh."""
    for source in {direction.partition("_")[0] for direction in directions}:
        lines = ["\t".join(COLUMNS_4) + "\n"]
        for number, sentence in enumerate(SENTENCES[source]):
            write_audio(folder / "cv4" / source / "clips" / clip(source, number), 0.8 + 0.1 * number, number, 32000)
            values = {"client_id": f"{number // 2:032x}", "path": clip(source, number), "sentence": sentence}
            lines.append(line(COLUMNS_4, **values))
        write_text(folder / "cv4" / source / "validated.tsv", "".join(lines))
    for direction in directions:
        source = direction.partition("_")[0]
        rows = [(clip(source, i), text, SPLITS[i]) for i, text in enumerate(TRANSLATIONS[direction])]
        write_text(folder / "covost2" / f"covost_v2.{direction}.tsv", table(("path", "translation", "split"), rows))
    return {"COVOST2": folder / "covost2", "COMMONVOICE4": folder / "cv4"}


def archive(path: Path) -> None:
    """Put a table into the tar.gz that is published, in its place."""
    with tarfile.open(path.with_name(f"{path.name}.tar.gz"), "w:gz") as tar:
        tar.add(path, path.name)
    path.unlink()
