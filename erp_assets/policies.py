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
import pyarrow.compute as pc
from numpy.typing import NDArray

from erp.policies import COMPARED, PAPER, Zooter, on_features
from erp.probes import RidgeProbes
from erp_assets.features import feature_matrix, read_features
from erp_assets.matrices import Floats, embedding_matrix, is_split, matrix, rewarded
from erp_assets.probes import targets
from erp_assets.stage import Step, stage
from erp_resources.pool import Pool
from erp_resources.warehouse import Partitions

EMBEDDING, FEATURES, CATEGORY = "embedding", "features", "category"
"""What policies read of a prompt: its embedding; all that ERP reads, where that is more; the category it is told."""

PAPERS_BETA = 1.0


def vectors_of(prompts: pa.Table, prompt_embeddings: Partitions, features: Partitions) -> dict[str, NDArray[Any]]:
    """What rivals read of these prompts, in their order: embeddings (n, d) and, where ERP reads more, features (n, f).

    Only so it is seen whether ERP is ahead by its method, or by what it reads.
    """
    found: dict[str, NDArray[Any]] = {EMBEDDING: embedding_matrix(prompt_embeddings.read(), prompts["prompt_id"])}
    if read_features(features).needs_texts:
        found[FEATURES] = feature_matrix(prompts, prompt_embeddings, features)
    return found


def beliefs_of(
    train: Mapping[str, NDArray[Any]], rewards: Floats, test: Mapping[str, NDArray[Any]]
) -> dict[str, Floats]:
    """What every policy without an asset of its own believes about the test prompts (n, M), by its name.

    `train` and `test` give what a policy may read of the prompts: "embedding" (n, d), "category" (n,), and "features"
    (n, f) where ERP reads more than the embedding, which every rival of the embedding then reads as well.
    `rewards` (n', M) are the expected rewards of the train prompts.
    """
    found = {}
    for name, kind in COMPARED.items():
        if name in ("ERP", "Zooter"):
            continue
        found[name] = kind().fit(train[kind.sees], rewards).predict(test[kind.sees])
        if kind.sees == EMBEDDING and FEATURES in train:
            found[on_features(name)] = kind().fit(train[FEATURES], rewards).predict(test[FEATURES])
    return found


def _is_among(table: pa.Table, prompt_ids: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Which rows (n,) of a table are about one of these prompts."""
    return np.asarray(pc.is_in(table["prompt_id"], value_set=prompt_ids.combine_chunks()).to_numpy())


def build(pool: Pool) -> list[dg.AssetsDefinition]:
    """The assets of this module for one pool."""

    @stage(pool, group="probes", kinds={"scipy"})
    def zooter(
        step: Step,
        prompts: Partitions,
        prompt_embeddings: Partitions,
        features: Partitions,
        expected_rewards: Partitions,
    ) -> dict[str, pa.Table]:
        """Zooter: linear softmax networks from the embedding, and from ERP's features, to softmax(r_1..r_M), by KL."""
        table = prompts.read()
        vectors = vectors_of(table, prompt_embeddings, features)
        train_ids = table["prompt_id"].filter(pa.array(is_split(table, "train")))
        made = {}
        for key in step.keys:
            llms = step.llms(key)
            rewarded_ids, rewards = rewarded(expected_rewards, step.llm_keys(key), train_ids)
            rows = _is_among(table, rewarded_ids)
            networks = {reads: Zooter().fit(X[rows], rewards) for reads, X in vectors.items()}
            made[key] = pa.concat_tables(
                pa.table(
                    {
                        "llm": pa.array(llms),
                        "reads": pa.array([reads] * len(llms)),
                        "weights": pa.array(list(network.weights_), type=pa.list_(pa.float64())),
                        "intercept": pa.array(network.intercept_),
                        "beta": pa.array([network.beta_] * len(llms)),
                        "divergence": pa.array([network.divergence_] * len(llms)),
                        "n_train": pa.array([len(rewards)] * len(llms), type=pa.int32()),
                    }
                )
                for reads, network in networks.items()
            )
            network = networks[EMBEDDING]
            step.report(key, beta=network.beta_, divergence=network.divergence_)
        return made

    @stage(pool, group="evaluation", kinds={"scikitlearn"})
    def beliefs(
        step: Step,
        prompts: Partitions,
        prompt_embeddings: Partitions,
        features: Partitions,
        expected_rewards: Partitions,
        predicted_rewards: Partitions,
        zooter: Partitions,
    ) -> dict[str, pa.Table]:
        """What every policy believes that each LLM earns on the test prompts; only category is told the category."""
        table = prompts.read()
        seen: dict[str, NDArray[Any]] = {
            **vectors_of(table, prompt_embeddings, features),
            CATEGORY: table["category"].to_numpy(),
        }
        is_train, is_test = is_split(table, "train"), is_split(table, "test")
        train_ids, test_ids = (table["prompt_id"].filter(pa.array(rows)) for rows in (is_train, is_test))
        test = {name: values[is_test] for name, values in seen.items()}
        made = {}
        for key in step.keys:
            llms, keys = step.llms(key), step.llm_keys(key)
            found = {"ERP": matrix(predicted_rewards, keys, "predicted", test_ids)}
            if FEATURES in seen or step.pool.probe.beta != PAPERS_BETA:
                means, counts = targets(expected_rewards, keys, train_ids)
                papers = RidgeProbes(PAPERS_BETA).fit(seen[EMBEDDING][is_train], means, counts)
                found[PAPER] = papers.predict(test[EMBEDDING])
            for reads, network in zooter.read(key).to_pandas().groupby("reads", sort=False):
                weights, intercept = np.stack(network["weights"].to_list()), network["intercept"].to_numpy()
                found["Zooter" if reads == EMBEDDING else on_features("Zooter")] = test[reads] @ weights.T + intercept
            rewarded_ids, rewards = rewarded(expected_rewards, keys, train_ids)
            rows = _is_among(table, rewarded_ids)
            found |= beliefs_of({name: values[rows] for name, values in seen.items()}, rewards, test)
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
