"""The interface of an LLM: what every backend is given, and what it gives back."""

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa
from pydantic import Field, PositiveFloat, PositiveInt

from erp_resources.settings import Settings

RESPONSES = pa.schema(
    [
        pa.field("prompt_index", pa.int32(), nullable=False),
        pa.field("sample", pa.int32(), nullable=False),
        pa.field("response", pa.string(), nullable=False),
        pa.field("finish_reason", pa.string(), nullable=False),
        pa.field("prompt_tokens", pa.int32(), nullable=False),
        pa.field("completion_tokens", pa.int32(), nullable=False),
    ]
)
"""What `LanguageModel.sample` returns: `prompt_index` points into the prompts of the call, `sample`
runs from 0 to n - 1 for each of them, `finish_reason` is "stop" or "length" (cut by max_tokens)."""


class Sampling(Settings):
    """How responses are drawn: the empirical expected reward is a mean over `n` samples (section 3.1)."""

    n: PositiveInt = 32
    temperature: PositiveFloat = 1.0
    max_tokens: PositiveInt = 1024
    seed: int = Field(default=0, ge=0)
    chunk_size: PositiveInt = 128
    """Prompts that are sampled (or scored) between two writes to disk: what a crash can cost."""


class LanguageModel(Protocol):
    """An LLM that answers prompts with samples."""

    def sample(self, prompts: Sequence[str], sampling: Sampling, seed: int) -> pa.Table:
        """Draw `sampling.n` independent responses to every prompt.

        Returns a table with the schema `RESPONSES`, n rows per prompt, sorted by prompt_index and
        sample. The same arguments on the same machine give the same table.
        """
        ...
