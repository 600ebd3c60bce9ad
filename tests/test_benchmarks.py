"""The benchmark that people read about their own data."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from recorded_sets import outcomes, tidy_folder

from erp_assets.splits import Known
from erp_resources.pool import load_pool

ROOT = Path(__file__).parents[1]
POLICIES = {
    "best single LLM", "ERP beta = 1", "ERP auto", "ERP guarded", "kNN", "k-means", "softmax winner", "Zooter",
    "category (told)", "random", "oracle", "blind", "kNN (features)", "k-means (features)", "softmax winner (features)",
    "Zooter (features)",
}  # fmt: skip


def measured(*arguments: str) -> dict[str, list[dict]]:
    done = subprocess.run(
        [sys.executable, "benchmarks/routing_quality.py", *arguments, "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    frame = outcomes(120)
    frame = frame.drop(frame.index[5])  # a missing cell
    return tidy_folder(tmp_path / "logs", frame.drop(columns="response"))


def test_routing_quality_tells_every_policy_with_costs_and_intervals(data: Path) -> None:
    found = measured(str(data))
    assert list(found) == ["logs"]
    rows = {row["policy"]: row for row in found["logs"]}
    assert set(rows) == POLICIES
    truth = outcomes(120).query("split == 'test'").groupby("llm")["reward"].mean()
    assert any(rows["best single LLM"]["reward"] == pytest.approx(value) for value in truth)
    best = max(row["reward"] for row in found["logs"])
    assert rows["oracle"]["reward"] == best
    assert rows["random"]["reward"] == pytest.approx(truth.mean())
    assert rows["ERP auto"]["difference"]["low"] > 0  # the prompts tell who is good at them
    for row in found["logs"]:
        assert row["difference"]["low"] <= row["difference"]["mean"] <= row["difference"]["high"]
        base = rows["best single LLM"]["reward"]
        assert row["difference"]["mean"] == pytest.approx(row["reward"] - base)
        assert row["cost"] > 0
        assert row["aiq"] <= rows["oracle"]["aiq"] + 0.01


def test_random_splits_are_averaged_and_parts_stand_beside_the_whole(data: Path) -> None:
    rows = {row["policy"]: row for row in measured(str(data), "--splits", "2", "--train-size", "60", "--parts")["logs"]}
    assert set(rows) > POLICIES
    assert "ERP, embedding, one beta" in rows
    assert rows["best single LLM"]["difference"] == {"mean": 0.0, "low": 0.0, "high": 0.0}


def test_the_playgrounds_splits_compare_every_policy_with_the_erp_that_reads_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import playground_splits

    pool, rng = load_pool("playground", ROOT), np.random.default_rng(0)
    embeddings = rng.normal(size=(80, 6))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    prompts = pd.DataFrame(
        {
            "category": np.repeat(["code", "chat"], 40),
            "embed_text": [f"What is {'so ' * (i % 7)}{i}?" for i in range(80)],
            "embedding": list(embeddings),
        }
    )
    rewards = embeddings @ rng.normal(size=(6, 5)) + 0.1 * rng.normal(size=(80, 5))
    costs = np.tile(np.array(pool.costs, dtype=float), (80, 1))
    frame = playground_splits.measured(Known(list(pool.llms), rewards, np.ones((80, 5)), costs), prompts, pool, 2)
    mean = frame[frame["summary"] == "equal_cost"].groupby("policy")["value"].mean()
    rows = {(row["policy"], row["reads"]): row for row in playground_splits.table(frame)}
    for rival in ("Zooter", "kNN", "k-means", "winner"):
        for reads, source, own in (
            ("embedding", rival, "ERP (embedding)"), ("features", f"{rival} (features)", "ERP"),
        ):  # fmt: skip
            row = rows[rival, reads]
            assert row["equal_cost"] == pytest.approx(mean[source])
            assert row["erp_earns_more"]["mean"] == pytest.approx(mean[own] - mean[source])
            assert 0 <= row["in"] <= row["of"] == 2
    assert rows["ERP", "embedding"]["equal_cost"] == pytest.approx(mean["ERP (embedding)"])
    assert rows["ERP", "embedding"]["equal_cost"] != rows["ERP", "features"]["equal_cost"]
    assert rows["oracle", "-"]["equal_cost"] == mean.max()
