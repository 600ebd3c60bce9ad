"""Prompt sources: what they read becomes the table of prompts, is left out and counted, or is refused by name."""

import gzip
import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from erp_resources.pool import load_pool
from erp_resources.prompt_sources import PROMPTS, FunctionPrompts, PromptSourceEntry
from erp_resources.settings import UserError

COLUMNS = "dict(prompt=['a', 'b'], embed_text=['a', 'b'], category=['x', 'y'], answer=['1', None], source=['s', 's'])"


@pytest.fixture
def source(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Writes a user's module with a function `make` of the given body; returns its pool entry."""

    def make(body: str) -> FunctionPrompts:
        name = f"user_prompts_{abs(hash((request.node.name, body)))}"
        lines = "import pyarrow as pa, pandas as pd\ndef make(per_category, seed):\n"
        (tmp_path / f"{name}.py").write_text(lines + textwrap.indent(body, "    "))
        return FunctionPrompts(source="function", function=f"{name}:make", per_category=3, seed=7)

    yield make
    if str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))


@pytest.mark.parametrize("wrapped", [COLUMNS, f"pa.table({COLUMNS})", f"pd.DataFrame({COLUMNS})"])
def test_a_table_a_frame_or_columns_become_the_prompts(source: Any, tmp_path: Path, wrapped: str) -> None:
    table = source(f"return {wrapped}").load(tmp_path).load()
    assert table.schema == PROMPTS
    assert table["prompt"].to_pylist() == ["a", "b"]
    assert table["answer"].to_pylist() == ["1", None]


def test_the_function_is_given_the_entrys_numbers(source: Any, tmp_path: Path) -> None:
    table = source(f"return dict({COLUMNS}, source=[f'{{per_category}} {{seed}}'] * 2)").load(tmp_path).load()
    assert table["source"].to_pylist() == ["3 7"] * 2


def test_answers_may_all_be_null(source: Any, tmp_path: Path) -> None:
    table = source(f"return dict({COLUMNS}, answer=[None, None])").load(tmp_path).load()
    assert table.schema == PROMPTS
    assert table["answer"].null_count == 2


def test_a_function_may_give_answers_and_categories_as_numbers(source: Any, tmp_path: Path) -> None:
    table = source(f"return dict({COLUMNS}, answer=[42, None], category=[1, 2])").load(tmp_path).load()
    assert table["answer"].to_pylist() == ["42", None]
    assert table["category"].to_pylist() == ["1", "2"]


def test_a_function_leaves_nothing_out(source: Any, tmp_path: Path) -> None:
    loaded = source(f"return {COLUMNS}").load(tmp_path)
    loaded.load()
    assert loaded.notes == {}


