"""The interface of an LLM: what every backend is given, what it gives back, and what it may cost."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Protocol, Self, runtime_checkable

import pyarrow as pa
from pydantic import Discriminator, Field, Tag, model_validator

from erp_resources.settings import Amount, Seed, Settings, Text

RESPONSES = pa.schema(
    [
        pa.field("prompt_index", pa.int32(), nullable=False),
        pa.field("sample", pa.int32(), nullable=False),
        pa.field("response", pa.string(), nullable=False),
        pa.field("finish_reason", pa.string(), nullable=False),
        pa.field("prompt_tokens", pa.int32(), nullable=False),
        pa.field("completion_tokens", pa.int32(), nullable=False),
        pa.field("error", pa.string()),
    ]
)
"""What `LanguageModel.sample` returns: `prompt_index` points into the prompts of the call, `sample`
runs from 0 to n - 1 for each of them, `finish_reason` is "stop" or "length" (cut by max_tokens).

A prompt that fails for good (refused by a content filter, longer than the context) has one row instead:
sample 0, an empty response, finish_reason "error" and what went wrong in `error`, null everywhere else.
Failures of the model itself (a server that is gone, no memory left) are raised."""


SERVED_RESPONSES = RESPONSES.append(pa.field("model", pa.string()))
"""What an LLM behind a server returns: the name of the model that the server says has answered, too.

A sample that a server withheld is a row with its error after the others of its prompt, which are numbered from 0 on."""


def failed(errors: Mapping[int, str]) -> pa.Table:
    """The rows of prompts that failed for good, by their index, with the schema `RESPONSES`."""
    n = len(errors)
    return pa.table(
        {
            "prompt_index": pa.array(list(errors), pa.int32()),
            "sample": pa.array([0] * n, pa.int32()),
            "response": pa.array([""] * n, pa.string()),
            "finish_reason": pa.array(["error"] * n, pa.string()),
            "prompt_tokens": pa.array([0] * n, pa.int32()),
            "completion_tokens": pa.array([0] * n, pa.int32()),
            "error": pa.array(list(errors.values()), pa.string()),
        },
        schema=RESPONSES,
    )


MOST_SAMPLES = 100_000
"""To one prompt: more was mistyped."""


class Sampling(Settings):
    """How responses are drawn: the empirical expected reward is a mean over `n` samples (section 3.1)."""

    n: Annotated[int, Field(gt=0, le=MOST_SAMPLES)] = 32
    temperature: Annotated[float, Field(gt=0, le=100)] = 1.0
    max_tokens: Annotated[int, Field(gt=0, le=10_000_000)] = 1024
    seed: Seed = 0
    chunk_size: Annotated[int, Field(gt=0, le=1_000_000)] = 128
    """Prompts that are sampled (or scored) between two writes to disk: what a crash can cost."""
    max_failed: float = Field(default=0.05, ge=0, le=1)
    """The share of prompts that may fail for good before an LLM's generations count as failed."""

    def fingerprint(self) -> dict[str, Any]:
        """What changes the responses."""
        return self.model_dump(exclude={"max_failed"})


class TokenPrice(Settings):
    """What a provider charges per million tokens of the prompt and of the response."""

    input: Amount
    output: Amount


class ParameterCost(Settings):
    """An LLM's parameters, and those of them that work on any one token, as in a mixture of experts.

    The pool's `cost.parameters` says which of the two is its cost per response.
    """

    parameters: Amount
    active_parameters: Amount

    @model_validator(mode="after")
    def _active_ones_are_among_them(self) -> Self:
        if self.active_parameters > self.parameters:
            raise ValueError(
                f"active_parameters {self.active_parameters:g} are more than all parameters, {self.parameters:g}; "
                "swap the two, or write what of them works on one token"
            )
        return self


class RecordedCost(Settings):
    """What every outcome cost stands in this column of the recorded data; "cost" is the one that is called so."""

    column: Text


def _kind_of_cost(value: Any) -> str:
    if isinstance(value, ParameterCost) or (isinstance(value, dict) and value.keys() & ParameterCost.model_fields):
        return "of-parameters"  # no key of a file: messages leave it out
    return "price" if isinstance(value, dict | TokenPrice) else "number"


def _kind_of_recorded_cost(value: Any) -> str:
    if isinstance(value, RecordedCost) or (isinstance(value, dict) and "column" in value):
        return "recorded"
    return _kind_of_cost(value)


# Told apart before they are validated, so that a mistake is explained once and not for both kinds.
Cost = Annotated[
    Annotated[Amount, Tag("number")]
    | Annotated[TokenPrice, Tag("price")]
    | Annotated[ParameterCost, Tag("of-parameters")],
    Discriminator(_kind_of_cost),
]
"""What an LLM costs: a number per response (section 4), its parameters in two counts, or a price of tokens."""

CostOrRecorded = Annotated[
    Annotated[Amount, Tag("number")]
    | Annotated[TokenPrice, Tag("price")]
    | Annotated[ParameterCost, Tag("of-parameters")]
    | Annotated[RecordedCost, Tag("recorded")],
    Discriminator(_kind_of_recorded_cost),
]
"""The same, or what was recorded of every outcome."""


class Inspected(NamedTuple):
    """What an LLM's `inspect(root, prompts, sampling)` finds out before anything is sampled.

    That its config, tokenizer and template load, or its server answers, else it raises `UserError`; how many
    tokens the prompts have (None: only its server counts them); and how many of them leave less than
    `sampling.max_tokens` of its `context`.
    """

    prompt_tokens: int | None
    too_long: int
    context: int | None

    @classmethod
    def of(cls, lengths: Sequence[int], context: int | None, sampling: Sampling) -> "Inspected":
        """From the prompts' lengths in tokens."""
        too_long = 0 if context is None else sum(length + sampling.max_tokens > context for length in lengths)
        return cls(sum(lengths), too_long, context)


class LanguageModel(Protocol):
    """An LLM that answers prompts with samples.

    One that holds a device or processes has a method `close`, which whoever loaded it calls when it is done.
    """

    def sample(self, prompts: Sequence[str], sampling: Sampling, seed: int) -> pa.Table:
        """Draw `sampling.n` independent responses to every prompt.

        Returns a table with the schema `RESPONSES`, sorted by prompt_index and sample: n rows per prompt,
        or one that says why it failed. The same arguments on the same machine give the same table where the
        engine can promise it.
        """
        ...


@runtime_checkable
class ServedModel(Protocol):
    """An LLM whose every answer is paid for: it gives each away when it comes, and is not asked for it again."""

    def sample_and_keep(
        self,
        prompts: Sequence[str],
        sampling: Sampling,
        seed: int,
        known: Mapping[int, Sequence[Sequence[Any]]],
        keep: Callable[[int, Sequence[Sequence[Any]]], None],
    ) -> pa.Table:
        """As `LanguageModel.sample`, with the schema `SERVED_RESPONSES`.

        `keep` is called with the index of a prompt and its rows, as JSON can hold them, as soon as they are there, from
        a thread of the model's; `known` are those that were kept before, by the same arguments.
        """
        ...
