"""Public files as they are: what each means, or why it is refused and what to do.

The names S1 to S38 are of the table of public files that people tried; each is here.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import public_sets as sets
import pytest

from erp_assets.importing import Imported, import_outcomes
from erp_resources.recorded import Columns, load_outcomes
from erp_resources.settings import UserError

VENDOR = {f"vendor/{llm}": value for llm, value in sets.TRUTH.items()}
ONE = {"gpt-4": sets.TRUTH["gpt-4"]}


class Case(NamedTuple):
    """A shape, what it is imported with, and the means or the refusal that are right."""

    shape: str
    build: sets.Builder
    means: dict[str, float] | None = None
    refused: str = ""
    reward: tuple[str, ...] = ()
    costs: bool = False
    responses: bool = False
    categories: int = 1


CASES = [
    Case("S1", sets.routerdc, sets.TRUTH),
    Case("S2", sets.routerdc_folder, sets.TRUTH, categories=2),
    Case("S3", sets.routerbench, sets.TRUTH, costs=True, responses=True),
    Case("S4", sets.routerbench_folder, sets.TRUTH, costs=True, responses=True),
    Case("S5", sets.llmrouter_json, sets.TRUTH),
    Case("S6", sets.llmrouter_queries, refused="name the column of LLMs with --llm COLUMN"),
    Case("S7", sets.llmrouter_routing, sets.TRUTH, responses=True),
    Case("S8", sets.semantic_router, sets.TRUTH),
    Case("S9", sets.routerarena, ONE, responses=True),
    Case("S10", sets.routerarena_folder, sets.TRUTH, responses=True),
    Case("S11", sets.routellm_gsm8k, VENDOR, responses=True),
    Case("S12", sets.routellm_mmlu, VENDOR),
    Case("S13", sets.routellm_folder, VENDOR, categories=2),
    Case("S14", sets.mt_bench_judgements, refused="put the file of questions (question_id, turns)"),
    Case("S15", sets.routellm_mixed, refused="give one of them, or a folder of one"),
    Case("S16", sets.mt_bench_folder, sets.TRUTH),
    Case("S17", sets.alpaca_eval, sets.TRUTH, responses=True),
    Case("S18", sets.alpaca_eval_one, ONE, responses=True),
    Case("S19", sets.alpaca_eval_renamed, refused="name the column of rewards with --reward: there is preference"),
    Case("S19b", sets.alpaca_eval_renamed, {k: v + 1 for k, v in sets.TRUTH.items()}, reward=("preference",)),
    Case("S20", sets.inspect_ai, sets.TRUTH, responses=True),
    Case("S21", sets.lm_eval, VENDOR, responses=True),
    Case("S22", sets.helm, VENDOR, responses=True),
    Case("S22b", sets.helm_stats, refused="scenario_state.json of the same run"),
    Case("S23", sets.promptfoo_csv_one, ONE, responses=True),
    Case("S24", sets.promptfoo_csv, sets.TRUTH, responses=True),
    Case("S25", sets.promptfoo_jsonl, sets.TRUTH, costs=True, responses=True),
    Case("S25b", sets.promptfoo_json, sets.TRUTH, costs=True, responses=True),
    Case("S26", sets.langsmith, sets.TRUTH, costs=True, responses=True),
    Case("S27", sets.langfuse, sets.TRUTH, costs=True, responses=True),
    Case("S28", sets.litellm, sets.TRUTH, costs=True, responses=True),
    Case("S29", sets.lmsys, sets.shares(), responses=True),
    Case("S30", sets.arena, sets.shares(), responses=True),
    Case("S31", sets.ultrafeedback, sets.TRUTH, responses=True),
    Case("S32", sets.helpsteer, refused="no column says of which LLM; add a column 'llm'"),
    Case("S33", sets.embedllm, refused="name the column of rewards with --reward"),
    Case("S33b", sets.embedllm, sets.TRUTH, reward=("label",)),
    Case("S34", sets.not_diamond, VENDOR, responses=True),
    Case("S35", sets.sprout, {f"vendor-{k}": v for k, v in sets.TRUTH.items()}, responses=True),
    Case("S36", sets.openai_evals, sets.TRUTH, responses=True),
    Case("S37", sets.phoenix, sets.TRUTH, responses=True),
    Case("S38", sets.pandas_index, sets.TRUTH),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pools").mkdir()
    (tmp_path / "dagster.yaml").touch()
    return tmp_path


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.shape}-{case.build.__name__}")
def test_a_public_file_means_what_it_means(root: Path, case: Case) -> None:
    folder = root / "data"
    folder.mkdir()
    path = case.build(folder)
    if case.means is None:
        with pytest.raises(UserError) as error:
            import_outcomes(str(path), "x", root, rewards=case.reward)
        assert case.refused in str(error.value)
        assert list((root / "pools").iterdir()) == []
        return
    found = import_outcomes(str(path), "x", root, rewards=case.reward)
    assert found.prompts == len(sets.PROMPTS)
    assert found.missing == 0
    assert found.categories == case.categories
    column = found.rewards[0]["reward"]
    assert {row["llm"]: row[column] for row in found.llms} == pytest.approx(case.means)
    _check_cells(path, root, found, case)


def _check_cells(path: Path, root: Path, found: Imported, case: Case) -> None:
    outcomes = load_outcomes(str(path), root, called=str(path))
    assert sorted(outcomes.prompts["prompt"].to_pylist()) == sorted(sets.PROMPTS)
    for m, llm in enumerate(sets.LLMS[: len(found.llms)]):
        name = next(row["llm"] for row in found.llms if row["llm"].endswith(llm))
        responses = set(outcomes.of(name)["response"].to_pylist())
        assert responses == ({sets.response(i, m) for i in range(12)} if case.responses else {None})
        mean = next(row["cost"] for row in found.llms if row["llm"] == name)
        assert mean == (pytest.approx(sets.COSTS[llm]) if case.costs else None)


def test_every_shape_of_the_table_is_tried() -> None:
    assert {case.shape.rstrip("b") for case in CASES} == {f"S{i}" for i in range(1, 39)}
    refused = {case.shape for case in CASES if case.means is None and f"{case.shape}b" not in {c.shape for c in CASES}}
    assert refused == {"S6", "S14", "S15", "S22b", "S32"}


def edited(file: Path, change: Callable[[Any], None]) -> Path:
    """The JSON document or lines in a file, with one value after another changed."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".jsonl":
        rows = [json.loads(line) for line in text.splitlines()]
        for row in rows:
            change(row)
        return sets.lines(file, rows)
    value = json.loads(text)
    change(value)
    return sets.document(file, value)


