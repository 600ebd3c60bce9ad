"""Pool files: what a user can get wrong is told with the line and the way out."""

from pathlib import Path

import pytest

from erp_resources.pool import find_root, load_pool, pool_names
from erp_resources.settings import UserError

GOOD = """\
name: demo
prompts: {source: function, function: "corpus:prompts", per_category: 12, seed: 0}
split: {test_fraction: 0.5, seed: 0}
sampling: {n: 4, max_tokens: 6}
embedder: {backend: sentence_transformers, model: some/embedder}
probe: {beta: 1.0}
llms:
  small: {backend: transformers, model: some/small, cost: 1}
  org/large-1.5: {backend: transformers, model: some/large, cost: 3}
reward_models:
  taste: {backend: transformers, model: some/taste, input: chat}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pools").mkdir()
    (tmp_path / "dagster.yaml").touch()
    (tmp_path / "pools" / "demo.yaml").write_text(GOOD)
    return tmp_path


def refusal(root: Path, old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    (root / "pools" / "demo.yaml").write_text(GOOD.replace(old, new))
    with pytest.raises(UserError) as error:
        load_pool("demo", root)
    return str(error.value)


def test_a_valid_file_gives_its_llms_and_costs_in_the_file_s_order(root: Path) -> None:
    pool = load_pool("demo", root)
    assert list(pool.llms) == ["small", "org/large-1.5"]
    assert pool.costs == [1, 3]
    assert pool.root == root


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("sampling:", "samplign:", "pools/demo.yaml:4: samplign: unknown key; did you mean 'sampling'?"),
        ("seed: 0}\nsplit", "sede: 0}\nsplit", "pools/demo.yaml:2: prompts.sede: unknown key; did you mean 'seed'?"),
        (
            "test_fraction: 0.5",
            "test_fractoin: 0.5",
            "pools/demo.yaml:3: split.test_fractoin: unknown key; did you mean",
        ),
        (
            "test_fraction: 0.5",
            "test_fraction: 1.5",
            "pools/demo.yaml:3: split.test_fraction: input should be less than 1",
        ),
        ("n: 4", "n: 0", "pools/demo.yaml:4: sampling.n: input should be greater than 0, not 0"),
        ("n: 4", "n: many", "pools/demo.yaml:4: sampling.n: input should be a valid integer"),
        ("beta: 1.0", "beta: best", "pools/demo.yaml:6: probe.beta: "),
        (
            "backend: sentence_transformers",
            "backend: sbert",
            "pools/demo.yaml:5: embedder.backend: 'sbert' is not one of",
        ),
        ("source: function", "source: hub", "pools/demo.yaml:2: prompts.source: 'hub' is not one of"),
        (
            "transformers, model: some/small",
            "vlm, model: some/small",
            "pools/demo.yaml:8: llms.small.backend: 'vlm' is not",
        ),
        ("cost: 1}", "prize: 1}", "pools/demo.yaml:8: llms.small.cost: is missing"),
        ("cost: 1}", "cost: 1, prize: 2}", "pools/demo.yaml:8: llms.small.prize: unknown key; known keys are"),
        ("cost: 1}", "cost: -1}", "pools/demo.yaml:8: llms.small.cost: input should be greater than or equal to 0"),
        ("small: {", '"a|b": {', "pools/demo.yaml:7: llms: 'a|b' is not a legal name"),
        ("taste: {", '"a,b": {', "pools/demo.yaml:10: reward_models: 'a,b' is not a legal name"),
        ("input: chat", "input: caht", "pools/demo.yaml:11: reward_models.taste.input: 'caht' is not one of"),
        (
            "backend: transformers, model: some/taste, ",
            "model: some/taste, ",
            "pools/demo.yaml:11: reward_models.taste",
        ),
        ("name: demo", "name: Demo", "pools/demo.yaml:1: name: "),
        ("name: demo", "name: other", "pools/demo.yaml:1: name: 'other' is not the name of the file"),
        ("name: demo\n", "", "name: is missing"),
        ("org/large-1.5", "small", "pools/demo.yaml:9: 'small' stands twice (first in line 8)"),
        ("split: {", "split: [", "pools/demo.yaml:3: is not YAML"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_place(root: Path, old: str, new: str, told: str) -> None:
    assert told in refusal(root, old, new)


def test_every_mistake_of_a_file_is_told_at_once(root: Path) -> None:
    text = GOOD.replace("n: 4", "n: 0").replace("beta: 1.0", "beta: -1")
    (root / "pools" / "demo.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        load_pool("demo", root)
    assert "sampling.n" in str(error.value)
    assert "probe.beta" in str(error.value)


def test_an_unknown_pool_is_told_with_the_names_there_are(root: Path) -> None:
    with pytest.raises(UserError, match=r"no pool 'dmo'.*did you mean 'demo'"):
        load_pool("dmo", root)
    assert pool_names(root) == ["demo"]


def test_a_file_that_is_no_mapping_is_refused(root: Path) -> None:
    (root / "pools" / "demo.yaml").write_text("- a\n- b\n")
    with pytest.raises(UserError, match=r"demo.yaml:1: a pool file is a mapping"):
        load_pool("demo", root)


def test_the_project_is_found_from_a_folder_below_it_and_nowhere_else(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    below = root / "a" / "b"
    below.mkdir(parents=True)
    assert find_root(below) == root
    with pytest.raises(UserError, match="run the command inside the project"):
        find_root(tmp_path_factory.mktemp("elsewhere"))
