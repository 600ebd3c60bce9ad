"""Reward models: batches change nothing, the response stays whole, and what a pool file can get wrong."""

import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from pydantic import TypeAdapter
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from erp_resources.reward_models import RewardModelEntry, TransformersRewardModel, VerifiableRewardModel
from erp_resources.settings import UserError

SPECIAL = ["<pad>", "<eos>", "<user>", "<bot>"]
TEMPLATE = "{% for m in messages %}<{{ 'user' if m.role == 'user' else 'bot' }}>{{ m.content }}{% endfor %}<eos>"
SHAPE = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "num_labels": 1,
}


def tokenizer(pairs: bool) -> transformers.PreTrainedTokenizerFast:
    """One token per byte; with `pairs`, a pair of texts is <user> first <bot> second <bot>."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bare = Tokenizer(models.BPE({token: i for i, token in enumerate(SPECIAL + alphabet)}, []))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    bare.add_special_tokens(SPECIAL)
    if pairs:
        bare.post_processor = processors.TemplateProcessing(
            single="<user> $A <bot>", pair="<user> $A <bot> $B:1 <bot>:1", special_tokens=[("<user>", 2), ("<bot>", 3)]
        )
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=bare, eos_token="<eos>", pad_token="<pad>")
    if not pairs:
        wrapped.chat_template = TEMPLATE
    return wrapped


def save(folder: Path, input: str, **extra: Any) -> None:
    """A decoder for input: chat, an encoder with segments for input: pair."""
    torch.manual_seed(0)
    tokens = tokenizer(pairs=input == "pair")
    shape = SHAPE | {"vocab_size": len(tokens), "pad_token_id": 0} | extra
    model: Any
    if input == "pair":
        model = transformers.BertForSequenceClassification(transformers.BertConfig(**shape))
    else:
        model = transformers.LlamaForSequenceClassification(transformers.LlamaConfig(**shape, eos_token_id=1))
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)


def load(folder: Path, input: str, **extra: Any) -> Any:
    settings = {"backend": "transformers", "model": str(folder), "input": input} | extra
    return TransformersRewardModel.model_validate(settings).load(folder)


@pytest.fixture(params=["pair", "chat"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    save(tmp_path / "rm", request.param)
    return tmp_path / "rm", request.param


PROMPTS = ["Why?", "A question that is longer", "Ünï ✓", "", "Why?"] * 4
RESPONSES = ["Because.", "", "Yes", "A very long response, padded to what?", "So " * 8] * 3 + ["x", "y", "z", "", "w"]
ANSWERS = [None] * len(PROMPTS)


def alone(folder: Path, input: str) -> list[float]:
    """What transformers says of every response, one by one: no padding, no batches, none of our code."""
    model: Any = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    tokens: Any = transformers.AutoTokenizer.from_pretrained(folder)
    rewards = []
    for prompt, response in zip(PROMPTS, RESPONSES, strict=True):
        if input == "pair":
            inputs = tokens([prompt], [response], return_tensors="pt")  # a bare "" would not count as a text
        else:
            chat = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
            text = tokens.apply_chat_template(chat, tokenize=False)
            inputs = tokens(text, add_special_tokens=False, return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            rewards.append(float(model(**inputs).logits))
    return rewards


@pytest.mark.parametrize("batch_tokens", [1, 150, 8_192])
def test_rewards_equal_transformers_own_one_by_one(saved: tuple[Path, str], batch_tokens: int) -> None:
    rewards = load(*saved, batch_tokens=batch_tokens).score(PROMPTS, RESPONSES, ANSWERS)
    expected = alone(*saved)
    assert rewards.dtype == np.float32
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(rewards, expected, atol=1e-4)


def test_rewards_are_in_the_order_of_the_responses(saved: tuple[Path, str]) -> None:
    model = load(*saved, batch_tokens=150)
    rewards = model.score(PROMPTS, RESPONSES, ANSWERS)
    order = np.random.default_rng(0).permutation(len(PROMPTS))
    shuffled = model.score([PROMPTS[i] for i in order], [RESPONSES[i] for i in order], ANSWERS)
    np.testing.assert_allclose(shuffled, rewards[order], atol=1e-4)


def test_nothing_to_score_gives_no_rewards(saved: tuple[Path, str]) -> None:
    assert load(*saved).score([], [], []).shape == (0,)


def test_over_long_inputs_lose_the_prompts_beginning_and_are_counted(saved: tuple[Path, str]) -> None:
    model = load(*saved)
    response = "the whole response"
    special = 3  # around the two texts, in either form
    room = 64 - special - len(response)
    prompts = ["p" * room, "q" * 50 + "p" * room, "short"]
    rewards = model.score(prompts, [response] * 3, [None] * 3)
    assert model.truncated == 1
    assert rewards[0] == pytest.approx(rewards[1], abs=1e-5)
    assert rewards[0] != pytest.approx(rewards[2], abs=1e-3)


def test_a_response_that_does_not_fit_alone_loses_its_end(saved: tuple[Path, str]) -> None:
    model = load(*saved)
    rewards = model.score(["question", ""], ["r" * 61 + "s" * 40, "r" * 61], [None, None])
    assert model.truncated == 1
    assert rewards[0] == pytest.approx(rewards[1], abs=1e-5)


def test_a_config_without_padding_token_takes_the_tokenizers(tmp_path: Path) -> None:
    save(tmp_path / "rm", "chat", pad_token_id=None)
    with_own = load(tmp_path / "rm", "chat").score(PROMPTS, RESPONSES, ANSWERS)
    save(tmp_path / "rm2", "chat")
    np.testing.assert_allclose(with_own, load(tmp_path / "rm2", "chat").score(PROMPTS, RESPONSES, ANSWERS), atol=1e-6)


def test_two_labels_are_refused(saved: tuple[Path, str]) -> None:
    folder, input = saved
    save(folder, input, num_labels=2)
    with pytest.raises(UserError, match="has 2 labels, but a reward model has one output"):
        load(folder, input)


def test_a_causal_language_model_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "rm", "chat")
    config = transformers.AutoConfig.from_pretrained(tmp_path / "rm")
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "rm")
    with pytest.raises(
        UserError, match=r"no weights for 1 parameters of LlamaForSequenceClassification \(score.weight"
    ):
        load(tmp_path / "rm", "chat")


def test_chat_without_a_template_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "rm", "pair")
    with pytest.raises(UserError, match="no chat template, which input: chat needs"):
        load(tmp_path / "rm", "chat")


def test_the_fingerprint_changes_with_what_changes_rewards(saved: tuple[Path, str]) -> None:
    folder, _ = saved

    def fingerprint(**changed: Any) -> str:
        settings = {"backend": "transformers", "model": str(folder), "input": "pair"} | changed
        return TransformersRewardModel.model_validate(settings).fingerprint(folder)

    before = fingerprint()
    assert fingerprint(batch_tokens=5) == before
    assert fingerprint(input="chat") != before
    (folder / "model.safetensors").write_bytes(b"other")
    assert fingerprint() != before


@pytest.fixture
def check(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """Writes a user's module with a function `check` of the given body; returns its pool entry."""

    def make(body: str) -> VerifiableRewardModel:
        name = f"user_check_{abs(hash((request.node.name, body)))}"
        source = "def check(prompts, responses, answers):\n" + textwrap.indent(body, "    ")
        (tmp_path / f"{name}.py").write_text(source)
        return VerifiableRewardModel(backend="verifiable", check="function", function=f"{name}:check")

    yield make
    sys.path.remove(str(tmp_path)) if str(tmp_path) in sys.path else None


