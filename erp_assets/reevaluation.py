"""Whether the LLMs still earn what was predicted: hosted ones change under their names.

What belongs here: the assets fresh_generations and reevaluations, one partition for every time that
`automation.reevaluate` names, and their checks. What to keep out: the statistics (`erp.drift`), when it is done
(`automation`), and what routers are made from: a re-evaluation warns, and changes nothing.
"""

from collections.abc import Mapping
from typing import NamedTuple

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from erp import figures
from erp.drift import Drift, drift, holm, regret, sample_prompts
from erp.summaries import Estimate
from erp_assets.generations import chunk_seed
from erp_assets.matrices import Floats, matrix, nullable
from erp_assets.metadata import picture, table
from erp_assets.progress import Advance
from erp_assets.rewards import score_once
from erp_assets.stage import Step, Verdict, released, stage, stage_checks
from erp_resources.language_models.interface import failed
from erp_resources.lineage import Partition
from erp_resources.pool import Pool
from erp_resources.reward_models import RecordedRewardModel, RewardModel
from erp_resources.settings import UserError
from erp_resources.warehouse import SCHEMAS, Partitions, Staging, Warehouse

ALPHA = 0.05
"""How often a re-evaluation in which nothing changed may raise an alarm, all its comparisons together."""


def scores(pool: Pool, reward_model: str) -> bool:
    """Whether a reward model can score fresh responses; recorded rewards alone cannot."""
    entry = pool.reward_models[reward_model]
    return not isinstance(entry, RecordedRewardModel) or entry.otherwise is not None


def live(pool: Pool) -> Pool:
    """The pool without LLMs whose outcomes are recorded: these cannot be asked again.

    Raises `UserError` when there are no others, or no reward model that can score.
    """
    if not pool.sampled_llms or not any(scores(pool, name) for name in pool.reward_models):
        raise UserError(
            f"all outcomes of pool '{pool.name}' are recorded, so that no LLM can be asked again; "
            "leave out automation.reevaluate"
        )
    return pool.only(pool.sampled_llms, list(pool.reward_models))


def held_out(prompts: pa.Table, pool: Pool, window: str) -> pa.Table:
    """The test prompts that a re-evaluation asks: drawn by the pool's seed and its time."""
    test = prompts.filter(pc.equal(prompts["split"], "test"))
    seed = f"{pool.sampling.seed}/{window}"
    drawn = sample_prompts(test["prompt_id"].to_pylist(), pool.automation.reevaluate_prompts, seed)
    return test.filter(pc.is_in(test["prompt_id"], value_set=pa.array(drawn)))


def sample_fresh(staging: Staging, asked: pa.Table, window: str, pool: Pool, step: Step, advance: Advance) -> list[str]:
    """Sample every LLM of the pool anew, a chunk for each, and commit the partition.

    An LLM that cannot be sampled has a row for every prompt that says why, and holds no other up. Returns the names of
    those; raises the last of their errors when all are.
    """
    sampling = pool.sampling.model_copy(update={"n": pool.automation.reevaluate_n})
    gone: dict[str, Exception] = {}
    for index, (name, llm) in enumerate(pool.llms.items()):
        if not staging.has(index):
            try:
                with released(llm.load(pool.root)) as model:
                    seed = chunk_seed(sampling, f"{window}/{name}", asked)
                    responses = model.sample(asked["prompt"].to_pylist(), sampling, seed)
            except Exception as error:
                step.log.error(f"{name} could not be sampled: {error}")
                gone[name] = error
                responses = failed(dict.fromkeys(range(asked.num_rows), f"{name} could not be sampled: {error}"))
            if len(gone) == len(pool.llms):
                raise gone[name]
            prompt_ids = asked["prompt_id"].take(responses["prompt_index"])
            rows = responses.drop_columns("prompt_index").add_column(0, "prompt_id", prompt_ids)
            staging.write(index, rows.add_column(0, "llm", pa.array([name] * len(rows))))
        advance(asked.num_rows)
    staging.commit(len(pool.llms))
    return list(gone)


def fresh_rewards(
    responses: pa.Table, llms: list[str], asked: pd.DataFrame, model: RewardModel, advance: Advance
) -> Floats:
    """The mean reward of the fresh responses (n, M), in the order of `asked` and `llms`; nan where there is none."""
    means = np.full((len(asked), len(llms)), np.nan)
    for i, llm in enumerate(llms):
        answered = responses.filter(pc.and_(pc.equal(responses["llm"], llm), pc.is_null(responses["error"])))
        if answered.num_rows:
            scored = score_once(answered, asked, model)[0].to_pandas()
            rewards = scored["reward"].astype(np.float64).groupby(scored["prompt_id"]).mean()
            means[:, i] = rewards.reindex(asked.index)
        advance(len(asked))
    return means


