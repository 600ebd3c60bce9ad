"""LLMs behind any server that speaks OpenAI's chat completions: OpenAI, vLLM, llama.cpp, a gateway.

Servers differ in what they take. A request begins with all that a sample needs, and what the server
refuses is left out from then on: n (samples are then asked for one by one), the seed, the temperature where it is 1,
and the old name of max_tokens.

What a server answers is read as far as it can be, and never taken for more than it is: `answers` says how.
"""

import asyncio
import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import pyarrow as pa
from pydantic import Field, JsonValue, field_validator, model_validator

from erp_resources.language_models.answers import Answer, failed_answer, is_completion, read_answers
from erp_resources.language_models.chat_template import ChatTemplateKwargs
from erp_resources.language_models.interface import SERVED_RESPONSES, Cost, Inspected, LanguageModel, Sampling
from erp_resources.openai_client import FailedError, OpenAIServer, RefusedError, gather
from erp_resources.settings import Count, UserError

if TYPE_CHECKING:
    import openai

_OURS = {"model", "messages", "n", "seed", "temperature", "max_tokens", "max_completion_tokens", "stream"}
_HARMLESS = "Hello!"
"""A prompt that no server refuses for what it says or for its length."""
_SOME_REFUSE_WITH = (500, 501)
_FEWEST_FAILURES = 4
"""In a row, with no answer between them, that are a server's: fewer may be one prompt's and its neighbours'."""
_SEEDS = 2**31
"""Some servers hold seeds in 32 bits, and take negative ones for no seed."""


class OpenAILLM(ChatTemplateKwargs, OpenAIServer):
    """An LLM behind an OpenAI-compatible server.

    `samples_per_request` bounds the samples (`n`) of one request; "all" leaves it to the server.
    `options` are sent along as they are, such as {reasoning_effort: low}, and `chat_template_kwargs` under this name,
    as vLLM, SGLang and llama.cpp take them; whether the server's template reads them only the server knows.
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

    @model_validator(mode="after")
    def _kwargs_stand_in_one_place(self) -> Self:
        if self.chat_template_kwargs and "chat_template_kwargs" in self.options:
            raise ValueError("chat_template_kwargs stands twice: leave it out of options")
        return self

    @property
    def sent(self) -> dict[str, JsonValue]:
        """What is sent along with every request."""
        kwargs: dict[str, JsonValue] = dict(self.chat_template_kwargs)
        return self.options | ({"chat_template_kwargs": kwargs} if kwargs else {})

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
            {"backend": self.backend, "model": self.model, "base_url": self.base_url, "options": self.sent},
            sort_keys=True,
        )


@dataclass(frozen=True)
class _Dialect:
    """What the server takes, as far as is known; `at_once` bounds the samples of one request, None does not."""

    at_once: int | None
    seed: bool = True
    temperature: bool = True
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
        if "temperature" in named and self.temperature:
            return {"temperature": False}
        # Length is often refused in words of max_tokens too; this is about its name.
        if "max_tokens" in named and self.max_tokens == "max_tokens" and re.search("support|completion", refused.said):
            return {"max_tokens": "max_completion_tokens"}
        return {}


@dataclass(frozen=True)
class _Draw:
    """One prompt's samples to draw; its sample i has the seed `seed` + i, in whatever requests it is drawn."""

    prompt: str
    seed: int
    sampling: Sampling


