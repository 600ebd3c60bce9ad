"""The questions of MMLU-Pro, whose right answers are known (appendix A.1)."""

from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from erp_resources.prompt_sources.hub_dataset import HubDataset
from erp_resources.prompt_sources.interface import PROMPTS, PromptSource
from erp_resources.prompt_sources.sampling import draw, prompt_keys
from erp_resources.settings import Count, Seed, UserError
from erp_resources.tables import check_column, text_column

NAME = "TIGER-Lab/MMLU-Pro"

_LETTERS = "ABCDEFGHIJ"
_INSTRUCTION = (
    "Answer the following multiple-choice question. Think step by step, and finish your response with "
    '"The answer is (X)", where X is the letter of the right option.'
)


class MMLUProPrompts(HubDataset):
    """The questions of MMLU-Pro with their lettered options; `answer` is the letter of the right one.

    The category is the discipline. The instruction, the same before every question, is left out of what
    the embedder reads. `subset` is the hub's split, `per_category` how many of each discipline (default:
    all).
    """

    source: Literal["mmlu_pro"]
    subset: Literal["test", "validation"] = "test"
    per_category: Count | None = None
    seed: Seed = 0

    def load(self, root: Path) -> PromptSource:
        """Open the dataset. Raises `UserError` when it is not there or the package `datasets` is missing."""
        return _MMLUPro(self, self._open(NAME, self.subset, root))


class _MMLUPro:
    """See `PromptSource`."""

    def __init__(self, settings: MMLUProPrompts, dataset: Any) -> None:
        self.notes: dict[str, int] = {}
        self._settings = settings
        self._dataset = dataset

    def load(self) -> pa.Table:
        """See `PromptSource.load`."""
        place = f"dataset '{NAME}'"
        rows = self._dataset.with_format("arrow")[:]
        check_column("options", rows.column_names, place)
        options = rows["options"].to_pylist()
        names = ["question", "answer", "category", "src"]
        question, answer, category, src = (text_column(rows, name, place).to_pylist() for name in names)
        for row, cells in enumerate(zip(question, category, src, strict=True), start=1):
            if None in cells:
                raise UserError(f"{place}: row {row}: question, category or src is missing")
        for row, (letter, given) in enumerate(zip(answer, options, strict=True), start=1):
            if not isinstance(given, list) or letter not in list(_LETTERS[: len(given)]):
                raise UserError(f"{place}: row {row}: the answer {letter!r} is not the letter of one of {given}")
        texts = [_question(*pair) for pair in zip(question, options, strict=True)]
        keys = prompt_keys(pa.array(texts, pa.string()), self._settings.seed)
        drawn, self.notes = draw(keys, pd.Categorical(category), self._settings.per_category)
        table = pa.table(
            {
                "prompt": [f"{_INSTRUCTION}\n\n{text}" for text in texts],
                "embed_text": texts,
                "category": category,
                "answer": answer,
                "source": src,
            },
            schema=PROMPTS,
        )
        return table.take(pa.array(drawn))


def _question(question: str, options: list[str]) -> str:
    """The question with its lettered options."""
    lettered = [f"{letter}. {option}" for letter, option in zip(_LETTERS, options, strict=False)]
    return "\n".join([question.strip(), *lettered])
