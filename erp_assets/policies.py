"""What routing by predicted reward is compared with.

What belongs here: the zooter and beliefs assets: what is learned by every policy that is compared, and what
it then believes about the test prompts. What to keep out: the policies themselves (`erp.policies`), and what
their decisions earn (`frontiers`).
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from erp.policies import COMPARED, Zooter
from erp_assets.matrices import Floats, embedding_matrix, is_split, matrix, rewarded
from erp_assets.stage import Step, stage
from erp_resources.pool import Pool
from erp_resources.warehouse import Partitions


def beliefs_of(
    train: Mapping[str, NDArray[Any]], rewards: Floats, test: Mapping[str, NDArray[Any]]
) -> dict[str, Floats]:
    """What every policy without an asset of its own believes about the test prompts (n, M), by its name.

    `train` and `test` give what a policy may see of the prompts, "embedding" (n, d) and "category" (n,);
    `rewards` (n', M) are the expected rewards of the train prompts.
    """
    return {
        name: kind().fit(train[kind.sees], rewards).predict(test[kind.sees])
        for name, kind in COMPARED.items()
        if name not in ("ERP", "Zooter")
    }


def build(pool: Pool) -> list[dg.AssetsDefinition]:
    """The assets of this module for one pool."""

    @stage(pool, group="probes", kinds={"scipy"})
    def zooter(
        step: Step, prompts: Partitions, prompt_embeddings: Partitions, expected_rewards: Partitions
    ) -> dict[str, pa.Table]:
        """Zooter: a linear softmax network from the embedding to softmax(r_1..r_M), trained by KL."""
        table = prompts.read()
        train_ids = table["prompt_id"].filter(pa.array(is_split(table, "train")))
        vectors = prompt_embeddings.read()
        made = {}
        for key in step.keys:
            llms = step.llms(key)
            prompt_ids, rewards = rewarded(expected_rewards, step.llm_keys(key), train_ids)
            network = Zooter().fit(embedding_matrix(vectors, prompt_ids), rewards)
            made[key] = pa.table(
                {
                    "llm": pa.array(llms),
                    "weights": pa.array(list(network.weights_), type=pa.list_(pa.float64())),
                    "intercept": pa.array(network.intercept_),
                    "beta": pa.array([network.beta_] * len(llms)),
                    "divergence": pa.array([network.divergence_] * len(llms)),
                    "n_train": pa.array([len(prompt_ids)] * len(llms), type=pa.int32()),
                }
            )
            step.report(key, beta=network.beta_, divergence=network.divergence_)
        return made

    @stage(pool, group="evaluation", kinds={"scikitlearn"})
    def beliefs(
        step: Step,
        prompts: Partitions,
        prompt_embeddings: Partitions,
        expected_rewards: Partitions,
        predicted_rewards: Partitions,
        zooter: Partitions,
    ) -> dict[str, pa.Table]:
        """What every policy believes that each LLM earns on the test prompts; only category is told the category."""
        table = prompts.read()
        vectors = prompt_embeddings.read()
        category_of = dict(zip(table["prompt_id"].to_pylist(), table["category"].to_pylist(), strict=True))

        def seen(prompt_ids: pa.ChunkedArray) -> dict[str, NDArray[Any]]:
            categories = np.array([category_of[prompt_id] for prompt_id in prompt_ids.to_pylist()])
            return {"embedding": embedding_matrix(vectors, prompt_ids), "category": categories}

        train_ids, test_ids = (table["prompt_id"].filter(pa.array(is_split(table, name))) for name in ("train", "test"))
        test = seen(test_ids)
        made = {}
        for key in step.keys:
            llms = step.llms(key)
            rewarded_ids, rewards = rewarded(expected_rewards, step.llm_keys(key), train_ids)
            network = zooter.read(key)
            weights = np.array(network["weights"].to_pylist())
            found = {
                "ERP": matrix(predicted_rewards, step.llm_keys(key), "predicted", test_ids),
                "Zooter": test["embedding"] @ weights.T + network["intercept"].to_numpy(),
                **beliefs_of(seen(rewarded_ids), rewards, test),
            }
            made[key] = pa.concat_tables(
                pa.table(
                    {
                        "policy": pa.array([policy] * len(test_ids)),
                        "llm": pa.array([llm] * len(test_ids)),
                        "prompt_id": test_ids,
                        "belief": pa.array(believed[:, i]),
                    }
                )
                for policy, believed in found.items()
                for i, llm in enumerate(llms)
            )
        return made

    return [zooter, beliefs]
