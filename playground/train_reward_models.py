"""The playground's three reward models: their shapes, their tastes, and their training.

What belongs here: everything from labelled responses to a saved sequence classifier. What to keep out:
the labels (`preferences`).

Every step takes groups of responses to one prompt, about as many right as wrong ones, and all pairs in
a group. The Bradley-Terry loss is the cross-entropy of s_i - s_j to the annotator's probability of
preferring i, sigmoid(3 (u_i - u_j)). Three more losses exist in training only and are dropped with
their heads: which tokens of a response are right, whether the whole is, and the language model's own
loss on right responses (of masked tokens, for the encoder). They teach what the pairs alone do not in
so few steps.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from playground.corpus import CATEGORIES
from playground.preferences import UNLABELLED, Candidates, read_candidates
from playground.tokenizer import BOS, EOS, MAX_LENGTH, PAD, UNKNOWN, load_tokenizer, token_ids
from playground.train_llms import (
    HEAD_SIZE,
    Optimizers,
    Report,
    length_bucketed,
    llama_shape,
    padded_vocabulary,
    save_model,
)

ANNOTATOR_SCALE = 3.0
"""How decided the simulated annotator is: P(i preferred to j) = sigmoid(scale (u_i - u_j))."""

TOKEN_WEIGHT = 0.5
CENTRING_WEIGHT = 0.003
MASKED_SHARES = (0.3, 0.6, 1.0)
PAIRS_PER_PROMPT = 16
LEAST_UTILITY_GAP = 0.05


@dataclass(frozen=True)
class RewardModelRecipe:
    """The shape, the taste and the training of one reward model.

    `start_from` names the LLM whose weights it starts from. A Llama classifier has `layers` - its
    layers new ones on top, which begin as the identity; `language_model_layer` is the layer whose
    output the language-model loss reads. `emphasis` says how often an epoch takes a prompt of each
    category, in the corpus's order. `level_weight` ties the mean reward of a prompt's responses to the
    annotator's mean utility: preferences alone leave it free, and an encoder then drifts from prompt to
    prompt.
    """

    taste: str
    architecture: Literal["llama", "encoder"]
    start_from: str
    layers: int
    language_model_layer: int
    language_model_weight: float
    prompts_per_step: int
    responses_per_prompt: int
    steps: int
    learning_rate: float
    matrix_learning_rate: float
    emphasis: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    level_weight: float = 0.0


# To a reader from left to right, arithmetic is the hardest to judge and small talk the easiest.
_CAUSAL_EMPHASIS = (1.0, 1.7, 1.0, 0.5)

REWARD_MODELS = {
    "thorough": RewardModelRecipe(
        "thorough", "encoder", "chat-specialist", 3, 3, 0.3, 8, 4, 3600, 3e-3, 0.02, level_weight=0.01
    ),
    "concise": RewardModelRecipe(
        "concise", "llama", "generalist-small", 5, 5, 0.5, 16, 6, 5000, 2e-3, 0.015, _CAUSAL_EMPHASIS
    ),
    "warm": RewardModelRecipe(
        "warm", "llama", "generalist-small", 5, 3, 0.5, 16, 6, 5000, 2e-3, 0.015, _CAUSAL_EMPHASIS
    ),
}


class Group(NamedTuple):
    """Some responses (indices) to one prompt."""

    candidates: Candidates
    chosen: list[int]


class _Scorer(ABC):
    """A reward model in training, with the heads that are dropped afterwards."""

    def __init__(self, model: Any, hidden_size: int, recipe: RewardModelRecipe) -> None:
        self.model = model
        self.recipe = recipe
        self.token_head = nn.Linear(hidden_size, 1)
        self.language_model_norm = nn.RMSNorm(hidden_size)

    @property
    def heads(self) -> list[nn.Module]:
        """What is trained beside the model, and dropped."""
        return [self.token_head, self.language_model_norm]

    @abstractmethod
    def forward(self, groups: Sequence[Group], rng: Random) -> tuple[Tensor, Tensor]:
        """Scores, shape (groups, responses), and the sum of the other losses."""

    def _other_losses(
        self, hidden: Tensor, token_labels: Tensor, language_hidden: Tensor, language_targets: Tensor
    ) -> Tensor:
        """Of the token labels (UNLABELLED where there is none) and of the tokens to be predicted.

        Shapes: hidden (tokens, d) and token_labels (tokens,); language_hidden (targets, d) and
        language_targets (targets,).
        """
        labelled = token_labels != UNLABELLED
        loss = TOKEN_WEIGHT * functional.binary_cross_entropy_with_logits(
            self.token_head(hidden[labelled])[:, 0], token_labels[labelled]
        )
        if len(language_targets):
            embedding = self.model.get_input_embeddings().weight
            logits = self.language_model_norm(language_hidden) @ embedding.T
            loss = loss + self.recipe.language_model_weight * functional.cross_entropy(logits, language_targets)
        return loss


class LlamaScorer(_Scorer):
    """A Llama classifier. A prompt and its responses are one row: the prompt is read once, and every
    response sees the prompt and itself, at the positions that it would have alone."""

    def __init__(self, recipe: RewardModelRecipe, llms: Path, tokenizer: PreTrainedTokenizerFast) -> None:
        llm = LlamaForCausalLM.from_pretrained(llms / recipe.start_from, dtype=torch.float32)
        shape = llama_shape(tokenizer, llm.config.hidden_size, recipe.layers, llm.config.intermediate_size)
        config = LlamaConfig(**shape, num_labels=1)  # type: ignore[call-arg]
        model: Any = LlamaForSequenceClassification(config)  # type: ignore[no-untyped-call]
        model.model.load_state_dict(llm.model.state_dict(), strict=False)
        for layer in model.model.layers[llm.config.num_hidden_layers :]:
            nn.init.zeros_(layer.self_attn.o_proj.weight)
            nn.init.zeros_(layer.mlp.down_proj.weight)
        super().__init__(model, llm.config.hidden_size, recipe)

    def forward(self, groups: Sequence[Group], rng: Random) -> tuple[Tensor, Tensor]:
        """See `_Scorer.forward`."""
        rows = [_pack(group) for group in groups]
        longest = max(len(row.tokens) for row in rows)
        inputs = _padded([row.tokens for row in rows], longest, 0)
        positions = _padded([row.positions for row in rows], longest, 0)
        segments = _padded([row.segments for row in rows], longest, -1)
        token_labels = _padded([row.token_labels for row in rows], longest, UNLABELLED).float()

        index = torch.arange(longest)
        earlier = index[:, None] >= index[None, :]
        in_prompt_or_same = (segments[:, None, :] == 0) | (segments[:, None, :] == segments[:, :, None])
        output = self.model.model(
            input_ids=inputs,
            position_ids=positions,
            attention_mask=(earlier & in_prompt_or_same)[:, None],
            use_cache=False,
            output_hidden_states=True,
        )
        size = output.last_hidden_state.shape[-1]
        hidden = output.last_hidden_state.reshape(-1, size)

        def flat(field: str) -> Tensor:
            return torch.tensor([n * longest + i for n, row in enumerate(rows) for i in getattr(row, field)]).long()

        scores = self.model.score(hidden[flat("ends")]).view(len(groups), -1)
        if self.recipe.language_model_layer < self.recipe.layers:
            language_hidden = output.hidden_states[self.recipe.language_model_layer].reshape(-1, size)
        else:
            language_hidden = hidden
        targets = torch.tensor([token for row in rows for token in row.targets]).long()
        other = self._other_losses(hidden, token_labels.view(-1), language_hidden[flat("before_targets")], targets)
        return scores, other


class _PackedRow(NamedTuple):
    tokens: list[int]
    positions: list[int]
    segments: list[int]
    """0 for the prompt's tokens, the response's number (from 1) for its own."""
    token_labels: list[int]
    ends: list[int]
    before_targets: list[int]
    targets: list[int]


def _pack(group: Group) -> _PackedRow:
    candidates, chosen = group
    n = len(candidates.prompt)
    row = _PackedRow(list(candidates.prompt), list(range(n)), [0] * n, [UNLABELLED] * n, [], [], [])
    for segment, index in enumerate(chosen, 1):
        response = candidates.responses[index]
        start = len(row.tokens)
        row.tokens.extend(response)
        row.positions.extend(range(n, n + len(response)))
        row.segments.extend([segment] * len(response))
        row.token_labels.extend(candidates.token_labels[index])
        row.ends.append(len(row.tokens) - 1)
        if candidates.right[index]:
            row.before_targets.extend([n - 1, *range(start, start + len(response) - 1)])
            row.targets.extend(response)
    return row


class EncoderScorer(_Scorer):
    """A ModernBERT classifier of (prompt, response) pairs, which reads its score at <bos>.

    Llama's blocks fit ModernBERT's one to one (normalisation first, rotary positions, gated MLP), so it
    starts from an LLM; only the causal mask goes.
    """

    def __init__(self, recipe: RewardModelRecipe, llms: Path, tokenizer: PreTrainedTokenizerFast) -> None:
        llm = LlamaForCausalLM.from_pretrained(llms / recipe.start_from, dtype=torch.float32)
        model = ModernBertForSequenceClassification(_encoder_config(llm.config, recipe.layers, tokenizer))
        _copy_llama_blocks(llm, model)
        super().__init__(model, llm.config.hidden_size, recipe)
        (self.mask_id,) = token_ids(tokenizer, UNKNOWN)

    def forward(self, groups: Sequence[Group], rng: Random) -> tuple[Tensor, Tensor]:
        """See `_Scorer.forward`."""
        rows, token_labels = [], []
        for candidates, chosen in groups:
            for index in chosen:
                rows.append(candidates.prompt + candidates.responses[index])
                token_labels.append([UNLABELLED] * len(candidates.prompt) + candidates.token_labels[index])
        n = len(rows)
        masked = [self._masked_row(group.candidates, rng) for group in groups]
        rows += [row for row, _ in masked]
        longest = max(map(len, rows))
        inputs = _padded(rows, longest, 0)
        hidden = self.model.model(input_ids=inputs, attention_mask=(inputs != 0).long()).last_hidden_state
        scores = self.model.classifier(self.model.head(hidden[:n, 0])).view(len(groups), -1)

        labels = _padded(token_labels, longest, UNLABELLED).float()
        places = [((n + m) * longest + i, row[i], token) for m, (row, hid) in enumerate(masked) for i, token in hid]
        flat = hidden.reshape(-1, hidden.shape[-1])
        language_hidden = flat[torch.tensor([place for place, _, _ in places]).long()]
        targets = torch.tensor([token for _, _, token in places]).long()
        return scores, self._other_losses(flat[: n * longest], labels.view(-1), language_hidden, targets)

    def _masked_row(self, candidates: Candidates, rng: Random) -> tuple[list[int], list[tuple[int, int]]]:
        """A right response with a share of its tokens masked, and where which token was."""
        response = candidates.responses[rng.choice(np.flatnonzero(candidates.right).tolist())]
        share = rng.choice(MASKED_SHARES)
        start = len(candidates.prompt)
        hidden = [(start + i, token) for i, token in enumerate(response) if rng.random() < share]
        row = candidates.prompt + response
        for place, _ in hidden:
            row[place] = self.mask_id
        return row, hidden


def _encoder_config(llm: LlamaConfig, layers: int, tokenizer: PreTrainedTokenizerFast) -> ModernBertConfig:
    rope = {"rope_type": "default", "rope_theta": 10_000.0}
    bos, eos, pad = token_ids(tokenizer, BOS, EOS, PAD)
    shape: dict[str, Any] = {
        "vocab_size": padded_vocabulary(tokenizer),
        "hidden_size": llm.hidden_size,
        "num_hidden_layers": layers,
        "num_attention_heads": llm.hidden_size // HEAD_SIZE,
        "intermediate_size": llm.intermediate_size,
        "max_position_embeddings": MAX_LENGTH,
        "num_labels": 1,
        "pad_token_id": pad,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "cls_token_id": bos,
        "sep_token_id": eos,
        "layer_types": ["full_attention"] * layers,
        "rope_parameters": {"full_attention": rope, "sliding_attention": rope},
        "hidden_activation": "silu",
        "initializer_range": 0.05,
        "attn_implementation": "sdpa",
        "classifier_pooling": "cls",
    }
    return ModernBertConfig(**shape)


@torch.no_grad()
def _copy_llama_blocks(llm: LlamaForCausalLM, encoder: ModernBertForSequenceClassification) -> None:
    """Start the encoder from the LLM's embedding, blocks and last normalisation.

    ModernBERT normalises its embeddings, and has no normalisation before the first attention: the
    embeddings' scale goes into the one, and the LLM's first normalisation into the first weights.
    """
    embeddings = encoder.model.embeddings
    table = llm.model.embed_tokens.weight
    embeddings.tok_embeddings.weight.copy_(table)
    scale = table.pow(2).mean().sqrt()
    embeddings.norm.weight.fill_(scale)
    for number, (new, old) in enumerate(zip(encoder.model.layers, llm.model.layers, strict=True)):
        attention = old.self_attn
        projection = torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
        if number == 0:
            projection = projection * (old.input_layernorm.weight / scale)
        else:
            new.attn_norm.weight.copy_(old.input_layernorm.weight)
        new.attn.Wqkv.weight.copy_(projection)
        new.attn.Wo.weight.copy_(attention.o_proj.weight)
        new.mlp_norm.weight.copy_(old.post_attention_layernorm.weight)
        new.mlp.Wi.weight.copy_(torch.cat([old.mlp.gate_proj.weight, old.mlp.up_proj.weight]))
        new.mlp.Wo.weight.copy_(old.mlp.down_proj.weight)
    encoder.model.final_norm.weight.copy_(llm.model.norm.weight)


def _padded(rows: Sequence[Sequence[int]], length: int, value: int) -> Tensor:
    padded = torch.full((len(rows), length), value)
    for n, row in enumerate(rows):
        padded[n, : len(row)] = torch.tensor(row)
    return padded


def _draw_group(candidates: Candidates, n: int, rng: Random) -> Group:
    """n responses, half of them right and half wrong as far as there are so many."""
    right = np.flatnonzero(candidates.right).tolist()
    wrong = np.flatnonzero(~candidates.right).tolist()
    rng.shuffle(right)
    rng.shuffle(wrong)
    n_right = min(len(right), max(n // 2, n - len(wrong)))
    chosen = right[:n_right] + wrong[: n - n_right]
    while len(chosen) < n:
        chosen.append(rng.randrange(len(candidates.responses)))
    rng.shuffle(chosen)
    return Group(candidates, chosen)


def level_loss(scores: Tensor, utilities: Tensor) -> Tensor:
    """How far the mean scores of the prompts are from the annotator's, on the annotator's scale; both (prompts, n)."""
    return functional.mse_loss(scores.mean(dim=1), ANNOTATOR_SCALE * utilities.mean(dim=1))


def bradley_terry_loss(scores: Tensor, utilities: Tensor) -> Tensor:
    """Cross-entropy of the scores' differences to the annotator's choices, over all pairs of a group.

    Both have the shape (groups, responses).
    """
    first, second = torch.triu_indices(scores.shape[1], scores.shape[1], 1)
    preferred = torch.sigmoid(ANNOTATOR_SCALE * (utilities[:, first] - utilities[:, second]))
    return functional.binary_cross_entropy_with_logits(scores[:, first] - scores[:, second], preferred)


def train_reward_model(
    name: str, llms: Path, tokenizer_folder: Path, candidates_file: Path, folder: Path, seed: int, report: Report
) -> None:
    """Train the reward model `name` and save it, with its tokenizer and what was measured, into `folder`.

    `llms` is the folder of the LLMs' folders, `candidates_file` what `label_both_sides` wrote.
    """
    torch.manual_seed(seed)
    rng = Random(f"{name}/{seed}")
    recipe = REWARD_MODELS[name]
    tokenizer = load_tokenizer(tokenizer_folder)
    training, held_out = read_candidates(candidates_file)
    scorer_class = LlamaScorer if recipe.architecture == "llama" else EncoderScorer
    scorer = scorer_class(recipe, llms, tokenizer)
    scorer.model.train()
    optimizers = Optimizers(
        scorer.model, scorer.heads, recipe.steps, recipe.learning_rate, recipe.matrix_learning_rate, decay=0.5
    )

    started, smoothed, step = time.process_time(), math.nan, 0
    while step < recipe.steps:
        for batch in _epoch(training, recipe, rng)[: recipe.steps - step]:
            groups = [_draw_group(training[i], recipe.responses_per_prompt, rng) for i in batch]
            utilities = torch.tensor(np.stack([g.candidates.utilities[recipe.taste][g.chosen] for g in groups]))
            scores, other_losses = scorer.forward(groups, rng)
            loss = bradley_terry_loss(scores, utilities)
            levels = recipe.level_weight * level_loss(scores, utilities)
            optimizers.step(loss + CENTRING_WEIGHT * scores.square().mean() + levels + other_losses)
            step += 1
            smoothed = loss.item() if step == 1 else 0.98 * smoothed + 0.02 * loss.item()
            report(step, recipe.steps, smoothed)

    model = scorer.model.half().float().eval()  # as it will be loaded
    measured = {
        "model": name,
        "taste": recipe.taste,
        "parameters": model.num_parameters(),
        "steps": recipe.steps,
        "groups": recipe.steps * recipe.prompts_per_step,
        "responses": recipe.steps * recipe.prompts_per_step * recipe.responses_per_prompt,
        "cpu_seconds": round(time.process_time() - started),
        "held_out": measure(score_candidates(model, held_out), held_out, recipe.taste),
    }
    save_model(model, tokenizer, folder, measured)


def _epoch(training: Sequence[Candidates], recipe: RewardModelRecipe, rng: Random) -> list[list[int]]:
    """Batches of indices in a random order, with every category as often as the recipe emphasises it."""
    responses = recipe.responses_per_prompt if recipe.architecture == "llama" else 1
    lengths = [len(c.prompt) + responses * sum(map(len, c.responses)) // len(c.responses) for c in training]
    emphasis = dict(zip(CATEGORIES, recipe.emphasis, strict=True))
    order = []
    for index, candidates in enumerate(training):
        times, fraction = divmod(emphasis[candidates.category], 1)
        order += [index] * (int(times) + (fraction > 0 and rng.random() < fraction))
    rng.shuffle(order)
    return length_bucketed(rng, order, lengths, recipe.prompts_per_step)


@torch.inference_mode()
def score_candidates(model: Any, candidates: Sequence[Candidates], rows: int = 512) -> list[NDArray[np.float32]]:
    """The model's reward of every response, by prompt, through its plain forward pass."""
    sequences = [c.prompt + response for c in candidates for response in c.responses]
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    scores = np.empty(len(sequences), dtype=np.float32)
    for start in range(0, len(order), rows):
        batch = order[start : start + rows]
        inputs = _padded([sequences[i] for i in batch], len(sequences[batch[-1]]), 0)
        scores[batch] = model(input_ids=inputs, attention_mask=(inputs != 0).long()).logits[:, 0].numpy()
    return np.split(scores, np.cumsum([len(c.responses) for c in candidates])[:-1])


