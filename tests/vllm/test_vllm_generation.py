"""Sampling in vLLM's engine: what is drawn follows the model, repeats by its seed, and ends with the engine."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import OPTIONS, ROOT, living_children
from scipy.stats import chi2_contingency

from erp_resources.language_models import RESPONSES, Sampling, TransformersLLM
from erp_resources.language_models.vllm import VLLMLLM, VLLMLanguageModel
from erp_resources.settings import UserError

pytest.importorskip("vllm.version", reason="vLLM is not installed; constraints-vllm.txt says how")
pytestmark = [pytest.mark.vllm, pytest.mark.usefixtures("no_process_is_left")]

SMALL = ROOT / "playground" / "models" / "generalist-small"
PROMPTS = [
    "What is 12 + 3?",
    "Hi! Write a Python function that adds 4 to a number.",
    "",
    "Zürich 🦆",
    "List 4 colours, in one line, separated by commas, please.",
]
LONG = " ".join(["List 4 colours."] * 80)
COLD = 1e-6
"""A temperature at which the likeliest token is always drawn."""


def settings(folder: Path, **extra: Any) -> VLLMLLM:
    return VLLMLLM.model_validate({"backend": "vllm", "model": str(folder), "cost": 1, "options": OPTIONS} | extra)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The playground's model with a generation_config that would change its samples, and a second end token."""
    folder = tmp_path_factory.mktemp("models") / "small"
    shutil.copytree(SMALL, folder)
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    configured = {"eos_token_id": [3, vocabulary["."]], "do_sample": True, "top_k": 1, "repetition_penalty": 5.0}
    (folder / "generation_config.json").write_text(json.dumps(configured))
    return folder


@pytest.fixture(scope="module")
def llm(folder: Path) -> Iterator[Any]:
    model = settings(folder).load(ROOT)
    yield model
    model.close()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def transformers_llm(folder: Path) -> Any:
    return TransformersLLM(backend="transformers", model=str(folder), cost=1).load(ROOT)


def test_every_prompt_has_n_samples_in_order(llm: Any) -> None:
    table = llm.sample(PROMPTS, Sampling(n=7, max_tokens=5), seed=0)
    table.validate(full=True)
    assert table.schema == RESPONSES
    assert table["prompt_index"].to_pylist() == [i for i in range(len(PROMPTS)) for _ in range(7)]
    assert table["sample"].to_pylist() == list(range(7)) * len(PROMPTS)
    assert table["error"].null_count == table.num_rows
    reasons, tokens = table["finish_reason"].to_pylist(), table["completion_tokens"].to_pylist()
    assert set(reasons) == {"stop", "length"}
    for reason, count in zip(reasons, tokens, strict=True):
        assert count == 5 if reason == "length" else count < 5


def test_no_prompts_give_an_empty_table(llm: Any) -> None:
    assert llm.sample([], Sampling(), seed=0) == RESPONSES.empty_table()


def test_the_likeliest_responses_are_those_of_the_transformers_backend(llm: Any, transformers_llm: Any) -> None:
    coldest = Sampling(n=2, temperature=COLD, max_tokens=24)
    table = llm.sample(PROMPTS, coldest, seed=0)
    # Texts, finish reasons by either end token, and the counts of all tokens.
    assert table.to_pylist() == transformers_llm.sample(PROMPTS, coldest, seed=0).to_pylist()


def test_tokens_are_counted_as_the_tokenizer_does(llm: Any, transformers_llm: Any) -> None:
    tokenizer = transformers_llm.tokenizer
    rows = llm.sample(PROMPTS, Sampling(n=1, temperature=COLD, max_tokens=24), seed=0).to_pylist()
    for prompt, row in zip(PROMPTS, rows, strict=True):
        chat = [{"role": "user", "content": prompt}]
        text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        assert row["prompt_tokens"] == len(tokenizer(text, add_special_tokens=False)["input_ids"])
        assert row["completion_tokens"] == len(tokenizer(row["response"], add_special_tokens=False)["input_ids"])


