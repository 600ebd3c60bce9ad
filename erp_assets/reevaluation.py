"""Whether the LLMs still earn what was predicted: hosted ones change under their names.

What belongs here: the assets fresh_generations and reevaluations, one partition for every time that
`automation.reevaluate` names, and their checks. What to keep out: the statistics (`erp.drift`), when it is done
(`automation`), and what routers are made from: a re-evaluation warns, and changes nothing.

An LLM that cannot be compared is named, with the reason, and holds no other up; but what was found at a time is never
replaced by what says less, and a time that has passed is not made again.
"""

import contextlib
import itertools
from collections.abc import Collection, Mapping
from functools import partial
from typing import NamedTuple

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from erp import figures
from erp.drift import Drift, drift, holm, regret, sample_prompts
from erp.summaries import Estimate
from erp_assets.generations import chunk_seed, sample_and_keep
from erp_assets.matrices import Floats, matrix, nullable
from erp_assets.metadata import picture, table
from erp_assets.partitions import has_passed
from erp_assets.progress import Advance
from erp_assets.rewards import score_once
from erp_assets.stage import Step, Verdict, released, stage, stage_checks
from erp_assets.states import look
from erp_resources.language_models.interface import failed
from erp_resources.lineage import CHAIN, Partition, first_behind
from erp_resources.pool import Pool
from erp_resources.reward_models import RecordedRewardModel, RewardModel
from erp_resources.settings import UserError
from erp_resources.warehouse import SCHEMAS, Partitions, Staging, Warehouse

ALPHA = 0.05
"""How often a re-evaluation in which nothing changed may raise an alarm, all its comparisons together."""

SHOWN = 100
"""How many times the picture of the history shows at most."""


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


def why_left_out(pool: Pool) -> dict[tuple[str, str], str]:
    """The LLMs and reward models that cannot be compared as things are, and why: of those that could be asked."""
    seen = look(pool)
    found = {}
    for llm, reward_model in itertools.product(pool.sampled_llms, filter(partial(scores, pool), pool.reward_models)):
        behind = first_behind(CHAIN, llm, reward_model, seen.states)
        if behind is not None:
            why = f": {seen.failures[behind].said}" if behind in seen.failures else ""
            found[llm, reward_model] = f"{behind.asset}[{behind.key}] is {seen.states[behind]}{why}"
    return found


def sample_fresh(
    staging: Staging, asked: pa.Table, window: str, pool: Pool, step: Step, advance: Advance
) -> dict[str, pa.Table]:
    """Sample every LLM of the pool anew, a chunk for each.

    Returns those that did not answer a single prompt, with a row for every prompt that says why: nothing of them is
    staged, so that they are asked again should this try end early. Raises `UserError` when none answered.
    """
    sampling = pool.sampling.model_copy(update={"n": pool.automation.reevaluate_n})
    silent: dict[str, pa.Table] = {}
    for index, (name, llm) in enumerate(pool.llms.items()):
        if not staging.has(index):
            try:
                with released(llm.load(pool.root)) as model, contextlib.closing(staging.journal(index)) as journal:
                    seed = chunk_seed(sampling, f"{window}/{name}", asked)
                    responses = sample_and_keep(model, asked, sampling, seed, journal)
            except Exception as error:
                step.log.error(f"{name} could not be sampled: {error}")
                responses = failed(dict.fromkeys(range(asked.num_rows), f"{name} could not be sampled: {error}"))
            rows = of_llm(name, responses, asked)
            if rows["error"].null_count:
                staging.write(index, rows)
            else:
                silent[name] = rows
        advance(asked.num_rows)
    if len(silent) == len(pool.llms):
        raise UserError(f"no LLM answered: {'; '.join(rows['error'][0].as_py() for rows in silent.values())}")
    return silent


def of_llm(name: str, responses: pa.Table, asked: pa.Table) -> pa.Table:
    """Responses of an LLM to prompts as rows of `fresh_generations`."""
    prompt_ids = asked["prompt_id"].take(responses["prompt_index"])
    rows = responses.drop_columns("prompt_index").add_column(0, "prompt_id", prompt_ids)
    return rows.add_column(0, "llm", pa.array([name] * len(rows)))


def answered(responses: pa.Table) -> list[str]:
    """The LLMs in `fresh_generations` that answered at least one prompt, in its order."""
    names: list[str] = pc.unique(responses.filter(pc.is_null(responses["error"]))["llm"]).to_pylist()
    return names


