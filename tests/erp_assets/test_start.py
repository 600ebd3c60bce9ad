"""Commands that only look are quick to start: they import neither Dagster nor torch."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment

HEAVY = ("dagster", "torch", "transformers", "sklearn", "matplotlib", "plotly")


@pytest.mark.parametrize(
    ("command", "also"), [("--help", ("pandas", "pyarrow", "numpy")), ("status", ()), ("pools", ())]
)
def test_looking_imports_nothing_heavy(command: str, also: tuple[str, ...], made_project: Path) -> None:
    program = (
        "import sys\n"
        f"sys.argv = ['erp', {command!r}]\n"
        "from erp_assets.cli import main\n"
        "try:\n    main()\n"
        f"finally:\n    print([name for name in {HEAVY + also!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=made_project, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1] == "[]"
