"""The columns of every table.

What belongs here: the schemas, and fitting a table to its schema. What to keep out: files (`table_file`, `store`).

A column that joins a table after files of it were written is `late`: nullable, null in what is read from older files,
and no part of a content while it is empty, so that nothing that is stored goes stale by it.
"""

import pyarrow as pa

from erp_resources.lineage import Partition
from erp_resources.settings import UserError


def _column(name: str, kind: pa.DataType, about: str, nullable: bool = False, late: bool = False) -> pa.Field:
    metadata = {"about": about, **({"late": "true"} if late else {})}
    return pa.field(name, kind, nullable=nullable or late, metadata=metadata)


def _interval(name: str, about: str = "null when undefined", late: bool = False) -> list[pa.Field]:
    return [
        _column(f"{name}_{end}", pa.float64(), f"{end} end of the 95 % interval of {name}; {about}", True, late)
        for end in ("low", "high")
    ]


_PROMPT_ID = _column("prompt_id", pa.string(), "hash of the prompt's text")

SCHEMAS: dict[str, pa.Schema] = {
    "prompts": pa.schema(
        [
            _PROMPT_ID,
            _column("prompt", pa.string(), "what the LLMs are asked"),
            _column("embed_text", pa.string(), "what the embedder reads, mostly the prompt itself"),
            _column("category", pa.string(), "kind of task; never used in training a probe"),
            _column(
                "split",
                pa.string(),
                "train or test, drawn by category or given; ood: apart",
            ),
            _column("answer", pa.string(), "known right answer of a verifiable prompt", nullable=True),
            _column("source", pa.string(), "where the prompt is from"),
        ]
    ),
    "prompt_embeddings": pa.schema(
        [
            _PROMPT_ID,
            _column("embedding", pa.list_(pa.float32()), "the prompt's embedding, d numbers"),
            _column("truncated", pa.bool_(), "whether the embedder read only the beginning of its embed_text"),
        ]
    ),
    "generations": pa.schema(
        [
            _PROMPT_ID,
            _column("sample", pa.int32(), "0 to n - 1"),
            _column("response", pa.string(), "what the LLM answered"),
            _column("finish_reason", pa.string(), "stop, length when max_tokens cut it, error when the prompt failed"),
            _column("prompt_tokens", pa.int32(), "tokens of the prompt, chat template included"),
            _column("completion_tokens", pa.int32(), "tokens of the response"),
            _column("error", pa.string(), "why there is no response; a prompt without any has one row", nullable=True),
            _column(
                "model", pa.string(), "the model that the server says has answered; null: it did not say", late=True
            ),
        ]
    ),
    "prompt_costs": pa.schema(
        [
            _PROMPT_ID,
            _column("cost", pa.float64(), "what a response cost, or costs on average; null: not known", nullable=True),
            _column("predicted", pa.float64(), "predicted cost; leave-one-out on train prompts"),
        ]
    ),
    "rewards": pa.schema(
        [
            _PROMPT_ID,
            _column("sample", pa.int32(), "0 to n - 1, as in generations"),
            _column("reward", pa.float32(), "r(x, y); a reward model's raw logit"),
            _column("n", pa.int32(), "how many samples the row is a mean of; 1 for a scored response"),
            _column(
                "readable", pa.bool_(), "whether a check found an answer to read; null where nothing is read", late=True
            ),
        ]
    ),
    "expected_rewards": pa.schema(
        [
            _PROMPT_ID,
            _column(
                "mean", pa.float64(), "empirical expected reward: mean over n samples; null without", nullable=True
            ),
            _column("variance", pa.float64(), "unbiased variance over the samples; null below 2", nullable=True),
            _column("n", pa.int32(), "samples; 0 when the prompt failed"),
        ]
    ),
    "penalties": pa.schema([_column("beta", pa.float64(), "the penalty of all probes (eq. 3.2)")]),
    "probes": pa.schema(
        [
            _column("coefficients", pa.list_(pa.float64()), "ridge coefficients, one for each feature"),
            _column("intercept", pa.float64(), "unpenalised intercept"),
            _column("beta", pa.float64(), "penalty on the sum of squares (eq. 3.2)"),
            _column("n_train", pa.int32(), "prompts that the probe was fitted on"),
            _column("r2", pa.float64(), "R2 on the test split; null when undefined", nullable=True),
            _column("noise_ceiling", pa.float64(), "largest R2 that any predictor could reach", nullable=True),
        ]
    ),
    "predicted_rewards": pa.schema(
        [_PROMPT_ID, _column("predicted", pa.float64(), "predicted expected reward; leave-one-out on train prompts")]
    ),
    "zooter": pa.schema(
        [
            _column("llm", pa.string(), "LLM whose logit the row is"),
            _column(
                "reads", pa.string(), "what the network reads: embedding, or ERP's features; null: embedding", late=True
            ),
            _column("weights", pa.list_(pa.float64()), "weights of the linear softmax network, one for each number"),
            _column("intercept", pa.float64(), "intercept of the logit"),
            _column("beta", pa.float64(), "penalty, tuned on held-out train prompts; one for the network"),
            _column("divergence", pa.float64(), "mean KL on the train prompts, in nats; one for the network"),
            _column("n_train", pa.int32(), "prompts that the network was trained on"),
        ]
    ),
    "beliefs": pa.schema(
        [
            _column(
                "policy",
                pa.string(),
                "the policy; category is told the category, those called (features) read what ERP reads",
            ),
            _column("llm", pa.string(), "LLM"),
            _PROMPT_ID,
            _column("belief", pa.float64(), "what the policy believes that the LLM earns, up to the prompt's constant"),
        ]
    ),
    "predictability": pa.schema(
        [
            _column("llm", pa.string(), "LLM"),
            _column("category", pa.string(), "category of prompts; (all), (out of distribution)"),
            _column("r2", pa.float64(), "R2 on the test split; null when undefined", nullable=True),
            *_interval("r2"),
            _column("noise_ceiling", pa.float64(), "largest R2 that any predictor could reach", nullable=True),
            _column("explained", pa.float64(), "r2 / noise_ceiling: share of the explainable", nullable=True),
            _column("n", pa.int32(), "test prompts"),
        ]
    ),
    "pairwise_wins": pa.schema(
        [
            _column("llm_a", pa.string(), "the first LLM of the pair"),
            _column("llm_b", pa.string(), "the second LLM of the pair"),
            _column(
                "wins", pa.float64(), "P(r(x, Y_b) > r(x, Y_a)), ties half, over all pairs of samples", nullable=True
            ),
            _column("ties", pa.float64(), "P(r(x, Y_b) = r(x, Y_a))", nullable=True),
            _column("auroc", pa.float64(), "AUROC of the difference of predicted ER; null: undefined", nullable=True),
            *_interval("auroc"),
            _column("logistic", pa.float64(), "AUROC of a logistic regression of the embedding", nullable=True),
            *_interval("logistic"),
            _column("difference", pa.float64(), "auroc less logistic", nullable=True),
            *_interval("difference"),
            _column("n", pa.int32(), "test prompts"),
            _column("logistic_features", pa.float64(), "AUROC of a logistic regression of ERP's features", late=True),
            *_interval("logistic_features", late=True),
            _column("difference_features", pa.float64(), "auroc less logistic_features", late=True),
            *_interval("difference_features", late=True),
            _column("ceiling", pa.float64(), "AUROC of the probabilities themselves: the largest there is", late=True),
            *(
                _column(
                    f"{name}_single", pa.float64(), f"{name} at the label of one pair of samples, no ties", late=True
                )
                for name in ("auroc", "logistic", "logistic_features")
            ),
        ]
    ),
    "win_rates": pa.schema(
        [
            _column("category", pa.string(), "category of prompts, or (all)"),
            _column("llm", pa.string(), "LLM"),
            _column("empirical", pa.float64(), "share of prompts on which its ER is the largest, ties shared"),
            *_interval("empirical"),
            _column("predicted", pa.float64(), "share of prompts on which its predicted ER is the largest"),
            _column("n", pa.int32(), "test prompts"),
        ]
    ),
    "proposition_1": pa.schema(
        [
            _column("gap_low", pa.float64(), "the bin's smallest difference of ER"),
            _column("gap_high", pa.float64(), "the bin's largest difference of ER"),
            _column("gap", pa.float64(), "mean difference of ER between the better and the other LLM"),
            _column(
                "win", pa.float64(), "P(reward of the better LLM > reward of the other), over all pairs of samples"
            ),
            *_interval("win"),
            _column("tie", pa.float64(), "P(the two rewards are equal)"),
            _column("bound", pa.float64(), "1 - exp(-gap^2 / (4 sigma^2)), mean over the bin", nullable=True),
            _column("safe_bound", pa.float64(), "the same with safe_sigma", nullable=True),
            _column("verdict", pa.string(), "holds, vacuous (bound no better than a coin), violated, or undefined"),
            _column(
                "sigma", pa.float64(), "pooled standard deviation of the noisiest LLM; one for the table", nullable=True
            ),
            _column(
                "safe_sigma",
                pa.float64(),
                "half of the widest range of rewards of a prompt; one for the table",
                nullable=True,
            ),
            _column("n", pa.int32(), "pairs of LLMs on test prompts"),
        ]
    ),
    "frontiers": pa.schema(
        [
            _column("policy", pa.string(), "the policy; oracle and cross-fitted: in hindsight; always: one fixed LLM"),
            _column("llm", pa.string(), "the fixed LLM of policy always", nullable=True),
            _column(
                "exchange_rate",
                pa.float64(),
                "lambda from which on this row holds; cross-fitted: at which it holds, up to 400, evenly among all",
            ),
            _column(
                "cost", pa.float64(), "mean cost per test prompt; cross-fitted: of those with 2 samples by each LLM"
            ),
            _column(
                "reward",
                pa.float64(),
                "mean expected reward of the chosen LLMs; cross-fitted: by other samples than they are chosen by",
            ),
            _column(
                "regret",
                pa.float64(),
                "mean regret (eq. 4.2), beside the largest mean reward, which the samples' noise raises",
            ),
            *_interval("regret", "null but at up to 400 points of a policy"),
            _column("shares", pa.list_(pa.float64()), "share of prompts sent to each LLM, in the pool file's order"),
        ]
    ),
    "comparisons": pa.schema(
        [
            _column("policy", pa.string(), "the policy"),
            _column("against", pa.string(), "what is subtracted; null: the policy's own number", nullable=True),
            _column("summary", pa.string(), "what is measured, as erp.summaries.SUMMARIES defines it"),
            _column(
                "value", pa.float64(), "the number or difference; null: undefined, inf: never reached", nullable=True
            ),
            *_interval("value"),
            _column("shown", pa.bool_(), "whether p is at most 0.05", nullable=True),
            _column(
                "p",
                pa.float64(),
                "of a difference: how likely one so large is among all of ERP's, or all others, if none differ",
                late=True,
            ),
        ]
    ),
    "split_comparisons": pa.schema(
        [
            _column("split", pa.int32(), "0: the pool's own split; s: the one that is drawn with split.seed + s"),
            _column("policy", pa.string(), "the policy; best single LLM: on this split's test prompts"),
            _column("summary", pa.string(), "what is measured, as erp.summaries.SUMMARIES defines it"),
            _column("value", pa.float64(), "the number; null: undefined", nullable=True),
            _column("n_train", pa.int32(), "train prompts of the split that every LLM has a reward on"),
            _column("n_test", pa.int32(), "test prompts of the split that every LLM has a reward on"),
        ]
    ),
    "reevaluations": pa.schema(
        [
            _column("reward_model", pa.string(), "reward model"),
            _column("llm", pa.string(), "LLM"),
            _column("n", pa.int32(), "held-out prompts that it answered"),
            _column("samples", pa.int32(), "fresh responses to each prompt"),
            _column("fresh", pa.float64(), "mean reward of the fresh responses; null: it answered none", nullable=True),
            _column("predicted", pa.float64(), "mean predicted expected reward of these prompts", nullable=True),
            _column("recorded", pa.float64(), "mean expected reward of these prompts as first sampled", nullable=True),
            _column("bias", pa.float64(), "mean of fresh less predicted", nullable=True),
            *_interval("bias"),
            _column("bias_p", pa.float64(), "probability of such a bias if there were none", nullable=True),
            _column("shift", pa.float64(), "mean of fresh less recorded, on the same prompts", nullable=True),
            *_interval("shift"),
            _column("shift_p", pa.float64(), "probability of such a shift if there were none", nullable=True),
            _column("r2", pa.float64(), "R2 of the predictions at the fresh rewards", nullable=True),
            _column("regret", pa.float64(), "regret of the router at exchange rate 0; one for its LLMs", nullable=True),
            *_interval("regret"),
            _column("left_out", pa.string(), "why it is not compared, its numbers then null; else null", late=True),
        ]
    ),
}
SCHEMAS["fresh_generations"] = pa.schema(
    [_column("llm", pa.string(), "LLM"), *SCHEMAS["generations"]],
)
"""The columns of every table; `llm` and `reward_model` come from the partition where it has them."""