def refuse_less(window: str, had: Collection[str], now: Mapping[str, str]) -> None:
    """Raise `UserError` when someone whom the stored re-evaluation of this time has would be left out of it `now`."""
    if lost := [name for name in now if name in had]:
        raise UserError(
            f"the re-evaluation of {window} has {', '.join(lost)}, and one that is made now would not, so it stays as "
            f"it is: {'; '.join(now[name] for name in lost)}"
        )


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


def left_out_rows(reasons: Mapping[tuple[str, str], str], samples: int) -> pa.Table:
    """The rows in `reevaluations` of those LLMs and reward models that are not compared, by their reasons."""
    schema = SCHEMAS["reevaluations"]
    columns = {
        "llm": pa.array([llm for llm, _ in reasons], pa.string()),
        "reward_model": pa.array([reward_model for _, reward_model in reasons], pa.string()),
        "n": pa.array([0] * len(reasons), pa.int32()),
        "samples": pa.array([samples] * len(reasons), pa.int32()),
        "left_out": pa.array(reasons.values(), pa.string()),
    }
    nothing = {field.name: pa.nulls(len(reasons), field.type) for field in schema}
    return pa.table(nothing | columns, schema=schema)


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
    columns["left_out"] = pa.nulls(len(llms), pa.string())
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


class Compared(NamedTuple):
    """What fresh rewards are compared with."""

    expected_rewards: Partitions
    probes: Partitions
    predicted_rewards: Partitions


def make_fresh(step: Step, key: str, prompts: pa.Table) -> None:
    """Sample all LLMs that are complete at the time `key`, and commit the partition with a reason for all others."""
    pool, partition, warehouse = step.pool, step.partition(key), Warehouse(step.pool)
    is_there = warehouse.stamp(partition) is not None
    if has_passed(pool, key, step.asked_for()):
        if is_there:
            return
        raise UserError(f"fresh_generations[{key}]: that time has passed, and LLMs cannot be asked as they were then")
    had = answered(warehouse.read(partition)) if is_there else []
    seen = live(pool).only([llm for llm in pool.sampled_llms if llm in step.seen(key).llms], list(pool.reward_models))
    incomplete = why_left_out(pool)
    reasons = {
        llm: f"{llm} is left out: {incomplete.get((llm, reward_model), 'it is not complete')}"
        for llm, reward_model in itertools.product(pool.sampled_llms, pool.reward_models)
        if llm not in seen.llms and ((llm, reward_model) in incomplete or not scores(pool, reward_model))
    }
    refuse_less(key, had, reasons)
    if not seen.llms:
        raise UserError(f"fresh_generations[{key}]: {'; '.join(reasons.values())}")
    asked = held_out(prompts, pool, key)
    advance = step.progress(f"fresh responses {key}", asked.num_rows * len(seen.llms))
    with step.staging(key) as staging:
        silent = sample_fresh(staging, asked, key, seen, step, advance)
        reasons |= {llm: rows["error"][0].as_py() for llm, rows in silent.items()}
        refuse_less(key, had, reasons)
        order = list(seen.llms)
        for llm, rows in silent.items():
            staging.write(order.index(llm), rows)
        absent = [llm for llm in reasons if llm not in seen.llms]
        for index, llm in enumerate(absent, start=len(order)):
            rows = of_llm(llm, failed(dict.fromkeys(range(asked.num_rows), reasons[llm])), asked)
            staging.write(index, rows)
        staging.commit(len(order) + len(absent))
    step.report(
        key, prompts=asked.num_rows, llms=len(order) - len(silent), not_sampled="; ".join(reasons.values()) or None
    )


def compare(step: Step, key: str, prompts: pa.Table, responses: pa.Table, read: Compared) -> pa.Table:
    """The table `reevaluations` of one time: a row for every LLM that could be asked and every reward model.

    Rows of LLMs and reward models that left the pool since, and were compared at this time, are kept.
    """
    pool = step.pool
    asked = prompts.filter(pc.is_in(prompts["prompt_id"], value_set=responses["prompt_id"].unique()))
    frame = asked.to_pandas().set_index("prompt_id")
    compared, reasons = _whom_to_compare(step, key, responses)
    there = _stored(step, key)
    had = {f"{llm} by {name}" for llm, name in _pairs(there)}
    refuse_less(key, had, {f"{llm} by {name}": why for (llm, name), why in reasons.items()})
    if not any(compared.values()):
        why = "; ".join(dict.fromkeys(reasons.values())) or "none of the LLMs that were sampled then is in the pool"
        raise UserError(f"reevaluations[{key}]: {why}")
    advance = step.progress(f"re-evaluation {key}", sum(map(len, compared.values())) * len(frame))
    tables = []
    for name, llms in compared.items():
        keys = [f"{llm}|{name}" for llm in llms]
        if not llms:
            continue
        with released(pool.reward_models[name].load(pool.root)) as model:
            fresh = fresh_rewards(responses, llms, frame, model, advance)
        predicted = matrix(read.predicted_rewards, keys, "predicted", asked["prompt_id"])
        recorded = matrix(read.expected_rewards, keys, "mean", asked["prompt_id"])
        n_train = np.array([read.probes.read(probe)["n_train"][0].as_py() for probe in keys])
        found = drift(fresh, predicted, recorded, n_train)
        regrets = regret(fresh, predicted, np.zeros(len(llms)))
        tables.append(rows_of(name, llms, pool.automation.reevaluate_n, found, regrets))
    tables.append(left_out_rows(reasons, pool.automation.reevaluate_n))
    if there is not None:
        gone = [llm not in pool.llms or name not in pool.reward_models for llm, name in _pairs(there, of_all=True)]
        tables.append(there.filter(pa.array(gone)))
    if reasons:
        step.report(key, why_left_out="; ".join(f"{llm} by {name}: {why}" for (llm, name), why in reasons.items()))
    return pa.concat_tables(tables)


