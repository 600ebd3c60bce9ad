"""A Dagster instance that cannot be opened, read or written is said in two lines, with the way out."""

import sqlite3
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy.exc

from erp_assets.instance import in_words, open_instance
from erp_resources.settings import UserError

DAGSTER_YAML = "storage:\n  sqlite:\n    base_dir: warehouse/.dagster/storage\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dagster.yaml").write_text(DAGSTER_YAML)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))  # so that what is set below is undone
    return tmp_path


def said(root: Path) -> str:
    def read() -> None:
        with open_instance(root) as instance:
            instance.get_runs()
            instance.get_latest_materialization_event(dg.AssetKey("prompts"))

    with pytest.raises(UserError) as raised:
        read()
    message = str(raised.value)
    assert message.count("\n") <= 1
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize("home", ["relative", "", "/nowhere/at/all"])
def test_a_home_that_is_relative_or_missing_is_refused_with_the_right_one(
    root: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", home)
    message = said(root)
    assert f"DAGSTER_HOME is '{home}'" in message
    assert f"export DAGSTER_HOME={root}" in message


@pytest.mark.parametrize("text", ["storage: [", "storage: {nothing: 1}", "- 1\n", "run_queue: 3\n"])
def test_a_configuration_that_is_none_is_named(root: Path, text: str) -> None:
    (root / "dagster.yaml").write_text(text)
    assert str(root / "dagster.yaml") in said(root)


def test_an_unset_variable_of_the_configuration_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_FOLDER", raising=False)
    (root / "dagster.yaml").write_text("storage:\n  sqlite:\n    base_dir: {env: SOME_FOLDER}\n")
    assert "SOME_FOLDER" in said(root)


@pytest.mark.parametrize("damage", ["garbage", "half"])
@pytest.mark.parametrize("name", ["runs.db", "runs/index.db", "../schedules/schedules.db"])
def test_a_damaged_database_is_named_and_can_be_deleted(root: Path, name: str, damage: str) -> None:
    with open_instance(root) as instance:
        assert instance.get_runs() == []
    file = (root / "warehouse/.dagster/storage/history" / name).resolve()
    data = file.read_bytes()
    file.write_bytes(b"no database" * 500 if damage == "garbage" else data[: len(data) // 2])
    message = said(root)
    assert "is damaged" in message
    assert f"rm -r {root / 'warehouse/.dagster'}" in message
    assert "nothing is made again" in message


def test_a_full_disk_is_said_as_such_wherever_it_was_met(root: Path) -> None:
    full = OSError(28, "No space left on device")
    for error in (
        full,
        sqlalchemy.exc.OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full")),
        RuntimeError("while writing"),
    ):
        if isinstance(error, RuntimeError):
            error.__cause__ = full
        found = in_words(error, root, root)
        assert found is not None
        assert "is full" in found
        assert "Nothing that was finished is lost" in found
    assert in_words(ValueError("something else"), root, root) is None


def test_a_failure_of_the_database_ends_what_is_being_done(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    @dg.asset
    def something() -> None:
        made.append("something")
        monkeypatch.setattr(type(instance.event_log_storage), "store_event", full)

    @dg.asset(deps=[something])
    def after() -> None:
        made.append("after")

    def full(*arguments: object) -> None:
        raise sqlalchemy.exc.OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

    made: list[str] = []
    with pytest.raises(UserError, match="is full"), open_instance(root) as instance:
        dg.materialize([something, after], instance=instance, raise_on_error=False)
    assert made == ["something"]
    assert "Exception while writing" not in capfd.readouterr().err
