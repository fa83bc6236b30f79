"""Lists of phrases: read from files, and made for a benchmark from the words of references.

The benchmark is that of Le et al. (arXiv 2104.02194): an utterance's list holds the rare words that are spoken in it,
where rare means not among the 5,000 most frequent of the training text, and N distractors drawn from all rare words.
"""

from __future__ import annotations

import gzip
import random
import unicodedata
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from slm_espnet.errors import UserError


def read_phrases(path: str | Path) -> tuple[str, ...]:
    """Phrases of a plain or gzipped UTF-8 file, one a line, in its order; empty lines and repetitions are dropped.

    Raises:
        UserError: it cannot be read, has no phrase, or a line is not UTF-8 or holds a tab or another control character
            (a table?); names file and line.
    """
    phrases: dict[str, None] = {}
    for where, line in _lines(Path(path)):
        odd = next((char for char in line if unicodedata.category(char) == "Cc"), None)
        if odd is not None:
            raise UserError(f"{where}: control character {odd!r}; write one phrase a line, and nothing else")
        phrase = " ".join(line.split())
        if phrase:
            phrases.setdefault(phrase)
    if not phrases:
        raise UserError(f"{path}: no phrase in it; write one a line")
    return tuple(phrases)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            for number, raw in enumerate(file, start=1):
                try:
                    yield f"{path}:{number}", raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    cure = "convert the file to UTF-8"
                    raise UserError(f"{path}:{number}: not UTF-8 at byte {error.start}; {cure}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot read the phrases ({error.strerror or error}); check the file") from error
    except (EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot read the phrases ({error}); the file is damaged, copy it again") from error


def rare_words(text: str, common: Collection[str]) -> tuple[str, ...]:
    """Different words of a text that are not common, sorted."""
    return tuple(sorted(set(text.split()).difference(common)))


def build_lists(
    references: Mapping[str, str],
    common: Collection[str],
    pool: Sequence[str],
    sizes: Sequence[int],
    seed: int,
) -> dict[int, dict[str, tuple[str, ...]]]:
    """Biasing lists of every size for every utterance, the same for the same arguments.

    Lists of one utterance are nested: a longer one has all words of the shorter. An utterance's lists depend on its id,
    not on the others.

    Args:
        references: utterance id → text, in the letter case of the words.
        common: the words that are not rare (a set, for speed).
        pool: rare words from which the distractors are drawn.
        sizes: numbers N of distractors; none of them is spoken in the utterance.
        seed: of the draws.

    Returns:
        N → utterance id → its rare words and N distractors, sorted.

    Raises:
        ValueError: a size is negative, or the pool has too few words that are not spoken.
    """
    if not sizes or min(sizes) < 0:
        raise ValueError(f"sizes must be one or more numbers of at least 0, not {list(sizes)}")
    words = list(dict.fromkeys(pool))
    lists: dict[int, dict[str, tuple[str, ...]]] = {size: {} for size in sizes}
    for utt_id, text in references.items():
        spoken = set(text.split())
        rare = rare_words(text, common)
        wanted = min(len(words), max(sizes) + len(spoken))  # spoken ones among them are passed over
        drawn = [word for word in random.Random(f"{seed} {utt_id}").sample(words, wanted) if word not in spoken]
        if len(drawn) < max(sizes):
            raise ValueError(f"utterance {utt_id}: only {len(drawn)} distractors for a list of {max(sizes)}")
        for size in sizes:
            lists[size][utt_id] = tuple(sorted({*rare, *drawn[:size]}))
    return lists
