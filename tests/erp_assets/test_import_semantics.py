"""`erp import` guesses nothing in silence: what columns are taken for, what is refused, what is left out and said."""

import multiprocessing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erp_assets.import_file import entry_names
from erp_assets.importing import Imported, import_outcomes
from erp_resources.names import check_distinct, check_entry_name
from erp_resources.pool import load_pool
from erp_resources.recorded import Columns, load_outcomes
from erp_resources.settings import UserError

N = 24
PROMPTS = [f"What is {i} plus {i * i % 7}?" for i in range(N)]
GOOD = [i % 2 for i in range(N)]
FAIR = [i // 2 % 2 for i in range(N)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pools").mkdir()
    (tmp_path / "dagster.yaml").touch()
    return tmp_path


def wide(root: Path, **columns: Any) -> Path:
    pd.DataFrame({"prompt": PROMPTS, **columns}).to_csv(root / "wide.csv", index=False)
    return root / "wide.csv"


def tidy(root: Path, **columns: Any) -> Path:
    """Two LLMs, small and large, on every prompt; a column is of one value or of 2 N."""
    base: dict[str, Any] = {"prompt": [p for p in PROMPTS for _ in range(2)], "llm": ["small", "large"] * N}
    base["reward"] = [value for pair in zip(GOOD, FAIR, strict=True) for value in pair]
    frame = pd.DataFrame({name: column for name, column in {**base, **columns}.items() if column is not None})
    frame.to_csv(root / "tidy.csv", index=False)
    return root / "tidy.csv"


def imported(root: Path, path: Path, **options: Any) -> Imported:
    (root / "pools" / "x.yaml").unlink(missing_ok=True)
    return import_outcomes(str(path), "x", root, **options)


def refusal(root: Path, path: Path, **options: Any) -> str:
    with pytest.raises(UserError) as error:
        import_outcomes(str(path), "x", root, **options)
    assert not list((root / "pools").iterdir()), "a refused import leaves nothing"
    return str(error.value)


def names(found: Imported) -> list[str]:
    return [row["llm"] for row in found.llms]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("", range(N)),
        ("Unnamed: 0", range(N)),
        ("index", [3] * N),
        ("count", range(1, N + 1)),
        ("n", range(1, N + 1)),
        ("user_id", [7 * i % 1000 for i in range(N)]),
        ("dataset idx", [7 * i for i in range(N)]),
        ("year", [2020 + i % 4 for i in range(N)]),
        ("timestamp", [1_700_000_000 + 7 * i for i in range(N)]),
        ("created_at", [1_700_000_000 + 7 * i for i in range(N)]),
        ("latency_ms", [0.5] * N),
        ("total_tokens", [100 + i % 3 for i in range(N)]),
        ("price", [0.5] * N),
        ("difficulty", [i % 5 for i in range(N)]),
        ("best_score", GOOD),
        ("success", [True, False] * (N // 2)),
        ("notes", ["a remark"] * N),
        ("empty", [None] * N),
    ],
)
def test_what_is_surely_no_llm_is_left_out_and_said(root: Path, name: str, values: Sequence[Any]) -> None:
    found = imported(root, wide(root, **{name: list(values), "gpt-4": GOOD, "claude": FAIR}))
    assert names(found) == ["gpt-4", "claude"]
    assert found.not_used[name]
    assert "a column for each LLM: gpt-4, claude" in found.read_as
    assert f"not used: {name or 'the nameless one'} (" in found.read_as


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"uid": [7 * i % 100 for i in range(N)]}, "uid not; name the columns that are LLMs: --reward gpt-4"),
        ({"toxicity": [0.1] * N}, "toxicity: called like a measure of one outcome"),
        ({"score": GOOD}, "'score' is of one outcome, but no column says of which LLM"),
        ({"response": ["yes"] * N}, "'response' is of one outcome, but no column says of which LLM"),
        ({"generator": ["somebody"] * N}, "'generator' may say whose outcome a row is; then give --llm generator"),
        ({"provider": ["somebody"] * N}, "'provider' may say whose outcome a row is"),
        ({"llama-70b": [100 * i for i in GOOD]}, "'llama-70b' holds numbers up to 100 and 'gpt-4' up to 1"),
    ],
)
def test_what_may_be_no_llm_is_refused_until_the_llms_are_named(root: Path, columns: dict[str, Any], said: str) -> None:
    file = wide(root, **columns, **{"gpt-4": GOOD, "claude": FAIR})
    assert said in refusal(root, file)
    assert "--reward" in refusal(root, file)
    found = imported(root, file, rewards=["gpt-4", "claude"])
    assert names(found) == ["gpt-4", "claude"]
    assert found.rewards[0]["known"] == 2 * N
    assert found.rewards[0]["most"] == 1
    assert load_outcomes("wide.csv", root).of("gpt-4").num_rows == N


