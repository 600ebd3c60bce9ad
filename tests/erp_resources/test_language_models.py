"""Language models: what is sampled follows the model exactly, and what a pool file can get wrong."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import transformers
from scipy.stats import chi2_contingency, chisquare
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from erp_resources.language_models import RESPONSES, Sampling, TransformersLLM
from erp_resources.language_models import transformers as backend
from erp_resources.language_models.tree_cache import TreeLayer, stay_in_place
from erp_resources.settings import UserError

TEMPLATE = "{% for m in messages %}<user>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<bot>{% endif %}"
SPECIAL = ["<eos>", "<user>", "<bot>"]
LETTERS = ["a", "b", "c"]

Architecture = Callable[[int], transformers.PreTrainedModel]


def small(vocabulary: int, **extra: Any) -> dict[str, Any]:
    """A model so small that all its responses can be enumerated; wide weights make it heed its context."""
    defaults = {
        "vocab_size": vocabulary,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "initializer_range": 0.4,
        "eos_token_id": 0,
        "bos_token_id": None,
        "pad_token_id": None,
    }
    return defaults | extra


def llama(vocabulary: int) -> transformers.PreTrainedModel:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**small(vocabulary)))


def sliding_window(vocabulary: int) -> transformers.PreTrainedModel:
    config = transformers.MistralConfig(**small(vocabulary, sliding_window=4))
    return transformers.MistralForCausalLM(config)


def gemma2(vocabulary: int) -> transformers.PreTrainedModel:
    # The cap on attention logits, so small that leaving it out shows.
    own = {"head_dim": 4, "sliding_window": 4, "query_pre_attn_scalar": 4, "attn_logit_softcapping": 0.3}
    config = transformers.Gemma2Config(**small(vocabulary, **own))
    return transformers.Gemma2ForCausalLM(config)


def absolute_positions(vocabulary: int) -> transformers.PreTrainedModel:
    config = transformers.GPT2Config(
        vocab_size=vocabulary, n_positions=64, n_embd=16, n_layer=2, n_head=4, initializer_range=0.4,
        eos_token_id=0, bos_token_id=None,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config)


def letter_tokenizer() -> transformers.PreTrainedTokenizerFast:
    vocabulary = {token: i for i, token in enumerate(SPECIAL + LETTERS)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.decoder = decoders.Fuse()
    return wrap(tokenizer)


def byte_tokenizer() -> transformers.PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(SPECIAL + alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return wrap(tokenizer)


def wrap(tokenizer: Tokenizer) -> transformers.PreTrainedTokenizerFast:
    tokenizer.add_special_tokens(SPECIAL)
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")
    wrapped.chat_template = TEMPLATE
    return wrapped


def save(folder: Path, make: Architecture, tokenizer: transformers.PreTrainedTokenizerFast) -> None:
    torch.manual_seed(1)
    make(len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def entry(folder: Path, **extra: Any) -> TransformersLLM:
    return TransformersLLM(backend="transformers", model=str(folder), cost=1, **extra)


@pytest.fixture
def letters(tmp_path: Path) -> Any:
    """A language model of three letters."""
    save(tmp_path / "lm", llama, letter_tokenizer())
    return entry(tmp_path / "lm").load(tmp_path)


@pytest.fixture
def any_text(tmp_path: Path) -> Any:
    """A language model of bytes."""
    save(tmp_path / "lm", llama, byte_tokenizer())
    return entry(tmp_path / "lm").load(tmp_path)


def exact_probabilities(folder: Path, prompt: str, temperature: float, max_tokens: int) -> dict[tuple[str, str], float]:
    """The probability of every (response, finish_reason), by running transformers on every prefix."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    start = tokenizer(f"<user>{prompt}<bot>", add_special_tokens=False)["input_ids"]

    outcomes: Counter[tuple[str, str]] = Counter()
    prefixes: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(max_tokens):
        with torch.no_grad():
            logits = model(torch.tensor([start + list(prefix) for prefix in prefixes])).logits[:, -1]
        next_token = torch.softmax(logits / temperature, -1).numpy()
        longer = {}
        for (prefix, probability), shares in zip(prefixes.items(), next_token, strict=True):
            text = tokenizer.decode(prefix, skip_special_tokens=True)
            for token, share in enumerate(shares):
                if token == tokenizer.eos_token_id:
                    outcomes[text, "stop"] += probability * share
                else:
                    longer[*prefix, token] = probability * share
        prefixes = longer
    for prefix, probability in prefixes.items():
        outcomes[tokenizer.decode(prefix, skip_special_tokens=True), "length"] += probability
    return outcomes


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("make", [llama, sliding_window, gemma2, absolute_positions])
def test_samples_follow_the_models_exact_distribution(tmp_path: Path, make: Architecture, temperature: float) -> None:
    save(tmp_path / "lm", make, letter_tokenizer())
    prompts = ["abcabcabc", "a", "ccab", "bb"]
    sampling = Sampling(n=3000, temperature=temperature, max_tokens=3)
    table = entry(tmp_path / "lm").load(tmp_path).sample(prompts, sampling, seed=3)
    for index, prompt in enumerate(prompts):
        rows = table.filter(pa.compute.equal(table["prompt_index"], index))
        drawn = Counter(zip(rows["response"].to_pylist(), rows["finish_reason"].to_pylist(), strict=True))
        exact = exact_probabilities(tmp_path / "lm", prompt, temperature, max_tokens=3)
        assert len(exact) > 20
        assert drawn.keys() <= exact.keys()
        expected = {outcome: probability * sampling.n for outcome, probability in exact.items()}
        common = [outcome for outcome in exact if expected[outcome] >= 5]
        observed = [drawn[outcome] for outcome in common]
        predicted = [expected[outcome] for outcome in common]
        rare = sampling.n - sum(predicted)
        if rare >= 5:
            observed.append(sampling.n - sum(observed))
            predicted.append(rare)
        else:
            predicted = list(np.array(predicted) * sum(observed) / sum(predicted))
        assert chisquare(observed, predicted).pvalue > 1e-3


