"""Prompt sources: what a user's function returns becomes the table of prompts, or is refused by name."""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from erp_resources.prompt_sources import PROMPTS, FunctionPrompts
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


def test_other_columns_are_left_out(source: Any, tmp_path: Path) -> None:
    assert source(f"return dict({COLUMNS}, more=[1, 2])").load(tmp_path).load().schema == PROMPTS


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (f"c = {COLUMNS}; del c['answer']; return c", "no column 'answer'"),
        (f"return dict({COLUMNS}, prompt=['a', None])", "column 'prompt' is null in 1 of 2 rows"),
        (f"return dict({COLUMNS}, category=[1, 2])", "column 'category' holds int64, but text is needed"),
        (f"return dict({COLUMNS}, answer=[[1], [2]])", "column 'answer' holds list"),
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
