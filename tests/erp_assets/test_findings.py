"""What is said about an evaluation follows from its numbers, and from one rule of what may be claimed."""

import itertools
import math
import re
from collections.abc import Mapping

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erp.summaries import SUMMARIES
from erp_assets.findings import Difference, Findings

COMPARED = [
    *("ERP", "guarded", "Zooter", "kNN", "Zooter (features)", "kNN (features)", "ERP (paper)"),
    *("category", "blind", "permuted", "random", "always large"),
]
N_POLICIES = 11
LITTLE = (0.0, -0.01, 0.01, 1.0)
SURE = (0.10, 0.08, 0.12, 0.001)
ALONE = (0.02, 0.001, 0.04, 0.30)
"""Differences as value, ends and p: none, one that stands, and one whose interval excludes zero only by itself."""

Pair = tuple[str, str]
Numbers = tuple[float, float, float, float]


def less(numbers: Numbers) -> Numbers:
    value, low, high, p = numbers
    return -value, -high, -low, p


def made(
    differences: Mapping[Pair, Numbers] | None = None,
    *,
    own: Mapping[Pair, tuple[float, float, float]] | None = None,
    at_best_cost: Numbers = LITTLE,
    reach: Numbers = (-1.0, -1.2, -0.8, 0.001),
    compared: list[str] = COMPARED,
) -> pd.DataFrame:
    """A `comparisons` table: differences at equal cost, by pairs in any order, and policies' own numbers."""
    own = {
        ("oracle", "equal_cost"): (0.9, 0.8, 1.0),
        ("cross-fitted", "equal_cost"): (0.8, 0.7, 0.9),
        ("cross-fitted", "regret"): (0.04, 0.03, 0.05),
        ("ERP", "regret_cross_fitted"): (0.06, 0.05, 0.07),
        ("ERP", "share_cross_fitted"): (0.64, 0.57, 0.71),
        ("blind", "share_cross_fitted"): (0.12, 0.05, 0.19),
        ("ERP", "share_of_oracle"): (0.52, 0.45, 0.59),
        ("ERP", "reach_100"): (2.0, 1.8, 2.2),
        **(own or {}),
    }
    rows: list[tuple[object, ...]] = [
        (policy, None, summary, *own.get((policy, summary), (0.5, 0.4, 0.6)), None)
        for policy, summary in itertools.product([*compared, "oracle", "cross-fitted"], SUMMARIES)
        if (policy, summary) not in own
    ]
    rows += [(policy, None, summary, *numbers, None) for (policy, summary), numbers in own.items()]
    # So that a budget's reward is not the reward at every budget, which says that all LLMs cost the same.
    rows = [(*row[:3], 0.3, *row[4:]) if row[:3] == ("always large", None, "equal_cost") else row for row in rows]
    given_ = dict(differences or {})
    for one, other in itertools.combinations(compared, 2):
        numbers = given_.get((one, other)) or (less(given_[other, one]) if (other, one) in given_ else LITTLE)
        rows.append((one, other, "equal_cost", *numbers))
        if (one, other) == ("ERP", "always large"):
            rows += [(one, other, "at_best_cost", *at_best_cost), (one, other, "reach_100", *reach)]
    columns = ["policy", "against", "summary", "value", "value_low", "value_high", "p"]
    return pd.DataFrame(rows, columns=columns)


def paying(over_blind: Numbers = SURE, over_permuted: Numbers = SURE) -> dict[Pair, Numbers]:
    return {("ERP", "blind"): over_blind, ("ERP", "permuted"): over_permuted}


def sentences(frame: pd.DataFrame, n_rewards: int = 1) -> str:
    return " ".join(Findings(frame, n_rewards).sentences())


# ---- the verdict


@pytest.mark.parametrize(
    ("over_blind", "over_permuted", "n_rewards", "kind"),
    [
        (SURE, SURE, 1, "pays"),
        (SURE, SURE, 50, "pays"),
        (SURE, SURE, 51, "not shown to pay"),
        (SURE, ALONE, 1, "not shown to pay"),
        (SURE, LITTLE, 1, "not shown to pay"),
        (ALONE, SURE, 1, "not shown to pay"),
        (LITTLE, SURE, 1, "not shown to pay"),
        (LITTLE, LITTLE, 1, "not shown to pay"),
        (SURE, less(ALONE), 1, "not shown to pay"),
        (less(SURE), SURE, 1, "does not pay"),
        (SURE, less(SURE), 1, "does not pay"),
        (less(SURE), SURE, 51, "not shown to pay"),
        ((math.nan,) * 4, SURE, 1, "not shown to pay"),
    ],
)
def test_it_pays_only_over_the_blind_rule_and_over_its_permutation(
    over_blind: Numbers, over_permuted: Numbers, n_rewards: int, kind: str
) -> None:
    verdict = Findings(made(paying(over_blind, over_permuted)), n_rewards).verdict()
    assert verdict.kind == kind
    assert verdict.pays == (kind == "pays")
    assert verdict.sentence.startswith(
        f"Routing by predicted reward (ERP) {kind if kind != 'not shown to pay' else 'is not shown to pay'}: "
    )