def test_the_order_of_a_prompts_samples_is_random(letters: Any) -> None:
    prompts, sampling = ["ab"] * 600, Sampling(n=6, max_tokens=2)
    table = letters.sample(prompts, sampling, seed=0)
    responses = table["response"].to_pylist()
    common = Counter(responses).most_common(1)[0][0]
    samples = np.array([response == common for response in responses]).reshape(len(prompts), sampling.n)

    def independent(rows: np.ndarray, values: np.ndarray) -> float:
        counts = np.zeros((int(rows.max()) + 1, 2))
        np.add.at(counts, (rows.astype(int), values.astype(int)), 1)
        return float(chi2_contingency(counts).pvalue)

    assert independent(np.tile(np.arange(sampling.n), len(prompts)), samples.ravel()) > 1e-3
    for i, j in [(0, 1), (2, 3), (0, 5)]:
        assert independent(samples[:, i], samples[:, j]) > 1e-3


def test_the_same_arguments_give_the_same_table_whatever_was_sampled_before(letters: Any) -> None:
    prompts, sampling = ["a", "bca", "cc"], Sampling(n=16, max_tokens=4)
    first = letters.sample(prompts, sampling, seed=5)
    other = letters.sample(prompts, sampling, seed=6)
    torch.manual_seed(99)
    assert letters.sample(prompts, sampling, seed=5) == first
    assert other != first