def is_late(field: pa.Field) -> bool:
    """Whether files from before the column was there do without it."""
    return b"late" in (field.metadata or {})


def late_columns(asset: str) -> list[pa.Field]:
    """The columns of a table that older files lack."""
    return [field for field in SCHEMAS[asset] if is_late(field)]


def with_late_columns(table: pa.Table, asset: str) -> pa.Table:
    """The table with those late columns that it lacks, empty, in the schema's order."""
    absent = [field for field in late_columns(asset) if field.name not in table.column_names]
    for field in absent:
        table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    if not absent:
        return table
    known = [name for name in SCHEMAS[asset].names if name in table.column_names]
    return table.select(known + [name for name in table.column_names if name not in known])


def fitted(table: pa.Table, partition: Partition) -> pa.Table:
    """The table with its columns in the schema's order, late ones that it lacks empty.

    Raises `UserError` when a column is missing, unknown, of another type or null where it must not be.
    """
    schema = SCHEMAS[partition.asset]
    name = shown_name(partition)
    table = with_late_columns(table, partition.asset)
    if set(table.column_names) != set(schema.names):
        missing = sorted(set(schema.names) - set(table.column_names))
        unknown = sorted(set(table.column_names) - set(schema.names))
        raise UserError(f"{name}: refused, columns do not fit: missing {missing}, unknown {unknown}")
    table = table.select(schema.names)
    for field in schema:
        column = table.column(field.name)
        if column.type != field.type:
            raise UserError(f"{name}: refused, column '{field.name}' is {column.type} and must be {field.type}")
        if column.null_count and not field.nullable:
            raise UserError(f"{name}: refused, column '{field.name}' has {column.null_count} empty values")
    return table.cast(schema)


def shown_name(partition: Partition) -> str:
    """A partition's name in messages."""
    return f"{partition.asset}[{partition.key}]" if partition.key else partition.asset
