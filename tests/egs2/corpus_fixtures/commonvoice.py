"""A made-up release of Common Voice: <language>/{train,dev,test}.tsv and <language>/clips/*.mp3."""

from __future__ import annotations

from pathlib import Path

from corpus_harness import write_audio, write_text

# Headings of release 4 (2019) and of release 17 (2024).
COLUMNS_4 = "client_id path sentence up_votes down_votes age gender accent".split()
COLUMNS = (
    "client_id path sentence_id sentence sentence_domain up_votes down_votes age gender accents variant locale segment"
).split()
SENTENCES = {
    "de": ("Er fährt nach Hause.", '"""Guten Tag"", sagte sie."', "Das ist nicht wahr!", "Wie spät ist es?"),
    "zh-CN": ("今天天气很好。", "我喜欢喝茶。", '"你好"他说。', "北京是中国的首都。"),
}
SPLITS = {"train": 4, "dev": 2, "test": 2}


def line(columns: list[str], **values: str) -> str:
    """A line of a table; columns without a value are empty."""
    return "\t".join(values.get(name, "") for name in columns) + "\n"


def make(folder: Path, languages: tuple[str, ...] = ("de", "zh-CN"), columns: list[str] = COLUMNS) -> Path:
    """The release."""
    number = 0
    for language in languages:
        for split, count in SPLITS.items():
            lines = ["\t".join(columns) + "\n"]
            for index in range(count):
                number += 1
                name = f"common_voice_{language}_{17290000 + number}.mp3"
                write_audio(folder / language / "clips" / name, 0.8 + 0.1 * index, number, 32000)
                sentence = SENTENCES[language][index]
                lines.append(line(columns, client_id=f"{number // 2:032x}", path=name, sentence=sentence, up_votes="2"))
            write_text(folder / language / f"{split}.tsv", "".join(lines))
    return folder
