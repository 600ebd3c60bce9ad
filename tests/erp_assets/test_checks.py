"""Checks: each passes on what is sound, fails on what is not, and says what is wrong, where, and the way out."""

from collections.abc import Callable

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from erp_assets import frontiers, generations, probes, prompts, report, rewards
from erp_assets.definitions import build_defs
from erp_assets.findings import Findings
from erp_assets.runs import run_pool
from erp_assets.states import failed_checks, pool_states
from erp_resources.embedders.sentence_transformers import SentenceTransformersEmbedder
from erp_resources.lineage import Partition
from erp_resources.pool import Pool
from erp_resources.warehouse import Warehouse

Place = tuple[Warehouse, Partition]


# ---- prompts


def corpus(texts: list[str], splits: list[str] | None = None, **columns: list[str]) -> prompts.Corpus:
    n = len(texts)
    frame = pd.DataFrame(
        {
            "prompt_id": [f"p{i}" for i in range(n)],
            "prompt": texts,
            "embed_text": columns.get("embed_text", texts),
            "category": columns.get("category", ["one"] * n),
            "split": splits or ["train", "test"] * (n // 2) + ["train"] * (n % 2),
        }
    )
    return prompts.Corpus(frame, np.zeros(n, dtype=bool))


SOUND = corpus([f"Question {i}?" for i in range(40)])


@pytest.mark.parametrize(
    "check",
    [
        prompts.no_duplicate_prompts,
        prompts.categories_are_filled,
        prompts.no_test_prompt_is_a_train_prompt,
        prompts.prompts_fit_the_embedder,
    ],
)
def test_checks_of_prompts_pass_on_a_sound_corpus(check: Callable[[prompts.Corpus], prompts.Verdict]) -> None:
    assert check(SOUND).problems == []


def test_repeated_and_empty_prompts_are_told() -> None:
    found = prompts.no_duplicate_prompts(corpus(["Why?", "Why? ", "  ", "How?"]))
    assert found.problems == ["twice: 'Why?'", "twice: 'Why?'", "empty: prompt p2"]
    assert found.numbers == {"prompts": 4, "repeated": 2, "empty": 1}
    assert found.rows is not None
    assert found.rows["prompt_id"].tolist() == ["p0", "p1", "p2"]


def test_a_category_with_few_prompts_in_one_split_is_named() -> None:
    texts = [f"Question {i}?" for i in range(44)]
    categories = ["large"] * 40 + ["small"] * 4
    found = prompts.categories_are_filled(corpus(texts, category=categories))
    (problem,) = found.problems
    assert problem.startswith("category small has 2 train and 2 test prompts")
    assert found.numbers == {"categories": 2, "smallest": 2}
    one_sided = corpus(texts, ["train"] * 40 + ["test"] * 4)
    assert "has 40 train and 4 test" in prompts.categories_are_filled(one_sided).problems[0]


def test_a_test_prompt_that_says_what_a_train_prompt_says_is_a_leak() -> None:
    leaking = corpus(["What is 2 plus 3?", "what is  2 plus 3", "Why?", "How?"])
    found = prompts.no_test_prompt_is_a_train_prompt(leaking)
    (problem,) = found.problems
    assert problem.startswith("1 of 2 test prompts say the same as a train prompt")
    assert found.rows is not None
    assert found.rows[["prompt_id", "prompt_id_train"]].values.tolist() == [["p1", "p0"]]
    sums = corpus(["What is 2 + 3?", "What is 2 - 3?", "Is f(x) = 1.5?", "Is f(x) = 15?"])
    assert prompts.no_test_prompt_is_a_train_prompt(sums).problems == []
    quoted = corpus(['Say "hello", please.', "say hello please"])
    assert prompts.no_test_prompt_is_a_train_prompt(quoted).numbers == {"leaked": 1}
    same_embed_text = corpus(["Why one?", "Why two?"], embed_text=["Why", "Why"])
    assert prompts.no_test_prompt_is_a_train_prompt(same_embed_text).numbers == {"leaked": 1}
    within_train = corpus(["Why?", "How?", "why", "Who?"], ["train", "test", "train", "test"])
    assert prompts.no_test_prompt_is_a_train_prompt(within_train).problems == []


def test_prompts_beyond_the_window_of_the_embedder_are_counted_by_its_tokenizer_alone(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SentenceTransformersEmbedder, "load", None)
    texts = ["word " * 254, "word " * 255, "short"]
    assert pool.embedder.too_long(pool.root, texts).tolist() == [False, True, False]
    found = prompts.prompts_fit_the_embedder(SOUND._replace(too_long=np.arange(40) < 4))
    (problem,) = found.problems
    assert problem.startswith("the embedder reads only the beginning of 4 of 40 prompts (10%)")
    assert found.rows is not None
    assert set(found.rows["prompt_id"]) == {"p0", "p1", "p2", "p3"}
    assert prompts.prompts_fit_the_embedder(SOUND._replace(too_long=np.arange(40) < 2)).problems == []
    unknown = prompts.prompts_fit_the_embedder(SOUND._replace(too_long="model 'x/y' cannot be loaded"))
    assert unknown.problems == ["cannot be told: model 'x/y' cannot be loaded"]


# ---- embeddings


def embedded(
    vectors: list[list[float]], truncated: list[bool] | None = None, **columns: list[str]
) -> prompts.Embeddings:
    frame = corpus([f"Question {i}?" for i in range(len(vectors))], **columns).frame
    table = pa.table(
        {
            "prompt_id": frame["prompt_id"],
            "embedding": pa.array(vectors, pa.list_(pa.float32())),
            "truncated": truncated or [False] * len(vectors),
        }
    )
    return prompts.Embeddings.of(frame, table)


SOUND_VECTORS = [[float(i), 1.0] for i in range(20)]


@pytest.mark.parametrize(
    "check",
    [
        prompts.embeddings_are_whole,
        prompts.different_prompts_have_different_embeddings,
        prompts.few_embeddings_are_truncated,
        prompts.embeddings_have_the_norm_asked_for,
    ],
)
def test_checks_of_embeddings_pass_on_sound_ones(check: Callable[[prompts.Embeddings], prompts.Verdict]) -> None:
    assert check(embedded(SOUND_VECTORS)).problems == []


def test_embeddings_that_are_ragged_not_finite_or_of_other_prompts_are_refused() -> None:
    ragged = prompts.embeddings_are_whole(embedded([[1.0], [1.0, 2.0]]))
    assert ragged.problems == ["vectors have different lengths: [1, 2]"]
    infinite = prompts.embeddings_are_whole(embedded([[1.0], [float("inf")], [float("nan")]]))
    assert infinite.problems == ["2 vectors are not finite"]
    assert infinite.rows is not None
    assert infinite.rows["prompt_id"].tolist() == ["p1", "p2"]
    sound = embedded(SOUND_VECTORS)
    fewer = prompts.Embeddings.of(sound.prompts, sound.table.slice(1))
    assert prompts.embeddings_are_whole(fewer).problems == ["19 embeddings do not match the 20 prompts"]


def test_different_texts_with_one_embedding_are_told_and_equal_texts_are_not() -> None:
    vectors = [[1.0, 2.0]] * 3 + [[3.0, 4.0]]
    found = prompts.different_prompts_have_different_embeddings(embedded(vectors))
    (problem,) = found.problems
    assert problem.startswith("3 different texts share 1 embeddings, and can only be routed alike")
    assert found.rows is not None
    assert found.rows.values.tolist() == [[3, "Question 0?"]]
    alike = embedded(vectors, embed_text=["a", "a", "a", "b"])
    assert prompts.different_prompts_have_different_embeddings(alike).problems == []


def test_a_share_of_truncated_embeddings_is_told() -> None:
    found = prompts.few_embeddings_are_truncated(embedded(SOUND_VECTORS, [True, True, *[False] * 18]))
    assert found.problems[0].startswith("the embedder reads only the beginning of 2 of 20 prompts (10%)")
    assert found.numbers == {"truncated": 2, "share_truncated": 0.1}


def test_normalize_false_of_an_embedder_that_normalizes_itself_is_told() -> None:
    unit = embedded([[0.6, 0.8], [-1.0, 0.0], [0.0, 0.0]])
    assert prompts.embeddings_have_the_norm_asked_for(unit).problems == []
    found = prompts.embeddings_have_the_norm_asked_for(unit._replace(normalize=False))
    assert found.problems[0].startswith("normalize: false has no effect: this embedder gives vectors of unit norm")
    raw = prompts.embeddings_have_the_norm_asked_for(embedded(SOUND_VECTORS)._replace(normalize=False))
    assert raw.problems == []
    assert raw.numbers["largest_norm"] == pytest.approx(np.hypot(19, 1))


# ---- generations


@pytest.fixture
def generated(made_pool: Pool) -> Place:
    """The LLM `small` of the materialised demo pool, and sound responses: 24 prompts with 4 different ones each."""
    warehouse, partition = Warehouse(made_pool), Partition("generations", "small")
    table = warehouse.read(partition)
    texts = [f"an answer {i}" for i in range(table.num_rows)]
    replaced = table.set_column(2, table.schema.field("response"), pa.array(texts))
    lengths = pa.array([4] * table.num_rows, pa.int32())
    replaced = replaced.set_column(5, table.schema.field("completion_tokens"), lengths)
    stop = pa.array(["stop"] * table.num_rows)
    warehouse.write(partition, replaced.set_column(3, table.schema.field("finish_reason"), stop), "sound")
    return warehouse, partition


def with_column(place: Place, name: str, values: Callable[[int], object]) -> Place:
    """The same partition with a column's values given by the row."""
    warehouse, partition = place
    table = warehouse.read(partition)
    field = table.schema.field(name)
    column = pa.array([values(i) for i in range(table.num_rows)], field.type)
    warehouse.write(partition, table.set_column(table.schema.get_field_index(name), field, column), "other")
    return place


GENERATIONS_CHECKS = [
    generations.every_prompt_has_n_samples,
    generations.responses_are_not_empty,
    generations.responses_are_not_cut,
    generations.responses_depend_on_the_prompt,
    generations.token_counts_are_plausible,
]


def test_checks_of_generations_pass_on_sound_ones(generated: Place) -> None:
    assert [check(generated).problems for check in GENERATIONS_CHECKS] == [[]] * len(GENERATIONS_CHECKS)


def test_missing_and_repeated_samples_are_told(generated: Place) -> None:
    warehouse, partition = generated
    table = warehouse.read(partition)
    for wrong in (table.slice(1), table.slice(4), pa.concat_tables([table, table.slice(0, 1)])):
        warehouse.write(partition, wrong, "other")
        (problem,) = generations.every_prompt_has_n_samples(generated).problems
        assert problem.endswith("samples, not 4")


def test_empty_responses_are_told_with_their_prompts(generated: Place) -> None:
    found = generations.responses_are_not_empty(
        with_column(generated, "response", lambda i: " " if i < 8 else f"a {i}")
    )
    assert found.problems == ["8% of the responses of small are empty; see its chat template and its stop tokens"]
    assert found.rows is not None
    assert found.rows["responses"].tolist() == [4, 4]


def test_cut_responses_name_the_setting_that_cut_them(generated: Place) -> None:
    found = generations.responses_are_not_cut(
        with_column(generated, "finish_reason", lambda i: "length" if i % 4 == 0 else "stop")
    )
    assert found.problems == ["25% of the responses of small are cut at 6 tokens; raise sampling.max_tokens"]
    assert found.numbers == {"share": 0.25}


def test_an_llm_that_answers_most_prompts_alike_is_told(generated: Place) -> None:
    found = generations.responses_depend_on_the_prompt(
        with_column(generated, "response", lambda i: "The answer is A" if i < 13 * 4 and i % 4 == 0 else f"b {i}")
    )
    assert found.problems[0].startswith("small answers 13 of 24 prompts with 'The answer is A'")
    half = with_column(generated, "response", lambda i: "The answer is A" if i < 12 * 4 else f"b {i}")
    assert generations.responses_depend_on_the_prompt(half).problems == []


def test_counts_of_tokens_that_cannot_be_are_told(generated: Place) -> None:
    def said(name: str, value: int) -> str:
        return "; ".join(generations.token_counts_are_plausible(with_column(generated, name, lambda i: value)).problems)

    assert "counts no tokens in its responses" in said("completion_tokens", 0)
    assert "counts 7 tokens in a response, more than sampling.max_tokens 6" in said("completion_tokens", 7)
    assert said("completion_tokens", 5) == ""
    assert "counts no tokens in its prompts" in said("prompt_tokens", 0)


# ---- rewards


def scored(values: np.ndarray, responses: int | None = None) -> rewards.Scored:
    """Rewards (prompts, samples)."""
    n, k = values.shape
    table = pa.table(
        {
            "prompt_id": np.repeat([f"p{i}" for i in range(n)], k),
            "sample": pa.array(np.tile(np.arange(k), n), pa.int32()),
            "reward": pa.array(values.ravel(), pa.float32(), from_pandas=False),
            "n": pa.array(np.ones(n * k), pa.int32()),
        }
    )
    return rewards.Scored("llm|rm", table, n * k if responses is None else responses)


def spread(signal: float, noise: float, n: int = 2000, k: int = 8) -> np.ndarray:
    random = np.random.default_rng(0)
    return signal * random.normal(size=(n, 1)) + noise * random.normal(size=(n, k))


REWARDS_CHECKS = [
    rewards.rewards_are_finite_and_complete,
    rewards.rewards_differ,
    rewards.rewards_are_in_range,
    rewards.samples_are_enough,
]


@pytest.mark.parametrize("values", [spread(1, 1), (spread(1, 1) > 1).astype(float)], ids=["normal", "zero or one"])
def test_checks_of_rewards_pass_on_sound_ones(values: np.ndarray) -> None:
    assert [check(scored(values)).problems for check in REWARDS_CHECKS] == [[]] * len(REWARDS_CHECKS)


def test_rewards_that_are_missing_or_not_finite_are_told() -> None:
    values = spread(1, 1, n=3)
    values[1, 2] = np.nan
    found = rewards.rewards_are_finite_and_complete(scored(values, responses=25))
    assert found.problems == ["prompt p1, sample 2: reward is not finite", "24 rewards for 25 responses"]
    assert found.rows is not None
    assert found.rows.values.tolist() == [["p1", 2]]


def test_constant_rewards_are_told_and_one_exception_in_a_thousand_does_not_help() -> None:
    values = np.ones((500, 4))
    values[0, 0] = 3.0
    found = rewards.rewards_differ(scored(values))
    assert found.problems[0].startswith("100.0% of the rewards of llm|rm are 1: nothing is to be learned")
    assert found.rows is not None
    assert found.rows.values.tolist() == [[1.0, 1999], [3.0, 1]]
    values[:8] = 3.0
    assert rewards.rewards_differ(scored(values)).problems == []


def test_a_reward_model_that_gives_all_responses_to_a_prompt_one_reward_does_not_read_them(
    made_pool: Pool,
) -> None:
    warehouse, place = Warehouse(made_pool), Partition("rewards", "small|taste")
    assert rewards.rewards_differ_by_response(rewards.Scored.load(warehouse, place)).problems == []
    table = warehouse.read(place)
    by_prompt = table["prompt_id"].combine_chunks().dictionary_encode().indices.cast(pa.float32())
    deaf = table.set_column(table.schema.get_field_index("reward"), table.schema.field("reward"), by_prompt)
    warehouse.write(place, deaf, "deaf")
    found = rewards.rewards_differ_by_response(rewards.Scored.load(warehouse, place))
    assert found.numbers["prompts_with_different_responses"] > 10
    assert "the model does not read the response; see its input and chat template" in found.problems[0]


def test_a_lone_outlier_is_told_with_its_place_and_a_long_tail_is_not() -> None:
    values = spread(1, 1)
    values[7, 3] = 80.0
    found = rewards.rewards_are_in_range(scored(values))
    assert found.problems[0].startswith("1 of 16000 rewards of llm|rm are more than 10 robust standard deviations")
    assert found.rows is not None
    assert found.rows[["prompt_id", "sample", "reward"]].values.tolist() == [["p7", 3, 80.0]]
    tail = np.random.default_rng(0).standard_cauchy((500, 8))
    assert rewards.rewards_are_in_range(scored(tail)).problems == []


def test_noise_that_bars_an_r2_of_a_half_names_the_samples_that_would_not() -> None:
    found = rewards.samples_are_enough(scored(spread(signal=1, noise=5, n=20_000)))
    (problem,) = found.problems
    assert "with 8 samples to a prompt no probe of llm|rm can have an R2 above 0.24" in problem
    needed = found.numbers["samples_needed"]
    assert needed == pytest.approx(25, abs=2)  # noise 25 / K must not be more than the signal's 1
    enough = rewards.samples_are_enough(scored(spread(signal=1, noise=5, n=20_000, k=27)))
    assert enough.problems == []
    hopeless = rewards.samples_are_enough(scored(np.tile([[-1.0, 1.0]], (50, 1)) + np.arange(50)[:, None] * 1e-9))
    assert "no more than between samples" in hopeless.problems[0]


def test_nothing_is_said_of_noise_where_it_cannot_be_told() -> None:
    assert rewards.samples_are_enough(scored(spread(1, 1, k=1))).problems == []
    assert rewards.samples_are_enough(scored(np.ones((5, 4)))).problems == []


# ---- probes


def probed(predicted: np.ndarray, actual: np.ndarray, coefficients: list[float] | None = None) -> probes.Probed:
    """100 train and 100 test prompts in two categories."""
    n = len(actual)
    frame = pd.DataFrame(
        {
            "prompt_id": [f"p{i}" for i in range(n)],
            "category": np.tile(["sums", "words"], n // 2),
            "split": np.repeat(["train", "test"], n // 2),
            "actual": actual,
            "predicted": predicted,
        }
    )
    return probes.Probed("llm|rm", {"coefficients": coefficients or [1.0, 2.0], "intercept": 0.0}, False, frame)


RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.normal(size=200)
NOISE = RANDOM.normal(size=200)
PROBES_CHECKS = [
    probes.probes_are_finite,
    probes.predictions_stay_in_range,
    probes.probes_beat_the_category,
    probes.probes_are_unbiased_in_every_category,
]


def test_checks_of_probes_pass_on_a_sound_one() -> None:
    sound = probed(TRUTH, TRUTH + 0.5 * NOISE)
    assert [check(sound).problems for check in PROBES_CHECKS] == [[]] * len(PROBES_CHECKS)
    unrewarded = probed(TRUTH, np.where(np.arange(200) % 3 == 0, np.nan, TRUTH + 0.5 * NOISE))
    assert [check(unrewarded).problems for check in PROBES_CHECKS] == [[]] * len(PROBES_CHECKS)


def test_coefficients_that_are_not_finite_are_refused() -> None:
    found = probes.probes_are_finite(probed(TRUTH, TRUTH, [1.0, float("nan")]))
    assert found.problems == ["1 of 3 coefficients of llm|rm are not finite"]


def test_predictions_far_beyond_any_reward_are_told() -> None:
    predicted = TRUTH.copy()
    predicted[150] = 1e3
    found = probes.predictions_stay_in_range(probed(predicted, TRUTH))
    assert found.problems[0].startswith("1 predictions of llm|rm lie more than 2 ranges beyond any reward")
    assert "raise probe.beta" in found.problems[0]
    assert found.rows is not None
    assert found.rows["prompt_id"].tolist() == ["p150"]


def test_a_probe_worse_than_one_number_or_than_the_category_is_told() -> None:
    found = probes.probes_beat_the_category(probed(-TRUTH, TRUTH))
    assert found.problems[0].startswith("the R2 of llm|rm is -")
    assert found.problems[0].endswith(
        "worse than one number for all; let probe.beta be auto, or give more train prompts"
    )
    tuned = probes.probes_beat_the_category(probed(-TRUTH, TRUTH)._replace(is_tuned=True))
    assert tuned.problems[0].endswith("worse than one number for all; give more train prompts")
    by_category = np.tile([0.0, 3.0], 100)
    behind = probes.probes_beat_the_category(probed(0.5 * by_category + 0.75, by_category + 0.1 * NOISE))
    assert "the embedding tells less than the category" in behind.problems[0]
    assert behind.numbers["r2"] < behind.numbers["r2_of_category_means"]


def test_a_category_that_earns_more_than_predicted_is_named_with_its_interval() -> None:
    shifted = TRUTH + 0.3 * NOISE + np.where((np.arange(200) % 2 == 0) & (np.arange(200) >= 100), 0.6, 0.0)
    found = probes.probes_are_unbiased_in_every_category(probed(TRUTH, shifted))
    (problem,) = found.problems
    assert problem.startswith("llm|rm earns +0.")
    assert problem.endswith("on sums compared with its predictions")
    assert found.rows is not None
    assert found.rows["low"].iloc[0] < 0.6 < found.rows["high"].iloc[0]


# ---- frontiers and comparisons


def frontier(made_pool: Pool) -> pd.DataFrame:
    return Warehouse(made_pool).read(Partition("frontiers", "taste")).to_pandas()


def test_checks_of_frontiers_pass_on_what_was_computed_and_fail_on_what_cannot_be(made_pool: Pool) -> None:
    sound = frontier(made_pool)
    assert frontiers.regret_is_never_negative(sound).problems == []
    assert frontiers.the_oracle_earns_most_at_every_cost(sound).problems == []
    negative = sound.assign(regret=np.where(sound["policy"] == "ERP", -0.1, sound["regret"]))
    points = int((sound["policy"] == "ERP").sum())
    found = frontiers.regret_is_never_negative(negative)
    assert found.problems == [f"{points} points of ERP have negative regret"]
    above = sound.copy()
    above.loc[above["policy"] == "ERP", "reward"] += 10
    found = frontiers.the_oracle_earns_most_at_every_cost(above)
    assert found.problems == [f"{points} points of ERP lie above the oracle's"]
    assert found.rows is not None
    assert (found.rows["above"] > 1).all()


Numbers = tuple[float, float, float, float]


def findings(over_blind: Numbers, over_permuted: Numbers, n_rewards: int = 1, possible: float = 1.0) -> Findings:
    """What a `comparisons` table says in which ERP has these differences, with their intervals and p, at equal cost."""
    singles = ("blind", "permuted", "always a")
    rows = [
        *((policy, None, "equal_cost", 0.5, 0.4, 0.6, None) for policy in ("ERP", *singles)),
        ("oracle", None, "equal_cost", possible, 0.9, 1.1, None),
        ("ERP", "blind", "equal_cost", *over_blind),
        ("ERP", "permuted", "equal_cost", *over_permuted),
        ("ERP", "always a", "equal_cost", 0.4, 0.3, 0.5, 0.001),
    ]
    columns = ["policy", "against", "summary", "value", "value_low", "value_high", "p"]
    return Findings(pd.DataFrame(rows, columns=columns), n_rewards)


PAYS = findings((0.3, 0.2, 0.4, 0.001), (0.2, 0.1, 0.3, 0.02))


def test_erp_that_is_not_surely_above_its_permutation_is_a_warning_with_its_numbers() -> None:
    check = frontiers.erp_beats_its_own_permutation
    assert check(PAYS).problems == []
    does_not = check(findings((0.3, 0.2, 0.4, 0.001), (0.1, -0.05, 0.25, 0.5)))
    (problem,) = does_not.problems
    assert "ERP earns +0.100 [-0.050, +0.250] at equal cost compared with" in problem
    assert does_not.numbers == {"gain": 0.1, "gain_low": -0.05, "gain_high": 0.25, "p": 0.5}
    assert check(findings((0.3, 0.2, 0.4, 0.001), (0.2, 0.1, 0.3, 0.02), n_rewards=3)).problems  # by itself only
    assert check(findings((0.3, 0.2, 0.4, 0.001), (0.0, 0.0, 0.0, 1.0), possible=0.5)).problems == []


def test_every_reward_by_which_routing_does_not_pay_is_a_line_of_the_warning_with_what_the_report_says() -> None:
    not_shown = findings((0.1, -0.1, 0.3, 0.4), (0.2, 0.1, 0.3, 0.001))
    loses = findings((-0.3, -0.4, -0.2, 0.001), (0.2, 0.1, 0.3, 0.001))
    assert report.routing_is_worth_it({"correct": PAYS}).problems == []
    found = report.routing_is_worth_it({"correct": PAYS, "warm": not_shown, "concise": loses})
    assert found.problems == [f"warm: {not_shown.verdict().sentence}", f"concise: {loses.verdict().sentence}"]
    assert found.numbers["pays_correct"] is True
    assert found.numbers["pays_warm"] is False
    assert found.numbers["gain_concise"] == -0.3


# ---- through Dagster


def test_a_warning_stops_nothing_and_a_blocking_check_does_and_both_show_numbers_and_rows(
    pool: Pool,
    instance: dg.DagsterInstance,
    edit_pool: Callable[[str, str], Pool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (pool.root / "poor_rewards.py").write_text(
        "def one(prompts, responses, answers):\n    return [1.0] * len(prompts)\n"
    )
    poor = edit_pool("corpus:vowels", "poor_rewards:one")
    score_once = rewards.score_once

    def with_a_fault(generations: pa.Table, asked: pd.DataFrame, model: object) -> tuple[pa.Table, int]:
        table, distinct = score_once(generations, asked, model)
        if "transformers" in type(model).__module__:
            infinite = pa.array([float("inf")] * len(table), pa.float32())
            table = table.set_column(2, table.schema.field("reward"), infinite)
        return table, distinct

    monkeypatch.setattr(rewards, "score_once", with_a_fault)
    outcomes = run_pool(poor, instance)
    assert {outcome.run.assets for outcome in outcomes if outcome.error} == {("rewards",)}
    states = pool_states(poor)
    assert states[Partition("rewards", "small|taste")] == "failed"
    assert states[Partition("expected_rewards", "small|taste")] == "missing"
    assert states[Partition("expected_rewards", "small|vowels")] == "materialized"
    found = {(failure.partition, failure.check): failure for failure in failed_checks(poor)}
    stopped = found[Partition("rewards", "small|taste"), "rewards_are_finite_and_complete"]
    assert stopped.blocking
    assert stopped.said.count("reward is not finite") == 10
    warned = found[Partition("rewards", "large|vowels"), "rewards_differ"]
    assert not warned.blocking
    assert warned.said.startswith("100.0% of the rewards of large|vowels are 1")
    key = dg.AssetCheckKey(dg.AssetKey(["demo", "rewards"]), "rewards_differ")
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=20)
    evaluations = {record.partition: record.evaluation for record in records if record.evaluation}
    warning = evaluations["large|vowels"]
    assert warning.severity == dg.AssetCheckSeverity.WARN
    assert warning.metadata["share_of_the_commonest_reward"].value == 1.0
    assert "| 1.000" in str(warning.metadata["rows"].value)
    assert evaluations["small|vowels"].passed is False


def test_every_asset_that_could_feed_something_wrong_has_checks_of_its_own(pool: Pool) -> None:
    keys = build_defs([pool]).resolve_asset_graph().asset_check_keys
    assert {key.asset_key.path[-1] for key in keys} == {
        *("prompts", "prompt_embeddings", "generations", "rewards", "probes", "frontiers", "comparisons", "report")
    }
