"""Reward models in vLLM's engine: the rewards are those of the transformers backend on the same weights."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from engines import OPTIONS, ROOT
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from erp_resources.reward_models import TransformersRewardModel
from erp_resources.reward_models.vllm import VLLMRewardModel
from erp_resources.settings import UserError

pytest.importorskip("vllm.version", reason="vLLM is not installed; constraints-vllm.txt says how")
pytestmark = [pytest.mark.vllm, pytest.mark.usefixtures("no_process_is_left")]

SPECIAL = ["<pad>", "<eos>", "<user>", "<bot>", "<reward>"]
TEMPLATE = "{% for m in messages %}<{{ 'user' if m.role == 'user' else 'bot' }}>{{ m.content }}{% endfor %}<eos>"
SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "num_labels": 1,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": None,
}
PROMPTS = ["Why?", "A question that is longer", "Ünï ✓", "", "Why?", "too long " * 12]
RESPONSES = ["Because.", "", "Yes", "A very long response, padded to what?", "So " * 8, "the end", "x" * 90]
ROWS = [(prompt, response) for prompt in PROMPTS for response in RESPONSES]


def save(folder: Path, model: transformers.PreTrainedModel, pairs: bool = False, pad: str | None = "<pad>") -> None:
    """The model with a tokenizer of one token per byte; with `pairs`, a pair is <user> first <bot> second <bot>."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bare = Tokenizer(models.BPE({token: i for i, token in enumerate(SPECIAL + alphabet)}, []))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    bare.add_special_tokens(SPECIAL)
    if pairs:
        bare.post_processor = processors.TemplateProcessing(
            single="<user> $A <bot>", pair="<user> $A <bot> $B:1 <bot>:1", special_tokens=[("<user>", 2), ("<bot>", 3)]
        )
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=bare, eos_token="<eos>", pad_token=pad)
    if not pairs:
        tokenizer.chat_template = TEMPLATE
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def shape(**extra: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    return SHAPE | {"vocab_size": len(SPECIAL) + 256} | extra


def llama(folder: Path, **extra: Any) -> None:
    """Without any padding token, and its chats end with the end token."""
    config = transformers.LlamaConfig(**shape(pad_token_id=None, num_key_value_heads=1, **extra))
    save(folder, transformers.LlamaForSequenceClassification(config), pad=None)


def gemma2(folder: Path) -> None:
    """Its padding is its end token: transformers reads the reward before it."""
    config = transformers.Gemma2Config(
        **shape(head_dim=32, query_pre_attn_scalar=32, sliding_window=8, pad_token_id=1, num_key_value_heads=1)
    )
    save(folder, transformers.Gemma2ForSequenceClassification(config), pad="<eos>")


def bert(folder: Path) -> None:
    """Tells the texts of a pair apart by segments."""
    save(folder, transformers.BertForSequenceClassification(transformers.BertConfig(**shape())), pairs=True)


def deberta(folder: Path) -> None:
    config = transformers.DebertaV2Config(
        **shape(relative_attention=True, position_buckets=16, pos_att_type=["p2c", "c2p"], type_vocab_size=0)
    )
    save(folder, transformers.DebertaV2ForSequenceClassification(config), pairs=True)


def internlm2(folder: Path) -> Path:
    """The weights of a Llama classifier under InternLM2's names; returns the Llama's folder.

    The two compute the same, but that InternLM2 holds queries, keys and values in one matrix and gives
    its reward at a token of its own. Its configuration class is no part of transformers, so it is written here.
    """
    twin = folder.with_name("twin")
    model = transformers.LlamaForSequenceClassification(
        transformers.LlamaConfig(**shape(num_key_value_heads=1, max_position_embeddings=128))
    )
    save(twin, model)
    save(folder, model)
    heads, groups, size = 2, 1, 32
    names = {
        "self_attn.o_proj": "attention.wo",
        "mlp.gate_proj": "feed_forward.w1",
        "mlp.up_proj": "feed_forward.w3",
        "mlp.down_proj": "feed_forward.w2",
        "input_layernorm": "attention_norm",
        "post_attention_layernorm": "ffn_norm",
        "embed_tokens": "tok_embeddings",
        "score": "v_head",
    }
    weights = {}
    for name, weight in load_file(folder / "model.safetensors").items():
        if "q_proj" in name:
            of_group = [
                load_file(folder / "model.safetensors")[name.replace("q_proj", projection)].reshape(
                    groups, -1, size, weight.shape[1]
                )
                for projection in ("q_proj", "k_proj", "v_proj")
            ]
            joint = torch.cat(of_group, dim=1).reshape((heads + 2 * groups) * size, -1)
            weights[name.replace("self_attn.q_proj", "attention.wqkv")] = joint.contiguous()
        elif "k_proj" not in name and "v_proj" not in name:
            new = name
            for old, theirs in names.items():
                new = new.replace(old, theirs)
            weights[new] = weight
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "architectures": ["InternLM2ForRewardModel"],
        "model_type": "internlm2",
        "auto_map": {"AutoConfig": "configuration_internlm2.InternLM2Config"},
        "reward_token_id": SPECIAL.index("<reward>"),
        "bias": False,
        "rope_theta": 10000.0,
        "rope_scaling": None,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "configuration_internlm2.py").write_text(
        "from transformers import PretrainedConfig\n\n\n"
        "class InternLM2Config(PretrainedConfig):\n    model_type = 'internlm2'\n"
    )
    template = TEMPLATE + "<reward>"
    (twin / "chat_template.jinja").write_text(template)
    return twin


