"""Linear probes from a prompt's features to the expected reward.

What belongs here: the penalties, probes and predicted_rewards assets, and their checks. What to keep out: the ridge
regression itself (`erp.probes`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import stats

import erp
from erp_assets.features import feature_matrix
from erp_assets.matrices import Floats, is_split, matrix, nullable
from erp_assets.stage import Step, Verdict, stage, stage_checks
from erp_resources.lineage import REWARD_MODEL, Partition
from erp_resources.pool import Pool
from erp_resources.warehouse import Partitions, Warehouse

# ---- checks

FARTHEST = 2.0
"""How far beyond the range of the train prompts' expected rewards, in ranges, a prediction may lie.

A ridge probe of sound embeddings hardly leaves the range; one whose coefficients exploded does for any new prompt.
"""

ALPHA = 0.05

SMALL = 0.2
"""Of the standard deviation of rewards, what is called a small effect: a penalty shrinks every category a little."""


class Probed(NamedTuple):
    """What the checks of a probe look at: its row, and expected and predicted rewards of prompts with a category.

    `is_tuned`: its penalty was chosen by leave-one-out.
    """

    key: str
    probe: dict[str, Any]
    is_tuned: bool
    frame: pd.DataFrame
    """prompt_id, category, split, actual (nan where the prompt failed) and predicted."""

    @classmethod
    def load(cls, warehouse: Warehouse, partition: Partition) -> "Probed":
        """Read the probe, and predict every prompt with it."""
        probe = warehouse.read(partition).to_pylist()[0]
        prompts = warehouse.read(Partition("prompts", ""))
        read = (Partitions(warehouse, [Partition(asset, "")]) for asset in ("prompt_embeddings", "features"))
        features = feature_matrix(prompts, *read)
        actual = Partitions(warehouse, [Partition("expected_rewards", partition.key)])
        frame = prompts.select(["prompt_id", "category", "split"]).to_pandas()
        frame["actual"] = matrix(actual, [partition.key], "mean", prompts["prompt_id"])[:, 0]
        frame["predicted"] = features @ np.array(probe["coefficients"]) + probe["intercept"]
        return cls(partition.key, probe, warehouse.pool.probe.beta == "auto", frame)

    def known(self, split: str) -> pd.DataFrame:
        """The prompts of a split that have an expected reward."""
        return self.frame[(self.frame["split"] == split) & self.frame["actual"].notna()]


def probes_are_finite(probed: Probed) -> Verdict:
    """All coefficients and the intercept are finite."""
    weights = np.array([*probed.probe["coefficients"], probed.probe["intercept"]], dtype=np.float64)
    bad = int((~np.isfinite(weights)).sum())
    problems = [f"{bad} of {len(weights)} coefficients of {probed.key} are not finite"] if bad else []
    return Verdict(problems, {"norm": float(np.linalg.norm(weights[:-1])), "not_finite": bad})


def predictions_stay_in_range(probed: Probed) -> Verdict:
    """No prediction lies further beyond the range of the train prompts' rewards than twice that range.

    That is where coefficients that exploded show, whatever the scale of rewards and embeddings.
    """
    train = probed.known("train")["actual"]
    low, high = train.min(), train.max()
    span = high - low
    if not span > 0:
        return Verdict([])
    beyond = np.maximum(low - probed.frame["predicted"], probed.frame["predicted"] - high) / span
    far = probed.frame[beyond > FARTHEST].assign(ranges_beyond=beyond[beyond > FARTHEST])
    norm = float(np.linalg.norm(probed.probe["coefficients"]))
    problems = []
    if len(far):
        problems.append(
            f"{len(far)} predictions of {probed.key} lie more than {FARTHEST:g} ranges beyond any reward it was "
            f"trained on (norm of its coefficients: {norm:.3g}); raise probe.beta or let it be auto"
        )
    numbers = {"norm": norm, "farthest_in_ranges": float(beyond.max())}
    return Verdict(problems, numbers, far[["prompt_id", "category", "predicted", "ranges_beyond"]])


def probes_beat_the_category(probed: Probed) -> Verdict:
    """The R2 on the test prompts is above 0, and above that of the train mean of each prompt's category."""
    train, test = probed.known("train"), probed.known("test")
    if not len(train) or not len(test):
        return Verdict([])
    of_category = test["category"].map(train.groupby("category")["actual"].mean()).fillna(train["actual"].mean())
    own, theirs = (float(erp.r2(test["actual"], predicted)) for predicted in (test["predicted"], of_category))
    if np.isnan(own):
        return Verdict([])
    problems = []
    if own < 0:
        problems.append(
            f"the R2 of {probed.key} is {own:.2f} on the test prompts, worse than one number for all; "
            + ("give more train prompts" if probed.is_tuned else "let probe.beta be auto, or give more train prompts")
        )
    elif own < theirs:
        problems.append(
            f"the R2 of {probed.key} is {own:.2f} on the test prompts, and {theirs:.2f} of the mean of each category: "
            "the embedding tells less than the category"
        )
    return Verdict(problems, {"r2": own, "r2_of_category_means": theirs})


