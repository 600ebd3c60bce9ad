"""Linear probes from a prompt's embedding to the expected reward.

What belongs here: the probes and predicted_rewards assets. What to keep out: the ridge regression
itself (`erp.probes`).
"""

import dagster as dg
import numpy as np
import pyarrow as pa

import erp
from erp_assets.matrices import embedding_matrix, is_split, matrix, nullable
from erp_assets.stage import Step, stage
from erp_resources.pool import Pool
from erp_resources.warehouse import Partitions


def build(pool: Pool) -> list[dg.AssetsDefinition]:
    """The assets of this module for one pool."""

    @stage(pool, group="models", kinds={"scikitlearn"})
    def probes(
        step: Step, prompts: Partitions, prompt_embeddings: Partitions, expected_rewards: Partitions
    ) -> dict[str, pa.Table]:
        """The ridge probe of the LLM and reward model (eq. 3.2); all probes of a run share one factorisation."""
        table = prompts.read()
        train = is_split(table, "train")
        embeddings = embedding_matrix(prompt_embeddings.read(), table["prompt_id"])
        means, variances, counts = (
            matrix(expected_rewards, step.keys, column, table["prompt_id"]) for column in ("mean", "variance", "n")
        )
        fitted = erp.RidgeProbes(beta=step.pool.probe.beta).fit(embeddings[train], means[train])
        predicted = fitted.predict(embeddings)
        made = {}
        for i, key in enumerate(step.keys):
            known = ~np.isnan(means[:, i])
            test = known & ~train
            r2, ceiling = np.nan, np.nan
            if test.any():
                r2 = float(erp.r2(means[test, i], predicted[test, i]))
                ceiling = erp.noise_ceiling(means[test, i], variances[test, i], counts[test, i])
            row = {
                "coefficients": pa.array([fitted.coefficients_[i]], type=pa.list_(pa.float64())),
                "intercept": [float(fitted.intercept_[i])],
                "beta": [float(fitted.beta_[i])],
                "n_train": pa.array([int((known & train).sum())], type=pa.int32()),
                "r2": nullable([r2]),
                "noise_ceiling": nullable([ceiling]),
            }
            made[key] = pa.table(row)
            step.report(
                key,
                r2=made[key]["r2"][0].as_py(),
                noise_ceiling=made[key]["noise_ceiling"][0].as_py(),
                beta=float(fitted.beta_[i]),
            )
        return made

    @stage(pool, group="models", kinds={"numpy"})
    def predicted_rewards(
        step: Step,
        prompts: Partitions,
        prompt_embeddings: Partitions,
        expected_rewards: Partitions,
        probes: Partitions,
    ) -> dict[str, pa.Table]:
        """What the probe predicts for every prompt; train prompts by leave-one-out, so that nothing is flattered."""
        table = prompts.read()
        train = is_split(table, "train")
        embeddings = embedding_matrix(prompt_embeddings.read(), table["prompt_id"])
        means = matrix(expected_rewards, step.keys, "mean", table["prompt_id"])
        stored = [probes.read(key).to_pylist()[0] for key in step.keys]
        coefficients = np.array([probe["coefficients"] for probe in stored])
        predicted = embeddings @ coefficients.T + np.array([probe["intercept"] for probe in stored])
        betas = np.array([probe["beta"] for probe in stored])
        predicted[train] = erp.leave_one_out(embeddings[train], means[train], betas)
        return {
            key: pa.table({"prompt_id": table["prompt_id"], "predicted": pa.array(predicted[:, i])})
            for i, key in enumerate(step.keys)
        }

    return [probes, predicted_rewards]
