"""The verdict on pools whose truth is known, by the benchmark that simulates them."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("null_benchmark", ROOT / "benchmarks/null.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


null = benchmark()


@pytest.mark.parametrize("name", null.SCENARIOS)
def test_embedding_and_category_tell_of_differences_between_llms_where_the_scenario_says_so(name: str) -> None:
    scenario, n = null.SCENARIOS[name], 3000
    pool = null.simulated(scenario, n // 2, np.random.default_rng(3))
    known = np.column_stack([pool.embeddings, [len(text) for text in pool.texts]])
    known = np.column_stack([known, *(pool.categories == kind for kind in np.unique(pool.categories)[1:])])
    known -= known.mean(axis=0)
    outcomes = [samples.mean(axis=2) for samples in pool.rewards]
    outcomes += [pool.costs] if pool.costs.ndim == 2 else []
    for values in outcomes:
        differences = values[:, 1:] - values[:, :1]
        differences = differences - differences.mean(axis=0)
        explained = known @ np.linalg.lstsq(known, differences, rcond=None)[0]
        r2 = np.square(explained).sum(axis=0) / np.square(differences).sum(axis=0)
        # By chance it is as many hundredths as there are dimensions to a hundred prompts.
        by_chance = known.shape[1] / n
        if scenario.is_null:
            assert (r2 < 3 * by_chance).all()
        else:
            assert (r2 > 6 * by_chance).all()


def test_pays_is_not_said_of_concave_rewards_that_ignore_the_prompt_where_the_old_rule_said_so() -> None:
    pools = null.repeated("concave", 60, range(6))
    assert sum(pool.claims["old_rule"] for pool in pools) >= 2
    for claim in ("pays", "reads", "single"):
        assert not any(pool.claims[claim] for pool in pools)


def test_pays_is_said_where_the_prompt_tells_clearly() -> None:
    pools = null.repeated("clearly", 120, range(3))
    assert sum(pool.claims["pays"] for pool in pools) >= 2
    assert all(pool.claims["reads"] and not pool.claims["worse"] and pool.gain > 0 for pool in pools)


def test_the_benchmark_gives_a_row_for_every_scenario_and_size_whoever_computes_it() -> None:
    command = ["benchmarks/null.py", "--repetitions", "2", "--prompts", "20", "24", "--scenarios", "one cost", "rare"]
    done = subprocess.run(
        [sys.executable, *command, "--jobs", "1", "--json"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(row["scenario"], row["n"]) for row in rows] == [
        (name, n) for n in (20, 24) for name in ("one cost", "rare")
    ]
    for row in rows:
        assert list(row)[:4] == ["scenario", "n", "null", "pays"]
        assert row["null"] is True
        assert row["repetitions"] == 2
        assert all(row[claim] in (0.0, 0.5, 1.0) for claim in null.EVERY_CLAIM)
    here = null.rates("rare", 20, [*null.repeated("rare", 20, [1]), *null.repeated("rare", 20, [0])])
    assert rows[1] == {**here, "gain": pytest.approx(here["gain"])}