def test_columns_of_plain_names_are_llms_and_said_to_be(root: Path) -> None:
    assert names(imported(root, wide(root, small=GOOD, large=FAIR))) == ["small", "large"]
    assert names(imported(root, wide(root, A=GOOD, B=FAIR))) == ["A", "B"]
    assert "accuracy, bleu: called like a measure" in refusal(root.joinpath(), _fresh(root, accuracy=GOOD, bleu=FAIR))


def _fresh(root: Path, **columns: Any) -> Path:
    (root / "pools" / "x.yaml").unlink(missing_ok=True)
    return wide(root, **columns)


@pytest.mark.parametrize("cell", ["N/A", "85%", "good", "1,5", "1_000", "-"])
def test_a_bad_cell_in_an_llms_column_is_refused_by_line_and_no_llm_vanishes(root: Path, cell: str) -> None:
    values: list[Any] = list(FAIR)
    values[3] = cell
    file = wide(root, **{"gpt-4": GOOD, "claude": values})
    assert f"wide.csv:5: column 'claude' holds '{cell}', which is no number" in refusal(root, file)
    assert f"wide.csv:5: column 'claude' holds '{cell}'" in refusal(root, file, rewards=["claude"])
    assert names(imported(root, file, rewards=["gpt-4"])) == ["gpt-4"]
    all_bad = _fresh(root, **{"gpt-4": GOOD, "claude": [cell] * N})
    assert "wide.csv:2: column 'claude' holds" in refusal(root, all_bad)


def test_an_llm_without_a_recorded_cost_stays_with_a_number_and_is_named(root: Path) -> None:
    file = wide(root, **{"gpt-4": GOOD, "claude": FAIR, "claude|total_cost": [0.25] * N})
    found = imported(root, file)
    assert names(found) == ["gpt-4", "claude"]
    assert "1 of 2 LLMs" in found.costs
    assert any("gpt-4 has no cost in any of its 24 outcomes" in finding for finding in found.findings)
    assert load_pool("x", root).costs[0] == 0.25
    partly = imported(root, tidy(root, cost=[None, 1.0] * 5 + [0.5, 1.0] * (N - 5)))
    assert partly.costs == "recorded for each outcome (column cost)"
    assert any("small has no cost in 5 of its 24 outcomes" in finding for finding in partly.findings)
    none = imported(root, tidy(root, cost=[None] * 2 * N))
    assert none.costs.startswith("not known")
    assert load_pool("x", root).costs == [1.0, 1.0]


@pytest.mark.parametrize(("column", "cell"), [("n_samples", 10**20), ("n_samples", 1.5), ("prompt_tokens", 2**31)])
def test_a_count_that_no_table_holds_is_refused_by_line(root: Path, column: str, cell: float) -> None:
    said = refusal(root, tidy(root, **{column: [1, cell] * N}))
    assert f"tidy.csv:3: column '{column}' holds" in said
    assert "at most 2,147,483,647" in said


@pytest.mark.parametrize("asked", ["cost", "Cost", "total_cost"])
def test_the_column_that_is_taken_for_costs_may_be_named_as_well(root: Path, asked: str) -> None:
    column = asked.lower()
    by_itself = imported(root, tidy(root, **{column: [0.5, 1.0] * N}))
    named = imported(root, tidy(root, **{column: [0.5, 1.0] * N}), cost=asked)
    assert named.costs == by_itself.costs
    assert named.read_as == by_itself.read_as


def test_what_columns_were_taken_for_is_one_line(root: Path) -> None:
    more = {"bleu": 0.5, "cost_usd": 0.01, "who": "me", "reward": None}
    found = imported(root, tidy(root, score=[0.5, 1] * N, **more))
    assert found.read_as == (
        "prompt: prompt; llm: llm; reward: score (also numbers: bleu); cost: none (numbers: cost_usd); not used: who"
    )
    assert found.columns == {"prompt": "prompt", "llm": "llm", "reward": "score"}
    assert found.numbers == ["bleu", "cost_usd"]
    assert list(found.not_used) == ["who"]
    again = imported(root, tidy(root, score=[0.5, 1] * N, **more), rewards=["bleu"], cost="COST USD")
    assert "reward: bleu (also numbers: score); cost: cost_usd" in again.read_as


