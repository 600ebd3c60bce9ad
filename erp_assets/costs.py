"""What a response of an LLM costs on a prompt, and is predicted to.

What belongs here: the prompt_costs asset. What to keep out: the probe (`erp.probes`), and decisions by costs
(`erp.routing`).
"""

from typing import NamedTuple

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import erp
from erp_assets.features import feature_matrix
from erp_assets.matrices import Floats, is_split, nullable
from erp_assets.stage import Step, stage
from erp_resources.language_models import RecordedCost, RecordedLLM, TokenPrice
from erp_resources.pool import Pool
from erp_resources.settings import UserError
from erp_resources.warehouse import Partitions


def recorded_costs(cells: pa.Table, column: str, llm: str, prompt_ids: pa.ChunkedArray) -> Floats:
    """The mean cost of an LLM's outcomes on each prompt (n,), by their samples; nan where none is known.

    Raises `UserError` when none is known at all.
    """
    if column not in cells.column_names:
        raise UserError(f"llms.{llm}.cost: its outcomes have no column of numbers '{column}'")
    cells = cells.filter(pc.is_valid(cells[column]))
    if len(cells) and pc.min(cells[column]).as_py() < 0:
        raise UserError(f"llms.{llm}.cost: its column '{column}' has negative numbers")
    place = pc.index_in(cells["prompt_id"], value_set=prompt_ids.combine_chunks())
    known = pc.is_valid(place)
    cells, index = cells.filter(known), place.filter(known).to_numpy()
    if not len(index):
        raise UserError(f"llms.{llm}.cost: its outcomes have no costs; give the cost of a response as a number")
    n = cells["n"].to_numpy()
    total = np.bincount(index, weights=n * cells[column].to_numpy(), minlength=len(prompt_ids))
    with np.errstate(invalid="ignore"):
        return np.asarray(total / np.bincount(index, weights=n, minlength=len(prompt_ids)))


def price_per_response(llm: str, price: TokenPrice, generations: Partitions) -> float:
    """A price of tokens times those that the LLM's responses take on average.

    Raises `UserError` when it is not known how many tokens there were.
    """
    with generations.open(llm) as file:
        table = file.read(columns=["finish_reason", "prompt_tokens", "completion_tokens"])
    # Where a server counted nothing there are zeros, which would make the LLM look cheap.
    table = table.filter(pc.and_(pc.not_equal(table["finish_reason"], "error"), pc.greater(table["prompt_tokens"], 0)))
    tokens = [pc.mean(table[column]).as_py() or 0.0 for column in ("prompt_tokens", "completion_tokens")]
    if not all(tokens):
        raise UserError(
            f"llms.{llm}.cost: its server counted no tokens, which a price could be multiplied with; "
            "give the cost of a response as a number"
        )
    return (tokens[0] * price.input + tokens[1] * price.output) / 1e6


def build(pool: Pool) -> list[dg.AssetsDefinition]:
    """The asset of this module for one pool."""

    @stage(pool, group="probes", kinds={"scikitlearn"}, one_run_each=True)
    def prompt_costs(
        step: Step,
        prompts: Partitions,
        prompt_embeddings: Partitions,
        features: Partitions,
        generations: Partitions,
    ) -> dict[str, pa.Table]:
        """What the LLM costs on every prompt, and what a second ridge probe predicts where costs differ by prompt."""
        table = prompts.read()
        train = is_split(table, "train")
        read: list[Floats] = []
        made = {}
        for key in step.keys:
            llm, cost = step.pool.llms[key], step.pool.cost_of(key)
            if isinstance(llm, RecordedLLM) and isinstance(cost, RecordedCost):
                actual = recorded_costs(llm.outcomes(step.pool.root), cost.column, key, table["prompt_id"])
                read = read or [feature_matrix(table, prompt_embeddings, features)]
                predicted = predicted_costs(read[0], actual[:, None], train)[:, 0]
            else:
                assert not isinstance(cost, RecordedCost)  # only a recorded LLM may have one
                one = cost if isinstance(cost, float) else price_per_response(key, cost, generations)
                actual = predicted = np.full(table.num_rows, one)
            step.report(key, mean_cost=float(np.nanmean(actual)), prompts_without=int(np.isnan(actual).sum()))
            made[key] = pa.table(
                {"prompt_id": table["prompt_id"], "cost": nullable(actual), "predicted": pa.array(predicted)}
            )
        return made

    return [prompt_costs]


class CostProbes(NamedTuple):
    """Ridge probes of costs: coefficients (M, f), intercepts (M,), leave-one-out predictions (n, M)."""

    coefficients: Floats
    intercepts: Floats
    leave_one_out: Floats

    @classmethod
    def fit(cls, features: Floats, costs: Floats) -> "CostProbes":
        """From the features (n, f) and costs (n, M) of train prompts, nan where one is not known.

        Every LLM has a penalty of its own. One that costs the same on all prompts, or is known on fewer than 2, has
        coefficients of 0 and its mean as the intercept.
        """
        known = ~np.isnan(costs)
        coefficients, intercepts = np.zeros((costs.shape[1], features.shape[1])), np.nanmean(costs, axis=0)
        leave_one_out = np.tile(intercepts, (len(costs), 1))
        differ = (known.sum(axis=0) > 1) & (np.nanmax(costs, axis=0) > np.nanmin(costs, axis=0))
        if differ.any():
            probes = erp.RidgeProbes("auto").fit(features, costs[:, differ])
            coefficients[differ], intercepts[differ] = probes.coefficients_, probes.intercept_
            leave_one_out[:, differ] = probes.leave_one_out_
        return cls(coefficients, intercepts, leave_one_out)


def predicted_costs(features: Floats, actual: Floats, train: NDArray[np.bool_]) -> Floats:
    """The predictions (n, M) of ridge probes of costs (n, M), none negative; leave-one-out on the train prompts.

    Of an LLM with fewer than 2 train prompts of known cost there is one prediction, the mean.
    """
    predicted = np.tile(np.nanmean(actual, axis=0), (len(actual), 1))
    enough = (~np.isnan(actual[train])).sum(axis=0) > 1
    if enough.any():
        probes = CostProbes.fit(features[train], actual[train][:, enough])
        found = features @ probes.coefficients.T + probes.intercepts
        found[train] = probes.leave_one_out
        predicted[:, enough] = np.maximum(found, 0.0)
    return predicted