def load(folder: Path, input: str, **extra: Any) -> Any:
    settings = {"backend": "vllm", "model": str(folder), "input": input, "options": OPTIONS} | extra
    return VLLMRewardModel.model_validate(settings).load(folder)


@pytest.fixture
def started() -> Iterator[Callable[..., Any]]:
    running = []

    def start(folder: Path, input: str, **extra: Any) -> Any:
        running.append(load(folder, input, **extra))
        return running[-1]

    yield start
    for model in running:
        model.close()


def scores(model: Any) -> np.ndarray:
    prompts, responses = zip(*ROWS, strict=True)
    rewards: np.ndarray = model.score(prompts, responses, [None] * len(ROWS))
    assert rewards.dtype == np.float32
    assert rewards.shape == (len(ROWS),)
    return rewards


def transformers_model(folder: Path, input: str) -> Any:
    settings = {"backend": "transformers", "model": str(folder), "input": input}
    return TransformersRewardModel.model_validate(settings).load(folder)


def assert_agree(ours: Any, theirs: Any) -> None:
    rewards, expected = scores(ours), scores(theirs)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(rewards, expected, atol=1e-3)
    assert ours.truncated == theirs.truncated > 0


def one_by_one(folder: Path) -> list[float]:
    """What transformers says of every chat that fits, without batches and without our code."""
    # Of transformers' kinds of attention, eager alone does all that Gemma 2's does.
    model: Any = transformers.AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager")
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
    rewards = []
    for prompt, response in ROWS:
        chat = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
        text = tokenizer.apply_chat_template(chat, tokenize=False)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        fits = ids.shape[1] <= 64
        with torch.no_grad():
            rewards.append(float(model(input_ids=ids).logits) if fits else np.nan)
    return rewards


@pytest.mark.parametrize(("name", "input"), [("concise", "chat"), ("thorough", "pair")])
def test_the_playgrounds_reward_models_agree(started: Any, name: str, input: str) -> None:
    folder = ROOT / "playground" / "models" / name
    ours, theirs = started(folder, input), transformers_model(folder, input)
    rewards, expected = scores(ours), scores(theirs)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(rewards, expected, atol=1e-3)


@pytest.mark.parametrize(("make", "input"), [(llama, "chat"), (gemma2, "chat"), (bert, "pair")])
def test_float32_classifiers_agree(tmp_path: Path, started: Any, make: Callable[[Path], None], input: str) -> None:
    folder = tmp_path / "rm"
    make(folder)
    ours, theirs = started(folder, input), transformers_model(folder, input)
    assert_agree(ours, theirs)
    if input == "chat":
        expected = np.array(one_by_one(folder))
        fits = ~np.isnan(expected)
        np.testing.assert_allclose(scores(ours)[fits], expected[fits], atol=1e-3)
    assert ours.score([], [], []).shape == (0,)
    order = np.random.default_rng(0).permutation(len(ROWS))
    shuffled = ours.score([ROWS[i][0] for i in order], [ROWS[i][1] for i in order], [None] * len(ROWS))
    np.testing.assert_allclose(shuffled, scores(ours)[order], atol=1e-4)


def test_internlm2_gives_its_value_at_the_reward_token(tmp_path: Path, started: Any) -> None:
    twin = internlm2(tmp_path / "rm")
    # The twin's longest chats fit into 128 tokens, and so the template that ends with the reward token does.
    ours = started(tmp_path / "rm", "chat", trust_remote_code=True)
    assert_agree(ours, transformers_model(twin, "chat"))


def test_deberta_is_refused_and_the_transformers_backend_runs_it(tmp_path: Path) -> None:
    deberta(tmp_path / "rm")
    with pytest.raises(UserError, match=r"could not start it: .*DebertaV2") as raised:
        load(tmp_path / "rm", "pair")
    assert "\n" not in str(raised.value)
    assert np.isfinite(scores(transformers_model(tmp_path / "rm", "pair"))).all()


def test_two_labels_are_refused(tmp_path: Path) -> None:
    llama(tmp_path / "rm", num_labels=2)
    with pytest.raises(UserError, match="has 2 labels, but a reward model has one output"):
        load(tmp_path / "rm", "chat")


def test_a_causal_language_model_is_refused() -> None:
    with pytest.raises(UserError, match="gives no reward"):
        load(ROOT / "playground" / "models" / "generalist-small", "chat")