estimates = st.floats(-1, 1).flatmap(
    lambda value: st.tuples(st.just(value), st.floats(-1.5, value), st.floats(value, 1.5), st.floats(0, 1))
)


@given(estimates, estimates, estimates, st.integers(1, 8), st.sampled_from(["Zooter", "kNN", "category", "random"]))
def test_what_pays_stands_twice_and_does_not_hang_on_any_other_policy(
    over_blind: Numbers, over_permuted: Numbers, over_rival: Numbers, n_rewards: int, rival: str
) -> None:
    pairs = paying(over_blind, over_permuted)
    verdict = Findings(made(pairs), n_rewards).verdict()
    both = all(value > 0 and p * n_rewards <= 0.05 for value, _, _, p in pairs.values())
    assert verdict.pays == both
    with_rival = made(pairs | {("ERP", rival): over_rival}, at_best_cost=over_rival)
    beside = Findings(with_rival, n_rewards).verdict()
    assert (beside.kind, beside.sentence) == (verdict.kind, verdict.sentence)


def test_what_pays_says_by_how_much_over_what_and_what_is_looked_at_together() -> None:
    said = Findings(made(paying((0.14, 0.12, 0.16, 0.001), (0.2, 0.18, 0.22, 0.001))), 4).verdict().sentence
    assert said == (
        "Routing by predicted reward (ERP) pays: averaged over all budgets it earns 0.500 [0.400, 0.600], +0.140 "
        "[+0.120, +0.160] more than the best LLM at each price, which reads no prompt (blind), and +0.200 [+0.180, "
        "+0.220] more than its own decisions dealt to other prompts (permuted). Both stand when all 11 "
        "policies that ERP is compared with and all 4 rewards are looked at together."
    )
    assert "rewards" not in Findings(made(paying()), 1).verdict().sentence


def test_what_is_not_shown_to_pay_says_which_condition_failed_and_how() -> None:
    said = Findings(made(paying(ALONE, SURE)), 4).verdict().sentence
    assert (
        "+0.020 [+0.001, +0.040] compared with the best LLM at each price, which reads no prompt (blind), an interval "
        "that excludes zero by itself, but not when all 11 policies that ERP is compared with and all 4 rewards "
        "are looked at together (p = 1); and +0.100 [+0.080, +0.120] compared with its own decisions dealt to other "
        "prompts (permuted), which stands."
    ) in said
    other = Findings(made(paying(SURE, LITTLE)), 4).verdict().sentence
    assert "(blind), which stands; and" in other
    assert "(permuted), an interval that includes zero." in other


def test_where_no_choice_earns_more_than_the_blind_rule_there_is_nothing_to_gain() -> None:
    found = Findings(made(paying(), own={("oracle", "equal_cost"): (0.5, 0.4, 0.6)}), 1)
    assert found.verdict().kind == "nothing to gain"
    assert not found.verdict().pays
    assert found.sentences() == [found.verdict().sentence]
    assert "nothing that routing could gain" in found.verdict().sentence


@pytest.mark.parametrize("lost", ["p", "blind"])
def test_of_a_table_of_an_earlier_version_nothing_is_claimed_and_the_way_out_is_said(lost: str) -> None:
    frame = made(paying())
    frame = frame.assign(p=math.nan) if lost == "p" else frame[~frame[["policy", "against"]].eq("blind").any(axis=1)]
    for old in (frame, frame.drop(columns="p")):
        found = Findings(old, 1)
        assert found.verdict().kind == "not told"
        assert found.sentences() == [found.verdict().sentence]
        assert "erp run" in found.verdict().sentence


def test_where_all_llms_cost_the_same_nothing_is_said_of_budgets_or_prices() -> None:
    frame = made(paying())
    equal = frame[frame["summary"].eq("equal_cost") & frame["against"].isna()].set_index("policy")["value"]
    at_cost = frame["summary"].eq("at_best_cost") & frame["against"].isna()
    assert not Findings(frame, 1).costs_alike
    frame.loc[at_cost, "value"] = frame.loc[at_cost, "policy"].map(equal)
    said = sentences(frame)
    assert "all LLMs cost the same, and it earns" in said
    assert "compared with always large, the best single LLM on the test prompts, which does" in said
    assert not re.search(r"budget|price|at that LLM's cost|from a cost", said)


