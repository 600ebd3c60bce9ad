"""Dagster's records in PostgreSQL, as docs/operations.md says. It runs where a PostgreSQL and dagster-postgres are."""

import contextlib
import os
import pwd
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import ROOT, environment

from erp_assets.states import pool_states
from erp_resources.lineage import Partition
from erp_resources.pool import Pool

pytest.importorskip("dagster_postgres", reason="dagster-postgres is not installed (see docs/operations.md)")

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL of the test's own."""
    if shutil.which("initdb") is None or shutil.which("postgres") is None:
        pytest.skip("there is no PostgreSQL on this machine: initdb and postgres are not in the path")
    folder = tmp_path_factory.mktemp("postgres")
    owner = "postgres" if os.getuid() == 0 else None  # it refuses to be run by root
    if owner:
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(owner)
            os.chown(folder, account.pw_uid, account.pw_gid)
            for parent in folder.parents:
                if parent == Path("/tmp"):
                    break
                parent.chmod(parent.stat().st_mode | 0o011)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    subprocess.run(
        ["initdb", "-D", str(folder / "data"), "-A", "trust", "-U", "erp"], user=owner, check=True, capture_output=True
    )
    server = subprocess.Popen(
        ["postgres", "-D", str(folder / "data"), "-p", str(port), "-k", str(folder)],
        user=owner,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait = ["pg_isready", "-h", "127.0.0.1", "-p", str(port)]
        assert any(subprocess.run(wait, capture_output=True).returncode == 0 or server.poll() for _ in range(500))
        yield f"postgresql+psycopg2://erp@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait(timeout=30)


def test_a_pool_moves_to_postgresql_and_nothing_is_made_again(made_pool: Pool, address: str) -> None:
    guide = (ROOT / "docs" / "operations.md").read_text()
    (storage,) = re.findall(r"```yaml\n(storage:.*?)```", guide, flags=re.DOTALL)
    path = made_pool.root / "dagster.yaml"
    path.write_text(re.sub(r"(?ms)^storage:.*?(?=^\S)", storage, path.read_text()))

    def erp(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        command = ["python", "-m", "erp_assets", *arguments]
        return subprocess.run(
            command, cwd=made_pool.root, env={**environment(), **variables}, capture_output=True, text=True, timeout=200
        )

    unset = erp("run")
    assert unset.returncode == 2
    assert "DAGSTER_POSTGRES_URL" in unset.stderr
    assert len(unset.stderr.strip().splitlines()) <= 2
    moved = erp("run", "--json", DAGSTER_POSTGRES_URL=address)
    assert moved.returncode == 0, moved.stderr
    assert '"runs": []' in " ".join(moved.stdout.split())
    shutil.rmtree(made_pool.root / "warehouse" / "demo" / "report")
    again = erp("run", DAGSTER_POSTGRES_URL=address)
    assert again.returncode == 0, again.stderr
    assert pool_states(made_pool)[Partition("report", "")] == "materialized"
    assert not (made_pool.root / "warehouse" / ".dagster" / "storage" / "runs.db").exists()
