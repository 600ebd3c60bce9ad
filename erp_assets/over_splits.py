"""What several train/test splits say of a comparison.

What belongs here: reading a `split_comparisons` table. What to keep out: making it (`splits`), intervals
(`erp.resplit`), and sentences (`findings`).
"""

import numpy as np
import pandas as pd

from erp.resplit import corrected_interval
from erp.summaries import Estimate
from erp_assets.matrices import Floats

BEST = "best single LLM"
"""What the table calls the LLM that earns most on a split's test prompts, which need not be the same one in all."""


class OverSplits:
    """The numbers of one `split_comparisons` table, by name."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._values = frame.pivot(index=["summary", "policy"], columns="split", values="value")
        sizes = frame.drop_duplicates("split")[["n_train", "n_test"]].mean()
        self.n_train, self.n_test = float(sizes["n_train"]), float(sizes["n_test"])
        self.n_splits = self._values.shape[1]
        self.policies = list(dict.fromkeys(frame["policy"]))

    def differences(self, policy: str, against: str, summary: str = "equal_cost") -> Floats:
        """What one policy has over another on every split (S,), the pool's own first; nan where undefined."""
        own, theirs = (self._values.loc[(summary, name)].to_numpy(dtype=np.float64) for name in (policy, against))
        return np.asarray(own - theirs)

    def difference(self, policy: str, against: str, summary: str = "equal_cost") -> Estimate:
        """The mean over the splits, with the interval that counts fitting as well as testing on other prompts."""
        return corrected_interval(self.differences(policy, against, summary), self.n_train, self.n_test)
