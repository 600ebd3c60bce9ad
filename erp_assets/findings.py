"""What an evaluation found, in words: the one place that says whether routing pays.

What belongs here: the verdict on routing by one reward model, and the sentences about its `comparisons` table. What to
keep out: the numbers themselves (`erp.summaries`), and the page around the sentences (`report`).

One rule decides what may be claimed. A difference *stands* when its p-value, corrected over all policies that ERP is
compared with (column `p`) and multiplied by the number of reward models, is at most 5 %. Whatever does not stand is
worded as not shown. ERP is fixed in advance and set beside every rival; no policy is picked by what it earned.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import pandas as pd

from erp.oracle import CROSS_FITTED
from erp.policies import BLIND, reads_features
from erp.summaries import ALWAYS, ORACLE, Estimate
from erp_assets.over_splits import OverSplits

Kind = Literal["pays", "not shown to pay", "does not pay", "nothing to gain", "not told"]
"""What a verdict may be. "not told": the table is an earlier version's."""

GUARDED, PERMUTED, RANDOM, CATEGORY = "guarded", "permuted", "random", "category"

_RISK = 0.05
_NO_RIVALS = ("ERP", GUARDED, BLIND, PERMUTED, CATEGORY, RANDOM, ORACLE, CROSS_FITTED)
_ROUNDING = 1e-9
_UNKNOWN = Estimate(math.nan, math.nan, math.nan)


class Difference(NamedTuple):
    """What one policy has over another, with its own 95 % interval.

    `p` is corrected over all policies that ERP is compared with (of two others, over all pairs), and over rewards; nan
    is undefined.
    """

    value: float
    low: float
    high: float
    p: float

    @property
    def stands(self) -> bool:
        """Whether it may be claimed."""
        return self.p <= _RISK

    @property
    def is_more(self) -> bool:
        """Whether the first policy is shown to have more."""
        return self.stands and self.value > 0

    @property
    def is_less(self) -> bool:
        """Whether the first policy is shown to have less."""
        return self.stands and self.value < 0

    @property
    def excludes_zero(self) -> bool:
        """Whether its interval does, looked at by itself."""
        return self.low > 0 or self.high < 0


class SplitDifference(NamedTuple):
    """What ERP has over `against` at equal cost on several splits, everything fitted anew on each.

    The mean, its interval corrected for what splits share, the least and the most, and on how many it is above zero.
    """

    against: str
    value: float
    low: float
    high: float
    least: float
    most: float
    above: int


@dataclass(frozen=True)
class Verdict:
    """Whether routing by predicted reward pays, by one reward model, and what that rests on.

    `over_blind` and `over_permuted` are at equal cost, `over_splits` the same on several splits where there are such;
    `over_best` is over the best single LLM at that LLM's cost. `n_policies` and `n_rewards` are what p-values are
    corrected for. Numbers that are not known are nan.
    """

    kind: Kind
    sentence: str
    n_rewards: int
    n_policies: int
    best: str
    earned: Estimate
    over_blind: Difference
    over_permuted: Difference
    n_splits: int
    over_splits: tuple[SplitDifference, ...]
    over_best: Difference
    share: Estimate
    share_as_published: Estimate

    @property
    def pays(self) -> bool:
        """Whether "pays" may be said."""
        return self.kind == "pays"

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""

        def difference(its: Difference) -> dict[str, Any]:
            return {**its._asdict(), "stands": its.stands}

        return {
            "pays": self.pays,
            "kind": self.kind,
            "sentence": self.sentence,
            "n_rewards": self.n_rewards,
            "n_policies": self.n_policies,
            "equal_cost": self.earned._asdict(),
            "over_blind": difference(self.over_blind),
            "over_permuted": difference(self.over_permuted),
            "n_splits": self.n_splits,
            "over_splits": [its._asdict() for its in self.over_splits],
            "best_single_llm": self.best,
            "over_best_single_at_its_cost": difference(self.over_best),
            "share_cross_fitted": self.share._asdict(),
            "share_as_published": self.share_as_published._asdict(),
        }