@pytest.mark.parametrize(
    "header", ["prompt, llm, reward", "Prompt,LLM,Reward", "INPUT,Model Name,SCORE", " user_prompt ,model,rating"]
)
def test_headers_are_known_in_any_case_and_with_blanks(root: Path, header: str) -> None:
    rows = [f'"{p}",{llm},{i % 2}' for i, p in enumerate(PROMPTS) for llm in ("a", "b")]
    (root / "t.csv").write_text("\n".join([header, *rows]))
    found = imported(root, root / "t.csv")
    assert (found.form[:4], names(found), found.missing) == ("tidy", ["a", "b"], 0)


def test_flags_name_columns_and_the_pool_file_keeps_them(root: Path) -> None:
    frame = pd.DataFrame(
        {
            "frage": [p for p in PROMPTS for _ in range(2)],
            "wer": ["a", "b"] * N,
            "art": ["x"] * N * 2,
            "nr": [i // 2 for i in range(2 * N)],
            "punkte": [0.5, 1] * N,
        }
    )
    frame.to_json(root / "t.jsonl", orient="records", lines=True)
    assert "name it with --prompt COLUMN" in refusal(root, root / "t.jsonl")
    assert "did you mean 'frage'" in refusal(root, root / "t.jsonl", columns=Columns(prompt="frag"))
    columns = Columns(prompt="frage", llm="wer", category="art", id="nr")
    found = imported(root, root / "t.jsonl", columns=columns, rewards=["punkte"])
    assert names(found) == ["a", "b"]
    pool = load_pool("x", root)
    table = pool.prompts.load(root).load()
    assert table["prompt"].to_pylist() == PROMPTS
    assert set(table["category"].to_pylist()) == {"x"}
    assert table["source"].to_pylist() == [str(i) for i in range(N)]
    assert pool.llms["b"].outcomes(root)["punkte"].to_pylist() == [1.0] * N  # type: ignore[union-attr]
    nested = pd.DataFrame({"in": [{"q": p} for p in PROMPTS], "a": GOOD, "b": FAIR})
    nested.to_json(root / "n.jsonl", orient="records", lines=True)
    assert imported(root, root / "n.jsonl", columns=Columns(prompt="in.q")).prompts == N


def test_the_reward_that_is_asked_for_beats_a_text_that_is_called_like_one(root: Path) -> None:
    file = tidy(root, reward=None, correct=["B", "C"] * N, acc=[0, 1] * N)
    said = refusal(root, file)
    assert "tidy.csv:2: column 'correct' holds 'B', which is no number" in said
    assert "or name another column with --reward: acc" in said
    assert imported(root, file, rewards=["acc"]).llms[1]["acc"] == 1
    load_pool("x", root).llms["small"].load(root)


def test_missing_is_counted_by_the_rewards_that_are_chosen(root: Path) -> None:
    rewards = [None if i in (3, 4, 9) else 1.0 for i in range(2 * N)]
    found = imported(root, tidy(root, reward=rewards, latency=1.5))
    assert found.missing == 3
    assert [row["missing"] for row in found.llms] == [1, 2]
    ghost = tidy(root, reward=[None, 1.0] * N, latency=1.5)
    found = imported(root, ghost)
    assert names(found) == ["large"]
    assert "small has no reward (reward) in any of its outcomes: it is left out" in found.findings
    assert "LLM small has neither a reward nor a response" in " ".join(
        imported(root, tidy(root, reward=[None, 1.0] * N)).notes
    )
    (root / "pools" / "x.yaml").unlink()
    assert "column 'reward' is empty" in refusal(root, tidy(root, reward=[None] * 2 * N, latency=1.5))


def test_responses_without_a_reward_are_said_to_be_scored_and_by_what(root: Path) -> None:
    said = [f"because {i}" for i in range(2 * N)]
    found = imported(root, tidy(root, reward=None, preference=0.5, response=said))
    (line,) = [finding for finding in found.findings if "called like a reward" in finding]
    assert "scored by the reward model OpenAssistant" in line
    assert "name it with --reward: preference" in line
    found = imported(root, tidy(root, reward=None, response=said, answer=7))
    assert any("scored by the check 'exact', against column 'answer'" in finding for finding in found.findings)


def test_one_prompt_is_refused_and_one_llm_said(root: Path) -> None:
    file = tidy(root, question=[p for p in PROMPTS for _ in range(2)], prompt="Answer the question.")
    assert "all rows have the same prompt, in column 'prompt'" in refusal(root, file)
    assert "name it: --prompt question" in refusal(root, file)
    assert imported(root, file, columns=Columns(prompt="question")).prompts == N
    found = imported(root, tidy(root, llm="only"))
    assert any("there is one LLM, only" in finding for finding in found.findings)


def test_a_reward_of_which_less_may_be_better_is_taken_only_when_asked_for_and_said(root: Path) -> None:
    file = tidy(root, reward=None, loss=[0.5, 0.25] * N)
    assert "name the column of rewards with --reward: there is loss" in refusal(root, file)
    found = imported(root, file, rewards=["loss"])
    assert any("'loss' is taken as it is: more is better" in finding for finding in found.findings)


def test_means_weight_samples(root: Path) -> None:
    rows = pd.DataFrame({"prompt": ["a", "b", "c"], "llm": "m", "reward": [1.0, 0.0, 0.1], "n_samples": [1, 9, 10]})
    rows.to_csv(root / "t.csv", index=False)
    found = imported(root, root / "t.csv")
    assert found.llms[0]["reward"] == pytest.approx(0.1)
    assert found.rewards[0]["mean"] == pytest.approx(0.1)


def test_a_file_that_was_joined_to_itself_counts_once(root: Path) -> None:
    frame = pd.read_csv(tidy(root))
    pd.concat([frame, frame]).to_csv(root / "t.csv", index=False)
    found = imported(root, root / "t.csv")
    assert [row["outcomes"] for row in found.llms] == [N, N]
    assert "48 rows are equal to a row above in all columns: each counts once" in found.notes


def test_equal_samples_are_no_copies(root: Path) -> None:
    rows = {"prompt": ["p"] * 4 + ["q"] * 2, "llm": "m", "reward": [1, 1, 1, 0, 1, 0]}
    pd.DataFrame(rows).to_csv(root / "t.csv", index=False)
    found = imported(root, root / "t.csv")
    assert (found.llms[0]["outcomes"], found.llms[0]["reward"]) == (6, pytest.approx(4 / 6))
    assert "2 rows are equal to a row above in all columns, and are taken for samples of their own" in found.notes[0]
    said = {**rows, "response": ["x", "x", "x", "y", "z", "z"]}
    pd.DataFrame(said).to_csv(root / "t.csv", index=False)
    assert imported(root, root / "t.csv").llms[0]["outcomes"] == 6


def test_a_sample_that_stands_twice_is_a_copy_or_refused(root: Path) -> None:
    (root / "t.csv").write_text("prompt,llm,reward,sample\np,m,1,0\np,m,1,0\np,m,0,1\np,m,0,1\nq,m,1,0\n")
    assert imported(root, root / "t.csv").llms[0]["outcomes"] == 3
    (root / "pools" / "x.yaml").unlink()
    (root / "t.csv").write_text("prompt,llm,reward,sample\np,m,1,0\np,m,0,0\nq,m,1,0\n")
    assert "t.csv:3: this sample of the prompt and LLM stands above" in refusal(root, root / "t.csv")


def test_ids_that_begin_anew_and_several_answers_or_categories_are_said(root: Path) -> None:
    file = tidy(root, id=[i // 2 % 5 for i in range(2 * N)], answer=["1", "2"] * N, category=["c", "d"] * N)
    found = imported(root, file)
    assert found.prompts == N
    said = " / ".join(found.notes)
    assert "prompts are known by their text" in said
    assert "24 prompts stand with several categories, as in 'c', 'd': the first counts" in said
    assert "24 prompts stand with several answers, as in '1', '2': the first counts" in said


def test_a_category_for_every_prompt_is_split_into_train_and_test(root: Path) -> None:
    found = imported(root, tidy(root, task=[f"HumanEval/{i // 2}" for i in range(2 * N)]))
    assert found.splits == {"train": N // 2, "test": N // 2}


def test_files_of_one_llm_each_are_named_by_it_when_they_ask_the_same_prompts(root: Path) -> None:
    for llm, values in (("gpt-4.1", GOOD), ("claude-2.1", FAIR)):
        pd.DataFrame({"prompt": PROMPTS, "score": values}).to_csv(_in(root / "logs", f"{llm}.csv"), index=False)
    found = imported(root, root / "logs")
    assert {row["llm"]: row["score"] for row in found.llms} == {"gpt-4.1": 0.5, "claude-2.1": 0.5}
    assert "no column names the LLM: the files are taken for one each, claude-2.1, gpt-4.1" in found.notes
    for llm, values in (("gpt-4.1", GOOD), ("claude-2.1", FAIR)):
        file = _in(root / "runs" / llm, "results.jsonl")
        pd.DataFrame({"prompt": PROMPTS, "score": values}).to_json(file, orient="records", lines=True)
    assert sorted(names(imported(root, root / "runs"))) == ["claude-2.1", "gpt-4.1"]
    for task, part in (("gsm8k", slice(0, 12)), ("mmlu", slice(12, 24))):
        file = _in(root / "tasks", f"{task}.csv")
        pd.DataFrame({"prompt": PROMPTS[part], "score": GOOD[part]}).to_csv(file, index=False)
    (root / "pools" / "x.yaml").unlink()
    assert "they are not taken for one LLM each; name the column with --llm" in refusal(root, root / "tasks")


def _in(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def test_a_folder_of_equal_files_is_one_table_and_shards_are_no_categories(root: Path) -> None:
    frame = pd.read_csv(tidy(root))
    for name, part in (("part-0", frame[:20]), ("part-1", frame[20:])):
        part.to_parquet(_in(root / "shards", f"{name}.parquet"), index=False)
    found = imported(root, root / "shards")
    assert (found.prompts, found.missing, found.categories) == (N, 0, 1)
    for name, part in (("law", frame[:20]), ("art", frame[20:])):
        part.to_csv(_in(root / "tasks", f"{name}.csv"), index=False)
    found = imported(root, root / "tasks")
    assert found.categories == 2
    assert "no column names the category: it is the file's name" in found.notes
    (root / "tasks" / "README.json").write_text('{"about": "these"}')
    assert "not read: README.json" in imported(root, root / "tasks").notes
    (root / "pools" / "x.yaml").unlink()
    (root / "tasks" / "more.csv").write_bytes(b"prompt,llm,reward\n\xe9,a,1\n")
    assert "more.csv:2: is not UTF-8" in refusal(root, root / "tasks")


ODD = [
    "0",
    "4.5",
    "null",
    "true",
    "~",
    "🤖 bot",
    "通义千问",
    "文心一言",
    "модель",
    "नमस्ते",
    "a/b",
    "..",
    "-",
    "con",
    "x" * 200,
    "gpt-4",
    "GPT-4",
    "a: b",
    "[x]",
    "'",
    '"',
    "{y}",
    "# z",
    "!tag",
    "@at",
    "| bar",
    "yes",
    "1e3",
    "a\tb",
    "Claude 3.5 Sonnet",
]


def test_names_of_any_kind_are_kept_or_shown_with_what_they_became(root: Path) -> None:
    rows = [
        {"prompt": p, "llm": llm, "reward": (i + m) % 2} for i, p in enumerate(PROMPTS) for m, llm in enumerate(ODD)
    ]
    pd.DataFrame(rows).to_json(root / "t.jsonl", orient="records", lines=True, force_ascii=False)
    found = imported(root, root / "t.jsonl")
    assert names(found) == ODD
    assert {row["reward"] for row in found.llms} == {0.5}
    pool = load_pool("x", root)
    assert [entry.llm for entry in pool.llms.values()] == ODD  # type: ignore[union-attr]
    assert found.names == dict(zip(ODD, pool.llms, strict=True))
    assert found.names["通义千问"] == "通义千问"
    assert any("'🤖 bot' is bot" in finding for finding in found.findings)


@given(st.lists(st.text(max_size=300), min_size=1, max_size=8, unique=True))
def test_any_names_become_legal_ones_of_their_own(recorded: list[str]) -> None:
    made = entry_names(recorded, "llm")
    assert list(made) == recorded
    for name in made.values():
        assert check_entry_name(name) == name
    check_distinct(made.values())


def _one_of_two(root: Path, start: Any, results: Any) -> None:
    start.wait()
    try:
        results.put(import_outcomes(str(root / "tidy.csv"), "x", root).file)
    except UserError as error:
        results.put(str(error))


def test_of_two_imports_at_once_one_wins_and_the_other_is_refused(root: Path) -> None:
    tidy(root)
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(2), context.Queue()
    workers = [context.Process(target=_one_of_two, args=(root, start, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    said = sorted(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    assert said == ["pools/x.yaml", "pools/x.yaml is there already; delete it, or give another --name"]
    assert list((root / "pools").iterdir()) == [root / "pools" / "x.yaml"]
    assert list(load_pool("x", root).llms) == ["small", "large"]


def test_prompts_that_not_all_llms_have_are_told(root: Path) -> None:
    file = tidy(root, llm=[f"model-{i % 12}" for i in range(2 * N)])
    assert any("0 prompts have a reward 'reward' of every LLM" in finding for finding in imported(root, file).findings)


def test_a_copy_holds_nothing_of_a_pool_that_was_there_before(root: Path) -> None:
    frame = pd.read_csv(tidy(root))
    frame.to_csv(_in(root / "a", "one.csv"), index=False)
    frame[:10].to_csv(_in(root / "b", "two.csv"), index=False)
    imported(root, root / "a", copy=True)
    imported(root, root / "b", copy=True)
    assert [file.name for file in (root / "warehouse" / "x" / ".imported").iterdir()] == ["two.csv"]
    assert load_outcomes("warehouse/x/.imported", root).prompts.num_rows == 5


def test_a_path_is_of_the_working_folder_or_else_of_the_project(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tidy(root)
    (root / "sub").mkdir()
    monkeypatch.chdir(root / "sub")
    assert import_outcomes("tidy.csv", "x", root).prompts == N
    pd.read_csv(root / "tidy.csv")[:10].to_csv("tidy.csv", index=False)
    assert import_outcomes("tidy.csv", "y", root).prompts == 5


def test_a_refused_import_does_not_touch_the_pool_that_is_there(root: Path) -> None:
    imported(root, tidy(root))
    before = (root / "pools" / "x.yaml").read_text()
    with pytest.raises(UserError, match="is there already"):
        import_outcomes(str(root / "tidy.csv"), "x", root, copy=True)
    assert (root / "pools" / "x.yaml").read_text() == before
    assert not (root / "warehouse").exists()


CELLS: list[Callable[[int], Any]] = [
    lambda i: i,
    lambda i: i % 2,
    lambda i: i / 3,
    lambda i: f"text {i}",
    lambda i: f"text {i % 2}",
    lambda i: None,
    lambda i: "" if i % 2 else "x",
    lambda i: i % 2 == 0,
    lambda i: [{"role": "user", "content": f"hi {i}"}],
    lambda i: {"a": i, "b": "x"},
    lambda i: [i, "x"],
    lambda i: 10**20 + i,
    lambda i: "12" if i else "1,5",
    lambda i: {"model": "m", "response": "r", "score": i},
    lambda i: [{"model": "m", "response": "r", "score": i}],
]
WORDS = """
prompt question input messages llm model model_a model_b winner generator reward score correct response output cost id
category split sample n_samples answer gpt-4 claude gpt-4|total_cost gpt-4_response index doc_id arguments resps
instance_id stats completions conversation_a instruction generator_1 generator_2 output_2 preference question_id judge
turn turns run_id event_id sample_id type data provider vars success scores inputs outputs traceId spend x.score
"""
NAMES = st.sampled_from(WORDS.split())


@given(st.dictionaries(NAMES, st.integers(0, len(CELLS) - 1), min_size=1, max_size=9), st.integers(1, 5), st.booleans())
def test_no_table_gives_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, columns: dict[str, int], rows: int, is_csv: bool
) -> None:
    folder = tmp_path_factory.mktemp("any")
    frame = pd.DataFrame([{name: CELLS[kind](i) for name, kind in columns.items()} for i in range(rows)])
    file = folder / ("t.csv" if is_csv else "t.jsonl")
    frame.to_csv(file, index=False) if is_csv else frame.to_json(
        file, orient="records", lines=True, default_handler=str
    )
    try:
        found = load_outcomes(str(file), folder)
    except UserError:
        return
    assert set(found.llms) <= set(found.cells["llm"].to_pylist())
