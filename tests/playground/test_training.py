"""The training code, on models of a few steps."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from playground import preferences, tokenizer, train, train_llms, train_reward_models
from playground.corpus import Side
from playground.muon import _orthogonalise

TINY_LLM = train_llms.LLMRecipe(
    hidden_size=32,
    layers=2,
    intermediate_size=64,
    mix=(0.25, 0.25, 0.25, 0.25),
    full_share=0.7,
    exposure_spread=0.5,
    unseen_facts=0.1,
    steps=6,
    learning_rate=5e-3,
)


def tiny_reward_model(taste: str, architecture: str, layers: int) -> train_reward_models.RewardModelRecipe:
    return train_reward_models.RewardModelRecipe(
        taste=taste,
        architecture=architecture,
        start_from="tiny",
        layers=layers,
        language_model_layer=2,
        language_model_weight=0.5,
        prompts_per_step=4,
        responses_per_prompt=3,
        steps=4,
        learning_rate=1e-3,
        matrix_learning_rate=1e-2,
    )


@pytest.fixture
def tiny_recipes(monkeypatch):
    """One LLM, a Llama classifier and an encoder, on a few prompts."""
    recipes = {"kind": tiny_reward_model("warm", "llama", 3), "deep": tiny_reward_model("thorough", "encoder", 2)}
    for module in (train, train_llms):
        monkeypatch.setattr(module, "LLMS", {"tiny": TINY_LLM})
    for module in (train, train_reward_models):
        monkeypatch.setattr(module, "REWARD_MODELS", recipes)
    monkeypatch.setattr(tokenizer, "_PROMPTS_PER_CATEGORY", 100)
    monkeypatch.setattr(preferences, "TRAINING_PROMPTS", 20)
    monkeypatch.setattr(preferences, "HELD_OUT_PROMPTS", 10)
    return recipes


def silent(step: int, steps: int, loss: float) -> None:
    """Report nothing."""


def train_here(models_dir, monkeypatch) -> list[str]:
    """`train.train` without processes of its own, so that the tiny recipes hold."""
    monkeypatch.setattr(train, "_Reporter", lambda name: silent)

    def run_stage(steps, processes, manager, progress):
        for step in steps:
            if not step.result.exists():
                step.function(*step.arguments)

    monkeypatch.setattr(train, "_run_stage", run_stage)
    return train.train(models_dir)


def test_training_makes_what_is_missing_and_keeps_the_rest(tmp_path, tiny_recipes, monkeypatch):
    assert train_here(tmp_path, monkeypatch) == ["tiny", "kind", "deep"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "kind", "tiny"]
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in tmp_path.rglob("*") if path.is_file())
    AutoModelForCausalLM.from_pretrained(tmp_path / "tiny")
    before = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in ("tiny", "kind", "deep")}

    assert train_here(tmp_path, monkeypatch) == []
    for path in (tmp_path / "kind").iterdir():
        path.unlink()
    (tmp_path / "kind").rmdir()
    assert train_here(tmp_path, monkeypatch) == ["kind"]
    after = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in ("tiny", "kind", "deep")}
    assert after == before, "the same seed gives the same weights"


@pytest.mark.parametrize(("architecture", "layers"), [("llama", 3), ("encoder", 2)])
def test_training_scores_equal_the_plain_forward_pass(tmp_path, tiny_recipes, architecture, layers):
    shared = tokenizer.build_tokenizer()
    shared.save_pretrained(tmp_path / "tokenizer")
    train_llms.train_llm("tiny", tmp_path / "tokenizer", tmp_path / "tiny", 0, silent)
    prompts = preferences.preference_prompts(Side.HELD_OUT, 0)
    candidates = preferences.label_responses(prompts, [], shared, Side.TRAINING, 0)
    scorer_class = train_reward_models.LlamaScorer if architecture == "llama" else train_reward_models.EncoderScorer
    torch.manual_seed(0)
    scorer = scorer_class(tiny_reward_model("warm", architecture, layers), tmp_path, shared)
    for parameter in scorer.model.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    scorer.model.eval()

    rng = train_reward_models.Random(0)
    candidates = [c for c in candidates if len(c.responses) > 2]
    groups = [train_reward_models.Group(c, [0, 2, 1]) for c in candidates]
    with torch.no_grad():
        scores, _ = scorer.forward(groups, rng)
    plain = train_reward_models.score_candidates(scorer.model, candidates)
    np.testing.assert_allclose(scores.numpy(), [s[[0, 2, 1]] for s in plain], atol=1e-4)
    assert np.std(scores.numpy()) > 1e-3


def test_labels_mark_the_wrong_tokens(tiny_recipes):
    shared = tokenizer.build_tokenizer()
    prompts = [p for p in preferences.preference_prompts(Side.TRAINING, 0) if p.task.name == "opposite"]
    wrong = [prompt.exercise.terse[0] + "ish 5" for prompt in prompts]
    candidates = preferences.label_responses(prompts, [[[w] for w in wrong]], shared, Side.HELD_OUT, 0)
    for prompt, candidate in zip(prompts, candidates, strict=True):
        assert set(candidate.utilities) == {"concise", "warm", "thorough"}
        for response, labels, right in zip(candidate.responses, candidate.token_labels, candidate.right, strict=True):
            assert len(labels) == len(response)
            assert labels[-1] == right
            assert not right or all(labels), prompt.text


def test_muon_brings_singular_values_close_to_one():
    matrices = torch.randn(3, 24, 10, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(_orthogonalise(matrices))
    assert values.min() > 0.5
    assert values.max() < 1.5


def test_bradley_terry_loss_is_least_at_the_annotators_own_odds():
    utilities = torch.tensor([[0.0, 1.0, -0.5]])
    scores = train_reward_models.ANNOTATOR_SCALE * utilities
    best = train_reward_models.bradley_terry_loss(scores, utilities)
    for other in (0.5 * scores, 2 * scores, -scores):
        assert train_reward_models.bradley_terry_loss(other, utilities) > best
