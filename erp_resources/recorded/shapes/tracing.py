"""What tools for tracing export: Langfuse, LangSmith, LiteLLM and Phoenix, each by the names of its columns."""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from erp_resources.recorded.columns import Columns, roles_in
from erp_resources.recorded.shapes.interface import Shape, objects, prompt_of, response_of, where, with_columns
from erp_resources.recorded.sources import File, Tidy, rows_of
from erp_resources.settings import UserError
from erp_resources.tables import Rows


class _Export(NamedTuple):
    """The columns of a tool's export, by role; a name that ends in .* is the only column that begins so."""

    form: str
    needs: tuple[tuple[str, ...], ...]
    """Columns that are there in any such file: one of each."""
    roles: dict[str, tuple[str, ...]]

    def recognise(self, file: File) -> bool:
        """Whether the file has the columns."""
        return all(any(_find(name, file.columns) for name in names) for names in self.needs)

    def read(self, files: Sequence[File]) -> Tidy:
        """The rows that name an LLM and have an input."""
        rows = rows_of(files)
        present = rows.table.column_names
        found = {}
        for role, names in self.roles.items():
            column = next((column for name in names if (column := _find(name, present))), None)
            if column is not None:
                found[role] = column
        if "llm" not in found:
            raise UserError(
                f"{rows.path}: {self.form}, but no column names the LLM ({', '.join(self.roles['llm'])}); name it with "
                f"--llm COLUMN and --prompt {found['prompt']}"
            )
        others = [name for name in present if name not in found.values() and name.rpartition(".")[2] not in _IDS]
        ours = roles_in(others, Columns(), rows.path)
        more = ("reward", "category", "split", "n_samples", "sample", "answer")
        roles = {role: column for role, column in ours.items() if role in more} | found
        rows, notes = _spoken(rows, roles)
        return Tidy(rows, roles, notes, roles.get("reward", ""))


_IDS = ("id", "prompt_id", "promptId", "model_id", "modelId")


def _find(name: str, present: Sequence[str] | frozenset[str]) -> str | None:
    if not name.endswith(".*"):
        return name if name in present else None
    inside = [column for column in present if column.startswith(name[:-1])]
    return inside[0] if len(inside) == 1 else None


def _spoken(rows: Rows, roles: dict[str, str]) -> tuple[Rows, tuple[str, ...]]:
    """Inputs and outputs as texts, and only rows that have an input and an LLM."""
    texts = {roles["prompt"]: [prompt_of(value) for value in objects(rows, roles["prompt"])]}
    if "response" in roles:
        texts[roles["response"]] = [response_of(value) for value in objects(rows, roles["response"])]
    rows = with_columns(rows, {name: pa.array(values, pa.string()) for name, values in texts.items()})
    kept = pa.array([True] * rows.table.num_rows)
    for role in ("prompt", "llm"):
        values = rows.labels(roles[role])
        kept = pc.and_(kept, pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(values), ""), False))
    dropped = len(kept) - (pc.sum(kept).as_py() or 0)
    notes = (f"{dropped:,} rows are of no LLM's call (no input or no LLM): they are left out",) if dropped else ()
    return where(rows, kept), notes


_LANGFUSE = _Export(
    "Langfuse's observations",
    (
        ("input", "input.*", "input.messages"),
        ("traceId", "trace_id"),
        ("providedModelName", "provided_model_name", "model"),
    ),
    {
        "prompt": ("input", "input.messages", "input.*"),
        "llm": ("providedModelName", "provided_model_name", "model"),
        "response": ("output", "output.content", "output.*"),
        "reward": ("scores.*",),
        "cost": ("totalCost", "total_cost", "calculatedTotalCost", "calculated_total_cost", "costDetails.total"),
        "prompt_tokens": ("inputUsage", "usageDetails.input", "usage.input", "promptTokens", "prompt_tokens"),
        "completion_tokens": ("outputUsage", "usageDetails.output", "usage.output", "completionTokens"),
    },
)

_LANGSMITH = _Export(
    "LangSmith's runs",
    (
        ("inputs", "inputs.*", "inputs.question", "inputs.input", "inputs.messages"),
        ("outputs", "outputs.*", "outputs.output", "outputs.answer"),
    ),
    {
        "prompt": (
            "inputs.question",
            "inputs.input",
            "inputs.messages",
            "inputs.prompt",
            "inputs.query",
            "inputs",
            "inputs.*",
        ),
        "llm": (
            "model",
            "model_name",
            "ls_model_name",
            "metadata.ls_model_name",
            "extra.metadata.ls_model_name",
            "metadata.model",
            "metadata.model_name",
            "extra.invocation_params.model",
            "experiment",
            "experiment_name",
            "session_name",
            "project_name",
        ),
        "response": ("outputs.output", "outputs.answer", "outputs.content", "outputs", "outputs.*"),
        "answer": ("reference_outputs.answer", "reference_outputs.output", "reference_outputs", "reference_outputs.*"),
        "reward": ("feedback.*", "feedback.score", "feedback.correctness", "feedback_stats.*"),
        "cost": ("total_cost",),
        "prompt_tokens": ("prompt_tokens",),
        "completion_tokens": ("completion_tokens",),
    },
)

_LITELLM = _Export(
    "LiteLLM's spend logs",
    (("messages",), ("spend",), ("model", "model_group")),
    {
        "prompt": ("messages",),
        "llm": ("model", "model_group"),
        "response": ("response",),
        "cost": ("spend",),
        "prompt_tokens": ("prompt_tokens",),
        "completion_tokens": ("completion_tokens",),
    },
)

_PHOENIX = _Export(
    "Phoenix' spans",
    (("attributes.input.value", "attributes.llm.input_messages"), ("attributes.llm.model_name",)),
    {
        "prompt": ("attributes.llm.input_messages", "attributes.input.value"),
        "llm": ("attributes.llm.model_name",),
        "response": ("attributes.output.value",),
        "reward": ("eval.*",),
        "cost": ("attributes.llm.cost.total", "cost.total", "cumulative_cost"),
        "prompt_tokens": ("attributes.llm.token_count.prompt",),
        "completion_tokens": ("attributes.llm.token_count.completion",),
    },
)

TRACING = tuple(
    Shape(export.form, export.recognise, export.read) for export in (_PHOENIX, _LITELLM, _LANGFUSE, _LANGSMITH)
)
