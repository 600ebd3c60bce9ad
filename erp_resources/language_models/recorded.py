"""LLMs whose outcomes a user already has: nothing is sampled."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from erp_resources.identity import prompt_ids
from erp_resources.language_models.interface import RESPONSES, CostOrRecorded, Inspected, LanguageModel, Sampling
from erp_resources.recorded import NOT_RECORDED, Columns, content_hash, load_outcomes
from erp_resources.settings import Settings, Text


class RecordedLLM(Settings):
    """The outcomes of an LLM in `path`, a file or folder relative to the project (see `erp_resources.recorded`).

    `llm` is its name there, `columns` say which columns are meant where their names do not. Prompts that it has no
    outcome on are missing cells: it has no generation and no reward there.
    """

    backend: Literal["recorded"]
    path: Text
    llm: Text
    cost: CostOrRecorded
    columns: Columns = Columns()

    def load(self, root: Path) -> LanguageModel:
        """Read the outcomes. Raises `UserError` with the line of what does not fit."""
        return _Recorded(self.outcomes(root))

    def outcomes(self, root: Path) -> pa.Table:
        """Its `erp_resources.recorded.Outcomes.cells`."""
        return load_outcomes(self.path, root, self.columns).of(self.llm)

    def inspect(self, root: Path, prompts: Sequence[str], sampling: Sampling) -> Inspected:
        """See that there are outcomes. Raises `UserError` when there are none."""
        self.outcomes(root)
        return Inspected(0, 0, None)

    def fingerprint(self, root: Path) -> str:
        """Changes with the data's content."""
        content = content_hash(self.path, root, self.columns)
        return json.dumps({"backend": self.backend, "llm": self.llm, "content": content} | self.columns.chosen())


class _Recorded:
    """See `LanguageModel`."""

    def __init__(self, cells: pa.Table) -> None:
        self._cells = cells

    def sample(self, prompts: Sequence[str], sampling: Sampling, seed: int) -> pa.Table:
        """The recorded responses to these prompts, all there are; `sampling` and `seed` change nothing.

        A prompt without an outcome has no row. One without a recorded response has rows that say so in `error`.
        """
        index = pc.index_in(self._cells["prompt_id"], value_set=prompt_ids(pa.array(prompts, pa.string())))
        kept = pc.is_valid(index)
        cells = self._cells.filter(kept).append_column("prompt_index", index.filter(kept))
        cells = cells.sort_by([("prompt_index", "ascending"), ("sample", "ascending")])
        is_unknown = pc.is_null(cells["response"])
        columns = {
            "prompt_index": cells["prompt_index"].cast(pa.int32()),
            "sample": cells["sample"],
            "response": cells["response"].fill_null(""),
            "finish_reason": pc.if_else(is_unknown, "recorded", "stop"),
            "prompt_tokens": cells["prompt_tokens"].fill_null(0).cast(pa.int32(), safe=False),
            "completion_tokens": cells["completion_tokens"].fill_null(0).cast(pa.int32(), safe=False),
            "error": pc.if_else(is_unknown, NOT_RECORDED, pa.scalar(None, pa.string())),
        }
        return pa.table(columns, schema=RESPONSES)
