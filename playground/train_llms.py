"""The playground's five LLMs: their sizes, what each is good at, and their training.

What belongs here: everything from the corpus's training side to a saved causal language model. What to
keep out: reward models (`train_reward_models`), and the order in which everything is made (`train`).

An LLM's skill comes from four choices: how much of each category it sees, how often it meets each task
(a factor drawn once per LLM and task), a share of the facts that it never sees, and how often its
references are full rather than terse.
"""

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from playground.corpus import CATEGORIES, Prompt, Side, draw_prompt
from playground.muon import Muon
from playground.tasks import Task
from playground.tokenizer import BOS, BOT, EOS, MAX_LENGTH, PAD, USER, load_tokenizer, token_ids

TRAINING_FILE = "training.json"
"""Written into a model's folder when its training is complete; holds what was measured."""

HEAD_SIZE = 32
BATCH_SIZE = 24
HELD_OUT = 512
IGNORED = -100

Report = Callable[[int, int, float], None]
"""Called during training with the steps done, all steps, and a smoothed loss."""


@dataclass(frozen=True)
class LLMRecipe:
    """The shape, the skills and the training of one LLM.

    `mix` gives the share of each category, in the corpus's order. `exposure_spread` is the standard
    deviation of the logarithm of a task's exposure, `unseen_facts` the share of facts left out, and
    `full_share` how often a full reference is learnt rather than a terse one.
    """

    hidden_size: int
    layers: int
    intermediate_size: int
    mix: tuple[float, float, float, float]
    full_share: float
    exposure_spread: float
    unseen_facts: float
    steps: int
    learning_rate: float
    matrix_learning_rate: float = 0.02


LLMS = {
    "generalist-large": LLMRecipe(160, 4, 432, (0.25, 0.25, 0.25, 0.25), 0.75, 0.8, 0.12, 3400, 5e-3),
    "generalist-small": LLMRecipe(64, 3, 176, (0.25, 0.25, 0.25, 0.25), 0.85, 0.8, 0.10, 1800, 6e-3),
    "math-specialist": LLMRecipe(96, 4, 256, (0.12, 0.72, 0.10, 0.06), 0.60, 1.5, 0.35, 1700, 5e-3),
    "code-specialist": LLMRecipe(96, 4, 256, (0.60, 0.10, 0.24, 0.06), 0.50, 0.8, 0.35, 3400, 5e-3),
    "chat-specialist": LLMRecipe(96, 3, 256, (0.06, 0.06, 0.36, 0.52), 0.95, 0.8, 0.15, 2800, 5e-3),
}


@dataclass(frozen=True)
class Sequences:
    """Token ids of prompts (as the chat template opens them) and of the responses to be learnt."""

    prompts: list[list[int]]
    responses: list[list[int]]


def exposures(name: str, tasks: Sequence[Task], spread: float) -> list[float]:
    """How often LLM `name` meets each task, relative to the others of the category."""
    return [task.weight * math.exp(Random(f"{name}/{task.category}/{task.name}").gauss(0, spread)) for task in tasks]


def knows_fact(name: str, fact: str, unseen: float) -> bool:
    """Whether LLM `name` gets to see exercises on this fact."""
    return not fact or Random(f"{name}/{fact}").random() >= unseen


def draw_sequences(
    name: str, recipe: LLMRecipe, tokenizer: PreTrainedTokenizerFast, n: int, side: Side, seed: int
) -> Sequences:
    """Draw n prompts and responses for LLM `name` from one side of the corpus."""
    rng = Random(f"{name}/{side}/{seed}")
    tasks = {c: list(category.tasks.values()) for c, category in CATEGORIES.items()}
    weights = {c: exposures(name, tasks[c], recipe.exposure_spread) for c in CATEGORIES}
    texts: list[str] = []
    responses: list[str] = []
    while len(texts) < n:
        category = rng.choices(list(CATEGORIES), weights=recipe.mix)[0]
        prompt = draw_prompt(rng, tasks[category], weights[category], side)
        if knows_fact(name, prompt.exercise.fact, recipe.unseen_facts):
            texts.append(prompt.text)
            responses.append(_reference(rng, prompt, recipe.full_share))
    return Sequences(encode_prompts(tokenizer, texts), encode_responses(tokenizer, responses))


