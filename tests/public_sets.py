"""Small files in the shapes in which public benchmarks, evaluation tools and logs have their outcomes.

The schemas are theirs, the contents made up: the same prompts, LLMs and rewards in each, so that one truth holds for
all (`TRUTH`). A builder writes one shape into a folder and returns what is imported: a file in it, or itself.
"""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

LLMS = ("gpt-4", "claude-2", "mistral-7b")
PROMPTS = [
    f"What is {i} plus {i * i % 7}?" if i % 2 else f"Name a river that is longer than {i} km." for i in range(12)
]
ANSWERS = [f"answer {i}" for i in range(12)]


def reward(i: int, m: int) -> float:
    """Of LLM m on prompt i."""
    return float((3 * i + 5 * m + i * m) % 4 < 2)


def response(i: int, m: int) -> str:
    """Of LLM m on prompt i."""
    return f"{LLMS[m]} says {i}"


def cost(i: int, m: int) -> float:
    """Of LLM m on prompt i."""
    return (3 - m) * (10 + i) / 1e5


TRUTH = {llm: sum(reward(i, m) for i in range(12)) / 12 for m, llm in enumerate(LLMS)}
"""The mean reward of every LLM."""
COSTS = {llm: sum(cost(i, m) for i in range(12)) / 12 for m, llm in enumerate(LLMS)}
CELLS = [(i, m) for i in range(12) for m in range(3)]


def lines(file: Path, rows: list[Any]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def document(file: Path, value: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, ensure_ascii=False, indent=2), encoding="utf-8")
    return file


def table(file: Path, rows: list[dict[str, Any]], index: bool = False) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(file, index=index)
    return file


def _scores(i: int) -> dict[str, Any]:
    scores = {llm: reward(i, m) for m, llm in enumerate(LLMS)}
    return {"question": PROMPTS[i], "scores": scores, "cluster_id": i % 3}


def routerdc(folder: Path) -> Path:
    return document(folder / "gsm8k-train.json", [_scores(i) for i in range(12)])


def routerdc_folder(folder: Path) -> Path:
    document(folder / "gsm8k-train.json", [_scores(i) for i in range(6)])
    document(folder / "mbpp.json", [_scores(i) for i in range(6, 12)])
    return folder


def _routerbench(i: int) -> dict[str, Any]:
    row: dict[str, Any] = {"sample_id": f"mbpp.{i}", "prompt": PROMPTS[i], "eval_name": "mbpp"}
    row |= {llm: reward(i, m) for m, llm in enumerate(LLMS)}
    row |= {f"{llm}|model_response": response(i, m) for m, llm in enumerate(LLMS)}
    row |= {f"{llm}|total_cost": cost(i, m) for m, llm in enumerate(LLMS)}
    return row | {"oracle_model_to_route_to": "gpt-4"}


def routerbench(folder: Path) -> Path:
    return table(folder / "mbpp_test.csv", [_routerbench(i) for i in range(12)], index=True)


def routerbench_folder(folder: Path) -> Path:
    table(folder / "mbpp_test.csv", [_routerbench(i) for i in range(6)], index=True)
    table(folder / "mmlu_test.csv", [_routerbench(i) for i in range(6, 12)], index=True)
    return folder


def llmrouter_json(folder: Path) -> Path:
    return document(folder / "test.json", [_scores(i) for i in range(12)])


def llmrouter_queries(folder: Path) -> Path:
    rows = [{"task_name": "gsm8k", "query": PROMPTS[i], "ground_truth": ANSWERS[i], "metric": "em"} for i in range(12)]
    return lines(folder / "default_query_test.jsonl", rows)


def llmrouter_routing(folder: Path) -> Path:
    rows = [
        {
            "task_name": "gsm8k",
            "query": PROMPTS[i],
            "ground_truth": ANSWERS[i],
            "metric": "em",
            "model_name": LLMS[m],
            "response": response(i, m),
            "token_num": 10 + i,
            "input_tokens": 9,
            "output_tokens": 8,
            "response_time": 0.1 * i,
            "performance": reward(i, m),
            "embedding_id": i,
            "user_id": "",
        }
        for i, m in CELLS
    ]
    return lines(folder / "routing_data.jsonl", rows)


