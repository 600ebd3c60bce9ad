"""Inspect AI's logs in JSON: a file for every task and model. (`inspect log dump` writes one out of a .eval file.)"""

from collections.abc import Sequence
from typing import Any

from erp_resources.recorded.shapes.interface import Shape, number, prompt_of, response_of
from erp_resources.recorded.sources import File, Record, Tidy, made_rows, own_roles
from erp_resources.settings import UserError

_GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Inspect's letters: correct, partial, incorrect, no answer."""
_ROLES = ("prompt", "llm", "category", "answer", "response", "prompt_tokens", "completion_tokens")


def _recognise(file: File) -> bool:
    document = file.document
    return document is not None and document.keys() >= {"version", "status", "eval"}


def _read(files: Sequence[File]) -> Tidy:
    records = []
    empty = []
    first: dict[str, None] = {}
    for place, file in enumerate(files):
        document = file.document or {}
        samples = document.get("samples") or []
        if not samples:
            empty.append(file.name)
        for number_, sample in enumerate(samples, start=1):
            values = _outcome(sample, document["eval"])
            first |= {} if values["scorer"] is None else {values["scorer"]: None}
            records.append(Record(place, -number_, values))
    if not records:
        raise UserError(f"{files[0].name}: the log has no samples (its header alone was read or written)")
    rows = made_rows(records, files)
    notes = [f"score is what the first scorer of each sample gave ({', '.join(first)}): C is 1, P 0.5, I and N 0"]
    notes += [f"logs without samples: {', '.join(empty)}"] if empty else []
    roles = {name: name for name in own_roles(rows) if name in _ROLES}
    return Tidy(rows, roles | {"reward": "score"}, tuple(notes), "score")


def _outcome(sample: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    output = sample.get("output") or {}
    usage = next(iter((sample.get("model_usage") or {}).values()), output.get("usage")) or {}
    scores = sample.get("scores") or ({"score": sample["score"]} if sample.get("score") else {})
    rewards: dict[str, float | None] = {}
    for scorer, score in scores.items():
        value = score.get("value") if isinstance(score, dict) else score
        if isinstance(value, dict):
            rewards |= {f"{scorer}.{key}": _grade(its) for key, its in value.items()}
        else:
            rewards[scorer] = _grade(value)
    first = next(iter(rewards), None)
    target = sample.get("target")
    own = {
        "prompt": prompt_of(sample.get("input")),
        "llm": about.get("model"),
        "category": about.get("task"),
        "answer": target[0] if isinstance(target, list) and len(target) == 1 else target,
        "response": output.get("completion") or response_of(output if output.get("choices") else None),
        "prompt_tokens": usage.get("input_tokens"),
        "completion_tokens": usage.get("output_tokens"),
        "score": None if first is None else rewards[first],
        "scorer": first,
    }
    return own | {f"scores.{name}": value for name, value in rewards.items()}


def _grade(value: Any) -> float | None:
    return _GRADES[value] if isinstance(value, str) and value in _GRADES else number(value)


INSPECT_AI = Shape("Inspect AI's logs: samples with their scores", _recognise, _read)
