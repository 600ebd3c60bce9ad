"""The tables of a pool as they lie on the disk, and what a comparison says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import safetensors.numpy
import yaml
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Compared(NamedTuple):
    """A stored number beside the same number computed again; arrays of one shape, nan where there is none."""

    number: str
    stored: ArrayLike
    again: ArrayLike
    tolerance: float

    @property
    def excess(self) -> float:
        """The largest difference, in tolerances; infinite where only one is a number."""
        stored, again = (np.asarray(one, dtype=np.float64) for one in (self.stored, self.again))
        if stored.shape != again.shape or (np.isnan(stored) != np.isnan(again)).any():
            return np.inf
        same = (stored == again) | np.isnan(stored)
        with np.errstate(invalid="ignore"):
            return float(np.where(same, 0.0, np.abs(stored - again)).max(initial=0.0) / self.tolerance)


class Stored(NamedTuple):
    """All tables of a pool, the arrays of its features, and its pool file."""

    tables: dict[str, pd.DataFrame]
    features: dict[str, Floats]
    settings: dict[str, Any]

    @property
    def llms(self) -> list[str]:
        return list(self.settings["llms"])

    @property
    def reward_models(self) -> list[str]:
        return list(self.settings["reward_models"])

    @property
    def costs(self) -> Floats:
        """(M,): a number of each LLM; a pool with costs by prompt is not recomputed here."""
        return np.array([float(llm["cost"]) for llm in self.settings["llms"].values()])

    def prompts(self, split: str) -> list[str]:
        prompts = self.tables["prompts"]
        return list(prompts.loc[prompts["split"] == split, "prompt_id"])

    def categories(self, prompt_ids: list[str]) -> NDArray[np.str_]:
        return self.tables["prompts"].set_index("prompt_id").loc[prompt_ids, "category"].to_numpy(dtype=str)

    def embeddings(self, prompt_ids: list[str]) -> Floats:
        rows = self.tables["prompt_embeddings"].set_index("prompt_id").loc[prompt_ids, "embedding"]
        return np.array(rows.to_list(), dtype=np.float64)

    def of(self, table: str, **where: str) -> pd.DataFrame:
        """The rows of a table with these values."""
        rows = self.tables[table]
        for column, value in where.items():
            rows = rows[rows[column] == value]
        return rows

    def matrix(self, table: str, column: str, reward_model: str, prompt_ids: list[str]) -> Floats:
        """A column (n, M): prompts by LLMs."""
        rows = self.of(table, reward_model=reward_model).pivot(index="prompt_id", columns="llm", values=column)
        return rows.loc[prompt_ids, self.llms].to_numpy(dtype=np.float64)

    def samples(self, reward_model: str, llm: str, prompt_ids: list[str]) -> list[Floats]:
        """The rewards of each prompt's samples."""
        rows = self.of("rewards", reward_model=reward_model, llm=llm)
        by_prompt = {prompt: part.to_numpy(dtype=np.float64) for prompt, part in rows.groupby("prompt_id")["reward"]}
        return [by_prompt[prompt] for prompt in prompt_ids]


def read(root: Path, pool: str) -> Stored:
    """The pool's tables in `root`/warehouse, and its file in `root`/pools."""
    folder = root / "warehouse" / pool
    names = sorted({path.relative_to(folder).parts[0] for path in folder.glob("[a-z]*/**/part-*.parquet")})
    tables = {name: pd.concat(_partitions(folder / name), ignore_index=True) for name in names}
    if "reads" not in tables["zooter"]:
        tables["zooter"]["reads"] = "embedding"
    features = safetensors.numpy.load((folder / "features" / "features.safetensors").read_bytes())
    return Stored(tables, features, yaml.safe_load((root / "pools" / f"{pool}.yaml").read_text()))


def _partitions(folder: Path) -> Iterator[pd.DataFrame]:
    """The newest file of every partition, with the columns that the names of its folders tell."""
    for place in sorted({path.parent for path in folder.glob("**/part-*.parquet")}):
        frame = pq.ParquetFile(max(place.glob("part-*.parquet"))).read().to_pandas()
        for part in place.relative_to(folder).parts:
            column, value = part.split("=", 1)
            frame[column] = unquote(value)
        yield frame