def test_a_users_function_rewards_right_responses(check: Any, tmp_path: Path) -> None:
    entry = check("return [r == a and bool(p) for p, r, a in zip(prompts, responses, answers)]")
    rewards = entry.load(tmp_path).score(["p", "p"], ["4", "5"], ["4", "4"])
    assert rewards.dtype == np.float32
    assert rewards.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return [1.0]", r"returned an array of shape \(1,\) for 2 responses"),
        ("return [[1.0], [0.0]]", r"shape \(2, 1\)"),
        ("return [1.0, float('nan')]", "1 of 2 rewards are not finite"),
        ("return ['right', 'wrong']", "did not return numbers"),
        ("return [1.0, None]", "1 of 2 rewards are not finite|did not return numbers"),
        ("pass", r"shape \(\)|did not return numbers"),
    ],
)
def test_what_a_users_function_returns_is_checked(check: Any, tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        check(body).load(tmp_path).score(["p", "p"], ["4", "5"], ["4", "4"])
    assert "function 'user_check_" in str(raised.value)


def test_prompts_without_an_answer_are_counted_and_refused(check: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 of 3 responses are to prompts without an answer"):
        check("return [1, 1, 1]").load(tmp_path).score(["p"] * 3, ["r"] * 3, [None, "4", None])


def test_a_function_that_does_not_exist_is_refused_on_loading(check: Any, tmp_path: Path) -> None:
    entry = check("return []")
    wrong = entry.model_copy(update={"function": entry.function.replace(":check", ":chek")})
    with pytest.raises(UserError, match="has no function 'chek'"):
        wrong.load(tmp_path)


def test_the_backend_chooses_the_entry() -> None:
    parse = TypeAdapter(RewardModelEntry).validate_python
    verifiable = parse({"backend": "verifiable", "check": "function", "function": "m:f"})
    assert isinstance(verifiable, VerifiableRewardModel)
    assert isinstance(parse({"backend": "transformers", "model": "a/b", "input": "pair"}), TransformersRewardModel)
