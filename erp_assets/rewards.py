"""Rewards of the responses, and their means: the expected rewards.

What belongs here: the rewards and expected_rewards assets, the scoring of identical responses only
once, and the checks. What to keep out: how a reward model is run (`erp_resources.reward_models`).
"""

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from erp import expected_rewards as mean_rewards
from erp_assets.matrices import nullable
from erp_assets.progress import Advance
from erp_assets.stage import Step, Verdict, released, stage, stage_check
from erp_resources.lineage import LLM, REWARD_MODEL, Partition
from erp_resources.pool import Pool
from erp_resources.reward_models import RewardModel
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
    scores = model.score(asked["prompt"].tolist(), distinct["response"].tolist(), answers)
    table = pa.table(
        {
            "prompt_id": generations["prompt_id"],
            "sample": generations["sample"],
            "reward": pa.array(np.asarray(scores, dtype=np.float32)[group]),
            "n": pa.array(np.ones(len(group), dtype=np.int32)),
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


def build(pool: Pool) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """The assets and checks of this module for one pool."""

    @stage(pool, group="data", kinds={"llm"})
    def rewards(step: Step, prompts: Partitions, generations: Partitions) -> None:
        """The reward r(x, y) of every response; each reward model is loaded once for all LLMs of the run."""
        table = prompts.read().to_pandas().set_index("prompt_id")
        for reward_model in dict.fromkeys(step.names(key)[REWARD_MODEL] for key in step.keys):
            keys = [key for key in step.keys if step.names(key)[REWARD_MODEL] == reward_model]
            advance = step.progress(f"rewards {reward_model}", len(table) * len(keys))
            with released(step.pool.reward_models[reward_model].load(step.pool.root)) as model:
                for key in keys:
                    before = getattr(model, "truncated", 0)
                    with step.staging(key) as staging:
                        saved = score_into(staging, generations, step.names(key)[LLM], table, model, advance)
                    with Warehouse(step.pool).open(step.partition(key)) as file:
                        stored = file.read(columns=["reward"])["reward"]
                    step.report(
                        key,
                        **{"dagster/partition_row_count": len(stored)},
                        mean_reward=pc.mean(stored).as_py(),
                        share_of_responses_scored_before=saved,
                        inputs_truncated=getattr(model, "truncated", 0) - before,
                    )

    @stage_check(pool, "rewards")
    def rewards_are_finite_and_complete(warehouse: Warehouse, partition: Partition) -> Verdict:
        """Every response has one finite reward."""
        table = warehouse.read(partition)
        with warehouse.open(Partition("generations", partition.key.split("|")[0])) as file:
            responses = file.read(columns=["error"])["error"].null_count
        finite = np.isfinite(table["reward"].to_numpy())
        problems = [
            f"prompt {prompt_id}, sample {sample}: reward is not finite"
            for prompt_id, sample in table.filter(pa.array(~finite))
            .select(["prompt_id", "sample"])
            .to_pandas()
            .values[:10]
        ]
        if table.num_rows != responses:
            problems.append(f"{table.num_rows} rewards for {responses} responses")
        return problems, {"rewards": table.num_rows, "not_finite": int((~finite).sum())}

    @stage(pool, group="data", kinds={"numpy"})
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
            mean, variance, count = mean_rewards(index.to_numpy(), table["reward"].to_numpy(), len(prompt_ids))
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

    return [rewards, rewards_are_finite_and_complete, expected_rewards]
