"""Rewards of the responses, and their means: the expected rewards.

What belongs here: the rewards and expected_rewards assets, the scoring of identical responses only
once, and the checks. What to keep out: how a reward model is run (`erp_resources.reward_models`).
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from erp import expected_rewards as mean_rewards
from erp import noise_ceiling
from erp_assets.matrices import nullable
from erp_assets.progress import Advance
from erp_assets.stage import Step, Verdict, released, stage, stage_checks
from erp_resources.language_models import RecordedLLM
from erp_resources.lineage import LLM, REWARD_MODEL, STAGES, Partition, names_in
from erp_resources.pool import Pool
from erp_resources.reward_models import CheckReward, RecordedRewardModel, RewardModel
from erp_resources.settings import UserError
from erp_resources.warehouse import Partitions, Staging, Warehouse


def score_once(generations: pa.Table, prompts: pd.DataFrame, model: RewardModel) -> tuple[pa.Table, int]:
    """The rewards of all responses, and how many were scored: identical responses to a prompt once."""
    frame = generations.select(["prompt_id", "response"]).to_pandas()
    group = frame.groupby(["prompt_id", "response"], sort=False).ngroup().to_numpy()
    _, first = np.unique(group, return_index=True)
    distinct = frame.iloc[first]
    asked = prompts.loc[distinct["prompt_id"]]
    answers = [None if pd.isna(answer) else answer for answer in asked["answer"]]
    readable = pa.nulls(len(group), pa.bool_())
    if isinstance(model, CheckReward):
        scores, found = model.check(distinct["response"].tolist(), answers)
        readable = pa.array(found[group])
    else:
        scores = model.score(asked["prompt"].tolist(), distinct["response"].tolist(), answers)
    table = pa.table(
        {
            "prompt_id": generations["prompt_id"],
            "sample": generations["sample"],
            "reward": pa.array(np.asarray(scores, dtype=np.float32)[group]),
            "n": pa.array(np.ones(len(group), dtype=np.int32)),
            "readable": readable,
        }
    )
    return table, len(distinct)


def score_into(
    staging: Staging, generations: Partitions, llm: str, prompts: pd.DataFrame, model: RewardModel, advance: Advance
) -> float:
    """Score every chunk of an LLM's generations that is not there yet, and commit the partition.

    Returns the share of responses that needed no scoring of their own in this process.
    """
    scored = responses = 0
    with generations.open(llm) as file:
        for index in range(file.num_row_groups):
            chunk = file.read_row_group(index)
            answered = chunk.filter(pc.is_null(chunk["error"]))
            if not staging.has(index):
                rewards, distinct = score_once(answered, prompts, model)
                staging.write(index, rewards)
                scored += distinct
                responses += answered.num_rows
            advance(len(pc.unique(chunk["prompt_id"])))
        staging.commit(file.num_row_groups)
    return 1 - scored / responses if responses else 0.0


def recorded_rewards(pool: Pool, names: Mapping[str, str], prompt_ids: pa.ChunkedArray) -> pa.Table | None:
    """The rewards that a user has of an LLM's responses to these prompts; None when they are to be scored."""
    reward_model, llm = pool.reward_models[names[REWARD_MODEL]], pool.llms[names[LLM]]
    if not isinstance(reward_model, RecordedRewardModel) or not isinstance(llm, RecordedLLM):
        return None
    table = reward_model.recorded(llm.outcomes(pool.root))
    return None if table is None else table.filter(pc.is_in(table["prompt_id"], value_set=prompt_ids.combine_chunks()))


# ---- checks

SAME = 0.99
"""The share of rewards with one value from which on a reward model is constant, but for exceptions."""

FAR = 10.0
"""Robust standard deviations (1.4826 times the median distance from the median) that no sound reward is away."""

MOST_FAR = 0.001
"""The share of rewards up to which being that far away is strange rather than the shape of their distribution."""

R2_WANTED = 0.5
"""The paper's probes reach an R2 of .3 to .7: noise that bars any probe from .5 hides most of the signal."""