def imported(root: Path, path: Path, **options: Any) -> Imported:
    (root / "pools" / "x.yaml").unlink(missing_ok=True)
    return import_outcomes(str(path), "x", root, **options)


def test_a_battle_without_a_known_winner_is_missing_or_refused_by_line(root: Path) -> None:
    file = sets.arena(root)
    first = {"n": 0}

    def unknown(row: Any) -> None:
        first["n"] += 1
        if first["n"] == 1:
            row["winner"] = None

    assert imported(root, edited(file, unknown)).rewards[0]["known"] == 2 * 36 - 2
    first["n"] = 0

    def wrong(row: Any) -> None:
        first["n"] += 1
        if first["n"] == 5:
            row["winner"] = "somebody"

    with pytest.raises(UserError, match=r"arena.jsonl:5: column 'winner' holds 'somebody'; write model_a"):
        imported(root, edited(file, wrong))


def test_a_conversation_of_several_turns_is_the_users_turns(root: Path) -> None:
    file = sets.arena(root)

    def longer(row: Any) -> None:
        for side in ("a", "b"):
            said = row[f"conversation_{side}"]
            row[f"conversation_{side}"] = [
                *said,
                {"role": "user", "content": "more"},
                {"role": "assistant", "content": "ok"},
            ]

    imported(root, edited(file, longer))
    prompts = load_outcomes(str(file), root, called=str(file)).prompts["prompt"].to_pylist()
    assert [one["content"] for one in json.loads(prompts[0])] == [sets.PROMPTS[0], "more"]


def test_a_draw_and_a_lost_preference_of_alpaca_eval(root: Path) -> None:
    file = sets.alpaca_eval_one(root)
    given = iter([0, None, 1.25, *[2] * 9])
    found = imported(root, edited(file, lambda row: row.update(preference=next(given))))
    assert found.rewards[0]["known"] == 11
    assert found.rewards[0]["mean"] == pytest.approx((0.5 + 0.25 + 9) / 11)
    with pytest.raises(UserError, match=r"annotations.jsonl:1: column 'preference' holds 3; it is of 1 to 2"):
        imported(root, edited(file, lambda row: row.update(preference=3)))


def test_inspects_letters_numbers_and_several_scorers(root: Path) -> None:
    file = next(iter(sorted(sets.inspect_ai(root / "logs").iterdir())))
    values = iter(["C", "P", "I", "N", 0.25, True, "no number", *["C"] * 5])

    def scored(log: Any) -> None:
        for sample in log["samples"]:
            sample["scores"] = {"judge": {"value": next(values)}, "other": {"value": {"fluency": 3}}}

    found = imported(root, edited(file, scored))
    assert found.rewards[0]["mean"] == pytest.approx((1 + 0.5 + 0 + 0 + 0.25 + 1 + 5) / 11)
    assert set(found.numbers) == {"scores.judge", "scores.other.fluency"}
    assert any("judge" in note for note in found.notes)
    with pytest.raises(UserError, match="the log has no samples"):
        imported(root, edited(file, lambda log: log.pop("samples")))


