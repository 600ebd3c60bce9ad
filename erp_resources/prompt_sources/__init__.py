"""Where prompts come from, one file per source.

What belongs here: the union of the sources' settings; `interface.py` says what a source must do, and
`sampling.py` and `hub_dataset.py` hold what several share. A new source is one new file, whose settings
class knows how to `load` itself, and one name in `PromptSourceEntry`. What to keep out: the split and
the prompt ids; the prompts asset does these for every source.
"""

from typing import Annotated

from pydantic import Field

from erp_resources.prompt_sources.file import FilePrompts
from erp_resources.prompt_sources.function import FunctionPrompts
from erp_resources.prompt_sources.interface import PROMPTS, PromptSource
from erp_resources.prompt_sources.mmlu_pro import MMLUProPrompts
from erp_resources.prompt_sources.open_perfectblend import OpenPerfectBlendPrompts
from erp_resources.prompt_sources.recorded import RecordedPrompts

PromptSourceEntry = Annotated[
    OpenPerfectBlendPrompts | MMLUProPrompts | FilePrompts | FunctionPrompts | RecordedPrompts,
    Field(discriminator="source"),
]
"""The entry `prompts:` in a pool file."""

__all__ = [
    "PROMPTS",
    "FilePrompts",
    "FunctionPrompts",
    "MMLUProPrompts",
    "OpenPerfectBlendPrompts",
    "PromptSource",
    "PromptSourceEntry",
    "RecordedPrompts",
]