MOST_UNREADABLE = 0.2
"""The share of responses without a readable answer from which on the check, or the prompt, is the wrong one."""


class Scored(NamedTuple):
    """What the checks of rewards look at: an LLM's rewards, and how many responses it gave."""

    key: str
    table: pa.Table
    responses: int | None
    """None: the rewards are recorded, and need no response."""
    alike: tuple[int, int] = (0, 0)
    """Of a reward model that reads text: prompts with different responses, and those with one reward for all."""

    @classmethod
    def load(cls, warehouse: Warehouse, partition: Partition) -> "Scored":
        """Read the rewards, and count the responses."""
        names = names_in(partition.key, STAGES[partition.asset].dimensions)
        prompt_ids = warehouse.read(Partition("prompts", ""))["prompt_id"]
        if recorded_rewards(warehouse.pool, names, prompt_ids) is not None:
            return cls(partition.key, warehouse.read(partition), None)
        with warehouse.open(Partition("generations", names[LLM])) as file:
            responses = file.read(columns=["error"])["error"].null_count
        reads_text = warehouse.pool.reward_models[names[REWARD_MODEL]].backend in ("transformers", "vllm")
        alike = _alike(warehouse, names) if reads_text else (0, 0)
        return cls(partition.key, warehouse.read(partition), responses, alike)

    @property
    def rewards(self) -> NDArray[np.float64]:
        """The finite rewards."""
        values: NDArray[np.float64] = self.table["reward"].to_numpy().astype(np.float64)
        return values[np.isfinite(values)]


def rewards_are_finite_and_complete(scored: Scored) -> Verdict:
    """Every response has one finite reward."""
    table = scored.table
    finite = np.isfinite(table["reward"].to_numpy())
    rows = table.filter(pa.array(~finite)).select(["prompt_id", "sample"]).to_pandas()
    problems = [f"prompt {row.prompt_id}, sample {row.sample}: reward is not finite" for row in rows[:10].itertuples()]
    if scored.responses is not None and table.num_rows != scored.responses:
        problems.append(f"{table.num_rows} rewards for {scored.responses} responses")
    return Verdict(problems, {"rewards": table.num_rows, "not_finite": int((~finite).sum())}, rows)


def rewards_differ(scored: Scored) -> Verdict:
    """Not 99 % of the rewards are the same: there is something that a probe could learn."""
    values, counts = np.unique(scored.rewards, return_counts=True)
    if not len(values):
        return Verdict([])
    most = int(counts.argmax())
    share = float(counts[most] / counts.sum())
    problems = []
    if share >= SAME and counts.sum() > 1:
        problems.append(
            f"{share:.1%} of the rewards of {scored.key} are {values[most]:g}: nothing is to be learned from them; "
            "see the reward model's input and the prompts' answers"
        )
    rows = pd.DataFrame({"reward": values, "responses": counts}).sort_values("responses", ascending=False)
    return Verdict(problems, {"share_of_the_commonest_reward": share}, rows if problems else None)


def _alike(warehouse: Warehouse, names: Mapping[str, str]) -> tuple[int, int]:
    """How many prompts have different responses, and how many of these one reward for all."""
    with warehouse.connect("generations", "rewards") as connection:
        prompts, alike = connection.execute(
            "SELECT count(*), count(*) FILTER (rewards = 1) FROM (SELECT count(DISTINCT r.reward) AS rewards"
            " FROM generations g JOIN rewards r USING (llm, prompt_id, sample) WHERE llm = $1 AND r.reward_model = $2"
            " AND g.error IS NULL GROUP BY prompt_id HAVING count(DISTINCT g.response) > 1)",
            [names[LLM], names[REWARD_MODEL]],
        ).fetchall()[0]
    return prompts, alike