def semantic_router(folder: Path) -> Path:
    rows = [
        {
            "query": PROMPTS[i],
            "category": "math",
            "model_name": LLMS[m],
            "performance": reward(i, m),
            "response_time": 0.5,
        }
        for i, m in CELLS
    ]
    return lines(folder / "training.jsonl", rows)


def _routerarena(m: int) -> list[dict[str, Any]]:
    return [
        {
            "global_index": f"arena_{i}",
            "question": PROMPTS[i],
            "llm_selected": LLMS[m],
            "generated_answer": response(i, m),
            "token_usage": {"input_tokens": 12, "output_tokens": 3 + i},
            "success": True,
            "provider": "openai",
            "evaluation_result": {"extracted_answer": "A", "ground_truth": "A", "score": reward(i, m), "metric": "mcq"},
            "batch_size": 1,
            "batch_number": 1,
            "batch_index": 0,
        }
        for i in range(12)
    ]


def routerarena(folder: Path) -> Path:
    return lines(folder / "gpt-4.jsonl", _routerarena(0))


def routerarena_folder(folder: Path) -> Path:
    for m, llm in enumerate(LLMS):
        lines(folder / f"{llm}.jsonl", _routerarena(m))
    return folder


def _routellm(rows: range, responses: bool) -> list[dict[str, Any]]:
    names = [f"vendor/{llm}" for llm in LLMS]
    made: list[dict[str, Any]] = []
    for i in rows:
        row: dict[str, Any] = {"prompt": PROMPTS[i]}
        for m, name in enumerate(names):
            row |= {f"{name}_response": response(i, m)} if responses else {}
            row[name] = bool(reward(i, m))
        made.append(row)
    return made


def routellm_gsm8k(folder: Path) -> Path:
    return table(folder / "gsm8k_responses.csv", _routellm(range(12), responses=True))


def routellm_mmlu(folder: Path) -> Path:
    return table(folder / "mmlu_marketing.csv", _routellm(range(12), responses=False))


def routellm_folder(folder: Path) -> Path:
    table(folder / "mmlu_marketing.csv", _routellm(range(6), responses=False))
    table(folder / "mmlu_law.csv", _routellm(range(6, 12), responses=False))
    return folder


def _judgments() -> list[dict[str, Any]]:
    return [
        {
            "question_id": 81 + i,
            "model": LLMS[m],
            "judge": ["gpt-4", "single-v1"],
            "user_prompt": f"[Question]\n{PROMPTS[i]}\n[Answer]\n{response(i, m)}",
            "judgment": "Rating: [[1]]",
            "score": reward(i, m),
            "turn": 1,
            "tstamp": 1700000000.5 + i,
        }
        for i, m in CELLS
    ]


def mt_bench_judgements(folder: Path) -> Path:
    return lines(folder / "judgements.jsonl", _judgments())


def routellm_mixed(folder: Path) -> Path:
    routellm_gsm8k(folder)
    table(folder / "other.csv", [{"prompt": PROMPTS[i], "small": reward(i, 0)} for i in range(12)])
    return folder


def mt_bench_folder(folder: Path) -> Path:
    questions = [
        {"question_id": 81 + i, "category": "writing", "turns": [PROMPTS[i], "Now shorter."]} for i in range(12)
    ]
    lines(folder / "question.jsonl", questions)
    mt_bench_judgements(folder)
    return folder


def _alpaca(m: int) -> list[dict[str, Any]]:
    return [
        {
            "instruction": PROMPTS[i],
            "output_1": "the baseline's answer",
            "generator_1": "text_davinci_003",
            "dataset": "helpful_base",
            "output_2": response(i, m),
            "generator_2": LLMS[m],
            "annotator": "weighted_alpaca_eval_gpt4_turbo",
            "preference": 1 + reward(i, m),
            "price_per_example": 0.02,
            "time_per_example": 1.5,
        }
        for i in range(12)
    ]


def alpaca_eval(folder: Path) -> Path:
    for m, llm in enumerate(LLMS):
        document(folder / "results" / llm / "annotations.json", _alpaca(m))
    return folder


def alpaca_eval_one(folder: Path) -> Path:
    return lines(folder / "annotations.jsonl", _alpaca(0))