class OpenAILanguageModel:
    """See `ServedModel`. What it learns about the server it keeps for its life."""

    def __init__(self, settings: OpenAILLM) -> None:
        self._settings = settings
        self._client = settings.connect(is_completion)
        bound = settings.samples_per_request
        self._dialect = _Dialect(at_once=None if bound == "all" else bound)
        self._has_served = False
        self._has_served_several = False
        self._failures_in_a_row = 0
        self._one_asks = asyncio.Lock()

    def sample(self, prompts: Sequence[str], sampling: Sampling, seed: int) -> pa.Table:
        """See `LanguageModel.sample`; the schema is `SERVED_RESPONSES`."""
        return self.sample_and_keep(prompts, sampling, seed, {}, lambda index, rows: None)

    def sample_and_keep(
        self,
        prompts: Sequence[str],
        sampling: Sampling,
        seed: int,
        known: Mapping[int, Sequence[Sequence[Any]]],
        keep: Callable[[int, Sequence[Sequence[Any]]], None],
    ) -> pa.Table:
        """See `ServedModel.sample_and_keep`; how far a seed makes samples repeatable is up to the server.

        Servers count the tokens of a request, not of its responses. When a request drew several, their
        tokens are divided evenly, the remainder on the first: sums are exact, single counts are means.
        Exact counts are used where `options` make the server give them (`logprobs`, or vLLM's
        `return_token_ids`). A server that counts nothing, or no numbers, leaves zeros.

        Raises `UserError` when the server, not a prompt, is what failed: what was answered until then was kept.
        """
        answered = dict(known)
        draws = {
            index: _Draw(prompt, _first_seed(seed, index), sampling)
            for index, prompt in enumerate(prompts)
            if index not in answered
        }
        answered |= self._client.run(self._answer_all(draws, keep))
        rows = [(index, sample, *answer) for index in sorted(answered) for sample, answer in enumerate(answered[index])]
        names = SERVED_RESPONSES.names
        return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=SERVED_RESPONSES)

    async def _answer_all(
        self, draws: Mapping[int, _Draw], keep: Callable[[int, Sequence[Sequence[Any]]], None]
    ) -> dict[int, Sequence[Answer]]:
        """The answers to every prompt. What failed for some alone is their error, if the server answers otherwise.

        Raises `UserError` when as many prompts in a row failed as may be under way: then the server does.
        """
        failures: dict[int, FailedError] = {}
        answered: dict[int, Sequence[Answer]] = {}

        def settle(index: int, answers: Sequence[Answer]) -> None:
            keep(index, answers)
            answered[index] = answers

        async def answer(index: int, draw: _Draw) -> None:
            try:
                answers = await self._answer(draw)
            except FailedError as failure:
                failures[index] = failure
            else:
                settle(index, answers)
                return
            self._failures_in_a_row += 1
            if self._failures_in_a_row >= max(self._settings.max_concurrency, _FEWEST_FAILURES):
                raise UserError(str(failures[index]))

        await gather(answer(index, draw) for index, draw in draws.items())
        if failures:
            await self._see_that_it_serves(next(iter(draws.values())).sampling)
        for index, failure in failures.items():
            settle(index, [failed_answer(str(failure))])
        return answered

    async def _answer(self, draw: _Draw) -> list[Answer]:
        """The n answers to a prompt, or the one that says why it failed.

        Samples that were withheld come last: the others count from 0 on, and so can be topped up.
        """
        try:
            answers = await self._fill(draw, 0, draw.sampling.n)
        except RefusedError as error:
            refused = error
        else:
            given = [answer for answer in answers if answer.error is None]
            withheld = [answer for answer in answers if answer.error is not None]
            return [*given, *withheld] if given else withheld[:1]
        if not self._has_served:
            await self._ask_something_harmless(draw.sampling)
        return [failed_answer(self._client.without_secrets(str(refused)) or "the server did not say why")]

    async def _see_that_it_serves(self, sampling: Sampling) -> None:
        """Raise `UserError` if the server fails at something harmless as well: then it is not the prompts that fail."""
        if not self._has_served:
            await self._ask_something_harmless(sampling)
            return
        with contextlib.suppress(RefusedError):  # who refuses is up
            await self._fill(_Draw(_HARMLESS, 0, sampling), 0, 1)

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

    async def _fill(self, draw: _Draw, first: int, count: int) -> list[Answer]:
        """Samples `first` to `first + count - 1` of a prompt, in as many requests as they take."""
        size = self._dialect.count(count)
        starts = range(first, first + count, size)
        parts = await gather(self._fill_if_it_can(draw, start, min(size, first + count - start)) for start in starts)
        if all(isinstance(part, FailedError) for part in parts):
            raise next(part for part in parts if isinstance(part, FailedError))
        answers = []
        for start, part in zip(starts, parts, strict=True):
            lacking = min(size, first + count - start)
            answers += [failed_answer(str(part))] * lacking if isinstance(part, FailedError) else part
        return answers

    async def _fill_if_it_can(self, draw: _Draw, first: int, count: int) -> list[Answer] | FailedError:
        """What failed for some samples does not lose the others, which are paid for."""
        try:
            return await self._fill_at_once(draw, first, count)
        except FailedError as failure:
            return failure

    async def _fill_at_once(self, draw: _Draw, first: int, count: int) -> list[Answer]:
        """The same in one request, and in more if the server gives fewer samples than it was asked for."""
        async with self._client.slot:
            answer = await self._ask(draw, first, count)
        self._has_served = True
        self._failures_in_a_row = 0
        answers = read_answers(answer, count, self._client.clean_response)
        self._has_served_several |= len(answers) > 1
        if len(answers) == count:
            return answers
        # Every completion holds one answer at least.
        self._dialect = replace(self._dialect, at_once=self._dialect.count(len(answers)))
        return answers + await self._fill(draw, first + len(answers), count - len(answers))

    async def _ask(self, draw: _Draw, first: int, count: int) -> dict[str, Any]:
        """The answer to one request for at most `count` samples, in words that the server takes."""
        changes: dict[str, Any] = {}
        while True:
            dialect = replace(self._dialect, **changes)
            body = self._body(dialect, draw, first, count)
            try:
                answer = await self._client.ask(partial(_create, body=body, options=self._settings.sent))
            except (RefusedError, FailedError) as error:
                problem = error
            else:
                # Kept only now: a refusal may have named a parameter and meant the prompt.
                self._dialect = replace(self._dialect, **changes)
                return answer
            change = dialect.simpler(problem) if isinstance(problem, RefusedError) else {}
            if "temperature" in change and draw.sampling.temperature != 1:
                raise self._client.error(
                    f"the server refuses temperature {draw.sampling.temperature:g}: {problem}; a model that samples at "
                    "its own temperature takes sampling.temperature 1, of which nothing is said to it"
                )
            # In whatever words several samples are refused, and by some with a status of their own: one may be had.
            is_refusal = isinstance(problem, RefusedError) or problem.status in _SOME_REFUSE_WITH
            if not change and is_refusal and not self._has_served_several and dialect.count(count) > 1:
                change = {"at_once": 1}
            if not change:
                raise problem
            changes |= change

    def _body(self, dialect: _Dialect, draw: _Draw, first: int, count: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._settings.model,
            "messages": [{"role": "user", "content": draw.prompt}],
            dialect.max_tokens: draw.sampling.max_tokens,
        }
        if dialect.temperature:
            body["temperature"] = draw.sampling.temperature
        if dialect.count(count) > 1:
            body["n"] = dialect.count(count)
        if dialect.seed:
            body["seed"] = (draw.seed + first) % _SEEDS
        return body


async def _create(client: "openai.AsyncOpenAI", body: dict[str, Any], options: dict[str, Any]) -> Any:
    return await client.chat.completions.with_raw_response.create(**body, extra_body=options)


def _first_seed(seed: int, prompt_index: int) -> int:
    digest = hashlib.blake2b(f"{seed}/{prompt_index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % _SEEDS
