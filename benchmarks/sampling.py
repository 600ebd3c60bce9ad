"""How fast the transformers backend samples, beside transformers' own generate on the same requests.

    python benchmarks/sampling.py [MODEL_FOLDER] [--json]

Both draw n responses to every prompt at temperature 1 on one thread, and the unit is the CPU second,
which other work on the machine disturbs least. `generate` is given its best case: prompts sorted by
length, in batches of 256 rows. Loading is not counted.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from erp_resources.language_models import Sampling, TransformersLLM
from erp_resources.settings import UserError

ROOT = Path(__file__).resolve().parents[1]
ROWS = 256


def make_prompts(count: int) -> list[str]:
    """Short questions of the playground's kinds, of unequal length."""
    forms = [
        "What is {a} + {b}?",
        "Hi! Write a Python function that adds {a} to a number.",
        "List {b} colours, in one line, separated by commas, please.",
        "Quick question: what is the capital of France?",
        "I have {a} apples and give away {b}. How many are left?",
    ]
    return [forms[i % len(forms)].format(a=10 + i, b=2 + i % 7) for i in range(count)]


def generate(model: Any, tokenizer: Any, prompts: list[str], sampling: Sampling) -> int:
    """Sample with transformers' generate; returns how many responses came."""
    size = max(1, ROWS // sampling.n)
    chats = sorted(([{"role": "user", "content": prompt}] for prompt in prompts), key=lambda c: len(c[0]["content"]))
    responses = 0
    for start in range(0, len(chats), size):
        texts = tokenizer.apply_chat_template(chats[start : start + size], add_generation_prompt=True, tokenize=False)
        inputs = tokenizer(texts, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt")
        rows = model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            do_sample=True,
            temperature=sampling.temperature,
            top_k=0,
            top_p=1.0,
            num_return_sequences=sampling.n,
            max_new_tokens=sampling.max_tokens,
            pad_token_id=tokenizer.pad_token_id or 0,
        )
        responses += len(tokenizer.batch_decode(rows[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
    return responses


def rate(work: Callable[[], int]) -> float:
    """Responses per CPU second of the faster of two runs."""
    rates = []
    for _ in range(2):
        start = time.process_time()
        responses = work()
        rates.append(responses / (time.process_time() - start))
    return max(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="playground/models/generalist-large")
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--n", type=int, default=32)
    parser.add_argument("--max-tokens", type=int, default=24)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    try:
        language_model: Any = TransformersLLM(backend="transformers", model=arguments.model, cost=0).load(ROOT)
    except UserError as error:
        parser.error(str(error))
    prompts = make_prompts(arguments.prompts)
    sampling = Sampling(n=arguments.n, max_tokens=arguments.max_tokens)
    table = language_model.sample(prompts, sampling, seed=0)
    distinct = table.group_by(["prompt_index", "response"]).aggregate([]).num_rows
    result = {
        "model": arguments.model,
        "responses": table.num_rows,
        "distinct_share": distinct / table.num_rows,
        "samples_per_cpu_second": rate(lambda: int(language_model.sample(prompts, sampling, seed=0).num_rows)),
        "generate_samples_per_cpu_second": rate(
            lambda: generate(language_model.model, language_model.tokenizer, prompts, sampling)
        ),
    }
    result["ratio"] = result["samples_per_cpu_second"] / result["generate_samples_per_cpu_second"]
    if arguments.json:
        print(json.dumps(result))
    else:
        print(f"{result['responses']} responses, of which {result['distinct_share']:.0%} are distinct")
        print(f"transformers backend  {result['samples_per_cpu_second']:8.0f} samples per CPU second")
        print(f"generate              {result['generate_samples_per_cpu_second']:8.0f} samples per CPU second")
        print(f"ratio                 {result['ratio']:8.1f}")


if __name__ == "__main__":
    main()