def alpaca_eval_renamed(folder: Path) -> Path:
    rows = [row for m in range(3) for row in _alpaca(m)]
    for row in rows:
        row["model"] = row.pop("generator_2")
    return lines(folder / "annotations.jsonl", rows)


def inspect_ai(folder: Path) -> Path:
    for m, llm in enumerate(LLMS):
        samples = [
            {
                "id": i,
                "epoch": 1,
                "input": PROMPTS[i] if i % 3 else [{"role": "user", "content": PROMPTS[i]}],
                "target": ANSWERS[i],
                "messages": [{"role": "user", "content": PROMPTS[i]}, {"role": "assistant", "content": response(i, m)}],
                "output": {
                    "model": llm,
                    "choices": [{"message": {"role": "assistant", "content": response(i, m)}, "stop_reason": "stop"}],
                    "usage": {"input_tokens": 12, "output_tokens": 4, "total_tokens": 16},
                },
                "scores": {"match": {"value": "C" if reward(i, m) else "I", "answer": "A", "explanation": "..."}},
                "metadata": {},
                "store": {},
                "events": [],
            }
            for i in range(12)
        ]
        log = {
            "version": 2,
            "status": "success",
            "eval": {"task": "rivers", "model": llm, "created": "2024-11-05T13:31:45", "dataset": {"name": "r"}},
            "plan": {"name": "plan", "steps": [{"solver": "generate", "params": {}}]},
            "results": {"total_samples": 12, "scores": [{"name": "match", "metrics": {}}]},
            "stats": {"started_at": "2024-11-05T13:31:45", "model_usage": {}},
            "samples": samples,
        }
        document(folder / f"2024-11-05T13-31-4{m}_rivers_{m}.json", log)
    return folder


def lm_eval(folder: Path) -> Path:
    for m, llm in enumerate(LLMS):
        own = folder / f"vendor__{llm}"
        rows = [
            {
                "doc_id": i,
                "doc": {"question": PROMPTS[i], "answer": ANSWERS[i]},
                "target": ANSWERS[i],
                "arguments": {"gen_args_0": {"arg_0": PROMPTS[i], "arg_1": {"until": ["\n"]}}},
                "resps": [[response(i, m)]],
                "filtered_resps": [response(i, m)],
                "filter": name,
                "metrics": ["exact_match"],
                "exact_match": reward(i, m) if name == "strict-match" else 1.0,
                "doc_hash": "d",
                "prompt_hash": "p",
                "target_hash": "t",
            }
            for name in ("strict-match", "flexible-extract")
            for i in range(12)
        ]
        lines(own / "samples_gsm8k_2024-07-01T10-11-12.123456.jsonl", rows)
        results = {"results": {"gsm8k": {"exact_match,strict-match": 0.5}}, "config": {"model": "hf"}}
        document(own / "results_2024-07-01T10-11-12.123456.json", results | {"model_name": f"vendor/{llm}"})
    return folder


def _helm_stats(m: int) -> list[dict[str, Any]]:
    return [
        {
            "instance_id": f"id{i}",
            "train_trial_index": 0,
            "stats": [
                {"name": {"name": "num_prompt_tokens", "split": "test"}, "count": 1, "sum": 90, "mean": 90},
                {"name": {"name": "exact_match", "split": "test"}, "count": 1, "sum": 1, "mean": reward(i, m)},
                {"name": {"name": "quasi_exact_match", "split": "test"}, "count": 1, "sum": 1, "mean": 1.0},
            ],
        }
        for i in range(12)
    ]


def helm_stats(folder: Path) -> Path:
    return document(folder / "per_instance_stats.json", _helm_stats(0))


