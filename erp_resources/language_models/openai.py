"""LLMs behind any server that speaks OpenAI's chat completions: OpenAI, vLLM, llama.cpp, a gateway.

Servers differ in what they take. A request begins with all that a sample needs, and what the server
refuses by name is left out from then on: n (samples are then asked for one by one), the seed, and the
old name of max_tokens.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pyarrow as pa
from pydantic import Field, JsonValue, field_validator

from erp_resources.language_models.interface import RESPONSES, Cost, Inspected, LanguageModel, Sampling
from erp_resources.openai_client import OpenAIServer, RefusedError, gather
from erp_resources.settings import Count

if TYPE_CHECKING:
    import openai

_OURS = {"model", "messages", "n", "seed", "temperature", "max_tokens", "max_completion_tokens", "stream"}
_BROKEN_OFF = ("error", "abort")
"""Finish reasons by which gateways and engines say that they failed in the middle of a response."""
_HARMLESS = "Hello!"
"""A prompt that no server refuses for what it says or for its length."""
_SEEDS = 2**31
"""Some servers hold seeds in 32 bits, and take negative ones for no seed."""


class OpenAILLM(OpenAIServer):
    """An LLM behind an OpenAI-compatible server.

    `samples_per_request` bounds the samples (`n`) of one request; "all" leaves it to the server.
    `options` are sent along as they are, such as {reasoning_effort: low}.
    """

    backend: Literal["openai"]
    cost: Cost
    samples_per_request: Count | Literal["all"] = "all"
    options: dict[str, JsonValue] = Field(default_factory=dict)

    @field_validator("options")
    @classmethod
    def _leave_ours_alone(cls, options: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if taken := sorted(_OURS & options.keys()):
            raise ValueError(f"leave out {', '.join(taken)}: the pool file's other settings say what is sent as these")
        return options

    def load(self, root: Path) -> LanguageModel:
        """Connect to nothing yet. Raises `UserError` when the openai package or the key is missing."""
        return OpenAILanguageModel(self)

    def inspect(self, root: Path, prompts: Sequence[str], sampling: Sampling) -> Inspected:
        """See `Inspected`: asks the server which models it has. Prompts are counted by the server alone."""
        self.check_server()
        return Inspected(None, 0, None)

    def fingerprint(self, root: Path) -> str:
        """Changes with everything that changes the responses: not with cost, key, patience or concurrency."""
        return json.dumps(
            {"backend": self.backend, "model": self.model, "base_url": self.base_url, "options": self.options},
            sort_keys=True,
        )


@dataclass(frozen=True)
class _Dialect:
    """What the server takes, as far as is known; `at_once` bounds the samples of one request, None does not."""

    at_once: int | None
    seed: bool = True
    max_tokens: str = "max_tokens"

    def count(self, wanted: int) -> int:
        """How many samples to ask for in one request when so many are wanted."""
        return wanted if self.at_once is None else min(wanted, self.at_once)

    def simpler(self, refused: RefusedError) -> dict[str, Any]:
        """What to change before asking again; nothing when the refusal names nothing that can be left out."""
        named = {refused.parameter} if refused.parameter else set(re.findall(r"(?<![\w\\])[a-z_]+(?!\w)", refused.said))
        if "n" in named and self.at_once != 1:
            return {"at_once": 1}
        if "seed" in named and self.seed:
            return {"seed": False}
        # Length is often refused in words of max_tokens too; this is about its name.
        if "max_tokens" in named and self.max_tokens == "max_tokens" and re.search("support|completion", refused.said):
            return {"max_tokens": "max_completion_tokens"}
        return {}


class _Row(NamedTuple):
    response: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    error: str | None = None


@dataclass(frozen=True)
class _Draw:
    """One prompt's samples to draw; its sample i has the seed `seed` + i, in whatever requests it is drawn."""

    prompt: str
    seed: int
    sampling: Sampling


