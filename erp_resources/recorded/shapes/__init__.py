"""Public shapes: what benchmarks, evaluation tools and logs write, read as it is.

What belongs here: a small module for each, which recognises its files and makes rows of one outcome each out of them.
What to keep out: tables whose columns say what they hold (`columns`, `wide`), and what is refused in outcomes
(`outcomes`). A new shape is one module and one entry here; the first that recognises a file counts.
"""

from erp_resources.recorded.shapes.alpaca_eval import ALPACA_EVAL
from erp_resources.recorded.shapes.completions import COMPLETIONS
from erp_resources.recorded.shapes.helm import HELM
from erp_resources.recorded.shapes.inspect_ai import INSPECT_AI
from erp_resources.recorded.shapes.interface import Shape
from erp_resources.recorded.shapes.lm_eval import LM_EVAL
from erp_resources.recorded.shapes.mt_bench import MT_BENCH
from erp_resources.recorded.shapes.openai_evals import OPENAI_EVALS
from erp_resources.recorded.shapes.pairwise import PAIRWISE
from erp_resources.recorded.shapes.promptfoo import PROMPTFOO
from erp_resources.recorded.shapes.tracing import TRACING

SHAPES: tuple[Shape, ...] = (
    HELM,
    INSPECT_AI,
    PROMPTFOO,
    LM_EVAL,
    OPENAI_EVALS,
    ALPACA_EVAL,
    PAIRWISE,
    MT_BENCH,
    COMPLETIONS,
    *TRACING,
)
