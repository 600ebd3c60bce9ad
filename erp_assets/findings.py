"""What an evaluation found, in words.

What belongs here: sentences computed from a `comparisons` table: whether routing pays, with which policy, at what
cost. Better is said only where the interval of the difference excludes zero. What to keep out: the numbers
themselves (`erp.summaries`), and the page around the sentences (`report`).
"""

import math
from collections.abc import Sequence

import pandas as pd

from erp.summaries import ALWAYS, ORACLE, Estimate

LEARNED = ("ERP", "Zooter", "kNN", "k-means")
"""The policies that a prompt is enough for: the others are told its category, or ignore it."""


class Findings:
    """The numbers of one `comparisons` table, by name."""

    def __init__(self, frame: pd.DataFrame) -> None:
        columns = frame[["policy", "against", "summary", "value", "value_low", "value_high", "shown"]]
        self._rows = {
            (row[0], None if pd.isna(row[1]) else row[1], row[2]): (Estimate(*row[3:6]), row[6])
            for row in columns.itertuples(index=False, name=None)
        }
        compared = frame[frame["against"].notna()]
        self.policies = list(dict.fromkeys([*compared["policy"], *compared["against"]]))
        self.best = next(policy for policy in self.policies if policy.startswith(f"{ALWAYS} "))

    def own(self, policy: str, summary: str) -> Estimate:
        """A policy's summary."""
        return self._rows[policy, None, summary][0]

    def difference(self, policy: str, against: str, summary: str = "equal_cost") -> Estimate:
        """What one policy has over another."""
        if (policy, against, summary) in self._rows:
            return self._rows[policy, against, summary][0]
        value, low, high = self._rows[against, policy, summary][0]
        return Estimate(-value, -high, -low)

    def shown(self, policy: str, against: str, summary: str = "equal_cost") -> bool:
        """Whether their difference stands when all pairs are looked at together."""
        key = (policy, against, summary)
        return bool(self._rows[key if key in self._rows else (against, policy, summary)][1])

    def sentences(self) -> list[str]:
        """Whether routing pays, with which policy, and at what cost."""
        if not self.own(self.best, "regret").value > 0:
            return [f"{self.best} is best on every test prompt, so there is nothing that routing could gain."]
        return [self._verdict(), self._guard(), *self._choice(), *self._cost()]

    def _verdict(self) -> str:
        gain = self.difference("ERP", self.best)
        earns = f"averaged over all budgets it earns {_number(self.own('ERP', 'equal_cost'))}"
        against = f"{self.best}, the best single LLM"
        if gain.low > 0:
            certainty = "an interval that excludes zero"
            if not self.shown("ERP", self.best):
                certainty += f", but not when all {self._pairs} comparisons of policies are looked at together"
            said = f"Routing by predicted reward (ERP) pays: {earns}, {_signed(gain)} more than {against}: {certainty}."
        elif gain.high < 0:
            said = f"Routing by predicted reward (ERP) does not pay: {earns}, {_signed(gain)} against {against}."
        else:
            said = (
                f"Routing by predicted reward (ERP) is not shown to pay: {earns}, {_signed(gain)} against {against}: "
                "the interval includes zero."
            )
        share = self.own("ERP", "share_of_oracle")
        if gain.low > 0 and not math.isnan(share.value):
            said += (
                f" That is {share.value:.0%} [{share.low:.0%}, {share.high:.0%}] of what a choice in hindsight "
                f"(the oracle, {self.own(ORACLE, 'equal_cost').value:.3f}) gains over it."
            )
        return said

    def _guard(self) -> str:
        """Whether the guard, which leaves the best single LLM only for a margin, changes anything."""
        gain, single = self.difference("guarded", "ERP"), self.difference("guarded", self.best)
        if gain.value == gain.low == gain.high == 0:
            return "Guarded, it decides the same: no margin saves enough on the train prompts."
        said = f"Guarded, it earns {_signed(gain)} compared with unguarded"
        if gain.low <= 0 <= gain.high:
            said += ", no difference that is shown"
        return f"{said}, and {_signed(single)} compared with {self.best}."

    def _choice(self) -> list[str]:
        leader = max(LEARNED, key=lambda policy: self.own(policy, "equal_cost").value)
        others = [policy for policy in LEARNED if policy != leader]
        behind = [policy for policy in others if self.difference(leader, policy).low > 0]
        level = [policy for policy in others if policy not in behind]
        said = f"Of the policies that see nothing but the prompt, {leader} earns most at equal cost"
        if leader != "ERP":
            said += f" ({_number(self.own(leader, 'equal_cost'))})"
        if behind:
            differences = ", ".join(f"{_signed(self.difference(leader, policy))} over {policy}" for policy in behind)
            said += f": {differences}"
        if level:
            said += f"; from {_list(level)} no difference is shown"
        sentences = [said + "."]
        told = self.difference("ERP", "category")
        category = "the best LLM per category, which is told the category"
        if told.low > 0:
            sentences.append(f"ERP earns {_signed(told)} more than {category}.")
        elif told.high < 0:
            sentences.append(f"ERP earns less than {category}: {_signed(told)}.")
        else:
            sentences.append(f"ERP is not shown to differ from {category}: {_signed(told)}.")
        return sentences

    def _cost(self) -> list[str]:
        spent, enough = self.own(self.best, "reach_100").value, self.own("ERP", "reach_100").value
        if not math.isfinite(enough):
            return [f"No exchange rate of ERP has the mean reward of {self.best}."]
        if spent <= 0 or enough >= spent:
            return []
        return [f"ERP has the mean reward of {self.best} from {enough / spent:.0%} of its cost on."]

    @property
    def _pairs(self) -> int:
        return len(self.policies) * (len(self.policies) - 1) // 2


def _number(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _signed(estimate: Estimate) -> str:
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
