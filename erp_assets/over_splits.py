"""What several train/test splits say of a comparison.

What belongs here: reading a `split_comparisons` table. What to keep out: making it (`splits`), intervals
(`erp.resplit`), and sentences (`findings`).
"""

from typing import Any

import numpy as np
import pandas as pd

from erp.resplit import corrected_interval
from erp.summaries import ORACLE, SUMMARIES, Estimate
from erp_assets.matrices import Floats


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

    def forest(self, policy: str = "ERP", summary: str = "equal_cost") -> dict[str, Any]:
        """What one policy has over each other, as `erp.figures.comparison_figure` takes it, but the oracle."""
        others = [name for name in self.policies if name not in (policy, ORACLE)]
        estimates = [self.difference(policy, other, summary) for other in others]
        values, low, high = np.array(estimates, dtype=np.float64).reshape(-1, 3).T
        return {
            "names": others,
            "values": values,
            "low": low,
            "high": high,
            "label": f"{policy} less the policy, {SUMMARIES[summary].label}",
            "zero": True,
            "splits": np.array([self.differences(policy, other, summary) for other in others]),
        }
