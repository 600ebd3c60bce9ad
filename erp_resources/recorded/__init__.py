"""Outcomes that a user already has: benchmark results, judged responses, logs with ratings.

What belongs here: the forms of such data, how one is told from another, and what in them is refused. What to keep out:
how bytes become rows (`tables`), and the entries of a pool file that read outcomes (`prompt_sources`,
`language_models`, `reward_models`, one `recorded.py` each).

Files are read in place. Three forms are understood:

- tidy: a row for every outcome, with the LLM's name in a column, or a file for every LLM. The prompts stand in the
  same rows or, in a folder, in a file of their own that a prompt_id joins.
- wide: a row for every prompt and a column of rewards for every LLM (`wide`).
- the files of public benchmarks, evaluation tools and logs (`shapes`).
"""

from erp_resources.recorded.columns import NAMES, Columns
from erp_resources.recorded.outcomes import NOT_RECORDED, Outcomes, content_hash, files_of, load_outcomes
from erp_resources.recorded.wide import REWARD as WIDE_REWARD

__all__ = [
    "NAMES",
    "NOT_RECORDED",
    "WIDE_REWARD",
    "Columns",
    "Outcomes",
    "content_hash",
    "files_of",
    "load_outcomes",
]
