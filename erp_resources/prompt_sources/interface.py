"""The interface of a source of prompts, and the table that it gives."""

from typing import Protocol

import pyarrow as pa

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
        """What `load` left out, was short of or read otherwise than it stood, in words, each with a number of prompts.

        Empty before.
        """
        ...

    def load(self) -> pa.Table:
        """All prompts, with the schema `PROMPTS`.

        A further column `split` says train, test or ood where that is known.
        """
        ...
