"""The event logs of OpenAI Evals: a file for every run, that begins with its specification."""

from collections.abc import Sequence
from typing import Any

from erp_resources.recorded.shapes.interface import Shape, number, prompt_of, response_of
from erp_resources.recorded.sources import File, Record, Tidy, made_rows
from erp_resources.settings import UserError
from erp_resources.tables import read_values


def _recognise(file: File) -> bool:
    return file.keys >= {"run_id", "event_id", "sample_id", "type", "data"}


def _read(files: Sequence[File]) -> Tidy:
    records = [record for place, file in enumerate(files) for record in _run(place, file)]
    rows = made_rows(records, files)
    roles = {"prompt": "prompt", "llm": "llm", "category": "category", "response": "response", "reward": "score"}
    note = "score is whether a sample's match was correct, or else the first number of its metrics"
    return Tidy(rows, roles, (note,), "score")


def _run(place: int, file: File) -> list[Record]:
    spec: dict[str, Any] = {}
    samples: dict[str, Record] = {}
    for line, event in read_values(file.path, file.name):
        if not isinstance(event, dict):
            raise UserError(f"{file.name}:{line}: is no object")
        spec = event.get("spec") or spec
        if "sample_id" not in event:
            continue
        values = samples.setdefault(str(event["sample_id"]), Record(place, line, {})).values
        data = event.get("data") or {}
        if event.get("type") == "sampling" and "prompt" not in values:
            sampled = data.get("sampled")
            sampled = sampled[0] if isinstance(sampled, list) and len(sampled) == 1 else sampled
            values |= {"prompt": prompt_of(data.get("prompt")), "response": response_of(sampled)}
        elif event.get("type") == "match":
            values["score"] = number(data.get("correct"))
        elif event.get("type") == "metrics":
            found = {name: number(value) for name, value in data.items() if not isinstance(value, str)}
            values |= {f"metrics.{name}": value for name, value in found.items() if value is not None}
    functions = spec.get("completion_fns") or (spec.get("run_config") or {}).get("completion_fns") or []
    llm = functions[0] if functions else spec.get("model_name") or (spec.get("model_names") or {}).get("completions")
    llm = llm[0] if isinstance(llm, list) and llm else llm
    if not llm:
        raise UserError(f"{file.name}: its first line, the specification of the run, names no completion_fns")
    for record in samples.values():
        metrics = [value for name, value in record.values.items() if name.startswith("metrics.")]
        record.values.setdefault("score", metrics[0] if metrics else None)
        record.values.update(llm=str(llm), category=spec.get("base_eval") or spec.get("eval_name"))
    return [record for record in samples.values() if record.values.get("prompt")]


OPENAI_EVALS = Shape("OpenAI Evals' logs: events of samples", _recognise, _read)