def test_other_columns_are_left_out(source: Any, tmp_path: Path) -> None:
    assert source(f"return dict({COLUMNS}, more=[1, 2])").load(tmp_path).load().schema == PROMPTS


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (f"c = {COLUMNS}; del c['answer']; return c", "no column 'answer'"),
        (
            f"return dict({COLUMNS}, prompt=['a', None])",
            "row 2: its column 'prompt' is empty; only 'answer' may be null",
        ),
        (f"return dict({COLUMNS}, prompt=['a', ' '])", "row 2: its column 'prompt' is empty"),
        (f"return dict({COLUMNS}, prompt=[1, 2])", "row 1: column 'prompt' holds 1, but text is needed"),
        (
            f"return dict({COLUMNS}, answer=[[1, 2], [2]])",
            r"row 1: column 'answer' holds \[1, 2\], but a name or a number",
        ),
        (
            f"return dict({COLUMNS}, prompt=['a', 'a '], answer=['1', '2'])",
            "the answer is '2', but '1' to the same prompt",
        ),
        (f"return dict({COLUMNS}, prompt=['a', '\\ud83d'])", "no table can be made"),
        ("return 1 / 0", r"it failed at .*user_prompts_.*py:3 with ZeroDivisionError: division by zero"),
        (f"return dict({COLUMNS}, source=['s'])", "returned dict, of which no table can be made"),
        ("return ['a', 'b']", "returned list, of which no table can be made"),
        ("return None", "returned NoneType, of which no table can be made"),
        (f"return pa.table({COLUMNS}).slice(0, 0)", "returned no prompts"),
        ("raise ValueError(f'only {seed} questions, not {per_category}')", "only 7 questions, not 3"),
    ],
)
def test_what_does_not_fit_is_refused_by_function_and_column(
    source: Any, tmp_path: Path, body: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as raised:
        source(body).load(tmp_path).load()
    assert "function 'user_prompts_" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_function_that_does_not_exist_is_refused_on_loading(source: Any, tmp_path: Path) -> None:
    entry = source("return {}")
    with pytest.raises(UserError, match="has no function 'mak'"):
        entry.model_copy(update={"function": entry.function.replace(":make", ":mak")}).load(tmp_path)


def test_the_fingerprint_changes_with_the_entry_and_the_code(source: Any, tmp_path: Path) -> None:
    entry = source("return {}")
    before = entry.fingerprint(tmp_path)
    assert entry.model_copy(update={"seed": 8}).fingerprint(tmp_path) != before
    module = tmp_path / f"{entry.function.partition(':')[0]}.py"
    module.write_text(module.read_text() + "\n# changed\n")
    assert entry.fingerprint(tmp_path) != before


# --- what several sources share ---


def entry(**settings: Any) -> Any:
    return TypeAdapter(PromptSourceEntry).validate_python(settings)


def read(root: Path, **settings: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The rows that the entry gives, and its notes."""
    source = entry(**settings).load(root)
    assert source.notes == {}
    table = source.load()
    assert table.schema == PROMPTS
    return table.to_pylist(), source.notes


def refusal(root: Path, **settings: Any) -> str:
    with pytest.raises(UserError) as raised:
        entry(**settings).load(root).load()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def prompts_of(rows: list[dict[str, Any]], category: str | None = None) -> list[str]:
    return [row["prompt"] for row in rows if category in (None, row["category"])]


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package, with its cache in tmp_path and without its progress bars."""
    package = pytest.importorskip("datasets")
    monkeypatch.setattr(package.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    package.disable_progress_bars()
    yield package
    package.enable_progress_bars()


# --- open_perfectblend ---

CODE, CHAT, FOLLOW = "theblackcat102/evol-codealpaca-v1", "mlabonne/ultrachat_200k_sft", "Post-training-Data-Flywheel"
MATH, MIXED = "meta-math/MetaMathQA", "openbmb/UltraInteract_sft"


def turn(role: str | None, text: str | None) -> dict[str, str | None]:
    return {"from": role, "value": text}


def conversation(source: str | None, *turns: dict[str, str | None]) -> dict[str, Any]:
    return {"conversations": list(turns), "source": source}


def talk(source: str, prompt: str) -> dict[str, Any]:
    return conversation(source, turn("human", prompt), turn("gpt", "A response."), turn("human", "And then?"))


BLEND = [
    *[talk(CODE, f"code {i}") for i in range(6)],
    *[talk(CHAT, f"chat {i}") for i in range(6)],
    *[talk("mlabonne/lmsys-arena-human-preference-55k-sharegpt", f"arena {i}") for i in range(6)],
    *[talk(FOLLOW + "/AutoIF-instruct-61k", f"follow {i}") for i in range(2)],
    *[talk(MATH, f"math {i}") for i in range(6)],
    conversation(
        MATH, turn("system", "Be brief."), turn("human", " math after a system's turn\n"), turn("gpt", "Yes.")
    ),
    talk(MATH, "  math 0 "),
    talk(CODE, "math 0"),
    talk(MIXED, "code or math"),
    talk(MIXED, "code or math, too"),
    conversation(None, turn("human", "from nowhere")),
    conversation(MATH, turn("gpt", "The model begins."), turn("human", "too late")),
    conversation(MATH, turn("system", "Nobody speaks.")),
    conversation(MATH, turn(None, "of nobody")),
    conversation(MATH, turn("human", None)),
    conversation(MATH),
    talk(MATH, " \n\t"),
]


def save_blend(datasets: Any, root: Path, rows: list[dict[str, Any]], form: str) -> str:
    """A local copy of the dataset in one of the forms; returns its path."""
    data = datasets.Dataset.from_list(rows)
    if form == "saved":
        data.save_to_disk(str(root / "blend"))
    elif form == "saved splits":
        datasets.DatasetDict(train=data).save_to_disk(str(root / "blend"))
    elif form == "hub folder":
        (root / "blend" / "data").mkdir(parents=True)
        data.to_parquet(str(root / "blend" / "data" / "train-00000-of-00001.parquet"))
    elif form == "parquet":
        data.to_parquet(str(root / "blend[1].parquet"))
        return "blend[1].parquet"
    elif form == "jsonl":
        data.to_json(str(root / "blend.jsonl"))
        return "blend.jsonl"
    return "blend"


def blend(datasets: Any, root: Path, rows: list[dict[str, Any]], **settings: Any) -> Any:
    root.mkdir(exist_ok=True)
    path = save_blend(datasets, root, rows, "parquet")
    return read(root, source="open_perfectblend", path=path, **settings)


@pytest.mark.parametrize("form", ["saved", "saved splits", "hub folder", "parquet", "jsonl"])
def test_every_form_of_a_copy_of_the_blend_gives_the_same_prompts(datasets: Any, tmp_path: Path, form: str) -> None:
    path = save_blend(datasets, tmp_path, BLEND, form)
    rows, _ = read(tmp_path, source="open_perfectblend", path=path, per_category=3)
    assert rows == blend(datasets, tmp_path / "other", BLEND, per_category=3)[0]
    assert len(rows) == 3 + 3 + 2 + 3


def test_the_blends_sources_give_the_papers_four_categories(datasets: Any, tmp_path: Path) -> None:
    rows, _ = blend(datasets, tmp_path, BLEND, per_category=100)
    assert sorted(prompts_of(rows, "coding")) == [*(f"code {i}" for i in range(6)), "math 0"]
    assert len(prompts_of(rows, "general_chat")) == 12
    assert sorted(prompts_of(rows, "instruction_following")) == ["follow 0", "follow 1"]
    assert sorted(prompts_of(rows, "math")) == [*(f"math {i}" for i in range(1, 6)), "math after a system's turn"]
    assert {row["source"] for row in rows if row["category"] == "math"} == {MATH}
    assert all(row["embed_text"] == row["prompt"] and row["answer"] is None for row in rows)


def test_what_is_left_out_of_the_blend_is_counted_by_reason(datasets: Any, tmp_path: Path) -> None:
    rows, notes = blend(datasets, tmp_path, BLEND, per_category=4)
    assert notes == {
        f"no category: {MIXED}": 2,
        "no category: None": 1,
        "no user turn first": 5,
        "empty": 1,
        "repeated": 2,
        "not drawn": 3 + 8 + 2,
        "short of per_category: instruction_following": 2,
    }
    short = notes.pop("short of per_category: instruction_following")
    assert len(rows) == 4 * 4 - short
    assert len(rows) + sum(notes.values()) == len(BLEND)


def test_a_mixed_source_of_the_blend_is_counted_to_the_category_that_is_chosen(datasets: Any, tmp_path: Path) -> None:
    feedback = "HuggingFaceH4/ultrafeedback_binarized"
    mixed = [*BLEND, *[talk(feedback, f"feedback {i}") for i in range(3)]]
    plain, left_out = blend(datasets, tmp_path / "a", mixed, per_category=100)
    assert left_out[f"no category: {MIXED}"] == 2
    rows, notes = blend(
        datasets, tmp_path / "b", mixed, per_category=100, ultrainteract="coding", ultrafeedback="general_chat"
    )
    assert {note for note in notes if note.startswith("no category")} == {"no category: None"}
    added = {(row["prompt"], row["category"], row["source"]) for row in rows} - {
        (row["prompt"], row["category"], row["source"]) for row in plain
    }
    assert added == {
        ("code or math", "coding", MIXED),
        ("code or math, too", "coding", MIXED),
        *((f"feedback {i}", "general_chat", feedback) for i in range(3)),
    }
    assert len(rows) == len(plain) + len(added)
    (tmp_path / "c").mkdir()
    path = save_blend(datasets, tmp_path / "c", BLEND, "parquet")
    told = refusal(tmp_path / "c", source="open_perfectblend", path=path, ultrafeedback="math")
    assert "no row's source is called ultrafeedback; leave out prompts.ultrafeedback" in told


def test_the_blend_is_known_by_its_mixed_sources_only_where_they_are_counted(tmp_path: Path) -> None:
    plain = {"revision": None, "source": "open_perfectblend", "per_category": 1000, "seed": 0}
    assert json.loads(entry(source="open_perfectblend").fingerprint(tmp_path)) == plain
    counted = entry(source="open_perfectblend", ultrainteract="math").fingerprint(tmp_path)
    assert json.loads(counted) == plain | {"ultrainteract": "math"}


def test_the_draw_depends_on_the_seed_and_on_nothing_else(datasets: Any, tmp_path: Path) -> None:
    rows, _ = blend(datasets, tmp_path / "a", BLEND, per_category=3)
    assert blend(datasets, tmp_path / "b", BLEND, per_category=3)[0] == rows
    assert blend(datasets, tmp_path / "c", BLEND[::-1], per_category=3)[0] == rows
    assert blend(datasets, tmp_path / "d", BLEND, per_category=3, seed=1)[0] != rows
    more, _ = blend(
        datasets, tmp_path / "e", [*[talk(CODE, f"more code {i}") for i in range(50)], *BLEND], per_category=3
    )
    assert prompts_of(more, "coding") != prompts_of(rows, "coding")
    assert prompts_of(more, "general_chat") == prompts_of(rows, "general_chat")


def test_a_greater_draw_contains_the_smaller_one(datasets: Any, tmp_path: Path) -> None:
    few, many = (blend(datasets, tmp_path / str(n), BLEND, per_category=n)[0] for n in (2, 5))
    assert set(prompts_of(few)) < set(prompts_of(many))


def test_the_blend_is_read_alike_in_batches(datasets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = blend(datasets, tmp_path / "a", BLEND, per_category=4)
    monkeypatch.setattr("erp_resources.prompt_sources.open_perfectblend._BATCH_ROWS", 7)
    assert blend(datasets, tmp_path / "b", BLEND, per_category=4) == whole


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"conversations": [turn("human", "x")]}], "there is no column 'source' (it has conversations)"),
        (
            [{"conversation": "x", "source": CODE}],
            "no column 'conversations' (it has conversation, source); did you mean",
        ),
        (
            [{"conversations": "x", "source": CODE}],
            "column 'conversations' holds string, but lists of turns with 'from'",
        ),
        (
            [{"conversations": [{"role": "user"}], "source": CODE}],
            "but lists of turns with 'from' and 'value' are needed",
        ),
        ([talk(MIXED, "x")], f"no prompts of the known sources (no category: {MIXED}: 1)"),
    ],
)
def test_another_dataset_is_refused_by_what_it_lacks(
    datasets: Any, tmp_path: Path, rows: list[dict[str, Any]], message: str
) -> None:
    path = save_blend(datasets, tmp_path, rows, "parquet")
    told = refusal(tmp_path, source="open_perfectblend", path=path)
    assert told.startswith("dataset 'mlabonne/open-perfectblend': ")
    assert message in told


