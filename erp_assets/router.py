"""What a pool's users route by.

What belongs here: the router asset. What to keep out: the bundle and its decisions (`erp.router`).
"""

import dagster as dg
import numpy as np
import pyarrow as pa

import erp
from erp_assets.matrices import costs_per_response, is_split, matrix, rewarded
from erp_assets.stage import Step, Value, stage
from erp_resources.pool import Pool
from erp_resources.warehouse import Partitions


def build(pool: Pool) -> list[dg.AssetsDefinition]:
    """The assets of this module for one pool."""

    @stage(pool, group="probes", kinds={"python"})
    def router(
        step: Step,
        prompts: Partitions,
        generations: Partitions,
        expected_rewards: Partitions,
        probes: Partitions,
        predicted_rewards: Partitions,
    ) -> dict[str, Value]:
        """The router as a bundle on disk: probes, costs and embedder; `erp route` and `erp.Router.load` read it."""
        every = prompts.read()
        train_ids = every["prompt_id"].filter(pa.array(is_split(every, "train")))
        made: dict[str, Value] = {}
        for key in step.keys:
            llms, costs = step.llms(key), costs_per_response(step.seen(key), generations)
            prompt_ids, actual = rewarded(expected_rewards, step.llm_keys(key), train_ids)
            predicted = matrix(predicted_rewards, step.llm_keys(key), "predicted", prompt_ids)
            stored = [probes.read(probe).to_pylist()[0] for probe in step.llm_keys(key)]
            bundle = erp.Router(
                pool=step.pool.name,
                reward_model=key,
                llms=tuple(llms),
                coefficients=np.array([probe["coefficients"] for probe in stored]),
                intercepts=np.array([probe["intercept"] for probe in stored]),
                costs=costs,
                frontier=erp.exact_frontier(predicted, actual, costs),
                embedder=step.pool.embedder.model_dump(mode="json"),
            )
            made[key] = bundle.save
            step.report(key, llms=len(llms), dimensions=bundle.dimensions)
        return made

    return [router]