def _reference(rng: Random, prompt: Prompt, full_share: float) -> str:
    return rng.choice(prompt.exercise.full if rng.random() < full_share else prompt.exercise.terse)


def encode_prompts(tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str]) -> list[list[int]]:
    """Token ids of the prompts as the chat template opens them: <bos> <user> prompt <bot>."""
    bos, user, bot = token_ids(tokenizer, BOS, USER, BOT)
    return [[bos, user, *ids, bot] for ids in tokenizer(list(prompts), add_special_tokens=False)["input_ids"]]


def encode_responses(tokenizer: PreTrainedTokenizerFast, responses: Sequence[str]) -> list[list[int]]:
    """Token ids of the responses, closed by <eos>."""
    (eos,) = token_ids(tokenizer, EOS)
    return [[*ids, eos] for ids in tokenizer(list(responses), add_special_tokens=False)["input_ids"]]


def padded_vocabulary(tokenizer: PreTrainedTokenizerFast) -> int:
    """The size of the embedding: the vocabulary rounded up to a multiple of 8."""
    return -(-len(tokenizer) // 8) * 8


def llama_shape(
    tokenizer: PreTrainedTokenizerFast, hidden_size: int, layers: int, intermediate_size: int
) -> dict[str, Any]:
    """The arguments of a LlamaConfig of this shape."""
    heads = hidden_size // HEAD_SIZE
    bos, eos, pad = token_ids(tokenizer, BOS, EOS, PAD)
    return {
        "vocab_size": padded_vocabulary(tokenizer),
        "hidden_size": hidden_size,
        "intermediate_size": intermediate_size,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "max_position_embeddings": MAX_LENGTH,
        "tie_word_embeddings": True,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "pad_token_id": pad,
        "attn_implementation": "sdpa",
    }


def length_bucketed(
    rng: Random, order: Sequence[int], lengths: Sequence[int], batch_size: int, window: int = 16
) -> list[list[int]]:
    """Cut `order` into batches of similar length: sorted within windows of some batches, then shuffled."""
    batches = []
    for start in range(0, len(order), batch_size * window):
        chunk = sorted(order[start : start + batch_size * window], key=lambda i: lengths[i])
        cut = [chunk[i : i + batch_size] for i in range(0, len(chunk), batch_size)]
        rng.shuffle(cut)
        batches += cut
    return batches


class Optimizers:
    """Muon for the matrices inside the blocks, AdamW for everything else, on one schedule.

    The learning rates warm up over the first `warmup` steps and fall linearly to zero over the last
    `decay` share of all `steps`.
    """

    def __init__(
        self,
        model: nn.Module,
        heads: Sequence[nn.Module],
        steps: int,
        learning_rate: float,
        matrix_learning_rate: float,
        decay: float,
        warmup: int = 40,
    ) -> None:
        matrices = [p for name, p in model.named_parameters() if _is_block_matrix(name, p)]
        others = [p for name, p in model.named_parameters() if not _is_block_matrix(name, p)]
        others += [p for head in heads for p in head.parameters()]
        self._parameters = [*matrices, *others]
        self._optimizers = [
            Muon(matrices, lr=matrix_learning_rate),
            torch.optim.AdamW(others, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True),
        ]
        self._schedules = [
            torch.optim.lr_scheduler.LambdaLR(
                optimizer, lambda step: min(1.0, (step + 1) / warmup, (steps - step) / (decay * steps))
            )
            for optimizer in self._optimizers
        ]

    def step(self, loss: Tensor) -> None:
        """Backpropagate the loss, clip the gradient, move the parameters and the schedule."""
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        for optimizer, schedule in zip(self._optimizers, self._schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()


def _is_block_matrix(name: str, parameter: Tensor) -> bool:
    outside = ("embed", "lm_head", "score", "classifier")
    return parameter.ndim == 2 and not any(part in name for part in outside)


def response_loss(model: Any, prompts: Sequence[list[int]], responses: Sequence[list[int]]) -> Tensor:
    """Mean cross-entropy of the responses' tokens. Rows are padded on the right, so no mask is needed."""
    longest = max(len(p) + len(r) for p, r in zip(prompts, responses, strict=True))
    inputs = torch.full((len(prompts), longest), model.config.pad_token_id)
    labels = torch.full_like(inputs, IGNORED)
    for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        end = len(prompt) + len(response)
        inputs[row, :end] = torch.tensor(prompt + response)
        labels[row, len(prompt) - 1 : end - 1] = torch.tensor(response)
    hidden = model.model(input_ids=inputs, use_cache=False).last_hidden_state
    learnt = labels != IGNORED
    return functional.cross_entropy(model.lm_head(hidden[learnt]), labels[learnt])


def train_llm(name: str, tokenizer_folder: Path, folder: Path, seed: int, report: Report) -> None:
    """Train the LLM `name` and save it, with its tokenizer and what was measured, into `folder`."""
    torch.manual_seed(seed)
    recipe = LLMS[name]
    tokenizer = load_tokenizer(tokenizer_folder)
    training = draw_sequences(name, recipe, tokenizer, recipe.steps * BATCH_SIZE, Side.TRAINING, seed)
    held_out = draw_sequences(name, recipe, tokenizer, HELD_OUT, Side.HELD_OUT, seed)

    shape = llama_shape(tokenizer, recipe.hidden_size, recipe.layers, recipe.intermediate_size)
    model: Any = LlamaForCausalLM(LlamaConfig(**shape))  # type: ignore[no-untyped-call]
    lengths = [len(p) + len(r) for p, r in zip(training.prompts, training.responses, strict=True)]
    batches = length_bucketed(Random(seed), range(len(lengths)), lengths, BATCH_SIZE)
    optimizers = Optimizers(model, [], len(batches), recipe.learning_rate, recipe.matrix_learning_rate, decay=0.4)

    started, smoothed = time.process_time(), math.nan
    for step, batch in enumerate(batches, 1):
        loss = response_loss(model, [training.prompts[i] for i in batch], [training.responses[i] for i in batch])
        optimizers.step(loss)
        smoothed = loss.item() if step == 1 else 0.97 * smoothed + 0.03 * loss.item()
        report(step, len(batches), smoothed)

    measured = {
        "model": name,
        "parameters": model.num_parameters(),
        "steps": len(batches),
        "sequences": len(lengths),
        "cpu_seconds": round(time.process_time() - started),
        "held_out_loss": round(_mean_loss(model, held_out), 4),
    }
    save_model(model, tokenizer, folder, measured)


@torch.inference_mode()
def _mean_loss(model: Any, sequences: Sequences, rows: int = 64) -> float:
    model.eval()
    total = tokens = 0.0
    for start in range(0, len(sequences.prompts), rows):
        responses = sequences.responses[start : start + rows]
        n = sum(map(len, responses))
        total += n * response_loss(model, sequences.prompts[start : start + rows], responses).item()
        tokens += n
    return total / tokens


def save_model(model: Any, tokenizer: PreTrainedTokenizerFast, folder: Path, measured: dict[str, Any]) -> None:
    """Write model (in half precision), tokenizer and measurements; the folder appears when it is complete.

    Everything is written beside and renamed. The files are readable by anyone: safetensors writes 0600.
    """
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    model.half().save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    (unfinished / TRAINING_FILE).write_text(json.dumps(measured, indent=2) + "\n")
    for path in unfinished.iterdir():
        path.chmod(0o644)
    os.replace(unfinished, folder)
