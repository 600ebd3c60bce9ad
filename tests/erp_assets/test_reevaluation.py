"""Re-evaluation: what LLMs earn now is compared with what was predicted and recorded, and a change is named."""

import datetime
import json
import shutil
import subprocess
from collections.abc import Callable

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from test_automation import Daemon

from erp.drift import drift
from erp_assets.definitions import build_defs
from erp_assets.partitions import latest_window
from erp_assets.reevaluation import alarms, held_out
from erp_assets.runs import reevaluate, run_pool
from erp_assets.stage import Step
from erp_assets.states import failed_checks
from erp_resources.language_models.transformers import TransformersLanguageModel
from erp_resources.lineage import REEVALUATIONS, Partition
from erp_resources.pool import Pool, load_pool
from erp_resources.warehouse import Warehouse

EditPool = Callable[[str, str], Pool]


@pytest.fixture
def timed_pool(made_pool: Pool, edit_pool: EditPool) -> Pool:
    """The materialised demo pool, re-evaluated every Monday on all of its test prompts."""
    return edit_pool("llms:", 'automation: {reevaluate: "0 6 * * 1", reevaluate_prompts: 12, reevaluate_n: 6}\nllms:')


def now(pool: Pool, instance: dg.DagsterInstance) -> str:
    outcome, window = reevaluate(pool, instance)
    assert outcome.error is None
    return window


def table(pool: Pool, asset: str, key: str = "") -> pd.DataFrame:
    return Warehouse(pool).read(Partition(asset, key)).to_pandas()


def change_answers(monkeypatch: pytest.MonkeyPatch, text: str, model: str = "large") -> None:
    """From now on this model answers otherwise, under its name."""
    sample = TransformersLanguageModel.sample

    def changed(self, prompts, *arguments):  # type: ignore[no-untyped-def]
        responses = sample(self, prompts, *arguments)
        if not self.name.endswith(model):
            return responses
        column = responses.schema.get_field_index("response")
        return responses.set_column(column, responses.schema.field("response"), pa.array([text] * len(responses)))

    monkeypatch.setattr(TransformersLanguageModel, "sample", changed)


def test_fresh_rewards_of_held_out_prompts_are_compared_with_predictions_and_records(
    timed_pool: Pool, instance: dg.DagsterInstance
) -> None:
    window = now(timed_pool, instance)
    prompts = table(timed_pool, "prompts").set_index("prompt_id")
    fresh = table(timed_pool, "fresh_generations", window)
    test_ids = prompts.index[prompts["split"] == "test"]
    assert set(fresh["prompt_id"]) == set(test_ids)
    assert (fresh.groupby(["llm", "prompt_id"]).size() == 6).all()
    first = table(timed_pool, "generations", "large").merge(
        fresh[fresh["llm"] == "large"], on=["prompt_id", "sample"], suffixes=("", "_fresh")
    )
    assert (first["response"] != first["response_fresh"]).any()
    found = table(timed_pool, "reevaluations", window).set_index(["reward_model", "llm"])
    assert len(found) == 4
    vowels = fresh.assign(reward=fresh["response"].str.count("[aeiou]")).groupby(["llm", "prompt_id"])["reward"].mean()
    for llm in timed_pool.llms:
        recorded = table(timed_pool, "expected_rewards", f"{llm}|vowels").set_index("prompt_id")["mean"].loc[test_ids]
        predicted = table(timed_pool, "predicted_rewards", f"{llm}|vowels").set_index("prompt_id")["predicted"]
        columns = [values.loc[test_ids].to_numpy()[:, None] for values in (vowels[llm], predicted, recorded)]
        expected = drift(*columns, [12])
        row = found.loc["vowels", llm]
        assert (row["n"], row["samples"]) == (12, 6)
        for name in ("fresh", "bias", "bias_low", "bias_p", "shift", "shift_high", "shift_p"):
            np.testing.assert_allclose(row[name], getattr(expected, name)[0], atol=1e-9)