def probes_are_unbiased_in_every_category(probed: Probed) -> Verdict:
    """In no category do test prompts earn more or less than predicted, by more than chance and a small effect.

    Student's t on the residuals, with the noise of training on as many prompts of the category; Bonferroni's
    correction over the categories at 5 %.
    """
    test, train = probed.known("test"), probed.known("train")
    residuals = (test["actual"] - test["predicted"]).groupby(test["category"])
    found = residuals.agg(["mean", "std", "size"]).reset_index()
    trained = found["category"].map(train["category"].value_counts()).fillna(0)
    found = found[(found["size"] > 1) & (trained > 0) & (found["std"] > 0)]
    if not len(found):
        return Verdict([])
    error = found["std"] * np.sqrt(1 / found["size"] + 1 / trained[found.index])
    reach = error * stats.t.ppf(1 - ALPHA / 2 / len(found), found["size"] - 1)
    rows = pd.DataFrame(
        {
            "category": found["category"],
            "bias": found["mean"],
            "low": found["mean"] - reach,
            "high": found["mean"] + reach,
            "prompts": found["size"],
        }
    )
    biased = rows[((rows["low"] > 0) | (rows["high"] < 0)) & (rows["bias"].abs() > SMALL * test["actual"].std())]
    problems = [
        f"{probed.key} earns {row.bias:+.3g} [{row.low:+.3g}, {row.high:+.3g}] on {row.category} compared with its "
        "predictions"
        for row in biased.itertuples()
    ]
    return Verdict(problems, {"largest_bias": float(rows["bias"].abs().max())}, biased)


def targets(expected_rewards: Partitions, keys: Sequence[str], prompt_ids: pa.ChunkedArray) -> tuple[Floats, Floats]:
    """The expected rewards (n, m) that probes learn, nan where there is none, and the samples behind each."""
    mean, n = (matrix(expected_rewards, keys, column, prompt_ids) for column in ("mean", "n"))
    return mean, n


def _reward_models(step: Step) -> list[str]:
    return list(dict.fromkeys(step.names(key)[REWARD_MODEL] for key in step.keys))


