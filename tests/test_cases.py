"""Every test that `cases.md` names exists, and so holds its case."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def functions_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_named_test_exists() -> None:
    table = (ROOT / "tests" / "cases.md").read_text(encoding="utf-8")
    named = re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", table)
    assert len(named) > 150
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / path).exists() or (name and name not in functions_of(ROOT / path))
    ]
    assert missing == []
