"""The weights that ship: they load anywhere, are small, and were trained well enough."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from erp_resources.reward_models.transformers import TransformersRewardModel
from playground.checkers import is_correct
from playground.corpus import CATEGORIES, Prompt, Side, draw_prompts
from playground.train_llms import LLMS
from playground.train_reward_models import REWARD_MODELS

MODELS = Path(__file__).parents[2] / "playground" / "models"
INPUTS = {"thorough": "pair", "concise": "chat", "warm": "chat"}


def measured(name: str) -> dict:
    return json.loads((MODELS / name / "training.json").read_text())


def test_all_models_ship_small_and_readable_by_anyone():
    files = [path for path in MODELS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} == {*LLMS, *REWARD_MODELS}
    assert sum(path.stat().st_size for path in files) < 12_000_000
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in files)


@pytest.mark.parametrize("name", LLMS)
def test_llm_loads_without_our_code_and_is_of_its_size(name):
    model = AutoModelForCausalLM.from_pretrained(MODELS / name, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(MODELS / name)
    assert 0.24e6 <= model.num_parameters() <= 1.5e6
    assert model.num_parameters() == measured(name)["parameters"]
    assert model.config.head_dim == 32

    chat = [{"role": "user", "content": "Zürich 東京 🙂?"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    with torch.inference_mode():
        assert model(**inputs).logits.isfinite().all()
    assert tokenizer.decode(inputs["input_ids"][0], skip_special_tokens=True) == chat[0]["content"]


@pytest.mark.parametrize("name", LLMS)
def test_llm_answers_some_of_what_it_was_trained_for(name):
    model = AutoModelForCausalLM.from_pretrained(MODELS / name, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(MODELS / name)
    favourite = list(CATEGORIES)[int(np.argmax(LLMS[name].mix))]
    prompts = draw_prompts(40, 77, Side.POOL)[favourite if LLMS[name].mix[0] != 0.25 else "general_chat"]
    chats = [[{"role": "user", "content": prompt.text}] for prompt in prompts]
    texts = tokenizer.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)
    inputs = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
    outputs = model.generate(**inputs, max_new_tokens=40, do_sample=False)[:, inputs["input_ids"].shape[1] :]
    responses = tokenizer.batch_decode(outputs, skip_special_tokens=True)
    right = [is_correct(p.exercise.checker, r) for p, r in zip(prompts, responses, strict=True)]
    assert np.mean(right) > 0.3


@pytest.mark.parametrize("name", REWARD_MODELS)
def test_reward_model_is_of_its_size_and_above_its_bar(name):
    model = AutoModelForSequenceClassification.from_pretrained(MODELS / name)
    report = measured(name)
    assert model.config.num_labels == 1
    assert model.num_parameters() == report["parameters"] <= 500_000
    assert report["held_out"]["all"]["share"] > 0.75
    for category in CATEGORIES:
        assert report["held_out"][category]["share"] > 0.5, category


def right_and_wrong(prompts: list[Prompt]) -> list[tuple[str, str, str]]:
    """(prompt, right response, wrong response): the wrong one answers another prompt of the same task."""
    triples = []
    for prompt in prompts:
        exercise = prompt.exercise
        others = [other.exercise.full[0] for other in prompts if other.task.name == prompt.task.name]
        wrong = [response for response in others if not is_correct(exercise.checker, response)]
        triples += [(prompt.text, exercise.full[0], response) for response in wrong[:3]]
    return triples


@pytest.mark.parametrize("name", REWARD_MODELS)
def test_reward_model_prefers_right_responses_on_fresh_prompts(name):
    settings = TransformersRewardModel(backend="transformers", model=str(MODELS / name), input=INPUTS[name])
    model = settings.load(Path("/"))
    triples = [t for prompts in draw_prompts(60, 99, Side.POOL).values() for t in right_and_wrong(prompts)]
    prompts, right, wrong = (list(column) for column in zip(*triples, strict=True))
    gap = model.score(prompts, right, [None] * len(prompts)) - model.score(prompts, wrong, [None] * len(prompts))
    assert np.isfinite(gap).all()
    assert len(gap) > 300
    assert (gap > 0).mean() > 0.6


@pytest.mark.parametrize("name", REWARD_MODELS)
def test_the_generic_reward_equals_the_plain_logit_of_the_trained_layout(name):
    model = AutoModelForSequenceClassification.from_pretrained(MODELS / name, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(MODELS / name)
    pairs = [("Compute 2 + 3.", "2 + 3 = 5."), ("Zürich 東京 🙂", ""), ("I feel sad today.", "I am sorry. Rest.")]
    text = [f"<bos><user>{prompt}<bot>{response}<eos>" for prompt, response in pairs]
    with torch.inference_mode():
        plain = [float(model(**tokenizer(t, add_special_tokens=False, return_tensors="pt")).logits[0, 0]) for t in text]
    settings = TransformersRewardModel(backend="transformers", model=str(MODELS / name), input=INPUTS[name])
    prompts, responses = (list(column) for column in zip(*pairs, strict=True))
    generic = settings.load(Path("/")).score(prompts, responses, [None] * len(pairs))
    np.testing.assert_allclose(generic, plain, atol=1e-4)