def test_an_llm_that_changed_under_its_name_is_named_by_the_checks_the_status_and_the_command(
    timed_pool: Pool,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now(timed_pool, instance)
    assert [check for check in failed_checks(timed_pool) if check.partition.asset in REEVALUATIONS] == []
    change_answers(monkeypatch, "aeiouaeiou")
    window = now(timed_pool, instance)
    wrong = [check for check in failed_checks(timed_pool) if check.partition.asset == "reevaluations"]
    assert {check.check for check in wrong} == {"predictions_are_unbiased", "llms_answer_as_recorded"}
    for check in wrong:
        assert check.partition.key == window
        assert not check.blocking
        assert "large earns +" in check.said
        assert "by vowels" in check.said
        assert "small" not in check.said
    assert alarms(table(timed_pool, "reevaluations", window), "shift").sum() >= 1


def test_an_llm_that_cannot_be_sampled_is_named_and_holds_no_other_up(
    timed_pool: Pool, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = TransformersLanguageModel.sample

    def gone(self, *arguments):  # type: ignore[no-untyped-def]
        if self.name.endswith("large"):
            raise ConnectionError("nobody there")
        return sample(self, *arguments)

    monkeypatch.setattr(TransformersLanguageModel, "sample", gone)
    window = now(timed_pool, instance)
    found = table(timed_pool, "reevaluations", window).set_index(["reward_model", "llm"])
    assert found.loc["taste", "small"]["n"] == 12
    assert found.loc["taste", "large"]["n"] == 0
    assert pd.isna(found.loc["taste", "large"]["bias"])
    (check,) = [check for check in failed_checks(timed_pool) if check.partition.asset == "fresh_generations"]
    assert check.said.startswith("large: 12 of 12 prompts failed: large could not be sampled: nobody there")


def made_stale(pool: Pool, model: str = "large") -> None:
    """The weights of this model are others from now on, as after an update of a local model."""
    shutil.copytree(pool.root / "models" / "third", pool.root / "models" / model, dirs_exist_ok=True)


def test_an_llm_that_is_stale_is_left_out_with_the_reason_and_of_no_re_evaluation_that_had_it(
    timed_pool: Pool, instance: dg.DagsterInstance
) -> None:
    made_stale(timed_pool)
    window = now(timed_pool, instance)
    found = table(timed_pool, "reevaluations", window).set_index(["reward_model", "llm"])
    assert found.loc["taste", "small"]["n"] == 12
    assert found.loc["taste", "small"]["regret"] == 0
    assert (found.loc["taste", "large"]["n"], found.loc["taste", "large"]["left_out"]) == (
        0,
        "large is left out: generations[large] is stale",
    )
    said = {check.check: check.said for check in failed_checks(timed_pool) if check.partition.asset in REEVALUATIONS}
    assert said["every_llm_is_compared"].startswith("large (by taste, vowels): large is left out")
    assert said["every_llm_answered"].startswith("large: 12 of 12 prompts failed: large is left out")
    run_pool(timed_pool, instance)
    now(timed_pool, instance)
    full = {asset: table(timed_pool, asset, window) for asset in REEVALUATIONS}
    assert (full["reevaluations"]["n"] == 12).all()
    made_stale(timed_pool, "small")
    outcome, _ = reevaluate(timed_pool, instance)
    assert outcome.error is not None
    assert f"the re-evaluation of {window} has small, and one that is made now would not" in outcome.error
    assert "generations[small] is stale" in outcome.error
    for asset, before in full.items():
        pd.testing.assert_frame_equal(table(timed_pool, asset, window), before)


def test_an_llm_that_died_takes_nothing_from_the_re_evaluation_that_had_it(
    timed_pool: Pool, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = now(timed_pool, instance)
    before = table(timed_pool, "fresh_generations", window)
    sample = TransformersLanguageModel.sample

    def gone(self, *arguments):  # type: ignore[no-untyped-def]
        if self.name.endswith("large"):
            raise ConnectionError("nobody there")
        return sample(self, *arguments)

    with monkeypatch.context() as dead:
        dead.setattr(TransformersLanguageModel, "sample", gone)
        outcome, _ = reevaluate(timed_pool, instance)
    assert "large could not be sampled: nobody there" in (outcome.error or "")
    pd.testing.assert_frame_equal(table(timed_pool, "fresh_generations", window), before)
    now(timed_pool, instance)
    assert set(table(timed_pool, "reevaluations", window)["n"]) == {12}


def test_a_time_that_has_passed_is_neither_sampled_nor_replaced(
    timed_pool: Pool, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = now(timed_pool, instance)
    before = table(timed_pool, "reevaluations", window)
    monkeypatch.setattr(Step, "asked_for", lambda step: datetime.datetime.now(datetime.UTC) + datetime.timedelta(7))
    change_answers(monkeypatch, "aeiouaeiou")
    now(timed_pool, instance)
    pd.testing.assert_frame_equal(table(timed_pool, "reevaluations", window), before)
    shutil.rmtree(Warehouse(timed_pool).folder / "fresh_generations")
    outcome, _ = reevaluate(timed_pool, instance)
    assert "that time has passed" in (outcome.error or "")


def test_when_no_llm_can_be_sampled_the_run_fails(
    timed_pool: Pool, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self, *arguments):  # type: ignore[no-untyped-def]
        raise ConnectionError("nobody there")

    monkeypatch.setattr(TransformersLanguageModel, "sample", gone)
    outcome, window = reevaluate(timed_pool, instance)
    assert outcome.error is not None
    assert "nobody there" in outcome.error
    assert Warehouse(timed_pool).stamp(Partition("fresh_generations", window)) is None


def test_the_prompts_are_held_out_and_others_at_another_time(timed_pool: Pool, edit_pool: EditPool) -> None:
    pool = edit_pool("reevaluate_prompts: 12", "reevaluate_prompts: 5")
    prompts = Warehouse(pool).read(Partition("prompts", ""))
    asked = [held_out(prompts, pool, window) for window in ("2026-11-23-06:00", "2026-11-30-06:00")]
    assert [len(one) for one in asked] == [5, 5]
    assert {split for one in asked for split in one["split"].to_pylist()} == {"test"}
    assert asked[0]["prompt_id"].to_pylist() != asked[1]["prompt_id"].to_pylist()


def test_every_time_is_requested_once_by_itself_and_nothing_else_with_it(
    timed_pool: Pool, instance: dg.DagsterInstance
) -> None:
    run_pool(timed_pool, instance)
    daemon = Daemon(instance)
    daemon.now = datetime.datetime.now(datetime.UTC)

    def requested() -> dict[str, set[str | None]]:
        daemon.now += datetime.timedelta(seconds=30)
        result = dg.evaluate_automation_conditions(
            build_defs([timed_pool]), instance, cursor=daemon.cursor, evaluation_time=daemon.now
        )
        daemon.cursor = result.cursor
        keys = {asset: result.get_requested_partitions(dg.AssetKey(["demo", asset])) for asset in REEVALUATIONS}
        assert result.total_requested == sum(map(len, keys.values()))
        return {asset: set(its) for asset, its in keys.items()}

    window = latest_window(timed_pool)
    assert requested() == {asset: {window} for asset in REEVALUATIONS}
    now(timed_pool, instance)
    assert requested() == {asset: set() for asset in REEVALUATIONS}
    daemon.now += datetime.timedelta(days=7)
    (later,) = requested()["fresh_generations"]
    monday = datetime.datetime.strptime(window, "%Y-%m-%d-%H:%M") + datetime.timedelta(days=7)
    assert later == monday.strftime("%Y-%m-%d-%H:%M")


def test_the_history_is_one_picture_for_every_reward_with_every_time_in_it(
    timed_pool: Pool, instance: dg.DagsterInstance
) -> None:
    now(timed_pool, instance)
    event = instance.get_latest_materialization_event(dg.AssetKey(["demo", "reevaluations"]))
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert "left_out" not in metadata
    assert "data:image/png;base64," in str(metadata["history by vowels"].value)
    row = table(timed_pool, "reevaluations", latest_window(timed_pool)).set_index(["reward_model", "llm"])
    assert metadata["bias of large by vowels"].value == pytest.approx(row.loc["vowels", "large"]["bias"])
    assert metadata["regret by taste"].value == pytest.approx(row.loc["taste", "large"]["regret"])


def test_the_command_needs_a_time_table_and_shows_what_changed(
    made_pool: Pool, edit_pool: EditPool, erp_command: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    refused = erp_command("reevaluate")
    assert refused.returncode == 2
    assert "pools/demo.yaml: automation.reevaluate is missing" in refused.stderr
    edit_pool("llms:", 'automation: {reevaluate: "0 6 * * 1", reevaluate_prompts: 4, reevaluate_n: 2}\nllms:')
    done = erp_command("reevaluate")
    assert done.returncode == 0, done.stderr
    assert "Regret of the router at exchange rate 0: taste" in done.stdout
    assert "large" in done.stdout
    status = erp_command("status", "--json")
    assert "reevaluations" not in json.loads(status.stdout)["assets"]


def test_without_a_time_table_there_are_no_such_assets(pool: Pool, project: object) -> None:
    keys = build_defs([pool]).resolve_asset_graph().get_all_asset_keys()
    assert not {key.path[-1] for key in keys} & set(REEVALUATIONS)
    assert load_pool("demo", pool.root).automation.reevaluate is None
