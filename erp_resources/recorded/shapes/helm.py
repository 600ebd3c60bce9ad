"""HELM's runs: a folder for each scenario and LLM, with per_instance_stats.json and scenario_state.json in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from erp_resources.recorded.shapes.interface import Shape, number, objects
from erp_resources.recorded.sources import File, Record, Tidy, made_rows, own_roles, whole_rows
from erp_resources.settings import UserError

_STATS, _STATE, _SPEC = "per_instance_stats.json", "scenario_state.json", "run_spec.json"
_MAIN = (
    "exact_match",
    "quasi_exact_match",
    "prefix_exact_match",
    "quasi_prefix_exact_match",
    "final_number_exact_match",
    "math_equiv_chain_of_thought",
    "math_equiv",
    "ifeval_strict_accuracy",
    "chain_of_thought_correctness",
    "f1_score",
    "rouge_l",
    "rouge_2",
    "bleu_4",
)
"""Metrics by which HELM ranks, the first that a run has."""
_NOT_REWARDS = (
    "num_",
    "training_",
    "inference_",
    "logprob",
    "finish_reason",
    "max_prob",
    "batch_size",
    "prompt_truncated",
)


def _recognise(file: File) -> bool:
    name = file.path.name.removesuffix(".gz")
    if name in (_STATE, _SPEC):
        return file.document is not None and bool(file.document.keys() & {"request_states", "adapter_spec"})
    return file.keys >= {"instance_id", "stats"}


def _read(files: Sequence[File]) -> Tidy:
    runs: dict[Path, dict[str, File]] = {}
    stats: list[tuple[int, File]] = []
    for place, file in enumerate(files):
        runs.setdefault(file.path.parent, {})[file.path.name.removesuffix(".gz")] = file
        if file.document is None:
            stats.append((place, file))
    records: list[Record] = []
    if not stats:
        raise UserError(f"{files[0].name}: the rewards of HELM's runs are in {_STATS}; put it beside")
    for place, file in stats:
        beside = runs[file.path.parent]
        if _STATE not in beside:
            raise UserError(
                f"{file.name}: it has neither prompts nor the LLM; HELM has them in {_STATE} of the same run: give a "
                "folder that holds both"
            )
        records += _run(place, file, beside[_STATE].document or {}, beside.get(_SPEC))
    rows = made_rows(records, files)
    notes = ("perturbed instances are left out", "score is each run's main metric, named in the column 'metric'")
    return Tidy(rows, {k: v for k, v in own_roles(rows).items() if k in _ROLES} | {"reward": "score"}, notes, "score")


_ROLES = ("prompt", "llm", "category", "response")


def _run(place: int, file: File, state: dict[str, Any], spec: File | None) -> list[Record]:
    about = (spec.document or {}) if spec is not None else {}
    adapter = about.get("adapter_spec") or state.get("adapter_spec") or {}
    llm = adapter.get("model") or adapter.get("model_deployment")
    if not llm:
        raise UserError(f"{file.name}: neither {_SPEC} nor {_STATE} beside it names the LLM (adapter_spec.model)")
    category = str(about.get("name") or file.path.parent.name).partition(",")[0]
    asked: dict[tuple[str, int], tuple[Any, Any]] = {}
    for one in state.get("request_states", []):
        instance = one.get("instance", {})
        if not instance.get("perturbation"):
            said = (one.get("result") or {}).get("completions") or [{}]
            key = str(instance.get("id")), int(one.get("train_trial_index") or 0)
            asked.setdefault(key, ((instance.get("input") or {}).get("text"), said[0].get("text")))
    rows = whole_rows([file])
    ids = rows.labels("instance_id").to_pylist()
    trials = objects(rows, "train_trial_index") if "train_trial_index" in rows.table.column_names else [0] * len(ids)
    perturbed = objects(rows, "perturbation") if "perturbation" in rows.table.column_names else [None] * len(ids)
    found = []
    for row, stats in enumerate(objects(rows, "stats")):
        prompt, response = asked.get((ids[row], int(trials[row] or 0)), (None, None))
        if perturbed[row] or prompt is None:
            continue
        values = {stat["name"]["name"]: number(stat.get("mean")) for stat in stats if stat.get("count", 1)}
        values = {name: value for name, value in values.items() if not name.startswith(_NOT_REWARDS)}
        main = next((name for name in _MAIN if name in values), next(iter(values), None))
        own = {"prompt": prompt, "llm": llm, "category": category, "response": response, "metric": main}
        own |= {"score": None if main is None else values[main]} | values
        found.append(Record(place, int(rows.lines[row]), own))
    return found


HELM = Shape("HELM's runs: instances with their statistics", _recognise, _read)