def rows_of(reward_model: str, llms: list[str], samples: int, found: Drift, regrets: Estimate) -> pa.Table:
    """The rows of a reward model in `reevaluations`."""
    columns: dict[str, object] = {
        "reward_model": [reward_model] * len(llms),
        "llm": llms,
        "n": pa.array(found.n.astype(np.int32)),
        "samples": pa.array([samples] * len(llms), pa.int32()),
    }
    columns |= {name: nullable(values) for name, values in found._asdict().items() if name != "n"}
    for name, value in zip(("regret", "regret_low", "regret_high"), regrets, strict=True):
        columns[name] = nullable([value] * len(llms))
    schema = SCHEMAS["reevaluations"]
    return pa.table({field.name: columns[field.name] for field in schema}, schema=schema)


def alarms(frame: pd.DataFrame, quantity: str) -> pd.Series:
    """Which rows of a re-evaluation have a bias or shift that stands when all of its rows are looked at together."""
    return pd.Series(holm(frame[f"{quantity}_p"].to_numpy(dtype=np.float64)) < ALPHA, index=frame.index)


def history(frames: Mapping[str, pd.DataFrame], llms: list[str], reward_model: str) -> bytes:
    """A picture of the bias of every LLM by one reward model, from the `reevaluations` of each time."""
    ours = {
        window: frame.assign(alarm=alarms(frame, "bias"))[frame["reward_model"] == reward_model].set_index("llm")
        for window, frame in sorted(frames.items())
    }
    bias, low, high, alarm = (
        np.array([frame[name].reindex(llms) for frame in ours.values()], dtype=np.float64)
        for name in ("bias", "bias_low", "bias_high", "alarm")
    )
    return figures.history_png(list(ours), llms, bias, low, high, alarm == 1)


# ---- checks


class Reevaluated(NamedTuple):
    """What the checks of a re-evaluation look at: its table, and the tests that it is one of."""

    frame: pd.DataFrame
    window: str


def _changed(frame: pd.DataFrame, quantity: str, than: str) -> Verdict:
    found = frame[alarms(frame, quantity)]
    problems = [
        f"{row['llm']} earns {row[quantity]:+.3g} [{row[f'{quantity}_low']:+.3g}, {row[f'{quantity}_high']:+.3g}] "
        f"by {row['reward_model']} compared with {than}"
        for _, row in found.iterrows()
    ]
    shown = [
        "reward_model",
        "llm",
        "n",
        "fresh",
        "predicted",
        "recorded",
        quantity,
        f"{quantity}_low",
        f"{quantity}_high",
    ]
    numbers = {"comparisons": int(frame[f"{quantity}_p"].notna().sum()), "alarms": len(found)}
    return Verdict(problems, numbers, found[[*shown, f"{quantity}_p"]])


def predictions_are_unbiased(loaded: Reevaluated) -> Verdict:
    """No LLM's fresh rewards differ from the predicted ones by more than chance, all comparisons looked at together.

    Student's t on held-out prompts, with the noise of the probe's own training; Holm's correction at 5 %.
    """
    return _changed(loaded.frame, "bias", "what its probe predicts: fit it anew (docs/operations.md)")


def llms_answer_as_recorded(loaded: Reevaluated) -> Verdict:
    """No LLM's fresh rewards differ from the recorded ones of the same prompts, all comparisons looked at together.

    A paired t-test, with Holm's correction at 5 %: the sharper of the two, since prompts are compared with themselves.
    """
    return _changed(loaded.frame, "shift", "what was recorded for the same prompts: it has changed under its name")


def every_llm_answered(responses: pa.Table) -> Verdict:
    """Every LLM of the pool answered the prompts of the re-evaluation."""
    frame = responses.select(["llm", "prompt_id", "error"]).to_pandas()
    by_llm = frame.groupby("llm", sort=False).agg(
        prompts=("prompt_id", "nunique"), failed=("error", "count"), error=("error", "first")
    )
    found = by_llm[by_llm["failed"] > 0].reset_index()
    problems = [f"{row.llm}: {row.failed} of {row.prompts} prompts failed: {row.error}" for row in found.itertuples()]
    return Verdict(problems, {"prompts_failed": int(by_llm["failed"].sum())}, found)