def measure(
    scores: Sequence[NDArray[np.float32]], candidates: Sequence[Candidates], taste: str
) -> dict[str, dict[str, float]]:
    """How often the scores agree with the noisy annotator, overall and per category.

    `accuracy` is over pairs that the annotator labelled, `ceiling` what the annotator's own utility
    reaches on them (it is noisy), `share` how far the accuracy goes from chance (0.5) to the ceiling.
    `right_over_wrong` is how often a right response scores above a wrong one to the same prompt.
    """
    rng = Random(0)
    agree: dict[str, list[tuple[bool, bool]]] = {name: [] for name in CATEGORIES}
    verdicts: dict[str, list[float]] = {name: [] for name in CATEGORIES}
    for score, candidate in zip(scores, candidates, strict=True):
        utilities = candidate.utilities[taste]
        for winner, loser in _annotated_pairs(candidate, utilities, rng):
            agree[candidate.category].append(
                (bool(score[winner] > score[loser]), bool(utilities[winner] > utilities[loser]))
            )
        if candidate.right.any() and not candidate.right.all():
            above = score[candidate.right][:, None] > score[~candidate.right][None]
            verdicts[candidate.category].append(float(above.mean()))
    groups = {"all": list(CATEGORIES), **{name: [name] for name in CATEGORIES}}
    result = {}
    for group, names in groups.items():
        accuracy, ceiling = np.mean([pair for name in names for pair in agree[name]], axis=0)
        result[group] = {
            "accuracy": round(float(accuracy), 3),
            "ceiling": round(float(ceiling), 3),
            "share": round(float((accuracy - 0.5) / (ceiling - 0.5)), 3),
            "right_over_wrong": round(float(np.mean([v for name in names for v in verdicts[name]])), 3),
        }
    return result


def _annotated_pairs(candidate: Candidates, utilities: NDArray[np.float32], rng: Random) -> list[tuple[int, int]]:
    """(preferred, other) pairs of responses, as the annotator chose; almost equal ones are left out."""
    references = np.flatnonzero(candidate.is_reference).tolist()
    pairs = []
    for _ in range(PAIRS_PER_PROMPT):
        first = rng.choice(references) if rng.random() < 0.3 else rng.randrange(len(utilities))
        second = rng.randrange(len(utilities))
        gap = float(utilities[first] - utilities[second])
        if first == second or abs(gap) < LEAST_UTILITY_GAP:
            continue
        prefers_first = rng.random() <= 1 / (1 + math.exp(-ANNOTATOR_SCALE * gap))
        pairs.append((first, second) if prefers_first else (second, first))
    return pairs
