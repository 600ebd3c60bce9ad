"""How fast responses are scored, beside a plain loop over batches of 16 in the order in which they come.

    erp run --pool playground && python benchmarks/scoring.py [--reward-model thorough] [--prompts 200] [--json]

Both score the stored responses of an LLM of the playground with the same weights, on one torch thread. The plain
loop is what one writes by hand: 16 responses, padded to the longest, one forward pass, the next 16. Ours scores
identical responses to a prompt once, and forms batches by length under a budget of tokens.
"""

import argparse
import inspect
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification

from erp_assets.rewards import score_once
from erp_resources.hugging_face import load_model, load_tokenizer
from erp_resources.lineage import Partition
from erp_resources.pool import find_root, load_pool
from erp_resources.reward_models import TransformersRewardModel
from erp_resources.warehouse import Warehouse

BATCH = 16


def plain_loop(entry: TransformersRewardModel, root: Path, prompts: list[str], responses: list[str]) -> Any:
    """The rewards, by batches of 16 in the given order; the model is loaded before the clock starts."""
    tokenizer = load_tokenizer(entry.model, root, False)
    model = load_model(AutoModelForSequenceClassification, entry.model, root, "cpu", False)
    tokenizer.padding_side = "right"
    model.config.pad_token_id = tokenizer.pad_token_id
    accepted = inspect.signature(model.forward).parameters
    rewards = []
    began = time.perf_counter()
    for start in range(0, len(prompts), BATCH):
        rows = slice(start, start + BATCH)
        if entry.input == "pair":
            batch = tokenizer(prompts[rows], responses[rows], padding=True, truncation=True, return_tensors="pt")
        else:
            chats = [
                [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
                for prompt, response in zip(prompts[rows], responses[rows], strict=True)
            ]
            texts = tokenizer.apply_chat_template(chats, tokenize=False)
            batch = tokenizer(texts, padding=True, add_special_tokens=False, return_tensors="pt")
        inputs = {name: tensor for name, tensor in batch.items() if name in accepted}
        with torch.inference_mode():
            rewards.append(model(**inputs).logits[:, 0].numpy())
    return np.concatenate(rewards), time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--llm", default="generalist-large")
    arguments.add_argument("--reward-model", default="thorough")
    arguments.add_argument("--prompts", type=int, default=200)
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    pool = load_pool("playground", find_root(Path(__file__).parent))
    entry = pool.reward_models[options.reward_model]
    if not isinstance(entry, TransformersRewardModel):
        arguments.error(f"{options.reward_model} is no reward model that transformers runs")
    warehouse = Warehouse(pool)
    prompts = warehouse.read(Partition("prompts", "")).to_pandas().set_index("prompt_id")
    generations = warehouse.read(Partition("generations", options.llm))
    generations = generations.slice(0, options.prompts * pool.sampling.n)
    asked = prompts.loc[generations["prompt_id"].to_pylist(), "prompt"].tolist()
    expected, plain_seconds = plain_loop(entry, pool.root, asked, generations["response"].to_pylist())
    model = entry.load(pool.root)
    began = time.perf_counter()
    rewards, distinct = score_once(generations, prompts, model)
    seconds = time.perf_counter() - began
    result = {
        "responses": generations.num_rows,
        "distinct": distinct,
        "plain_loop_seconds": plain_seconds,
        "seconds": seconds,
        "ratio": plain_seconds / seconds,
        "largest_difference": float(np.abs(rewards["reward"].to_numpy() - expected).max()),
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(
        f"{result['responses']} responses, of which {distinct / generations.num_rows:.0%} are distinct to their prompt"
    )
    print(f"plain loop, batches of {BATCH}   {plain_seconds:6.1f} s")
    print(f"scored once, by length       {seconds:6.1f} s")
    print(f"ratio {result['ratio']:.1f}; the rewards differ by at most {result['largest_difference']:.1g}")


if __name__ == "__main__":
    main()
