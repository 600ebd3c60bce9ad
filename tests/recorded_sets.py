"""Small recorded outcomes in the forms in which people have them; what stands in public sets stays out."""

from pathlib import Path

import numpy as np
import pandas as pd

LLMS = ("vendor/sums-7b", "vendor/words-13b", "large 70b")


def outcomes(n: int = 80, seed: int = 0) -> pd.DataFrame:
    """A row for every outcome of three LLMs: one is good at sums, one at words, the dear one fair at both."""
    random = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        is_sum = i % 2 == 0
        prompt = (
            f"What is {i * 13} plus {i + 3}?" if is_sum else f"Describe in one word how the {i}. colour looks to you."
        )
        for llm, good in zip(LLMS, ((0.95, 0.1), (0.15, 0.9), (0.7, 0.7)), strict=True):
            rows.append(
                {
                    "prompt_id": f"p{i:03d}",
                    "prompt": prompt,
                    "category": "sums" if is_sum else "words",
                    "split": "train" if i < n // 2 else "test",
                    "llm": llm,
                    "reward": float(random.random() < good[0 if is_sum else 1]),
                    "cost": (1 + LLMS.index(llm) ** 2) * len(prompt) / 1e5,
                    "response": f"{llm} says {i}",
                }
            )
    return pd.DataFrame(rows)


def tidy_folder(folder: Path, frame: pd.DataFrame) -> Path:
    """Prompts and outcomes in a Parquet file each, as public sets are."""
    folder.mkdir(parents=True)
    columns = [name for name in ("prompt_id", "prompt", "category", "split") if name in frame]
    frame[columns].drop_duplicates().to_parquet(folder / "prompts.parquet", index=False)
    frame.drop(columns=["prompt", "category", "split"], errors="ignore").to_parquet(
        folder / "rewards.parquet", index=False
    )
    return folder


def wide_file(file: Path, frame: pd.DataFrame) -> Path:
    """A row for every prompt, in RouterBench's columns."""
    wide = frame.drop_duplicates("prompt_id")[["prompt_id", "prompt", "category"]]
    wide = wide.rename(columns={"prompt_id": "sample_id", "category": "eval_name"}).set_index("sample_id")
    for llm, rows in frame.groupby("llm", sort=False):
        own = rows.set_index("prompt_id")
        wide[llm] = own["reward"]
        wide[f"{llm}|model_response"] = own["response"]
        wide[f"{llm}|total_cost"] = own["cost"]
    wide["oracle_model_to_route_to"] = "no_model_correct"
    wide.reset_index().to_csv(file, index=False)
    return file