class Findings:
    """The numbers of one `comparisons` table, by name, and what may be said of them.

    `n_rewards` is the number of reward models of the pool, each of which has such a table; `splits` a
    `split_comparisons` table, where the pool has one.
    """

    def __init__(self, frame: pd.DataFrame, n_rewards: int, splits: pd.DataFrame | None = None) -> None:
        self.n_rewards = n_rewards
        self._splits = None if splits is None else OverSplits(splits)
        p = frame["p"] if "p" in frame else pd.Series(math.nan, index=frame.index)
        columns = frame[["policy", "against", "summary", "value", "value_low", "value_high"]].assign(p=p)
        self._rows = {
            (row[0], None if pd.isna(row[1]) else row[1], row[2]): (Estimate(*row[3:6]), float(row[6]))
            for row in columns.itertuples(index=False, name=None)
        }
        compared = frame[frame["against"].notna()]
        self.policies = list(dict.fromkeys([*compared["policy"], *compared["against"]]))
        """Those that are compared in pairs."""
        self.best = next(policy for policy in self.policies if policy.startswith(f"{ALWAYS} "))
        self.is_told = bool(p[frame["against"].notna()].notna().any()) and BLIND in self.policies
        """Whether the table has what a verdict asks for: those of earlier versions do not."""

    @property
    def n_policies(self) -> int:
        """How many policies ERP is compared with."""
        return len(self.policies) - 1

    def own(self, policy: str, summary: str) -> Estimate:
        """A policy's summary; nan where the table has none."""
        return self._rows.get((policy, None, summary), (_UNKNOWN, math.nan))[0]

    def difference(self, policy: str, against: str, summary: str = "equal_cost") -> Difference:
        """What one policy has over another; nan where the table does not compare them."""
        if (policy, against, summary) in self._rows:
            (value, low, high), p = self._rows[policy, against, summary]
        elif (against, policy, summary) in self._rows:
            (value, high, low), p = self._rows[against, policy, summary]
            value, low, high = -value, -low, -high
        else:
            (value, low, high), p = _UNKNOWN, math.nan
        return Difference(value, low, high, min(1.0, p * self.n_rewards) if p == p else math.nan)

    def verdict(self) -> Verdict:
        """Whether routing pays: more than the best LLM at each price, and more than by decisions dealt at random."""
        over_blind, over_permuted = (self.difference("ERP", policy) for policy in (BLIND, PERMUTED))
        over_splits = self._over_splits()
        kind: Kind = "not shown to pay"
        if not self.is_told:
            kind = "not told"
        elif self._has_nothing_to_gain:
            kind = "nothing to gain"
        elif over_blind.is_more and over_permuted.is_more:
            kind = "pays" if all(its.low > 0 for its in over_splits) else "not shown to pay"
        elif over_blind.is_less or over_permuted.is_less:
            kind = "does not pay"
        return Verdict(
            kind=kind,
            sentence=self._in_words(kind, over_blind, over_permuted) + self._how_it_depends(kind, over_splits),
            n_rewards=self.n_rewards,
            n_policies=self.n_policies,
            best=self.best.removeprefix(f"{ALWAYS} "),
            earned=self.own("ERP", "equal_cost"),
            over_blind=over_blind,
            over_permuted=over_permuted,
            n_splits=self._splits.n_splits if self._splits else 1,
            over_splits=over_splits,
            over_best=self.difference("ERP", self.best, "at_best_cost"),
            share=self.own("ERP", "share_cross_fitted"),
            share_as_published=self.own("ERP", "share_of_oracle"),
        )

    def sentences(self) -> list[str]:
        """The verdict, and what else may be said: of the best single LLM, of what is possible, of rivals, of costs."""
        verdict = self.verdict()
        if verdict.kind in ("not told", "nothing to gain"):
            return [verdict.sentence]
        said = [verdict.sentence, self._single(), self._share(), self._regret(), self._guard(), *self._rivals()]
        return [sentence for sentence in [*said, self._cost()] if sentence]

    @property
    def costs_alike(self) -> bool:
        """Whether every LLM costs the same, so that a reward at equal cost is the reward itself."""
        policies = [policy for policy, against, summary in self._rows if against is None and summary == "equal_cost"]
        pairs = [(self.own(policy, "equal_cost").value, self.own(policy, "at_best_cost").value) for policy in policies]
        return all(abs(equal - best) <= _ROUNDING * max(1.0, abs(best)) for equal, best in pairs)

    @property
    def has_fitted_oracle(self) -> bool:
        """Whether there is an oracle that is judged by other samples than it chose by."""
        return not math.isnan(self.own(CROSS_FITTED, "equal_cost").value)

    @property
    def _has_nothing_to_gain(self) -> bool:
        """Whether not even a choice in hindsight earns more than the best LLM at each price."""
        possible, blind = (self.own(policy, "equal_cost").value for policy in (ORACLE, BLIND))
        return possible - blind <= _ROUNDING * max(1.0, abs(blind))

    def _in_words(self, kind: Kind, over_blind: Difference, over_permuted: Difference) -> str:
        if kind == "not told":
            return (
                "Whether routing pays is not told: these numbers are of an earlier version, which did not compare "
                "with the best LLM at each price. Make them again with: erp run"
            )
        if kind == "nothing to gain":
            return (
                f"Not even a choice in hindsight earns more than {self._blind}, whatever the prompt: there is nothing "
                "that routing could gain on the test prompts."
            )
        is_or_does = {"pays": "pays", "does not pay": "does not pay"}.get(kind, "is not shown to pay")
        all_budgets = "all LLMs cost the same, and" if self.costs_alike else "averaged over all budgets"
        said = (
            f"Routing by predicted reward (ERP) {is_or_does}: {all_budgets} it earns "
            f"{_number(self.own('ERP', 'equal_cost'))}, "
        )
        blind = f"{self._blind}, which reads no prompt (blind)"
        permuted = "its own decisions dealt to other prompts (permuted)"
        if kind == "pays":
            return (
                f"{said}{_signed(over_blind)} more than {blind}, and {_signed(over_permuted)} more than {permuted}. "
                f"Both stand {self._together}."
            )
        return (
            f"{said}{_signed(over_blind)} compared with {blind}, {self._why(over_blind)}; and "
            f"{_signed(over_permuted)} compared with {permuted}, {self._why(over_permuted)}."
        )

    def _over_splits(self) -> tuple[SplitDifference, ...]:
        """Both differences that a verdict asks for, over several splits."""
        if self._splits is None or self._splits.n_splits < 2:
            return ()
        found = []
        for against in (BLIND, PERMUTED):
            each = self._splits.differences("ERP", against)
            ends = self._splits.difference("ERP", against)
            found.append(SplitDifference(against, *ends, float(each.min()), float(each.max()), int((each > 0).sum())))
        return tuple(found)

    def _how_it_depends(self, kind: Kind, over_splits: Sequence[SplitDifference]) -> str:
        """How much the verdict depends on the split, in words that follow it."""
        if not over_splits or self._splits is None or kind in ("not told", "nothing to gain"):
            return ""
        both = [
            f"{_number(Estimate(*its[1:4]), '+.3f')} over {its.against} (from {its.least:+.3f} to {its.most:+.3f}, "
            f"above zero in {its.above} of {self._splits.n_splits})"
            for its in over_splits
        ]
        on_this_one = all(self.difference("ERP", its.against).is_more for its in over_splits)
        holds = ", that holds" if kind == "pays" else ", that does not hold" if on_this_one else ""
        return (
            f" Over {self._splits.n_splits} splits of the prompts, everything fitted anew on each{holds}: "
            f"{_list(both)}, by intervals that count what the splits share."
        )

    @property
    def _blind(self) -> str:
        return "the LLM that is best on the train prompts" if self.costs_alike else "the best LLM at each price"

    @property
    def _together(self) -> str:
        rewards = f" and all {self.n_rewards} rewards" if self.n_rewards > 1 else ""
        return f"when all {self.n_policies} policies that ERP is compared with{rewards} are looked at together"

    def _why(self, difference: Difference) -> str:
        """Why a difference may be claimed or not, in full."""
        if difference.excludes_zero and not difference.stands:
            return f"an interval that excludes zero by itself, but not {self._together} (p = {difference.p:.2g})"
        if not difference.stands and not math.isnan(difference.low):
            return "an interval that includes zero"
        return _certainty(difference)

    def _single(self) -> str:
        """ERP beside the best single LLM, at what that LLM costs."""
        over = self.difference("ERP", self.best, "at_best_cost")
        single = f"{self.best}, the best single LLM on the test prompts"
        where = single if self.costs_alike else f"{single}, at that LLM's cost"
        return f"It earns {_signed(over)} compared with {where}, {_certainty(over)}."

    def _share(self) -> str:
        """How much of what can be had ERP has, by an oracle that is judged by other samples than it chose by."""
        published = self.own("ERP", "share_of_oracle")
        hindsight = "the oracle that is judged by the same samples as it chose by"
        if not self.has_fitted_oracle:
            return (
                "What the best choice for every prompt would earn cannot be told from luck, since it takes a second "
                f"sample of nearly every prompt: {hindsight} is flattered, and so ERP's share of its gain is not told."
            )
        share, blind = (self.own(policy, "share_cross_fitted") for policy in ("ERP", BLIND))
        if math.isnan(share.value):
            return f"Judged by samples that it did not choose by, not even the oracle earns more than {self.best}."
        oracle = "the cross-fitted oracle, which is judged by other samples than it chooses by,"
        said = f"Of what {oracle} gains over {self.best} at equal cost, ERP has {_percent(share)}"
        if not math.isnan(blind.value):
            said += f", and {self._blind} {_percent(blind)}"
        if not math.isnan(published.value):
            said += f"; as published, of what {hindsight} gains, ERP has {_percent(published)}"
        return f"{said}."

    def _regret(self) -> str:
        """Regret beside what of it is the noise of the samples."""
        published, floor = self.own("ERP", "regret"), self.own(CROSS_FITTED, "regret")
        fitted = self.own("ERP", "regret_cross_fitted")
        if math.isnan(fitted.value) or math.isnan(floor.value):
            return ""
        return (
            f"Cost ignored, its regret is {_number(fitted)} to the cross-fitted oracle; as published it is "
            f"{_number(published)}, where that oracle itself has {_number(floor)}: the noise of the samples."
        )

    def _guard(self) -> str:
        """Whether the guard, which leaves the best LLM at each price only for a margin, changes anything."""
        gain, over = self.difference(GUARDED, "ERP"), self.difference(GUARDED, BLIND)
        if math.isnan(gain.value):
            return ""
        if gain.value == gain.low == gain.high == 0:
            return "Guarded, it decides the same: no margin saves enough on the train prompts."
        return (
            f"Guarded, it earns {_signed(gain)} compared with unguarded, {_certainty(gain)}, and {_signed(over)} "
            f"compared with {self._blind}, {_certainty(over)}."
        )

    def _rivals(self) -> list[str]:
        """ERP beside every policy that learns from prompts, by what the policy reads."""
        rivals = [one for one in self.policies if one not in _NO_RIVALS and not one.startswith(f"{ALWAYS} ")]
        alike = [policy for policy in rivals if reads_features(policy)]
        others = [policy for policy in rivals if policy not in alike]
        said = []
        if alike:
            said.append(f"Of the policies that read what ERP reads, {self._beside(alike)}.")
        if others:
            said.append(f"Of those that read {'only ' if alike else ''}the embedding, {self._beside(others)}.")
        told = self.difference("ERP", CATEGORY)
        if not math.isnan(told.value):
            said.append(
                f"Compared with the best LLM per category, which is told the category, ERP earns {_signed(told)}, "
                f"{_certainty(told)}."
            )
        return said

    def _beside(self, rivals: Sequence[str]) -> str:
        """Than which of them ERP is shown to earn more or less at equal cost, and from which it is not."""
        differences = {policy: self.difference("ERP", policy) for policy in rivals}

        def named(chosen: Callable[[Difference], bool]) -> str:
            return _list([f"{policy} ({_signed(its)})" for policy, its in differences.items() if chosen(its)])

        parts = [
            ("earns more than ", named(lambda its: its.is_more)),
            ("earns less than ", named(lambda its: its.is_less)),
            ("is not shown to differ from ", named(lambda its: not its.stands)),
        ]
        return f"ERP {_list([how + names for how, names in parts if names])}"

    def _cost(self) -> str:
        """What the mean reward of the best single LLM costs, at a place of the frontier picked by test rewards."""
        enough, over = self.own("ERP", "reach_100"), self.difference("ERP", self.best, "reach_100")
        if self.costs_alike or math.isnan(enough.value):
            return ""
        if math.isinf(enough.value):
            return f"On the test prompts ERP has the mean reward of {self.best} at no exchange rate."
        return (
            f"ERP has the mean reward of {self.best} from a cost of {_number(enough, '.3g')} a prompt on, "
            f"{_signed(over, '+.3g')} compared with it, {_certainty(over)}; that point of the frontier is picked by "
            "test rewards, which flatters it."
        )


def _number(estimate: Estimate, form: str = ".3f") -> str:
    value, low, high = ("never" if math.isinf(number) else f"{number:{form}}" for number in estimate)
    if math.isnan(estimate.value):
        return "undefined"
    return value if math.isnan(estimate.low) or math.isnan(estimate.high) else f"{value} [{low}, {high}]"


def _certainty(difference: Difference) -> str:
    """Whether a difference may be claimed, in short."""
    if difference.stands:
        return "which stands"
    return "of which no interval is known" if math.isnan(difference.low) else "which does not stand"


def _signed(difference: Difference, form: str = "+.3f") -> str:
    return _number(Estimate(*difference[:3]), form)


def _percent(estimate: Estimate) -> str:
    return _number(estimate, ".0%").replace("%", " %").replace("-0 %", "0 %")


def _list(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