def helm(folder: Path) -> Path:
    for m, llm in enumerate(LLMS):
        run = folder / "runs" / "v1" / f"mmlu:subject=law,model={llm}"
        document(run / "per_instance_stats.json", _helm_stats(m))
        adapter = {"method": "multiple_choice_joint", "model": f"vendor/{llm}", "model_deployment": f"x/{llm}"}
        document(run / "run_spec.json", {"name": f"mmlu:subject=law,model={llm}", "adapter_spec": adapter})
        states = [
            {
                "instance": {"input": {"text": PROMPTS[i]}, "references": [], "split": "test", "id": f"id{i}"},
                "train_trial_index": 0,
                "request": {"model": llm, "prompt": f"Answer.\n{PROMPTS[i]}"},
                "result": {"success": True, "completions": [{"text": response(i, m), "logprob": -1.0}]},
            }
            for i in range(12)
        ]
        document(run / "scenario_state.json", {"adapter_spec": adapter, "request_states": states})
        document(run / "stats.json", [{"name": {"name": "exact_match"}, "count": 12, "mean": 0.5}])
    return folder


def _promptfoo_csv(file: Path, models: list[int]) -> Path:
    header = ["question"]
    for m in models:
        header += [f"[{LLMS[m]}] {{{{question}}}}", "Status", "Score", "Named Scores", "Grader Reason", "Comment"]
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        for i, prompt in enumerate(PROMPTS):
            row: list[Any] = [prompt]
            for m in models:
                good = reward(i, m)
                row += [response(i, m), "PASS" if good else "FAIL", f"{good:.2f}", "", "because", ""]
            writer.writerow(row)
    return file


def promptfoo_csv_one(folder: Path) -> Path:
    return _promptfoo_csv(folder / "eval.csv", [0])


def promptfoo_csv(folder: Path) -> Path:
    return _promptfoo_csv(folder / "eval.csv", [0, 1, 2])


def _promptfoo(i: int, m: int) -> dict[str, Any]:
    return {
        "promptIdx": 0,
        "testIdx": i,
        "testCase": {"vars": {"question": PROMPTS[i]}},
        "promptId": "abc",
        "provider": {"id": LLMS[m], "label": ""},
        "prompt": {"raw": PROMPTS[i], "label": "{{question}}"},
        "vars": {"question": PROMPTS[i]},
        "response": {
            "output": response(i, m),
            "tokenUsage": {"total": 9, "prompt": 5, "completion": 4},
            "cached": False,
        },
        "success": bool(reward(i, m)),
        "failureReason": 0 if reward(i, m) else 1,
        "score": reward(i, m),
        "latencyMs": 900,
        "cost": cost(i, m),
        "namedScores": {},
        "gradingResult": {"pass": bool(reward(i, m)), "score": reward(i, m), "reason": "..."},
        "id": f"{i}-{m}",
    }


def promptfoo_jsonl(folder: Path) -> Path:
    return lines(folder / "eval.jsonl", [_promptfoo(i, m) for i, m in CELLS])


def promptfoo_json(folder: Path) -> Path:
    results = {
        "version": 3,
        "timestamp": "2025-01-01",
        "prompts": [{"raw": "{{question}}", "label": "{{question}}", "provider": llm} for llm in LLMS],
        "results": [_promptfoo(i, m) for i, m in CELLS],
        "stats": {"successes": 1, "failures": 2},
    }
    return document(folder / "eval.json", {"evalId": "eval-1", "results": results, "config": {"providers": list(LLMS)}})


def langsmith(folder: Path) -> Path:
    rows = [
        {
            "id": f"{i}-{m}",
            "inputs.question": PROMPTS[i],
            "outputs.answer": response(i, m),
            "reference_outputs.answer": ANSWERS[i],
            "feedback.correctness": reward(i, m),
            "metadata.ls_model_name": LLMS[m],
            "latency": 1.5,
            "total_tokens": 50,
            "total_cost": cost(i, m),
            "status": "success",
        }
        for i, m in CELLS
    ]
    return table(folder / "experiment.csv", rows)


def langfuse(folder: Path) -> Path:
    rows: list[dict[str, Any]] = [
        {
            "id": f"o{i}-{m}",
            "traceId": f"t{i}-{m}",
            "type": "GENERATION",
            "name": "call",
            "startTime": "2025-01-01T00:00:00Z",
            "latency": 0.9,
            "model": LLMS[m],
            "modelId": "clx0-uuid-of-the-model",
            "promptId": "template-1",
            "promptName": "answer",
            "input": [{"role": "user", "content": PROMPTS[i]}],
            "output": {"role": "assistant", "content": response(i, m)},
            "totalCost": cost(i, m),
            "scores": {"correctness": reward(i, m)},
        }
        for i, m in CELLS
    ]
    span = {
        "id": "s",
        "traceId": "t",
        "type": "SPAN",
        "name": "outer",
        "input": "a span",
        "output": None,
        "model": None,
    }
    return lines(folder / "observations.jsonl", [span, *rows])