def test_the_same_seed_gives_the_same_table_whatever_was_sampled_before(llm: Any) -> None:
    sampling = Sampling(n=32, max_tokens=24)
    prompts = [f"What is {i} + {i % 7}?" for i in range(40)]
    first = llm.sample(prompts, sampling, seed=5)
    other = llm.sample(prompts, sampling, seed=6)
    assert llm.sample(prompts, sampling, seed=5) == first
    assert other["response"] != first["response"]


def first_tokens(model: Any, prompts: list[str], n: int, seed: int) -> np.ndarray:
    """The first token of every sample, shape (prompts, n)."""
    responses = model.sample(prompts, Sampling(n=n, max_tokens=1), seed)["response"].to_pylist()
    return np.array(responses).reshape(len(prompts), n)


def contingency(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How often each value of `first` meets each of `second`; those seen fewer than 50 times are one."""
    tables = []
    for values in (first, second):
        _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
        common = counts >= 50
        tables.append(np.where(common, np.cumsum(common), 0)[index])
    counts = np.zeros((tables[0].max() + 1, tables[1].max() + 1))
    np.add.at(counts, (tables[0], tables[1]), 1)
    return counts[counts.any(axis=1)][:, counts.any(axis=0)]


def test_first_tokens_are_distributed_as_the_transformers_backends(llm: Any, transformers_llm: Any) -> None:
    ours = first_tokens(llm, PROMPTS, 2000, seed=1)
    theirs = first_tokens(transformers_llm, PROMPTS, 2000, seed=2)
    tested = 0
    for index in range(len(PROMPTS)):
        tokens = np.concatenate([ours[index], theirs[index]])
        counts = contingency(tokens, np.repeat(["vllm", "transformers"], 2000))
        if len(counts) > 1:
            tested += 1
            assert chi2_contingency(counts).pvalue > 1e-3, PROMPTS[index]
    assert tested >= 3


def test_samples_that_stand_beside_each_other_are_independent(llm: Any) -> None:
    # The samples of a prompt have consecutive seeds, and so do the last of one and the first of the next.
    prompt = "Hi! Write a Python function that adds 4 to a number."
    tokens = first_tokens(llm, [prompt] * 60, 100, seed=3)
    counts = contingency(tokens.ravel()[:-1], tokens.ravel()[1:])
    assert min(counts.shape) > 1
    assert chi2_contingency(counts).pvalue > 1e-3
    assert len({tuple(row) for row in tokens.tolist()}) == 60


def test_prompts_beyond_the_context_fail_and_the_others_do_not(llm: Any) -> None:
    table = llm.sample([LONG, "What is 1 + 1?", LONG], Sampling(n=3, max_tokens=24), seed=0)
    table.validate(full=True)
    assert table["prompt_index"].to_pylist() == [0, 1, 1, 1, 2]
    assert table["sample"].to_pylist() == [0, 0, 1, 2, 0]
    failed = table.to_pylist()[0]
    assert failed["finish_reason"] == "error"
    assert failed["response"] == ""
    assert "tokens and sampling.max_tokens 24 exceed the context of 256 tokens" in failed["error"]
    alone = llm.sample([LONG], Sampling(n=3, max_tokens=24), seed=0)
    assert alone["finish_reason"].to_pylist() == ["error"]


def test_over_long_truncate_leaves_out_the_beginning(llm: Any) -> None:
    cutting = VLLMLanguageModel(llm._settings.model_copy(update={"over_long": "truncate"}), llm._engine, llm._tokenizer)
    sampling = Sampling(n=2, temperature=COLD, max_tokens=24)
    rows = cutting.sample([LONG + " What is 3 + 4?", "What is 3 + 4?"], sampling, seed=0).to_pylist()
    assert cutting.truncated == 1
    assert [row["prompt_index"] for row in rows] == [0, 0, 1, 1]
    assert all(row["error"] is None for row in rows)
    assert 256 - 24 - 3 <= rows[0]["prompt_tokens"] <= 256 - 24
    shorter = cutting.sample(["unread " * 300 + LONG + " What is 3 + 4?"], sampling, seed=0).to_pylist()
    assert shorter[0]["response"] == rows[0]["response"]
    # Not even an empty prompt leaves 256 tokens of the context.
    hopeless = cutting.sample(["What is 3 + 4?"], Sampling(n=2, max_tokens=256), seed=0)
    assert hopeless["finish_reason"].to_pylist() == ["error"]


THINKING = (
    "{% for m in messages %}USER {{ m.content }} {% endfor %}{% if add_generation_prompt %}ASSISTANT"
    "{% if enable_thinking is defined and enable_thinking is false %} <think></think>{% endif %}{% endif %}"
)


@pytest.mark.parametrize("kwargs", [{}, {"enable_thinking": False}])
def test_another_template_and_what_it_is_told_are_read_as_by_the_transformers_backend(
    llm: Any, folder: Path, kwargs: dict[str, Any]
) -> None:
    template = {"chat_template": THINKING, "chat_template_kwargs": kwargs}
    entry = settings(folder, **template)
    told = VLLMLanguageModel(entry, llm._engine, entry._tokenizer(ROOT))
    other = TransformersLLM.model_validate({"backend": "transformers", "model": str(folder), "cost": 1} | template)
    coldest = Sampling(n=2, temperature=COLD, max_tokens=24)
    table = told.sample(PROMPTS, coldest, seed=0)
    assert table.to_pylist() == other.load(ROOT).sample(PROMPTS, coldest, seed=0).to_pylist()
    assert table["prompt_tokens"] != llm.sample(PROMPTS, coldest, seed=0)["prompt_tokens"]


def test_an_engine_that_dies_is_a_users_error_and_leaves_nothing_behind(llm: Any) -> None:
    engine = llm._engine.llm.llm_engine.engine_core.resources.engine_manager.processes[0]
    assert len(living_children()) >= 2
    engine.kill()
    with pytest.raises(UserError, match="small': vLLM stopped working") as raised:
        llm.sample(["What is 1 + 1?"], Sampling(n=2, max_tokens=4), seed=0)
    assert "\n" not in str(raised.value)
    assert living_children() == []
    llm.close()
    with pytest.raises(RuntimeError, match="was closed"):
        llm.sample(["What is 1 + 1?"], Sampling(n=2, max_tokens=4), seed=0)


def test_a_second_model_starts_in_the_same_process_and_ends_on_closing() -> None:
    model: Any = settings(ROOT / "playground" / "models" / "chat-specialist").load(ROOT)
    assert model.sample(["Hello"], Sampling(n=3, max_tokens=8), seed=0).num_rows == 3
    assert living_children()
    model.close()
    assert living_children() == []
    model.close()


def test_too_little_memory_names_the_options_that_help() -> None:
    starved = settings(SMALL, options=OPTIONS | {"kv_cache_memory_bytes": 10_000})
    with pytest.raises(UserError, match=r"could not start it: .*cache.*max_model_len and gpu_memory_utilization") as e:
        starved.load(ROOT)
    assert "\n" not in str(e.value)
    assert living_children() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_model_length": 128}, "vLLM has no option 'max_model_length'; did you mean 'max_model_len'"),
        ({"xyz": 1}, "vLLM has no option 'xyz'; they are the arguments of vllm.LLM"),
        ({"generation_config": "auto"}, "options.generation_config cannot be set"),
        ({"tokenizer": "other/one"}, "options.tokenizer cannot be set"),
        ({"dtype": "float7"}, "could not start it: .*float7"),
        ({"max_model_len": 100_000}, "could not start it: .*100000"),
    ],
)
def test_options_that_vllm_does_not_take_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        settings(SMALL, options=OPTIONS | options).load(ROOT)
    assert "\n" not in str(raised.value)
