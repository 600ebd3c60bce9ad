"""The interface of a source of prompts, the table that it gives, and the checks of its columns."""

from typing import Protocol

import pyarrow as pa

from erp_resources.settings import UserError
from erp_resources.tables import check_column

PROMPTS = pa.schema(
    [
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("embed_text", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("answer", pa.string()),
        pa.field("source", pa.string(), nullable=False),
    ]
)
"""What a source returns. `embed_text` is what the embedder reads (mostly the prompt itself),
`answer` the known right answer of a verifiable prompt, `source` where the prompt is from."""


class PromptSource(Protocol):
    """A corpus of prompts."""

    @property
    def notes(self) -> dict[str, int]:
        """What `load` left out, by reason, and what it was short of: numbers of prompts. Empty before."""
        ...

    def load(self) -> pa.Table:
        """All prompts, with the schema `PROMPTS`.

        A further column `split` says train, test or ood where that is known.
        """
        ...


def text_column(table: pa.Table, name: str, place: str) -> pa.ChunkedArray:
    """The column `name` as strings, which may be null.

    Raises `UserError`, which begins with `place`, when there is no such column or it holds no text.
    """
    check_column(name, table.column_names, place)
    column = table[name]
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        raise UserError(f"{place}: its column '{name}' holds {kind}, but text is needed")
    return column.cast(pa.string())