def litellm(folder: Path) -> Path:
    rows = [
        {
            "request_id": f"r{i}-{m}",
            "call_type": "acompletion",
            "api_key": "hash",
            "spend": cost(i, m),
            "total_tokens": 20,
            "prompt_tokens": 12,
            "completion_tokens": 8,
            "startTime": "2025-01-01 00:00:00",
            "endTime": "2025-01-01 00:00:01",
            "model": LLMS[m],
            "model_id": "0d6f-uuid",
            "model_group": "chat",
            "custom_llm_provider": "openai",
            "user": "u",
            "messages": json.dumps([{"role": "user", "content": PROMPTS[i]}]),
            "response": json.dumps({"choices": [{"message": {"role": "assistant", "content": response(i, m)}}]}),
            "rating": reward(i, m),
        }
        for i, m in CELLS
    ]
    return table(folder / "spend_logs.csv", rows)


def _battles() -> list[tuple[int, int, int]]:
    return [(i, a, b) for i in range(12) for a, b in ((0, 1), (1, 2), (2, 0))]


def shares() -> dict[str, float]:
    """The mean share of wins of every LLM in the battles."""
    won: dict[str, list[float]] = {llm: [] for llm in LLMS}
    for i, a, b in _battles():
        first = 0.5 + (reward(i, a) - reward(i, b)) / 2
        won[LLMS[a]].append(first)
        won[LLMS[b]].append(1 - first)
    return {llm: sum(values) / len(values) for llm, values in won.items()}


def lmsys(folder: Path) -> Path:
    rows = []
    for number, (i, a, b) in enumerate(_battles()):
        better = reward(i, a) - reward(i, b)
        rows.append(
            {
                "id": 30192 + 7919 * number % 5000,
                "model_a": LLMS[a],
                "model_b": LLMS[b],
                "prompt": json.dumps([PROMPTS[i]]),
                "response_a": json.dumps([response(i, a)]),
                "response_b": json.dumps([response(i, b)]),
                "winner_model_a": int(better > 0),
                "winner_model_b": int(better < 0),
                "winner_tie": int(better == 0),
            }
        )
    return table(folder / "train.csv", rows)


def arena(folder: Path) -> Path:
    rows = []
    for number, (i, a, b) in enumerate(_battles()):
        better = reward(i, a) - reward(i, b)
        said = {
            side: [{"role": "user", "content": PROMPTS[i]}, {"role": "assistant", "content": response(i, m)}]
            for side, m in (("a", a), ("b", b))
        }
        rows.append(
            {
                "question_id": f"q{number}",
                "model_a": LLMS[a],
                "model_b": LLMS[b],
                "winner": "model_a"
                if better > 0
                else "model_b"
                if better < 0
                else ("tie", "tie (bothbad)")[number % 2],
                "conversation_a": said["a"],
                "conversation_b": said["b"],
                "turn": 1,
                "language": "English",
                "tstamp": 1718000000.0 + number,
                "is_code": False,
            }
        )
    return lines(folder / "arena.jsonl", rows)


def ultrafeedback(folder: Path) -> Path:
    rows = []
    for i, prompt in enumerate(PROMPTS):
        completions = [
            {
                "model": llm,
                "principle": "helpfulness",
                "custom_system_prompt": "...",
                "response": response(i, m),
                "annotations": {"helpfulness": {"Rating": "3", "Rationale": "..."}},
                "critique": "...",
                "overall_score": 7.5,
                "fine-grained_score": reward(i, m),
            }
            for m, llm in enumerate(LLMS)
        ]
        row = {"source": "evol_instruct", "instruction": prompt, "models": list(LLMS), "completions": completions}
        rows.append(row | {"correct_answers": ["None"], "incorrect_answers": ["None"]})
    return lines(folder / "evol_instruct.jsonl", rows)


