"""The numbers of a finished pool, computed once more by other code.

What belongs here: plain computations from the stored Parquet tables, by loops, scikit-learn, SciPy and PyTorch, each
from the definition in the paper or in a docstring. What to keep out: every import of the project's own packages; what
they get wrong must not be wrong here as well.

    python -m recomputed ROOT POOL      (in tests/)

compares all tables of a pool. Every comparison says how far the two may lie apart, and no two share an intermediate
result that is not stored: each table is computed from the stored tables before it.
"""

from recomputed import choices, predictions, quality
from recomputed.stored import Compared, Stored, read

COMPARISONS = {**predictions.COMPARISONS, **quality.COMPARISONS, **choices.COMPARISONS}
"""Table -> the function that compares it with what it is made of."""

__all__ = ["COMPARISONS", "Compared", "Stored", "read"]