def build(pool: Pool) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """The assets and checks of this module for one pool: none without `automation.reevaluate`."""
    if pool.automation.reevaluate is None:
        return []

    @stage(pool, group="evaluation", kinds={"llm"}, one_run_each=True)
    def fresh_generations(step: Step, prompts: Partitions) -> None:
        """Fresh responses of every LLM to a sample of held-out prompts, at one time."""
        every = prompts.read()
        for key in step.keys:
            seen = live(step.seen(key))
            asked = held_out(every, seen, key)
            advance = step.progress(f"fresh responses {key}", asked.num_rows * len(seen.llms))
            with step.staging(key) as staging:
                gone = sample_fresh(staging, asked, key, seen, step, advance)
            step.report(
                key, prompts=asked.num_rows, llms=len(seen.llms) - len(gone), not_sampled=", ".join(gone) or None
            )

    @stage(pool, group="evaluation", kinds={"scipy"}, one_run_each=True)
    def reevaluations(
        step: Step,
        prompts: Partitions,
        expected_rewards: Partitions,
        probes: Partitions,
        predicted_rewards: Partitions,
        fresh_generations: Partitions,
    ) -> dict[str, pa.Table]:
        """What the LLMs earn at this time, against what was predicted and recorded: bias, shift, R2, regret."""
        every = prompts.read()
        warehouse = Warehouse(pool)
        stored = (Partition("reevaluations", window) for window in warehouse.stored("reevaluations"))
        frames = {partition.key: warehouse.read(partition).to_pandas() for partition in stored}
        made = {}
        for key in step.keys:
            responses = fresh_generations.read(key)
            place = pc.is_in(every["prompt_id"], value_set=responses["prompt_id"].unique())
            asked = every.filter(place)
            frame = asked.to_pandas().set_index("prompt_id")
            asked_llms = responses["llm"].unique().to_pylist()
            here = {
                name: [llm for llm in llms if llm in asked_llms] for name, llms in step.inputs(key).complete.items()
            }
            complete = {name: llms for name, llms in here.items() if llms and scores(pool, name)}
            if not complete:
                raise UserError(
                    f"reevaluations[{key}]: none of the LLMs that were sampled then is in the pool any more"
                )
            total = sum(len(llms) for llms in complete.values()) * len(frame)
            advance = step.progress(f"re-evaluation {key}", total)
            tables = []
            for name, llms in complete.items():
                keys = [f"{llm}|{name}" for llm in llms]
                with released(pool.reward_models[name].load(pool.root)) as model:
                    fresh = fresh_rewards(responses, llms, frame, model, advance)
                predicted, recorded = (
                    matrix(read, keys, column, asked["prompt_id"])
                    for read, column in ((predicted_rewards, "predicted"), (expected_rewards, "mean"))
                )
                n_train = np.array([probes.read(probe)["n_train"][0].as_py() for probe in keys])
                tables.append(
                    rows_of(
                        name,
                        llms,
                        pool.automation.reevaluate_n,
                        drift(fresh, predicted, recorded, n_train),
                        regret(fresh, predicted, np.zeros(len(llms))),
                    )
                )
            made[key] = pa.concat_tables(tables)
            frames[key] = made[key].to_pandas()
            pictures = {
                f"history by {name}": picture(history(frames, llms, name), f"bias by {name}")
                for name, llms in complete.items()
            }
            step.report(key, **_numbers(frames[key]), **pictures)
        return made

    return [
        fresh_generations,
        stage_checks(
            pool,
            "fresh_generations",
            lambda warehouse, partition: warehouse.read(partition),
            warnings=[every_llm_answered],
        ),
        reevaluations,
        stage_checks(
            pool,
            "reevaluations",
            lambda warehouse, partition: Reevaluated(warehouse.read(partition).to_pandas(), partition.key),
            warnings=[predictions_are_unbiased, llms_answer_as_recorded],
        ),
    ]


def _numbers(frame: pd.DataFrame) -> Mapping[str, object]:
    """What the UI plots over the times, and the table."""
    numbers: dict[str, object] = {}
    for row in frame.itertuples():
        numbers[f"bias of {row.llm} by {row.reward_model}"] = _known(row.bias)
    for name, rows in frame.groupby("reward_model", sort=False):
        numbers[f"regret by {name}"] = _known(rows["regret"].iloc[0])
        numbers[f"mean R2 by {name}"] = _known(rows["r2"].mean())
    return numbers | {"table": table(frame.drop(columns=["samples", "regret_low", "regret_high"]))}


def _known(value: float) -> float | None:
    return None if value != value else float(value)