def test_sampling_leaves_torchs_generator_and_threads_as_they_were(letters: Any) -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    letters.sample(["a"], Sampling(n=4, max_tokens=4), seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("budget", [1, 50_000, 2**30])
def test_every_prompt_has_n_samples_in_order_whatever_the_batches(
    letters: Any, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    monkeypatch.setattr(backend, "_CPU_BYTES", budget)
    prompts = ["abc" * (i % 5) for i in range(17)]
    table = letters.sample(prompts, Sampling(n=7, max_tokens=3), seed=0)
    assert table.schema == RESPONSES
    table.validate(full=True)
    assert table["prompt_index"].to_pylist() == [i for i in range(17) for _ in range(7)]
    assert table["sample"].to_pylist() == list(range(7)) * 17
    # The template adds two tokens, and every letter is one.
    assert table["prompt_tokens"].to_pylist() == [2 + len(prompts[i]) for i in range(17) for _ in range(7)]


def test_completion_tokens_count_the_response_without_its_end(letters: Any) -> None:
    table = letters.sample(["a"], Sampling(n=400, max_tokens=3), seed=0)
    rows = table.to_pylist()
    assert {row["finish_reason"] for row in rows} == {"stop", "length"}
    assert all(row["completion_tokens"] == 3 for row in rows if row["finish_reason"] == "length")
    assert {row["completion_tokens"] for row in rows if row["finish_reason"] == "stop"} == {0, 1, 2}
    assert all(len(row["response"]) <= row["completion_tokens"] for row in rows)


def test_a_model_that_ends_at_once_gives_n_empty_responses(letters: Any) -> None:
    letters._end_tokens = list(range(len(letters.tokenizer)))
    table = letters.sample(["a", "b"], Sampling(n=5, max_tokens=3), seed=0)
    assert table["response"].to_pylist() == [""] * 10
    assert set(table["completion_tokens"].to_pylist()) == {0}
    assert set(table["finish_reason"].to_pylist()) == {"stop"}


def test_all_end_tokens_of_the_generation_config_end_a_response(tmp_path: Path) -> None:
    save(tmp_path / "lm", llama, letter_tokenizer())
    transformers.GenerationConfig(eos_token_id=[3, 4]).save_pretrained(tmp_path / "lm")
    table = entry(tmp_path / "lm").load(tmp_path).sample(["a"], Sampling(n=300, max_tokens=3), seed=0)
    assert set("".join(table["response"].to_pylist())) == {"c"}


def test_any_unicode_prompt_and_response_is_text(any_text: Any) -> None:
    prompts = ["Zürich 🦆", "", "日本語\n\0", "a" * 30]
    table = any_text.sample(prompts, Sampling(n=8, max_tokens=12), seed=0)
    table.validate(full=True)
    assert table["prompt_tokens"].to_pylist()[::8] == [2 + len(prompt.encode()) for prompt in prompts]


def test_no_prompts_give_an_empty_table(letters: Any) -> None:
    assert letters.sample([], Sampling(), seed=0) == RESPONSES.empty_table()


@pytest.mark.parametrize("make", [llama, sliding_window, gemma2, absolute_positions])
def test_padded_batches_continue_as_transformers_does_without_padding(tmp_path: Path, make: Architecture) -> None:
    save(tmp_path / "lm", make, byte_tokenizer())
    language_model: Any = entry(tmp_path / "lm").load(tmp_path)
    prompts = ["x", "a longer prompt", "mid one", "x" * 30]
    coldest = Sampling(n=2, temperature=1e-6, max_tokens=20)
    sampled = language_model.sample(prompts, coldest, seed=0)["response"].to_pylist()
    model, tokenizer = language_model.model, language_model.tokenizer
    for index, prompt in enumerate(prompts):
        chat = [{"role": "user", "content": prompt}]
        inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt")
        greedy = model.generate(**inputs, do_sample=False, max_new_tokens=20, pad_token_id=0)
        expected = tokenizer.decode(greedy[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        assert sampled[2 * index : 2 * index + 2] == [expected, expected]


def test_a_tree_layer_holds_what_choosing_rows_of_transformers_layer_gives() -> None:
    generator = torch.Generator().manual_seed(0)

    def states(rows: int, length: int) -> torch.Tensor:
        return torch.randn(rows, 2, length, 4, generator=generator)

    tree, plain = TreeLayer(rows=40, length=20), transformers.cache_utils.DynamicLayer()
    keys, values = states(5, 3), states(5, 3)
    tree.update(keys, values)
    plain.update(keys, values)
    rows = 5
    for _ in range(15):
        chosen = torch.randint(0, rows, (int(torch.randint(1, 41, (1,), generator=generator)),), generator=generator)
        parent = chosen.sort().values
        parent = parent[stay_in_place(parent)]
        tree.batch_select_indices(parent)
        plain.batch_select_indices(parent)
        rows = len(parent)
        keys, values = states(rows, 1), states(rows, 1)
        assert all(map(torch.equal, tree.update(keys, values), plain.update(keys, values)))


def test_importing_the_settings_does_not_import_torch() -> None:
    code = "import sys, erp_resources.language_models; assert not {'torch', 'transformers'} & sys.modules.keys()"
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_the_fingerprint_changes_with_the_weights_and_not_with_the_cost(tmp_path: Path) -> None:
    save(tmp_path / "lm", llama, letter_tokenizer())
    before = entry(tmp_path / "lm").fingerprint(tmp_path)
    assert TransformersLLM(backend="transformers", model="lm", cost=2).fingerprint(tmp_path) == before
    (tmp_path / "lm" / "model.safetensors").write_bytes(b"other")
    assert entry(tmp_path / "lm").fingerprint(tmp_path) != before


def test_a_prompt_beyond_the_context_fails_alone_and_says_why(letters: Any) -> None:
    sampling = Sampling(n=3, max_tokens=4)
    table = letters.sample(["b" * 60, "a", "c" * 60, "b"], sampling, seed=0)
    assert table.schema == RESPONSES
    assert table["prompt_index"].to_pylist() == [0, 1, 1, 1, 2, 3, 3, 3]
    assert table["sample"].to_pylist() == [0, 0, 1, 2, 0, 0, 1, 2]
    errors = table["error"].to_pylist()
    assert errors[0] == "the prompt's 62 tokens and sampling.max_tokens 4 exceed the context of 64 tokens"
    assert [error is None for error in errors] == [False, True, True, True, False, True, True, True]
    assert table["finish_reason"].to_pylist()[0] == "error"
    alone = letters.sample(["a", "b"], sampling, seed=0)
    answered = table.filter(pa.compute.is_null(table["error"]))
    assert answered["response"].to_pylist() == alone["response"].to_pylist()
    assert letters.sample(["b" * 60], sampling, seed=0).num_rows == 1


def test_a_tokenizer_without_chat_template_is_refused(tmp_path: Path) -> None:
    tokenizer = letter_tokenizer()
    tokenizer.chat_template = None
    save(tmp_path / "lm", llama, tokenizer)
    with pytest.raises(UserError, match="no chat template"):
        entry(tmp_path / "lm").load(tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"there is no config.json in .*empty"):
        entry(tmp_path / "empty").load(tmp_path)


def test_weights_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "lm", llama, letter_tokenizer())
    weights = tmp_path / "lm" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="could not be loaded from"):
        entry(tmp_path / "lm").load(tmp_path)


def test_weights_that_do_not_belong_to_the_model_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "lm", llama, letter_tokenizer())
    config = transformers.LlamaConfig(**small(6, num_hidden_layers=3))
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(tmp_path / "lm")
    with pytest.raises(UserError, match="no weights for 9 parameters of LlamaForCausalLM"):
        entry(tmp_path / "lm").load(tmp_path)


def test_a_hub_model_without_network_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="'nobody/nothing': it could not be loaded from the hub") as raised:
        TransformersLLM(backend="transformers", model="nobody/nothing", cost=1).load(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "lm", llama, letter_tokenizer())
    with pytest.raises(UserError, match="cannot be put on device 'cuda:99'"):
        entry(tmp_path / "lm", device="cuda:99").load(tmp_path)


def test_a_recurrent_model_is_refused(tmp_path: Path) -> None:
    def mamba(vocabulary: int) -> transformers.PreTrainedModel:
        config = transformers.MambaConfig(vocab_size=vocabulary, hidden_size=8, num_hidden_layers=1, state_size=4)
        return transformers.MambaForCausalLM(config)

    save(tmp_path / "lm", mamba, letter_tokenizer())
    with pytest.raises(UserError, match="MambaForCausalLM has layers with another kind of state"):
        entry(tmp_path / "lm").load(tmp_path)