def rewards_differ_by_response(scored: Scored) -> Verdict:
    """A reward model gives different responses to a prompt different rewards: else it does not read them."""
    prompts, alike = scored.alike
    problems = []
    if prompts and alike >= SAME * prompts:
        problems.append(
            f"on {alike} of {prompts} prompts {scored.key} gives all of the different responses one reward: the model "
            "does not read the response; see its input and chat template"
        )
    return Verdict(problems, {"prompts_with_different_responses": prompts, "prompts_with_one_reward": alike})


def answers_are_readable(scored: Scored) -> Verdict:
    """A check found an answer to read in four of five responses. The others' reward is 0, as a wrong answer's is."""
    if "readable" not in scored.table.column_names:
        return Verdict([])
    readable = scored.table["readable"]
    judged = len(readable) - readable.null_count
    if not judged:
        return Verdict([])  # the rewards are a model's, or recorded
    unread = scored.table.filter(pc.invert(pc.fill_null(readable, True)))
    share = len(unread) / judged
    numbers = {"without_a_readable_answer": len(unread), "share_without_a_readable_answer": share}
    problems = []
    if share > MOST_UNREADABLE:
        problems.append(
            f"in {len(unread)} of {judged} responses of {scored.key} ({share:.0%}) no answer could be read, which "
            "counts as wrong; look at some (`erp sql`), and ask for the answer in a form that the check reads"
        )
    return Verdict(problems, numbers, unread.select(["prompt_id", "sample"]).slice(0, 100).to_pandas())


def rewards_are_in_range(scored: Scored) -> Verdict:
    """No reward is ten robust standard deviations away from the median, where few are that far.

    One such can decide a mean. Rewards of which half are the same have no such deviation, and pass.
    """
    rewards = scored.table["reward"].to_numpy().astype(np.float64)
    if not np.isfinite(rewards).any():
        return Verdict([], {"outliers": 0})
    median = float(np.nanmedian(rewards))
    deviation = 1.4826 * float(np.nanmedian(np.abs(rewards - median)))
    if not deviation > 0:
        return Verdict([], {"outliers": 0})
    away = np.abs(rewards - median) / deviation
    far = away > FAR
    problems = []
    if far.any() and far.mean() <= MOST_FAR:
        problems.append(
            f"{far.sum()} of {len(rewards)} rewards of {scored.key} are more than {FAR:g} robust standard deviations "
            f"from the median {median:.3g}; look at these responses"
        )
    rows = scored.table.filter(pa.array(far)).select(["prompt_id", "sample", "reward"]).to_pandas()
    rows["deviations"] = away[far]
    return Verdict(problems, {"outliers": int(far.sum())}, rows.sort_values("deviations", ascending=False))


def samples_are_enough(scored: Scored) -> Verdict:
    """The noise of the samples leaves room for an R2 of 0.5: the noise ceiling is at least that.

    The ceiling with K samples is 1 - (noise / K) / variance of the means. The variance of the true expected rewards,
    what it is without noise, does not depend on K, so that the K that a ceiling takes follows.
    """
    prompts, index = np.unique(scored.table["prompt_id"].to_numpy(), return_inverse=True)
    rewards = scored.table["reward"].to_numpy().astype(np.float64)
    if not len(prompts) or not np.isfinite(rewards).all():
        return Verdict([])
    mean, variance, count = mean_rewards(index, rewards, len(prompts), _counts(scored.table))
    ceiling = noise_ceiling(mean, variance, count)
    if np.isnan(ceiling):
        return Verdict([])  # one sample each, or constant: nothing can be told
    noise, signal = float(variance.mean()), float(np.var(mean) - (variance / count).mean())
    numbers: dict[str, Any] = {"noise_ceiling": ceiling, "samples": float(count.mean())}
    if ceiling >= R2_WANTED:
        return Verdict([], numbers)
    said = f"with {count.mean():.3g} samples to a prompt no probe of {scored.key} can have an R2 above {ceiling:.2f}"
    if signal <= 0:
        return Verdict([f"{said}: its rewards differ between prompts no more than between samples"], numbers)
    needed = math.ceil(noise / signal * R2_WANTED / (1 - R2_WANTED))
    return Verdict([f"{said}; for {R2_WANTED:g} it takes {needed} (sampling.n)"], {**numbers, "samples_needed": needed})


