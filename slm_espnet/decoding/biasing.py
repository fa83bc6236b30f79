"""Contextual biasing in a decoding run: which lists, what chooses among them, and what the results depend on."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slm_espnet.data.datadir import Row
from slm_espnet.encodings.fingerprint import digest
from slm_espnet.errors import UserError
from slm_espnet.weights import file_sha256

if TYPE_CHECKING:
    from slm_espnet.biasing.context import PlacingBiaser, RetrievingBiaser

SELECTIVE = ("place", "retrieve")  # ways of biasing that choose among an utterance's phrases


class RunBiasing:
    """The options --biasing and --biasing_* of one call."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Nothing is read yet."""
        self.args = args
        self._biasers: dict[str, PlacingBiaser | RetrievingBiaser] = {}

    @property
    def is_selective(self) -> bool:
        """Whether phrases are chosen by what was heard."""
        return self.args.biasing in SELECTIVE

    @cached_property
    def phrases(self) -> tuple[str, ...] | None:
        """The one list for all utterances; None where each row has its own, or no list is used."""
        if self.args.biasing == "none" or self.args.biasing_list is None:
            return None
        from slm_espnet.biasing.lists import read_phrases

        return read_phrases(self.args.biasing_list)

    def with_lists(self, rows: list[Row]) -> list[Row]:
        """The rows with the one list, where there is one."""
        return rows if self.phrases is None else [replace(row, context=self.phrases) for row in rows]

    def settings(self) -> dict[str, Any]:
        """What the results depend on, as plain values; a list for all is named by its hash."""
        args, found = self.args, {"mode": self.args.biasing}
        if self.phrases is not None:
            found["list"] = file_sha256(args.biasing_list)
        if args.biasing == "retrieve":
            found |= {"retriever": args.biasing_retriever, "prompt_phrases": args.biasing_prompt_phrases}
        if args.biasing == "place":
            found |= {"retriever": args.biasing_retriever, "threshold": args.biasing_threshold}
        if self.is_selective and args.biasing_config is not None:
            found["tuned"] = self._tuned(args.biasing_config)
        return found

    @staticmethod
    def _tuned(file: Path) -> list[str]:
        """Content of the biasing options, and hash of the background that they name."""
        from slm_espnet.biasing.options import load_options

        background = load_options(file).background
        found = [file.read_text(encoding="utf-8")]
        if background:
            if not (file.parent / background).is_file():
                raise UserError(f"{file} names the background {background}, which is not beside it; tune it again")
            found.append(file_sha256(file.parent / background))
        return found

    def biaser(self, fingerprint: dict[str, Any], model: Any) -> PlacingBiaser | RetrievingBiaser | None:
        """What chooses the phrases for encodings of this fingerprint; None where nothing is chosen.

        Args:
            fingerprint: of the encodings.
            model: ESPnetSLMModel, or TextModel where speech is not decoded.
        """
        if not self.is_selective:
            return None
        name = digest(fingerprint)
        if name not in self._biasers:
            self._biasers[name] = self._build(fingerprint, model)
        return self._biasers[name]

    def _build(self, fingerprint: dict[str, Any], model: Any) -> PlacingBiaser | RetrievingBiaser:
        from slm_espnet.biasing.context import (
            CTCPreselection,
            PlacingBiaser,
            RetrievingBiaser,
            ctc_retriever,
            read_options,
        )

        args, by_embedding = self.args, None
        if args.biasing_retriever == "embedding" and args.input == "speech":
            from slm_espnet.biasing.embedding_retrieval import EmbeddingRetriever

            by_embedding = EmbeddingRetriever(model)
            if args.biasing == "retrieve":
                return RetrievingBiaser(by_embedding, args.biasing_prompt_phrases)
        if fingerprint["vocabulary"] is None:
            raise UserError(
                f"--biasing {args.biasing} needs encodings of an encoder with CTC; use --biasing prompt with these, or "
                "--biasing retrieve --biasing_retriever embedding"
            )
        options = read_options(args.biasing_config, args.biasing_threshold)
        folder = None if args.biasing_config is None else args.biasing_config.parent
        retriever = ctc_retriever(fingerprint, options, folder)
        if args.biasing == "retrieve":
            return RetrievingBiaser(CTCPreselection(retriever), args.biasing_prompt_phrases)
        return PlacingBiaser(retriever, model.llm.tokenizer, options, by_embedding)
