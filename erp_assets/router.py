"""What a pool's users route by.

What belongs here: the router asset. What to keep out: the bundle and its decisions (`erp.router`).
"""

import dagster as dg
import numpy as np
import pyarrow as pa

import erp
from erp_assets.costs import CostProbes
from erp_assets.features import feature_matrix, read_features
from erp_assets.matrices import costs_of_prompts, is_split, matrix, rewarded
from erp_assets.stage import Step, Value, stage
from erp_resources.pool import Pool
from erp_resources.warehouse import Partitions


def build(pool: Pool) -> list[dg.AssetsDefinition]:
    """The assets of this module for one pool."""

    @stage(pool, group="probes", kinds={"python"})
    def router(
        step: Step,
        prompts: Partitions,
        prompt_embeddings: Partitions,
        features: Partitions,
        prompt_costs: Partitions,
        expected_rewards: Partitions,
        probes: Partitions,
        predicted_rewards: Partitions,
    ) -> dict[str, Value]:
        """The router as a bundle on disk: probes, costs and embedder; `erp route` and `erp.load_router` read it."""
        every = prompts.read()
        train = every.filter(pa.array(is_split(every, "train")))
        made: dict[str, Value] = {}
        for key in step.keys:
            llms, keys = step.llms(key), step.llm_keys(key)
            prompt_ids, actual = rewarded(expected_rewards, keys, train["prompt_id"])
            predicted = matrix(predicted_rewards, keys, "predicted", prompt_ids)
            stored = [probes.read(probe).to_pylist()[0] for probe in keys]
            costs = costs_of_prompts(prompt_costs, llms, prompt_ids)
            guard = None
            if step.pool.router.guard == "auto":
                guard = erp.Guard.fit(predicted, actual, costs.actual)
            paths = erp.decision_path if guard is None else guard.path
            by_cost: CostProbes | None = None
            if costs.actual.ndim == 2:
                seen = feature_matrix(train, prompt_embeddings, features)
                by_cost = CostProbes.fit(seen, matrix(prompt_costs, llms, "cost", train["prompt_id"]))
            bundle = erp.Router(
                pool=step.pool.name,
                reward_model=key,
                llms=tuple(llms),
                coefficients=np.array([probe["coefficients"] for probe in stored]),
                intercepts=np.array([probe["intercept"] for probe in stored]),
                costs=costs.actual if costs.actual.ndim == 1 else costs.actual.mean(axis=0),
                frontier=paths(predicted, costs.predicted).frontier(actual, costs.actual),
                embedder=step.pool.embedder.model_dump(mode="json"),
                features=read_features(features),
                cost_coefficients=by_cost.coefficients if by_cost else None,
                cost_intercepts=by_cost.intercepts if by_cost else None,
                guard=guard,
                embedder_root=str(step.pool.root.resolve()),
                embedder_fingerprint=step.pool.embedder.fingerprint(step.pool.root),
            )
            made[key] = bundle.save
            step.report(key, llms=len(llms), dimensions=bundle.dimensions, guard_margin=guard.margin if guard else None)
        return made

    return [router]