def over_splits(over_blind: list[float], over_permuted: list[float]) -> pd.DataFrame:
    """A `split_comparisons` table of as many splits, as many prompts on either side."""
    rows = [
        (split, policy, "equal_cost", value, 50, 50)
        for split, (blind, permuted) in enumerate(zip(over_blind, over_permuted, strict=True))
        for policy, value in (("ERP", 0.5), ("blind", 0.5 - blind), ("permuted", 0.5 - permuted))
    ]
    return pd.DataFrame(rows, columns=["split", "policy", "summary", "value", "n_train", "n_test"])


STEADY, SHAKY = [0.10, 0.11, 0.09, 0.10, 0.12], [0.10, -0.20, 0.30, 0.25, -0.10]


def test_what_pays_on_one_split_has_to_hold_over_several_where_there_are_several() -> None:
    pays = Findings(made(paying()), 1, over_splits(STEADY, STEADY)).verdict()
    assert pays.pays
    assert "Over 5 splits of the prompts, everything fitted anew on each, that holds: +0.104 [+" in pays.sentence
    assert "over blind (from +0.090 to +0.120, above zero in 5 of 5)" in pays.sentence
    for shaky in (over_splits(SHAKY, STEADY), over_splits(STEADY, SHAKY)):
        does_not = Findings(made(paying()), 1, shaky).verdict()
        assert does_not.kind == "not shown to pay"
        assert does_not.sentence.count("which stands") == 2
        assert "that does not hold: " in does_not.sentence
        assert "(from -0.200 to +0.300, above zero in 3 of 5)" in does_not.sentence


def test_several_splits_make_nothing_pay_that_does_not_on_the_pools_own() -> None:
    unsure = Findings(made(paying(SURE, ALONE)), 1, over_splits(STEADY, STEADY)).verdict()
    assert unsure.kind == "not shown to pay"
    assert "fitted anew on each: +0.104" in unsure.sentence
    loses = Findings(made(paying(less(SURE), SURE)), 1, over_splits([-one for one in STEADY], STEADY)).verdict()
    assert loses.kind == "does not pay"
    assert "above zero in 0 of 5" in loses.sentence
    told = loses.as_json()
    assert told["n_splits"] == 5
    assert [one["against"] for one in told["over_splits"]] == ["blind", "permuted"]
    assert told["over_splits"][0]["high"] < 0


def test_one_split_is_none_to_depend_on() -> None:
    alone = Findings(made(paying()), 1, over_splits([0.1], [0.1])).verdict()
    assert alone == Findings(made(paying()), 1).verdict()


# ---- the other sentences


def test_more_than_the_best_single_llm_is_said_at_that_llms_cost_and_not_at_equal_cost() -> None:
    pairs = paying() | {("ERP", "always large"): (0.77, 0.7, 0.8, 0.0)}
    said = sentences(made(pairs, at_best_cost=(0.108, 0.09, 0.12, 0.001)))
    assert (
        "+0.108 [+0.090, +0.120] compared with always large, the best single LLM on the test prompts, at that "
        "LLM's cost, which stands."
    ) in said
    assert "0.77" not in said


def test_a_share_is_quoted_by_the_cross_fitted_oracle_first_beside_what_the_blind_rule_has_of_it() -> None:
    said = sentences(made(paying()))
    share = said.index("ERP has 64 % [57 %, 71 %], and the best LLM at each price 12 % [5 %, 19 %]")
    assert share < said.index("as published, of what the oracle that is judged by the same samples as it chose by")
    assert "52 % [45 %, 59 %]" in said


def test_regret_is_quoted_beside_the_noise_of_the_samples() -> None:
    said = sentences(made(paying(), own={("ERP", "regret"): (0.085, 0.08, 0.09)}))
    assert "regret is 0.060 [0.050, 0.070] to the cross-fitted oracle; as published it is 0.085 [0.080, 0.090]" in said
    assert "that oracle itself has 0.040 [0.030, 0.050]: the noise of the samples" in said


def test_with_one_sample_to_a_prompt_no_share_is_quoted_and_it_is_said_why() -> None:
    frame = made(paying())
    frame = frame[(frame["policy"] != "cross-fitted") & ~frame["summary"].str.contains("cross_fitted")]
    said = sentences(frame)
    assert "cannot be told from luck" in said
    assert "52 %" not in said
    assert "regret" not in said


def test_where_the_cross_fitted_oracle_gains_nothing_that_is_said() -> None:
    nothing = {("ERP", "share_cross_fitted"): (math.nan,) * 3, ("blind", "share_cross_fitted"): (math.nan,) * 3}
    said = sentences(made(paying(), own=nothing))  # type: ignore[arg-type]
    assert "Judged by samples that it did not choose by, not even the oracle earns more than always large." in said


