"""Embedders of prompts, one file per backend.

What belongs here: the union of the backends' settings; `interface.py` says what a backend must do.
What to keep out: anything that looks at rewards.
"""

from typing import Annotated

from pydantic import Field

from erp_resources.embedders.interface import Embedded, Embedder
from erp_resources.embedders.openai import OpenAIEmbedder
from erp_resources.embedders.sentence_transformers import SentenceTransformersEmbedder

EmbedderEntry = Annotated[SentenceTransformersEmbedder | OpenAIEmbedder, Field(discriminator="backend")]
"""The entry `embedder:` in a pool file."""

__all__ = ["Embedded", "Embedder", "EmbedderEntry", "OpenAIEmbedder", "SentenceTransformersEmbedder"]