def helpsteer(folder: Path) -> Path:
    rows = [
        {
            "prompt": PROMPTS[i],
            "response": response(i, 0),
            "helpfulness": i % 5,
            "correctness": (i + 1) % 5,
            "coherence": 4,
            "complexity": i % 3,
            "verbosity": i % 2,
        }
        for i in range(12)
    ]
    return lines(folder / "train.jsonl", rows)


def embedllm(folder: Path) -> Path:
    rows = [
        {
            "prompt_id": i,
            "model_id": m,
            "category_id": 3,
            "label": int(reward(i, m)),
            "model_name": LLMS[m],
            "prompt": PROMPTS[i],
            "category": "mmlu",
        }
        for i, m in CELLS
    ]
    return table(folder / "train.csv", rows)


def not_diamond(folder: Path) -> Path:
    rows = []
    for i, prompt in enumerate(PROMPTS):
        row: dict[str, Any] = {"prompt": prompt}
        for m, llm in enumerate(LLMS):
            row |= {f"vendor/{llm}/response": response(i, m), f"vendor/{llm}/score": reward(i, m)}
        rows.append(row)
    return table(folder / "dataset.csv", rows)


def sprout(folder: Path) -> Path:
    rows = []
    for i, prompt in enumerate(PROMPTS):
        row: dict[str, Any] = {
            "key": f"k{i}",
            "dataset": "gsm8k",
            "dataset level": "train",
            "dataset idx": i * 7,
            "prompt": prompt,
            "golden_answer": str(i),
        }
        for m, llm in enumerate(LLMS):
            row[f"vendor-{llm}"] = {
                "num_input_tokens": 9,
                "num_output_tokens": 4 + i,
                "response": response(i, m),
                "score": reward(i, m),
            }
        rows.append(row)
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(folder / "train.parquet", index=False)
    return folder / "train.parquet"


def openai_evals(folder: Path) -> Path:
    for m, llm in enumerate(LLMS):
        run = f"2410{m}AB"
        spec = {
            "completion_fns": [llm],
            "eval_name": "rivers.dev.v0",
            "base_eval": "rivers",
            "split": "dev",
            "run_id": run,
        }
        events: list[dict[str, Any]] = [{"spec": spec}]
        for i, prompt in enumerate(PROMPTS):
            about = {"run_id": run, "sample_id": f"rivers.dev.{i}", "created_by": "", "created_at": "2024-10-01"}
            said = {"prompt": [{"role": "user", "content": prompt}], "sampled": [response(i, m)]}
            match = {"correct": bool(reward(i, m)), "expected": "a", "picked": "b", "sampled": response(i, m)}
            events.append({**about, "event_id": 2 * i, "type": "sampling", "data": said})
            events.append({**about, "event_id": 2 * i + 1, "type": "match", "data": match})
        events.append({"final_report": {"accuracy": TRUTH[llm]}})
        lines(folder / f"{run}.jsonl", events)
    return folder


def phoenix(folder: Path) -> Path:
    rows: list[dict[str, Any]] = [
        {
            "name": "ChatCompletion",
            "span_kind": "LLM",
            "parent_id": "p",
            "start_time": "2025-01-01",
            "end_time": "2025-01-01",
            "status_code": "OK",
            "context.span_id": f"{i}-{m}",
            "context.trace_id": f"{i}",
            "attributes.llm.model_name": LLMS[m],
            "attributes.input.value": PROMPTS[i],
            "attributes.output.value": response(i, m),
            "attributes.llm.token_count.prompt": 12,
            "attributes.llm.token_count.completion": 8,
            "eval.Correctness.score": reward(i, m),
            "eval.Correctness.label": "correct" if reward(i, m) else "incorrect",
        }
        for i, m in CELLS
    ]
    chain = dict.fromkeys(rows[0], None) | {"name": "chain", "span_kind": "CHAIN", "attributes.input.value": "whole"}
    return table(folder / "spans.csv", [chain, *rows])


def pandas_index(folder: Path) -> Path:
    rows = [{"prompt": PROMPTS[i]} | {llm: reward(i, m) for m, llm in enumerate(LLMS)} for i in range(12)]
    return table(folder / "wide.csv", rows, index=True)


Builder = Callable[[Path], Path]