def test_perturbed_instances_of_helm_are_left_out(root: Path) -> None:
    run = sets.helm(root / "helm")
    for file in run.rglob("per_instance_stats.json"):
        rows = json.loads(file.read_text())
        more = [row | {"perturbation": {"name": "typos"}, "stats": []} for row in rows]
        sets.document(file, rows + more)
    found = imported(root, run)
    assert {row["llm"]: row["score"] for row in found.llms} == pytest.approx(VENDOR)


def test_an_older_sample_of_lm_eval_and_one_without_results(root: Path) -> None:
    folder = sets.lm_eval(root / "out")
    for file in folder.rglob("samples_*.jsonl"):

        def older(row: Any) -> None:
            row["arguments"] = [[row["arguments"]["gen_args_0"]["arg_0"], " A"], ["the other", " B"]]
            del row["metrics"]

        edited(file, older)
    for file in folder.rglob("results_*.json"):
        file.unlink()
    found = imported(root, folder)
    assert {row["llm"]: row["score"] for row in found.llms} == pytest.approx(VENDOR)
    strict = imported(root, folder, rewards=["exact_match,flexible-extract"])
    assert {row["exact_match,flexible-extract"] for row in strict.llms} == {1.0}


def test_results_of_lm_eval_without_samples_say_what_to_run(root: Path) -> None:
    folder = sets.lm_eval(root / "out")
    for file in folder.rglob("samples_*.jsonl"):
        file.unlink()
    with pytest.raises(UserError, match="run lm_eval with --log_samples"):
        imported(root, folder)


def test_a_provider_that_gave_an_error_has_no_reward_in_promptfoo(root: Path) -> None:
    file = sets.promptfoo_jsonl(root)

    def failing(row: Any) -> None:
        if row["testIdx"] == 3:
            row.update(error="API error", failureReason=2, score=0, response={"error": "API error"})

    assert imported(root, edited(file, failing)).missing == 3
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert imported(root, sets.document(root / "list.json", rows)).missing == 3
    older = root / "old.csv"
    older.write_text(
        "name,[openai:gpt-4] Hello {{name}},Grader Reason,Comment,[x:small] Hello {{name}},Grader Reason,Comment\n"
        "Ann,[PASS] hi,,,[FAIL] no,,\nBo,[FAIL] eh,,,[PASS] ho,,\n"
    )
    found = imported(root, older)
    assert {row["llm"]: row["score"] for row in found.llms} == {"openai:gpt-4": 0.5, "x:small": 0.5}
    outcomes = load_outcomes(str(older), root, called=str(older))
    assert outcomes.prompts["prompt"].to_pylist() == ["Hello Ann", "Hello Bo"]
    assert outcomes.of("x:small")["response"].to_pylist() == ["no", "ho"]


def test_modelgraded_evals_have_metrics_and_a_run_without_a_specification_is_refused(root: Path) -> None:
    folder = sets.openai_evals(root / "evals")
    for file in folder.iterdir():

        def graded(row: Any) -> None:
            if row.get("type") == "match":
                row.update(type="metrics", data={"choice": "A", "score": 0.5})

        edited(file, graded)
    assert {row["score"] for row in imported(root, folder).llms} == {0.5}
    first = sorted(folder.iterdir())[0]
    first.write_text("".join(first.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(UserError, match="names no completion_fns"):
        imported(root, folder)


def test_second_turns_of_mt_bench_are_prompts_of_their_own(root: Path) -> None:
    folder = sets.mt_bench_folder(root / "mt")
    file = folder / "judgements.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    sets.lines(file, rows + [row | {"turn": 2, "score": -1 if row["question_id"] == 81 else 1} for row in rows])
    found = imported(root, folder)
    assert found.prompts == 24
    assert found.missing == 3
    assert found.rewards[0]["least"] == 0
    sets.lines(file, [rows[0] | {"question_id": 7}])
    with pytest.raises(UserError, match=r"judgements.jsonl:1: question_id '7' is not among the questions"):
        imported(root, folder)


def test_a_log_without_a_model_says_how_to_name_it(root: Path) -> None:
    file = sets.langsmith(root)
    text = file.read_text().replace("metadata.ls_model_name", "metadata.variant")
    file.write_text(text)
    with pytest.raises(UserError, match=r"no column names the LLM .*--llm COLUMN and --prompt inputs.question"):
        imported(root, file)
    columns = Columns(llm="metadata.variant", prompt="inputs.question")
    found = imported(root, file, columns=columns, rewards=["feedback.correctness"])
    assert [row["llm"] for row in found.llms] == list(sets.LLMS)


def test_the_model_of_a_folder_of_samples_stays_when_the_data_are_copied(root: Path) -> None:
    folder = sets.lm_eval(root / "out")
    imported(root, folder, copy=True)
    before = load_outcomes(str(folder), root).llms
    assert load_outcomes("warehouse/x/.imported", root).llms == before
