"""`erp sql`: all rows, as they are, of the pool and of nothing else."""

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from erp_assets.cli import main
from erp_resources.lineage import Partition
from erp_resources.pool import Pool
from erp_resources.warehouse import Warehouse

Sql = Callable[..., tuple[int, str, str]]


@pytest.fixture
def sql(made_project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sql:
    """Query the demo pool in this process: status, stdout, stderr."""
    monkeypatch.chdir(made_project)

    def run(*arguments: str, terminal: bool = False) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["erp", "sql", *arguments])
        monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


def test_brackets_of_code_and_templates_are_data(sql: Sql) -> None:
    code = "x = a[i] + b[j]; print(m[k][0]) [bold] [/INST] :smile:"
    status, out, _ = sql(f"SELECT '{code}' AS r")
    assert status == 0
    assert list(csv.reader(io.StringIO(out))) == [["r"], [code]]
    monkey = sql(f"SELECT '{code}' AS r", terminal=True)[1]
    assert code in " ".join(monkey.split())


def test_a_pipe_gets_every_row_and_a_terminal_the_first_hundred_and_their_number(sql: Sql) -> None:
    rows = sql("SELECT range AS i FROM range(25_000)")[1].splitlines()
    assert rows == ["i", *map(str, range(25_000))]
    shown = sql("SELECT range AS i FROM range(25_000)", terminal=True)[1]
    assert "99" in shown.split()
    assert "100" in shown.split()  # in the sentence alone
    assert "The first 100 of 25,000 rows." in shown
    assert "24999" not in shown


def test_csv_on_a_terminal_is_asked_for(sql: Sql) -> None:
    assert sql("--csv", "SELECT 1 AS a, 'x,y' AS b", terminal=True)[1] == 'a,b\n1,"x,y"\n'


def test_json_is_valid_whatever_the_numbers_are(sql: Sql) -> None:
    query = "SELECT 'nan'::DOUBLE AS n, 'inf'::FLOAT AS i, [1.5, NULL] AS l, {'k': DATE '2026-01-02'} AS s, 1 AS n"
    told = json.loads(sql("--json", query)[1], parse_constant=pytest.fail)
    assert told == [{"n": None, "i": "inf", "l": [1.5, None], "s": {"k": "2026-01-02"}, "n_1": 1}]
    assert json.loads(sql("--json", "SELECT 1 WHERE false")[1]) == []


def test_several_statements_are_refused_not_all_but_the_last_dropped(sql: Sql) -> None:
    status, _, told = sql("SELECT 1; SELECT 2")
    assert (status, told) == (2, "erp: give one statement of SQL; these are 2\n")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM 'pools/demo.yaml'",
        "COPY (SELECT 1) TO 'out.csv'",
        "ATTACH 'other.duckdb'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
    ],
)
def test_a_query_reaches_the_pool_and_nothing_else(sql: Sql, made_project: Path, query: str) -> None:
    before = sorted(made_project.iterdir())
    status, out, told = sql(query)
    assert status == 2
    assert out == ""
    assert "Traceback" not in told
    assert sorted(made_project.iterdir()) == before


def test_a_folder_that_is_allowed_can_be_read_and_written(sql: Sql, tmp_path: Path) -> None:
    query = f"COPY (SELECT prompt FROM prompts) TO '{tmp_path / 'prompts.csv'}'"
    assert sql("--allow", str(tmp_path), query)[0] == 0
    assert len((tmp_path / "prompts.csv").read_text().splitlines()) == 25
    status, out, _ = sql("--allow", str(tmp_path), f"SELECT count(*) AS n FROM '{tmp_path / 'prompts.csv'}'")
    assert (status, out) == (0, "n\n24\n")


def test_a_long_cell_is_cut_on_a_terminal_and_said_so(sql: Sql) -> None:
    assert "Cells of more than 300 letters are cut." in sql("SELECT repeat('ab', 500) AS a", terminal=True)[1]
    assert sql("SELECT repeat('ab', 500) AS a")[1] == f"a\n{'ab' * 500}\n"


def test_what_is_damaged_is_named_and_the_other_partitions_and_tables_are_there(
    sql: Sql, made_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made_pool.root)
    damaged = Warehouse(made_pool).current_file(Partition("rewards", "small|taste"))
    assert damaged is not None
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    for first in (True, False):  # it is damaged until it is made again, and not only when it is found
        status, out, err = sql("SELECT DISTINCT llm FROM rewards WHERE reward_model = 'taste'")
        assert (status, out) == (0, "llm\nlarge\n")
        assert ("set aside" in err) == first
        said = "The tables are without what is damaged: rewards[small|taste]. Make it again with: erp run --pool demo"
        assert err.splitlines()[-1] == said
    assert sql("SELECT count(*) AS n FROM prompts")[:2] == (0, "n\n24\n")
