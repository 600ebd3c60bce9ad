"""What others wrote reaches the terminal as it is, and does nothing there."""

import ast
import io
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from erp_assets.cli import terminal

COMMANDS = Path(terminal.__file__).parent

MARKUP = st.sampled_from(
    ["[bold]", "[/INST]", "[/red]", "a[i]", "\\[", ":smile:", "\x1b[31m", "\x1b]0;title\x07", "\u202e"]
)
TEXTS = st.lists(MARKUP | st.text(max_size=8)).map("".join)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def console() -> Console:
    return Console(file=io.StringIO(), width=100_000, highlight=False, emoji=False)


def printed(to: Console) -> str:
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


@given(TEXTS)
def test_no_character_that_a_terminal_obeys_is_left(text: str) -> None:
    left = [letter for letter in terminal.printable(text) if unicodedata.category(letter) in ("Cc", "Cs")]
    assert {*left} <= {"\n", "\t"}
    assert "\u202e" not in terminal.printable(text)


@given(st.text(st.characters(exclude_categories=("C", "Zl", "Zp"))))
def test_a_text_without_such_characters_is_printed_letter_by_letter(text: str) -> None:
    to = console()
    terminal.say(text, to=to)
    assert printed(to) == f"{text}\n"


@given(TEXTS)
def test_markup_and_names_of_emoji_are_no_more_than_letters(text: str) -> None:
    line, table = console(), console()
    terminal.say(text, ("styled", "bold"), to=line)
    assert "".join(printed(line).split()) == "".join(f"{terminal.printable(text)}styled".split())
    sheet = terminal.sheet("text")
    sheet.add_row(terminal.literal(text))
    table.print(sheet)
    assert "".join(str(terminal.literal(text)).split()) in "".join(printed(table).split())


@given(JSON)
def test_json_is_strictly_valid(value: object) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(terminal.to_json(value), parse_constant=refuse)


@pytest.mark.parametrize("module", sorted({path.name for path in COMMANDS.glob("*.py")} - {"terminal.py"}))
def test_commands_print_through_the_helper_alone(module: str) -> None:
    tree = ast.parse((COMMANDS / module).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    direct = [
        call.lineno
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr == "print"
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in ("out", "err")
    ]
    imports = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert direct == []
    assert "rich.table" not in imports