def test_rivals_stand_in_groups_by_what_they_read_and_better_is_said_only_of_what_stands() -> None:
    pairs = paying() | {
        ("ERP", "Zooter (features)"): SURE,
        ("ERP", "kNN (features)"): ALONE,
        ("ERP", "Zooter"): less(SURE),
        ("ERP", "kNN"): SURE,
        ("ERP", "category"): less(ALONE),
    }
    said = sentences(made(pairs))
    assert (
        "Of the policies that read what ERP reads, ERP earns more than Zooter (features) (+0.100 [+0.080, +0.120]) "
        "and is not shown to differ from kNN (features) (+0.020 [+0.001, +0.040])."
    ) in said
    assert (
        "Of those that read only the embedding, ERP earns more than kNN (+0.100 [+0.080, +0.120]), earns less than "
        "Zooter (-0.100 [-0.120, -0.080]) and is not shown to differ from ERP (paper) (+0.000 [-0.010, +0.010])."
    ) in said
    assert "told the category, ERP earns -0.020 [-0.040, -0.001], which does not stand." in said


def test_a_pool_whose_probe_reads_the_embedding_has_one_group() -> None:
    embedding = [policy for policy in COMPARED if "(" not in policy]
    said = sentences(made(paying(), compared=embedding))
    assert "Of those that read the embedding, ERP is not shown to differ from Zooter" in said
    assert "what ERP reads" not in said


def test_a_guard_is_set_beside_no_guard_and_beside_what_it_falls_back_on() -> None:
    said = sentences(made(paying() | {("guarded", "ERP"): SURE, ("guarded", "blind"): ALONE}))
    assert "Guarded, it earns +0.100 [+0.080, +0.120] compared with unguarded, which stands, and +0.020" in said
    assert "compared with the best LLM at each price, which does not stand." in said
    assert "Guarded, it decides the same" in sentences(made(paying() | {("ERP", "guarded"): (0.0, 0.0, 0.0, 1.0)}))


def test_what_the_mean_reward_of_the_best_llm_costs_has_its_interval_and_its_caveat() -> None:
    said = sentences(made(paying(), reach=(-1.0, -math.inf, -0.8, 0.001)))
    assert "of always large from a cost of 2 [1.8, 2.2] a prompt on, -1 [never, -0.8] compared with it, which" in said
    assert "picked by test rewards, which flatters it" in said
    never = sentences(made(paying(), own={("ERP", "reach_100"): (math.inf, math.inf, math.inf)}))
    assert "ERP has the mean reward of always large at no exchange rate" in never


@given(
    st.dictionaries(st.sampled_from(list(itertools.combinations(COMPARED, 2))), estimates, max_size=20),
    st.integers(1, 6),
)
def test_no_sentence_claims_a_difference_that_does_not_stand(differences: dict[Pair, Numbers], n_rewards: int) -> None:
    found = Findings(made(differences), n_rewards)
    for sentence in found.sentences():
        for claim, sign in (("earns more than ", 1), ("earns less than ", -1)):
            named = sentence.partition(claim)[2].partition("earns")[0].partition("is not shown")[0]
            for policy in found.policies:
                if policy != "ERP" and f"{policy} (" in named.replace(f"{policy} (features)", ""):
                    its = found.difference("ERP", policy)
                    assert its.stands
                    assert its.value * sign > 0
    claimed = sum(sentence.count("which stands") for sentence in found.sentences())
    pairs = [("ERP", "blind"), ("ERP", "permuted"), ("ERP", "category"), ("guarded", "ERP"), ("guarded", "blind")]
    standing = sum(found.difference(*pair).stands for pair in pairs)
    assert claimed <= standing + 1  # the place of the frontier where the reward is that of the best LLM


def test_a_difference_read_backwards_has_its_signs_turned_and_its_p() -> None:
    found = Findings(made({("ERP", "kNN"): (0.3, 0.2, 0.5, 0.01)}), 3)
    assert found.difference("ERP", "kNN") == Difference(0.3, 0.2, 0.5, 0.03)
    assert found.difference("kNN", "ERP") == Difference(-0.3, -0.5, -0.2, 0.03)
    assert Findings(made({("ERP", "kNN"): (0.3, 0.2, 0.5, 0.4)}), 3).difference("ERP", "kNN").p == 1.0


def test_the_verdict_for_machines_has_the_same_numbers() -> None:
    found = Findings(made(paying(SURE, ALONE), at_best_cost=LITTLE), 2)
    told = found.verdict().as_json()
    assert told["pays"] is False
    assert told["kind"] == "not shown to pay"
    assert told["over_blind"] == {"value": 0.1, "low": 0.08, "high": 0.12, "p": 0.002, "stands": True}
    assert told["over_permuted"]["stands"] is False
    assert told["best_single_llm"] == "large"
    assert told["over_best_single_at_its_cost"]["p"] == 1.0
    assert (told["n_rewards"], told["n_policies"]) == (2, N_POLICIES)
    assert told["share_cross_fitted"]["value"] == 0.64
