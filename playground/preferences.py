"""Preference data: responses of the very LLMs that ship, labelled by the simulated annotators.

What belongs here: from prompts and samples to the labelled responses that a reward model learns from
and is measured on. What to keep out: the models (`train_reward_models`).
"""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import chain
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from erp_resources.language_models import Sampling
from erp_resources.language_models.transformers import TransformersLLM
from playground.checkers import is_correct
from playground.corpus import Prompt, Side, draw_prompts
from playground.tastes import TASTES
from playground.train_llms import encode_prompts, encode_responses

TRAINING_PROMPTS, TRAINING_SAMPLES = 4_000, 3
HELD_OUT_PROMPTS, HELD_OUT_SAMPLES = 300, 4
"""Prompts per category, and samples of every LLM per prompt."""

MAX_TOKENS = 40
UNLABELLED = -1

_OPEN_CHECKERS = ("comma_list", "bullet_list", "sentence", "sentences")
"""Kinds of checkers that too many responses pass to tell which tokens of a wrong one are wrong."""


@dataclass(frozen=True)
class Candidates:
    """One prompt with n different responses, as token ids, and their labels.

    `token_labels` say for every token of every response whether it belongs there (1), does not (0) or
    is unknown (-1); the closing <eos> carries the verdict. `utilities` has a row per taste.
    """

    category: str
    prompt: list[int]
    responses: list[list[int]]
    token_labels: list[list[int]]
    right: NDArray[np.bool_]
    is_reference: NDArray[np.bool_]
    utilities: dict[str, NDArray[np.float32]]


def preference_prompts(side: Side, seed: int) -> list[Prompt]:
    """The prompts of the training or of the held-out preference data; prefixes make prompts different."""
    n = TRAINING_PROMPTS if side is Side.TRAINING else HELD_OUT_PROMPTS
    return list(chain.from_iterable(draw_prompts(n, seed, side, distinct_questions=False).values()))


def sample_responses(llm: Path, prompts: Sequence[Prompt], n: int, seed: int) -> list[list[str]]:
    """n samples of the LLM in folder `llm` for every prompt."""
    model = TransformersLLM(backend="transformers", model=str(llm.resolve()), cost=1).load(Path("/"))
    sampling = Sampling(n=n, max_tokens=MAX_TOKENS)
    table = model.sample([prompt.text for prompt in prompts], sampling, seed)
    responses = table["response"].to_pylist()
    return [responses[i : i + n] for i in range(0, len(responses), n)]


def sample_both_sides(llm: Path, file: Path, seed: int) -> None:
    """Sample what `label_responses` needs of one LLM, and keep it in `file`."""
    samples = {
        side: sample_responses(llm, preference_prompts(side, seed), n, seed)
        for side, n in ((Side.TRAINING, TRAINING_SAMPLES), (Side.HELD_OUT, HELD_OUT_SAMPLES))
    }
    _write(file, samples)


def label_both_sides(samples: Sequence[Path], tokenizer: PreTrainedTokenizerFast, file: Path, seed: int) -> None:
    """Label the samples in the files that `sample_both_sides` wrote, and keep the candidates in `file`."""
    by_llm = [_read(path) for path in samples]
    candidates = {
        side: label_responses(preference_prompts(side, seed), [s[side] for s in by_llm], tokenizer, side, seed)
        for side in (Side.TRAINING, Side.HELD_OUT)
    }
    _write(file, candidates)


def read_candidates(file: Path) -> tuple[list[Candidates], list[Candidates]]:
    """The training and the held-out candidates that `label_both_sides` kept."""
    candidates = _read(file)
    return candidates[Side.TRAINING], candidates[Side.HELD_OUT]


def label_responses(
    prompts: Sequence[Prompt],
    samples: Sequence[Sequence[Sequence[str]]],
    tokenizer: PreTrainedTokenizerFast,
    side: Side,
    seed: int,
) -> list[Candidates]:
    """Every prompt's different responses with their labels; `samples` is indexed by LLM, then by prompt.

    References are added, and in training two references of other prompts of the same task: wrong
    answers in the right style.
    """
    rng = Random(seed)
    same_task: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        same_task.setdefault(prompt.task.name, []).append(prompt)

    texts: list[list[str]] = []
    for index, prompt in enumerate(prompts):
        references = [*prompt.exercise.full, *prompt.exercise.terse]
        sampled = sorted({response for llm in samples for response in llm[index]})
        misplaced = []
        if side is Side.TRAINING:
            others = rng.choices(same_task[prompt.task.name], k=2)
            misplaced = [rng.choice([*other.exercise.full, *other.exercise.terse]) for other in others]
        texts.append(list(dict.fromkeys([*references, *sampled, *misplaced])))

    different = sorted(set(chain.from_iterable(texts)))
    response_ids = dict(zip(different, encode_responses(tokenizer, different), strict=True))
    prompt_ids = encode_prompts(tokenizer, [prompt.text for prompt in prompts])
    return [
        _label_prompt(prompt, ids, responses, [response_ids[response] for response in responses])
        for prompt, ids, responses in zip(prompts, prompt_ids, texts, strict=True)
    ]


def _label_prompt(prompt: Prompt, prompt_ids: list[int], texts: list[str], ids: list[list[int]]) -> Candidates:
    exercise = prompt.exercise
    right = np.array([is_correct(exercise.checker, text) for text in texts])
    right_ids = [ids[i] for i in np.flatnonzero(right)[:5]]
    can_align = exercise.checker["kind"] not in _OPEN_CHECKERS
    token_labels = []
    for response, is_right in zip(ids, right, strict=True):
        if is_right:
            labels = [1] * len(response)
        elif can_align:
            labels = [*_aligned(response[:-1], [r[:-1] for r in right_ids]), 0]
        else:
            labels = [UNLABELLED] * (len(response) - 1) + [0]
        token_labels.append(labels)
    return Candidates(
        category=prompt.category,
        prompt=prompt_ids,
        responses=ids,
        token_labels=token_labels,
        right=right,
        is_reference=np.array([text in exercise.full or text in exercise.terse for text in texts]),
        utilities={
            name: np.array([taste(prompt, text) for text in texts], dtype=np.float32) for name, taste in TASTES.items()
        },
    )


def _aligned(response: list[int], references: Sequence[list[int]]) -> list[int]:
    """1 for the tokens that align with the closest reference, 0 for the others."""
    closest, most = [0] * len(response), -1.0
    for reference in references:
        blocks = SequenceMatcher(None, reference, response, autojunk=False).get_matching_blocks()
        similarity = 2 * sum(block.size for block in blocks) / (len(reference) + len(response) + 1)
        if similarity > most:
            most = similarity
            closest = [0] * len(response)
            for block in blocks:
                closest[block.b : block.b + block.size] = [1] * block.size
    return closest


def _write(file: Path, content: object) -> None:
    unfinished = file.with_suffix(".unfinished")
    with unfinished.open("wb") as stream:
        pickle.dump(content, stream)
    unfinished.rename(file)


def _read(file: Path) -> dict[Side, list]:  # type: ignore[type-arg]
    with file.open("rb") as stream:
        return pickle.load(stream)  # type: ignore[no-any-return]
