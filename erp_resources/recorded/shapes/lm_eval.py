"""lm-evaluation-harness' samples_TASK_TIME.jsonl, as --log_samples writes them into a folder for each model."""

import re
from collections.abc import Sequence
from typing import Any

from erp_resources.recorded.shapes.interface import Shape, number, objects, prompt_of
from erp_resources.recorded.sources import File, Record, Tidy, made_rows, own_roles, whole_rows
from erp_resources.settings import UserError

_TASK = re.compile(r"samples_(.+?)(_\d{4}-\d\d-\d\dT.*)?\.jsonl")
_NO_METRIC = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "llm"}
_ROLES = ("prompt", "llm", "category", "answer", "response")


def _recognise(file: File) -> bool:
    return _has_results(file) or file.keys >= {"doc_id", "arguments", "resps"}


def _has_results(file: File) -> bool:
    return file.path.name.startswith("results_") and file.document is not None and "results" in file.document


def _read(files: Sequence[File]) -> Tidy:
    outcomes: dict[tuple[int, Any], Record] = {}
    first: dict[str, None] = {}
    names: list[str] = []
    models = {file.path.parent: (file.document or {}).get("model_name") for file in files if _has_results(file)}
    samples = [file for file in files if not _has_results(file)]
    if not samples:
        raise UserError(f"{files[0].name}: results have no samples in them; run lm_eval with --log_samples")
    for place, file in enumerate(samples):
        llm = str(models.get(file.path.parent) or file.path.parent.name.replace("__", "/"))
        names.append(llm)
        rows = whole_rows([file])
        columns = {name: objects(rows, name) for name in rows.table.column_names}
        filters = columns.get("filter", [None] * len(rows.lines))
        several = len(set(filters)) > 1
        for row, doc in enumerate(columns["doc_id"]):
            one = {name: values[row] for name, values in columns.items()}
            metrics = _metrics(one)
            if several:
                metrics = {f"{name},{filters[row]}": value for name, value in metrics.items()}
            if (place, doc) in outcomes:  # the same response, read by another filter
                outcomes[place, doc].values.update(metrics)
                continue
            main = next(iter(metrics), None)
            first |= {} if main is None else {main: None}
            own = _outcome(one) | {"llm": llm, "category": _task(file)} | metrics
            own["score"] = None if main is None else metrics[main]
            outcomes[place, doc] = Record(place, int(rows.lines[row]), own)
    made = made_rows(list(outcomes.values()), samples)
    roles = {name: name for name in own_roles(made) if name in _ROLES}
    notes = (
        f"score is the first metric of each task ({', '.join(first)})",
        f"the LLM is the one of results_*.json, or the folder's name: {', '.join(dict.fromkeys(names))}",
    )
    return Tidy(made, roles | {"reward": "score"}, notes, "score")


def _task(file: File) -> str:
    named = _TASK.match(file.path.name.removesuffix(".gz"))
    return named[1] if named else file.path.name.partition(".")[0]


def _metrics(one: dict[str, Any]) -> dict[str, float]:
    named = one.get("metrics")
    names = named if isinstance(named, list) else [name for name in one if name not in _NO_METRIC]
    values = {name: number(one.get(name)) for name in names if not str(name).endswith("_hash")}
    return {name: value for name, value in values.items() if value is not None and not isinstance(one[name], str)}


def _outcome(one: dict[str, Any]) -> dict[str, Any]:
    arguments = one["arguments"]
    every = list(arguments.values()) if isinstance(arguments, dict) else arguments
    first: Any = every[0] if isinstance(every, list) and every else every
    asked = first.get("arg_0") if isinstance(first, dict) else first[0] if isinstance(first, list) and first else first
    if isinstance(asked, list) and len(asked) == 1:
        asked = asked[0]
    said = one["resps"]
    while isinstance(said, list) and len(said) == 1:
        said = said[0]
    target = one.get("target")
    return {
        "prompt": prompt_of(asked),
        "answer": None if target is None else str(target),
        "response": said if isinstance(said, str) else None,
    }


LM_EVAL = Shape("lm-evaluation-harness' samples", _recognise, _read)
