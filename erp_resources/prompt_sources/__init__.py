"""Where prompts come from, one file per source.

What belongs here: the union of the sources' settings; `interface.py` says what a source must do. What
to keep out: the split, the prompt ids and the removal of duplicates; the prompts asset does these for
every source.
"""

from erp_resources.prompt_sources.function import FunctionPrompts
from erp_resources.prompt_sources.interface import PROMPTS, PromptSource

PromptSourceEntry = FunctionPrompts
"""The entry `prompts:` in a pool file."""

__all__ = ["PROMPTS", "FunctionPrompts", "PromptSource", "PromptSourceEntry"]
