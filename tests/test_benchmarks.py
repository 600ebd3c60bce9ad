"""The benchmark that people read about their own data."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from recorded_sets import outcomes, tidy_folder

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