def _whom_to_compare(
    step: Step, key: str, responses: pa.Table
) -> tuple[dict[str, list[str]], dict[tuple[str, str], str]]:
    """By reward model the LLMs that are compared; and of the other LLMs that could be asked, the reasons."""
    pool, complete = step.pool, step.inputs(key).complete
    there, incomplete = answered(responses), why_left_out(step.pool)
    errors = dict(zip(responses["llm"].to_pylist(), responses["error"].to_pylist(), strict=True))
    compared: dict[str, list[str]] = {}
    reasons = {}
    for name in filter(partial(scores, pool), pool.reward_models):
        compared[name] = [llm for llm in complete.get(name, ()) if llm in there and llm in pool.sampled_llms]
        for llm in pool.sampled_llms:
            if llm not in compared[name]:
                silent = errors.get(llm, "it joined the pool later") if llm not in there else None
                reasons[llm, name] = silent or incomplete.get((llm, name), "it is not complete")
    return compared, reasons


def _stored(step: Step, key: str) -> pa.Table | None:
    warehouse = Warehouse(step.pool)
    is_there = warehouse.stamp(step.partition(key)) is not None
    return warehouse.read(step.partition(key)) if is_there else None


def _pairs(table: pa.Table | None, of_all: bool = False) -> list[tuple[str, str]]:
    """The LLMs and reward models of a re-evaluation, in its order: those that were compared, or all."""
    if table is None:
        return []
    rows = zip(*(table[name].to_pylist() for name in ("llm", "reward_model", "n")), strict=True)
    return [(llm, name) for llm, name, n in rows if n or of_all]


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


def left_out(frame: pd.DataFrame) -> list[str]:
    """Whom a re-evaluation leaves out, in the words of the reasons, each said once."""
    by_reason = frame[frame["left_out"].notna()].groupby(["llm", "left_out"], sort=False)["reward_model"]
    return [f"{llm} (by {', '.join(names)}): {why}" for (llm, why), names in by_reason]


def every_llm_is_compared(loaded: Reevaluated) -> Verdict:
    """Every LLM that can be asked is compared, by every reward model that can score."""
    problems = left_out(loaded.frame)
    return Verdict(problems, {"left_out": len(problems)})


def build(pool: Pool) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """The assets and checks of this module for one pool: none without `automation.reevaluate`."""
    if pool.automation.reevaluate is None:
        return []

    @stage(pool, group="evaluation", kinds={"llm"}, one_run_each=True)
    def fresh_generations(step: Step, prompts: Partitions) -> None:
        """Fresh responses of every LLM to a sample of held-out prompts, at one time."""
        every = prompts.read()
        for key in step.keys:
            make_fresh(step, key, every)

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
        read = Compared(expected_rewards, probes, predicted_rewards)
        warehouse = Warehouse(pool)
        shown = [Partition("reevaluations", window) for window in warehouse.stored("reevaluations")[-SHOWN:]]
        frames = {partition.key: warehouse.read(partition).to_pandas() for partition in shown}
        made = {}
        for key in step.keys:
            if key in frames and has_passed(pool, key, step.asked_for()):
                continue
            made[key] = compare(step, key, every, fresh_generations.read(key), read)
            frames[key] = made[key].to_pandas()
            pictures = {
                f"history by {name}": picture(history(frames, list(rows["llm"]), name), f"bias by {name}")
                for name, rows in frames[key][frames[key]["left_out"].isna()].groupby("reward_model", sort=False)
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
            warnings=[predictions_are_unbiased, llms_answer_as_recorded, every_llm_is_compared],
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