def _counts(table: pa.Table) -> NDArray[np.float64] | None:
    """Of how many samples each reward is a mean; None where each is one's."""
    n: NDArray[np.float64] = table["n"].to_numpy().astype(np.float64)
    return n if (n > 1).any() else None


def build(pool: Pool) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """The assets and checks of this module for one pool."""

    @stage(pool, group="models", kinds={"llm"})
    def rewards(step: Step, prompts: Partitions, generations: Partitions) -> None:
        """The reward r(x, y) of every response; each reward model is loaded once for all LLMs of the run."""
        every = prompts.read()
        table = every.to_pandas().set_index("prompt_id")
        left = []
        for key in step.keys:
            recorded = recorded_rewards(step.pool, step.names(key), every["prompt_id"])
            if recorded is None:
                left.append(key)
                continue
            step.see_unchanged()
            Warehouse(step.pool).put(step.partition(key), recorded, step.fingerprint(key))
            step.report(
                key,
                **{"dagster/partition_row_count": recorded.num_rows},
                mean_reward=pc.mean(recorded["reward"]).as_py(),
            )
        for reward_model in dict.fromkeys(step.names(key)[REWARD_MODEL] for key in left):
            keys = [key for key in left if step.names(key)[REWARD_MODEL] == reward_model]
            advance = step.progress(f"rewards {reward_model}", len(table) * len(keys))
            with released(step.pool.reward_models[reward_model].load(step.pool.root)) as model:
                step.see_unchanged()
                for key in keys:
                    before = getattr(model, "truncated", 0)
                    with step.staging(key) as staging:
                        saved = score_into(staging, generations, step.names(key)[LLM], table, model, advance)
                    with Warehouse(step.pool).open(step.partition(key)) as file:
                        stored = file.read(columns=["reward", "readable"])
                    unread = pc.sum(pc.invert(stored["readable"])).as_py()
                    step.report(
                        key,
                        **{"dagster/partition_row_count": len(stored)},
                        mean_reward=pc.mean(stored["reward"]).as_py(),
                        **({} if unread is None else {"responses_without_a_readable_answer": unread}),
                        share_of_responses_scored_before=saved,
                        inputs_truncated=getattr(model, "truncated", 0) - before,
                    )

    @stage(pool, group="models", kinds={"numpy"})
    def expected_rewards(step: Step, prompts: Partitions, rewards: Partitions) -> dict[str, pa.Table]:
        """The empirical expected reward of the LLM on every prompt: mean and variance over its samples (eq. 3.1).

        A prompt that failed has none: the mean is null.
        """
        prompt_ids = prompts.read()["prompt_id"]
        made = {}
        for key in step.keys:
            table = rewards.read(key)
            if not table.num_rows:
                raise UserError(f"rewards[{key}] has no reward at all; `erp sql` shows why in generations.error")
            index = pc.index_in(table["prompt_id"], value_set=prompt_ids.combine_chunks())
            if index.null_count:
                raise UserError(
                    f"rewards[{key}] has rewards of prompts that are gone; run `erp run` to make them again"
                )
            mean, variance, count = mean_rewards(
                index.to_numpy(), table["reward"].to_numpy(), len(prompt_ids), _counts(table)
            )
            step.report(key, mean_expected_reward=float(np.nanmean(mean)), prompts_without=int((count == 0).sum()))
            made[key] = pa.table(
                {
                    "prompt_id": prompt_ids,
                    "mean": nullable(mean),
                    "variance": nullable(variance),
                    "n": pa.array(count.astype(np.int32)),
                }
            )
        return made

    return [
        rewards,
        stage_checks(
            pool,
            "rewards",
            Scored.load,
            blocking=[rewards_are_finite_and_complete],
            warnings=[
                rewards_differ,
                rewards_differ_by_response,
                answers_are_readable,
                rewards_are_in_range,
                samples_are_enough,
            ],
        ),
        expected_rewards,
    ]