def build(pool: Pool) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """The assets and checks of this module for one pool."""

    @stage(pool, group="probes", kinds={"numpy"})
    def penalties(
        step: Step,
        prompts: Partitions,
        prompt_embeddings: Partitions,
        features: Partitions,
        expected_rewards: Partitions,
    ) -> dict[str, pa.Table]:
        """The penalty of the probes of all LLMs: the pool file's, or the one by which LLMs are told apart best.

        It looks at all LLMs, and at nothing else of them: a new one leaves the probes of others as they are, unless
        the best penalty is another then.
        """
        made = {}
        read: list[Floats] = []
        table = prompts.read()
        train = table.filter(pa.array(is_split(table, "train")))
        for key in step.keys:
            beta = step.pool.probe.beta
            if beta == "auto":
                read = read or [feature_matrix(train, prompt_embeddings, features)]
                means, weights = targets(expected_rewards, step.llm_keys(key), train["prompt_id"])
                beta = erp.shared_beta(read[0], means, weights)
            step.report(key, beta=float(beta))
            made[key] = pa.table({"beta": [float(beta)]})
        return made

    @stage(pool, group="probes", kinds={"scikitlearn"})
    def probes(
        step: Step,
        prompts: Partitions,
        prompt_embeddings: Partitions,
        features: Partitions,
        expected_rewards: Partitions,
        penalties: Partitions,
    ) -> dict[str, pa.Table]:
        """The ridge probe of the LLM and reward model (eq. 3.2); all probes of a run share one factorisation."""
        table = prompts.read()
        train = is_split(table, "train")
        seen = feature_matrix(table, prompt_embeddings, features)
        means, variances, counts = (
            matrix(expected_rewards, step.keys, column, table["prompt_id"]) for column in ("mean", "variance", "n")
        )
        betas = {name: penalties.read(name)["beta"][0].as_py() for name in _reward_models(step)}
        coefficients, intercepts = np.empty((len(step.keys), seen.shape[1])), np.empty(len(step.keys))
        for name, beta in betas.items():
            own = [i for i, key in enumerate(step.keys) if step.names(key)[REWARD_MODEL] == name]
            fitted = erp.RidgeProbes(beta).fit(seen[train], means[train][:, own], counts[train][:, own])
            coefficients[own], intercepts[own] = fitted.coefficients_, fitted.intercept_
        predicted = seen @ coefficients.T + intercepts
        made = {}
        for i, key in enumerate(step.keys):
            known = ~np.isnan(means[:, i])
            test = known & is_split(table, "test")
            beta = betas[step.names(key)[REWARD_MODEL]]
            r2, ceiling = np.nan, np.nan
            if test.any():
                r2 = float(erp.r2(means[test, i], predicted[test, i]))
                ceiling = erp.noise_ceiling(means[test, i], variances[test, i], counts[test, i])
            row = {
                "coefficients": pa.array([coefficients[i]], type=pa.list_(pa.float64())),
                "intercept": [float(intercepts[i])],
                "beta": [float(beta)],
                "n_train": pa.array([int((known & train).sum())], type=pa.int32()),
                "r2": nullable([r2]),
                "noise_ceiling": nullable([ceiling]),
            }
            made[key] = pa.table(row)
            step.report(
                key,
                r2=made[key]["r2"][0].as_py(),
                noise_ceiling=made[key]["noise_ceiling"][0].as_py(),
                beta=float(beta),
            )
        return made

    @stage(pool, group="probes", kinds={"numpy"})
    def predicted_rewards(
        step: Step,
        prompts: Partitions,
        prompt_embeddings: Partitions,
        features: Partitions,
        expected_rewards: Partitions,
        probes: Partitions,
    ) -> dict[str, pa.Table]:
        """What the probe predicts for every prompt; train prompts by leave-one-out, so that nothing is flattered."""
        table = prompts.read()
        train = is_split(table, "train")
        seen = feature_matrix(table, prompt_embeddings, features)
        means, counts = (matrix(expected_rewards, step.keys, name, table["prompt_id"]) for name in ("mean", "n"))
        stored = [probes.read(key).to_pylist()[0] for key in step.keys]
        coefficients = np.array([probe["coefficients"] for probe in stored])
        predicted = seen @ coefficients.T + np.array([probe["intercept"] for probe in stored])
        betas = np.array([probe["beta"] for probe in stored])
        predicted[train] = erp.leave_one_out(seen[train], means[train], betas, counts[train])
        return {
            key: pa.table({"prompt_id": table["prompt_id"], "predicted": pa.array(predicted[:, i])})
            for i, key in enumerate(step.keys)
        }

    return [
        penalties,
        probes,
        stage_checks(
            pool,
            "probes",
            Probed.load,
            blocking=[probes_are_finite],
            warnings=[predictions_stay_in_range, probes_beat_the_category, probes_are_unbiased_in_every_category],
        ),
        predicted_rewards,
    ]
