"""LLMs to sample from, one file per backend.

What belongs here: the union of the backends' settings; `interface.py` says what a backend must do. A
new backend is one new file, whose settings class knows how to `load` itself, and one name in `LLM`.
What to keep out: chunking, staging and resuming; the generations asset does these for every backend.
"""

from typing import Annotated

from pydantic import Field

from erp_resources.language_models.interface import (
    MOST_SAMPLES,
    RESPONSES,
    LanguageModel,
    ParameterCost,
    RecordedCost,
    Sampling,
    TokenPrice,
)
from erp_resources.language_models.openai import OpenAILLM
from erp_resources.language_models.recorded import RecordedLLM
from erp_resources.language_models.transformers import TransformersLLM
from erp_resources.language_models.vllm import VLLMLLM

LLM = Annotated[TransformersLLM | VLLMLLM | OpenAILLM | RecordedLLM, Field(discriminator="backend")]
"""An entry under `llms:` in a pool file."""

__all__ = [
    "LLM",
    "MOST_SAMPLES",
    "RESPONSES",
    "VLLMLLM",
    "LanguageModel",
    "OpenAILLM",
    "ParameterCost",
    "RecordedCost",
    "RecordedLLM",
    "Sampling",
    "TokenPrice",
    "TransformersLLM",
]
