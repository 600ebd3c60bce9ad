"""LLMs to sample from, one file per backend.

What belongs here: the union of the backends' settings; `interface.py` says what a backend must do. A
new backend is one new file, whose settings class knows how to `load` itself, and one name in `LLM`.
What to keep out: chunking, staging and resuming; the generations asset does these for every backend.
"""

from erp_resources.language_models.interface import RESPONSES, LanguageModel, Sampling
from erp_resources.language_models.transformers import TransformersLLM

LLM = TransformersLLM
"""An entry under `llms:` in a pool file."""

__all__ = ["LLM", "RESPONSES", "LanguageModel", "Sampling", "TransformersLLM"]