class OpenAILanguageModel:
    """See `LanguageModel`. What it learns about the server it keeps for its life."""

    def __init__(self, settings: OpenAILLM) -> None:
        self._settings = settings
        self._client = settings.connect(_is_completion)
        bound = settings.samples_per_request
        self._dialect = _Dialect(at_once=None if bound == "all" else bound)
        self._has_served = False
        self._one_asks = asyncio.Lock()

    def sample(self, prompts: Sequence[str], sampling: Sampling, seed: int) -> pa.Table:
        """See `LanguageModel.sample`; how far a seed makes samples repeatable is up to the server.

        Servers count the tokens of a request, not of its responses. When a request drew several, their
        tokens are divided evenly, the remainder on the first: sums are exact, single counts are means.
        Exact counts are used where `options` make the server give them (`logprobs`, or vLLM's
        `return_token_ids`). A server that counts nothing leaves zeros.

        Raises `UserError` when the server, not a prompt, is what failed.
        """
        draws = [_Draw(prompt, _first_seed(seed, index), sampling) for index, prompt in enumerate(prompts)]
        answers = self._client.run(gather(map(self._answer, draws)))
        rows = [(index, sample, *row) for index, answer in enumerate(answers) for sample, row in enumerate(answer)]
        return pa.Table.from_pylist([dict(zip(RESPONSES.names, row, strict=True)) for row in rows], schema=RESPONSES)

    async def _answer(self, draw: _Draw) -> list[_Row]:
        """The n rows of a prompt, or the one that says why it failed."""
        try:
            return await self._fill(draw, 0, draw.sampling.n)
        except RefusedError as error:
            refused = error
        if not self._has_served:
            await self._ask_something_harmless(draw.sampling)
        return [_Row("", "error", 0, 0, str(refused) or "the server did not say why")]

    async def _ask_something_harmless(self, sampling: Sampling) -> None:
        """Raise `UserError` if the server refuses this as well: then the fault was not the prompt's."""
        async with self._one_asks:
            if self._has_served:
                return
            try:
                await self._fill(_Draw(_HARMLESS, 0, sampling), 0, min(sampling.n, 2))
                return
            except RefusedError as refused:
                said = str(refused) or "it did not say why"
        raise self._client.error(
            f"the server refuses whatever it is asked: {said}; check model, options, samples_per_request, and "
            "temperature and max_tokens under sampling"
        )

    async def _fill(self, draw: _Draw, first: int, count: int) -> list[_Row]:
        """Samples `first` to `first + count - 1` of a prompt, in as many requests as they take."""
        size = self._dialect.count(count)
        starts = range(first, first + count, size)
        parts = await gather(self._fill_at_once(draw, start, min(size, first + count - start)) for start in starts)
        return [row for part in parts for row in part]

    async def _fill_at_once(self, draw: _Draw, first: int, count: int) -> list[_Row]:
        """The same in one request, and in more if the server gives fewer samples than it was asked for."""
        async with self._client.slot:
            answer = await self._ask(draw, first, count)
        self._has_served = True
        rows = _rows(answer["choices"][:count], answer.get("usage") or {})
        if len(rows) == count:
            return rows
        # Every answer holds one sample at least.
        self._dialect = replace(self._dialect, at_once=self._dialect.count(len(rows)))
        return rows + await self._fill(draw, first + len(rows), count - len(rows))

    async def _ask(self, draw: _Draw, first: int, count: int) -> dict[str, Any]:
        """The answer to one request for at most `count` samples, in words that the server takes."""
        changes: dict[str, Any] = {}
        while True:
            dialect = replace(self._dialect, **changes)
            body: dict[str, Any] = {
                "model": self._settings.model,
                "messages": [{"role": "user", "content": draw.prompt}],
                "temperature": draw.sampling.temperature,
                dialect.max_tokens: draw.sampling.max_tokens,
            }
            if dialect.count(count) > 1:
                body["n"] = dialect.count(count)
            if dialect.seed:
                body["seed"] = (draw.seed + first) % _SEEDS
            try:
                answer = await self._client.ask(partial(_create, body=body, options=self._settings.options))
            except RefusedError as refused:
                change = dialect.simpler(refused)
                if not change:
                    raise
                changes |= change
            else:
                # Kept only now: a refusal may have named a parameter and meant the prompt.
                self._dialect = replace(self._dialect, **changes)
                return answer


async def _create(client: "openai.AsyncOpenAI", body: dict[str, Any], options: dict[str, Any]) -> Any:
    return await client.chat.completions.with_raw_response.create(**body, extra_body=options)


def _first_seed(seed: int, prompt_index: int) -> int:
    digest = hashlib.blake2b(f"{seed}/{prompt_index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % _SEEDS


def _is_completion(answer: Any) -> bool:
    """Whether there is a response, or a word of why there is none, in every choice."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    return isinstance(choices, list) and bool(choices) and all(map(_is_choice, choices))


def _is_choice(choice: Any) -> bool:
    message = choice.get("message") if isinstance(choice, dict) else None
    return (
        isinstance(message, dict)
        and isinstance(message.get("content"), str | None)
        and choice.get("finish_reason") not in _BROKEN_OFF
    )


def _rows(choices: list[dict[str, Any]], usage: dict[str, Any]) -> list[_Row]:
    """The samples of one request. Raises `RefusedError` when a content filter withheld one."""
    if any(choice.get("finish_reason") == "content_filter" for choice in choices):
        raise RefusedError("the server's content filter withheld a response")
    counts = _token_counts(choices, usage.get("completion_tokens") or 0)
    return [
        _Row(
            _text(choice["message"].get("content") or ""),
            "length" if choice.get("finish_reason") == "length" else "stop",
            usage.get("prompt_tokens") or 0,
            tokens,
        )
        for choice, tokens in zip(choices, counts, strict=True)
    ]


def _token_counts(choices: list[dict[str, Any]], total: int) -> list[int]:
    lists = [choice.get("token_ids") or (choice.get("logprobs") or {}).get("content") for choice in choices]
    own = [len(tokens) for tokens in lists if tokens]
    if len(own) == len(choices) and total in (0, sum(own)):
        return own
    share, remainder = divmod(total, len(choices))
    return [share + (position < remainder) for position in range(len(choices))]


def _text(content: str) -> str:
    """JSON can hold halves of surrogate pairs, which no file of ours can: each becomes U+FFFD."""
    return content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