def test_a_copy_that_is_missing_or_broken_is_refused_by_name(datasets: Any, tmp_path: Path) -> None:
    blend_at = {"source": "open_perfectblend"}
    assert "path 'blend': there is no " in refusal(tmp_path, **blend_at, path="blend")
    (tmp_path / "blend.txt").touch()
    assert "path 'blend.txt': .txt is not one of .parquet, .jsonl" in refusal(tmp_path, **blend_at, path="blend.txt")
    (tmp_path / "blend.parquet").write_text("no parquet")
    told = refusal(tmp_path, **blend_at, path="blend.parquet")
    assert "dataset 'mlabonne/open-perfectblend': it could not be loaded from" in told


def test_a_copy_that_is_a_device_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "blend.jsonl").symlink_to("/dev/zero")
    for path in ("blend.jsonl", "x" * 300):
        given = entry(source="open_perfectblend", path=path)
        for act in (given.load, given.fingerprint):
            with pytest.raises(UserError, match=r"is a device|cannot be read"):
                act(tmp_path)


def test_a_missing_package_is_named_with_its_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    told = refusal(tmp_path, source="mmlu_pro")
    assert "install it with: pip install 'datasets>=5.2'" in told


def test_without_the_hub_the_way_out_is_a_local_copy(
    datasets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    told = refusal(tmp_path, source="open_perfectblend", revision="main")
    assert "it could not be loaded from the hub" in told
    assert "name a local copy with path:" in told


def test_a_revision_of_a_local_copy_is_refused() -> None:
    with pytest.raises(ValidationError, match="only the hub has revisions, and path names a local copy"):
        entry(source="mmlu_pro", path="copy", revision="main")


@pytest.mark.parametrize("form", ["saved", "parquet", "jsonl"])
def test_the_fingerprint_changes_with_the_copys_content_not_with_its_place(
    datasets: Any, tmp_path: Path, form: str
) -> None:
    fingerprints = []
    for folder, rows in {"a": BLEND, "b": BLEND, "c": BLEND[:-1]}.items():
        (tmp_path / folder).mkdir()
        path = save_blend(datasets, tmp_path / folder, rows, form)
        fingerprints.append(entry(source="open_perfectblend", path=f"{folder}/{path}").fingerprint(tmp_path))
    if form == "saved":  # a saved folder holds the fingerprint of datasets, another one each time
        fingerprints[1] = fingerprints[0]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_a_copy_that_was_written_anew_is_read_anew(datasets: Any, tmp_path: Path) -> None:
    (tmp_path / "blend.jsonl").write_text(json.dumps(talk(CODE, "before")) + "\n")
    assert prompts_of(read(tmp_path, source="open_perfectblend", path="blend.jsonl")[0]) == ["before"]
    (tmp_path / "blend.jsonl").write_text(json.dumps(talk(CODE, "after!")) + "\n")
    assert prompts_of(read(tmp_path, source="open_perfectblend", path="blend.jsonl")[0]) == ["after!"]


# --- mmlu_pro ---


def question(number: int, category: str = "law", answer: str = "B", **other: Any) -> dict[str, Any]:
    return {
        "question_id": number,
        "question": f"What is {number}?\n",
        "options": ["one", "two", "three"],
        "answer": answer,
        "answer_index": "ABCDEFGHIJ".find(answer),
        "cot_content": "",
        "category": category,
        "src": "ori_mmlu",
    } | other


def save_questions(datasets: Any, root: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A copy as the hub has it, with one question of its own in the validation split; returns the entry."""
    (root / "mmlu" / "data").mkdir(parents=True)
    for split, data in {"test": rows, "validation": [question(99)]}.items():
        file = root / "mmlu" / "data" / f"{split}-00000-of-00001.parquet"
        datasets.Dataset.from_list(data).to_parquet(str(file))
    return {"source": "mmlu_pro", "path": "mmlu"}


def test_a_question_is_asked_with_its_lettered_options(datasets: Any, tmp_path: Path) -> None:
    settings = save_questions(datasets, tmp_path, [question(2, category="computer science")])
    (row,), notes = read(tmp_path, **settings)
    assert row["embed_text"] == "What is 2?\nA. one\nB. two\nC. three"
    assert row["prompt"].endswith("\n\n" + row["embed_text"])
    assert '"The answer is (X)"' in row["prompt"]
    assert (row["answer"], row["category"], row["source"]) == ("B", "computer science", "ori_mmlu")
    assert notes == {}


def test_a_subset_is_a_split_of_the_hub(datasets: Any, tmp_path: Path) -> None:
    settings = save_questions(datasets, tmp_path, [question(2)])
    (row,), _ = read(tmp_path, **settings, subset="validation")
    assert row["embed_text"].startswith("What is 99?")


def test_all_questions_are_taken_in_order_or_some_of_each_discipline(datasets: Any, tmp_path: Path) -> None:
    data = [question(i, category=["law", "biology"][i % 2]) for i in range(10)] + [question(0)]
    settings = save_questions(datasets, tmp_path, data)
    rows, notes = read(tmp_path, **settings)
    assert [row["embed_text"].split("?")[0] for row in rows] == [f"What is {i}" for i in range(10)]
    assert notes == {"repeated": 1}
    drawn, notes = read(tmp_path, **settings, per_category=2)
    assert [row["category"] for row in drawn] == ["biology"] * 2 + ["law"] * 2
    assert notes == {"repeated": 1, "not drawn": 6}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (question(1, answer="D"), "row 2: the answer 'D' is not the letter of one of ['one', 'two', 'three']"),
        (question(1, answer="AB"), "row 2: the answer 'AB' is not the letter"),
        (question(1, question=None), "row 2: question, category or src is missing"),
    ],
)
def test_a_question_that_does_not_fit_is_refused_by_row(
    datasets: Any, tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    told = refusal(tmp_path, **save_questions(datasets, tmp_path, [question(0), row]))
    assert told.startswith("dataset 'TIGER-Lab/MMLU-Pro': ")
    assert message in told


def test_a_dataset_without_options_is_refused(datasets: Any, tmp_path: Path) -> None:
    row = {name: value for name, value in question(0).items() if name != "options"}
    datasets.Dataset.from_list([row]).to_parquet(str(tmp_path / "q.parquet"))
    assert "there is no column 'options' (it has question_id, " in refusal(
        tmp_path, source="mmlu_pro", path="q.parquet"
    )


# --- file ---

FILE = [
    {"question": "What is 2+2?", "topic": "math", "gold": "4"},
    {"question": 'Say "a, b"\nin two lines.', "topic": "chat", "gold": None},
    {"question": "Ünï ✓", "topic": "chat", "gold": None},
]
MAPPED = {"columns": {"prompt": "question", "category": "topic", "answer": "gold"}}


def csv_of(rows: list[dict[str, Any]]) -> str:
    cells = [list(rows[0]), *(row.values() for row in rows)]
    quoted = [['"' + (cell or "").replace('"', '""') + '"' for cell in line] for line in cells]
    return "".join(",".join(line) + "\n" for line in quoted)


def write_parquet(file: Path) -> None:
    pq.write_table(pa.Table.from_pylist(FILE), file)


def write_jsonl(file: Path) -> None:
    file.write_text("".join(json.dumps(row) + "\n\n" for row in FILE), encoding="utf-8")


def write_csv(file: Path) -> None:
    file.write_text("\ufeff" + csv_of(FILE), encoding="utf-8")  # as spreadsheets write it


def gzipped(write: Callable[[Path], None]) -> Callable[[Path], None]:
    def write_gz(file: Path) -> None:
        write(file)
        file.write_bytes(gzip.compress(file.read_bytes()))

    return write_gz


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("q.parquet", write_parquet),
        ("q.jsonl", write_jsonl),
        ("q.csv", write_csv),
        ("q.jsonl.gz", gzipped(write_jsonl)),
        ("q.csv.gz", gzipped(write_csv)),
    ],
)
def test_every_format_of_a_file_gives_the_same_prompts(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / name)
    rows, notes = read(tmp_path, source="file", path=f"data/{name}", **MAPPED)
    assert rows == [
        {
            "prompt": row["question"],
            "embed_text": row["question"],
            "category": row["topic"],
            "answer": row["gold"],
            "source": name,
        }
        for row in FILE
    ]
    assert notes == {}


def test_only_the_prompt_is_needed(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt,note\none,1\ntwo,2\n")
    rows, _ = read(tmp_path, source="file", path="p.csv")
    assert rows[0] == {"prompt": "one", "embed_text": "one", "category": "all", "answer": None, "source": "p.csv"}


def test_columns_of_the_right_names_need_no_mapping(tmp_path: Path) -> None:
    columns = {"prompt": "p", "embed_text": "e", "category": "c", "answer": "a", "source": "s"}
    (tmp_path / "p.jsonl").write_text(json.dumps(columns))
    assert read(tmp_path, source="file", path="p.jsonl")[0] == [columns]


def test_dictionary_columns_and_empty_answers_are_read(tmp_path: Path) -> None:
    columns = {"prompt": ["a", "b"], "category": pa.array(["x", "x"]).dictionary_encode(), "answer": ["1", " "]}
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    rows, _ = read(tmp_path, source="file", path="p.parquet")
    assert [row["category"] for row in rows] == ["x", "x"]
    assert [row["answer"] for row in rows] == ["1", None]


def test_a_prompt_may_be_long(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt\n" + "long " * 100_000)
    assert len(read(tmp_path, source="file", path="p.csv")[0][0]["prompt"]) == 500_000


def test_so_many_of_each_category_are_drawn_from_a_file(tmp_path: Path) -> None:
    lines = [f"prompt {i},{['even', 'odd'][i % 2]}" for i in range(20)] + ["rare one,rare", "prompt 0 ,odd"]
    results = []
    for order in (lines, lines[::-1]):
        (tmp_path / "p.csv").write_text("\n".join(["prompt,category", *order]))
        results.append(read(tmp_path, source="file", path="p.csv", per_category=4, seed=3))
    assert results[0] == results[1]
    rows, notes = results[0]
    assert [row["category"] for row in rows] == ["even"] * 4 + ["odd"] * 4 + ["rare"]
    assert notes.pop("repeated with another category, of which the first by its name counts") == 1
    assert notes == {"repeated": 1, "not drawn": 12, "short of per_category: rare": 3}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "p.csv",
            "promt,topic\na,b\n",
            "p.csv: there is no column 'prompt' (it has promt, topic); did you mean 'promt'?",
        ),
        ("p.jsonl", '{"text": "a"}', "p.jsonl: there is no column 'prompt' (it has text)"),
        ("p.csv", "prompt\na\n \n", "p.csv:3: column 'prompt' is empty; write a prompt there or remove the row"),
        ("p.csv", 'prompt,category\n"a\nb",x\nc,\n', "p.csv:4: column 'category' is empty; write a category there"),
        (
            "p.csv",
            "prompt,category\na,b\nc,d,e\n",
            "p.csv:3: has 3 cells, but the header has 2; quote text with commas",
        ),
        ("p.csv", 'prompt\na\n"b\nc\n', "p.csv:3: is not CSV: unexpected end of data"),
        ("p.csv", "prompt\n", "p.csv: it has no rows"),
        ("p.jsonl", "\n", "p.jsonl: it has no rows"),
        ("p.jsonl", '{"prompt": "a"}\n\n{"prompt": ""}', "p.jsonl:3: column 'prompt' is empty"),
        ("p.jsonl", '{"prompt": "a"}\n{"category": "x"}', "p.jsonl:2: column 'prompt' is empty"),
        (
            "p.jsonl",
            '{"prompt": "a"}\n{"prompt": "b"',
            "p.jsonl:2: is not JSON: Expecting ',' delimiter; a .jsonl file has",
        ),
        ("p.jsonl", '{"prompt": "a"}\n["b"]', 'p.jsonl:2: is no object, but ["b"]; write {"prompt": ...}'),
        (
            "p.jsonl",
            '{"prompt": "a"}\n{"prompt": 7}',
            "p.jsonl:2: column 'prompt' holds 7, but text or a list of messages is needed",
        ),
        ("p.jsonl", '{"prompt": "a", "answer": [4, 5]}', "p.jsonl:1: column 'answer' holds [4, 5], but a name or a"),
        ("p.csv", b"prompt\n\xff\n", "p.csv:2: is not UTF-8: byte 0xff; save the file as UTF-8"),
        ("p.parquet", "prompt\na\n", "p.parquet: it cannot be read: Parquet magic bytes not found"),
        ("p.parquet", {"prompt": ["a", None]}, "p.parquet: row 2: column 'prompt' is empty"),
        (
            "p.parquet",
            {"prompt": [4]},
            "p.parquet: row 1: column 'prompt' holds 4, but text is needed; write the column as text",
        ),
        ("p.parquet", {"promt": ["a"]}, "p.parquet: there is no column 'prompt' (it has promt); did you mean 'promt'?"),
        ("p.parquet", {"prompt": pa.array([], pa.string())}, "p.parquet: it has no rows"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_line_and_column(
    tmp_path: Path, name: str, content: Any, message: str
) -> None:
    if isinstance(content, dict):
        pq.write_table(pa.table(content), tmp_path / name)
    else:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refusal(tmp_path, source="file", path=name).startswith(message)


def test_columns_are_found_in_any_case_and_with_blanks_around_them(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("Prompt, Answer ,CATEGORY\na,42,x\n")
    (row,), _ = read(tmp_path, source="file", path="p.csv")
    assert (row["answer"], row["category"]) == ("42", "x")
    (row,), _ = read(tmp_path, source="file", path="p.csv", columns={"embed_text": "answer"})
    assert row["embed_text"] == "42"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.jsonl", '{"prompt": "a", "answer": 42, "category": 1}\n{"prompt": "b", "answer": "x", "category": "y"}'),
        ("p.csv", "prompt,answer,category\na,42,1\nb,x,y\n"),
        ("p.json", '[{"prompt": "a", "answer": [42], "category": 1}, {"prompt": "b", "answer": "x", "category": "y"}]'),
    ],
)
def test_answers_and_categories_may_be_numbers(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    rows, _ = read(tmp_path, source="file", path=name)
    assert [(row["answer"], row["category"]) for row in rows] == [("42", "1"), ("x", "y")]


def test_answers_that_a_data_frame_made_floats_are_whole(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": ["a", "b"], "answer": [42.0, float("nan")]}), tmp_path / "p.parquet")
    rows, _ = read(tmp_path, source="file", path="p.parquet")
    assert [row["answer"] for row in rows] == ["42", None]


def test_two_answers_to_one_prompt_are_refused_by_both_lines(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt,answer\nq1,1\nq2,5\n q1 ,2\n")
    told = refusal(tmp_path, source="file", path="p.csv")
    assert told == "p.csv:4: the answer is '2', but '1' to the same prompt at p.csv:2; keep the right one"


def test_a_prompt_that_stands_twice_has_its_answer_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt,answer\nq1,\nq2,5\nq1,1\nq1, 1\n")
    rows, notes = read(tmp_path, source="file", path="p.csv")
    assert [row["answer"] for row in rows] == ["1", "5"]
    assert notes == {"repeated": 2}


def test_a_prompt_in_two_categories_or_with_two_embed_texts_is_counted(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt,category,embed_text\na,y,1\na,x,1\nb,x,1\nb,x,2\nb,x,2\n")
    rows, notes = read(tmp_path, source="file", path="p.csv")
    assert [(row["prompt"], row["category"]) for row in rows] == [("a", "x"), ("b", "x")]
    assert notes == {
        "repeated with another category, of which the first by its name counts": 1,
        "repeated with another embed_text, of which the first counts": 1,
        "repeated": 3,
    }


def test_a_list_of_messages_is_a_prompt_and_objects_have_columns_with_dots(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    data = [{"input": {"chat": messages, "gold": 3}}, {"input": {"chat": messages[:1], "gold": 4}}]
    (tmp_path / "p.json").write_text(json.dumps(data))
    columns = {"prompt": "input.chat", "answer": "input.gold"}
    rows, notes = read(tmp_path, source="file", path="p.json", columns=columns)
    assert [(row["prompt"], row["answer"]) for row in rows] == [(json.dumps(messages), "3"), ("a", "4")]
    assert list(notes.values()) == [2]


PIECES = [
    "prompt",
    "Answer",
    "category",
    "embed_text",
    ",",
    ";",
    "\t",
    "\n",
    '"',
    " ",
    "a",
    "1",
    "0,5",
    "\0",
    "{",
    "}",
    "é",
    ":",
]


@given(
    content=st.lists(st.sampled_from(PIECES), max_size=12).map(lambda pieces: "prompt" + "".join(pieces)),
    per_category=st.sampled_from([None, 1]),
)
def test_any_file_gives_prompts_or_is_refused(tmp_path: Path, content: str, per_category: int | None) -> None:
    (tmp_path / "p.csv").write_bytes(content.encode())
    given_entry = entry(source="file", path="p.csv", per_category=per_category)
    try:
        prompts = given_entry.load(tmp_path).load()
    except UserError as error:
        assert str(error).startswith("p.csv")  # noqa: PT017
    else:
        assert prompts.schema == PROMPTS
        assert prompts.num_rows
        assert all(prompts[name].null_count == 0 for name in PROMPTS.names if name != "answer")


def test_what_is_no_file_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    (tmp_path / "folder.csv").mkdir()
    for path in ("zero.csv", "folder.csv", "x" * 300, "a\0b"):
        given = entry(source="file", path=path)
        for act in (given.load, given.fingerprint):
            with pytest.raises(UserError, match=r"is a device|is a folder|cannot be read|there is no file"):
                act(tmp_path)


def test_a_mapped_column_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt,topics\na,b\n")
    told = refusal(tmp_path, source="file", path="p.csv", columns={"category": "topic"})
    assert told == "p.csv: there is no column 'topic' (it has prompt, topics); did you mean 'topics'?"


def test_a_file_that_is_not_there_is_refused_on_loading_and_by_the_fingerprint(tmp_path: Path) -> None:
    missing = entry(source="file", path="data/p.csv")
    for act in (missing.load, missing.fingerprint):
        with pytest.raises(UserError, match=r"path 'data/p\.csv': there is no file .*; give one relative to"):
            act(tmp_path)


def test_the_fingerprint_changes_with_the_files_content_not_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for path in ("p.csv", "data/p.csv"):
        (tmp_path / path).write_text("prompt\n" + "a" * 200_000)
    here, there = (entry(source="file", path=path) for path in ("p.csv", "data/p.csv"))
    before = here.fingerprint(tmp_path)
    assert there.fingerprint(tmp_path) == before
    assert entry(source="file", path="p.csv", seed=1).fingerprint(tmp_path) != before
    (tmp_path / "p.csv").write_text("prompt\n" + "a" * 100_000 + "b" + "a" * 99_999)
    assert here.fingerprint(tmp_path) != before


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (
            "{source: file, path: data/p.xlsx}",
            "pools/demo.yaml:2: prompts.path: 'data/p.xlsx' is a workbook; save its sheet as CSV UTF-8",
        ),
        (
            "{source: file, path: p.csv, columns: {promt: question}}",
            "pools/demo.yaml:2: prompts.columns.promt: unknown key; did you mean 'prompt'?",
        ),
        (
            "{source: mmlu_pro, subset: train}",
            "pools/demo.yaml:2: prompts.subset: 'train' is not one of test, validation",
        ),
        (
            "{source: open_perfectblend, per_categroy: 10}",
            "pools/demo.yaml:2: prompts.per_categroy: unknown key; did you mean 'per_category'?",
        ),
        (
            "{source: open_perfectblend, ultrainteract: code}",
            "pools/demo.yaml:2: prompts.ultrainteract: 'code' is not one of coding, general_chat",
        ),
        (
            "{source: hub}",
            "pools/demo.yaml:2: prompts.source: 'hub' is not one of open_perfectblend, mmlu_pro, file, function",
        ),
    ],
)
def test_a_mistake_in_the_pool_file_is_told_with_its_line(tmp_path: Path, prompts: str, message: str) -> None:
    (tmp_path / "pools").mkdir()
    (tmp_path / "pools" / "demo.yaml").write_text(
        f"name: demo\nprompts: {prompts}\n"
        "embedder: {backend: sentence_transformers, model: some/embedder}\n"
        "llms: {small: {backend: transformers, model: some/small, cost: 1}}\n"
        "reward_models: {right: {backend: verifiable, check: multiple_choice}}\n"
    )
    with pytest.raises(UserError) as raised:
        load_pool("demo", tmp_path)
    assert str(raised.value).startswith(message)
